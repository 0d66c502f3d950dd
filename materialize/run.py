"""Writes what is pending, with a pool of processes on this machine.

The story: check that this environment writes the planned bytes, take the lease, bring disk and database to
agree, hand units to workers, enter their receipts, give the lease back.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType

from materialize import lease, ledger
from materialize.dataset import Dataset, load_dataset, require_same_recipe
from materialize.receipt import read_receipt
from materialize.recipe import check_resizer
from materialize.reconcile import Findings, reconcile, reopen_for_retry
from materialize.unit_rows import pending_units
from materialize.worker import WORKER_SIGNALS, ImagesRead, Order, ShardDone, UnitEnded, main
from tol_db.db.bulk import query
from tol_db.db.engine import Database
from tol_db.errors import Interrupted
from tol_db.progress import Tracker, track

GRACE_SECONDS = 30.0
"""How long workers have to drop their partials before they are killed."""


@dataclass(frozen=True, slots=True)
class UnitFailure:
    """A unit that failed; its images stay pending."""

    unit: int
    message: str
    hint: str | None


@dataclass(slots=True)
class RunReport:
    """What a run did.

    Attributes:
        shards: completed; images: written in them; left_out: outcome → images.
        failures: units that failed.
        findings: of the reconciliation at the start; reopened: shards opened again for a retry.
        seconds: wall time of the writing.
    """

    shards: int = 0
    images: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    failures: list[UnitFailure] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    reopened: list[int] = field(default_factory=list)
    seconds: float = 0.0


def materialize(
    db: Database,
    name: str | None,
    *,
    workers: int,
    shards: range | None = None,
    units: range | None = None,
    retry: Sequence[str] = (),
    on_findings: Callable[[Findings], None] = lambda _findings: None,
) -> RunReport:
    """Write all shards of a dataset that are to be written, or those in the ranges.

    Args:
        db: the database; this process is the only writer of shard state while it runs.
        name: of the dataset; None where there is only one.
        workers: how many processes.
        shards, units: only these numbers.
        retry: outcomes (``decode_error`` …) whose images are to be tried again: their shards are rewritten.
        on_findings: called with what the reconciliation found, before the writing starts.

    Raises:
        LeaseHeld: another run works on the dataset.
        OutputNotMounted: its root is not there.
        RecipeChanged: this environment would write other bytes.
        Interrupted: by a signal; what is complete is kept.
    """
    with db.read() as conn:
        dataset = load_dataset(conn, name)
    check_resizer(dataset.recipe)
    require_same_recipe(dataset)
    holder = lease.here()
    lease.acquire(db, dataset, holder)
    try:
        report = RunReport(findings=reconcile(db, dataset))
        if retry:
            report.reopened = reopen_for_retry(db, dataset, retry)
        on_findings(report.findings)
        with db.read() as conn:
            todo = pending_units(conn, dataset, shards, units)
            images = _images(db, dataset, todo)
        start = time.monotonic()
        with track(f"materializing {dataset.name}", total=images) as tracker, _signals() as stop:
            if todo:
                _Pool(db, dataset, holder, min(workers, len(todo)), report, tracker, stop).run(todo)
        report.seconds = time.monotonic() - start
        if stop.number is not None:
            raise Interrupted(
                f"stopped by {signal.Signals(stop.number).name}: {report.shards} shards were completed",
                hint="run the same command again to go on",
            )
        return report
    finally:
        lease.release(db, dataset, holder)


def _images(db: Database, dataset: Dataset, todo: dict[int, list[int]]) -> int:
    """How many images the pending units read (a unit that is partly done counts whole)."""
    with db.read() as conn:
        rows = query(conn, "SELECT number, images FROM work_unit WHERE dataset_id = ?", (dataset.id,))
        return sum(images for number, images in rows if number in todo)


class _Stop:
    """Set by the first signal; the second ends the process at once."""

    number: int | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self.number is not None:
            os._exit(Interrupted.exit_code)
        self.number = number


@contextmanager
def _signals() -> Iterator[_Stop]:
    stop = _Stop()
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = [signal.signal(number, stop) for number in handled]
    try:
        yield stop
    finally:
        for number, handler in zip(handled, before, strict=True):
            signal.signal(number, handler)


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    order: Order | None = None


class _Pool:
    def __init__(
        self,
        db: Database,
        dataset: Dataset,
        holder: lease.Holder,
        size: int,
        report: RunReport,
        tracker: Tracker,
        stop: _Stop,
    ) -> None:
        self.db, self.dataset, self.holder, self.size = db, dataset, holder, size
        self.report, self.tracker, self.stop = report, tracker, stop
        self.workers: list[_Worker] = []
        self.last_beat = time.monotonic()

    def run(self, todo: dict[int, list[int]]) -> None:
        queue = iter(todo.items())
        try:
            for _ in range(self.size):
                self._start(queue)
            while self.workers:
                self._turn(queue)
                if self.stop.number is not None:
                    self._drain()
                    return
        finally:
            self._kill()

    def _start(self, queue: Iterator[tuple[int, list[int]]]) -> None:
        unit = next(queue, None)
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
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WORKER_SIGNALS)
        theirs.close()
        worker = _Worker(process, ours)
        self.workers.append(worker)
        self._give(worker, *unit)

    def _give(self, worker: _Worker, unit: int, shards: list[int]) -> None:
        token = secrets.token_hex(6)
        pid = worker.process.pid or 0
        ledger.begin_attempt(self.db, self.dataset, unit, token, self.holder.host, pid, self.holder.slurm_job_id)
        worker.order = Order(unit, tuple(shards), token)
        worker.pipe.send(worker.order)

    def _turn(self, queue: Iterator[tuple[int, list[int]]]) -> None:
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
        if time.monotonic() - self.last_beat >= lease.HEARTBEAT_SECONDS:
            self.last_beat = time.monotonic()
            lease.beat(self.db, self.dataset, self.holder)

    def _hear(self, worker: _Worker, message: object, queue: Iterator[tuple[int, list[int]]]) -> None:
        match message:
            case ImagesRead(number):
                self.tracker.advance(number)
            case ShardDone(receipt_path):
                receipt = read_receipt(receipt_path)
                ledger.commit(self.db, self.dataset, receipt)
                self.report.shards += 1
                self.report.images += receipt.samples
                for left_out in receipt.left_out:
                    counts = self.report.left_out
                    counts[left_out.outcome] = counts.get(left_out.outcome, 0) + 1
            case UnitEnded():
                self._end(worker, message)
                following = next(queue, None) if self.stop.number is None else None
                if following is None:
                    self._dismiss(worker)
                else:
                    self._give(worker, *following)

    def _end(self, worker: _Worker, ended: UnitEnded) -> None:
        order, worker.order = worker.order, None
        if order is None:
            return
        ledger.end_attempt(self.db, order.token, ended.ending, ended.message or None)
        if ended.ending == "failed":
            self.report.failures.append(UnitFailure(order.unit, ended.message, ended.hint))

    def _bury(self, worker: _Worker, queue: Iterator[tuple[int, list[int]]]) -> None:
        """A worker died: its unit failed, and another process takes the next."""
        worker.process.join(timeout=5)
        code = worker.process.exitcode
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        self._end(worker, UnitEnded("failed", f"the worker process died ({how})", "run again", 1))
        self._dismiss(worker)
        if self.stop.number is None:
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
        for worker in list(self.workers):
            worker.process.kill()
            worker.process.join()
            self._end(worker, UnitEnded("interrupted", "ended with the run"))
            worker.pipe.close()
        self.workers.clear()
