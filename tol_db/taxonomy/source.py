"""A source taxonomy on its way into an assembly: its nodes, and what was left out of it on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tol_db.taxonomy.tree import NONE, Ints, Longs, Mask, Shape, Tree, shape_of

RULES: Final = ("fold-sibling-homonyms", "major-rank-conflict", "name-flags")
"""Rules that a source is read with, beside those that hold for all."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A node that normalisation took out of its tree.

    Attributes:
        reason: ``container``, ``folded``, ``pruned``.
        into: row that stands for it (folded), or to which its members went (container); -1 for the root.
        detail: why, where that is not plain.
    """

    reason: str
    into: int
    detail: str | None = None


@dataclass(slots=True)
class SourceTaxonomy:
    """What one source says.

    Attributes:
        idspace: prefix of its ids: ``ncbi``.
        tree: the nodes that are in, in the order of their keys.
        row: of each node: its row among all that the source has; ``keys[row]`` is its id.
        keys: the source's own ids, all rows, ascending as texts.
        rules: of :data:`RULES`.
        aliases: other ids of the source → the id that stands for them now.
        source_ids: qualified ids of other taxonomies that a row lists (``sourceinfo`` of interim files).
        left: rows that normalisation took out.
        highest_retired: the highest number among ids that were given up; none of them is given again.
    """

    idspace: str
    tree: Tree
    row: Ints
    keys: list[str]
    rules: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    source_ids: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    left: dict[int, LeftOut] = field(default_factory=dict)
    highest_retired: int = 0

    def shape(self) -> Shape:
        """How its nodes hang together."""
        return shape_of(self.tree.parent)

    def qualified(self, node: int) -> str:
        """``idspace:id`` of a node."""
        return f"{self.idspace}:{self.keys[self.row[node]]}"

    def node_of(self, key: str) -> int:
        """The node of an id of the source, or of what stands for it; -1 where it is not (or no longer) in."""
        row = self.row_of(key)
        return NONE if row == NONE else self.node_of_row(row)

    def row_of(self, key: str) -> int:
        """The row of an id, other ids of the source included; -1 where there is none."""
        return find_key(self.keys, self.aliases.get(key, key))

    def node_of_row(self, row: int) -> int:
        """The node of a row; of a folded one that which stands for it; -1 where it is not in."""
        while row != NONE and row in self.left and self.left[row].reason == "folded":
            row = self.left[row].into
        at = int(np.searchsorted(self.row, np.int32(row)))
        return at if row != NONE and at < len(self.row) and self.row[at] == row else NONE

    def take_out(self, out: Mask, left: dict[int, LeftOut]) -> Longs:
        """Remove nodes; whoever calls has seen to their children and synonyms.

        Returns:
            Shape (nodes before + 1,): new number of each node, -1 of those taken out; the last stands for -1.
        """
        tree = self.tree
        new = np.full(len(tree) + 1, NONE, np.int64)
        stays = np.flatnonzero(~out)
        new[stays] = np.arange(len(stays))
        if (new[tree.parent[stays]][tree.parent[stays] >= 0] == NONE).any():
            raise ValueError("a node that is taken out still has children")
        rows = new[tree.synonyms.node] != NONE
        tree.synonyms.keep(rows)
        tree.synonyms.node = new[tree.synonyms.node].astype(np.int32)
        tree.parent = new[tree.parent[stays]].astype(np.int32)
        tree.name, tree.rank, tree.flags = tree.name[stays], tree.rank[stays], tree.flags[stays]
        self.row = self.row[stays]
        self.left.update(left)
        return new


def find_key(keys: list[str], key: str) -> int:
    """Where a text stands in an ascending list, or -1."""
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low if low < len(keys) and keys[low] == key else NONE
