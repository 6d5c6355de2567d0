"""`/webhooks` over HTTP: making, finding, changing, pausing, testing and deleting them."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from standardwebhooks import Webhook as Verifier

from novapulse.core.runtime import Runtime
from novapulse.webhooks.handout import hand_out
from novapulse.webhooks.schemas import MASK
from tests.calls import PUBLIC_URL, calling, problem, row_counts
from tests.receiver import Answer, receiving


async def make(api: httpx.AsyncClient, **values: Any) -> dict[str, Any]:
    response = await api.post("/webhooks", json={"url": PUBLIC_URL} | values)
    assert response.status_code == 201, response.text
    return response.json()


async def ids(api: httpx.AsyncClient, query: str) -> list[str]:
    response = await api.get(f"/webhooks?{query}")
    assert response.status_code == 200, response.text
    return [webhook["id"] for webhook in response.json()["data"]]


async def test_what_was_sent_is_what_is_read_back(any_rt: Runtime) -> None:
    sent = {
        "url": PUBLIC_URL,
        "name": "Billing ✓",
        "description": "for the ledger",
        "tenant": "acme",
        "event_types": ["invoice.*", "order.created"],
        "rate_limit": 2.5,
        "timeout_s": 7,
        "retry": {"schedule_s": [0, 30, 60]},
        "ordered": True,
    }
    async with calling(any_rt, "*") as api:
        made = await make(api, **sent, headers={"X-Team": "pay", "Authorization": "Bearer hidden"})
        read = (await api.get(f"/webhooks/{made['id']}")).json()
        assert "secret" not in read
        assert {name: read[name] for name in sent} == sent
        assert read["headers"] == {"X-Team": "pay", "Authorization": MASK}
        assert (read["status"], read["health"]) == ("active", "idle")
        assert made == read | {"secret": made["secret"]}


async def test_headers_and_secrets_are_encrypted_at_rest(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        made = await make(api, headers={"X-Api-Key": "hidden-value"})
    async with any_rt.database.read() as session:
        headers = (await session.execute(text("SELECT headers FROM webhook"))).scalar_one()
        secret = (await session.execute(text("SELECT secret FROM webhook_secret"))).scalar_one()
    assert headers
    assert "hidden-value" not in headers
    assert made["secret"].removeprefix("whsec_") not in secret


async def test_a_patch_changes_what_it_names_and_nothing_else(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        made = await make(api, name="old", tenant="acme", rate_limit=5, headers={"X-Token": "kept", "X-Team": "pay"})
        patch = {"name": "new", "rate_limit": None, "headers": {"X-Token": MASK, "X-Team": "ops"}}
        changed = (await api.patch(f"/webhooks/{made['id']}", json=patch)).json()
        assert (changed["name"], changed["rate_limit"], changed["tenant"]) == ("new", None, "acme")
        assert changed["headers"] == {"X-Token": MASK, "X-Team": "ops"}
        same = {"url", "description", "event_types", "timeout_s", "retry", "ordered", "status", "created_at"}
        assert {name: changed[name] for name in same} == {name: made[name] for name in same}


async def test_a_masked_header_that_is_sent_back_keeps_its_value(rt: Runtime) -> None:
    with receiving() as receiver:
        async with calling(rt, "*") as api:
            made = await make(api, url=receiver.url(), headers={"X-Token": "kept"})
            headers = {"X-Token": MASK, "X-Other": "new"}
            assert (await api.patch(f"/webhooks/{made['id']}", json={"headers": headers})).status_code == 200
            await api.post(f"/webhooks/{made['id']}/test")
        sent = receiver.arrivals[0].headers
        assert (sent["x-token"], sent["x-other"]) == ("kept", "new")


async def test_a_mask_without_a_value_behind_it_is_refused(rt: Runtime) -> None:
    async with calling(rt, "*") as api:
        problem(await api.post("/webhooks", json={"url": PUBLIC_URL, "headers": {"X-Token": MASK}}), 422, "/headers")
        made = await make(api)
        masked = await api.patch(f"/webhooks/{made['id']}", json={"headers": {"X-Token": MASK}})
        problem(masked, 422, "/headers/X-Token")


async def test_deleting_takes_the_deliveries_and_keeps_the_events(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        made = await make(api)
        await api.post("/events", json={"type": "a.b", "data": 1})
        assert (await api.delete(f"/webhooks/{made['id']}")).status_code == 204
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/secret"), ("GET", "/stats")):
            body = {"json": {}} if method == "PATCH" else {}
            problem(await api.request(method, f"/webhooks/{made['id']}{path}", **body), 404)
        problem(await api.post(f"/webhooks/{made['id']}/rotate-secret"), 404)
        problem(await api.post(f"/webhooks/{made['id']}/test"), 404)
        problem(await api.get(f"/webhooks/{made['id']}/deliveries"), 404)
    counts = await row_counts(any_rt)
    assert (counts["webhook"], counts["webhook_secret"], counts["delivery"], counts["event"]) == (0, 0, 0, 1)


async def test_filters_find_what_they_name(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        billing = (await make(api, name="Billing 100%", event_types=["invoice.*"], tenant="acme"))["id"]
        orders = (await make(api, description="all_orders", event_types=["order.created"]))["id"]
        await api.patch(f"/webhooks/{orders}", json={"status": "paused"})
        assert await ids(api, "") == [orders, billing], "newest first"
        assert await ids(api, "tenant=acme") == [billing]
        assert await ids(api, "status=paused") == [orders]
        assert await ids(api, "status=disabled") == []
        assert await ids(api, "health=idle") == [orders, billing]
        assert await ids(api, "health=failing") == []
        assert await ids(api, "event_type=invoice.paid") == [billing]
        assert await ids(api, "q=bILLing") == [billing]
        assert await ids(api, "q=100%25") == [billing], "a % of the user's is no wildcard"
        assert await ids(api, "q=l_o") == [orders], "nor is a _"
        assert await ids(api, f"q={orders}") == [orders]
        assert await ids(api, "q=billing&status=paused") == []


async def test_pages_hold_every_row_once_and_survive_a_deletion(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        made = [(await make(api, name=f"n{n}"))["id"] for n in range(7)]
        first = (await api.get("/webhooks?limit=3")).json()
        # The row that the cursor names goes away; the next page is the same all the same.
        await api.delete(f"/webhooks/{first['data'][-1]['id']}")
        second = (await api.get("/webhooks", params={"limit": 3, "cursor": first["next_cursor"]})).json()
        third = (await api.get("/webhooks", params={"limit": 3, "cursor": second["next_cursor"]})).json()
        assert [row["id"] for page in (first, second, third) for row in page["data"]] == made[::-1]
        assert third["next_cursor"] is None
        exact = (await api.get("/webhooks?limit=6")).json()
        assert (len(exact["data"]), exact["next_cursor"]) == (6, None)


async def test_a_cursor_that_is_not_of_this_list_is_refused(rt: Runtime) -> None:
    async with calling(rt, "*") as api:
        for cursor in ("nonsense", "ZXZ0XzAx", "d2hfAA", "", "%F0%9F%92%A5"):
            problem(await api.get(f"/webhooks?cursor={cursor}"), 422, "/cursor")


async def test_the_secret_is_32_random_bytes_and_rotation_overlaps(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        made = await make(api)
        first = made["secret"]
        assert len(base64.b64decode(first.removeprefix("whsec_"))) == 32
        assert first != (await make(api))["secret"]
        path = f"/webhooks/{made['id']}"
        shown = await api.get(f"{path}/secret")
        assert (shown.json(), shown.headers["cache-control"]) == ({"secret": first, "previous": []}, "no-store")
        rotated = (await api.post(f"{path}/rotate-secret", json={"overlap_s": 3600})).json()
        assert rotated["secret"] != first
        assert [each["secret"] for each in rotated["previous"]] == [first]
        at_once = (await api.post(f"{path}/rotate-secret", json={"overlap_s": 0})).json()
        assert rotated["secret"] not in (at_once["secret"], *(each["secret"] for each in at_once["previous"]))
        assert (await api.get(f"{path}/secret")).json() == at_once


async def test_during_the_overlap_each_delivery_carries_both_signatures(rt: Runtime) -> None:
    with receiving() as receiver:
        async with calling(rt, "*") as api:
            made = await make(api, url=receiver.url())
            new = (await api.post(f"/webhooks/{made['id']}/rotate-secret")).json()["secret"]
            await api.post(f"/webhooks/{made['id']}/test")
        (arrival,) = receiver.arrivals
        assert len(arrival.headers["webhook-signature"].split()) == 2
        for secret in (made["secret"], new):
            Verifier(secret).verify(arrival.body, arrival.headers)


async def test_a_paused_webhook_collects_and_an_active_one_lets_go(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        made = await make(api)
        path = f"/webhooks/{made['id']}"
        assert (await api.patch(path, json={"status": "paused"})).json()["status"] == "paused"
        assert (await api.post("/events", json={"type": "a.b", "data": 1})).json()["deliveries"] == 1
        (held,) = (await api.get(f"{path}/deliveries")).json()["data"]
        assert (held["status"], held["next_attempt_at"]) == ("pending", None)
        assert await hand_out(any_rt) == 0
        assert (await api.patch(path, json={"status": "active"})).json()["status"] == "active"
        assert await hand_out(any_rt) == 1


async def test_a_test_send_answers_with_the_recorded_attempt(any_rt: Runtime) -> None:
    with receiving(lambda _: Answer(503, {"x-why": "busy"}, b"later")) as receiver:
        async with calling(any_rt, "*") as api:
            made = await make(api, url=receiver.url())
            await api.patch(f"/webhooks/{made['id']}", json={"status": "paused"})
            body = {"event_type": "invoice.paid", "data": {"n": 1}}
            attempt = (await api.post(f"/webhooks/{made['id']}/test", json=body)).json()
            assert (attempt["ok"], attempt["status_code"], attempt["response_body"]) == (False, 503, "later")
            assert attempt["response_headers"]["x-why"] == "busy"
            delivery = (await api.get(f"/deliveries/{attempt['delivery_id']}")).json()
        assert (delivery["status"], delivery["attempt_count"], delivery["event_type"]) == ("failed", 1, "invoice.paid")
        assert delivery["attempts"] == [attempt]
        payload = Verifier(made["secret"]).verify(receiver.arrivals[0].body, receiver.arrivals[0].headers)
        assert (payload["type"], payload["data"]) == ("invoice.paid", {"n": 1})


async def test_stats_count_what_happened(any_rt: Runtime) -> None:
    answers = iter([200, 200, 500])
    with receiving(lambda _: Answer(next(answers))) as receiver:
        async with calling(any_rt, "*") as api:
            made = await make(api, url=receiver.url())
            for _ in range(3):
                await api.post(f"/webhooks/{made['id']}/test")
            await api.post("/events", json={"type": "a.b", "data": 1})
            stats = (await api.get(f"/webhooks/{made['id']}/stats?window=15m")).json()
            assert (await api.get(f"/webhooks/{made['id']}")).json()["health"] == "degraded"
            assert await ids(api, "health=degraded") == [made["id"]]
    assert (stats["delivered"], stats["failed"], stats["attempts"], stats["failed_attempts"]) == (2, 1, 3, 1)
    assert stats["success_rate"] == pytest.approx(2 / 3)
    assert stats["open"] == {"pending": 1, "sending": 0, "retrying": 0}
    assert 0 < stats["p50_ms"] <= stats["p95_ms"] <= stats["p99_ms"]
    assert len(stats["series"]) == 15
    assert sum(point["attempts"] for point in stats["series"]) == 3


async def test_a_tenants_key_sees_and_touches_its_own_webhooks_only(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api, calling(any_rt, "*", tenant="acme") as acme:
        other = await make(api, tenant="other")
        mine = await make(acme)
        assert mine["tenant"] == "acme"
        assert await ids(acme, "") == [mine["id"]]
        assert await ids(acme, "tenant=other") == [mine["id"]], "the filter cannot widen"
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/secret"), ("POST", "/test")):
            body = {"json": {}} if method == "PATCH" else {}
            problem(await acme.request(method, f"/webhooks/{other['id']}{path}", **body), 404)
        problem(await acme.post("/webhooks", json={"url": PUBLIC_URL, "tenant": "other"}), 403)
        problem(await acme.patch(f"/webhooks/{mine['id']}", json={"tenant": "other"}), 403)
