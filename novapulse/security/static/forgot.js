// Asking for a link to choose a new password. The answer is the same whether there is such an account or not.
import { attempt, byId, isFilled, post, say, show } from "./auth.js";

const form = byId("forgot");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  say(form, "");
  if (!isFilled(form)) return;
  const email = form.elements.email.value.trim();
  attempt(form, async () => {
    await post("/auth/password/forgot", { email });
    byId("sent-to").textContent = email;
    show("sent");
  });
});
