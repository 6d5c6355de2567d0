// What the pages to sign in on share: calls of the API, what they refuse, waiting, and showing what is typed.

// A refusal (RFC 9457): `message` is for people, `field` names the input it is about.
export class Refusal extends Error {
  constructor(body = {}, { status = 0, retryAfter = 0 } = {}) {
    const first = body.errors?.[0];
    super(first ? sentence(first.detail) : (body.detail ?? "That did not work; try again."));
    this.type = body.type ?? "";
    this.field = first?.pointer.slice(1) ?? "";
    this.status = status;
    this.retryAfter = retryAfter; // seconds
  }
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

export async function post(path, body) {
  let answer;
  try {
    answer = await fetch(`/api/v1${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw new Refusal({ detail: "NovaPulse does not answer. Check the connection and try again." });
  }
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  throw new Refusal(content, { status: answer.status, retryAfter: Number(answer.headers.get("Retry-After")) || 0 });
}

const LEAVING = Symbol("leaving");

export function leave(target) {
  location.replace(target);
  return LEAVING;
}

// What was typed is not shown again to who comes back by the browser's history.
addEventListener("pageshow", (event) => event.persisted && location.reload());

export const byId = (id) => document.getElementById(id);

// Show one section of the page, and say so to who cannot see it.
export function show(id) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== id;
  (byId(id).querySelector("[autofocus]") ?? byId(id).querySelector("h1[tabindex]"))?.focus();
}

// What went wrong, at the top of a form; empty: nothing any more.
export function say(form, message, input) {
  const error = form.querySelector(".error");
  error.textContent = message;
  error.hidden = !message;
  for (const each of form.querySelectorAll("[aria-invalid]")) each.removeAttribute("aria-invalid");
  if (!message || !input) return;
  input.setAttribute("aria-invalid", "true");
  input.focus();
  input.select();
}

export const submitOf = (form) => form.querySelector("button[type=submit]");

// Run what a form does, once at a time; a refusal is said, and one for too many tries is waited for. Work that answers
// `leave(...)` is the last on this page.
export async function attempt(form, work) {
  const button = submitOf(form);
  if (button.disabled) return;
  button.disabled = true;
  try {
    button.disabled = (await work()) === LEAVING;
  } catch (refusal) {
    say(form, refusal.message, refusal.input ?? form.elements[refusal.field]);
    if (refusal.status === 429 && refusal.retryAfter) wait(button, refusal.retryAfter);
    else button.disabled = false;
  }
}

// The button counts down the seconds until it may be pressed again.
function wait(button, seconds) {
  const label = button.dataset.label ?? button.textContent;
  button.dataset.label = label;
  const until = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${spoken(left)}` : button.dataset.label;
    if (left > 0) setTimeout(tick, 250);
  };
  tick();
}

function spoken(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

// Whether everything that is required is there; if not, what is missing is said.
export function isFilled(form) {
  const missing = [...form.querySelectorAll("input[required]")].find((input) => !input.value.trim());
  if (missing) say(form, `Enter your ${missing.labels[0].textContent.toLowerCase()}.`, missing);
  return !missing;
}

for (const eye of document.querySelectorAll(".eye")) {
  const input = byId(eye.dataset.shows);
  eye.setAttribute("aria-label", `Show the ${input.labels[0].textContent.toLowerCase()}`);
  eye.setAttribute("aria-pressed", "false");
  eye.addEventListener("click", () => {
    const shown = input.type === "password";
    input.type = shown ? "text" : "password";
    eye.textContent = shown ? "Hide" : "Show";
    eye.setAttribute("aria-pressed", String(shown));
    input.focus();
  });
}
