"""What 10 million rows cost: ingest, plan, status, the start of a worker.

The metadata tree is made once in the folder (``benchmarks.synthetic``); no image exists.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from benchmarks import synthetic
from benchmarks.frame import ROOT, Benchmark, Context, Result, Spent, run, tol_db

MB = 1e6
SPLITS = ("train", "val", "train_small")


def rows(context: Context) -> int:
    """Images of this scale."""
    return round(synthetic.FULL_SIZE * context.scale)


def size_of(context: Context) -> str:
    """In words, for results."""
    return f"{rows(context):,} images"


def tree(context: Context) -> synthetic.SyntheticTree:
    """The metadata tree of this size, made when it is not there."""
    folder = context.folder / f"metadata-{rows(context)}"
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        synthetic.make(folder, rows(context))
        (folder / "made").touch()
    root = folder / "TreeOfLife-10M"
    return synthetic.SyntheticTree(
        root,
        synthetic.Sizes.of(rows(context)),
        root / "metadata" / "mapping.sqlite",
        root / "metadata" / "licenses.csv",
        folder / "seen_in_training.json",
        folder / "unseen_in_training.json",
    )


def _database(context: Context) -> Path:
    return context.folder / f"metadata-{rows(context)}.sqlite"


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
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    tol_db(path, "init")
    first = tol_db(path, "ingest", "tol10m", made.root, "--no-scan")
    second = tol_db(path, "ingest", "tol10m", made.root, "--no-scan")
    sets = _as_python_sets(made.mapping)
    tol_db(path, "ingest", "blacklist", "rare", "--images", made.seen, "--species", made.unseen)
    synthetic.pretend_scanned(path)
    met, met_again = first.cpu <= 150 and first.peak <= 1e9, second.cpu <= 5
    return [
        _result(context, "ingest", "<= 150 s CPU, <= 1 GB", first, context.judged(met)),
        _result(context, "ingest, no change", "<= 5 s CPU", second, context.judged(met_again)),
        _result(context, "ids as Python sets (baseline)", "none: what each published task loads", sets, None),
    ]


def _result(context: Context, name: str, goal: str, spent: Spent, met: bool | None) -> Result:
    return Result(name, goal, spent.told, met, size_of(context), spent.numbers)


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
    """Plan of three splits."""
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
    met = spent.cpu <= 90 and spent.peak <= 1e9
    return [_result(context, "plan of three splits", "<= 90 s CPU, <= 1 GB", spent, context.judged(met))]


def status(context: Context) -> list[Result]:
    """Status of a dataset, the start of `tol-db` included."""
    spent = tol_db(planned(context), "report", "status")
    return [_result(context, "status", "<= 0.5 s CPU", spent, context.judged(spent.cpu <= 0.5))]


_UNIT = """
import sys, time
from pathlib import Path
import materialize.worker
from materialize.dataset import load_dataset
from materialize.unit_rows import load_unit, pending_units
from tol_db.db.engine import Database
def memory(which):  # ru_maxrss would be that of the parent, if it was larger: an exec keeps it, and VmHWM not
    return 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(which))
before, start = memory("VmRSS:"), time.process_time()
with Database(Path(sys.argv[1]), readonly=True).read() as conn:
    dataset = load_dataset(conn, "x")
    task = load_unit(conn, dataset, *next(iter(pending_units(conn, dataset).items())))
first = next(iter(task.containers[0].images)).wanted  # a task is made of its row when its turn to be read comes
print(time.process_time() - start, memory("VmHWM:") - before, sum(len(c.images) for c in task.containers))
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
            size_of(context),
            {"cpu": cpu, "memory": memory, "images": images},
        )
    ]


BENCHMARKS: dict[str, Benchmark] = {"ingest": ingest, "plan": plan, "status": status, "worker": worker}
