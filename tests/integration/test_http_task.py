"""`http.request`: a call to somebody's URL, by a job."""

from __future__ import annotations

import re
from typing import Any

import orjson

from novapulse.core.runtime import Runtime
from novapulse.tasks import load_all_tasks
from tests.calls import calling, problem
from tests.jobs import run_jobs
from tests.receiver import Answer, receiving


async def test_a_url_is_called_and_its_answer_kept(rt: Runtime) -> None:
    load_all_tasks(rt.settings)
    answers = {"/ok": Answer(200, {}, b"refreshed"), "/gone": Answer(404), "/busy": Answer(503, {"retry-after": "7"})}
    with receiving(lambda arrival: answers[arrival.path]) as receiver:
        async with calling(rt, "*") as api:

            async def ends(path: str, trace: str = "", **payload: Any) -> dict[str, Any]:
                body = {"task": "http.request", "payload": {"url": receiver.url(path)} | payload}
                made = await api.post("/jobs", json=body, headers={"traceparent": trace})
                assert made.status_code == 202, made.text
                await run_jobs(rt, ["workflow"])
                return (await api.get(f"/jobs/{made.json()['id']}")).json()

            well = await ends("/ok", method="PUT", json_body={"n": 2**70}, headers={"X-Team": "pay"})
            assert (well["state"], well["result"]["body"]) == ("completed", "refreshed")
            (arrival,) = receiver.arrivals
            assert (arrival.method, arrival.headers["x-team"]) == ("PUT", "pay")
            assert arrival.headers["idempotency-key"] == well["id"]
            assert orjson.loads(arrival.body.replace(str(2**70).encode(), b"0")) == {"n": 0}
            # It goes on with the trace of the call that made it, or has one of its own.
            assert re.fullmatch(rf"00-{well['trace_id']}-[0-9a-f]{{16}}-01", arrival.headers["traceparent"])
            traced = await ends("/ok", f"00-{'ab' * 16}-{'cd' * 8}-01")
            assert traced["trace_id"] == "ab" * 16 != well["trace_id"]
            assert receiver.arrivals[-1].headers["traceparent"].startswith(f"00-{'ab' * 16}-")
            for nonsense in ("00-ab-cd-01", f"00-{'0' * 32}-{'cd' * 8}-01"):
                assert (await ends("/ok", nonsense))["trace_id"] not in nonsense
            gone, busy = await ends("/gone"), await ends("/busy")
            assert (gone["state"], gone["error"]) == ("dead", "Answered 404.")
            assert (busy["state"], busy["attempt_count"]) == ("delayed", 1)
            forbidden = await ends("", url="http://10.0.0.1/")
            assert forbidden["state"] == "dead" and "not a public address" in forbidden["error"]
            for pointer, payload in (
                ("/payload/url", {"url": "ftp://example.com"}),
                ("/payload/headers", {"url": "https://example.com", "headers": {"Authorization": "Bearer x"}}),
                ("/payload/headers", {"url": "https://example.com", "headers": {"Host": "x"}}),
                ("/payload/method", {"url": "https://example.com", "method": "CONNECT"}),
            ):
                problem(await api.post("/jobs", json={"task": "http.request", "payload": payload}), 422, pointer)
