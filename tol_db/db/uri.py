"""How a file is named to SQLite. Needs nothing but the standard library, so that completion is quick."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def file_uri(path: Path, **parameters: str | int) -> str:
    """A ``file:`` URI that SQLite opens, for a path with any characters in it."""
    query = "&".join(f"{k}={v}" for k, v in parameters.items())
    return f"file:{quote(os.fsencode(path.absolute()))}" + (f"?{query}" if query else "")


def reading_uri(path: Path) -> str:
    """A URI to read a database that is not to be changed; ``PRAGMA query_only`` has to see to that.

    Where we may write, SQLite gets a connection that may: only such a one puts right what a crash left, checks
    CHECK constraints, and removes the file of a write-ahead log's shared memory when it is closed. Where we may
    not (an archive, a colleague's project), that file cannot be made, or would lock the owner out; the
    database is then read as ``immutable``, which is right as long as no log lies beside it
    (sqlite.org/wal.html, "Read-Only Databases").
    """
    if os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK):
        return file_uri(path, mode="rw")
    return file_uri(path, mode="ro") if log_beside(path) else file_uri(path, mode="ro", immutable=1)


def log_beside(path: Path) -> bool:
    """Whether a write-ahead log or a journal lies beside a database: somebody is at work, or a crash left it."""
    return any(Path(f"{path}{suffix}").exists() for suffix in ("-wal", "-journal"))
