// Making and replacing API keys by the API itself, with the session's cookie: a key is shown here once, and is nowhere
// else.
import { useState } from "react";
import { Button, Checkbox, Dialog, Flex, Select, Text, TextField } from "@radix-ui/themes";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import { CopyButton } from "$/public/external/novapulse/ui/parts/parts.jsx";

const EMPTY = { name: "", tenant: "", scopes: ["events:write"], days: "365" };
const LIVES = [
  ["30", "30 days"],
  ["90", "90 days"],
  ["365", "1 year"],
  ["never", "until it is revoked"],
];
const OVERLAPS = [
  ["0", "not at all"],
  ["3600", "1 hour"],
  ["86400", "1 day"],
  ["604800", "7 days"],
  ["2592000", "30 days"],
];

export function NewKey({ scopes, onMade }) {
  const [open, setOpen] = useState(false);
  const [made, setMade] = useState(null);
  const show = (next) => {
    setOpen(next);
    setMade(null);
  };
  const done = (key) => {
    setMade(key);
    onMade();
  };
  return (
    <Dialog.Root open={open} onOpenChange={show}>
      <Dialog.Trigger>
        <Button data-testid="key-create">New API key</Button>
      </Dialog.Trigger>
      {/* A stray click must not throw away a key that is shown once. */}
      <Dialog.Content maxWidth="560px" onInteractOutside={(event) => made && event.preventDefault()}>
        {made ? <Made made={made} onClose={() => show(false)} /> : <Form scopes={scopes} onDone={done} />}
      </Dialog.Content>
    </Dialog.Root>
  );
}

function Made({ made, onClose }) {
  return (
    <>
      <Dialog.Title size="4">Keep this key now</Dialog.Title>
      <Dialog.Description size="2">
        It is shown this once: NovaPulse keeps only a fingerprint of it. If it is lost, revoke it and make another.
      </Dialog.Description>
      <div className="np-secret-line np-key">
        <code data-testid="key-value">{made.key}</code>
        <CopyButton text={made.key} />
      </div>
      <Text as="p" size="2" color="gray">
        Programs send it as <code className="np-mono">Authorization: Bearer np_live_…</code>
      </Text>
      <Flex justify="end" mt="4">
        <Button onClick={onClose} data-testid="key-kept">
          I have kept it
        </Button>
      </Flex>
    </>
  );
}

function Form({ scopes, onDone }) {
  const [form, setForm] = useState(EMPTY);
  const [errors, setErrors] = useState({});
  const [busy, setBusy] = useState(false);
  const change = (part) => setForm({ ...form, ...part });
  const tick = (scope, on) => change({ scopes: on ? [...form.scopes, scope] : form.scopes.filter((each) => each !== scope) });
  const submit = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    const missing = lacking(form);
    if (missing) {
      setErrors(missing);
      return;
    }
    const { name, scopes, days } = form;
    const expires = days === "never" ? null : Number(days);
    setBusy(true);
    try {
      const body = { name, scopes, tenant: form.tenant.trim() || null, expires_in_days: expires };
      onDone(await call("POST", "/api-keys", body, { why: "to make an API key" }));
    } catch (problem) {
      setErrors(problem.cancelled ? {} : problem.fields("name", "scopes", "tenant"));
    }
    setBusy(false);
  };
  return (
    <form onSubmit={submit} noValidate>
      <Dialog.Title size="4">New API key</Dialog.Title>
      <Dialog.Description size="2" color="gray">
        For a program. Give it what it needs and no more.
      </Dialog.Description>
      <Flex direction="column" gap="4" mt="4">
        <Field id="key-name" label="Name" error={errors.name}>
          <TextField.Root
            id="key-name"
            value={form.name}
            onChange={(event) => change({ name: event.target.value })}
            placeholder="Billing service"
            maxLength={100}
            autoComplete="off"
            aria-invalid={Boolean(errors.name)}
            data-testid="key-name"
          />
        </Field>
        <fieldset className="np-scopes">
          <legend>It may</legend>
          {scopes.map(({ scope, sentence }) => (
            <label key={scope}>
              <Checkbox
                checked={form.scopes.includes(scope)}
                onCheckedChange={(on) => tick(scope, on === true)}
                data-testid={`scope-${scope.replace(":", "-")}`}
              />
              <span>
                {sentence}
                <code>{scope}</code>
              </span>
            </label>
          ))}
          {errors.scopes ? <Problem>{errors.scopes}</Problem> : null}
        </fieldset>
        <Field id="key-tenant" label="Tenant" optional error={errors.tenant} hint="Binds the key to one tenant: it sees and touches nothing else.">
          <TextField.Root
            id="key-tenant"
            value={form.tenant}
            onChange={(event) => change({ tenant: event.target.value })}
            maxLength={128}
            autoComplete="off"
            data-testid="key-tenant"
          />
        </Field>
        <Choice label="It works for" choices={LIVES} value={form.days} onChange={(days) => change({ days })} testid="key-days" />
        {errors.all ? <Problem>{errors.all}</Problem> : null}
      </Flex>
      <Acts busy={busy} act="Create key" testid="key-save" />
    </form>
  );
}

