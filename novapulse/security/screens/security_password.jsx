// Another password, and another e-mail address.
import { useEffect, useRef, useState } from "react";
import { Button, Flex, Text, TextField } from "@radix-ui/themes";
import { Eye, EyeOff } from "lucide-react";
import { toast } from "sonner";
import { call, send } from "$/public/external/novapulse/ui/parts/api.js";
import { Refusal, useWait } from "$/public/external/novapulse/ui/parts/code.jsx";
import { Card } from "./security_parts.jsx";

const PAUSE_MS = 250; // in typing, after which a password is looked at
const WORDS = ["Easily guessed", "Weak", "Fair", "Good", "Strong"];

export function PasswordCard({ email, onChanged }) {
  const [form, setForm] = useState({ current: "", fresh: "" });
  const [shown, setShown] = useState(false);
  const [errors, setErrors] = useState({});
  const [busy, setBusy] = useState(false);
  const [wait, startWait] = useWait();
  const change = (part) => {
    setForm({ ...form, ...part });
    setErrors({});
  };
  const submit = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    if (!form.current || !form.fresh) {
      setErrors(form.current ? { new_password: "Enter the new one." } : { current_password: "Enter the one you have now." });
      return;
    }
    setBusy(true);
    try {
      await call("POST", "/security/password", { current_password: form.current, new_password: form.fresh }, { why: "change your password" });
      setForm({ current: "", fresh: "" });
      setErrors({});
      toast.success("Your password is changed. All other sessions are signed out.");
      onChanged();
    } catch (problem) {
      if (problem.status === 429) startWait(problem.retryAfter);
      if (!problem.cancelled) setErrors(problem.fields("current_password", "new_password"));
    }
    setBusy(false);
  };
  return (
    <Card title="Password" text="Changing it signs out all other sessions." data-testid="password">
      <form onSubmit={submit} noValidate className="np-account-form">
        {/* For password managers: whose password this is. */}
        <input type="email" name="username" autoComplete="username" value={email} readOnly hidden />
        <Field id="password-current" label="Current password" error={errors.current_password}>
          <Secret
            id="password-current"
            autoComplete="current-password"
            value={form.current}
            onChange={(current) => change({ current })}
            shown={shown}
            invalid={Boolean(errors.current_password)}
          />
        </Field>
        <Field id="password-new" label="New password" error={errors.new_password}>
          <Secret
            id="password-new"
            autoComplete="new-password"
            value={form.fresh}
            onChange={(fresh) => change({ fresh })}
            shown={shown}
            onShow={() => setShown(!shown)}
            invalid={Boolean(errors.new_password)}
          />
        </Field>
        <Strength password={form.fresh} email={email} />
        <Refusal id="password-problem" problem={errors.all ?? ""} wait={wait} />
        <Flex>
          <Button type="submit" loading={busy} disabled={wait > 0} data-testid="password-save">
            Change password
          </Button>
        </Flex>
      </form>
    </Card>
  );
}

function Field({ id, label, error, children }) {
  return (
    <Flex direction="column" gap="1">
      <Text as="label" size="2" weight="medium" htmlFor={id}>
        {label}
      </Text>
      {children}
      <p id={`${id}-error`} className="np-refusal" role="alert" data-testid={`${id}-error`}>
        {error}
      </p>
    </Flex>
  );
}

function Secret({ id, value, onChange, shown, onShow, invalid, autoComplete }) {
  return (
    <TextField.Root
      id={id}
      type={shown ? "text" : "password"}
      autoComplete={autoComplete}
      value={value}
      onChange={(event) => onChange(event.target.value)}
      maxLength={1024}
      aria-invalid={invalid}
      aria-describedby={`${id}-error`}
      data-testid={id}
    >
      {onShow ? (
        <TextField.Slot side="right">
          <button type="button" className="np-eye" onClick={onShow} aria-label={shown ? "Hide the passwords" : "Show the passwords"}>
            {shown ? <EyeOff size={16} aria-hidden="true" /> : <Eye size={16} aria-hidden="true" />}
          </button>
        </TextField.Slot>
      ) : null}
    </TextField.Root>
  );
}

// How good the server finds it, while it is typed.
function Strength({ password, email }) {
  const [verdict, setVerdict] = useState(null);
  const latest = useRef("");
  useEffect(() => {
    latest.current = password;
    if (!password) {
      setVerdict(null);
      return undefined;
    }
    const timer = setTimeout(async () => {
      const found = await send("POST", "/auth/password/check", { password, email }).catch(() => null);
      if (latest.current === password) setVerdict(found);
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [password, email]);
  const score = verdict ? (verdict.problem ? Math.min(verdict.score, 1) : verdict.score) : 0;
  return (
    <div className="np-strength" data-score={verdict ? score : ""} data-testid="password-strength">
      <div aria-hidden="true">
        {[1, 2, 3, 4].map((bar) => (
          <i key={bar} data-full={Boolean(verdict) && score >= bar} />
        ))}
      </div>
      <p role="status">{verdict ? said(verdict, score) : "A few words that you can remember do well."}</p>
    </div>
  );
}

function said({ problem, warning, suggestions }, score) {
  if (problem) return problem;
  return [`${WORDS[score]}.`, ...(score < 3 ? [warning, suggestions?.[0]] : [])].filter(Boolean).join(" ");
}

export function EmailCard({ email }) {
  const [wanted, setWanted] = useState("");
  const [sent, setSent] = useState("");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    if (!wanted.trim()) {
      setError("Enter the new address.");
      return;
    }
    setBusy(true);
    setError("");
    try {
      await call("POST", "/security/email", { email: wanted.trim() }, { why: "change your e-mail address" });
      setSent(wanted.trim());
      setWanted("");
    } catch (problem) {
      if (!problem.cancelled) setError(problem.at.email ?? problem.message);
    }
    setBusy(false);
  };
  return (
    <Card title="E-mail address" text={`You sign in as ${email}; notices about your account go there.`} data-testid="email">
      <form onSubmit={submit} noValidate className="np-account-form">
        <Field id="email-new" label="New address" error={error}>
          <Flex gap="2">
            <TextField.Root
              id="email-new"
              className="np-grow"
              type="email"
              autoComplete="email"
              value={wanted}
              onChange={(event) => setWanted(event.target.value)}
              maxLength={254}
              aria-invalid={Boolean(error)}
              aria-describedby="email-new-error"
              data-testid="email-new"
            />
            <Button type="submit" variant="soft" loading={busy} data-testid="email-save">
              Send a link
            </Button>
          </Flex>
        </Field>
        <p role="status" className="np-none" data-testid="email-sent">
          {sent ? `A link is on its way to ${sent}. The address changes when it is opened, within an hour.` : ""}
        </p>
      </form>
    </Card>
  );
}
