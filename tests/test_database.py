"""The database file: made whole, moved between schemas without loss, copied while in use, refused when not ours."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.populated import populated
from tests.running import environment, tol_db
from tests.unprivileged import folder_for_all, unprivileged
from tol_db.db import engine
from tol_db.db.base import OUTCOME_MEANING, REVISIONS, Outcome
from tol_db.db.bulk import changes
from tol_db.db.engine import Database, open_database, raw, revision_of
from tol_db.db.filesystem import filesystem_of
from tol_db.db.migrate import backup, init, move, upgrade
from tol_db.db.models import Base
from tol_db.db.scripts import newest_revision, scripts_folder
from tol_db.errors import (
    CannotWrite,
    InputMissing,
    Interrupted,
    NameTaken,
    NotADatabase,
    SchemaError,
    UsageError,
)

Dump = dict[str, list[tuple[Any, ...]]]


def dump(path: Path) -> Dump:
    """Every row of every table, and the text of every table, index and view."""
    connection = sqlite3.connect(path)
    tables = [r[0] for r in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    content = {table: sorted(connection.execute(f'SELECT * FROM "{table}"'), key=repr) for table in tables}
    schema = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"
    content["sqlite_schema"] = connection.execute(schema).fetchall()
    connection.close()
    return content


def state(path: Path) -> tuple[bytes, int]:
    return path.read_bytes(), path.stat().st_mtime_ns


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return populated(tmp_path / "tol.sqlite").path


# ------------------------------------------------------------------ init


def test_init_makes_a_database_that_every_command_can_open(tmp_path: Path) -> None:
    path = tmp_path / "tol.sqlite"
    init(path)
    assert revision_of(path) == REVISIONS[-1]
    with open_database(path).read() as conn:
        assert conn.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert conn.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        expected = "delete" if filesystem_of(path).is_network else "wal"
        assert conn.exec_driver_sql("PRAGMA journal_mode").scalar() == expected
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_init_leaves_a_file_that_is_there_alone(tmp_path: Path) -> None:
    path = tmp_path / "tol.sqlite"
    path.write_text("mine")
    before = state(path)
    with pytest.raises(NameTaken, match="is there already"):
        init(path)
    assert state(path) == before
    assert tol_db(path, "init", expect=2).stderr.startswith("error: ")


def test_init_in_a_folder_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="no such folder") as caught:
        init(tmp_path / "none" / "tol.sqlite")
    assert caught.value.hint == f"mkdir -p {tmp_path / 'none'}"


def test_init_in_a_folder_without_permission_leaves_nothing() -> None:
    with folder_for_all() as folder:
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(CannotWrite):
            init(folder / "tol.sqlite")
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["a b.sqlite", "50%.sqlite", "x#1.sqlite", "what?.sqlite", "é&=+.sqlite", "file:x"]
)
def test_a_path_may_hold_any_characters(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    path = folder / name
    init(path)
    with open_database(path).write() as conn:
        changes(conn, "INSERT INTO source (key, title) VALUES ('x', 'X')")
    assert upgrade(path, "0001") == (REVISIONS[-1], "0001")
    assert upgrade(path) == ("0001", REVISIONS[-1])
    backup(path, folder / f"copy of {name}")
    assert dump(folder / f"copy of {name}")["source"] == dump(path)["source"]


def test_where_there_are_no_hard_links_the_name_is_still_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    init(tmp_path / "tol.sqlite")
    backup(tmp_path / "tol.sqlite", tmp_path / "copy.sqlite")
    assert revision_of(tmp_path / "copy.sqlite") == REVISIONS[-1]
    with pytest.raises(NameTaken):
        backup(tmp_path / "tol.sqlite", tmp_path / "copy.sqlite")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.sqlite", "tol.sqlite"]


# ------------------------------------------------------------------ what is not ours


def foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    connection.execute("INSERT INTO alembic_version VALUES ('0002')")
    connection.commit()
    connection.close()


def newer(path: Path) -> None:
    init(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '0099'")
    connection.commit()
    connection.close()


def without_revision(path: Path) -> None:
    init(path)
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM alembic_version")
    connection.commit()
    connection.close()


REFUSED: list[tuple[Callable[[Path], object], type[Exception], str, int]] = [
    (lambda path: None, InputMissing, "no such database", 66),
    (lambda path: path.mkdir(), NotADatabase, "is a folder", 65),
    (lambda path: path.touch(), NotADatabase, "an empty file", 65),
    (lambda path: path.write_text("id,name\n"), NotADatabase, "not an SQLite file", 65),
    (lambda path: path.write_bytes(b"SQLite format 3\0" + b"\1" * 30), NotADatabase, "not a tol-db", 65),
    (foreign, NotADatabase, "not a tol-db database", 65),
    (newer, SchemaError, "schema '0099' is newer", 65),
    (without_revision, NotADatabase, "no schema revision", 65),
]
WHICH = ["missing", "folder", "empty", "text", "header only", "foreign", "newer", "without revision"]


@pytest.mark.parametrize(("make", "error", "words", "code"), REFUSED, ids=WHICH)
def test_a_file_that_is_not_ours_is_refused_and_not_touched(
    tmp_path: Path, make: Callable[[Path], object], error: type[Exception], words: str, code: int
) -> None:
    path = tmp_path / "tol.sqlite"
    make(path)
    before = state(path) if path.is_file() else None
    for act in (open_database, upgrade):
        with pytest.raises(error, match=words) as caught:
            act(path)
        assert str(path) in str(caught.value)
    done = tol_db(path, "upgrade", expect=code)
    assert "hint: " in done.stderr
    assert before is None or state(path) == before


def test_an_older_schema_is_refused_by_other_commands_which_say_what_to_run(db: Path) -> None:
    upgrade(db, "0001")
    with pytest.raises(SchemaError, match="schema 0001 is older") as caught:
        open_database(db)
    assert f"tol-db --db {db} upgrade" in (caught.value.hint or "")
    assert "upgrade" in tol_db(db, "report", "summary", expect=65).stderr


def test_a_damaged_file_is_told_from_a_foreign_one(db: Path) -> None:
    content = bytearray(db.read_bytes())
    content[4096 : 4096 * 40] = b"\xa5" * (4096 * 39)
    db.write_bytes(content)
    with pytest.raises(NotADatabase, match=r"malformed|damaged"):
        open_database(db)
    with pytest.raises(NotADatabase, match=r"malformed|damaged"):
        backup(db, db.with_name("copy"))
    assert not db.with_name("copy").exists()


# ------------------------------------------------------------------ schema moves


def test_down_and_up_keep_every_row_of_every_table(db: Path) -> None:
    before = dump(db)
    assert all(before.values()), "each table has a row"
    assert upgrade(db, "0001") == (REVISIONS[-1], "0001")
    lower = dump(db)
    tables = set(before) - {"sqlite_schema", "alembic_version"}
    assert {t: lower[t] for t in tables} == {t: before[t] for t in tables}
    assert not [name for kind, name, _ in lower["sqlite_schema"] if kind == "view"]
    assert upgrade(db) == ("0001", REVISIONS[-1])
    assert dump(db) == before
    with open_database(db).read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM v_image").scalar() == 40


def test_an_upgrade_to_the_schema_that_is_there_changes_nothing(db: Path) -> None:
    before = state(db)
    assert upgrade(db) == (REVISIONS[-1], REVISIONS[-1])
    assert state(db) == before


def test_an_unknown_revision_is_refused(db: Path) -> None:
    with pytest.raises(UsageError, match="no such schema revision: 0099") as caught:
        upgrade(db, "0099")
    assert caught.value.hint == f"known: {', '.join(REVISIONS)}"


@pytest.mark.parametrize("start", REVISIONS)
def test_a_move_that_leaves_a_broken_foreign_key_is_undone(db: Path, start: str) -> None:
    upgrade(db, start)
    connection = sqlite3.connect(db)
    connection.execute("INSERT INTO eol_image VALUES (99999, 1, 1)")
    connection.commit()
    connection.close()
    before = dump(db)
    with pytest.raises(CannotWrite, match="would break 1 foreign keys"):
        upgrade(db, "0001" if start == REVISIONS[-1] else REVISIONS[-1])
    assert dump(db) == before
    assert revision_of(db) == start


def test_an_upgrade_waits_for_the_write_lock_and_then_says_who_to_wait_for(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(db, "0001")
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.2)
    other = sqlite3.connect(db, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Interrupted, match="held the write lock"):
        upgrade(db)
    other.execute("ROLLBACK")
    other.close()
    assert revision_of(db) == "0001"


def test_the_known_revisions_are_the_migration_scripts() -> None:
    scripts = ScriptDirectory(str(scripts_folder()))
    assert tuple(reversed([script.revision for script in scripts.walk_revisions()])) == REVISIONS
    assert newest_revision() == REVISIONS[-1]


def test_models_and_migrations_make_the_same_schema(db: Path) -> None:
    with open_database(db).engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_models_and_migrations_make_the_same_primary_keys(db: Path) -> None:
    with open_database(db).engine.connect() as conn:  # which alembic does not compare
        found = {
            t.name: sa.inspect(conn).get_pk_constraint(t.name)["constrained_columns"]
            for t in Base.metadata.sorted_tables
        }
    assert found == {t.name: [c.name for c in t.primary_key] for t in Base.metadata.sorted_tables}


def test_an_early_table_of_verifications_gets_its_key(db: Path) -> None:
    rows = dump(db)["verification"]
    upgrade(db, "0004")
    with closing(sqlite3.connect(db)) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'verification'").fetchone()
        of_index = "SELECT sql FROM sqlite_schema WHERE name = 'ix_verification_run_id'"
        (index,) = connection.execute(of_index).fetchone()
        early = sql.replace("PRIMARY KEY (shard_id, level)", "PRIMARY KEY (shard_id)")
        assert early != sql
        kept = connection.execute("SELECT * FROM verification GROUP BY shard_id").fetchall()
        connection.executescript(f"DROP TABLE verification; {early}; {index}")
        marks = ", ".join("?" * len(kept[0]))
        connection.executemany(f"INSERT INTO verification VALUES ({marks})", kept)
        connection.commit()
    upgrade(db)
    assert set(dump(db)["verification"]) <= set(rows)
    with open_database(db).write() as conn:
        changes(conn, "UPDATE verification SET level = 'default'")
        changes(
            conn,
            """INSERT INTO verification SELECT shard_id, run_id, 'deep', outcome, detail, findings, bytes, seconds,
                                               checked_at FROM verification""",
        )


def test_every_constraint_has_a_name() -> None:
    unnamed = [(t.name, c) for t in Base.metadata.sorted_tables for c in t.constraints if c.name is None]
    assert unnamed == []


def test_every_constraint_has_its_name_in_the_file_too(db: Path) -> None:
    named = {str(c.name) for t in Base.metadata.sorted_tables for c in t.constraints}
    text = "\n".join(row[2] or "" for row in dump(db)["sqlite_schema"])
    assert {name for name in named if name not in text} == set()


def test_the_outcome_table_is_the_vocabulary_of_the_program(db: Path) -> None:
    assert dump(db)["outcome"] == sorted(((int(o), o.label, OUTCOME_MEANING[o]) for o in Outcome), key=repr)


# ------------------------------------------------------------------ transactions


def test_a_write_that_fails_leaves_nothing(db: Path) -> None:
    before = dump(db)
    with pytest.raises(sqlite3.IntegrityError), open_database(db).write() as conn:
        changes(conn, "INSERT INTO source (key, title) VALUES ('x', 'X')")
        changes(conn, "INSERT INTO container (source_id, kind, path, state) VALUES (999, 'tar', 'x', 'expected')")
    assert dump(db) == before


def test_a_full_disk_is_an_error_of_ours_and_keeps_nothing(db: Path) -> None:
    before = dump(db)
    with pytest.raises(CannotWrite, match="the disk is full"), open_database(db).write() as conn:
        pages = raw(conn).execute("PRAGMA page_count").fetchone()[0]
        raw(conn).execute(f"PRAGMA max_page_count = {pages}")
        changes(conn, "INSERT INTO source (key, title) VALUES ('big', hex(zeroblob(1000000)))")
    assert dump(db) == before


def test_a_write_takes_the_lock_at_its_start(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.2)
    database = Database(db)
    with database.write(), pytest.raises(Interrupted), Database(db).write():
        pass


# ------------------------------------------------------------------ commands


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    path = tmp_path / "tol.sqlite"
    assert str(path) in tol_db(path, "init").stdout
    assert REVISIONS[-1] in tol_db(path, "upgrade").stdout
    assert "0001" in tol_db(path, "upgrade", "--to", "0001").stdout
    assert f"0001 to {REVISIONS[-1]}" in tol_db(path, "upgrade").stdout
    assert str(tmp_path / "copy") in tol_db(path, "backup", tmp_path / "copy").stdout


def test_two_inits_at_once_make_one_database(tmp_path: Path) -> None:
    path = tmp_path / "tol.sqlite"
    command = [sys.executable, "-m", "tol_db", "--db", str(path), "init"]
    both = [
        subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for _ in "ab"
    ]
    assert sorted(process.wait() for process in both) == [0, 2]
    assert revision_of(path) == REVISIONS[-1]
    assert [p.name for p in tmp_path.iterdir()] == ["tol.sqlite"]


def test_an_open_connection_survives_a_copy_of_the_file(db: Path, tmp_path: Path) -> None:
    shutil.copy(db, tmp_path / "copy.sqlite")
    move(tmp_path / "copy.sqlite", "0001")
    assert revision_of(db) == REVISIONS[-1]
