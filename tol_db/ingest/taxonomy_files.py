"""The files of a taxonomy: a folder, a file, a .gz, a zip or a tar archive."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, cast

from tol_db import progress
from tol_db.errors import CannotWrite, InputError, InputMissing
from tol_db.ingest.files import is_stored, require_file, sha256_of
from tol_db.ingest.text_files import TextInput
from tol_db.taxonomy.formats import Format
from tol_db.taxonomy.formats.rows import base_name

_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, tarfile.TarError, NotImplementedError)
_SMALL: Final = 16 << 20
"""Bytes of a file that is read as a whole (meta.xml, about.json)."""


class TaxonomyFiles:
    """What a reader reads: see :class:`tol_db.taxonomy.formats.rows.Files`.

    Attributes:
        where: the path that was named.
        members: name → path of the file on disk, or None where it is a member of ``archive``.
    """

    def __init__(
        self, where: Path, members: dict[str, Path | None], archive: zipfile.ZipFile | None = None
    ) -> None:
        self.where = str(where)
        self.members = members
        self._archive = archive
        self._digests: dict[str, bytes] = {}

    def names(self) -> list[str]:
        return sorted(self.members)

    def texts(self, name: str) -> Iterator[str]:
        with self._open(name) as (file, size), progress.track(f"reading {name}", unit="bytes") as tracker:
            tracker.expect(size)
            text = TextInput(Path(self.where) / name, file, tracker)
            yield from text.texts()
            self._digests[name] = text.digest()

    def read(self, name: str) -> bytes:
        with self._open(name) as (file, _):
            data = file.read(_SMALL + 1)
        if len(data) > _SMALL:
            raise InputError(f"{self.where}: {name} is too large", hint="is it the right file?")
        self._digests[name] = hashlib.sha256(data).digest()
        return data

    def digest_of(self, name: str) -> bytes | None:
        """The sha256 of what stands under that name, where it was read to its end."""
        return self._digests.get(name)

    @contextmanager
    def _open(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        if name not in self.members:
            raise InputError(f"{self.where}: no {name} in it", hint="is the archive whole?")
        path = self.members[name]
        with _damage_told(f"{self.where}: {name}"):
            if path is None:
                assert self._archive is not None
                with self._archive.open(name) as member:
                    yield _told(member, f"{self.where}: {name}"), self._archive.getinfo(name).file_size
            elif path.suffix.lower() == ".gz":
                with gzip.open(path) as inflated:
                    yield _told(cast("IO[bytes]", inflated), self.where), 0
            else:
                with path.open("rb") as plain:
                    yield plain, path.stat().st_size


def _told(file: IO[bytes], where: str) -> BinaryIO:
    return cast("BinaryIO", _Told(file, where))


class _Told:
    """A stream out of an archive whose damage is told in our words."""

    def __init__(self, file: IO[bytes], where: str) -> None:
        self._file, self._where = file, where

    def read(self, size: int = -1) -> bytes:
        with _damage_told(self._where):
            return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def _damage_told(where: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as err:
        raise InputError(
            f"{where}: the archive is damaged or cut off: {err}", hint="fetch it again; nothing was ingested"
        ) from None
    except RuntimeError as err:
        if "encrypted" not in str(err):
            raise
        raise InputError(f"{where}: encrypted", hint="unpack it, and name the folder") from None
    except PermissionError as err:
        raise InputMissing(f"{where}: {err.strerror}", hint="check its permissions") from err


@contextmanager
def taxonomy_files(path: Path, format_: Format) -> Iterator[TaxonomyFiles]:
    """The files of ``path`` that the format reads.

    Members of a .tar or .tar.gz are unpacked to a temporary folder, because several are read side by side; those
    of a zip are read where they are.

    Raises:
        InputMissing: nothing is there.
        InputError: nothing that the format reads; a damaged archive.
        CannotWrite: no room to unpack.
    """
    if path.is_dir():
        inside = [p for pattern in ("*", "*/*") for p in sorted(path.glob(pattern)) if p.is_file()]
        found = {str(p.relative_to(path)): p for p in inside if is_stored(str(p.resolve()))}
        yield TaxonomyFiles(path, {name: found[name] for name in _wanted(path, format_, list(found))})
        return
    require_file(path)
    if zipfile.is_zipfile(path) or path.suffix.lower() == ".zip":
        with _damage_told(str(path)):
            archive = zipfile.ZipFile(path)
        with archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            yield TaxonomyFiles(path, dict.fromkeys(_wanted(path, format_, names)), archive)
    elif path.name.lower().endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")):
        with tempfile.TemporaryDirectory(prefix="tol-db-taxonomy-") as folder:
            yield TaxonomyFiles(path, dict(_unpacked(path, format_, Path(folder))))
    else:
        yield TaxonomyFiles(path, {path.name: path})


def _wanted(path: Path, format_: Format, names: list[str]) -> list[str]:
    names = [name for name in names if not name.startswith("__MACOSX/")]
    wanted = format_.wanted(names)
    if not wanted:
        has = ", ".join(sorted(names)[:8]) or "nothing"
        raise InputError(f"{path}: nothing of format {format_.name} in it", hint=f"it holds {has}")
    for base in sorted({base_name(name) for name in wanted}):
        same = sorted((name.count("/"), name) for name in wanted if base_name(name) == base)
        if len(same) > 1 and same[0][0] == same[1][0]:
            raise InputError(
                f"{path}: several taxonomies in it: {same[0][1]} and {same[1][1]}",
                hint="name the folder of one of them; nothing was ingested",
            )
    return wanted


def _unpacked(path: Path, format_: Format, folder: Path) -> Iterator[tuple[str, Path | None]]:
    with _damage_told(str(path)), tarfile.open(path) as archive:
        members = {member.name: member for member in archive if member.isreg()}
        while archive.fileobj is not None and archive.fileobj.read(1 << 20):
            pass  # to its very end, where the checksum stands
        for number, name in enumerate(_wanted(path, format_, list(members))):
            source = archive.extractfile(members[name])
            assert source is not None
            target = folder / str(number)  # never a name out of the archive
            try:
                with source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
            except OSError as err:
                raise CannotWrite(
                    f"{folder}: no room for {name}: {err.strerror or err}", hint="make room, or set TMPDIR"
                ) from err
            if target.stat().st_size != members[name].size:
                raise InputError(f"{path}: {name} is cut off", hint="fetch it again; nothing was ingested")
            yield name, target


def files_on_disk(path: Path, files: TaxonomyFiles) -> list[tuple[Path, str | None]]:
    """What the register of files gets: the archive, or each file of the folder and its name in ``files``."""
    if not path.is_dir():
        name = path.name if files.members == {path.name: path} and path.suffix.lower() != ".gz" else None
        return [(path, name)]
    return [(file, name) for name, file in sorted(files.members.items()) if file is not None]


def content_digests(path: Path, files: TaxonomyFiles) -> dict[Path, bytes]:
    """File on disk → sha256 of its bytes: of those read as they stand it is known, the others are hashed."""
    digests = {}
    for file, name in files_on_disk(path, files):
        as_read = files.digest_of(name) if name is not None and file.suffix.lower() != ".gz" else None
        digests[file] = as_read or sha256_of(file)
    return digests
