// Saying yes to a mailed link, by a button: what only loads a link, as scanners of mail do, changes nothing.
import { attempt, byId, post, say, show } from "./auth.js";
import { openLink, token } from "./links.js";

const form = byId("confirm");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  say(form, "");
  attempt(form, async () => {
    await post(form.dataset.path, { token });
    history.replaceState(null, "", location.pathname);
    show("done");
  });
});

const link = await openLink(form.dataset.kind);
if (link) {
  byId("whose").textContent = link.email;
  show("open");
}
