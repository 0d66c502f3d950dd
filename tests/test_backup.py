"""A copy of a database in use, and reading where nothing may be written or a crash left its traces."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.populated import populated
from tests.running import tol_db
from tests.test_database import dump, state
from tests.unprivileged import folder_for_all, unprivileged
from tol_db.db.bulk import changes
from tol_db.db.engine import open_database, raw, require_writable, revision_of
from tol_db.db.migrate import backup, init, upgrade
from tol_db.errors import CannotWrite, InputMissing, NameTaken


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return populated(tmp_path / "tol.sqlite").path


# ------------------------------------------------------------------ backup


def test_a_backup_has_every_row_and_is_one_file(db: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    target = tmp_path / "out" / "copy.sqlite"
    target.parent.mkdir()
    backup(db, target, lambda done, total: steps.append((done, total)))
    assert dump(target) == dump(db)
    assert [p.name for p in target.parent.iterdir()] == ["copy.sqlite"]
    assert steps and steps[-1][0] == steps[-1][1]
    assert open_database(target).path == target


def test_a_backup_during_an_open_transaction_has_what_is_committed_and_nothing_else(
    db: Path, tmp_path: Path
) -> None:
    database = open_database(db)
    with database.write() as conn:
        changes(conn, "INSERT INTO source (key, title) VALUES ('committed', 'in the log only')")
    with database.write() as conn:
        changes(conn, "INSERT INTO source (key, title) VALUES ('open', 'not committed')")
        backup(db, tmp_path / "copy.sqlite")
    keys = [row[1] for row in dump(tmp_path / "copy.sqlite")["source"]]
    assert "committed" in keys
    assert "open" not in keys


def test_a_backup_does_not_start_over_when_somebody_commits(db: Path, tmp_path: Path) -> None:
    database = open_database(db)
    with database.write() as conn:  # more pages than one step copies
        changes(conn, "INSERT INTO source (key, title) VALUES ('big', hex(zeroblob(20000000)))")
    seen: list[int] = []

    def commit(done: int, _total: int) -> None:
        seen.append(done)
        with database.write() as conn:
            changes(conn, "UPDATE source SET title = title || 'x' WHERE key = 'eol'")

    backup(db, tmp_path / "copy.sqlite", commit)
    assert seen == sorted(seen)
    assert 2 <= len(seen) < 10
    titles = {row[1]: row[2] for row in dump(tmp_path / "copy.sqlite")["source"]}
    assert titles["eol"] == "Encyclopedia of Life"


def test_a_backup_onto_a_file_that_is_there_is_refused(db: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.sqlite"
    target.write_text("precious")
    with pytest.raises(NameTaken):
        backup(db, target)
    assert target.read_text() == "precious"
    assert tol_db(db, "backup", target, expect=2)


def test_a_backup_of_what_is_no_database_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="no such database"):
        backup(tmp_path / "none.sqlite", tmp_path / "copy.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_a_backup_into_a_folder_that_is_not_there_says_so(db: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="none"):
        backup(db, tmp_path / "none" / "copy.sqlite")


def test_an_older_database_can_be_backed_up_before_its_upgrade(db: Path, tmp_path: Path) -> None:
    upgrade(db, "0001")
    tol_db(db, "backup", tmp_path / "before.sqlite")
    assert revision_of(tmp_path / "before.sqlite") == "0001"


# ------------------------------------------------------------------ read-only places


def test_a_file_without_write_permission_is_refused_for_writing_and_read_all_the_same() -> None:
    with folder_for_all() as folder:
        path = populated(folder / "tol.sqlite").path
        path.chmod(0o444)
        folder.chmod(0o555)
        before = state(path)
        with unprivileged():
            with pytest.raises(CannotWrite, match="no permission to write"):
                open_database(path)
            with pytest.raises(CannotWrite, match="no permission to write"):
                upgrade(path, "0001")
            database = open_database(path, readonly=True)
            with database.read() as conn:
                assert conn.exec_driver_sql("SELECT count(*) FROM image").scalar() == 40
        assert state(path) == before
        assert [p.name for p in folder.iterdir()] == ["tol.sqlite"]


def test_a_folder_without_write_permission_is_named() -> None:
    with folder_for_all() as folder:
        path = folder / "tol.sqlite"
        init(path)
        path.chmod(0o666)
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(CannotWrite, match=f"^{folder}: no permission"):
            require_writable(path)


def test_a_copy_in_a_folder_without_write_permission_is_read_with_the_log_beside_it() -> None:
    """A run is writing: what it has committed stands in the log, which must not be passed over."""
    with folder_for_all() as folder:
        database = populated(folder / "tol.sqlite")
        held = sqlite3.connect(database.path)  # keeps the log from being folded in
        held.execute("SELECT count(*) FROM image").fetchone()
        with database.write() as conn:
            changes(conn, "DELETE FROM lease")
        for beside in folder.iterdir():
            beside.chmod(0o644)
        folder.chmod(0o555)
        with unprivileged(), open_database(database.path, readonly=True).read() as conn:
            assert conn.exec_driver_sql("SELECT count(*) FROM lease").scalar() == 0
        held.close()


def test_a_reader_changes_nothing_and_leaves_nothing_beside_the_file(db: Path) -> None:
    before = state(db)
    with pytest.raises(CannotWrite, match="readonly"), open_database(db, readonly=True).read() as conn:
        raw(conn).execute("DELETE FROM source")
    assert state(db) == before
    assert sorted(p.name for p in db.parent.iterdir()) == ["tol.sqlite"]


def test_a_reader_after_a_crash_sees_what_was_committed_and_not_what_was_not(tmp_path: Path) -> None:
    """With a rollback journal the crash leaves half a transaction in the file, which a reader has to undo."""
    path = populated(tmp_path / "tol.sqlite").path
    crash = f"""
import os, sqlite3
c = sqlite3.connect({str(path)!r}, isolation_level=None)
c.execute("PRAGMA journal_mode = DELETE")
c.execute("PRAGMA cache_size = 1")
c.execute("PRAGMA cache_spill = 1")
c.execute("BEGIN")
c.execute("UPDATE source SET title = hex(zeroblob(200000))")
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", crash], check=False).returncode == -9
    assert Path(f"{path}-journal").stat().st_size > 0
    with open_database(path, readonly=True).read() as conn:
        titles = conn.exec_driver_sql("SELECT title FROM source ORDER BY id").scalars().all()
    assert titles[0] == "Encyclopedia of Life"
