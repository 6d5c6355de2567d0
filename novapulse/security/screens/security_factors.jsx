// What somebody signs in with beside the password: authenticator apps, passkeys, recovery codes.
import { useEffect, useState } from "react";
import { Badge, Button } from "@radix-ui/themes";
import { Fingerprint, LifeBuoy, Smartphone } from "lucide-react";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import * as webauthn from "$/public/external/novapulse/ui/parts/webauthn.js";
import { Ask, Card, NameDialog, Proven, Row, act, day } from "./security_parts.jsx";

function Rename({ what, path, reload, testid }) {
  const save = async (name) => {
    const { problem } = await act(() => call("PATCH", path, { name }));
    if (!problem) reload();
    return problem;
  };
  return (
    <NameDialog
      trigger={
        <Button size="1" variant="soft" color="gray" aria-label={`Rename ${what}`} data-testid={`${testid}-rename`}>
          Rename
        </Button>
      }
      title={`Rename “${what}”`}
      text="A name tells them apart."
      initial={what}
      save="Rename"
      onName={save}
      testid={`${testid}-rename`}
    />
  );
}

function Remove({ what, text, path, why, reload, testid }) {
  const remove = async () => {
    const { problem } = await act(() => call("DELETE", path, undefined, { why }), `“${what}” is removed.`);
    if (!problem) reload();
  };
  return (
    <Ask
      trigger={
        <Button size="1" variant="soft" color="red" aria-label={`Remove ${what}`} data-testid={`${testid}-remove`}>
          Remove
        </Button>
      }
      title={`Remove “${what}”?`}
      text={text}
      act="Remove"
      onAct={remove}
      testid={`${testid}-remove-confirm`}
    />
  );
}

// The last one goes by turning the whole off.
const isLast = (mfa) => mfa.authenticators.length + mfa.passkeys.length < 2;

export function Authenticators({ mfa, onBegin, reload }) {
  const apps = mfa.authenticators;
  const add = async (name) => (await onBegin(name)).problem;
  return (
    <Card
      title="Authenticator apps"
      text="An app that shows six digits, which change every 30 seconds."
      action={
        apps.length ? (
          <NameDialog
            trigger={
              <Button variant="soft" data-testid="app-add">
                Add another
              </Button>
            }
            title="Add an authenticator app"
            text="For example on a second phone, so that losing one is no trouble."
            initial=""
            save="Continue"
            onName={add}
            testid="app-add"
          />
        ) : (
          <Button variant="soft" onClick={() => onBegin()} data-testid="app-first">
            Set up
          </Button>
        )
      }
      data-testid="apps"
    >
      {apps.length ? (
        <ul className="np-items">
          {apps.map(({ id, name, created_at: made, proven_at: proven }) => (
            <Row
              key={id}
              icon={Smartphone}
              name={name}
              data-testid={`app-${id}`}
              actions={
                <>
                  <Rename what={name} path={`/security/mfa/authenticators/${id}`} reload={reload} testid="app" />
                  {isLast(mfa) ? null : (
                    <Remove
                      what={name}
                      text="Its codes are accepted no longer. Delete the entry in the app, too."
                      path={`/security/mfa/authenticators/${id}`}
                      why="remove an authenticator app"
                      reload={reload}
                      testid="app"
                    />
                  )}
                </>
              }
            >
              Added {day(made)} · <Proven at={proven} />
            </Row>
          ))}
        </ul>
      ) : (
        <p className="np-none">None yet. Set one up: it takes two minutes and a phone.</p>
      )}
    </Card>
  );
}

export function Passkeys({ mfa, onCodes, reload }) {
  const [can, setCan] = useState(true);
  useEffect(() => setCan(webauthn.available()), []);
  const add = async (name) => {
    try {
      const why = "add a passkey";
      const { challenge, options } = await call("POST", "/security/passkeys/options", {}, { why });
      const credential = await webauthn.create(options);
      const { recovery_codes: codes } = await call("POST", "/security/passkeys", { challenge, credential, name }, { why });
      if (codes.length) onCodes(codes); // who loses their only one needs a way back
    } catch (refused) {
      return refused.status === undefined ? { message: webauthn.said(refused, { making: true }) } : refused;
    }
    reload();
    return null;
  };
  return (
    <Card
      title="Passkeys and security keys"
      text="Your fingerprint, face or PIN, or a key that you plug in. They cannot be phished, and sign you in without the password."
      action={
        can ? (
          <NameDialog
            trigger={
              <Button variant="soft" data-testid="passkey-add">
                Add
              </Button>
            }
            title="Add a passkey or security key"
            text="Give it a name, then follow your browser."
            initial=""
            save="Continue"
            onName={add}
            testid="passkey-add"
          />
        ) : null
      }
      data-testid="passkeys"
    >
      {mfa.passkeys.length ? (
        <ul className="np-items">
          {mfa.passkeys.map(({ id, name, created_at: made, proven_at: proven, backed_up: synced }) => (
            <Row
              key={id}
              icon={Fingerprint}
              name={name}
              badge={<Badge color="gray">{synced ? "synced" : "on one device"}</Badge>}
              data-testid={`passkey-${id}`}
              actions={
                <>
                  <Rename what={name} path={`/security/passkeys/${id}`} reload={reload} testid="passkey" />
                  {isLast(mfa) ? null : (
                    <Remove
                      what={name}
                      text="It signs you in no longer. Delete it where your browser or phone keeps it, too."
                      path={`/security/passkeys/${id}`}
                      why="remove a passkey"
                      reload={reload}
                      testid="passkey"
                    />
                  )}
                </>
              }
            >
              Added {day(made)} · <Proven at={proven} never="never used" />
            </Row>
          ))}
        </ul>
      ) : (
        <p className="np-none">{can ? "None yet." : "This browser has no support for passkeys, or the page is not under https."}</p>
      )}
    </Card>
  );
}

export function RecoveryCodes({ mfa, onNewCodes }) {
  const { left, total, created_at: made, proven_at: proven } = mfa.recovery_codes;
  return (
    <Card title="Recovery codes" text="Each signs you in once, when your authenticator is lost." data-testid="codes">
      {total ? (
        <ul className="np-items">
          <Row
            icon={LifeBuoy}
            name={`${left} of ${total} left`}
            actions={
              <Ask
                trigger={
                  <Button size="1" variant="soft" color="gray" data-testid="codes-new">
                    Make new codes
                  </Button>
                }
                title="Make new recovery codes?"
                text="You get ten new ones. Those you have now work no longer, also on paper."
                act="Make new codes"
                keep="Keep them"
                onAct={onNewCodes}
                testid="codes-new-confirm"
              />
            }
          >
            Made {day(made)} · <Proven at={proven} />
          </Row>
        </ul>
      ) : (
        <p className="np-none">You get ten of them with your first authenticator app or passkey.</p>
      )}
    </Card>
  );
}
