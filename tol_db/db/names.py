"""The names that a database holds, for completion: quick, and gone without a trace when anything is wrong."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tol_db.db.uri import file_uri, log_beside

KINDS = ("dataset", "split", "blacklist", "taxonomy")
"""Tables whose names are completed."""
_SECONDS = 0.2


def names(path: Path, kind: str) -> list[str]:
    """The names in a table of ``KINDS``, in order; none where the file cannot be read at once as one of ours.

    The file is not locked, and nothing is made beside it: where nobody is at work it is read as immutable.
    """
    if kind not in KINDS:
        raise ValueError(kind)
    uri = file_uri(path, mode="ro") if log_beside(path) else file_uri(path, immutable=1)
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=_SECONDS)) as connection:
            return [name for (name,) in connection.execute(f"SELECT DISTINCT name FROM {kind} ORDER BY name")]  # noqa: S608
    except (sqlite3.Error, UnicodeDecodeError):
        return []
