"""Major groups that keep homonyms apart: which nodes of a source they are.

*Fritillaria* is a lily and a tunicate. A small curated tree of major groups goes into every assembly first; a name
below one of them is never aligned to the same name below another that lies apart from it (Rees & Cranston 2017,
"Separation taxonomy").
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np

from tol_db.taxonomy.ranks import rank_level
from tol_db.taxonomy.source import SourceTaxonomy
from tol_db.taxonomy.tree import NONE, Ints, Shape, inherited
from tol_db.taxonomy.workspace import Workspace

_GENUS: Final = rank_level("genus")


def found_in(
    source: SourceTaxonomy, shape: Shape, workspace: Workspace, listed: Collection[tuple[int, int]] = ()
) -> Ints:
    """Which separation taxon each node of a source is.

    Of several nodes that bear a name of one (a synonym counts) it is that which lists its id; else the most
    rootward, then one below the node of a group that holds it, then the largest. It is never a genus or what is
    below. Names that come under a group apart from theirs are passed over.

    Args:
        listed: (node, separation taxon) where an earlier assembly said so.

    Returns:
        Shape (nodes,): node of the workspace, or -1.
    """
    tree = source.tree
    bearers = _bearers(source, workspace)
    image = np.full(len(tree), NONE, np.int32)
    told = set(listed)
    found: dict[int, int] = {}
    up = workspace.tree.parent
    for group in sorted(bearers, key=lambda group: (_depth(up, group), group)):
        free = [node for node in bearers[group] if image[node] == NONE]
        if free:
            above = int(up[group])
            while above != NONE and above not in found:
                above = int(up[above])
            holder = found.get(above, NONE)
            said = [node for node in free if (node, group) in told]
            node = min(
                said or free, key=lambda n: (shape.depth[n], not _within(shape, n, holder), -shape.size[n], n)
            )
            image[node], found[group] = group, node
    for level in shape.levels[1:]:  # from the root down: a wrong one must not speak for those below it
        for node in level[image[level] != NONE].tolist():
            above = _nearest(tree.parent, image, int(tree.parent[node]))
            if above != NONE and workspace.disjoint[image[node], above]:
                image[node] = NONE
    return image


def _depth(parent: Ints, node: int) -> int:
    depth = 0
    while (node := int(parent[node])) != NONE:
        depth += 1
    return depth


def _within(shape: Shape, node: int, holder: int) -> bool:
    """Whether a node is below another, or nothing is asked (-1)."""
    return holder == NONE or bool(0 <= shape.place[node] - shape.place[holder] < shape.size[holder])


def divisions(source: SourceTaxonomy, shape: Shape, image: Ints) -> Ints:
    """Of each node: the smallest separation taxon that holds it, itself counted; -1 where none does."""
    return inherited(source.tree.parent, shape, image)


def _bearers(source: SourceTaxonomy, workspace: Workspace) -> dict[int, list[int]]:
    tree = source.tree
    high = tree.rank < _GENUS  # no rank, too
    groups: dict[int, int] = {}
    for group, names in workspace.separation_names.items():
        for name in names:
            groups.setdefault(name, group)
    wanted = np.fromiter(groups, np.int32)
    synonyms = tree.synonyms
    by_synonym = np.isin(synonyms.name, wanted) & synonyms.matching
    primary = np.flatnonzero(np.isin(tree.name, wanted))
    pairs = list(zip(primary.tolist(), tree.name[primary].tolist(), strict=True))
    pairs += zip(synonyms.node[by_synonym].tolist(), synonyms.name[by_synonym].tolist(), strict=True)
    bearers: dict[int, list[int]] = {}
    for node, name in pairs:
        if high[node]:
            bearers.setdefault(groups[name], []).append(node)
    return bearers


def _nearest(parent: Ints, image: Ints, node: int) -> int:
    while node != NONE and image[node] == NONE:
        node = int(parent[node])
    return NONE if node == NONE else int(image[node])
