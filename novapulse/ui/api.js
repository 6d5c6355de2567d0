// Calls of the API with the session's cookie. What is answered goes to who asked, and is kept nowhere.
const REAUTHENTICATE = "urn:novapulse:problem:reauthenticate";
const ENROL = "urn:novapulse:problem:enrol";
const ENROL_PAGE = "/settings/security/enrol";

// A refusal (RFC 9457): `message` is for people, `at` tells what is wrong with which field.
export class Problem extends Error {
  constructor(status, body = {}, retryAfter = 0) {
    super(body.detail ?? "NovaPulse does not answer. Try again.");
    this.status = status;
    this.type = body.type ?? "about:blank";
    this.retryAfter = retryAfter; // seconds; 0: at once
    this.at = Object.fromEntries((body.errors ?? []).map(({ pointer, detail }) => [pointer.split("/")[1] ?? "", sentence(detail)]));
    this.cancelled = false; // the person chose not to confirm that it is them: nothing to say
  }

  // What to show beside these fields, and as `all` what belongs to none of them.
  fields(...names) {
    const placed = Object.fromEntries(names.filter((name) => this.at[name]).map((name) => [name, this.at[name]]));
    return Object.keys(placed).length ? placed : { all: Object.values(this.at)[0] ?? this.message };
  }
}

function sentence(text) {
  return `${text[0]?.toUpperCase() ?? ""}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

// One call, as it is.
export async function send(method, path, body) {
  const given = method === "POST" ? (body ?? {}) : body;
  const answer = await fetch(`/api/v1${path}`, {
    method,
    cache: "no-store",
    headers: given === undefined ? {} : { "Content-Type": "application/json" },
    body: given === undefined ? undefined : JSON.stringify(given),
  }).catch(() => null);
  if (!answer?.ok) throw await refusal(answer);
  return answer.json().catch(() => null); // null: there is nothing to say
}

// One call; where the server first wants to know that it is still the same person, they are asked, and then it is made
// again. `why` ends the sentence "Confirm that it is you ..." and is shown with the question.
export function call(method, path, body, { why = "" } = {}) {
  return asking(() => send(method, path, body), why);
}

// A file from the API, saved under the name that the server gives it; asks like `call`.
export function download(path, { why = "" } = {}) {
  return asking(() => save(path), why);
}

async function asking(act, why) {
  try {
    return await act();
  } catch (problem) {
    if (problem.type !== REAUTHENTICATE || !(await confirmed(why, problem))) throw problem;
    return asking(act, why);
  }
}

async function save(path) {
  const answer = await fetch(`/api/v1${path}`, { cache: "no-store" }).catch(() => null);
  if (!answer?.ok) throw await refusal(answer);
  const file = await answer.blob().catch(() => null); // null: it broke off on the way
  if (!file) throw new Problem(0);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition"))?.[1] ?? "novapulse";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser has begun by then
}

async function refusal(answer) {
  const body = answer ? await answer.json().catch(() => undefined) : undefined;
  return new Problem(answer?.status ?? 0, body ?? undefined, Number(answer?.headers.get("Retry-After")) || 0);
}

// Whether the person has shown that it is them; false where no page is there to ask.
function confirmed(why, problem) {
  return new Promise((resolve, reject) => {
    const cancel = () => {
      problem.cancelled = true;
      reject(problem);
    };
    const asked = new CustomEvent("np:reauthenticate", { cancelable: true, detail: { why, retry: () => resolve(true), cancel } });
    // The dialog says by `preventDefault` that it has taken the question.
    if (window.dispatchEvent(asked)) resolve(false);
  });
}
