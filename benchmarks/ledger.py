"""What the ledger costs at 10 million rows: completing and reopening a shard, collecting a thousand receipts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import pretended
from benchmarks.database import planned
from benchmarks.frame import Benchmark, Context, Result
from materialize import collect as collecting
from materialize import ledger
from materialize.dataset import Dataset
from materialize.receipt import Fact, Receipt, write_receipt
from tol_db.db.base import ShardState
from tol_db.db.engine import Database

SHARDS = 10
RECEIPTS = 1_000


@dataclass(frozen=True, slots=True)
class _Taken:
    """Seconds of CPU, and of the wall, waiting for the disk included."""

    cpu: float
    wall: float


def _taken(work: Callable[[], object]) -> _Taken:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return _Taken(time.process_time() - cpu, time.perf_counter() - wall)


def _largest(db: Database, dataset: Dataset, most: int) -> list[pretended.PlannedShard]:
    return sorted(pretended.shards(db, dataset), key=lambda each: (-each.planned, each.number))[:most]


def shard(context: Context) -> list[Result]:
    """A shard is completed, with digests and with states alone, and put back to pending.

    No run leaves a receipt of states alone: each tells at least the digest of what it read. It is entered here as
    the floor: what the commit of a shard costs before anything is learnt of its images.
    """
    db, dataset = pretended.copied(planned(context), "ledger")
    rows = _largest(db, dataset, SHARDS)
    images = max(row.planned for row in rows)
    full, none = [pretended.fact(n) for n in range(images)], [Fact()] * images
    taken: dict[str, list[_Taken]] = {"digests": [], "states": [], "reopened": []}
    for row in rows:
        for kind, facts in (("digests", full), ("states", none)):
            receipt = pretended.receipt_of(dataset, row, facts)
            taken[kind].append(_taken(_committing(db, dataset, receipt)))
            taken["reopened"].append(_taken(_reopening(db, row.id)))
    pretended.remove(db.path)
    size = f"{SHARDS} shards of {images:,} images"
    enough = images >= 9_000
    goals = (
        ("digests", "complete, with digests", 80),
        ("states", "complete, states alone (no run does)", 15),
        ("reopened", "back to pending", 20),
    )
    results = []
    for kind, name, most in goals:
        cpu, wall = (statistics.median(getattr(each, clock) for each in taken[kind]) for clock in ("cpu", "wall"))
        figure = f"{1e3 * cpu:.1f} ms CPU, {1e3 * wall:.1f} ms with the disk's fsync"
        met = context.judged(1e3 * cpu <= most) if enough else None
        results.append(Result(f"shard: {name}", f"<= {most} ms CPU", figure, met, size, {"cpu": cpu, "wall": wall}))
    return results


def _committing(db: Database, dataset: Dataset, receipt: Receipt) -> Callable[[], object]:
    return lambda: ledger.commit(db, dataset, receipt)


def _reopening(db: Database, shard_id: int) -> Callable[[], object]:
    def work() -> None:
        with db.write() as conn:
            ledger.reopen(conn, [shard_id], ShardState.BAD, "benchmark")

    return work


def collect(context: Context) -> list[Result]:
    """A thousand receipts of array tasks are collected; the files are sparse."""
    db, dataset = pretended.copied(planned(context), "collect")
    rows = _largest(db, dataset, RECEIPTS)
    facts = [pretended.fact(n) for n in range(max(row.planned for row in rows))]
    for row in rows:
        write_receipt(dataset.output_root, pretended.receipt_of(dataset, row, facts))
    entered: list[int] = []
    taken = _taken(lambda: entered.extend(collecting.collect(db, "x").findings.adopted))
    pretended.remove(db.path)
    return [
        Result(
            "collect",
            f"{RECEIPTS:,} receipts of 10,000 images <= 60 s CPU",
            f"{taken.cpu:.1f} s CPU, {taken.wall:.1f} s",
            context.judged(taken.cpu <= 60 and len(entered) == RECEIPTS),
            f"{len(entered):,} receipts, {sum(row.planned for row in rows):,} images",
            {"cpu": taken.cpu, "wall": taken.wall, "receipts": len(entered)},
        )
    ]


BENCHMARKS: dict[str, Benchmark] = {"shard": shard, "collect": collect}
