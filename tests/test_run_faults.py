"""Faults of a run that are not crashes: told workers, full disks, held locks, folders that are away for a while."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from materialize.dataset import load_dataset
from materialize.recipe import CLEAN, check_resizer, library_versions
from materialize.run import materialize
from tests.processes import stand_still
from tests.running import DATASET, environment, plan, shards_of, start, tol_db
from tests.test_interruption import is_worker, members_of, wait_for_a_shard
from tests.unprivileged import folder_for_all, unprivileged
from tol_db.db.engine import open_database
from tol_db.errors import LeaseHeld, TolDbError


@pytest.fixture
def planned(demo_db: Path, tmp_path: Path) -> tuple[Path, Path]:
    plan(demo_db, tmp_path / "out", "clean", "--shard-images", 12)
    return demo_db, tmp_path / "out"


def count(db: Path, sql: str) -> int:
    with sqlite3.connect(db) as connection:
        return int(connection.execute(sql).fetchone()[0])


def pending(db: Path) -> int:
    return count(db, "SELECT count(*) FROM shard WHERE state <> 'complete'")


def test_a_worker_that_alone_is_told_to_stop_is_no_success(planned: tuple[Path, Path]) -> None:
    db, out = planned
    process = start(db, "materialize", "--workers", "1")
    wait_for_a_shard(out, process)
    (worker,) = [pid for pid in members_of(process.pid) if pid != process.pid and is_worker(pid)]
    os.kill(worker, signal.SIGTERM)
    text, errors = process.communicate(timeout=60)
    assert process.returncode != 0, text + errors
    assert "work units failed" in errors
    assert "nothing is pending" not in text
    left = pending(db)
    assert left > 0
    # the other units went on with another worker: only the shards of one unit are left
    assert count(db, "SELECT count(DISTINCT work_unit_id) FROM shard WHERE state <> 'complete'") == 1
    tol_db(db, "materialize")
    assert pending(db) == 0
    tol_db(db, "doctor")


def test_a_plan_is_not_changed_while_a_run_works_by_it(planned: tuple[Path, Path]) -> None:
    db, out = planned
    process = start(db, "materialize", "--workers", "1")
    wait_for_a_shard(out, process)
    workers = [pid for pid in members_of(process.pid) if is_worker(pid)]
    for pid in workers:
        stand_still(pid)
    for flag in ("--refresh", "--extend"):
        assert "is being worked on" in tol_db(db, "plan", "--dataset", DATASET, flag, expect=75).stderr
    for words in (("move", DATASET, out.with_name("x")), ("remove", DATASET, "--yes")):
        assert "is being worked on" in tol_db(db, "dataset", *words, expect=75).stderr
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    process.communicate(timeout=120)
    assert process.returncode == 0


def test_a_split_folder_that_is_away_for_a_while_costs_nothing(planned: tuple[Path, Path]) -> None:
    db, out = planned
    tol_db(db, "materialize")
    whole, receipts = shards_of(out), sorted((out / "_receipts").iterdir())
    train, away = out / "224x224" / "train", out / "away"
    train.rename(away)
    refused = tol_db(db, "materialize", expect=66)
    assert str(train) in refused.stderr
    assert "mount it" in refused.stderr
    assert pending(db) == 0
    away.rename(train)
    assert "nothing is pending" in tol_db(db, "materialize").stdout
    assert (shards_of(out), sorted((out / "_receipts").iterdir())) == (whole, receipts)


def test_a_file_that_was_missed_and_comes_back_is_adopted_by_its_receipt(planned: tuple[Path, Path]) -> None:
    db, out = planned
    tol_db(db, "materialize")
    victim, away = out / "224x224" / "train" / "shard-000001.tar", out / "away.tar"
    victim.rename(away)
    number = count(db, "SELECT shard FROM v_sample WHERE split = 'train' AND ordinal = 1 LIMIT 1")
    tol_db(db, "materialize", "--shards", "9999")
    assert count(db, f"SELECT count(*) FROM shard WHERE state = 'missing' AND number = {number}") == 1
    away.rename(victim)
    assert "adopted 1 shards" in tol_db(db, "materialize", "--shards", "9999").stderr
    assert pending(db) == 0


def test_a_retry_keeps_to_the_named_range(planned: tuple[Path, Path]) -> None:
    db, out = planned
    tol_db(db, "materialize")
    before = shards_of(out)
    units = count(db, "SELECT max(number) FROM work_unit")
    faulty = count(
        db,
        """SELECT u.number FROM v_sample s JOIN shard h ON h.id = s.shard_id
           JOIN work_unit u ON u.id = h.work_unit_id WHERE s.outcome = 'truncated' LIMIT 1""",
    )
    other = 0 if faulty else units
    assert other != faulty
    tol_db(db, "materialize", "--retry", "truncated", "--units", other)
    assert pending(db) == 0
    assert not list(out.rglob("*.old-*"))
    tol_db(db, "materialize", "--retry", "truncated", "--units", faulty)
    assert shards_of(out) == before


def test_a_root_that_takes_no_more_is_exit_73_and_the_other_units_are_not_tried(
    planned: tuple[Path, Path],
) -> None:
    db, out = planned
    (out / "_receipts").write_text("in the way")
    failed = tol_db(db, "materialize", "--workers", "1", expect=73)
    assert "1 work units failed" in failed.stderr
    assert "_receipts" in failed.stderr
    assert not list(out.rglob("*.partial"))
    (out / "_receipts").unlink()
    tol_db(db, "materialize")
    assert pending(db) == 0


def test_a_signal_before_the_first_worker_is_a_clean_stop_too(planned: tuple[Path, Path]) -> None:
    db, _ = planned
    process = start(db, "materialize")
    deadline = time.monotonic() + 30
    while not count(db, "SELECT count(*) FROM lease"):
        assert process.poll() is None
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert count(db, "SELECT count(*) FROM lease") == 0
    tol_db(db, "materialize")
    assert pending(db) == 0


def test_few_open_files_mean_fewer_workers(planned: tuple[Path, Path]) -> None:
    db, _ = planned
    command = [sys.executable, "-m", "tol_db", "--db", str(db), "materialize", "--workers", "40"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (44, 44)),
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert pending(db) == 0


def test_a_root_that_may_not_be_written_is_exit_73(demo_db: Path) -> None:
    with folder_for_all() as folder:
        db = Path(shutil.copy(demo_db, folder / "tol.sqlite"))
        plan(db, folder / "out", "clean")
        tol_db(db, "materialize")
        victim = next((folder / "out").rglob("shard-000000.tar"))
        os.truncate(victim, 10)
        for path in (folder, db):
            os.chown(path, 65534, 65534)
        check_resizer(CLEAN)
        library_versions(CLEAN)  # loads what an ordinary user may not be allowed to read
        with unprivileged(), pytest.raises(TolDbError) as caught:
            materialize(open_database(db), None, workers=1)
    assert caught.value.exit_code == 73, caught.value
    assert victim.name in str(caught.value)


def test_a_dead_lease_is_swept_by_whoever_comes_next(planned: tuple[Path, Path]) -> None:
    db, _ = planned
    with sqlite3.connect(db) as connection:
        connection.execute(
            "INSERT INTO lease VALUES (1, 'dead', 'elsewhere', 1, NULL, ?1, ?1)", ("2020-01-01T00:00:00Z",)
        )
    tol_db(db, "plan", "--dataset", DATASET, "--refresh")
    assert count(db, "SELECT count(*) FROM lease") == 0
    with open_database(db, readonly=True).read() as conn:
        assert load_dataset(conn, None).name == DATASET
    assert LeaseHeld.exit_code == 75
