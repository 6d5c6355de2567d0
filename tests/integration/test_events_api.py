"""`/events` over HTTP: an answer means stored, once, with every delivery that is owed."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import text

from novapulse.core.runtime import Runtime
from novapulse.security import api_keys
from tests.calls import PUBLIC_URL, calling, problem, row_counts


async def stored(rt: Runtime, query: str) -> list[tuple[Any, ...]]:
    async with rt.database.read() as session:
        return [tuple(row) for row in await session.execute(text(query))]


async def test_an_event_is_stored_with_a_delivery_for_each_webhook_that_takes_it(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        for types in (["*"], ["invoice.*"], ["invoice.paid", "*"], ["invoice"], ["order.*"]):
            await api.post("/webhooks", json={"url": PUBLIC_URL, "event_types": types})
        await api.post("/webhooks", json={"url": PUBLIC_URL, "tenant": "acme"})
        sent = {"type": "invoice.paid", "data": {"n": 1}, "id": "mine-1", "timestamp": "2026-11-23T12:00:00+01:00"}
        response = await api.post("/events", json=sent)
        assert response.status_code == 202
        accepted = response.json()
        assert (accepted["type"], accepted["deliveries"]) == ("invoice.paid", 3)
        assert accepted["timestamp"] == "2026-11-23T11:00:00.000Z"
        detail = (await api.get(f"/events/{accepted['id']}")).json()
    assert (detail["data"], detail["sender_id"], detail["delivery_count"]) == ({"n": 1}, "mine-1", 3)
    assert len({delivery["webhook_id"] for delivery in detail["deliveries"]}) == 3
    assert {delivery["status"] for delivery in detail["deliveries"]} == {"pending"}


async def test_any_json_comes_back_as_it_was_sent(any_rt: Runtime) -> None:
    big = 12345678901234567890123
    async with calling(any_rt, "*") as api:
        for data in (None, False, 0, "", [], {}, "ünï ✓ 🎉", big, -0.5, {"a": [{"b": [1, None, -big]}]}):
            response = await api.post("/events", json={"type": "a.b", "data": data})
            assert response.status_code == 202, response.text
            assert (await api.get(f"/events/{response.json()['id']}")).json()["data"] == data
    bodies = [row[0] for row in await stored(any_rt, "SELECT body FROM event ORDER BY id")]
    assert bodies[6].endswith('"data":"ünï ✓ 🎉"}')
    assert bodies[7].endswith('"data":12345678901234567890123}')


async def test_an_example_of_a_type_keeps_big_integers(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        body = {"name": "big.one", "example": {"n": 12345678901234567890123}}
        assert (await api.post("/event-types", json=body)).json()["example"] == body["example"]
        assert (await api.get("/event-types/big.one")).json()["example"] == body["example"]


async def test_a_batch_takes_the_good_and_says_what_is_wrong_with_the_rest(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        await api.post("/webhooks", json={"url": PUBLIC_URL})
        events = [
            {"type": "a.b", "data": 1},
            {"type": "a b", "data": 1},
            "not an event",
            {"type": "a.b", "data": 2, "id": "same"},
            {"type": "a.b", "data": 2, "id": "same"},
            {"type": "a.b", "data": 3, "id": "same"},
            {"type": "a.b", "data": "x" * any_rt.settings.max_body_bytes},
        ]
        response = await api.post("/events/batch", json={"events": events})
        assert response.status_code == 202
        answer = response.json()
    items = answer["events"]
    assert answer["accepted"] == 3
    assert [item.get("error", {}).get("status") for item in items] == [None, 422, 422, None, None, 409, 413]
    assert items[1]["error"]["errors"][0]["pointer"] == "/type"
    assert items[3] == items[4], "the same id and the same event is one event"
    assert items[0]["deliveries"] == 1
    counts = await row_counts(any_rt)
    assert (counts["event"], counts["delivery"]) == (2, 2)


async def test_the_senders_id_makes_one_event_of_many_calls(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        await api.post("/webhooks", json={"url": PUBLIC_URL})
        event = {"type": "a.b", "data": {"n": 1}, "id": "order-7"}
        answers = await asyncio.gather(*(api.post("/events", json=event) for _ in range(30)))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.text for answer in answers}) == 1
        problem(await api.post("/events", json=event | {"data": {"n": 2}}), 409)
        other = await api.post("/events", json=event | {"tenant": "acme"})
        assert other.json()["id"] != answers[0].json()["id"], "each tenant has ids of its own"
    counts = await row_counts(any_rt)
    assert (counts["event"], counts["delivery"]) == (2, 1)


async def test_two_hundred_at_once_are_each_stored_once(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        await api.post("/webhooks", json={"url": PUBLIC_URL})
        await api.post("/webhooks", json={"url": PUBLIC_URL})
        calls = [api.post("/events", json={"type": "a.b", "data": n}) for n in range(200)]
        answers = [response.json() for response in await asyncio.gather(*calls)]
    assert {answer["deliveries"] for answer in answers} == {2}
    rows = await stored(any_rt, "SELECT e.id, count(d.id) FROM event e JOIN delivery d ON d.event_id = e.id GROUP BY 1")
    assert sorted(rows) == sorted((answer["id"], 2) for answer in answers)


async def test_an_idempotency_key_gives_the_first_answer_again(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        key = {"Idempotency-Key": "call-1"}
        first = await api.post("/webhooks", json={"url": PUBLIC_URL, "name": "one"}, headers=key)
        again = await api.post("/webhooks", json={"url": PUBLIC_URL, "name": "one"}, headers=key)
        assert (again.status_code, again.json()) == (201, first.json())
        assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
        problem(await api.post("/webhooks", json={"url": PUBLIC_URL, "name": "two"}, headers=key), 409)
        event = await api.post("/events", json={"type": "a.b", "data": 1}, headers=key)
        assert event.status_code == 202, "a key belongs to one address"
        async with calling(any_rt, "*") as other:
            mine = await other.post("/webhooks", json={"url": PUBLIC_URL, "name": "one"}, headers=key)
            assert mine.json()["id"] != first.json()["id"], "and to one caller"
        for wrong in ("", "x" * 256):
            problem(await api.post("/events", json={}, headers={"Idempotency-Key": wrong}), 400)
    (sealed,) = (row[0] for row in await stored(any_rt, "SELECT body FROM idempotent_answer WHERE status = 202"))
    assert "evt_" not in sealed, "answers may hold secrets: they are encrypted"


async def test_a_refused_call_leaves_its_idempotency_key_free(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        key = {"Idempotency-Key": "call-1"}
        problem(await api.post("/webhooks", json={"url": "http://10.0.0.1/"}, headers=key), 422, "/url")
        assert (await api.post("/webhooks", json={"url": PUBLIC_URL}, headers=key)).status_code == 201


async def test_calls_with_one_idempotency_key_at_once_do_it_once(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        call = {"json": {"url": PUBLIC_URL}, "headers": {"Idempotency-Key": "call-1"}}
        answers = await asyncio.gather(*(api.post("/webhooks", **call) for _ in range(10)))
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert (await row_counts(any_rt))["webhook"] == 1


async def test_a_revoked_key_gets_no_old_answer(rt: Runtime, actor: Any) -> None:
    async with calling(rt, "*") as api:
        call = {"json": {"url": PUBLIC_URL}, "headers": {"Idempotency-Key": "call-1"}}
        assert (await api.post("/webhooks", **call)).status_code == 201
        (key,) = (await api_keys.list_api_keys(rt, actor)).data
        await api_keys.revoke_api_key(rt, actor, key.id)
        problem(await api.post("/webhooks", **call), 401)


async def test_lists_filter_and_page(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        made = []
        for n, (type_, tenant) in enumerate([("a.b", None), ("a.c", "acme"), ("a", None), ("ab.c", None)]):
            body = {"type": type_, "data": {"text": f"number {n} 50%"}, "id": f"own-{n}"}
            made.append((await api.post("/events", json=body | ({"tenant": tenant} if tenant else {}))).json()["id"])

        async def ids(query: str) -> list[int]:
            return [made.index(row["id"]) for row in (await api.get(f"/events?{query}")).json()["data"]]

        assert await ids("") == [3, 2, 1, 0]
        assert await ids("type=a.b") == [0]
        assert await ids("type=a.*") == [1, 0]
        assert await ids("tenant=acme") == [1]
        assert await ids("q=own-2") == [2]
        assert await ids("q=number+3") == [3]
        assert await ids("q=0%25") == [3, 2, 1, 0]
        assert await ids("q=%25x") == []
        assert await ids("since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z") == []
        assert await ids("since=2020-01-01T00:00:00Z") == [3, 2, 1, 0]
        first = (await api.get("/events?limit=3")).json()
        rest = (await api.get("/events", params={"limit": 3, "cursor": first["next_cursor"]})).json()
        assert [made.index(row["id"]) for row in first["data"] + rest["data"]] == [3, 2, 1, 0]
        assert rest["next_cursor"] is None


async def test_a_tenants_key_sends_and_sees_its_own_events_only(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api, calling(any_rt, "*", tenant="acme") as acme:
        other = (await api.post("/events", json={"type": "a.b", "data": 1, "tenant": "other"})).json()["id"]
        mine = (await acme.post("/events", json={"type": "a.b", "data": 1})).json()["id"]
        assert [row["id"] for row in (await acme.get("/events?tenant=other")).json()["data"]] == [mine]
        problem(await acme.get(f"/events/{other}"), 404)
        problem(await acme.post("/events", json={"type": "a.b", "data": 1, "tenant": "other"}), 403)
        batch = [{"type": "a.b", "data": 1}, {"type": "a.b", "data": 1, "tenant": "other"}]
        answer = (await acme.post("/events/batch", json={"events": batch})).json()
        assert [item.get("error", {}).get("status") for item in answer["events"]] == [None, 403]
