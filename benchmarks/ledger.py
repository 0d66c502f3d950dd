"""What the ledger costs at 10 million rows: completing and reopening a shard, collecting a thousand receipts."""

from __future__ import annotations

import hashlib
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.database import planned
from benchmarks.frame import Context, Result, cpu_of
from materialize import collect as collecting
from materialize import ledger, root
from materialize.dataset import Dataset, load_dataset
from materialize.receipt import Fact, LeftOut, Receipt, write_receipt
from tol_db.db.base import ShardState
from tol_db.db.bulk import query
from tol_db.db.engine import Database

SHARDS = 10
RECEIPTS = 1_000
SHARD_BYTES = 600_000_000


def _fact(number: int) -> Fact:
    digest = hashlib.md5(str(number).encode(), usedforsecurity=False).digest()
    return Fact(500 + number % 300, 375 + number % 200, "RGB", digest, digest[::-1])


def _receipt(dataset: Dataset, row: Sequence[object], facts: Sequence[Fact]) -> Receipt:
    """A receipt of a shard with one image left out, and its file: of the right size, and sparse."""
    number, digest, planned_, split, ordinal, _ = row
    assert isinstance(number, int) and isinstance(digest, bytes) and isinstance(planned_, int)
    path = root.shard_path(dataset.recipe.size, str(split), int(str(ordinal)))
    final = dataset.output_root / path
    final.parent.mkdir(parents=True, exist_ok=True)
    with final.open("wb") as file:
        file.truncate(SHARD_BYTES)
    status = final.stat()
    return Receipt(
        dataset=dataset.uuid,
        shard=number,
        path=str(path),
        digest=digest.hex(),
        size=SHARD_BYTES,
        sha256=digest.hex(),
        samples=planned_ - 1,
        token=f"{number:032x}",
        host="bench",
        pid=1,
        slurm_job_id=None,
        started_at="2026-01-01T00:00:00Z",
        seconds=1.0,
        left_out=(LeftOut(7, "decode_error", "not a picture"),),
        facts=tuple(facts[:planned_]),
        inode=status.st_ino,
        mtime_ns=status.st_mtime_ns,
    )


def _copy(context: Context, name: str) -> tuple[Database, Dataset]:
    """A copy of the planned database whose dataset has an empty root of its own."""
    path, folder = context.folder / f"{name}.sqlite", context.folder / f"{name}-root"
    shutil.copyfile(planned(context), path)
    shutil.rmtree(folder, ignore_errors=True)
    db = Database(path)
    with db.write() as conn:
        conn.exec_driver_sql("UPDATE dataset SET output_root = ?", (str(folder.resolve()),))
        dataset = load_dataset(conn, "x")
    dataset.output_root.mkdir(parents=True)
    root.write_marker(dataset.output_root, dataset.marker)
    return db, dataset


def _shards(db: Database, dataset: Dataset, most: int) -> list[tuple[object, ...]]:
    sql = """SELECT h.number, h.digest, h.planned, s.name, h.ordinal, h.id
             FROM shard h JOIN split s ON s.id = h.split_id
             WHERE h.dataset_id = ? ORDER BY h.planned DESC, h.number LIMIT ?"""
    with db.read() as conn:
        return list(query(conn, sql, (dataset.id, most)))


def shard(context: Context) -> list[Result]:
    """A shard is completed, with digests and with states alone, and put back to pending."""
    db, dataset = _copy(context, "ledger")
    rows = _shards(db, dataset, SHARDS)
    images = max(int(str(row[2])) for row in rows)
    full, none = [_fact(n) for n in range(images)], [Fact()] * images
    taken: dict[str, list[float]] = {"digests": [], "states": [], "reopened": []}
    for row in rows:
        for kind, facts in (("digests", full), ("states", none)):
            receipt = _receipt(dataset, row, facts)
            taken[kind].append(cpu_of(_committing(db, dataset, receipt)))
            taken["reopened"].append(cpu_of(_reopening(db, int(str(row[5])))))
    _remove(db.path, dataset.output_root)
    size = f"{SHARDS} shards of {images:,} images"
    enough = images >= 9_000
    goals = (("digests", "complete, with digests", 80), ("states", "complete, states alone", 15))
    return [
        Result(
            f"shard: {name}",
            f"<= {most} ms CPU",
            f"{1e3 * (median := statistics.median(taken[kind])):.1f} ms",
            context.judged(1e3 * median <= most) if enough else None,
            size,
            {"seconds": median},
        )
        for kind, name, most in (*goals, ("reopened", "back to pending", 20))
    ]


def _committing(db: Database, dataset: Dataset, receipt: Receipt) -> Callable[[], object]:
    return lambda: ledger.commit(db, dataset, receipt)


def _reopening(db: Database, shard_id: int) -> Callable[[], object]:
    def work() -> None:
        with db.write() as conn:
            ledger.reopen(conn, [shard_id], ShardState.BAD, "benchmark")

    return work


def collect(context: Context) -> list[Result]:
    """A thousand receipts of array tasks are collected; the files are sparse."""
    db, dataset = _copy(context, "collect")
    rows = _shards(db, dataset, RECEIPTS)
    facts = [_fact(n) for n in range(max(int(str(row[2])) for row in rows))]
    for row in rows:
        write_receipt(dataset.output_root, _receipt(dataset, row, facts))
    start = time.monotonic()
    entered: list[int] = []
    cpu = cpu_of(lambda: entered.extend(collecting.collect(db, "x").findings.adopted))
    wall = time.monotonic() - start
    _remove(db.path, dataset.output_root)
    return [
        Result(
            "collect",
            f"{RECEIPTS:,} receipts of 10,000 images <= 60 s",
            f"{cpu:.1f} s CPU, {wall:.1f} s",
            context.judged(cpu <= 60 and len(entered) == RECEIPTS),
            f"{len(entered):,} receipts, {sum(int(str(row[2])) for row in rows):,} images",
            {"cpu": cpu, "wall": wall, "receipts": len(entered)},
        )
    ]


def _remove(database: Path, folder: Path) -> None:
    shutil.rmtree(folder)
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()


BENCHMARKS = {"shard": shard, "collect": collect}
