"""What shows over time: rates, percentiles, the history and its marks, rewinding, and that its memory is bounded."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from sqlalchemy import text

from novapulse.core.actor import SYSTEM, Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.errors import InvalidError, NotFoundError, UnavailableError
from novapulse.core.runtime import Runtime, connect_valkey
from novapulse.jobs import counts, history, rings, sampling
from novapulse.jobs.history import queue_history, rewind
from novapulse.jobs.marks import read_marks
from novapulse.jobs.modes import pause
from novapulse.jobs.observed import Observed
from novapulse.jobs.rings import Point
from novapulse.live.sampler import LAST, sample
from novapulse.live.shown import snapshot_vars
from novapulse.security import audit

START = (now_ms() // 60_000 - 10) * 60_000  # on a minute, some minutes ago


class Clock:
    """The time that the sampler sees."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (counts, history):
        monkeypatch.setattr(module, "now_ms", clock)
    return clock


async def ends(rt: Runtime, ok: int, failed: int, waiting: int = 0) -> None:
    """So many jobs of queue `email` have ended, and so many wait."""
    async with rt.database.write() as session:
        for state, n in (("completed", f"n + {ok}"), ("failed", f"n + {failed}"), ("waiting", str(waiting))):
            await session.execute(
                text(f"UPDATE queue_count SET n = {n} WHERE queue = 'email' AND state = '{state}' AND shard = 0")
            )
        everything = "SELECT sum(n) FROM queue_count WHERE queue = 'email' AND state IN ('completed', 'waiting')"
        await session.execute(
            text(f"UPDATE queue_count SET n = ({everything}) WHERE queue = 'email' AND state = 'enqueued'")
        )


async def seconds(rt: Runtime, clock: Clock, n: int, ok: int = 0, failed: int = 0, waits_ms: float = 10) -> None:
    """So many seconds go by, and in each so many jobs end."""
    observed = rt.part(Observed)
    for _ in range(n):
        clock.now += 1000
        if ok or failed:
            observed.note_many("email", [(waits_ms, 20.0, True)] * ok + [(waits_ms, 20.0, False)] * failed)
            await observed.flush()
            await ends(rt, ok, failed)
        await sampling.sample_queues(rt)


async def alive(rt: Runtime, clock: Clock, *versions: str) -> None:
    """Workers that beat for ever."""
    await rt.valkey.delete("{np}:workers")
    for place, version in enumerate(versions):
        state = {
            "name": f"w{place}", "host": "h", "pid": 1, "version": version, "queues": ["email"], "running": {},
            "slots": {"email": 4}, "rss_bytes": None, "started_at": clock.now, "at": clock.now,
        }  # fmt: skip
        await rt.valkey.set(f"{{np}}:worker:w{place}", orjson.dumps(state))
        await rt.valkey.zadd("{np}:workers", {f"w{place}": clock.now + 10**9})


