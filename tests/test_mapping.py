"""Reading mapping.sqlite: rows, containers and splits; that it is never touched; what makes it wrong."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.raw_trees import (
    POPPY,
    WOLF,
    Rows,
    dump,
    new_database,
    rows_of,
    small_rows,
    tree_id,
    write_files,
    write_mapping,
)
from tests.running import environment
from tests.shared_data import SHARED_DATA, needs_shared
from tol_db.db.bulk import uuid_blob
from tol_db.db.engine import Database
from tol_db.errors import InputError, InputMissing, NameTaken, UsageError
from tol_db.ingest.attached import Foreign
from tol_db.ingest.containers import ingest_containers
from tol_db.ingest.labels import ingest_lookup
from tol_db.ingest.layout import Roots, find_roots
from tol_db.ingest.mapping import ingest_mapping
from tol_db.ingest.raw_folders import ingest_bioscan
from tol_db.split import make_split

ID = "treeoflife_id"


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return new_database(tmp_path)


def written(folder: Path, rows: Rows | None = None) -> Path:
    path = folder / "metadata" / "mapping.sqlite"
    path.unlink(missing_ok=True)
    write_mapping(path, rows or small_rows()).close()
    return path


def changed(path: Path, sql: str) -> Path:
    with sqlite3.connect(path) as connection:
        connection.executescript(sql)
    connection.close()
    return path


def images(db: Database) -> dict[str, tuple[object, ...]]:
    sql = """SELECT treeoflife_id, source, container, container_kind, member, eol_content_id, eol_page_id
             FROM v_image"""
    return {str(row[0]): row[1:] for row in rows_of(db, sql)}


def split_of(db: Database, name: str) -> set[object]:
    sql = """SELECT v.treeoflife_id FROM split s JOIN split_member m ON m.split_id = s.id
             JOIN v_image v ON v.image_id = m.image_id WHERE s.name = ?"""
    return {row[0] for row in rows_of(db, sql, name)}


def ids(*numbers: int) -> set[object]:
    return {tree_id(n) for n in numbers}


# ------------------------------------------------------------------ what it brings


def test_each_row_becomes_an_image_with_its_keys(db: Database, tmp_path: Path) -> None:
    result = ingest_mapping(db, written(tmp_path))
    assert not result.unchanged
    assert result.rows == 10
    assert [(s.key, s.read, s.new, s.changed) for s in result.sources] == [
        ("eol", 4, 4, 0),
        ("inat21", 3, 3, 0),
        ("bioscan", 3, 3, 0),
    ]
    found = images(db)
    assert len(found) == 10
    assert found[tree_id(3)] == ("eol", None, None, None, 13, 102)
    assert found[tree_id(6)] == ("inat21", f"train/00007_{WOLF}", "directory", "b.jpg", None, None)
    assert found[tree_id(10)] == ("bioscan", "part12", "directory", "x.jpg", None, None)
    containers = rows_of(db, "SELECT path, group_number, group_name, state FROM container ORDER BY path")
    assert containers == [
        ("part1", 1, None, "expected"),
        ("part12", 12, None, "expected"),
        (f"train/00007_{WOLF}", 7, WOLF, "expected"),
        (f"train/08876_{POPPY}", 8876, POPPY, "expected"),
    ]


def test_images_follow_the_order_of_the_mapping(db: Database, tmp_path: Path) -> None:
    """Rows of one archive lie side by side, so that its scan touches few pages."""
    rows = Rows(eol={n: (n, n) for n in (9, 2, 7, 1)})
    ingest_mapping(db, written(tmp_path, rows))
    content = [row[0] for row in rows_of(db, "SELECT content_id FROM eol_image ORDER BY image_id")]
    assert content == [9, 2, 7, 1]


def test_the_published_splits_are_made(db: Database, tmp_path: Path) -> None:
    result = ingest_mapping(db, written(tmp_path))
    assert split_of(db, "val") == ids(1, 8)
    assert split_of(db, "train") == ids(2, 3, 4, 5, 6, 7, 9, 10)
    assert split_of(db, "train_small") == ids(2, 5)
    assert result.splits is not None
    assert [(s.name, s.members) for s in result.splits.splits] == [("val", 2), ("train", 8), ("train_small", 2)]
    policies = rows_of(
        db,
        """SELECT s.name, s.policy, p.name, c.name FROM split s LEFT JOIN split p ON p.id = s.parent_id
           LEFT JOIN split c ON c.id = s.complement_of_id ORDER BY s.id""",
    )
    assert policies == [
        ("val", "published", None, None),
        ("train", "published", None, "val"),
        ("train_small", "published", "train", None),
    ]


def test_train_small_never_holds_an_image_of_val(db: Database, tmp_path: Path) -> None:
    rows = small_rows()
    rows.split[1] = (1, 1)
    ingest_mapping(db, written(tmp_path, rows))
    assert split_of(db, "train_small") == ids(2, 5)


def test_images_without_a_split_row_and_split_rows_without_an_image_are_counted(
    db: Database, tmp_path: Path
) -> None:
    rows = small_rows()
    del rows.split[3], rows.split[9]
    rows.split |= {77: (0, 0)}
    result = ingest_mapping(db, written(tmp_path, rows))
    assert result.splits is not None
    assert (result.splits.matched, result.splits.unknown, result.splits.without) == (8, 1, 2)
    assert "1 rows of the table split name no image" in "\n".join(result.describe())
    assert "2 images have no row in the table split" in "\n".join(result.describe())
    assert tree_id(3) not in split_of(db, "train") | split_of(db, "val")


def test_folders_get_the_paths_that_they_have_on_disk(db: Database, tmp_path: Path) -> None:
    inat21, bioscan = tmp_path / "inat21", tmp_path / "bioscan"
    write_files(inat21 / f"7_{WOLF}", ["a.jpg"])
    write_files(bioscan / "part01", ["x.jpg"])
    ingest_mapping(db, written(tmp_path), Roots(inat21=inat21, bioscan=bioscan))
    paths = dict(rows_of(db, "SELECT path, group_number FROM container"))
    assert paths == {f"7_{WOLF}": 7, f"train/08876_{POPPY}": 8876, "part01": 1, "part12": 12}
    roots = dict(rows_of(db, "SELECT key, root FROM source"))
    assert roots == {"eol": None, "inat21": str(inat21), "bioscan": str(bioscan)}


def test_ids_may_be_written_in_any_case_and_without_hyphens(db: Database, tmp_path: Path) -> None:
    path = written(tmp_path)
    changed(
        path,
        f"""UPDATE eol SET evobio10m_id = upper(evobio10m_id);
            UPDATE bioscan SET evobio10m_id = replace(evobio10m_id, '-', '') WHERE filename = 'y.jpg';
            UPDATE split SET evobio10m_id = upper(evobio10m_id) WHERE evobio10m_id <> '{tree_id(2)}'""",
    )
    result = ingest_mapping(db, path)
    assert set(images(db)) == ids(*range(1, 11))
    assert result.splits is not None
    assert result.splits.matched == 10


@given(st.uuids())
def test_an_id_is_the_bytes_that_python_knows(value: uuid.UUID) -> None:
    text = str(value)
    blobs = {uuid_blob(spelling) for spelling in (text, text.upper(), value.hex, value.bytes)}
    assert blobs == {value.bytes}


@given(st.one_of(st.text(max_size=40), st.none(), st.integers(), st.binary(max_size=20)))
def test_what_is_no_id_is_none_and_no_crash(value: object) -> None:
    assert uuid_blob(value) is None or len(str(value)) in (32, 36) or isinstance(value, bytes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4fc66dc8-8d28-4e78-bdb0-2db44ebd749",
        "4fc66dc8-8d28-4e78-bdb0-2db44ebd74961",
        "4fc66dc8-8d28-4e78-bdb0-2db44ebd749g",
        "4fc66dc88-d28-4e78-bdb0-2db44ebd7496",
        "4fc66dc8-8d28-4e78-bdb0-2db44eb_7496",
        "{4fc66dc8-8d28-4e78-bdb0-2db44ebd7496}",
        "4fc66dc8 8d28 4e78 bdb0 2db44ebd7496",
        "4fc66dc88d284e78bdb02db44ebd  7496",
        "٤fc66dc8-8d28-4e78-bdb0-2db44ebd7496",
    ],
)
def test_a_text_that_is_nearly_an_id_is_none(text: str) -> None:
    assert uuid_blob(text) is None


def test_stored_hash_splits_take_in_the_new_images(db: Database, tmp_path: Path) -> None:
    make_split(db, "all", fraction=1.0, seed=1, by="image")
    result = ingest_mapping(db, written(tmp_path))
    assert [(grown.split, grown.added) for grown in result.extended] == [("all", 10)]
    assert "split all: 10 new images" in "\n".join(result.describe())


@needs_shared
def test_the_published_corpus_has_the_rows_and_splits_of_its_manifest(db: Database) -> None:
    tree = SHARED_DATA / "corpora" / "dev" / "data" / "TreeOfLife-10M"
    result = ingest_mapping(db, tree / "metadata" / "mapping.sqlite", find_roots(tree))
    assert result.rows == 399
    assert len(split_of(db, "val")) == 19
    assert len(split_of(db, "train")) == 380
    assert split_of(db, "train_small") < split_of(db, "train")


# ------------------------------------------------------------------ again


def test_a_second_run_changes_nothing_and_says_so(db: Database, tmp_path: Path) -> None:
    path = written(tmp_path)
    ingest_mapping(db, path)
    before = dump(db)
    again = ingest_mapping(db, path)
    assert again.unchanged
    assert "unchanged" in again.describe()[0]
    assert dump(db) == before


def test_a_file_that_was_only_touched_is_not_read_again(db: Database, tmp_path: Path) -> None:
    path = written(tmp_path)
    ingest_mapping(db, path)
    os.utime(path, (1, 1))
    assert ingest_mapping(db, path).unchanged
    before = dump(db)
    assert ingest_mapping(db, path).unchanged
    assert dump(db) == before


def test_new_changed_and_vanished_rows_are_told_apart(db: Database, tmp_path: Path) -> None:
    rows = small_rows()
    ingest_mapping(db, written(tmp_path, rows))
    before = images(db)
    del rows.eol[4], rows.bioscan[8], rows.split[4], rows.split[8]
    rows.eol[2] = (12, 999)
    rows.eol[50] = (50, 500)
    rows.inat21[6] = ("renamed.jpg", WOLF, 7)
    rows.bioscan[9] = (3, "y.jpg")
    rows.split[2] = (1, 0)
    rows.split[50] = (0, 1)
    result = ingest_mapping(db, written(tmp_path, rows))
    assert [(s.key, s.read, s.new, s.changed) for s in result.sources] == [
        ("eol", 4, 1, 1),
        ("inat21", 3, 0, 1),
        ("bioscan", 2, 0, 1),
    ]
    assert result.vanished == 2
    assert "2 images are not in the mapping any more; they are kept" in "\n".join(result.describe())
    after = images(db)
    assert after[tree_id(2)] == ("eol", None, None, None, 12, 999)
    assert after[tree_id(50)][-2:] == (50, 500)
    assert after[tree_id(6)][3] == "renamed.jpg"
    assert after[tree_id(9)][1] == "part3"
    kept = {key: row for key, row in before.items() if key in ids(1, 3, 4, 5, 7, 8, 10)}
    assert {key: after[key] for key in kept} == kept
    assert split_of(db, "val") == ids(1, 2, 8)
    assert split_of(db, "train") == ids(3, 4, 5, 6, 7, 9, 10, 50)
    assert split_of(db, "train_small") == ids(5, 50)


def test_an_image_that_moves_to_another_source_loses_the_keys_of_the_old_one(db: Database, tmp_path: Path) -> None:
    rows = small_rows()
    ingest_mapping(db, written(tmp_path, rows))
    del rows.eol[1]
    rows.bioscan[1] = (1, "moved.jpg")
    del rows.bioscan[8]
    rows.eol[8] = (88, 888)
    ingest_mapping(db, written(tmp_path, rows))
    found = images(db)
    assert found[tree_id(1)] == ("bioscan", "part1", "directory", "moved.jpg", None, None)
    assert found[tree_id(8)] == ("eol", None, None, None, 88, 888)


def test_rows_that_name_another_file_are_matched_anew_by_the_next_scan(db: Database, tmp_path: Path) -> None:
    bioscan = tmp_path / "bioscan"
    write_files(bioscan / "part1", ["x.jpg", "y.jpg"])
    write_files(bioscan / "part12", ["x.jpg"])
    rows = small_rows()
    del rows.bioscan[9]
    ingest_mapping(db, written(tmp_path, rows), Roots(bioscan=bioscan))
    ingest_containers(db, Roots(bioscan=bioscan))
    assert rows_of(db, "SELECT member FROM stray_member") == [("y.jpg",)]
    rows.bioscan = {8: (1, "y.jpg"), 10: (12, "x.jpg")}
    ingest_mapping(db, written(tmp_path, rows), Roots(bioscan=bioscan))
    ingest_containers(db, Roots(bioscan=bioscan))
    assert rows_of(db, "SELECT member FROM stray_member") == [("x.jpg",)]
    assert rows_of(db, "SELECT count(*) FROM image WHERE member_index IS NOT NULL") == [(2,)]


# ------------------------------------------------------------------ never touched


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_a_mapping_in_wal_mode_is_left_as_it_is(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "metadata" / "mapping.sqlite"
    write_mapping(path, small_rows(), wal=True).close()
    before = hashes(path.parent)
    assert set(before) == {"mapping.sqlite"}
    assert ingest_mapping(db, path).rows == 10
    assert ingest_mapping(db, path).unchanged
    assert hashes(path.parent) == before


def test_rows_that_lie_in_the_log_only_are_read_and_the_log_stays(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "metadata" / "mapping.sqlite"
    writer = write_mapping(path, small_rows(), wal=True)
    before = hashes(path.parent)
    assert set(before) == {"mapping.sqlite", "mapping.sqlite-wal", "mapping.sqlite-shm"}
    ours = set(tmp_path.iterdir())
    assert ingest_mapping(db, path).rows == 10
    assert hashes(path.parent) == before
    assert set(tmp_path.iterdir()) == ours  # the copy is gone
    dumped = dump(db)
    assert ingest_mapping(db, path).unchanged
    assert dump(db) == dumped
    writer.execute("UPDATE eol SET page_id = 555 WHERE content_id = 11")
    writer.commit()
    assert ingest_mapping(db, path).sources[0].changed == 1
    writer.close()  # folds the log into the file
    assert ingest_mapping(db, path).sources[0].changed == 0
    assert ingest_mapping(db, path).unchanged


def test_a_log_that_was_dropped_is_noticed(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "metadata" / "mapping.sqlite"
    write_mapping(path, small_rows()).close()
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("UPDATE eol SET page_id = 555 WHERE content_id = 11")
    writer.commit()
    ingest_mapping(db, path)
    assert images(db)[tree_id(1)][-1] == 555
    Path(f"{path}-wal").rename(tmp_path / "elsewhere")
    ingest_mapping(db, path)
    assert images(db)[tree_id(1)][-1] == 101


def test_a_hot_journal_is_read_with_the_file(db: Database, tmp_path: Path) -> None:
    """A writer that was killed leaves pages half written, and a journal that takes them back."""
    path = tmp_path / "metadata" / "mapping.sqlite"
    write_mapping(path, small_rows()).close()
    code = f"""
