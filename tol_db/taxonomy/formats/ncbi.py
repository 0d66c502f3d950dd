"""NCBI taxonomy dump: nodes.dmp, names.dmp, merged.dmp (ftp.ncbi.nlm.nih.gov/pub/taxonomy/taxdump_readme.txt).

Nodes and names stand in two files, both by ascending id: they are read side by side. What is out of order in
either is put aside on disk and joined in the end, so that the order of rows does not matter and memory stays
small.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from typing import Final, NamedTuple

from tol_db.errors import InputError
from tol_db.taxonomy.formats.rows import (
    AliasRow,
    Files,
    Notes,
    Row,
    SynonymRow,
    TaxonRow,
    VernacularRow,
    find_file,
    require_file,
)
from tol_db.taxonomy.formats.table import Table

FILES: Final = ("nodes.dmp", "names.dmp", "merged.dmp")
SCIENTIFIC: Final = "scientific name"
VERNACULAR: Final = {"common name": 0, "genbank common name": 1}
"""Class of a name → whether it is the preferred common name. NCBI says no language."""


class _Node(NamedTuple):
    id: int
    line: int
    parent: str
    rank: str


class _Name(NamedTuple):
    id: int
    line: int
    name: str
    kind: str


def read(files: Files, notes: Notes) -> Iterator[Row]:
    """Rows of a taxdump. The root is its own parent there, as everybody knows: no finding."""
    aside = _Aside(notes, require_file(files, FILES[1]))
    nodes = _nodes(files, notes, require_file(files, FILES[0]))
    groups = groupby(_names(files, notes, require_file(files, FILES[1])), key=lambda name: name.id)
    node, group = next(nodes, None), _next(groups)
    while node is not None and group is not None:
        if node.id == group[0].id:
            if scientific := next((name for name in group if name.kind == SCIENTIFIC), None):
                yield _taxon(node, scientific.name)
                yield from _others(group)
            else:
                aside.add(node, group)
            node, group = next(nodes, None), _next(groups)
        elif node.id < group[0].id:
            aside.add(node, [])
            node = next(nodes, None)
        else:
            aside.add(None, group)
            group = _next(groups)
    while node is not None:
        aside.add(node, [])
        node = next(nodes, None)
    while group is not None:
        aside.add(None, group)
        group = _next(groups)
    yield from aside.rows()
    if merged := find_file(files, FILES[2]):
        for line, (old, new) in Table(files, notes, merged, columns=("old", "new")).rows(("old", "new")):
            yield AliasRow(line, old.strip(), new.strip())


def _next(groups: groupby[int, _Name]) -> list[_Name] | None:
    found = next(groups, None)
    return None if found is None else list(found[1])


def _taxon(node: _Node, name: str) -> TaxonRow:
    root = node.id == 1 and node.parent == "1"
    return TaxonRow(node.line, str(node.id), None if root else node.parent, name, node.rank)


def _others(names: list[_Name]) -> Iterator[Row]:
    """All but the first scientific name."""
    seen = False
    for name in names:
        if name.kind == SCIENTIFIC and not seen:
            seen = True
        else:
            yield _other(name)


def _other(name: _Name) -> Row:
    preferred = VERNACULAR.get(name.kind)
    if preferred is not None:
        return VernacularRow(name.line, str(name.id), name.name, "", preferred)
    return SynonymRow(name.line, str(name.id), name.name, name.kind)


def _nodes(files: Files, notes: Notes, file: str) -> Iterator[_Node]:
    table = Table(files, notes, file, columns=("id", "parent", "rank", *(f"c{n}" for n in range(15))))
    _require_dump(table, files, file)
    for line, (id_, parent, rank) in table.rows(("id", "parent", "rank")):
        if id_.isdecimal():
            yield _Node(int(id_), line, parent.strip(), notes.rank(rank))
        else:
            notes.bad_row(file, line, f"{id_[:40]!r} is no taxonomy id")


def _names(files: Files, notes: Notes, file: str) -> Iterator[_Name]:
    table = Table(files, notes, file, columns=("id", "name", "unique", "class"))
    _require_dump(table, files, file)
    for line, (id_, name, kind) in table.rows(("id", "name", "class")):
        tidy = notes.name(file, line, name)
        if id_.isdecimal() and tidy:
            yield _Name(int(id_), line, tidy, kind.strip().lower())
        else:
            notes.bad_row(file, line, "no name" if id_.isdecimal() else f"{id_[:40]!r} is no taxonomy id")


def _require_dump(table: Table, files: Files, file: str) -> None:
    head = next(files.texts(file), "")
    if "\t|" not in head:
        raise InputError(
            f"{table.file}: line 1: its fields do not stand between '\\t|\\t'", hint="is it NCBI's own file?"
        )


class _Aside:
    """Nodes and names that did not come together in the order of the files, in a temporary file of SQLite."""

    def __init__(self, notes: Notes, file: str) -> None:
        self._notes, self._file = notes, file
        self._db: sqlite3.Connection | None = None

    def add(self, node: _Node | None, names: list[_Name]) -> None:
        if self._db is None:
            self._db = sqlite3.connect("", isolation_level=None)
            self._db.execute("CREATE TABLE node (id INTEGER, line INTEGER, parent TEXT, rank TEXT)")
            self._db.execute("CREATE TABLE name (id INTEGER, line INTEGER, name TEXT, kind TEXT)")
            self._db.execute("BEGIN")
        if node is not None:
            self._db.execute("INSERT INTO node VALUES (?, ?, ?, ?)", node)
        self._db.executemany("INSERT INTO name VALUES (?, ?, ?, ?)", names)

    def rows(self) -> Iterator[Row]:
        if self._db is None:
            return
        self._db.execute("CREATE INDEX name_id ON name (id)")
        self._db.execute("CREATE INDEX node_id ON node (id)")
        for row in self._db.execute("SELECT id, line, parent, rank FROM node ORDER BY id, line"):
            node = _Node(*row)
            names = self._db.execute("SELECT * FROM name WHERE id = ? ORDER BY line", (node.id,))
            found = [_Name(*name) for name in names]
            scientific = next((name for name in found if name.kind == SCIENTIFIC), None)
            if scientific is not None:
                yield _taxon(node, scientific.name)
                yield from _others(found)
            else:
                self._notes.bad_row(self._file, 0, f"{node.id} has no scientific name")
                if node.parent != str(node.id):
                    yield AliasRow(node.line, str(node.id), node.parent, 0)
        lone = "SELECT * FROM name WHERE NOT EXISTS (SELECT 1 FROM node n WHERE n.id = name.id) ORDER BY id, line"
        for row in self._db.execute(lone):
            # of a node that is told already, or of none: whoever collects the rows knows
            yield _other(_Name(*row))
        self._db.close()
