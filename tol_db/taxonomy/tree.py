"""A taxonomy in memory: arrays over node numbers, not an object for each of millions of nodes.

A node is its number; ``parent[node]`` is the number of its parent, -1 at a root. Names are numbers, too: a text
stands once in :class:`Names`, however many nodes and synonyms of however many taxonomies bear it, so that "the same
name" is the comparison of two integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Flags = npt.NDArray[np.uint32]

NONE: Final = -1
"""No node: the parent of a root, the image of what is not aligned."""


class Names:
    """Texts and their numbers, from 0 in the order in which they were first met.

    Attributes:
        texts: by number.
        not_ascii: the numbers of those with other letters, ascending.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.not_ascii: list[int] = []
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.texts)

    def number(self, text: str) -> int:
        """The number of a text, a new one where it has none."""
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self.texts)
            self.texts.append(text)
            if not text.isascii():
                self.not_ascii.append(number)
        return number

    def numbers(self, texts: Iterable[str]) -> Ints:
        """The numbers of texts, in their order."""
        return np.fromiter(map(self.number, texts), np.int32)

    def find(self, text: str) -> int:
        """The number of a text, or -1."""
        return self._numbers.get(text, NONE)


@dataclass(slots=True)
class Synonyms:
    """Other names of nodes, one row each.

    Attributes:
        node, name: numbers.
        kind: index into ``kinds``.
        matching: whether the name tells which taxon is meant (an authority or type material does not).
        source, row: who says so: number of a source in an assembly and the row of its taxon; -1 where nobody is
        named.
        kinds: the words that sources use.
    """

    node: Ints
    name: Ints
    kind: Ints
    matching: Mask
    source: Ints
    row: Ints
    kinds: list[str]

    @classmethod
    def none(cls) -> Synonyms:
        """No rows."""
        return cls(empty(), empty(), empty(), np.zeros(0, np.bool_), empty(), empty(), [])

    def add(
        self,
        node: Sequence[int] | npt.NDArray[np.integer[Any]],
        name: Sequence[int] | npt.NDArray[np.integer[Any]],
        kind: str,
        *,
        matching: bool = True,
        source: int = NONE,
        row: Ints | None = None,
    ) -> None:
        """Append rows of one kind."""
        if kind not in self.kinds:
            self.kinds.append(kind)
        rows = len(node)
        self.node = np.concatenate([self.node, np.asarray(node, np.int32)])
        self.name = np.concatenate([self.name, np.asarray(name, np.int32)])
        self.kind = np.concatenate([self.kind, np.full(rows, self.kinds.index(kind), np.int32)])
        self.matching = np.concatenate([self.matching, np.full(rows, matching)])
        self.source = np.concatenate([self.source, np.full(rows, source, np.int32)])
        self.row = np.concatenate([self.row, np.full(rows, NONE, np.int32) if row is None else row])

    def keep(self, rows: Mask | Longs) -> None:
        """Drop all other rows, or put them into another order."""
        self.node, self.name, self.kind = self.node[rows], self.name[rows], self.kind[rows]
        self.matching, self.source, self.row = self.matching[rows], self.source[rows], self.row[rows]


@dataclass(slots=True)
class Tree:
    """Nodes of a taxonomy.

    Attributes:
        parent: the number of each node's parent, or -1.
        name: number of its primary name.
        rank: level, see :mod:`tol_db.taxonomy.ranks`.
        flags: bits of :mod:`tol_db.taxonomy.flags`.
        synonyms: other names.
    """

    parent: Ints
    name: Ints
    rank: Ints
    flags: Flags
    synonyms: Synonyms = field(default_factory=Synonyms.none)

    def __len__(self) -> int:
        return len(self.parent)


