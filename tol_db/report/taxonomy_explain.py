"""Why a taxon stands where it stands, and why a name does not: provenance, lineage, synonyms, decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import query, scalar
from tol_db.db.engine import Database
from tol_db.errors import UsageError
from tol_db.report.tables import indented, named_values
from tol_db.taxonomy.store import Stored, find


@dataclass(frozen=True, slots=True)
class Step:
    """An ancestor: id, rank, name."""

    id: str
    rank: str
    name: str


@dataclass(frozen=True, slots=True)
class Origin:
    """A source taxon behind a taxon: its id, what it is called there, how it came."""

    id: str
    name: str
    how: str


@dataclass(frozen=True, slots=True)
class OtherName:
    """A synonym or vernacular name: its kind or language, and who says so."""

    name: str
    kind: str
    source: str | None


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision on a source taxon; ``candidates`` are ids."""

    id: str
    name: str
    outcome: str
    heuristic: str | None
    candidates: str
    went_to: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Explained:
    """All that is known of a taxon of a taxonomy; ancestors from the root down."""

    id: str
    name: str
    rank: str
    flags: str
    children: int
    lineage: list[Step]
    origins: list[Origin]
    synonyms: list[OtherName]
    vernaculars: list[OtherName]
    decisions: list[Decided]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The taxa that a name or an id means, and source taxa of that name that are no taxa of the result.

    Attributes:
        taxa, left_out: the first :data:`AT_MOST` of them.
        more: how many there are besides.
    """

    taxonomy: str
    asked: str
    taxa: list[Explained]
    left_out: list[Decided]
    more: int = 0


AT_MOST: Final = 100
"""Taxa of one name that are explained; some names are borne by thousands."""


_BY_NAME: Final = """
SELECT id FROM taxon WHERE scientific_name = ?1 AND id BETWEEN ?2 AND ?3
UNION SELECT taxon_id FROM synonym WHERE name = ?1 AND taxon_id BETWEEN ?2 AND ?3 ORDER BY 1"""
_BY_KEY: Final = """
SELECT id FROM taxon WHERE taxonomy_id = ?2 AND source_key = ?1
UNION SELECT t.id FROM taxon_alias a JOIN taxon t ON t.taxonomy_id = a.taxonomy_id AND t.source_key = a.source_key
WHERE a.taxonomy_id = ?2 AND a.alias = ?1"""
_BY_SOURCE: Final = """
SELECT p.taxon_id FROM taxonomy_input i JOIN taxonomy y ON y.id = i.input_id
JOIN taxon s ON s.taxonomy_id = y.id AND s.source_key IN (
    SELECT ?2 UNION SELECT a.source_key FROM taxon_alias a WHERE a.taxonomy_id = y.id AND a.alias = ?2)
JOIN taxon_provenance p ON p.source_taxon_id = s.id
WHERE i.taxonomy_id = ?3 AND y.name = ?1 AND p.taxon_id BETWEEN ?4 AND ?5"""
_UP: Final = """
WITH RECURSIVE up (id, parent_id, depth) AS (
    SELECT id, parent_id, 0 FROM taxon WHERE id = ?1
    UNION ALL SELECT t.id, t.parent_id, up.depth + 1 FROM up JOIN taxon t ON t.id = up.parent_id)
SELECT t.source_key, t.rank, t.scientific_name FROM up JOIN taxon t ON t.id = up.id WHERE depth > 0
ORDER BY depth DESC"""
_ORIGINS: Final = """
SELECT y.name || ':' || s.source_key, s.scientific_name, p.how FROM taxon_provenance p
JOIN taxon s ON s.id = p.source_taxon_id JOIN taxonomy y ON y.id = s.taxonomy_id
WHERE p.taxon_id = ?1 ORDER BY p.ordinal"""
_DECISIONS: Final = """
SELECT y.name || ':' || s.source_key, s.scientific_name, d.outcome, d.heuristic, d.candidates, r.scientific_name,
       d.detail
