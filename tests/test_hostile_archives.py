"""Archives that are made to harm, and storage that fails: nothing crashes, nothing is written elsewhere, memory
stays flat, and no picture is blamed for what the disk did."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from materialize.archive import MAX_MEMBER, Archive
from materialize.containers import Wanted, read_members
from tests.raw_trees import Rows, new_database, rows_of, tree_id, write_archive, write_mapping
from tests.running import DATASET, environment, plan, shards_of, start, tol_db
from tests.test_interruption import wait_for_a_shard
from tol_db.db.engine import open_database
from tol_db.demo_tree import DemoTree
from tol_db.errors import ContainerChanged, ContainerError
from tol_db.ingest.containers import ingest_containers
from tol_db.ingest.layout import Roots
from tol_db.ingest.mapping import ingest_mapping
from tol_db.ingest.raw_folders import ingest_eol
from tol_db.ingest.scan import digest_of, scanned

FLAT = 200_000
"""KiB that a process may take at its highest, whatever the archive holds."""

NAMES = (
    "/etc/cron.d/evil",
    "../../../../tmp/evil",
    "..",
    "a/../../b.jpg",
    "C:\\Windows\\evil.jpg",
    "'; DROP TABLE image; --.jpg",
    '"; DROP TABLE image; --.jpg',
    "$(touch evil).jpg",
    "`touch evil`.jpg",
    "|sh.jpg",
    "-rf",
    "\x1b[2J\x1b]0;owned\x07.jpg",
    "line\nfeed\r.jpg",
    "<script>alert(1)</script>.jpg",
    "caf\udce9.jpg",
    "\u202egpj.exe",
    "%s%n{0}.jpg",
)


def picture(red: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), (red, 90, 30)).save(out, "JPEG")
    return out.getvalue()


def eol_name(number: int) -> str:
    return f"{number}_{100 + number}_eol-full-size-copy.jpg"


def header(name: str, type_: bytes = tarfile.REGTYPE, form: int = tarfile.GNU_FORMAT, **fields: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.type = type_
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(form, "utf-8", "surrogateescape")


def member(name: str, data: bytes) -> bytes:
    return header(name, size=len(data)) + data + bytes(-len(data) % 512)


END = bytes(1024)


@dataclass(frozen=True)
class Ended:
    """How a child ended: exit code, what it printed, and the most memory that it held, KiB."""

    code: int
    out: str
    err: str
    peak: int


# VmHWM, not ru_maxrss: that of a child begins with what its parent held
MEASURING = """
import atexit, re, resource, runpy, sys
from pathlib import Path
peak = Path(sys.argv.pop(1))
def tell():
    own = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
    peak.write_text(str(max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)))
if __name__ == "__main__":
    atexit.register(tell)
    runpy.run_module("tol_db", run_name="__main__", alter_sys=True)
