"""A running NovaPulse with an admin and a viewer, both signed in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from novapulse.launch import frontend
from tests.calls import PASSWORD
from tests.instance import Instance, running
from tests.tabs import sign_in

ADMIN, VIEWER = "ada@example.com", "vera@example.com"


@dataclass(frozen=True)
class House:
    """The instance and the tokens of the two sessions."""

    instance: Instance
    admin: str
    viewer: str

    def call(self, method: str, path: str, cookie: str = "", **body: object) -> httpx.Response:
        """A call of its own page, with this session."""
        headers = {"Origin": self.instance.url} | ({"Cookie": f"np_session={cookie}"} if cookie else {})
        json_ = body or None
        return httpx.request(method, self.instance.url + path, headers=headers, json=json_, trust_env=False)

    def session_id(self, cookie: str) -> str:
        """The public id of a session."""
        rows = self.call("GET", "/api/v1/security/sessions", cookie).json()["data"]
        return next(row["id"] for row in rows if row["current"])


@contextmanager
def open_house(folder: Path, **settings: str) -> Iterator[House]:
    """Start it, with the frontend of these sources."""
    root = frontend.source_tree()
    assert root is not None
    frontend.build_if_stale(root, quiet=True)
    with running(folder, admin_email=ADMIN, admin_password=PASSWORD, **settings) as instance:
        admin = sign_in(instance, ADMIN, PASSWORD)
        made = House(instance, admin, "")
        user = made.call("POST", "/api/v1/users", admin, email=VIEWER, password=PASSWORD, role="viewer")
        assert user.status_code == 201, user.text
        yield House(instance, admin, sign_in(instance, VIEWER, PASSWORD))
