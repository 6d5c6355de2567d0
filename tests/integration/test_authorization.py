"""Every route of the application against everybody who may call it. A route without an entry here fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import pytest
from starlette.routing import BaseRoute, Mount

from novapulse.api import API_ROUTERS, make_api
from novapulse.core.actor import ROLE_PERMISSIONS, SYSTEM, Permission, Role
from novapulse.core.runtime import Runtime
from novapulse.security.policy import policies_of
from novapulse.webhooks import service
from novapulse.webhooks.schemas import WebhookCreate
from tests.calls import ORIGIN, PASSWORD, PUBLIC_URL, calling, make_cookie, make_user, problem

P = Permission
Route = tuple[str, str]

WORKFLOW = {"name": "x", "steps": [{"id": "a", "type": "wait", "seconds": 1}]}
# For anybody: signing in, what a load balancer asks, and the documentation.
PUBLIC: dict[Route, Any] = {
    ("POST", "/api/v1/auth/login"): {"email": "no@example.com", "password": "no"},
    ("POST", "/api/v1/auth/mfa/verify"): {"challenge": "no", "code": "123456"},
    ("POST", "/api/v1/auth/setup"): {"email": "no@example.com", "password": "no", "token": "no"},
    ("POST", "/api/v1/auth/logout"): None,
    ("POST", "/api/v1/auth/mfa-reset/stop"): {"token": "no"},
    ("POST", "/api/v1/auth/link"): {"token": "no"},
    ("POST", "/api/v1/auth/password/check"): {"password": "no"},
    ("POST", "/api/v1/auth/password/forgot"): {"email": "no@example.com"},
    ("POST", "/api/v1/auth/password/reset"): {"token": "no", "password": PASSWORD},
    ("POST", "/api/v1/auth/invitation/accept"): {"token": "no", "password": PASSWORD},
    ("POST", "/api/v1/auth/email/confirm"): {"token": "no"},
    ("POST", "/api/v1/auth/passkey/options"): {},
    ("POST", "/api/v1/auth/passkey/verify"): {"challenge": "no", "credential": {}},
    ("GET", "/api/v1/health"): None,
    ("GET", "/api/v1/health/live"): None,
    ("GET", "/api/v1/health/ready"): None,
    ("GET", "/api/v1/version"): None,
    ("GET", "/api/v1/docs"): None,
    ("GET", "/api/v1/docs/{name}"): None,
    ("GET", "/api/v1/openapi.json"): None,
    ("GET", "/login"): None,
    ("GET", "/login/{name}"): None,
    ("GET", "/setup"): None,
    ("GET", "/forgot"): None,
    ("GET", "/reset"): None,
    ("GET", "/invite"): None,
    ("GET", "/confirm-email"): None,
    ("GET", "/stop-reset"): None,
}
# For a signed-in browser about itself; keys have no session.
OWN_SESSION: dict[Route, Any] = {
    ("GET", "/api/v1/auth/me"): None,
    ("POST", "/api/v1/auth/reauthenticate"): {"password": PASSWORD},
    ("GET", "/api/v1/security/mfa"): None,
    ("POST", "/api/v1/security/mfa/enroll"): {"name": "x"},
    ("POST", "/api/v1/security/mfa/confirm"): {"code": "123456"},
    ("POST", "/api/v1/security/mfa/saved"): {"saved": True},
    ("POST", "/api/v1/security/mfa/drill"): {"code": "123456"},
    ("POST", "/api/v1/security/recovery-codes"): None,
    ("PATCH", "/api/v1/security/mfa/authenticators/{id}"): {"name": "x"},
    ("DELETE", "/api/v1/security/mfa/authenticators/{id}"): None,
    ("POST", "/api/v1/security/mfa/disable"): None,
    ("GET", "/api/v1/security/sessions"): None,
    ("DELETE", "/api/v1/security/sessions"): None,
    ("DELETE", "/api/v1/security/sessions/{id}"): None,
    ("GET", "/api/v1/security/devices"): None,
    ("DELETE", "/api/v1/security/devices/{id}"): None,
    ("GET", "/api/v1/security/sign-ins"): None,
    ("POST", "/api/v1/security/password"): {"current_password": "no", "new_password": PASSWORD},
    ("POST", "/api/v1/security/email"): {"email": "other@example.com"},
    ("POST", "/api/v1/security/passkeys/options"): None,
    ("POST", "/api/v1/security/passkeys/proof"): None,
    ("POST", "/api/v1/security/passkeys"): {"challenge": "no", "credential": {}, "name": "x"},
    ("PATCH", "/api/v1/security/passkeys/{id}"): {"name": "x"},
    ("DELETE", "/api/v1/security/passkeys/{id}"): None,
}
# For a signed-in person who holds these, and never for a key.
PEOPLE: dict[Route, tuple[set[Permission], Any]] = {
    ("GET", "/api/v1/users/mfa-resets"): ({P.USERS_WRITE}, None),
    ("POST", "/api/v1/users/{id}/mfa-reset"): ({P.USERS_WRITE}, {"reason": "known by voice and badge"}),
    ("POST", "/api/v1/users/mfa-resets/{id}/approve"): ({P.USERS_WRITE}, {}),
    ("POST", "/api/v1/users/mfa-resets/{id}/cancel"): ({P.USERS_WRITE}, {}),
}
# What each of the others takes (all of it), and a body that is valid.
NEEDS: dict[Route, tuple[set[Permission], Any]] = {
    ("POST", "/api/v1/webhooks"): ({P.WEBHOOKS_WRITE}, {"url": PUBLIC_URL}),
    ("GET", "/api/v1/webhooks"): ({P.WEBHOOKS_READ}, None),
    ("GET", "/api/v1/webhooks/{id}"): ({P.WEBHOOKS_READ}, None),
    ("PATCH", "/api/v1/webhooks/{id}"): ({P.WEBHOOKS_WRITE}, {}),
    ("DELETE", "/api/v1/webhooks/{id}"): ({P.WEBHOOKS_WRITE}, None),
    ("GET", "/api/v1/webhooks/{id}/secret"): ({P.WEBHOOKS_SECRET}, None),
    ("POST", "/api/v1/webhooks/{id}/rotate-secret"): ({P.WEBHOOKS_SECRET, P.WEBHOOKS_WRITE}, None),
    ("POST", "/api/v1/webhooks/{id}/test"): ({P.WEBHOOKS_WRITE}, None),
    ("GET", "/api/v1/webhooks/{id}/deliveries"): ({P.WEBHOOKS_READ, P.DELIVERIES_READ}, None),
    ("GET", "/api/v1/webhooks/{id}/stats"): ({P.WEBHOOKS_READ}, None),
    ("POST", "/api/v1/events"): ({P.EVENTS_WRITE}, {"type": "a.b", "data": 1}),
    ("POST", "/api/v1/events/batch"): ({P.EVENTS_WRITE}, {"events": [{"type": "a.b", "data": 1}]}),
    ("GET", "/api/v1/events"): ({P.EVENTS_READ}, None),
    ("GET", "/api/v1/events/{id}"): ({P.EVENTS_READ}, None),
    ("GET", "/api/v1/event-types"): ({P.WEBHOOKS_READ}, None),
    ("POST", "/api/v1/event-types"): ({P.WEBHOOKS_WRITE}, {"name": "a.b"}),
    ("GET", "/api/v1/event-types/{name}"): ({P.WEBHOOKS_READ}, None),
    ("PATCH", "/api/v1/event-types/{name}"): ({P.WEBHOOKS_WRITE}, {}),
    ("DELETE", "/api/v1/event-types/{name}"): ({P.WEBHOOKS_WRITE}, None),
    ("GET", "/api/v1/deliveries"): ({P.DELIVERIES_READ}, None),
    ("GET", "/api/v1/deliveries/{id}"): ({P.DELIVERIES_READ}, None),
    ("POST", "/api/v1/deliveries/{id}/retry"): ({P.DELIVERIES_WRITE}, None),
    ("POST", "/api/v1/deliveries/{id}/cancel"): ({P.DELIVERIES_WRITE}, None),
    ("GET", "/api/v1/queue/stats"): ({P.JOBS_READ}, None),
    ("GET", "/api/v1/queue/conservation"): ({P.JOBS_READ}, None),
    ("GET", "/api/v1/queue/rewind"): ({P.JOBS_READ}, None),
    ("GET", "/api/v1/queue/{name}/history"): ({P.JOBS_READ}, None),
    ("POST", "/api/v1/queue/{name}/repair"): ({P.JOBS_WRITE}, None),
    ("GET", "/api/v1/jobs/{id}/why"): ({P.JOBS_READ}, None),
    ("GET", "/api/v1/workers"): ({P.JOBS_READ}, None),
    ("GET", "/api/v1/jobs"): ({P.JOBS_READ}, None),
    ("POST", "/api/v1/jobs"): ({P.JOBS_WRITE}, {"task": "none"}),
    ("GET", "/api/v1/jobs/tasks"): ({P.JOBS_READ}, None),
    ("GET", "/api/v1/jobs/failures"): ({P.JOBS_READ}, None),
    ("POST", "/api/v1/jobs/bulk"): ({P.JOBS_WRITE}, {"action": "retry", "filter": {"queue": "email"}}),
    ("POST", "/api/v1/jobs/bulk/preview"): ({P.JOBS_READ}, {"action": "retry", "filter": {"queue": "email"}}),
    ("GET", "/api/v1/jobs/{id}"): ({P.JOBS_READ}, None),
    ("POST", "/api/v1/jobs/{id}/retry"): ({P.JOBS_WRITE}, None),
    ("POST", "/api/v1/jobs/{id}/cancel"): ({P.JOBS_WRITE}, None),
    ("POST", "/api/v1/jobs/{id}/discard"): ({P.JOBS_WRITE}, None),
    ("POST", "/api/v1/jobs/{id}/undo"): ({P.JOBS_WRITE}, None),
    ("POST", "/api/v1/jobs/{id}/pin"): ({P.JOBS_WRITE}, {"pinned": True}),
    ("POST", "/api/v1/queue/{name}/pause"): ({P.JOBS_WRITE}, {"note": "x"}),
    ("POST", "/api/v1/queue/{name}/resume"): ({P.JOBS_WRITE}, None),
    ("POST", "/api/v1/queue/{name}/drain"): ({P.JOBS_WRITE}, None),
    ("GET", "/api/v1/schedules"): ({P.JOBS_READ}, None),
    ("POST", "/api/v1/schedules"): ({P.JOBS_WRITE}, {"name": "x", "task": "none", "cron": "* * * * *"}),
    ("POST", "/api/v1/schedules/preview"): ({P.JOBS_READ}, {"cron": "* * * * *"}),
    ("GET", "/api/v1/schedules/{id}"): ({P.JOBS_READ}, None),
    ("PATCH", "/api/v1/schedules/{id}"): ({P.JOBS_WRITE}, {}),
    ("DELETE", "/api/v1/schedules/{id}"): ({P.JOBS_WRITE}, None),
    ("POST", "/api/v1/schedules/{id}/run"): ({P.JOBS_WRITE}, None),
    ("POST", "/api/v1/emails"): ({P.EMAILS_WRITE}, {"to": "ada@example.com", "subject": "x", "text": "x"}),
    ("GET", "/api/v1/emails"): ({P.EMAILS_READ}, None),
    ("POST", "/api/v1/emails/test"): ({P.EMAILS_WRITE}, {"to": "ada@example.com"}),
    ("GET", "/api/v1/emails/{id}"): ({P.EMAILS_READ}, None),
    ("GET", "/api/v1/emails/{id}/html"): ({P.EMAILS_READ}, None),
    ("GET", "/api/v1/emails/{id}/attachments/{number}"): ({P.EMAILS_READ}, None),
    ("POST", "/api/v1/emails/{id}/retry"): ({P.EMAILS_WRITE}, None),
    ("GET", "/api/v1/email-server"): ({P.EMAILS_READ}, None),
    ("GET", "/api/v1/email-templates"): ({P.EMAILS_READ}, None),
    ("POST", "/api/v1/email-templates"): ({P.EMAILS_WRITE}, {"name": "x", "subject": "x", "text": "x"}),
    ("POST", "/api/v1/email-templates/preview"): ({P.EMAILS_READ}, {"subject": "x", "text": "x"}),
    ("GET", "/api/v1/email-templates/{name}"): ({P.EMAILS_READ}, None),
    ("PATCH", "/api/v1/email-templates/{name}"): ({P.EMAILS_WRITE}, {}),
    ("DELETE", "/api/v1/email-templates/{name}"): ({P.EMAILS_WRITE}, None),
    ("GET", "/api/v1/api-keys"): ({P.KEYS_WRITE}, None),
    ("POST", "/api/v1/api-keys"): ({P.KEYS_WRITE}, {"name": "x", "scopes": ["keys:write"]}),
    ("DELETE", "/api/v1/api-keys/{id}"): ({P.KEYS_WRITE}, None),
    ("POST", "/api/v1/api-keys/{id}/rotate"): ({P.KEYS_WRITE}, {}),
    ("GET", "/api/v1/security/policies"): ({P.AUDIT_READ}, None),
    # Who makes a report has to be allowed to read what it tells.
    ("POST", "/api/v1/reports"): (
        {P.REPORTS_WRITE, P.DELIVERIES_READ},
        {"kind": "deliveries", "format": "csv", "params": {"range": "yesterday"}},
    ),
    ("GET", "/api/v1/reports"): ({P.REPORTS_READ}, None),
    ("GET", "/api/v1/reports/{id}"): ({P.REPORTS_READ}, None),
    ("GET", "/api/v1/reports/{id}/download"): ({P.REPORTS_READ}, None),
    ("DELETE", "/api/v1/reports/{id}"): ({P.REPORTS_WRITE}, None),
    ("POST", "/api/v1/reports/schedules"): (
        {P.REPORTS_WRITE, P.WEBHOOKS_READ},
        {"name": "x", "cron": "0 7 * * *", "kind": "endpoints", "format": "pdf", "range": "yesterday"},
    ),
    ("GET", "/api/v1/reports/schedules"): ({P.REPORTS_READ}, None),
    ("DELETE", "/api/v1/reports/schedules/{id}"): ({P.REPORTS_WRITE}, None),
    ("POST", "/api/v1/workflows"): ({P.WORKFLOWS_WRITE}, WORKFLOW),
    ("GET", "/api/v1/workflows"): ({P.WORKFLOWS_READ}, None),
    ("POST", "/api/v1/workflows/validate"): ({P.WORKFLOWS_READ}, WORKFLOW),
    ("GET", "/api/v1/workflows/{id}"): ({P.WORKFLOWS_READ}, None),
    ("PUT", "/api/v1/workflows/{id}"): ({P.WORKFLOWS_WRITE}, WORKFLOW),
    ("PATCH", "/api/v1/workflows/{id}"): ({P.WORKFLOWS_WRITE}, {"enabled": False}),
    ("DELETE", "/api/v1/workflows/{id}"): ({P.WORKFLOWS_WRITE}, None),
    ("PUT", "/api/v1/workflows/{id}/secrets/{name}"): ({P.WORKFLOWS_WRITE, P.WEBHOOKS_SECRET}, {"value": "x"}),
    ("DELETE", "/api/v1/workflows/{id}/secrets/{name}"): ({P.WORKFLOWS_WRITE, P.WEBHOOKS_SECRET}, None),
    ("POST", "/api/v1/workflows/{id}/runs"): ({P.WORKFLOWS_WRITE}, {"input": {}}),
    ("GET", "/api/v1/workflow-runs"): ({P.WORKFLOWS_READ}, None),
    ("GET", "/api/v1/workflow-runs/{id}"): ({P.WORKFLOWS_READ}, None),
    ("POST", "/api/v1/workflow-runs/{id}/cancel"): ({P.WORKFLOWS_WRITE}, None),
    ("POST", "/api/v1/workflow-runs/{id}/retry"): ({P.WORKFLOWS_WRITE}, None),
    ("GET", "/api/v1/audit"): ({P.AUDIT_READ}, None),
    ("GET", "/api/v1/audit/export"): ({P.AUDIT_READ}, None),
    ("GET", "/api/v1/audit/verify"): ({P.AUDIT_READ}, None),
    ("GET", "/api/v1/metrics"): ({P.METRICS}, None),
    ("GET", "/metrics"): ({P.METRICS}, None),
    ("GET", "/api/v1/users"): ({P.USERS_WRITE}, None),
    # Who gives a role has to have what it allows.
    ("POST", "/api/v1/users"): (
        {P.USERS_WRITE, *ROLE_PERMISSIONS[Role.VIEWER]},
        {"email": "new@example.com", "password": PASSWORD},
    ),
    ("PATCH", "/api/v1/users/{id}"): ({P.USERS_WRITE}, {"active": True}),
    ("POST", "/api/v1/users/invite"): (
        {P.USERS_WRITE, *ROLE_PERMISSIONS[Role.VIEWER]},
        {"email": "invited@example.com"},
    ),
    ("DELETE", "/api/v1/users/{id}/sessions"): ({P.USERS_WRITE}, None),
    ("POST", "/api/v1/users/{id}/invite"): ({P.USERS_WRITE}, {}),
    ("GET", "/api/v1/security/rules"): ({P.SECURITY_WRITE}, None),
    ("PUT", "/api/v1/security/rules"): ({P.SECURITY_WRITE}, {}),
}
CHANGING = [route for route in [*NEEDS, *OWN_SESSION, *PEOPLE, ("POST", "/api/v1/auth/logout")] if route[0] != "GET"]


def routes_of(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[Route]:
    """Method and path of every route, through mounts and included routers."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from routes_of(included.routes, prefix)
        elif isinstance(route, Mount):
            yield from routes_of(route.routes, prefix + route.path)
        else:
            for method in getattr(route, "methods", None) or {"?"}:
                if method != "HEAD":
                    yield method, prefix + getattr(route, "path", "?")


