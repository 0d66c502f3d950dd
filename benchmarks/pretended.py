"""Complete shards without a single picture: sparse files of the right size, and receipts that the ledger believes.

What is entered goes through :func:`materialize.ledger.commit`, so that counters, states and audits are those of a
run; only the facts of the images are made up.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.database import planned
from benchmarks.frame import Context
from materialize import ledger, root
from materialize.dataset import Dataset, load_dataset
from materialize.receipt import Fact, LeftOut, Receipt, write_receipt
from tol_db.db.bulk import query
from tol_db.db.engine import Database, open_database

IMAGE_BYTES = 60_000
"""Of a sample in a shard."""
LEFT_OUT_AT = 7


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """A row of ``shard``: its id, number, digest, planned images and path under the root."""

    id: int
    number: int
    digest: bytes
    planned: int
    path: Path

    @property
    def size(self) -> int:
        """Bytes of its pretended file."""
        return IMAGE_BYTES * self.planned


def fact(number: int) -> Fact:
    """What was learnt of picture ``number``: no two have the same digests."""
    digest = hashlib.md5(str(number).encode(), usedforsecurity=False).digest()
    return Fact(500 + number % 300, 375 + number % 200, "RGB", digest, digest[::-1])


def receipt_of(dataset: Dataset, shard: PlannedShard, facts: Sequence[Fact]) -> Receipt:
    """A receipt of a shard, one image of which was left out; its file is made, of the right size and sparse.

    Args:
        facts: of its images in order, at least as many as are planned.
    """
    final = dataset.output_root / shard.path
    make_sparse(final, shard.size)
    status = final.stat()
    left_out = min(LEFT_OUT_AT, shard.planned - 1)
    learnt = list(facts[: shard.planned])
    if learnt[left_out:]:
        there = learnt[left_out]
        learnt[left_out] = Fact(content=there.content)
    return Receipt(
        dataset=dataset.uuid,
        shard=shard.number,
        path=str(shard.path),
        digest=shard.digest.hex(),
        size=shard.size,
        sha256=shard.digest.hex(),
        samples=max(0, shard.planned - 1),
        token=f"{shard.number:032x}",
        host="bench",
        pid=1,
        slurm_job_id=None,
        started_at="2026-01-01T00:00:00Z",
        seconds=1.0,
        left_out=(LeftOut(left_out, "decode_error", "not a picture"),) if learnt else (),
        facts=tuple(learnt),
        inode=status.st_ino,
        mtime_ns=status.st_mtime_ns,
    )


def make_sparse(path: Path, size: int) -> None:
    """A file of a size that takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


def copied(database: Path, name: str) -> tuple[Database, Dataset]:
    """A copy of a planned database, beside it, whose dataset has an empty root of its own."""
    path = database.with_name(f"{name}.sqlite")
    remove(path)
    shutil.copyfile(database, path)
    db = open_database(path)
    with db.write() as conn:
        conn.exec_driver_sql("UPDATE dataset SET output_root = ?", (str(_root_of(path).resolve()),))
        dataset = load_dataset(conn, "x")
    dataset.output_root.mkdir(parents=True)
    root.write_marker(dataset.output_root, dataset.marker)
    return db, dataset


def _root_of(database: Path) -> Path:
    return database.with_name(f"{database.stem}-root")


def remove(database: Path) -> None:
    """Remove such a copy and its root, where they are."""
    shutil.rmtree(_root_of(database), ignore_errors=True)
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()


def shards(db: Database, dataset: Dataset) -> list[PlannedShard]:
    """All shards of a dataset by number."""
    sql = """SELECT h.id, h.number, h.digest, h.planned, s.name, h.ordinal
             FROM shard h JOIN split s ON s.id = h.split_id WHERE h.dataset_id = ? ORDER BY h.number"""
    with db.read() as conn:
        return [
            PlannedShard(id, number, digest, images, root.shard_path(dataset.recipe.size, split, ordinal))
            for id, number, digest, images, split, ordinal in query(conn, sql, (dataset.id,))
        ]


def completed(context: Context) -> Path:
    """A database of this size with every shard complete, with digests; made when it is not there.

    Its receipts lie under its root, as those of a run do.
    """
    source = planned(context)
    name = f"{source.stem}-complete"
    path, made = source.with_name(f"{name}.sqlite"), source.with_name(f"{name}.made")
    if made.exists() and made.stat().st_mtime_ns >= source.with_suffix(".planned").stat().st_mtime_ns:
        return path
    context.say("completing every shard")
    db, dataset = copied(source, name)
    every = shards(db, dataset)
    for shard in every:
        with db.read() as conn:
            rows = query(conn, "SELECT image_id FROM shard_image WHERE shard_id = ? ORDER BY position", (shard.id,))
            facts = [fact(image) for (image,) in rows]
        receipt = receipt_of(dataset, shard, facts)
        write_receipt(dataset.output_root, receipt)
        ledger.commit(db, dataset, receipt)
    _settle(db)
    made.touch()
    return path


def _settle(db: Database) -> None:
    """Bring the log into the file, so that its size is that of all."""
    with closing(db.engine.raw_connection()) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
