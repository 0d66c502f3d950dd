"""Plans and datasets: what a review found. Names, folders and disks that are not as they should be."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from materialize import plan as planning
from materialize.candidates import Candidates, load_candidates
from materialize.recipe import TOL10M
from tests.running import DATASET, environment, plan, shards_of, tol_db
from tests.unprivileged import folder_for_all, unprivileged
from tol_db import datasets
from tol_db.db.engine import open_database
from tol_db.errors import CannotWrite

MARKER = "_dataset.json"
TRAIN = ("--recipe", "tol10m", "--split", "train")
BROKEN_NAME = b"\xff".decode(errors="surrogateescape")


def rows(db: Path, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(db) as connection:
        return connection.execute(sql).fetchall()


def change(db: Path, sql: str, *parameters: object) -> None:
    connection = sqlite3.connect(db, timeout=0)
    with connection:
        connection.execute(sql, parameters)
    connection.close()


def request(out: Path) -> planning.PlanRequest:
    return planning.PlanRequest("x", out, TOL10M, ("train",))


@pytest.fixture
def written(demo_db: Path, tmp_path: Path) -> Path:
    """The root of a finished dataset of demo_db."""
    plan(demo_db, tmp_path / "out")
    tol_db(demo_db, "materialize")
    return tmp_path / "out"


# ------------------------------------------------------------------ names


def test_an_empty_name_is_not_the_first_dataset(demo_db: Path, written: Path) -> None:
    before = shards_of(written)
    done = tol_db(demo_db, "dataset", "remove", "", "--files", "--yes", expect=2)
    assert "no dataset ''" in done.stderr
    tol_db(demo_db, "dataset", "move", "", written.with_name("other"), expect=2)
    tol_db(demo_db, "export", "catalog", "--dataset", "", expect=2)
    tol_db(demo_db, "materialize", "--dataset", "", expect=2)
    assert shards_of(written) == before
    assert rows(demo_db, "SELECT name FROM dataset") == [(DATASET,)]


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "bell\a", "\x1b[31m", BROKEN_NAME])
def test_a_dataset_name_that_cannot_be_typed_is_refused(demo_db: Path, tmp_path: Path, name: str) -> None:
    done = tol_db(demo_db, "plan", tmp_path / "out", "--dataset", name, *TRAIN, expect=2)
    assert "cannot name a dataset" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_path_that_is_not_utf8_is_refused_before_anything_is_done(demo_db: Path, written: Path) -> None:
    bad = written.with_name(BROKEN_NAME)
    for words in (("plan", bad, "--dataset", "x", *TRAIN), ("dataset", "move", DATASET, bad)):
        done = tol_db(demo_db, *words, expect=2)
        assert "is not UTF-8" in done.stderr
    assert not bad.exists()
    assert "nothing is pending" in tol_db(demo_db, "materialize").stdout


@pytest.mark.parametrize("seed", [2**63, -1])
def test_a_seed_that_the_database_cannot_hold_is_refused(demo_db: Path, tmp_path: Path, seed: int) -> None:
    refused = tol_db(demo_db, "plan", tmp_path / "out", "--dataset", "x", *TRAIN, "--seed", seed, expect=2)
    assert "--seed" in refused.stderr
    assert not (tmp_path / "out").exists()
    tol_db(demo_db, "plan", tmp_path / "out", "--dataset", "x", *TRAIN, "--seed", 2**63 - 1)


@pytest.mark.parametrize("size", ["²x²", "٣x٣", "x", "-1x5", "9" * 5000 + "x1", ""])
def test_a_size_in_other_digits_is_refused(demo_db: Path, tmp_path: Path, size: str) -> None:
    done = tol_db(demo_db, "plan", tmp_path / "out", "--dataset", "x", *TRAIN, "--size", size, expect=2)
    assert "WIDTHxHEIGHT" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--recipe", "clean"),
        ("--blacklist", "rare-species"),
        ("--no-blacklist",),
        ("--order", "source"),
        ("--seed", "17"),
        ("--shard-images", "10000"),
        ("--size", "224x224"),
        ("--quality", "90"),
    ],
)
def test_what_an_extension_takes_from_the_dataset_cannot_be_given(
    demo_db: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    plan(demo_db, tmp_path / "out")
    for verb in ("--extend", "--refresh"):
        done = tol_db(demo_db, "plan", "--dataset", DATASET, verb, *words, expect=2)
        assert words[0] in done.stderr
        assert "take it from the dataset" in done.stderr


# ------------------------------------------------------------------ folders that cannot be used


def test_an_output_folder_that_cannot_be_made_is_exit_73(demo_db: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    nowhere = tmp_path / "link"
    nowhere.symlink_to(tmp_path / "gone")
    for out, told in (
        (file / "x" / "y", f"{file} is a file"),
        (tmp_path / ("n" * 300), "File name too long"),
        (nowhere, "link to nowhere"),
    ):
        for more in ((), ("--dry-run",)):
            done = tol_db(demo_db, "plan", out, "--dataset", "x", *TRAIN, *more, expect=73)
            assert told in done.stderr
            assert len(done.stderr.splitlines()) == 2
    assert rows(demo_db, "SELECT * FROM dataset") == []


def test_an_output_folder_without_permission_is_exit_73(demo_db: Path) -> None:
    # in this process: an ordinary user may not be able to start the python of root
    with folder_for_all() as folder:
        db = open_database(Path(shutil.copy(demo_db, folder / "tol.sqlite")))
        db.path.chmod(0o666)
        folder.chmod(0o777)
        planning.plan(db, request(folder / "imports everything"), dry_run=True)
        with unprivileged():
            for name, mode in (("unreadable", 0), ("readonly", 0o555)):
                (folder / name).mkdir()
                (folder / name).chmod(mode)
                for dry_run in (True, False):
                    with pytest.raises(CannotWrite, match="ermission") as caught:
                        planning.plan(db, request(folder / name / "out"), dry_run=dry_run)
                    assert caught.value.exit_code == 73
                (folder / name).chmod(0o755)
        assert rows(db.path, "SELECT * FROM dataset") == []


def test_files_that_cannot_be_deleted_keep_their_record(demo_db: Path) -> None:
    with folder_for_all() as folder:
        path = Path(shutil.copy(demo_db, folder / "tol.sqlite"))
        out = folder / "out"
        plan(path, out)
        tol_db(path, "materialize")
        for reached in (folder, *folder.rglob("*")):
            reached.chmod(0o777 if reached.is_dir() else 0o666)
        db = open_database(path)
        before = shards_of(out)
        locked = out / "224x224" / "val"
        locked.chmod(0o555)
        with unprivileged():
            if os.access(locked, os.W_OK):
                pytest.skip("a file system without permissions")
            with pytest.raises(CannotWrite, match=str(locked)):
                datasets.remove(db, DATASET, files=True)
        assert shards_of(out) == before
        assert rows(path, "SELECT name FROM dataset") == [(DATASET,)]
        locked.chmod(0o777)
        with unprivileged():
            assert datasets.remove(db, DATASET, files=True).files == len(before)
        assert not out.exists()


def test_a_file_that_cannot_be_deleted_after_all_is_named(demo_db: Path, written: Path) -> None:
    shard = next(iter(sorted(written.rglob("*.tar"))))
    shard.unlink()
    shard.mkdir()  # unlink() of a folder fails for everybody
    done = tol_db(demo_db, "dataset", "remove", DATASET, "--files", "--yes", expect=73)
    assert str(shard) in done.stderr
    assert "1 of its files" in done.stderr
    assert not [p for p in written.rglob("*.tar") if p.is_file()]
    assert rows(demo_db, "SELECT * FROM dataset") == []


def test_a_catalog_to_a_full_disk_is_exit_73(demo_db: Path, tmp_path: Path) -> None:
    plan(demo_db, tmp_path / "out")
    # the header alone fails at the last flush only, many rows while they are written
    for more in ((), ("--include-pending",)):
        command = [sys.executable, "-m", "tol_db", "--db", str(demo_db), "export", "catalog", *more]
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), check=False
            )
        assert done.returncode == 73, done.stderr
        assert "No space left on device" in done.stderr
        assert len(done.stderr.splitlines()) == 2
    whole = tol_db(demo_db, "export", "catalog", "-o", "-")
    assert whole.stdout.startswith("split,treeoflife_id")


# ------------------------------------------------------------------ leases


def lease(db: Path, pid: int, heartbeat: str) -> None:
    change(
        db,
        """INSERT INTO lease (dataset_id, token, host, pid, acquired_at, heartbeat_at)
           SELECT id, 'abc', ?, ?, ?, ? FROM dataset""",
        *(socket.gethostname(), pid, heartbeat, heartbeat),
    )


def test_the_lease_of_a_dead_run_stops_no_move_and_no_removal(demo_db: Path, written: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    lease(demo_db, os.getpid(), now)
    for words in (("move", DATASET, written.with_name("two")), ("remove", DATASET, "--yes")):
        assert "being worked on" in tol_db(demo_db, "dataset", *words, expect=75).stderr
    change(demo_db, "UPDATE lease SET pid = ?", child.pid)
    assert "renamed" in tol_db(demo_db, "dataset", "move", DATASET, written.with_name("two")).stdout
    assert rows(demo_db, "SELECT * FROM lease") == []
    lease(demo_db, child.pid, now)
    tol_db(demo_db, "dataset", "remove", DATASET, "--yes")


# ------------------------------------------------------------------ the marker


def test_a_plan_that_fails_leaves_no_marker(demo_db: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    change(
        demo_db,
        """CREATE TRIGGER full BEFORE INSERT ON exclusion
           BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END""",
    )
    tol_db(demo_db, "plan", out, "--dataset", "one", *TRAIN, expect=73)
    assert not out.exists()
    assert rows(demo_db, "SELECT * FROM dataset") == []
    change(demo_db, "DROP TRIGGER full")
    tol_db(demo_db, "plan", out, "--dataset", "two", *TRAIN)


def test_a_marker_that_a_dead_plan_left_is_replaced(demo_db: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / MARKER).write_text(json.dumps({"dataset": "8d0d4f2e-0000-5000-8000-000000000000", "name": "dead"}))
    tol_db(demo_db, "plan", out, "--dataset", "x", *TRAIN)
    assert json.loads((out / MARKER).read_text())["name"] == "x"
    tol_db(demo_db, "materialize")


@pytest.mark.parametrize("name", [DATASET, "other"])
def test_a_marker_of_another_database_with_shards_is_respected(demo_db: Path, written: Path, name: str) -> None:
    before = shards_of(written)
    marker = (written / MARKER).read_bytes()
    shutil.copy(demo_db, demo_db.with_name("second.sqlite"))
    second = demo_db.with_name("second.sqlite")
    tol_db(second, "dataset", "remove", DATASET, "--yes")
    words = ("plan", written, "--dataset", name, *TRAIN, "--shard-images", 20)
    done = tol_db(second, *words, expect=2)
    assert "which is not in this database" in done.stderr
    assert "another folder" in done.stderr
    assert str(written / MARKER) in done.stderr
    assert shards_of(written) == before
    assert (written / MARKER).read_bytes() == marker


def test_the_same_plan_made_again_takes_its_shards_back(demo_db: Path, written: Path) -> None:
    before = shards_of(written)
    tol_db(demo_db, "dataset", "remove", DATASET, "--yes")
    plan(demo_db, written)
    tol_db(demo_db, "materialize")
    assert shards_of(written) == before
    tol_db(demo_db, "doctor")


def test_the_root_of_another_dataset_is_taken_also_when_its_marker_is_gone(demo_db: Path, written: Path) -> None:
    written.rename(written.with_name("unmounted"))
    done = tol_db(demo_db, "plan", written, "--dataset", "x", *TRAIN, expect=2)
    assert f"output root of dataset '{DATASET}'" in done.stderr
    assert not written.exists()


# ------------------------------------------------------------------ others at work meanwhile


@pytest.fixture
def while_loading(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], list[int]]:
    """Do something once, right after the first load of a plan; tells how often was loaded."""

    def arrange(act: Callable[[], None]) -> list[int]:
        loads: list[int] = []

        def loading(conn: Any, *chosen: Sequence[Any]) -> Candidates:
            found = load_candidates(conn, *chosen)
            loads.append(1)
            if len(loads) == 1:
                act()
            return found

        monkeypatch.setattr(planning, "load_candidates", loading)
        return loads

    return arrange


def test_others_write_while_a_plan_reads(
    demo_db: Path, written: Path, while_loading: Callable[[Callable[[], None]], list[int]]
) -> None:
    loads = while_loading(lambda: change(demo_db, "UPDATE shard SET written = written"))
    planning.plan(open_database(demo_db), request(written.with_name("two")))
    assert len(loads) == 1


EXCHANGE = """
    UPDATE image SET label_id = (SELECT sum(DISTINCT o.label_id) - image.label_id FROM image o WHERE o.id IN ({0}))
    WHERE id IN ({0})"""


@pytest.mark.parametrize("what", ["label", "exchange", "blacklist", "split", "location"])
def test_a_plan_is_of_what_the_database_holds_when_it_is_stored(
    demo_db: Path, tmp_path: Path, while_loading: Callable[[Callable[[], None]], list[int]], what: str
) -> None:
    one, *others = rows(
        demo_db,
        """SELECT i.id, i.label_id FROM image i JOIN split_member m ON m.image_id = i.id
           JOIN split s ON s.id = m.split_id AND s.name = 'train'
           WHERE i.member_index IS NOT NULL AND i.label_id IS NOT NULL ORDER BY i.id""",
    )
    other = next(row for row in others if row[1] != one[1])
    sql = {
        "label": f"UPDATE image SET label_id = {other[1]} WHERE id = {one[0]}",
        "exchange": EXCHANGE.format(f"{one[0]}, {other[0]}"),
        "blacklist": f"""INSERT INTO blacklist_entry (blacklist_id, kind, value, treeoflife_id)
                         SELECT 1, 'image', 'x', treeoflife_id FROM image WHERE id = {one[0]}""",
        "split": f"DELETE FROM split_member WHERE image_id = {one[0]}",
        "location": f"UPDATE image SET member_index = NULL WHERE id = {one[0]}",
    }[what]
    loads = while_loading(lambda: change(demo_db, sql))
    got = planning.plan(open_database(demo_db), request(tmp_path / "out"))
    assert len(loads) == 2
    tol_db(demo_db, "dataset", "remove", "x", "--yes")
    again = planning.plan(open_database(demo_db), request(tmp_path / "out"), dry_run=True)
    assert got.digest == again.digest
    assert got.splits == again.splits
