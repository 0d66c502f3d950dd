"""How two taxonomies, or two versions of one, differ: by id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tol_db.db.bulk import query
from tol_db.db.engine import Database
from tol_db.report.tables import named_values, table
from tol_db.taxonomy.store import find

# ix_taxon_taxonomy_id_source_key finds the other one
_PAIR: Final = """
FROM taxon {here} {join} taxon {there} ON {there}.taxonomy_id = ? AND {there}.source_key = {here}.source_key"""
_BOTH = _PAIR.format(here="a", join="JOIN", there="b")
_PARENTS = "LEFT JOIN taxon pa ON pa.id = a.parent_id LEFT JOIN taxon pb ON pb.id = b.parent_id"

_QUESTIONS: Final = {
    "added": f"""SELECT b.source_key, b.scientific_name, NULL, b.rank
                 {_PAIR.format(here="b", join="LEFT JOIN", there="a")}
                 WHERE b.id BETWEEN ? AND ? AND a.id IS NULL ORDER BY b.id""",
    "removed": f"""SELECT a.source_key, a.scientific_name, a.rank,
                       (SELECT 'now ' || f.source_key FROM taxon_alias f
                        WHERE f.taxonomy_id = ? AND f.alias = a.source_key)
                   {_PAIR.format(here="a", join="LEFT JOIN", there="b")}
                   WHERE a.id BETWEEN ? AND ? AND b.id IS NULL ORDER BY a.id""",  # noqa: S608
    "renamed": f"""SELECT a.source_key, b.scientific_name, a.scientific_name, b.scientific_name {_BOTH}
                   WHERE a.id BETWEEN ? AND ? AND a.scientific_name <> b.scientific_name ORDER BY a.id""",
    "moved": f"""SELECT a.source_key, b.scientific_name, pa.scientific_name, pb.scientific_name {_BOTH} {_PARENTS}
                 WHERE a.id BETWEEN ? AND ? AND pa.source_key IS NOT pb.source_key ORDER BY a.id""",
    "rank": f"""SELECT a.source_key, b.scientific_name, a.rank, b.rank {_BOTH}
                WHERE a.id BETWEEN ? AND ? AND a.rank <> b.rank ORDER BY a.id""",
    "flags": f"""SELECT a.source_key, b.scientific_name, a.flags, b.flags {_BOTH}
                 WHERE a.id BETWEEN ? AND ? AND a.flags <> b.flags ORDER BY a.id""",
}


@dataclass(frozen=True, slots=True)
class Change:
    """A difference: what kind, the id, the name, and how it was before and after."""

    kind: str
    id: str
    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class TaxonomyDiff:
    """How two taxonomies differ.

    Attributes:
        before, after: names with versions.
        counts: kind of change → how many.
        changes: the first of each kind.
    """

    before: str
    after: str
    counts: dict[str, int]
    changes: list[Change]

    @property
    def is_empty(self) -> bool:
        """Whether there is no difference."""
        return not any(self.counts.values())


def diff(db: Database, before: str, after: str, limit: int | None) -> TaxonomyDiff:
    """Compare two taxonomies by their ids.

    Args:
        limit: how many changes of a kind are told; None: all.

    Raises:
        UsageError: one is not there.
    """
    with db.read() as conn:
        old, new = find(conn, before), find(conn, after)
        counts: dict[str, int] = {}
        changes: list[Change] = []
        for kind, sql in _QUESTIONS.items():
            if kind == "added":
                parameters: tuple[int, ...] = (old.id, new.first, new.last)
            else:
                parameters = (*((new.id,) if kind == "removed" else ()), new.id, old.first, old.last)
            counts[kind] = 0
            for id, name, was, now in query(conn, sql, parameters):
                counts[kind] += 1
                if limit is None or counts[kind] <= limit:
                    changes.append(Change(kind, id, name, was, now))
    return TaxonomyDiff(str(old), str(new), counts, changes)


def diff_text(found: TaxonomyDiff, width: int | None) -> str:
    """The difference for people."""
    if found.is_empty:
        return f"{found.before} and {found.after} do not differ"
    text = named_values([("from", found.before), ("to", found.after), *found.counts.items()])
    rows = [(c.kind, c.id, c.name, c.before, c.after) for c in found.changes]
    return f"{text}\n\n{table(('change', 'id', 'name', 'before', 'after'), rows, width)}" if rows else text
