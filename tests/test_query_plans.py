"""What runs for each shard or work unit reads its own rows: no statement walks through a table of ten million."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from materialize.dataset import load_dataset
from materialize.ledger import commit, reopen
from materialize.receipt import read_receipt, receipts_of
from materialize.unit_rows import digests_and_paths, load_unit, pending_units, unit_sizes
from tests.running import plan, tol_db
from tol_db.db.base import ShardState
from tol_db.db.engine import Database
from tol_db.report.page.counts import IMAGES
from tol_db.report.page.gather import LICENCES, Wishes, gather
from tol_db.report.status import QUICK_ROWS, status

BIG = ("image", "shard_image", "eol_image", "image_licence")


class Listening(Database):
    """A database that writes down the statements that run."""

    def __init__(self, path: Path) -> None:
        self.statements: list[str] = []
        super().__init__(path)

    def _connect(self) -> sqlite3.Connection:
        connection = super()._connect()
        connection.set_trace_callback(self.statements.append)
        return connection


def scans(path: Path, statement: str) -> list[str]:
    """The big tables, or indexes of them, that a statement begins to read at their first or last row."""
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")  # digests stand in the programs
        marks = ", ".join("?" * len(BIG))
        pages = dict(
            connection.execute(
                f"SELECT rootpage, name FROM sqlite_schema WHERE tbl_name IN ({marks})", BIG
            ).fetchall()
        )
        program = connection.execute(f"EXPLAIN {statement}").fetchall()
    cursors: dict[int, str] = {}
    found = []
    for _, operation, p1, p2, *_ in program:
        if operation in ("OpenRead", "OpenWrite", "ReopenIdx"):
            cursors[p1] = pages.get(p2, "")
        elif operation in ("Rewind", "Last", "Count") and cursors.get(p1):
            found.append(cursors[p1])
    return found


def scanned(db: Listening) -> dict[str, list[str]]:
    """Statement → what it scans, of all that ran."""
    asked = {s for s in db.statements if s.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE", "DELETE"))}
    assert asked, "nothing was heard"
    return {statement: found for statement in asked if (found := scans(db.path, statement))}


@pytest.fixture
def planned(demo_db: Path, tmp_path: Path) -> Listening:
    plan(demo_db, tmp_path / "out", "clean", "--shard-images", 30)
    return Listening(demo_db)


@pytest.mark.parametrize("unit", [0, 1])
def test_a_worker_reads_the_rows_of_its_unit_alone(planned: Listening, unit: int) -> None:
    with planned.read() as conn:
        dataset = load_dataset(conn, None)
        task = load_unit(conn, dataset, unit, pending_units(conn, dataset)[unit])
    assert task.labels and all(container.images for container in task.containers)
    assert scanned(planned) == {}


def test_what_is_pending_is_told_by_the_shards(planned: Listening) -> None:
    with planned.read() as conn:
        dataset = load_dataset(conn, None)
        assert pending_units(conn, dataset).keys() == unit_sizes(conn, dataset).keys()
        assert digests_and_paths(conn, dataset)
    assert scanned(planned) == {}


def test_completing_and_reopening_a_shard_touch_its_own_rows(planned: Listening) -> None:
    tol_db(planned.path, "materialize")
    with planned.write() as conn:
        dataset = load_dataset(conn, None)
        reopen(conn, [row[0] for row in conn.exec_driver_sql("SELECT id FROM shard")], ShardState.PLANNED)
    for paths in receipts_of(dataset.output_root).values():
        commit(planned, dataset, read_receipt(paths[0]))
    assert scanned(planned) == {}


def test_the_status_of_a_large_dataset_comes_from_counters(planned: Listening) -> None:
    with planned.write() as conn:  # of a small one the images are asked, too
        conn.exec_driver_sql("UPDATE shard SET planned = planned + ?", (QUICK_ROWS,))
    planned.statements.clear()
    assert status(planned).datasets[0].splits
    assert scanned(planned) == {}


def test_a_report_page_walks_once_through_the_images_and_once_through_their_licences(planned: Listening) -> None:
    tol_db(planned.path, "materialize")
    with planned.write() as conn:  # at this size the status is not asked for everything
        conn.exec_driver_sql("UPDATE shard SET planned = planned + ?", (QUICK_ROWS,))
        conn.exec_driver_sql("UPDATE dataset_split SET excluded = excluded + ?", (QUICK_ROWS,))
    planned.statements.clear()
    assert gather(planned, Wishes(audit_seconds=0)).images == 90
    walks = {s: found for s, found in scanned(planned).items() if not s.lstrip().startswith("SELECT count(*) FROM")}
    assert walks == {IMAGES: ["image"], LICENCES: ["image_licence"]}, "places are met by the shards of each split"
    assert planned.statements.count(IMAGES) == planned.statements.count(LICENCES) == 1


def _all_images(db: Database) -> None:
    with db.read() as conn:
        conn.exec_driver_sql("SELECT count(*), min(label_id) FROM image").fetchall()


def _all_places(db: Database) -> None:
    with db.read() as conn:
        conn.exec_driver_sql("SELECT outcome_id, count(*) FROM shard_image GROUP BY 1").fetchall()


@pytest.mark.parametrize(("work", "table"), [(_all_images, "image"), (_all_places, "shard_image")])
def test_a_walk_through_a_whole_table_is_seen(
    planned: Listening, work: Callable[[Database], None], table: str
) -> None:
    work(planned)
    assert any(table in name for found in scanned(planned).values() for name in found)
