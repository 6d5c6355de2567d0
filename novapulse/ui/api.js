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
  const content = answer ? await answer.json().catch(() => null) : null;
  if (answer?.ok) return content;
  throw new Problem(answer?.status ?? 0, content ?? undefined, Number(answer?.headers.get("Retry-After")) || 0);
}

// One call; where the server first wants to know that it is still the same person, they are asked, and then it is made
// again. `why` ends the sentence "Confirm that it is you ..." and is shown with the question.
export async function call(method, path, body, { why = "" } = {}) {
  try {
    return await send(method, path, body);
  } catch (problem) {
    if (problem.type === ENROL && window.location.pathname !== ENROL_PAGE) window.location.assign(ENROL_PAGE);
    if (problem.type !== REAUTHENTICATE || !(await confirmed(why, problem))) throw problem;
    return call(method, path, body, { why });
  }
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
