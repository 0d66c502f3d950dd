"""A taxonomy in the interim format of the Open Tree: taxonomy.tsv, synonyms.tsv, forwards.tsv, about.json.

Columns are separated by tab, bar, tab, as there (github.com/OpenTreeOfLife/reference-taxonomy, "Interim taxonomy
file format"). The same taxonomy gives the same bytes.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

import sqlalchemy as sa

from tol_db.db.bulk import query, scalar
from tol_db.db.engine import Database
from tol_db.errors import CannotWrite
from tol_db.taxonomy.store import Stored, find
from tol_db.taxonomy.uniqname import Homonyms

_BAR = "\t|\t"


@dataclass(frozen=True, slots=True)
class ExportedTaxonomy:
    """What was written: the taxonomy, the folder, and how many rows of each file."""

    taxonomy: str
    folder: Path
    taxa: int
    synonyms: int
    forwards: int


def export_interim(db: Database, name: str | None, folder: Path) -> ExportedTaxonomy:
    """Write a taxonomy into a folder, which is made; files of that name are replaced.

    Args:
        name: ``NAME`` or ``NAME@VERSION``; None: the newest assembled one.

    Raises:
        UsageError: no such taxonomy.
        CannotWrite: the folder or a file cannot be written.
    """
    with db.read() as conn:
        taxonomy = find(conn, name, None if name else "assembled")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            homonyms = Homonyms(conn, taxonomy)
            taxa = _write(folder / "taxonomy.tsv", _taxon_lines(conn, taxonomy, homonyms))
            synonyms = _write(folder / "synonyms.tsv", _synonym_lines(conn, taxonomy))
            forwards = _write(folder / "forwards.tsv", _forward_lines(conn, taxonomy))
            with _replacing(folder / "about.json") as file:
                json.dump(_about(conn, taxonomy), file, indent=1, sort_keys=True)
                file.write("\n")
        except OSError as err:
            raise CannotWrite(
                f"{err.filename or folder}: {err.strerror}", hint="name a folder you may write"
            ) from err
    return ExportedTaxonomy(str(taxonomy), folder, taxa, synonyms, forwards)


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write(path: Path, lines: Iterable[str]) -> int:
    """Write a file whole or not at all; returns its rows, the header not counted."""
    count = -1
    with _replacing(path) as file:
        for line in lines:
            file.write(line + "\n")
            count += 1
    return count


def _row(*cells: str) -> str:
    return _BAR.join(cells) + "\t|\t"


def _taxon_lines(conn: sa.Connection, taxonomy: Stored, homonyms: Homonyms) -> Iterator[str]:
    yield _row("uid", "parent_uid", "name", "rank", "sourceinfo", "uniqname", "flags")
    sql = """SELECT t.id, t.source_key, p.source_key, t.scientific_name, t.rank, t.flags
             FROM taxon t LEFT JOIN taxon p ON p.id = t.parent_id
             WHERE t.id BETWEEN ? AND ? ORDER BY t.id"""
    origins = _origins(conn, taxonomy)
    for taxon, uid, parent, name, rank, flags in query(conn, sql, (taxonomy.first, taxonomy.last)):
        yield _row(uid, parent or "", name, rank, origins(taxon), homonyms.uniqname(taxon), flags)


class _Sourceinfo:
    """The ids behind each taxon, asked in the order of the taxa."""

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self._groups = groupby(rows, key=lambda row: row[0])
        self._next = next(self._groups, None)

    def __call__(self, taxon: int) -> str:
        if self._next is None or self._next[0] != taxon:
            return ""
        text = ",".join(id for _, id in self._next[1])
        self._next = next(self._groups, None)
        return text


def _origins(conn: sa.Connection, taxonomy: Stored) -> _Sourceinfo:
    bounds = (taxonomy.first, taxonomy.last)
    if taxonomy.kind == "source":
        sql = "SELECT taxon_id, source_id FROM taxon_source_id WHERE taxon_id BETWEEN ? AND ? ORDER BY 1, ordinal"
    else:
        sql = """SELECT p.taxon_id, y.name || ':' || s.source_key
                 FROM taxon_provenance p CROSS JOIN taxon s ON s.id = p.source_taxon_id
                 CROSS JOIN taxonomy y ON y.id = s.taxonomy_id
                 WHERE p.taxon_id BETWEEN ? AND ? ORDER BY p.taxon_id, p.ordinal"""
    return _Sourceinfo(query(conn, sql, bounds))


def _synonym_lines(conn: sa.Connection, taxonomy: Stored) -> Iterator[str]:
    yield _row("name", "uid", "type", "uniqname", "sourceinfo")
    sql = """SELECT s.name, t.source_key, s.kind, t.scientific_name, s.source
             FROM synonym s CROSS JOIN taxon t ON t.id = s.taxon_id
             WHERE s.taxon_id BETWEEN ? AND ? ORDER BY s.taxon_id, s.name, s.kind"""
    for name, uid, kind, accepted, source in query(conn, sql, (taxonomy.first, taxonomy.last)):
        yield _row(name, uid, kind, f"{name} (synonym for {accepted})", source or "")


def _forward_lines(conn: sa.Connection, taxonomy: Stored) -> Iterator[str]:
    yield "id\treplacement"
    sql = "SELECT alias, source_key FROM taxon_alias WHERE taxonomy_id = ? ORDER BY alias"
    for alias, uid in query(conn, sql, (taxonomy.id,)):
        yield f"{alias}\t{uid}"


def _about(conn: sa.Connection, taxonomy: Stored) -> dict[str, object]:
    sql = """SELECT i.role, t.name, t.version, hex(t.digest)
             FROM taxonomy_input i JOIN taxonomy t ON t.id = i.input_id
             WHERE i.taxonomy_id = ? ORDER BY i.ordinal"""
    digest = scalar(conn, "SELECT lower(hex(digest)) FROM taxonomy WHERE id = ?", (taxonomy.id,))
    return {
        "name": taxonomy.name,
        "digest": digest or None,
        "taxa": taxonomy.taxa,
        "parameters": taxonomy.parameters,
        "inputs": [
            {"role": role, "name": name, "version": version, "digest": (hexed or "").lower() or None}
            for role, name, version, hexed in query(conn, sql, (taxonomy.id,))
        ],
    }
