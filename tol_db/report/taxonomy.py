"""What a taxonomy is made of: the figures that Rees & Cranston 2017 print for theirs, and the lists behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import query, scalar
from tol_db.db.engine import Database
from tol_db.report.tables import indented, named_values, table
from tol_db.taxonomy.decision import HOW
from tol_db.taxonomy.store import Stored, find, stored


@dataclass(frozen=True, slots=True)
class InputCounts:
    """What became of the taxa of one input.

    Attributes:
        role: separation, source or previous.
        name: with its version.
        total: its taxa.
        kept: how they came into the result → how many (``copied``, ``inserted``, or what aligned them).
        left_out: why they are no taxa of it → how many.
    """

    role: str
    name: str
    total: int
    kept: dict[str, int]
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class TaxonomyReport:
    """Figures of a taxonomy.

    Attributes:
        name, kind: with its version; source or assembled.
        taxa, tips, binomials: nodes, those without a child, names of two words at the rank of species.
        synonyms, vernaculars, aliases: rows.
        homonyms: taxa whose name an earlier one bears.
        ranks: rank → taxa.
        flags: flag → taxa.
        inputs: of an assembled one.
        heuristics: what decided alignments → how often, over all sources.
        findings: kind → how many.
    """

    name: str
    kind: str
    taxa: int
    tips: int
    binomials: int
    synonyms: int
    vernaculars: int
    aliases: int
    homonyms: int
    ranks: dict[str, int]
    flags: dict[str, int]
    inputs: list[InputCounts]
    heuristics: dict[str, int]
    findings: dict[str, int]


_FIGURES: Final = {
    "tips": """SELECT count(*) FROM taxon t WHERE id BETWEEN ?1 AND ?2
               AND NOT EXISTS (SELECT 1 FROM taxon c WHERE c.parent_id = t.id)""",
    "binomials": """SELECT count(*) FROM taxon WHERE id BETWEEN ?1 AND ?2 AND rank = 'species'
                    AND length(scientific_name) - length(replace(scientific_name, ' ', '')) = 1""",
    "synonyms": "SELECT count(*) FROM synonym WHERE taxon_id BETWEEN ?1 AND ?2",
    "vernaculars": "SELECT count(*) FROM vernacular_name WHERE taxon_id BETWEEN ?1 AND ?2",
    "homonyms": "SELECT count(*) - count(DISTINCT scientific_name) FROM taxon WHERE id BETWEEN ?1 AND ?2",
}
"""All of them ask for ids between the bounds of a taxonomy: primary keys, or indexes that begin with taxon_id."""


def report(db: Database, name: str | None) -> TaxonomyReport:
    """The figures of a taxonomy; None: of the newest assembled one.

    Raises:
        UsageError: there is none.
    """
    with db.read() as conn:
        taxonomy = find(conn, name, None if name else "assembled")
        bounds = (taxonomy.first, taxonomy.last)
        figures = {key: int(scalar(conn, sql, bounds)) for key, sql in _FIGURES.items()}
        inputs = list(_inputs(conn, taxonomy))
        decided: dict[str, int] = {}
        for one in inputs:
            for how, many in one.kept.items():
                if how not in ("copied", "inserted", "folded", "separation group"):
                    decided[how] = decided.get(how, 0) + many
        return TaxonomyReport(
            str(taxonomy),
            taxonomy.kind,
            taxonomy.taxa,
            **figures,
            aliases=int(scalar(conn, "SELECT count(*) FROM taxon_alias WHERE taxonomy_id = ?", (taxonomy.id,))),
            ranks=_counted(conn, "SELECT rank, count(*) FROM taxon WHERE id BETWEEN ? AND ? GROUP BY 1", bounds),
            flags=_flags(conn, bounds),
            inputs=inputs,
            heuristics={how: decided[how] for how in HOW if how in decided},
            findings=_counted(
                conn, "SELECT kind, count(*) FROM taxonomy_finding WHERE taxonomy_id = ? GROUP BY 1", (taxonomy.id,)
            ),
        )


def _counted(conn: sa.Connection, sql: str, parameters: tuple[int, ...]) -> dict[str, int]:
    return dict(sorted(query(conn, sql, parameters), key=lambda row: (-row[1], row[0])))


def _flags(conn: sa.Connection, bounds: tuple[int, int]) -> dict[str, int]:
    counts: dict[str, int] = {}
    sql = "SELECT flags, count(*) FROM taxon WHERE id BETWEEN ? AND ? AND flags <> '' GROUP BY 1"
    for words, many in query(conn, sql, bounds):
        for word in words.split(","):
            counts[word] = counts.get(word, 0) + many
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _inputs(conn: sa.Connection, taxonomy: Stored) -> Iterator[InputCounts]:
    kept: dict[int, dict[str, int]] = {}
    sql = """SELECT s.taxonomy_id, p.how, count(*) FROM taxon_provenance p JOIN taxon s ON s.id = p.source_taxon_id
             WHERE p.taxon_id BETWEEN ? AND ? GROUP BY 1, 2 ORDER BY 3 DESC, 2"""
    for source, how, many in query(conn, sql, (taxonomy.first, taxonomy.last)):
        kept.setdefault(source, {})[how] = many
    left: dict[int, dict[str, int]] = {}
    sql = """SELECT s.taxonomy_id, d.outcome, count(*)
             FROM taxon_decision d JOIN taxon s ON s.id = d.source_taxon_id
             WHERE d.taxonomy_id = ? AND d.outcome NOT IN ('aligned', 'new', 'folded')
             GROUP BY 1, 2 ORDER BY 3 DESC, 2"""
    for source, outcome, many in query(conn, sql, (taxonomy.id,)):
        left.setdefault(source, {})[outcome] = many
    sql = """SELECT i.role, i.input_id, t.name || '@' || t.version,
                    (SELECT count(*) FROM taxon x WHERE x.taxonomy_id = i.input_id)
             FROM taxonomy_input i JOIN taxonomy t ON t.id = i.input_id
             WHERE i.taxonomy_id = ? ORDER BY i.ordinal"""
    for role, source, name, total in query(conn, sql, (taxonomy.id,)):
        yield InputCounts(role, name, total, kept.get(source, {}), left.get(source, {}))


def report_text(found: TaxonomyReport, width: int | None) -> str:
    """The report for people."""
    parts = [
        named_values(
            (
                ("taxonomy", f"{found.name} ({found.kind})"),
                ("taxa", found.taxa),
                ("tips", found.tips),
                ("binomials", found.binomials),
                ("synonyms", found.synonyms),
                ("homonyms", found.homonyms),
                ("vernacular names", found.vernaculars),
                ("other ids", found.aliases),
            )
        )
    ]
    if found.inputs:
        rows = [
            (
                one.role,
                one.name,
                one.total,
                one.kept.get("copied", 0) + one.kept.get("inserted", 0),
                sum(many for how, many in one.kept.items() if how not in ("copied", "inserted", "folded")),
                one.kept.get("folded", 0),
                *(
                    one.left_out.get(word, 0)
                    for word in ("absorbed", "conflict", "ambiguous tip", "container", "pruned")
                ),
            )
            for one in found.inputs
        ]
        columns = ("role", "input", "total", "new", "aligned", "folded", "absorbed", "conflict", "ambiguous")
        parts.append("inputs\n" + indented(table((*columns, "containers", "pruned"), rows, width)))
    for title, counts in (("aligned by", found.heuristics), ("flags", found.flags), ("findings", found.findings)):
        if counts:
            parts.append(f"{title}\n" + indented(named_values(counts.items())))
    return "\n\n".join(parts)


@dataclass(frozen=True, slots=True)
class Listing:
    """A taxonomy in a list; ``rules`` of a source, ``inputs`` of an assembled one."""

    name: str
    version: str
    kind: str
    priority: int | None
    taxa: int
    rules: tuple[str, ...]
    inputs: tuple[str, ...]
    created_at: str


def taxonomies(db: Database) -> list[Listing]:
    """All taxonomies, sources by priority before assembled ones."""
    sql = (
        """SELECT id, created_at FROM taxonomy ORDER BY kind = 'assembled', priority IS NULL, priority, name, id"""
    )
    inputs = """SELECT t.name || '@' || t.version FROM taxonomy_input i JOIN taxonomy t ON t.id = i.input_id
                WHERE i.taxonomy_id = ? AND i.role = 'source' ORDER BY i.ordinal"""
    found = []
    with db.read() as conn:
        for id, created_at in list(query(conn, sql)):
            one = stored(conn, id)
            made_of = tuple(name for (name,) in query(conn, inputs, (id,)))
            rules = tuple(one.parameters.get("rules", ()))
            found.append(
                Listing(one.name, one.version, one.kind, one.priority, one.taxa, rules, made_of, created_at)
            )
    return found


# ------------------------------------------------------------------ lists


@dataclass(frozen=True, slots=True)
class Listed:
    """A list: its columns, its rows, and how many there are in all."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    total: int


