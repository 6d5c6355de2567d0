// How good a password is, said while it is typed. The server judges, as it does when the password is sent.
import { byId, post } from "./auth.js";

const PAUSE_MS = 250;
const WORDS = ["Easily guessed", "Weak", "Fair", "Good", "Strong"];

// `about()` is what the server needs to know besides.
export function watchStrength(input, about) {
  const meter = document.querySelector(".meter");
  const status = byId("strength");
  const hint = status.textContent;
  let timer;
  const judge = async () => {
    const password = input.value;
    const verdict = password ? await post("/auth/password/check", { password, ...about() }).catch(() => null) : null;
    if (input.value !== password) return;
    const score = verdict ? (verdict.problem ? Math.min(verdict.score, 1) : verdict.score) : "";
    meter.dataset.score = score;
    status.textContent = verdict ? said(verdict, score) : hint;
  };
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(judge, PAUSE_MS);
  });
}

function said({ problem, warning, suggestions }, score) {
  if (problem) return problem;
  return [`${WORDS[score]}.`, ...(score < 3 ? [warning, suggestions[0]] : [])].filter(Boolean).join(" ");
}