async def call(client: httpx.AsyncClient, route: Route, id_: str = "none_0", **headers: str) -> httpx.Response:
    method, path = route
    path = path.replace("{id}", id_).replace("{name}", "none.zero").replace("{number}", "1")
    headers |= {"X-Forwarded-Proto": "http"}  # passed on: a call from the machine itself may read the metrics
    body = (NEEDS | PEOPLE)[route][1] if route in NEEDS | PEOPLE else (PUBLIC | OWN_SESSION).get(route)
    return await client.request(method, f"{ORIGIN}{path}", json=body, headers=headers)


async def check(
    rt: Runtime, client: httpx.AsyncClient, who: str, held: Iterable[Permission], *, person: bool = False
) -> list[str]:
    """What of the table is not so for a caller who holds these permissions."""
    wrong: list[str] = []
    webhook = await service.create_webhook(rt, SYSTEM, WebhookCreate(url=PUBLIC_URL))
    for route, (needed, _) in (NEEDS | PEOPLE if person else NEEDS).items():
        id_ = webhook.id if route[1].endswith("/deliveries") else "none_0"
        status = (await call(client, route, id_)).status_code
        allowed = needed <= set(held)
        if status == 401 or status >= 500 or (status == 403) == allowed:
            wrong.append(f"{who}: {' '.join(route)} answers {status}")
    return wrong


