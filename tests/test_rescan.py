"""Scanning again: what changed, what has gone, what is damaged, and a part of them at a time."""

from __future__ import annotations

import gzip
import os
import random
import signal
import time
from pathlib import Path

import pytest

from materialize.archive import Archive
from materialize.containers import Wanted, read_members
from tests.raw_trees import (
    counters_hold,
    dump,
    jpg,
    located,
    names,
    new_database,
    rows_of,
    scan,
    states,
    strays,
    tree_id,
    write_archive,
    write_files,
    write_tree,
)
from tests.running import start, tol_db
from tol_db.db.engine import Database
from tol_db.errors import InputError, UsageError
from tol_db.ingest.containers import ingest_containers
from tol_db.ingest.layout import Roots, find_roots
from tol_db.ingest.mapping import ingest_mapping
from tol_db.ingest.tol10m import ingest_tree

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


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", gzip.compress(b"no tar in here " * 99, mtime=0)])
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
