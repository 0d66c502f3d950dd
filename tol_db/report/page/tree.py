"""The tree of names from kingdom to family, with how many images and taxa stand below each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tol_db.report.page.squarify import Box, squarify
from tol_db.report.tables import cell

LEVELS = ("kingdom", "phylum", "class", "order", "family")
MOST_LEAVES = 15_000
"""Families that a page holds; smaller ones are shown together. TreeOfLife-10M has some 9,000."""

Counts = tuple[int, ...]
"""One number for each scope: all images, then each split of each dataset."""


@dataclass(slots=True)
class Node:
    """A name and what stands below it.

    Attributes:
        name: "" where the rank has none.
        images: in each scope; taxa: distinct names from kingdom to species in each scope.
        children: of the next rank, by name.
    """

    name: str
    images: Counts
    taxa: Counts
    children: dict[str, Node] = field(default_factory=dict)

    def measure(self, by: str, scope: int) -> int:
        return (self.images if by == "images" else self.taxa)[scope]

    def ordered(self, by: str, scope: int) -> list[Node]:
        """Its children that have any, the largest first."""
        some = [child for child in self.children.values() if child.measure(by, scope)]
        return sorted(some, key=lambda child: (-child.measure(by, scope), child.name))


@dataclass(frozen=True, slots=True)
class Leaf:
    """A family: its path of five names, kingdom first, and its counts."""

    path: tuple[str, ...]
    images: Counts
    taxa: Counts


def build(leaves: Iterable[Leaf], scopes: int, most: int = MOST_LEAVES) -> Node:
    """The tree of these families.

    Args:
        leaves: with distinct paths.
        scopes: how many numbers each count has.
        most: families that are shown as such; of the others, each order has one node together.
    """
    nothing = (0,) * scopes
    root = Node("", nothing, nothing)
    kept = list(leaves)
    if len(kept) > most:
        kept.sort(key=lambda leaf: (-leaf.images[0] - leaf.taxa[0], leaf.path))
        kept[most:] = _together(kept[most:])
    for leaf in sorted(kept, key=lambda leaf: leaf.path):
        node = root
        _add(node, leaf)
        for name in leaf.path:
            node = node.children.setdefault(name, Node(name, nothing, nothing))
            _add(node, leaf)
    return root


def _together(small: Sequence[Leaf]) -> list[Leaf]:
    """One leaf of each order for its smallest families."""
    groups: dict[tuple[str, ...], list[Leaf]] = {}
    for leaf in small:
        groups.setdefault(leaf.path[:-1], []).append(leaf)
    return [
        Leaf(
            (*path, f"({len(group):,} small families)"), _sum(g.images for g in group), _sum(g.taxa for g in group)
        )
        for path, group in groups.items()
    ]


def _sum(counts: Iterable[Counts]) -> Counts:
    return tuple(map(sum, zip(*counts, strict=True)))


def _add(node: Node, leaf: Leaf) -> None:
    node.images = tuple(a + b for a, b in zip(node.images, leaf.images, strict=True))
    node.taxa = tuple(a + b for a, b in zip(node.taxa, leaf.taxa, strict=True))


def shown(name: str, depth: int) -> str:
    """A name as people see it; ``depth`` 0 is a kingdom."""
    return name or f"(no {LEVELS[depth]})"


def as_lists(node: Node) -> list[object]:
    """The tree as JSON carries it: a family is [name, images, taxa], any other [name, children]."""
    name = cell(node.name)
    if not node.children:
        return [name, list(node.images), list(node.taxa)]
    return [name, [as_lists(child) for child in node.children.values()]]


# ------------------------------------------------------------------ laid out


@dataclass(frozen=True, slots=True)
class Style:
    """How a tree becomes rectangles; lengths in the unit of the box.

    Attributes:
        header: height of the band that names an inner node; gap: margin below such a band.
        headed: how many levels, from kingdoms on, get a band where there is room.
        smallest: area below which a node's children are not drawn.
    """

    header: float
    gap: float
    headed: int
    smallest: float


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of the map.

    Attributes:
        path: names from the kingdom on; group: rank of its kingdom by size; parity: tells neighbours apart.
        size: what its area stands for.
        headed: it has a band with its name on top; leaf: nothing is drawn within it.
    """

    path: tuple[str, ...]
    group: int
    parity: int
    size: int
    box: Box
    headed: bool
    leaf: bool


def arrange(root: Node, box: Box, style: Style, by: str = "images", scope: int = 0) -> list[Tile]:
    """All rectangles of a tree, the outer ones first."""
    return list(_arrange(root, box, style, (by, scope), (), 0, 0))


def _arrange(
    node: Node, box: Box, style: Style, what: tuple[str, int], path: tuple[str, ...], group: int, parity: int
) -> Iterator[Tile]:
    children = node.ordered(*what)
    boxes = squarify([child.measure(*what) for child in children], box)
    for index, (child, place) in enumerate(zip(children, boxes, strict=True)):
        here = (*path, child.name)
        group_here = group if path else index
        parity_here = parity + index if len(path) == 1 else parity
        room = place.area >= style.smallest and bool(child.children)
        headed = room and len(path) < style.headed and place.height > 3 * style.header
        size = child.measure(*what)
        yield Tile(here, group_here, parity_here, size, place, headed, not room)
        if room:
            inner = place.inset(style.gap, style.header) if headed else place
            yield from _arrange(child, inner, style, what, here, group_here, parity_here)


def kingdoms(root: Node, by: str = "images", scope: int = 0) -> Mapping[str, int]:
    """Kingdom → its group, as :func:`arrange` numbers them."""
    return {child.name: index for index, child in enumerate(root.ordered(by, scope))}