import os, sqlite3
c = sqlite3.connect({str(path)!r}, isolation_level=None)
c.execute("PRAGMA cache_size = 1")
c.execute("BEGIN")
c.execute("UPDATE eol SET page_id = 9999")
c.execute("CREATE TABLE filler AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)"
          " SELECT i, hex(randomblob(400)) AS x FROM n")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert Path(f"{path}-journal").stat().st_size > 0
    before = hashes(path.parent)
    ingest_mapping(db, path)
    assert hashes(path.parent) == before
    assert images(db)[tree_id(1)][-1] == 101


def test_a_mapping_whose_path_has_odd_signs_is_read(db: Database, tmp_path: Path) -> None:
    folder = tmp_path / "100% ?mode=rw#ü &"
    write_mapping(folder / "mapping.sqlite", small_rows()).close()
    assert ingest_mapping(db, folder / "mapping.sqlite").rows == 10
    assert set(hashes(folder)) == {"mapping.sqlite"}


def test_a_mapping_that_is_written_to_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    foreign = Foreign.at(path)
    foreign.require_untouched()
    os.utime(path, (5, 5))
    with pytest.raises(InputError, match="written to while it was read"):
        foreign.require_untouched()


# ------------------------------------------------------------------ what is wrong with it


FAULTS = {
    "DROP TABLE split": "no table split",
    "DROP TABLE inat21": "no table inat21",
    "ALTER TABLE eol RENAME COLUMN content_id TO content": "table eol has no column content_id",
    "ALTER TABLE split DROP COLUMN is_val": "table split has no column is_val",
    "UPDATE eol SET evobio10m_id = 'xyz' WHERE content_id = 13": "content_id 13, page_id 102, evobio10m_id 'xyz'",
    "UPDATE eol SET evobio10m_id = NULL WHERE content_id = 13": "evobio10m_id NULL",
    "UPDATE bioscan SET evobio10m_id = 17 WHERE part = 12": "table bioscan, row (part 12",
    "UPDATE split SET evobio10m_id = 'xyz' WHERE is_val = 1 AND rowid < 5": "table split, row (is_val 1",
    "UPDATE eol SET content_id = 'abc' WHERE page_id = 103": "content_id is not a whole number",
    "UPDATE eol SET page_id = NULL WHERE page_id = 103": "page_id is not a whole number",
    "UPDATE inat21 SET cls_num = -1 WHERE cls_num = 8876": "cls_num is not a whole number",
    "UPDATE inat21 SET cls_name = '' WHERE cls_num = 8876": "cls_name is not a text",
    "UPDATE bioscan SET filename = NULL WHERE part = 12": "filename is not a text",
    "UPDATE bioscan SET filename = x'41' WHERE part = 12": "filename is not a text",
    "UPDATE bioscan SET part = 1.5 WHERE part = 12": "part is not a whole number",
    "UPDATE split SET is_val = 2 WHERE rowid = 3": "is_val is not 0 or 1",
    "UPDATE split SET is_train_small = NULL WHERE rowid = 3": "is_train_small is not 0 or 1",
    "UPDATE bioscan SET filename = CAST(x'e9' AS TEXT) WHERE part = 12": "not UTF-8",
    "UPDATE eol SET evobio10m_id = CAST(x'e9' AS TEXT) WHERE content_id = 13": "not UTF-8",
    "UPDATE split SET evobio10m_id = CAST(x'e9' AS TEXT) WHERE rowid = 3": "not UTF-8",
    "DELETE FROM eol; DELETE FROM inat21; DELETE FROM bioscan": "names no image",
    f"INSERT INTO bioscan VALUES (3, 'z.jpg', '{tree_id(2)}')": "in table eol and table bioscan",
    f"INSERT INTO eol VALUES (3, 4, upper('{tree_id(2)}'))": "in table eol and table eol",
    f"INSERT INTO split VALUES (upper('{tree_id(2)}'), 0, 0)": "in table split and table split",
}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(("sql", "told"), FAULTS.items(), ids=range(len(FAULTS)))
def test_a_fault_is_named_and_nothing_is_kept(
    db: Database, tmp_path: Path, sql: str, told: str, again: bool
) -> None:
    path = written(tmp_path)
    if again:
        ingest_mapping(db, path)
    before = dump(db)
    changed(path, sql)
    with pytest.raises(InputError) as caught:
        ingest_mapping(db, path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)
    assert caught.value.hint
    assert dump(db) == before


