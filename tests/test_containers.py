"""The readers of archives and folders: every byte and offset, and every way in which they can be broken."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import random
import re
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materialize.archive import Archive, Member
from materialize.containers import Wanted, kind_of, listing, read_members
from materialize.streams import GzipReader, HashingReader
from tol_db.errors import ContainerChanged, ContainerError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
KINDS = ("tar", "tar_gz")


def tar(files: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def special(type_: bytes, name: str = "odd", **fields: Any) -> bytes:
    """An archive of one entry that is no plain file, and a plain one after it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.type = type_
        for key, value in fields.items():
            setattr(info, key, value)
        archive.addfile(info)
        plain = tarfile.TarInfo("plain.jpg")
        plain.size = 3
        archive.addfile(plain, io.BytesIO(b"abc"))
    return out.getvalue()


def stored(folder: Path, data: bytes, kind: str = "tar") -> Path:
    path = folder / ("a.tar" if kind == "tar" else "a.tar.gz")
    path.write_bytes(data if kind == "tar" else gzip.compress(data, 1))
    return path


def members(path: Path, kind: str = "tar") -> list[Member]:
    with Archive(path, kind) as archive:
        return list(archive)


def contents(path: Path, kind: str = "tar") -> dict[str, bytes]:
    with Archive(path, kind) as archive:
        found = {member.name: archive.data(member) for member in archive if member.is_file}
        assert archive.drain() == ""
        return found


def fault(path: Path, kind: str = "tar") -> tuple[list[str], ContainerError, bool]:
    """(names of the members yielded, what was raised, whether the bytes are at fault)"""
    names = []
    with Archive(path, kind) as archive:
        with pytest.raises(ContainerError) as caught:
            for member in archive:
                names.append(member.name)
            archive.drain()
        assert str(path) in str(caught.value)
        assert caught.value.hint
        return names, caught.value, archive.is_damaged


FILES = {"one.jpg": b"1" * 700, "two.jpg": b"", "three.jpg": bytes(range(256)) * 10}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS)
def test_members_and_their_bytes_are_those_that_were_put_in(tmp_path: Path, kind: str, form: str) -> None:
    path = stored(tmp_path, tar(FILES, FORMATS[form]), kind)
    assert contents(path, kind) == FILES
    assert [(m.index, m.name, m.size) for m in members(path, kind)] == [
        (i, name, len(data)) for i, (name, data) in enumerate(FILES.items())
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_an_offset_is_where_the_data_begins(tmp_path: Path, form: str) -> None:
    data = tar(FILES | {"ü" * 80 + ".jpg": b"long"} if form != "ustar" else FILES, FORMATS[form])
    path = stored(tmp_path, data)
    with tarfile.open(path) as reference:
        expected = [info.offset_data for info in reference]
    assert [member.offset for member in members(path)] == expected


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), form=st.sampled_from(sorted(FORMATS)), kind=st.sampled_from(KINDS))
def test_any_archive_reads_as_tarfile_reads_it(tmp_path: Path, data: st.DataObject, form: str, kind: str) -> None:
    longest = 90 if form == "ustar" else 300
    letters = st.characters(codec="ascii" if form == "ustar" else "utf-8", exclude_characters="\0/")
    names = st.text(letters, min_size=1, max_size=longest).filter(lambda name: name.strip("./ "))
    entries = data.draw(st.dictionaries(names, st.binary(max_size=3000), max_size=8))
    path = stored(tmp_path, tar(entries, FORMATS[form]), kind)
    with tarfile.open(path) as reference:
        expected = [(info.name, info.offset_data, info.size) for info in reference]
    assert [(m.name, m.offset, m.size) for m in members(path, kind)] == expected
    assert list(contents(path, kind).values()) == list(entries.values())
    wanted = [Wanted(m.index, m.name, m.offset, m.size) for m in members(path, kind)]
    chosen = data.draw(st.lists(st.sampled_from(wanted), unique=True)) if wanted else []
    chosen.sort(key=lambda want: want.index)
    read = list(read_members(path, kind, chosen))
    assert [want for want, _ in read] == chosen
    assert [bytes_ for _, bytes_ in read] == [list(entries.values())[want.index] for want in chosen]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 10**6), flip=st.integers(0, 10**6), kind=st.sampled_from(KINDS))
