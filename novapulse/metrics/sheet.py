"""The numbers of one process: an addition to an array each, and a file of them where others tell of this process.

`prometheus-client`'s own mode for several processes was measured and does not fit: it takes 30 ms to tell of four
processes with 500 series each, keeps the files of dead processes for ever, and a gauge needs the id of its process as a
label. Here a process takes the first numbered file that nobody has locked, and goes on from the numbers that are in
it: what a killed process had counted is still there to the last addition, and no total ever becomes less.

For use on the event loop only: an addition is a reading and a writing.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

import orjson

_SLOTS = 8_192  # numbers in a sheet: 64 KiB
_HEAD = 8  # of them: format, process id, when it began, in seconds
_SPILL = 64  # and these take what has no place any more
_CHILDREN_MAX = 500  # series of a metric; whatever comes then is counted together
_TRIES_MAX = 64

Labels = tuple[str, ...]
Kind = Literal["counter", "gauge", "histogram"]
Values = "array[float] | memoryview[float]"


@dataclass(slots=True, eq=False)
class Metric:
    """What is counted under one name, for each combination of its labels."""

    name: str
    help: str
    labels: Labels = ()
    most: bool = False  # of several processes the largest counts, not the sum
    known: tuple[Labels, ...] = ()  # series told from the start: what begins at 1 has not risen, for Prometheus
    at: dict[Labels, int] = field(default_factory=dict[Labels, int], init=False, repr=False)

    kind: Kind = field(default="counter", init=False)
    buckets: tuple[float, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        METRICS[self.name] = self

    @property
    def width(self) -> int:
        """Numbers per series."""
        return len(self.buckets) + 2 if self.buckets else 1

    def place(self, labels: Labels) -> int:
        """Where in the sheet the series with these labels is."""
        found = self.at.get(labels)
        if found is None:
            if len(labels) != len(self.labels):
                raise ValueError(f"{self.name} has the labels {self.labels}, not {len(labels)}")
            if len(self.at) >= _CHILDREN_MAX:
                labels = ("other",) * len(labels)
            found = self.at.get(labels)
            if found is None:
                found = self.at[labels] = SHEET.take(self.name, labels, self.width)
        return found


METRICS: dict[str, Metric] = {}


class Counter(Metric):
    """Only grows, as long as its sheet lives."""

    __slots__ = ()

    def add(self, n: float, *labels: str) -> None:
        """Count `n` more."""
        at = self.at.get(labels)
        SHEET.values[self.place(labels) if at is None else at] += n

    def value(self, *labels: str) -> float:
        """What this process has counted."""
        return SHEET.values[self.place(labels)]


class Gauge(Counter):
    """Goes up and down, and is gone with its process."""

    __slots__ = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kind = "gauge"

    def set(self, value: float, *labels: str) -> None:
        """Be so much from now on."""
        SHEET.values[self.place(labels)] = value


@dataclass(slots=True, eq=False)
class Histogram(Metric):
    """How many of what was observed are at most as large as each of `bounds`, and the sum of it all."""

    bounds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        Metric.__post_init__(self)
        self.kind = "histogram"
        self.buckets = self.bounds

    def observe(self, value: float, *labels: str) -> None:
        """Take in one value."""
        at = self.at.get(labels)
        if at is None:
            at = self.place(labels)
        values = SHEET.values
        values[at + bisect_left(self.buckets, value)] += 1
        values[at + len(self.buckets) + 1] += value

    def take_in(self, counted: Iterable[tuple[float, int]], total: float, *labels: str) -> None:
        """Take in many at once: pairs of a value and how often it was seen, and the sum of all."""
        at, values = self.place(labels), SHEET.values
        for value, n in counted:
            values[at + bisect_left(self.buckets, value)] += n
        values[at + len(self.buckets) + 1] += total

    def counted(self, *labels: str) -> float:
        """How many this process has observed."""
        at = self.place(labels)
        return sum(SHEET.values[at : at + len(self.buckets) + 1])


@dataclass(frozen=True, slots=True)
class Series:
    """Where the numbers of one series are."""

    name: str
    labels: Labels
    at: int
    width: int


@dataclass(slots=True)
class Told:
    """A sheet, as it was read."""

    process: str
    number: int
    alive: bool
    pid: int
    series: Sequence[Series]
    values: Sequence[float]


class Sheet:
    """All numbers of this process: in memory, or in a file from which another process tells of them."""

    def __init__(self) -> None:
        self.values: array[float] | memoryview[float] = array("d", bytes(8 * _SLOTS))
        self.series: list[Series] = []
        self.next = _HEAD + _SPILL
        self.process, self.number = "", 1
        self._file: BinaryIO | None = None
        self._keys: BinaryIO | None = None

    def take(self, name: str, labels: Labels, width: int) -> int:
        """A place for a new series; where there is none left, one that nobody reads."""
        if self.next + width > _SLOTS:
            return _HEAD
        found = Series(name, labels, self.next, width)
        if self._keys is not None:
            self._keys.write(orjson.dumps([name, *labels, found.at, width]) + b"\n")
            self._keys.flush()
        self.series.append(found)
        self.next += width
        return found.at

    def begin(self, process: str) -> None:
        """Say which process this is."""
        self.process = process
        self.values[1], self.values[2] = os.getpid(), time.time()

    def share(self, folder: Path) -> None:
        """Keep the numbers in the folder's first file of this kind of process that no living process has.

        Raises:
            OSError: nothing can be written there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, _TRIES_MAX + 1):
            file = _locked(folder / f"{self.process}-{number}.values")
            if file is not None:
                self._move(file, number, folder / f"{self.process}-{number}.keys")
                return
        raise OSError(f"{_TRIES_MAX} processes have their numbers in {folder}")

    def _move(self, file: BinaryIO, number: int, keys: Path) -> None:
        known, old = self.series, self.values
        size = os.fstat(file.fileno()).st_size
        file.truncate(8 * _SLOTS)
        shared = memoryview(mmap.mmap(file.fileno(), 8 * _SLOTS)).cast("d")
        if size != 8 * _SLOTS or shared[0] != _schema():
            keys.write_bytes(b"")
            shared[:] = memoryview(array("d", bytes(8 * _SLOTS)))
        self.series = list(read_keys(keys))
        self.next = max((each.at + each.width for each in self.series), default=_HEAD + _SPILL)
        self.values, self.number, self._file = shared, number, file
        self._keys = keys.open("ab")
        shared[0], shared[1], shared[2] = _schema(), old[1], old[2]
        for metric in METRICS.values():
            metric.at.clear()
        for each in self.series:
            metric = METRICS[each.name]
            metric.at[each.labels] = each.at
            if metric.kind == "gauge":  # of the process before
                shared[each.at] = 0.0
        for each in known:
            at = METRICS[each.name].place(each.labels)
            for place in range(each.width):
                shared[at + place] += old[each.at + place]

    @property
    def shared(self) -> bool:
        """Whether another process tells of this one."""
        return self._file is not None

    def told(self) -> Told:
        """The numbers of this process."""
        return Told(self.process, self.number, True, os.getpid(), self.series, self.values)


