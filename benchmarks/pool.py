"""A whole run: three splits of the corpus by the command line, with two workers and with one.

The parent and the workers are looked at ten times a second (/proc): CPU of the parent alone, memory of each worker.
The share of the parent is told against the time that the workers' CPU would take on a core each: on a busy machine
the wall time is longer, and would flatter it. With a checkout of the published scripts these write the same splits
in the same turns.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks import corpus
from benchmarks.corpus import Corpus
from benchmarks.frame import Benchmark, Context, Result, Spent, tol_db
from benchmarks.published import STATED, Published, samples_in

ROUNDS = 3
PARENT_SHARE, WORKER_BYTES = 0.03, 300_000_000
SPEEDUP, AGAINST_PUBLISHED = 1.5, 1.5


def whole_run(context: Context) -> list[Result]:
    """Three splits of the corpus by `materialize`, 2 workers and 1: CPU an image, memory, the parent's share."""
    of = corpus.corpus(context)
    theirs = None
    if context.reference is not None:
        theirs = Published.found(context.reference, of, context.folder / "published")
    database = context.folder / "pool.sqlite"
    corpus.ingested(database, of.tree)
    runs: dict[int, list[Spent]] = {2: [], 1: []}
    published: list[float] = []
    samples = 0
    for attempt in range(ROUNDS):
        for workers, spent in runs.items():
            context.say(f"round {attempt + 1} of {ROUNDS}: {workers} worker(s)")
            spent.append(_materialize(context.folder, database, workers))
            samples = sum(samples_in(path) for path in (context.folder / "pool-shards").rglob("*.tar"))
        if theirs is not None:
            context.say(f"round {attempt + 1} of {ROUNDS}: the published procedure")
            published.append(theirs.cpu(2, samples))
    return [*_results(context, of, runs[2], runs[1], samples), _against(context, of, runs[2], published)]


def _materialize(folder: Path, ingested: Path, workers: int) -> Spent:
    """Plan and write all anew; only the writing is measured."""
    database = folder / "pool-round.sqlite"
    for path in folder.glob(database.name + "*"):
        path.unlink()
    shutil.copy(ingested, database)
    corpus.planned(database, folder / "pool-shards", "pool", "tol10m")
    return tol_db(database, "materialize", "--dataset", "pool", "--workers", workers, period=0.1)


def _results(
    context: Context, of: Corpus, two: Sequence[Spent], one: Sequence[Spent], samples: int
) -> list[Result]:
    cpu = statistics.median(run.cpu for run in two)
    wall, alone = (statistics.median(run.wall for run in runs) for runs in (two, one))
    share = statistics.median(run.own / ((run.cpu - run.own) / 2) for run in two)
    peak = max(max(seen) for run in two for seen in run.workers.values())
    busy = os.getloadavg()[0] > 2 * len(os.sched_getaffinity(0))
    size = f"{samples:,} samples of {of.size}"
    rate = f"{cpu:.1f} s CPU, {cpu / samples * 1e3:.2f} ms and {samples / cpu:.0f} samples a second and core"
    cost = {"cpu_s": cpu, "ms_per_sample": cpu / samples * 1e3, "samples_per_cpu_s": samples / cpu}
    faster = f"{alone / wall:.2f}x ({alone:.1f} s and {wall:.1f} s wall)" + (", on a busy machine" if busy else "")
    return [
        Result("three splits, 2 workers", "told; see the published procedure", rate, None, size, cost),
        Result(
            "2 workers against 1",
            f"at least {SPEEDUP}x in wall, on an idle machine",
            faster,
            None if busy else of.judged(context, alone / wall >= SPEEDUP),
            size,
            {"wall_2_s": wall, "wall_1_s": alone, "ratio": alone / wall},
        ),
        Result(
            "parent of the pool",
            f"at most {PARENT_SHARE:.0%} of a core",
            f"{share:.1%}",
            of.judged(context, share <= PARENT_SHARE),
            size,
            {"parent_share": share},
        ),
        Result(
            "memory of a worker",
            "at most 300 MB",
            f"{peak / 1e6:.0f} MB at its peak",
            of.judged(context, peak <= WORKER_BYTES),
            size,
            {"peak_bytes": float(peak)},
        ),
    ]


def _against(context: Context, of: Corpus, two: Sequence[Spent], published: Sequence[float]) -> Result:
    name, goal = "against the published procedure", f"at least {AGAINST_PUBLISHED}x less CPU than its three splits"
    ours = statistics.median(run.cpu for run in two)
    if not published:
        figure = f"not measured: no --reference-checkout; ours {ours:.1f} s CPU ({STATED})"
        return Result(name, goal, figure, None, of.size, {"cpu_s": ours})
    theirs = statistics.median(published)
    return Result(
        name,
        goal,
        f"{theirs / ours:.2f}x ({theirs:.1f} s and {ours:.1f} s CPU, 2 workers each)",
        of.judged(context, theirs / ours >= AGAINST_PUBLISHED),
        of.size,
        {"published_s": theirs, "cpu_s": ours, "ratio": theirs / ours},
    )


BENCHMARKS: dict[str, Benchmark] = {"pool": whole_run}
