// "Confirm that it is you": asked before what is sensitive, where it was last shown more than ten minutes ago.
// Whoever needs it dispatches `np:reauthenticate` with {retry, cancel, why} (see api.js), or with {name, payload}: an event
// of Reflex that the server turned back (see security/handlers.py), sent again once the person has shown who they are.
import { useContext, useEffect, useRef, useState } from "react";
import { Button, Dialog, Flex, Skeleton, Text, TextField } from "@radix-ui/themes";
import { Eye, EyeOff, Fingerprint, ShieldCheck } from "lucide-react";
import { EventLoopContext } from "$/utils/context";
import { ReflexEvent } from "$/utils/state";
import { send } from "./api.js";
import { CodeField, Refusal, useWait } from "./code.jsx";
import * as webauthn from "./webauthn.js";

export function Reauthenticate() {
  const [addEvents] = useContext(EventLoopContext);
  const [asked, setAsked] = useState([]);
  useEffect(() => {
    const ask = (event) => {
      event.preventDefault(); // taken
      const detail = event.detail;
      const retry = detail.retry ?? (() => addEvents([ReflexEvent(detail.name, detail.payload ?? {})], [], {}));
      setAsked((before) => [...before, { why: detail.why, retry, cancel: detail.cancel ?? (() => {}) }]);
    };
    window.addEventListener("np:reauthenticate", ask);
    return () => window.removeEventListener("np:reauthenticate", ask);
  }, [addEvents]);
  const end = (how) => {
    setAsked([]);
    asked.forEach((each) => each[how]());
  };
  return (
    <Dialog.Root open={asked.length > 0} onOpenChange={(open) => open || end("cancel")}>
      <Dialog.Content maxWidth="420px" className="np-reauth" data-testid="reauth">
        <Confirm why={asked[0]?.why} onDone={() => end("retry")} />
      </Dialog.Content>
    </Dialog.Root>
  );
}

// Who has a second factor shows that; a password may have been stolen together with the session.
function waysOf({ authenticators, passkeys, recovery_codes: codes }) {
  if (!authenticators.length && !passkeys.length) return ["password"];
  return [
    ...(authenticators.length ? ["code"] : []),
    ...(passkeys.length && webauthn.available() ? ["passkey"] : []),
    ...(codes.left ? ["recovery"] : []),
  ];
}

const LABELS = { password: "Use your password", code: "Use a code", passkey: "Use a passkey", recovery: "Use a recovery code" };

function Confirm({ why, onDone }) {
  const [ways, setWays] = useState(null);
  const [way, setWay] = useState(null);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const [wait, startWait] = useWait();
  useEffect(() => {
    send("GET", "/security/mfa")
      .then(waysOf, () => ["password"])
      .then((found) => {
        setWays(found);
        setWay(found[0]);
      });
  }, []);
  const prove = async (proof) => {
    setBusy(true);
    setProblem("");
    try {
      await send("POST", "/auth/reauthenticate", await proof());
      onDone();
      return true;
    } catch (refused) {
      if (refused.status === 429) startWait(refused.retryAfter);
      setProblem(refused.status === undefined ? webauthn.said(refused) : refused.message);
      setBusy(false);
      return false;
    }
  };
  const choose = (next) => {
    setProblem("");
    setWay(next);
  };
  const Way = way && { password: Password, code: Code, passkey: Passkey, recovery: Recovery }[way];
  return (
    <>
      <Dialog.Title size="4">
        <Flex align="center" gap="2">
          <ShieldCheck size={20} color="var(--accent-11)" aria-hidden="true" /> Confirm that it is you
        </Flex>
      </Dialog.Title>
      <Dialog.Description size="2" color="gray">
        {why
          ? `To ${why}, show that it is still you. After that you are not asked for ten minutes.`
          : "What you are about to do is sensitive: show that it is still you. Then it goes on by itself."}
      </Dialog.Description>
      {Way ? <Way key={way} prove={prove} busy={busy} problem={problem} wait={wait} /> : <Skeleton height="112px" mt="4" />}
      {ways?.length > 1 ? (
        <Flex gap="4" mt="4" wrap="wrap">
          {ways
            .filter((each) => each !== way)
            .map((each) => (
              <button key={each} type="button" className="np-linkbutton" onClick={() => choose(each)} data-testid={`reauth-use-${each}`}>
                {LABELS[each]}
              </button>
            ))}
        </Flex>
      ) : null}
    </>
  );
}

