// Whether the second factor is on, in one sentence, and what is to be done about it.
import { Button, Callout } from "@radix-ui/themes";
import { CalendarClock, ShieldAlert, ShieldCheck, ShieldQuestion, TriangleAlert } from "lucide-react";
import { day, several } from "./security_parts.jsx";

const FEW = 3;

export function MfaState({ mfa, role, onBegin, onNewCodes, onHave, onTry, off }) {
  const begun = !mfa.on && mfa.authenticators.length + mfa.passkeys.length > 0;
  const [tone, Icon, text] = mfa.on
    ? ["on", ShieldCheck, `On since ${day(mfa.on_since)}: ${factors(mfa)}.`]
    : begun
      ? ["unfinished", ShieldQuestion, "Almost on: show that you have saved your recovery codes."]
      : ["off", ShieldAlert, "Off: whoever knows your password is in."];
  return (
    <div className="np-mfa" data-tone={tone} data-testid="mfa-state">
      <Icon size={26} aria-hidden="true" />
      <div>
        <h2>Two-factor authentication</h2>
        <p data-testid="mfa-sentence">{text}</p>
      </div>
      <div className="np-mfa-acts">
        {mfa.on ? (
          <Button variant="soft" onClick={onTry} data-testid="drill-open">
            Try it
          </Button>
        ) : begun ? (
          <>
            {mfa.recovery_codes.left ? (
              <Button variant="soft" onClick={onHave} data-testid="mfa-have">
                I have them
              </Button>
            ) : null}
            <Button onClick={onNewCodes} data-testid="mfa-finish">
              Make new codes
            </Button>
          </>
        ) : (
          <Button onClick={onBegin} data-testid="mfa-enrol">
            Set up
          </Button>
        )}
        {mfa.on || begun ? off : null}
      </div>
      <Due mfa={mfa} role={role} />
      <Codes mfa={mfa} onNewCodes={onNewCodes} onHave={onHave} />
    </div>
  );
}

function factors({ authenticators, passkeys, recovery_codes: codes }) {
  return [
    ...(authenticators.length ? [several(authenticators.length, "an authenticator app", "authenticator apps")] : []),
    ...(passkeys.length ? [several(passkeys.length, "a passkey", "passkeys")] : []),
    codes.left ? several(codes.left, "1 recovery code left", "recovery codes left") : "no recovery codes left",
  ].join(", ");
}

function Due({ mfa, role }) {
  if (mfa.on || !mfa.enrolment_due) return null;
  const over = Date.parse(mfa.enrolment_due) <= Date.now();
  return (
    <Callout.Root color={over ? "red" : "amber"} className="np-mfa-note" data-testid="mfa-due">
      <Callout.Icon>
        <CalendarClock size={16} />
      </Callout.Icon>
      <Callout.Text>
        Your role, {role}, requires it. {over ? "The time to set it up is over." : `Set it up by ${day(mfa.enrolment_due)}; after that you can do nothing else first.`}
      </Callout.Text>
    </Callout.Root>
  );
}

function Codes({ mfa, onNewCodes, onHave }) {
  const codes = mfa.recovery_codes;
  if (!mfa.on || (codes.left > FEW && codes.saved)) return null;
  const few = codes.left
    ? `Only ${several(codes.left, "1 recovery code is", "recovery codes are")} left. Without them, a lost phone locks you out.`
    : "No recovery codes are left: a lost phone would lock you out.";
  return (
    <Callout.Root color="amber" className="np-mfa-note" data-testid="codes-warning">
      <Callout.Icon>
        <TriangleAlert size={16} />
      </Callout.Icon>
      <Callout.Text>
        {codes.left > FEW ? "You have not shown yet that you saved your new recovery codes." : few}{" "}
        {codes.left && !codes.saved ? (
          <>
            <button type="button" className="np-linkbutton" onClick={onHave}>
              I have them
            </button>
            {" · "}
          </>
        ) : null}
        <button type="button" className="np-linkbutton" onClick={onNewCodes}>
          Make new codes
        </button>
      </Callout.Text>
    </Callout.Root>
  );
}
