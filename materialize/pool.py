"""A pool of worker processes on this machine: hands out units, enters receipts, buries the dead."""

from __future__ import annotations

import multiprocessing.connection
import os
import resource
import secrets
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from materialize.books import Books
from materialize.casualties import Casualties
from materialize.child import how_it_ended, start_watched_child
from materialize.dataset import Dataset
from materialize.ledger import Entry
from materialize.reconcile import Findings
from materialize.root import sweep_attempt
from materialize.slot import Decoding, Slot
from materialize.stop import Stop
from materialize.worker import ImagesRead, Order, Ready, ShardDone, Survived, Trial, UnitEnded, main
from tol_db.errors import CannotWrite, TolDbError
from tol_db.progress import Tracker

GRACE_SECONDS = 30.0
"""How long workers have to drop their partials before they are killed."""
STILLBORN = 3
"""Workers in a row that may end before they begin, until it is clear that none will."""
DESCRIPTORS = 4
"""Open files that a worker costs its parent."""


@dataclass(frozen=True, slots=True)
class UnitFailure:
    """A unit that failed; its images stay pending. ``exit_code`` is that of the cause."""

    unit: int
    message: str
    hint: str | None
    exit_code: int


@dataclass(slots=True)
class RunReport:
    """What a run did.

    Attributes:
        units: how many were to be written.
        shards: completed; images: written in them; left_out: outcome → images.
        failures: units that failed.
        convicted: images that no process survives (treeoflife_id → how).
        findings: of the reconciliation at the start; reopened: shards opened again for a retry.
        seconds: wall time of the writing.
    """

    units: int = 0
    shards: int = 0
    images: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    failures: list[UnitFailure] = field(default_factory=list)
    convicted: dict[str, str] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    reopened: list[int] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Job:
    """A unit to write, or one image of it to try alone; ``is_solo``: while no other worker runs."""

    unit: int
    suspect: str | None = None
    is_solo: bool = False


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    slot: Slot
    order: Order | Trial | None = None
    is_ready: bool = False
    is_overdue: bool = False
    seen: Decoding | None = None


