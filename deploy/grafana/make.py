"""Writes the dashboards: `python deploy/grafana/make.py`. Each panel is a title, a unit, queries, and what it tells."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_SCHEMA = 41
_JOB = 'job=~"novapulse.*"'


@dataclass(frozen=True)
class Panel:
    """One panel; `queries` are pairs of PromQL and legend, `limits` where it becomes yellow and red."""

    title: str
    unit: str
    tells: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    limits: tuple[float, ...] = ()
    stacked: bool = False
    low_is_bad: bool = False


def stat(title: str, unit: str, tells: str, query: str, *limits: float, low_is_bad: bool = False) -> Panel:
    """One number."""
    return Panel(title, unit, tells, ((query, ""),), "stat", limits, low_is_bad=low_is_bad)


def lines(
    title: str, unit: str, tells: str, *queries: tuple[str, str], limits: tuple[float, ...] = (), stacked: bool = False
) -> Panel:
    """Lines over time."""
    return Panel(title, unit, tells, queries, "timeseries", limits, stacked)


def rate(metric: str, by: str, matching: str = "") -> str:
    """How often something is counted, per second, over all processes."""
    return f"sum by ({by}) (rate({metric}{{{matching}}}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "", matching: str = "") -> str:
    """The value that this share of what was observed does not exceed."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{{matching}}}[$__rate_interval])))"


def quantiles(metric: str, matching: str = "") -> tuple[tuple[str, str], ...]:
    """Median, 95th and 99th percentile."""
    return tuple((quantile(share, metric, "", matching), f"p{share * 100:.0f}") for share in (0.5, 0.95, 0.99))


