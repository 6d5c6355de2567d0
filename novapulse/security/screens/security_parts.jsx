// What the parts of the security pages share: reading from the API, cards, rows, and small dialogs.
import { useCallback, useEffect, useState } from "react";
import { AlertDialog, Button, Callout, Dialog, Flex, Skeleton, Text, TextField } from "@radix-ui/themes";
import { TriangleAlert } from "lucide-react";
import { toast } from "sonner";
import { send } from "$/public/external/novapulse/ui/parts/api.js";
import { TimeAgo } from "$/public/external/novapulse/ui/parts/parts.jsx";

// What the API answers at a path; read again by `load`, and when one comes back to the page from elsewhere.
export function useLoaded(path) {
  const [state, setState] = useState({ data: null, problem: "" });
  const load = useCallback(async () => {
    try {
      const data = await send("GET", path);
      setState({ data, problem: "" });
    } catch (problem) {
      setState((before) => ({ ...before, problem: problem.message }));
    }
  }, [path]);
  useEffect(() => {
    load();
    const seen = () => document.visibilityState === "visible" && load();
    document.addEventListener("visibilitychange", seen);
    return () => document.removeEventListener("visibilitychange", seen);
  }, [load]);
  return { ...state, load };
}

// Do something and say how it went. What the person called off needs no words.
export async function act(doing, done) {
  try {
    const answer = await doing();
    if (done) toast.success(typeof done === "function" ? done(answer) : done);
    return { answer };
  } catch (problem) {
    if (!problem.cancelled) toast.error(problem.message);
    return { problem };
  }
}

export function Card({ title, text, action, children, ...rest }) {
  return (
    <section className="np-card np-part" {...rest}>
      <header>
        <div>
          <h2>{title}</h2>
          {text ? <p>{text}</p> : null}
        </div>
        {action}
      </header>
      {children}
    </section>
  );
}

// The same shape while it is read; what went wrong, and a way to try again.
export function Loaded({ of, rows = 1, children }) {
  if (of.data) return children(of.data);
  if (of.problem) return <Failed problem={of.problem} retry={of.load} />;
  return (
    <Flex direction="column" gap="2" aria-hidden="true">
      {Array.from({ length: rows }, (_, at) => (
        <Skeleton key={at} height="44px" width="100%" />
      ))}
    </Flex>
  );
}

export function Failed({ problem, retry }) {
  return (
    <Callout.Root color="red" role="alert">
      <Callout.Icon>
        <TriangleAlert size={16} />
      </Callout.Icon>
      <Flex align="center" gap="3" wrap="wrap">
        <Callout.Text>{problem}</Callout.Text>
        <Button size="1" variant="soft" color="red" onClick={retry}>
          Try again
        </Button>
      </Flex>
    </Callout.Root>
  );
}

export function Row({ icon: Icon, name, badge, children, actions, ...rest }) {
  return (
    <li className="np-item" {...rest}>
      <Icon size={18} aria-hidden="true" />
      <div>
        <p className="np-item-name">
          <strong>{name}</strong>
          {badge}
        </p>
        <p className="np-item-note">{children}</p>
      </div>
      <div className="np-item-acts">{actions}</div>
    </li>
  );
}

export function Proven({ at, never = "never proven" }) {
  return at ? (
    <>
      last proven <TimeAgo at={at} />
    </>
  ) : (
    never
  );
}

// A day as people say it; with its year where it is not this one.
export function day(at) {
  const date = new Date(at);
  const year = date.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return date.toLocaleDateString("en-GB", { day: "numeric", month: "long", year });
}

export const several = (count, one, many) => (count === 1 ? one : `${count.toLocaleString()} ${many}`);

const METHODS = {
  password: "password",
  totp: "authenticator code",
  recovery_code: "recovery code",
  passkey: "passkey",
  device: "remembered browser",
};

// How somebody has signed in, as people say it.
export const spoken = (methods) => methods.map((each) => METHODS[each] ?? each).join(" and ");

// Asks before what cannot be undone.
export function Ask({ trigger, title, text, keep = "Keep it", act: label, onAct, testid }) {
  return (
    <AlertDialog.Root>
      <AlertDialog.Trigger>{trigger}</AlertDialog.Trigger>
      <AlertDialog.Content maxWidth="440px">
        <AlertDialog.Title size="4">{title}</AlertDialog.Title>
        <AlertDialog.Description size="2">{text}</AlertDialog.Description>
        <Flex gap="3" mt="4" justify="end">
          <AlertDialog.Cancel>
            <Button variant="soft" color="gray">
              {keep}
            </Button>
          </AlertDialog.Cancel>
          <AlertDialog.Action>
            <Button color="red" onClick={onAct} data-testid={testid}>
              {label}
            </Button>
          </AlertDialog.Action>
        </Flex>
      </AlertDialog.Content>
    </AlertDialog.Root>
  );
}

// Asks for a name. `onName` answers with the problem, if there was one; then the dialog stays.
export function NameDialog({ trigger, title, text, label = "Name", initial = "", save, onName, testid }) {
  const [open, setOpen] = useState(false);
  const [name, setName] = useState(initial);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const show = (next) => {
    setOpen(next);
    setName(initial);
    setError("");
    setBusy(false);
  };
  const submit = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    if (!name.trim()) {
      setError("A name tells them apart.");
      return;
    }
    setBusy(true);
    const problem = await onName(name.trim());
    setBusy(false);
    if (!problem) setOpen(false);
    else setError(problem.cancelled ? "" : (problem.at?.name ?? problem.message));
  };
  return (
    <Dialog.Root open={open} onOpenChange={show}>
      <Dialog.Trigger>{trigger}</Dialog.Trigger>
      <Dialog.Content maxWidth="420px">
        <form onSubmit={submit} noValidate>
          <Dialog.Title size="4">{title}</Dialog.Title>
          <Dialog.Description size="2" color="gray">
            {text}
          </Dialog.Description>
          <Flex direction="column" gap="1" mt="4">
            <Text as="label" size="2" weight="medium" htmlFor={`${testid}-name`}>
              {label}
            </Text>
            <TextField.Root
              id={`${testid}-name`}
              value={name}
              onChange={(event) => setName(event.target.value)}
              maxLength={60}
              autoComplete="off"
              aria-invalid={Boolean(error)}
              aria-describedby={`${testid}-error`}
              data-testid={`${testid}-name`}
            />
            <p id={`${testid}-error`} className="np-refusal" role="alert" data-testid={`${testid}-error`}>
              {error}
            </p>
          </Flex>
          <Flex gap="3" mt="4" justify="end">
            <Dialog.Close>
              <Button type="button" variant="soft" color="gray">
                Cancel
              </Button>
            </Dialog.Close>
            <Button type="submit" loading={busy} data-testid={`${testid}-save`}>
              {save}
            </Button>
          </Flex>
        </form>
      </Dialog.Content>
    </Dialog.Root>
  );
}
