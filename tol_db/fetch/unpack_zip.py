"""A zip: its parts are independent, so several are written at once."""

from __future__ import annotations

import stat
import threading
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from materialize.archive import MAX_MEMBER
from tol_db.errors import ContainerError
from tol_db.fetch.space import require_space
from tol_db.fetch.unpack import Escape, Place, target_of

_Member = tuple[str, zipfile.ZipInfo]


def unpack_zip(
    place: Place,
    *,
    threads: int,
    check: Callable[[], None],
    advance: Callable[[float], None],
    expect: Callable[[float], None],
) -> None:
    """Write the wanted members into the place's folder.

    Nothing is written before all names were looked at. zipfile checks the CRC of each member.

    Args:
        threads: parts written at once; zlib and the file system leave the interpreter alone meanwhile.
        check: raises when the run is to stop.
        advance, expect: told the files written, and how many there are.

    Raises:
        ContainerError: no zip, cut off, a wrong CRC, a link or a name that leads out; names the member.
        CannotWrite.
    """
    try:
        with zipfile.ZipFile(place.archive) as archive:
            parts = _wanted(place, archive)
            expect(sum(map(len, parts.values())))
            for part in parts:
                place.require_free(part)
            _write(place, archive, parts, threads=threads, check=check, advance=advance)
    except (zipfile.BadZipFile, EOFError) as err:
        raise ContainerError(place.archive, None, str(err) or "cut off", hint=_hint(place.archive)) from None
    except OSError as err:
        raise ContainerError(place.archive, None, err.strerror or type(err).__name__) from None


def _wanted(place: Place, archive: zipfile.ZipFile) -> dict[str, list[_Member]]:
    """Part → (file name, member); of members with one name the last, as unzip does."""
    found: dict[str, dict[str, zipfile.ZipInfo]] = {}
    total = 0
    for info in archive.infolist():
        try:
            target = target_of(info.filename, place.extract)
        except Escape as err:
            raise ContainerError(place.archive, info.filename, str(err), hint="do not trust this archive") from None
        if target is None or info.is_dir():
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        why = ""
        if kind not in (0, stat.S_IFREG):
            why = "a link or device, not a file"
        elif info.flag_bits & 1:
            why = "encrypted"
        elif info.file_size > MAX_MEMBER:
            why = f"{info.file_size:,} bytes: no image is that large"
        if why:
            raise ContainerError(place.archive, info.filename, why, hint=_hint(place.archive))
        found.setdefault(target[0], {})[target[1]] = info
        total += info.file_size
    if not place.filling.is_dir() or len(list(place.filling.iterdir())) <= 1:
        require_space(place.filling.parent, total, f"what is in {place.archive.name}")
    return {part: list(files.items()) for part, files in found.items()}


def _write(
    place: Place,
    archive: zipfile.ZipFile,
    parts: dict[str, list[_Member]],
    *,
    threads: int,
    check: Callable[[], None],
    advance: Callable[[float], None],
) -> None:
    failed = threading.Event()

    def write_part(part: str) -> None:
        try:
            for name, info in parts[part]:
                if failed.is_set():
                    return
                check()
                if not _is_there(place, part, name, info):
                    place.put(part, name, _read(place, archive, info))
                advance(1)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(threads, "unzip") as pool:
        for future in [pool.submit(write_part, part) for part in parts]:
            future.result()


def _is_there(place: Place, part: str, name: str, info: zipfile.ZipInfo) -> bool:
    """Whether an earlier run wrote it: by size and CRC, which costs no inflating."""
    path = place.filling / part / name
    try:
        return path.stat().st_size == info.file_size and zlib.crc32(path.read_bytes()) == info.CRC
    except OSError:
        return False


def _read(place: Place, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as err:
        why = str(err) or type(err).__name__
        raise ContainerError(place.archive, info.filename, why, hint=_hint(place.archive)) from None


def _hint(path: Path) -> str:
    return f"remove {path.name} and fetch it again"