DASHBOARDS: dict[str, tuple[str, list[Panel]]] = {
    "overview": (
        "Is it well? What comes in, what goes out, and how the stores and processes do.",
        [
            stat("Processes", "none", "Instances that answer Prometheus.", f"sum(up{{{_JOB}}})", 1, low_is_bad=True),
            stat(
                "Checks that fail",
                "none",
                "Of `/api/v1/health`.",
                "count(min by (check) (novapulse_check_ok) == 0) or vector(0)",
                1,
            ),
            stat("Events in", "reqps", "Stored per second.", 'sum(novapulse:ingest_events:rate5m{outcome="stored"})'),
            stat(
                "Delivered",
                "reqps",
                "Deliveries that were accepted, per second.",
                'sum(novapulse:delivery_attempts:rate5m{outcome="delivered"})',
            ),
            stat(
                "Attempts that fail",
                "percentunit",
                "Share of the last 15 minutes' attempts to deliver.",
                "novapulse:delivery_failures:ratio_rate15m",
                0.1,
                0.25,
            ),
            stat("Oldest that waits", "s", "Over all queues.", "max(novapulse:queue_oldest_seconds)", 60, 300),
            lines(
                "Events in",
                "reqps",
                "By outcome; a duplicate has an id that was sent before.",
                (rate("novapulse_ingest_events_total", "outcome"), "{{outcome}}"),
            ),
            lines(
                "Attempts to deliver",
                "reqps",
                "By what became of the delivery.",
                (rate("novapulse_delivery_attempts_total", "outcome"), "{{outcome}}"),
                stacked=True,
            ),
            lines(
                "Requests by status",
                "reqps",
                "Of all web processes.",
                (rate("novapulse_http_requests_total", "code"), "{{code}}"),
                stacked=True,
            ),
            lines(
                "Time until the API answers",
                "s",
                "Without the screens.",
                *quantiles("novapulse_http_request_duration_seconds", 'route=~"/api/.*"'),
            ),
            lines(
                "Busiest routes",
                "reqps",
                "The ten that are called most.",
                (f"topk(10, {rate('novapulse_http_requests_total', 'method, route')})", "{{method}} {{route}}"),
            ),
            lines(
                "Writing to the database",
                "s",
                "Whole transactions, with the wait for their turn.",
                *quantiles("novapulse_db_write_duration_seconds"),
                limits=(1.0,),
            ),
            lines(
                "Statements",
                "s",
                "The 99th percentile, by connection.",
                (quantile(0.99, "novapulse_db_query_duration_seconds", "connection"), "{{connection}}"),
            ),
            lines(
                "Database connections and writers",
                "none",
                "In use, by instance, and transactions that wait or run.",
                ("novapulse_db_pool_connections", "{{instance}} in use"),
                ("sum(novapulse_db_write_queue)", "writing or waiting"),
            ),
            lines(
                "Valkey",
                "s",
                "A question to it, with the lag of who asks.",
                (quantile(0.5, "novapulse_valkey_roundtrip_seconds"), "p50"),
                (quantile(0.9, "novapulse_valkey_roundtrip_seconds"), "p90"),
                limits=(0.25,),
            ),
            lines(
                "Event loops",
                "s",
                "How late they wake.",
                ("max by (instance, process) (novapulse_event_loop_lag_seconds)", "{{process}} {{instance}}"),
                limits=(0.5,),
            ),
            lines(
                "Processor",
                "percentunit",
                "1 is a core.",
                (
                    "sum by (instance, process, number) (rate(novapulse_process_cpu_seconds_total[$__rate_interval]))",
                    "{{process}} {{number}} {{instance}}",
                ),
            ),
            lines(
                "Memory",
                "bytes",
                "Resident.",
                ("novapulse_process_resident_memory_bytes", "{{process}} {{number}} {{instance}}"),
            ),
            lines(
                "Free disk",
                "percentunit",
                "Of the disk that the data folder is on.",
                ("min by (instance) (novapulse_disk_free_bytes / novapulse_disk_size_bytes)", "{{instance}}"),
            ),
            lines(
                "Dashboards are told",
                "s",
                "From when the sampler looked until the screens were told.",
                *quantiles("novapulse_live_broadcast_lag_seconds"),
            ),
        ],
    ),
    "delivery": (
        "What becomes of deliveries, how long they take, and whether the objective is held.",
        [
            stat(
                "Attempts that fail",
                "percentunit",
                "Of the last 15 minutes.",
                "novapulse:delivery_failures:ratio_rate15m",
                0.1,
                0.25,
            ),
            stat(
                "Begun late",
                "percentunit",
                "Share of the last hour's deliveries that began more than 5 s after their event; 1 % may.",
                "novapulse:delivery_late:ratio_rate1h",
                0.01,
                0.06,
            ),
            stat(
                "Webhooks disabled",
                "none",
                "By NovaPulse, because they only fail.",
                'max(novapulse_webhooks{status="disabled"})',
                1,
            ),
            stat(
                "Receivers that do not answer",
                "none",
                "Webhooks that workers leave alone for the moment.",
                "sum(novapulse_delivery_circuits_open)",
                1,
                6,
            ),
            lines(
                "Attempts",
                "reqps",
                "By what became of the delivery.",
                (rate("novapulse_delivery_attempts_total", "outcome"), "{{outcome}}"),
                stacked=True,
            ),
            lines(
                "Why attempts fail",
                "reqps",
                "The error, or the class of the status code.",
                (rate("novapulse_delivery_errors_total", "error"), "{{error}}"),
                stacked=True,
            ),
            lines(
                "From the event to the receiver's answer",
                "s",
                "Of what was delivered at the first attempt.",
                *quantiles("novapulse_delivery_latency_seconds"),
            ),
            lines(
                "Wait",
                "s",
                "From the event until the first attempt began: our own part.",
                *quantiles("novapulse_job_wait_seconds", 'queue="webhook"'),
                limits=(5.0,),
            ),
            lines(
                "Attempts take",
                "s",
                "The receivers' part.",
                *quantiles("novapulse_job_run_seconds", 'queue="webhook"'),
            ),
            lines(
                "Late deliveries",
                "percentunit",
                "Over windows of different length; 1 % may be late.",
                ("novapulse:delivery_late:ratio_rate5m", "5 m"),
                ("novapulse:delivery_late:ratio_rate1h", "1 h"),
                ("novapulse:delivery_late:ratio_rate6h", "6 h"),
                limits=(0.01, 0.144),
            ),
            lines(
                "Backlog",
                "none",
                "Deliveries that wait, are being sent, or are to be tried again.",
                (
                    'novapulse:queue_jobs{queue="webhook",state=~"waiting|active|delayed"}',
                    "{{state}}",
                ),
            ),
            lines(
                "Slots",
                "none",
                "What workers send at once, and could.",
                ('sum(novapulse_worker_in_flight{queue="webhook"})', "in use"),
                ('max(novapulse_queue_slots{queue="webhook"})', "there are"),
            ),
            lines(
                "Deliveries per event",
                "none",
                "How many webhooks an event goes to.",
                (
                    "sum(rate(novapulse_ingest_deliveries_total[$__rate_interval]))"
                    ' / (sum(rate(novapulse_ingest_events_total{outcome="stored"}[$__rate_interval])) > 0)',
                    "deliveries",
                ),
            ),
            lines("Webhooks", "none", "By status.", ("max by (status) (novapulse_webhooks)", "{{status}}")),
        ],
    ),
    "queues": (
        "What waits, what runs, who works, and whether everything adds up.",
        [
            stat(
                "Workers", "none", "On the queue that has fewest.", "min(novapulse:queue_workers)", 1, low_is_bad=True
            ),
            stat("Scheduler", "none", "1: one is at work.", "max(novapulse_scheduler_running)", 1, low_is_bad=True),
            stat("Dead jobs", "none", "Of all queues.", 'sum(novapulse:queue_jobs{state="dead"})', 1, 100),
            stat("Drift", "none", "Anything but 0 is a fault.", "max(abs(novapulse_queue_drift))", 1, 1),
            lines("Waiting", "none", "By queue.", ('novapulse:queue_jobs{state="waiting"}', "{{queue}}")),
            lines(
                "To be tried again, or later",
                "none",
                "By queue.",
                ('novapulse:queue_jobs{state="delayed"}', "{{queue}}"),
            ),
            lines(
                "Oldest that waits", "s", "By queue.", ("novapulse:queue_oldest_seconds", "{{queue}}"), limits=(300.0,)
            ),
            lines(
                "Made",
                "reqps",
                "Jobs and deliveries, by queue.",
                ("max by (queue) (rate(novapulse_queue_made_total[$__rate_interval]))", "{{queue}}"),
            ),
            lines(
                "Attempts of jobs",
                "reqps",
                "By queue and what became of the job.",
                (rate("novapulse_job_attempts_total", "queue, outcome"), "{{queue}} {{outcome}}"),
            ),
            lines(
                "Attempts that fail",
                "percentunit",
                "Of jobs, by queue, over 15 minutes.",
                ("novapulse:job_failures:ratio_rate15m", "{{queue}}"),
                limits=(0.3,),
            ),
            lines(
                "Wait",
                "s",
                "The 99th percentile, by queue.",
                (quantile(0.99, "novapulse_job_wait_seconds", "queue"), "{{queue}}"),
            ),
            lines(
                "Run",
                "s",
                "The 99th percentile, by queue.",
                (quantile(0.99, "novapulse_job_run_seconds", "queue"), "{{queue}}"),
            ),
            lines(
                "Slots in use",
                "percentunit",
                "By queue; at 100 % what comes has to wait.",
                (
                    "sum by (queue) (novapulse_worker_in_flight) / max by (queue) (novapulse_queue_slots > 0)",
                    "{{queue}}",
                ),
            ),
            lines("Workers", "none", "Alive, by queue.", ("novapulse:queue_workers", "{{queue}}")),
            lines(
                "Paused",
                "none",
                "1: paused, or being drained.",
                ("max by (queue) (novapulse_queue_paused)", "{{queue}}"),
            ),
            lines(
                "The scheduler's work",
                "s",
                "The 99th percentile, by piece of work.",
                (quantile(0.99, "novapulse_scheduler_tick_duration_seconds", "work"), "{{work}}"),
            ),
            lines(
                "The scheduler's failures",
                "none",
                "Per minute, by piece of work.",
                ("sum by (work) (increase(novapulse_scheduler_tick_failures_total[1m]))", "{{work}}"),
            ),
        ],
    ),
    "security": (
        "Who signs in and who is refused, what is limited, and what keeps the data safe.",
        [
            stat("Signed in", "none", "Sessions of people.", "max(novapulse_sessions)"),
            stat(
                "Sign-ins that fail",
                "none",
                "Of the last 10 minutes.",
                'sum(increase(novapulse_sign_in_attempts_total{outcome!="ok"}[10m]))',
                10,
                50,
            ),
            stat(
                "Calls refused",
                "reqps",
                "Because a limit is used up.",
                'sum(rate(novapulse_rate_limit_decisions_total{decision="refused"}[5m])) or vector(0)',
                1,
            ),
            stat(
                "Last backup",
                "s",
                "How long ago; empty if none was made.",
                "time() - max(novapulse_backup_last_timestamp_seconds)",
                90_000,
                180_000,
            ),
            lines(
                "Sign-ins",
                "reqps",
                "By outcome.",
                (rate("novapulse_sign_in_attempts_total", "outcome"), "{{outcome}}"),
            ),
            lines(
                "Refused by status",
                "reqps",
                "401: who is it? 403: not allowed. 429: too many.",
                (rate("novapulse_http_requests_total", "code", 'code=~"401|403|429"'), "{{code}}"),
            ),
            lines(
                "Rate limits",
                "reqps",
                "Decisions by class; `unshared` ones were made without Valkey.",
                (rate("novapulse_rate_limit_decisions_total", "class, decision"), "{{class}} {{decision}}"),
            ),
            lines(
                "Sockets",
                "none",
                "Open ones of browsers, by instance.",
                ("novapulse_sockets", "{{instance}}"),
            ),
            lines(
                "Sockets refused",
                "reqps",
                "By why.",
                (rate("novapulse_sockets_refused_total", "reason"), "{{reason}}"),
            ),
            lines(
                "Clocks",
                "s",
                "How far from Valkey's, by instance.",
                ("max by (instance) (novapulse_clock_skew_seconds)", "{{instance}}"),
                limits=(2.0,),
            ),
            lines(
                "Checks of health",
                "none",
                "1: good.",
                ("min by (check) (novapulse_check_ok)", "{{check}}"),
            ),
        ],
    ),
}


