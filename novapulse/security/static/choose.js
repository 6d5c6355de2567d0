// Choosing a password: at the set-up, by an invitation, after it was forgotten.
import { attempt, byId, isFilled, leave, post, say, show } from "./auth.js";
import { openLink, token } from "./links.js";
import { watchStrength } from "./strength.js";

const form = byId("choose");
const { kind, path, next } = form.dataset;
const password = form.elements.password;
const first = kind === "setup"; // nobody is there yet: who it is is typed, too
const about = () => (first ? { email: form.elements.email.value.slice(0, 300) } : { token });

form.addEventListener("submit", (event) => {
  event.preventDefault();
  say(form, "");
  if (!isFilled(form)) return;
  attempt(form, async () => {
    const fields = Object.fromEntries(new FormData(form));
    await post(path, { token, ...fields });
    // The link is used up: it need not stay in the address or the history.
    if (next) return leave(next);
    history.replaceState(null, "", location.pathname);
    show("done");
  });
});

const link = await openLink(kind);
if (link) {
  if (!first) {
    byId("whose").textContent = link.email;
    byId("username").value = link.email;
  }
  byId("strength").textContent = `At least ${link.length_min} characters. A few words that you can remember do well.`;
  show("open");
  (first ? form.elements.email : password).focus();
}
watchStrength(password, about);
