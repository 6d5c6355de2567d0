"""How a receiver verifies a delivery, per language. The libraries are those of the Standard Webhooks project."""

from __future__ import annotations

EXAMPLES: dict[str, str] = {
    "Python": """# pip install standardwebhooks
from standardwebhooks import Webhook

payload = Webhook(SECRET).verify(request.body, request.headers)""",
    "Node": """// npm install standardwebhooks
import { Webhook } from "standardwebhooks";

const payload = new Webhook(SECRET).verify(rawBody, request.headers);""",
    "Go": """// go get github.com/standard-webhooks/standard-webhooks/libraries/go
wh, err := standardwebhooks.NewWebhook(secret)
if err == nil {
    err = wh.Verify(body, request.Header)
}""",
    "Ruby": """# gem install standardwebhooks
require "standardwebhooks"

payload = StandardWebhooks::Webhook.new(SECRET).verify(body, headers)""",
    "PHP": """// composer require standard-webhooks/standard-webhooks
$payload = (new \\StandardWebhooks\\Webhook($secret))->verify($body, $headers);""",
    "Shell": """# base64(HMAC-SHA256(key, "id.timestamp.body")), where the key is the secret after whsec_, decoded.
key=$(printf %s "${SECRET#whsec_}" | base64 -d | xxd -p -c 256)
printf '%s.%s.%s' "$WEBHOOK_ID" "$WEBHOOK_TIMESTAMP" "$BODY" |
  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64""",
}