FROM {where} JOIN taxonomy y ON y.id = s.taxonomy_id LEFT JOIN taxon r ON r.id = d.taxon_id
WHERE d.taxonomy_id = ?1 {which} ORDER BY d.source_taxon_id"""
_OF_TAXON: Final = _DECISIONS.format(
    where="""taxon_provenance p JOIN taxon s ON s.id = p.source_taxon_id
             JOIN taxon_decision d ON d.source_taxon_id = s.id""",
    which="AND p.taxon_id = ?2",
)
_MEMBERS: Final = _DECISIONS.format(
    where="taxon_decision d JOIN taxon s ON s.id = d.source_taxon_id",
    which="AND d.taxon_id = ?2 AND d.outcome IN ('container', 'absorbed', 'conflict', 'pruned')",
)
_LEFT_OUT: Final = _DECISIONS.format(
    where="taxon s JOIN taxon_decision d ON d.source_taxon_id = s.id",
    which="""AND d.outcome NOT IN ('aligned', 'new', 'folded')
             AND (s.scientific_name = ?2 OR y.name || ':' || s.source_key = ?2)
             AND s.id IN (SELECT id FROM taxon WHERE scientific_name = ?2
                          UNION SELECT x.id FROM taxonomy z JOIN taxon x ON x.taxonomy_id = z.id
                          AND x.source_key = substr(?2, instr(?2, ':') + 1))""",
)
_RETIRED: Final = """
WITH RECURSIVE later (id, earlier) AS (
    SELECT taxonomy_id, input_id FROM taxonomy_input WHERE taxonomy_id = ?1 AND role = 'previous'
    UNION ALL SELECT i.taxonomy_id, i.input_id FROM later JOIN taxonomy_input i ON i.taxonomy_id = later.earlier
    WHERE i.role = 'previous')
