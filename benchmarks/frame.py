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
        profile: folder for profiles, or None; no goal counts as met while a profiler runs along.
    """

    folder: Path
    scale: float
    say: Callable[[str], None]
    reference: Path | None = None
    profile: Path | None = None

    @property
    def is_full(self) -> bool:
        return self.scale >= 1 and self.profile is None

    def judged(self, met: bool) -> bool | None:
        """Whether a goal counts as met: never below full size, nor under a profiler."""
        return met if self.is_full else None


Benchmark = Callable[[Context], list[Result]]


@dataclass(frozen=True, slots=True)
class Spent:
    """What a command cost.

    Attributes:
        cpu: seconds, user and system, of all its processes; own: of its first process alone, as it was last seen;
            wall: seconds.
        peak: bytes, the highest sum of resident memory of its processes at one time (shared pages count in each).
        peak_process: bytes, the highest resident memory of one process.
        workers: of each process that multiprocessing spawned (by process id), resident bytes in the order of time.
        out, err: what it printed.
    """

    cpu: float
    own: float
    wall: float
    peak: int
    peak_process: int
    workers: dict[int, list[int]]
    out: str
    err: str

    @property
    def told(self) -> str:
        """In words, for results."""
        return f"{self.cpu:.1f} s CPU, {self.wall:.1f} s, peak {self.peak / 1e6:,.0f} MB"

    @property
    def numbers(self) -> dict[str, float]:
        """The same for machines."""
        return {"cpu": self.cpu, "wall": self.wall, "peak": self.peak}


def environment(**more: str) -> dict[str, str]:
    """The environment of a measured command: no setting of a user's own changes what is measured."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("TOL_DB", "SLURM_"))} | more


def run(
    command: Sequence[str | Path], *, check: bool = True, cwd: Path | None = None, period: float = 0.02, **more: str
) -> Spent:
    """Run a command and measure its whole process tree.

    Args:
        command, cwd: as of :class:`subprocess.Popen`.
        check: an exit code other than 0 is an error.
        period: seconds between two looks at its memory.
        more: environment variables.

    Raises:
        RuntimeError: it failed; the text holds the end of what it printed.
    """
    words = [str(word) for word in command]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (
        subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**more), cwd=cwd
        ) as process,
        _watching(process.pid, period) as seen,
    ):
        out, err = process.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if check and process.returncode:
        raise RuntimeError(f"{words}: exit {process.returncode}\n{out[-2000:]}\n{err[-4000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall = time.monotonic() - start
    return Spent(cpu, seen.own, wall, seen.peak, seen.peak_process, seen.workers, out, err)


def tol_db_command(database: Path, *words: object) -> list[str]:
    """The command line of `tol-db` on a database, for :func:`run`."""
    return [sys.executable, "-m", "tol_db", "-q", "--db", str(database), *map(str, words)]


def tol_db(database: Path, *words: object, check: bool = True, period: float = 0.02) -> Spent:
    """Run the command line, as a user does."""
    return run(tol_db_command(database, *words), check=check, period=period)


@dataclass(slots=True)
class _Seen:
    own: float = 0.0
    peak: int = 0
    peak_process: int = 0
    workers: dict[int, list[int]] = field(default_factory=dict)


@contextmanager
def _watching(pid: int, period: float) -> Iterator[_Seen]:
    """Look at a process tree again and again."""
    seen, over = _Seen(), threading.Event()

    def look() -> None:
        while not over.wait(period):
            seen.own = max(seen.own, cpu_of_process(pid))
            sizes = {each: rss(each) for each in tree(pid)}
            seen.peak = max(seen.peak, sum(sizes.values()))
            seen.peak_process = max(seen.peak_process, *sizes.values())
            for each, size in sizes.items():
                if size and each != pid and _is_worker(each):
                    seen.workers.setdefault(each, []).append(size)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
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


def cpu_of_process(pid: int) -> float:
    """CPU seconds of one process, without its children; 0 where it is gone. Counted in hundredths."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _is_worker(pid: int) -> bool:
    """Whether multiprocessing spawned a process, to work and not to look after others."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


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
