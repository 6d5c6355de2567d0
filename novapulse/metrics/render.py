"""The answer to a scrape, in Prometheus' text format (0.0.4)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from novapulse.core.runtime import Runtime
from novapulse.metrics.definitions import FACTS, METRICS
from novapulse.metrics.facts import Facts, Found
from novapulse.metrics.keeper import Keeper
from novapulse.metrics.sheet import SHEET, Metric, Series, Told, read_sheets

__all__ = ["CONTENT_TYPE", "render"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


async def render(rt: Runtime) -> bytes:
    """What this process knows: its own numbers, those of processes that have no port, and of a web also the facts."""
    keeper = rt.part(Keeper)
    keeper.refresh()
    sheets = [SHEET.told()]
    if keeper.collects():
        sheets += read_sheets(keeper.folder)
    facts = await rt.part(Facts).read() if SHEET.process == "web" else {}
    return generate_latest(_Answer([*_counted(sheets), *_facts(facts | _processes(sheets))]))


class _Answer(Collector):
    """What is told this once."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def _counted(sheets: Iterable[Told]) -> Iterator[Family]:
    for metric, series in _merge(sheets):
        family = _family(metric.name, metric.help, metric.kind)
        for labels, values in series.items():
            named = dict(zip(metric.labels, labels, strict=True))
            if metric.kind != "histogram":
                family.samples.append(Sample(metric.name, named, values[0]))
                continue
            seen = 0.0
            for bound, value in zip(_bounds(metric.buckets), values, strict=False):
                seen += value
                family.samples.append(Sample(f"{metric.name}_bucket", named | {"le": bound}, seen))
            family.samples.append(Sample(f"{metric.name}_sum", named, values[-1]))
            family.samples.append(Sample(f"{metric.name}_count", named, seen))
        yield family


def _merge(sheets: Iterable[Told]) -> Iterator[tuple[Metric, dict[tuple[str, ...], list[float]]]]:
    merged: dict[str, dict[tuple[str, ...], list[float]]] = {name: {} for name in METRICS}
    for sheet in sheets:
        for each in sheet.series:
            metric = METRICS[each.name]
            if sheet.alive or metric.kind != "gauge":
                _add(merged[each.name], metric, each, sheet.values[each.at : each.at + each.width])
    for name, series in merged.items():
        metric = METRICS[name]
        for labels in metric.known or (() if metric.labels else ((),)):
            series.setdefault(labels, [0.0] * metric.width)  # what has not happened yet has happened 0 times
        yield metric, series


def _add(into: dict[tuple[str, ...], list[float]], metric: Metric, each: Series, values: Iterable[float]) -> None:
    known = into.get(each.labels)
    if known is None:
        into[each.labels] = list(values)
    elif metric.most:
        into[each.labels] = [max(one, other) for one, other in zip(known, values, strict=True)]
    else:
        into[each.labels] = [one + other for one, other in zip(known, values, strict=True)]


def _facts(found: Found) -> Iterator[Family]:
    for fact in FACTS.values():
        if values := found.get(fact.name):
            family = _family(fact.name, fact.help, fact.kind)
            for labels, value in values:
                family.samples.append(Sample(fact.name, dict(zip(fact.labels, labels, strict=True)), value))
            yield family


def _processes(sheets: Iterable[Told]) -> Found:
    found: Found = {}
    for sheet in sheets:
        if not sheet.alive:
            continue
        labels = (sheet.process, str(sheet.number))
        found.setdefault("novapulse_process_start_time_seconds", []).append((labels, sheet.values[2]))
        # Elsewhere than on Linux, nothing more is known.
        with suppress(OSError):
            for name, value in _usage(sheet.pid):
                found.setdefault(name, []).append((labels, value))
    return found


def _usage(pid: int) -> Iterator[tuple[str, float]]:
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
        # proc(5): after the name, which may hold anything, the 14th and 15th field are the time used, the 24th memory.
        fields = file.read().rpartition(b")")[2].split()
    yield "novapulse_process_cpu_seconds_total", (int(fields[11]) + int(fields[12])) / _TICKS
    yield "novapulse_process_resident_memory_bytes", float(int(fields[21]) * _PAGE)
    yield "novapulse_process_open_fds", float(len(os.listdir(f"/proc/{pid}/fd")))  # noqa: PTH208 - one call, not one per file


def _family(name: str, words: str, kind: str) -> Family:
    return Family(name.removesuffix("_total") if kind == "counter" else name, words, kind)


@lru_cache
def _bounds(buckets: tuple[float, ...]) -> tuple[str, ...]:
    return (*(f"{bound:g}" for bound in buckets), "+Inf")
