// Tries to sign in as oneself: by network and day, how they ended, and what was done about them.
import { Callout, Table } from "@radix-ui/themes";
import { CircleCheck, CircleX, Hourglass, KeyRound, TriangleAlert } from "lucide-react";
import { TimeAgo } from "$/public/external/novapulse/ui/parts/parts.jsx";
import { Card, Loaded, several, spoken } from "./security_parts.jsx";

const DAYS = 30;
const DAY_MS = 86400000;
const NETWORKS_MAX = 8;
const LATEST_MAX = 15;
const BAR = { width: 7, gap: 2, height: 36 };

const RESULTS = {
  ok: { label: "Signed in", done: "Let in.", color: "var(--green-9)", icon: CircleCheck },
  wrong_password: { label: "Wrong password", done: "Refused.", color: "var(--amber-9)", icon: CircleX },
  wrong_code: { label: "Wrong second factor", done: "Refused, though the password was right.", color: "var(--red-9)", icon: KeyRound },
  limited: { label: "Too many tries", done: "Not even looked at; the wait doubles with each failure.", color: "var(--gray-9)", icon: Hourglass },
};
const KINDS = Object.keys(RESULTS);

export function Attempts({ of }) {
  return (
    <>
      <Card
        title="Attempts on my account"
        text={`The last ${DAYS} days, by network. Failures elsewhere never lock you out of a browser that you signed in with before.`}
        data-testid="attempts"
      >
        <Loaded of={of} rows={3}>
          {({ data }) => (data.length ? <Networks rows={data} /> : <p className="np-none">No attempts in this time.</p>)}
        </Loaded>
      </Card>
      <Card title="Latest" data-testid="attempts-latest">
        <Loaded of={of} rows={4}>
          {(tries) => <Latest rows={latest(tries)} />}
        </Loaded>
      </Card>
    </>
  );
}

function total(rows, ...results) {
  return rows.filter(({ result }) => results.includes(result)).reduce((sum, { count }) => sum + count, 0);
}

function summary(rows) {
  const [ok, refused, limited] = [total(rows, "ok"), total(rows, "wrong_password", "wrong_code"), total(rows, "limited")];
  const networks = new Set(rows.map(({ network }) => network)).size;
  return [
    several(ok, "One sign-in", "sign-ins"),
    refused ? `${refused.toLocaleString()} refused` : "none refused",
    ...(limited ? [`${limited.toLocaleString()} not even looked at`] : []),
  ].join(", ") + `; from ${several(networks, "one network", "networks")}.`;
}

function Networks({ rows }) {
  const known = total(rows, "wrong_code");
  const by = Map.groupBy(rows, ({ network }) => network);
  const networks = [...by].sort(([, a], [, b]) => total(b, ...KINDS) - total(a, ...KINDS));
  const shown = networks.slice(0, NETWORKS_MAX);
  const rest = networks.slice(NETWORKS_MAX).flatMap(([, each]) => each);
  if (rest.length) shown.push([several(networks.length - NETWORKS_MAX, "one more network", "more networks"), rest]);
  const highest = Math.max(...shown.flatMap(([, each]) => byDay(each).map((one) => one.all)));
  return (
    <>
      {known ? (
        <Callout.Root color="red" mb="4" data-testid="attempts-known">
          <Callout.Icon>
            <TriangleAlert size={16} />
          </Callout.Icon>
          <Callout.Text>
            {several(known, "Once somebody", "times somebody")} with your password failed at the second factor. If that was not you, change your
            password.
          </Callout.Text>
        </Callout.Root>
      ) : null}
      <p className="np-none np-num" data-testid="attempts-summary">
        {summary(rows)}
      </p>
      <ul className="np-legend" aria-hidden="true">
        {KINDS.map((kind) => (
          <li key={kind}>
            <i style={{ background: RESULTS[kind].color }} /> {RESULTS[kind].label}
          </li>
        ))}
      </ul>
      <ul className="np-networks">
        {shown.map(([network, each]) => (
          <li key={network} data-testid="attempts-network">
            <code>{network}</code>
            <Strip rows={each} highest={highest} />
            <span className="np-num">
              {KINDS.filter((kind) => total(each, kind))
                .map((kind) => `${RESULTS[kind].label.toLowerCase()} ${total(each, kind).toLocaleString()}×`)
                .join(", ")}
            </span>
          </li>
        ))}
        <li className="np-networks-axis" aria-hidden="true">
          <span>{DAYS} days ago</span>
          <span>today</span>
        </li>
      </ul>
    </>
  );
}

