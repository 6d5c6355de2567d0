// The enrolment drill: proves that what one would sign in with works, where nothing depends on it. Uses nothing up.
import { useState } from "react";
import { Button, Dialog, Flex, Text, TextField } from "@radix-ui/themes";
import { Circle, CircleCheck } from "lucide-react";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import { CodeField, Refusal, useWait } from "$/public/external/novapulse/ui/parts/code.jsx";
import { day } from "./security_parts.jsx";

export function Drill({ open, onOpenChange, mfa }) {
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Content maxWidth="460px" data-testid="drill">
        <Dialog.Title size="4">Try it</Dialog.Title>
        <Dialog.Description size="2" color="gray">
          As if you signed in, but nothing depends on it, and no code is used up.
        </Dialog.Description>
        <Rehearsal mfa={mfa} onClose={() => onOpenChange(false)} />
      </Dialog.Content>
    </Dialog.Root>
  );
}

function Rehearsal({ mfa, onClose }) {
  const acts = [...(mfa.authenticators.length ? ["totp"] : []), ...(mfa.recovery_codes.left ? ["recovery_code"] : [])];
  const [proofs, setProofs] = useState({});
  const next = acts.find((kind) => !proofs[kind]);
  const proven = (proof) => setProofs({ ...proofs, [proof.kind]: proof });
  return (
    <>
      <ul className="np-drill">
        {acts.map((kind) => (
          <li key={kind} data-proven={Boolean(proofs[kind])} data-testid={`drill-${kind}`}>
            {proofs[kind] ? <CircleCheck size={20} aria-hidden="true" /> : <Circle size={20} aria-hidden="true" />}
            <div>
              <strong>{{ totp: "Authenticator app", recovery_code: "Recovery code" }[kind]}</strong>
              {proofs[kind] ? (
                <span role="status">
                  {kind === "totp" ? `“${proofs[kind].name}” works` : "It works, and is still good"}: proven {day(proofs[kind].proven_at)}
                </span>
              ) : null}
              {kind === next ? kind === "totp" ? <App onProven={proven} /> : <Code onProven={proven} /> : null}
            </div>
          </li>
        ))}
      </ul>
      {next ? null : (
        <Text as="p" size="2" mt="3" data-testid="drill-done">
          {acts.length > 1 ? "Both work" : "It works"}. When you need {acts.length > 1 ? "them" : "it"}, you will get in.
        </Text>
      )}
      <Flex justify="end" mt="4">
        <Button variant={next ? "soft" : "solid"} color={next ? "gray" : undefined} onClick={onClose} data-testid="drill-close">
          {next ? "Stop" : "Done"}
        </Button>
      </Flex>
    </>
  );
}

function useProof(onProven) {
  const [state, setState] = useState({ problem: "", busy: false });
  const [wait, startWait] = useWait();
  const prove = async (code) => {
    setState({ problem: "", busy: true });
    try {
      onProven(await call("POST", "/security/mfa/drill", { code }));
      return true;
    } catch (refused) {
      if (refused.status === 429) startWait(refused.retryAfter);
      setState({ problem: refused.message, busy: false });
      return false;
    }
  };
  return { ...state, wait, prove };
}

function App({ onProven }) {
  const [code, setCode] = useState("");
  const { problem, busy, wait, prove } = useProof(onProven);
  const full = async (digits) => {
    if (!(await prove(digits))) setCode("");
  };
  return (
    <>
      <label htmlFor="drill-code">The six digits that it shows now. One that you have just signed in with does not count again.</label>
      <CodeField
        id="drill-code"
        value={code}
        onChange={setCode}
        onFull={full}
        wrong={Boolean(problem)}
        describedBy="drill-problem"
        autoFocus
        disabled={busy || wait > 0}
      />
      <Refusal id="drill-problem" problem={problem} wait={wait} />
    </>
  );
}

function Code({ onProven }) {
  const [code, setCode] = useState("");
  const { problem, busy, wait, prove } = useProof(onProven);
  const submit = (event) => {
    event.preventDefault();
    event.stopPropagation();
    if (code.trim()) prove(code.trim());
  };
  return (
    <form onSubmit={submit} noValidate>
      <label htmlFor="drill-recovery">Fetch your recovery codes from where you keep them, and type any one.</label>
      <Flex gap="2">
        <TextField.Root
          id="drill-recovery"
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
          aria-describedby="drill-problem"
          data-testid="drill-recovery"
        />
        <Button type="submit" loading={busy} disabled={wait > 0} data-testid="drill-prove">
          Prove
        </Button>
      </Flex>
      <Refusal id="drill-problem" problem={problem} wait={wait} />
    </form>
  );
}
