"""Runs that only leave receipts, and `collect`, which enters them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults import Undisturbed, check_equal, copy_of, undisturbed
from tests.processes import stand_still
from tests.running import DATASET, start, tol_db
from tests.test_interruption import is_worker, members_of, wait_for_a_shard

DETACHED = ("materialize", "--receipts-only", "--workers", 1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, _demo_ingested: Path) -> Undisturbed:
    return undisturbed(_demo_ingested, tmp_path_factory.mktemp("collect"))


@pytest.fixture
def planned(base: Undisturbed, tmp_path: Path) -> tuple[Path, Path]:
    return copy_of(base.db, base.out, tmp_path / "run")


def count(db: Path, sql: str) -> int:
    with sqlite3.connect(db) as connection:
        return int(connection.execute(sql).fetchone()[0])


def stopped(db: Path, out: Path) -> tuple[subprocess.Popen[str], int]:
    """A run that leaves receipts, whose worker stands still in the middle of a shard."""
    run = start(db, *DETACHED)
    wait_for_a_shard(out, run)
    (worker,) = [pid for pid in members_of(run.pid) if pid != run.pid and is_worker(pid)]
    deadline = time.monotonic() + 60
    while not list(out.rglob(".shard-*.tar.*.partial")):
        assert run.poll() is None
        assert time.monotonic() < deadline
    stand_still(worker)
    return run, worker


def test_a_run_that_leaves_receipts_does_not_write_the_database(
    base: Undisturbed, planned: tuple[Path, Path], tmp_path: Path
) -> None:
    db, out = planned
    before = db.read_bytes()
    snapshot = tmp_path / "elsewhere" / "snapshot.sqlite"
    snapshot.parent.mkdir()
    tol_db(db, "backup", snapshot)
    snapshot.chmod(0o444)
    done = tol_db(snapshot, *DETACHED)
    assert f"wrote {len(base.shards)} shards" in done.stdout
    assert "nothing is pending" in tol_db(snapshot, *DETACHED).stdout  # its receipts say so
    assert db.read_bytes() == before
    assert f"entered {len(base.shards)} shards" in tol_db(db, "collect").stdout
    check_equal(db, out, base)
    assert count(db, "SELECT count(*) FROM attempt WHERE ending <> 'done' OR work_unit_id IS NULL") == 0
    assert "entered 0 shards" in tol_db(db, "collect").stdout
    check_equal(db, out, base)
    tol_db(db, "doctor")


def test_collect_goes_on_beside_a_live_run_and_touches_nothing_of_it(
    base: Undisturbed, planned: tuple[Path, Path]
) -> None:
    db, out = planned
    run, worker = stopped(db, out)
    partials = sorted(out.rglob("*.partial"))
    early = tol_db(db, "collect", expect=1)
    assert "1 work units are still being written" in early.stdout
    assert "shards of" in early.stderr
    assert sorted(out.rglob("*.partial")) == partials
    assert 0 < count(db, "SELECT count(*) FROM shard WHERE state = 'complete'") < len(base.shards)
    refused = tol_db(db, "materialize", expect=75)
    assert f"process {worker} on" in refused.stderr
    os.kill(worker, signal.SIGCONT)
    text, errors = run.communicate(timeout=120)
    assert run.returncode == 0, text + errors
    tol_db(db, "collect")
    check_equal(db, out, base)


def test_a_run_that_was_killed_leaves_nothing_behind_after_collect(
    base: Undisturbed, planned: tuple[Path, Path]
) -> None:
    db, out = planned
    run, _ = stopped(db, out)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate(timeout=60)
    swept = tol_db(db, "collect", expect=1)
    assert "1 attempts marked lost" in swept.stderr
    assert "partial files of dead attempts" in swept.stderr
    assert not list(out.rglob("*.partial"))
    assert not list(out.rglob("attempt-*"))
    assert count(db, "SELECT count(*) FROM attempt WHERE ending = 'lost'") == 1
    tol_db(db, "materialize")  # whoever goes on: with the database or without
    check_equal(db, out, base)


def test_runs_on_the_same_units_and_collects_at_the_same_time_change_nothing(
    base: Undisturbed, planned: tuple[Path, Path]
) -> None:
    db, out = planned
    runs = [start(db, *DETACHED) for _ in range(2)]
    for run in runs:
        text, errors = run.communicate(timeout=120)
        assert run.returncode == 0, text + errors
    collects = [start(db, "collect") for _ in range(3)]
    for each in collects:
        text, errors = each.communicate(timeout=120)
        assert each.returncode == 0, text + errors
    check_equal(db, out, base)


def test_a_file_that_is_not_the_one_of_the_receipt_is_not_entered(
    base: Undisturbed, planned: tuple[Path, Path]
) -> None:
    db, out = planned
    tol_db(db, *DETACHED)
    victim = out / "224x224" / "train" / "shard-000001.tar"
    data = bytearray(victim.read_bytes())
    data[700] ^= 1
    victim.write_bytes(data)
    found = tol_db(db, "collect", expect=1)
    assert f"set aside: {victim}.bad-" in found.stderr
    assert count(db, "SELECT count(*) FROM shard WHERE state <> 'complete'") == 1
    tol_db(db, *DETACHED)
    tol_db(db, "collect")
    for aside in out.rglob("*.bad-*"):
        aside.unlink()
    check_equal(db, out, base)


def test_a_tree_that_was_copied_is_believed_by_its_bytes(base: Undisturbed, planned: tuple[Path, Path]) -> None:
    db, out = planned
    tol_db(db, *DETACHED)
    shutil.copytree(out, out.with_name("copy"))
    shutil.rmtree(out)
    out.with_name("copy").rename(out)
    assert f"entered {len(base.shards)} shards" in tol_db(db, "collect").stdout
    check_equal(db, out, base)


def test_collect_waits_for_the_lease_and_then_says_who_has_it(planned: tuple[Path, Path]) -> None:
    db, out = planned
    run = start(db, "materialize", "--workers", "1")
    wait_for_a_shard(out, run)
    workers = [pid for pid in members_of(run.pid) if is_worker(pid)]
    for pid in workers:
        stand_still(pid)
    refused = tol_db(db, "collect", "--wait", 1, expect=75)
    assert f"waiting: dataset {DATASET!r} is being worked on by process {run.pid}" in refused.stderr
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    run.communicate(timeout=120)
    assert run.returncode == 0


def test_what_does_not_fit_is_refused(planned: tuple[Path, Path]) -> None:
    db, out = planned
    assert "--retry" in tol_db(db, *DETACHED, "--retry", "timeout", expect=2).stderr
    out.rename(out.with_name("away"))
    assert "is not there" in tol_db(db, *DETACHED, expect=66).stderr
    assert "is not there" in tol_db(db, "collect", expect=66).stderr


def test_collects_beside_a_run_set_nothing_aside(base: Undisturbed, planned: tuple[Path, Path]) -> None:
    db, out = planned
    run = start(db, "materialize", "--receipts-only", "--workers", 2)
    collects = 0
    while run.poll() is None:
        collect = start(db, "collect")
        text, errors = collect.communicate(timeout=120)
        assert collect.returncode in (0, 1), text + errors
        collects += 1
    text, errors = run.communicate(timeout=120)
    assert run.returncode == 0, text + errors
    assert collects > 1
    tol_db(db, "collect")
    check_equal(db, out, base)  # nothing set aside, no partial


def test_a_bad_shard_is_rewritten_without_the_database_too(base: Undisturbed, planned: tuple[Path, Path]) -> None:
    db, out = planned
    tol_db(db, *DETACHED)
    tol_db(db, "collect")
    victim = out / "224x224" / "train" / "shard-000001.tar"
    os.truncate(victim, 1000)
    tol_db(db, "verify", expect=1)
    assert f"set aside: {victim}.bad-" in tol_db(db, *DETACHED).stderr
    tol_db(db, "collect")
    assert victim.read_bytes() == base.shards[str(victim.relative_to(out))]


def test_nothing_is_replanned_moved_or_removed_while_such_a_run_works(planned: tuple[Path, Path]) -> None:
    db, out = planned
    run, worker = stopped(db, out)
    for words in (
        ("plan", "--dataset", DATASET, "--refresh"),
        ("plan", "--dataset", DATASET, "--extend"),
        ("dataset", "move", DATASET, out.with_name("x")),
        ("dataset", "remove", DATASET, "--yes"),
        ("verify", "--repair"),
    ):
        assert "are being written elsewhere" in tol_db(db, *words, expect=75).stderr
    os.kill(worker, signal.SIGCONT)
    run.communicate(timeout=120)
    assert run.returncode == 0


def test_a_receipt_that_cannot_be_read_or_makes_no_sense_is_no_reason_to_lose_its_shard(
    base: Undisturbed, planned: tuple[Path, Path]
) -> None:
    db, out = planned
    tol_db(db, *DETACHED)
    first, second = sorted((out / "_receipts").glob("shard-*.json"))[:2]
    (out / "kept").mkdir()
    first.rename(out / "kept" / first.name)
    first.symlink_to("/proc/self/mem")  # whose first byte is an I/O error
    told = tol_db(db, "collect", expect=73)
    assert str(first) in told.stderr
    assert not list(out.rglob("*.bad-*"))
    first.unlink()
    (out / "kept" / first.name).rename(first)
    table = json.loads(second.read_text())
    table["left_out"].append([0, "from_the_future", ""])
    second.write_text(json.dumps(table))
    told = tol_db(db, "collect", expect=1)
    assert "from_the_future" in told.stderr
    tol_db(db, *DETACHED)
    tol_db(db, "collect")
    for aside in out.rglob("*.bad-*"):
        aside.unlink()
    (out / "kept").rmdir()
    check_equal(db, out, base)


def test_a_run_with_an_outdated_copy_leaves_the_files_of_the_other_plan_alone(
    planned: tuple[Path, Path], tmp_path: Path
) -> None:
    db, out = planned
    copy = tmp_path / "copy.sqlite"
    tol_db(db, "backup", copy)
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("UPDATE shard SET digest = zeroblob(32) WHERE number = 0")
        connection.commit()
    tol_db(db, "materialize", "--workers", 1)
    before = {path: path.stat().st_ino for path in sorted(out.rglob("*")) if path.is_file()}
    told = tol_db(copy, *DETACHED, expect=65).stderr
    assert "1 shards have files that were written for another plan, the first 0" in told
    assert "tol-db collect" in told
    assert {path: path.stat().st_ino for path in sorted(out.rglob("*")) if path.is_file()} == before
    tol_db(db, "doctor")
