"""Every event handler against every role and none, through the real guard; and the map that is made of the registry.

The routes are walked in `test_authorization.py`. Here the app is imported in a process of its own, because that fills
registries of the whole process, and each registered handler is sent an event by each kind of session.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from novapulse.api import API_ROUTERS
from novapulse.core.actor import ROLE_PERMISSIONS, Permission, Role
from novapulse.core.runtime import Runtime
from novapulse.security import pages
from novapulse.security.policy import policies_of
from novapulse.security.rates import RateClass
from novapulse.security.uses import Uses
from tests.calls import ORIGIN, calling, make_cookie, make_user, problem
from tests.instance import clean_environment

ROOT = Path(__file__).parents[2]
# What a session may be: of each role, lately confirmed or not; one that has to set up a second factor; none.
LIVES = [*(f"{role}{sudo}" for role in Role for sudo in ("", "+sudo")), "must enrol", "nobody"]

_WALK = """
import asyncio, json, sys
from dataclasses import replace
import reflex as rx
from reflex.event import Event
from reflex_base.event.context import EventContext
from reflex_base.registry import RegistrationContext
from novapulse.novapulse import app
from novapulse.core.actor import SYSTEM, Role
from novapulse.core.runtime import open_runtime
from novapulse.core.migrations import upgrade
from novapulse.launch.configuration import load_settings
from novapulse.security import handlers, policy_map, sessions
from novapulse.security.models import User
from novapulse.security.sessions import Live
from worker.enqueue import make_enqueue

def live_of(who):
    if who == "nobody":
        return None
    role = Role.ADMIN if who == "must enrol" else Role(who.removesuffix("+sudo"))
    user = User(id=f"usr_{who}", email="x@example.com", role=role, password_hash="")
    return Live(f"ses_{who}", user, 2**62 if who.endswith("+sudo") else 0, who == "must enrol")

def outcome(update):
    if update is None:
        return "passes"
    said = json.dumps([[event.name, {k: str(v) for k, v in event.payload.items()}] for event in update.events])
    for word, name in (("not allowed", "denied"), ("does not exist", "unknown"), ("/login", "sign in"),
                       ("np_confirm", "confirm"), ("security/enrol", "enrol")):
        if word in said:
            return name
    return said

async def main():
    settings = load_settings()
    await asyncio.to_thread(upgrade, settings.database)
    rt = open_runtime(settings, make_enqueue(settings))
    who = None
    async def find(_rt, session_id):
        return live_of(session_id) if session_id else None
    sessions.find_by_id = find
    guard = next(each for each in app._middlewares if isinstance(each, handlers.DefaultDeny))
    found = {}
    for name, registered in list(RegistrationContext.get().event_handlers.items()):
        policy = handlers.policy_of(registered)
        results = {}
        for who in json.loads(sys.argv[1]):
            headers = {handlers.SESSION_HEADER: "" if who == "nobody" else who}
            context = EventContext(token="t", state_manager=None, enqueue_impl=None, router_data={"headers": headers})
            token = EventContext.set(context)
            state = rx.State(_reflex_internal_init=True)
            results[who] = outcome(await guard.preprocess(app, state, Event(name=name, payload={})))
            EventContext.reset(token)
        found[name] = {
            "permissions": None if policy is None else sorted(policy.permissions),
            "sudo": bool(policy and policy.sudo),
            "framework": handlers.is_framework_event(name),
            "results": results,
        }
    views = [view.model_dump() for view in await policy_map.list_policies(rt, SYSTEM)]
    print("WALK " + json.dumps({"handlers": found, "map": views}))

