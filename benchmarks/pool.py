"""A whole run: three splits of the corpus by the command line, with two workers and with one.

The parent and the workers are looked at ten times a second (/proc): CPU of the parent alone, memory of each worker
over time. The share of the parent is told against the time that the workers' CPU would take on a core each: on a
busy machine the wall time is longer, and would flatter it.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import corpus
from benchmarks.corpus import Corpus
from benchmarks.frame import Benchmark, Context, Result, rss, tree

ROUNDS = 3
PARENT_SHARE, WORKER_BYTES = 0.03, 300_000_000
SPEEDUP = 1.5
GROWTH = 1.05
"""How much higher the memory of a worker may be in the second half of a run than in the first and count as flat."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run cost.

    Attributes:
        cpu: seconds, all processes; parent: of the parent alone; wall: seconds.
        memory: of each worker (by process id), resident bytes in the order of time.
    """

    cpu: float
    parent: float
    wall: float
    memory: dict[int, list[int]]

    @property
    def peak(self) -> int:
        """Bytes of the largest worker."""
        return max(max(each) for each in self.memory.values())

    @property
    def growth(self) -> float:
        """Highest memory in the second half of a worker's time to that in the first; the largest of all workers."""
        halves = [
            (each[: len(each) // 2], each[len(each) // 2 :]) for each in self.memory.values() if len(each) > 1
        ]
        return max((max(late) / max(early) for early, late in halves), default=1.0)


def whole_run(context: Context) -> list[Result]:
    """Three splits of the corpus by `materialize`, 2 workers and 1: CPU an image, memory, the parent's share."""
    of = corpus.corpus(context)
    database = context.folder / "pool.sqlite"
    corpus.ingested(database, of.tree)
    two: list[Run] = []
    one: list[Run] = []
    samples = 0
    for attempt in range(ROUNDS):
        for workers, runs in ((2, two), (1, one)):
            context.say(f"round {attempt + 1} of {ROUNDS}: {workers} worker(s)")
            fresh = _fresh(context, database)
            runs.append(_materialize(fresh, workers))
            samples = sum(_count(path) for path in (context.folder / "pool-shards").rglob("*.tar"))
    return [*_results(context, of, two, one, samples), _published(context, of)]


def _results(context: Context, of: Corpus, two: list[Run], one: list[Run], samples: int) -> list[Result]:
    cpu = statistics.median(run.cpu for run in two)
    wall, alone = (statistics.median(run.wall for run in runs) for runs in (two, one))
    share = statistics.median(run.parent / ((run.cpu - run.parent) / 2) for run in two)
    peak, growth = max(run.peak for run in two), statistics.median(run.growth for run in two)
    busy = os.getloadavg()[0] > 2 * len(os.sched_getaffinity(0))
    size = f"{samples:,} samples of {of.size}"
    rate = f"{cpu:.1f} s CPU, {cpu / samples * 1e3:.2f} ms and {samples / cpu:.0f} samples a second and core"
    cost = {"cpu_s": cpu, "ms_per_sample": cpu / samples * 1e3, "samples_per_cpu_s": samples / cpu}
    speedup = {"wall_2_s": wall, "wall_1_s": alone, "ratio": alone / wall}
    parent = {"parent_share": share}
    memory = {"peak_bytes": float(peak), "growth": growth}
    faster = f"{alone / wall:.2f}x ({alone:.1f} s and {wall:.1f} s wall)" + (", on a busy machine" if busy else "")
    small, flat = of.judged(context, peak <= WORKER_BYTES), of.judged(context, growth <= GROWTH)
    return [
        Result("three splits, 2 workers", "told; see the published procedure", rate, None, size, cost),
        Result(
            "2 workers against 1",
            f"at least {SPEEDUP}x in wall, on an idle machine",
            faster,
            None if busy else of.judged(context, alone / wall >= SPEEDUP),
            size,
            speedup,
        ),
        Result(
            "parent of the pool",
            f"at most {PARENT_SHARE:.0%} of a core",
            f"{share:.1%}",
            of.judged(context, share <= PARENT_SHARE),
            size,
            parent,
        ),
        Result("memory of a worker", "at most 300 MB", f"{peak / 1e6:.0f} MB at its peak", small, size, memory),
        Result("memory over time", "flat", f"second half to first {growth:.2f}", flat, size, memory),
    ]


def _published(context: Context, of: Corpus) -> Result:
    why = (
        "not measured: run the scripts of your checkout as its README says, on the folder "
        if context.reference
        else ("not measured: no --reference-checkout; the corpus is in ")
    )
    goal = "at least 1.5x less CPU than the published procedure"
    return Result("against the published procedure", goal, f"{why}{of.root}", None, of.size)


def _fresh(context: Context, ingested: Path) -> Path:
    database, out = context.folder / "pool-round.sqlite", context.folder / "pool-shards"
    for path in context.folder.glob(database.name + "*"):
        path.unlink()
    shutil.copy(ingested, database)
    corpus.planned(database, out, "pool", "tol10m")
    return database


def _materialize(database: Path, workers: int) -> Run:
    words = [
        "-m",
        "tol_db",
        "-q",
        "--db",
        str(database),
        "materialize",
        "--dataset",
        "pool",
        "--workers",
        str(workers),
    ]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    parent = 0.0
    memory: dict[int, list[int]] = {}
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            parent = max(parent, _cpu(process.pid))
            for pid in tree(process.pid)[1:]:
                if (size := rss(pid)) and _is_worker(pid):
                    memory.setdefault(pid, []).append(size)
            time.sleep(0.1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise RuntimeError(f"{words}: exit {process.returncode}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(cpu, parent, time.monotonic() - start, memory)


def _cpu(pid: int) -> float:
    """CPU seconds of one process, without its children; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _is_worker(pid: int) -> bool:
    """Whether a process is no helper of multiprocessing."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _count(shard: Path) -> int:
    """Samples of a shard: its jpg members, told by their headers."""
    count = 0
    with shard.open("rb") as file:
        while (header := file.read(512)).strip(b"\0"):
            count += header[:100].rstrip(b"\0").endswith(b".jpg")
            file.seek(-(-int(header[124:135], 8) // 512) * 512, os.SEEK_CUR)
    return count


BENCHMARKS: dict[str, Benchmark] = {"pool": whole_run}