SELECT y.name || '@' || y.version FROM later JOIN taxonomy_finding f ON f.taxonomy_id = later.id
JOIN taxonomy y ON y.id = later.earlier WHERE f.kind = 'retired_id' AND f.subject = ?2"""


def explain(db: Database, text: str, taxonomy: str | None) -> Explanation:
    """What a name or an id means in a taxonomy (None: the newest assembled one).

    Args:
        text: a scientific name, an id of the taxonomy, or an id of one of its sources (``ncbi:9606``).

    Raises:
        UsageError: no such taxonomy, or nothing of that name or id in it or its sources.
    """
    with db.read() as conn:
        chosen = find(conn, taxonomy, None if taxonomy else "assembled")
        meant = _meant(conn, chosen, text)
        taxa = [_explained(conn, chosen, taxon) for taxon in meant[:AT_MOST]]
        left_out = [Decided(*row) for row in query(conn, _LEFT_OUT, (chosen.id, text))]
        retired = scalar(conn, _RETIRED, (chosen.id, text))
    if not taxa and not left_out and retired:
        raise UsageError(
            f"{chosen}: {text} is a retired id, which no taxon has any more",
            hint=f"tol-db taxonomy explain {text} --taxonomy {retired}",
        )
    if not taxa and not left_out:
        raise UsageError(
            f"{chosen}: no taxon is called {text!r} or has this id",
            hint="`tol-db taxonomy resolve` tries other spellings",
        )
    more = len(meant) - len(taxa) + len(left_out[AT_MOST:])
    return Explanation(str(chosen), text, taxa, left_out[:AT_MOST], more)


def lineage(db: Database, text: str, taxonomy: str | None) -> list[Explained]:
    """As :func:`explain`, the taxa alone.

    Raises:
        UsageError: nothing is called so.
    """
    found = explain(db, text, taxonomy).taxa
    if not found:
        raise UsageError(f"{text!r} is no taxon of the result", hint=f"tol-db taxonomy explain {text!r}")
    return found


def _meant(conn: sa.Connection, taxonomy: Stored, text: str) -> list[int]:
    found = {row[0] for row in query(conn, _BY_KEY, (text, taxonomy.id))}
    idspace, colon, key = text.partition(":")
    if colon:
        bounds = (taxonomy.first, taxonomy.last)
        found |= {row[0] for row in query(conn, _BY_SOURCE, (idspace, key, taxonomy.id, *bounds))}
    if not found:
        found = {row[0] for row in query(conn, _BY_NAME, (text, taxonomy.first, taxonomy.last))}
    return sorted(found)


def _explained(conn: sa.Connection, taxonomy: Stored, taxon: int) -> Explained:
    key, name, rank, flags = next(
        query(conn, "SELECT source_key, scientific_name, rank, flags FROM taxon WHERE id = ?", (taxon,))
    )
    synonyms = query(conn, "SELECT name, kind, source FROM synonym WHERE taxon_id = ? ORDER BY 1, 2", (taxon,))
    vernaculars = query(
        conn,
        """SELECT name, language, source FROM vernacular_name WHERE taxon_id = ?
           ORDER BY language, preferred DESC, name""",
        (taxon,),
    )
    decisions = [*query(conn, _OF_TAXON, (taxonomy.id, taxon)), *query(conn, _MEMBERS, (taxonomy.id, taxon))]
    return Explained(
        key,
        name,
        rank,
        flags,
        int(scalar(conn, "SELECT count(*) FROM taxon WHERE parent_id = ?", (taxon,))),
        [Step(*row) for row in query(conn, _UP, (taxon,))],
        [Origin(*row) for row in query(conn, _ORIGINS, (taxon,))],
        [OtherName(*row) for row in synonyms],
        [OtherName(*row) for row in vernaculars],
        [Decided(*row) for row in decisions],
    )


def explanation_text(found: Explanation) -> str:
    """The explanation for people."""
    parts = [_taxon_text(taxon) for taxon in found.taxa]
    if found.left_out:
        parts.append("not in the result:\n" + indented("\n".join(map(_decision_text, found.left_out))))
    if found.more:
        parts.append(f"and {found.more:,} more")
    return "\n\n".join(parts)


def lineage_text(taxon: Explained) -> str:
    """One line an ancestor, from the root down, indented by depth."""
    steps = [*taxon.lineage, Step(taxon.id, taxon.rank, taxon.name)]
    return "\n".join(f"{'  ' * depth}{step.name}  ({step.rank}, {step.id})" for depth, step in enumerate(steps))


def _taxon_text(taxon: Explained) -> str:
    pairs = (
        ("id", taxon.id),
        ("name", taxon.name),
        ("rank", taxon.rank),
        ("flags", taxon.flags or None),
        ("children", taxon.children),
        ("lineage", " > ".join(step.name for step in taxon.lineage) or None),
    )
    parts = [named_values(pairs)]
    if taxon.origins:
        lines = [
            f"{o.id}: {o.how}" + (f", called {o.name} there" if o.name != taxon.name else "") for o in taxon.origins
        ]
        parts.append("from\n" + indented("\n".join(lines)))
    for title, names in (("synonyms", taxon.synonyms), ("vernacular names", taxon.vernaculars)):
        if names:
            lines = [f"{n.name} ({', '.join(filter(None, (n.kind, n.source)))})" for n in names]
            parts.append(f"{title}\n" + indented("\n".join(lines)))
    if taxon.decisions:
        parts.append("decisions\n" + indented("\n".join(map(_decision_text, taxon.decisions))))
    return "\n".join(parts)


def _decision_text(one: Decided) -> str:
    text = f"{one.id} {one.name}: {one.outcome}"
    if one.heuristic:
        text += f", decided by {one.heuristic}" if one.outcome == "aligned" else f", refused by {one.heuristic}"
    if one.candidates:
        text += f"; {'parents of its members' if one.outcome == 'conflict' else 'candidates'}: {one.candidates}"
    if one.went_to and one.outcome not in ("aligned", "new"):
        text += f"; members went to {one.went_to}"
    return text + (f" ({one.detail})" if one.detail else "")
