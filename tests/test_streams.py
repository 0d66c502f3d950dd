"""The two inflaters, the standard library's and zlib-ng's, read the same and fail the same."""

from __future__ import annotations

import gzip
import random
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from zlib_ng import zlib_ng

from materialize import archive, streams
from materialize.archive import Archive
from tests.test_containers import tar
from tol_db.errors import ContainerError

BOTH: list[Any] = [zlib, zlib_ng]


@pytest.fixture(params=BOTH, ids=["zlib", "zlib_ng"])
def inflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module: ModuleType = request.param
    monkeypatch.setattr(streams, "_zlib", module)
    monkeypatch.setattr(streams, "ZlibError", module.error)  # type: ignore[attr-defined]
    monkeypatch.setattr(archive, "ZlibError", module.error, raising=False)  # type: ignore[attr-defined]
    return module


def packed() -> tuple[dict[str, bytes], bytes]:
    noise = random.Random(3)
    members = {f"{i:04d}.jpg": noise.randbytes(noise.randint(0, 3000)) for i in range(60)}
    return members, tar(members)


def test_both_read_concatenated_streams(inflater: ModuleType, tmp_path: Path) -> None:
    members, data = packed()
    half = len(data) // 2
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(data[:half]) + gzip.compress(data[half:]))
    with Archive(path, "tar_gz") as found:
        assert {m.name: found.data(m) for m in found} == members


@pytest.mark.parametrize("fault", ["cut", "crc", "flipped"])
def test_both_name_the_fault(inflater: ModuleType, tmp_path: Path, fault: str) -> None:
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


def test_the_fast_one_is_taken_where_it_is_installed() -> None:
    assert streams._fastest_zlib() is zlib_ng