async def test_every_route_has_an_entry_and_every_entry_a_route(rt: Runtime) -> None:
    routes = list(routes_of(make_api(rt.settings).routes))
    assert len(routes) == len(set(routes))
    assert set(routes) == {*PUBLIC, *OWN_SESSION, *PEOPLE, *NEEDS}


async def test_what_a_route_declares_is_what_the_table_here_says(rt: Runtime) -> None:
    declared = {(method, f"/api/v1{path}"): policy for method, path, policy in policies_of(API_ROUTERS)}
    for route, policy in declared.items():
        if route in NEEDS:
            assert policy.who == "actor", route
            # A service may ask for more, by what the body says.
            assert policy.permissions and policy.permissions <= NEEDS[route][0], route
        else:
            assert policy.who == ("session" if route in OWN_SESSION or route in PEOPLE else "anybody"), route
            assert policy.permissions == PEOPLE.get(route, (set(), None))[0], route


async def test_without_credentials_all_but_the_public_routes_are_401(rt: Runtime) -> None:
    async with calling(rt) as client:
        for route in [*NEEDS, *OWN_SESSION, *PEOPLE]:
            problem(await call(client, route), 401)
        for credentials in (
            {"Authorization": "Bearer np_live_wrong"},
            {"Cookie": "np_session=wrong", "Origin": ORIGIN},
        ):
            for route in [*NEEDS, *OWN_SESSION, *PEOPLE]:
                problem(await call(client, route, **credentials), 401)


