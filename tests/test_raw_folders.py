"""Raw folders without a mapping: ids that follow from names, labels of folders."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.raw_trees import (
    POPPY,
    WOLF,
    counters_hold,
    dump,
    located,
    new_database,
    rows_of,
    scan,
    strays,
    tree_id,
    write_archive,
    write_files,
    write_tree,
)
from tests.running import tol_db
from tol_db.db.bulk import uuid_text
from tol_db.db.engine import Database
from tol_db.errors import InputMissing, UsageError
from tol_db.ingest.claims import NOT_A_PICTURE, NOT_AN_ID, SYSTEM_FILE, raw_id
from tol_db.ingest.containers import ingest_containers
from tol_db.ingest.labels import ingest_lookup
from tol_db.ingest.layout import Roots, discover
from tol_db.ingest.raw_folders import RawResult, ingest_bioscan, ingest_eol, ingest_inat21
from tol_db.ingest.tol10m import ingest_tree
from tol_db.split import make_split

Ingest = Callable[[Database, Path], RawResult]


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return new_database(tmp_path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path)


# ------------------------------------------------------------------ raw folders


def raw_tree(folder: Path) -> Path:
    write_archive(
        folder / "eol" / "set_1.tar.gz",
        {"11_101_eol-full-size-copy.jpg": b"1", "12_101_eol-full-size-copy.jpg": b"22", "note.txt": b""},
    )
    write_archive(folder / "eol" / "set_2.tar", {"./13_102_eol-media.JPG": b"333", f"{tree_id(1)}.jpg": b""})
    write_files(folder / "inat21" / f"00007_{WOLF}", ["a.jpg", "b.jpg", ".DS_Store"])
    write_files(folder / "inat21" / f"08876_{POPPY}", ["a.jpg"])
    write_files(folder / "inat21" / "00009_Animalia_Chordata", ["c.jpg"])
    write_files(folder / "bioscan" / "part1", ["x.jpg", "x.json"])
    write_files(folder / "bioscan" / "part200", ["x.jpg"])
    return folder


def test_members_of_original_archives_become_images(db: Database, tmp_path: Path) -> None:
    result = ingest_eol(db, raw_tree(tmp_path) / "eol")
    rows = rows_of(
        db,
        "SELECT treeoflife_id, container, member, bytes, eol_content_id, eol_page_id FROM v_image ORDER BY 5",
    )
    assert rows == [
        (uuid_text(raw_id("eol", "11", "101")), "set_1.tar.gz", "11_101_eol-full-size-copy.jpg", 1, 11, 101),
        (uuid_text(raw_id("eol", "12", "101")), "set_1.tar.gz", "12_101_eol-full-size-copy.jpg", 2, 12, 101),
        (uuid_text(raw_id("eol", "13", "102")), "set_2.tar", "./13_102_eol-media.JPG", 3, 13, 102),
    ]
    assert {row[1]: row[2] for row in strays(db)} == {
        "note.txt": NOT_AN_ID,
        f"{tree_id(1)}.jpg": "named by a TreeOfLife id: a mapping.sqlite is needed to know what it is",
    }
    assert sum(scan.new for scan in result.scan.sources) == 3
    counters_hold(db)


def test_raw_ids_are_the_same_anywhere(tmp_path: Path) -> None:
    assert uuid.uuid5(uuid.NAMESPACE_DNS, "raw-images.tol-db") == uuid.UUID("05b99d57-e95b-553c-b64b-207ab9ffa7d5")
    assert uuid_text(raw_id("eol", "11", "101")) == "d33c8c96-0bc2-520e-8c4c-af4fc720e005"


def test_class_folders_give_images_and_labels(db: Database, tmp_path: Path) -> None:
    result = ingest_inat21(db, raw_tree(tmp_path) / "inat21")
    rows = rows_of(db, "SELECT treeoflife_id, container, member, genus, species, resolution FROM v_image")
    wolf, poppy, short = f"00007_{WOLF}", f"08876_{POPPY}", "00009_Animalia_Chordata"
    assert {str(row[0]): row[1:] for row in rows} == {
        uuid_text(raw_id("inat21", wolf, "a.jpg")): (wolf, "a.jpg", "Canis", "lupus", "folder_name"),
        uuid_text(raw_id("inat21", wolf, "b.jpg")): (wolf, "b.jpg", "Canis", "lupus", "folder_name"),
        uuid_text(raw_id("inat21", poppy, "a.jpg")): (poppy, "a.jpg", "Papaver", "rhoeas", "folder_name"),
        uuid_text(raw_id("inat21", short, "c.jpg")): (short, "c.jpg", None, None, None),
    }
    assert result.unnamed == ("00009_Animalia_Chordata",)
    assert result.labelled == 3
    assert "00009_Animalia_Chordata" in "\n".join(result.describe())
    assert [row[1:] for row in strays(db)] == [(".DS_Store", SYSTEM_FILE)]
    counters_hold(db)


def test_a_lookup_stands_before_the_name_of_a_folder(db: Database, tmp_path: Path) -> None:
    lookup = tmp_path / "inat21_name_lookup.json"
    names = ["Animalia", "Chordata", "Mammalia", "Carnivora", "Canidae", "Canis", "dirus"]
    lookup.write_text(json.dumps({"7": [names, "dire wolf"]}))
    ingest_lookup(db, "inat21", lookup)
    ingest_inat21(db, raw_tree(tmp_path) / "inat21")
    sql = (
        "SELECT DISTINCT group_number, species, resolution FROM v_image v JOIN container c ON c.path = v.container"
    )
    assert sorted(rows_of(db, sql), key=repr) == [
        (7, "dirus", "published"),
        (8876, "rhoeas", "folder_name"),
        (9, None, None),
    ]


def test_a_label_of_a_folder_is_normalised_once(db: Database, tmp_path: Path) -> None:
    write_files(tmp_path / "inat21" / "00001_Metazoa_CHORDATA_unknown_x_y_Canis_Canis lupus (L.)", ["a.jpg"])
    ingest_inat21(db, tmp_path / "inat21")
    sql = 'SELECT kingdom, phylum, class, "order", family, genus, species FROM label'
    assert rows_of(db, sql) == [("Animalia", "Chordata", "", "X", "Y", "Canis", "lupus")]


def test_parts_give_images_whatever_their_numbers(db: Database, tmp_path: Path) -> None:
    ingest_bioscan(db, raw_tree(tmp_path) / "bioscan")
    rows = rows_of(db, "SELECT treeoflife_id, container, member FROM v_image ORDER BY 2")
    assert rows == [
        (uuid_text(raw_id("bioscan", "part1", "x.jpg")), "part1", "x.jpg"),
        (uuid_text(raw_id("bioscan", "part200", "x.jpg")), "part200", "x.jpg"),
    ]
    assert [row[1:] for row in strays(db)] == [("x.json", NOT_A_PICTURE)]


@pytest.mark.parametrize(
    ("key", "ingest"), [("eol", ingest_eol), ("inat21", ingest_inat21), ("bioscan", ingest_bioscan)]
)
def test_a_raw_folder_read_again_changes_nothing_and_takes_what_is_new(
    db: Database, tmp_path: Path, key: str, ingest: Ingest
) -> None:
    folder = raw_tree(tmp_path) / key
    first = ingest(db, folder)
    assert not first.unchanged
    before = dump(db)
    again = ingest(db, folder)
    assert again.unchanged
    assert "nothing changed" in again.describe()
    assert dump(db) == before
    number = len(before["image"])
    if key == "eol":
        write_archive(folder / "set_3.tar", {"99_999_eol.jpg": b"new", "11_101_eol.jpg": b"again"})
    else:
        found = discover(key, folder).containers[0]
        write_files(folder / found.path, ["new.jpg"])
    make_split(db, "some", fraction=1.0, seed=1, by="image")
    more = ingest(db, folder)
    assert [(grown.split, grown.added) for grown in more.extended] == [("some", 1)]
    assert len(dump(db)["image"]) == number + 1
    assert ingest_containers(db, Roots.of(key, folder)).unchanged
    counters_hold(db)


def test_the_place_of_raw_images_is_mended_by_ingest_containers_too(db: Database, tmp_path: Path) -> None:
    folder = raw_tree(tmp_path) / "eol"
    ingest_eol(db, folder)
    write_archive(folder / "set_1.tar.gz", {"x/12_101_eol.jpg": b"moved", "11_101_eol.jpg": b"first"})
    assert scan(db, folder).matched == 2
    assert len(located(db)) == 3
    assert len(dump(db)["image"]) == 3


@pytest.mark.parametrize(
    ("key", "ingest"), [("eol", ingest_eol), ("inat21", ingest_inat21), ("bioscan", ingest_bioscan)]
)
def test_a_raw_folder_after_a_mapping_of_the_same_source_is_refused(
    db: Database, tree: Path, key: str, ingest: Ingest
) -> None:
    ingest_tree(db, tree, scan=False)
    before = dump(db)
    with pytest.raises(UsageError, match="came from a mapping") as caught:
        ingest(db, tree / "dataset" / key)
    assert "ingest containers" in str(caught.value.hint)
    assert dump(db) == before


def test_a_raw_folder_without_containers_is_missing(db: Database, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for ingest in (ingest_eol, ingest_inat21, ingest_bioscan):
        with pytest.raises(InputMissing, match="empty"):
            ingest(db, tmp_path / "empty")
        with pytest.raises(InputMissing, match="nowhere"):
            ingest(db, tmp_path / "nowhere")


def test_raw_folders_can_be_read_from_the_command_line(tmp_path: Path) -> None:
    db = tmp_path / "tol.sqlite"
    tol_db(db, "init")
    raw = raw_tree(tmp_path)
    for key, number in (("eol", 3), ("inat21", 4), ("bioscan", 2)):
        assert f"{number} new images" in tol_db(db, "ingest", key, raw / key).stdout
        assert "nothing changed" in tol_db(db, "ingest", key, raw / key).stdout
