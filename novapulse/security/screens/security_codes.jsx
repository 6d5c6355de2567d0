// Recovery codes, in the one moment in which they can be seen: copy, download, print, and prove that they are kept.
import { useEffect, useRef, useState } from "react";
import { createPortal } from "react-dom";
import { Button, Checkbox, Flex, Text, TextField } from "@radix-ui/themes";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import { Refusal, useWait } from "$/public/external/novapulse/ui/parts/code.jsx";
import { CopyButton } from "$/public/external/novapulse/ui/parts/parts.jsx";

const FILE = "novapulse-recovery-codes.txt";

// `codes` is empty where they were shown before, and only the proof is missing.
export function SaveCodes({ codes, email, onSaved, later }) {
  const [typed, setTyped] = useState("");
  const [ticked, setTicked] = useState(false);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const [wait, startWait] = useWait();
  const finish = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    if (!typed.trim() && !ticked) {
      setProblem("Type one of them, or tick that you have saved them.");
      return;
    }
    setBusy(true);
    setProblem("");
    try {
      await call("POST", "/security/mfa/saved", typed.trim() ? { code: typed.trim() } : { saved: true });
      onSaved();
    } catch (refused) {
      if (refused.status === 429) startWait(refused.retryAfter);
      setProblem(refused.message);
      setBusy(false);
    }
  };
  return (
    <form onSubmit={finish} noValidate>
      {codes.length ? <Fresh codes={codes} email={email} /> : null}
      <div className="np-prove">
        <Text as="label" size="2" weight="medium" htmlFor="codes-typed">
          Type one of your recovery codes, to be sure. It is not used up.
        </Text>
        <TextField.Root
          id="codes-typed"
          className="np-mono-field"
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
          placeholder="xxxx-xxxx-xxxx-xxxx"
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          maxLength={40}
          aria-invalid={Boolean(problem)}
          aria-describedby="codes-problem"
          data-testid="codes-typed"
        />
        <Text as="label" size="2" className="np-tick">
          <Checkbox checked={ticked} onCheckedChange={(on) => setTicked(on === true)} data-testid="codes-ticked" />
          Or: I have saved them
        </Text>
        <Refusal id="codes-problem" problem={problem} wait={wait} />
      </div>
      <Flex gap="3" mt="4" justify="end">
        {later}
        <Button type="submit" loading={busy} disabled={wait > 0} data-testid="codes-finish">
          Finish
        </Button>
      </Flex>
    </form>
  );
}

function Fresh({ codes, email }) {
  const text = asText(codes, email);
  const list = useRef(null);
  useEffect(() => list.current.focus(), []); // what comes next is read from here
  return (
    <>
      <Text as="p" size="2">
        Without your authenticator, each of these signs you in once. Keep them where you would look for them: a password manager, or
        paper in a drawer. They are shown this once.
      </Text>
      <ol ref={list} tabIndex={-1} className="np-codes" aria-label="Recovery codes" data-testid="recovery-codes">
        {codes.map((code) => (
          <li key={code}>
            <code>{code}</code>
          </li>
        ))}
      </ol>
      <Flex gap="2" wrap="wrap" align="center">
        <CopyButton text={codes.join("\n")} />
        <button type="button" className="np-copy" onClick={() => download(text)} data-testid="codes-download">
          Download
        </button>
        <button type="button" className="np-copy" onClick={() => window.print()} data-testid="codes-print">
          Print
        </button>
      </Flex>
      {/* What is printed in place of the page, see `security.css`. */}
      {createPortal(<pre className="np-print">{text}</pre>, document.body)}
    </>
  );
}

function asText(codes, email) {
  const made = new Date().toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
  return [
    "NovaPulse recovery codes",
    `Site: ${window.location.origin}`,
    `User: ${email}`,
    `Made: ${made}`,
    "",
    "Each code signs in once, in place of an authenticator. New codes make these useless.",
    "",
    ...codes,
    "",
  ].join("\n");
}

function download(text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = FILE;
  link.click();
  URL.revokeObjectURL(link.href);
}
