// The dialogs in which something is shown once: an authenticator being set up, and fresh recovery codes.
import { useEffect, useState } from "react";
import { Button, Dialog } from "@radix-ui/themes";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import { SaveCodes } from "./security_codes.jsx";
import { Enrol, On } from "./security_enrol.jsx";
import { act } from "./security_parts.jsx";

// `turnsOn`: with this authenticator the second factor comes on; else it is one more.
export function EnrolDialog({ begun, turnsOn, withCodes, email, onAgain, onClose, onChanged, onTry }) {
  const [on, setOn] = useState(false);
  useEffect(() => setOn(false), [begun === null]);
  const done = () => {
    setOn(true);
    onChanged();
  };
  const cancel = (
    <Button type="button" variant="soft" color="gray" onClick={onClose} data-testid="enrol-cancel">
      {turnsOn ? "Not now" : "Cancel"}
    </Button>
  );
  return (
    <Dialog.Root open={begun !== null} onOpenChange={(open) => open || onClose()}>
      {/* A stray click or key must not throw away what is shown once. */}
      <Dialog.Content
        maxWidth="600px"
        onInteractOutside={(event) => event.preventDefault()}
        onEscapeKeyDown={(event) => withCodes && !on && event.preventDefault()}
      >
        <Dialog.Title size="4" className={on ? "np-hidden" : undefined}>
          {turnsOn ? "Set up two-factor authentication" : "Add an authenticator app"}
        </Dialog.Title>
        <Dialog.Description className="np-hidden">Step by step.</Dialog.Description>
        {begun ? (
          <Enrol begun={begun} withCodes={withCodes} email={email} onAgain={onAgain} onConfirmed={onChanged} onOn={done} later={cancel}>
            {turnsOn ? <TurnedOn onTry={onTry} onClose={onClose} /> : <Added onTry={onTry} onClose={onClose} />}
          </Enrol>
        ) : null}
      </Dialog.Content>
    </Dialog.Root>
  );
}

function TurnedOn({ onTry, onClose }) {
  const endOthers = () => act(() => call("DELETE", "/security/sessions"), ({ ended }) => `${ended} signed out.`);
  return (
    <On text="From now on a stolen password is not enough. Were you signed in somewhere that you do not know? End that now.">
      <Button variant="soft" color="gray" onClick={endOthers} data-testid="enrol-end-others">
        Sign out everywhere else
      </Button>
      <Ends onTry={onTry} onClose={onClose} />
    </On>
  );
}

function Added({ onTry, onClose }) {
  return (
    <On title="The app is added" text="Its codes sign you in from now on.">
      <Ends onTry={onTry} onClose={onClose} />
    </On>
  );
}

function Ends({ onTry, onClose }) {
  return (
    <>
      <Button variant="soft" onClick={onTry} data-testid="enrol-try">
        Try it
      </Button>
      <Button onClick={onClose} data-testid="enrol-done" autoFocus>
        Done
      </Button>
    </>
  );
}

// `codes` is null where there is nothing to save, and empty where only the proof is missing.
export function CodesDialog({ codes, email, onClose, onSaved }) {
  const later = (
    <Button type="button" variant="soft" color="gray" onClick={onClose} data-testid="codes-later">
      Not now
    </Button>
  );
  return (
    <Dialog.Root open={codes !== null} onOpenChange={(open) => open || onClose()}>
      <Dialog.Content
        maxWidth="560px"
        onInteractOutside={(event) => event.preventDefault()}
        onEscapeKeyDown={(event) => codes?.length && event.preventDefault()}
      >
        <Dialog.Title size="4">{codes?.length ? "Save your recovery codes" : "Show that you have your recovery codes"}</Dialog.Title>
        <Dialog.Description className="np-hidden">They sign you in when your authenticator is lost.</Dialog.Description>
        {codes ? <SaveCodes codes={codes} email={email} onSaved={onSaved} later={later} /> : null}
      </Dialog.Content>
    </Dialog.Root>
  );
}
