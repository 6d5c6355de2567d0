"""`/deliveries` over HTTP: finding them, sending one again, calling one off."""

from __future__ import annotations

import asyncio

import httpx
import orjson
import pytest
from sqlalchemy import text

from novapulse.core.runtime import Runtime
from novapulse.webhooks.engine import Engine
from novapulse.webhooks.handout import hand_out
from tests.calls import calling, problem
from tests.receiver import Answer, Receiver, receiving


async def owe(api: httpx.AsyncClient, receiver: Receiver, **values: object) -> str:
    """A delivery that waits, by a webhook of its own; its id."""
    made = (await api.post("/webhooks", json={"url": receiver.url()} | values)).json()
    await api.post("/events", json={"type": "a.b", "data": 1})
    (delivery,) = (await api.get(f"/webhooks/{made['id']}/deliveries")).json()["data"]
    return delivery["id"]


async def work(rt: Runtime, *ids: str) -> None:
    engine = Engine(rt, "w1")
    await engine.deliver(list(ids))
    await engine.stop(1)


async def hold(rt: Runtime, id_: str) -> None:
    """What the engine does with a delivery whose turn has not come."""
    async with rt.database.write() as session:
        await session.execute(text("UPDATE delivery SET next_attempt_at = NULL WHERE id = :id"), {"id": id_})


async def set_status(rt: Runtime, status: str) -> None:
    async with rt.database.write() as session:
        await session.execute(text("UPDATE delivery SET status = :status"), {"status": status})


async def test_filters_find_what_they_name(any_rt: Runtime) -> None:
    with receiving(lambda arrival: Answer(200 if arrival.path == "/good" else 500)) as receiver:
        async with calling(any_rt, "*") as api:
            hooks = {}
            for path in ("/good", "/bad"):
                body = {"url": receiver.url(path), "retry": {"schedule_s": [0]}}
                hooks[path] = (await api.post("/webhooks", json=body)).json()["id"]
            events = [
                (await api.post("/events", json={"type": type_, "data": 1})).json()["id"] for type_ in ("a.b", "a.c")
            ]
            every = (await api.get("/deliveries")).json()["data"]
            await work(any_rt, *(row["id"] for row in every if row["event_id"] == events[0]))

            async def found(query: str) -> set[tuple[str, str, str]]:
                rows = (await api.get(f"/deliveries?{query}")).json()["data"]
                return {(row["webhook_id"], row["event_id"], row["status"]) for row in rows}

            good, bad = hooks["/good"], hooks["/bad"]
            first = {(good, events[0], "delivered"), (bad, events[0], "failed")}
            second = {(good, events[1], "pending"), (bad, events[1], "pending")}
            assert [row["id"] for row in every] == sorted((row["id"] for row in every), reverse=True)
            assert await found("") == first | second
            assert await found(f"event_id={events[0]}") == first
            assert await found(f"webhook_id={good}&status=delivered") == {(good, events[0], "delivered")}
            assert await found("status=pending") == second
            assert await found("event_type=a.c") == second
            assert await found("until=2020-01-01T00:00:00Z") == set()
            assert await found("since=2020-01-01T00:00:00Z") == first | second
            mine = (await api.get(f"/webhooks/{bad}/deliveries?status=failed")).json()["data"]
            assert [(row["webhook_id"], row["status"]) for row in mine] == [(bad, "failed")]
            page = (await api.get("/deliveries?limit=3")).json()
            rest = (await api.get("/deliveries", params={"limit": 3, "cursor": page["next_cursor"]})).json()
            assert [row["id"] for row in page["data"] + rest["data"]] == [row["id"] for row in every]


async def test_the_detail_shows_every_attempt_and_hides_credentials(any_rt: Runtime) -> None:
    with receiving(lambda _: Answer(500, {"set-cookie": "a=b"}, b"broken \xff\x00 text")) as receiver:
        async with calling(any_rt, "*") as api:
            headers = {"Authorization": "Bearer hidden-value", "X-Team": "pay"}
            id_ = await owe(api, receiver, headers=headers, retry={"schedule_s": [0]})
            await work(any_rt, id_)
            response = await api.get(f"/deliveries/{id_}")
    detail = response.json()
    (attempt,) = detail["attempts"]
    assert (detail["status"], attempt["number"], attempt["status_code"]) == ("failed", 1, 500)
    assert attempt["response_body"].startswith("broken")
    assert attempt["request_headers"]["X-Team"] == "pay"
    assert "hidden-value" not in response.text
    assert receiver.arrivals[0].headers["authorization"] == "Bearer hidden-value"
    assert detail["body"] == receiver.arrivals[0].body.decode()