// Of each day, oldest first: how many of each kind, and of all.
function byDay(rows) {
  const today = Math.floor(Date.now() / DAY_MS);
  const days = Array.from({ length: DAYS }, () => ({ all: 0 }));
  for (const { hour, result, count } of rows) {
    const at = DAYS - 1 - (today - Math.floor(Date.parse(hour) / DAY_MS));
    if (at < 0 || at >= DAYS) continue;
    days[at][result] = (days[at][result] ?? 0) + count;
    days[at].all += count;
  }
  return days;
}

// A bar for each day. By the root of the number, or a flood elsewhere would leave nothing to see of the few.
function Strip({ rows, highest }) {
  const width = DAYS * (BAR.width + BAR.gap);
  return (
    <svg viewBox={`0 0 ${width} ${BAR.height}`} aria-hidden="true" preserveAspectRatio="none">
      {byDay(rows).map((one, at) => {
        const full = one.all ? Math.max(5, BAR.height * Math.sqrt(one.all / highest)) : 0;
        let top = BAR.height;
        return (
          <g key={at}>
            <rect x={at * (BAR.width + BAR.gap)} y={BAR.height - 1.5} width={BAR.width} height={1.5} fill="var(--gray-a5)" />
            {KINDS.filter((kind) => one[kind]).map((kind) => {
              const height = (full * one[kind]) / one.all;
              top -= height;
              return <rect key={kind} x={at * (BAR.width + BAR.gap)} y={top} width={BAR.width} height={height} fill={RESULTS[kind].color} />;
            })}
          </g>
        );
      })}
    </svg>
  );
}

// Of those that succeeded we know which browser it was; of all others how many there were in an hour.
function latest({ data, last }) {
  const failed = data.filter(({ result }) => result !== "ok").map((each) => ({ ...each, at: each.last_at }));
  const succeeded = last.map((each) => ({ ...each, result: "ok", count: 1 }));
  return [...failed, ...succeeded].sort((a, b) => Date.parse(b.at) - Date.parse(a.at)).slice(0, LATEST_MAX);
}

function Latest({ rows }) {
  return (
    <div className="np-table">
      <Table.Root variant="ghost">
        <Table.Header>
          <Table.Row>
            <Table.ColumnHeaderCell>When</Table.ColumnHeaderCell>
            <Table.ColumnHeaderCell>What</Table.ColumnHeaderCell>
            <Table.ColumnHeaderCell className="np-wide-only">From</Table.ColumnHeaderCell>
            <Table.ColumnHeaderCell className="np-wide-only">What was done</Table.ColumnHeaderCell>
          </Table.Row>
        </Table.Header>
        <Table.Body>
          {rows.map(({ at, ip, network, result, count, device, methods }, number) => {
            const { label, done, icon: Icon } = RESULTS[result];
            const what = device ? `Let in: ${device}, by ${spoken(methods)}.` : done;
            return (
              <Table.Row key={`${at} ${number}`} data-testid="attempt-row">
                <Table.RowHeaderCell className="np-nowrap">
                  <TimeAgo at={at} />
                </Table.RowHeaderCell>
                <Table.Cell>
                  <span className="np-result" data-result={result}>
                    <Icon size={15} aria-hidden="true" /> {label}
                    {count > 1 ? <b className="np-num">{count.toLocaleString()}×</b> : null}
                  </span>
                  <span className="np-phone-only np-result-more">
                    {ip ?? network} · {what}
                  </span>
                </Table.Cell>
                <Table.Cell className="np-wide-only">
                  <code className="np-mono">{ip ?? network}</code>
                </Table.Cell>
                <Table.Cell className="np-wide-only">{what}</Table.Cell>
              </Table.Row>
            );
          })}
        </Table.Body>
      </Table.Root>
    </div>
  );
}
