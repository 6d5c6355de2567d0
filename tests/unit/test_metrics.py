"""What is counted by several processes adds up, and what speaks of metrics speaks of those there are."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from docs.metrics import DOCUMENT, written
from novapulse.metrics.definitions import FACTS, METRICS, all_metrics
from novapulse.metrics.sheet import read_sheets
from novapulse.security.origins import is_from_here

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTS = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "rules" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
SUFFIX = re.compile(r"_(bucket|sum|count)$")
promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool (Debian package prometheus); CI installs it"
)

_COUNTING = """
import sys
from pathlib import Path
from novapulse.metrics import definitions as m
from novapulse.metrics.sheet import SHEET
m.INGEST_DELIVERIES.add(5)
SHEET.begin("worker")
SHEET.share(Path(sys.argv[1]))
for _ in range(1000):
    m.JOB_ATTEMPTS.add(1, "email", "completed")
    m.JOB_RUN.observe(0.2, "email")
m.WORKER_IN_FLIGHT.set(3, "email")
print(SHEET.number, flush=True)
sys.stdin.read()
"""


def _start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _COUNTING, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _told(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def _sums(folder: Path) -> tuple[float, float, float, float]:
    """Deliveries, attempts, runs; and what is in flight, of the living."""
    sums = dict.fromkeys(("novapulse_ingest_deliveries_total", "novapulse_job_attempts_total"), 0.0)
    runs = in_flight = 0.0
    for sheet in read_sheets(folder):
        for each in sheet.series:
            values = sheet.values[each.at : each.at + each.width]
            if each.name in sums:
                sums[each.name] += values[0]
            elif each.name == "novapulse_job_run_seconds":
                runs += sum(values[:-1])
            elif each.name == "novapulse_worker_in_flight" and sheet.alive:
                in_flight += values[0]
    return (*sums.values(), runs, in_flight)


def test_nothing_that_a_killed_process_counted_is_lost_or_counted_twice(tmp_path: Path) -> None:
    processes = [_start(tmp_path) for _ in range(3)]
    try:
        assert sorted(map(_told, processes)) == [1, 2, 3]
        assert _sums(tmp_path) == (15, 3000, 3000, 9)
        processes[1].send_signal(signal.SIGKILL)
        processes[1].wait()
        assert _sums(tmp_path) == (15, 3000, 3000, 6)
        processes.append(_start(tmp_path))
        assert _told(processes[-1]) in (1, 2, 3)  # the place of the dead one, and its numbers
        assert _sums(tmp_path) == (20, 4000, 4000, 9)
        assert len(list(tmp_path.glob("*.values"))) == 3
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("peer", "headers", "here"),
    [
        ("127.0.0.1", {"host": "127.0.0.1:8000"}, True),
        ("127.0.0.1", {"host": "localhost"}, True),
        ("::1", {"host": "[::1]:8000"}, True),
        ("::ffff:127.0.0.1", {"host": "localhost:8000"}, True),
        ("192.0.2.7", {"host": "127.0.0.1:8000"}, False),
        ("", {"host": "localhost"}, False),
        ("127.0.0.1", {"host": "hooks.example.com"}, False),  # a proxy, or a name that points here
        ("127.0.0.1", {"host": "[::1"}, False),
        ("127.0.0.1", {}, False),
        *(
            ("127.0.0.1", {"host": "127.0.0.1:8000", name: "127.0.0.1"}, False)
            for name in ("x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-proto", "x-forwarded-host", "via")
        ),
    ],
)
def test_only_a_call_that_nobody_passed_on_is_from_here(peer: str, headers: dict[str, str], here: bool) -> None:
    assert is_from_here(peer, headers) is here


def test_labels_are_bounded_and_names_are_as_prometheus_wants_them() -> None:
    for metric in all_metrics():
        assert re.fullmatch(r"novapulse_[a-z_]+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert metric.help.endswith(".") and "\n" not in metric.help, metric.name
        assert not {"id", "url", "tenant", "webhook", "user", "path", "ip"} & set(metric.labels), metric.name
    assert len(all_metrics()) == len(METRICS) + len(FACTS)


def test_rules_and_dashboards_name_only_metrics_that_there_are() -> None:
    known = {metric.name for metric in all_metrics()}
    files = [
        *PROMETHEUS.rglob("*.yml"),
        *(ROOT / "deploy").rglob("*.json"),
        *(ROOT / "deploy" / "helm").rglob("*.yaml"),
    ]
    found = 0
    for file in files:
        text = file.read_text(encoding="utf-8")
        for name in re.findall(r"\bnovapulse_(?:[a-z]+_)*[a-z]+(?=[{\[)\s\\])", text):
            if SUFFIX.sub("", name) in known or name in known:
                found += 1
            else:
                assert not re.search(rf"{name}[{{\[]|\({name}\)", text), f"{file.name} asks for {name}"
    assert found > 100
    recorded = set(re.findall(r"record: (\S+)", (PROMETHEUS / "rules" / "recording.yml").read_text(encoding="utf-8")))
    asked = {name for file in files for name in re.findall(r"novapulse:[a-z0-9_:]+", file.read_text(encoding="utf-8"))}
    assert asked == recorded  # each is asked for, and none is missing


def test_each_alert_has_words_and_a_section_of_the_runbook() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    for rule in ALERTS:
        name = rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), name
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}, name
        assert rule["annotations"]["runbook_url"].endswith(f"/runbook/#{name.lower()}")
        section = runbook.partition(f"### {name}\n")[2].partition("\n### ")[0]
        assert all(word in section for word in ("**Means**", "**Look**", "**Do**")), name
    assert len(re.findall(r"^### NovaPulse", runbook, re.MULTILINE)) == len(ALERTS)


def test_the_dashboards_are_of_today_and_fit_on_a_screen() -> None:
    """If not: `python deploy/grafana/make.py`."""
    make = runpy.run_path(str(ROOT / "deploy" / "grafana" / "make.py"))
    files = {
        path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")
    }
    assert files == {name: make["text_of"](name) for name in make["DASHBOARDS"]}
    assert files.keys() == {"overview", "delivery", "queues", "security"}
    for text in files.values():
        board = json.loads(text)
        assert "id" not in board and [each["type"] for each in board["templating"]["list"]] == ["datasource"]
        cells: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert not cells & own and max(x for x, _ in own) < 24, panel["title"]
            cells |= own
            assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            steps = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
            assert steps[0] is None and steps[1:] == sorted(steps[1:]), panel["title"]
            sources = {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])}
            assert sources == {"${datasource}"}
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_table_of_metrics_is_of_today() -> None:
    """If not: `python docs/metrics.py`."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == written(text)


@promtool
def test_each_alert_fires_and_is_silent_when_it_should() -> None:
    tests = sorted((PROMETHEUS / "tests").glob("*.yml"))
    tested = "\n".join(path.read_text(encoding="utf-8") for path in tests)
    for rule in ALERTS:
        assert f"alertname: {rule['alert']}, exp_alerts: []" in tested, "silent"
        assert re.search(rf"alertname: {rule['alert']}\n +exp_alerts:\n", tested), "firing"
    for command in (
        ["check", "rules", *map(str, (PROMETHEUS / "rules").glob("*.yml"))],
        ["check", "config", str(PROMETHEUS / "prometheus.yml")],
        ["test", "rules", *map(str, tests)],
    ):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