async def test_what_ended_is_sent_once_more_when_asked(any_rt: Runtime) -> None:
    statuses = [500, 500, 200]
    with receiving(lambda _: Answer(statuses.pop(0))) as receiver:
        async with calling(any_rt, "*") as api:
            id_ = await owe(api, receiver, retry={"schedule_s": [0]})
            await work(any_rt, id_)
            for expected in ("failed", "delivered"):
                retried = await api.post(f"/deliveries/{id_}/retry")
                assert (retried.status_code, retried.json()["status"]) == (202, "retrying")
                await work(any_rt, id_)
                assert (await api.get(f"/deliveries/{id_}")).json()["status"] == expected
            attempts = (await api.get(f"/deliveries/{id_}")).json()["attempts"]
            assert [attempt["number"] for attempt in attempts] == [1, 2, 3]
            statuses.append(200)
            assert (await api.post(f"/deliveries/{id_}/retry")).status_code == 202, "also what was delivered"


async def test_what_is_cancelled_is_not_sent_and_can_be_sent_after_all(any_rt: Runtime) -> None:
    with receiving() as receiver:
        async with calling(any_rt, "*") as api:
            id_ = await owe(api, receiver)
            cancelled = (await api.post(f"/deliveries/{id_}/cancel")).json()
            assert (cancelled["status"], cancelled["next_attempt_at"]) == ("cancelled", None)
            assert cancelled["finished_at"]
            await work(any_rt, id_)
            assert not receiver.arrivals
            problem(await api.post(f"/deliveries/{id_}/cancel"), 409)
            assert (await api.post(f"/deliveries/{id_}/retry")).status_code == 202
            await work(any_rt, id_)
            assert len(receiver.arrivals) == 1
            assert (await api.get(f"/deliveries/{id_}")).json()["status"] == "delivered"


async def test_a_cancelled_head_of_an_ordered_webhook_lets_the_next_go(any_rt: Runtime) -> None:
    with receiving() as receiver:
        async with calling(any_rt, "*") as api:
            await api.post("/webhooks", json={"url": receiver.url(), "ordered": True})
            for n in range(2):
                await api.post("/events", json={"type": "a.b", "data": n})
            second, first = (row["id"] for row in (await api.get("/deliveries")).json()["data"])
            engine = Engine(any_rt, "w1")
            await hold(any_rt, second)
            await api.post(f"/deliveries/{first}/cancel")
            assert await hand_out(any_rt) == 1
            await engine.deliver([second])
            while not receiver.arrivals:
                await asyncio.sleep(0.02)
            await engine.stop(1)
            assert (await api.get(f"/deliveries/{second}")).json()["status"] == "delivered"
        assert [orjson.loads(arrival.body)["data"] for arrival in receiver.arrivals] == [1]


@pytest.mark.parametrize(
    ("status", "retry", "cancel"),
    [
        ("pending", 409, 200),
        ("sending", 409, 409),
        ("retrying", 202, 200),
        ("delivered", 202, 409),
        ("failed", 202, 409),
        ("cancelled", 202, 409),
    ],
)
async def test_each_status_allows_what_makes_sense(rt: Runtime, status: str, retry: int, cancel: int) -> None:
    with receiving() as receiver:
        async with calling(rt, "*") as api:
            id_ = await owe(api, receiver)
            for act, expected in (("retry", retry), ("cancel", cancel)):
                await set_status(rt, status)
                response = await api.post(f"/deliveries/{id_}/{act}")
                assert response.status_code == expected, response.text
                if expected == 409:
                    problem(response, 409)
                    assert (await api.get(f"/deliveries/{id_}")).json()["status"] == status


async def test_what_is_not_there_or_another_tenants_is_404(any_rt: Runtime) -> None:
    with receiving() as receiver:
        async with calling(any_rt, "*") as api, calling(any_rt, "*", tenant="acme") as acme:
            id_ = await owe(api, receiver)
            for client, missing in ((api, "dlv_0"), (acme, id_)):
                problem(await client.get(f"/deliveries/{missing}"), 404)
                problem(await client.post(f"/deliveries/{missing}/retry"), 404)
                problem(await client.post(f"/deliveries/{missing}/cancel"), 404)
            assert (await acme.get("/deliveries")).json()["data"] == []
            assert (await api.get(f"/deliveries/{id_}")).json()["status"] == "pending"
