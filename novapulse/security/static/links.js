// The token of a mailed link: it is behind the #, which no server sees, and is looked at before anything is asked.
import { byId, post, show } from "./auth.js";

export const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";

// Another link opened in this tab is another page.
addEventListener("hashchange", () => location.reload());

// What the link is for; null, with the page saying so, if it does not work.
export async function openLink(kind) {
  try {
    const link = token && (await post("/auth/link", { token }));
    if (link && link.kind === kind) return link;
    show("dead");
  } catch (refusal) {
    if (refusal.status === 403 || refusal.status === 422) return void show("dead");
    byId("away-why").textContent = refusal.message;
    byId("reload").addEventListener("click", () => location.reload());
    show("away");
  }
  return null;
}