function Buttons({ children }) {
  return (
    <Flex gap="3" mt="4" justify="end">
      <Dialog.Close>
        <Button type="button" variant="soft" color="gray" data-testid="reauth-cancel">
          Cancel
        </Button>
      </Dialog.Close>
      {children}
    </Flex>
  );
}

function Password({ prove, busy, problem, wait }) {
  const [password, setPassword] = useState("");
  const [shown, setShown] = useState(false);
  const field = useRef(null);
  const submit = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    if (!password) field.current.focus();
    else if (!(await prove(() => ({ password })))) field.current?.select();
  };
  return (
    <form onSubmit={submit} className="np-reauth-way">
      <Text as="label" size="2" weight="medium" htmlFor="reauth-password">
        Password
      </Text>
      <TextField.Root
        ref={field}
        id="reauth-password"
        type={shown ? "text" : "password"}
        autoComplete="current-password"
        value={password}
        onChange={(event) => setPassword(event.target.value)}
        autoFocus
        maxLength={1024}
        aria-invalid={Boolean(problem)}
        aria-describedby="reauth-problem"
        data-testid="reauth-password"
      >
        <TextField.Slot side="right">
          <button
            type="button"
            className="np-eye"
            onClick={() => setShown(!shown)}
            aria-label={shown ? "Hide the password" : "Show the password"}
          >
            {shown ? <EyeOff size={16} aria-hidden="true" /> : <Eye size={16} aria-hidden="true" />}
          </button>
        </TextField.Slot>
      </TextField.Root>
      <Refusal id="reauth-problem" problem={problem} wait={wait} />
      <Buttons>
        <Button type="submit" loading={busy} disabled={wait > 0} data-testid="reauth-confirm">
          Confirm
        </Button>
      </Buttons>
    </form>
  );
}

function Code({ prove, busy, problem, wait }) {
  const [code, setCode] = useState("");
  const full = async (digits) => {
    if (!(await prove(() => ({ code: digits })))) setCode("");
  };
  return (
    <div className="np-reauth-way">
      <Text as="label" size="2" weight="medium" htmlFor="reauth-code">
        The six digits your authenticator shows
      </Text>
      <CodeField
        id="reauth-code"
        value={code}
        onChange={setCode}
        onFull={full}
        wrong={Boolean(problem)}
        describedBy="reauth-problem"
        autoFocus
        disabled={busy || wait > 0}
      />
      <Refusal id="reauth-problem" problem={problem} wait={wait} />
      <Buttons />
    </div>
  );
}

function Passkey({ prove, busy, problem, wait }) {
  const use = () =>
    prove(async () => {
      const { challenge, options } = await send("POST", "/security/passkeys/proof");
      return { challenge, credential: await webauthn.get(options) };
    });
  return (
    <div className="np-reauth-way">
      <Text as="p" size="2">
        Your browser asks for the passkey or security key.
      </Text>
      <Refusal id="reauth-problem" problem={problem} wait={wait} />
      <Buttons>
        <Button onClick={use} loading={busy} disabled={wait > 0} autoFocus data-testid="reauth-passkey">
          <Fingerprint size={16} aria-hidden="true" /> Use a passkey
        </Button>
      </Buttons>
    </div>
  );
}

function Recovery({ prove, busy, problem, wait }) {
  const [code, setCode] = useState("");
  const field = useRef(null);
  const submit = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    if (!code.trim()) field.current.focus();
    else if (!(await prove(() => ({ code: code.trim() })))) field.current?.select();
  };
  return (
    <form onSubmit={submit} className="np-reauth-way">
      <Text as="label" size="2" weight="medium" htmlFor="reauth-recovery">
        One of your recovery codes; it is used up
      </Text>
      <TextField.Root
        ref={field}
        id="reauth-recovery"
        className="np-mono-field"
        value={code}
        onChange={(event) => setCode(event.target.value)}
        placeholder="xxxx-xxxx-xxxx-xxxx"
        autoComplete="off"
        autoCapitalize="none"
        spellCheck={false}
        autoFocus
        maxLength={40}
        aria-invalid={Boolean(problem)}
        aria-describedby="reauth-problem"
        data-testid="reauth-recovery"
      />
      <Refusal id="reauth-problem" problem={problem} wait={wait} />
      <Buttons>
        <Button type="submit" loading={busy} disabled={wait > 0} data-testid="reauth-confirm">
          Confirm
        </Button>
      </Buttons>
    </form>
  );
}
