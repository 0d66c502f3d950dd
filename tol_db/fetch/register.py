"""What was fetched, in the register of files of a database."""

from __future__ import annotations

from pathlib import Path

from tol_db.db.bulk import query
from tol_db.db.engine import Database
from tol_db.fetch.notes import Fetched
from tol_db.ingest.files import SOURCES, InputFile, is_stored, record, source_id

KIND = "download"
_KNOWN = "SELECT sha256, rows_read FROM source_file WHERE kind = ? AND root = ? AND path = ?"


def register(db: Database | None, key: str, path: Path, note: Fetched) -> int:
    """Write down a fetched file, with its sha256, address and time; how many records are new or changed.

    An archive that was removed after it was taken apart keeps its record.

    Args:
        db: None where there is no database.
        key: of the section.
        path: where the file is, or was.
    """
    path = path.resolve()
    if db is None or not is_stored(str(path)):
        return 0
    file = InputFile(KIND, path, note.bytes, note.mtime_ns, known=False)
    sha256 = bytes.fromhex(note.sha256)
    with db.read() as conn:
        known = query(conn, _KNOWN, (KIND, str(path.parent), path.name))
        if (sha256, note.members) in known:
            return 0
    with db.write() as conn:
        record(
            conn,
            file,
            sha256=sha256,
            rows=note.members,
            source=source_id(conn, key) if key in SOURCES else None,
            detail=f"{note.url}, fetched {note.fetched_at}",
        )
    return 1
