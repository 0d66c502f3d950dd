"""Millions of rows at a time: raw statements inside the transaction of a SQLAlchemy connection."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from tol_db.db.engine import raw

if TYPE_CHECKING:  # most commands need no numpy, which takes long to import
    import numpy as np
    import numpy.typing as npt

_ROWS = 64  # of one statement, 1,000 rows gain nothing more

BATCH = 20_000
"""Rows that a caller may hold at a time: enough that a call costs nothing, few enough that memory is flat."""


def utc_now() -> str:
    """Now as the database writes times: ``2026-01-31T12:00:00Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def insert_many(conn: sa.Connection, sql: str, rows: Iterable[Sequence[Any]]) -> int:
    """Run one statement for every row, streaming.

    Returns:
        How many rows the database says it changed.
    """
    driver = raw(conn)
    before = driver.total_changes
    driver.executemany(sql, rows)
    return driver.total_changes - before


def insert_block(conn: sa.Connection, into: str, table: npt.NDArray[np.integer[Any]]) -> None:
    """Insert the rows of an array of whole numbers, many by one statement: half the time of one by one.

    Args:
        conn: a write transaction.
        into: table and columns as they stand in the statement: ``t (a, b)``.
        table: shape (rows, columns).
    """
    width = table.shape[1]
    row = f"({', '.join('?' * width)})"
    values, step = table.ravel().tolist(), _ROWS * width
    whole = len(values) // step * step
    many = f"INSERT INTO {into} VALUES {', '.join([row] * _ROWS)}"  # noqa: S608
    raw(conn).executemany(many, (values[at : at + step] for at in range(0, whole, step)))
    one = f"INSERT INTO {into} VALUES {row}"  # noqa: S608
    raw(conn).executemany(one, (values[at : at + width] for at in range(whole, len(values), width)))


@contextmanager
def without_indexes(
    conn: sa.Connection, table: str, incoming: int = 0, *, there: int | None = None
) -> Iterator[None]:
    """Let the indexes of a table be built when it is full: sorted, in a third of the time.

    They are dropped from an empty table, and where the rows that come are not few beside those that are there
    (at a quarter, building them anew costs what entering row by row does); unique constraints stay. Within a
    write transaction: where the work fails, the indexes come back with everything else.

    Args:
        table: a table with row ids, where ``incoming`` is given and ``there`` is not.
        incoming: about how many rows are to come; 0 where that is not known.
        there: about how many rows there are.
    """
    sql = "SELECT name, sql FROM main.sqlite_schema WHERE tbl_name = ? AND type = 'index' AND sql IS NOT NULL"
    indexes = list(query(conn, sql, (table,)))
    if incoming:
        if there is None:
            there = scalar(conn, f"SELECT max(rowid) FROM main.{table}") or 0  # noqa: S608
        few = incoming * 4 < there
    else:
        few = scalar(conn, f"SELECT EXISTS (SELECT 1 FROM main.{table})")  # noqa: S608
    if few:
        indexes = []
    for name, _ in indexes:
        changes(conn, f"DROP INDEX main.{name}")
    yield
    for _, made in indexes:
        changes(conn, made)


@contextmanager
def no_cycles() -> Iterator[None]:
    """Let the collector of cycles rest while millions of rows stream by: they hold none, and it costs up to 30 %.

    Memory is freed by reference counts all the same.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def changes(conn: sa.Connection, sql: str, parameters: Sequence[Any] = ()) -> int:
    """Run one statement; how many rows it changed."""
    return raw(conn).execute(sql, parameters).rowcount


def query(conn: sa.Connection, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
    """Rows of a query as plain tuples, streamed."""
    cursor = raw(conn).execute(sql, parameters)
    cursor.arraysize = 1000
    while rows := cursor.fetchmany():
        yield from rows


def integers(
    conn: sa.Connection, sql: str, parameters: Sequence[Any] = (), *, columns: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of a query whose columns are all whole numbers, as arrays of shape (rows, columns), streamed.

    To count ten million rows by a number with many values this is three times as fast as GROUP BY, which
    sorts them (``np.bincount`` does not).
    """
    import numpy as np

    cursor = raw(conn).execute(sql, parameters)
    while rows := cursor.fetchmany(10 * BATCH):
        yield np.fromiter(chain.from_iterable(rows), np.int64, len(rows) * columns).reshape(-1, columns)


def scalar(conn: sa.Connection, sql: str, parameters: Sequence[Any] = ()) -> Any:
    """The first column of the first row, or None."""
    row = raw(conn).execute(sql, parameters).fetchone()
    return row[0] if row else None


def uuid_blob(text: object) -> bytes | None:
    """A TreeOfLife id, ``8-4-4-4-12`` or 32 hex digits in any case, as 16 bytes; None for anything else.

    Called once for each of ten million rows: a fifth of the time of :class:`uuid.UUID`, which also takes
    braces, ``urn:`` and underscores.
    """
    if isinstance(text, str):
        if len(text) == 36 and not text[8] == text[13] == text[18] == text[23] == "-":
            return None
        try:
            blob = bytes.fromhex(text.replace("-", ""))
        except ValueError:
            return None
        # fromhex passes over blanks, and hyphens may have stood elsewhere: both leave another length
        return blob if len(blob) == 16 and len(text) in (32, 36) else None
    return text if isinstance(text, bytes) and len(text) == 16 else None


def uuid_text(blob: bytes) -> str:
    """16 bytes as ``8-4-4-4-12`` lower-case hex."""
    text = blob.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
