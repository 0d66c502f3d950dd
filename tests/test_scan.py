"""Scanning containers: which file is which image, what is stray, what lies on disk."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import tarfile
import uuid
from pathlib import Path

import pytest

from materialize.containers import Wanted, read_members
from tests.raw_trees import (
    POPPY,
    WOLF,
    Rows,
    counters_hold,
    dump,
    jpg,
    located,
    names,
    rows_of,
    scan,
    small_rows,
    states,
    strays,
    tree_id,
    write_archive,
    write_files,
    write_mapping,
    write_tree,
)
from tol_db.db.engine import Database, raw
from tol_db.errors import InputMissing, UsageError
from tol_db.ingest import matching
from tol_db.ingest.claims import DUPLICATE, NO_ROW, NOT_AN_ID, NOT_STORED, SYSTEM_FILE
from tol_db.ingest.containers import ingest_containers
from tol_db.ingest.layout import Roots, discover, find_roots, find_tree, natural_key
from tol_db.ingest.mapping import ingest_mapping
from tol_db.ingest.scan import NOT_PLAIN, SUBFOLDER
from tol_db.ingest.tol10m import ingest_tree

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


def test_the_statements_of_a_scan_never_read_all_images(db: Database) -> None:
    """Ten million rows: image and eol_image are searched by a key, never scanned."""
    statements = {
        name: sql for name, sql in vars(matching).items() if re.fullmatch("_[A-Z_]+", name) and "image" in sql
    }
    assert len(statements) >= 8
    with db.write() as conn:
        driver = raw(conn)
        driver.execute(statements.pop("_FOUND"))
        for name, sql in statements.items():
            plan = [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {sql}", [1] * sql.count("?"))]
            scans = [step for step in plan if re.match(r"SCAN (main\.)?(image|eol_image|i|e)\b", step)]
            assert not scans, (name, plan)
            pages = [step for step in plan if "page_id" in step]
            assert not pages, (name, plan)
