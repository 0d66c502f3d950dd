"""kill -9 of a whole run at random times, again and again, in both modes."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import _ingested
from tests.faults import Undisturbed, check_equal, check_nothing_false, copy_of, undisturbed
from tests.running import start, tol_db
from tol_db.demo_tree import make_demo_tree

IMAGES = 1500
"""Enough that an undisturbed run takes several times as long as a kill waits."""


@dataclass(frozen=True, slots=True)
class RandomKills:
    """How many kills there were, and how many of them changed nothing.

    Attributes:
        datasets: how many times a dataset was written to its end between them.
    """

    kills: int
    harmless: int
    datasets: int


def run(folder: Path, *, kills: int, seed: int, say: Callable[[str], None]) -> RandomKills:
    """Write a dataset with kills until it is whole, compare, begin anew, until there were ``kills`` of them."""
    tree = make_demo_tree(folder / "tree", images=IMAGES)
    base = undisturbed(_ingested(folder, tree.tree, tree.rare_seen, tree.rare_unseen), folder)
    moments = random.Random(seed)
    done = harmful = datasets = 0
    while done < kills:
        detached = bool(datasets % 2)
        made, told = _write_under_fire(base, folder / f"run-{datasets}", moments, kills - done, detached)
        done, datasets = done + made, datasets + 1
        if told is not None:
            harmful += 1
            say(told)
        say(f"{done} of {kills} kills, {datasets} datasets, {harmful} not as they should be")
    return RandomKills(done, done - harmful, datasets)


def _write_under_fire(
    base: Undisturbed, folder: Path, moments: random.Random, most: int, detached: bool
) -> tuple[int, str | None]:
    """How many kills one dataset took, and what was wrong with it."""
    db, out = copy_of(base.db, base.out, folder)
    more = ("--receipts-only",) if detached else ()
    kills = 0
    try:
        while kills < most:
            process = start(db, "materialize", "--workers", moments.randint(1, 3), *more)
            time.sleep(moments.uniform(0.3, 2.0))
            ended = process.poll() is not None
            if not ended:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
            process.communicate(timeout=60)
            check_nothing_false(db, out, base)
            if ended:
                break
        tol_db(db, "materialize", *more)
        if detached:
            tol_db(db, "collect")
        check_equal(db, out, base)
        with closing(sqlite3.connect(db)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    except AssertionError as err:
        return max(kills, 1), f"after {kills} kills: {str(err)[:500]}"
    return kills, None
