"""A pool of processes that check shards: what a hostile picture does to one of them costs that picture alone."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import struct
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from materialize.child import WORKER_SIGNALS, die_with, how_it_ended, start_watched_child
from materialize.foreign.result import Collector, Kind, ShardCheck
from materialize.foreign.shard import check_shard
from materialize.stop import Stop
from tol_db.errors import TolDbError
from tol_db.progress import Tracker

TELL_BYTES = 4 << 20
"""How much a worker reads before it says so."""
MOST_DEADLY = 5
"""Members of one shard that may each end two processes before the shard is given up."""
MOST_FAILED_STARTS = 3
LONGEST_NAME = 512

_DECODING = struct.Struct(f"=qd{LONGEST_NAME}s")


@dataclass(frozen=True, slots=True)
class Job:
    """A shard to check.

    Attributes:
        deadly: (number of a member, how it ended a process) of images that are not to be decoded again.
    """

    path: Path
    decode: bool
    deadly: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker's first message."""


@dataclass(frozen=True, slots=True)
class BytesRead:
    number: int


@dataclass(frozen=True, slots=True)
class Decoding:
    """The image that a worker is decoding, or was when it died.

    Attributes:
        index: number of the member in the archive.
        since: when that began, by the clock ``time.monotonic``.
    """

    index: int
    name: str
    since: float


class SharedWatch:
    """Says what a worker is decoding, in memory that its parent sees; made by the parent.

    Raises:
        OSError: there is no memory or open file left for it.
    """

    def __init__(self) -> None:
        self._shared: Any = multiprocessing.get_context("spawn").RawArray("b", 1 + _DECODING.size)

    def enter(self, index: int, name: str) -> None:
        encoded = name.encode("utf-8", "surrogateescape")[:LONGEST_NAME]
        row = memoryview(self._shared).cast("B")
        row[1:] = _DECODING.pack(index, time.monotonic(), encoded)
        row[0] = 1  # last: who sees it set sees the rest

    def leave(self) -> None:
        memoryview(self._shared).cast("B")[0] = 0

    def decoding(self) -> Decoding | None:
        """None between images. Of a living worker it may be torn between two images: judge by two looks."""
        row = memoryview(self._shared).cast("B")
        if not row[0]:
            return None
        index, since, name = _DECODING.unpack(row[1:])
        return Decoding(index, name.rstrip(b"\0").decode("utf-8", "surrogateescape"), since)


def main(pipe: Connection, parent: int, watch: SharedWatch) -> None:
    """Take jobs from the pipe until it is closed."""
    # Ctrl-C and SLURM's signal reach the whole group: the parent decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WORKER_SIGNALS)
    die_with(parent)
    # libraries in C complain there of pictures without saying which, in the picture's own bytes
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        pipe.send(Ready())
        while True:
            pipe.send(_carry_out(pipe.recv(), pipe, watch))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone or wants no more


def _carry_out(job: Job, pipe: Connection, watch: SharedWatch) -> ShardCheck:
    read = 0

    def on_bytes(number: int) -> None:
        nonlocal read
        read += number
        if read >= TELL_BYTES:
            pipe.send(BytesRead(read))
            read = 0

    try:
        check = check_shard(job.path, decode=job.decode, on_bytes=on_bytes, watch=watch, deadly=dict(job.deadly))
    except (BrokenPipeError, ConnectionResetError):
        raise
    except MemoryError:
        check = not_checked(job, "the machine is out of memory: use fewer --workers")
    except Exception as err:  # noqa: BLE001  a fault of ours costs the shard, with its name, not the run
        check = not_checked(job, f"internal error: {type(err).__name__}: {err}"[:300])
    if read:
        pipe.send(BytesRead(read))
    return check


def not_checked(job: Job, why: str, kind: Kind = Kind.NOT_CHECKED) -> ShardCheck:
    """The result of a shard whose check came to nothing."""
    size = mtime_ns = 0
    with suppress(OSError):
        status = job.path.stat()
        size, mtime_ns = status.st_size, status.st_mtime_ns
    found = Collector(str(job.path))
    found.add(kind, None, why)
    return ShardCheck(str(job.path), size, mtime_ns, job.decode, findings=tuple(found.kept), counts=found.counts())


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    watch: SharedWatch
    job: Job | None = None
    read: int = 0
    is_ready: bool = False
    is_overdue: bool = False
    seen: Decoding | None = None