async def test_the_public_routes_answer_anybody(rt: Runtime) -> None:
    refusals = {
        "/api/v1/auth/login": 401,
        "/api/v1/auth/mfa/verify": 401,
        "/api/v1/auth/setup": 403,
        "/api/v1/auth/link": 403,
        "/api/v1/auth/password/reset": 403,
        "/api/v1/auth/invitation/accept": 403,
        "/api/v1/auth/email/confirm": 403,
        "/api/v1/auth/mfa-reset/stop": 403,
        "/api/v1/auth/passkey/options": 403,  # for pages only
        "/api/v1/auth/passkey/verify": 401,
    }
    async with calling(rt) as client:
        for route in PUBLIC:
            status = (await call(client, route)).status_code
            expected = refusals.get(route[1], 404 if "{name}" in route[1] else None)
            assert status == expected if expected else status in (200, 202, 204, 503), route


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_does_what_it_may_and_nothing_else(rt: Runtime, role: Role) -> None:
    cookie = await make_cookie(rt, (await make_user(rt, role)).id)
    async with calling(rt, Cookie=cookie, Origin=ORIGIN) as client:
        assert not await check(rt, client, role, ROLE_PERMISSIONS[role], person=True)
        for route in OWN_SESSION:
            response = await call(client, route)
            # Of a wrong challenge, it is said that it has ended: 401, but not for want of a session.
            assert response.status_code in (200, 204, 404, 409, 422) or "challenge-ended" in response.text, route


