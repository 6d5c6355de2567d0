"""The audit log by the API: what is recorded, reading it page by page and by filters, taking it away as a file."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from novapulse.core.actor import SYSTEM, Actor, Permission, Role
from novapulse.core.runtime import Runtime
from novapulse.security import audit, denials, users
from novapulse.security.audit_log import AuditFilter, list_audit, read_page
from novapulse.security.audit_verify import verify
from novapulse.security.users import UserPatch
from novapulse.webhooks import deliveries, service, trial
from novapulse.webhooks.schemas import WebhookCreate
from tests.calls import ORIGIN, PASSWORD, PUBLIC_URL, calling, make_cookie, make_user, problem
from tests.receiver import Answer, receiving

ADA = Actor("user", "usr_ada", "ada@example.com", frozenset(Permission), ip="192.0.2.7")


async def rows(rt: Runtime, **wanted: Any) -> list[Any]:
    """What is recorded, oldest first."""
    return (await list_audit(rt, SYSTEM, AuditFilter(**wanted), limit=200)).data[::-1]


async def told(rt: Runtime, **wanted: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(row.action, row.detail) for row in await rows(rt, **wanted)]


async def stale_cookie(rt: Runtime) -> str:
    """A session of an admin who signed in a while ago."""
    cookie = await make_cookie(rt, (await make_user(rt)).id)
    async with rt.database.write() as session:
        await session.execute(text("UPDATE session SET sudo_until = 0"))
    return cookie


async def test_what_is_done_to_a_webhook_is_recorded_without_anything_secret(any_rt: Runtime) -> None:
    secrets = {"X-Token": "planted-header-value"}
    url = "https://93.184.215.14/planted-path?key=planted-query"
    async with calling(any_rt, "*") as api:
        made = (
            await api.post(
                "/webhooks", json={"url": url, "name": "Billing", "headers": secrets, "event_types": ["a.b"]}
            )
        ).json()
        hook = f"/webhooks/{made['id']}"
        for patch in (
            {"url": "https://93.184.215.15/planted-path", "headers": {"X-Token": "planted-other-value"}},
            {"status": "paused"},
            {"status": "active", "description": "planted-description"},
            {"name": "Billing"},
            {},
        ):
            assert (await api.patch(hook, json=patch)).status_code == 200
        secret = (await api.get(f"{hook}/secret")).json()["secret"]
        rotated = (await api.post(f"{hook}/rotate-secret", json={"overlap_s": 60})).json()["secret"]
        assert secret != rotated
        assert (await api.delete(hook)).status_code == 204
    assert await told(any_rt, action="webhook.") == [
        ("webhook.created", {"event_types": ["a.b"], "host": "93.184.215.14"}),
        (
            "webhook.changed",
            {"fields": ["headers", "url"], "host": {"from": "93.184.215.14", "to": "93.184.215.15"}},
        ),
        ("webhook.paused", {"from": "active"}),
        ("webhook.enabled", {"from": "paused"}),
        ("webhook.changed", {"fields": ["description"]}),
        ("webhook.secret_revealed", {}),
        ("webhook.secret_rotated", {"overlap_s": 60}),
        ("webhook.deleted", {}),
    ]
    assert {row.target.id for row in await rows(any_rt, target=made["id"])} == {made["id"]}
    everything = str(await rows(any_rt))
    for planted in ("planted", secret, rotated, secret.removeprefix("whsec_")):
        assert planted not in everything
    assert (await verify(any_rt, SYSTEM)).intact


async def test_test_sends_deliveries_and_what_the_system_does_are_recorded(any_rt: Runtime) -> None:
    with receiving(lambda arrival: Answer(410 if b"gone" in arrival.body else 500)) as receiver:
        made = await service.create_webhook(any_rt, SYSTEM, WebhookCreate(url=receiver.url(), name="Billing"))
        attempt = await trial.send_test(any_rt, ADA, made.id)
        await deliveries.retry_delivery(any_rt, ADA, attempt.delivery_id)
        await deliveries.cancel_delivery(any_rt, ADA, attempt.delivery_id)
        await trial.send_test(any_rt, ADA, made.id, "a.b", "gone")
    found = await rows(any_rt)
    assert [(row.actor.kind, row.action, row.target.name) for row in found] == [
        ("system", "webhook.created", "Billing"),
        ("user", "webhook.tested", "Billing"),
        ("user", "delivery.retried", trial.DEFAULT_TYPE),
        ("user", "delivery.cancelled", trial.DEFAULT_TYPE),
        ("user", "webhook.tested", "Billing"),
        ("system", "webhook.disabled", "Billing"),
    ]
    assert found[2].detail["webhook_id"] == made.id
    assert found[-1].detail == {"reason": "The receiver answered 410 Gone."}
    assert (await verify(any_rt, SYSTEM)).intact


async def test_who_acts_from_where_and_in_which_request_is_recorded(any_rt: Runtime) -> None:
    headers = {"Cookie": await make_cookie(any_rt, (await make_user(any_rt)).id), "Origin": ORIGIN}
    async with calling(any_rt, **headers) as api:
        answer = await api.post("/webhooks", json={"url": PUBLIC_URL}, headers={"X-Request-ID": "req-of-mine"})
    (row,) = await rows(any_rt, action="webhook.created")
    assert (row.actor.kind, row.actor.name) == ("user", "admin@example.com")
    assert (row.ip, row.request_id, row.result) == ("127.0.0.1", "req-of-mine", "ok")
    assert row.target.name == "93.184.215.14"  # it has no name
    assert row.target.id == answer.json()["id"]


async def test_users_and_event_types_are_recorded(any_rt: Runtime) -> None:
    await make_user(any_rt)
    made = await users.create_user(any_rt, ADA, email="bob@example.com", password=PASSWORD, role=Role.VIEWER)
    await users.update_user(any_rt, ADA, made.id, UserPatch(role="operator", active=True))
    await users.update_user(any_rt, ADA, made.id, UserPatch(role="operator"))
    async with calling(any_rt, "*") as api:
        await api.post("/event-types", json={"name": "a.b"})
        await api.patch("/event-types/a.b", json={"description": "x", "archived": False})
        await api.patch("/event-types/a.b", json={"description": "x"})
        await api.delete("/event-types/a.b")
    assert [(name, detail) for name, detail in await told(any_rt, actor="usr_ada")] == [
        ("user.created", {"role": "viewer"}),
        ("user.changed", {"role": {"from": "viewer", "to": "operator"}}),
    ]
    assert await told(any_rt, action="event_type.") == [
        ("event_type.created", {}),
        ("event_type.changed", {"fields": ["description"]}),
        ("event_type.deleted", {}),
    ]
    assert PASSWORD not in str(await rows(any_rt))


async def test_a_refusal_is_one_row_a_minute_for_the_same_actor_and_place(
    any_rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with calling(any_rt, "events:read") as api:
        for _ in range(20):
            problem(await api.delete("/webhooks/wh_planted"), 403)
        problem(await api.get("/webhooks"), 403)
        problem(await api.get("/audit"), 403)
    found = [(row.action, row.target.name, row.result) for row in await rows(any_rt, result="denied")]
    assert found == [
        ("access.denied", "DELETE /webhooks/{id}", "denied"),
        ("access.denied", "GET /webhooks", "denied"),
        ("access.denied", "GET /audit", "denied"),
    ]
    monkeypatch.setattr(denials, "_EVERY_S", 0.0)
    key = (await rows(any_rt, result="denied"))[0].actor.id
    await denials.record_denial(
        any_rt, Actor("api_key", key, "test", frozenset()), "route", "DELETE /webhooks/{id}", "no"
    )
    assert (await rows(any_rt, result="denied"))[-1].detail == {"why": "no", "refused_before": 19}


async def test_a_service_that_refuses_and_a_foreign_page_are_recorded_a_question_is_not(rt: Runtime) -> None:
    async with calling(rt, Cookie=await stale_cookie(rt)) as api:
        problem(await api.get("/audit/export"), 403)  # first: confirm that it is you
        problem(await api.post("/webhooks", json={"url": PUBLIC_URL}, headers={"Origin": "https://evil.example"}), 403)
    async with calling(rt, "*", tenant="acme") as api:
        problem(await api.get("/users"), 403)
    assert [(row.target.name, row.actor.kind) for row in await rows(rt, result="denied")] == [
        ("POST /webhooks", "user"),
        ("GET /users", "api_key"),
    ]


async def test_nobody_whom_we_do_not_know_writes_to_the_log(rt: Runtime) -> None:
    async with calling(rt, Authorization="Bearer np_live_wrong", Origin="https://evil.example") as api:
        for _ in range(3):
            problem(await api.delete("/webhooks/wh_1"), 401)
    assert await rows(rt) == []


async def many(rt: Runtime) -> None:
    """60 rows: by two, on three, of two nouns."""
    bob = Actor("api_key", "key_bob", "Bob's 100% script", frozenset(Permission))
    for number in range(60):
        await audit.record(
            rt,
            (ADA, bob)[number % 2],
            ("webhook.changed", "webhook.deleted", "user.changed")[number % 3],
            target=("webhook", f"wh_{number % 3}", f"Hook {number % 3}"),
            result="failed" if number % 20 == 0 else "ok",
            detail={"number": number, "word": "needle_1" if number == 7 else "hay"},
        )


async def test_pages_follow_each_other_without_gap_or_repetition(any_rt: Runtime) -> None:
    await many(any_rt)
    async with calling(any_rt, "audit:read") as api:
        seen: list[int] = []
        cursor: dict[str, str] = {}
        while True:
            page = (await api.get("/audit", params={"limit": 7, "target": "wh_1"} | cursor)).json()
            seen += [row["detail"]["number"] for row in page["data"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
    assert seen == [number for number in range(59, -1, -1) if number % 3 == 1]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({"actor": "usr_ada"}, range(0, 60, 2)),
        ({"actor": "nobody"}, []),
        ({"action": "webhook."}, [n for n in range(60) if n % 3 < 2]),
        ({"action": "webhook"}, [n for n in range(60) if n % 3 < 2]),
        ({"action": "webhook.deleted"}, range(1, 60, 3)),
        ({"action": "webhook.del"}, []),
        ({"action": "webhook.", "actor": "key_bob", "result": "failed"}, []),
        ({"result": "failed"}, [0, 20, 40]),
        ({"q": "needle_1"}, [7]),
        ({"q": "needle%"}, []),
        ({"q": "NEEDLE"}, [7]),
        ({"q": "100% script"}, range(1, 60, 2)),
        ({"q": "Hook 2"}, range(2, 60, 3)),
        ({"since": "2100-01-01T00:00:00Z"}, []),
        ({"until": "2000-01-01T00:00:00Z"}, []),
        ({"since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}, range(60)),
    ],
)
async def test_filters(any_rt: Runtime, query: dict[str, str], numbers: Any) -> None:
    await many(any_rt)
    async with calling(any_rt, "audit:read") as api:
        found = (await api.get("/audit", params={"limit": 200} | query)).json()["data"]
    assert [row["detail"]["number"] for row in found if "number" in row["detail"]] == list(reversed(numbers))


async def test_a_span_of_time_holds_all_rows_of_it_also_when_a_clock_went_back(
    any_rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [1_000, 5_000, 2_000, 3_000, 9_000, 4_000]
    for at in times:
        monkeypatch.setattr(audit, "now_ms", lambda at=at: at)
        await audit.record(any_rt, SYSTEM, "webhook.changed", detail={"at": at})
    for since in range(0, 10_000, 1_000):
        for until in range(since, 11_000, 1_000):
            found = [detail["at"] for _, detail in await told(any_rt, since=since, until=until)]
            assert found == [at for at in times if since <= at < until]
    assert (await verify(any_rt, SYSTEM)).intact


async def test_an_address_names_a_user_whatever_it_was_when_they_acted(any_rt: Runtime) -> None:
    user = await make_user(any_rt, email="new@example.com")
    await audit.record(any_rt, Actor("user", user.id, "old@example.com", frozenset()), "webhook.changed")
    assert [row.actor.name for row in await rows(any_rt, actor="New@example.com")] == ["old@example.com"]


async def test_a_text_is_looked_for_a_window_at_a_time(any_rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("novapulse.security.audit_log._WINDOW", 25)
    await many(any_rt)
    pages: list[list[int]] = []
    below: int | None = 10**6
    while below is not None:
        async with any_rt.database.read() as session:
            found, below = await read_page(session, AuditFilter(q="needle"), below, 50)
        pages.append([row.seq for row in found])
    assert pages == [[], [], [8]]


@pytest.mark.parametrize(
    "query",
    [
        {"since": "yesterday"},
        {"result": "maybe"},
        {"cursor": "x"},
        {"cursor": "c2VxXzE5OTk5OTk5OTk5OTk5OTk5OTk5OTk"},
        {"cursor": "c2VxXy0x"},
        {"limit": "0"},
    ],
)
async def test_what_is_no_filter_is_422(rt: Runtime, query: dict[str, str]) -> None:
    async with calling(rt, "audit:read") as api:
        problem(await api.get("/audit", params=query), 422, f"/{next(iter(query))}")
        problem(await api.get("/audit/verify", params={"expect": "1:x"}), 422, "/expect")


async def exported(rt: Runtime, **query: str) -> httpx.Response:
    async with calling(rt, "audit:read") as api:
        answer = await api.get("/audit/export", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"].endswith(f'.{query["format"]}"')
    return answer


async def test_a_csv_export_is_rfc_4180_and_starts_no_formula(any_rt: Runtime) -> None:
    names = ["=1+1", "+1", "-1", "@SUM(1)", "\tx", "\rx", 'a "quoted", name\nof two lines', "plain"]
    for name in names:
        await audit.record(any_rt, ADA, "webhook.changed", target=("webhook", "wh_1", name))
    answer = await exported(any_rt, format="csv", action="webhook.")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.count("\r\n") == len(names) + 1
    found = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    shown = ["'" + name if name[0] in "=+-@\t\r" else name for name in names]
    assert [row["target_name"] for row in found] == shown[::-1]
    assert {row["actor_name"] for row in found} == {"ada@example.com"}


@pytest.mark.parametrize("count", [0, 3, 1_200])
async def test_a_json_export_has_every_row_once_and_is_recorded(rt: Runtime, count: int) -> None:
    async with rt.database.write() as session:
        for number in range(count):
            await audit.append(rt, session, ADA, "webhook.changed", detail={"number": number})
    as_array = json.loads((await exported(rt, format="json", actor="usr_ada")).text)
    as_lines = [json.loads(line) for line in (await exported(rt, format="jsonl", actor="usr_ada")).text.splitlines()]
    assert as_array == as_lines
    assert [row["detail"]["number"] for row in as_array] == list(range(count - 1, -1, -1))
    assert await told(rt, action="audit.exported") == [
        ("audit.exported", {"filter": {"actor": "usr_ada"}, "format": format_}) for format_ in ("json", "jsonl")
    ]


async def test_an_export_is_for_who_has_lately_shown_who_they_are(rt: Runtime) -> None:
    async with calling(rt, Cookie=await stale_cookie(rt)) as api:
        refused = problem(await api.get("/audit/export", params={"format": "json"}), 403)
        assert refused["type"] == "urn:novapulse:problem:reauthenticate"
        assert (await api.get("/audit")).status_code == 200
    async with calling(rt, Cookie=await make_cookie(rt, (await rows(rt))[0].target.id)) as api:
        assert (await api.get("/audit/export", params={"format": "json"})).status_code == 200


async def test_the_api_verifies(rt: Runtime) -> None:
    await service.create_webhook(rt, SYSTEM, WebhookCreate(url=PUBLIC_URL))
    async with calling(rt, "audit:read") as api:
        body = (await api.get("/audit/verify")).json()
        assert body["intact"] is True
        assert (await api.get("/audit/verify", params={"expect": body["head"]})).json()["intact"] is True
        wrong = f"1:{'0' * 64}"
        assert (await api.get("/audit/verify", params={"expect": wrong})).json()["bad_seq"] == 1


async def test_filters_find_their_rows_by_an_index(any_rt: Runtime) -> None:
    await many(any_rt)
    expected = {
        "actor_id = 'usr_ada'": "ix_audit_actor",
        "target_id = 'wh_1'": "ix_audit_target",
        "action = 'webhook.deleted'": "ix_audit_action",
        "noun = 'webhook'": "ix_audit_noun",
        "result = 'failed'": "ix_audit_result",
    }
    explain = "EXPLAIN QUERY PLAN" if any_rt.database.is_sqlite else "EXPLAIN"
    async with any_rt.database.read() as session:
        if not any_rt.database.is_sqlite:
            await session.execute(text("SET enable_seqscan = off"))
            await session.execute(text("SET enable_sort = off"))
            await session.execute(text("SET enable_bitmapscan = off"))
        for condition, index in expected.items():
            query = (
                f"{explain} SELECT * FROM audit WHERE seq >= 1 AND seq <= 99 AND {condition} ORDER BY seq DESC LIMIT 9"
            )
            plan = " ".join(str(row) for row in (await session.execute(text(query))).all())
            assert index in plan, plan
            assert "TEMP B-TREE" not in plan and "Sort" not in plan, plan
