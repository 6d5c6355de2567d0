// The policy map as a table. Some hundred rows, so the filter is the browser's.
import { useState } from "react";
import { Badge, Flex, SegmentedControl, Table, Text, TextField } from "@radix-ui/themes";
import { TimeAgo } from "$/public/external/novapulse/ui/parts/parts.jsx";

const KINDS = [
  ["all", "All"],
  ["route", "Routes"],
  ["handler", "Handlers"],
];

export function PolicyMap({ rows }) {
  const [kind, setKind] = useState("all");
  const [words, setWords] = useState("");
  const shown = rows.filter((row) => (kind === "all" || row.kind === kind) && fits(row, words));
  return (
    <>
      <div className="np-filters">
        <TextField.Root
          value={words}
          onChange={(event) => setWords(event.target.value)}
          placeholder="Path, handler, permission, role"
          aria-label="Filter"
          type="search"
          data-testid="policy-filter"
        />
        <SegmentedControl.Root value={kind} onValueChange={setKind} size="2">
          {KINDS.map(([value, label]) => (
            <SegmentedControl.Item key={value} value={value} data-testid={`policy-${value}`}>
              {label}
            </SegmentedControl.Item>
          ))}
        </SegmentedControl.Root>
        <Text size="1" color="gray" role="status" data-testid="policy-count">
          {shown.length} of {rows.length}
        </Text>
      </div>
      <div className="np-table">
        <Table.Root variant="ghost">
          <Table.Header>
            <Table.Row>
              <Table.ColumnHeaderCell>What</Table.ColumnHeaderCell>
              <Table.ColumnHeaderCell className="np-wide-only">Who</Table.ColumnHeaderCell>
              <Table.ColumnHeaderCell className="np-wide-only">Needs</Table.ColumnHeaderCell>
              <Table.ColumnHeaderCell className="np-wide-only">Roles</Table.ColumnHeaderCell>
              <Table.ColumnHeaderCell className="np-wide-only">Limit</Table.ColumnHeaderCell>
              <Table.ColumnHeaderCell>Last used</Table.ColumnHeaderCell>
            </Table.Row>
          </Table.Header>
          <Table.Body>
            {shown.map((row) => (
              <Row key={`${row.kind} ${row.name}`} row={row} />
            ))}
          </Table.Body>
        </Table.Root>
      </div>
      {shown.length ? null : (
        <Text as="p" size="2" color="gray" mt="3">
          Nothing fits this filter.
        </Text>
      )}
    </>
  );
}

function Row({ row }) {
  return (
    <Table.Row data-testid="policy-row">
      <Table.RowHeaderCell>
        <code className="np-mono" style={{ overflowWrap: "anywhere" }}>
          {row.name}
        </code>
        <div className="np-phone-only">
          <div>
            <Text as="p" size="1" color="gray" my="1">
              {row.who}; {row.roles}; {row.rate} {row.limits}
            </Text>
            <Needs row={row} />
          </div>
        </div>
      </Table.RowHeaderCell>
      <Table.Cell className="np-wide-only">{row.who}</Table.Cell>
      <Table.Cell className="np-wide-only">
        <Needs row={row} />
      </Table.Cell>
      <Table.Cell className="np-wide-only">{row.roles}</Table.Cell>
      <Table.Cell className="np-wide-only">
        {row.rate}
        <Text as="p" size="1" color="gray" style={{ whiteSpace: "nowrap" }}>
          {row.limits}
        </Text>
      </Table.Cell>
      <Table.Cell style={{ whiteSpace: "nowrap" }}>
        {row.used ? <TimeAgo at={row.used} /> : <Text color="gray">not seen</Text>}
      </Table.Cell>
    </Table.Row>
  );
}

function Needs({ row }) {
  if (!row.permissions.length) return <Text color="gray">–</Text>;
  return (
    <Flex gap="1" wrap="wrap">
      {row.permissions.map((each) => (
        <Badge key={each} size="1" color={each.includes(":") || each === "metrics" ? "gray" : "amber"}>
          {each}
        </Badge>
      ))}
    </Flex>
  );
}

function fits(row, words) {
  const text = [row.kind, row.name, row.who, row.roles, row.rate, ...row.permissions].join(" ").toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}