async def test_rates_percentiles_and_history_follow_what_happens(rt: Runtime, clock: Clock) -> None:
    await alive(rt, clock, "1.0", "1.0")
    await seconds(rt, clock, 30)
    await seconds(rt, clock, 60, ok=4, failed=1)
    await seconds(rt, clock, 1, ok=4, failed=1, waits_ms=900)
    email = next(queue for queue in (await counts.read_stats(rt)).queues if queue.name == "email")
    assert email.throughput_per_s == 5
    assert email.error_rate == 0.2
    assert (email.workers, email.slots) == (2, 8)
    assert email.wait_ms.p50 == pytest.approx(10, rel=0.1)
    assert email.wait_ms.p99 == pytest.approx(900, rel=0.1)
    assert email.run_ms.p99 == pytest.approx(20, rel=0.1)
    assert email.health == "degraded" and "20%" in email.reasons[0]
    webhook = next(queue for queue in (await counts.read_stats(rt)).queues if queue.name == "webhook")
    assert webhook.wait_ms.p50 is None and webhook.error_rate is None and webhook.throughput_per_s == 0

    clock.now += 30_000  # nobody looked
    await seconds(rt, clock, 5)
    seen = await queue_history(rt, SYSTEM, "email", "15m")
    assert (len(seen.points), seen.step_s) == (900, 1)
    by_time = {point.at: point for point in seen.points}
    busy, slow = by_time[rfc3339(START + 60_000)], by_time[rfc3339(START + 91_000)]
    assert (busy.throughput_per_s, busy.failed_per_s, busy.error_rate, busy.workers) == (5, 1, 0.2, 2)
    assert slow.wait_ms.p50 == pytest.approx(900, rel=0.1)
    gap = by_time[rfc3339(START + 110_000)]
    assert (gap.waiting, gap.throughput_per_s, gap.wait_ms.p50, gap.workers) == (None, None, None, None)
    assert by_time[rfc3339(START + 10_000)].wait_ms.p50 is None  # nothing was measured, and that is not 0

    hour = await queue_history(rt, SYSTEM, "email", "1h")
    tens = [point for point in hour.points if point.at == rfc3339(START + 60_000)]
    assert [(point.throughput_per_s, point.failed_per_s) for point in tens] == [(5, 1)]
    minutes = [point for point in (await queue_history(rt, SYSTEM, "email", "6h")).points if point.completed]
    assert minutes[0].completed == 4 * 29  # up to the last second of the first minute
    assert minutes[0].wait_ms.p99 == pytest.approx(10, rel=0.1)

    at = await rewind(rt, SYSTEM, at=START + 60_500)
    assert at.moments[0].queues["email"] is not None
    assert at.moments[0].queues["email"].completed == 4 * 30
    span = await rewind(rt, SYSTEM, since=START + 50_000, until=START + 70_000)
    shown = [moment.queues["email"].completed for moment in span.moments if moment.queues["email"] is not None]
    assert shown == [4 * (n - 30) for n in range(50, 70)]
    assert all(moment.queues["email"] is None for moment in (await rewind(rt, SYSTEM, at=START - 60_000)).moments)


async def test_a_successor_goes_on_where_the_sampler_before_stopped(rt: Runtime, clock: Clock) -> None:
    await seconds(rt, clock, 70, ok=2)
    rt._parts.pop(sampling._Memory)  # pyright: ignore[reportPrivateUsage] - as in a process that has just started
    clock.now += 1000
    stats, lines = await sampling.sample_queues(rt)
    assert stats.queues[0].throughput_per_s == pytest.approx(2, abs=0.3)
    assert lines["email"]["rates"][-5:-1] == [2.0] * 4
    # Two who sample at once count once.
    before = await rt.valkey.xlen(rings.key("email", 1))
    await sampling.sample_queues(rt)
    assert await rt.valkey.xlen(rings.key("email", 1)) == before


async def test_a_queue_that_stands_still_or_grows_says_so(rt: Runtime, clock: Clock) -> None:
    await alive(rt, clock, "1.0")
    await ends(rt, 0, 0, waiting=3)
    await seconds(rt, clock, 50)
    assert (await counts.read_stats(rt)).queues[0].health == "healthy"
    await seconds(rt, clock, 12)
    stalled = (await counts.read_stats(rt)).queues[0]
    assert stalled.health == "stalled"
    assert "nothing has ended" in stalled.reasons[0]
    for n in range(130):
        clock.now += 1000
        await ends(rt, 1, 0, waiting=100 + n)
        await sampling.sample_queues(rt)
    growing = (await counts.read_stats(rt)).queues[0]
    assert growing.health == "degraded"
    assert [reason for reason in growing.reasons if "growing" in reason]


async def test_marks_say_what_was_deployed_and_done(rt: Runtime, clock: Clock) -> None:
    await alive(rt, clock, "1.0")
    await seconds(rt, clock, 2)
    await alive(rt, clock, "1.0", "2.0")
    await seconds(rt, clock, 1)
    await alive(rt, clock, "1.0")
    await seconds(rt, clock, 1)
    await pause(rt, SYSTEM, "email", "provider is down")
    clock.now = now_ms() + 1000
    marks = (await queue_history(rt, SYSTEM, "email", "15m")).marks
    assert [(mark.kind, mark.queue) for mark in marks] == [("deploy", None), ("worker", None), ("pause", "email")]
    assert "2.0" in marks[0].text and "1.0" in marks[0].text
    assert marks[2].text == "Queue email paused by NovaPulse: provider is down"
    assert [mark.kind for mark in (await queue_history(rt, SYSTEM, "report", "15m")).marks] == ["deploy", "worker"]
    for action, target in (
        ("job.bulk_retried", ("job", "job_1", "jobs.bulk")),
        ("workflow_run.cancelled", ("workflow_run", "run_1", "")),
        ("job.pinned", ("job", "job_1", "x")),
        ("session.revoked", ("session", "s", "s")),
    ):
        await audit.record(rt, SYSTEM, action, target=target)
    acts = [mark.text for mark in await read_marks(rt, SYSTEM, START, now_ms() + 1000) if mark.kind == "act"]
    assert acts == ["Many jobs retried at once by NovaPulse", "Workflow run run_1 cancelled by NovaPulse"]
    viewer = Actor("user", "usr_1", "viewer", frozenset({Permission.JOBS_READ}))
    assert "act" not in [mark.kind for mark in await read_marks(rt, viewer, START, now_ms() + 1000)]
    # Who sees one tenant is not told what people do to all.
    one = Actor("api_key", "key_1", "one", frozenset({Permission.JOBS_READ}), tenant="one")
    assert "pause" not in [mark.kind for mark in await read_marks(rt, one, 0, now_ms() + 1000)]


