// Having a report made, once or again and again, and downloading one: by the API itself, so that a file never passes
// through a state.
import { useState } from "react";
import { Button, Dialog, Flex, RadioCards, SegmentedControl, Text } from "@radix-ui/themes";
import { FilePlus2 } from "lucide-react";
import { toast } from "sonner";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import { Choice, Typed, Wrong } from "$/public/external/novapulse/reports/screens/page/report_fields.jsx";

const KINDS = {
  deliveries: ["Deliveries", "Every attempt: when, to whom, how it ended"],
  endpoints: ["Reliability", "How dependable each webhook was"],
  queues: ["Queues", "What was done, how long it waited and ran"],
  audit: ["Audit log", "Who did what"],
};
const FORMATS = {
  pdf: ["PDF", "Figures, charts and the first 500 rows, to read and to print."],
  xlsx: ["XLSX", "A summary with charts and every row, for a spreadsheet."],
  csv: ["CSV", "Every row and nothing else, for programs."],
};
const RANGES = {
  today: "Today so far",
  yesterday: "Yesterday",
  last_24_hours: "Last 24 hours",
  last_7_days: "Last 7 days",
  last_30_days: "Last 30 days",
  last_week: "Last week, Monday to Sunday",
  this_month: "This month so far",
  last_month: "Last month",
  days: "From one day to another…",
};
const TIMES = {
  once: "Once, now",
  day: "Every day",
  week: "Every Monday",
  month: "On the first of every month",
  cron: "By a cron expression…",
};
const FITTING = { day: "yesterday", week: "last_week", month: "last_month" };
const HOURS = [...Array(24).keys()];
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const EMPTY = {
  kind: "deliveries",
  format: "pdf",
  range: "last_7_days",
  from: "",
  to: "",
  webhook: "all",
  when: "once",
  hour: "7",
  cron: "0 7 * * MON-FRI",
  name: "",
  mail: "",
};

export function NewReport({ kinds, webhooks, mayMail, onMade }) {
  const [open, setOpen] = useState(false);
  return (
    <Dialog.Root open={open} onOpenChange={setOpen}>
      <Dialog.Trigger>
        <Button data-testid="report-new">
          <FilePlus2 size={15} aria-hidden="true" />
          New report
        </Button>
      </Dialog.Trigger>
      <Dialog.Content maxWidth="600px">
        <Form
          kinds={kinds}
          webhooks={webhooks}
          mayMail={mayMail}
          onDone={(words) => {
            setOpen(false);
            toast.success(words);
            onMade();
          }}
        />
      </Dialog.Content>
    </Dialog.Root>
  );
}

