// Whether the second factor is on, in one sentence, and what is to be done about it.
import { Button, Callout } from "@radix-ui/themes";
import { CalendarClock, ShieldAlert, ShieldCheck, ShieldQuestion, TriangleAlert } from "lucide-react";
import { day, several } from "./security_parts.jsx";

const FEW = 3;

export function MfaState({ mfa, role, onBegin, onNewCodes, onTry, off }) {
  const begun = !mfa.on && mfa.authenticators.length > 0;
  const [tone, Icon, title, text] = mfa.on
    ? ["on", ShieldCheck, "Two-factor authentication", `On since ${day(mfa.on_since)}: ${factors(mfa)}.`]
    : begun
      ? ["unfinished", ShieldQuestion, "Two-factor authentication", "Not on yet: your recovery codes have not been saved."]
      : ["off", ShieldAlert, "Two-factor authentication", "Off: whoever knows your password is in."];
  return (
    <div className="np-mfa" data-tone={tone} data-testid="mfa-state">
      <Icon size={26} aria-hidden="true" />
      <div>
        <h2>{title}</h2>
        <p data-testid="mfa-sentence">{text}</p>
      </div>
      <div className="np-mfa-acts">
        {mfa.on ? (
          <>
            <Button variant="soft" onClick={onTry} data-testid="drill-open">
              Try it
            </Button>
            {off}
          </>
        ) : begun ? (
          <Button onClick={onNewCodes} data-testid="mfa-finish">
            Save recovery codes
          </Button>
        ) : (
          <Button onClick={onBegin} data-testid="mfa-enrol">
            Set up
          </Button>
        )}
      </div>
      <Due mfa={mfa} role={role} />
      <Codes mfa={mfa} onNewCodes={onNewCodes} />
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

function Codes({ mfa, onNewCodes }) {
  const codes = mfa.recovery_codes;
  if (!mfa.on || (codes.left > FEW && codes.saved)) return null;
  const text =
    codes.left > FEW
      ? "You never showed that you saved your recovery codes. If you have them, “Try it” proves it; if not, make new ones."
      : `${codes.left ? `Only ${several(codes.left, "1 recovery code is", "recovery codes are")} left` : "No recovery codes are left"}. Without them, a lost phone locks you out.`;
  return (
    <Callout.Root color="amber" className="np-mfa-note" data-testid="codes-warning">
      <Callout.Icon>
        <TriangleAlert size={16} />
      </Callout.Icon>
      <Callout.Text>
        {text}{" "}
        <button type="button" className="np-linkbutton" onClick={onNewCodes}>
          Make new codes
        </button>
      </Callout.Text>
    </Callout.Root>
  );
}
