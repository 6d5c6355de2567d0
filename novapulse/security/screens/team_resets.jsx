// Requests to take somebody's second factors away: who asked and why, who agreed, when it is done.
import { Badge, Button, Flex } from "@radix-ui/themes";
import { ShieldOff } from "lucide-react";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import { TimeAgo } from "$/public/external/novapulse/ui/parts/parts.jsx";
import { Card, Row, act, day } from "$/public/external/novapulse/security/screens/security_page/security_parts.jsx";

export function Resets({ of, me }) {
  const rows = of.data?.data ?? [];
  if (rows.length === 0) return null;
  const post = async (path, why, done) => {
    await act(() => call("POST", path, {}, { why }), done);
    of.load();
  };
  return (
    <Card title="Resets of second factors" text="For who lost their phone and their recovery codes." data-testid="resets">
      <ul className="np-items">
        {rows.map((reset) => (
          <Row
            key={reset.id}
            icon={ShieldOff}
            name={reset.email}
            badge={<State reset={reset} />}
            data-testid={`reset-${reset.id}`}
            actions={
              reset.outcome ? null : (
                <Flex gap="2">
                  {reset.needs_approval && me && reset.requested_by !== me.email ? (
                    <Button
                      size="1"
                      color="red"
                      variant="soft"
                      onClick={() => post(`/users/mfa-resets/${reset.id}/approve`, "agree to a reset", "You agreed.")}
                      data-testid="reset-approve"
                    >
                      Agree
                    </Button>
                  ) : null}
                  <Button
                    size="1"
                    color="gray"
                    variant="soft"
                    onClick={() => post(`/users/mfa-resets/${reset.id}/cancel`, "take a reset back", "Taken back.")}
                    data-testid="reset-cancel"
                  >
                    Take back
                  </Button>
                </Flex>
              )
            }
          >
            “{reset.reason}” · asked by {reset.requested_by} {day(reset.requested_at)}
            {reset.approved_by && reset.approved_by !== reset.requested_by ? ` · agreed to by ${reset.approved_by}` : ""}
            {reset.outcome ? (
              ` · ${reset.outcome_why}`
            ) : (
              <>
                {" · due "}
                <TimeAgo at={reset.due_at} due />
              </>
            )}
          </Row>
        ))}
      </ul>
    </Card>
  );
}

function State({ reset }) {
  if (reset.outcome === "done") return <Badge color="red">done</Badge>;
  if (reset.outcome) return <Badge color="gray">{reset.outcome}</Badge>;
  return reset.needs_approval ? <Badge color="amber">waits for a second admin</Badge> : <Badge color="amber">agreed, waits for its time</Badge>;
}
