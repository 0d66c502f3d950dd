"""Major groups that keep homonyms apart: which nodes of a source they are.

*Fritillaria* is a lily and a tunicate. A small curated tree of major groups goes into every assembly first; a name
below one of them is never aligned to the same name below another that lies apart from it (Rees & Cranston 2017,
"Separation taxonomy").
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tol_db.taxonomy.ranks import rank_level
from tol_db.taxonomy.source import SourceTaxonomy
from tol_db.taxonomy.tree import NONE, Ints, Shape, inherited
from tol_db.taxonomy.workspace import Workspace

_GENUS: Final = rank_level("genus")


def found_in(source: SourceTaxonomy, shape: Shape, workspace: Workspace) -> Ints:
    """Which separation taxon each node of a source is.

    Of several nodes that bear a name of one (a synonym counts) it is the most rootward, then the largest; never a
    genus or what is below. Names that come under a group apart from theirs are passed over.

    Returns:
        Shape (nodes,): node of the workspace, or -1.
    """
    tree = source.tree
    bearers = _bearers(source, workspace)
    image = np.full(len(tree), NONE, np.int32)
    for group, nodes in bearers.items():
        free = [node for node in nodes if image[node] == NONE]
        if free:
            image[min(free, key=lambda n: (shape.depth[n], -shape.size[n], n))] = group
    for level in shape.levels[1:]:  # from the root down: a wrong one must not speak for those below it
        for node in level[image[level] != NONE].tolist():
            above = _nearest(tree.parent, image, int(tree.parent[node]))
            if above != NONE and workspace.disjoint[image[node], above]:
                image[node] = NONE
    return image


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
    return dict(sorted(bearers.items()))


def _nearest(parent: Ints, image: Ints, node: int) -> int:
    while node != NONE and image[node] == NONE:
        node = int(parent[node])
    return NONE if node == NONE else int(image[node])
