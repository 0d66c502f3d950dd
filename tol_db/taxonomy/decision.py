"""The words in which an assembly says what it decided."""

from __future__ import annotations

from typing import Final

HOW: Final = (
    "separation group",  # a node of the separation tree
    "copied",
    "inserted",
    "folded",
    "curation",
    "separation",  # from here on the heuristics, in their order
    "ranks",
    "lineage",
    "overlap",
    "proximity",
    "same name",
    "same id",
    "same rank",
    "only candidate",
    "gender ending",
)
"""How a source node came to its node of the result."""
HOW_NUMBER: Final = {word: number for number, word in enumerate(HOW)}

NEW, ALIGNED, REFUSED, AMBIGUOUS = range(4)
"""What became of a node: no candidate; one chosen; all refused; several left."""

LEFT_OUT: Final = ("container", "folded", "pruned", "ambiguous tip", "absorbed", "conflict")
"""Why a source node is no taxon of the result."""
