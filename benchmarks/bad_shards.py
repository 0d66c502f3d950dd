"""Every damage of ``tests/damage.py`` at every level of `verify`, and a thousand good shards."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from materialize.dataset import load_dataset
from materialize.verify.rows import load_expected
from materialize.verify.shard import Level, Verdict, check_shard
from tests.conftest import _ingested
from tests.damage import DAMAGES, NEEDS_UNPRIVILEGED
from tests.running import DATASET, environment, plan, tol_db
from tol_db.db.engine import open_database
from tol_db.demo_tree import make_demo_tree

NOBODY = 65534
BY_SIZE = """SELECT h.number, '224x224/' || s.name || printf('/shard-%06d.tar', h.ordinal)
             FROM shard h JOIN split s ON s.id = h.split_id WHERE h.written >= 3 ORDER BY h.number"""


@dataclass(frozen=True, slots=True)
class BadShards:
    """What `verify` found.

    Attributes:
        damaged: damage × level that promises to find it, or a deeper one.
        found: of these.
        good: good shards that were checked, at both levels and as a foreign folder.
        false_alarms: of them, on any way.
        not_found: names of damages.
    """

    damaged: int
    found: int
    good: int
    false_alarms: int
    not_found: tuple[str, ...]


def run(folder: Path, *, good_shards: int, jobs: int, say: Callable[[str], None]) -> BadShards:
    """Write good shards, check them, damage others, check these."""
    folder.chmod(0o755)
    tree = make_demo_tree(folder / "tree", images=max(240, 2 * good_shards + good_shards // 10))
    ingested = _ingested(folder, tree.tree, tree.rare_seen, tree.rare_unseen)
    good, alarms = _check_good(ingested, folder / "good", jobs)
    say(f"{alarms} false alarms on {good} good shards")
    not_found: list[str] = []
    damaged = 0
    db, out = _written(ingested, folder / "bad", 5)
    for level in Level:
        names = [name for name, (_, promised) in DAMAGES.items() if level == "deep" or promised == level]
        missed = _check_damaged(db, out, folder / f"bad-{level}", level, names, jobs)
        not_found += [f"{name} ({level})" for name in missed]
        damaged += len(names)
        say(f"{level}: {len(names) - len(missed)} of {len(names)} damages found {missed or ''}")
    return BadShards(damaged, damaged - len(not_found), good, alarms, tuple(not_found))


def _written(ingested: Path, folder: Path, shard_images: int) -> tuple[Path, Path]:
    folder.mkdir()
    db = Path(shutil.copy(ingested, folder / "tol.sqlite"))
    plan(db, folder / "out", "clean", "--shard-images", shard_images)
    tol_db(db, "materialize")
    return db, folder / "out"


def _verify(db: Path, *words: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "tol_db", "--db", str(db), "-q", "verify", "--json", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{command}: exit {done.returncode}: {done.stderr}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _check_good(ingested: Path, folder: Path, jobs: int) -> tuple[int, int]:
    db, out = _written(ingested, folder, 2)
    alarms = 0
    for more in ((), ("--deep",)):
        report = _verify(db, "--dataset", DATASET, "--workers", jobs, *more)
        alarms += len(report["bad"]) + len(report["unreadable"])
        shards = int(report["shards"])
    command = [sys.executable, "-m", "tol_db", "-q", "verify", str(out), "--workers", str(jobs)]
    foreign = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    return shards, alarms + (foreign.returncode != 0)


def _check_damaged(db: Path, out: Path, folder: Path, level: Level, names: list[str], jobs: int) -> list[str]:
    """Damage a shard of a copy in each way, check the copy; which damages were not found."""
    folder.mkdir()
    copy, root = Path(shutil.copy2(db, folder / "tol.sqlite")), Path(shutil.copytree(out, folder / "out"))
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("UPDATE dataset SET output_root = ?", (str(root),))
        shards = connection.execute(BY_SIZE).fetchall()
    missed = []
    by_number: dict[int, str] = {}
    for name, (number, path) in zip(names, shards, strict=False):
        if name in NEEDS_UNPRIVILEGED and os.geteuid() == 0:
            DAMAGES[name][0](root / path)
            missed += [] if _is_bad_for_anybody(copy, number, level) else [name]
            (root / path).chmod(0o644)
            continue
        DAMAGES[name][0](root / path)
        by_number[number] = name
    if len(shards) < len(names):
        raise RuntimeError(f"{len(shards)} shards are too few for {len(names)} damages")
    report = _verify(copy, "--dataset", DATASET, "--workers", jobs, *(["--deep"] if level == Level.DEEP else []))
    found = {shard["shard"] for shard in report["bad"]}
    if found - set(by_number):
        raise RuntimeError(f"good shards were called bad: {found - set(by_number)}")
    return missed + [name for number, name in by_number.items() if number not in found]


def _is_bad_for_anybody(db: Path, number: int, level: Level) -> bool:
    """What root may read is checked as an ordinary user."""
    with open_database(db, readonly=True).read() as conn:
        shard = conn.exec_driver_sql("SELECT id FROM shard WHERE number = ?", (number,)).scalar_one()
        expected = load_expected(conn, load_dataset(conn, DATASET), shard, level)
    with _as_nobody():
        return check_shard(expected, level).verdict is not Verdict.GOOD


@contextmanager
def _as_nobody() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
