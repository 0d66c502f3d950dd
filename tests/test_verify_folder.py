"""`verify DIR`: shards that this tool did not make; what is wrong is found, what is whole is not accused."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset as wds
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from webdataset.tariterators import base_plus_ext

from materialize.foreign import image
from materialize.foreign.check import FolderReport, check_folder
from materialize.foreign.keys import SharedKeys, digests_of, shared_keys
from materialize.foreign.names import sample_name
from materialize.foreign.result import Kind, ShardCheck
from materialize.foreign.shard import check_shard
from materialize.foreign.tally import Tally, _named
from tests.damage import DAMAGES, NEEDS_UNPRIVILEGED
from tests.faults import CRASHER, ROOT
from tests.running import environment, plan, start, tol_db
from tests.unprivileged import folder_for_all, unprivileged
from tol_db.errors import InputError, InputMissing, LeaseHeld

NO_DATABASE = Path("there-is-no-database.sqlite")
Sample = dict[str, bytes]


def picture(kind: str = "JPEG", size: tuple[int, int] = (40, 30), seed: int = 0) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    made = io.BytesIO()
    Image.fromarray(noise).save(made, kind)
    return made.getvalue()


JPG, PNG = picture(), picture("PNG")


def sample(key: str, **parts: bytes) -> dict[str, Any]:
    return {"__key__": key, **(parts or {"jpg": JPG, "txt": b"a word"})}


def write(path: Path, samples: list[dict[str, Any]], **options: Any) -> Path:
    """A shard as webdataset itself writes it; values are bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wds.TarWriter(str(path), encoder=False, **options) as writer:
        for one in samples:
            writer.write(one)
    return path


def tar(path: Path, members: list[tuple[str, bytes]], **attributes: Any) -> Path:
    """A shard with these members; names and types as they are given."""
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in attributes.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(data))
    return path


def good(name: str, number: int = 4) -> list[tuple[str, bytes]]:
    return [(f"{name}{i}.{ext}", data) for i in range(number) for ext, data in (("jpg", JPG), ("txt", b"a"))]


def check(folder: Path, **options: Any) -> FolderReport:
    return check_folder(folder, **{"workers": 1, "decode": True, "image_timeout": 60.0} | options)


def kinds(report: FolderReport) -> dict[str, int]:
    return {count.kind.value: count.number for count in report.counts}


class Nobody:
    def enter(self, index: int, name: str) -> None:
        pass

    def leave(self) -> None:
        pass


def check_one(path: Path, *, decode: bool = False) -> ShardCheck:
    """One shard, in this process."""
    return check_shard(path.absolute(), decode=decode, on_bytes=lambda _: None, watch=Nobody())


def kinds_of_one(path: Path, *, decode: bool = True) -> dict[str, int]:
    tally = Tally()
    tally.add(check_one(path, decode=decode))
    tally.find_incomplete_samples()
    tally.find_strange_ends()
    tally.find_duplicate_keys(lambda: None)
    return {count.kind.value: count.number for count in tally.counts()}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, _demo_ingested: Path) -> Path:
    """Shards of the demo tree: train of several, val, and train_small, a part of train."""
    folder = tmp_path_factory.mktemp("ours")
    db = Path(shutil.copy(_demo_ingested, folder / "tol.sqlite"))
    plan(db, folder / "out", "tol10m", "--shard-images", "12")
    tol_db(db, "materialize")
    return folder / "out"


# ------------------------------------------------------------------ good sets


def test_our_own_shards_and_a_subset_split_are_good(ours: Path) -> None:
    done = tol_db(NO_DATABASE, "verify", ours)
    assert "nothing is wrong" in done.stdout
    assert "keys that are both in 224x224/train and 224x224/train_small, no fault" in done.stdout
    assert not NO_DATABASE.exists()
    assert f"{len(list(ours.rglob('*.tar')))} shards" in done.stdout


