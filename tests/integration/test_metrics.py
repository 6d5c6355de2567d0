"""The metrics of a real NovaPulse: two workers, one of them killed; a second web; Prometheus, rules, dashboards."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from novapulse.launch import frontend
from novapulse.metrics.definitions import all_metrics
from tests.calls import PASSWORD
from tests.instance import Instance, clean_environment, free_port, running
from tests.receiver import Answer, Receiver, receiving
from tests.tabs import sign_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
PROMETHEUS = shutil.which("prometheus")
EMAIL = "ada@example.com"
EVENTS = 150  # in each of the rounds
# What there is nothing to show of here: no backup, no socket, nothing that was decided without Valkey, no failed tick.
MAY_BE_EMPTY = {"Last backup", "Sockets refused", "The scheduler's failures", "Attempts that fail"}


@dataclass
class World:
    """A NovaPulse and its receiver, which accepts what comes to `/good` and refuses the rest."""

    instance: Instance
    receiver: Receiver
    key: str

    def scrape(self, url: str = "") -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Each series with its value."""
        answer = httpx.get((url or self.instance.url) + "/metrics", trust_env=False)
        assert answer.status_code == 200, answer.text
        families = text_string_to_metric_families(answer.text)
        samples = [sample for family in families for sample in family.samples]
        found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
        assert len(found) == len(samples), "a series is told twice"
        return found

    def number(self, name: str, url: str = "", **labels: str) -> float:
        """The sum of the series that have these labels."""
        wanted = frozenset(labels.items())
        return sum(value for (own, has), value in self.scrape(url).items() if own == name and wanted <= has)

    def call(self, method: str, path: str, **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        url = f"{self.instance.url}/api/v1{path}"
        return httpx.request(method, url, headers=headers, json=body or None, trust_env=False, timeout=30)

    def send(self, first: int) -> None:
        events = [{"type": "a.b", "data": {"n": n}, "id": f"e{n}"} for n in range(first, first + EVENTS)]
        for at in range(0, EVENTS, 50):
            assert self.call("POST", "/events/batch", events=events[at : at + 50]).status_code == 202


def until(check: Callable[[], bool], what: str, limit_s: float = 40.0) -> None:
    end = time.monotonic() + limit_s
    while not check():
        assert time.monotonic() < end, what
        time.sleep(0.1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = frontend.source_tree()
    assert root is not None
    frontend.build_if_stale(root, quiet=True)
    folder = tmp_path_factory.mktemp("metrics")
    settings = {"admin_email": EMAIL, "admin_password": PASSWORD, "workers": "2"}
    settings |= {"allow_private_networks": "127.0.0.0/8", "heartbeat_ttl_s": "2"}
    with (
        receiving(lambda arrival: Answer(200 if arrival.path == "/good" else 500)) as receiver,
        running(folder, **settings) as instance,
    ):
        made = World(instance, receiver, instance.api_key("*"))
        for path in ("/good", "/bad"):
            retry = {"schedule_s": [600]}
            answer = made.call("POST", "/webhooks", url=receiver.url(path), event_types=["*"], retry=retry)
            assert answer.status_code == 201, answer.text
        yield made


@pytest.fixture(scope="module")
def watched(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus with the rules of the house; its address."""
    if PROMETHEUS is None:
        pytest.skip("needs Prometheus (Debian package prometheus); CI installs it")
    with prometheus(world, tmp_path_factory.mktemp("prometheus")) as url:
        yield url


@contextmanager
def prometheus(world: World, folder: Path) -> Iterator[str]:
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ROOT / "deploy/prometheus/rules/*.yml")],
        "scrape_configs": [
            {"job_name": "novapulse", "static_configs": [{"targets": [world.instance.url.removeprefix("http://")]}]}
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    assert PROMETHEUS is not None
    process = subprocess.Popen(
        [
            PROMETHEUS,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def another_web(world: World) -> Iterator[str]:
    """A second web process of the same data folder."""
    port = free_port()
    environment = clean_environment() | world.instance.environment | {"NOVAPULSE_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", "novapulse.cli", "web"], env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(url), "the second web does not start")
        yield url
    finally:
        process.kill()  # it would wait for its connections
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v1/health/live", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_totals_add_up_to_what_was_sent_though_a_worker_is_killed(watched: str, world: World) -> None:
    world.send(0)
    world.send(0)  # the same ids: duplicates
    arrived = world.receiver.arrivals
    until(lambda: len(arrived) == 2 * EVENTS, "deliveries")
    attempts = "novapulse_delivery_attempts_total"
    until(lambda: world.number(attempts) == 2 * EVENTS, "attempts are recorded")
    waits = "novapulse_job_wait_seconds_count"
    until(lambda: world.number(waits, queue="webhook") == 2 * EVENTS, "waits, which are told once a second")
    # All at rest: a worker that dies now leaves what it had counted.
    world.instance.children()["worker"].send_signal(signal.SIGKILL)
    assert world.number(attempts) == 2 * EVENTS
    world.send(EVENTS)
    until(lambda: world.number(attempts) == 4 * EVENTS, "attempts after a death are recorded")
    until(lambda: world.number(waits, queue="webhook") == 4 * EVENTS, "waits")
    assert world.number(attempts, outcome="delivered") == 2 * EVENTS
    assert world.number(attempts, outcome="retrying") == 2 * EVENTS == world.number("novapulse_delivery_errors_total")
    assert world.number("novapulse_delivery_errors_total", error="5xx") == 2 * EVENTS
    assert world.number("novapulse_ingest_events_total", outcome="stored") == 2 * EVENTS
    assert world.number("novapulse_ingest_events_total", outcome="duplicate") == EVENTS
    assert world.number("novapulse_ingest_deliveries_total") == 4 * EVENTS
    assert world.number("novapulse_queue_jobs", queue="webhook", state="completed") == 2 * EVENTS
    assert world.number("novapulse_queue_jobs", queue="webhook", state="delayed") == 2 * EVENTS
    assert world.number("novapulse_queue_drift") == 0
    route = "/api/v1/events/batch"
    assert world.number("novapulse_http_requests_total", route=route, code="202") == 3 * EVENTS / 50
    assert world.number("novapulse_http_request_duration_seconds_count", route=route) == 3 * EVENTS / 50
    assert world.number("novapulse_scheduler_elected") == 1
    until(lambda: world.number("novapulse_queue_workers", queue="webhook") == 2, "the killed one is back")


def test_the_answer_is_as_prometheus_wants_it_and_holds_what_is_defined(world: World) -> None:
    answer = httpx.get(f"{world.instance.url}/metrics", trust_env=False)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    described = re.findall(r"^# TYPE (\S+) (\S+)$", answer.text, re.MULTILINE)
    defined = {(metric.name, metric.kind) for metric in all_metrics()}
    absent = {name for name, _ in defined - set(described)}
    assert not set(described) - defined
    assert all(name.startswith("novapulse_backup_") for name in absent), absent
    for secret in (EMAIL, "127.0.0.1", "whk_", "evt_"):
        assert secret not in answer.text
    if shutil.which("promtool"):
        command = ["promtool", "check", "metrics"]
        done = subprocess.run(command, input=answer.text, capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_is_for_this_machine_and_for_keys_with_the_scope(world: World) -> None:
    url = world.instance.url
    other = world.instance.api_key("events:read")
    own = world.instance.api_key("metrics")
    for path in ("/metrics", "/api/v1/metrics"):
        passed_on = {"X-Forwarded-For": "203.0.113.7"}
        assert httpx.get(url + path, headers=passed_on, trust_env=False).status_code == 401
        assert httpx.get(url + path, headers={"Host": "hooks.example.com"}, trust_env=False).status_code == 401
        assert httpx.get(url + path, headers={"Authorization": "Bearer no"}, trust_env=False).status_code == 401
        for key, status in ((other, 403), (own, 200)):
            headers = passed_on | {"Authorization": f"Bearer {key}"}
            assert httpx.get(url + path, headers=headers, trust_env=False).status_code == status
        assert httpx.get(url + path, trust_env=False).status_code == 200
        assert httpx.post(url + path, trust_env=False).status_code == 405


def test_of_two_webs_one_tells_of_the_workers(world: World) -> None:
    name = "novapulse_delivery_attempts_total"
    both = world.number(name)
    assert both > 0
    with another_web(world) as second:
        assert (world.number(name), world.number(name, second)) == (both, 0)
        # What is true of all is told by each, and the same.
        assert world.number("novapulse_queue_made_total", second) == world.number("novapulse_queue_made_total")
        assert world.number("novapulse_process_start_time_seconds", second, process="worker") == 0


def test_each_panel_of_the_dashboards_has_data(watched: str, world: World) -> None:
    sign_in(world.instance, EMAIL, PASSWORD)
    httpx.post(f"{world.instance.url}/api/v1/auth/login", json={"email": EMAIL, "password": "no"}, trust_env=False)
    assert world.call("POST", "/emails", to="ada@example.com", subject="x", text="x").status_code in (202, 409, 422)
    world.send(2 * EVENTS)
    panels = [
        (dashboard["title"], panel["title"], target["expr"])
        for dashboard in (json.loads(path.read_text()) for path in (ROOT / "deploy/grafana/dashboards").glob("*.json"))
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]
    assert len(panels) > 70
    ask = httpx.Client(base_url=watched, trust_env=False, timeout=20)

    def empty() -> list[str]:
        found: list[str] = []
        for dashboard, title, query in panels:
            answer = ask.get("/api/v1/query", params={"query": query.replace("$__rate_interval", "1m")}).json()
            assert answer["status"] == "success", (title, query, answer)
            if not answer["data"]["result"] and title not in MAY_BE_EMPTY:
                found.append(f"{dashboard}, {title}: {query}")
        return found

    until(lambda: not empty(), "panels have no data")
    with_faults = ask.get("/api/v1/rules").json()["data"]["groups"]
    rules = [rule for group in with_faults for rule in group["rules"]]
    assert len(rules) > 40
    assert not [rule["name"] for rule in rules if rule["health"] == "err"]
    firing = {rule["name"] for rule in rules if rule.get("state") == "firing"}
    assert "NovaPulseDown" not in firing and "NovaPulseDrift" not in firing
