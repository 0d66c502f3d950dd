"""What 10 million rows cost: ingest, plan, size, status, audits, the start of a worker, resuming.

The metadata tree is made once in the folder (``benchmarks.synthetic``); no image exists.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from benchmarks import synthetic
from benchmarks.frame import ROOT, Context, Result, Spent, run, tol_db
from tol_db.audit.runner import load
from tol_db.db.engine import Database

MB = 1e6
SPLITS = ("train", "val", "train_small")


def _rows(context: Context) -> int:
    return round(synthetic.FULL_SIZE * context.scale)


def _size(context: Context) -> str:
    return f"{_rows(context):,} images"


def tree(context: Context) -> synthetic.SyntheticTree:
    """The metadata tree of this size, made when it is not there."""
    folder = context.folder / f"synthetic-{_rows(context)}"
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        synthetic.make(folder, _rows(context))
        (folder / "made").touch()
    root = folder / "TreeOfLife-10M"
    return synthetic.SyntheticTree(
        root,
        synthetic.Sizes.of(_rows(context)),
        root / "metadata" / "mapping.sqlite",
        root / "metadata" / "licenses.csv",
        folder / "seen_in_training.json",
        folder / "unseen_in_training.json",
    )


def _database(context: Context) -> Path:
    return context.folder / f"synthetic-{_rows(context)}.sqlite"


def planned(context: Context) -> Path:
    """A database of this size, ingested and planned, made when it is not there."""
    path = _database(context)
    if not path.with_suffix(".planned").exists():
        ingest(context)
        plan(context)
    return path


def ingest(context: Context) -> list[Result]:
    """Ingest of a mapping with labels and licences, again with nothing new, and id lookups as a Python dict."""
    made, path = tree(context), _database(context)
    for old in path.parent.glob(f"{path.stem}.*"):
        old.unlink()
    tol_db(path, "init")
    first = tol_db(path, "ingest", "tol10m", made.root, "--no-scan")
    second = tol_db(path, "ingest", "tol10m", made.root, "--no-scan")
    sets = _as_python_sets(made.mapping)
    tol_db(path, "ingest", "blacklist", "rare", "--images", made.seen, "--species", made.unseen)
    synthetic.pretend_scanned(path)
    return [
        Result(
            "ingest",
            "<= 150 s CPU, <= 1 GB",
            _told(first),
            context.judged(first.cpu <= 150 and first.peak <= 1e9),
            _size(context),
            {"cpu": first.cpu, "peak": first.peak},
        ),
        Result(
            "ingest, no change",
            "<= 5 s CPU",
            _told(second),
            context.judged(second.cpu <= 5),
            _size(context),
            {"cpu": second.cpu, "peak": second.peak},
        ),
        Result(
            "ids as Python sets (baseline)",
            "none: what each published task loads",
            _told(sets),
            None,
            _size(context),
            {"cpu": sets.cpu, "peak": sets.peak},
        ),
    ]


def _told(spent: Spent) -> str:
    return f"{spent.cpu:.1f} s CPU, {spent.wall:.1f} s, peak {spent.peak / MB:,.0f} MB"


_SETS = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
keys = {id: (content, page) for content, page, id in c.execute("SELECT content_id, page_id, evobio10m_id FROM eol")}
for table in ("inat21", "bioscan"):
    keys.update((row[0], row[1:]) for row in c.execute(f"SELECT evobio10m_id, filename FROM {table}"))
train = {row[0] for row in c.execute("SELECT evobio10m_id FROM split WHERE is_val = 0")}
"""


def _as_python_sets(mapping: Path) -> Spent:
    return run([sys.executable, "-c", _SETS, mapping])


def plan(context: Context) -> list[Result]:
    """Plan of three splits, and how large the database is then, with and without licences."""
    path = _database(context)
    if not path.exists():
        ingest(context)
    with closing(sqlite3.connect(path)) as db:
        if db.execute("SELECT EXISTS (SELECT 1 FROM dataset)").fetchone()[0]:
            tol_db(path, "dataset", "remove", "x", "--yes")
    shutil.rmtree(path.with_suffix(".out"), ignore_errors=True)
    splits = [word for split in SPLITS for word in ("--split", split)]
    spent = tol_db(path, "plan", path.with_suffix(".out"), "--dataset", "x", "--recipe", "clean", *splits)
    path.with_suffix(".planned").touch()
    whole, licences = _bytes(path)
    return [
        Result(
            "plan of three splits",
            "<= 90 s CPU, <= 1 GB",
            _told(spent),
            context.judged(spent.cpu <= 90 and spent.peak <= 1e9),
            _size(context),
            {"cpu": spent.cpu, "peak": spent.peak},
        ),
        Result(
            "size, planned",
            "<= 2.0 GB, with licences <= 4.5 GB",
            f"{(whole - licences) / 1e9:.2f} GB, with licences {whole / 1e9:.2f} GB",
            context.judged(whole - licences <= 2.0e9 and whole <= 4.5e9),
            _size(context),
            {"bytes": whole, "licences": licences},
        ),
    ]


