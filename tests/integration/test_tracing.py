"""One trace from a call to the receiver, across real processes, seen by a real collector; and logs without secrets."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from pyotp.totp import TOTP

from novapulse.core import trace, tracing
from novapulse.core.runtime import Runtime
from tests.calls import PASSWORD, calling
from tests.collector import Collector, Seen, collecting
from tests.house import ADMIN, VIEWER, House, open_house
from tests.postoffice import PostOffice, opened
from tests.receiver import Answer, Arrival, Receiver, receiving
from tests.tabs import LIST, tab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

WEB, WORKER = "nova-web", "nova-worker"
TOKEN = "tok-4f-planted-in-a-query"  # pragma: allowlist secret
OF_RECEIVER = "Bearer planted-for-the-receiver"  # pragma: allowlist secret
OF_COLLECTOR = "planted-for-the-collector"  # pragma: allowlist secret
WRONG = "planted and wrong password 7"  # pragma: allowlist secret


@dataclass
class Scene:
    """Everything there is."""

    house: House
    collector: Collector
    receiver: Receiver
    office: PostOffice
    key: str
    secrets: list[str] = field(default_factory=list[str])

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """A call with the key."""
        with self.house.instance.client(self.key) as client:
            answer = client.post(f"/api/v1{path}", json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer

    def spans(self, trace: str, *names: str) -> list[Seen]:
        """The spans of a trace, once those of these names are there: each process sends its own."""
        return self.collector.wait(
            lambda _: {*names} <= {s.name for s in self.collector.of(trace)} and self.collector.of(trace)
        )

    def arrives(self, wanted: Callable[[Arrival], bool], count: int = 1) -> list[Arrival]:
        """Wait for requests to the receiver."""
        end = time.monotonic() + 20
        while len(found := [each for each in list(self.receiver.arrivals) if wanted(each)]) < count:
            assert time.monotonic() < end, f"{len(found)} of {count}"
            time.sleep(0.02)
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    seen: set[str] = set()

    def rule(arrival: Arrival) -> Answer:
        first = arrival.path.startswith("/flaky") and arrival.headers["webhook-id"] not in seen
        seen.add(arrival.headers.get("webhook-id", ""))
        return Answer(503 if first else 200)

    with collecting() as collector, receiving(rule) as receiver, opened() as office:
        settings = {
            "otlp_endpoint": collector.url,
            "otlp_headers": f"authorization=Bearer%20{OF_COLLECTOR}",
            "trace_service_name": "nova",
            "allow_private_networks": "127.0.0.1/32",
            "smtp_url": office.url(),
            "log_format": "json",
        }
        with open_house(tmp_path_factory.mktemp("traced"), **settings) as house:
            key = house.instance.api_key("*")
            made = Scene(house, collector, receiver, office, key)
            made.secrets += [key, house.admin, house.viewer, TOKEN, OF_RECEIVER, OF_COLLECTOR, WRONG, PASSWORD]
            for path, types in (("/plain", ["a.*"]), ("/flaky", ["b.*"])):
                body = {
                    "url": receiver.url(f"{path}?token={TOKEN}"),
                    "event_types": types,
                    "headers": {"Authorization": OF_RECEIVER},
                    "retry": {"schedule_s": [0.1]},
                }
                made.secrets.append(made.post("/webhooks", body).json()["secret"])
            yield made


def named(spans: list[Seen], name: str, service: str | None = None) -> list[Seen]:
    return [each for each in spans if each.name == name and service in (None, each.service)]


def test_one_trace_from_the_caller_to_the_receiver(scene: Scene) -> None:
    theirs, their_span = "5a" * 16, "1b" * 8
    answer = scene.post(
        "/events", {"type": "a.paid", "data": {"card": TOKEN}}, traceparent=f"00-{theirs}-{their_span}-01"
    )
    assert answer.headers["x-trace-id"] == theirs
    (arrival,) = scene.arrives(lambda each: each.path.startswith("/plain") and theirs in each.headers["traceparent"])
    spans = scene.spans(theirs, "POST /api/v1/events", "receive webhook", "settle webhook", "send webhook")
    by_id = {span.span_id: span for span in spans}

    (called,) = named(spans, "POST /api/v1/events", WEB)
    assert (called.kind, called.parent) == ("server", their_span)
    assert called.attributes["http.response.status_code"] == 202
    (created,) = named(spans, "create event", WEB)
    assert (created.kind, by_id[created.parent]) == ("producer", called)
    (delivered,) = named(spans, "deliver webhook", WORKER)
    assert (delivered.kind, by_id[delivered.parent]) == ("consumer", created)
    (posted,) = named(spans, "POST", WORKER)
    assert (posted.kind, by_id[posted.parent]) == ("client", delivered)
    # The receiver goes on from the very span of the call to it.
    assert arrival.headers["traceparent"] == f"00-{theirs}-{posted.span_id}-01"
    assert posted.attributes["server.address"] == "127.0.0.1"
    assert posted.attributes["server.port"] == scene.receiver.port
    # The database and the queue are in it: the event's transaction, the hand-over, the claim, and the record.
    stored = [span for span in named(spans, "database write", WEB) if span.parent == created.span_id]
    assert len(stored) == 1 and stored[0].attributes["db.system.name"] == "sqlite"
    assert stored[0].attributes["novapulse.db.wait_ms"] >= 0
    assert [span.parent for span in named(spans, "send webhook", WEB)] == [created.span_id]
    for batch in ("receive webhook", "settle webhook"):
        (span,) = named(spans, batch, WORKER)
        assert span.links == [(theirs, delivered.span_id)]
        (write,) = [each for each in named(spans, "database write", WORKER) if each.parent == span.span_id]
        assert write.start_ns >= span.start_ns and write.end_ns <= span.end_ns
    for span in spans:
        assert span.parent == their_span or span.parent in by_id, span
        assert span.start_ns <= span.end_ns
    detail = scene.house.call("GET", "/api/v1/deliveries", scene.house.admin).json()["data"][0]
    shown = scene.house.call("GET", f"/api/v1/deliveries/{detail['id']}", scene.house.admin).json()
    assert shown["trace_id"] == theirs
    assert {each["authorization"] for each in scene.collector.headers} == {f"Bearer {OF_COLLECTOR}"}


def test_each_attempt_is_a_span_of_the_same_trace(scene: Scene) -> None:
    trace = scene.post("/events", {"type": "b.paid", "data": {}}).headers["x-trace-id"]
    first, second = scene.arrives(lambda each: trace in each.headers["traceparent"], 2)
    assert first.headers["traceparent"] != second.headers["traceparent"]
    attempts = scene.collector.wait(
        lambda spans: len(found := named([s for s in spans if s.trace_id == trace], "deliver webhook")) == 2 and found
    )
    (created,) = named(scene.collector.of(trace), "create event")
    assert {each.parent for each in attempts} == {created.span_id}
    assert [(each.attributes["novapulse.attempt"], each.failed) for each in attempts] == [(1, True), (2, False)]
    assert attempts[0].attributes["error.type"] == "503"


def test_what_is_done_for_many_names_them_by_links(scene: Scene) -> None:
    batch = [{"type": "a.many", "data": {"n": n}} for n in range(5)]
    theirs = scene.post("/events/batch", {"events": batch}).headers["x-trace-id"]
    scene.arrives(lambda each: theirs in each.headers["traceparent"], 5)
    delivered = scene.collector.wait(
        lambda spans: len(found := named([s for s in spans if s.trace_id == theirs], "deliver webhook")) == 5 and found
    )
    linked = scene.collector.wait(
        lambda spans: (
            len(
                found := {
                    link for s in spans if s.name == "settle webhook" and s.trace_id == theirs for link in s.links
                }
            )
            == 5
            and found
        )
    )
    assert linked == {(theirs, span.span_id) for span in delivered}


def test_of_several_calls_a_batch_is_a_trace_of_its_own(scene: Scene) -> None:
    """Calls at the same time share commits, claims and records."""
    with scene.house.instance.client(scene.key) as client:
        calls = [client.build_request("POST", "/api/v1/events", json={"type": "a.b", "data": {}}) for _ in range(12)]

    async def all_at_once() -> list[str]:
        limits = httpx.Limits(max_connections=12)
        async with httpx.AsyncClient(trust_env=False, limits=limits, timeout=20) as sender:
            answers = await asyncio.gather(*(sender.send(call) for call in calls))
        return [answer.headers["x-trace-id"] for answer in answers]

    traces = set(asyncio.run(all_at_once()))

    def shared(spans: list[Seen]) -> list[Seen]:
        return [s for s in spans if len({trace for trace, _ in s.links} & traces) > 1 and s.trace_id not in traces]

    (span, *_) = scene.collector.wait(shared)
    scene.collector.wait(lambda spans: set(span.links) <= {(s.trace_id, s.span_id) for s in spans})


def test_jobs_workflows_mail_and_pages_are_in_traces_too(scene: Scene) -> None:
    house, collector = scene.house, scene.collector
    payload = {"url": scene.receiver.url(f"/job?token={TOKEN}"), "method": "POST"}
    job = scene.post("/jobs", {"task": "http.request", "payload": payload})
    trace = job.headers["x-trace-id"]
    (arrival,) = scene.arrives(lambda each: each.path.startswith("/job") and trace in each.headers["traceparent"])
    spans = scene.spans(trace, "POST /api/v1/jobs", "send workflow", "run http.request", "POST")
    (called,) = named(spans, "POST /api/v1/jobs", WEB)
    (ran,) = named(spans, "run http.request", WORKER)
    (posted,) = named(spans, "POST", WORKER)
    assert (ran.parent, posted.parent) == (called.span_id, ran.span_id)
    assert arrival.headers["traceparent"] == f"00-{trace}-{posted.span_id}-01"
    assert named(spans, "send workflow", WEB)[0].parent == called.span_id
    assert (called.kind, ran.kind, posted.kind) == ("server", "consumer", "client")

    step = {"id": "call", "type": "http", "url": scene.receiver.url("/step"), "method": "POST", "json": {"a": 1}}
    mail = {"id": "mail", "type": "email", "to": ["bob@example.com"], "subject": "Hello", "text": "x"}
    scene.post("/workflows", {"name": "Traced", "triggers": [{"event": "w.begun"}], "steps": [step, mail]})
    trace = scene.post("/events", {"type": "w.begun", "data": {}}).headers["x-trace-id"]
    scene.arrives(lambda each: each.path == "/step" and trace in each.headers["traceparent"])
    scene.spans(
        trace, "create event", "run workflow.advance", "run workflow.step", "POST", "run email.send", "send mail"
    )

    async def look() -> None:
        async with tab(house.instance, house.admin, "traced") as page:
            await page.say(f"{LIST}.load")
            await page.hears('"loaded_rx_state_": true')

    asyncio.run(look())
    (event,) = collector.wait(lambda spans: [s for s in spans if s.name == f"{LIST}.load"])
    assert (event.service, event.kind) == (WEB, "consumer")
    reads = collector.wait(lambda spans: [s for s in spans if s.parent == event.span_id and s.name == "database read"])
    assert {read.trace_id for read in reads} == {event.trace_id}


def test_no_secret_is_in_a_span_or_a_line_of_the_logs(scene: Scene) -> None:
    house, secrets = scene.house, scene.secrets
    house.call("POST", "/api/v1/auth/login", email=ADMIN, password=WRONG)
    begun = house.call("POST", "/api/v1/security/mfa/enroll", house.viewer).json()
    code = TOTP(begun["secret"]).now()
    confirmed = house.call("POST", "/api/v1/security/mfa/confirm", house.viewer, code=code)
    assert confirmed.status_code == 200, confirmed.text
    secrets += [begun["secret"], *confirmed.json()["recovery_codes"]]
    house.call("POST", "/api/v1/auth/mfa/verify", code=confirmed.json()["recovery_codes"][0])
    asked = house.call("POST", "/api/v1/auth/password/forgot", email=VIEWER)
    assert asked.status_code == 202, asked.text
    end = time.monotonic() + 20
    while not (found := re.findall(r"[?#]token=([\w-]+)", "".join(m.part("plain") for m in scene.office.arrived))):
        assert time.monotonic() < end, [m.part("plain") for m in scene.office.arrived]
        time.sleep(0.05)
    secrets += found
    house.call("POST", "/api/v1/auth/password/reset", token=found[0], password="short")
    # What fails is logged more than what goes well.
    dead = {"url": f"http://nova:{OF_RECEIVER[7:]}@127.0.0.1:9/x?token={TOKEN}", "event_types": ["c.*"]}
    with house.instance.client(scene.key) as client:
        client.post("/api/v1/webhooks", json=dead)
        client.post("/api/v1/webhooks", json={**dead, "url": f"http://127.0.0.1:9/x?token={TOKEN}"})
        client.post("/api/v1/events", json={"type": "c.lost", "data": {"password": WRONG}})
        client.post("/api/v1/events?token=" + TOKEN, content=b"{", headers={"content-type": "application/json"})
        problem = client.get("/api/v1/events/none").json()
    nobody = httpx.get(f"{house.instance.url}/api/v1/jobs?token={TOKEN}", headers={"Authorization": f"Bearer {TOKEN}"})
    assert nobody.status_code == 401 and nobody.json()["trace_id"] == nobody.headers["x-trace-id"]
    assert problem["trace_id"] and problem["request_id"]

    def calls() -> list[dict[str, Any]]:
        read = [json.loads(line) for line in house.instance.lines if line.startswith("{")]
        return [line for line in read if line.get("event") == "call"]

    end = time.monotonic() + 20
    while not any(line["trace_id"] == nobody.headers["x-trace-id"] for line in calls()):
        assert time.monotonic() < end
        time.sleep(0.05)
    (refused,) = [line for line in calls() if line["trace_id"] == nobody.headers["x-trace-id"]]
    assert (refused["method"], refused["route"], refused["status"]) == ("GET", "/api/v1/jobs", 401)
    assert (refused["who"], refused["network"], refused["process"]) == (None, "127.0.0.0/24", "web")
    assert refused["request_id"] == nobody.headers["x-request-id"] and refused["bytes"] == len(nobody.content)
    assert any((line["who"] or "").startswith("key_") and line["status"] == 202 for line in calls())
    time.sleep(1.5)  # the last spans are on their way
    logs = "\n".join(line for line in house.instance.lines if "/setup#token=" not in line)
    spans = "\n".join(span.raw for span in scene.collector.spans)
    assert len(secrets) > 20 and all(len(secret) >= 8 for secret in secrets)
    for secret in secrets:
        assert secret not in logs, re.findall(rf".*{re.escape(secret)}.*", logs)[:3]
        assert secret not in spans, re.findall(rf".*{re.escape(secret)}.*", spans)[:3]
    for line in house.instance.lines:
        if line.startswith("{"):
            assert {"event", "level", "timestamp", "process"} <= json.loads(line).keys(), line


def test_a_collector_that_fails_disturbs_nothing_and_the_end_flushes(scene: Scene) -> None:
    scene.collector.status = 500
    trace = scene.post("/events", {"type": "a.unseen", "data": {}}).headers["x-trace-id"]
    scene.arrives(lambda each: trace in each.headers["traceparent"])
    time.sleep(1.2)
    scene.collector.status = 200
    trace = scene.post("/events", {"type": "a.last", "data": {}}).headers["x-trace-id"]
    scene.arrives(lambda each: trace in each.headers["traceparent"])
    scene.house.instance.stop()
    names = {span.name for span in scene.collector.of(trace)}
    assert {"POST /api/v1/events", "deliver webhook", "settle webhook"} <= names


async def test_transactions_are_spans_on_both_databases(any_rt: Runtime) -> None:
    with collecting() as collector:
        settings = any_rt.settings.model_copy(update={"otlp_endpoint": collector.url})
        tracing.setup(settings, "test")
        try:
            async with calling(any_rt, "*") as api:
                answer = await api.post("/events", json={"type": "a.b", "data": {}})
                failed = await api.get("/events/none")
            assert (answer.status_code, failed.status_code) == (202, 404)
            with pytest.raises(ZeroDivisionError), trace.within(trace.new_place()):
                await any_rt.database.run_write(lambda _: 1 / 0)
        finally:
            await tracing.shutdown(5)
    system = "sqlite" if any_rt.database.is_sqlite else "postgresql"
    spans = collector.of(answer.headers["x-trace-id"])
    (created,) = named(spans, "create event")
    (write,) = [each for each in named(spans, "database write") if each.parent == created.span_id]
    assert write.attributes["db.system.name"] == system
    assert 0 <= write.attributes["novapulse.db.wait_ms"] <= (write.end_ns - write.start_ns) / 1e6
    assert named(spans, "database read"), "who calls is looked up"
    assert [span.attributes["error.type"] for span in collector.spans if span.failed] == ["ZeroDivisionError"]
    (missing,) = named(collector.of(failed.headers["x-trace-id"]), "GET /api/v1/events/{id}")
    assert missing.attributes["http.route"] == "/api/v1/events/{id}" and not missing.failed
