"""The schema is not moved, and a copy is whole, while a run is at work."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.populated import populated
from tests.processes import stand_still
from tests.running import plan, start, tol_db
from tests.test_database import dump
from tol_db.db.base import REVISIONS
from tol_db.db.engine import Database, revision_of
from tol_db.db.holders import STALE_SECONDS, Held, Holder, process_exists, require_nobody
from tol_db.db.migrate import upgrade
from tol_db.errors import LeaseHeld

NEWEST = REVISIONS[-1]
OLDER = REVISIONS[:-1]


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def hold(db: Path, pid: int, heartbeat: str, host: str | None = None) -> None:
    with sqlite3.connect(db) as connection:
        connection.execute(
            "UPDATE lease SET host = ?, pid = ?, heartbeat_at = ?", (host or socket.gethostname(), pid, heartbeat)
        )


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return populated(tmp_path / "tol.sqlite").path


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield child
    child.kill()
    child.wait()


@pytest.mark.parametrize("target", OLDER)
def test_a_live_run_keeps_the_schema_as_it_is(db: Path, process: subprocess.Popen[bytes], target: str) -> None:
    hold(db, process.pid, ago(-1))
    before = dump(db)
    with pytest.raises(LeaseHeld, match=f"dataset 'tol' is being worked on by process {process.pid}"):
        upgrade(db, target)
    assert revision_of(db) == NEWEST
    assert dump(db) == before


@pytest.mark.parametrize("start_from", OLDER)
def test_an_upgrade_of_an_older_schema_is_refused_too(
    db: Path, process: subprocess.Popen[bytes], start_from: str
) -> None:
    upgrade(db, start_from)
    hold(db, process.pid, ago(-1))
    with pytest.raises(LeaseHeld):
        upgrade(db)
    assert revision_of(db) == start_from
    hold(db, process.pid, ago(STALE_SECONDS + 60))
    assert upgrade(db) == (start_from, NEWEST)


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_database_without_leases_moves_up_and_down(db: Path, revision: str) -> None:
    with sqlite3.connect(db) as connection:
        connection.execute("DELETE FROM lease")
    before = dump(db)
    upgrade(db, revision)
    upgrade(db)
    assert dump(db) == before


def test_a_database_without_the_table_of_leases_is_held_by_nobody(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "new.sqlite").execute("CREATE TABLE other (x)").connection.close()
    with Database(tmp_path / "new.sqlite").read() as conn:
        require_nobody(conn)


def test_the_command_says_who_and_exits_75(db: Path, process: subprocess.Popen[bytes]) -> None:
    hold(db, process.pid, ago(-1))
    done = tol_db(db, "upgrade", "--to", REVISIONS[0], expect=75)
    assert f"process {process.pid} on {socket.gethostname()}" in done.stderr
    assert "wait for it" in done.stderr


# ------------------------------------------------------------------ who is alive


def is_alive(pid: int, heartbeat: str, host: str | None = None) -> bool:
    return Held("set", Holder("abc", host or socket.gethostname(), pid, None), heartbeat).is_alive()


def test_a_process_of_this_host_is_alive_while_it_exists_and_shows_signs_of_life(
    process: subprocess.Popen[bytes],
) -> None:
    assert is_alive(process.pid, ago(-1))
    assert not is_alive(process.pid, ago(STALE_SECONDS + 1))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not is_alive(ended.pid, ago(0))
    assert not is_alive(2**40, ago(0)), "a number that no process can have"


def test_a_number_that_another_process_has_by_now_is_not_the_holder(process: subprocess.Popen[bytes]) -> None:
    """The holder showed its last sign of life before the process of its number was started."""
    assert not is_alive(process.pid, ago(120))
    assert process_exists(process.pid)


def test_a_process_of_another_host_is_believed_by_its_heartbeat() -> None:
    assert is_alive(2**22 + 1, ago(STALE_SECONDS - 60), host="elsewhere")
    assert not is_alive(2**22 + 1, ago(STALE_SECONDS + 60), host="elsewhere")


# ------------------------------------------------------------------ beside a real run


def stop_without_the_lock(run: subprocess.Popen[str], db: Path) -> None:
    """Stop a run at a moment at which it holds its lease, and not the write lock."""
    while True:
        os.killpg(run.pid, signal.SIGSTOP)
        stand_still(run.pid)
        connection = sqlite3.connect(db, timeout=0, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            assert connection.execute("SELECT pid FROM lease").fetchone() == (run.pid,)
            return
        except sqlite3.OperationalError:
            os.killpg(run.pid, signal.SIGCONT)
            time.sleep(0.02)
        finally:
            connection.close()


def test_beside_a_real_run_nothing_is_moved_and_a_backup_is_whole(demo_db: Path, tmp_path: Path) -> None:
    plan(demo_db, tmp_path / "out", "tol10m", "--shard-images", 8)
    run = start(demo_db, "materialize", "--workers", 1)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").rglob("shard-*.tar")) and time.monotonic() < deadline:
        time.sleep(0.01)
    stop_without_the_lock(run, demo_db)
    try:
        done = tol_db(demo_db, "upgrade", "--to", REVISIONS[0], expect=75)
        assert f"being worked on by process {run.pid}" in done.stderr
        assert revision_of(demo_db) == NEWEST
    finally:
        os.killpg(run.pid, signal.SIGCONT)
    copy = tmp_path / "copy.sqlite"
    tol_db(demo_db, "backup", copy)
    run.communicate(timeout=120)
    assert run.returncode == 0
    with sqlite3.connect(copy) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    tol_db(copy, "doctor")
    tol_db(demo_db, "doctor")
    tol_db(demo_db, "upgrade", "--to", REVISIONS[0])
    tol_db(demo_db, "upgrade")