class Pool:
    """Checks shards with worker processes.

    Args:
        image_timeout: seconds that decoding one image may take.
        on_result: called with each result as it comes.
    """

    def __init__(
        self, tracker: Tracker, stop: Stop, image_timeout: float, on_result: Callable[[ShardCheck], None]
    ) -> None:
        self.tracker, self.stop, self.image_timeout, self.on_result = tracker, stop, image_timeout, on_result
        self.workers: list[_Worker] = []
        self.jobs: deque[Job] = deque()
        self.deaths: dict[Path, Counter[int | None]] = {}  # by member; None: between images
        self.failed_starts = 0

    def run(self, paths: Sequence[Path], *, decode: bool, size: int) -> None:
        """Check all of them with at most ``size`` processes.

        Raises:
            Interrupted: a signal came; the results that were handed out stand.
            TolDbError: processes cannot be started.
        """
        self.jobs = deque(Job(path, decode) for path in paths)
        try:
            for _ in range(min(size, len(paths))):
                self._start()
            while self.workers:
                self._turn()
                self.stop.check()
        finally:
            self._end_all()

    def _start(self) -> None:
        process, ours, watch = start_watched_child(main, os.getpid(), shared=SharedWatch)
        self.workers.append(_Worker(process, ours, watch))

    def _turn(self) -> None:
        """Wait for messages, at most half a second, and act on them."""
        by_pipe: dict[Any, _Worker] = {worker.pipe: worker for worker in self.workers}
        for pipe in multiprocessing.connection.wait(list(by_pipe), timeout=0.5):
            worker = by_pipe[pipe]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                self._bury(worker)
                continue
            self._hear(worker, message)
        self._end_overdue()

    def _hear(self, worker: _Worker, message: object) -> None:
        match message:
            case BytesRead(number):
                worker.read += number
                self.tracker.advance(number)
            case Ready():
                worker.is_ready, self.failed_starts = True, 0
                self._give(worker)
            case ShardCheck():
                worker.job = None
                self.on_result(message)
                self._give(worker)

    def _give(self, worker: _Worker) -> None:
        if not self.jobs:
            self._dismiss(worker)
            return
        worker.job, worker.read = self.jobs.popleft(), 0
        with suppress(OSError):  # it is dead: the end of its pipe comes with the next turn
            worker.pipe.send(worker.job)

    def _end_overdue(self) -> None:
        """Kill workers that have been decoding one image for too long; the next turn finds them dead."""
        for worker in self.workers:
            before, worker.seen = worker.seen, worker.watch.decoding()
            if worker.seen is None or worker.seen != before or worker.is_overdue:
                continue  # two looks must see the same: one alone may be torn
            if time.monotonic() - worker.seen.since > self.image_timeout:
                worker.is_overdue = True
                worker.process.kill()

    def _bury(self, worker: _Worker) -> None:
        """A worker died: its shard is tried again by another process, without what kills twice."""
        worker.process.join(timeout=5)
        job, decoding = worker.job, worker.watch.decoding()
        self.workers.remove(worker)
        worker.pipe.close()
        if not worker.is_ready:
            self.failed_starts += 1
            if self.failed_starts >= MOST_FAILED_STARTS:
                raise TolDbError(
                    f"worker processes end as soon as they start ({how_it_ended(worker.process)})",
                    hint="use fewer --workers; if it persists, check the installation with `tol-db --version`",
                )
        if job is not None:
            self.tracker.advance(-worker.read)  # it is read again
            self._try_again(job, decoding, self._told(worker))
        if self.jobs:
            self._start()

    def _told(self, worker: _Worker) -> str:
        if worker.is_overdue:
            return f"decoding it took more than {self.image_timeout:g} s"
        return f"checking it ended the process ({how_it_ended(worker.process)})"

    def _try_again(self, job: Job, decoding: Decoding | None, how: str) -> None:
        deaths = self.deaths.setdefault(job.path, Counter())
        at = None if decoding is None else decoding.index
        deaths[at] += 1
        if deaths[at] == 1:  # it may have been the machine's memory, or somebody's `kill`
            self.jobs.appendleft(job)
        elif decoding is None:
            self.on_result(not_checked(job, f"{how}; if it was out of memory: use fewer --workers"))
        elif len(job.deadly) + 1 > MOST_DEADLY:
            why = f"given up: more than {MOST_DEADLY} images end the process that decodes them"
            self.on_result(not_checked(job, why, Kind.ENDED_PROCESS))
        else:
            self.jobs.appendleft(Job(job.path, job.decode, (*job.deadly, (decoding.index, how))))

    def _dismiss(self, worker: _Worker) -> None:
        worker.pipe.close()
        self.workers.remove(worker)
        worker.process.join(timeout=10)

    def _end_all(self) -> None:
        """They write nothing, so there is nothing to wait for."""
        left, self.workers = self.workers, []
        for worker in left:
            worker.process.kill()
        for worker in left:
            worker.process.join(timeout=10)  # one that waits for a dead mount cannot be ended
            worker.pipe.close()
