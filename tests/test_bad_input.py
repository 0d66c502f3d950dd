"""What a user gets wrong: one clear line, the right exit code, nothing half-written, never a traceback."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.running import DATASET, plan, tol_db
from tol_db.demo_tree import DemoTree


@pytest.fixture
def db(tmp_path: Path) -> Path:
    tol_db(tmp_path / "tol.sqlite", "init")
    return tmp_path / "tol.sqlite"


@pytest.fixture
def tree(demo_tree: DemoTree, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_tree.tree, tmp_path / "tree"))


def counts(db: Path) -> dict[str, int]:
    with sqlite3.connect(db) as connection:
        tables = [r[0] for r in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {t: connection.execute(f'SELECT count(*) FROM "{t}"').fetchone()[0] for t in tables}


def edit_mapping(tree: Path, sql: str) -> None:
    with sqlite3.connect(tree / "metadata" / "mapping.sqlite") as connection:
        connection.executescript(sql)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("DROP TABLE bioscan", "bioscan"),
        ("ALTER TABLE eol RENAME COLUMN page_id TO page", "page_id"),
        ("UPDATE eol SET evobio10m_id = 'not a uuid' WHERE rowid = 1", "not a uuid"),
        ("UPDATE eol SET content_id = 'abc' WHERE rowid = 1", "abc"),
        ("UPDATE split SET is_val = 7 WHERE rowid = 1", "is_val"),
    ],
)
def test_a_mapping_with_a_fault_is_refused_whole(db: Path, tree: Path, sql: str, told: str) -> None:
    edit_mapping(tree, sql)
    done = tol_db(db, "ingest", "tol10m", tree, expect=65)
    assert "mapping.sqlite" in done.stderr
    assert told in done.stderr
    assert counts(db)["image"] == 0


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"12": [["a"], "b"]}', '{"12": 5}', "[1, 2]", '{"x": [["a","b","c","d","e","f","g"], "n"]}'],
)
def test_a_broken_lookup_is_refused_and_named(db: Path, tree: Path, text: str) -> None:
    lookup = tree / "metadata" / "naming" / "eol_name_lookup.json"
    lookup.write_text(text)
    before = counts(db)
    done = tol_db(db, "ingest", "labels", "--source", "eol", lookup, expect=65)
    assert "eol_name_lookup.json" in done.stderr
    assert counts(db) == before


def test_licences_with_a_wrong_column_are_refused(db: Path, tree: Path) -> None:
    path = tree / "metadata" / "licenses.csv"
    path.write_text(path.read_text().replace("license_name", "licence", 1))
    done = tol_db(db, "ingest", "licences", path, expect=65)
    assert "licenses.csv" in done.stderr
    assert "license_name" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("ingest", "tol10m", "NOWHERE"),
        ("ingest", "containers", "NOWHERE"),
        ("ingest", "eol", "NOWHERE"),
        ("ingest", "inat21", "NOWHERE"),
        ("ingest", "bioscan", "NOWHERE"),
        ("ingest", "labels", "--source", "eol", "NOWHERE"),
        ("ingest", "licences", "NOWHERE"),
        ("ingest", "split", "mine", "NOWHERE"),
        ("ingest", "blacklist", "mine", "--images", "NOWHERE"),
    ],
)
def test_a_path_that_is_not_there_is_exit_66(db: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = tol_db(db, *(str(tmp_path / w) if w == "NOWHERE" else w for w in words), expect=66)
    assert "NOWHERE" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "OUT", "--dataset", "x", "--split", "nosuch"),
        ("plan", "OUT", "--dataset", "x"),
        ("plan", "--dataset", "nosuch", "--extend"),
        ("plan", "OUT", "--dataset", "x", "--split", "train", "--recipe", "nosuch"),
        ("plan", "OUT", "--dataset", "x", "--split", "train", "--size", "big"),
        ("plan", "OUT", "--dataset", "x", "--split", "train", "--blacklist", "nosuch"),
        ("plan", "OUT", "--dataset", "x", "--split", "train", "--split", "train"),
        ("materialize",),
        ("materialize", "--dataset", "nosuch"),
        ("materialize", "--shards", "9-3"),
        ("materialize", "--workers", "0"),
        ("split", "x"),
        ("split", "x", "--fraction", "2"),
        ("split", "x", "--except", "nosuch"),
        ("export", "catalog", "--dataset", "nosuch"),
        ("report", "status", "--dataset", "nosuch"),
        ("report", "audit", "nosuch"),
        ("dataset", "move", "nosuch", "OUT"),
        ("dataset", "remove", "nosuch", "--yes"),
        ("nosuch",),
        ("ingest", "labels", "--source", "nosuch", "OUT"),
    ],
)
def test_a_call_that_makes_no_sense_is_exit_2(demo_db: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    tol_db(demo_db, *(str(tmp_path / "out") if w == "OUT" else w for w in words), expect=2)
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file_is_exit_73(demo_db: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("a file")
    done = tol_db(demo_db, "plan", out, "--dataset", "x", "--split", "train", expect=73)
    assert "is a file" in done.stderr
    assert out.read_text() == "a file"
    assert counts(demo_db)["dataset"] == 0


def test_an_output_folder_with_shards_of_something_else_is_refused(demo_db: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "out" / "224x224" / "train" / "shard-000000.tar"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"theirs")
    done = tol_db(demo_db, "plan", tmp_path / "out", "--dataset", "x", "--split", "train", expect=2)
    assert str(foreign) in done.stderr
    assert foreign.read_bytes() == b"theirs"


def test_a_dataset_name_or_root_that_is_taken_is_refused(demo_db: Path, tmp_path: Path) -> None:
    plan(demo_db, tmp_path / "out")
    words = ("--split", "train")
    again = tol_db(demo_db, "plan", tmp_path / "two", "--dataset", DATASET, *words, expect=2)
    assert "is there already" in again.stderr
    assert not (tmp_path / "two").exists()
    shared = tol_db(demo_db, "plan", tmp_path / "out", "--dataset", "other", *words, expect=2)
    assert f"output root of dataset '{DATASET}'" in shared.stderr


def test_a_recipe_whose_libraries_changed_is_not_written_with(demo_db: Path, tmp_path: Path) -> None:
    plan(demo_db, tmp_path / "out", "tol10m")
    with sqlite3.connect(demo_db) as connection:
        connection.execute("UPDATE recipe SET pillow = '10.2.0', digest = ?", (hashlib.sha256(b"older").digest(),))
    done = tol_db(demo_db, "materialize", expect=65)
    assert "planned with Pillow 10.2.0" in done.stderr
    assert "--refresh" in done.stderr
    tol_db(demo_db, "plan", "--dataset", DATASET, "--refresh")
    tol_db(demo_db, "materialize")
    tol_db(demo_db, "doctor")


def test_a_recipe_table_with_a_wrong_knob_names_it(demo_db: Path, tmp_path: Path) -> None:
    (tmp_path / "tol-db.toml").write_text('[recipe.mine]\nbase = "clean"\nqualty = 90\n')
    words = ("plan", tmp_path / "out", "--dataset", "x", "--split", "train", "--recipe", "mine")
    assert "qualty" in tol_db(demo_db, *words, expect=65, cwd=tmp_path).stderr
    (tmp_path / "tol-db.toml").write_text('[recipe.mine]\nbase = "clean"\nquality = 90\nwidth = 64\nheight = 48\n')
    tol_db(demo_db, *words, cwd=tmp_path)
    tol_db(demo_db, "materialize", cwd=tmp_path)
    assert list((tmp_path / "out" / "64x48" / "train").glob("*.tar"))


def test_an_archive_that_changed_after_the_scan_fails_its_unit_and_blames_no_image(
    db: Path, tree: Path, demo_tree: DemoTree, tmp_path: Path
) -> None:
    tol_db(db, "ingest", "tol10m", tree)
    plan(db, tmp_path / "out", "clean")
    first, second = sorted((tree / "dataset" / "eol").glob("*.tar.gz"))
    shutil.copy(second, first)
    failed = tol_db(db, "materialize", expect=65)
    assert "has changed since it was scanned" in failed.stderr
    with sqlite3.connect(db) as connection:
        states = dict(connection.execute("SELECT state, count(*) FROM shard GROUP BY 1"))
        blamed = connection.execute(
            """SELECT count(*) FROM shard_image m JOIN shard h ON h.id = m.shard_id
               WHERE h.state = 'planned' AND m.outcome_id <> 0"""
        ).fetchone()
    assert states["planned"] >= 1
    assert states["complete"] >= 2
    assert blamed == (0,)
    tol_db(db, "doctor")
    shutil.copy(demo_tree.tree / "dataset" / "eol" / first.name, first)
    tol_db(db, "ingest", "containers", tree)
    tol_db(db, "materialize")
    tol_db(db, "doctor")


def test_settings_that_are_wrong_are_named(db: Path, tmp_path: Path) -> None:
    (tmp_path / "tol-db.toml").write_text("workers = 'many'")
    assert "workers" in tol_db(db, "dataset", "list", expect=65, cwd=tmp_path).stderr
    (tmp_path / "tol-db.toml").write_text("workrs = 3")
    assert "workrs" in tol_db(db, "dataset", "list", expect=65, cwd=tmp_path).stderr
    (tmp_path / "tol-db.toml").write_text("workers = = 3")
    assert "tol-db.toml" in tol_db(db, "dataset", "list", expect=65, cwd=tmp_path).stderr
    missing = tmp_path / "nosuch.toml"
    assert "nosuch.toml" in tol_db(db, "--config", missing, "dataset", "list", expect=66).stderr


def test_a_blacklist_of_which_nothing_matches_is_an_error_unless_allowed(demo_db: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"Nosuch species": ["/x/1_2_eol-full-size-copy.jpg"]}))
    before = counts(demo_db)
    refused = tol_db(demo_db, "ingest", "blacklist", "mine", "--species", path, expect=65)
    assert "--allow-unmatched" in refused.stderr
    assert counts(demo_db) == before
    tol_db(demo_db, "ingest", "blacklist", "mine", "--species", path, "--allow-unmatched")
    assert counts(demo_db)["blacklist_entry"] == before["blacklist_entry"] + 2
