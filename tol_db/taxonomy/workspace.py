"""The union so far: what an assembly grows, source by source.

It begins as the separation tree, whose nodes stand in it without a source until one aligns to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tol_db.taxonomy.tree import NONE, Ints, Mask, Shape, Synonyms, Tree, inherited, shape_of

_Numbers = Sequence[int] | npt.NDArray[np.integer[Any]]

SEPARATION: Final = "separation"
"""Id space of the separation tree."""


@dataclass(slots=True)
class Ids:
    """Which source nodes the workspace's nodes stand for, one row each, in order of priority.

    Attributes:
        node: of the workspace.
        source: number of the source, 0 for the separation tree.
        row: row of the source, see :class:`~tol_db.taxonomy.source.SourceTaxonomy`.
        how: index into :data:`tol_db.taxonomy.decision.HOW`.
    """

    node: Ints
    source: Ints
    row: Ints
    how: Ints

    def add(self, node: _Numbers, source: int, row: _Numbers, how: _Numbers) -> None:
        """Append rows of one source."""
        self.node = np.concatenate([self.node, np.asarray(node, np.int32)])
        self.source = np.concatenate([self.source, np.full(len(node), source, np.int32)])
        self.row = np.concatenate([self.row, np.asarray(row, np.int32)])
        self.how = np.concatenate([self.how, np.asarray(how, np.int32)])


@dataclass(slots=True)
class Workspace:
    """The union.

    Attributes:
        tree: its nodes; they only become more until the end.
        separation: how many of them, the first, are those of the separation tree.
        backed: whether a source stands behind each node.
        ids: provenance.
        disjoint: shape (separation nodes, separation nodes): neither is within the other.
        separation_names: of each separation node: the numbers of its names, the primary one first.
    """

    tree: Tree
    separation: int
    backed: Mask
    ids: Ids
    disjoint: Mask
    separation_names: dict[int, list[int]] = field(default_factory=dict)

    def division(self, shape: Shape) -> Ints:
        """Of each node: the smallest separation taxon that holds it (itself, if it is one); -1 where none does."""
        own = np.full(len(self.tree), NONE, np.int32)
        own[: self.separation] = np.arange(self.separation, dtype=np.int32)
        return inherited(self.tree.parent, shape, own)

    def shape(self) -> Shape:
        """How its nodes hang together now."""
        return shape_of(self.tree.parent)

    def handles(self) -> tuple[Ints, Ints]:
        """All (node, name) by which a node can be met; separation nodes are met otherwise."""
        tree, first = self.tree, self.separation
        rows = tree.synonyms.matching & (tree.synonyms.node >= first)
        node = np.concatenate([np.arange(first, len(tree), dtype=np.int32), tree.synonyms.node[rows]])
        return node, np.concatenate([tree.name[first:], tree.synonyms.name[rows]])


def begin(tree: Tree) -> Workspace:
    """A workspace that holds the separation tree alone. Its names are kept aside: sources bring their own."""
    shape = shape_of(tree.parent)
    names: dict[int, list[int]] = {node: [int(name)] for node, name in enumerate(tree.name)}
    for node, name in zip(tree.synonyms.node.tolist(), tree.synonyms.name.tolist(), strict=True):
        names[node].append(name)
    place, end = shape.place, shape.place + shape.size
    within = (place[:, None] >= place[None, :]) & (place[:, None] < end[None, :])
    total = len(tree)
    ids = Ids(*(np.zeros(0, np.int32) for _ in range(4)))
    ids.add(np.arange(total), 0, np.arange(total), np.zeros(total, np.int32))
    return Workspace(
        Tree(tree.parent.copy(), tree.name.copy(), tree.rank.copy(), np.zeros(total, np.uint32), Synonyms.none()),
        total,
        np.zeros(total, np.bool_),
        ids,
        ~(within | within.T),
        names,
    )
