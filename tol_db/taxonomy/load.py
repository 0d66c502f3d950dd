"""From the database to memory: a taxonomy becomes the source of an assembly."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Final

import numpy as np
import sqlalchemy as sa

from tol_db.db.bulk import no_cycles, query, scalar
from tol_db.taxonomy import flags
from tol_db.taxonomy.kinds import NOT_FOR_MATCHING
from tol_db.taxonomy.ranks import rank_level
from tol_db.taxonomy.source import SourceTaxonomy
from tol_db.taxonomy.store import Stored
from tol_db.taxonomy.tree import NONE, Ints, Names, Synonyms, Tree

_AT_A_TIME: Final = 20_000


def load(conn: sa.Connection, taxonomy: Stored, names: Names) -> SourceTaxonomy:
    """A taxonomy as a source of an assembly; rows in the order of their keys, whatever that of their ids.

    An ingested taxonomy is stored by key, an assembled one in preorder.
    """
    base, total = taxonomy.first, taxonomy.taxa
    keys: list[str] = []
    parent = np.empty(total, np.int32)
    name = np.empty(total, np.int32)
    rank = np.empty(total, np.int32)
    bits = np.empty(total, np.uint32)
    levels: dict[str, int] = {}
    known: dict[str, int] = {}
    number = names.number
    at = 0
    sql = """SELECT source_key, coalesce(parent_id - ?2, -1), scientific_name, rank, flags
             FROM taxon WHERE id BETWEEN ?2 AND ?3 AND taxonomy_id = ?1 ORDER BY id"""
    with no_cycles():
        stream = query(conn, sql, (taxonomy.id, base, taxonomy.last))
        while some := list(islice(stream, _AT_A_TIME)):  # whole columns: a number by itself costs an array most
            key, above, text, word, words = zip(*some, strict=True)
            keys += key
            levels |= {one: rank_level(one) for one in set(word) - levels.keys()}
            known |= {one: flags.parse(one) for one in set(words) - known.keys()}
            end = at + len(some)
            parent[at:end] = above
            name[at:end] = list(map(number, text))
            rank[at:end] = [levels[one] for one in word]
            bits[at:end] = [known[one] for one in words]
            at = end
        synonyms = _load_synonyms(conn, taxonomy, names)
    tree, source_ids = Tree(parent, name, rank, bits, synonyms), _load_source_ids(conn, taxonomy)
    if any(one >= other for one, other in pairwise(keys)):
        order = np.array(sorted(range(total), key=keys.__getitem__), np.int32)
        row = _by_key(tree, order)
        keys = [keys[at] for at in order.tolist()]
        source_ids = {int(row[at]): ids for at, ids in source_ids.items()}
    rules = frozenset(taxonomy.parameters.get("rules", ()))
    aliases = dict(query(conn, "SELECT alias, source_key FROM taxon_alias WHERE taxonomy_id = ?", (taxonomy.id,)))
    rows = np.arange(total, dtype=np.int32)
    return SourceTaxonomy(
        taxonomy.name,
        tree,
        rows,
        keys,
        rules,
        aliases,
        source_ids,
        highest_retired=_highest_retired(conn, taxonomy),
    )


def _by_key(tree: Tree, order: Ints) -> Ints:
    """Put the nodes of a tree into an order. Returns the new number of each node."""
    new = np.empty(len(order) + 1, np.int32)
    new[order], new[-1] = np.arange(len(order), dtype=np.int32), NONE
    tree.parent = new[tree.parent[order]]
    tree.name, tree.rank, tree.flags = tree.name[order], tree.rank[order], tree.flags[order]
    synonyms = tree.synonyms
    synonyms.node = new[synonyms.node]
    synonyms.row = synonyms.node.copy()
    synonyms.keep(np.argsort(synonyms.node, kind="stable"))
    return new[:-1]


_RETIRED: Final = """
WITH RECURSIVE earlier (id) AS (
    SELECT ?1 UNION SELECT i.input_id FROM earlier e JOIN taxonomy_input i ON i.taxonomy_id = e.id
    WHERE i.role = 'previous')
SELECT max(CAST(f.subject AS INTEGER)) FROM earlier e JOIN taxonomy_finding f ON f.taxonomy_id = e.id
WHERE f.kind = 'retired_id' AND f.subject NOT GLOB '*[^0-9]*'"""


def _highest_retired(conn: sa.Connection, taxonomy: Stored) -> int:
    """The highest number among the ids that it and the assemblies before it have retired."""
    return int(scalar(conn, _RETIRED, (taxonomy.id,)) or 0) if taxonomy.kind == "assembled" else 0


def _load_synonyms(conn: sa.Connection, taxonomy: Stored, names: Names) -> Synonyms:
    sql = """SELECT taxon_id - ?1, name, kind FROM synonym WHERE taxon_id BETWEEN ?1 AND ?2
             ORDER BY taxon_id, name, kind"""
    kinds: dict[str, int] = {}
    node, name, kind = [], [], []
    for taxon, text, word in query(conn, sql, (taxonomy.first, taxonomy.last)):
        node.append(taxon)
        name.append(names.number(text))
        kind.append(kinds.setdefault(word, len(kinds)))
    words = list(kinds)
    kind_of = np.array(kind, np.int32)
    matches = np.array([word.lower() not in NOT_FOR_MATCHING for word in words], np.bool_)
    nodes = np.array(node, np.int32)
    return Synonyms(
        nodes,
        np.array(name, np.int32),
        kind_of,
        matches[kind_of] if len(kind_of) else np.zeros(0, np.bool_),
        np.full(len(nodes), NONE, np.int32),
        nodes.copy(),
        words,
    )


def _load_source_ids(conn: sa.Connection, taxonomy: Stored) -> dict[int, tuple[str, ...]]:
    sql = """SELECT taxon_id - ?1, source_id FROM taxon_source_id WHERE taxon_id BETWEEN ?1 AND ?2
             ORDER BY taxon_id, ordinal"""
    found: dict[int, list[str]] = {}
    for row, id in query(conn, sql, (taxonomy.first, taxonomy.last)):
        found.setdefault(row, []).append(id)
    if taxonomy.kind == "assembled":
        sql = """SELECT p.taxon_id - ?1, y.name || ':' || s.source_key
                 FROM taxon_provenance p JOIN taxon s ON s.id = p.source_taxon_id
                 JOIN taxonomy y ON y.id = s.taxonomy_id
                 WHERE p.taxon_id BETWEEN ?1 AND ?2 ORDER BY p.taxon_id, p.ordinal"""
        for row, id in query(conn, sql, (taxonomy.first, taxonomy.last)):
            found.setdefault(row, []).append(id)
    return {row: tuple(ids) for row, ids in found.items()}
