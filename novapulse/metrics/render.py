"""The answer to a scrape, in Prometheus' text format (0.0.4)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache

from novapulse.core.runtime import Runtime
from novapulse.metrics.definitions import FACTS, METRICS
from novapulse.metrics.facts import Facts, Found
from novapulse.metrics.keeper import Keeper
from novapulse.metrics.sheet import SHEET, Metric, Series, Told, read_sheets

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

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
    lines = [*_counted(sheets), *_facts(facts | _processes(sheets))]
    lines.append("")
    return "\n".join(lines).encode()


def _counted(sheets: Iterable[Told]) -> Iterator[str]:
    for metric, series in _merge(sheets):
        yield _head(metric.name, metric.help, metric.kind)
        for labels, values in series.items():
            if metric.kind != "histogram":
                yield f"{_named(metric.name, metric.labels, labels)} {_number(values[0])}"
                continue
            buckets, total, count = _bucket_names(metric.name, labels)
            seen = 0.0
            for name, value in zip(buckets, values, strict=False):
                seen += value
                yield f"{name} {_number(seen)}"
            yield f"{total} {_number(values[-1])}"
            yield f"{count} {_number(seen)}"


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


def _facts(found: Found) -> Iterator[str]:
    for fact in FACTS.values():
        if values := found.get(fact.name):
            yield _head(fact.name, fact.help, fact.kind)
            for labels, value in values:
                yield f"{_named(fact.name, fact.labels, labels)} {_number(value)}"


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


def _head(name: str, words: str, kind: str) -> str:
    return f"# HELP {name} {words}\n# TYPE {name} {kind}"


@lru_cache(10_000)
def _named(name: str, names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return name
    pairs = ",".join(f'{key}="{_escaped(value)}"' for key, value in zip(names, values, strict=True))
    return f"{name}{{{pairs}}}"


@lru_cache(10_000)
def _bucket_names(name: str, labels: tuple[str, ...]) -> tuple[list[str], str, str]:
    metric = METRICS[name]
    bounds = [*(f"{bound:g}" for bound in metric.buckets), "+Inf"]
    names = [_named(f"{name}_bucket", (*metric.labels, "le"), (*labels, bound)) for bound in bounds]
    return names, _named(f"{name}_sum", metric.labels, labels), _named(f"{name}_count", metric.labels, labels)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() else repr(value)
