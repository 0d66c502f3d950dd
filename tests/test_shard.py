"""The shard file protocol: bytes, names, and what is left behind when something goes wrong."""

from __future__ import annotations

import io
import tarfile
from itertools import starmap
from pathlib import Path

import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from materialize import shard
from materialize.receipt import Fact, LeftOut, Receipt, read_receipt, receipts_of, write_receipt
from materialize.shard import (
    ShardWriter,
    link_exclusively,
    member_header,
    part,
    sample_bytes,
    sha256_of,
    write_synced,
)
from materialize.steps import SmallFile
from tol_db.errors import CannotWrite, InputError, ShardConflict

KEYS = ["00cbcc9e-bad2-4af9-b4bd-b56f3bfd81f5", "10cbcc9e-bad2-4af9-b4bd-b56f3bfd81f6"]
PARTS = {"jpg": b"\xff\xd8" * 700, "taxon.txt": b"", "taxonTag.txt": "é".encode(), "sci_com.txt": b"x" * 512}


def write(final: Path, token: str = "aa", parts: dict[str, bytes] = PARTS) -> ShardWriter:
    writer = ShardWriter(final, token)
    for key in KEYS:
        writer.add(key, starmap(part, parts.items()))
    return writer


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["jpg", "sci.txt", "com.txt", "taxon.txt", "taxonTag.txt", "taxonTag_com.txt"]),
            st.binary(max_size=1500),
            min_size=1,
        ),
        max_size=30,
    )
)
def test_bytes_equal_those_of_webdatasets_own_writer(samples: list[dict[str, bytes]]) -> None:
    theirs = io.BytesIO()
    writer = webdataset.TarWriter(theirs, encoder=False, mtime=0)
    ours = b""
    for number, sample in enumerate(samples):
        key = f"{number:08x}-bad2-4af9-b4bd-b56f3bfd81f5"
        # webdataset writes the members of a sample sorted by name, as we do
        writer.write({"__key__": key, **sample})
        ours += sample_bytes(key, starmap(part, sample.items()))
    writer.close()
    whole = ours + bytes(1024)
    whole += bytes(-len(whole) % shard.RECORD)
    assert whole == theirs.getvalue()


@given(st.binary(max_size=100).map(lambda b: b.hex()[:100] or "a"), st.integers(0, shard.LARGEST_MEMBER))
def test_headers_equal_those_of_tarfile(name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime, info.uname, info.gname = size, 0o444, 0, "bigdata", "bigdata"
    assert member_header(name, size) == info.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(("name", "size"), [("a" * 101, 1), ("ü", 1), ("a", -1), ("a", 8**11)])
def test_a_member_that_fits_no_header_is_refused(name: str, size: int) -> None:
    with pytest.raises(ValueError):
        member_header(name, size)


def test_a_shard_has_its_final_name_only_when_published(tmp_path: Path) -> None:
    final = tmp_path / "train" / "shard-000000.tar"
    writer = write(final)
    assert [p.name for p in final.parent.iterdir()] == [".shard-000000.tar.aa.partial"]
    file = writer.finish()
    assert not final.exists()
    writer.publish()
    assert [p.name for p in final.parent.iterdir()] == ["shard-000000.tar"]
    assert (file.size, file.sha256, file.samples) == (final.stat().st_size, sha256_of(final), 2)
    with tarfile.open(final) as tar:
        assert tar.getnames() == [f"{key}.{ext}" for key in KEYS for ext in sorted(PARTS)]


def test_an_empty_shard_is_a_valid_archive(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "shard-000000.tar", "aa")
    writer.finish()
    writer.publish()
    with tarfile.open(tmp_path / "shard-000000.tar") as tar:
        assert tar.getnames() == []


def test_an_aborted_shard_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path / "shard-000000.tar").abort()
    assert list(tmp_path.iterdir()) == []


def test_equal_bytes_under_the_final_name_are_fine(tmp_path: Path) -> None:
    final = tmp_path / "shard-000000.tar"
    for token in ("aa", "bb"):
        writer = write(final, token)
        writer.finish()
        writer.publish()
    assert list(tmp_path.iterdir()) == [final]


def test_other_bytes_under_the_final_name_are_a_conflict_and_stay_untouched(tmp_path: Path) -> None:
    final = tmp_path / "shard-000000.tar"
    final.write_bytes(b"somebody else's")
    writer = write(final)
    writer.finish()
    with pytest.raises(ShardConflict, match="holds other bytes"):
        writer.publish()
    assert final.read_bytes() == b"somebody else's"
    assert list(tmp_path.iterdir()) == [final]


def test_a_full_disk_is_told_and_leaves_no_partial(tmp_path: Path) -> None:
    import resource

    writer = ShardWriter(tmp_path / "shard-000000.tar", "aa")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(CannotWrite, match=r"shard-000000\.tar"):
            for _ in range(40):
                writer.add(KEYS[0], [part("jpg", bytes(100_000))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "train").write_text("in the way")
    with pytest.raises(CannotWrite, match="train"):
        ShardWriter(tmp_path / "train" / "shard-000000.tar", "aa")


def test_renameat2_takes_a_free_name_and_never_a_taken_one(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    shard._rename_exclusively(one, two)
    assert two.read_bytes() == b"1"
    one.write_bytes(b"other")
    with pytest.raises(FileExistsError):
        shard._rename_exclusively(one, two)
    with pytest.raises(FileExistsError):
        link_exclusively(one, two)
    assert two.read_bytes() == b"1"


def test_small_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "marker.json"
    write_synced(path, b"1", "x", SmallFile.SIZES)
    write_synced(path, b"22", "y", SmallFile.SIZES)
    assert path.read_bytes() == b"22"
    assert [p.name for p in path.parent.iterdir()] == ["marker.json"]


def receipt(**changes: object) -> Receipt:
    values: dict[str, object] = {
        "dataset": "d",
        "shard": 3,
        "path": "224x224/train/shard-000003.tar",
        "digest": "ab" * 32,
        "size": 10,
        "sha256": "cd" * 32,
        "samples": 1,
        "token": "0a1b",
        "host": "node1",
        "pid": 7,
        "slurm_job_id": None,
        "started_at": "2026-01-01T00:00:00Z",
        "seconds": 1.5,
        "left_out": (LeftOut(1, "decode_error", 'no "picture" – at all'),),
        "facts": (Fact(3, 4, "RGB", b"c" * 16, b"j" * 16), Fact(None, None, None, b"d" * 16, None)),
    }
    return Receipt(**{**values, **changes})  # type: ignore[arg-type]


def test_a_receipt_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = write_receipt(tmp_path, receipt())
    assert read_receipt(path) == receipt()
    assert receipts_of(tmp_path) == {3: [path]}
    assert path.name == "shard-000003-0a1b.json"


@pytest.mark.parametrize("cut", [0, 1, 40, 200])
def test_a_receipt_that_is_cut_off_is_an_error_that_names_it(tmp_path: Path, cut: int) -> None:
    path = write_receipt(tmp_path, receipt())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"shard-000003-0a1b\.json"):
        read_receipt(path)


def test_a_receipt_of_another_format_is_refused(tmp_path: Path) -> None:
    path = write_receipt(tmp_path, receipt())
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":2'))
    with pytest.raises(InputError, match="format 1"):
        read_receipt(path)
