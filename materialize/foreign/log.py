"""The results of a check as JSON lines, so that a check of days goes on after a crash where it was.

A line holds a whole :class:`ShardCheck`, with the digests of the shard's keys in base64: eleven bytes for a
sample, a ten-thousandth of its pictures. Reading the headers of all earlier shards again would be a pass over
the whole set where it is compressed. A shard whose path, size and time of change a line names is not read again;
faults of the machine are.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from materialize.foreign.result import ExtensionSet, Finding, Kind, KindCount, ShardCheck
from materialize.shard import cannot_write
from tol_db.errors import InputError, LeaseHeld

START = b'{"tol_db_verify": 1, '
"""How each line begins; another number is another layout."""
ANOTHER = "name another file for --log"


class ResultLog:
    """Results of earlier runs, and a place for new ones; made by :func:`open_log`."""

    def __init__(self, path: Path, file: io.FileIO) -> None:
        self.path, self._file = path, file
        self._lines: dict[str, int] = {}

    def read(self) -> None:
        """Find the last line of each shard; drop a last line that a killed run left half written.

        Raises:
            InputError: the file is something else, or a line is broken.
        """
        at = 0
        for number, line in enumerate(io.BufferedReader(_Unclosed(self._file)), 1):
            if not line.endswith(b"\n"):
                if not (line.startswith(START) or START.startswith(line) or not line.strip(b"\0")):
                    raise self._broken(number, "not a result of `tol-db verify`")
                self._file.truncate(at)
                break
            if not line.startswith(START):
                raise self._broken(number, "not a result of `tol-db verify`")
            self._lines[self._parse(line, number).path] = at
            at += len(line)
        self._file.seek(at)

    def earlier(self, shards: Mapping[str, tuple[int, int]], *, decode: bool) -> Iterator[ShardCheck]:
        """Results that still hold.

        Args:
            shards: absolute path → size and mtime_ns of the file as it is now.
            decode: whether images are to be decoded; then results of a check without it do not count.
        """
        end = self._file.tell()
        for path, at in self._lines.items():
            if path in shards:
                self._file.seek(at)
                check = self._parse(io.BufferedReader(_Unclosed(self._file)).readline(), 0)
                if check.is_final and (check.size, check.mtime_ns) == shards[path] and check.decode >= decode:
                    yield check
        self._file.seek(end)

    def append(self, check: ShardCheck) -> None:
        """Raises: CannotWrite."""
        fields = asdict(check) | {"keys": base64.b64encode(check.keys).decode()}
        line = START + json.dumps(fields).encode()[1:] + b"\n"
        try:
            at = 0
            while at < len(line):
                at += self._file.write(line[at:]) or 0
        except OSError as err:
            raise cannot_write(self.path, err) from err

    def _parse(self, line: bytes, number: int) -> ShardCheck:
        try:
            fields: dict[str, Any] = json.loads(line)
            del fields["tol_db_verify"]
            fields["keys"] = base64.b64decode(fields["keys"], validate=True)
            fields["findings"] = tuple(Finding(**f | {"kind": Kind(f["kind"])}) for f in fields["findings"])
            fields["counts"] = tuple(KindCount(Kind(c["kind"]), int(c["number"])) for c in fields["counts"])
            fields["extension_sets"] = tuple(
                ExtensionSet(tuple(s["extensions"]), int(s["samples"]), tuple(s["examples"]))
                for s in fields["extension_sets"]
            )
            check = ShardCheck(**fields)
            if not isinstance(check.path, str) or len(check.keys) % 8:
                raise ValueError("a path and whole digests are wanted")
            return check
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
            raise self._broken(number, f"not a whole result: {err}") from None

    def _broken(self, number: int, why: str) -> InputError:
        return InputError(f"{self.path}: line {number}: {why}", hint=f"{ANOTHER}, or remove it to check all anew")


class _Unclosed(io.RawIOBase):
    """Reads a file for a buffer that may be dropped without closing it."""

    def __init__(self, file: io.FileIO) -> None:
        self._file_below = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return self._file_below.readinto(buffer)


@contextmanager
def open_log(path: Path) -> Iterator[ResultLog]:
    """A log of results, which is made where it is not there; its earlier lines are read.

    Raises:
        InputError: it is something else.
        LeaseHeld: another run writes to it.
        CannotWrite: it cannot be opened or made.
    """
    try:
        file = io.FileIO(path, "r+" if path.exists() else "x+")
    except OSError as err:
        raise cannot_write(path, err) from err
    with file:
        if not file.seekable():
            raise InputError(f"{path}: not a file", hint=ANOTHER)
        _lock(path, file)
        file.seek(0)
        log = ResultLog(path, file)
        log.read()
        yield log


def _lock(path: Path, file: io.FileIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        if err.errno not in (errno.EAGAIN, errno.EACCES):
            return  # a file system without locks
        raise LeaseHeld(f"{path}: another run writes to it", hint=f"wait for it, or {ANOTHER}") from None
