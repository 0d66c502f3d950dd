"""What is done to every source before it is aligned.

The rules are those of the Open Tree's assembly (Rees & Cranston 2017, "Import and normalise"): spelling without
diacritics, containers emptied into their parents, subgenera told from their genera; and, where a source is read
with these rules, siblings of one name folded and flags by name and by rank.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from tol_db.taxonomy import flags
from tol_db.taxonomy.flags import BITS
from tol_db.taxonomy.ranks import NO_RANK_LEVEL, rank_level
from tol_db.taxonomy.source import LeftOut, SourceTaxonomy
from tol_db.taxonomy.spelling import ascii_spelling, without_marks
from tol_db.taxonomy.tree import NONE, Flags, Ints, Mask, Names, inherited

SPELLING: Final = "spelling"
"""Kind of a synonym: the same name, spelt otherwise."""

_ENVIRONMENTAL: Final = re.compile(r"(^|\s)(environmental|mycorrhizal) samples?$", re.IGNORECASE)
_CONTAINER: Final = re.compile(
    r"(^|\s)incertae[ _]sedis\b|^(unclassified|unassigned|unallocated|unplaced|mitosporic)(\s|$)"
    r"|\s(unclassified|unassigned|unallocated)$",
    re.IGNORECASE,
)


def normalise(source: SourceTaxonomy, names: Names) -> None:
    """Apply all rules, in the order in which they build on each other."""
    drop_diacritics(source, names)
    empty_containers(source, names)
    tell_subgenera(source, names)
    if "fold-sibling-homonyms" in source.rules:
        fold_siblings(source)
    tree, shape = source.tree, source.shape()
    if "name-flags" in source.rules:
        tree.flags = flags.assert_by_name(tree.parent, shape, tree.name, tree.flags, names)
    if "major-rank-conflict" in source.rules:
        tree.flags = flags.assert_rank_conflicts(tree.parent, shape, tree.rank, tree.flags)


def drop_diacritics(source: SourceTaxonomy, names: Names) -> None:
    """Primary names are spelt plainly; how they were spelt stays as a synonym, and so does the ASCII spelling."""
    tree = source.tree
    not_ascii = np.array(names.not_ascii, np.int32)
    odd = not_ascii[np.isin(not_ascii, tree.name)].tolist()
    if not odd:
        return
    new = np.arange(len(names), dtype=np.int32)
    other = {}
    for number in odd:
        spelt = without_marks(names.texts[number])
        new[number] = names.number(spelt)
        if (written := ascii_spelling(spelt)) != spelt:
            other[number] = names.number(written)
    before, tree.name = tree.name, new[tree.name]
    changed = np.flatnonzero(before != tree.name)
    tree.synonyms.add(changed, before[changed], SPELLING)
    spelt_otherwise = np.flatnonzero(np.isin(before, list(other)))
    tree.synonyms.add(spelt_otherwise, [other[number] for number in before[spelt_otherwise].tolist()], SPELLING)


def empty_containers(source: SourceTaxonomy, names: Names) -> None:
    """Children of what is no taxon move to its parent, with a flag that says why; nested ones too."""
    tree = source.tree
    held, is_container = _containers(source, names)
    if not is_container.any():
        return
    shape = source.shape()
    up = tree.parent.copy()
    for level in shape.levels[1:]:
        inside = level[is_container[tree.parent[level]]]
        above = tree.parent[inside]
        up[inside] = up[above]
        held[inside] |= held[above]
    moved = ~is_container & (up != tree.parent)
    tree.flags[moved] |= held[moved]
    left = {}
    for node in np.flatnonzero(is_container).tolist():
        into = NONE if up[node] == NONE else int(source.row[up[node]])
        left[int(source.row[node])] = LeftOut("container", into, names.texts[tree.name[node]])
    tree.parent = np.where(is_container, NONE, up).astype(np.int32)
    source.take_out(is_container, left)


def _containers(source: SourceTaxonomy, names: Names) -> tuple[Flags, Mask]:
    """What flag the members of each node get, and whether it is a container at all."""
    tree = source.tree
    held = np.zeros(len(tree), np.uint32)
    asked = np.flatnonzero(tree.rank != rank_level("species"))  # a species is none, and nearly all are species
    used, where = np.unique(tree.name[asked], return_inverse=True)
    kinds = np.zeros(len(used), np.uint32)
    for at, number in enumerate(used.tolist()):
        text = names.texts[number]
        if _ENVIRONMENTAL.search(text):
            kinds[at] = BITS["environmental"]
        elif _CONTAINER.search(text):
            kinds[at] = BITS["incertae_sedis"]
    held[asked] = kinds[where]
    said = flags.has(tree.flags, "was_container")
    held[said & (held == 0)] = BITS["incertae_sedis"]
    return held, held != 0


def tell_subgenera(source: SourceTaxonomy, names: Names) -> None:
    """A subgenus that is named as its genus is called ``X subgenus X``."""
    tree, shape = source.tree, source.shape()
    genus = np.where(tree.rank == rank_level("genus"), np.arange(len(tree), dtype=np.int32), NONE).astype(np.int32)
    genus = inherited(tree.parent, shape, genus)
    same = (tree.rank == rank_level("subgenus")) & (genus != NONE)
    for node in np.flatnonzero(same).tolist():
        if tree.name[node] == tree.name[genus[node]]:
            text = names.texts[tree.name[node]]
            tree.name[node] = names.number(f"{text} subgenus {text}")


def fold_siblings(source: SourceTaxonomy) -> None:
    """Rule ``fold-sibling-homonyms``: siblings of one name and rank are one taxon; the first id stays."""
    tree, shape = source.tree, source.shape()
    into = np.arange(len(tree) + 1, dtype=np.int32)
    into[-1] = NONE
    for level in shape.levels:
        parents = into[tree.parent[level]]
        order = np.lexsort((level, tree.name[level], parents))
        ordered, parents = level[order], parents[order]
        same = (parents[1:] == parents[:-1]) & (tree.name[ordered[1:]] == tree.name[ordered[:-1]])
        last = NONE
        firsts: list[int] = []
        for at in np.flatnonzero(same).tolist():
            if at != last + 1 or not firsts:
                firsts = [int(ordered[at])]
            last, node = at, int(ordered[at + 1])
            if (first := _of_its_rank(tree.rank, firsts, node)) == NONE:
                firsts.append(node)
            else:
                into[node] = first
                if tree.rank[first] == NO_RANK_LEVEL:
                    tree.rank[first] = tree.rank[node]
        tree.parent[level] = into[tree.parent[level]]
    folded = into[:-1] != np.arange(len(tree))
    if not folded.any():
        return
    left = {
        int(source.row[node]): LeftOut("folded", int(source.row[into[node]]))
        for node in np.flatnonzero(folded).tolist()
    }
    tree.synonyms.node = into[tree.synonyms.node]
    source.take_out(folded, left)


def _of_its_rank(rank: Ints, firsts: list[int], node: int) -> int:
    """The first of some nodes whose rank is that of a node, or where one of the two has none; -1 for no such."""
    for first in firsts:
        if NO_RANK_LEVEL in (rank[first], rank[node]) or rank[first] == rank[node]:
            return first
    return NONE
