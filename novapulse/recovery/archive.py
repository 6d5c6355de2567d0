"""The file of a backup: a gzip'ed tar, written and read as a stream.

`header.json` comes first: what made the backup, when, of which revision, and the columns of each table. Then the keys,
if they are in it, the rows as `tables/NAME/NNNNNN.jsonl` (one JSON array a line, in the order of the columns), the
files of reports, and at the end `manifest.json`: the SHA-256 of every member before it, and how many rows each table
has. A file that was cut off has no manifest.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO

import orjson

FORMAT = 1
_LEVEL = 3  # of compression: most of what there is to gain, at a fraction of the time
_HEADER, _MANIFEST = "header.json", "manifest.json"
_HEADER_MAX = 4 << 20
_PIECE = 1 << 16
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError)
_SAID_DAMAGED = "This backup is damaged or cut off. Use another one."


class BackupError(Exception):
    """The file is no backup, is damaged, or is one this version cannot use; says what to do."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and how its values are written in JSON: `bytes` as base64, `json` as the text that is stored."""

    name: str
    kind: str  # text, int, float, bool, json or bytes


@dataclass(frozen=True, slots=True)
class Header:
    """What is known before anything is read."""

    version: str
    revision: str
    created_at: int  # ms: the moment whose state the backup holds
    database: str  # what it was taken from: sqlite or postgresql
    key_ids: list[str]  # the keys that its secrets were encrypted with, newest first; ids are no secrets
    with_keys: bool
    with_reports: bool
    tables: dict[str, list[Column]]


@dataclass(slots=True)
class Manifest:
    """What a complete backup ends with."""

    members: dict[str, str] = field(default_factory=dict[str, str])
    rows: dict[str, int] = field(default_factory=dict[str, int])


class Writer:
    """Writes one backup to a file that is open for writing."""

    def __init__(self, to: BinaryIO, header: Header) -> None:
        self._gzip = gzip.GzipFile(fileobj=to, mode="wb", compresslevel=_LEVEL, mtime=0)
        self._tar = tarfile.open(fileobj=self._gzip, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - `close`
        self._at = time.time()
        self.manifest = Manifest()
        self.add(_HEADER, orjson.dumps({"novapulse_backup": FORMAT, "header": header}))

    def add(self, name: str, data: bytes) -> None:
        """A member that is in memory."""
        self.add_file(name, io.BytesIO(data), len(data))

    def add_file(self, name: str, file: BinaryIO, size: int) -> None:
        """A member of `size` bytes that is read from a file.

        Raises:
            OSError: the file is shorter by now.
        """
        hashing = Member(file)
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size, 0o600, self._at
        self._tar.addfile(info, hashing)  # pyright: ignore[reportArgumentType] - it only reads
        self.manifest.members[name] = hashing.digest()

    def end(self) -> None:
        """Write the manifest; the file is whole then."""
        data = orjson.dumps(self.manifest)
        info = tarfile.TarInfo(_MANIFEST)
        info.size, info.mode, info.mtime = len(data), 0o600, self._at
        self._tar.addfile(info, io.BytesIO(data))
        self._tar.close()
        self._gzip.close()


class Reader:
    """Reads one backup, from begin to end."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises BackupError: it is no backup, or of a newer format."""
        self._seen = Manifest()
        self.manifest: Manifest | None = None
        try:
            self._tar = tarfile.open(fileobj=gzip.GzipFile(fileobj=file), mode="r|")  # noqa: SIM115 - with its file
            self._all = self._members()
            name, first = next(self._all, ("", Member(io.BytesIO())))
            said: dict[str, Any] = orjson.loads(first.read(_HEADER_MAX)) if name == _HEADER else {}
        except (*_DAMAGED, OSError, orjson.JSONDecodeError, BackupError) as error:
            raise BackupError("This file is no backup of NovaPulse, or its beginning is damaged.") from error
        if "novapulse_backup" not in said:
            raise BackupError("This file is no backup of NovaPulse.")
        if said["novapulse_backup"] != FORMAT:
            raise BackupError(
                f"This backup has format {said['novapulse_backup']}; this version reads {FORMAT}. Install the newer"
                " version that made it."
            )
        tables = {name: [Column(**each) for each in columns] for name, columns in said["header"]["tables"].items()}
        self.header = Header(**(said["header"] | {"tables": tables}))

    def members(self) -> Iterator[tuple[str, Member]]:
        """Every member in order, to be read before the next one is asked for.

        Raises:
            BackupError: the file is damaged or cut off. What was read so far is not to be trusted then.
        """
        try:
            yield from self._all
        except (*_DAMAGED, OSError, orjson.JSONDecodeError, TypeError) as error:
            raise BackupError(_SAID_DAMAGED) from error
        if self.manifest is None:
            raise BackupError("This backup is cut off: its end is missing. Use another one.")
        if self.manifest.members != self._seen.members:
            raise BackupError("This backup is damaged: its checksums do not match. Use another one.")

    def _members(self) -> Iterator[tuple[str, Member]]:
        for info in self._tar:
            member = Member(self._tar.extractfile(info) or io.BytesIO())
            if info.name == _MANIFEST:
                self.manifest = Manifest(**orjson.loads(member.read()))
                continue
            yield info.name, member
            while member.read(_PIECE):  # what nobody wanted is part of the checksum
                pass
            self._seen.members[info.name] = member.digest()


class Member:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            BackupError: the file is damaged or cut off.
        """
        try:
            data = self._file.read(size)
        except _DAMAGED as error:
            raise BackupError(_SAID_DAMAGED) from error
        self._sha256.update(data)
        return data

    def digest(self) -> str:
        """SHA-256 of what was read."""
        return self._sha256.hexdigest()