class Pool:
    """Writes units with workers; this process alone keeps the books.

    Args:
        database: that workers load the rows of their units from; they only read it.
        books: where is written down what was tried and what is done.
        image_timeout: seconds that decoding one image may take.
    """

    def __init__(
        self,
        database: Path,
        dataset: Dataset,
        books: Books,
        report: RunReport,
        tracker: Tracker,
        stop: Stop,
        image_timeout: float,
    ) -> None:
        self.database, self.dataset, self.books = database, dataset, books
        self.report, self.tracker, self.stop = report, tracker, stop
        self.image_timeout = image_timeout
        self.workers: list[_Worker] = []
        self.jobs: deque[_Job] = deque()
        self.solo: deque[_Job] = deque()
        self.stillborn = 0
        self.left: dict[int, list[int]] = {}
        self.casualties: dict[int, Casualties] = {}
        self.no_more = False

    def run(self, todo: dict[int, list[int]], size: int) -> None:
        """Write all of ``todo`` (unit → shards) with at most ``size`` processes.

        Raises:
            LeaseHeld: another run took the dataset over.
            Interrupted: the write lock was not to be had for half an hour.
            CannotWrite: the books take no more.
            TolDbError: workers cannot be started, or end before they begin.
        """
        self.left = {unit: list(shards) for unit, shards in todo.items()}
        self.jobs = deque(_Job(unit) for unit in todo)
        try:
            for _ in range(min(size, len(todo), _affordable())):
                self._start()
            while self.workers:
                self._turn()
                if self.stop.asked:
                    self._drain()
                    return
                if not self.workers and self.solo and not self.no_more:
                    self.jobs.append(self.solo.popleft())
                    self._start()
        finally:
            self._kill()

    def _next(self) -> _Job | None:
        return None if self.stop.asked or self.no_more or not self.jobs else self.jobs.popleft()

    def _start(self) -> None:
        """Start a worker, if there is a job for it."""
        job = self._next()
        if job is None:
            return
        process, ours, slot = start_watched_child(
            main, self.database.absolute(), self.dataset, os.getpid(), shared=Slot
        )
        worker = _Worker(process, ours, slot)
        self.workers.append(worker)
        self._give(worker, job)

    def _give(self, worker: _Worker, job: _Job) -> None:
        shards = tuple(self.left[job.unit])
        if job.suspect is not None:
            worker.order = Trial(job.unit, shards, job.suspect, job.is_solo)
        else:
            known = self.casualties[job.unit].verdicts if job.unit in self.casualties else {}
            order = Order(job.unit, shards, secrets.token_hex(6), tuple(known.items()))
            self.books.begin(job.unit, order.token, worker.process.pid or 0)
            worker.order = order
        with suppress(OSError):  # it is dead: the end of its pipe comes with the next turn
            worker.pipe.send(worker.order)

    def _turn(self) -> None:
        """Wait for messages, at most a second, and act on them."""
        by_pipe = {worker.pipe: worker for worker in self.workers}
        ready = multiprocessing.connection.wait(list(by_pipe), timeout=1.0)
        for pipe in ready:
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                self._bury(worker)
                continue
            self._hear(worker, message)
        self._end_overdue()
        self.books.beat()

    def _end_overdue(self) -> None:
        """Kill workers that have been decoding one image for too long; the next turn finds them dead.

        Two looks, a turn apart, must see the same: one alone may be torn.
        """
        for worker in self.workers:
            before, worker.seen = worker.seen, worker.slot.decoding()
            if worker.seen is None or worker.seen != before or worker.is_overdue:
                continue
            if time.monotonic() - worker.seen.since > self.image_timeout:
                worker.is_overdue = True
                worker.process.kill()

    def _hear(self, worker: _Worker, message: object) -> None:
        match message:
            case Ready():
                worker.is_ready, self.stillborn = True, 0
            case ImagesRead(number):
                self.tracker.advance(number)
            case ShardDone():
                self._enter(worker, message)
            case Survived() | UnitEnded():
                self._end(worker, message)
                following = self._next() if not _was_interrupted(message) else None
                if following is not None:
                    self._give(worker, following)
                else:
                    self._dismiss(worker)
                    if _was_interrupted(message):  # it alone was told to stop: another one goes on
                        self._start()

    def _enter(self, worker: _Worker, done: ShardDone) -> None:
        receipt, entry = self.books.enter(done.receipt)
        unit = worker.order.unit if worker.order else 0
        if receipt.shard in self.left.get(unit, ()):
            self.left[unit].remove(receipt.shard)
        if entry is Entry.OUTDATED:
            told = f"shard {receipt.shard} was planned anew while it was written"
            self.report.failures.append(UnitFailure(unit, told, "run again", 1))
            return
        self.report.shards += 1
        self.report.images += receipt.samples
        for left_out in receipt.left_out:
            counts = self.report.left_out
            counts[left_out.outcome] = counts.get(left_out.outcome, 0) + 1

    def _end(self, worker: _Worker, ended: UnitEnded | Survived) -> None:
        order, worker.order = worker.order, None
        if order is None:
            return
        if isinstance(ended, Survived):  # it was not the image
            self._unexplained(order.unit, f"its worker died; image {_key_of(order)} is not the cause")
            return
        if ended.ending != "done" and not self.stop.asked:
            self._fail(order.unit, ended.message or "it was interrupted", ended.hint, ended.exit_code)
        if isinstance(order, Order):
            self.books.end(order.token, ended.ending, ended.message or None)

    def _fail(self, unit: int, message: str, hint: str | None, exit_code: int) -> None:
        self.report.failures.append(UnitFailure(unit, message, hint, exit_code))
        # a full disk fails every unit, after the work was done
        self.no_more = self.no_more or exit_code == CannotWrite.exit_code

    def _unexplained(self, unit: int, told: str) -> None:
        if self._casualties(unit).may_try_again():
            self.jobs.appendleft(_Job(unit))
        elif not self.stop.asked:
            self._fail(unit, told, "run again; if it was out of memory: fewer --workers", 1)

    def _casualties(self, unit: int) -> Casualties:
        return self.casualties.setdefault(unit, Casualties())

    def _bury(self, worker: _Worker) -> None:
        """A worker died: what it died of is found out, and another process goes on."""
        worker.process.join(timeout=5)
        how, decoding, order = how_it_ended(worker.process), worker.slot.decoding(), worker.order
        worker.order = None
        if isinstance(order, Order):
            sweep_attempt(self.dataset.output_root, order.token)
            at = f" with image {decoding.key}" if decoding else ""
            self.books.end(order.token, "failed", f"the worker process died ({how}){at}")
        self._dismiss(worker)
        if not worker.is_ready:
            self._count_stillborn(how)
        if order is not None and self.left[order.unit]:
            self._investigate(order, decoding, how, worker.is_overdue)
        self._start()

    def _count_stillborn(self, how: str) -> None:
        """Raises: TolDbError, where no worker gets as far as to begin."""
        self.stillborn += 1
        if self.stillborn >= STILLBORN and not self.stop.asked:
            raise TolDbError(
                f"worker processes end before they begin ({how})",
                hint="is this installation readable to you, is there memory for --workers?",
            )

    def _investigate(self, order: Order | Trial, decoding: Decoding | None, how: str, is_overdue: bool) -> None:
        if decoding is None:
            self._unexplained(order.unit, f"the worker process died ({how})")
        elif isinstance(order, Order):
            self.jobs.appendleft(_Job(order.unit, suspect=decoding.key))
        elif how == "SIGKILL" and not is_overdue and not order.is_solo:
            # perhaps the machine ran out of memory: then it is no picture's fault, as long as others use it too
            self.solo.append(_Job(order.unit, order.key, is_solo=True))
        else:
            limit = self.image_timeout if is_overdue else None
            verdict = self._casualties(order.unit).convict(order.key, how, limit)
            self.report.convicted[order.key] = verdict.detail
            self.jobs.appendleft(_Job(order.unit))

    def _dismiss(self, worker: _Worker) -> None:
        worker.pipe.close()
        self.workers.remove(worker)
        worker.process.join(timeout=GRACE_SECONDS)

    def _drain(self) -> None:
        """After a signal: workers drop what is open; what they completed meanwhile is still entered."""
        for worker in self.workers:
            worker.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        while self.workers and time.monotonic() < deadline:
            self._turn()

    def _kill(self) -> None:
        """End whoever is left, first all of them, then in the books."""
        left, self.workers = self.workers, []
        for worker in left:
            worker.process.kill()
        for worker in left:
            worker.process.join(timeout=GRACE_SECONDS)  # one that hangs in a dead mount may never end
            worker.pipe.close()
            if isinstance(worker.order, Order):
                with suppress(TolDbError):  # the next run marks it lost
                    self.books.end(worker.order.token, "interrupted", "ended with the run")


def _was_interrupted(message: UnitEnded | Survived) -> bool:
    return isinstance(message, UnitEnded) and message.ending == "interrupted"


def _key_of(order: Order | Trial) -> str:
    return order.key if isinstance(order, Trial) else ""


def _affordable() -> int:
    """How many workers the limit on open files allows, once it is as high as we may set it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return 1024 if soft == resource.RLIM_INFINITY else max(1, (soft - 32) // DESCRIPTORS)
