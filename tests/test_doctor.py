"""The doctor names what is wrong with a database, changes nothing, and does not fall over what it finds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.populated import populated
from tests.running import tol_db
from tests.unprivileged import folder_for_all, unprivileged
from tol_db.audit.runner import load
from tol_db.db.engine import Database
from tol_db.db.migrate import init, upgrade
from tol_db.doctor import Check, Diagnosis, Verdict, examine
from tol_db.errors import InputMissing, NotADatabase, SchemaError


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return populated(tmp_path / "tol.sqlite").path


def by_name(diagnosis: Diagnosis) -> dict[str, Check]:
    return {check.name: check for check in diagnosis.checks}


def spoil(path: Path, *statements: str) -> None:
    """Change the file as somebody would by hand: without foreign keys or constraints."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_sound_database_has_nothing_broken_and_every_invariant_is_looked_at(db: Path) -> None:
    before = db.read_bytes(), db.stat().st_mtime_ns
    diagnosis = examine(db)
    assert diagnosis.broken == ()
    checks = by_name(diagnosis)
    assert {audit.name for audit in load() if audit.invariant} <= set(checks)
    for name in ("sqlite", "schema", "journal", "integrity_check", "foreign_key_check", "outcomes"):
        assert checks[name].verdict is Verdict.OK, checks[name]
    assert (db.read_bytes(), db.stat().st_mtime_ns) == before


def test_what_is_no_fault_is_told_as_information_or_warning(db: Path) -> None:
    checks = by_name(examine(db))
    told = {check.name: check.verdict for check in checks.values() if check.verdict is not Verdict.OK}
    assert told == {
        "leases": Verdict.INFO,
        "unplanned_images": Verdict.INFO,
        "stale_shards": Verdict.INFO,
        "bad_shards": Verdict.INFO,
        "train_val_same_content": Verdict.WARNING,
    }
    assert "process 100 on node1" in checks["leases"].detail
    assert "the next run takes over" in checks["leases"].detail
    assert "--extend" in (checks["unplanned_images"].hint or "")


def test_an_empty_database_is_sound(tmp_path: Path) -> None:
    init(tmp_path / "tol.sqlite")
    diagnosis = examine(tmp_path / "tol.sqlite")
    assert {check.verdict for check in diagnosis.checks} == {Verdict.OK}


def test_a_broken_invariant_is_named_with_its_first_rows(db: Path) -> None:
    spoil(db, "UPDATE shard SET written = written + 1")
    (counters, *_) = [check for check in examine(db).broken if check.name == "shard_counters"]
    assert counters.detail.startswith("6 times: ")
    assert len(counters.rows) == 5
    assert "dataset tol, split train, file shard-000000.tar" in counters.rows[0]
    done = tol_db(db, "doctor", expect=1)
    assert "broken   shard_counters" in done.stdout
    assert "shard_counters" in done.stderr


def test_a_reference_to_nothing_is_found(db: Path) -> None:
    spoil(db, "DELETE FROM label WHERE id = 1")
    check = by_name(examine(db))["foreign_key_check"]
    assert check.verdict is Verdict.BROKEN
    assert check.rows[0].endswith("→ label")
    assert len(check.rows) == 5


def test_an_outcome_that_was_changed_by_hand_is_found(db: Path) -> None:
    spoil(db, "UPDATE outcome SET name = 'gone' WHERE id = 12")
    check = by_name(examine(db))["outcomes"]
    assert (check.verdict, check.rows) == (Verdict.BROKEN, ("12 duplicate", "12 gone"))


def test_a_value_that_a_constraint_forbids_is_found_by_the_integrity_check(db: Path) -> None:
    spoil(db, "UPDATE shard SET state = 'lost' WHERE id = 6")
    check = by_name(examine(db))["integrity_check"]
    assert check.verdict is Verdict.BROKEN
    assert "CHECK constraint failed in shard" in check.rows[0]