def read_sheets(folder: Path) -> Iterator[Told]:
    """The numbers of all processes that keep them in this folder, of the dead too."""
    for path in sorted(folder.glob("*.values")):
        process, _, number = path.stem.rpartition("-")
        try:
            values = array("d", path.read_bytes())
            if len(values) == _SLOTS and values[0] == _schema():
                series = _known_keys(path.with_suffix(".keys"))
                yield Told(process, int(number), _is_locked(path), int(values[1]), series, values)
        except (OSError, ValueError):
            continue  # it is being made


def read_keys(path: Path) -> Iterator[Series]:
    """The series of a file; a last line that is not whole yet is none."""
    for line in path.read_bytes().split(b"\n")[:-1]:
        name, *labels, at, width = orjson.loads(line)
        yield Series(name, tuple(labels), at, width)


_read: dict[Path, tuple[int, list[Series]]] = {}


def _known_keys(path: Path) -> list[Series]:
    size = path.stat().st_size
    known = _read.get(path)
    if known is None or known[0] != size:
        known = _read[path] = (size, list(read_keys(path)))
    return known[1]


def _schema() -> float:
    """A number that changes with the definitions: what another version has written is not to be added to."""
    shape = sorted((each.name, each.kind, each.labels, each.buckets) for each in METRICS.values())
    return float(zlib.crc32(repr(shape).encode()) or 1)


def _locked(path: Path, *, tries: int = 3) -> BinaryIO | None:
    """The file, open and ours alone; None: somebody else has it."""
    file = path.open("a+b")
    for left in reversed(range(tries)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.005 if left else 0)  # it may be somebody who only looks whether it is locked
        else:
            return file
    file.close()
    return None


def lock(path: Path) -> BinaryIO | None:
    """Have what only one process may have, until it ends; None: another has it.

    Raises:
        OSError: nothing can be written there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return _locked(path, tries=1)


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


SHEET = Sheet()
