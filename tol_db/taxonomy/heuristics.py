"""What speaks for and against a candidate: the heuristics of the alignment, in their order.

After Rees & Cranston 2017, "Choosing among candidates". Each gives a pair of source node and candidate 2 or 1
(yes), 0 (no information) or -1 (no). *Separation* and *ranks* are asked of every pair; what they leave is asked
further:

1. **separation**: the smallest major groups that hold the two lie apart → no.
2. **ranks**: genus or below against family or above → no.
3. **lineage**, for species and genera: the quasiparent of either (its nearest ancestor whose name does not begin
   its own) bears a name of an ancestor of the other → yes. Major groups do not count: everything shares them.
4. **overlap**: a descendant of the node is aligned to a descendant of the candidate → yes; all of them → 2.
5. **proximity**: the smallest major group is the same → yes, else no; no information where one is in none.
6. **same name** (primary), 7. **same id**, 8. **same rank** → yes.

A *no* removes. A single best *yes* decides. One that is left where there were several is the match, whatever a
later heuristic would say of it. The best being *no*, the node is refused: it is another taxon of that name.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tol_db.taxonomy.decision import ALIGNED, AMBIGUOUS, HOW_NUMBER, REFUSED
from tol_db.taxonomy.ranks import rank_level
from tol_db.taxonomy.tree import NONE, Ints, Longs, Mask, Names, Shape, Tree

Scores = npt.NDArray[np.int8]

_FAMILY_END: Final = rank_level("genus")
_SPECIES: Final = rank_level("species")
_OUT: Final = -9
GENDERS: Final = ("us", "a", "um")
"""Endings of adjectives: the name of a species moves with the gender of its genus."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Candidates, ascending by node, then candidate; each pair once.

    Attributes:
        node, candidate: of the source, of the workspace.
        by_own_name: found by the node's primary name (or another gender of it).
        by_id: they list the same id.
        by_gender: found under another gender only.
    """

    node: Ints
    candidate: Ints
    by_own_name: Mask
    by_id: Mask
    by_gender: Mask

    def __len__(self) -> int:
        return len(self.node)

    @classmethod
    def of(
        cls,
        node: Ints,
        candidate: Ints,
        *,
        by_own_name: Mask,
        by_id: Mask,
        by_gender: Mask,
        without: AbstractSet[tuple[int, int]] = frozenset(),
    ) -> Pairs:
        """Sort, and join what is found in several ways."""
        key = (node.astype(np.int64) << 32) | candidate
        keys, first, where = np.unique(key, return_index=True, return_inverse=True)
        flags = []
        for given in (by_own_name, by_id, by_gender):
            joined = np.zeros(len(keys), np.bool_)
            joined[where[given]] = True
            flags.append(joined)
        pairs = cls(node[first].astype(np.int32), candidate[first].astype(np.int32), *flags)
        if without:
            forbidden = np.fromiter(((n << 32) | c for n, c in without), np.int64)
            pairs = pairs.only(~np.isin(keys, forbidden))
        return pairs

    def only(self, rows: Mask | Longs) -> Pairs:
        """Some of them, in the same order."""
        return Pairs(
            self.node[rows], self.candidate[rows], self.by_own_name[rows], self.by_id[rows], self.by_gender[rows]
        )

    def joined(self, other: Pairs) -> Pairs:
        """Both; of different nodes."""
        if not len(other):
            return self
        both = [
            np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("node", "candidate", "by_own_name", "by_id", "by_gender")
        ]
        return Pairs(*both).only(np.lexsort((both[1], both[0])))

    def keys(self) -> Longs:
        """One ascending number for each pair."""
        return (self.node.astype(np.int64) << 32) | self.candidate


@dataclass(frozen=True, slots=True)
class Side:
    """The source, or the workspace: its tree, shape, divisions, and which nodes are major groups themselves."""

    tree: Tree
    shape: Shape
    division: Ints
    is_group: Mask


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for the nodes of some pairs.

    Attributes:
        node: the nodes, ascending.
        image: the candidate that won, or -1.
        answer, how: see :mod:`tol_db.taxonomy.decision`.
    """

    node: Ints
    image: Ints
    answer: Ints
    how: Ints

    def answer_of(self, total: int) -> Ints:
        """Shape (total,): the answer for each node of the source; 0 of those that had no pair."""
        answers = np.zeros(total, np.int32)
        answers[self.node] = self.answer
        return answers

    def enter(self, image: Ints, answer: Ints, how: Ints, *, where: Mask) -> None:
        """Write the answers of the nodes that a mask names into arrays over all nodes."""
        rows = where[self.node]
        nodes = self.node[rows]
        image[nodes], answer[nodes], how[nodes] = self.image[rows], self.answer[rows], self.how[rows]


