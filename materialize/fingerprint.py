"""Whether anything that a plan depends on changed between two transactions."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa

from tol_db.db.bulk import query

_PRIME = 2**31 - 1
_NUMBERS = {
    "image": ("id", "container_id", "member_index", "bytes", "label_id"),
    "split_member": ("split_id", "image_id"),
    "eol_image": ("image_id", "content_id"),
    "label": ("id", "taxon_id"),  # its texts never change
}
_TEXTS = {
    "source": "id, key",
    "split": "id, name",
    "container": "id, source_id, kind, path, seek_index IS NOT NULL",
    "blacklist": "id, name",
    "blacklist_entry": "id, blacklist_id, kind, value, content_id, treeoflife_id, kingdom, genus, species",
    "blacklist_name": "entry_id, genus, species, kingdom",
    "blacklist_taxon": "entry_id, taxon_id",
}
_LICENCE_NUMBERS = {"image_licence": ("image_id", "licence_id")}
_LICENCE_TEXTS = {"licence": "id, name", "source": "id, key, licence"}
"""All that :func:`load_candidates` and the views that it asks read; a run that writes shards changes none of it."""


def fingerprint(conn: sa.Connection, *, licences: bool = False) -> bytes:
    """A digest of what a plan depends on; some five seconds at ten million images.

    ``PRAGMA data_version`` would be cheaper, and changes with every shard that a run commits.

    Args:
        licences: whether the plan depends on those of the images, too: their table is the widest of all.
    """
    parts = hashlib.sha256()
    numbers, texts = (_NUMBERS | _LICENCE_NUMBERS, _TEXTS | _LICENCE_TEXTS) if licences else (_NUMBERS, _TEXTS)
    for table, columns in numbers.items():
        # squared, because a plain sum stays the same where two rows exchange their values
        mixed = " + ".join(f"coalesce({name}, -1) * {61_403 + 7_919 * i}" for i, name in enumerate(columns))
        sql = f"SELECT count(*), sum(m * m % {_PRIME}) FROM (SELECT ({mixed}) % {_PRIME} AS m FROM {table})"  # noqa: S608
        parts.update(repr(next(query(conn, sql))).encode())
    for table, names in texts.items():
        for row in query(conn, f"SELECT {names} FROM {table} ORDER BY {names}"):  # noqa: S608
            parts.update(repr(row).encode())
    return parts.digest()
