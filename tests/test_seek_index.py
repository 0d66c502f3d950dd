"""Single members of a .tar.gz by its seek index: the right bytes or a clear error, and shuffled shards of them."""

from __future__ import annotations

import fcntl
import gzip
import io
import os
import random
import shutil
import signal
import sqlite3
import tarfile
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import indexed_gzip
import pytest
from isal import isal_zlib
from zlib_ng import zlib_ng

from materialize import seek_index as seek_index_module
from materialize import streams
from materialize.archive import Archive
from materialize.containers import Wanted, read_members
from materialize.seek_index import HEADER, POINT, SUFFIX, WINDOW, SeekIndex
from materialize.seek_index_build import Building, Built
from tests.faults import faulty
from tests.processes import open_files, until
from tests.running import DATASET, shards_of, start, tol_db
from tol_db.demo_tree import DemoTree
from tol_db.errors import CannotWrite, ContainerChanged, ContainerError, LeaseHeld

SPACING = 64 << 10


def pictures() -> bytes:
    """A tar of 120 files, of which some look like pictures and some like text."""
    chance = random.Random(5)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for number in range(120):
            size = chance.randint(1, 30_000)
            data = (b"%d " % number) * (size // 3) if number % 3 == 0 else chance.randbytes(size)
            if number % 3 == 1:
                data = bytes(byte & 0x7F for byte in data)
            info = tarfile.TarInfo(f"{number}_{'long' * 40 if number % 7 == 0 else 'x'}_eol.jpg")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


TAR = pictures()


def deflated(strategy: int) -> bytes:
    made = zlib.compressobj(6, zlib.DEFLATED, 31, 9, strategy)
    return made.compress(TAR) + made.flush()


HALF = len(TAR) // 2
FORMS: dict[str, Callable[[], bytes]] = {
    "stored": lambda: gzip.compress(TAR, 0),
    "fast": lambda: gzip.compress(TAR, 1),
    "ordinary": lambda: gzip.compress(TAR, 6),
    "fixed codes": lambda: deflated(zlib.Z_FIXED),
    "without references": lambda: deflated(zlib.Z_HUFFMAN_ONLY),
    "two streams": lambda: gzip.compress(TAR[:HALF]) + gzip.compress(TAR[HALF:], 1),
    "two streams with zeros between": lambda: gzip.compress(TAR[:HALF]) + bytes(600) + gzip.compress(TAR[HALF:]),
    "many small streams": lambda: b"".join(gzip.compress(TAR[i : i + 5000]) for i in range(0, len(TAR), 5000)),
    "bytes behind the end": lambda: gzip.compress(TAR) + b"behind" * 500,
}


def wanted(tar: bytes = TAR) -> list[Wanted]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return [Wanted(i, info.name, info.offset_data, info.size) for i, info in enumerate(archive)]


def stored(folder: Path, data: bytes | None = None, name: str = "a.tar.gz") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(TAR) if data is None else data)
    return path


def built(path: Path, folder: Path | None = None) -> Built:
    with Building(path, folder, spacing=SPACING) as building:
        return building.result()


def read_one(path: Path, want: Wanted, index: SeekIndex) -> bytes:
    ((_, data),) = read_members(path, "tar_gz", [want], index)
    return data


def read_all(path: Path, index: SeekIndex) -> None:
    """Every member alone and in random order is what the tar holds."""
    members = wanted()
    random.Random(1).shuffle(members)
    for want in members:
        assert want.offset is not None
        assert read_one(path, want, index) == TAR[want.offset : want.offset + want.size], want.name


@pytest.fixture(params=[zlib, zlib_ng, isal_zlib], ids=["zlib", "zlib_ng", "isal"])
def inflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(streams, "_zlib", request.param)
    monkeypatch.setattr(seek_index_module, "ZlibError", request.param.error)
    return request.param


# ------------------------------------------------------------------ reading


@pytest.mark.parametrize("form", FORMS)
def test_every_member_of_any_gzip_is_read_alone(tmp_path: Path, form: str, inflater: Any) -> None:
    path = stored(tmp_path, FORMS[form]())
    read_all(path, built(path).index)


def test_points_lie_at_every_bit_of_a_byte_and_all_of_them_were_tried(tmp_path: Path) -> None:
    bits: set[int] = set()
    for form in FORMS:
        index = built(stored(tmp_path, FORMS[form]())).index.path.read_bytes()
        number = HEADER.unpack_from(index)[7]
        bits |= {POINT.unpack_from(index, HEADER.size + POINT.size * i)[2] for i in range(number)}
    assert bits == set(range(8))