async def test_seven_days_of_a_busy_queue_take_little_memory(rt: Runtime) -> None:
    hist = {str(bucket): 60 + bucket for bucket in range(40, 65)}  # as wide as a busy minute is
    point = Point(
        123_456, 250, 1_234, 98_765_432, 123, 12, 98_765_999, 1_234, 4, 256, 0, 12_345, 12.3, 99.9, 23.4, 250.7,
    )  # fmt: skip
    for step_s, kept in rings.STEPS.items():
        start = 1_700_000_000_000
        async with rt.valkey.pipeline(transaction=False) as pipe:
            for n in range(kept + 500):
                value = point._replace(waits=hist, runs=hist) if step_s == 60 else point
                rings.add(pipe, "email", step_s, start + n * step_s * 1000, value)
            await pipe.execute()
    sizes = {step_s: await rt.valkey.memory_usage(rings.key("email", step_s), samples=0) for step_s in rings.STEPS}
    lengths = {step_s: await rt.valkey.xlen(rings.key("email", step_s)) for step_s in rings.STEPS}
    print("bytes by step:", sizes, "in all:", sum(filter(None, sizes.values())))
    for step_s, kept in rings.STEPS.items():
        assert kept <= lengths[step_s] <= kept + 100
    assert sum(filter(None, sizes.values())) < 5_000_000


async def test_what_is_asked_wrongly_is_refused(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError):
        await queue_history(rt, SYSTEM, "nothing")
    now = now_ms()
    for wrong in (
        {}, {"at": now, "since": now}, {"at": now - 2 * 86_400_000}, {"since": now, "until": now - 5_000},
    ):  # fmt: skip
        with pytest.raises(InvalidError):
            await rewind(rt, SYSTEM, **wrong)
    away = connect_valkey("redis://127.0.0.1:9/0")
    monkeypatch.setattr(rt, "valkey", away)
    with pytest.raises(UnavailableError):
        await queue_history(rt, SYSTEM, "email")
    await away.aclose()


async def test_what_is_noted_while_valkey_is_away_is_not_lost(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    observed = rt.part(Observed)
    away = connect_valkey("redis://127.0.0.1:9/0")
    with monkeypatch.context() as patch:
        patch.setattr(rt, "valkey", away)
        observed.note("email", 5, 5, ok=True)
        await observed.flush()
        observed.note("email", None, 5, ok=False)
        await observed.flush()
    await away.aclose()
    await asyncio.sleep(1.2)  # by itself
    assert await rt.valkey.hgetall("{np}:q:{email}:o") == {"w19": "1", "r19": "2", "ok": "1", "bad": "1"}


async def test_what_every_open_page_is_sent_is_small(rt: Runtime, clock: Clock) -> None:
    await alive(rt, clock, "1.0")
    await seconds(rt, clock, 60, ok=3, failed=1, waits_ms=123)
    await sample(rt)
    shown = snapshot_vars(orjson.loads(await rt.valkey.get(LAST)))
    email = shown["queues"][0]
    assert (email["waiting"], email["per_s"], email["health"], email["error"]) == ("0", "4", "degraded", "25.0 %")
    assert email["rate_line"].startswith("M")
    size = {name: len(orjson.dumps(value)) for name, value in shown.items()}
    print("bytes:", size)
    assert sum(size.values()) < 8_000
