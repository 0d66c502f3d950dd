"""Receipts → database: each is entered once, whole, and only for the plan it was written for."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materialize import lease, ledger
from materialize.dataset import Dataset, load_dataset
from materialize.ledger import Entry, commit, reopen
from materialize.receipt import Receipt, read_receipt, receipts_of
from tests.running import plan, tol_db
from tol_db.db.base import ShardState
from tol_db.db.engine import Database, open_database
from tol_db.errors import InputError, LeaseHeld, ShardConflict


@pytest.fixture
def finished(demo_db: Path, tmp_path: Path) -> tuple[Database, Dataset, list[Receipt]]:
    """A finished dataset, put back to planned: its files and receipts lie there, the ledger knows nothing."""
    plan(demo_db, tmp_path / "out", "clean", "--shard-images", 30)
    tol_db(demo_db, "materialize")
    db = open_database(demo_db)
    with db.write() as conn:
        dataset = load_dataset(conn, None)
        shards = [row[0] for row in conn.exec_driver_sql("SELECT id FROM shard ORDER BY number")]
        reopen(conn, shards, ShardState.PLANNED)
    receipts = [read_receipt(paths[0]) for _, paths in sorted(receipts_of(dataset.output_root).items())]
    return db, dataset, receipts


def dump(db: Database) -> dict[str, list[tuple[object, ...]]]:
    with sqlite3.connect(db.path) as connection:
        return {
            "shard": connection.execute(
                "SELECT number, state, written, left_out, bytes, sha256 FROM shard ORDER BY number"
            ).fetchall(),
            "shard_image": connection.execute("SELECT * FROM shard_image ORDER BY 1, 2").fetchall(),
            "dataset_split": connection.execute("SELECT * FROM dataset_split ORDER BY 1, 2").fetchall(),
        }


def test_reopening_takes_back_all_that_a_receipt_had_entered(
    finished: tuple[Database, Dataset, list[Receipt]],
) -> None:
    db, _, _ = finished
    with sqlite3.connect(db.path) as connection:
        assert connection.execute("SELECT DISTINCT state, written, left_out, bytes FROM shard").fetchall() == [
            ("planned", 0, 0, None)
        ]
        assert connection.execute("SELECT sum(written), sum(left_out) FROM dataset_split").fetchone() == (0, 0)
        assert connection.execute(
            "SELECT count(*) FROM shard_image WHERE outcome_id <> 0 OR content_digest IS NOT NULL"
        ).fetchone() == (0,)
    tol_db(db.path, "doctor")


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_and_repetition_of_receipts_ends_in_the_same_database(
    finished: tuple[Database, Dataset, list[Receipt]], data: st.DataObject
) -> None:
    db, dataset, receipts = finished
    with db.write() as conn:
        reopen(conn, [r[0] for r in conn.exec_driver_sql("SELECT id FROM shard").fetchall()], ShardState.PLANNED)
    order = data.draw(st.lists(st.sampled_from(receipts), max_size=2 * len(receipts)))
    seen: set[int] = set()
    for receipt in [*order, *receipts]:
        outdated = replace(receipt, digest="00" * 32)
        assert commit(db, dataset, outdated) is Entry.OUTDATED
        expected = Entry.KNOWN if receipt.shard in seen else Entry.COMMITTED
        assert commit(db, dataset, receipt) is expected
        seen.add(receipt.shard)
    now = dump(db)
    assert all(row[1] == "complete" for row in now["shard"])
    first = getattr(test_any_order_and_repetition_of_receipts_ends_in_the_same_database, "first", None)
    if first is not None:
        assert now == first
    test_any_order_and_repetition_of_receipts_ends_in_the_same_database.first = now  # type: ignore[attr-defined]


def test_a_receipt_that_does_not_fit_is_refused_and_changes_nothing(
    finished: tuple[Database, Dataset, list[Receipt]],
) -> None:
    db, dataset, receipts = finished
    before = dump(db)
    receipt = receipts[0]
    for wrong, told in (
        (replace(receipt, dataset="another"), "of dataset another"),
        (replace(receipt, shard=10_000), "does not have"),
        (replace(receipt, samples=receipt.samples + 1), "does not add up"),
        (replace(receipt, facts=receipt.facts[:-1]), "does not add up"),
        (replace(receipt, size=receipt.size + 1), "not of the"),
        (replace(receipt, path="224x224/train/shard-999999.tar"), "not there"),
    ):
        with pytest.raises(InputError, match=told):
            commit(db, dataset, wrong)
    assert dump(db) == before


def test_a_receipt_of_other_bytes_for_a_complete_shard_is_a_conflict(
    finished: tuple[Database, Dataset, list[Receipt]],
) -> None:
    db, dataset, receipts = finished
    commit(db, dataset, receipts[0])
    before = dump(db)
    with pytest.raises(ShardConflict):
        commit(db, dataset, replace(receipts[0], sha256="11" * 32))
    assert dump(db) == before


def test_a_commit_that_fails_in_the_middle_leaves_the_shard_as_it_was(
    finished: tuple[Database, Dataset, list[Receipt]], monkeypatch: pytest.MonkeyPatch
) -> None:
    db, dataset, receipts = finished
    before = dump(db)
    with sqlite3.connect(db.path) as connection:
        connection.execute(
            """CREATE TRIGGER full BEFORE UPDATE ON dataset_split BEGIN
               SELECT RAISE(ABORT, 'no room'); END"""
        )
    with pytest.raises(Exception, match="no room"):
        commit(db, dataset, receipts[0])
    with sqlite3.connect(db.path) as connection:
        connection.execute("DROP TRIGGER full")
    assert dump(db) == before
    assert commit(db, dataset, receipts[0]) is Entry.COMMITTED


# ------------------------------------------------------------------ the lease


def test_a_lease_of_a_live_process_is_respected_and_of_a_dead_one_taken_over(
    finished: tuple[Database, Dataset, list[Receipt]],
) -> None:
    db, dataset, _ = finished
    mine = lease.Keeper(db, dataset, lease.here())
    alive = lease.Keeper(db, dataset, replace(mine.holder, token="aa", pid=1))
    alive.acquire()
    with pytest.raises(LeaseHeld, match="process 1 on"):
        mine.acquire()
    with db.write() as conn, pytest.raises(LeaseHeld, match="process 1 on"):
        lease.require_idle(conn, dataset)
    with db.write() as conn:
        conn.exec_driver_sql("UPDATE lease SET pid = 4194305")  # above the highest pid of Linux
    mine.acquire()
    with pytest.raises(LeaseHeld, match="taken over"):
        alive.beat(now=True)
    mine.beat(now=True)
    alive.release()  # not its own any more: nothing happens
    with db.read() as conn:
        assert conn.exec_driver_sql("SELECT token FROM lease").scalar_one() == mine.holder.token
    mine.release()
    with db.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM lease").scalar_one() == 0


def test_a_lease_of_another_host_is_believed_until_its_heartbeat_is_old(
    finished: tuple[Database, Dataset, list[Receipt]],
) -> None:
    db, dataset, _ = finished
    mine = lease.Keeper(db, dataset, lease.here())
    there = replace(mine.holder, token="bb", host="elsewhere", slurm_job_id="42")
    lease.Keeper(db, dataset, there).acquire()
    with pytest.raises(LeaseHeld, match="on elsewhere, SLURM job 42"):
        mine.acquire()
    with db.write() as conn:
        conn.exec_driver_sql("UPDATE lease SET heartbeat_at = '2020-01-01T00:00:00Z'")
    with db.write() as conn:
        lease.require_idle(conn, dataset)
    with db.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM lease").scalar_one() == 0
    mine.acquire()


def test_attempts_of_a_run_that_died_are_marked_lost(
    finished: tuple[Database, Dataset, list[Receipt]],
) -> None:
    db, dataset, _ = finished
    ledger.begin_attempt(db, dataset, 0, "feed", "host", 1, None)
    with db.write() as conn:
        assert ledger.lose_open_attempts(conn, dataset) == 1
    with db.read() as conn:
        row = conn.exec_driver_sql("SELECT ending, ended_at IS NOT NULL FROM attempt WHERE token = 'feed'").one()
    assert tuple(row) == ("lost", 1)
