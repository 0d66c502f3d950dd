"""Checks a folder of WebDataset shards that this tool did not make. No database is needed.

Each shard is read once, by one of several processes. What is wrong with one shard is found there; which samples
are incomplete and which keys come twice is seen when all results are in: a sample is incomplete whose extensions
differ from those of the most samples of the whole folder. The same key in two *folders* is no fault (train and
train_small), only counted.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from materialize.foreign.log import ResultLog, open_log
from materialize.foreign.pool import Pool
from materialize.foreign.result import Finding, Kind, KindCount, ShardCheck
from materialize.foreign.shard import PERMISSION
from materialize.foreign.tally import FoldersShare, Tally
from materialize.stop import Stop, stop_signals
from tol_db.errors import InputError, InputMissing, Interrupted
from tol_db.progress import track

SUFFIXES = (".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True, slots=True)
class FolderReport:
    """What the check of a folder has found.

    Attributes:
        folder: as it was named.
        shards, samples, members: how many were read; members are entries of the archives.
        bytes: of the shards.
        seconds: wall time of this run.
        from_log: how many results an earlier run left in the log.
        decode: whether images were decoded.
        extensions: those that the most samples have.
        empty_members: members of no bytes that are no images; no fault.
        empty_archives: whole archives without any member, no longer than such a one is; no fault beside others.
        shared_between: keys that folders share; no fault.
        shards_at_fault: how many have a finding.
        counts: findings by kind, whether listed or not.
        findings: at most 10,000 of each kind, by kind, then by shard.
    """

    folder: str
    shards: int
    samples: int
    members: int
    bytes: int
    seconds: float
    from_log: int
    decode: bool
    extensions: tuple[str, ...]
    empty_members: int
    empty_archives: int
    shared_between: tuple[FoldersShare, ...]
    shards_at_fault: int
    counts: tuple[KindCount, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _File:
    size: int
    mtime_ns: int


def check_folder(
    folder: Path, *, workers: int, decode: bool, image_timeout: float, log: Path | None = None
) -> FolderReport:
    """Check every shard (``*.tar``, ``*.tar.gz``, ``*.tgz``) below a folder.

    Args:
        workers: how many processes.
        decode: decode every image in full.
        image_timeout: seconds that decoding one image may take.
        log: a file of results as JSON lines: what it has is not checked again, what is new is appended.

    Raises:
        InputMissing: the folder is not there.
        InputError: it is a file, cannot be listed, or has no shards; the log is something else.
        CannotWrite: the log cannot be written.
        LeaseHeld: another run writes to the log.
        Interrupted: a signal came.
    """
    start, tally = time.monotonic(), Tally()
    shards = _find_shards(folder, tally)
    with open_log(log) if log is not None else nullcontext() as results, _stoppable(log) as stop:
        earlier = _enter_earlier(results, shards, decode, tally)
        todo = [path for path in shards if path not in earlier]
        _check(todo, shards, tally, results, stop, workers=workers, decode=decode, image_timeout=image_timeout)
        tally.find_incomplete_samples()
        tally.find_strange_ends()
        shared = tally.find_duplicate_keys(stop.check)
        tally.find_no_samples(str(folder.absolute()))
    return FolderReport(
        folder=str(folder),
        shards=tally.shards,
        samples=tally.samples,
        members=tally.members,
        bytes=tally.bytes,
        seconds=round(time.monotonic() - start, 3),
        from_log=len(earlier),
        decode=decode,
        extensions=tally.extensions(),
        empty_members=tally.empty_members,
        empty_archives=tally.empty_archives(),
        shared_between=shared,
        shards_at_fault=len(tally.faulty),
        counts=tally.counts(),
        findings=tally.findings(),
    )


@contextmanager
def _stoppable(log: Path | None) -> Iterator[Stop]:
    try:
        with stop_signals() as stop:
            yield stop
    except Interrupted as err:
        if log is None:
            err.hint = "run it again; with --log FILE it goes on where it was"
        raise


def _enter_earlier(results: ResultLog | None, shards: dict[str, _File], decode: bool, tally: Tally) -> set[str]:
    """Enter what the log has of these shards as they are now; their paths."""
    earlier: set[str] = set()
    if results is not None:
        now = {path: (file.size, file.mtime_ns) for path, file in shards.items()}
        for check in results.earlier(now, decode=decode):
            tally.add(check)
            earlier.add(check.path)
    return earlier


def _check(
    todo: list[str],
    shards: dict[str, _File],
    tally: Tally,
    results: ResultLog | None,
    stop: Stop,
    *,
    workers: int,
    decode: bool,
    image_timeout: float,
) -> None:
    def on_result(check: ShardCheck) -> None:
        tally.add(check)
        if results is not None:
            results.append(check)

    with track("checking shards", sum(shards[path].size for path in todo), "bytes") as tracker:
        Pool(tracker, stop, image_timeout, on_result).run(
            [Path(path) for path in todo], decode=decode, size=workers
        )


def _find_shards(folder: Path, tally: Tally) -> dict[str, _File]:
    """Path → what the file is now, by path; what is named like a shard and is no file goes to the tally."""
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise InputError(f"{folder} is a file, not a folder", hint="name the folder that its shards lie in")
        os.scandir(folder).close()
    except (FileNotFoundError, NotADirectoryError):
        raise InputMissing(f"{folder} is not there", hint="is the disk mounted? is the path right?") from None
    except OSError as err:
        raise InputError(f"{folder}: {err.strerror or err}", hint="check its permissions and the mount") from err
    shards: dict[str, _File] = {}
    for path in _candidates(folder.absolute(), tally):
        file = _look_at(path, tally)
        if file is not None:
            shards[str(path)] = file
    if not shards and not tally.numbers:
        kinds = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
        raise InputError(f"{folder}: there are no shards ({kinds}) below it", hint="name the folder of the shards")
    return dict(sorted(shards.items()))


def _candidates(root: Path, tally: Tally) -> Iterator[Path]:
    """All paths below a folder that are named like a shard. Linked folders are followed, each only once."""
    seen: set[tuple[int, int]] = set()

    def unreadable(err: OSError) -> None:
        kind = Kind.UNREADABLE if err.errno in PERMISSION else Kind.STORAGE_FAULT
        why = f"the folder cannot be listed: {err.strerror or err}"
        tally.find(Finding(str(err.filename), kind, None, why))

    for parent, folders, files in os.walk(root, followlinks=True, onerror=unreadable):
        try:
            status = Path(parent).stat()
        except OSError as err:
            unreadable(err)
            continue
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        for name in sorted((*folders, *files)):
            if name.lower().endswith(SUFFIXES):
                yield Path(parent, name)


def _look_at(path: Path, tally: Tally) -> _File | None:
    try:
        status = path.stat()
    except OSError as err:
        if path.is_symlink() and isinstance(err, FileNotFoundError):
            kind, why = Kind.UNREADABLE, "a link to nothing"
        else:
            kind = Kind.UNREADABLE if err.errno in PERMISSION else Kind.STORAGE_FAULT
            why = err.strerror or str(err)
        tally.find(Finding(str(path), kind, None, why))
        return None
    if stat.S_ISREG(status.st_mode):
        return _File(status.st_size, status.st_mtime_ns)
    if stat.S_ISDIR(status.st_mode):
        tally.find(Finding(str(path), Kind.IS_A_FOLDER, None, "a folder, though it is named like a shard"))
    else:
        tally.find(Finding(str(path), Kind.NOT_A_TAR, None, "a pipe, socket or device, not a file"))
    return None
