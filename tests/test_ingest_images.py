"""Scanning containers and reading whole trees and raw folders: what is matched, what is stray, what changed."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from materialize.archive import Archive
from materialize.containers import Wanted, read_members
from tests.raw_trees import (
    POPPY,
    WOLF,
    Rows,
    dump,
    jpg,
    new_database,
    rows_of,
    small_rows,
    tree_id,
    write_archive,
    write_files,
    write_mapping,
    write_tree,
)
from tests.running import manifest, start, tol_db
from tests.shared_data import SHARED, SHARED_DATA, needs_shared
from tol_db.db.bulk import uuid_text
from tol_db.db.engine import Database
from tol_db.errors import InputError, InputMissing, UsageError
from tol_db.ingest.claims import DUPLICATE, NO_ROW, NOT_A_PICTURE, NOT_AN_ID, NOT_STORED, SYSTEM_FILE, raw_id
from tol_db.ingest.containers import ingest_containers
from tol_db.ingest.labels import ingest_lookup
from tol_db.ingest.layout import Roots, discover, find_roots, find_tree, natural_key
from tol_db.ingest.mapping import ingest_mapping
from tol_db.ingest.raw_folders import RawResult, ingest_bioscan, ingest_eol, ingest_inat21
from tol_db.ingest.scan import NOT_PLAIN, SUBFOLDER
from tol_db.ingest.scan_report import SourceScan
from tol_db.ingest.tol10m import ingest_tree
from tol_db.split import make_split

Ingest = Callable[[Database, Path], RawResult]

STRUCTURAL = (
    "tar_dir_member,tar_dot_slash,tar_truncated,dup_member,stray_files,missing_part,inat_no_name,nasty_common,"
    "empty_taxon,upper_ext"
)


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return new_database(tmp_path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path)


@pytest.fixture
def eol(db: Database, tmp_path: Path) -> Path:
    """A folder for EOL archives; the mapping names the images 1 to 9, content 10 × n, page n."""
    write_mapping(tmp_path / "mapping.sqlite", Rows(eol={n: (10 * n, n) for n in range(1, 10)})).close()
    ingest_mapping(db, tmp_path / "mapping.sqlite")
    (tmp_path / "eol").mkdir()
    return tmp_path / "eol"


def scan(db: Database, root: Path, key: str = "eol", **options: Any) -> SourceScan:
    (found,) = ingest_containers(db, Roots.of(key, root), **options).sources
    return found


def located(db: Database) -> dict[str, tuple[object, ...]]:
    sql = "SELECT treeoflife_id, container, member, bytes FROM v_image WHERE member_index IS NOT NULL"
    return {str(row[0]): row[1:] for row in rows_of(db, sql)}


def strays(db: Database) -> list[tuple[object, ...]]:
    sql = """SELECT c.path, s.member, s.reason FROM stray_member s JOIN container c ON c.id = s.container_id
             ORDER BY c.path, s.member_index"""
    return rows_of(db, sql)


def states(db: Database) -> dict[object, object]:
    return dict(rows_of(db, "SELECT path, state FROM container"))


def counters_hold(db: Database) -> None:
    """members = matched + strays, for every container that was scanned."""
    wrong = rows_of(
        db,
        """SELECT path, members,
                  (SELECT count(*) FROM image i WHERE i.container_id = c.id AND i.member_index IS NOT NULL),
                  (SELECT count(*) FROM stray_member s WHERE s.container_id = c.id)
           FROM container c WHERE state IN ('scanned', 'damaged')""",
    )
    assert [row for row in wrong if row[1] != row[2] + row[3]] == []
    assert rows_of(db, "PRAGMA foreign_key_check") == []


def names(*numbers: int) -> dict[str, bytes]:
    return {f"{tree_id(n)}.jpg": jpg(n) for n in numbers}


# ------------------------------------------------------------------ archives and the mapping


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar", ".TAR.GZ"])
def test_every_member_is_found_where_it_lies(db: Database, eol: Path, suffix: str) -> None:
    path = write_archive(eol / f"image_set_01{suffix}", names(1, 2, 3))
    result = scan(db, eol)
    assert (result.scanned, result.members, result.matched, result.strays) == (1, 3, 3, 0)
    assert result.rows_without_file == 6
    kind = "tar" if suffix == ".tar" else "tar_gz"
    rows = rows_of(
        db,
        """SELECT i.member, v.treeoflife_id, i.member_index, i.data_offset, i.bytes FROM image i
           JOIN v_image v ON v.image_id = i.id WHERE i.container_id IS NOT NULL ORDER BY 3""",
    )
    assert [row[0] for row in rows] == [None, None, None]  # <treeoflife_id>.jpg
    wanted = [Wanted(row[2], f"{row[1]}.jpg", row[3], row[4]) for row in rows]
    assert [data for _, data in read_members(path, kind, wanted)] == [jpg(1), jpg(2), jpg(3)]
    container = rows_of(db, "SELECT kind, state, members, bytes, mtime_ns, length(digest) FROM container")
    assert container == [(kind, "scanned", 3, path.stat().st_size, path.stat().st_mtime_ns, 32)]
    counters_hold(db)


@pytest.mark.parametrize(
    "name",
    [
        "./{id}.jpg",
        "image_set_01/{id}.jpg",
        "/abs/{id}.jpg",
        "../../{id}.jpg",
        "{id}.JPG",
        "{id}.jpeg",
        "{ID}.jpg",
        "{id}.png",
        "{hex}.jpg",
        "10_1_eol-full-size-copy.jpg",
        "./10_1_EOL-media.JPG",
        "10_777_eol-full-size-copy.jpg",
    ],
)
def test_a_member_is_known_by_its_id_however_it_is_spelled(db: Database, eol: Path, name: str) -> None:
    spelled = name.format(id=tree_id(1), ID=tree_id(1).upper(), hex=uuid.UUID(tree_id(1)).hex)
    write_archive(eol / "a.tar.gz", {spelled: jpg(1)})
    assert scan(db, eol).matched == 1
    assert located(db) == {tree_id(1): ("a.tar.gz", spelled, len(jpg(1)))}


def test_of_two_images_with_one_content_id_the_page_decides(db: Database, tmp_path: Path) -> None:
    write_mapping(tmp_path / "m.sqlite", Rows(eol={1: (5, 50), 2: (5, 60)})).close()
    ingest_mapping(db, tmp_path / "m.sqlite")
    write_archive(tmp_path / "eol" / "a.tar.gz", {"5_60_eol.jpg": b"2", "5_50_eol.jpg": b"11"})
    scan(db, tmp_path / "eol")
    assert {key: row[-1] for key, row in located(db).items()} == {tree_id(1): 2, tree_id(2): 1}


def test_what_no_row_claims_is_a_stray_with_a_reason(db: Database, eol: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:

        def add(name: str, type_: bytes = tarfile.REGTYPE, link: str = "") -> None:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = type_, link
            archive.addfile(info)

        add("image_set_01", tarfile.DIRTYPE)
        add(f"{tree_id(1)}.jpg")
        add(f"{tree_id(99)}.jpg")
        add(f"{tree_id(2)}.jpg", tarfile.SYMTYPE, f"{tree_id(1)}.jpg")
        add("README.txt")
        add("caf\xe9.jpg")
        add("image_set_01/.DS_Store")
        add(f"._{tree_id(3)}.jpg")
        add(f"{tree_id(1)}.jpg")
        add(f"{tree_id(4)}.txt")
        add("77_1_eol-full-size-copy.jpg")
        add("9999999999999999999999_1_eol.jpg")
    (eol / "a.tar.gz").write_bytes(gzip.compress(out.getvalue()))
    result = scan(db, eol)
    assert (result.members, result.matched, result.strays) == (11, 1, 10)
    assert [row[1:] for row in strays(db)] == [
        (f"{tree_id(99)}.jpg", NO_ROW),
        (f"{tree_id(2)}.jpg", NOT_PLAIN),
        ("README.txt", NOT_AN_ID),
        ("caf\\xe9.jpg", NOT_STORED),
        ("image_set_01/.DS_Store", SYSTEM_FILE),
        (f"._{tree_id(3)}.jpg", SYSTEM_FILE),
        (f"{tree_id(1)}.jpg", DUPLICATE),
        (f"{tree_id(4)}.txt", NOT_AN_ID),
        ("77_1_eol-full-size-copy.jpg", NO_ROW),
        ("9999999999999999999999_1_eol.jpg", NOT_AN_ID),
    ]
    indexes = [row[0] for row in rows_of(db, "SELECT member_index FROM stray_member ORDER BY 1")]
    assert indexes == list(range(2, 12))  # the folder has a place in the archive, and is no stray
    assert result.files_without_row == 10
    counters_hold(db)


def test_of_an_image_that_lies_twice_the_first_file_stays(db: Database, eol: Path) -> None:
    write_archive(eol / "image_set_2.tar.gz", [*names(1, 2).items(), (f"{tree_id(1)}.jpg", b"again")])
    write_archive(eol / "image_set_10.tar.gz", names(2, 3))
    scan(db, eol)
    assert {key: row[0] for key, row in located(db).items()} == {
        tree_id(1): "image_set_2.tar.gz",
        tree_id(2): "image_set_2.tar.gz",
        tree_id(3): "image_set_10.tar.gz",
    }
    assert located(db)[tree_id(1)][-1] == len(jpg(1))
    assert [row[-1] for row in strays(db)] == [DUPLICATE, DUPLICATE]
    counters_hold(db)


def test_when_the_first_file_goes_the_second_is_taken(db: Database, eol: Path) -> None:
    write_archive(eol / "a.tar.gz", names(1, 2))
    write_archive(eol / "b.tar.gz", names(2, 3))
    scan(db, eol)
    (eol / "a.tar.gz").unlink()
    result = scan(db, eol)
    assert {key: row[0] for key, row in located(db).items()} == {tree_id(2): "b.tar.gz", tree_id(3): "b.tar.gz"}
    assert [(note.path, note.why) for note in result.changed] == [
        ("b.tar.gz", "an image without a file claims a stray of it")
    ]
    assert strays(db) == []
    counters_hold(db)


def test_rows_that_come_later_claim_the_strays_that_are_theirs(db: Database, tmp_path: Path) -> None:
    rows = small_rows()
    tree = write_tree(tmp_path, rows)
    for table, number in ((rows.eol, 2), (rows.inat21, 6), (rows.bioscan, 9)):
        table.pop(number)
    mapping = tree / "metadata" / "mapping.sqlite"
    mapping.unlink()
    write_mapping(mapping, rows).close()
    ingest_tree(db, tree)
    assert len(strays(db)) == 3
    mapping.unlink()
    write_mapping(mapping, small_rows()).close()
    result = ingest_tree(db, tree)
    assert result.containers is not None
    assert sorted(c.scanned for c in result.containers.sources) == [1, 1, 1]
    assert len(located(db)) == 10
    assert strays(db) == []
    counters_hold(db)


# ------------------------------------------------------------------ folders and the mapping


def test_files_are_matched_by_name_within_their_folder(db: Database, tree: Path) -> None:
    ingest_tree(db, tree)
    assert located(db)[tree_id(5)] == (f"train/00007_{WOLF}", "a.jpg", len(b"picture a.jpg"))
    assert located(db)[tree_id(7)] == (f"train/08876_{POPPY}", "a.jpg", len(b"picture a.jpg"))
    assert located(db)[tree_id(8)][0] == "part1"
    assert located(db)[tree_id(10)][0] == "part12"
    assert len(located(db)) == 10
    sizes = rows_of(db, "SELECT path, bytes, members FROM container WHERE kind = 'directory' ORDER BY path")
    assert sizes[0] == ("part1", 2 * len(b"picture x.jpg"), 2)
    counters_hold(db)


def test_what_lies_in_a_folder_beside_its_images_is_a_stray(db: Database, tree: Path) -> None:
    part = tree / "dataset" / "bioscan" / "part1"
    write_files(part, [".DS_Store", "Thumbs.db", "._x.jpg", "more.jpg", "notes.txt", os.fsdecode(b"caf\xe9.jpg")])
    (part / "sub").mkdir()
    write_files(part / "sub", ["x.jpg"])
    (part / "broken.jpg").symlink_to("nowhere")
    ingest_tree(db, tree)
    assert {row[1]: row[2] for row in strays(db)} == {
        ".DS_Store": SYSTEM_FILE,
        "Thumbs.db": SYSTEM_FILE,
        "._x.jpg": SYSTEM_FILE,
        "more.jpg": NO_ROW,
        "notes.txt": NO_ROW,
        "caf\\xe9.jpg": NOT_STORED,
        "sub": SUBFOLDER,
        "broken.jpg": NOT_PLAIN,
    }
    counters_hold(db)


def test_a_row_may_name_any_file_also_a_hidden_one(db: Database, tmp_path: Path) -> None:
    write_mapping(tmp_path / "m.sqlite", Rows(bioscan={1: (1, "._x.jpg"), 2: (1, "Thumbs.db")})).close()
    ingest_mapping(db, tmp_path / "m.sqlite")
    write_files(tmp_path / "bioscan" / "part1", ["._x.jpg", "Thumbs.db"])
    assert scan(db, tmp_path / "bioscan", "bioscan").matched == 2
    assert strays(db) == []


def test_of_two_rows_that_name_one_file_the_first_gets_it(db: Database, tmp_path: Path) -> None:
    write_mapping(tmp_path / "m.sqlite", Rows(bioscan={1: (1, "x.jpg"), 2: (1, "x.jpg")})).close()
    ingest_mapping(db, tmp_path / "m.sqlite")
    write_files(tmp_path / "bioscan" / "part1", ["x.jpg"])
    result = scan(db, tmp_path / "bioscan", "bioscan")
    assert (result.matched, result.rows_without_file) == (1, 1)


def test_a_part_that_the_mapping_names_and_that_is_not_there_is_missing(db: Database, tree: Path) -> None:
    shutil.rmtree(tree / "dataset" / "bioscan" / "part12")
    (tree / "dataset" / "bioscan" / "part999").mkdir()
    result = ingest_tree(db, tree)
    assert result.containers is not None
    bioscan = result.containers.sources[2]
    assert bioscan.missing == ("part12",)
    assert bioscan.rows_without_file == 1
    assert states(db)["part12"] == "missing"
    assert states(db)["part999"] == "scanned"
    assert "part12" in "\n".join(result.describe())


def test_a_folder_that_moved_keeps_its_images(db: Database, tree: Path) -> None:
    ingest_tree(db, tree)
    inat21 = tree / "dataset" / "inat21"
    for folder in (inat21 / "train").iterdir():
        folder.rename(inat21 / folder.name)
    (inat21 / "train").rmdir()
    result = ingest_tree(db, tree)
    assert result.containers is not None
    assert (result.containers.sources[1].scanned, result.containers.sources[1].missing) == (2, ())
    assert located(db)[tree_id(5)][0] == f"00007_{WOLF}"
    assert len(located(db)) == 10
    assert ingest_tree(db, tree).unchanged


def test_a_tree_that_moved_is_found_at_its_new_place_without_a_scan(db: Database, tree: Path) -> None:
    ingest_tree(db, tree)
    moved = tree.rename(tree.with_name("moved"))
    result = ingest_tree(db, moved)
    assert result.containers is not None
    assert [s.scanned for s in result.containers.sources] == [0, 0, 0]
    assert {row[0] for row in rows_of(db, "SELECT root FROM source")} == {
        str(moved / "dataset" / key) for key in ("eol", "inat21", "bioscan")
    }


# ------------------------------------------------------------------ what lies on disk


def test_whatever_else_lies_under_a_root_is_reported_and_no_fault(db: Database, tree: Path) -> None:
    dataset = tree / "dataset"
    write_files(dataset / "eol", ["README.txt", "image_set_03.tar.gz.aria2", "._image_set_01.tar.gz"])
    (dataset / "eol" / "unpacked").mkdir()
    write_files(dataset / "inat21" / "train", ["train.tar.gz", "list.txt"])
    (dataset / "inat21" / "val").mkdir()
    (dataset / "inat21" / "train" / "no number").mkdir()
    (dataset / "bioscan" / "part").mkdir()
    (dataset / "bioscan" / "partX").mkdir()
    (dataset / "bioscan" / os.fsdecode(b"part\xff")).mkdir()
    result = ingest_tree(db, tree)
    assert result.containers is not None
    ignored = {scan.key: {other.path: other.why for other in scan.ignored} for scan in result.containers.sources}
    assert ignored == {
        "eol": {
            "README.txt": "not a .tar.gz, .tgz or .tar file",
            "image_set_03.tar.gz.aria2": "not a .tar.gz, .tgz or .tar file",
            "._image_set_01.tar.gz": "hidden",
            "unpacked": "a folder, not an archive",
        },
        "inat21": {
            "train/train.tar.gz": "an archive: extract it first",
            "train/list.txt": "not a folder",
            "train/no number": "not named <number>_<class name>",
            "val": "beside train/",
        },
        "bioscan": {
            "part": "not named part<number>",
            "partX": "not named part<number>",
            "part\\xff": "its name is not UTF-8",
        },
    }
    assert len(located(db)) == 10


def test_containers_come_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 100, 1):
        (tmp_path / f"part{number}").mkdir()
    assert [c.path for c in discover("bioscan", tmp_path).containers] == ["part1", "part9", "part10", "part100"]
    assert sorted(["a10b2", "a9b1", "a10b1", "b"], key=natural_key) == ["a9b1", "a10b1", "a10b2", "b"]


def test_a_tree_is_found_from_itself_its_parent_and_its_dataset_folder(tree: Path) -> None:
    roots = find_roots(tree)
    assert [key for key, _ in roots.items()] == ["eol", "inat21", "bioscan"]
    assert find_tree(tree.parent) == tree
    assert find_roots(tree.parent) == roots
    assert find_roots(tree / "dataset") == roots
    assert find_roots(tree, "inat21") == Roots(inat21=tree / "dataset" / "inat21")


def test_upper_case_folder_names_are_found(tree: Path) -> None:
    (tree / "dataset" / "eol").rename(tree / "dataset" / "EOL")
    assert dict(find_roots(tree).items())["eol"] == tree / "dataset" / "EOL"


def test_the_folder_of_a_source_is_known_by_its_name_or_by_what_lies_in_it(tree: Path, tmp_path: Path) -> None:
    for key in ("eol", "inat21", "bioscan"):
        folder = tree / "dataset" / key
        assert find_roots(folder) == Roots.of(key, folder)
        other = folder.rename(tmp_path / f"other_{key}")
        assert find_roots(other) == Roots.of(key, other)
        assert find_roots(other, "bioscan") == Roots.of("bioscan", other)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty") as caught:
        find_roots(tmp_path / "empty")
    assert "--source" in str(caught.value.hint)


def test_a_tree_without_the_wanted_source_is_said_to_be(tree: Path) -> None:
    shutil.rmtree(tree / "dataset" / "eol")
    with pytest.raises(InputMissing, match="dataset/eol"):
        find_roots(tree, "eol")


def test_an_unmounted_disk_is_not_taken_for_the_loss_of_everything(db: Database, tree: Path) -> None:
    ingest_tree(db, tree)
    before = dump(db)
    shutil.rmtree(tree / "dataset" / "eol")
    with pytest.raises(InputMissing, match="eol"):
        ingest_containers(db, Roots(eol=tree / "dataset" / "eol"))
    (tree / "dataset" / "eol").mkdir()
    with pytest.raises(InputMissing, match="2 were scanned before") as caught:
        ingest_containers(db, Roots(eol=tree / "dataset" / "eol"))
    assert "mounted" in str(caught.value.hint)
    assert dump(db) == before


def test_containers_without_any_image_row_are_refused_with_the_remedy(db: Database, tree: Path) -> None:
    before = dump(db)
    with pytest.raises(UsageError, match="no image rows of eol") as caught:
        ingest_containers(db, Roots(eol=tree / "dataset" / "eol"))
    assert "ingest eol" in str(caught.value.hint)
    assert dump(db) == before


# ------------------------------------------------------------------ again


def test_a_second_run_changes_nothing_and_says_so(db: Database, tree: Path) -> None:
    first = ingest_tree(db, tree)
    assert not first.unchanged
    before = dump(db)
    again = ingest_tree(db, tree)
    assert again.unchanged
    assert again.containers is not None
    assert [(s.scanned, s.unchanged) for s in again.containers.sources] == [(0, 2), (0, 2), (0, 2)]
    assert "nothing changed" in again.describe()
    assert dump(db) == before


def test_a_changed_archive_is_read_again_and_replaces_what_was_known(db: Database, eol: Path) -> None:
    write_archive(eol / "a.tar.gz", names(1, 2, 99))
    write_archive(eol / "b.tar.gz", names(3))
    scan(db, eol)
    before = located(db)
    write_archive(eol / "a.tar.gz", {**names(4, 2), "odd.jpg": b""})
    result = scan(db, eol)
    assert (result.scanned, result.unchanged) == (1, 1)
    (note,) = result.changed
    assert note.path == "a.tar.gz"
    assert "its size changed" in note.why or "its bytes" in note.why
    after = located(db)
    assert set(after) == {tree_id(2), tree_id(3), tree_id(4)}
    assert after[tree_id(3)] == before[tree_id(3)]
    assert [row[1] for row in strays(db)] == ["odd.jpg"]
    gone = rows_of(
        db,
        """SELECT i.container_id, i.member_index, i.data_offset, i.bytes FROM image i
           JOIN v_image v ON v.image_id = i.id WHERE v.treeoflife_id = ?""",
        tree_id(1),
    )
    assert gone == [(None, None, None, None)]
    counters_hold(db)


def test_a_touched_archive_is_hashed_and_not_read_again(db: Database, eol: Path) -> None:
    path = write_archive(eol / "a.tar.gz", names(1))
    scan(db, eol)
    os.utime(path, (5, 5))
    result = scan(db, eol)
    assert (result.scanned, result.unchanged) == (0, 1)
    before = dump(db)
    assert scan(db, eol).unchanged == 1
    assert dump(db) == before


def test_other_bytes_of_the_same_size_are_noticed_by_the_time(db: Database, eol: Path) -> None:
    path = write_archive(eol / "a.tar", names(1))
    scan(db, eol)
    size = path.stat().st_size
    write_archive(path, {f"{tree_id(2)}.jpg": jpg(1)})
    os.utime(path, (5, 5))
    assert path.stat().st_size == size
    (note,) = scan(db, eol).changed
    assert note.why == "its bytes, but not its size, changed"
    assert set(located(db)) == {tree_id(2)}


def test_other_bytes_of_the_same_size_and_time_are_noticed_by_rehash(db: Database, eol: Path) -> None:
    path = write_archive(eol / "a.tar", names(1))
    scan(db, eol)
    then = path.stat().st_mtime_ns
    write_archive(path, {f"{tree_id(2)}.jpg": jpg(1)})
    os.utime(path, ns=(then, then))
    assert scan(db, eol).scanned == 0
    result = scan(db, eol, rehash=True)
    assert (result.scanned, len(result.changed)) == (1, 1)
    assert set(located(db)) == {tree_id(2)}
    before = dump(db)
    assert scan(db, eol, rehash=True).unchanged == 1
    assert dump(db) == before


def test_a_folder_with_a_new_file_is_read_again_and_one_with_a_touched_file_is_not(
    db: Database, tree: Path
) -> None:
    ingest_tree(db, tree)
    bioscan = tree / "dataset" / "bioscan"
    write_files(bioscan / "part1", ["new.jpg"])
    os.utime(bioscan / "part12", (5, 5))
    result = scan(db, bioscan, "bioscan")
    assert (result.scanned, result.unchanged) == (1, 1)
    assert [(note.path, note.why) for note in result.changed] == [("part1", "its files changed")]
    assert [row[1] for row in strays(db)] == ["new.jpg"]
    counters_hold(db)


def test_a_container_that_has_gone_is_missing_and_comes_back(db: Database, eol: Path) -> None:
    write_archive(eol / "a.tar.gz", names(1))
    write_archive(eol / "b.tar.gz", names(2, 99))
    scan(db, eol)
    (eol / "b.tar.gz").rename(eol.parent / "aside")
    result = scan(db, eol)
    assert (result.missing, result.newly_missing) == (("b.tar.gz",), 1)
    assert states(db) == {"a.tar.gz": "scanned", "b.tar.gz": "missing"}
    assert set(located(db)) == {tree_id(1)}
    assert strays(db) == []
    again = scan(db, eol)
    assert (again.missing, again.newly_missing) == (("b.tar.gz",), 0)
    (eol.parent / "aside").rename(eol / "b.tar.gz")
    back = scan(db, eol)
    assert [(note.path, note.why) for note in back.changed] == [("b.tar.gz", "it was missing")]
    assert set(located(db)) == {tree_id(1), tree_id(2)}


# ------------------------------------------------------------------ damaged


def test_of_a_damaged_archive_what_lies_before_the_fault_is_kept(db: Database, eol: Path) -> None:
    rng = random.Random(8)
    files = {f"{tree_id(n)}.jpg": rng.randbytes(300_000) for n in range(1, 7)}
    whole = write_archive(eol / "a.tar.gz", files).stat().st_size
    os.truncate(eol / "a.tar.gz", whole * 2 // 3)
    write_archive(eol / "b.tar.gz", names(9))
    result = ingest_containers(db, Roots(eol=eol))
    (source,) = result.sources
    (note,) = source.damaged
    assert note.path == "a.tar.gz"
    assert "cut off" in note.why
    assert source.scanned == 2
    assert tree_id(9) in located(db)
    in_a = [key for key, row in located(db).items() if row[0] == "a.tar.gz"]
    assert 2 <= len(in_a) < 6
    assert states(db) == {"a.tar.gz": "damaged", "b.tar.gz": "scanned"}
    assert rows_of(db, "SELECT detail, digest FROM container WHERE state = 'damaged'") == [(note.why, None)]
    rows = rows_of(db, "SELECT v.treeoflife_id, i.member_index, i.data_offset, i.bytes FROM image i JOIN v_image v"
                   " ON v.image_id = i.id WHERE v.container = 'a.tar.gz' ORDER BY 2")  # fmt: skip
    wanted = [Wanted(row[1], f"{row[0]}.jpg", row[2], row[3]) for row in rows]
    read = {want.name: data for want, data in read_members(eol / "a.tar.gz", "tar_gz", wanted)}
    assert read == {name: files[name] for name in read}
    assert len(read) == len(in_a)
    with pytest.raises(InputError, match=r"a\.tar\.gz"):
        result.require_sound()
    counters_hold(db)
    before = dump(db)
    again = scan(db, eol)
    assert (again.scanned, len(again.damaged)) == (0, 1)
    assert dump(db) == before
    write_archive(eol / "a.tar.gz", files)
    mended = ingest_containers(db, Roots(eol=eol))
    mended.require_sound()
    assert len(located(db)) == 7


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", gzip.compress(b"no tar in here " * 99)])
def test_an_archive_that_is_none_does_not_stop_the_others(db: Database, eol: Path, data: bytes) -> None:
    (eol / "a.tar.gz").write_bytes(data)
    write_archive(eol / "b.tar.gz", names(1))
    result = scan(db, eol)
    assert [note.path for note in result.damaged] == ["a.tar.gz"]
    assert set(located(db)) == {tree_id(1)}
    counters_hold(db)


def test_a_damaged_archive_with_another_time_is_read_again(db: Database, eol: Path) -> None:
    (eol / "a.tar.gz").write_bytes(b"broken")
    scan(db, eol)
    os.utime(eol / "a.tar.gz", (5, 5))
    assert [note.why for note in scan(db, eol).changed] == ["it was damaged"]
    assert [note.why for note in scan(db, eol, rehash=True).changed] == ["it was damaged"]


def test_bytes_behind_an_archive_are_remarked_upon(db: Database, eol: Path) -> None:
    path = write_archive(eol / "a.tar.gz", names(1))
    with path.open("ab") as file:
        file.write(b"trailing")
    result = scan(db, eol)
    assert [(note.path, note.why) for note in result.remarks] == [
        ("a.tar.gz", "bytes follow the gzip stream; they are ignored")
    ]
    assert result.matched == 1
    assert states(db) == {"a.tar.gz": "scanned"}


def test_an_archive_that_grows_while_it_is_read_is_not_recorded(
    db: Database, eol: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_archive(eol / "a.tar.gz", names(1))
    write_archive(eol / "b.tar.gz", names(2))
    drain = Archive.drain

    def downloading(self: Archive) -> str:
        if self.path == path:
            with path.open("ab") as file:
                file.write(b"more")
        return drain(self)

    monkeypatch.setattr(Archive, "drain", downloading)
    result = ingest_containers(db, Roots(eol=eol))
    (source,) = result.sources
    assert [note.path for note in source.unreadable] == ["a.tar.gz"]
    assert set(located(db)) == {tree_id(2)}
    assert states(db) == {"b.tar.gz": "scanned"}
    with pytest.raises(InputError, match="written to while it was read"):
        result.require_sound()


# ------------------------------------------------------------------ a part of them


def test_a_range_goes_by_the_number_in_the_names(db: Database, eol: Path) -> None:
    for number in (7, 8, 63):
        write_archive(eol / f"image_set_{number:02d}.tar.gz", names(number % 10))
    assert scan(db, eol, only=range(8, 64)).scanned == 2
    assert set(states(db)) == {"image_set_08.tar.gz", "image_set_63.tar.gz"}
    with pytest.raises(UsageError, match="range 1-6") as caught:
        scan(db, eol, only=range(1, 7))
    assert "7 to 63" in str(caught.value.hint)
    rest = scan(db, eol)
    assert (rest.scanned, rest.unchanged) == (1, 2)


def test_a_range_goes_by_place_where_names_have_no_numbers_of_their_own(db: Database, eol: Path) -> None:
    for number, name in enumerate(("a.tar.gz", "b9.tar.gz", "c9.tar.gz"), 1):
        write_archive(eol / name, names(number))
    scan(db, eol, only=range(2, 4))
    assert set(states(db)) == {"b9.tar.gz", "c9.tar.gz"}


def test_a_range_takes_nothing_for_missing(db: Database, eol: Path) -> None:
    for number in (1, 2):
        write_archive(eol / f"set{number}.tar.gz", names(number))
    scan(db, eol)
    (eol / "set1.tar.gz").unlink()
    assert scan(db, eol, only=range(2, 3)).missing == ()
    assert len(located(db)) == 2


def test_a_scan_that_was_cut_short_goes_on_where_it_was(db: Database, tree: Path) -> None:
    roots = find_roots(tree)
    ingest_mapping(db, tree / "metadata" / "mapping.sqlite", roots)
    eol = tree / "dataset" / "eol"
    scan(db, eol, only=range(1, 2))
    half = rows_of(db, "SELECT scanned_at FROM container WHERE state = 'scanned'")
    assert scan(db, eol).scanned == 1
    assert half[0] in rows_of(db, "SELECT scanned_at FROM container WHERE path = 'image_set_01.tar.gz'")
    counters_hold(db)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_scan_keeps_what_was_finished_and_ends_the_same(tmp_path: Path, how: signal.Signals) -> None:
    tree = write_tree(tmp_path)
    rng = random.Random(2)
    big = {f"{tree_id(n)}.jpg": rng.randbytes(20_000_000) for n in (3, 4)}
    (tmp_path / "whole").mkdir()
    write_archive(tree / "dataset" / "eol" / "image_set_02.tar.gz", [*big.items()] * 4)
    whole = new_database(tmp_path / "whole")
    ingest_tree(whole, tree)
    db = new_database(tmp_path)
    ingest_tree(db, tree, scan=False)
    child = start(db.path, "ingest", "containers", tree)
    first = "SELECT count(*) FROM container WHERE path = 'image_set_01.tar.gz' AND state = 'scanned'"
    while rows_of(db, first) == [(0,)] and child.poll() is None:
        time.sleep(0.005)
    child.send_signal(how)
    _, told = child.communicate(timeout=60)
    if child.returncode == 0:
        pytest.skip("this machine was too fast")
    assert child.returncode == (-9 if how == signal.SIGKILL else 75), told
    assert rows_of(db, first) == [(1,)]
    assert rows_of(db, "SELECT count(*) FROM container WHERE path = 'image_set_02.tar.gz'") == [(0,)]
    tol_db(db.path, "ingest", "containers", tree)
    expected, found = dump(whole), dump(db)
    assert located(db) == located(whole)
    assert found["split_member"] == expected["split_member"]
    assert [row[:3] for row in found["stray_member"]] == [row[:3] for row in expected["stray_member"]]
    counters_hold(db)


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


# ------------------------------------------------------------------ whole trees


def test_what_is_absent_is_listed(db: Database, tree: Path) -> None:
    shutil.rmtree(tree / "dataset" / "bioscan")
    result = ingest_tree(db, tree)
    assert result.absent == (
        "metadata/naming/eol_name_lookup.json",
        "metadata/naming/inat21_name_lookup.json",
        "metadata/naming/bioscan_name_lookup.json",
        "metadata/licenses.csv",
        "dataset/bioscan",
    )
    assert [step.path for step in result.steps] == ["metadata/mapping.sqlite"]
    assert "licenses.csv" in result.describe()[-1]


def test_the_scan_can_be_left_for_later(db: Database, tree: Path) -> None:
    result = ingest_tree(db, tree, scan=False)
    assert result.containers is None
    assert located(db) == {}
    assert {s.key for s in ingest_containers(db, find_roots(tree)).sources} == {"eol", "inat21", "bioscan"}
    assert len(located(db)) == 10


def test_a_tree_without_a_mapping_names_the_raw_commands(db: Database, tree: Path, tmp_path: Path) -> None:
    (tree / "metadata" / "mapping.sqlite").unlink()
    before = dump(db)
    (tmp_path / "none").mkdir()
    for folder in (tree, tmp_path / "none"):
        with pytest.raises(InputMissing) as caught:
            ingest_tree(db, folder)
        assert "tol-db ingest eol DIR" in str(caught.value.hint)
    assert dump(db) == before


def test_two_trees_in_one_folder_have_to_be_told_apart(tmp_path: Path) -> None:
    write_tree(tmp_path).rename(tmp_path / "one")
    write_tree(tmp_path).rename(tmp_path / "two")
    with pytest.raises(UsageError, match="one, two"):
        find_tree(tmp_path)


@needs_shared
def test_the_published_corpus_is_matched_as_its_manifest_says(db: Database) -> None:
    corpus = SHARED_DATA / "corpora" / "dev"
    result = ingest_tree(db, corpus / "data")
    items = manifest(corpus)
    mapped = {item["id"]: item for item in items if item["fate"] != "drop:unmapped"}
    found = located(db)
    assert {key: row[-1] for key, row in found.items()} == {key: item["bytes"] for key, item in mapped.items()}
    (stray,) = strays(db)
    (unmapped,) = (item["id"] for item in items if item["fate"] == "drop:unmapped")
    assert stray[1:] == (f"{unmapped}.jpg", NO_ROW)
    named = rows_of(db, "SELECT count(*) FROM image WHERE label_id IS NOT NULL")
    assert named == [(sum(item["fate"] != "drop:no-name" for item in mapped.values()),)]
    assert result.absent == ()
    counters_hold(db)
    before = dump(db)
    assert ingest_tree(db, corpus / "data").unchanged
    assert dump(db) == before


@needs_shared
def test_the_adversarial_corpus_is_matched_whole(db: Database) -> None:
    corpus = SHARED_DATA / "corpora" / "dev_adversarial"
    ingest_tree(db, corpus / "data")
    items = {item["id"] for item in manifest(corpus) if item["fate"] != "drop:unmapped"}
    assert set(located(db)) == items
    counters_hold(db)


@needs_shared
def test_a_tree_with_faults_of_every_kind_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    tool = SHARED / "tools" / "make_corpus.py"
    words = ["--images", "120", "--seed", "3", "--size-profile", "small", "--kinds", STRUCTURAL]
    subprocess.run(
        [sys.executable, tool, tmp_path, *words, "--workers", "2"], check=True, capture_output=True, timeout=300
    )
    db = new_database(tmp_path)
    done = tol_db(db.path, "ingest", "tol10m", tmp_path / "data", expect=65)
    assert "damaged" in done.stderr
    assert "fetch" in done.stderr
    items = {item["id"]: item for item in manifest(tmp_path) if item["fate"] != "drop:unmapped"}
    found = located(db)
    missing = {key for key, item in items.items() if item.get("bad") == "missing_part"}
    cut = {key for key, item in items.items() if item["source"] == "eol" and key not in found}
    assert set(found) == set(items) - missing - cut
    assert cut
    assert {key: row[-1] for key, row in found.items()} == {key: items[key]["bytes"] for key in found}
    reasons = Counter(row[-1] for row in strays(db))
    assert reasons[SYSTEM_FILE] >= 9
    assert reasons[SUBFOLDER] >= 3
    assert "README.txt" in done.stdout
    counters_hold(db)
    before = dump(db)
    tol_db(db.path, "ingest", "tol10m", tmp_path / "data", expect=65)
    assert dump(db) == before


# ------------------------------------------------------------------ the command line


def test_the_commands_print_what_they_did(tree: Path, tmp_path: Path) -> None:
    db = tmp_path / "tol.sqlite"
    tol_db(db, "init")
    first = tol_db(db, "ingest", "tol10m", tree.parent)
    assert "10 images" in first.stdout
    assert "2 containers scanned" in first.stdout
    assert "not in this tree" in first.stdout
    again = tol_db(db, "ingest", "tol10m", tree.parent)
    assert "nothing changed" in again.stdout
    assert again.stderr == ""
    one = tol_db(db, "ingest", "containers", tree, "--source", "eol", "--containers", "2", "--rehash")
    assert "1 unchanged" in one.stdout
    both = tol_db(db, "ingest", "containers", tree, "--containers", "2", expect=2)
    assert "--source" in both.stderr
    tol_db(db, "ingest", "containers", tree / "dataset" / "bioscan")
    refused = tol_db(db, "ingest", "eol", tree / "dataset" / "eol", expect=2)
    assert "ingest containers" in refused.stderr


def test_raw_folders_can_be_read_from_the_command_line(tmp_path: Path) -> None:
    db = tmp_path / "tol.sqlite"
    tol_db(db, "init")
    raw = raw_tree(tmp_path)
    for key, number in (("eol", 3), ("inat21", 4), ("bioscan", 2)):
        assert f"{number} new images" in tol_db(db, "ingest", key, raw / key).stdout
        assert "nothing changed" in tol_db(db, "ingest", key, raw / key).stdout


def test_a_tree_whose_mapping_names_other_sources_only_is_read(db: Database, tree: Path) -> None:
    mapping = tree / "metadata" / "mapping.sqlite"
    mapping.unlink()
    write_mapping(mapping, Rows(bioscan={8: (1, "x.jpg")})).close()
    shutil.rmtree(tree / "dataset" / "bioscan")
    result = ingest_tree(db, tree)
    assert "eol      no image row" in "\n".join(result.describe())


def test_a_folder_whose_name_is_not_utf_8_is_refused(db: Database, tree: Path, tmp_path: Path) -> None:
    odd = tree.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    before = dump(db)
    with pytest.raises(InputError, match="UTF-8"):
        ingest_tree(db, odd)
    with pytest.raises(InputError, match="UTF-8"):
        ingest_mapping(db, odd / "metadata" / "mapping.sqlite")
    with pytest.raises(InputError, match="UTF-8"):
        ingest_bioscan(db, odd / "dataset" / "bioscan")
    assert dump(db) == before
