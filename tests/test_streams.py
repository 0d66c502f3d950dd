"""The inflaters (the standard library's, zlib-ng, isal) read the same and fail the same."""

from __future__ import annotations

import gzip
import random
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib
from zlib_ng import zlib_ng

from materialize import archive, streams
from materialize.archive import Archive
from tests.test_containers import tar
from tol_db.errors import ContainerError

ALL: list[Any] = [zlib, zlib_ng, isal_zlib]


@pytest.fixture(params=ALL, ids=["zlib", "zlib_ng", "isal"])
def inflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module: ModuleType = request.param
    use(module, monkeypatch)
    return module


def use(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_zlib", module)
    monkeypatch.setattr(streams, "ZlibError", module.error)
    monkeypatch.setattr(archive, "ZlibError", module.error)


def packed() -> tuple[dict[str, bytes], bytes]:
    noise = random.Random(3)
    members = {f"{i:04d}.jpg": noise.randbytes(noise.randint(0, 3000)) for i in range(60)}
    return members, tar(members)


def test_all_read_concatenated_streams(inflater: ModuleType, tmp_path: Path) -> None:
    members, data = packed()
    half = len(data) // 2
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(data[:half]) + gzip.compress(data[half:]))
    with Archive(path, "tar_gz") as found:
        assert {m.name: found.data(m) for m in found} == members


@pytest.mark.parametrize("fault", ["cut", "crc", "flipped"])
def test_all_name_the_fault(inflater: ModuleType, tmp_path: Path, fault: str) -> None:
    data = bytearray(gzip.compress(packed()[1]))
    if fault == "cut":
        del data[len(data) // 2 :]
    elif fault == "crc":
        data[-8] ^= 1
    else:
        data[len(data) // 2] ^= 0xFF
    path = tmp_path / "a.tar.gz"
    path.write_bytes(data)
    with pytest.raises(ContainerError, match=r"a\.tar\.gz"), Archive(path, "tar_gz") as found:
        for member in found:
            found.data(member)
        found.drain()


def delivered(path: Path) -> tuple[list[tuple[str, bytes]], bool]:
    """The members that come out of an archive, and whether a fault ended them."""
    members = []
    try:
        with Archive(path, "tar_gz") as found:
            for member in found:
                members.append((member.name, found.data(member)))  # noqa: PERF401: what came before a fault counts
            found.drain()
    except ContainerError:
        return members, True
    return members, False


@given(
    st.lists(st.integers(0, 40_000), min_size=1, max_size=6),
    st.sampled_from(["whole", "cut", "flipped", "trailing", "padded"]),
    st.integers(0, 1 << 30),
    st.sampled_from([1, 6, 9]),
)
def test_all_deliver_the_same_members_of_a_damaged_archive(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], damage: str, where: int, level: int
) -> None:
    noise = random.Random(where)
    members = {
        f"{i:04d}.jpg": noise.randbytes(size) if i % 2 else bytes(noise.choices(b"abcdefgh", k=size))
        for i, size in enumerate(sizes)
    }
    data = bytearray(gzip.compress(tar(members), level))
    match damage:
        case "cut":
            del data[where % len(data) :]
        case "flipped":
            data[where % len(data)] ^= 1 << where % 8
        case "trailing":
            data += b"junk"
        case "padded":
            data += bytes(where % 300_000)
    path = tmp_path_factory.mktemp("damaged") / "a.tar.gz"
    path.write_bytes(data)
    results = []
    for module in ALL:
        with pytest.MonkeyPatch.context() as patch:
            use(module, patch)
            results.append(delivered(path))
    assert results[1] == results[0] and results[2] == results[0]


def test_the_fastest_that_is_installed_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert streams._fastest_zlib() is isal_zlib
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    assert streams._fastest_zlib() is zlib_ng
    monkeypatch.setitem(sys.modules, "zlib_ng.zlib_ng", None)
    assert streams._fastest_zlib() is zlib
