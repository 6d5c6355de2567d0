"""How a receiver verifies a delivery: whole programs, with the libraries of the Standard Webhooks project."""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """A program to copy."""

    key: str
    name: str
    about: str  # what it needs, or does
    code: str


_PYTHON = """\
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))  # exactly as it came
        try:
            event = webhook.verify(body, dict(self.headers))
            print(event["type"], event["data"], flush=True)
            self.send_response(204)
        except WebhookVerificationError:
            self.send_response(400)
        self.end_headers()


HTTPServer(("", 8000), Receiver).serve_forever()
"""

_NODE = """\
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks); // exactly as it came
  try {
    const event = webhook.verify(body, request.headers);
    console.log(event.type, event.data);
    response.writeHead(204).end();
  } catch {
    response.writeHead(400).end();
  }
}).listen(8000);
"""

_GO = """\
package main

import (
	"io"
	"log"
	"net/http"
	"os"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func main() {
	webhook, err := standardwebhooks.NewWebhook(os.Getenv("WEBHOOK_SECRET"))
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body) // exactly as it came
		if err != nil || webhook.Verify(body, r.Header) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		log.Printf("%s", body)
		w.WriteHeader(http.StatusNoContent)
	})
	log.Fatal(http.ListenAndServe(":8000", nil))
}
"""

_RUBY = """\
require "sinatra"
require "standardwebhooks"

set :port, 8000
WEBHOOK = StandardWebhooks::Webhook.new(ENV.fetch("WEBHOOK_SECRET"))

post "/*" do
  body = request.body.read # exactly as it came
  event = WEBHOOK.verify(body, {
    "webhook-id" => request.env["HTTP_WEBHOOK_ID"],
    "webhook-timestamp" => request.env["HTTP_WEBHOOK_TIMESTAMP"],
    "webhook-signature" => request.env["HTTP_WEBHOOK_SIGNATURE"],
  })
  logger.info("#{event["type"]} #{event["data"]}")
  status 204
rescue StandardWebhooks::WebhookVerificationError
  halt 400
end
"""

_PHP = """\
<?php
require __DIR__ . "/vendor/autoload.php";

$webhook = new \\StandardWebhooks\\Webhook(getenv("WEBHOOK_SECRET"));
$body = file_get_contents("php://input"); // exactly as it came
$headers = array_change_key_case(getallheaders());

try {
    $event = $webhook->verify($body, $headers);
    error_log($event["type"] . " " . json_encode($event["data"]));
    http_response_code(204);
} catch (\\StandardWebhooks\\Exception\\WebhookVerificationException $error) {
    http_response_code(400);
}
"""

_CURL = """\
URL=http://localhost:8000/
BODY='{"type":"invoice.paid","timestamp":"2026-01-01T00:00:00Z","data":{"invoice":"in_42"}}'
ID=evt_example
NOW=$(date +%s)

# base64(HMAC-SHA256(key, "id.timestamp.body")); the key is the secret after whsec_, decoded.
KEY=$(printf %s "${WEBHOOK_SECRET#whsec_}" | base64 -d | od -An -v -tx1 | tr -d ' \\n')
SIGNATURE=$(printf '%s.%s.%s' "$ID" "$NOW" "$BODY" |
  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$KEY" -binary | base64)

curl -i "$URL" \\
  -H 'content-type: application/json' \\
  -H "webhook-id: $ID" \\
  -H "webhook-timestamp: $NOW" \\
  -H "webhook-signature: v1,$SIGNATURE" \\
  --data-raw "$BODY"
"""

EXAMPLES = (
    Example("python", "Python", "pip install standardwebhooks", _PYTHON),
    Example("node", "Node", "npm install standardwebhooks, saved as receiver.mjs", _NODE),
    Example(
        "go", "Go", "go mod init receiver; go get github.com/standard-webhooks/standard-webhooks/libraries/go", _GO
    ),
    Example("ruby", "Ruby", "gem install standardwebhooks sinatra rackup puma", _RUBY),
    Example("php", "PHP", "composer require standard-webhooks/standard-webhooks", _PHP),
    Example("curl", "curl", "Sends your receiver a delivery signed as NovaPulse signs, to try it with.", _CURL),
)