def test_no_broken_byte_is_more_than_a_container_error(tmp_path: Path, cut: int, flip: int, kind: str) -> None:
    rng = random.Random(5)
    data = bytearray(stored(tmp_path, tar({f"{i}.jpg": rng.randbytes(900) for i in range(4)}), kind).read_bytes())
    data[flip % len(data)] ^= 1 << flip % 8
    path = stored(tmp_path, b"")
    path = path.with_name("b.tar.gz" if kind == "tar_gz" else "b.tar")
    path.write_bytes(data[: cut % len(data) + 1])
    with Archive(path, kind, hashed=True) as archive:
        try:
            for member in archive:
                archive.data(member)
            archive.drain()
        except ContainerError:
            assert archive.is_damaged


# ------------------------------------------------------------------ gzip


def test_concatenated_gzip_streams_are_one_archive(tmp_path: Path) -> None:
    data = tar(FILES)
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"".join(gzip.compress(data[i : i + 100]) for i in range(0, len(data), 100)))
    assert contents(path, "tar_gz") == FILES


def test_zeros_between_and_after_gzip_streams_are_padding(tmp_path: Path) -> None:
    data = tar(FILES)
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(data[:800]) + bytes(300_000) + gzip.compress(data[800:]) + bytes(9))
    assert contents(path, "tar_gz") == FILES


@pytest.mark.parametrize("padding", range(131_070 - 40, 131_074 - 40))
def test_the_two_bytes_that_begin_a_stream_may_lie_in_two_reads(tmp_path: Path, padding: int) -> None:
    first, second = gzip.compress(b"first", mtime=0), gzip.compress(b"second", mtime=0)
    path = tmp_path / "a.gz"
    for extra in range(40):  # somewhere among these a read ends between the two bytes
        path.write_bytes(first + bytes(padding + extra) + second)
        with path.open("rb", buffering=0) as file:
            assert GzipReader(HashingReader(file, hashed=False)).read(100) == b"firstsecond"


def test_bytes_after_the_gzip_stream_are_remarked_upon(tmp_path: Path) -> None:
    path = stored(tmp_path, tar(FILES), "tar_gz")
    with path.open("ab") as file:
        file.write(b"<html>404</html>")
    with Archive(path, "tar_gz") as archive:
        assert len(list(archive)) == 3
        assert "follow the gzip stream" in archive.drain()


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_appended_to_another_is_remarked_upon_and_not_read(tmp_path: Path, kind: str) -> None:
    path = stored(tmp_path, tar(FILES) + tar({"more.jpg": b"x"}), kind)
    with Archive(path, kind) as archive:
        assert len(list(archive)) == 3
        assert "follow the end mark" in archive.drain()


@pytest.mark.parametrize("kind", KINDS)
def test_the_digest_is_the_sha256_of_the_whole_file(tmp_path: Path, kind: str) -> None:
    path = stored(tmp_path, tar(FILES), kind)
    with path.open("ab") as file:
        file.write(b"trailing" * 100_000)
    seen = 0

    def count(number: int) -> None:
        nonlocal seen
        seen += number

    with Archive(path, kind, count, hashed=True) as archive:
        list(archive)
        archive.drain()
        expected = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout
        assert archive.digest().hex() == expected.split()[0]
    assert seen == path.stat().st_size


def test_a_digest_that_was_not_asked_for_is_not_given(tmp_path: Path) -> None:
    with Archive(stored(tmp_path, tar(FILES)), "tar") as archive, pytest.raises(ValueError, match="hashed"):
        archive.digest()


def test_a_wrong_crc_is_found_when_nearly_all_members_were_read(tmp_path: Path) -> None:
    rng = random.Random(4)
    path = stored(tmp_path, tar({f"{i}.jpg": rng.randbytes(50_000) for i in range(40)}), "tar_gz")
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    names, err, damaged = fault(path, "tar_gz")
    assert names == [f"{i}.jpg" for i in range(len(names))]
    assert len(names) > 30  # what zlib holds when it finds the fault is lost: at most 256 KiB
    assert re.search("incorrect data check|Incorrect checksum", err.why)  # zlib's words, and isal's
    assert damaged