async def test_the_scope_of_a_key_opens_what_needs_it_and_nothing_else(rt: Runtime) -> None:
    wrong: list[str] = []
    for scope in Permission:
        async with calling(rt, scope) as client:
            wrong += await check(rt, client, scope, {scope})
    async with calling(rt, "*") as client:
        wrong += await check(rt, client, "*", Permission)
        for route in [*OWN_SESSION, *PEOPLE]:
            problem(await call(client, route), 401)
    assert not wrong, "\n".join(wrong)


async def test_a_cookie_changes_nothing_from_a_page_that_is_not_ours(rt: Runtime) -> None:
    cookie = await make_cookie(rt, (await make_user(rt)).id)
    foreign = [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": f"{ORIGIN}.evil.example"},
        {"Origin": "http://127.0.0.1:8001"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example", "Host": "evil.example"},  # DNS rebinding
        {"Referer": f"{ORIGIN}/webhooks"},
    ]
    async with calling(rt, Cookie=cookie) as client:
        for headers in foreign:
            for route in CHANGING:
                problem(await call(client, route, **headers), 403)
        assert (await call(client, ("GET", "/api/v1/auth/me"))).status_code == 200


async def test_a_foreign_page_signs_nobody_in(rt: Runtime) -> None:
    user = await make_user(rt)
    async with calling(rt) as client:
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
            body = {"email": user.email, "password": PASSWORD}
            response = await client.post("/auth/login", json=body, headers=headers)
            problem(response, 403)
            assert "set-cookie" not in response.headers
            problem(await client.post("/auth/setup", json=body | {"token": "x"}, headers=headers), 403)


async def test_a_key_wins_over_a_cookie_that_may_do_more(rt: Runtime) -> None:
    cookie = await make_cookie(rt, (await make_user(rt)).id)
    async with calling(rt, "events:read", Cookie=cookie, Origin=ORIGIN) as client:
        problem(await client.get("/webhooks"), 403)
        problem(await client.get("/webhooks", headers={"Authorization": "Bearer np_live_wrong"}), 401)
