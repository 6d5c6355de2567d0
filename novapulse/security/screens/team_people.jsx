// Everybody who may sign in: their role, whether they have a second factor, when they were last here.
import { useState } from "react";
import { Badge, Button, Dialog, DropdownMenu, Flex, Select, Text, TextArea } from "@radix-ui/themes";
import { EllipsisVertical, ShieldCheck, ShieldOff, User, UserX } from "lucide-react";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import { TimeAgo } from "$/public/external/novapulse/ui/parts/parts.jsx";
import { Card, Loaded, Row, act, day, several } from "$/public/external/novapulse/security/screens/security_page/security_parts.jsx";
import { Invite, Link } from "./team_invite.jsx";

const ROLES = { admin: "Admin", operator: "Operator", viewer: "Viewer" };

export function People({ of, me, onReset }) {
  const [link, setLink] = useState(null); // an invitation that no mail carries
  const [resetting, setResetting] = useState(null);
  const change = async (user, patch, done) => {
    await act(() => call("PATCH", `/users/${user.id}`, patch, { why: `change what ${user.email} may do` }), done);
    of.load();
  };
  const signOut = (user) =>
    act(
      () => call("DELETE", `/users/${user.id}/sessions`, undefined, { why: `sign ${user.email} out everywhere` }),
      ({ ended }) => `${user.email} is signed out of ${several(ended, "one browser", "browsers")}.`,
    );
  const again = async (user) => {
    const { answer } = await act(
      () => call("POST", `/users/${user.id}/invite`, {}, { why: `invite ${user.email} again` }),
      ({ link: made }) => (made ? "A fresh link is made." : "A fresh link is on its way."),
    );
    if (answer?.link) setLink(answer);
  };
  return (
    <Card
      title="People"
      text="Admins may do everything, operators run webhooks and queues, viewers look."
      action={
        <Invite
          onInvited={(answer) => {
            of.load();
            if (answer.link) setLink(answer);
          }}
        />
      }
      data-testid="people"
    >
      <Loaded of={of} rows={4}>
        {({ data }) => (
          <ul className="np-items">
            {data.map((user) => (
              <Person
                key={user.id}
                user={user}
                mine={user.id === me?.id}
                onRole={(role) => change(user, { role }, `${user.email} is ${role} now.`)}
                onActive={(active) => change(user, { active }, active ? `${user.email} may sign in again.` : `${user.email} is shut out.`)}
                onAgain={() => again(user)}
                onSignOut={() => signOut(user)}
                onReset={() => setResetting(user)}
              />
            ))}
          </ul>
        )}
      </Loaded>
      <Link invitation={link} onClose={() => setLink(null)} />
      <AskReset user={resetting} onClose={() => setResetting(null)} onAsked={onReset} />
    </Card>
  );
}

