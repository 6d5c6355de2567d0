// What is required of everybody.
import { useEffect, useState } from "react";
import { Button, Checkbox, Flex, Text, TextField } from "@radix-ui/themes";
import { toast } from "sonner";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import { Card, Loaded } from "$/public/external/novapulse/security/screens/security_page/security_parts.jsx";

const ROLES = [
  ["admin", "Admins"],
  ["operator", "Operators"],
  ["viewer", "Viewers"],
];
// Field, label, unit as shown, seconds in a unit where it is a time.
const NUMBERS = [
  ["grace_days", "Days to set one up", "for those who have none yet; then they can do nothing else first", 1],
  ["session_idle_s", "Hours a session may lie unused", "then one signs in again", 3600],
  ["session_max_s", "Hours a session lasts at most", "however much it is used", 3600],
  ["remember_days", "Days a device may be remembered", "without asking for the second factor there; 0: never", 1],
];

export function Rules({ of }) {
  return (
    <Card title="Rules" text="They hold from the next call on, also for who is signed in." data-testid="rules">
      <Loaded of={of} rows={4}>
        {(rules) => <Form rules={rules} onSaved={of.load} />}
      </Loaded>
    </Card>
  );
}

function shown(rules) {
  const numbers = Object.fromEntries(NUMBERS.map(([name, , , unit]) => [name, String(rules[name] / unit)]));
  return { ...numbers, require_mfa: rules.require_mfa, email_domains: rules.email_domains.join(", ") };
}

function meant(form) {
  const numbers = Object.fromEntries(NUMBERS.map(([name, , , unit]) => [name, Math.round(Number(form[name]) * unit)]));
  return { ...numbers, require_mfa: form.require_mfa, email_domains: form.email_domains.split(/[\s,]+/).filter(Boolean) };
}

function Form({ rules, onSaved }) {
  const [form, setForm] = useState(shown(rules));
  const [errors, setErrors] = useState({});
  const [busy, setBusy] = useState(false);
  useEffect(() => setForm(shown(rules)), [rules.changed_at]);
  const change = (part) => setForm({ ...form, ...part });
  const tick = (role, on) => change({ require_mfa: on ? [...form.require_mfa, role] : form.require_mfa.filter((each) => each !== role) });
  const submit = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    const wrong = NUMBERS.filter(([name]) => form[name].trim() === "" || Number.isNaN(Number(form[name])));
    if (wrong.length) {
      setErrors(Object.fromEntries(wrong.map(([name]) => [name, "Must be a number."])));
      return;
    }
    setBusy(true);
    try {
      await call("PUT", "/security/rules", meant(form), { why: "change the rules" });
      setErrors({});
      toast.success("The rules hold from now on.");
      onSaved();
    } catch (problem) {
      if (!problem.cancelled) setErrors(problem.fields("email_domains", ...NUMBERS.map(([name]) => name)));
    }
    setBusy(false);
  };
  return (
    <form onSubmit={submit} noValidate>
      <Flex direction="column" gap="4">
        <fieldset className="np-scopes">
          <legend>A second factor is required of</legend>
          {ROLES.map(([role, label]) => (
            <label key={role}>
              <Checkbox
                checked={form.require_mfa.includes(role)}
                onCheckedChange={(on) => tick(role, on === true)}
                data-testid={`require-${role}`}
              />
              {label}
            </label>
          ))}
        </fieldset>
        <div className="np-two">
          {NUMBERS.map(([name, label, note]) => (
            <Field key={name} id={`rule-${name}`} label={label} note={note} error={errors[name]}>
              <TextField.Root
                id={`rule-${name}`}
                inputMode="decimal"
                value={form[name]}
                onChange={(event) => change({ [name]: event.target.value })}
                aria-invalid={Boolean(errors[name])}
                data-testid={`rule-${name}`}
              />
            </Field>
          ))}
        </div>
        <Field id="rule-domains" label="Domains that users may have addresses of" note="separated by commas; empty: any" error={errors.email_domains}>
          <TextField.Root
            id="rule-domains"
            value={form.email_domains}
            onChange={(event) => change({ email_domains: event.target.value })}
            placeholder="example.com"
            aria-invalid={Boolean(errors.email_domains)}
            data-testid="rule-email_domains"
          />
        </Field>
        {errors.all ? (
          <p className="np-refusal" role="alert">
            {errors.all}
          </p>
        ) : null}
        <Flex justify="end">
          <Button type="submit" loading={busy} data-testid="rules-save">
            Save rules
          </Button>
        </Flex>
      </Flex>
    </form>
  );
}

function Field({ id, label, note, error, children }) {
  return (
    <Flex direction="column" gap="1">
      <Text as="label" size="2" weight="medium" htmlFor={id}>
        {label}
      </Text>
      {children}
      <Text size="1" color="gray">
        {note}
      </Text>
      {error ? (
        <p className="np-refusal" role="alert" data-testid={`${id}-error`}>
          {error}
        </p>
      ) : null}
    </Flex>
  );
}