def test_a_wrong_length_in_the_gzip_trailer_is_found(tmp_path: Path) -> None:
    path = stored(tmp_path, tar(FILES), "tar_gz")
    path.write_bytes(path.read_bytes()[:-4] + struct.pack("<I", 12))
    assert re.search("incorrect length check|Incorrect checksum", fault(path, "tar_gz")[1].why)


@pytest.mark.parametrize("data", [b"not an archive at all", bz2.compress(tar(FILES)), tar(FILES)])
def test_what_is_not_gzip_is_said_to_be_broken(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(data)
    names, err, damaged = fault(path, "tar_gz")
    assert names == []
    assert "gzip stream is broken" in err.why
    assert damaged


# ------------------------------------------------------------------ tar


def cut_at(where: str, data: bytes) -> bytes:
    """FILES are three headers, 700 bytes of data in two blocks, no data, 2,560 bytes in five blocks."""
    return data[
        : {
            "first header": 100,
            "first data": 512 + 300,
            "first padding": 512 + 710,
            "second header": 512 + 1024 + 10,
            "last data": 512 + 1024 + 512 + 512 + 2000,
            "end mark": 512 + 1024 + 512 + 512 + 2560,
            "within end mark": 512 + 1024 + 512 + 512 + 2560 + 100,
        }[where]
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("where", "yielded", "told"),
    [
        ("first header", 0, "within a header"),
        ("first data", 1, "cut off within it"),
        ("first padding", 1, "cut off within it"),
        ("second header", 1, "within a header"),
        ("last data", 3, "cut off within it"),
        ("end mark", 3, "end mark is missing"),
        ("within end mark", 3, "within a header"),
    ],
)
def test_an_archive_that_is_cut_off_is_said_to_be(
    tmp_path: Path, kind: str, where: str, yielded: int, told: str
) -> None:
    path = stored(tmp_path, cut_at(where, tar(FILES)), kind)
    names, err, damaged = fault(path, kind)
    assert names == list(FILES)[:yielded]
    assert told in err.why
    assert damaged
    if yielded:
        assert repr(names[-1]) in err.why


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_gzip_file_that_is_cut_off_is_said_to_be(tmp_path: Path, part: float) -> None:
    rng = random.Random(3)
    path = stored(tmp_path, tar({f"{i}.jpg": rng.randbytes(5000) for i in range(20)}), "tar_gz")
    os.truncate(path, int(path.stat().st_size * part))
    _, err, damaged = fault(path, "tar_gz")
    assert "cut off" in err.why
    assert damaged


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_file_is_no_archive(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"")
    names, err, damaged = fault(path, kind)
    assert (names, damaged) == ([], True)
    assert "empty" in err.why


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_without_members_is_fine(tmp_path: Path, kind: str) -> None:
    assert contents(stored(tmp_path, tar({}), kind), kind) == {}


def test_what_is_not_a_tar_is_said_with_its_place(tmp_path: Path) -> None:
    names, err, _ = fault(stored(tmp_path, b"<!doctype html>" * 100))
    assert names == []
    assert "not a tar header at byte 0" in err.why


def test_a_header_whose_checksum_is_wrong_ends_the_archive(tmp_path: Path) -> None:
    data = bytearray(tar(FILES))
    data[512 + 1024 + 5] ^= 1  # in the name of the second member
    names, err, _ = fault(stored(tmp_path, bytes(data)))
    assert names == ["one.jpg"]
    assert "not a tar header at byte 1536" in err.why


@pytest.mark.parametrize("form", ["gnu", "pax"])
@pytest.mark.parametrize("name", ["d/" * 60 + "a.jpg", "x" * 101, "y" * 4000 + ".jpg", "ß漢字.jpg"])
def test_long_and_foreign_names_are_read_whole(tmp_path: Path, form: str, name: str) -> None:
    path = stored(tmp_path, tar({name: b"data", "next.jpg": b"n"}, FORMATS[form]))
    assert contents(path) == {name: b"data", "next.jpg": b"n"}


def test_names_that_ustar_splits_are_joined(tmp_path: Path) -> None:
    name = "p" * 100 + "/" + "n" * 90
    assert contents(stored(tmp_path, tar({name: b"1"}, tarfile.USTAR_FORMAT))) == {name: b"1"}


@pytest.mark.parametrize("name", ["/etc/passwd", "../../up.jpg", "./a.jpg", "a//b.jpg"])
def test_a_name_is_given_as_the_archive_spells_it(tmp_path: Path, name: str) -> None:
    assert [member.name for member in members(stored(tmp_path, tar({name: b"1"})))] == [name]


def test_bytes_that_are_not_utf_8_come_as_surrogates(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo("café.jpg"))
    (member,) = members(stored(tmp_path, out.getvalue()))
    assert member.name == "caf\udce9.jpg"
    assert os.fsencode(member.name) == b"caf\xe9.jpg"


@pytest.mark.parametrize(
    ("type_", "fields"),
    [
        (tarfile.SYMTYPE, {"linkname": "plain.jpg"}),
        (tarfile.LNKTYPE, {"linkname": "plain.jpg"}),
        (tarfile.FIFOTYPE, {}),
        (tarfile.CHRTYPE, {"devmajor": 1, "devminor": 3}),
        (tarfile.BLKTYPE, {}),
    ],
)
def test_links_and_devices_have_no_data_whatever_size_they_claim(
    tmp_path: Path, type_: bytes, fields: dict[str, Any]
) -> None:
    odd, plain = members(stored(tmp_path, special(type_, size=4096, **fields)))
    assert (odd.is_file, odd.is_folder, odd.size) == (False, False, 0)
    assert (plain.name, plain.is_file, plain.index) == ("plain.jpg", True, 1)


def test_a_folder_is_a_folder(tmp_path: Path) -> None:
    folder, plain = members(stored(tmp_path, special(tarfile.DIRTYPE, name="set_01")))
    assert (folder.is_file, folder.is_folder) == (False, True)
    assert plain.is_file


def test_an_entry_of_an_unknown_type_keeps_its_data_out_of_the_way(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("volume")
        info.type, info.size = b"Z", 600
        archive.addfile(info, io.BytesIO(b"z" * 600))
    data = out.getvalue()[: 512 + 1024] + tar({"plain.jpg": b"abc"})
    odd, plain = members(stored(tmp_path, data))
    assert (odd.is_file, odd.size, plain.is_file, plain.offset) == (False, 600, True, 512 + 1024 + 512)


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_a_sparse_file_is_no_plain_file_and_the_next_one_is_found(tmp_path: Path, form: str) -> None:
    if shutil.which("tar") is None:
        pytest.skip("no tar command")
    holes = tmp_path / "holes.jpg"
    with holes.open("wb") as file:
        for place in range(40):  # more pieces than fit into the header: the map goes on in further blocks
            file.seek(place * 100_000)
            file.write(b"data")
    (tmp_path / "plain.jpg").write_bytes(b"plain")
    command = ["tar", "-cSf", "a.tar", f"--format={form}", "holes.jpg", "plain.jpg"]
    subprocess.run(command, cwd=tmp_path, check=True)
    if (tmp_path / "a.tar").stat().st_size > 2_000_000:
        pytest.skip("this file system keeps no holes")
    odd, plain = members(tmp_path / "a.tar")
    assert not odd.is_file
    assert (plain.name, plain.is_file, plain.size) == ("plain.jpg", True, 5)
    assert contents(tmp_path / "a.tar") == {"plain.jpg": b"plain"}


# ------------------------------------------------------------------ pax


def pax(fields: dict[str, str], data: bytes = b"data", **info_fields: Any) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("short.jpg")
        info.size = len(data)
        info.pax_headers = fields
        for key, value in info_fields.items():
            setattr(info, key, value)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def raw_pax(body: bytes, type_: bytes = tarfile.XHDTYPE) -> bytes:
    """A pax header with any body, then a plain member."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = type_, len(body)
    return info.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512) + tar({"plain.jpg": b"abc"})


def test_a_pax_path_stands_before_the_name_in_the_header(tmp_path: Path) -> None:
    assert contents(stored(tmp_path, pax({"path": "real/name.jpg"}))) == {"real/name.jpg": b"data"}


def test_a_pax_size_stands_before_the_size_in_the_header(tmp_path: Path) -> None:
    body = b"12 size=600\n"
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(body)
    member = tarfile.TarInfo("big.jpg")
    data = info.tobuf() + body.ljust(512, b"\0") + member.tobuf(tarfile.USTAR_FORMAT) + b"d" * 600 + bytes(424)
    path = stored(tmp_path, data + tar({"next.jpg": b"n"}))
    assert contents(path) == {"big.jpg": b"d" * 600, "next.jpg": b"n"}
    big = members(path)[0]
    want = Wanted(big.index, big.name, big.offset, big.size)
    assert [bytes_ for _, bytes_ in read_members(path, "tar", [want])] == [b"d" * 600]


def test_a_pax_header_counts_for_one_member_and_a_global_one_for_all(tmp_path: Path) -> None:
    one = raw_pax(b"19 path=another.jpg\n"[:-1].replace(b"19", b"20") + b"\n")
    assert [m.name for m in members(stored(tmp_path, one[:-10240] + one[-10240:]))] == ["another.jpg"]
    everywhere = raw_pax(b"30 comment=made by something\n".replace(b"30", b"29"), tarfile.XGLTYPE)
    assert [m.name for m in members(stored(tmp_path, everywhere))] == ["plain.jpg"]


@pytest.mark.parametrize(
    "body",
    [
        b"no length\n",
        b"99 path=short\n",
        b"0 path=a\n",
        b"12 path without\n",
        b"11 path=abc",
        b"1" * 5000 + b" a=b\n",
        b"\xb2 size=1\n",
        b"15 size=\xc2\xb2\xc2\xb23\n",
        b"11 size=-1\n",
        b"30 size=9999999999999999999999\n"[:31],
    ],
)
def test_a_broken_pax_header_is_a_fault_and_no_crash(tmp_path: Path, body: bytes) -> None:
    names, err, damaged = fault(stored(tmp_path, raw_pax(body)))
    assert names == []
    assert "pax" in err.why or "size" in err.why
    assert damaged


def test_an_extended_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 33
    assert "extended header of 8589934592 bytes" in fault(stored(tmp_path, info.tobuf(tarfile.GNU_FORMAT)))[1].why


@pytest.mark.parametrize("size", [-5, 1 << 62, 1 << 80])
def test_a_size_that_cannot_be_is_a_fault(tmp_path: Path, size: int) -> None:
    info = tarfile.TarInfo("a.jpg")
    info.size = size
    assert "a size of" in fault(stored(tmp_path, info.tobuf(tarfile.GNU_FORMAT)))[1].why


def test_a_member_too_large_for_a_picture_is_skipped_but_not_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("huge.jpg")
    info.size = 1 << 31
    path = stored(tmp_path, info.tobuf())
    os.truncate(path, 512 + (1 << 31))
    with path.open("ab") as file:
        file.write(tar({"next.jpg": b"n"}))
    with Archive(path, "tar") as archive:
        with pytest.raises(ContainerError, match="too many for a picture"):
            archive.data(next(iter(archive)))
        assert not archive.is_damaged


def test_data_of_another_member_than_the_last_is_refused(tmp_path: Path) -> None:
    with Archive(stored(tmp_path, tar(FILES)), "tar") as archive:
        first, second = (member for _, member in zip(range(2), archive, strict=False))
        with pytest.raises(ValueError, match=r"one\.jpg"):
            archive.data(first)
        archive.data(second)


# ------------------------------------------------------------------ reading what was scanned


def wanted(path: Path, kind: str) -> list[Wanted]:
    found = listing(path)[0] if kind == "directory" else members(path, kind)
    return [Wanted(m.index, m.name, m.offset, m.size) for m in found]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_wanted_members_are_read_in_order(tmp_path: Path, kind: str, form: str) -> None:
    long = {} if form == "ustar" else {"l" * 200 + ".jpg": b"long", "Zürich.jpg": b"z"}
    files = FILES | long | {"p" * 90 + "/" + "q" * 60: b"split"}
    path = stored(tmp_path, tar(files, FORMATS[form]), kind)
    read = list(read_members(path, kind, wanted(path, kind)[::2]))
    assert [data for _, data in read] == list(files.values())[::2]
    assert list(read_members(path, kind, [])) == []


def test_files_of_a_folder_are_read_by_name(tmp_path: Path) -> None:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    read = [(want.name, data) for want, data in read_members(tmp_path, "directory", wanted(tmp_path, "directory"))]
    assert read == sorted(FILES.items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "other",
    [
        {"one.jpg": b"1" * 700, "two.jpg": b"", "3.jpg": bytes(2560)},
        {"one.jpg": b"1" * 700, "two.jpg": b"", "three.jpg": bytes(2559)},
        {"one.jpg": b"1" * 700, "three.jpg": bytes(2560)},
        {"one.jpg": b"1" * 700},
    ],
)
def test_an_archive_that_is_not_the_scanned_one_is_changed(
    tmp_path: Path, kind: str, other: dict[str, bytes]
) -> None:
    path = stored(tmp_path, tar(FILES), kind)
    last = wanted(path, kind)[2:]
    stored(tmp_path, tar(other), kind)
    with pytest.raises(ContainerChanged, match=r"three\.jpg"):
        list(read_members(path, kind, last))


def test_a_member_is_not_taken_for_its_neighbour(tmp_path: Path) -> None:
    """The wanted name lies just before the place, but as another member."""
    path = stored(tmp_path, tar({"a.jpg": b"1" * 50, "b.jpg": b"2" * 50}))
    last = wanted(path, "tar")[1:]
    stored(tmp_path, tar({"b.jpg": b"2" * 50, "a.jpg": b"1" * 50}))
    with pytest.raises(ContainerChanged):
        list(read_members(path, "tar", last))


def test_a_file_of_another_size_or_none_is_changed(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"123")
    want = wanted(tmp_path, "directory")
    (tmp_path / "a.jpg").write_bytes(b"1234")
    with pytest.raises(ContainerChanged, match=r"a\.jpg"):
        list(read_members(tmp_path, "directory", want))
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(ContainerChanged, match=r"a\.jpg"):
        list(read_members(tmp_path, "directory", want))


@pytest.mark.parametrize("kind", [*KINDS, "directory"])
def test_a_container_that_is_not_there_is_changed(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ContainerChanged, match="nowhere"):
        list(read_members(tmp_path / "nowhere", kind, [Wanted(0, "a.jpg", 512, 3)]))


# ------------------------------------------------------------------ folders


def test_a_listing_is_sorted_by_bytes_and_says_what_is_no_file(tmp_path: Path) -> None:
    for name in ("b.jpg", "B.jpg", "ä.jpg", "a10.jpg", "a9.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "sub").mkdir()
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    (tmp_path / "link.jpg").symlink_to("b.jpg")
    found, others, digest = listing(tmp_path)
    assert [m.name for m in found] == ["B.jpg", "a10.jpg", "a9.jpg", "b.jpg", "link.jpg", "ä.jpg"]
    assert [m.index for m in found] == list(range(6))
    assert others == ["broken.jpg", "sub"]
    (tmp_path / "a9.jpg").write_bytes(b"longer than before")
    assert listing(tmp_path)[2] != digest


def test_a_listing_of_no_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(ContainerChanged, match=path.name):
            listing(path)


def test_a_name_that_is_not_utf_8_is_listed_and_read(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(b"coffee")
    (member,) = listing(tmp_path)[0]
    assert os.fsencode(member.name) == b"caf\xe9.jpg"
    assert [data for _, data in read_members(tmp_path, "directory", wanted(tmp_path, "directory"))] == [b"coffee"]


def test_the_kind_is_told_by_the_name(tmp_path: Path) -> None:
    (tmp_path / "folder.tar").mkdir()
    kinds = {"a.tar.gz": "tar_gz", "A.TGZ": "tar_gz", "a.tar": "tar", "a.zip": None, "tar.gz.md5": None}
    assert {name: kind_of(tmp_path / name) for name in kinds} == kinds
    assert kind_of(tmp_path / "folder.tar") == "directory"
