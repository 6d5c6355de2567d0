// Choosing a password: at the set-up, by an invitation, after it was forgotten.
import { attempt, byId, isFilled, leave, post, say, show } from "./auth.js";
import { openLink, token } from "./links.js";
import { watchStrength } from "./strength.js";

const form = byId("choose");
const { kind, path, next } = form.dataset;
const password = form.elements.password;
const about = () => (kind ? { token } : { email: form.elements.email.value.slice(0, 300) });

form.addEventListener("submit", (event) => {
  event.preventDefault();
  say(form, "");
  if (!isFilled(form)) return;
  attempt(form, async () => {
    const fields = Object.fromEntries(new FormData(form));
    await post(path, kind ? { token, ...fields } : fields);
    // The link is used up: it need not stay in the address or the history.
    if (next) return leave(next);
    history.replaceState(null, "", location.pathname);
    show("done");
  });
});

if (kind) {
  const link = await openLink(kind);
  if (link) {
    byId("whose").textContent = link.email;
    byId("username").value = link.email;
    byId("strength").textContent = `At least ${link.length_min} characters. A few words that you can remember do well.`;
    show("open");
    password.focus();
  }
}
watchStrength(password, about);
