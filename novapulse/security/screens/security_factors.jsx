// What somebody signs in with beside the password: authenticator apps, passkeys, recovery codes.
import { useEffect, useState } from "react";
import { Badge, Button, Dialog, Flex } from "@radix-ui/themes";
import { Fingerprint, KeyRound, LifeBuoy, Smartphone } from "lucide-react";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import * as webauthn from "$/public/external/novapulse/ui/parts/webauthn.js";
import { SaveCodes } from "./security_codes.jsx";
import { Enrol, On } from "./security_enrol.jsx";
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
        ) : null
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
                  {apps.length > 1 ? (
                    <Remove
                      what={name}
                      text="Its codes are accepted no longer. Delete the entry in the app, too."
                      path={`/security/mfa/authenticators/${id}`}
                      why="remove an authenticator app"
                      reload={reload}
                      testid="app"
                    />
                  ) : null}
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

export function Passkeys({ mfa, reload }) {
  const [can, setCan] = useState(true);
  useEffect(() => setCan(webauthn.available()), []);
  const add = async (name) => {
    try {
      const why = "add a passkey";
      const { challenge, options } = await call("POST", "/security/passkeys/options", {}, { why });
      const credential = await webauthn.create(options);
      await call("POST", "/security/passkeys", { challenge, credential, name }, { why });
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
                  <Remove
                    what={name}
                    text="It signs you in no longer. Delete it where your browser or phone keeps it, too."
                    path={`/security/passkeys/${id}`}
                    why="remove a passkey"
                    reload={reload}
                    testid="passkey"
                  />
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
        <p className="np-none">You get ten of them when you set up an authenticator app.</p>
      )}
    </Card>
  );
}

// The dialogs of these: one that sets up an authenticator, one that shows fresh codes.
export function EnrolDialog({ begun, first, email, onAgain, onClose, onChanged, onTry }) {
  const [on, setOn] = useState(false);
  useEffect(() => setOn(false), [begun === null]);
  const endOthers = () => act(() => call("DELETE", "/security/sessions"), ({ ended }) => `${ended} signed out.`);
  const cancel = (
    <Button type="button" variant="soft" color="gray" onClick={onClose} data-testid="enrol-cancel">
      {first ? "Not now" : "Cancel"}
    </Button>
  );
  return (
    <Dialog.Root open={begun !== null} onOpenChange={(open) => open || onClose()}>
      {/* A stray click must not throw away what is shown once. */}
      <Dialog.Content
        maxWidth="600px"
        onInteractOutside={(event) => event.preventDefault()}
        onEscapeKeyDown={(event) => first && !on && event.preventDefault()}
      >
        <Dialog.Title size="4" className={on ? "np-hidden" : undefined}>
          {first ? "Set up two-factor authentication" : "Add an authenticator app"}
        </Dialog.Title>
        <Dialog.Description className="np-hidden">In three steps.</Dialog.Description>
        {begun ? (
          <Enrol begun={begun} email={email} onAgain={onAgain} onConfirmed={onChanged} onOn={() => { setOn(true); onChanged(); }} later={cancel}>
            <On
              title={first ? undefined : "The app is added"}
              text={first ? "From now on a stolen password is not enough. Were you signed in somewhere you do not know, end that now." : "Its codes sign you in from now on."}
            >
              {first ? (
                <Button variant="soft" color="gray" onClick={endOthers} data-testid="enrol-end-others">
                  Sign out everywhere else
                </Button>
              ) : null}
              <Button variant="soft" onClick={onTry} data-testid="enrol-try">
                Try it
              </Button>
              <Button onClick={onClose} data-testid="enrol-done" autoFocus>
                Done
              </Button>
            </On>
          </Enrol>
        ) : null}
      </Dialog.Content>
    </Dialog.Root>
  );
}

export function NewCodesDialog({ codes, email, onClose, onSaved }) {
  return (
    <Dialog.Root open={codes !== null} onOpenChange={(open) => open || onClose()}>
      <Dialog.Content
        maxWidth="560px"
        onInteractOutside={(event) => event.preventDefault()}
        onEscapeKeyDown={(event) => event.preventDefault()}
      >
        <Dialog.Title size="4">
          <Flex align="center" gap="2">
            <KeyRound size={18} aria-hidden="true" /> Save your recovery codes
          </Flex>
        </Dialog.Title>
        <Dialog.Description className="np-hidden">Ten codes, shown this once.</Dialog.Description>
        {codes ? (
          <SaveCodes
            codes={codes}
            email={email}
            onSaved={onSaved}
            later={
              <Button type="button" variant="soft" color="gray" onClick={onClose}>
                Not now
              </Button>
            }
          />
        ) : null}
      </Dialog.Content>
    </Dialog.Root>
  );
}