_OF_DECISIONS: Final = """
SELECT y.name || ':' || s.source_key, s.scientific_name, s.rank, d.outcome, d.heuristic, d.candidates,
       r.scientific_name, d.detail
FROM taxon_decision d JOIN taxon s ON s.id = d.source_taxon_id JOIN taxonomy y ON y.id = s.taxonomy_id
LEFT JOIN taxon r ON r.id = d.taxon_id
WHERE d.taxonomy_id = ?1 AND {which} ORDER BY d.source_taxon_id"""
_HOMONYMS: Final = """
SELECT t.source_key, t.scientific_name, t.rank, p.scientific_name, t.flags
FROM taxon t LEFT JOIN taxon p ON p.id = t.parent_id
WHERE t.id BETWEEN ?2 AND ?3 AND t.scientific_name IN (
    SELECT scientific_name FROM taxon WHERE id BETWEEN ?2 AND ?3 GROUP BY 1 HAVING count(*) > 1)
ORDER BY t.scientific_name, t.id"""
_FINDINGS: Final = "SELECT kind, subject, detail FROM taxonomy_finding WHERE taxonomy_id = ?1 {which} ORDER BY id"

_DECISION_COLUMNS = ("taxon", "name", "rank", "outcome", "by", "candidates", "went to", "detail")
LISTS: Final = {
    "conflicts": (_DECISION_COLUMNS, _OF_DECISIONS.format(which="d.outcome = 'conflict'")),
    "absorbed": (_DECISION_COLUMNS, _OF_DECISIONS.format(which="d.outcome = 'absorbed'")),
    "ambiguous": (_DECISION_COLUMNS, _OF_DECISIONS.format(which="d.detail = 'several candidates remain'")),
    "refused": (_DECISION_COLUMNS, _OF_DECISIONS.format(which="d.outcome = 'new' AND d.heuristic IS NOT NULL")),
    "choices": (_DECISION_COLUMNS, _OF_DECISIONS.format(which="d.outcome = 'aligned'")),
    "left-out": (
        _DECISION_COLUMNS,
        _OF_DECISIONS.format(which="d.outcome NOT IN ('aligned', 'new', 'folded')"),
    ),
    "homonyms": (("id", "name", "rank", "in", "flags"), _HOMONYMS),
    "findings": (("kind", "about", "detail"), _FINDINGS.format(which="")),
    "curation": (("kind", "about", "detail"), _FINDINGS.format(which="AND kind = 'unmatched_curation'")),
    "retired-ids": (("kind", "about", "detail"), _FINDINGS.format(which="AND kind = 'retired_id'")),
}
"""What ``taxonomy report --list`` knows."""


def listed(db: Database, name: str | None, which: str, limit: int | None) -> Listed:
    """One of :data:`LISTS`, at most ``limit`` rows of it.

    Raises:
        UsageError: no such taxonomy.
    """
    columns, sql = LISTS[which]
    with db.read() as conn:
        taxonomy = find(conn, name, None if name else "assembled")
        parameters = (taxonomy.id, taxonomy.first, taxonomy.last)[: 3 if "?3" in sql else 1]
        rows: list[tuple[object, ...]] = []
        total = 0
        for row in query(conn, sql, parameters):
            total += 1
            if limit is None or len(rows) < limit:
                rows.append(row)
    return Listed(columns, rows, total)
