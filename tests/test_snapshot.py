"""The snapshot of array tasks: it has what they need, is what its name says, and leaves nothing on a node."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from materialize.dataset import Dataset, load_dataset
from materialize.slurm.node_copy import BEGUN_SECONDS, PREFIX, copied
from materialize.slurm.places import require_safe, warnings
from materialize.slurm.snapshot import read_parts, read_tasks, remove_old, snapshot_path, write_snapshot
from materialize.slurm.task import run_task, verify_task
from materialize.slurm.verification import Order, carry_out, order_path, read_order, snapshots_of_orders
from materialize.unit_rows import load_unit, pending_units
from tests.running import plan, tol_db
from tol_db.db.bulk import query
from tol_db.db.engine import Database, open_database
from tol_db.errors import CannotWrite, InputError, InputMissing, Interrupted, UsageError


@pytest.fixture
def planned(demo_db: Path, tmp_path: Path) -> tuple[Database, Dataset]:
    plan(demo_db, tmp_path / "out", "tol10m", "--shard-images", "10")
    db = open_database(demo_db)
    with db.read() as conn:
        return db, load_dataset(conn, None)


def all_units(db: Database, dataset: Dataset) -> dict[int, list[int]]:
    with db.read() as conn:
        return pending_units(conn, dataset)


def test_a_unit_loads_from_a_snapshot_as_from_the_database(planned: tuple[Database, Dataset]) -> None:
    db, dataset = planned
    units = all_units(db, dataset)
    snapshot = write_snapshot(db, dataset, [[unit] for unit in units])
    copy = open_database(snapshot.path, readonly=True)
    assert all_units(copy, dataset) == units
    for unit, shards in units.items():
        with db.read() as conn:
            wanted = load_unit(conn, dataset, unit, shards)
        with copy.read() as conn:
            found = load_unit(conn, dataset, unit, shards)
        assert (found.shards, found.labels) == (wanted.shards, wanted.labels)
        assert [list(c.images) for c in found.containers] == [list(c.images) for c in wanted.containers]


def test_a_snapshot_has_only_the_units_that_were_submitted(planned: tuple[Database, Dataset]) -> None:
    db, dataset = planned
    first, *_ = units = all_units(db, dataset)
    assert len(units) > 1
    snapshot = write_snapshot(db, dataset, [[first]])
    assert set(all_units(open_database(snapshot.path, readonly=True), dataset)) == {first}
    assert read_tasks(snapshot.path) == {0: (first,)}


def test_rows_are_cut_into_parts_of_which_a_task_reads_its_own(
    planned: tuple[Database, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, dataset = planned
    units = all_units(db, dataset)
    tasks = [[unit] for unit in units]
    whole = write_snapshot(db, dataset, tasks)
    beats: list[str] = []
    snapshot = write_snapshot(
        db, dataset, tasks, dict.fromkeys(units, 10), part_images=10, between_parts=lambda: beats.append("beat")
    )
    assert (whole.parts, snapshot.parts, len(beats)) == (1, len(tasks), len(tasks))
    assert read_tasks(snapshot.path) == read_tasks(whole.path)
    parts = read_parts(snapshot.path)
    assert set(parts) == set(range(len(tasks)))
    for number, unit in enumerate(units):
        part = snapshot_path(dataset.output_root, parts[number])
        assert set(all_units(open_database(part, readonly=True), dataset)) == {unit}
    remove_old(dataset.output_root, {snapshot.sha256})  # its parts are needed as well
    assert len(list(snapshot.path.parent.iterdir())) == len(tasks) + 1
    with pytest.raises(UsageError, match="cut into parts"):
        run_task(snapshot.path, workers=1, units=range(100), local_dir=tmp_path)
    for number in range(len(tasks)):
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(number))
        run_task(snapshot.path, workers=1, local_dir=tmp_path)
    assert not list(tmp_path.glob(f"{PREFIX}*"))
    tol_db(db.path, "collect")


def test_an_order_of_checks_is_carried_out_with_what_is_complete_by_then(
    planned: tuple[Database, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, dataset = planned
    tasks = 3
    order = Order(order_path(dataset.output_root), dataset.uuid, tasks)
    order.path.parent.mkdir()
    order.write()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    with pytest.raises(InputMissing, match="no snapshot was made"):
        verify_task(order.path, workers=1, local_dir=tmp_path)
    assert tol_db(db.path, "collect", "--verify-order", order.path, expect=1)  # nothing is complete
    assert verify_task(order.path, workers=1, local_dir=tmp_path).shards == 0
    tol_db(db.path, "materialize", "--shards", "0-3")
    told = tol_db(db.path, "collect", "--verify-order", order.path, expect=1)
    assert "still to be written" in told.stderr
    made = read_order(order.path)
    assert made.sha256 in snapshots_of_orders(dataset.output_root)
    assert read_tasks(made.snapshot) == {0: (0, 1), 1: (2, 3)}
    checked = []
    for number in range(tasks):  # the last one has nothing to do
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(number))
        checked.append(verify_task(order.path, workers=1, deep=True, local_dir=tmp_path).good)
    assert checked == [2, 2, 0]
    assert "entered 4 results" in tol_db(db.path, "collect", expect=1).stdout
    with db.read() as conn:
        assert dict(query(conn, "SELECT state, count(*) FROM shard GROUP BY state"))["verified"] == 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "\udcff",
        '{"format": 2}',
        '{"format": 1, "dataset": "x", "tasks": 0, "snapshot": null}',
        '{"format": 1, "dataset": "x", "tasks": 1, "snapshot": 7}',
        '{"format": 1, "dataset": "x", "tasks": 1, "snapshot": "../x"}',
    ],
)
def test_what_is_no_order_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "verify-0a.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match="not a readable order"):
        read_order(path)


def test_an_order_for_another_dataset_is_refused(planned: tuple[Database, Dataset]) -> None:
    db, dataset = planned
    order = Order(order_path(dataset.output_root), "another", 3)
    order.path.parent.mkdir()
    order.write()
    with pytest.raises(InputError, match="another dataset"):
        carry_out(db, dataset, order.path, lambda: None)


def test_a_snapshot_is_named_by_its_sha256_and_made_once(planned: tuple[Database, Dataset]) -> None:
    db, dataset = planned
    tasks = [[unit] for unit in all_units(db, dataset)]
    first, second = write_snapshot(db, dataset, tasks), write_snapshot(db, dataset, tasks)
    assert (first.is_new, second.is_new) == (True, False)
    assert first.path == second.path
    assert hashlib.sha256(first.path.read_bytes()).hexdigest() == first.sha256 == first.path.stem
    assert [p.name for p in first.path.parent.iterdir()] == [first.path.name], "no partial is left"


def test_a_snapshot_that_was_damaged_is_made_again(planned: tuple[Database, Dataset]) -> None:
    db, dataset = planned
    tasks = [list(all_units(db, dataset))]
    first = write_snapshot(db, dataset, tasks)
    data = first.path.read_bytes()
    first.path.chmod(0o644)
    first.path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    second = write_snapshot(db, dataset, tasks)
    assert (second.path, second.is_new) == (first.path, True)
    assert second.path.read_bytes() == data


def test_a_signal_while_the_snapshot_is_written_leaves_nothing(planned: tuple[Database, Dataset]) -> None:
    db, dataset = planned
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        raise Interrupted("stopped by SIGTERM")

    with closing(sqlite3.connect(db.path)) as connection, connection:  # enough work that SQLite asks
        connection.execute(
            """WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
               INSERT INTO source (key, title) SELECT 'source ' || i, '' FROM n"""
        )
    with pytest.raises(Interrupted, match="SIGTERM"):
        write_snapshot(db, dataset, [list(all_units(db, dataset))], check=check)
    assert asked
    assert not list((dataset.output_root / "_snapshots").iterdir())


def test_rows_that_only_the_write_ahead_log_has_are_in_the_snapshot(planned: tuple[Database, Dataset]) -> None:
    db, dataset = planned
    (unit, shards), *_ = all_units(db, dataset).items()
    with closing(sqlite3.connect(db.path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM shard").fetchone()  # keeps the log from being folded into the file
        with closing(sqlite3.connect(db.path)) as writer, writer:
            sql = "UPDATE shard SET state = 'bad' WHERE dataset_id = ? AND number = ?"
            writer.execute(sql, (dataset.id, shards[0]))
        assert Path(f"{db.path}-wal").stat().st_size > 0
        snapshot = write_snapshot(db, dataset, [[unit]])
    with closing(sqlite3.connect(snapshot.path)) as connection:
        (state,) = connection.execute("SELECT state FROM shard WHERE number = ?", (shards[0],)).fetchone()
    assert state == "bad"


def test_a_snapshot_that_no_job_needs_goes_and_files_of_others_stay(planned: tuple[Database, Dataset]) -> None:
    db, dataset = planned
    units = list(all_units(db, dataset))
    old, new = write_snapshot(db, dataset, [units]), write_snapshot(db, dataset, [units[:1]])
    mine = shutil.copy(new.path, new.path.with_name("mine.sqlite"))
    assert remove_old(dataset.output_root, {new.sha256}) == 1
    assert not old.path.exists()
    assert new.path.exists() and Path(mine).exists()


def test_a_copy_on_a_node_is_checked_and_removed(planned: tuple[Database, Dataset], tmp_path: Path) -> None:
    db, dataset = planned
    snapshot = write_snapshot(db, dataset, [list(all_units(db, dataset))])
    node = tmp_path / "node"
    node.mkdir()
    with copied(snapshot.path, node) as copy:
        assert copy.read_bytes() == snapshot.path.read_bytes()
        assert copy.stat().st_mode & 0o222 == 0
    assert not list(node.iterdir())
    damaged = bytearray(snapshot.path.read_bytes())
    damaged[5000] ^= 1
    snapshot.path.chmod(0o644)
    snapshot.path.write_bytes(damaged)
    with pytest.raises(InputError, match="sha256"), copied(snapshot.path, node):
        pass
    assert not list(node.iterdir())
    with pytest.raises(InputMissing), copied(tmp_path / "gone.sqlite", node):
        pass
    with pytest.raises(CannotWrite), copied(snapshot.path, tmp_path / "no folder"):
        pass


def test_the_copy_of_a_task_that_was_killed_is_removed_by_the_next_one(
    planned: tuple[Database, Dataset], tmp_path: Path
) -> None:
    db, dataset = planned
    snapshot = write_snapshot(db, dataset, [list(all_units(db, dataset))])
    node = tmp_path / "node"
    node.mkdir()
    code = (
        "import sys; from pathlib import Path; from materialize.slurm.node_copy import copied\n"
        "with copied(Path(sys.argv[1]), Path(sys.argv[2])): print('there', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(snapshot.path), str(node)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "there\n"
        (theirs,) = node.glob(f"{PREFIX}*")
        with copied(snapshot.path, node):
            assert theirs.exists(), "its process is alive"
        other.kill()
    with copied(snapshot.path, node):
        assert not theirs.exists()
    assert not list(node.iterdir())


def test_a_task_by_hand_leaves_shards_and_receipts_for_collect(demo_db: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan(demo_db, out, "tol10m", "--shard-images", "10")
    tol_db(demo_db, "backup", tmp_path / "copy.sqlite")
    before = hashlib.sha256(demo_db.read_bytes()).hexdigest()
    words = (
        "slurm",
        "task",
        tmp_path / "copy.sqlite",
        "--units",
        "0-99",
        "--workers",
        "1",
        "--local-dir",
        tmp_path,
    )
    tol_db(tmp_path / "no such.sqlite", *words)
    assert hashlib.sha256(demo_db.read_bytes()).hexdigest() == before
    assert not list(tmp_path.glob(f"{PREFIX}*"))
    tol_db(demo_db, "collect")
    tol_db(demo_db, "verify", "--deep")


def test_a_task_that_is_none_asks_for_units(demo_db: Path, tmp_path: Path) -> None:
    plan(demo_db, tmp_path / "out", "tol10m")
    tol_db(demo_db, "backup", tmp_path / "copy.sqlite")
    done = tol_db(demo_db, "slurm", "task", tmp_path / "copy.sqlite", "--local-dir", tmp_path, expect=2)
    assert "--units A-B" in done.stderr


MOUNTS = "1 1 0:1 / / rw - ext4 /dev/sda rw\n2 1 0:2 / {} rw - {} server:/export rw\n"


@pytest.mark.parametrize(("system", "mode", "safe"), [("nfs4", "wal", False), ("lustre", "delete", True)])
def test_a_write_ahead_log_on_a_network_file_system_is_refused(
    demo_db: Path, tmp_path: Path, system: str, mode: str, safe: bool
) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(MOUNTS.format(demo_db.parent, system), encoding="utf-8")
    with closing(sqlite3.connect(demo_db)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    if safe:
        require_safe(demo_db, mountinfo)
    else:
        with pytest.raises(InputError, match="write-ahead mode on nfs4"):
            require_safe(demo_db, mountinfo)


def test_places_that_other_nodes_hardly_see_are_told(tmp_path: Path) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(MOUNTS.format("/usr", "lustre"), encoding="utf-8")
    assert not warnings(Path("/usr/tol.sqlite"), Path("/usr/out"), mountinfo)
    root, database = warnings(Path("/etc/tol.sqlite"), Path("/tmp/out"), mountinfo)
    assert "lies under /tmp" in root
    assert "local file system (ext4)" in database


def test_folders_that_never_got_their_lock_are_swept_when_they_are_old(tmp_path: Path) -> None:
    snapshot, node = tmp_path / "rows.sqlite", tmp_path / "node"
    snapshot.write_bytes(b"rows")
    old, new = node / f".{PREFIX}old", node / f".{PREFIX}new"
    old.mkdir(parents=True)
    new.mkdir()
    then = time.time() - 2 * BEGUN_SECONDS
    os.utime(old, (then, then))
    with copied(snapshot, node) as copy:
        assert copy.read_bytes() == b"rows"
    assert sorted(node.iterdir()) == [new]
