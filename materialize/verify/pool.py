"""Processes that check shards at once; a shard that a process does not survive costs no more than itself."""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from materialize.child import how_it_ended, start_child
from materialize.dataset import Dataset
from materialize.stop import Stop
from materialize.verify.rows import ShardRow
from materialize.verify.shard import Checked, Level, Verdict
from materialize.verify.walk import Finding
from materialize.verify.worker import CannotCheck, Ready, Unreadable, main
from tol_db.errors import TolDbError

CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL})
"""What a decoder dies of that bytes lead astray; SIGKILL comes from a machine out of memory, SIGBUS from a disk."""
STILLBORN = 3
"""Processes in a row that may end before they begin, until it is clear that none will."""
JOIN_SECONDS = 5.0
"""How long a killed process is waited for: one that hangs in a dead mount may never end."""


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    shard: ShardRow
    is_ready: bool = False


class CheckPool:
    """Hands out shards to processes and passes on what they find.

    A process that dies while it checks a shard is replaced, and the shard is tried once more, alone in a process
    of its own, after all others. If that one crashes too, the shard is bad; if it is killed, nothing is known of
    the shard.

    Args:
        database: read by the processes.
        on_result: called in this process for each shard, in no particular order.
        on_turn: called about once a second; what it raises ends the work.
    """

    def __init__(
        self,
        database: Path,
        dataset: Dataset,
        level: Level,
        stop: Stop,
        on_result: Callable[[ShardRow, Checked | Unreadable], None],
        on_turn: Callable[[], None],
    ) -> None:
        self.database, self.dataset, self.level, self.stop = database, dataset, level, stop
        self.on_result, self.on_turn = on_result, on_turn
        self.waiting: deque[ShardRow] = deque()
        self.alone: deque[ShardRow] = deque()
        self.tried: set[int] = set()
        self.workers: list[_Worker] = []
        self.stillborn = 0

    def run(self, shards: Sequence[ShardRow], size: int) -> None:
        """Check these shards with at most ``size`` processes; returns early when a stop is asked for.

        Raises:
            TolDbError: a process cannot be started, or the check failed on something else than a shard.
        """
        self.waiting = deque(shards)
        try:
            for _ in range(min(size, len(shards))):
                self._start(self.waiting.popleft())
            while self.workers and not self.stop.asked:
                self._turn()
                while self.alone and not self.workers and not self.waiting:
                    self._start(self.alone.popleft())
        finally:
            self._kill()

    def _start(self, shard: ShardRow) -> None:
        process, ours = start_child(main, self.database.absolute(), self.dataset, self.level, os.getpid())
        worker = _Worker(process, ours, shard)
        self.workers.append(worker)
        self._give(worker, shard)

    def _give(self, worker: _Worker, shard: ShardRow) -> None:
        worker.shard = shard
        with suppress(OSError):  # it is dead: the end of its pipe comes with the next turn
            worker.pipe.send(shard.id)

    def _turn(self) -> None:
        """Wait for answers, at most a second, and act on them."""
        by_pipe = {worker.pipe: worker for worker in self.workers}
        for pipe in multiprocessing.connection.wait(list(by_pipe), timeout=1.0):
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                answer = worker.pipe.recv()
            except (EOFError, OSError):
                self._bury(worker)
                continue
            if isinstance(answer, Ready):
                worker.is_ready, self.stillborn = True, 0
                continue
            if isinstance(answer, CannotCheck):
                failed = TolDbError(f"shard {worker.shard.number}: {answer.message}", hint=answer.hint)
                failed.exit_code = answer.exit_code
                raise failed
            self.on_result(worker.shard, answer)
            if self.waiting:
                self._give(worker, self.waiting.popleft())
            else:
                self._dismiss(worker)
        self.on_turn()

    def _bury(self, worker: _Worker) -> None:
        self._dismiss(worker)
        if self.stop.asked:
            return
        shard, code = worker.shard, worker.process.exitcode
        how = how_it_ended(worker.process)
        if not worker.is_ready:
            self._again(shard, how)
        elif shard.id not in self.tried:
            self.tried.add(shard.id)
            self.alone.append(shard)
        elif code is not None and -code in CRASHES:
            finding = Finding(f"checking it ended the process, twice ({how})")
            self.on_result(shard, Checked(Verdict.BAD, (finding,), 1, 0, 0.0))
        else:
            self.on_result(shard, Unreadable(f"the process that checked it was ended, twice ({how})"))
        if self.waiting:
            self._start(self.waiting.popleft())

    def _again(self, shard: ShardRow, how: str) -> None:
        """A process has ended before it looked at anything: no shard is to blame.

        Raises:
            TolDbError: it was not the first in a row.
        """
        self.stillborn += 1
        if self.stillborn >= STILLBORN:
            raise TolDbError(
                f"processes end before they begin to check ({how})",
                hint="is this installation readable to you, is there memory? No shard was judged by it",
            )
        (self.alone if shard.id in self.tried else self.waiting).append(shard)

    def _dismiss(self, worker: _Worker) -> None:
        worker.pipe.close()
        self.workers.remove(worker)
        worker.process.join(timeout=JOIN_SECONDS)

    def _kill(self) -> None:
        left, self.workers = self.workers, []
        for worker in left:
            worker.process.kill()
        for worker in left:
            worker.process.join(timeout=JOIN_SECONDS)
            worker.pipe.close()
