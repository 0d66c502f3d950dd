"""Names and places of one taxonomy, read from the database a batch at a time.

Memory is bounded: what is remembered (ancestors, names of contexts) is forgotten when it grows beyond a limit.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from tol_db.db.bulk import query, scalar
from tol_db.errors import UsageError
from tol_db.taxonomy.kinds import NOT_FOR_MATCHING
from tol_db.taxonomy.resolve import Match, Place
from tol_db.taxonomy.seven_ranks import NO_RANKS, Node, ranks_below

_AT_A_TIME: Final = 500
"""Values of one statement; SQLite allows 999 where it was built to."""

_PLACES_KEPT: Final = 50_000
_NODES_KEPT: Final = 200_000
_MEANINGS_KEPT: Final = 100_000

# the index on the name also holds the rowid, and the ids of one taxonomy are contiguous
_ACCEPTED: Final = """
SELECT scientific_name, id, parent_id, scientific_name, rank
FROM taxon INDEXED BY ix_taxon_scientific_name
WHERE scientific_name IN ({marks}) AND id BETWEEN ? AND ?"""

_SYNONYMS: Final = f"""
SELECT s.name, t.id, t.parent_id, t.scientific_name, t.rank
FROM synonym s INDEXED BY ix_synonym_name CROSS JOIN taxon t ON t.id = s.taxon_id
WHERE s.name IN ({{marks}}) AND s.taxon_id BETWEEN ? AND ?
  AND s.kind NOT IN ({", ".join(repr(kind) for kind in NOT_FOR_MATCHING)})"""  # noqa: S608

_NODES: Final = "SELECT id, parent_id, scientific_name, rank FROM taxon WHERE id IN ({marks})"


@dataclass(frozen=True, slots=True)
class TaxonomyRef:
    """A taxonomy of the database.

    Attributes:
        first, last: the range of its taxa's ids; an empty taxonomy has (0, -1).
    """

    id: int
    name: str
    version: str
    kind: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


def find_taxonomy(conn: sa.Connection, wanted: str | None) -> TaxonomyRef:
    """A taxonomy by ``NAME`` (its latest version) or ``NAME@VERSION``; None: the latest assembled one.

    Raises:
        UsageError: there is no such taxonomy.
    """
    name, _, version = (wanted or "").partition("@")
    rows = list(query(conn, "SELECT id, name, version, kind FROM taxonomy ORDER BY created_at DESC, id DESC"))
    for id, its_name, its_version, kind in rows:
        if (its_name == name and version in ("", its_version)) if wanted else kind == "assembled":
            return TaxonomyRef(id, its_name, its_version, kind, *_range(conn, id))
    if wanted is None:
        raise UsageError(
            "no assembled taxonomy in this database",
            hint="make one with `tol-db taxonomy assemble`, or name another with --taxonomy",
        )
    there = ", ".join(f"{its_name}@{its_version}" for _, its_name, its_version, _ in rows)
    raise UsageError(f"no taxonomy {wanted!r}", hint=f"there are: {there or 'none'}")


def latest_assembled(conn: sa.Connection) -> TaxonomyRef | None:
    """The assembled taxonomy that was made last, or None."""
    if scalar(conn, "SELECT EXISTS (SELECT 1 FROM taxonomy WHERE kind = 'assembled')"):
        return find_taxonomy(conn, None)
    return None


def _range(conn: sa.Connection, taxonomy: int) -> tuple[int, int]:
    """The first and the last id of its taxa, by halving: counting them would read the whole index."""
    inside = scalar(conn, "SELECT id FROM taxon WHERE taxonomy_id = ? LIMIT 1", (taxonomy,))
    if inside is None:
        return 0, -1
    before, first = 0, inside  # no taxon has the id 0
    while before + 1 < first:
        middle = (before + first) // 2
        its = "SELECT taxonomy_id FROM taxon WHERE id >= ? ORDER BY id LIMIT 1"
        if scalar(conn, its, (middle,)) == taxonomy:
            first = middle
        else:
            before = middle
    last, beyond = inside, scalar(conn, "SELECT max(id) FROM taxon") + 1
    while last + 1 < beyond:
        middle = (last + beyond) // 2
        its = "SELECT taxonomy_id FROM taxon WHERE id <= ? ORDER BY id DESC LIMIT 1"
        if scalar(conn, its, (middle,)) == taxonomy:
            last = middle
        else:
            beyond = middle
    return first, last


class DatabaseLookup:
    """The :class:`tol_db.taxonomy.resolve.Lookup` of a taxonomy, within one transaction."""

    def __init__(self, conn: sa.Connection, taxonomy: TaxonomyRef) -> None:
        self._conn = conn
        self._taxonomy = taxonomy
        self._nodes: dict[int, Node] = {}
        self._places: dict[int, Place] = {}
        self._above: dict[int, frozenset[int]] = {}
        self._meanings: dict[str, frozenset[int]] = {}

    def find(self, names: Collection[str]) -> Mapping[str, Sequence[Match]]:
        found: dict[str, list[Match]] = {}
        wanted = sorted(filter(None, names))
        for statement, is_synonym in ((_ACCEPTED, False), (_SYNONYMS, True)):
            for name, *node in self._rows(statement, wanted):
                found.setdefault(name, []).append(Match(self._keep(node), name, is_synonym))
        return found

    def know(self, names: Collection[str]) -> None:
        if len(self._meanings) > _MEANINGS_KEPT:
            self._meanings.clear()
        new = [name for name in names if name not in self._meanings]
        found = self.find(new)
        for name in new:
            self._meanings[name] = frozenset(match.node.id for match in found.get(name, ()))
        self.load(id for name in new for id in self._meanings[name])

    def meaning(self, name: str) -> frozenset[int]:
        if name not in self._meanings:
            self.know([name])
        return self._meanings[name]

    def load(self, ids: Iterable[int]) -> None:
        if len(self._nodes) > _NODES_KEPT:
            self._nodes.clear()
        asked = set(ids)
        # a node that was found by its name may stand here without its ancestors
        parents = {self._nodes[id].parent for id in asked if id in self._nodes}
        wanted = {id for id in asked | parents if id is not None and id not in self._nodes}
        while wanted:
            above = set()
            for row in self._rows(_NODES, sorted(wanted), ranged=False):
                parent = self._keep(row).parent
                if parent is not None and parent not in self._nodes:
                    above.add(parent)
            wanted = above - self._nodes.keys()

    def place(self, id: int) -> Place:
        found = self._places.get(id)
        if found is not None:
            return found
        if len(self._places) > _PLACES_KEPT:
            self._places.clear()
            self._above.clear()
        path: list[Node] = []
        at: int | None = id
        while at is not None and at not in self._places:
            if at not in self._nodes:
                self.load([at])
            path.append(self._nodes[at])
            at = path[-1].parent
        place = self._places[at] if at is not None else None
        for node in reversed(path):
            place = self._under(place, node)
            self._places[node.id] = place
        assert place is not None
        return place

    def _under(self, parent: Place | None, node: Node) -> Place:
        if parent is None:
            return Place((node,), frozenset(), ranks_below(NO_RANKS, node))
        id = parent.lineage[0].id
        above = self._above.get(id)
        if above is None:  # siblings share the set
            above = self._above[id] = parent.above | {id}
        return Place((node, *parent.lineage), above, ranks_below(parent.ranks, node))

    def _keep(self, row: Sequence[Any]) -> Node:
        id, parent, name, rank = row
        node = self._nodes[id] = Node(id, parent, name, sys.intern(rank))
        return node

    def _rows(self, sql: str, values: Sequence[Any], *, ranged: bool = True) -> Iterator[tuple[Any, ...]]:
        limits = (self._taxonomy.first, self._taxonomy.last) if ranged else ()
        for start in range(0, len(values), _AT_A_TIME):
            some = values[start : start + _AT_A_TIME]
            yield from query(self._conn, sql.format(marks=", ".join("?" * len(some))), (*some, *limits))
