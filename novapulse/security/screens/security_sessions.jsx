// Where one is signed in, and which browsers are let in without a second factor.
import { Badge, Button } from "@radix-ui/themes";
import { Laptop, Monitor, Smartphone } from "lucide-react";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import { TimeAgo } from "$/public/external/novapulse/ui/parts/parts.jsx";
import { Ask, Card, Loaded, Row, act, day, spoken } from "./security_parts.jsx";

const iconOf = (device) => (/iPhone|iPad|Android/.test(device) ? Smartphone : /macOS|Chrome OS/.test(device) ? Laptop : Monitor);

export function Sessions({ of }) {
  const revoke = async (id) => {
    const { problem } = await act(() => call("DELETE", `/security/sessions/${id}`), "Signed out there.");
    if (!problem || problem.status === 404) of.load();
  };
  const revokeOthers = async () => {
    const { problem } = await act(
      () => call("DELETE", "/security/sessions", undefined, { why: "sign out everywhere else" }),
      ({ ended }) => (ended === 1 ? "One other session is signed out." : `${ended} other sessions are signed out.`),
    );
    if (!problem) of.load();
  };
  const others = (of.data?.data ?? []).filter((session) => !session.current);
  return (
    <Card
      title="Sessions"
      text="Browsers that you are signed in with. What you end here ends within a second, also where a page is open."
      action={
        others.length ? (
          <Ask
            trigger={
              <Button variant="soft" color="red" data-testid="sessions-end">
                Sign out all others
              </Button>
            }
            title="Sign out everywhere else?"
            text="Every browser but this one is signed out at once."
            keep="Keep them"
            act="Sign out all others"
            onAct={revokeOthers}
            testid="sessions-end-confirm"
          />
        ) : null
      }
      data-testid="sessions"
    >
      <Loaded of={of} rows={3}>
        {({ data }) => (
          <ul className="np-items">
            {data.map((session) => (
              <Row
                key={session.id}
                icon={iconOf(session.device)}
                name={session.device}
                badge={session.current ? <Badge color="green">this one</Badge> : null}
                data-testid={`session-${session.id}`}
                actions={
                  session.current ? null : (
                    <Button
                      size="1"
                      variant="soft"
                      color="red"
                      onClick={() => revoke(session.id)}
                      aria-label={`Sign out ${session.device}`}
                      data-testid="session-end"
                    >
                      Sign out
                    </Button>
                  )
                }
              >
                <span className="np-nowrap">{session.ip}</span> · signed in {day(session.created_at)} by {spoken(session.methods)} ·{" "}
                {session.current ? (
                  "active now"
                ) : (
                  <>
                    last seen <TimeAgo at={session.last_seen_at} />
                  </>
                )}
              </Row>
            ))}
          </ul>
        )}
      </Loaded>
    </Card>
  );
}

export function Devices({ of }) {
  const forget = async (id) => {
    const { problem } = await act(() => call("DELETE", `/security/devices/${id}`), "Forgotten: it asks for your second factor again.");
    if (!problem || problem.status === 404) of.load();
  };
  return (
    <Card title="Known browsers" text="Those you signed in with before. The remembered ones do not ask for your second factor." data-testid="devices">
      <Loaded of={of} rows={2}>
        {(answer) => {
          const devices = answer.data ?? answer;
          return devices.length ? (
            <ul className="np-items">
              {devices.map((device) => (
                <Row
                  key={device.id}
                  icon={iconOf(device.name)}
                  name={device.name}
                  badge={
                    <>
                      {device.remembered_until ? <Badge color="amber">remembered until {day(device.remembered_until)}</Badge> : null}
                      {device.current ? <Badge color="green">this one</Badge> : null}
                    </>
                  }
                  data-testid={`device-${device.id}`}
                  actions={
                    <Button
                      size="1"
                      variant="soft"
                      color="gray"
                      onClick={() => forget(device.id)}
                      aria-label={`Forget ${device.name}`}
                      data-testid="device-forget"
                    >
                      Forget
                    </Button>
                  }
                >
                  <span className="np-nowrap">{device.ip}</span> · first seen {day(device.created_at)} · last <TimeAgo at={device.last_seen_at} />
                </Row>
              ))}
            </ul>
          ) : (
            <p className="np-none">None.</p>
          );
        }}
      </Loaded>
    </Card>
  );
}