def test_sets_of_other_writers_are_good(tmp_path: Path) -> None:
    write(tmp_path / "a" / "plain.tar", [sample(f"a{i}") for i in range(5)], mtime=1.7e9)
    write(tmp_path / "a" / "packed.tar.gz", [sample(f"b{i}") for i in range(5)])
    shutil.copy(tmp_path / "a" / "packed.tar.gz", tmp_path / "b.tgz")
    # readers of WebDataset go by the first bytes, not by the name
    shutil.copy(tmp_path / "a" / "packed.tar.gz", tmp_path / "c.tar")
    (tmp_path / "links").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "other.tar").symlink_to(tmp_path / "a" / "plain.tar")
    long_names = [(f"{'folder/' * 30}{i}.JPG", JPG) for i in range(3)]
    for style in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / f"long{style}.tar", "w", format=style) as archive:
            folder = tarfile.TarInfo("folder")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            for name, data in long_names:
                for member, body in ((name, data), (name.replace("JPG", "txt"), b"a")):
                    info = tarfile.TarInfo(f"{style}/{member}")
                    info.size = len(body)
                    archive.addfile(info, io.BytesIO(body))
    report = check(tmp_path)
    # b.tgz, c.tar hold the same keys beside each other: that is the one thing to tell
    assert kinds(report) == {"duplicate_key": 5}
    assert report.shards == 7  # a folder is walked once, by whichever name
    assert report.extensions == ("jpg", "txt")


def test_json_and_png_samples_are_good_and_metadata_is_skipped(tmp_path: Path) -> None:
    samples = [sample(f"x/{i}", json=b"{}", png=PNG) for i in range(3)]
    write(tmp_path / "s.tar", samples)
    members = [("__index__", b"{}"), ("1.png", PNG), ("1.json", b""), ("__meta__/x", b"")]
    tar(tmp_path / "t.tar", members)
    report = check(tmp_path)
    assert kinds(report) == {}
    assert report.samples == 4 and report.empty_members == 1


def test_archives_that_end_without_padding_are_good(tmp_path: Path) -> None:
    for number in range(4):
        path = tar(tmp_path / f"{number}.tar", good(f"k{number}-", 3))
        content = path.read_bytes().rstrip(b"\0")
        path.write_bytes(content + bytes(-len(content) % 512) + bytes(1024))  # as Go's and Rust's writers end
    assert kinds(check(tmp_path)) == {}


# ------------------------------------------------------------------ damage

NOT_FOUND = {
    "bit in a text": "text of others has no checksum",
    "bit in a jpg": "it still decodes",
    "bit in padding": "nobody reads it",
    "members of a sample swapped": "any order is good",
    "contents of two texts swapped": "no database says what belongs where",
    "jpgs of two samples swapped": "likewise",
    "sample missing": "likewise",
    "sample extra": "likewise",
    "samples in another order": "likewise",
    "shard of another dataset": "likewise",
    "gone": "likewise",
    "no samples": "a whole empty archive: where all images of a shard were left out it is good; counted",
}
"""What a check without a database cannot know, and why."""

FOUND_AS = {
    "0 bytes": {"empty"},
    "all zeros, size kept": {"truncated"},
    "cut in a header": {"truncated"},
    "cut in a body": {"truncated"},
    "cut in padding": {"truncated"},
    "cut between samples": {"missing_end_mark"},
    "cut before the end blocks": {"missing_end_mark"},
    "cut in the end blocks": {"missing_end_mark"},
    "bit in the checksum of a header": {"damaged"},
    "body of a jpg zeroed": {"undecodable_image"},
    "member missing": {"incomplete_sample"},
    "member extra": {"incomplete_sample"},
    "member twice": {"repeated_member"},
    "sample duplicated": {"repeated_member"},
    "garbage behind it": {"trailing_bytes"},
    "zeros behind it": {"truncated"},
    "replaced by text": {"not_a_tar"},
    "replaced by a folder": {"is_a_folder"},
    "replaced by a pipe": {"not_a_tar"},
    "link to nowhere": {"unreadable"},
}


