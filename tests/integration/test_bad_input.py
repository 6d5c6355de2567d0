"""Whatever is wrong with a call, the answer says what and where, and nothing is written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from novapulse.core.runtime import Runtime
from tests.calls import PUBLIC_URL, calling, problem, row_counts

JSON = {"Content-Type": "application/json"}
EVENT = {"type": "a.b", "data": 1}
HOOK = {"url": PUBLIC_URL}

# path, body, the place that the answer points to
INVALID: list[tuple[str, Any, str]] = [
    ("/webhooks", {}, "/url"),
    ("/webhooks", HOOK | {"colour": "red"}, "/colour"),
    ("/webhooks", HOOK | {"timeout_s": "soon"}, "/timeout_s"),
    ("/webhooks", HOOK | {"timeout_s": 31}, "/timeout_s"),
    ("/webhooks", HOOK | {"timeout_s": 0.5}, "/timeout_s"),
    ("/webhooks", HOOK | {"rate_limit": 0}, "/rate_limit"),
    ("/webhooks", HOOK | {"rate_limit": 1e-320}, "/rate_limit"),
    ("/webhooks", HOOK | {"rate_limit": 10**30}, "/rate_limit"),
    ("/webhooks", HOOK | {"tenant": "a b"}, "/tenant"),
    ("/webhooks", HOOK | {"tenant": ""}, "/tenant"),
    ("/webhooks", HOOK | {"name": "x" * 201}, "/name"),
    ("/webhooks", HOOK | {"name": ["x"]}, "/name"),
    ("/webhooks", HOOK | {"ordered": "perhaps"}, "/ordered"),
    ("/webhooks", HOOK | {"event_types": []}, "/event_types"),
    ("/webhooks", HOOK | {"event_types": ["ok", "*.paid"]}, "/event_types/1"),
    ("/webhooks", HOOK | {"event_types": ["invoice.**"]}, "/event_types/0"),
    ("/webhooks", HOOK | {"event_types": ["in voice"]}, "/event_types/0"),
    ("/webhooks", HOOK | {"event_types": ["invoice."]}, "/event_types/0"),
    ("/webhooks", HOOK | {"event_types": ["x" * 129]}, "/event_types/0"),
    ("/webhooks", HOOK | {"headers": {"Host": "evil"}}, "/headers"),
    ("/webhooks", HOOK | {"headers": {"Webhook-Signature": "v1,forged"}}, "/headers"),
    ("/webhooks", HOOK | {"headers": {"X-A": "b\r\nX-Injected: 1"}}, "/headers"),
    ("/webhooks", HOOK | {"headers": {"X A": "b"}}, "/headers"),
    ("/webhooks", HOOK | {"headers": {"X-A": 1}}, "/headers/X-A"),
    ("/webhooks", HOOK | {"retry": {"schedule_s": []}}, "/retry/schedule_s"),
    ("/webhooks", HOOK | {"retry": {"schedule_s": [0, -1]}}, "/retry/schedule_s/1"),
    ("/webhooks", HOOK | {"retry": {"schedule_s": [0] * 21}}, "/retry/schedule_s"),
    ("/webhooks", HOOK | {"retry": {"every": 5}}, "/retry/every"),
    ("/webhooks", HOOK | {"name": "a\0b"}, "/name"),
    ("/events", {"type": "a.b"}, "/data"),
    ("/events", EVENT | {"type": "a b"}, "/type"),
    ("/events", EVENT | {"type": ""}, "/type"),
    ("/events", EVENT | {"type": 5}, "/type"),
    ("/events", EVENT | {"id": ""}, "/id"),
    ("/events", EVENT | {"id": "x" * 129}, "/id"),
    ("/events", EVENT | {"id": "a\0"}, "/id"),
    ("/events", EVENT | {"data": {"deep": ["ok", {"no/t~": "a\0b"}]}}, "/data/deep/1/no~1t~0"),
    ("/events", EVENT | {"timestamp": "yesterday"}, "/timestamp"),
    ("/events", EVENT | {"timestamp": "2026-11-23T12:00:00"}, "/timestamp"),
    ("/events", EVENT | {"timestamp": "9999-12-31T23:59:59-14:00"}, "/timestamp"),
    ("/events", EVENT | {"timestamp": "0001-01-01T00:00:00+14:00"}, "/timestamp"),
    ("/events", EVENT | {"extra": 1}, "/extra"),
    ("/events/batch", {"events": []}, "/events"),
    ("/events/batch", {"events": [EVENT] * 1001}, "/events"),
    ("/events/batch", {"events": "all"}, "/events"),
    ("/event-types", {"name": "a..b"}, "/name"),
    ("/event-types", {"name": "*"}, "/name"),
    ("/api-keys", {"name": "", "scopes": ["*"]}, "/name"),
    ("/api-keys", {"name": "x", "scopes": []}, "/scopes"),
    ("/api-keys", {"name": "x", "scopes": ["events:erase"]}, "/scopes"),
    ("/api-keys", {"name": "x", "scopes": ["*"], "tenant": ""}, "/tenant"),
    ("/api-keys", {"name": "x", "scopes": ["*"], "tenant": "a b"}, "/tenant"),
    ("/users", {"email": "nobody", "password": "an uncommonly long phrase"}, "/email"),
    ("/users", {"email": "a@example.com", "password": "short"}, "/password"),
    ("/users", {"email": "a@example.com", "password": "a" * 30}, "/password"),
    ("/users", {"email": "a@example.com", "password": "an uncommonly long phrase", "role": "root"}, "/role"),
]


@pytest.fixture
async def api(any_rt: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(any_rt, "*") as client:
        yield client


async def test_what_is_invalid_is_422_at_its_place_and_writes_nothing(any_rt: Runtime, api: httpx.AsyncClient) -> None:
    before = await row_counts(any_rt)
    wrong: list[str] = []
    for path, body, pointer in INVALID:
        try:
            problem(await api.post(path, json=body, headers={"Idempotency-Key": f"{path} {body}"[:200]}), 422, pointer)
        except AssertionError as error:
            wrong.append(f"{path} {str(body)[:80]}: {str(error)[:300]}")
    assert not wrong, "\n".join(wrong)
    assert await row_counts(any_rt) == before


async def test_an_invalid_change_changes_nothing(any_rt: Runtime, api: httpx.AsyncClient) -> None:
    made = (await api.post("/webhooks", json=HOOK)).json()
    path = f"/webhooks/{made['id']}"
    before = (await api.get(path)).json()
    for patch, pointer in (
        ({"name": "new", "url": "http://10.0.0.1/"}, "/url"),
        ({"name": "new", "url": None}, "/url"),
        ({"name": "new", "status": "disabled"}, "/status"),
        ({"name": "new", "id": "wh_1"}, "/id"),
        ({"name": "new", "event_types": ["*.x"]}, "/event_types/0"),
    ):
        problem(await api.patch(path, json=patch), 422, pointer)
    for body in ({"overlap_s": -1}, {"overlap_s": 30 * 86_400 + 1}, {"overlap_s": "1 day"}):
        problem(await api.post(f"{path}/rotate-secret", json=body), 422, "/overlap_s")
    problem(await api.post(f"{path}/test", json={"event_type": "a b"}), 422, "/event_type")
    assert (await api.get(path)).json() == before
    assert (await row_counts(any_rt))["webhook_secret"] == 1


NOT_JSON = [
    b"{",
    b"{'type': 'a.b'}",
    b'{"type":"a.b","data":NaN}',
    b'{"type":"a.b","data":1e999}',
    b'{"type":"a.b","data":"\\ud800"}',
    b'{"type":"a.b","data":["\\udc00",12345678901234567890123]}',
    b'{"type":"a.b","data":"\xff"}',
    b'{"type":"a.b","data":"\xed\xa0\x80"}',
    b'\xef\xbb\xbf{"type":"a.b","data":1}',
    b'{"type":"a.b","data":' + b"9" * 5000 + b"}",
    b'{"type":"a.b","data":' + b"[" * 100 + b"]" * 100 + b"}",
    b'{"type":"a.b","data":' + b'{"a":' * 1000 + b"1" + b"}" * 1001,
    b'{"type":"a.b","data":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    b'{"type":"a.b","data":' + b"[" * 900 + b'"\\u0000"' + b"]" * 900 + b"}",
]


async def test_what_is_not_json_is_400(any_rt: Runtime, api: httpx.AsyncClient) -> None:
    for body in NOT_JSON:
        problem(await api.post("/events", content=body, headers=JSON), 400)
    assert (await row_counts(any_rt))["event"] == 0


async def test_a_body_that_is_no_object_is_422(api: httpx.AsyncClient) -> None:
    for body in (b"", b"null", b"[]", b'"text"'):
        problem(await api.post("/events", content=body, headers=JSON), 422)


async def test_another_media_type_is_415(api: httpx.AsyncClient) -> None:
    for given in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        problem(await api.post("/events", content=orjson.dumps(EVENT), headers={"Content-Type": given}), 415)


async def test_a_body_of_a_megabyte_is_413_also_without_its_length(any_rt: Runtime, api: httpx.AsyncClient) -> None:
    body = orjson.dumps(EVENT | {"data": "x" * 2**20})
    read: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 2**16):
            read.append(start)
            yield body[start : start + 2**16]

    problem(await api.post("/events", content=body, headers=JSON), 413)
    chunked = await api.post("/events", content=pieces(), headers=JSON)
    assert "content-length" not in chunked.request.headers
    problem(chunked, 413)
    assert (await row_counts(any_rt))["event"] == 0


async def test_nul_in_an_address_is_refused(api: httpx.AsyncClient) -> None:
    for path in ("/webhooks/%00", "/events/a%00", "/deliveries/%00", "/event-types/%00"):
        problem(await api.get(path), 400)
    for method, path in (("DELETE", "/webhooks/%00"), ("DELETE", "/api-keys/%00"), ("PATCH", "/users/%00")):
        problem(await api.request(method, path, **({"json": {}} if method == "PATCH" else {})), 400)
    for path, name in (("/webhooks", "q"), ("/webhooks", "tenant"), ("/events", "type"), ("/deliveries", "webhook_id")):
        problem(await api.get(f"{path}?{name}=a%00b"), 422, f"/{name}")


WRONG_QUERIES = [
    ("/webhooks?limit=0", "/limit"),
    ("/webhooks?limit=201", "/limit"),
    ("/webhooks?limit=ten", "/limit"),
    ("/webhooks?limit=99999999999999999999", "/limit"),
    ("/webhooks?status=gone", "/status"),
    ("/webhooks?health=fine", "/health"),
    ("/events?since=today", "/since"),
    ("/events?until=2026-01-01", "/until"),
    ("/events?cursor=d2hfMDE", "/cursor"),
    ("/deliveries?status=lost", "/status"),
    ("/deliveries?cursor=AA", "/cursor"),
    ("/event-types?cursor=AA", "/cursor"),
    ("/event-types?archived=maybe", "/archived"),
    ("/users?cursor=ZXZ0XzAx", "/cursor"),
    ("/api-keys?cursor=ZXZ0XzAx", "/cursor"),
]


async def test_a_wrong_query_is_422_with_its_name(api: httpx.AsyncClient) -> None:
    for query, pointer in WRONG_QUERIES:
        problem(await api.get(query), 422, pointer)


async def test_unknown_addresses_and_methods_are_problems_too(api: httpx.AsyncClient) -> None:
    problem(await api.get("/nothing"), 404)
    refused = await api.put("/events", json=EVENT)
    problem(refused, 405)
    assert set(refused.headers["allow"].replace(" ", "").split(",")) <= {"GET", "POST", "HEAD"}


async def test_a_problem_never_repeats_a_secret_that_was_sent(api: httpx.AsyncClient) -> None:
    body = HOOK | {"headers": {"Authorization": "hunter2-\r\n"}, "password": "hunter2-", "timeout_s": "hunter2-"}
    assert "hunter2-" not in (await api.post("/webhooks", json=body)).text
    assert "hunter2-" not in (await api.get("/webhooks", headers={"Authorization": "Bearer hunter2-"})).text


async def test_a_sane_request_id_comes_back_and_another_is_replaced(api: httpx.AsyncClient) -> None:
    assert (await api.get("/version", headers={"X-Request-ID": "abc-123"})).headers["x-request-id"] == "abc-123"
    for given in ("a b", "x" * 129, "<script>"):
        assert (await api.get("/version", headers={"X-Request-ID": given})).headers["x-request-id"].startswith("req_")