// The button of a row: another key that does the same, while the old one still works for a while.
export function RotateKey({ keyId, name, onMade }) {
  const [open, setOpen] = useState(false);
  const [made, setMade] = useState(null);
  const show = (next) => {
    setOpen(next);
    setMade(null);
  };
  const done = (key) => {
    setMade(key);
    onMade();
  };
  return (
    <Dialog.Root open={open} onOpenChange={show}>
      <Dialog.Trigger>
        <Button size="1" variant="soft" aria-label={`Rotate ${name}`} data-testid="key-rotate">
          Rotate
        </Button>
      </Dialog.Trigger>
      <Dialog.Content maxWidth="520px" onInteractOutside={(event) => made && event.preventDefault()}>
        {made ? <Made made={made} onClose={() => show(false)} /> : <Rotation keyId={keyId} name={name} onDone={done} />}
      </Dialog.Content>
    </Dialog.Root>
  );
}

function Rotation({ keyId, name, onDone }) {
  const [overlap, setOverlap] = useState("86400");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    setBusy(true);
    try {
      onDone(await call("POST", `/api-keys/${keyId}/rotate`, { overlap_s: Number(overlap) }, { why: "to rotate an API key" }));
    } catch (problem) {
      setError(problem.cancelled ? "" : problem.message);
    }
    setBusy(false);
  };
  return (
    <form onSubmit={submit} noValidate>
      <Dialog.Title size="4">Rotate “{name}”</Dialog.Title>
      <Dialog.Description size="2" color="gray">
        Makes a new key that may do the same. Give it to the program before the old one ends.
      </Dialog.Description>
      <Flex direction="column" gap="4" mt="4">
        <Choice label="The old key still works for" choices={OVERLAPS} value={overlap} onChange={setOverlap} testid="key-overlap" />
        {error ? <Problem>{error}</Problem> : null}
      </Flex>
      <Acts busy={busy} act="Make the new key" testid="key-rotate-save" />
    </form>
  );
}

function Choice({ label, choices, value, onChange, testid }) {
  return (
    <Flex direction="column" gap="1">
      <Text size="2" weight="medium">
        {label}
      </Text>
      <Select.Root value={value} onValueChange={onChange}>
        <Select.Trigger aria-label={label} data-testid={testid} />
        <Select.Content>
          {choices.map(([each, text]) => (
            <Select.Item key={each} value={each}>
              {text}
            </Select.Item>
          ))}
        </Select.Content>
      </Select.Root>
    </Flex>
  );
}

function Acts({ busy, act, testid }) {
  return (
    <Flex gap="3" mt="4" justify="end">
      <Dialog.Close>
        <Button type="button" variant="soft" color="gray">
          Cancel
        </Button>
      </Dialog.Close>
      <Button type="submit" loading={busy} data-testid={testid}>
        {act}
      </Button>
    </Flex>
  );
}

function Field({ id, label, optional, hint, error, children }) {
  return (
    <Flex direction="column" gap="1">
      <Text as="label" size="2" weight="medium" htmlFor={id}>
        {label}
        {optional ? (
          <Text size="1" color="gray" weight="regular">
            {" "}
            optional
          </Text>
        ) : null}
      </Text>
      {children}
      {hint ? (
        <Text size="1" color="gray">
          {hint}
        </Text>
      ) : null}
      {error ? <Problem>{error}</Problem> : null}
    </Flex>
  );
}

function Problem({ children }) {
  return (
    <Text as="p" size="1" color="red" role="alert" data-testid="key-error">
      {children}
    </Text>
  );
}

// What can be seen without asking the server.
function lacking({ name, scopes }) {
  if (!name.trim()) return { name: "A name tells keys apart." };
  return scopes.length ? null : { scopes: "Choose at least one." };
}