def test_every_damage_that_can_be_known_is_found_and_nothing_else(ours: Path, tmp_path: Path) -> None:
    source = sorted((ours / "224x224" / "train").glob("*.tar"))[1]
    for number, (name, (damage, _)) in enumerate(DAMAGES.items()):
        if name not in NEEDS_UNPRIVILEGED:
            (tmp_path / str(number)).mkdir()
            damage(Path(shutil.copy(source, tmp_path / str(number) / f"{name}.tar")))
    for number in range(20):  # most are good, as they are in life
        (tmp_path / f"good{number}").mkdir()
        shutil.copy(source, tmp_path / f"good{number}" / "good.tar")
    report = check(tmp_path)
    found: dict[str, set[str]] = {}
    for finding in report.findings:
        found.setdefault(Path(finding.shard).stem, set()).add(finding.kind.value)
    assert set(DAMAGES) - set(found) == set(NOT_FOUND) | NEEDS_UNPRIVILEGED
    assert "good" not in found
    assert report.empty_archives == 1
    assert {name: found[name] for name in FOUND_AS} == FOUND_AS
    assert report.shards_at_fault == len(found)


def test_what_is_wrong_is_told_and_exits_with_1(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", [sample(f"a{i}") for i in range(30)])
    broken = [sample(f"b{i}", jpg=JPG[:-200], txt=b"x") for i in range(25)]
    write(tmp_path / "b.tar", broken)
    done = tol_db(NO_DATABASE, "verify", tmp_path, expect=1)
    assert "undecodable_image: images that cannot be decoded: 25" in done.stdout
    assert done.stdout.count("image file is truncated") == 20
    assert "… 25 in all" in done.stdout
    assert f"error: {tmp_path}: 25 findings in 1 files" in done.stderr
    report = check(tmp_path)
    assert kinds(report) == {"undecodable_image": 25}
    assert [finding.member for finding in report.findings] == [f"b{i}.jpg" for i in range(25)]
    told = tol_db(NO_DATABASE, "verify", tmp_path, "--no-decode").stdout
    assert "images were not decoded" in told and "nothing is wrong" in told


def test_a_cut_within_the_padding_is_seen_beside_other_shards(tmp_path: Path) -> None:
    for number in range(5):
        tar(tmp_path / f"{number}.tar", good(f"k{number}-", 3))
    end = (tmp_path / "3.tar").stat().st_size
    os.truncate(tmp_path / "3.tar", end - 512)
    report = check(tmp_path)
    assert kinds(report) == {"missing_end_mark": 1}
    assert report.findings[0].shard.endswith("3.tar")


def of_blocks(path: Path, members: list[tuple[str, bytes]], record: int) -> Path:
    """A shard whose end is padded to a multiple of ``record`` bytes, as ``tar -b`` does."""
    content = tar(path, members).read_bytes().rstrip(b"\0")
    content += bytes(-len(content) % 512 + 1024)
    path.write_bytes(content + bytes(-len(content) % record))
    return path


@pytest.mark.parametrize("number_of_good", [0, 1, 3, 5])
@pytest.mark.parametrize("equal", [True, False])
def test_shards_of_nothing_but_zeros_are_never_whole(tmp_path: Path, number_of_good: int, equal: bool) -> None:
    for number in range(number_of_good):
        tar(tmp_path / f"good{number}.tar", good(f"k{number}-", 90 if equal else 90 + 5 * number))
    size = (tmp_path / "good0.tar").stat().st_size if number_of_good else 20 * 10_240
    for number in range(3):
        (tmp_path / f"lost{number}.tar").write_bytes(bytes(size))
    report = check(tmp_path)
    assert [Path(finding.shard).stem for finding in report.findings] == ["lost0", "lost1", "lost2"]
    assert (kinds(report), report.empty_archives, report.shards_at_fault) == ({"truncated": 3}, 0, 3)
    (tmp_path / "empty.tar").write_bytes(bytes(10_240))
    report = check(tmp_path)
    assert (kinds(report), report.empty_archives, report.shards_at_fault) == ({"truncated": 3}, 1, 3)


def test_an_empty_archive_may_be_as_long_as_the_records_of_the_others(tmp_path: Path) -> None:
    for number in range(6):
        of_blocks(tmp_path / f"{number}.tar", good(f"k{number}-", 3 + 7 * number), 128 * 512)
    of_blocks(tmp_path / "empty.tar", [], 128 * 512)
    assert kinds(check(tmp_path)) == {}
    of_blocks(tmp_path / "lost.tar", [], 129 * 512)
    assert kinds(check(tmp_path)) == {"truncated": 1}


def test_a_set_without_any_sample_is_a_finding(tmp_path: Path) -> None:
    for number in range(3):
        tar(tmp_path / f"{number}.tar", [])
    report = check(tmp_path)
    assert kinds(report) == {"empty": 1}
    assert (report.empty_archives, report.shards_at_fault) == (0, 3)
    done = tol_db(NO_DATABASE, "verify", tmp_path, expect=1)
    assert "no shard of the whole set has a sample" in done.stdout
    tar(tmp_path / "3.tar", good("k", 1))
    report = check(tmp_path)
    assert (kinds(report), report.empty_archives) == ({}, 3)


def test_gzip_that_is_cut_or_broken_is_told(tmp_path: Path) -> None:
    whole = gzip.compress(tar(tmp_path / "x", good("k")).read_bytes())
    for name, content in {
        "cut": whole[:-30],
        "crc": whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:],
        "tail": whole + b"rest",
        "head": whole[:3],
    }.items():
        (tmp_path / f"{name}.tar.gz").write_bytes(content)
    findings = check(tmp_path).findings
    assert {Path(found.shard).name: found.kind.value for found in findings if not found.member} == {
        "cut.tar.gz": "truncated",
        "crc.tar.gz": "damaged",
        "tail.tar.gz": "trailing_bytes",
        "head.tar.gz": "truncated",
    }