def stem(text: str) -> str:
    """A name without the ending that tells its gender."""
    return next((text.removesuffix(ending) for ending in GENDERS if text.endswith(ending)), text)


class Assessment:
    """Asks the heuristics about pairs."""

    def __init__(self, here: Side, there: Side, disjoint: Mask, names: Names, pairs: Pairs) -> None:
        self.here, self.there, self.names, self.pairs = here, there, names, pairs
        self.disjoint = disjoint
        self._ask_all()

    def _ask_all(self) -> None:
        pairs, here, there = self.pairs, self.here, self.there
        ours, theirs = here.division[pairs.node], there.division[pairs.candidate]
        known = (ours >= 0) & (theirs >= 0)
        apart = known.copy()
        apart[known] = self.disjoint[ours[known], theirs[known]]
        self.separation = -apart.astype(np.int8)
        rank, other = here.tree.rank[pairs.node], there.tree.rank[pairs.candidate]
        low, other_low = rank >= _FAMILY_END, other >= _FAMILY_END
        self.ranks = -((rank >= 0) & (other >= 0) & (low != other_low)).astype(np.int8)
        own_name, other_name = here.tree.name[pairs.node], there.tree.name[pairs.candidate]
        self.same_name = (own_name == other_name).astype(np.int8)
        for row in np.flatnonzero(pairs.by_gender).tolist():
            texts = self.names.texts
            self.same_name[row] = stem(texts[own_name[row]]) == stem(texts[other_name[row]])
        self.same_rank = ((rank == other) & (rank >= 0)).astype(np.int8)
        proximity = np.where(known, np.where(ours == theirs, 1, -1), 0).astype(np.int8)
        # A binomial that stands in both, below groups of which one holds the other, is not held to be two species
        # because one source leaves out the order: nobody names two insects alike.
        spared = (proximity < 0) & ~apart & (rank >= _SPECIES) & (self.same_name > 0)
        proximity[spared] = 0
        self.proximity = proximity

    def without_borrowed_names(self) -> Pairs:
        """Drop pairs that rest on a synonym of the node while another node bears that name itself.

        A source that lists "A" as a synonym of B beside its own taxon A does not say that B is A: the name is used
        for both (misapplied, pro parte), and the taxon A of others is its A.
        """
        pairs = self.pairs
        asked = (self.separation >= 0) & (self.ranks >= 0)
        claimed = np.zeros(len(self.there.tree), np.bool_)
        claimed[pairs.candidate[asked & (self.same_name > 0)]] = True
        borrowed = ~pairs.by_own_name & ~pairs.by_id & claimed[pairs.candidate]
        if borrowed.any():
            self.pairs = pairs.only(~borrowed)
            self._ask_all()
        return self.pairs

    def choose(self, rows: Longs, *, overlap: Callable[[Pairs], Scores] | None) -> Choice:
        """Choose among the candidates of all nodes that some pairs belong to.

        Args:
            rows: of the pairs, ascending, all pairs of a node or none.
            overlap: scores of heuristic 4, where there is something to overlap.
        """
        pairs = self.pairs.only(rows)
        poll = _Poll(pairs.node)
        poll.ask(HOW_NUMBER["separation"], self.separation[rows], settle=False)
        poll.ask(HOW_NUMBER["ranks"], self.ranks[rows], settle=False)
        poll.settle_lone_survivors()
        proximity = self.proximity[rows]
        doubtful = poll.open_pairs(lone_if=proximity < 0)
        poll.ask(HOW_NUMBER["lineage"], self._lineage(pairs, doubtful))
        if overlap is not None:
            poll.ask(HOW_NUMBER["overlap"], overlap(pairs))
        poll.ask(HOW_NUMBER["proximity"], proximity)
        poll.ask(HOW_NUMBER["same name"], self.same_name[rows])
        poll.ask(HOW_NUMBER["same id"], pairs.by_id.astype(np.int8))
        poll.ask(HOW_NUMBER["same rank"], self.same_rank[rows])
        return poll.result(pairs, HOW_NUMBER["only candidate"])

    def _lineage(self, pairs: Pairs, where: Mask) -> Scores:
        """Heuristic 3, of the pairs that a mask names."""
        scores = np.zeros(len(pairs), np.int8)
        at = np.flatnonzero(where & (self.here.tree.rank[pairs.node] >= _FAMILY_END))
        if not len(at):
            return scores
        node, candidate = pairs.node[at], pairs.candidate[at]
        ours = _quasiparents(node, self.here, self.names)
        theirs = _quasiparents(candidate, self.there, self.names)
        keys = self.pairs.keys()
        yes = _among_ancestors(candidate, self.there.tree, ours, self.here.tree, keys, own_first=True)
        yes |= _among_ancestors(node, self.here.tree, theirs, self.there.tree, keys, own_first=False)
        scores[at] = yes
        return scores