function Person({ user, mine, onRole, onActive, onAgain, onReset, onSignOut }) {
  return (
    <Row
      icon={user.active ? User : UserX}
      name={user.email}
      badge={<Marks user={user} mine={mine} />}
      data-testid={`person-${user.id}`}
      actions={
        <Flex align="center" gap="2">
          <Select.Root value={user.role} onValueChange={onRole} size="1" disabled={mine || !user.active}>
            <Select.Trigger variant="soft" color="gray" aria-label={`Role of ${user.email}`} data-testid="person-role" />
            <Select.Content>
              {Object.entries(ROLES).map(([role, label]) => (
                <Select.Item key={role} value={role}>
                  {label}
                </Select.Item>
              ))}
            </Select.Content>
          </Select.Root>
          {mine ? null : (
            <DropdownMenu.Root>
              <DropdownMenu.Trigger>
                <button type="button" className="np-icon" aria-label={`More about ${user.email}`} data-testid="person-more">
                  <EllipsisVertical size={16} aria-hidden="true" />
                </button>
              </DropdownMenu.Trigger>
              <DropdownMenu.Content align="end">
                {user.invited ? (
                  <DropdownMenu.Item onSelect={onAgain} data-testid="person-again">
                    Invite again
                  </DropdownMenu.Item>
                ) : null}
                {user.mfa ? (
                  <DropdownMenu.Item onSelect={onReset} data-testid="person-reset">
                    Reset second factors…
                  </DropdownMenu.Item>
                ) : null}
                {user.active && user.last_sign_in_at ? (
                  <DropdownMenu.Item onSelect={onSignOut} data-testid="person-sign-out">
                    Sign out everywhere
                  </DropdownMenu.Item>
                ) : null}
                {user.active ? (
                  <DropdownMenu.Item color="red" onSelect={() => onActive(false)} data-testid="person-out">
                    Shut out
                  </DropdownMenu.Item>
                ) : (
                  <DropdownMenu.Item onSelect={() => onActive(true)} data-testid="person-in">
                    Let in again
                  </DropdownMenu.Item>
                )}
              </DropdownMenu.Content>
            </DropdownMenu.Root>
          )}
        </Flex>
      }
    >
      {user.invited ? <>invited {day(user.created_at)}</> : <>since {day(user.created_at)}</>}
      {" · "}
      {user.last_sign_in_at ? (
        <>
          last sign-in <TimeAgo at={user.last_sign_in_at} />
        </>
      ) : (
        "has not signed in yet"
      )}
    </Row>
  );
}

function Marks({ user, mine }) {
  const [color, Icon, text] = user.mfa ? ["green", ShieldCheck, "second factor"] : ["gray", ShieldOff, "password only"];
  return (
    <>
      {mine ? <Badge color="blue">you</Badge> : null}
      {!user.active ? <Badge color="red">shut out</Badge> : user.invited ? <Badge color="amber">invited</Badge> : null}
      {user.invited ? null : (
        <Badge color={color}>
          <Icon size={12} aria-hidden="true" /> {text}
        </Badge>
      )}
    </>
  );
}

function AskReset({ user, onClose, onAsked }) {
  const [reason, setReason] = useState("");
  const [error, setError] = useState("");
  const close = () => {
    setReason("");
    setError("");
    onClose();
  };
  const submit = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    try {
      await call("POST", `/users/${user.id}/mfa-reset`, { reason }, { why: `ask for a reset of ${user.email}` });
      onAsked();
      close();
    } catch (problem) {
      if (!problem.cancelled) setError(problem.at?.reason ?? problem.message);
    }
  };
  return (
    <Dialog.Root open={user !== null} onOpenChange={(open) => open || close()}>
      <Dialog.Content maxWidth="480px">
        <form onSubmit={submit} noValidate>
          <Dialog.Title size="4">Reset the second factors of {user?.email}?</Dialog.Title>
          <Dialog.Description size="2" color="gray">
            They are told by mail at once and can stop it; any sign-in of theirs stops it too. A second admin has to agree, and a day has to
            pass. Afterwards their password alone signs them in, and they set up a new factor.
          </Dialog.Description>
          <Flex direction="column" gap="1" mt="4">
            <Text as="label" size="2" weight="medium" htmlFor="reset-reason">
              How do you know that it is them?
            </Text>
            <TextArea
              id="reset-reason"
              value={reason}
              onChange={(event) => setReason(event.target.value)}
              rows={3}
              maxLength={500}
              aria-invalid={Boolean(error)}
              aria-describedby="reset-error"
              data-testid="reset-reason"
            />
            <p id="reset-error" className="np-refusal" role="alert">
              {error}
            </p>
          </Flex>
          <Flex gap="3" mt="4" justify="end">
            <Dialog.Close>
              <Button type="button" variant="soft" color="gray">
                Cancel
              </Button>
            </Dialog.Close>
            <Button type="submit" color="red" data-testid="reset-ask">
              Ask for the reset
            </Button>
          </Flex>
        </form>
      </Dialog.Content>
    </Dialog.Root>
  );
}