function Form({ kinds, webhooks, mayMail, onDone }) {
  const [form, setForm] = useState({ ...EMPTY, kind: kinds[0] ?? "deliveries" });
  const [errors, setErrors] = useState({});
  const [busy, setBusy] = useState(false);
  const change = (part) => setForm({ ...form, ...part });
  const regular = form.when !== "once";
  const ranges = Object.entries(RANGES).filter(([range]) => !regular || range !== "days");
  const ofOne = form.kind === "deliveries" || form.kind === "endpoints";
  const submit = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    const missing = lacking(form);
    if (missing) {
      setErrors(missing);
      return;
    }
    setBusy(true);
    try {
      const why = form.kind === "audit" ? "to hand out the audit log" : "";
      if (regular) await call("POST", "/reports/schedules", scheduled(form, ofOne), { why });
      else await call("POST", "/reports", once(form, ofOne), { why });
      onDone(regular ? "Scheduled." : "It is being made; it appears in the list.");
      return;
    } catch (problem) {
      setErrors(problem.cancelled ? {} : problem.fields("params", "name", "cron", "range", "mail_to"));
    }
    setBusy(false);
  };
  return (
    <form onSubmit={submit} noValidate>
      <Dialog.Title size="4">New report</Dialog.Title>
      <Dialog.Description size="2" color="gray">
        It is made in the background, at a low priority: webhooks keep their speed.
      </Dialog.Description>
      <Flex direction="column" gap="4" mt="4">
        <RadioCards.Root
          columns={{ initial: "1", xs: "2" }}
          gap="2"
          size="1"
          value={form.kind}
          onValueChange={(kind) => change({ kind })}
          aria-label="What it is about"
        >
          {kinds.map((kind) => (
            <RadioCards.Item key={kind} value={kind} data-testid={`report-kind-${kind}`}>
              <Flex direction="column" align="start" width="100%">
                <Text weight="medium">{KINDS[kind][0]}</Text>
                <Text size="1" color="gray">
                  {KINDS[kind][1]}
                </Text>
              </Flex>
            </RadioCards.Item>
          ))}
        </RadioCards.Root>
        <Flex gap="3" direction={{ initial: "column", xs: "row" }}>
          <Choice
            id="report-when"
            label="When it is made"
            value={form.when}
            onChange={(when) => change({ when, range: FITTING[when] ?? (form.range === "days" ? "yesterday" : form.range) })}
            options={Object.entries(TIMES)}
          />
          <Choice
            id="report-range"
            label="Of what time"
            value={form.range}
            onChange={(range) => change({ range })}
            options={ranges}
            error={errors.params ?? errors.range}
          />
        </Flex>
        {form.range === "days" ? (
          <Flex gap="3">
            <Typed id="report-from" label="First day" type="date" value={form.from} onChange={(from) => change({ from })} error={errors.from} />
            <Typed id="report-to" label="Last day" type="date" value={form.to} onChange={(to) => change({ to })} error={errors.to} />
          </Flex>
        ) : null}
        {regular ? (
          <Flex gap="3" direction={{ initial: "column", xs: "row" }}>
            <Typed
              id="report-name"
              label="Name"
              value={form.name}
              onChange={(name) => change({ name })}
              placeholder="Weekly reliability"
              error={errors.name}
            />
            {form.when === "cron" ? (
              <Typed id="report-cron" label="Cron expression" value={form.cron} onChange={(cron) => change({ cron })} error={errors.cron} />
            ) : (
              <Choice
                id="report-hour"
                label="At"
                value={form.hour}
                onChange={(hour) => change({ hour })}
                options={HOURS.map((hour) => [String(hour), `${String(hour).padStart(2, "0")}:00`])}
              />
            )}
          </Flex>
        ) : null}
        {ofOne && webhooks.length > 0 ? (
          <Choice
            id="report-webhook"
            label="Of which webhooks"
            value={form.webhook}
            onChange={(webhook) => change({ webhook })}
            options={[["all", "All webhooks"], ...webhooks.map(({ id, name }) => [id, name])]}
          />
        ) : null}
        <Flex direction="column" gap="1">
          <Text as="div" size="2" weight="medium" id="report-format">
            Format
          </Text>
          <SegmentedControl.Root value={form.format} onValueChange={(format) => change({ format })} aria-labelledby="report-format">
            {Object.entries(FORMATS).map(([format, [name]]) => (
              <SegmentedControl.Item key={format} value={format} data-testid={`report-format-${format}`}>
                {name}
              </SegmentedControl.Item>
            ))}
          </SegmentedControl.Root>
          <Text as="div" size="1" color="gray">
            {FORMATS[form.format][1]}
          </Text>
        </Flex>
        {mayMail ? (
          <Typed
            id="report-mail"
            label="Mail it to"
            optional
            value={form.mail}
            onChange={(mail) => change({ mail })}
            placeholder="ops@example.com, boss@example.com"
            error={errors.mail_to}
          />
        ) : null}
        <Text as="p" size="1" color="gray">
          Days are those of {ZONE}; times in reports are UTC.
        </Text>
        {errors.all ? <Wrong>{errors.all}</Wrong> : null}
        <Flex justify="end" gap="3">
          <Dialog.Close>
            <Button type="button" variant="soft" color="gray">
              Cancel
            </Button>
          </Dialog.Close>
          <Button type="submit" loading={busy} data-testid="report-make">
            {regular ? "Schedule it" : "Make it"}
          </Button>
        </Flex>
      </Flex>
    </form>
  );
}

// What can be said without asking the server.
function lacking(form) {
  const regular = form.when !== "once";
  if (regular && !form.name.trim()) return { name: "Give it a name." };
  if (form.range !== "days") return null;
  if (!form.from) return { from: "Choose a day." };
  if (!form.to) return { to: "Choose a day." };
  if (form.to < form.from) return { to: "This is before the first day." };
  return null;
}

function shared(form) {
  const mail_to = form.mail.split(/[\s,;]+/).filter(Boolean);
  return { kind: form.kind, format: form.format, ...(mail_to.length ? { mail_to } : {}) };
}

function once(form, ofOne) {
  const webhook = ofOne && form.webhook !== "all" ? { webhook_id: form.webhook } : {};
  const range = form.range === "days" ? { since: beginning(form.from), until: end(form.to) } : { range: form.range, timezone: ZONE };
  return { ...shared(form), params: { ...range, ...webhook } };
}

function scheduled(form, ofOne) {
  const webhook = ofOne && form.webhook !== "all" ? { webhook_id: form.webhook } : {};
  const cron = { day: `0 ${form.hour} * * *`, week: `0 ${form.hour} * * MON`, month: `0 ${form.hour} 1 * *`, cron: form.cron }[form.when];
  return { ...shared(form), ...webhook, name: form.name.trim(), range: form.range, cron, timezone: ZONE };
}

function beginning(day) {
  return new Date(`${day}T00:00`).toISOString();
}

// Of the day after it, in this browser's time zone; of today, what has been of it.
function end(day) {
  const next = new Date(`${day}T00:00`);
  next.setDate(next.getDate() + 1);
  const today = new Date();
  return (next > today && new Date(`${day}T00:00`) <= today ? today : next).toISOString();
}