class _Poll:
    """The state of a choice: which pairs are still in, and what is decided."""

    def __init__(self, node: Ints) -> None:
        self.begin = np.flatnonzero(np.r_[True, node[1:] != node[:-1]]) if len(node) else np.zeros(0, np.int64)
        self.group = np.repeat(np.arange(len(self.begin)), np.diff(np.r_[self.begin, len(node)]))
        self.alive = np.ones(len(node), np.bool_)
        self.several = self._counts() > 1
        self.how = np.full(len(self.begin), NONE, np.int32)
        self.decided = np.zeros(len(self.begin), np.bool_)
        self.refused = np.zeros(len(self.begin), np.bool_)
        self.reduced_by = np.full(len(self.begin), NONE, np.int32)

    def _counts(self) -> Longs:
        if not len(self.begin):
            return np.zeros(0, np.int64)
        return np.add.reduceat(self.alive.astype(np.int64), self.begin)

    def ask(self, how: int, scores: Scores, *, settle: bool = True) -> None:
        """One heuristic, of all nodes that are not decided.

        Args:
            settle: whether the last one left of several is the match already.
        """
        if not len(self.begin):
            return
        still = ~self.decided & ~self.refused
        standing = np.where(self.alive, scores, _OUT)
        best = np.maximum.reduceat(standing, self.begin)
        refused = still & (best == -1)
        self.refused |= refused
        self.how[refused] = how
        asked = (still & ~refused)[self.group]
        before = self._counts()
        self.alive &= ~asked | (standing == best[self.group])
        left = self._counts()
        self.reduced_by[still & (left < before)] = how
        sure = still & ~refused & (left == 1)
        decided = sure & ((best > 0) | (self.several if settle else False))
        self.how[decided] = how
        self.decided |= decided

    def settle_lone_survivors(self) -> None:
        """Those of which one of several is left after the heuristics that were asked so far are decided."""
        lone = ~self.decided & ~self.refused & self.several & (self._counts() == 1)
        self.how[lone] = self.reduced_by[lone]
        self.decided |= lone

    def open_pairs(self, *, lone_if: Mask) -> Mask:
        """Pairs of nodes with several candidates left, and lone ones where a mask says so."""
        still = ~self.decided & ~self.refused
        several = self._counts() > 1
        return self.alive & still[self.group] & (several[self.group] | lone_if)

    def result(self, pairs: Pairs, only_candidate: int) -> Choice:
        """One left is the match; several are ambiguous."""
        node = pairs.node[self.begin]
        left = self._counts()
        matched = ~self.refused & (left == 1)
        self.how[matched & ~self.decided] = only_candidate
        image = np.full(len(node), NONE, np.int32)
        winner = self.alive & matched[self.group]
        image[self.group[winner]] = pairs.candidate[winner]
        answer = np.where(self.refused, REFUSED, np.where(matched, ALIGNED, AMBIGUOUS)).astype(np.int32)
        self.how[answer == AMBIGUOUS] = NONE
        return Choice(node, image, answer, self.how)