def dashboard(name: str) -> dict[str, Any]:
    """A dashboard as Grafana reads it."""
    tells, panels = DASHBOARDS[name]
    return {
        "uid": f"novapulse-{name}",
        "title": f"NovaPulse {name}",
        "description": tells,
        "tags": ["novapulse"],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [
            {"type": "dashboards", "tags": ["novapulse"], "title": "NovaPulse", "asDropdown": False, "keepTime": True}
        ],
        "annotations": {"list": []},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus", "hide": 0}
            ]
        },
        "panels": _placed(panels),
    }


def _placed(panels: list[Panel]) -> list[dict[str, Any]]:
    stats = [panel for panel in panels if panel.kind == "stat"]
    width = 24 // len(stats)
    placed = [_panel(panel, number, number * width, 0, width, 4) for number, panel in enumerate(stats)]
    for number, panel in enumerate(panel for panel in panels if panel.kind != "stat"):
        placed.append(_panel(panel, len(placed), number % 2 * 12, 4 + number // 2 * 8, 12, 8))
    return placed


def _panel(panel: Panel, number: int, x: int, y: int, width: int, height: int) -> dict[str, Any]:
    good, bad = ("red", "green") if panel.low_is_bad else ("green", "red")
    colours = [bad] if len(panel.limits) == 1 else ["yellow", bad]
    steps = [{"color": good, "value": None}]
    steps += [{"color": colour, "value": limit} for colour, limit in zip(colours, panel.limits, strict=False)]
    custom = {"fillOpacity": 20 if panel.stacked else 8, "showPoints": "never", "lineWidth": 1}
    custom |= {"stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"}}
    custom |= {"thresholdsStyle": {"mode": "line" if panel.limits else "off"}}
    stat_ = panel.kind == "stat"
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.tells,
        "datasource": _DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": {} if stat_ else custom,
                **({} if panel.unit == "none" else {"min": 0}),
            },
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "graphMode": "area"}
        if stat_
        else {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _DATASOURCE, "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(panel.queries)
        ],
    }


def text_of(name: str) -> str:
    """A dashboard's file."""
    return json.dumps(dashboard(name), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (FOLDER / f"{each}.json").write_text(text_of(each), encoding="utf-8")