def test_the_library_reads_our_index_too(tmp_path: Path) -> None:
    path = stored(tmp_path)
    index = built(path).index
    with indexed_gzip.IndexedGzipFile(str(path), index_file=str(index.path), buffer_size=1) as file:
        for want in wanted()[::9]:
            assert want.offset is not None
            file.seek(want.offset)
            assert file.read(want.size) == TAR[want.offset : want.offset + want.size]


def test_an_index_made_in_many_stretches_is_the_one_made_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored(tmp_path)
    one = built(path, tmp_path / "one")
    monkeypatch.setattr("materialize.seek_index_build.STRETCH", 100_000)
    monkeypatch.setattr("materialize.seek_index_build.READ", 16_384)
    many = built(path, tmp_path / "many")
    read_all(path, many.index)
    assert one.bytes > 10 * WINDOW
    # where the library stops it makes one more point, so the tables may differ; what they are of does not
    head = [HEADER.unpack_from(made.index.path.read_bytes())[:7] for made in (one, many)]
    assert head[0] == head[1]


def test_an_index_in_a_folder_of_its_own_leaves_the_archive_s_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = stored(tmp_path / "in")
    made = built(path, tmp_path / "out" / "deep")
    assert made.index.path == tmp_path / "out" / "deep" / "a.tar.gz.gzidx"
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["a.tar.gz", "a.tar.gz.gzidx"]
    read_all(path, made.index)


def test_few_archives_are_open_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seek_index_module, "KEPT_OPEN", 3)
    made = [built(stored(tmp_path, name=f"{i}.tar.gz")).index for i in range(8)]
    chance, members = random.Random(2), wanted()
    for _ in range(60):
        number = chance.randrange(8)
        read_one(tmp_path / f"{number}.tar.gz", chance.choice(members), made[number])
        assert len([name for name in open_files(os.getpid()) if name.startswith(str(tmp_path))]) <= 2 * 3


def test_the_tables_that_are_kept_are_bounded_by_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seek_index_module, "KEPT_BYTES", 1)
    made = [built(stored(tmp_path, name=f"{i}.tar.gz")).index for i in range(3)]
    for number in (0, 1, 2, 0):
        read_one(tmp_path / f"{number}.tar.gz", wanted()[number], made[number])
        assert len([name for name in open_files(os.getpid()) if name.startswith(str(tmp_path))]) == 2


# ------------------------------------------------------------------ what does not fit


def refused(path: Path, index: SeekIndex, kind: type[ContainerError] = ContainerError, at: int = 77) -> str:
    with pytest.raises(kind) as caught:
        read_one(path, wanted()[at], index)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    return f"{caught.value}; {caught.value.hint}"


def test_a_missing_index_is_told_with_what_to_run(tmp_path: Path) -> None:
    path = stored(tmp_path)
    index = built(path).index
    index.path.unlink()
    told = refused(path, index, ContainerChanged)
    assert str(index.path) in told and "--seek-index" in told


@pytest.mark.parametrize("length", [0, 10, HEADER.size, HEADER.size + 40, -5, -WINDOW])
def test_an_index_that_is_cut_off_is_refused(tmp_path: Path, length: int) -> None:
    path = stored(tmp_path)
    index = built(path).index
    index.path.write_bytes(index.path.read_bytes()[:length])
    assert str(index.path) in refused(path, index)


def test_no_byte_of_an_index_can_be_wrong_and_give_wrong_pictures(tmp_path: Path) -> None:
    path = stored(tmp_path)
    index = built(path).index
    good = index.path.read_bytes()
    chance, members, refusals = random.Random(3), wanted(), 0
    for _ in range(60):
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        index.path.write_bytes(bad)
        for want in chance.sample(members, 4):
            assert want.offset is not None
            try:
                assert read_one(path, want, index) == TAR[want.offset : want.offset + want.size]
            except ContainerError as err:
                assert str(index.path) in str(err)
                refusals += 1
    assert refusals


def test_an_index_that_says_it_has_billions_of_points_is_refused_without_reading_them(tmp_path: Path) -> None:
    path = stored(tmp_path)
    index = built(path).index
    head = list(HEADER.unpack_from(index.path.read_bytes()))
    head[7] = 2**32 - 1
    index.path.write_bytes(HEADER.pack(*head))
    assert "cut off" in refused(path, index)


