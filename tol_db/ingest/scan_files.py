"""The scan of a container as a file, so that one process can read an archive and another enter what it found.

``<source>-<digest of the path>.scan.gz`` holds gzipped JSON lines: first what is known of the container, then its
entries, one a line. It is there whole or not at all, and says of which bytes it tells: it counts for a container
that has the same size and time, or the same digest, and for no other.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import socket
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from materialize.notes import is_orphaned, writer
from materialize.seek_index import SeekIndex
from materialize.seek_index_build import Built
from materialize.shard import cannot_write, partial_name, sync_folder
from tol_db.db.bulk import utc_now
from tol_db.errors import CannotWrite, InputError
from tol_db.ingest.layout import Found
from tol_db.ingest.scan import Scan, Spool, Stat

FORMAT = 1
SUFFIX = ".scan.gz"
_LARGEST = 2**63 - 1  # what SQLite takes for an integer


@dataclass(frozen=True, slots=True)
class Head:
    """What a scan file says of its container, before the entries.

    Attributes:
        source: key; path: relative to its root; kind: as :class:`tol_db.ingest.layout.Found`.
        bytes, mtime_ns: as it was read; digest: hex, None where it is damaged.
        fault, remark: as :class:`tol_db.ingest.scan.Scan`.
        entries: how many lines follow.
        seek_index: what was made beside it: ``path``, ``seal``, ``bytes``; or None.
        scanned_at, host, slurm_job_id: when and where.
    """

    format: int
    source: str
    path: str
    kind: str
    bytes: int
    mtime_ns: int
    digest: str | None
    fault: str | None
    remark: str
    entries: int
    seek_index: dict[str, Any] | None
    scanned_at: str
    host: str
    slurm_job_id: str | None

    def built(self) -> Built | None:
        """The seek index that was made with it."""
        if self.seek_index is None:
            return None
        index = SeekIndex(Path(self.seek_index["path"]), bytes.fromhex(self.seek_index["seal"]))
        return Built(index, int(self.seek_index["bytes"]), self.bytes, self.mtime_ns)


def scan_file(folder: Path, key: str, path: str) -> Path:
    """Where the scan of a container lies: its source and its path relative to the root of that give the name."""
    return folder / f"{key}-{hashlib.sha256(path.encode()).hexdigest()[:24]}{SUFFIX}"


def write_scan(folder: Path, key: str, found: Found, scan: Scan, built: Built | None) -> Path:
    """Write a scan; the file is on the disk when this returns, in place of an earlier one.

    Raises:
        CannotWrite
    """
    target = scan_file(folder, key, found.path)
    partial = partial_name(target, writer())
    head = _head(key, found, scan, built)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3, mtime=0, filename="") as file:
                file.write(json.dumps(asdict(head)).encode() + b"\n")
                for line in scan.entries.lines():
                    file.write(line.encode("ascii"))
            raw.flush()
            os.fsync(raw.fileno())
        partial.replace(target)
        sync_folder(folder)
    except OSError as err:
        raise cannot_write(target, err) from err
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return target


def _head(key: str, found: Found, scan: Scan, built: Built | None) -> Head:
    seek = None
    if built is not None:
        seek = {"path": str(built.index.path), "seal": built.index.seal.hex(), "bytes": built.bytes}
    return Head(
        format=FORMAT,
        source=key,
        path=found.path,
        kind=found.kind,
        bytes=scan.stat.size,
        mtime_ns=scan.stat.mtime_ns,
        digest=scan.digest.hex() if scan.digest is not None else None,
        fault=scan.fault,
        remark=scan.remark,
        entries=sum(1 for _ in scan.entries.lines()),
        seek_index=seek,
        scanned_at=utc_now(),
        host=socket.gethostname(),
        slurm_job_id=os.environ.get("SLURM_JOB_ID"),
    )


@contextmanager
def read_scan(path: Path) -> Iterator[tuple[Head, Scan]]:
    """A scan file, all of it checked before it is handed on.

    Raises:
        FileNotFoundError: there is none.
        InputError: it is damaged or of another format, or cannot be read.
        CannotWrite: there is no room for temporary files.
    """
    with tempfile.TemporaryFile("w+", encoding="ascii") as file:
        spool = Spool(file)
        try:
            head = _checked(path, spool)
            file.flush()
        except FileNotFoundError:
            raise
        except (EOFError, zlib.error, gzip.BadGzipFile) as err:
            raise _unreadable(path, str(err)) from err
        except (ValueError, TypeError, KeyError, RecursionError) as err:
            raise _unreadable(path, f"not a scan of format {FORMAT}: {err}") from err
        except OSError as err:
            raise _unreadable(path, err.strerror or str(err)) from err
        digest = bytes.fromhex(head.digest) if head.digest is not None else None
        yield head, Scan(spool, Stat(head.bytes, head.mtime_ns), digest, head.fault, head.remark)


def _unreadable(path: Path, why: str) -> InputError:
    return InputError(f"{path}: the scan file cannot be used: {why}", hint="scan its container again")


def _checked(path: Path, spool: Spool) -> Head:
    """Read a scan file into a spool. Raises: what its damage makes of it."""
    with gzip.open(path, "rb") as file:
        table = json.loads(file.readline())
        if not isinstance(table, dict) or table.get("format") != FORMAT:
            raise ValueError("its first line is another one")
        head = Head(**table)
        _require(head)
        number = 0
        for number, line in enumerate(file, 1):
            text = line.decode("ascii")
            _require_entry(number, json.loads(text))
            try:
                spool.append_line(text)
            except OSError as err:
                raise CannotWrite(
                    f"{tempfile.gettempdir()}: {err.strerror}", hint="make room there, or set TMPDIR"
                ) from err
    if number != head.entries:
        raise ValueError(f"it has {number} of {head.entries} entries")
    return head


def _require_entry(number: int, fields: Any) -> None:
    index, name, offset, size, stray = fields
    counts = (_is_count(value) for value in (offset, size) if value is not None)
    if not (_is_count(index) and isinstance(name, str) and all(counts)):
        raise ValueError(f"line {number + 1} is no entry")
    if stray is not None and not isinstance(stray, str):
        raise ValueError(f"line {number + 1} is no entry")


def _require(head: Head) -> None:
    texts = (head.source, head.path, head.kind, head.remark, head.scanned_at, head.host)
    if not all(isinstance(text, str) for text in texts) or not all(map(_is_count, (head.bytes, head.entries))):
        raise ValueError("its first line has values of other types")
    if not isinstance(head.mtime_ns, int) or (head.fault is not None and not isinstance(head.fault, str)):
        raise ValueError("its first line has values of other types")
    if (head.digest is None) != (head.fault is not None):
        raise ValueError("a damaged archive has no digest, and any other has one")
    if head.digest is not None and not re.fullmatch("[0-9a-f]{64}", head.digest):
        raise ValueError(f"its digest is {head.digest!r}")
    head.built()


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST


def remove_orphans(folder: Path) -> None:
    """Remove what processes that are gone have begun to write."""
    for path in folder.glob(f".*{SUFFIX}.*.partial"):
        with suppress(OSError):
            if is_orphaned(path):
                path.unlink(missing_ok=True)


class ScanFiles:
    """The scan files of a folder, in place of reading the containers again.

    Args:
        folder: None: there are none, and everything is read.
        key, root: the source; its folder.

    Attributes:
        loaded: how many were used.
        unused: containers that were read although they had one, and why.
    """

    def __init__(self, folder: Path | None, key: str, root: Path) -> None:
        self.folder, self.key, self.root = folder, key, root
        self.loaded = 0
        self.unused: list[tuple[str, str]] = []

    @contextmanager
    def scan_of(
        self,
        found: Found,
        *,
        rehash: bool,
        is_indexed: bool,
        digest_of: Callable[[], bytes],
    ) -> Iterator[tuple[Scan, Built | None] | None]:
        """The scan of a container; None where it has to be read.

        Args:
            rehash: compare digests also where size and time are equal.
            is_indexed: a seek index is wanted with it.
            digest_of: the digest of the container as it is now.

        Raises:
            ContainerChanged, ContainerError: the container cannot be looked at.
        """
        with ExitStack() as stack:
            yield self._usable(stack, found, rehash, is_indexed, digest_of) if self.folder is not None else None

    def _usable(
        self, stack: ExitStack, found: Found, rehash: bool, is_indexed: bool, digest_of: Callable[[], bytes]
    ) -> tuple[Scan, Built | None] | None:
        path = scan_file(self.folder or Path(), self.key, found.path)
        try:
            head, scan = stack.enter_context(read_scan(path))
        except FileNotFoundError:
            return None
        except InputError as err:
            self.unused.append((found.path, str(err)))
            return None
        stat = Stat.of(self.root / found.path)
        why = self._why_not(head, found, stat, rehash, is_indexed, digest_of)
        if why is not None:
            self.unused.append((found.path, f"{path}: the scan file {why}"))
            return None
        self.loaded += 1
        return Scan(scan.entries, stat, scan.digest, scan.fault, scan.remark), head.built()

    def _why_not(
        self, head: Head, found: Found, stat: Stat, rehash: bool, is_indexed: bool, digest_of: Callable[[], bytes]
    ) -> str | None:
        """Why a scan file does not tell of a container, or None."""
        if (head.source, head.path) != (self.key, found.path):
            return f"tells of {head.source} {head.path}"
        if (head.kind, head.bytes) != (found.kind, stat.size):
            return "is outdated: it tells of another size"
        if is_indexed and found.kind == "tar_gz" and head.fault is None and head.seek_index is None:
            return "has no seek index"
        if head.mtime_ns == stat.mtime_ns and not rehash:
            return None
        if head.digest is None or digest_of().hex() != head.digest:
            return "is outdated: the container was changed after it"
        return None
