"""The register of files read: what was read already is known by size, time and sha256."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tol_db import progress
from tol_db.db.bulk import changes, utc_now
from tol_db.db.engine import raw
from tol_db.errors import InputError, InputMissing

CHUNK = 1 << 20


def is_stored(name: str) -> bool:
    """Whether a name can stand in the database: its bytes are UTF-8, and it holds no NUL."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name


def escaped(name: str) -> str:
    """A name that cannot be stored, as one that can: ``caf\\xe9.jpg``."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text.replace("\0", "\\x00")


SOURCES = {
    "eol": (
        "Encyclopedia of Life",
        "https://eol.org",
        "Encyclopedia of Life. https://eol.org",
    ),
    "inat21": (
        "iNaturalist 2021 competition dataset",
        "https://github.com/visipedia/inat_comp/tree/master/2021",
        "Van Horn et al. 2021. Benchmarking Representation Learning for Natural World Image Collections.",
    ),
    "bioscan": (
        "BIOSCAN-1M Insect",
        "https://biodiversitygenomics.net/1M_insects/",
        "Gharaee et al. 2023. A Step Towards Worldwide Biodiversity Assessment: BIOSCAN-1M Insect Dataset.",
    ),
}
"""key → (title, url, citation) of the three sources of TreeOfLife-10M."""


def require_file(path: Path) -> None:
    """Raises: InputMissing, InputError (it is a folder, a fifo, a device; its name is not UTF-8)."""
    if path.is_dir():
        raise InputError(f"{path}: a folder, not a file", hint="name the file itself")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: not a plain file", hint="write what it gives to a file, and name that")
    if not path.is_file():
        raise InputMissing(f"{escaped(str(path))}: no such file", hint="check the path; is the disk mounted?")
    if not is_stored(str(path.resolve())):  # the register of files holds it
        raise InputError(f"{escaped(str(path))}: its name is not UTF-8", hint="rename it")


def require_folder(path: Path) -> None:
    """Raises: InputMissing, InputError (it is a file)."""
    if path.is_file():
        raise InputError(f"{path}: a file, not a folder", hint="name the folder that holds it")
    if not path.is_dir():
        raise InputMissing(f"{path}: no such folder", hint="check the path; is the disk mounted?")


def source_id(conn: sa.Connection, key: str, root: Path | None = None) -> int:
    """The id of a source, made when it is new; ``root`` is remembered as where its containers lie."""
    title, url, citation = SOURCES.get(key, (key, None, None))
    changes(
        conn,
        "INSERT INTO source (key, title, url, citation) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        (key, title, url, citation),
    )
    if root is not None:
        changes(
            conn,
            "UPDATE source SET root = ?1 WHERE key = ?2 AND root IS NOT ?1",
            (str(root.resolve()), key),
        )
    found: int = raw(conn).execute("SELECT id FROM source WHERE key = ?", (key,)).fetchone()[0]
    return found


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file as it is now.

    Attributes:
        kind: what it is read as; the same file read as something else is another record.
        path: absolute.
        bytes: its size.
        mtime_ns: its modification time.
        known: this very content was ingested before as this kind (decided by size and time).
    """

    kind: str
    path: Path
    bytes: int
    mtime_ns: int
    known: bool


def look(conn: sa.Connection, kind: str, path: Path) -> InputFile:
    """Whether a file needs to be read (again).

    Raises:
        InputMissing, InputError: as :func:`require_file`.
    """
    require_file(path)
    path = path.resolve()
    status = path.stat()
    row = (
        raw(conn)
        .execute(
            "SELECT bytes, mtime_ns FROM source_file WHERE kind = ? AND root = ? AND path = ?",
            (kind, str(path.parent), path.name),
        )
        .fetchone()
    )
    known = row == (status.st_size, status.st_mtime_ns)
    return InputFile(kind, path, status.st_size, status.st_mtime_ns, known)


def same_content(conn: sa.Connection, file: InputFile, sha256: bytes) -> bool:
    """Whether the content is the recorded one although its size or time differ (touched, fetched again)."""
    row = (
        raw(conn)
        .execute(
            "SELECT sha256 FROM source_file WHERE kind = ? AND root = ? AND path = ?",
            (file.kind, str(file.path.parent), file.path.name),
        )
        .fetchone()
    )
    return row is not None and row[0] == sha256


def record(
    conn: sa.Connection,
    file: InputFile,
    *,
    sha256: bytes,
    rows: int,
    source: int | None = None,
    detail: str | None = None,
) -> int:
    """Write down that a file was read; returns the id of its record."""
    changes(
        conn,
        """INSERT INTO source_file (source_id, kind, root, path, bytes, mtime_ns, sha256, rows_read, read_at,
                                    outcome, detail)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'ingested', ?)
           ON CONFLICT (kind, root, path) DO UPDATE SET
               source_id = excluded.source_id, bytes = excluded.bytes, mtime_ns = excluded.mtime_ns,
               sha256 = excluded.sha256, rows_read = excluded.rows_read, read_at = excluded.read_at,
               outcome = excluded.outcome, detail = excluded.detail""",
        (
            *(source, file.kind, str(file.path.parent), file.path.name, file.bytes, file.mtime_ns),
            *(sha256, rows, utc_now(), detail),
        ),
    )
    row = (
        raw(conn)
        .execute(
            "SELECT id FROM source_file WHERE kind = ? AND root = ? AND path = ?",
            (file.kind, str(file.path.parent), file.path.name),
        )
        .fetchone()
    )
    found: int = row[0]
    return found


def sha256_of(path: Path, on_bytes: Callable[[int], None] | None = None) -> bytes:
    """The sha256 of a file, read in chunks; shows progress when it is large."""
    digest = hashlib.sha256()
    with (
        path.open("rb", buffering=0) as file,
        progress.track(f"hashing {path.name}", unit="bytes") as tracker,
    ):
        tracker.expect(path.stat().st_size)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            tracker.advance(len(chunk))
            if on_bytes is not None:
                on_bytes(len(chunk))
    return digest.digest()