"""


def measured(db: Path, *words: object) -> Ended:
    """Run a command and see how much memory it, or a worker of it, took at its highest."""
    peak, script = db.with_name("peak.txt"), db.with_name("measuring.py")
    script.write_text(MEASURING)
    command = [sys.executable, str(script), str(peak), "--db", str(db), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    assert "internal error" not in done.stderr, done.stderr
    return Ended(done.returncode, done.stdout, done.stderr, int(peak.read_text()))


def everything(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return new_database(tmp_path).path


@pytest.fixture
def eol(tmp_path: Path) -> Path:
    (tmp_path / "data" / "eol").mkdir(parents=True)
    return tmp_path / "data" / "eol"


# ------------------------------------------------------------------ names and kinds of members


def _everything_odd() -> bytes:
    parts = [member(name, picture(1)) for name in NAMES]
    for number, type_ in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE)):
        parts.append(header(eol_name(900 + number), type_, linkname="/etc/passwd", size=0))
    for number, type_ in enumerate((tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)):
        parts.append(header(eol_name(910 + number), type_, devmajor=1, devminor=3))
    parts.append(
        header("pax.jpg", form=tarfile.PAX_FORMAT, pax_headers={"path": "../../../etc/shadow", "x" * 99: "y"})
    )
    parts.append(
        member(eol_name(1), picture(2)) + member(eol_name(1), picture(3)) + member(eol_name(2), picture(4))
    )
    return b"".join(parts) + END


def test_whatever_a_member_is_called_it_is_only_ever_compared(db: Path, eol: Path, tmp_path: Path) -> None:
    (eol / "image_set_01.tar.gz").write_bytes(gzip.compress(_everything_odd()))
    before = everything(tmp_path / "data")
    done = tol_db(db, "ingest", "eol", eol, cwd=eol)
    assert everything(tmp_path / "data") == before
    assert not Path("/tmp/evil").exists()
    assert "\x1b" not in done.stdout
    assert rows_of(db, "SELECT content_id FROM eol_image ORDER BY 1") == [(1,), (2,)]
    strays = dict(rows_of(db, "SELECT member, reason FROM stray_member"))
    assert len(strays) >= len(NAMES)
    for name in NAMES:
        assert name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") in strays
    assert "a link, a device" in strays[eol_name(900)]
    told = tol_db(db, "report", "audit", "files_without_image")
    assert "\x1b" not in told.stdout + told.stderr
    tol_db(db, "split", "all", "--fraction", "1")
    with sqlite3.connect(db) as connection:  # names, so that there is something to write
        connection.execute(
            """INSERT INTO label (kingdom, phylum, class, "order", family, genus, species, common_name, resolution)
               VALUES ('Animalia', '', '', '', '', 'Parus', 'major', '<script>', 'published')"""
        )
        connection.execute("UPDATE image SET label_id = 1")
    out = tmp_path / "out"
    tol_db(db, "plan", out, "--dataset", "x", "--recipe", "tol10m", "--split", "all")
    tol_db(db, "materialize", cwd=eol)
    assert everything(tmp_path / "data") == before
    assert rows_of(db, "SELECT count(*) FROM image") == [(2,)]
    (shard,) = out.rglob("*.tar")
    with tarfile.open(shard) as written:
        assert all("/" not in name and not name.startswith(".") for name in written.getnames())
    tol_db(db, "doctor")


# ------------------------------------------------------------------ sizes that are lies


LIES: dict[str, Callable[[], bytes]] = {
    "base-256": lambda: header(eol_name(2), size=10 * 10**12),
    "pax": lambda: header(eol_name(2), form=tarfile.PAX_FORMAT, pax_headers={"size": str(10 * 10**12)}),
    "beyond all": lambda: header(eol_name(2), size=1 << 80),
    "negative": lambda: header(eol_name(2), size=-1 << 40),
    "pax header": lambda: header("x", tarfile.XHDTYPE, size=1 << 40),
    "long name": lambda: header("x", tarfile.GNUTYPE_LONGNAME, size=1 << 33),
    "pax nonsense": lambda: header("x", tarfile.XHDTYPE, size=10) + b"99999 a=b\n" + bytes(502),
}


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize("lie", LIES)
def test_a_size_that_is_a_lie_damages_the_archive_and_keeps_what_lies_before(
    db: Path, eol: Path, lie: str, suffix: str
) -> None:
    # a member counts as whole when the next one has been reached
    data = member(eol_name(1), picture(1)) + member(eol_name(9), picture(9)) + LIES[lie]() + b"too little"
    (eol / f"image_set_01{suffix}").write_bytes(data if suffix == ".tar" else gzip.compress(data))
    scans = ingest_eol(open_database(db), eol).scan.sources[0]
    assert [note.path for note in scans.damaged] == [f"image_set_01{suffix}"]
    assert (1,) in rows_of(db, "SELECT content_id FROM eol_image")
    assert (2,) not in rows_of(db, "SELECT content_id FROM eol_image")
    assert rows_of(db, "SELECT state, detail IS NOT NULL FROM container") == [("damaged", 1)]


# ------------------------------------------------------------------ bombs


def bomb(path: Path, name: str, gigabytes: float) -> Path:
    """A tar.gz with one member of many zeros between two pictures; its streams are concatenated."""
    chunk = 1 << 26
    count = int(gigabytes * (1 << 30)) // chunk
    before = member(eol_name(1), picture(1)) + header(name, size=count * chunk)
    zeros = gzip.compress(bytes(chunk), 9)
    with path.open("wb") as file:
        file.write(gzip.compress(before))
        for _ in range(count):
            file.write(zeros)
        file.write(gzip.compress(member(eol_name(2), picture(2)) + END))
    return path


@pytest.mark.parametrize("gigabytes", [1.5, pytest.param(10, marks=pytest.mark.soak)])
def test_a_bomb_that_is_no_picture_is_passed_over(db: Path, eol: Path, gigabytes: float) -> None:
    bomb(eol / "image_set_01.tar.gz", "readme.bin", gigabytes)
    ended = measured(db, "ingest", "eol", eol)
    assert ended.code == 0, ended.err
    assert ended.peak < FLAT
    assert rows_of(db, "SELECT content_id FROM eol_image ORDER BY 1") == [(1,), (2,)]
    assert rows_of(db, "SELECT member FROM stray_member") == [("readme.bin",)]


def test_a_bomb_that_is_an_image_is_left_out_and_the_others_are_written(
    db: Path, eol: Path, tmp_path: Path
) -> None:
    archive = bomb(eol / "image_set_01.tar.gz", eol_name(3), 0.5)
    assert measured(db, "ingest", "eol", eol).peak < FLAT
    with sqlite3.connect(db) as connection:
        connection.execute(
            """INSERT INTO label (kingdom, phylum, class, "order", family, genus, species, common_name, resolution)
               VALUES ('Animalia', '', '', '', '', 'Parus', 'major', '', 'published')"""
        )
        connection.execute("UPDATE image SET label_id = 1")
    tol_db(db, "split", "all", "--fraction", "1")
    tol_db(db, "plan", tmp_path / "out", "--dataset", "x", "--recipe", "tol10m", "--split", "all")
    assert rows_of(db, "SELECT o.name, e.detail FROM exclusion e JOIN outcome o ON o.id = e.outcome_id") == [
        ("too_large", f"{1 << 29:,} bytes; at most {MAX_MEMBER:,} of one member are read")
    ]
    done = measured(db, "materialize", "--workers", 1)
    assert done.code == 0, done.err
    assert done.peak < FLAT
    tol_db(db, "doctor")
    ((offset, size, index),) = rows_of(
        db, "SELECT data_offset, bytes, member_index FROM image WHERE bytes > 9999999"
    )
    for kind in ("tar_gz", "tar"):
        with pytest.raises(ContainerError, match="too many for a picture"):
            list(read_members(archive, kind, [Wanted(index, eol_name(3), offset, size)]))


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_many_tiny_members_take_no_memory(db: Path, eol: Path, count: int) -> None:
    one = header("0000000.txt", size=1) + b"x" + bytes(511)
    with gzip.open(eol / "image_set_01.tar.gz", "wb", compresslevel=1) as file:
        for _ in range(0, count, 1000):
            file.write(one * 1000)
        file.write(member(eol_name(1), picture(1)) + END)
    ended = measured(db, "ingest", "eol", eol)
    assert ended.code == 0, ended.err
    assert ended.peak < FLAT
    assert rows_of(db, "SELECT members FROM container") == [(count + 1,)]


# ------------------------------------------------------------------ broken streams


def small_gz() -> bytes:
    half = member("a.jpg", os.urandom(300))
    return gzip.compress(half) + gzip.compress(member("b.jpg", os.urandom(300)) + END)


def seen(path: Path) -> tuple[list[str], str | None, str]:
    with scanned(path, "tar_gz") as scan:
        return [entry.name for entry in scan.entries], scan.fault, scan.remark


def test_a_stream_cut_at_any_byte_is_a_fault_of_the_archive(tmp_path: Path) -> None:
    whole = small_gz()
    path = tmp_path / "a.tar.gz"
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        names, fault, _ = seen(path)
        assert fault, f"cut at {cut}"
        assert names in ([], ["a.jpg"], ["a.jpg", "b.jpg"])
    path.write_bytes(whole)
    assert seen(path) == (["a.jpg", "b.jpg"], None, "")


def test_a_bit_flipped_anywhere_is_a_fault_or_changes_nothing(tmp_path: Path) -> None:
    whole = bytearray(small_gz())
    path = tmp_path / "a.tar.gz"
    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        names, fault, remark = seen(path)
        # bytes 4 to 9 of a stream's header (time, system) mean nothing to the data
        assert fault or remark or names == ["a.jpg", "b.jpg"], f"bit at {at}"


@pytest.mark.parametrize(
    "tail", [b"trailing garbage", b"\x1f", b"\x1f\x8b", bytes(3000) + b"x", zlib.compress(b"x")]
)
def test_what_follows_the_last_stream_is_told_and_harmless(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(small_gz() + tail)
    names, fault, remark = seen(path)
    assert names == ["a.jpg", "b.jpg"]
    assert fault or remark


# ------------------------------------------------------------------ storage that fails


def wanted_of(path: Path, kind: str) -> list[Wanted]:
    with Archive(path, kind) as archive:
        return [Wanted(m.index, m.name, m.offset, m.size) for m in archive]


def rewrite(path: Path) -> None:
    """Write other pictures of the same sizes into the very file, as a download that starts over does."""
    size = path.stat().st_size
    files = {f"{n}.bin": os.urandom(9000) for n in range(40)}
    other = write_archive(path.with_name(f"other{''.join(path.suffixes[-2:])}"), files).read_bytes()
    with path.open("r+b") as file:
        file.write(other[:size].ljust(size, b"\0"))


ACCIDENTS: dict[str, Callable[[Path], object]] = {
    "rewritten in place": rewrite,
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "appended to": lambda path: path.open("ab").write(b"more"),
}


@pytest.mark.parametrize("kind", ["tar", "tar_gz"])
@pytest.mark.parametrize("what", ACCIDENTS)
def test_an_archive_that_changes_while_it_is_read_is_said_to_have(tmp_path: Path, kind: str, what: str) -> None:
    path = tmp_path / ("a.tar" if kind == "tar" else "a.tar.gz")
    write_archive(path, {f"{n}.bin": os.urandom(9000) for n in range(40)})
    reading = read_members(path, kind, wanted_of(path, kind))
    next(reading)
    ACCIDENTS[what](path)
    with pytest.raises(ContainerChanged, match="written to while it was read"):
        list(reading)


@pytest.mark.parametrize("kind", ["tar", "tar_gz"])
def test_an_archive_that_is_replaced_or_deleted_is_read_to_its_end(tmp_path: Path, kind: str) -> None:
    """Whoever has a file open keeps it; the next unit finds another one, or none."""
    path = tmp_path / ("a.tar" if kind == "tar" else "a.tar.gz")
    files = {f"{n}.bin": os.urandom(9000) for n in range(40)}
    write_archive(path, files)
    reading = read_members(path, kind, wanted_of(path, kind))
    first = next(reading)
    path.unlink()
    assert [data for _, data in (first, *reading)] == list(files.values())


def test_what_is_no_plain_file_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar.gz")
    os.mkfifo(tmp_path / "b.jpg")
    wanted = [Wanted(0, "b.jpg", 512, 5)]
    for kind in ("tar", "tar_gz"):
        with pytest.raises(ContainerError, match="not a plain file"):
            list(read_members(tmp_path / "a.tar.gz", kind, wanted))
        with pytest.raises(ContainerError, match="not a plain file"):
            list(read_members(Path("/dev/zero"), kind, wanted))
    with pytest.raises(ContainerError, match="not a plain file"):
        list(read_members(tmp_path, "directory", wanted))
    with pytest.raises(ContainerError, match="not a plain file"):
        digest_of(tmp_path / "a.tar.gz", "tar_gz")


def test_files_of_a_folder_that_vanish_grow_or_become_folders_are_no_fault_of_a_picture(tmp_path: Path) -> None:
    wanted = [Wanted(0, "a.jpg", None, 5)]
    accidents: Iterable[Callable[[Path], object]] = (
        lambda file: file.unlink(),
        lambda file: file.write_bytes(b"longer"),
        lambda file: file.write_bytes(b"cut"),
        lambda file: (file.unlink(), file.mkdir()),
        lambda file: (file.unlink(), file.symlink_to(file)),
        lambda file: shutil.rmtree(file.parent),
    )
    for number, accident in enumerate(accidents):
        file = tmp_path / str(number) / "a.jpg"
        file.parent.mkdir()
        file.write_bytes(b"12345")
        assert [data for _, data in read_members(file.parent, "directory", wanted)] == [b"12345"]
        accident(file)
        with pytest.raises(ContainerError):
            list(read_members(file.parent, "directory", wanted))


def outcomes(db: Path) -> list[tuple[str, int]]:
    sql = """SELECT o.name, count(*) FROM shard_image m JOIN outcome o ON o.id = m.outcome_id
             WHERE o.name NOT IN ('pending', 'written') GROUP BY 1 ORDER BY 1"""
    return [(str(name), int(count)) for name, count in rows_of(db, sql)]


@pytest.mark.parametrize(
    "accident", ["rewritten", *(pytest.param(what, marks=pytest.mark.soak) for what in ("emptied", "gone"))]
)
def test_archives_that_change_under_a_stopped_run_blame_no_image_and_the_next_run_ends_well(
    demo_tree: DemoTree, tmp_path: Path, accident: str
) -> None:
    tree = Path(shutil.copytree(demo_tree.tree, tmp_path / "tree"))
    db = new_database(tmp_path).path
    tol_db(db, "ingest", "tol10m", tree)
    plan(db, tmp_path / "out", "tol10m", "--shard-images", 4)
    run = start(db, "materialize", "--workers", 1)
    wait_for_a_shard(tmp_path / "out", run)
    os.killpg(run.pid, signal.SIGSTOP)
    archives = sorted((tree / "dataset" / "eol").glob("*.tar.gz"))
    kept = {path: (path.read_bytes(), path.stat()) for path in archives}
    for path in archives:
        if accident == "gone":
            path.unlink()
        elif accident == "emptied":
            os.truncate(path, 0)
        else:
            with path.open("r+b") as file:
                file.write(os.urandom(path.stat().st_size))
    os.killpg(run.pid, signal.SIGCONT)
    _, errors = run.communicate(timeout=120)
    blamed = outcomes(db)
    if run.returncode:  # a deleted archive that is open is read to its end
        assert run.returncode == 65, errors
        assert "image_set_" in errors
    else:
        assert accident == "gone"
    tol_db(db, "doctor")
    for path, (data, status) in kept.items():
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    tol_db(db, "materialize")
    tol_db(db, "doctor")
    made, innocent = shards_of(tmp_path / "out"), outcomes(db)
    assert all(number <= dict(innocent).get(name, 0) for name, number in blamed)
    tol_db(db, "dataset", "remove", DATASET, "--yes")
    plan(db, tmp_path / "again", "tol10m", "--shard-images", 4)
    tol_db(db, "materialize")
    assert shards_of(tmp_path / "again") == made
    assert outcomes(db) == innocent


# ------------------------------------------------------------------ paths that a mapping names


def test_a_mapping_cannot_name_a_file_outside_of_its_folder(tmp_path: Path) -> None:
    rows = Rows(
        eol={1: (11, 101)},
        inat21={
            2: ("../../secret.jpg", "../..", 7),
            3: (str(tmp_path / "secret.jpg"), "/etc", 8),
            4: ("a.jpg", "x", 9),
        },
        split=dict.fromkeys(range(1, 5), (0, 0)),
    )
    write_mapping(tmp_path / "mapping.sqlite", rows).close()
    (tmp_path / "secret.jpg").write_bytes(picture(7))
    root = tmp_path / "inat21"
    (root / "00009_x").mkdir(parents=True)
    (root / "00009_x" / "a.jpg").write_bytes(picture(8))
    db = new_database(tmp_path)
    ingest_mapping(db, tmp_path / "mapping.sqlite", Roots(inat21=root))
    ingest_containers(db, Roots(inat21=root))
    found = rows_of(db, "SELECT treeoflife_id, member FROM image WHERE member_index IS NOT NULL")
    assert [(blob.hex(), name) for blob, name in found] == [(tree_id(4).replace("-", ""), "a.jpg")]
