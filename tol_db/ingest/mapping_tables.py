"""The four tables of TreeOfLife-10M's mapping.sqlite, and what makes a row of them wrong."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tol_db.db.bulk import query, scalar
from tol_db.db.engine import raw
from tol_db.errors import InputError
from tol_db.ingest.attached import unreadable

ID = "evobio10m_id"
_FROM_WHERE = "is it the mapping.sqlite of TreeOfLife-10M? fetch it again; nothing was ingested"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the mapping.

    Attributes:
        name: also the key of its source.
        numbers: columns that hold whole numbers from 0.
        texts: columns that hold texts, none empty.
        flags: columns that hold 0 or 1.
    """

    name: str
    numbers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.numbers, *self.texts, *self.flags, ID)


EOL = Table("eol", numbers=("content_id", "page_id"))
INAT21 = Table("inat21", numbers=("cls_num",), texts=("cls_name", "filename"))
BIOSCAN = Table("bioscan", numbers=("part",), texts=("filename",))
SPLIT = Table("split", flags=("is_val", "is_train_small"))
SOURCES = (EOL, INAT21, BIOSCAN)


def require_sound(conn: sa.Connection, path: Path) -> dict[str, int]:
    """Check everything but the ids, which are checked when they are read.

    Returns:
        Table → its rows.

    Raises:
        InputError: a table or column is not there, a value is of another kind, the file is broken.
    """
    raw(conn).create_function("is_name", 1, _is_name, deterministic=True)
    try:
        for table in (*SOURCES, SPLIT):
            _require_columns(conn, path, table)
        for table in (*SOURCES, SPLIT):
            _require_values(conn, path, table)
        return {t.name: scalar(conn, f"SELECT count(*) FROM mapping.{t.name}") for t in (*SOURCES, SPLIT)}  # noqa: S608
    except (sqlite3.DatabaseError, UnicodeDecodeError) as err:
        raise unreadable(path, err) from err


def require_ids(conn: sa.Connection, path: Path, table: Table) -> None:
    """Raises: InputError, naming the first row without a proper id."""
    faulty = f"SELECT {_as_text(table)} FROM mapping.{table.name} WHERE id_blob({ID}) IS NULL LIMIT 1"  # noqa: S608
    row = scalar(conn, faulty)
    if row is not None:
        raise InputError(
            f"{path}: table {table.name}, row ({row}): {ID} is not a TreeOfLife id",
            hint=f"an id is a uuid such as 01234567-89ab-4def-8123-456789abcdef; {_FROM_WHERE}",
        )


def require_distinct(conn: sa.Connection, path: Path, tables: tuple[Table, ...]) -> None:
    """Raises: InputError, naming the first id that stands twice in one of these tables or in two."""
    ids = " UNION ALL ".join(_ids(table) for table in tables)
    twice = f"SELECT hex(id), group_concat(t) FROM ({ids}) GROUP BY id HAVING count(*) > 1 LIMIT 1"  # noqa: S608
    for identity, where in query(conn, twice):
        raise InputError(
            f"{path}: id {identity.lower()} stands twice, in table {where.replace(',', ' and table ')}",
            hint=f"each image has an id of its own; {_FROM_WHERE}",
        )


def _ids(table: Table) -> str:
    return f"SELECT '{table.name}' AS t, id_blob({ID}) AS id FROM mapping.{table.name}"  # noqa: S608


def _require_columns(conn: sa.Connection, path: Path, table: Table) -> None:
    kind = scalar(
        conn,
        """SELECT CASE WHEN sql LIKE 'CREATE VIRTUAL%' THEN 'virtual table' ELSE type END
           FROM mapping.sqlite_schema WHERE lower(name) = ? AND type IN ('table', 'view')""",
        (table.name,),
    )
    if kind not in ("table", None):  # it would run what a stranger has written, for as long as that takes
        raise InputError(f"{path}: {table.name} is a {kind}, not a table", hint=_FROM_WHERE)
    there = {row[1].lower() for row in raw(conn).execute(f"PRAGMA mapping.table_info({table.name})")}
    if not there:
        names = ", ".join(t.name for t in (*SOURCES, SPLIT))
        raise InputError(f"{path}: no table {table.name}", hint=f"wanted: the tables {names}; {_FROM_WHERE}")
    for column in table.columns:
        if column not in there:
            raise InputError(
                f"{path}: table {table.name} has no column {column}",
                hint=f"wanted: {', '.join(table.columns)}; {_FROM_WHERE}",
            )


def _require_values(conn: sa.Connection, path: Path, table: Table) -> None:
    tests = {
        **{c: (f"typeof({c}) = 'integer' AND {c} >= 0", "a whole number from 0") for c in table.numbers},
        **{c: (f"is_name({c})", "a text") for c in table.texts},
        **{c: (f"typeof({c}) = 'integer' AND {c} IN (0, 1)", "0 or 1") for c in table.flags},
    }
    faulty = " ".join(f"WHEN NOT ({test}) THEN '{column}'" for column, (test, _) in tests.items())
    rows = query(
        conn,
        f"SELECT fault, row FROM (SELECT CASE {faulty} END AS fault, {_as_text(table)} AS row"  # noqa: S608
        f" FROM mapping.{table.name}) WHERE fault IS NOT NULL LIMIT 1",
    )
    for column, row in rows:
        raise InputError(
            f"{path}: table {table.name}, row ({row}): {column} is not {tests[column][1]}", hint=_FROM_WHERE
        )


def _is_name(value: object) -> bool:
    """Whether this is a text that a file or folder can be named by; one that is not UTF-8 never gets here."""
    return isinstance(value, str) and bool(value) and "\0" not in value


def _as_text(table: Table) -> str:
    """SQL of a row as a person reads it: ``content_id 12, page_id 3, evobio10m_id 'abc'``."""
    return " || ', ' || ".join(f"'{column} ' || substr(quote({column}), 1, 80)" for column in table.columns)
