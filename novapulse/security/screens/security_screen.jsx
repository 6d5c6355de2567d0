// `/settings/security`: how one signs in, where one is signed in, and who else has tried. What is secret in it comes as
// the answer of a POST, stays in the part that shows it, and is gone with it.
import { useState } from "react";
import { useSearchParams } from "react-router";
import { Button, Callout, Flex, Tabs } from "@radix-ui/themes";
import { LifeBuoy } from "lucide-react";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import { Attempts } from "./security_attempts.jsx";
import { CodesDialog, EnrolDialog } from "./security_dialogs.jsx";
import { Drill } from "./security_drill.jsx";
import { begin } from "./security_enrol.jsx";
import { Authenticators, Passkeys, RecoveryCodes } from "./security_factors.jsx";
import { Ask, Loaded, act, several, useLoaded } from "./security_parts.jsx";
import { EmailCard, PasswordCard } from "./security_password.jsx";
import { Devices, Sessions } from "./security_sessions.jsx";
import { MfaState } from "./security_state.jsx";

const FIRST_NAME = "Authenticator app";
const NEW_NAME = "New authenticator app";
const TABS = [
  ["sign-in", "Signing in"],
  ["sessions", "Sessions"],
  ["attempts", "Attempts"],
];

export function SecurityScreen() {
  const mfa = useLoaded("/security/mfa");
  const me = useLoaded("/auth/me");
  const [query, setQuery] = useSearchParams();
  const tab = TABS.some(([name]) => name === query.get("tab")) ? query.get("tab") : "sign-in";
  const choose = (next) => setQuery(next === "sign-in" ? {} : { tab: next }, { preventScrollReset: true });
  return (
    <div className="np-security">
      <Loaded of={me}>
        {({ user }) => (
          <Loaded of={mfa} rows={2}>
            {(state) => (
              <Factors mfa={state} user={user} reload={mfa.load} lost={query.has("recover")} onFound={() => setQuery({})}>
                {(cards) => (
                  <Tabs.Root value={tab} onValueChange={choose}>
                    <Tabs.List>
                      {TABS.map(([name, label]) => (
                        <Tabs.Trigger key={name} value={name} data-testid={`tab-${name}`}>
                          {label}
                        </Tabs.Trigger>
                      ))}
                    </Tabs.List>
                    <Tabs.Content value="sign-in" className="np-parts">
                      {cards}
                      <PasswordCard email={user.email} onChanged={mfa.load} />
                      <EmailCard email={user.email} />
                    </Tabs.Content>
                    <Tabs.Content value="sessions" className="np-parts">
                      <Where />
                    </Tabs.Content>
                    <Tabs.Content value="attempts" className="np-parts">
                      <Tries />
                    </Tabs.Content>
                  </Tabs.Root>
                )}
              </Factors>
            )}
          </Loaded>
        )}
      </Loaded>
    </div>
  );
}

function Where() {
  const sessions = useLoaded("/security/sessions");
  const devices = useLoaded("/security/devices");
  return (
    <>
      <Sessions of={sessions} />
      <Devices of={devices} />
    </>
  );
}

function Tries() {
  return <Attempts of={useLoaded("/security/sign-ins?days=30")} />;
}

// The state of the second factors, with the dialogs that change it.
function Factors({ mfa, user, reload, lost, onFound, children }) {
  const [begun, setBegun] = useState(null);
  const [before, setBefore] = useState(mfa); // how it stood then
  const [name, setName] = useState(FIRST_NAME);
  const [codes, setCodes] = useState(null);
  const [trying, setTrying] = useState(false);
  const start = async (wanted = FIRST_NAME) => {
    setName(wanted);
    setBefore(mfa);
    const begins = await act(() => begin(wanted));
    if (begins.answer) {
      setBegun(begins.answer);
      if (lost) onFound();
    }
    return begins;
  };
  const close = () => {
    setBegun(null);
    setCodes(null);
    reload();
  };
  const newCodes = async () => {
    const made = await act(() => call("POST", "/security/recovery-codes", {}, { why: "make new recovery codes" }));
    if (made.answer) setCodes(made.answer.recovery_codes);
  };
  const tryIt = () => {
    close();
    setTrying(true);
  };
  const turnOff = async () => {
    const why = "turn two-factor authentication off";
    const { problem } = await act(() => call("POST", "/security/mfa/disable", {}, { why }), "Two-factor authentication is off.");
    if (!problem) reload();
  };
  return (
    <>
      {lost ? <Lost left={mfa.recovery_codes.left} onBegin={() => start(NEW_NAME)} onFound={onFound} /> : null}
      <MfaState
        mfa={mfa}
        role={user.role}
        onBegin={() => start()}
        onNewCodes={newCodes}
        onHave={() => setCodes([])}
        onTry={() => setTrying(true)}
        off={mfa.required ? null : <TurnOff onOff={turnOff} />}
      />
      {children(
        <>
          <Authenticators mfa={mfa} onBegin={start} reload={reload} />
          <Passkeys mfa={mfa} onCodes={setCodes} reload={reload} />
          <RecoveryCodes mfa={mfa} onNewCodes={newCodes} />
        </>,
      )}
      <EnrolDialog
        begun={begun}
        turnsOn={!before.on}
        withCodes={!before.recovery_codes.saved}
        email={user.email}
        onAgain={() => start(name)}
        onClose={close}
        onChanged={reload}
        onTry={tryIt}
      />
      <CodesDialog codes={codes} email={user.email} onClose={close} onSaved={close} />
      <Drill
        open={trying}
        onOpenChange={(open) => {
          setTrying(open);
          if (!open) reload();
        }}
        mfa={mfa}
      />
    </>
  );
}

// Who has just signed in by a recovery code has most likely lost their authenticator.
function Lost({ left, onBegin, onFound }) {
  return (
    <Callout.Root data-testid="lost">
      <Callout.Icon>
        <LifeBuoy size={16} />
      </Callout.Icon>
      <Callout.Text>
        You signed in with a recovery code; {several(left, "one is", "are")} left. Is your authenticator gone? Set up a new one, then remove
        the old one below.
      </Callout.Text>
      <Flex gap="2" wrap="wrap">
        <Button onClick={onBegin} data-testid="lost-enrol">
          Set up a new one
        </Button>
        <Button variant="soft" color="gray" onClick={onFound} data-testid="lost-not">
          I still have it
        </Button>
      </Flex>
    </Callout.Root>
  );
}

function TurnOff({ onOff }) {
  return (
    <Ask
      trigger={
        <Button variant="soft" color="gray" data-testid="mfa-off">
          Turn off
        </Button>
      }
      title="Turn two-factor authentication off?"
      text="Your authenticators, passkeys and recovery codes are deleted, and remembered browsers forgotten. From then on your password alone signs you in."
      keep="Keep it on"
      act="Turn off"
      onAct={onOff}
      testid="mfa-off-confirm"
    />
  );
}
