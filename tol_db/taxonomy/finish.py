"""From the workspace to the result: what nobody backs goes, roots join, flags are inferred, nodes are ordered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tol_db.taxonomy import flags
from tol_db.taxonomy.flags import BITS
from tol_db.taxonomy.tree import NONE, Ints, Longs, Names, shape_of
from tol_db.taxonomy.workspace import Workspace


def drop_unbacked(workspace: Workspace) -> None:
    """Take out of the tree (not yet of the arrays) nodes of the separation tree that no source has.

    One that holds several backed branches apart stays: without it they would be roots. One that holds a single
    branch, or none, goes: ``backed`` says which are left afterwards, the parents lead past the others.
    """
    tree, shape = workspace.tree, workspace.shape()
    parent = tree.parent
    for level in reversed(shape.levels):
        for node in level[level < workspace.separation].tolist():
            if workspace.backed[node]:
                continue
            below = np.flatnonzero((parent == node) & workspace.backed)
            if len(below) > 1:
                workspace.backed[node] = True
            else:
                parent[below] = parent[node]
                parent[node] = NONE


def join_roots(workspace: Workspace) -> list[int]:
    """Hang all roots but that of the largest tree under it, as unplaced; returns them."""
    tree, shape = workspace.tree, workspace.shape()
    roots = [int(node) for node in shape.levels[0] if workspace.backed[node]] if shape.levels else []
    if len(roots) < 2:
        return []
    biggest = max(roots, key=lambda node: (int(shape.size[node]), -node))
    left_over = [node for node in roots if node != biggest]
    tree.parent[left_over] = biggest
    tree.flags[left_over] |= np.uint32(BITS["unplaced"])
    return left_over


def sort_provenance(workspace: Workspace) -> None:
    """Rows of provenance by node, then source in order of priority (the separation tree last), then id."""
    ids = workspace.ids
    order = np.lexsort((ids.row, np.where(ids.source == 0, np.iinfo(np.int32).max, ids.source), ids.node))
    ids.node, ids.source, ids.row, ids.how = ids.node[order], ids.source[order], ids.row[order], ids.how[order]


def compact(workspace: Workspace, names: Names) -> Ints:
    """Give the nodes their final numbers: preorder, siblings by name. What is not backed goes.

    Returns:
        Shape (nodes before + 1,): the new number of each node, or -1; the last stands for -1.
    """
    tree, ids = workspace.tree, workspace.ids
    kept = np.flatnonzero(workspace.backed)
    alphabetic = _alphabetic(tree.name[kept], names)
    first_row = _first_rows(workspace)[kept]
    order = kept[np.lexsort((first_row[:, 1], first_row[:, 0], tree.rank[kept], alphabetic))]
    sorted_number = np.full(len(tree) + 1, NONE, np.int32)
    sorted_number[order] = np.arange(len(order), dtype=np.int32)
    place = shape_of(sorted_number[tree.parent[order]]).place
    new = np.full(len(tree) + 1, NONE, np.int32)
    new[order] = place
    by_place = np.empty(len(order), np.int64)
    by_place[place] = order
    tree.parent = new[tree.parent[by_place]]
    tree.name, tree.rank, tree.flags = tree.name[by_place], tree.rank[by_place], tree.flags[by_place]
    rows = new[ids.node] != NONE
    ids.node, ids.source, ids.row, ids.how = new[ids.node[rows]], ids.source[rows], ids.row[rows], ids.how[rows]
    sort_provenance(workspace)
    synonyms = tree.synonyms
    synonyms.keep(new[synonyms.node] != NONE)
    synonyms.node = new[synonyms.node]
    synonyms.keep(np.lexsort((_alphabetic(synonyms.name, names), synonyms.node)))
    workspace.backed = np.ones(len(tree), np.bool_)
    tree.flags = flags.infer(tree.parent, shape_of(tree.parent), tree.rank, tree.flags)
    return new


def _alphabetic(numbers: Ints, names: Names) -> Longs:
    """Where each name stands in the alphabet of those that occur (code points)."""
    used, where = np.unique(numbers, return_inverse=True)
    texts = [names.texts[number] for number in used]
    order = sorted(range(len(texts)), key=texts.__getitem__)
    position = np.empty(len(texts), np.int64)
    position[order] = np.arange(len(texts))
    return position[where]


def _first_rows(workspace: Workspace) -> Longs:
    """Shape (nodes, 2): source and row of the first id of each node."""
    ids = workspace.ids
    first = np.full((len(workspace.tree), 2), NONE, np.int64)
    nodes, at = np.unique(ids.node, return_index=True)
    first[nodes, 0], first[nodes, 1] = ids.source[at], ids.row[at]
    return first


def remap(numbers: Sequence[int], new: Ints) -> list[int]:
    """Node numbers from before :func:`compact` as they are after it."""
    return [int(new[number]) for number in numbers]
