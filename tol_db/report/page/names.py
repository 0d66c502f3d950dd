"""Taxonomies, and names that sources do not agree about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from tol_db.db.bulk import query, scalar

MOST_CONFLICTS = 20


@dataclass(frozen=True, slots=True)
class TaxonomyCounts:
    """A taxonomy; ``digest`` is hex, its first twelve digits."""

    name: str
    version: str
    kind: str
    priority: int | None
    nodes: int
    synonyms: int
    vernacular_names: int
    digest: str | None


@dataclass(frozen=True, slots=True)
class Origin:
    """How many nodes of an assembled taxonomy come from a source taxonomy in one way."""

    assembled: str
    source: str
    how: str
    nodes: int


@dataclass(frozen=True, slots=True)
class Decided:
    """How many nodes of a source an assembly decided on in one way, beyond copying them."""

    assembled: str
    source: str
    outcome: str
    nodes: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """A species whose labels do not agree about its higher ranks; ``lineages``: each as text."""

    species: str
    lineages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """Taxonomies and conflicts; ``conflicts`` are the first ones of ``conflicting`` species."""

    taxonomies: tuple[TaxonomyCounts, ...]
    origins: tuple[Origin, ...]
    decisions: tuple[Decided, ...]
    conflicting: int
    conflicts: tuple[Conflict, ...]


# each taxonomy's nodes by its unique index; names in one walk, each of which finds its node by its id
_TAXONOMIES: Final = """
SELECT x.name, x.version, x.kind, x.priority, (SELECT count(*) FROM taxon t WHERE t.taxonomy_id = x.id),
       coalesce(s.number, 0), coalesce(v.number, 0), lower(substr(hex(x.digest), 1, 12))
FROM taxonomy x
LEFT JOIN (SELECT t.taxonomy_id, count(*) AS number FROM synonym n CROSS JOIN taxon t ON t.id = n.taxon_id
           GROUP BY t.taxonomy_id) AS s ON s.taxonomy_id = x.id
LEFT JOIN (SELECT t.taxonomy_id, count(*) AS number FROM vernacular_name n CROSS JOIN taxon t ON t.id = n.taxon_id
           GROUP BY t.taxonomy_id) AS v ON v.taxonomy_id = x.id
ORDER BY x.kind DESC, x.priority IS NULL, x.priority, x.name, x.version"""

_ORIGINS: Final = """
SELECT a.name || ' ' || a.version, s.name || ' ' || s.version, p.how, count(*)
FROM taxon_provenance p CROSS JOIN taxon t ON t.id = p.taxon_id CROSS JOIN taxon o ON o.id = p.source_taxon_id
JOIN taxonomy a ON a.id = t.taxonomy_id JOIN taxonomy s ON s.id = o.taxonomy_id
GROUP BY 1, 2, 3 ORDER BY 1, 4 DESC, 2, 3"""

_DECISIONS: Final = """
SELECT a.name || ' ' || a.version, s.name || ' ' || s.version, d.outcome, count(*)
FROM taxon_decision d CROSS JOIN taxon o ON o.id = d.source_taxon_id
JOIN taxonomy a ON a.id = d.taxonomy_id JOIN taxonomy s ON s.id = o.taxonomy_id
GROUP BY 1, 2, 3 ORDER BY 1, 4 DESC, 2, 3"""

# labels have taxa of the taxonomy that resolved them last, and of no other
_OUT_OF_USE: Final = """
SELECT label_id FROM label_resolution WHERE new_label_id <> label_id AND taxonomy_id = (
    SELECT t.taxonomy_id FROM label l CROSS JOIN taxon t ON t.id = l.taxon_id
    WHERE l.taxon_id IS NOT NULL LIMIT 1)"""
_NOT_IN_USE: Final = "SELECT id FROM label WHERE resolution = 'resolved'"

# in the order of the index of genus and species
_CONFLICTING: Final = """
SELECT genus, species FROM label WHERE genus <> '' AND species <> '' AND id NOT IN ({unused})
GROUP BY genus, species
HAVING count(DISTINCT kingdom || char(31) || phylum || char(31) || class || char(31) || "order"
                      || char(31) || family) > 1"""

_LINEAGES: Final = """
SELECT DISTINCT kingdom, phylum, class, "order", family FROM label
WHERE genus = ? AND species = ? AND id NOT IN ({unused})
ORDER BY kingdom, phylum, class, "order", family"""


def names(conn: sa.Connection, *, relabelled: bool = True) -> Names:
    """Count taxonomies and conflicts; seconds at half a million labels and millions of nodes.

    Args:
        conn: a read transaction.
        relabelled: images have the labels of a taxonomy, so that those which it replaced disagree with nothing.
    """
    unused = _OUT_OF_USE if relabelled else _NOT_IN_USE
    lineages_of = _LINEAGES.format(unused=unused)
    conflicting = list(query(conn, _CONFLICTING.format(unused=unused)))
    conflicts = []
    for genus, species in conflicting[:MOST_CONFLICTS]:
        lineages = tuple(
            " > ".join(name or "–" for name in row) for row in query(conn, lineages_of, (genus, species))
        )
        conflicts.append(Conflict(f"{genus} {species}", lineages))
    assembled = scalar(conn, "SELECT EXISTS (SELECT 1 FROM taxon_provenance)")
    return Names(
        taxonomies=tuple(map(_taxonomy, query(conn, _TAXONOMIES))),
        origins=tuple(Origin(*row) for row in query(conn, _ORIGINS)) if assembled else (),
        decisions=tuple(Decided(*row) for row in query(conn, _DECISIONS)),
        conflicting=len(conflicting),
        conflicts=tuple(conflicts),
    )


def _taxonomy(row: tuple[Any, ...]) -> TaxonomyCounts:
    name, version, kind, priority, nodes, synonyms, vernacular_names, digest = row
    return TaxonomyCounts(name, version, kind, priority, nodes, synonyms, vernacular_names, digest or None)
