// Sends the form as JSON and, when it was accepted, goes on by a full navigation with the new cookie.
const form = document.getElementById("auth");
const error = document.getElementById("error");

function show(message, field) {
  error.textContent = message;
  error.hidden = false;
  for (const input of form.querySelectorAll("input")) input.removeAttribute("aria-invalid");
  const input = field && form.elements[field];
  if (input) {
    input.setAttribute("aria-invalid", "true");
    input.focus();
  }
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const missing = [...form.querySelectorAll("input[required]")].find((input) => !input.value);
  if (missing) return show(`Enter your ${missing.labels[0].textContent.toLowerCase()}.`, missing.name);
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch(form.getAttribute("action"), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(Object.fromEntries(new FormData(form))),
    });
    if (answer.ok) return void location.assign(form.dataset.next);
    const problem = await answer.json().catch(() => ({}));
    const first = problem.errors?.[0];
    show(first ? `${first.detail[0].toUpperCase()}${first.detail.slice(1)}.` : problem.detail ?? "That did not work; try again.",
      first?.pointer.slice(1));
  } catch {
    show("NovaPulse does not answer. Check the connection and try again.");
  }
  button.disabled = false;
});