asyncio.run(main())
"""


@dataclass(frozen=True)
class Walk:
    """What became of each event."""

    handlers: dict[str, Any]
    views: list[dict[str, Any]]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Walk:
    folder = tmp_path_factory.mktemp("walk")
    settings = {"data_dir": str(folder / "data"), "redis_url": valkey_url, "limit_screen": "off"}
    (folder / "data").mkdir()

    async def run() -> tuple[bytes, bytes]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _WALK,
            json.dumps(LIVES),
            cwd=folder,
            env=clean_environment(**settings) | {"PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return await process.communicate()

    out, err = asyncio.run(run())
    lines = [line for line in out.decode().splitlines() if line.startswith("WALK ")]
    assert lines, err.decode()[-3000:]
    found = json.loads(lines[0].removeprefix("WALK "))
    return Walk(found["handlers"], found["map"])


def expected(handler: dict[str, Any], who: str) -> str:
    """What the guard has to do, worked out from what is declared and the table of roles."""
    if who == "nobody":
        return "sign in"
    if handler["framework"]:
        return "passes"
    if handler["permissions"] is None:
        return "unknown"
    if who == "must enrol":
        return "enrol"
    role = Role(who.removesuffix("+sudo"))
    if not set(map(Permission, handler["permissions"])) <= ROLE_PERMISSIONS[role]:
        return "denied"
    return "passes" if who.endswith("+sudo") or not handler["sudo"] else "confirm"


def test_each_handler_answers_each_role_and_none_as_it_declares(walk: Walk) -> None:
    assert len(walk.handlers) >= 60, "they were not found at all"
    wrong = [
        f"{name} for {who}: {result}, not {expected(handler, who)}"
        for name, handler in walk.handlers.items()
        for who, result in handler["results"].items()
        if result != expected(handler, who)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_walk_sees_every_way_in_which_the_guard_can_end(walk: Walk) -> None:
    seen = {result for handler in walk.handlers.values() for result in handler["results"].values()}
    assert seen == {"passes", "denied", "unknown", "sign in", "confirm", "enrol"}


def test_what_changes_something_is_not_open_to_who_may_only_look(walk: Walk) -> None:
    passing = {
        name.rpartition(".")[2]
        for name, handler in walk.handlers.items()
        if handler["permissions"] and handler["results"]["viewer+sudo"] == "passes"
    }
    assert "load" in passing
    assert not passing & {"act", "revoke", "save", "remove", "delete", "rotate", "send_test", "retry", "cancel"}


def test_the_map_has_every_route_and_every_handler_that_anybody_may_call(walk: Walk) -> None:
    listed = [view["name"] for view in walk.views if view["kind"] == "route"]
    declared = [f"{method} /api/v1{path}" for method, path, _ in policies_of(API_ROUTERS)]
    assert sorted(listed) == sorted([*declared, *(f"GET {route.path}" for route in pages.routes), "GET /metrics"])
    callable_ = [one for one in walk.handlers.values() if one["permissions"] is not None or one["framework"]]
    assert sum(view["kind"] == "handler" for view in walk.views) == len(callable_)


def test_the_map_says_of_each_what_is_enforced(walk: Walk) -> None:
    views = {view["name"]: view for view in walk.views}
    made = views["POST /api/v1/api-keys"]
    assert (made["who"], made["permissions"], made["roles"]) == ("actor", ["keys:write"], ["admin"])
    assert (made["sudo"], made["rate"]) == (True, "sensitive")
    assert views["POST /api/v1/events"]["rate"] == "ingest"
    assert views["POST /api/v1/auth/login"]["rate"] == "sign_in"
    assert (views["GET /login"]["who"], views["GET /login"]["rate"]) == ("anybody", "public")
    revoke = views["KeysState.revoke"]
    assert (revoke["sudo"], revoke["roles"], revoke["rate"]) == (True, ["admin"], "screen")
    assert all(view["rate"] in set(RateClass) for view in walk.views)
    assert revoke["limits"] == []  # turned off for the walk
    assert made["limits"] == ["120/60s"]


async def test_the_map_is_for_who_may_read_the_audit_log_and_tells_the_last_use(rt: Runtime) -> None:
    async with calling(rt, "audit:read") as auditor, calling(rt, "webhooks:read") as other:
        problem(await other.get("/security/policies"), 403)
        assert (await other.get("/webhooks")).status_code == 200
        await rt.part(Uses).flush()
        views = {view["name"]: view for view in (await auditor.get("/security/policies")).json()["data"]}
    assert views["GET /api/v1/webhooks"]["last_used_at"] is not None
    assert views["DELETE /api/v1/webhooks/{id}"]["last_used_at"] is None
    # What is refused is no use.
    assert views["GET /api/v1/security/policies"]["last_used_at"] is not None
    cookie = await make_cookie(rt, (await make_user(rt, Role.OPERATOR)).id)
    async with calling(rt, Cookie=cookie, Origin=ORIGIN) as operator:
        problem(await operator.get("/security/policies"), 403)


async def test_uses_that_cannot_be_written_are_kept(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    uses = rt.part(Uses)
    uses.note("GET", "/one")
    with monkeypatch.context() as broken:
        broken.setattr(rt.valkey, "execute_command", _fails)
        await uses.flush()
        assert set(await uses.known()) == {"GET /one"}
    await uses.flush()
    uses.note("GET", "/two")
    assert set(await uses.known()) == {"GET /one", "GET /two"}


async def _fails(*_: object) -> None:
    raise ConnectionError