def _quasiparents(nodes: Ints, side: Side, names: Names) -> Ints:
    """Of each node: the nearest ancestor whose name does not begin its own; -1 where that is a major group."""
    used, where = np.unique(nodes, return_inverse=True)
    texts, name, parent = names.texts, side.tree.name, side.tree.parent
    out = np.full(len(used), NONE, np.int32)
    for at, node in enumerate(used.tolist()):
        text = texts[name[node]]
        above = int(parent[node])
        while above != NONE and text.startswith(texts[name[above]]):
            above = int(parent[above])
        if above != NONE and not side.is_group[above]:
            out[at] = above
    return out[where]


def _among_ancestors(nodes: Ints, tree: Tree, wanted: Ints, other: Tree, keys: Longs, *, own_first: bool) -> Mask:
    """Whether an ancestor of each node bears a name of a node of the other tree: the same primary name, or any
    name that makes them candidates of each other."""
    found = np.zeros(len(nodes), np.bool_)
    ancestor = tree.parent[nodes]
    rows = np.flatnonzero((ancestor != NONE) & (wanted != NONE))
    while len(rows):
        up, want = ancestor[rows], wanted[rows]
        hit = tree.name[up] == other.name[want]
        one, two = (want, up) if own_first else (up, want)
        key = (one.astype(np.int64) << 32) | two
        at = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        found[rows[hit | (keys[at] == key)]] = True
        ancestor[rows] = tree.parent[up]
        rows = rows[~found[rows] & (ancestor[rows] != NONE)]
    return found


def overlap_scores(here: Side, there: Side, image: Ints) -> Callable[[Pairs], Scores]:
    """Heuristic 4, given what the first pass aligned.

    Returns:
        A function of pairs: 2 where all aligned descendants of the node lie below the candidate, 1 where some do.
    """
    shape, total = here.shape, len(image)
    place = np.where(image != NONE, there.shape.place[image], NONE)
    far = np.iinfo(np.int32).max
    least = np.full(total + 1, far, np.int64)
    most = np.full(total + 1, NONE, np.int64)
    for level in reversed(shape.levels[1:]):
        up, own = here.tree.parent[level], place[level]
        np.minimum.at(least, up, np.minimum(least[level], np.where(own >= 0, own, far)))
        np.maximum.at(most, up, np.maximum(most[level], own))
    in_order = place[shape.by_place()]

    def scores(pairs: Pairs) -> Scores:
        begin = there.shape.place[pairs.candidate] + 1
        end = begin + there.shape.size[pairs.candidate] - 1
        low, high = least[pairs.node], most[pairs.node]
        inside = (low >= begin) & (high < end)
        touching = ~inside & (low < end) & (high >= begin)
        out = np.where(inside, 2, 0).astype(np.int8)
        for row in np.flatnonzero(touching).tolist():
            node = pairs.node[row]
            below = in_order[shape.place[node] + 1 : shape.place[node] + shape.size[node]]
            out[row] = bool(((below >= begin[row]) & (below < end[row])).any())
        return out

    return scores
