"""The NovaPulse under test, as its API shows it: what a test arranges before it looks at a screen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from tests.instance import Instance

EMAIL, PASSWORD = "ada@example.com", "an uncommonly long phrase 42"
ELSEWHERE = "https://1.1.1.1/"  # an address that may be sent to; no test sends anything there
WAIT_S = 20.0  # how long something may take before a test gives up; what is measured is never this


def wait_until(check: Callable[[], Any], what: str) -> None:
    """Poll until `check()` is true."""
    end = time.monotonic() + WAIT_S
    while not check():
        assert time.monotonic() < end, f"after {WAIT_S:.0f} s still not: {what}"
        time.sleep(0.05)


@dataclass
class Site:
    """A running NovaPulse and an account that may do everything."""

    url: str
    email: str
    password: str
    instance: Instance | None = None  # None: somebody else's, given by E2E_BASE_URL
    mark: str = field(default_factory=lambda: f"e2e-{uuid4().hex[:8]}")  # begins the name of all that tests make

    def __post_init__(self) -> None:
        # Trusted as a page of the instance itself, because it signs in as one.
        self.client = httpx.Client(
            base_url=f"{self.url}/api/v1", headers={"Origin": self.url}, timeout=30, trust_env=False
        )

    def sign_in(self) -> None:
        """Get a session for the API calls of the tests, which the browsers share."""
        answer = self.client.post("/auth/login", json={"email": self.email, "password": self.password})
        assert answer.status_code == 200, f"the account does not work here: {answer.text}"

    def cookies(self) -> list[dict[str, Any]]:
        """The session for a browser."""
        return [{"name": c.name, "value": c.value or "", "url": self.url} for c in self.client.cookies.jar]

    def name(self, what: str = "hook") -> str:
        """A name that no other test uses; `clean` finds it."""
        return f"{self.mark} {what} {uuid4().hex[:6]}"

    def event_type(self, what: str = "paid") -> str:
        """An event type that no other test uses."""
        return f"e2e.{uuid4().hex[:8]}.{what}"

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Read from the API."""
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do something by the API."""
        answer = self.client.post(path, json=body or {})
        assert answer.is_success, answer.text
        return answer.json()

    def webhook(self, url: str, event_type: str = "", **fields: Any) -> dict[str, Any]:
        """Make a webhook; without a type it takes no event but tests."""
        types = [event_type or self.event_type("never")]
        return self.post("/webhooks", {"url": url, "event_types": types, "name": self.name(), **fields})

    def send(self, event_type: str, **data: Any) -> str:
        """Send an event; its id."""
        return self.post("/events", {"type": event_type, "data": data})["id"]

    def delivery(self, event_id: str) -> dict[str, Any]:
        """The one delivery of an event."""
        found = self.get("/deliveries", event_id=event_id)["data"]
        assert len(found) == 1, found
        return found[0]

    def reaches(self, event_id: str, status: str) -> dict[str, Any]:
        """Wait until the event's delivery has this status."""
        wait_until(lambda: self.delivery(event_id)["status"] == status, f"the delivery is {status}")
        return self.delivery(event_id)

    def clean(self) -> None:
        """Delete the webhooks that tests made."""
        while found := self.get("/webhooks", q=self.mark)["data"]:
            for webhook in found:
                self.client.delete(f"/webhooks/{webhook['id']}").raise_for_status()
