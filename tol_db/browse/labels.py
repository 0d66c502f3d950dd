"""What stands for a row where another table points to it: a name instead of a number."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

_NO_GENUS = """coalesce(nullif(t.family, ''), nullif(t."order", ''), nullif(t.class, ''), nullif(t.phylum, ''),
                nullif(t.kingdom, ''), 'no rank')"""
_UUID = (
    "lower(substr(hex({0}), 1, 8) || '-' || substr(hex({0}), 9, 4) || '-' || substr(hex({0}), 13, 4)"
    " || '-' || substr(hex({0}), 17, 4) || '-' || substr(hex({0}), 21))"
)

LABELS = {
    "source": "t.key",
    "source_file": "t.path",
    "container": "t.path",
    "taxonomy": "t.name || ' ' || t.version",
    "taxon": "t.scientific_name",
    "label": f"CASE WHEN t.genus <> '' THEN trim(t.genus || ' ' || t.species) ELSE {_NO_GENUS} END",
    "image": _UUID.format("t.treeoflife_id"),
    "licence": "t.name",
    "split": "t.name",
    "blacklist": "t.name",
    "blacklist_entry": "t.value",
    "outcome": "t.name",
    "recipe": "t.name",
    "dataset": "t.name",
    "work_unit": "'unit ' || t.number",
    "attempt": "t.host || ' ' || t.started_at",
    "shard": """(SELECT s.name FROM split s WHERE s.id = t.split_id) || printf('/shard-%06d.tar', t.ordinal)""",
    "verify_run": "t.level || ' ' || t.started_at",
}
"""Table → SQL of the label of its row ``t``."""


def labels_of(connection: sqlite3.Connection, table: str, key: str, values: Iterable[object]) -> dict[object, str]:
    """Value of ``key`` → label, for the rows of a table that exist.

    Args:
        connection: only read.
        table: one of ``LABELS``.
        key: the column that is pointed to, as the schema names it.
        values: of that column; none twice, no more than SQLite takes in a statement (32,766).
    """
    wanted = list(values)
    sql = f"SELECT t.{key}, {LABELS[table]} FROM {table} t WHERE t.{key} IN ({', '.join('?' * len(wanted))})"  # noqa: S608
    return {value: str(label) for value, label in connection.execute(sql, wanted)}
