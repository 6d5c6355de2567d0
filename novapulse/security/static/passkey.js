// Signing in with a passkey or security key: asks the server for a challenge, the authenticator for its answer.
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replace(/\+/g, "-")
      .replace(/\//g, "_")
      .replace(/=+$/, "");

  async function post(path, body) {
    const answer = await fetch(`/api/v1${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const content = await answer.json().catch(() => ({}));
    if (!answer.ok) throw Object.assign(new Error(content.detail ?? "That did not work; try again."), { problem: content });
    return content;
  }

  // The options of the server, with its texts as bytes, as `navigator.credentials` wants them.
  function request(options) {
    return {
      ...options,
      challenge: bytes(options.challenge),
      allowCredentials: options.allowCredentials?.map((each) => ({ ...each, id: bytes(each.id) })),
    };
  }

  function shown(credential) {
    const { response } = credential;
    return {
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      response: {
        clientDataJSON: text(response.clientDataJSON),
        authenticatorData: text(response.authenticatorData),
        signature: text(response.signature),
        userHandle: response.userHandle ? text(response.userHandle) : null,
      },
    };
  }

  async function signIn({ challenge = null, remember = false } = {}) {
    const asked = await post("/auth/passkey/options", challenge ? { challenge } : {});
    let credential;
    try {
      credential = await navigator.credentials.get({ publicKey: request(asked.options) });
    } catch (error) {
      // Closed by the person, or nothing to choose from: browsers do not say which.
      if (error.name === "NotAllowedError") throw new Error("No passkey was used. Try again, or use another way.");
      throw error;
    }
    return post("/auth/passkey/verify", {
      challenge: asked.challenge,
      credential: shown(credential),
      remember_device: remember,
    });
  }

  window.npPasskey = { signIn, available: Boolean(window.PublicKeyCredential) };
})();