def test_a_damaged_page_is_reported_and_ends_only_the_checks_that_need_it(db: Path) -> None:
    connection = sqlite3.connect(db)
    page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'shard_image'").fetchone()[0]
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    content = bytearray(db.read_bytes())
    content[(page - 1) * size : page * size] = b"\x5a" * size
    db.write_bytes(content)
    checks = by_name(examine(db))
    assert checks["integrity_check"].verdict is Verdict.BROKEN
    assert checks["shard_counters"].verdict is Verdict.BROKEN
    assert "backup" in (checks["shard_counters"].hint or "")
    assert checks["splits_overlap"].verdict is Verdict.OK
    tol_db(db, "doctor", expect=1)


def test_an_older_schema_is_broken_and_says_upgrade(db: Path) -> None:
    upgrade(db, "0001")
    checks = by_name(examine(db))
    assert checks["schema"].verdict is Verdict.BROKEN
    assert "upgrade" in (checks["schema"].hint or "")
    assert checks["integrity_check"].verdict is Verdict.OK
    assert "shard_counters" not in checks
    assert "older" in tol_db(db, "doctor", expect=1).stdout


def newer(path: Path) -> None:
    init(path)
    spoil(path, "UPDATE alembic_version SET version_num = '0099'")


@pytest.mark.parametrize(
    ("make", "error", "code"),
    [
        (lambda path: None, InputMissing, 66),
        (lambda path: path.write_text("no database"), NotADatabase, 65),
        (lambda path: sqlite3.connect(path).execute("CREATE TABLE x (y)").connection.close(), NotADatabase, 65),
        (newer, SchemaError, 65),
    ],
    ids=["missing", "text", "foreign", "newer"],
)
def test_what_is_not_ours_or_newer_is_refused_and_not_touched(
    tmp_path: Path, make: Callable[[Path], object], error: type[Exception], code: int
) -> None:
    path = tmp_path / "tol.sqlite"
    make(path)
    before = (path.read_bytes(), path.stat().st_mtime_ns) if path.exists() else None
    with pytest.raises(error):
        examine(path)
    tol_db(path, "doctor", expect=code)
    after = (path.read_bytes(), path.stat().st_mtime_ns) if path.exists() else None
    assert after == before
    assert [p.name for p in tmp_path.iterdir()] == (["tol.sqlite"] if before else [])


def test_a_write_ahead_log_on_a_network_file_system_is_a_fault_with_a_remedy(db: Path, tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text("1 0 0:40 / / rw - lustre x rw\n")
    check = by_name(examine(db, mountinfo=table))["journal"]
    assert check.verdict is Verdict.BROKEN
    assert "journal_mode = DELETE" in (check.hint or "")
    spoil(db, "PRAGMA journal_mode = DELETE")
    assert by_name(examine(db, mountinfo=table))["journal"].verdict is Verdict.WARNING


def test_a_rollback_journal_on_a_local_disk_is_fine_with_advice(db: Path) -> None:
    spoil(db, "PRAGMA journal_mode = DELETE")
    check = by_name(examine(db))["journal"]
    assert check.verdict is Verdict.INFO
    assert "WAL" in (check.hint or "")


def test_it_works_on_a_file_that_nobody_may_write() -> None:
    with folder_for_all() as folder:
        path = folder / "tol.sqlite"
        populated(path)
        path.chmod(0o444)
        folder.chmod(0o555)
        with unprivileged():
            assert examine(path).broken == ()


def test_it_works_while_a_run_writes(db: Path) -> None:
    with Database(db).write() as conn:
        conn.exec_driver_sql("DELETE FROM lease")
        checks = by_name(examine(db))
    assert checks["leases"].verdict is Verdict.INFO, "what is not committed is not seen"


def test_json_holds_every_check(db: Path) -> None:
    told = json.loads(tol_db(db, "doctor", "--json").stdout)
    assert told["path"] == str(db)
    assert set(told["checks"][0]) == {"name", "verdict", "detail", "hint", "rows"}
    assert {check["verdict"] for check in told["checks"]} == {"ok", "info", "warning"}
