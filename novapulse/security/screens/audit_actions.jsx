// Verifying the audit log, and taking it away as a file: both by the API itself, so that a file never passes through a state.
import { useState } from "react";
import { Button, Callout, Dialog, DropdownMenu, Flex, Text, TextField } from "@radix-ui/themes";
import { Download, ShieldAlert, ShieldCheck } from "lucide-react";
import { toast } from "sonner";
import { call, download } from "$/public/external/novapulse/ui/parts/api.js";
import { CopyButton } from "$/public/external/novapulse/ui/parts/parts.jsx";

const HEAD = /^[1-9]\d*:[0-9a-f]{64}$/;
const FORMATS = [
  ["csv", "CSV, for a spreadsheet"],
  ["json", "JSON, one array"],
  ["jsonl", "JSON lines, for a program"],
];

export function AuditActions({ query }) {
  return (
    <>
      <Verify />
      <Export query={query} />
    </>
  );
}

function Export({ query }) {
  const [busy, setBusy] = useState(false);
  const save = async (format) => {
    setBusy(true);
    try {
      await download(`/audit/export?${new URLSearchParams([...new URLSearchParams(query), ["format", format]])}`, {
        why: "to export the audit log",
      });
    } catch (problem) {
      if (!problem.cancelled) toast.error(problem.message);
    }
    setBusy(false);
  };
  return (
    <DropdownMenu.Root>
      <DropdownMenu.Trigger>
        <Button variant="soft" loading={busy} data-testid="audit-export">
          <Download size={15} aria-hidden="true" />
          Export
        </Button>
      </DropdownMenu.Trigger>
      <DropdownMenu.Content align="end">
        <DropdownMenu.Label style={{ color: "var(--gray-11)" }}>{query ? "What the filters show" : "The whole log"}</DropdownMenu.Label>
        {FORMATS.map(([format, words]) => (
          <DropdownMenu.Item key={format} onSelect={() => save(format)} data-testid={`audit-export-${format}`}>
            {words}
          </DropdownMenu.Item>
        ))}
      </DropdownMenu.Content>
    </DropdownMenu.Root>
  );
}

function Verify() {
  const [open, setOpen] = useState(false);
  const [verdict, setVerdict] = useState(null);
  const [problem, setProblem] = useState("");
  const [noted, setNoted] = useState("");
  const [busy, setBusy] = useState(false);
  const verify = async (expect = "") => {
    setBusy(true);
    setProblem("");
    try {
      setVerdict(await call("GET", `/audit/verify${expect ? `?${new URLSearchParams({ expect })}` : ""}`));
    } catch (refused) {
      setProblem(refused.message);
    }
    setBusy(false);
  };
  const show = (next) => {
    setOpen(next);
    if (!next) return;
    setVerdict(null);
    setNoted("");
    verify();
  };
  const compare = (event) => {
    event.preventDefault();
    event.stopPropagation();
    if (HEAD.test(noted.trim())) verify(noted.trim());
    else setProblem("What was kept looks like 1234:9f86d0…: the number of a row, a colon, and its seal.");
  };
  return (
    <Dialog.Root open={open} onOpenChange={show}>
      <Dialog.Trigger>
        <Button variant="soft" data-testid="audit-verify">
          <ShieldCheck size={15} aria-hidden="true" />
          Verify
        </Button>
      </Dialog.Trigger>
      <Dialog.Content maxWidth="560px" data-testid="audit-verdict" data-intact={verdict ? String(verdict.intact) : ""}>
        <Dialog.Title size="4">Verify the audit log</Dialog.Title>
        <Dialog.Description size="2" color="gray">
          Every row is compared with its seal. A row that was changed, removed or inserted shows here.
        </Dialog.Description>
        <Flex direction="column" gap="4" mt="4">
          <div role="status">{busy ? <Text size="2">Reading every row…</Text> : verdict && <Verdict verdict={verdict} />}</div>
          {verdict?.head ? (
            <div>
              <Text as="p" size="2" mb="2">
                Keep this outside of NovaPulse. Compared later, it also shows if the whole log was put back to an older copy.
              </Text>
              <div className="np-secret-line">
                <code data-testid="audit-head">{verdict.head}</code>
                <CopyButton text={verdict.head} />
              </div>
            </div>
          ) : null}
          <form onSubmit={compare} noValidate>
            <Text as="label" size="2" weight="medium" htmlFor="audit-noted">
              Compare with what you kept
            </Text>
            <Flex gap="2" mt="1">
              <TextField.Root
                id="audit-noted"
                value={noted}
                onChange={(event) => setNoted(event.target.value)}
                placeholder="1234:9f86d0…"
                autoComplete="off"
                spellCheck="false"
                aria-invalid={Boolean(problem)}
                style={{ flex: 1 }}
                data-testid="audit-noted"
              />
              <Button type="submit" variant="soft" disabled={!noted.trim() || busy} data-testid="audit-compare">
                Compare
              </Button>
            </Flex>
            {problem ? (
              <Text as="p" size="1" color="red" mt="1" role="alert" data-testid="audit-problem">
                {problem}
              </Text>
            ) : null}
          </form>
        </Flex>
        <Flex justify="end" mt="4">
          <Dialog.Close>
            <Button variant="soft" color="gray">
              Close
            </Button>
          </Dialog.Close>
        </Flex>
      </Dialog.Content>
    </Dialog.Root>
  );
}

function Verdict({ verdict }) {
  const Icon = verdict.intact ? ShieldCheck : ShieldAlert;
  return (
    <Callout.Root color={verdict.intact ? "green" : "red"}>
      <Callout.Icon>
        <Icon size={16} aria-hidden="true" />
      </Callout.Icon>
      <Callout.Text>
        {verdict.intact
          ? `Intact: ${verdict.rows.toLocaleString()} ${verdict.rows === 1 ? "row" : "rows"}, each as it was written.`
          : `Broken at row ${verdict.bad_seq}: ${verdict.problem}. Keep a copy of the database, and find out who can write to it.`}
      </Callout.Text>
    </Callout.Root>
  );
}
