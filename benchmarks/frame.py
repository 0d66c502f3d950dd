"""What all benchmarks share: a result, a context, clocks of whole process trees, interleaved comparisons.

A goal is a ratio against a baseline that is measured in the same run, or CPU time: machines differ and are noisy. A
result says at which size it was measured, and never counts as passed below the size that its goal is stated for.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
"""Real corpora and their maker, where they lie beside the checkout."""


@dataclass(frozen=True, slots=True)
class Result:
    """A line of the table.

    Attributes:
        name: of the measurement.
        goal: in words, with its number.
        figure: what was measured, in words.
        held: whether the goal is met; None where there is no goal, or the size is below that of the goal.
        size: what it was measured on, in words.
        numbers: the same for machines.
    """

    name: str
    goal: str
    figure: str
    held: bool | None
    size: str
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What a benchmark may use.

    Attributes:
        folder: scratch, kept between benchmarks of one run (and between runs with ``--folder``): what is dear to
            make (a corpus, 10 million rows) is made there once.
        scale: 1 is full size; less is for a look, and no goal counts as met.
        say: tells progress.
        reference: a user's own checkout of the published scripts, or None.
        profile: folder for profiles, or None.
    """

    folder: Path
    scale: float
    say: Callable[[str], None]
    reference: Path | None = None
    profile: Path | None = None

    @property
    def is_full(self) -> bool:
        return self.scale >= 1

    def judged(self, met: bool) -> bool | None:
        """Whether a goal counts as met: never below full size."""
        return met if self.is_full else None


Benchmark = Callable[[Context], list[Result]]


@dataclass(frozen=True, slots=True)
class Spent:
    """What a command cost.

    Attributes:
        cpu: seconds, user and system, of all its processes; wall: seconds.
        peak: bytes, the highest sum of resident memory of its processes at one time (shared pages count in each).
        peak_process: bytes, the highest resident memory of one process.
        out, err: what it printed.
    """

    cpu: float
    wall: float
    peak: int
    peak_process: int
    out: str
    err: str


def run(command: Sequence[str | Path], *, check: bool = True, cwd: Path | None = None, **more: str) -> Spent:
    """Run a command and measure its whole process tree."""
    words = [str(word) for word in command]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TOL_DB", "SLURM_"))} | more
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (
        subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=cwd
        ) as process,
        _watching(process.pid) as memory,
    ):
        out, err = process.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if check and process.returncode:
        raise RuntimeError(f"{words}: exit {process.returncode}\n{out}\n{err}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(cpu, time.monotonic() - start, memory.peak, memory.peak_process, out, err)


def tol_db(database: Path, *words: object, check: bool = True) -> Spent:
    """Run the command line, as a user does."""
    return run([sys.executable, "-m", "tol_db", "-q", "--db", database, *map(str, words)], check=check)


@dataclass(slots=True)
class _Memory:
    peak: int = 0
    peak_process: int = 0


@contextmanager
def _watching(pid: int) -> Iterator[_Memory]:
    """Look at the memory of a process tree fifty times a second."""
    memory, over = _Memory(), threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            sizes = [rss(each) for each in tree(pid)]
            memory.peak = max(memory.peak, sum(sizes))
            memory.peak_process = max(memory.peak_process, *sizes)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        over.set()
        thread.join()


def tree(pid: int) -> list[int]:
    """A process and its descendants (Linux)."""
    found = [pid]
    for each in found:
        try:
            tasks = Path(f"/proc/{each}/task").iterdir()
            for task in tasks:
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def rss(pid: int) -> int:
    """Resident bytes of a process, 0 where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def cpu_of(work: Callable[[], object]) -> float:
    """CPU seconds of this process, all threads, while it works."""
    start = time.process_time()
    work()
    return time.process_time() - start


def interleaved(rounds: int, *works: Callable[[], float]) -> list[float]:
    """Medians of several measurements, taken in turns (A B A B …), so that a slow minute hits all alike."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for times, work in zip(taken, works, strict=True):
            times.append(work())
    return [statistics.median(times) for times in taken]
