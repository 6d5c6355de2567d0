// WebAuthn as JSON, both ways: browsers have this themselves only since 2024 or 2025 (Level 3, 5.1.8 to 5.1.10).
export const available = () => typeof window !== "undefined" && Boolean(window.PublicKeyCredential);

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
const text = (buffer) =>
  buffer &&
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=+$/, "");
const named = (list) => list?.map((each) => ({ ...each, id: bytes(each.id) }));

// Have an authenticator make a credential; the answer is what the server wants to see.
export async function create(options) {
  const made = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: bytes(options.challenge),
      user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: named(options.excludeCredentials),
    },
  });
  return shown(made, {
    attestationObject: text(made.response.attestationObject),
    transports: made.response.getTransports?.() ?? [],
  });
}

// Have an authenticator prove that it is here.
export async function get(options) {
  const proof = await navigator.credentials.get({
    publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: named(options.allowCredentials) },
  });
  const { response } = proof;
  return shown(proof, {
    authenticatorData: text(response.authenticatorData),
    signature: text(response.signature),
    userHandle: text(response.userHandle),
  });
}

function shown(credential, response) {
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment ?? null,
    clientExtensionResults: credential.getClientExtensionResults(),
    response: { clientDataJSON: text(credential.response.clientDataJSON), ...response },
  };
}

// What a browser's refusal means. Closed by the person, timed out, nothing there: browsers do not tell which.
export function said(error, { making = false } = {}) {
  if (error.name === "InvalidStateError") return "This one is added already. Take another.";
  if (error.name === "SecurityError") return "Browsers allow passkeys under https or localhost only.";
  if (error.name === "NotAllowedError" || error.name === "AbortError")
    return making ? "Nothing was added. Try again when you are ready." : "No passkey was used. Try again, or use another way.";
  return error.message || "That did not work. Try again.";
}
