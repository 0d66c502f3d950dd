"""A pool of worker processes on this machine: hands out units, enters receipts, buries the dead."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import resource
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from materialize import ledger
from materialize.dataset import Dataset
from materialize.lease import Keeper
from materialize.ledger import Entry
from materialize.receipt import read_receipt
from materialize.reconcile import Findings
from materialize.stop import Stop
from materialize.worker import WORKER_SIGNALS, ImagesRead, Order, ShardDone, UnitEnded, main
from tol_db.db.engine import Database
from tol_db.errors import CannotWrite, Interrupted, TolDbError
from tol_db.progress import Tracker

log = logging.getLogger(__name__)

GRACE_SECONDS = 30.0
"""How long workers have to drop their partials before they are killed."""
LOCK_TRIES = 30
"""How often the parent asks for the write lock, a minute each, before it gives up; workers go on meanwhile."""
DESCRIPTORS = 4
"""Open files that a worker costs its parent."""

Units = Iterator[tuple[int, list[int]]]


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
        findings: of the reconciliation at the start; reopened: shards opened again for a retry.
        seconds: wall time of the writing.
    """

    units: int = 0
    shards: int = 0
    images: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    failures: list[UnitFailure] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    reopened: list[int] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    order: Order | None = None


class Pool:
    """Writes units with workers; the parent is the only one that writes the database."""

    def __init__(
        self, db: Database, dataset: Dataset, keeper: Keeper, report: RunReport, tracker: Tracker, stop: Stop
    ) -> None:
        self.db, self.dataset, self.keeper = db, dataset, keeper
        self.report, self.tracker, self.stop = report, tracker, stop
        self.workers: list[_Worker] = []
        self.no_more = False

    def run(self, todo: dict[int, list[int]], size: int) -> None:
        """Write all of ``todo`` (unit → shards) with at most ``size`` processes.

        Raises:
            LeaseHeld: another run took the dataset over.
            Interrupted: the write lock was not to be had for half an hour.
        """
        queue = iter(todo.items())
        try:
            for _ in range(min(size, len(todo), _affordable())):
                self._start(queue)
            while self.workers:
                self._turn(queue)
                if self.stop.asked:
                    self._drain()
                    return
        finally:
            self._kill()

    def _next(self, queue: Units) -> tuple[int, list[int]] | None:
        return None if self.stop.asked or self.no_more else next(queue, None)

    def _start(self, queue: Units) -> None:
        """Start a worker, if there is a unit for it."""
        unit = self._next(queue)
        if unit is None:
            return
        # spawn: a fork would carry the parent's open database into the child
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=main, args=(theirs, self.db.path.absolute(), self.dataset, os.getpid()), daemon=True
        )
        # until a worker has its own handlers, Ctrl-C in the terminal must not reach it; the tracker, which
        # start() starts first, would unblock the signals again
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, WORKER_SIGNALS)
        try:
            process.start()
        except OSError as err:
            raise TolDbError(
                f"a worker process cannot be started: {err.strerror or err}", hint="use fewer --workers"
            ) from err
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WORKER_SIGNALS)
            theirs.close()
        worker = _Worker(process, ours)
        self.workers.append(worker)
        self._give(worker, *unit)

    def _give(self, worker: _Worker, unit: int, shards: list[int]) -> None:
        order = Order(unit, tuple(shards), secrets.token_hex(6))
        holder, pid = self.keeper.holder, worker.process.pid or 0
        self._patiently(
            lambda: ledger.begin_attempt(
                self.db, self.dataset, unit, order.token, holder.host, pid, holder.slurm_job_id
            )
        )
        worker.order = order
        with suppress(OSError):  # it is dead: the end of its pipe comes with the next turn
            worker.pipe.send(order)

    def _patiently(self, write: Callable[[], object]) -> object:
        """Write to the database although another command holds its lock for minutes."""
        for tries in range(LOCK_TRIES):
            try:
                return write()
            except Interrupted as err:
                if type(err) is not Interrupted or tries + 1 == LOCK_TRIES or self.stop.asked:
                    raise
                log.warning("%s; trying again", err)
        raise AssertionError("unreachable")

    def _turn(self, queue: Units) -> None:
        """Wait for messages, at most a second, and act on them."""
        by_pipe = {worker.pipe: worker for worker in self.workers}
        ready = multiprocessing.connection.wait(list(by_pipe), timeout=1.0)
        for pipe in ready:
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                self._bury(worker, queue)
                continue
            self._hear(worker, message, queue)
        self._patiently(self.keeper.beat)

    def _hear(self, worker: _Worker, message: object, queue: Units) -> None:
        match message:
            case ImagesRead(number):
                self.tracker.advance(number)
            case ShardDone():
                self._enter(worker, message)
            case UnitEnded():
                self._end(worker, message)
                following = None if message.ending == "interrupted" else self._next(queue)
                if following is not None:
                    self._give(worker, *following)
                else:
                    self._dismiss(worker)
                    if message.ending == "interrupted":  # it alone was told to stop: another one goes on
                        self._start(queue)

    def _enter(self, worker: _Worker, done: ShardDone) -> None:
        receipt = read_receipt(done.receipt)
        entry = self._patiently(lambda: ledger.commit(self.db, self.dataset, receipt))
        if entry is Entry.OUTDATED:
            unit = worker.order.unit if worker.order else 0
            told = f"shard {receipt.shard} was planned anew while it was written"
            self.report.failures.append(UnitFailure(unit, told, "run again", 1))
            return
        self.report.shards += 1
        self.report.images += receipt.samples
        for left_out in receipt.left_out:
            counts = self.report.left_out
            counts[left_out.outcome] = counts.get(left_out.outcome, 0) + 1

    def _end(self, worker: _Worker, ended: UnitEnded) -> None:
        order, worker.order = worker.order, None
        if order is None:
            return
        if ended.ending != "done" and not self.stop.asked:
            message = ended.message or "it was interrupted"
            self.report.failures.append(UnitFailure(order.unit, message, ended.hint, ended.exit_code))
            # a full disk fails every unit, after the work was done
            self.no_more = self.no_more or ended.exit_code == CannotWrite.exit_code
        self._patiently(lambda: ledger.end_attempt(self.db, order.token, ended.ending, ended.message or None))

    def _bury(self, worker: _Worker, queue: Units) -> None:
        """A worker died: its unit failed, and another process takes the next."""
        worker.process.join(timeout=5)
        code = worker.process.exitcode
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        self._end(worker, UnitEnded("failed", f"the worker process died ({how})", "run again", 1))
        self._dismiss(worker)
        self._start(queue)

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
            self._turn(iter(()))

    def _kill(self) -> None:
        """End whoever is left, first all of them, then in the books."""
        left, self.workers = self.workers, []
        for worker in left:
            worker.process.kill()
        for worker in left:
            worker.process.join()
            worker.pipe.close()
            if worker.order is not None:
                with suppress(TolDbError):  # the next run marks it lost
                    ledger.end_attempt(self.db, worker.order.token, "interrupted", "ended with the run")


def _affordable() -> int:
    """How many workers the limit on open files allows, once it is as high as we may set it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return 1024 if soft == resource.RLIM_INFINITY else max(1, (soft - 32) // DESCRIPTORS)
