"""Which node of the workspace is the same taxon as a node of a source.

After Rees & Cranston 2017, "Alignment": nodes that share a name string are candidates, and heuristics choose among
them. Pairs of a source node and a candidate are rows of arrays, sorted by source node; a heuristic gives each row
2 or 1 (yes), 0 (no information) or -1 (no).

Two passes: first the nodes below which nothing is aligned, from the tips up; then the others, for which it counts
what their descendants aligned to. An answer stands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tol_db.taxonomy import heuristics, separation
from tol_db.taxonomy.decision import ALIGNED, AMBIGUOUS, HOW_NUMBER, NEW
from tol_db.taxonomy.heuristics import GENDERS, Pairs, Side
from tol_db.taxonomy.source import SourceTaxonomy
from tol_db.taxonomy.tree import NONE, Ints, Longs, Mask, Names, Shape, Tree
from tol_db.taxonomy.workspace import Workspace

_CROWD: Final = 10_000
"""Pairs that one name may make. Nothing tells which of 500 nodes here is which of 500 there that bear one name, but
they make a quarter of a million pairs."""


@dataclass(slots=True)
class Alignment:
    """What a source's nodes are aligned to.

    Attributes:
        image: node of the workspace, or -1.
        answer: ``NEW``, ``ALIGNED``, ``REFUSED`` or ``AMBIGUOUS``.
        how: what decided or refused, index into :data:`~tol_db.taxonomy.decision.HOW`.
        pairs: all candidates that there were.
        crowded: whether so many have a node's name, on both sides, that nothing was asked: it is ambiguous.
    """

    image: Ints
    answer: Ints
    how: Ints
    pairs: Pairs
    crowded: Mask

    def candidates(self, node: int) -> list[int]:
        """The candidates of a node, ascending."""
        # keys of the array's own type: others would have numpy convert the whole array at each call
        low, high = np.searchsorted(self.pairs.node, np.array([node, node + 1], np.int32))
        return sorted(self.pairs.candidate[low:high].tolist())


@dataclass(frozen=True, slots=True)
class Curated:
    """What curation says before anything is asked: pairs that are the same, pairs that are not."""

    same: Collection[tuple[int, int]] = ()
    different: Collection[tuple[int, int]] = ()


def align(
    source: SourceTaxonomy,
    workspace: Workspace,
    names: Names,
    *,
    shared_ids: Sequence[tuple[int, int]] = (),
    curated: Curated | None = None,
) -> Alignment:
    """Align a normalised source to the workspace.

    Args:
        shared_ids: (node, node of the workspace) that list the same id of some source.
        curated: what need not be asked.
    """
    curated = curated or Curated()
    shape, target = source.shape(), workspace.shape()
    total = len(source.tree)
    of_groups = [pair for pair in shared_ids if pair[1] < workspace.separation]
    image = separation.found_in(source, shape, workspace, of_groups)
    groups = image.copy()
    how = np.where(image != NONE, HOW_NUMBER["separation group"], NONE).astype(np.int32)
    for node, same in curated.same:
        image[node], how[node] = same, HOW_NUMBER["curation"]
    pairs, crowded = _candidates(source, workspace, names, image, shared_ids, curated)
    here = Side(source.tree, shape, separation.divisions(source, shape, groups), groups != NONE)
    there_is_group = np.arange(len(workspace.tree)) < workspace.separation
    there = Side(workspace.tree, target, workspace.division(target), there_is_group)
    assess = heuristics.Assessment(here, there, workspace.disjoint, names, pairs)
    kept = assess.without_borrowed_names()
    lost = np.zeros(total, np.bool_)
    lost[pairs.node] = True
    lost[kept.node] = False
    if len(bereft := np.flatnonzero(lost)):
        more = _by_gender(bereft, source, names, *_ordered_handles(workspace), curated)
        assess = heuristics.Assessment(here, there, workspace.disjoint, names, kept.joined(more))
    pairs = assess.pairs

    crowded[pairs.node] = False
    answer = np.where(image != NONE, ALIGNED, np.where(crowded, AMBIGUOUS, NEW)).astype(np.int32)
    settled = image != NONE
    alone = assess.choose(np.arange(len(pairs)), overlap=None)
    first, below = _first_pass(source.tree.parent, shape, settled, alone.answer_of(total) == ALIGNED)
    alone.enter(image, answer, how, where=~settled & ~below)
    overlap = heuristics.overlap_scores(here, there, np.where(first, image, NONE).astype(np.int32))
    rest = np.flatnonzero(below[pairs.node] & ~settled[pairs.node])
    assess.choose(rest, overlap=overlap).enter(image, answer, how, where=below & ~settled)
    _name_gender(how, answer, pairs)
    return Alignment(image, answer, how, pairs, crowded)


def _first_pass(parent: Ints, shape: Shape, settled: Mask, would: Mask) -> tuple[Mask, Mask]:
    """Who is aligned in the first pass, and below whom somebody is."""
    aligned, below = settled.copy(), np.zeros(len(parent), np.bool_)
    for level in reversed(shape.levels):
        aligned[level] |= would[level] & ~below[level]
        up = parent[level[aligned[level] | below[level]]]
        below[up[up >= 0]] = True
    return aligned, below


def _name_gender(how: Ints, answer: Ints, pairs: Pairs) -> None:
    """An only candidate that was found under another gender is to be named so."""
    by_gender = np.zeros(len(how), np.bool_)
    by_gender[pairs.node[pairs.by_gender]] = True
    how[by_gender & (answer == ALIGNED) & (how == HOW_NUMBER["only candidate"])] = HOW_NUMBER["gender ending"]


def _candidates(
    source: SourceTaxonomy,
    workspace: Workspace,
    names: Names,
    image: Ints,
    shared_ids: Sequence[tuple[int, int]],
    curated: Curated,
) -> tuple[Pairs, Mask]:
    """All pairs that share a name string (primary or synonym) or an id; lone binomials under other genders, too.

    Returns:
        The pairs, and which nodes have a name that is borne too often to make any.
    """
    tree = source.tree
    there_node, there_name = _ordered_handles(workspace)
    rows = tree.synonyms.matching
    node = np.concatenate([np.arange(len(tree), dtype=np.int32), tree.synonyms.node[rows]])
    name = np.concatenate([tree.name, tree.synonyms.name[rows]])
    own = np.arange(len(node)) < len(tree)
    free = image[node] == NONE
    node, name, own = node[free], name[free], own[free]
    named = _Handles(node, name, tree)
    at, other, lost = _matching(named, _Handles(there_node, there_name, workspace.tree))
    crowded = np.zeros(len(tree), np.bool_)
    crowded[node[lost & own]] = True
    with_id = np.array([pair for pair in shared_ids if _is_free(pair, image, workspace)], np.int32).reshape(-1, 2)
    nothing = np.zeros(len(with_id), np.bool_)
    pairs = Pairs.of(
        np.concatenate([node[at], with_id[:, 0]]),
        np.concatenate([there_node[other], with_id[:, 1]]),
        by_own_name=np.r_[own[at], nothing],
        by_id=np.r_[np.zeros(len(at), np.bool_), ~nothing],
        by_gender=np.zeros(len(at) + len(with_id), np.bool_),
        without=set(curated.different),
    )
    without = image == NONE
    without[pairs.node] = False
    lone = np.flatnonzero(without)
    return pairs.joined(_by_gender(lone, source, names, there_node, there_name, curated)), crowded


def _is_free(pair: tuple[int, int], image: Ints, workspace: Workspace) -> bool:
    """Whether a shared id makes a pair: major groups are found, not chosen."""
    return bool(image[pair[0]] == NONE and pair[1] >= workspace.separation)


@dataclass(frozen=True, slots=True)
class _Handles:
    """Names by which nodes of a tree are met: one row each."""

    node: Ints
    name: Ints
    tree: Tree

    def under_parents(self, rows: Mask | Longs) -> Longs:
        """One number for the name and that of the parent, of some rows."""
        parent = self.tree.parent[self.node[rows]]
        above = np.where(parent == NONE, NONE, self.tree.name[parent])
        return (self.name[rows].astype(np.int64) << 32) | (above.astype(np.int64) + 1)


def _matching(ours: _Handles, theirs: _Handles) -> tuple[Longs, Longs, Mask]:
    """Every (row of ours, row of theirs) of equal names; of a crowded name only those below parents of one name.

    Args:
        theirs: ascending by name.

    Returns:
        The pairs, and the rows of ours whose name is crowded even below its parent.
    """
    crowded = _crowded(ours.name, theirs.name)
    plain = np.flatnonzero(~crowded)
    at, other = _join(ours.name[plain], theirs.name)
    at = plain[at]
    if not crowded.any():
        return at, other, crowded
    rows = np.flatnonzero(crowded)
    there = np.flatnonzero(np.isin(theirs.name, ours.name[rows]))
    keys, there_keys = ours.under_parents(rows), theirs.under_parents(there)
    order = np.argsort(there_keys, kind="stable")
    still = _crowded(keys, there_keys[order])
    told = np.flatnonzero(~still)
    more, more_other = _join(keys[told], there_keys[order])
    crowded[rows[told]] = False
    return np.r_[at, rows[told[more]]], np.r_[other, there[order[more_other]]], crowded


def _crowded(wanted: Ints | Longs, ordered: Ints | Longs) -> Mask:
    """Of each value of ``wanted``: whether it makes more pairs than can be looked at; ``ordered`` ascends."""
    there = np.searchsorted(ordered, wanted, "right") - np.searchsorted(ordered, wanted, "left")
    _, where, here = np.unique(wanted, return_inverse=True, return_counts=True)
    crowded: Mask = here[where] * there > _CROWD
    return crowded


def _ordered_handles(workspace: Workspace) -> tuple[Ints, Ints]:
    """Nodes of the workspace and their names, in the order of the names."""
    node, name = workspace.handles()
    order = np.argsort(name, kind="stable")
    return node[order], name[order]


def _by_gender(
    nodes: Longs, source: SourceTaxonomy, names: Names, there_node: Ints, there_name: Ints, curated: Curated
) -> Pairs:
    """Pairs of binomials that nothing else was found for, under other genders of their names."""
    variants, variant_name = _other_genders(source.tree.name, nodes, names)
    at, other = _join(variant_name, there_name)
    yes = np.ones(len(at), np.bool_)
    without = set(curated.different)
    return Pairs.of(variants[at], there_node[other], by_own_name=yes, by_id=~yes, by_gender=yes, without=without)


def _join(wanted: Ints | Longs, ordered: Ints | Longs) -> tuple[Longs, Longs]:
    """Every (index of ``wanted``, index of ``ordered``) with equal values; ``ordered`` ascends."""
    low, high = np.searchsorted(ordered, wanted, "left"), np.searchsorted(ordered, wanted, "right")
    counts = high - low
    at = np.repeat(np.arange(len(wanted)), counts)
    steps = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
    return at, np.repeat(low, counts) + steps


def _other_genders(name: Ints, nodes: Longs, names: Names) -> tuple[Ints, Ints]:
    """Names of binomials with another of the endings -us, -a, -um, where they are known at all."""
    out: list[tuple[int, int]] = []
    find: Callable[[str], int] = names.find
    texts = names.texts
    for node, number in zip(nodes.tolist(), name[nodes].tolist(), strict=True):
        text = texts[number]
        ending = next((e for e in GENDERS if text.endswith(e)), None)
        if ending is None or text.count(" ") != 1:
            continue
        stem = text[: len(text) - len(ending)]
        out += ((node, found) for e in GENDERS if e != ending and (found := find(stem + e)) != NONE)
    table = np.array(out, np.int32).reshape(-1, 2)
    return table[:, 0], table[:, 1]
