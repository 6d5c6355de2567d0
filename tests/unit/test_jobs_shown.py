"""What the pages about jobs say: unknown is “?” and never 0, and an act says what it will do."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from novapulse.jobs.schemas import Preview, Repeats
from novapulse.jobs.screens import filters
from novapulse.jobs.screens.board_state import consequences
from novapulse.jobs.screens.chart_state import _point  # pyright: ignore[reportPrivateUsage]
from novapulse.jobs.screens.shown import pretty, preview_shown
from novapulse.jobs.shapes import HistoryPoint, Percentiles, QueueView
from novapulse.live.shown import snapshot_vars

_NOTHING = Percentiles(p50=None, p99=None)
_UNKNOWN = QueueView(
    name="email", waiting=None, active=None, delayed=None, completed=None, failed=None, dead=None, cancelled=None,
    paused=None, mode=None, mode_by=None, mode_since=None, mode_note=None, workers=None, slots=None,
    throughput_per_s=None, wait_ms=_NOTHING, run_ms=_NOTHING, error_rate=None, oldest_waiting_s=None, drift=None,
    health=None, reasons=["The database cannot be asked."],
)  # fmt: skip
_COUNTS = ("waiting", "active", "delayed", "completed", "failed", "dead", "cancelled")


def test_what_is_not_known_is_never_0() -> None:
    queue = _UNKNOWN.model_dump() | {"rates": [], "slowest": []}
    totals = dict.fromkeys((*_COUNTS, "throughput_per_s"), None)
    overview = {"success_rate": None, "p95_ms": None, "delivered": 0, "failed": 0, "open": 0}
    overview |= {"failing_webhooks": [], "latest_failures": []}
    shown = snapshot_vars(
        {"at": "", "queues": [queue, queue | {"name": "webhook"}], "totals": totals, "workers": None,
         "overview": overview, "audit_seq": 0}
    )  # fmt: skip
    card = shown["queues"][0]
    assert {card[name] for name in (*_COUNTS, "workers", "slots", "per_s", "oldest", "drift")} == {"?"}
    assert set(shown["totals"].values()) == {"?"}
    assert (shown["workers_known"], card["health"], card["mode"]) == (False, "unknown", "unknown")
    said = " ".join(sentence for act in ("pause", "drain", "resume") for sentence in consequences(act, _UNKNOWN))
    assert "?" in said
    assert "0" not in said


def test_the_chart_keeps_gaps_and_the_worst_of_what_it_merges() -> None:
    def point(**known: object) -> HistoryPoint:
        fields = dict.fromkeys(HistoryPoint.model_fields, None) | {"wait_ms": _NOTHING, "run_ms": _NOTHING}
        return HistoryPoint.model_validate(fields | {"at": "2026-11-24T12:00:00.000Z"} | known)

    assert _point([point(), point()])[1:] == [None] * 7
    slow = point(throughput_per_s=4.0, failed_per_s=1.0, waiting=7, wait_ms=Percentiles(p50=5, p99=90))
    fast = point(throughput_per_s=2.0, failed_per_s=0.0, waiting=3, wait_ms=Percentiles(p50=2, p99=9))
    assert _point([slow, fast, point()])[1:] == [2.5, 0.5, 3, 5, 90, None, None]


def test_a_preview_says_what_may_happen_twice() -> None:
    shown = preview_shown(
        Preview(
            action="retry", matched=12, touched=10, untouched={"active": 2}, untouched_complete=False,
            by_queue={"email": 10}, by_task={"email.send": 10}, by_tenant={"": 10},
            by_state={"dead": 8, "completed": 2},
            repeats=[Repeats(task="email.send", completed=2, attempted=8)], complete=False,
        )
    )  # fmt: skip
    assert (shown["touched"], shown["untouched"]) == ("at least 10", "at least 2 active")
    assert "2 that ended well would be done twice" in shown["repeats"][0]
    assert [part["name"] for part in shown["parts"]] == ["State", "Queue", "Task"]  # nobody has a tenant
    assert pretty({"n": 10**20}) == '{\n  "n": 100000000000000000000\n}'


def test_filters_of_a_url_that_make_no_sense_are_left_out() -> None:
    asked = filters.of_url({"queue": "email", "state": "nonsense", "q": "a\0b", "pinned": "yes", "span": "1h"})
    assert (asked["queue"], asked["state"], asked["q"], asked["pinned"]) == ("email", "", "ab", "")
    listed, bulk = filters.for_list(asked, 3_600_000), filters.for_bulk(asked, 3_600_000)
    assert listed["since"] == 0
    assert bulk.since is not None and bulk.since.timestamp() == 0
    assert (bulk.queue, bulk.q, bulk.state) == ("email", "ab", None)
    with pytest.raises(ValidationError):
        filters.for_bulk(asked | {"queue": "nonsense"}, 0)
