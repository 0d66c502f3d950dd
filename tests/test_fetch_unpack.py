"""What `tol-db fetch` takes out of archives: all of it or nothing, where it belongs and nowhere else."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import random
import re
import signal
import sqlite3
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fetch_server import Server, serving, write_manifest
from tests.processes import stand_still
from tests.running import start, tol_db
from tol_db.fetch.manifest import Extract
from tol_db.fetch.unpack import Escape, target_of

PARTS, EACH = 5, 40
RNG = random.Random(3)
IMAGES = {
    f"part{part}/img{number}.jpg": RNG.randbytes(RNG.randrange(1, 3000))
    for part in range(1, PARTS + 1)
    for number in range(EACH)
}
BESIDE = {"bioscan/readme.txt": b"read me", "bioscan/images/original_256/part1/x.jpg": b"not this"}
ROOT = "bioscan/images/cropped_256"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def a_zip(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir(ROOT)
        for name, data in members.items():
            archive.writestr(name, data)
        for name, to in (links or {}).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o120777 << 16
            archive.writestr(info, to)
    return out.getvalue()


def a_tar_gz(members: dict[str, bytes], links: dict[str, str] | None = None, level: int = 1) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=level) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, to in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, to
            archive.addfile(info)
    return out.getvalue()


class Site:
    """BIOSCAN from a zip, or iNat21 from a tar.gz."""

    def __init__(self, folder: Path, server: Server, kind: str) -> None:
        self.folder, self.server, self.kind = folder, server, kind
        self.tree, self.db = folder / "tree", folder / "tol.sqlite"
        self.key = "bioscan" if kind == "zip" else "inat21"
        self.archive = self.tree / "dataset" / self.key / f"archive.{'zip' if kind == 'zip' else 'tar.gz'}"
        self.images = self.archive.parent / ("" if kind == "zip" else "train")

    def publish(
        self,
        members: dict[str, bytes] | None = None,
        links: dict[str, str] | None = None,
        count: int | None = len(IMAGES),
        body: bytes | None = None,
    ) -> bytes:
        if members is None:
            members = {f"{ROOT}/{name}": data for name, data in IMAGES.items()} | BESIDE
        made = body if body is not None else (a_zip if self.kind == "zip" else a_tar_gz)(members, links)
        self.server.put("a", made)
        extract: dict[str, Any] = {
            "folder": ROOT,
            "parts": "part[0-9]+",
            "into": "" if self.kind == "zip" else "train",
        }
        if count is not None:
            extract["members"] = count
        entry = {"path": self.archive.name, "url": self.server.url("a"), "bytes": len(made)}
        write_manifest(self.folder / "m.toml", self.key, entry, extract=extract)
        return made

    def words(self, *more: object) -> tuple[object, ...]:
        manifest = self.folder / "m.toml"
        return ("fetch", self.key, self.tree, "--manifest", manifest, "--no-aria2", "--retry-wait", 0.01, *more)

    def fetch(self, *more: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
        return tol_db(self.db, *self.words(*more), expect=expect)

    def extracted(self) -> dict[str, bytes]:
        """What stands in its place; the folder that is being filled is hidden."""
        found = {str(p.relative_to(self.images)): p for p in self.images.rglob("*") if p.is_file()}
        return {n: p.read_bytes() for n, p in found.items() if n[0] != "." and p != self.archive}

    @property
    def filling(self) -> Path:
        return self.archive.with_name(f".{self.archive.name}.extracting")


@pytest.fixture(params=["zip", "tar.gz"])
def site(request: pytest.FixtureRequest, tmp_path: Path, server: Server) -> Site:
    return Site(tmp_path, server, request.param)


def test_only_what_is_wanted_is_taken_out_and_the_archive_stays(site: Site) -> None:
    made = site.publish()
    done = site.fetch()
    assert f"extracted {len(IMAGES)} images" in done.stdout
    assert site.extracted() == IMAGES
    assert site.archive.read_bytes() == made
    assert not site.filling.exists()
    again = site.fetch()
    assert "extracted" not in again.stdout
    assert len(site.server.requests) == 1


def test_the_archive_is_removed_by_a_flag_and_not_fetched_again(site: Site) -> None:
    site.publish()
    tol_db(site.db, "init")
    site.fetch("--remove-archive")
    assert not site.archive.exists()
    assert site.extracted() == IMAGES
    site.fetch()
    assert len(site.server.requests) == 1
    with closing(sqlite3.connect(site.db)) as conn:
        rows = conn.execute(
            "SELECT s.key, f.path, rows_read FROM source_file f JOIN source s ON s.id = source_id"
        ).fetchall()
    assert rows == [(site.key, site.archive.name, len(IMAGES))]


def test_an_archive_that_was_kept_can_be_removed_later(site: Site) -> None:
    site.publish()
    site.fetch("--no-extract")
    assert site.extracted() == {}
    site.fetch()
    assert site.archive.exists()
    site.fetch("--remove-archive")
    assert not site.archive.exists()
    assert site.extracted() == IMAGES
    assert len(site.server.requests) == 1


@pytest.mark.parametrize("count", [len(IMAGES) - 1, len(IMAGES) + 1])
def test_another_number_of_images_is_no_success(site: Site, count: int) -> None:
    site.publish(count=count)
    told = site.fetch("--remove-archive", expect=65).stderr
    assert f"{len(IMAGES)} files in {ROOT}/; {count} were expected" in told
    assert site.extracted() == {}
    assert site.archive.exists()
    site.publish()  # the manifest was wrong
    site.fetch()
    assert site.extracted() == IMAGES


def test_an_archive_without_anything_wanted_is_no_success(site: Site) -> None:
    site.publish(BESIDE, count=None)
    assert "0 files" in site.fetch(expect=65).stderr


HOSTILE = {
    "absolute": "/tmp/part1/escaped.jpg",
    "up": f"{ROOT}/part1/../../../../../escaped.jpg",
    "up at once": "../part1/escaped.jpg",
    "up in the end": f"{ROOT}/part1/..",
    "the part is up": f"{ROOT}/../escaped.jpg",
}


@pytest.mark.parametrize("name", list(HOSTILE.values()), ids=list(HOSTILE))
def test_a_name_that_leads_out_writes_nothing(site: Site, name: str) -> None:
    good = {f"{ROOT}/{n}": data for n, data in IMAGES.items()}
    site.publish({**good, name: b"hostile"}, count=None)
    told = site.fetch(expect=65).stderr
    assert "leads out of the folder" in told
    assert site.extracted() == {}
    assert not list(site.folder.rglob("escaped.jpg"))
    assert not Path("/tmp/part1").exists()


@pytest.mark.parametrize("to", ["/etc/passwd", "../../../../../m.toml", "img0.jpg"])
def test_a_link_among_the_images_is_refused(site: Site, to: str) -> None:
    good = {f"{ROOT}/{n}": data for n, data in IMAGES.items()}
    site.publish(good, {f"{ROOT}/part1/link.jpg": to}, count=None)
    assert "a link or device" in site.fetch(expect=65).stderr
    assert site.extracted() == {}


def test_a_link_in_place_of_a_part_is_never_followed(site: Site) -> None:
    elsewhere = site.folder / "elsewhere"
    elsewhere.mkdir()
    good = {f"{ROOT}/{n}": data for n, data in IMAGES.items()}
    site.publish(good, {f"{ROOT}/part9": str(elsewhere)}, count=len(IMAGES))
    site.fetch()  # a link where a folder would be is no image: passed over
    assert site.extracted() == IMAGES
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "flipped", "no archive"])
def test_a_damaged_archive_gives_nothing(site: Site, damage: str) -> None:
    made = bytearray(site.publish())
    if damage == "cut":
        del made[len(made) * 2 // 3 :]
    elif damage == "flipped":
        for at in range(len(made) // 3, len(made) // 3 + 2000):
            made[at] ^= 0x55
    else:
        made = bytearray(b"<html>not found</html>")
    site.publish(body=bytes(made))
    told = site.fetch("--remove-archive", expect=65).stderr
    assert site.archive.name in told
    assert site.extracted() == {}
    assert site.archive.exists()


def test_a_folder_in_the_way_is_not_touched(site: Site) -> None:
    site.publish()
    mine = site.images / "part2" / "mine.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    assert "part2: is there already" in site.fetch(expect=73).stderr
    assert site.extracted() == {"part2/mine.jpg": b"mine"}
    mine.unlink()
    mine.parent.rmdir()
    site.fetch()
    assert site.extracted() == IMAGES


def until(condition: Any, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def written(site: Site) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return list(site.filling.rglob("*.jpg"))
    return []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_extraction_that_was_ended_goes_on(site: Site, number: signal.Signals) -> None:
    rng = random.Random(5)
    many = {f"{ROOT}/part{p}/img{n}.jpg": rng.randbytes(4000) for p in range(1, 9) for n in range(600)}
    site.publish(many, count=len(many))
    process = start(site.db, *site.words("--threads", 2))
    until(lambda: len(written(site)) > 50, process)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (75 if number == signal.SIGTERM else -9)
    assert site.extracted() == {}
    old = {p.name + p.parent.name: p.stat().st_mtime_ns for p in written(site)}
    half = max(written(site), key=lambda p: p.stat().st_mtime_ns) if old else None
    if half is not None:
        half.write_bytes(half.read_bytes()[:1000])  # as a power cut leaves one
    site.fetch()
    assert site.extracted() == {name.removeprefix(f"{ROOT}/"): data for name, data in many.items()}
    kept = [p for p in site.images.rglob("*.jpg") if old.get(p.name + p.parent.name) == p.stat().st_mtime_ns]
    assert len(kept) >= len(old) - 3  # that one, and what each of two threads was writing
    assert len(site.server.requests) == 1


def test_two_runs_at_once_do_not_take_one_archive_apart(site: Site) -> None:
    rng = random.Random(5)
    many = {f"{ROOT}/part{p}/img{n}.jpg": rng.randbytes(4000) for p in range(1, 9) for n in range(600)}
    site.publish(many, count=len(many))
    process = start(site.db, *site.words("--threads", 2))
    until(lambda: len(written(site)) > 50, process)
    stand_still(process.pid)
    assert "another process" in site.fetch(expect=75).stderr
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert site.extracted() == {name.removeprefix(f"{ROOT}/"): data for name, data in many.items()}
    assert {p.name for p in site.archive.parent.glob(".*")} == set()


def test_a_kill_while_folders_get_their_places_is_gone_on_with(site: Site) -> None:
    site.publish()
    site.fetch()
    (note,) = (site.tree / ".fetched").rglob("*.json")
    note.write_text(note.read_text().replace('"extracted"', '"moving"'))
    site.filling.mkdir()
    (site.filling / ".of").write_text("whatever")
    for part in ("part2", "part4"):
        (site.images / part).rename(site.filling / part)
    site.fetch()
    assert site.extracted() == IMAGES
    assert not site.filling.exists()
    assert '"extracted"' in note.read_text()


def test_what_another_archive_left_is_not_mixed_in(site: Site) -> None:
    site.publish(count=len(IMAGES) + 7)
    site.fetch(expect=65)
    assert len(written(site)) == len(IMAGES)
    fewer = {name: data for name, data in IMAGES.items() if not name.startswith("part1/")}
    site.archive.unlink()
    site.publish({f"{ROOT}/{name}": data for name, data in fewer.items()}, count=None)
    site.fetch()
    assert site.extracted() == fewer


def test_ingest_sees_nothing_while_an_extraction_is_half_done(tmp_path: Path, server: Server) -> None:
    site = Site(tmp_path, server, "zip")
    site.publish(count=len(IMAGES) + 1)
    site.fetch(expect=65)
    tol_db(site.db, "init")
    assert "no part folder" in tol_db(site.db, "ingest", "bioscan", site.images, expect=66).stderr


# ------------------------------------------------------------------ .tar.gz to .tar


class Eol:
    def __init__(self, folder: Path, server: Server) -> None:
        self.tree, self.db, self.server = folder / "tree", folder / "tol.sqlite", server
        self.folder = self.tree / "dataset" / "eol"
        self.bodies = {n: a_tar_gz({f"{n}_{i}.jpg": RNG.randbytes(50_000) for i in range(20)}) for n in (1, 2)}
        for number, body in self.bodies.items():
            server.put(f"image_set_0{number}.tar.gz", body)
        url = server.url("image_set_{}.tar.gz")
        entry = {"numbers": "01-02", "path": "image_set_{}.tar.gz", "url": url}
        self.manifest = write_manifest(folder / "m.toml", "eol", entry)

    def words(self, *more: object) -> tuple[object, ...]:
        return ("fetch", "eol", self.tree, "--manifest", self.manifest, "--no-aria2", *more)

    def there(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in self.folder.iterdir()}

    def tars(self) -> dict[str, bytes]:
        return {f"image_set_0{n}.tar": gzip.decompress(body) for n, body in self.bodies.items()}


@pytest.fixture
def eol(tmp_path: Path, server: Server) -> Eol:
    return Eol(tmp_path, server)


def test_archives_are_inflated_in_their_place(eol: Eol) -> None:
    tol_db(eol.db, "init")
    tol_db(eol.db, *eol.words("--as-tar"))
    assert eol.there() == eol.tars()
    asked = len(eol.server.requests)
    assert "2 were there already" in tol_db(eol.db, *eol.words("--as-tar")).stdout
    assert "2 were there already" in tol_db(eol.db, *eol.words()).stdout
    assert len(eol.server.requests) == asked
    with closing(sqlite3.connect(eol.db)) as conn:
        paths = [row[0] for row in conn.execute("SELECT path FROM source_file ORDER BY path")]
    assert paths == [f"image_set_0{n}.tar{more}" for n in (1, 2) for more in ("", ".gz")]


def test_archives_that_are_there_are_inflated_later(eol: Eol) -> None:
    tol_db(eol.db, *eol.words())
    assert eol.there() == {f"image_set_0{n}.tar.gz": body for n, body in eol.bodies.items()}
    tol_db(eol.db, *eol.words("--as-tar"))
    assert eol.there() == eol.tars()


def test_an_inflation_that_was_killed_begins_anew(eol: Eol) -> None:
    tol_db(eol.db, *eol.words())
    (eol.folder / ".image_set_01.tar.partial").write_bytes(b"half")  # as kill -9 leaves it
    (eol.folder / "image_set_02.tar").write_bytes(eol.tars()["image_set_02.tar"])  # before its note was written
    tol_db(eol.db, *eol.words("--as-tar"))
    assert eol.there() == eol.tars()


def test_two_runs_at_once_do_not_inflate_one_archive(eol: Eol) -> None:
    eol.bodies[1] = a_tar_gz({"1_0.jpg": bytes(300_000_000)})
    eol.server.put("image_set_01.tar.gz", eol.bodies[1])
    tol_db(eol.db, *eol.words())
    partial = eol.folder / ".image_set_01.tar.partial"
    process = start(eol.db, *eol.words("--as-tar"))
    until(lambda: partial.exists() and partial.stat().st_size > 0, process)
    stand_still(process.pid)
    have = partial.stat().st_size
    assert "another process" in tol_db(eol.db, *eol.words("--as-tar"), expect=75).stderr
    assert partial.stat().st_size == have
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert eol.there() == eol.tars()


def test_a_tar_that_is_not_of_the_archive_is_not_overwritten(eol: Eol) -> None:
    mine = eol.folder / "image_set_01.tar"
    eol.folder.mkdir(parents=True)
    mine.write_bytes(b"my own")
    told = tol_db(eol.db, *eol.words("--as-tar"), expect=73).stderr
    assert "image_set_01.tar: is there already" in told
    assert "move it away" in told
    there = {"image_set_01.tar": b"my own", "image_set_01.tar.gz": eol.bodies[1]}
    assert eol.there() == eol.tars() | there
    mine.unlink()
    tol_db(eol.db, *eol.words("--as-tar"))
    assert eol.there() == eol.tars()


def test_a_partial_that_is_a_second_name_of_the_tar_is_not_written_to(eol: Eol) -> None:
    tol_db(eol.db, *eol.words())
    published = eol.folder / "image_set_01.tar"
    published.write_bytes(eol.tars()[published.name])
    (eol.folder / ".image_set_01.tar.partial").hardlink_to(published)  # killed before the partial was removed
    node = published.stat().st_ino
    tol_db(eol.db, *eol.words("--as-tar"))
    assert eol.there() == eol.tars()
    assert published.stat().st_ino == node


def test_tars_of_a_tree_that_was_copied_without_its_times_are_not_fetched_again(eol: Eol) -> None:
    tol_db(eol.db, *eol.words("--as-tar"))
    asked = len(eol.server.requests)
    for tar in eol.folder.glob("*.tar"):
        os.utime(tar, ns=(1, 1))
    assert "2 were there already" in tol_db(eol.db, *eol.words("--as-tar")).stdout
    assert "looking" not in tol_db(eol.db, *eol.words("--as-tar")).stderr
    assert len(eol.server.requests) == asked
    assert eol.there() == eol.tars()
    tar = eol.folder / "image_set_02.tar"
    tar.write_bytes(bytes(tar.stat().st_size))
    assert "not the one that was inflated" in tol_db(eol.db, *eol.words("--as-tar"), expect=65).stderr
    tar.unlink()
    tol_db(eol.db, *eol.words("--as-tar"))
    assert eol.there() == eol.tars()


def test_a_damaged_archive_is_not_inflated_and_stays(eol: Eol) -> None:
    body = bytearray(eol.bodies[1])
    body[len(body) // 2] ^= 0xFF
    eol.server.put("image_set_01.tar.gz", bytes(body))
    assert "image_set_01.tar.gz" in tol_db(eol.db, *eol.words("--as-tar"), expect=65).stderr
    names = set(eol.there())
    assert {"image_set_01.tar.gz", "image_set_02.tar"} <= names
    assert "image_set_01.tar" not in names


# ------------------------------------------------------------------ names

EXTRACT = Extract(ROOT, re.compile(".*"), "", None, None)
_STEPS = st.sampled_from(["..", ".", "", "part1", "x.jpg", *ROOT.split("/"), "\0", "\\", "..\\..", "~", "C:"])


@settings(deadline=None)
@given(name=st.lists(_STEPS | st.text(max_size=5), max_size=8).map("/".join) | st.text())
@example(f"{ROOT}/../x")
@example(f"{ROOT}/part1/..")
@example(f"{ROOT}//part1/./x.jpg")
def test_whatever_a_member_is_named_its_target_lies_in_the_folder(name: str) -> None:
    try:
        target = target_of(name, EXTRACT)
    except Escape:
        assert name.startswith("/") or ".." in name.split("/") or "\0" in name
        return
    assert not name.startswith("/")
    if target is not None:
        part, file = target
        base = Path("/base/folder")
        path = Path(os.path.normpath(base / part / file))
        assert path.parent.parent == base
        assert path.name == file


@settings(deadline=None)
@given(
    part=st.from_regex("part[0-9]{1,4}", fullmatch=True), file=st.from_regex("[a-z0-9_]{1,9}[.]jpg", fullmatch=True)
)
def test_an_honest_name_is_wanted_however_it_is_spelled(part: str, file: str) -> None:
    for name in (f"{ROOT}/{part}/{file}", f"./{ROOT}/{part}/{file}", f"{ROOT}//{part}/./{file}"):
        assert target_of(name, EXTRACT) == (part, file)
