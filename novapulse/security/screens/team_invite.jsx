// Letting somebody in: by a mailed link, or by one to hand over where no mail is sent.
import { useState } from "react";
import { Button, Dialog, Flex, Select, Text, TextField } from "@radix-ui/themes";
import { UserPlus } from "lucide-react";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import { CopyButton } from "$/public/external/novapulse/ui/parts/parts.jsx";
import { toast } from "sonner";

const NOBODY = { email: "", role: "viewer" };

export function Invite({ onInvited }) {
  const [open, setOpen] = useState(false);
  const [form, setForm] = useState(NOBODY);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const show = (next) => {
    setOpen(next);
    setForm(NOBODY);
    setError("");
  };
  const submit = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    setBusy(true);
    try {
      const answer = await call("POST", "/users/invite", form, { why: "let somebody in" });
      setOpen(false);
      if (!answer.link) toast.success(`An invitation is on its way to ${answer.user.email}.`);
      onInvited(answer);
    } catch (problem) {
      if (!problem.cancelled) setError(problem.at?.email ?? problem.message);
    }
    setBusy(false);
  };
  return (
    <Dialog.Root open={open} onOpenChange={show}>
      <Dialog.Trigger>
        <Button data-testid="invite-open">
          <UserPlus size={15} aria-hidden="true" /> Invite
        </Button>
      </Dialog.Trigger>
      <Dialog.Content maxWidth="440px">
        <form onSubmit={submit} noValidate>
          <Dialog.Title size="4">Invite somebody</Dialog.Title>
          <Dialog.Description size="2" color="gray">
            They get a link that works for a week, and choose a password of their own.
          </Dialog.Description>
          <Flex direction="column" gap="3" mt="4">
            <Flex direction="column" gap="1">
              <Text as="label" size="2" weight="medium" htmlFor="invite-email">
                E-mail
              </Text>
              <TextField.Root
                id="invite-email"
                type="email"
                value={form.email}
                onChange={(event) => setForm({ ...form, email: event.target.value })}
                autoComplete="off"
                aria-invalid={Boolean(error)}
                aria-describedby="invite-error"
                data-testid="invite-email"
              />
              <p id="invite-error" className="np-refusal" role="alert" data-testid="invite-error">
                {error}
              </p>
            </Flex>
            <Flex direction="column" gap="1">
              <Text size="2" weight="medium" id="invite-role">
                Role
              </Text>
              <Select.Root value={form.role} onValueChange={(role) => setForm({ ...form, role })}>
                <Select.Trigger aria-labelledby="invite-role" data-testid="invite-role" />
                <Select.Content>
                  <Select.Item value="viewer">Viewer: looks</Select.Item>
                  <Select.Item value="operator">Operator: runs webhooks and queues</Select.Item>
                  <Select.Item value="admin">Admin: may do everything</Select.Item>
                </Select.Content>
              </Select.Root>
            </Flex>
          </Flex>
          <Flex gap="3" mt="4" justify="end">
            <Dialog.Close>
              <Button type="button" variant="soft" color="gray">
                Cancel
              </Button>
            </Dialog.Close>
            <Button type="submit" loading={busy} data-testid="invite-send">
              Invite
            </Button>
          </Flex>
        </form>
      </Dialog.Content>
    </Dialog.Root>
  );
}

export function Link({ invitation, onClose }) {
  return (
    <Dialog.Root open={invitation !== null} onOpenChange={(open) => open || onClose()}>
      {/* A stray click must not throw away a link that is shown once. */}
      <Dialog.Content maxWidth="520px" onInteractOutside={(event) => event.preventDefault()}>
        <Dialog.Title size="4">Hand this link over</Dialog.Title>
        <Dialog.Description size="2" color="gray">
          No mail is set up here, so nobody was sent it. It lets {invitation?.user.email} in once, within a week, and is shown this once.
        </Dialog.Description>
        <div className="np-secret-line np-key">
          <code data-testid="invite-link">{invitation?.link}</code>
          <CopyButton text={invitation?.link ?? ""} />
        </div>
        <Flex justify="end" mt="4">
          <Button onClick={onClose} data-testid="invite-done">
            Done
          </Button>
        </Flex>
      </Dialog.Content>
    </Dialog.Root>
  );
}
