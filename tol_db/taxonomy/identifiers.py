"""Ids that stay the same from one assembly to the next.

The previous assembly is aligned to the result, not merged into it, and hands its ids on (Rees & Cranston 2017,
"Assigning identifiers"): where several old ids reach one taxon the lowest stays and the others lead to it; what
nothing reaches gets a new id, counting on from the highest that was ever used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tol_db.taxonomy.align import align
from tol_db.taxonomy.decision import HOW, HOW_NUMBER
from tol_db.taxonomy.source import SourceTaxonomy
from tol_db.taxonomy.tree import NONE, Names
from tol_db.taxonomy.workspace import Workspace


@dataclass(slots=True)
class Identifiers:
    """Which ids the result's taxa have.

    Attributes:
        old: node of the workspace → its id in the previous assembly.
        forwards: other ids of the previous assembly → the id that stands for them.
        retired: ids of the previous assembly that no taxon has any more.
        highest: the highest number that is or was an id.
        carried_by: how the taxa were recognised → how many.
    """

    old: dict[int, str] = field(default_factory=dict)
    forwards: dict[str, str] = field(default_factory=dict)
    retired: list[str] = field(default_factory=list)
    highest: int = 0
    carried_by: dict[str, int] = field(default_factory=dict)


def hand_on(
    previous: SourceTaxonomy, workspace: Workspace, names: Names, find: Callable[[str], int]
) -> Identifiers:
    """Align the previous assembly to the result.

    Args:
        previous: normalised.
        find: qualified id of a source (``ncbi:9``; one that the source has replaced, too) → node, or -1.
    """
    shared: list[tuple[int, int]] = []
    by_id: dict[int, int] = {}
    for node, row in enumerate(previous.row.tolist()):
        for qualified in previous.source_ids.get(row, ()):
            found = find(qualified)
            if found != NONE:
                shared.append((node, found))
                by_id.setdefault(node, found)
    alignment = align(previous, workspace, names, shared_ids=shared)
    image, how = alignment.image.tolist(), alignment.how.tolist()
    for node, found in by_id.items():
        if image[node] == NONE:  # none of its names decides, but a source still has its id
            image[node], how[node] = found, HOW_NUMBER["same id"]
    result = Identifiers()
    _distribute(previous, image, how, result)
    return result


def _distribute(previous: SourceTaxonomy, image: list[int], how: list[int], result: Identifiers) -> None:
    reached: dict[int, list[str]] = {}
    keys = [previous.keys[row] for row in previous.row.tolist()]
    for key, node, reason in zip(keys, image, how, strict=True):
        if node == NONE:
            result.retired.append(key)
        else:
            reached.setdefault(node, []).append(key)
            result.carried_by[HOW[reason]] = result.carried_by.get(HOW[reason], 0) + 1
    stands_for = dict.fromkeys(keys, "")
    for node, old in reached.items():
        lowest = min(old, key=_order)
        result.old[node] = lowest
        for key in old:
            stands_for[key] = lowest
            if key != lowest:
                result.forwards[key] = lowest
    for alias, key in sorted(previous.aliases.items()):
        target = stands_for.get(_final(previous.aliases, key), "")
        if target and alias not in result.forwards and alias not in stands_for:
            result.forwards[alias] = target
    folded = {previous.keys[row] for row in previous.left}
    result.retired += sorted(folded, key=_order)
    numbers = [int(key) for key in (*keys, *previous.aliases, *folded) if key.isascii() and key.isdigit()]
    result.highest = max(previous.highest_retired, max(numbers, default=0))


def _final(aliases: Mapping[str, str], key: str) -> str:
    seen = {key}
    while key in aliases and aliases[key] not in seen:
        key = aliases[key]
        seen.add(key)
    return key


def _order(key: str) -> tuple[int, int, str]:
    """Numbers by value, before all other ids."""
    return (0, int(key), "") if key.isascii() and key.isdigit() else (1, 0, key)


def number_all(identifiers: Identifiers, total: int, new_number: np.ndarray) -> list[str]:
    """Ids of all nodes of the finished tree, new ones in its order.

    Args:
        total: how many nodes it has.
        new_number: of each node of the workspace, as :func:`tol_db.taxonomy.finish.compact` returns it.
    """
    ids = [""] * total
    for node, key in identifiers.old.items():
        if new_number[node] != NONE:
            ids[new_number[node]] = key
    next_id = identifiers.highest
    for node in range(total):
        if not ids[node]:
            next_id += 1
            ids[node] = str(next_id)
    return ids