@dataclass(frozen=True, slots=True)
class Shape:
    """How a tree hangs together, computed once for a given array of parents.

    Attributes:
        levels: node numbers by depth, roots first; within a level siblings stand together, in the order of their
            numbers.
        depth: of each node, 0 at roots.
        size: nodes of its subtree, itself included.
        place: its number in preorder; the subtree of n is ``place[n] … place[n] + size[n] - 1``.
        children: all nodes that have a parent, grouped by it.
        first: where the children of each node begin in ``children``; shape (nodes + 1,).
    """

    levels: list[Ints]
    depth: Ints
    size: Ints
    place: Ints
    children: Ints
    first: Ints

    def children_of(self, node: int) -> Ints:
        """The children of a node, in the order of their numbers."""
        return self.children[self.first[node] : self.first[node + 1]]

    @property
    def is_tip(self) -> Mask:
        """Whether each node has no child."""
        tips: Mask = self.first[1:] == self.first[:-1]
        return tips

    def by_place(self) -> Ints:
        """Node numbers in preorder."""
        order = empty(len(self.place))
        order[self.place] = np.arange(len(self.place), dtype=np.int32)
        return order


class Cyclic(ValueError):
    """A node is its own ancestor.

    Attributes:
        nodes: the numbers of the nodes of one cycle, each the parent of the one before it.
    """

    def __init__(self, nodes: list[int]) -> None:
        super().__init__(f"a cycle of {len(nodes)} nodes")
        self.nodes = nodes


def empty(size: int = 0) -> Ints:
    """An array of numbers, not initialised."""
    return np.empty(size, np.int32)


def shape_of(parent: Ints) -> Shape:
    """The shape of a tree, or of several.

    Raises:
        Cyclic: a node is its own ancestor.
    """
    total = len(parent)
    children = np.argsort(parent, kind="stable").astype(np.int32)
    roots = int(np.searchsorted(parent[children], 0))
    first = np.searchsorted(parent[children], np.arange(total + 1)).astype(np.int32)
    depth = np.full(total, NONE, np.int32)
    levels: list[Ints] = []
    level = children[:roots]
    while len(level):
        depth[level] = len(levels)
        levels.append(level)
        level = children[ranges(first[level], first[level + 1])]
    if sum(map(len, levels)) < total:
        raise Cyclic(_cycle(parent, int(np.flatnonzero(depth == NONE)[0])))
    size = np.ones(total, np.int32)
    for level in reversed(levels[1:]):
        np.add.at(size, parent[level], size[level])
    place = _places(parent, levels, size)
    return Shape(levels, depth, size, place, children[roots:], first - roots)


def _places(parent: Ints, levels: list[Ints], size: Ints) -> Ints:
    place = empty(len(parent))
    for depth, level in enumerate(levels):
        before = np.cumsum(size[level]) - size[level]
        if not depth:
            place[level] = before
            continue
        above = parent[level]
        begins = np.flatnonzero(np.r_[True, above[1:] != above[:-1]])
        within = before - np.repeat(before[begins], np.diff(np.r_[begins, len(level)]))
        place[level] = place[above] + 1 + within
    return place


def _cycle(parent: Ints, node: int) -> list[int]:
    seen: dict[int, int] = {}
    while node not in seen:
        seen[node] = len(seen)
        node = int(parent[node])
    return list(seen)[seen[node] :]


def ranges(begin: Ints, end: Ints) -> Longs:
    """The numbers of several ranges one after the other: ``begin[0] … end[0] - 1, begin[1] …``."""
    counts = (end - begin).astype(np.int64)
    steps = np.arange(counts.sum(), dtype=np.int64)
    numbers: Longs = steps + np.repeat(begin - np.r_[0, np.cumsum(counts)[:-1]], counts)
    return numbers


def inherited(parent: Ints, shape: Shape, own: Ints) -> Ints:
    """What each node has of its own, else its nearest ancestor: the value, or -1 where none has one."""
    value = own.copy()
    for level in shape.levels[1:]:
        without = level[value[level] == NONE]
        value[without] = value[parent[without]]
    return value


def any_below(parent: Ints, shape: Shape, own: Mask) -> Mask:
    """Whether a descendant of each node, itself not counted, has a property."""
    below = np.zeros(len(parent), np.bool_)
    for level in reversed(shape.levels[1:]):
        having = level[own[level] | below[level]]
        below[parent[having]] = True
    return below