def test_members_that_are_no_files_and_hostile_names(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in good("k"):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, kind in (
            ("link.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
            ("device.jpg", tarfile.CHRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        for name in ("/etc/x", "../../x", "plain", ".hidden.jpg", "a/b.", "\x1b[2Jx", "\udcff\u202e"):
            archive.addfile(tarfile.TarInfo(name))
    done = tol_db(NO_DATABASE, "verify", tmp_path, expect=1)
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout
    told = json.loads(tol_db(NO_DATABASE, "verify", tmp_path, "--json", expect=1).stdout)
    numbers = {count["kind"]: count["number"] for count in told["counts"]}
    assert numbers == {"not_a_file": 3, "unsafe_name": 3, "no_sample_name": 7}
    assert {finding["member"] for finding in told["findings"]} >= {"/etc/x", "../../x", "\x1b[2Jx", "\udcff\u202e"}


def test_a_name_of_a_megabyte_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    members = [*good("k"), ("a/" * 200_000 + "x", b""), ("a/" * 200_000 + "x.jpg", b"")]
    found = check_one(tar(tmp_path / "s.tar", members, pax_headers={}), decode=True)
    assert {count.kind.value: count.number for count in found.counts} == {"unsafe_name": 2, "no_sample_name": 2}
    assert all(len(finding.message) < 5000 and len(finding.member or "") < 5000 for finding in found.findings)


def test_a_member_that_claims_ten_terabytes_is_a_cut(tmp_path: Path) -> None:
    info = tarfile.TarInfo("k9.jpg")
    info.size = 10 << 40
    path = tar(tmp_path / "s.tar", good("k"))
    content = path.read_bytes()
    path.write_bytes(content[: -(check_one(path).tail or 0)] + info.tobuf(tarfile.GNU_FORMAT) + JPG)
    assert kinds_of_one(path) == {"truncated": 1, "too_large_to_check": 1}
    assert kinds_of_one(path, decode=False) == {"truncated": 1}


def test_samples_whose_members_are_apart_or_come_twice(tmp_path: Path) -> None:
    apart = tar(tmp_path / "apart.tar", [*good("k"), ("k0.json", b"{}")])
    assert kinds_of_one(apart) == {"repeated_key": 1, "incomplete_sample": 1}
    twice = tar(tmp_path / "twice.tar", [*good("k"), ("k3.JPG", JPG)])
    assert kinds_of_one(twice) == {"repeated_member": 1}
    (finding,) = check_one(apart).findings
    assert finding.member == "k0" and "begins 2 times" in finding.message


def test_images_of_many_formats_and_faults(tmp_path: Path) -> None:
    frames = [Image.new("P", (20, 20), i) for i in range(3)]
    animated = io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    broken = bytearray(PNG)
    broken[-20] ^= 1  # in a checksum that loading the pixels does not look at
    for data in (JPG, PNG, picture("WEBP"), picture("BMP"), picture("TIFF"), animated.getvalue()):
        assert image.image_fault(data) is None
        cut = image.image_fault(data[: len(data) * 2 // 3])
        assert cut is not None and not cut.is_too_large
    for data in (b"", b"text", bytes(broken), CRASHER + b"SEGV"):
        fault = image.image_fault(data)
        assert fault is not None and fault.message.isprintable() and not fault.is_too_large
    bomb = image.image_fault(picture(size=(200, 100)), max_pixels=19_999)
    assert bomb is not None and bomb.is_too_large
    assert image.image_fault(picture(size=(200, 100)), max_pixels=20_000) is None
    header = picture("BMP", (9, 9)).replace((9).to_bytes(4, "little") * 2, (60_000).to_bytes(4, "little") * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kinds_of_one(tar(tmp_path / "s.tar", [*good("k"), ("k4.jpg", header), ("k4.txt", b"")])) == {
            "too_large_to_check": 1
        }


def test_images_that_end_the_process_cost_themselves_alone(tmp_path: Path) -> None:
    ways = {"b1": b"SEGV", "b5": b"HANG"}
    samples = [
        sample(f"b{i}", jpg=CRASHER + ways[f"b{i}"] + b" " if f"b{i}" in ways else JPG, txt=b"") for i in range(8)
    ]
    samples.append(sample("once", jpg=CRASHER + b"KILL " + str(tmp_path / "flag").encode() + b" ", txt=b""))
    samples.append(sample("cut", jpg=JPG[:-300], txt=b""))
    write(tmp_path / "shards" / "b.tar", samples)
    write(tmp_path / "shards" / "a.tar", [sample(f"a{i}") for i in range(3)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.faulty", "verify", str(tmp_path / "shards"), "--json", "--workers", "2"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(TOL_DB_IMAGE_TIMEOUT="0.5"),
        start_new_session=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    found = {finding["member"]: finding["message"] for finding in told["findings"]}
    assert set(found) == {"b1.jpg", "b5.jpg", "cut.jpg"}
    assert "checking it ended the process (SIGSEGV)" in found["b1.jpg"]
    assert "decoding it took more than 0.5 s" in found["b5.jpg"]
    assert told["samples"] == 13 and told["shards"] == 2


# ------------------------------------------------------------------ keys


def test_a_key_in_two_shards_of_a_folder_is_named_with_both(tmp_path: Path) -> None:
    write(tmp_path / "train" / "0.tar", [sample(f"a{i}") for i in range(40)])
    write(tmp_path / "train" / "1.tar", [sample(f"b{i}") for i in range(40)] + [sample("a7")])
    write(tmp_path / "train" / "2.tar.gz", [sample(f"a{i}") for i in range(10, 40)])
    write(tmp_path / "train_small" / "0.tar", [sample(f"b{i}") for i in range(10)])
    report = check(tmp_path, decode=False)
    assert kinds(report) == {"duplicate_key": 31}
    told = [(Path(f.shard).name, f.member, f.message) for f in report.findings]
    assert ("1.tar", "a7", f"key 'a7' is also in {str(tmp_path / 'train' / '0.tar')!r}") in told
    assert sum(name == "2.tar.gz" and key is not None for name, key, _ in told) == 20
    assert any(message.startswith("10 more keys are also in") for _, _, message in told)
    (shared,) = report.shared_between
    assert (Path(shared.first).name, Path(shared.second).name, shared.keys) == ("train", "train_small", 10)


@given(st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=6))
def test_shared_keys_are_those_that_a_dictionary_finds(shards: list[list[int]]) -> None:
    holders: dict[int, list[int]] = {}
    for place, keys in enumerate(shards):
        for key in sorted(set(keys)):
            holders.setdefault(key, []).append(place)
    expected: dict[tuple[int, int], set[int]] = {}
    for key, places in holders.items():
        for second in places[1:]:
            expected.setdefault((places[0], second), set()).add(key)
    found = shared_keys([digests_of(np.array(keys, "<u8").tobytes()) for keys in shards])
    assert {(pair.first, pair.second): set(pair.digests) for pair in found} == expected
    assert all(pair.number == len(pair.digests) for pair in found)


NAMES = st.text(st.sampled_from("ab./_-AÄ "), max_size=12)


@given(NAMES)
def test_names_are_taken_apart_as_webdataset_does(name: str) -> None:
    key, extension = base_plus_ext(name)
    ours = sample_name(name)
    if ours is not None:
        assert (ours.key, ours.extension) == (key, extension.lower())
    elif key is not None:  # hidden files and names that end in a dot are told instead
        assert extension == "" or name.rpartition("/")[2].startswith(".")


def test_equal_digests_of_different_keys_are_no_finding() -> None:
    pair = SharedKeys(0, 1, 1, (5,))
    assert list(_named(pair, ["a", "b"], {0: {5: Counter("x")}, 1: {5: Counter("y")}})) == []
    ((finding, number),) = _named(pair, ["a", "b"], {0: {5: Counter("x")}, 1: {5: Counter("x")}})
    assert (finding.member, number) == ("x", 1)


# ------------------------------------------------------------------ random sets

KEYS = st.text(st.characters(codec="utf-8", exclude_characters="./\0\\", exclude_categories=["C", "Z"]), min_size=1)
SHORT = KEYS.filter(lambda key: len(key.encode()) < 80 and not key.startswith("__"))
SETS = st.lists(SHORT, min_size=1, max_size=8, unique=True)


@settings(max_examples=40, deadline=None)
@given(
    keys=SETS,
    extensions=st.sets(st.sampled_from(["jpg", "png", "txt", "json", "a.txt", "cls"]), min_size=1),
    mtime=st.integers(0, 2**33),
    packed=st.booleans(),
    data=st.data(),
)
def test_random_sets_of_webdataset_are_good_and_cut_ones_are_not(
    tmp_path_factory: pytest.TempPathFactory,
    keys: list[str],
    extensions: set[str],
    mtime: int,
    packed: bool,
    data: st.DataObject,
) -> None:
    bodies = {"jpg": JPG, "png": PNG}
    samples = [{"__key__": key, **{e: bodies.get(e, key.encode()) for e in sorted(extensions)}} for key in keys]
    folder = tmp_path_factory.mktemp("random")
    path = write(folder / ("s.tar.gz" if packed else "s.tar"), samples, mtime=float(mtime))
    assert kinds_of_one(path) == {}
    check = check_one(path)
    assert check.samples == len(keys)
    # what is cut off behind the end mark of a plain tar is padding, which is nobody's
    end = check.size if packed else check.size - (check.tail or 0) + 1024
    os.truncate(path, data.draw(st.integers(0, end - 1)))
    assert kinds_of_one(path)
    shutil.rmtree(folder)


# ------------------------------------------------------------------ the log


def test_killed_at_any_time_it_goes_on_with_its_log(tmp_path: Path) -> None:
    for number in range(12):
        samples = [sample(f"{number}-{i}", jpg=picture(size=(300, 300)), txt=b"") for i in range(15)]
        write(tmp_path / "shards" / f"{number:02}.tar", [*samples, sample("same", jpg=JPG, txt=b"")])
    log = tmp_path / "log.jsonl"
    process = start(NO_DATABASE, "verify", tmp_path / "shards", "--log", log, "--workers", 1)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not log.exists() or log.read_bytes().count(b"\n") < 3):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    kept = log.read_bytes()
    assert 3 <= kept.count(b"\n") < 12
    log.write_bytes(kept + b'{"tol_db_verify": 1, "path": "/half')  # as a kill within a write leaves it
    told = json.loads(tol_db(NO_DATABASE, "verify", tmp_path / "shards", "--log", log, "--json", expect=1).stdout)
    assert told["from_log"] == kept.count(b"\n")
    # the key that is in all shards is found across the two runs
    assert told["counts"] == [{"kind": "duplicate_key", "number": 11}]
    lines = log.read_bytes().splitlines(keepends=True)
    assert b"".join(lines).startswith(kept) and len(lines) == 12
    assert {Path(json.loads(line)["path"]).name for line in lines} == {f"{n:02}.tar" for n in range(12)}
    again = check(tmp_path / "shards", log=log)
    assert again.from_log == 12 and len(log.read_bytes().splitlines()) == 12
    assert {**told, "seconds": 0, "from_log": 0} == {**as_dict(again), "seconds": 0, "from_log": 0}


def as_dict(report: FolderReport) -> dict[str, Any]:
    from dataclasses import asdict

    fields: dict[str, Any] = json.loads(json.dumps(asdict(report)))
    return fields


def test_what_has_changed_or_was_not_decoded_is_checked_again(tmp_path: Path) -> None:
    shards, log = tmp_path / "shards", tmp_path / "log"
    for number in range(3):
        write(shards / f"{number}.tar", [sample(f"{number}-{i}") for i in range(3)])
    assert check(shards, log=log, decode=False).from_log == 0
    assert check(shards, log=log).from_log == 0
    assert check(shards, log=log, decode=False).from_log == 3
    with (shards / "1.tar").open("r+b") as file:
        file.truncate(700)
    report = check(shards, log=log)
    assert report.from_log == 2 and kinds(report) == {"truncated": 1}
    (shards / "1.tar").unlink()
    assert kinds(check(shards, log=log)) == {}


def test_a_fault_of_the_machine_is_no_fault_of_the_shard_and_is_looked_at_again(tmp_path: Path) -> None:
    shards, log = tmp_path / "shards", tmp_path / "log"
    write(shards / "a.tar", [sample("a")])
    (shards / "b.tar").symlink_to("/proc/self/mem")  # to read at 0 is an I/O error
    for _ in range(2):
        report = check(shards, log=log)
        assert kinds(report) == {"storage_fault": 1}
        assert "Input/output error" in report.findings[0].message
    assert report.from_log == 1


def test_unreadable_files_and_folders_are_named(tmp_path: Path) -> None:
    with folder_for_all() as folder:
        for name in ("open", "shut"):
            (folder / name).mkdir()
            tar(folder / name / "s.tar", good("k"))
        tar(folder / "t.tar", good("t")).chmod(0)
        (folder / "shut").chmod(0)
        with unprivileged():
            tally = Tally()
            from materialize.foreign.check import _find_shards

            assert [Path(path).name for path in _find_shards(folder, tally)] == ["s.tar", "t.tar"]
            found = check_one(folder / "t.tar")
        assert [finding.kind for finding in tally.findings()] == [Kind.UNREADABLE]
        assert "the folder cannot be listed" in tally.findings()[0].message
        assert [finding.kind for finding in found.findings] == [Kind.UNREADABLE]
        assert not found.is_final


@pytest.mark.parametrize("content", [b"precious\n", b"precious", b'{"tol_db_verify": 1, "path": 3}\n', b"\x1f\x8b"])
def test_a_file_that_is_no_log_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "shards" / "a.tar", [sample("a")])
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(InputError, match="log: line 1: not a"):
        check(tmp_path / "shards", log=tmp_path / "log")
    assert (tmp_path / "log").read_bytes() == content


def test_two_runs_do_not_share_a_log(tmp_path: Path) -> None:
    import fcntl

    write(tmp_path / "shards" / "a.tar", [sample("a")])
    with (tmp_path / "log").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LeaseHeld, match="another run writes to it"):
            check(tmp_path / "shards", log=tmp_path / "log")


# ------------------------------------------------------------------ the call


def test_wrong_calls_say_what_is_wrong(tmp_path: Path) -> None:
    assert "is not there" in tol_db(NO_DATABASE, "verify", tmp_path / "nothing", expect=66).stderr
    assert "there are no shards" in tol_db(NO_DATABASE, "verify", tmp_path, expect=65).stderr
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file, not a folder"):
        check(tmp_path / "file")
    with pytest.raises(InputMissing):
        check(tmp_path / "file" / "x")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_75_and_no_process_stays(tmp_path: Path, number: signal.Signals) -> None:
    large = picture(size=(500, 500))
    for shard in range(6):
        write(tmp_path / "shards" / f"{shard}.tar", [sample(f"{shard}-{i}", jpg=large) for i in range(30)])
    log = tmp_path / "log"
    process = start(NO_DATABASE, "verify", tmp_path / "shards", "--log", log, "--workers", 2)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not log.exists() or not log.stat().st_size):
        time.sleep(0.01)
    os.killpg(process.pid, number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 75, told
    assert "run the same command again" in told and "Traceback" not in told
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:  # multiprocessing's own helper ends a moment later
            os.killpg(process.pid, 0)
            time.sleep(0.01)