def _bytes(path: Path) -> tuple[int, int]:
    """Bytes of all pages in use, and of those of the licences."""
    with closing(sqlite3.connect(path)) as db:
        try:
            sql = "SELECT sum(pgsize), sum(iif(name = 'image_licence', pgsize, 0)) FROM dbstat WHERE aggregate = 1"
            whole, licences = db.execute(sql).fetchone()
        except sqlite3.OperationalError:  # an SQLite without dbstat
            whole, licences = path.stat().st_size, 0
    return int(whole), int(licences)


def status(context: Context) -> list[Result]:
    """Status of a dataset, the start of `tol-db` included."""
    spent = tol_db(planned(context), "report", "status")
    return [
        Result(
            "status",
            "<= 0.5 s",
            _told(spent),
            context.judged(spent.cpu <= 0.5),
            _size(context),
            {"cpu": spent.cpu, "wall": spent.wall},
        )
    ]


def invariants(context: Context) -> list[Result]:
    """Each audit that has to be empty; the slowest is shown."""
    db = Database(planned(context), readonly=True)
    taken: dict[str, float] = {}
    for audit in load():
        if audit.must_be_empty:
            with db.read() as conn:
                start = time.process_time()
                conn.exec_driver_sql(audit.sql.replace("%", "%%")).fetchmany(100)
                taken[audit.name] = time.process_time() - start
    slowest = max(taken, key=lambda name: taken[name])
    return [
        Result(
            "audits that must be empty",
            "each <= 10 s",
            f"{len(taken)}; the slowest, {slowest}, {taken[slowest]:.1f} s CPU",
            context.judged(taken[slowest] <= 10),
            _size(context),
            taken,
        )
    ]


_UNIT = """
import resource, sys, time
from pathlib import Path
import materialize.worker
from materialize.dataset import load_dataset
from materialize.unit_rows import load_unit, pending_units
from tol_db.db.engine import Database
def rss(): return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
before, start = rss(), time.process_time()
with Database(Path(sys.argv[1]), readonly=True).read() as conn:
    dataset = load_dataset(conn, "x")
    task = load_unit(conn, dataset, *next(iter(pending_units(conn, dataset).items())))
members = [[image.wanted for image in container.images] for container in task.containers]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(time.process_time() - start, peak - before, sum(map(len, members)))
"""


def worker(context: Context) -> list[Result]:
    """Start of a worker: the rows of the first unit, an archive of 100,000 images."""
    spent = run([sys.executable, "-c", _UNIT, planned(context)], cwd=ROOT)
    cpu, memory, images = map(float, spent.out.split())
    return [
        Result(
            "worker start",
            "<= 1 s CPU, <= 150 MB above the imports",
            f"{cpu:.2f} s CPU, {memory / MB:.0f} MB for {images:,.0f} images",
            context.judged(cpu <= 1 and memory <= 150e6),
            _size(context),
            {"cpu": cpu, "memory": memory, "images": images},
        )
    ]


def resume(context: Context) -> list[Result]:
    """From nothing to the rows of the first unit that is left, 99 % of the shards complete."""
    whole = planned(context)
    path = whole.with_name("resume.sqlite")
    shutil.copyfile(whole, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        last = db.execute("SELECT max(number) FROM work_unit").fetchone()[0]
        db.execute(
            """UPDATE shard SET state = 'complete', completed_at = '2026-01-01T00:00:00Z', bytes = 1,
                                sha256 = digest
               WHERE work_unit_id NOT IN (SELECT id FROM work_unit WHERE number = ?)""",
            (last,),
        )
    spent = run([sys.executable, "-c", _UNIT, path], cwd=ROOT)
    path.unlink()
    return [
        Result(
            "resume",
            "<= 3 s to the first image",
            _told(spent),
            context.judged(spent.cpu <= 3),
            _size(context),
            {"cpu": spent.cpu, "wall": spent.wall},
        )
    ]


BENCHMARKS = {
    "ingest": ingest,
    "plan": plan,
    "status": status,
    "audits": invariants,
    "worker": worker,
    "resume": resume,
}
