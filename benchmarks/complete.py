"""A dataset of which all or nearly all is complete: the size of its database, its audits, going on after a stop."""

from __future__ import annotations

import io
import shutil
import signal
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL import Image

from benchmarks import pretended
from benchmarks.database import planned, size_of
from benchmarks.frame import Benchmark, Context, Result, cpu_of_process, environment, tol_db_command, tree
from materialize import ledger
from materialize.dataset import Dataset, load_dataset
from materialize.receipt import FOLDER as RECEIPTS
from materialize.receipt import receipts_of
from materialize.unit_rows import load_unit, pending_units
from tol_db.audit.runner import load
from tol_db.audit.runner import run as ask
from tol_db.db.base import ShardState
from tol_db.db.bulk import query, scalar
from tol_db.db.engine import Database, open_database
from tol_db.errors import Interrupted

LEFT = 0.01
"""Of the shards, that are pending when a run goes on."""
DRAWN = 2_000
"""Images that exist: seconds of work, so that the run does not end before it is stopped."""
ROUNDS = 3
PATIENCE = 600  # s


def size(context: Context) -> list[Result]:
    """How large the database's file is: planned, and with all shards complete, digests and licences."""
    before, after = planned(context), pretended.completed(context)
    (whole, licences), complete = _bytes(before), after.stat().st_size
    without = whole - licences
    return [
        Result(
            "size, planned",
            "<= 2.0 GB without licences",
            f"{without / 1e9:.2f} GB, a file of {whole / 1e9:.2f} GB with licences",
            context.judged(without <= 2.0e9),
            size_of(context),
            {"bytes": whole, "licences": licences},
        ),
        Result(
            "size, complete",
            "<= 4.5 GB with digests and licences",
            f"a file of {complete / 1e9:.2f} GB",
            context.judged(complete <= 4.5e9),
            size_of(context),
            {"bytes": complete},
        ),
    ]


def _bytes(path: Path) -> tuple[int, int]:
    """Bytes of a database's file, and of the licences in it (0 where SQLite has no dbstat)."""
    with closing(sqlite3.connect(path)) as db:
        try:
            sql = "SELECT sum(pgsize) FROM dbstat WHERE aggregate = 1 AND name = 'image_licence'"
            (licences,) = db.execute(sql).fetchone()
        except sqlite3.OperationalError:
            licences = 0
    return path.stat().st_size, int(licences or 0)


def audits(context: Context) -> list[Result]:
    """How long each audit takes, all shards complete; and that each that has to be empty is."""
    db = Database(pretended.completed(context), readonly=True)
    taken: dict[str, float] = {}
    broken: list[str] = []
    for audit in load():
        with db.read() as conn:
            start = time.process_time()
            answer = ask(conn, audit, limit=1)
            taken[audit.name] = time.process_time() - start
        broken += [f"{audit.name} ({answer.total:,} rows)"] if answer.is_fault else []
    if broken:
        raise RuntimeError(f"{db.path}: audits that must be empty are not: {', '.join(broken)}")
    kinds = (
        ("audits that must be empty", 10, [audit.name for audit in load() if audit.must_be_empty]),
        (
            "audits to look at",
            10,
            [audit.name for audit in load() if not audit.must_be_empty and audit.slow is None],
        ),
        ("audits that say why they are slow", 30, [audit.name for audit in load() if audit.slow is not None]),
    )
    return [_slowest(context, title, goal, {name: taken[name] for name in names}) for title, goal, names in kinds]


def _slowest(context: Context, title: str, goal: int, taken: dict[str, float]) -> Result:
    slowest = max(taken, key=lambda name: taken[name])
    return Result(
        title,
        f"each <= {goal} s",
        f"{len(taken)}; the slowest, {slowest}, {taken[slowest]:.1f} s CPU",
        context.judged(taken[slowest] <= goal),
        size_of(context),
        taken,
    )


@dataclass(frozen=True, slots=True)
class _First:
    """What it took until the first image was in a shard: seconds, and of the CPU in all processes and the first."""

    wall: float
    cpu: float
    parent: float


