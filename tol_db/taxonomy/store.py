"""Taxonomies of the database: how they are found, and how an assembly is saved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import sqlalchemy as sa

from tol_db.db.bulk import changes, insert_many, no_cycles, query, scalar, utc_now, without_indexes
from tol_db.errors import InputError, UsageError, did_you_mean
from tol_db.taxonomy import flags
from tol_db.taxonomy.assemble import Assembly
from tol_db.taxonomy.decision import HOW
from tol_db.taxonomy.ranks import shown_rank
from tol_db.taxonomy.tree import NONE


@dataclass(frozen=True, slots=True)
class Stored:
    """A taxonomy of the database.

    Attributes:
        id: in the table ``taxonomy``.
        name, version, kind: as there.
        priority: of a source; None for one that takes part only when it is named.
        parameters: how it was read or assembled.
        first, last: ids of its taxa, contiguous; 1 and 0 where it has none.
    """

    id: int
    name: str
    version: str
    kind: str
    priority: int | None
    parameters: dict[str, Any]
    first: int
    last: int

    @property
    def taxa(self) -> int:
        """How many nodes it has."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


# ix_taxon_taxonomy_id_source_key serves the bounds: an index of ids alone would cost more than it brings
_BOUNDS: Final = """
SELECT t.id, t.name, t.version, t.kind, t.priority, t.parameters,
       (SELECT min(id) FROM taxon WHERE taxonomy_id = t.id), (SELECT max(id) FROM taxon WHERE taxonomy_id = t.id),
       (SELECT count(*) FROM taxon WHERE taxonomy_id = t.id)
FROM taxonomy t WHERE t.id = ?"""


def stored(conn: sa.Connection, taxonomy_id: int) -> Stored:
    """The row of a taxonomy and the bounds of its taxa.

    Raises:
        InputError: the ids of its taxa are not contiguous; it was not stored by tol-db.
    """
    row = next(query(conn, _BOUNDS, (taxonomy_id,)))
    id, name, version, kind, priority, parameters, first, last, taxa = row
    if taxa and last - first + 1 != taxa:
        raise InputError(
            f"taxonomy {name}@{version}: its taxa are not stored in one piece",
            hint=f"read it again: tol-db ingest taxonomy … --name {name}",
        )
    return Stored(id, name, version, kind, priority, json.loads(parameters), first or 1, last or 0)


def find(conn: sa.Connection, text: str | None, kind: str | None = None) -> Stored:
    """A taxonomy by ``NAME`` (its newest version), ``NAME@VERSION``, or, with None, the newest of a kind.

    Raises:
        UsageError: there is none.
    """
    name, _, version = (text or "").partition("@")
    sql = """SELECT id FROM taxonomy WHERE (?1 = '' OR name = ?1) AND (?2 = '' OR version = ?2)
             AND (?3 IS NULL OR kind = ?3) ORDER BY id DESC LIMIT 1"""
    found = scalar(conn, sql, (name, version, kind))
    if found is None:
        known = [f"{n}@{v}" for n, v in query(conn, "SELECT name, version FROM taxonomy ORDER BY id")]
        what = f"taxonomy {text!r}" if text else f"{kind or ''} taxonomy".strip()
        if not known:
            hint = "`tol-db ingest taxonomy --help` tells how to get one"
        else:
            names = {one.partition("@")[0] for one in known} | set(known)
            hint = did_you_mean(text or "", names, f"known: {', '.join(known)}")
        raise UsageError(f"no {what}", hint=hint)
    return stored(conn, found)


def sources_by_priority(conn: sa.Connection, named: Sequence[str] = ()) -> list[Stored]:
    """The newest version of each source taxonomy that has a priority, by it; or those named, in the given order.

    Raises:
        UsageError: a name is not known, there is none at all, or two have the same priority.
    """
    if named:
        chosen = [find(conn, name, "source") for name in named]
    else:
        sql = """SELECT max(id) FROM taxonomy WHERE kind = 'source' GROUP BY name ORDER BY name"""
        chosen = [one for (id,) in query(conn, sql) if (one := stored(conn, id)).priority is not None]
    if not chosen:
        raise UsageError(
            "no source taxonomy", hint="tol-db ingest taxonomy FORMAT PATH --name IDSPACE --priority 1"
        )
    if named:
        return chosen
    chosen.sort(key=lambda one: one.priority or 0)
    for one, other in pairwise(chosen):
        if one.priority == other.priority:
            raise UsageError(
                f"{one.name} and {other.name} both have priority {one.priority}",
                hint="give each its own, or name them in order: --source A --source B",
            )
    return chosen