def test_the_index_of_another_archive_is_refused(tmp_path: Path) -> None:
    path, other = stored(tmp_path), stored(tmp_path, gzip.compress(TAR, 1), "b.tar.gz")
    index, others = built(path).index, built(other).index
    assert "is that of an archive of" in refused(path, others)
    index.path.write_bytes(others.path.read_bytes())
    assert "not the one that was made" in refused(path, index)


def test_other_bytes_under_the_archive_s_name_are_no_picture_of_it(tmp_path: Path) -> None:
    path = stored(tmp_path)
    index = built(path).index
    read_one(path, wanted()[5], index)  # both are kept open from here on
    size = path.stat().st_size
    path.unlink()
    path.write_bytes(random.Random(4).randbytes(size))
    assert str(index.path) in refused(path, index)
    path.write_bytes(gzip.compress(TAR))
    read_all(path, index)


def test_a_member_that_is_not_where_it_was_scanned_is_not_taken_for_it(tmp_path: Path) -> None:
    path = stored(tmp_path)
    index, want = built(path).index, wanted()[50]
    assert want.offset is not None
    for wrong in (
        Wanted(50, "other.jpg", want.offset, want.size),
        Wanted(50, want.name, want.offset + 512, want.size),
        Wanted(50, want.name, want.offset, want.size - 1),
        Wanted(50, want.name, len(TAR) + 4096, want.size),
        Wanted(50, want.name, None, want.size),
    ):
        with pytest.raises(ContainerChanged, match="not there as it was"):
            read_one(path, wrong, index)


# ------------------------------------------------------------------ making


def test_a_damaged_archive_ends_the_making_with_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    good = gzip.compress(TAR)
    for data in (b"", b"no gzip" * 1000, TAR, good[:20]):
        path = stored(tmp_path, data)
        with pytest.raises(ContainerError, match="no seek index can be made"):
            built(path)
        assert [p.name for p in tmp_path.iterdir()] == ["a.tar.gz"]


def test_whoever_does_not_wait_leaves_nothing(tmp_path: Path) -> None:
    path = stored(tmp_path)
    with pytest.raises(KeyboardInterrupt), Building(path, spacing=SPACING):
        raise KeyboardInterrupt
    assert not list(tmp_path.glob(f".*{SUFFIX}.partial"))


def test_a_folder_that_cannot_be_written_to_is_told_at_once(tmp_path: Path) -> None:
    path = stored(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotWrite) as caught:
        built(path, tmp_path / "file")
    assert "--seek-index-dir" in (caught.value.hint or "")


def test_two_processes_do_not_make_one_index_and_a_dead_one_s_partial_is_overwritten(tmp_path: Path) -> None:
    path = stored(tmp_path)
    partial = tmp_path / f".a.tar.gz{SUFFIX}.partial"
    with partial.open("wb") as held:
        held.write(b"left by a dead one" * 100_000)
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LeaseHeld):
            built(path)
    read_all(path, built(path).index)
    assert not partial.exists()


def test_an_archive_that_is_written_to_meanwhile_gets_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("materialize.seek_index_build.READ", 16_384)
    path = stored(tmp_path)

    def touch(_number: int) -> None:
        os.utime(path, ns=(1, time.time_ns()))

    with pytest.raises(ContainerChanged), Building(path, spacing=SPACING, on_bytes=touch) as building:
        building.result()
    assert not list(tmp_path.glob(f"*{SUFFIX}"))


# ------------------------------------------------------------------ the commands

INDEXED = ("--seek-index", "--seek-spacing", 64)
SHUFFLED = ("--dataset", DATASET, "--split", "train", "--split", "val", "--order", "shuffled", "--shard-images", 12)