def resume(context: Context) -> list[Result]:
    """From the start of `materialize` to its first image, 99 % of the shards complete.

    The command runs as it is. Of the images that are left those that are read first exist; the clock stops when the
    first of them is in the partial file of a shard: read, decoded, encoded, written.
    """
    done = pretended.completed(context)
    db, dataset = pretended.copied(done, "resume")
    every = pretended.shards(db, dataset)
    left = _left(db, max(1, round(LEFT * len(every))))
    _take_over(done, dataset, [shard for shard in every if shard.id not in left])
    with db.write() as conn:
        ledger.reopen(conn, sorted(left), ShardState.PLANNED)
    images = db.path.with_name("resume-images")
    _draw_first_images(db, dataset, images)
    rounds = [_first_image(db.path, dataset.output_root) for _ in range(ROUNDS)]
    _require_untouched(db, len(every) - len(left))
    pretended.remove(db.path)
    shutil.rmtree(images)
    wall, cpu, parent = (
        statistics.median(getattr(each, name) for each in rounds) for name in ("wall", "cpu", "parent")
    )
    return [
        Result(
            "resume, to the first image",
            "<= 3 s from the start of `materialize`",
            f"{wall:.2f} s (CPU {cpu:.2f} s, {parent:.2f} of it the parent's)",
            context.judged(wall <= 3),
            f"{size_of(context)}, {len(every) - len(left):,} of {len(every):,} shards complete",
            {"wall": wall, "cpu": cpu, "parent_cpu": parent},
        )
    ]


def _left(db: Database, most: int) -> set[int]:
    """Ids of the last shards that draw on folders: one file there is enough for a first image."""
    sql = """SELECT h.id, (SELECT c.kind FROM shard_image m JOIN image i ON i.id = m.image_id
                           JOIN container c ON c.id = i.container_id WHERE m.shard_id = h.id LIMIT 1) AS kind
             FROM shard h ORDER BY h.number DESC"""
    with db.read() as conn:
        in_folders = (id for id, kind in query(conn, sql) if kind == "directory")
        return set(islice(in_folders, most))


def _take_over(done: Path, dataset: Dataset, shards: Sequence[pretended.PlannedShard]) -> None:
    """The files and receipts of complete shards, as they lie under the root of the complete database."""
    with open_database(done, readonly=True).read() as conn:
        theirs = load_dataset(conn, dataset.name).output_root
    receipts = receipts_of(theirs)
    (dataset.output_root / RECEIPTS).mkdir()
    for shard in shards:
        pretended.make_sparse(dataset.output_root / shard.path, shard.size)
        for path in receipts[shard.number]:
            (dataset.output_root / RECEIPTS / path.name).hardlink_to(path)


def _draw_first_images(db: Database, dataset: Dataset, folder: Path) -> None:
    """Make the files that the first unit reads first: one picture under all names of its first folders."""
    shutil.rmtree(folder, ignore_errors=True)
    with db.write() as conn:
        conn.exec_driver_sql("UPDATE source SET root = ?", (str(folder.resolve()),))
    with db.read() as conn:
        task = load_unit(conn, dataset, *next(iter(pending_units(conn, dataset).items())))
    drawn = io.BytesIO()
    Image.linear_gradient("L").resize((500, 375)).convert("RGB").save(drawn, "JPEG", quality=90)
    picture, left = folder / "picture.jpg", DRAWN
    for container in task.containers:
        container.path.mkdir(parents=True)
        for image in container.images:
            if not picture.exists():  # what follows the end of a JPEG is not looked at
                picture.write_bytes(drawn.getvalue().ljust(image.wanted.size, b"\0"))
            (container.path / image.wanted.name).symlink_to(picture)
        left -= len(container.images)
        if left <= 0:
            break


def _first_image(database: Path, root: Path) -> _First:
    """Run `materialize`, look at the clocks when a shard grows, and stop it."""
    start = time.monotonic()
    words = tol_db_command(database, "materialize", "--dataset", "x", "--workers", 1)
    with subprocess.Popen(words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not _grows(root):
            if process.poll() is not None or time.monotonic() - start > PATIENCE:
                process.kill()
                raise RuntimeError(f"no image was written: {process.communicate()[1].decode()[-2000:]}")
            time.sleep(0.005)
        wall = time.monotonic() - start
        first = _First(wall, sum(map(cpu_of_process, tree(process.pid))), cpu_of_process(process.pid))
        process.send_signal(signal.SIGTERM)
        process.communicate()
    if process.returncode != Interrupted.exit_code:
        raise RuntimeError(f"{words}: exit {process.returncode} after a signal")
    return first


def _require_untouched(db: Database, complete: int) -> None:
    """Check that the runs took every file for what it was: a shard that is written anew would cost other work."""
    with db.read() as conn:
        found = scalar(conn, "SELECT count(*) FROM shard WHERE state = 'complete'")
    if found < complete:
        raise RuntimeError(f"{db.path}: {complete - found} complete shards were opened again")


def _grows(root: Path) -> bool:
    """Whether a sample is in a partial shard."""
    return any(path.stat().st_size for path in root.glob("*/*/.shard-*.partial"))


BENCHMARKS: dict[str, Benchmark] = {"size": size, "audits": audits, "resume": resume}