@pytest.mark.parametrize("data", [b"", b"not a database", b"SQLite format 3\0" + bytes(200)])
def test_what_is_no_database_is_refused(db: Database, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "mapping.sqlite"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"mapping\.sqlite"):
        ingest_mapping(db, path)
    assert path.read_bytes() == data


@pytest.mark.parametrize("part", [0.3, 0.7, 0.95])
def test_a_mapping_that_is_cut_off_is_refused(db: Database, tmp_path: Path, part: float) -> None:
    path = written(tmp_path, Rows(eol={n: (n, n) for n in range(1, 2000)}))
    os.truncate(path, int(path.stat().st_size * part))
    before = dump(db)
    with pytest.raises(InputError, match=r"mapping\.sqlite"):
        ingest_mapping(db, path)
    assert dump(db) == before


def test_a_mapping_in_another_encoding_is_refused(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "mapping.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript("PRAGMA encoding = 'UTF-16'; CREATE TABLE eol (content_id)")
    with pytest.raises(InputError, match="encoding"):
        ingest_mapping(db, path)


def test_a_mapping_that_is_not_there_is_missing(db: Database, tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="nowhere"):
        ingest_mapping(db, tmp_path / "nowhere.sqlite")
    with pytest.raises(InputError, match="folder"):
        ingest_mapping(db, tmp_path)


def test_a_split_of_the_user_that_has_a_published_name_is_not_overwritten(db: Database, tmp_path: Path) -> None:
    make_split(db, "val", fraction=0.5, seed=1, by="image")
    before = dump(db)
    with pytest.raises(NameTaken, match="split val"):
        ingest_mapping(db, written(tmp_path))
    assert dump(db) == before


def test_a_mapping_after_raw_folders_of_the_same_source_is_refused(db: Database, tmp_path: Path) -> None:
    write_files(tmp_path / "bioscan" / "part1", ["x.jpg"])
    ingest_bioscan(db, tmp_path / "bioscan")
    before = dump(db)
    with pytest.raises(UsageError, match="raw folders"):
        ingest_mapping(db, written(tmp_path))
    assert dump(db) == before


def test_ctrl_c_within_a_statement_is_an_interruption_and_leaves_nothing(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "mapping.sqlite"
    connection = write_mapping(path, Rows())
    connection.executemany("INSERT INTO eol VALUES (?, ?, ?)", ((n, n, str(uuid.uuid4())) for n in range(400_000)))
    connection.commit()
    connection.close()
    before = dump(db)
    words = ["ingest", "tol10m", str(tmp_path / "tree")]
    (tmp_path / "tree" / "metadata").mkdir(parents=True)
    path.rename(tmp_path / "tree" / "metadata" / "mapping.sqlite")
    child = subprocess.Popen(
        [sys.executable, "-m", "tol_db", "--db", str(db.path), *words],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    while not Path(f"{db.path}-wal").exists() and child.poll() is None:
        time.sleep(0.01)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=60)
    if child.returncode == 0:
        pytest.skip("this machine was too fast")
    assert child.returncode == 75, told
    assert "interrupted" in told
    assert dump(db) == before


@pytest.mark.parametrize("keys", ["ids", "parts", "files", "ids without a name"])
def test_a_first_mapping_brings_what_a_later_one_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: str
) -> None:
    """Into an empty table rows go in another way, labels and all; the result is the same, row by row."""
    rows = small_rows()
    parrot = [["Animalia", "Chordata", "Aves", "", "", "Parus", "major"], "Great tit"]
    poppy = [["Plantae", "", "", "", "", "Papaver", "rhoeas"], ""]
    nothing = [[""] * 7, ""]
    bioscan: dict[str, object] = {}
    for id, (part, name) in rows.bioscan.items():
        match keys:
            case "ids":
                bioscan[tree_id(id).upper()] = parrot
            case "ids without a name":
                bioscan[tree_id(id)] = nothing
            case _:
                bioscan[f"part{part}/{name}" if keys == "parts" else name] = poppy
    lookups = {
        "eol": {str(page): parrot for _, page in list(rows.eol.values())[:2]},
        "inat21": {"7": poppy, "8876": nothing},
    }
    mapping = written(tmp_path, rows)
    dumps = []
    for is_first in (True, False):
        folder = tmp_path / str(is_first)
        folder.mkdir()
        db = new_database(folder)
        for key, names in lookups.items():
            path = tmp_path / f"{key}.json"
            path.write_text(json.dumps(names), encoding="utf-8")
            ingest_lookup(db, key, path)
        _name_bioscan(db, tmp_path, keys, bioscan)
        if not is_first:
            monkeypatch.setattr("tol_db.ingest.mapping.is_first", lambda _conn: False)
        result = ingest_mapping(db, mapping)
        rows_ = {k: v for k, v in dump(db).items() if k != "source_file"}
        rows_["split"] = [row[:-1] for row in rows_["split"]]  # when it was made
        dumps.append((rows_, result.labelled))
    assert dumps[0] == dumps[1]
    assert dumps[0][1] == (4 if keys == "ids without a name" else 7)


def _name_bioscan(db: Database, folder: Path, keys: str, names: dict[str, object]) -> None:
    if keys.startswith("ids"):
        path = folder / "bioscan.json"
        path.write_text(json.dumps(names), encoding="utf-8")
    else:
        path = folder / "bioscan.tsv"
        lines = ["image_file\torder\tfamily\tgenus\tspecies", *(f"{key}\tDiptera\t\t\t" for key in names)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ingest_lookup(db, "bioscan", path)
