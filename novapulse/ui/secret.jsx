// Shows and rotates a signing secret straight from the API, with the session's cookie: it is never state on the server.
import { useEffect, useState } from "react";
import { AlertDialog, Button, Flex } from "@radix-ui/themes";
import { CopyButton, TimeAgo } from "./parts.jsx";

export function SecretBox({ webhookId, open = false, canRotate = true }) {
  const [secret, setSecret] = useState(null);
  const [problem, setProblem] = useState("");
  const call = async (path, method) => {
    setProblem("");
    const answer = await fetch(`/api/v1/webhooks/${webhookId}/${path}`, {
      method,
      headers: method === "POST" ? { "Content-Type": "application/json" } : {},
      body: method === "POST" ? "{}" : undefined,
    }).catch(() => null);
    const body = answer ? await answer.json().catch(() => ({})) : {};
    if (answer?.ok) setSecret(body);
    else setProblem(body.detail ?? "NovaPulse does not answer. Try again.");
  };
  useEffect(() => {
    if (open && webhookId) call("secret", "GET");
  }, [open, webhookId]);
  const previous = secret?.previous ?? [];
  return (
    <div className="np-secret">
      <div className="np-secret-line">
        {secret ? <code data-testid="secret-value">{secret.secret}</code> : <code>{`whsec_${"•".repeat(32)}`}</code>}
        {secret ? <CopyButton text={secret.secret} /> : null}
      </div>
      {previous.length ? (
        <p className="np-secret-note" data-testid="secret-previous">
          {previous.length === 1 ? "One earlier secret still signs" : `${previous.length} earlier secrets still sign`} beside it; the
          last ends <TimeAgo at={previous[0].expires_at} />.
        </p>
      ) : null}
      {problem ? (
        <p role="alert" className="np-secret-problem">
          {problem}
        </p>
      ) : null}
      <Flex gap="2">
        {secret ? null : (
          <Button variant="soft" onClick={() => call("secret", "GET")} data-testid="secret-reveal">
            Reveal
          </Button>
        )}
        {canRotate ? <Rotate onConfirm={() => call("rotate-secret", "POST")} /> : null}
      </Flex>
    </div>
  );
}

function Rotate({ onConfirm }) {
  return (
    <AlertDialog.Root>
      <AlertDialog.Trigger>
        <Button variant="soft" color="gray" data-testid="secret-rotate">
          Rotate…
        </Button>
      </AlertDialog.Trigger>
      <AlertDialog.Content maxWidth="440px">
        <AlertDialog.Title size="4">Rotate the signing secret?</AlertDialog.Title>
        <AlertDialog.Description size="2">
          A new secret is made at once. For 24 hours each delivery carries the signatures of both, so receivers can change over
          in their own time; after that only the new one signs.
        </AlertDialog.Description>
        <Flex gap="3" mt="4" justify="end">
          <AlertDialog.Cancel>
            <Button variant="soft" color="gray">
              Keep it
            </Button>
          </AlertDialog.Cancel>
          <AlertDialog.Action>
            <Button onClick={onConfirm} data-testid="secret-rotate-confirm">
              Rotate
            </Button>
          </AlertDialog.Action>
        </Flex>
      </AlertDialog.Content>
    </AlertDialog.Root>
  );
}