def rows(db: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(sql).fetchall()


def seek_indexes(db: Path) -> dict[str, str]:
    """Path of an archive → what the database knows of its index."""
    found = rows(db, "SELECT path, seek_index FROM container WHERE kind = 'tar_gz' AND seek_index IS NOT NULL")
    return {path: blob.decode() for path, blob in found}


@pytest.fixture
def tree(demo_tree: DemoTree, tmp_path: Path) -> Path:
    """A copy of the demo tree; the archives keep their times."""
    return Path(shutil.copytree(demo_tree.tree, tmp_path / "tree"))


@pytest.fixture
def indexed(demo_db: Path, tree: Path) -> Path:
    """The demo database, whose sources are the copy, with indexes of both archives."""
    tol_db(demo_db, "ingest", "containers", tree, *INDEXED)
    return demo_db


@pytest.fixture(scope="module")
def over_tar(
    _demo_ingested: Path, demo_tree: DemoTree, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The shards of the same plan over the same pictures in plain archives."""
    folder = tmp_path_factory.mktemp("plain")
    copy = shutil.copytree(demo_tree.tree, folder / "tree")
    db = Path(shutil.copy(_demo_ingested, folder / "tol.sqlite"))
    for archive in sorted((copy / "dataset" / "eol").glob("*.tar.gz")):
        archive.with_suffix("").write_bytes(gzip.decompress(archive.read_bytes()))
        archive.unlink()
    tol_db(db, "ingest", "containers", copy)
    tol_db(db, "plan", folder / "out", *SHUFFLED)
    tol_db(db, "materialize", "--workers", 1)
    return shards_of(folder / "out")


def test_indexes_are_made_of_scanned_archives_once_and_are_not_reported_as_strangers(
    demo_db: Path, tree: Path
) -> None:
    first = tol_db(demo_db, "ingest", "containers", tree, *INDEXED)
    assert "2 seek indexes made" in first.stdout
    names = sorted(p.name for p in (tree / "dataset" / "eol").iterdir() if p.name.endswith(SUFFIX))
    assert [name.removesuffix(SUFFIX) for name in names] == sorted(seek_indexes(demo_db))
    stamps = {name: (tree / "dataset" / "eol" / name).stat().st_mtime_ns for name in names}
    again = tol_db(demo_db, "ingest", "containers", tree, *INDEXED)
    assert "nothing changed" in again.stdout
    assert SUFFIX not in again.stdout
    assert stamps == {name: (tree / "dataset" / "eol" / name).stat().st_mtime_ns for name in names}


def test_an_index_is_made_in_the_pass_of_the_first_scan(demo_tree: DemoTree, tree: Path, tmp_path: Path) -> None:
    db = tmp_path / "new.sqlite"
    tol_db(db, "init")
    done = tol_db(db, "ingest", "tol10m", tree, *INDEXED, "--seek-index-dir", tmp_path / "indexes")
    assert "2 seek indexes made" in done.stdout
    assert len(list((tmp_path / "indexes").glob(f"*{SUFFIX}"))) == 2
    assert all(str(tmp_path / "indexes") in record for record in seek_indexes(db).values())
    assert not list(tree.rglob(f"*{SUFFIX}"))
    tol_db(db, "doctor")


def test_a_broken_index_is_made_anew_and_that_of_a_changed_archive_is_forgotten(indexed: Path, tree: Path) -> None:
    archive, other = sorted((tree / "dataset" / "eol").glob("*.tar.gz"))
    index = archive.with_name(archive.name + SUFFIX)
    index.write_bytes(b"broken")
    assert "1 seek indexes made" in tol_db(indexed, "ingest", "containers", tree, *INDEXED).stdout
    other.write_bytes(gzip.compress(gzip.decompress(other.read_bytes()), 1))
    tol_db(indexed, "ingest", "containers", tree)
    assert list(seek_indexes(indexed)) == [archive.name]
    done = tol_db(indexed, "ingest", "containers", tree, *INDEXED)
    assert "1 seek indexes made" in done.stdout
    assert len(seek_indexes(indexed)) == 2


def test_a_damaged_archive_is_recorded_as_ever_and_has_no_index(indexed: Path, tree: Path) -> None:
    archive, _ = sorted((tree / "dataset" / "eol").glob("*.tar.gz"))
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    done = tol_db(indexed, "ingest", "containers", tree, *INDEXED, expect=65)
    assert "cut off" in done.stdout
    assert archive.name not in seek_indexes(indexed)


def test_without_the_library_it_is_said_what_to_install(
    demo_db: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "indexed_gzip.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stub"))
    done = tol_db(demo_db, "ingest", "containers", tree, "--seek-index", expect=2)
    assert "tol-db[index]" in done.stderr and "--as-tar" in done.stderr
    assert (
        "add --seek-index"
        in tol_db(demo_db, "ingest", "containers", tree, "--seek-index-dir", tree, expect=2).stderr
    )


def test_the_refusal_of_a_shuffled_plan_names_both_ways_out(demo_db: Path, tmp_path: Path) -> None:
    done = tol_db(demo_db, "plan", tmp_path / "out", *SHUFFLED, expect=2)
    assert "--seek-index" in done.stderr and "fetch eol" in done.stderr and "--as-tar" in done.stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_shuffled_shards_over_indexed_archives_are_those_over_plain_ones(
    indexed: Path, over_tar: dict[str, bytes], tmp_path: Path, workers: int
) -> None:
    out = tmp_path / "out"
    tol_db(indexed, "plan", out, *SHUFFLED)
    tol_db(indexed, "materialize", "--workers", workers)
    assert len(over_tar) > 4
    assert shards_of(out) == over_tar
    tol_db(indexed, "verify", "--dataset", DATASET, "--deep")
    tol_db(indexed, "doctor")


def test_after_kill_9_the_same_line_ends_with_the_same_bytes(
    indexed: Path, over_tar: dict[str, bytes], tmp_path: Path
) -> None:
    out, flag = tmp_path / "out", tmp_path / "killed"
    tol_db(indexed, "plan", out, *SHUFFLED)
    killed = faulty(indexed, f"shard.write:kill:20:{flag}", "materialize", "--workers", 2)
    assert killed.returncode == -signal.SIGKILL and flag.exists()
    assert shards_of(out) != over_tar
    tol_db(indexed, "materialize", "--workers", 2)
    assert shards_of(out) == over_tar


def test_reading_needs_no_library(
    indexed: Path, over_tar: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "indexed_gzip.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stub"))
    tol_db(indexed, "plan", tmp_path / "out", *SHUFFLED)
    tol_db(indexed, "materialize")
    assert shards_of(tmp_path / "out") == over_tar


def test_a_run_without_a_fit_index_leaves_its_images_pending_and_goes_on_with_a_new_one(
    indexed: Path, over_tar: dict[str, bytes], tree: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    tol_db(indexed, "plan", out, *SHUFFLED)
    archive = min((tree / "dataset" / "eol").glob("*.tar.gz"))
    index = archive.with_name(archive.name + SUFFIX)
    index.unlink()
    missing = tol_db(indexed, "materialize", expect=65)
    assert str(index) in missing.stderr and str(archive) in missing.stderr and "--seek-index" in missing.stderr
    index.write_bytes(index.with_name(sorted(p.name for p in index.parent.glob(f"*{SUFFIX}"))[0]).read_bytes())
    assert "not the one that was made" in tol_db(indexed, "materialize", expect=65).stderr
    tol_db(indexed, "ingest", "containers", tree, *INDEXED)
    tol_db(indexed, "materialize")
    assert shards_of(out) == over_tar


def test_an_index_that_the_database_forgot_is_an_error_of_the_archive(
    indexed: Path, tree: Path, tmp_path: Path
) -> None:
    tol_db(indexed, "plan", tmp_path / "out", *SHUFFLED)
    with closing(sqlite3.connect(indexed)) as connection, connection:
        connection.execute("UPDATE container SET seek_index = NULL")
    done = tol_db(indexed, "materialize", expect=65)
    assert "has no seek index (any more)" in done.stderr and "--seek-index" in done.stderr


def test_a_scan_that_is_interrupted_leaves_no_half_index(demo_db: Path, tmp_path: Path) -> None:
    eol = tmp_path / "big" / "eol"
    eol.mkdir(parents=True)
    block = random.Random(6).randbytes(1 << 20)
    with tarfile.open(eol / "image_set_01.tar.gz", "w:gz", compresslevel=1) as archive:
        for number in range(150):
            info = tarfile.TarInfo(f"{number}_{number}_eol.jpg")
            info.size = len(block)
            archive.addfile(info, io.BytesIO(block))
    process = start(demo_db, "ingest", "containers", eol, "--source", "eol", "--seek-index")
    until("the index is begun", lambda: list(eol.glob(".*.partial")) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode in (0, 75, 130), told
    assert "Traceback" not in told
    assert not list(eol.glob(".*.partial"))
    done = tol_db(demo_db, "ingest", "containers", eol, "--source", "eol", "--seek-index")
    assert (eol / f"image_set_01.tar.gz{SUFFIX}").exists(), done.stdout


def test_members_are_where_our_reader_of_archives_says(tmp_path: Path) -> None:
    with Archive(stored(tmp_path), "tar_gz") as archive:
        assert [(m.index, m.name, m.offset, m.size) for m in archive] == [
            (w.index, w.name, w.offset, w.size) for w in wanted()
        ]