# ------------------------------------------------------------------ memory → database


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an assembly was made of.

    Attributes:
        sources: the separation tree, then the sources, as the assembly numbers them.
        previous: the assembly whose ids went on, or None.
        parameters: what to note beside it.
    """

    sources: list[Stored]
    previous: Stored | None
    parameters: dict[str, Any]


def save(
    conn: sa.Connection, name: str, assembly: Assembly, inputs: Inputs, say: Callable[[str], None] = lambda _: None
) -> tuple[int, bool]:
    """Store an assembly as a new version; one that equals the newest of that name is not stored again.

    Args:
        conn: a write transaction without checks of foreign keys (:meth:`tol_db.db.engine.Database.staging`).

    Returns:
        Its id, and whether it is new.
    """
    digest = _digest(assembly)
    before = next(
        query(
            conn,
            """SELECT id, digest, parameters FROM taxonomy WHERE name = ? AND kind = 'assembled'
               ORDER BY id DESC LIMIT 1""",
            (name,),
        ),
        None,
    )
    parameters = json.dumps(inputs.parameters, sort_keys=True)
    rows = _input_rows(inputs)
    if before is not None and (before[1], before[2]) == (digest, parameters):
        sql = "SELECT ordinal, role, input_id FROM taxonomy_input WHERE taxonomy_id = ? AND role <> 'previous'"
        if list(query(conn, f"{sql} ORDER BY ordinal", (before[0],))) == [r for r in rows if r[1] != "previous"]:
            return before[0], False
    version = scalar(conn, "SELECT count(*) + 1 FROM taxonomy WHERE name = ?", (name,))
    while scalar(conn, "SELECT 1 FROM taxonomy WHERE name = ? AND version = ?", (name, str(version))):
        version += 1
    changes(
        conn,
        """INSERT INTO taxonomy (name, version, kind, parameters, digest, created_at)
           VALUES (?, ?, 'assembled', ?, ?, ?)""",
        (name, str(version), parameters, digest, utc_now()),
    )
    taxonomy = scalar(conn, "SELECT last_insert_rowid()")
    insert_many(
        conn,
        "INSERT INTO taxonomy_input (taxonomy_id, ordinal, role, input_id) VALUES (?, ?, ?, ?)",
        ((taxonomy, *row) for row in rows),
    )
    _save_rows(conn, taxonomy, assembly, inputs, say)
    return taxonomy, True


def _input_rows(inputs: Inputs) -> list[tuple[int, str, int]]:
    rows = [(n, "source" if n else "separation", one.id) for n, one in enumerate(inputs.sources)]
    return rows + ([(len(rows), "previous", inputs.previous.id)] if inputs.previous else [])


def _save_rows(
    conn: sa.Connection, taxonomy: int, assembly: Assembly, inputs: Inputs, say: Callable[[str], None]
) -> None:
    base = (scalar(conn, "SELECT max(id) FROM taxon") or 0) + 1
    total = len(assembly.tree)
    with no_cycles():
        say(f"store {total:,} taxa")
        with without_indexes(conn, "taxon", total):
            insert_many(
                conn,
                """INSERT INTO taxon (id, taxonomy_id, source_key, parent_id, scientific_name, rank, flags)
                   VALUES (?, ?, ?, ?, ?, ?, ?)""",
                _taxon_rows(assembly, taxonomy, base),
            )
        say(f"store {len(assembly.ids.node):,} ids")
        with without_indexes(conn, "taxon_provenance", len(assembly.ids.node), there=base):
            insert_many(
                conn,
                "INSERT INTO taxon_provenance (taxon_id, ordinal, source_taxon_id, how) VALUES (?, ?, ?, ?)",
                _provenance_rows(assembly, base, inputs.sources),
            )
        say(f"store {len(assembly.tree.synonyms.node):,} synonyms")
        with without_indexes(conn, "synonym", len(assembly.tree.synonyms.node)):
            insert_many(
                conn,
                "INSERT INTO synonym (taxon_id, name, kind, source) VALUES (?, ?, ?, ?)",
                _synonym_rows(assembly, base),
            )
        insert_many(
            conn,
            "INSERT INTO taxon_alias (taxonomy_id, alias, source_key) VALUES (?, ?, ?)",
            ((taxonomy, old, new) for old, new in assembly.forwards.items()),
        )
        insert_many(
            conn,
            """INSERT INTO taxon_decision
               (taxonomy_id, source_taxon_id, outcome, heuristic, candidates, taxon_id, detail)
               VALUES (?, ?, ?, ?, ?, ?, ?)""",
            _decision_rows(taxonomy, assembly, base, inputs.sources),
        )
        insert_many(
            conn,
            "INSERT INTO taxonomy_finding (taxonomy_id, kind, subject, detail) VALUES (?, ?, ?, ?)",
            ((taxonomy, f.kind, f.subject, f.detail) for f in assembly.findings),
        )
        say("store vernacular names")
        for source in (*inputs.sources[1:], inputs.sources[0]):  # the name of one that is heard first stays
            changes(conn, _VERNACULARS, (source.first, source.last, base, base + total - 1, source.name))


# names lead the way: most sources have few or none. ix_taxon_provenance_source_taxon_id finds who bears each
_VERNACULARS: Final = """
INSERT INTO vernacular_name (taxon_id, name, language, preferred, source)
SELECT p.taxon_id, v.name, v.language, v.preferred, ?5 || ':' || s.source_key
FROM vernacular_name v
CROSS JOIN taxon_provenance p ON p.source_taxon_id = v.taxon_id
CROSS JOIN taxon s ON s.id = v.taxon_id
WHERE v.taxon_id BETWEEN ?1 AND ?2 AND p.taxon_id BETWEEN ?3 AND ?4
ORDER BY v.id
ON CONFLICT DO NOTHING"""


def _lines(assembly: Assembly) -> Iterator[tuple[str, str | None, str, str, str]]:
    """uid, uid of the parent, name, rank, flags: of each node."""
    tree, uids, texts = assembly.tree, assembly.uids, assembly.names.texts
    columns = (tree.parent.tolist(), tree.name.tolist(), tree.rank.tolist(), tree.flags.tolist())
    for uid, parent, name, rank, bits in zip(uids, *columns, strict=True):
        yield uid, uids[parent] if parent != NONE else None, texts[name], shown_rank(rank), flags.shown(bits)


def _digest(assembly: Assembly) -> bytes:
    """sha256 over nodes, synonyms, ids and forwards, column by column."""
    tree, texts = assembly.tree, assembly.names.texts
    rows, ids = tree.synonyms, assembly.ids
    sha = hashlib.sha256()
    for words in (
        assembly.uids,
        (texts[number] for number in tree.name.tolist()),
        (texts[number] for number in rows.name.tolist()),
        (rows.kinds[number] for number in rows.kind.tolist()),
        ("\t".join(pair) for pair in sorted(assembly.forwards.items())),
    ):
        sha.update("\n".join(words).encode())
        sha.update(b"\0")
    numbers = (
        tree.parent,
        tree.rank,
        tree.flags,
        rows.node,
        rows.source,
        rows.row,
        ids.node,
        ids.source,
        ids.row,
        ids.how,
    )
    for column in numbers:
        sha.update(column.astype("<i8").tobytes())
    return sha.digest()


def _taxon_rows(assembly: Assembly, taxonomy: int, base: int) -> Iterator[tuple[Any, ...]]:
    parents = assembly.tree.parent.tolist()
    for at, ((uid, _, name, rank, words), parent) in enumerate(zip(_lines(assembly), parents, strict=True)):
        yield base + at, taxonomy, uid, base + parent if parent != NONE else None, name, rank, words


def _provenance_rows(assembly: Assembly, base: int, sources: list[Stored]) -> Iterator[tuple[int, int, int, str]]:
    ids = assembly.ids
    firsts = np.array([one.first for one in sources], np.int64)
    begins = np.r_[True, ids.node[1:] != ids.node[:-1]] if len(ids.node) else np.zeros(0, np.bool_)
    at = np.arange(len(ids.node))
    ordinal = at - np.maximum.accumulate(np.where(begins, at, 0)) if len(at) else at
    taxon = (firsts[ids.source] + ids.row).tolist()
    for node, number, source_taxon, how in zip(
        ids.node.tolist(), ordinal.tolist(), taxon, ids.how.tolist(), strict=True
    ):
        yield base + node, number, source_taxon, HOW[how]


def _synonym_rows(assembly: Assembly, base: int) -> Iterator[tuple[int, str, str, str | None]]:
    rows, texts, sources = assembly.tree.synonyms, assembly.names.texts, assembly.sources
    columns = (rows.node.tolist(), rows.name.tolist(), rows.kind.tolist(), rows.source.tolist(), rows.row.tolist())
    for node, name, kind, source, row in zip(*columns, strict=True):
        who = f"{sources[source].idspace}:{sources[source].keys[row]}" if source != NONE else None
        yield base + node, texts[name], rows.kinds[kind], who


def _decision_rows(
    taxonomy: int, assembly: Assembly, base: int, sources: list[Stored]
) -> Iterator[tuple[Any, ...]]:
    first = _first_id(assembly)
    for one in assembly.decisions:
        candidates = ",".join(sorted(map(first, one.candidates)))
        taxon = base + one.node if one.node != NONE else None
        yield (
            taxonomy,
            sources[one.source].first + one.row,
            one.outcome,
            one.heuristic,
            candidates,
            taxon,
            one.detail,
        )


def _first_id(assembly: Assembly) -> Callable[[int], str]:
    """A function of a node: the qualified id of the source that is heard first. Few nodes are asked for."""
    ids = assembly.ids  # ascending by node, and in order of priority

    def first(node: int) -> str:
        at = np.searchsorted(ids.node, np.int32(node))
        source = assembly.sources[ids.source[at]]
        return f"{source.idspace}:{source.keys[ids.row[at]]}"

    return first
