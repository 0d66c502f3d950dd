"""The interim format of the Open Tree of Life: taxonomy.tsv, synonyms.tsv, forwards.tsv, about.json.

Fields stand between ``\\t|\\t`` or plain tabs. taxonomy.tsv begins with a header (uid …) or has its columns in the
usual order. Source: github.com/OpenTreeOfLife/reference-taxonomy/wiki/Interim-taxonomy-file-format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from tol_db.taxonomy.formats.rows import (
    AliasRow,
    Files,
    Notes,
    Row,
    SynonymRow,
    TaxonRow,
    VernacularRow,
    find_file,
    flags_of,
    require_file,
    the_only_file,
)
from tol_db.taxonomy.formats.table import Table, column_name

COLUMNS: Final = ("uid", "parent_uid", "name", "rank", "sourceinfo", "uniqname", "flags")
FILES: Final = ("taxonomy.tsv", "synonyms.tsv", "forwards.tsv", "about.json")
VERNACULAR: Final = ("common name", "genbank common name", "vernacular")


def read(files: Files, notes: Notes) -> Iterator[Row]:
    """Rows of a folder, or of taxonomy.tsv alone."""
    yield from _taxa(files, notes, the_only_file(files) or require_file(files, FILES[0]))
    if synonyms := find_file(files, FILES[1]):
        yield from _synonyms(files, notes, synonyms)
    if forwards := find_file(files, FILES[2]):
        yield from _forwards(files, notes, forwards)
    if about := find_file(files, FILES[3]):
        try:
            json.loads(files.read(about))
        except ValueError as err:  # of no consequence: nothing of it is used
            notes.find("about_unreadable", about, str(err))


def _taxa(files: Files, notes: Notes, file: str) -> Iterator[Row]:
    table = Table(files, notes, file, columns=COLUMNS, is_header=lambda first: column_name(first[0]) == "uid")
    rows = table.rows(("uid", "parent_uid", "name"), ("rank", "sourceinfo", "flags"))
    for line, (uid, parent, name, rank, sources, flags) in rows:
        key = uid.strip()
        if not key:
            notes.bad_row(file, line, "no uid")
            continue
        tidy = notes.name(file, line, name)
        if tidy:
            yield TaxonRow(
                line, key, parent.strip() or None, tidy, notes.rank(rank), flags_of(flags), sources.strip()
            )
        else:
            notes.bad_row(file, line, f"{key} has no name")
            if parent.strip():
                yield AliasRow(line, key, parent.strip(), 0)


def _synonyms(files: Files, notes: Notes, file: str) -> Iterator[Row]:
    table = Table(files, notes, file)
    for line, (uid, name, kind, source) in table.rows(("uid", "name"), ("type", "sourceinfo")):
        tidy = notes.name(file, line, name)
        if not (uid.strip() and tidy):
            notes.bad_row(file, line, "no uid" if tidy else "no name")
        elif kind.strip().lower() in VERNACULAR:
            yield VernacularRow(line, uid.strip(), tidy, "", int(kind.strip().lower() != "common name"))
        else:
            yield SynonymRow(line, uid.strip(), tidy, kind.strip().lower() or "synonym", source.strip() or None)


def _forwards(files: Files, notes: Notes, file: str) -> Iterator[Row]:
    table = Table(
        files,
        notes,
        file,
        columns=("id", "replacement"),
        is_header=lambda first: column_name(first[0]) in ("id", "uid"),
    )
    for line, (alias, key) in table.rows((table.columns[0], "replacement")):
        if alias.strip() and key.strip():
            yield AliasRow(line, alias.strip(), key.strip())
        else:
            notes.bad_row(file, line, "an id is missing")
