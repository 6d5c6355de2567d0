// Signing in: the password, then the second factor where there is one, without loading a page in between.
import { attempt, byId, isFilled, leave, post, say, show, submitOf } from "./auth.js";

const ENDED = "urn:novapulse:problem:challenge-ended";
const RECOVER = "/settings/security?recover=1"; // who needed a recovery code needs a new authenticator
const MODES = {
  totp: {
    title: "Enter your code",
    lead: "The six digits that your authenticator app shows now.",
    action: "Verify",
  },
  recovery_code: {
    title: "Use a recovery code",
    lead: "One of the codes that you kept when you set up your second factor. Each works once.",
    action: "Verify",
  },
  passkey: {
    title: "Use your passkey",
    lead: "Confirm with your fingerprint, face, PIN or security key.",
    action: "Continue",
  },
};

const first = byId("password-form");
const second = byId("second-form");
const digits = byId("mfa-code");
const recovery = byId("mfa-recovery");
const { next } = first.dataset;
// Credentials are of a domain: browsers make and show none for an address of numbers.
const isNumbers = /^[\d.]+$|^\[/.test(location.hostname);
const hasPasskeys = Boolean(window.npPasskey?.available) && !isNumbers;

let challenge = "";
let mode = "";
let tried = ""; // the digits that were sent last

first.addEventListener("submit", (event) => {
  event.preventDefault();
  say(first, "");
  if (!isFilled(first)) return;
  attempt(first, async () => {
    const answer = await post("/auth/login", Object.fromEntries(new FormData(first)));
    if (!answer.mfa_required) return leave(next);
    challenge = answer.challenge;
    askSecond(answer.methods.filter((method) => method in MODES && (method !== "passkey" || hasPasskeys)));
  });
});

function askSecond(methods) {
  for (const item of document.querySelectorAll("[data-to]")) item.dataset.has = methods.includes(item.dataset.to);
  say(second, "");
  tried = "";
  digits.value = "";
  recovery.value = "";
  show("second");
  choose(methods[0] ?? "recovery_code");
}

function choose(wanted) {
  mode = wanted;
  const { title, lead, action } = MODES[mode];
  document.title = `${title} · NovaPulse`;
  byId("second-title").textContent = title;
  byId("second-lead").textContent = lead;
  const button = submitOf(second);
  button.dataset.label = action;
  if (!button.disabled) button.textContent = action;
  for (const part of second.querySelectorAll("[data-mode]")) part.hidden = part.dataset.mode !== mode;
  for (const item of document.querySelectorAll("[data-to]")) {
    item.hidden = item.dataset.has !== "true" || item.dataset.to === mode;
  }
  (second.querySelector(`[data-mode=${mode}] input`) ?? byId("second-title")).focus();
}

for (const item of document.querySelectorAll("[data-to]")) {
  item.addEventListener("click", () => {
    say(second, "");
    choose(item.dataset.to);
  });
}

// Begin again; the address stays, so that only the password has to be typed.
function startAgain(message = "") {
  challenge = "";
  document.title = "Sign in · NovaPulse";
  first.elements.password.value = "";
  show("first");
  say(first, message);
  first.elements[message ? "password" : "email"].focus();
}

byId("again").addEventListener("click", () => {
  first.elements.email.value = "";
  startAgain();
});

// Six digits are sent as soon as they are there, typed or pasted; whatever stands between them is left out.
digits.addEventListener("input", () => {
  const code = digits.value.replace(/\D/g, "").slice(0, 6);
  if (digits.value !== code) digits.value = code;
  if (code.length === 6 && code !== tried) second.requestSubmit();
  if (code.length < 6) tried = "";
});

second.addEventListener("submit", (event) => {
  event.preventDefault();
  say(second, "");
  const input = { totp: digits, recovery_code: recovery }[mode];
  if (mode === "totp" && digits.value.length < 6) return say(second, "Enter the six digits.", digits);
  if (mode === "recovery_code" && !recovery.value.trim()) return say(second, "Enter a recovery code.", recovery);
  const remember = byId("remember")?.checked ?? false;
  attempt(second, async () => {
    try {
      if (mode === "passkey") {
        await window.npPasskey.signIn({ challenge, remember });
        return leave(next);
      }
      tried = digits.value;
      const answer = await post("/auth/mfa/verify", { challenge, code: input.value, remember_device: remember });
      return leave(answer.method === "recovery_code" ? RECOVER : next);
    } catch (refusal) {
      if ((refusal.type || refusal.problem?.type) === ENDED) return startAgain(refusal.message);
      throw Object.assign(refusal, { input });
    }
  });
});

const alone = byId("passkey-first");
alone.hidden = !hasPasskeys;
alone.querySelector("button").addEventListener("click", () => {
  say(first, "");
  attempt(first, async () => {
    await window.npPasskey.signIn({});
    return leave(next);
  });
});
