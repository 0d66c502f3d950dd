"""What is known of a taxon besides name, rank and place, as bits.

Flags are *asserted* (by a source, by normalisation, by the place that a merge found) or *inferred* from the
finished
tree. The vocabulary is that of the Open Tree taxonomy (Rees & Cranston 2017, "Flags").
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import numpy as np

from tol_db.taxonomy.ranks import rank_level
from tol_db.taxonomy.tree import NONE, Flags, Ints, Mask, Names, Shape, any_below

ASSERTED: Final = (
    "incertae_sedis",  # its parent is known, its place below that is not
    "unplaced",  # not even that
    "environmental",  # known from samples only
    "major_rank_conflict",  # far below its siblings' rank: its place is not known in truth
    "extinct",
    "hidden",
    "not_otu",  # no taxon: uncultured, unidentified, …
    "hybrid",
    "viral",
    "was_container",  # a name for what has no place
)
"""Flags that sources and rules give."""
DOWNWARDS: Final = (
    "incertae_sedis",
    "unplaced",
    "environmental",
    "major_rank_conflict",
    "extinct",
    "hidden",
)
"""Flags whose descendants have the flag ``…_inherited``."""
INFERRED: Final = (*(f"{name}_inherited" for name in DOWNWARDS), "infraspecific", "barren", "sibling_higher")

BITS: Final = {name: 1 << position for position, name in enumerate((*ASSERTED, *INFERRED))}
"""Name → bit."""
OUT_OF_PLACE: Final = BITS["incertae_sedis"] | BITS["unplaced"] | BITS["major_rank_conflict"]
"""What has one of these may be moved to a better place by a later source."""

_BELOW_ALL: Final = 10_000
_OLD_WORDS: Final = {
    "unclassified": "incertae_sedis",
    "incertae_sedis_direct": "incertae_sedis",
    "major_rank_conflict_direct": "major_rank_conflict",
    "extinct_direct": "extinct",
}
_NOT_OTU: Final = re.compile(
    r"^(uncultured|unidentified|uncultivated|unspecified|unknown)\b"
    r"|\b(metagenome|enrichment culture|mixed library|environmental samples?|synthetic construct)\b"
    r"|\bsp\.$",
    re.IGNORECASE,
)
_HYBRID: Final = re.compile(r"(^|\s)[x×](\s|$)|×|\bhybrids?\b", re.IGNORECASE)
_VIRAL: Final = re.compile(r"virus\b|\bviral\b|viroid\b|bacteriophage\b|^Viruses$", re.IGNORECASE)


@lru_cache(1 << 12)
def parse(text: str) -> int:
    """The asserted flags of a comma-separated list; those that are inferred anyway, and unknown words, count for
    nothing."""
    bits = 0
    for word in text.split(","):
        word = word.strip().lower()
        word = _OLD_WORDS.get(word, word)
        if word in ASSERTED:
            bits |= BITS[word]
    return bits


@lru_cache(1 << 12)
def shown(bits: int) -> str:
    """Flags as they stand in files and in the database: comma-separated, sorted."""
    return ",".join(sorted(name for name, bit in BITS.items() if bits & bit))


def of_names(texts: list[str]) -> Flags:
    """What names alone say: ``not_otu``, ``hybrid``, ``viral``.

    Returns:
        Bits, one word for each text.
    """
    flags = np.zeros(len(texts), np.uint32)
    for pattern, name in ((_NOT_OTU, "not_otu"), (_HYBRID, "hybrid"), (_VIRAL, "viral")):
        search, bit = pattern.search, np.uint32(BITS[name])
        flags[np.fromiter((search(text) is not None for text in texts), np.bool_, len(texts))] |= bit
    return flags


def assert_by_name(parent: Ints, shape: Shape, name: Ints, flags: Flags, names: Names) -> Flags:
    """Rule ``name-flags``: flags by name; what lies below a viral taxon is viral."""
    used, where = np.unique(name, return_inverse=True)
    out = flags | of_names([names.texts[number] for number in used])[where]
    viral = np.uint32(BITS["viral"])
    for level in shape.levels[1:]:
        out[level] |= out[parent[level]] & viral
    return out


def assert_rank_conflicts(parent: Ints, shape: Shape, rank: Ints, flags: Flags) -> Flags:
    """Rule ``major-rank-conflict``: a child whose rank lies in a lower band than that of a sibling of major rank.

    For sources that hang what they cannot place under a high taxon, without saying so: a genus among orders.
    """
    highest = _highest_sibling(parent, shape, np.where(rank % 100 == 0, rank, NONE).astype(np.int32))
    conflict = (rank >= 0) & (parent >= 0) & (rank // 100 > highest // 100)
    out = flags.copy()
    out[conflict] |= np.uint32(BITS["major_rank_conflict"])
    return out


def infer(parent: Ints, shape: Shape, rank: Ints, flags: Flags) -> Flags:
    """All flags of a finished tree: the asserted ones, and those that follow from them and from ranks.

    ``extinct`` also goes up: a taxon whose children are all extinct is. ``infraspecific`` is what lies below a
    species, ``barren`` a taxon above species without one below it, ``sibling_higher`` what has a sibling of
    higher rank.
    """
    out = flags & np.uint32(sum(BITS[name] for name in ASSERTED))
    extinct = np.uint32(BITS["extinct"])
    _extinct_upwards(parent, shape, out, extinct)
    for name in DOWNWARDS:
        own, passed = np.uint32(BITS[name]), np.uint32(BITS[f"{name}_inherited"])
        for level in shape.levels[1:]:
            above = out[parent[level]]
            out[level[(above & (own | passed)) != 0]] |= passed
    species = rank == rank_level("species")
    below = np.zeros(len(parent), np.bool_)
    for level in shape.levels[1:]:
        below[level] = below[parent[level]] | species[parent[level]]
    out[below] |= np.uint32(BITS["infraspecific"])
    has_species = any_below(parent, shape, species)
    out[~species & ~has_species & ~below] |= np.uint32(BITS["barren"])
    highest = _highest_sibling(parent, shape, rank)
    out[(parent >= 0) & (rank > highest)] |= np.uint32(BITS["sibling_higher"])
    return out


def _extinct_upwards(parent: Ints, shape: Shape, flags: Flags, extinct: np.uint32) -> None:
    living = np.zeros(len(parent), np.bool_)
    tip = shape.is_tip
    for level in reversed(shape.levels):
        gone = level[~tip[level] & ~living[level]]
        flags[gone] |= extinct
        alive = level[(flags[level] & extinct) == 0]
        above = parent[alive]
        living[above[above >= 0]] = True


def _highest_sibling(parent: Ints, shape: Shape, rank: Ints) -> Ints:
    """The highest (smallest) rank among the children of each node's parent, a large number where none has one."""
    best = np.full(len(parent) + 1, _BELOW_ALL, np.int32)
    ranked = shape.children[rank[shape.children] >= 0]
    np.minimum.at(best, parent[ranked], rank[ranked])
    return best[parent]


def has(flags: Flags, name: str) -> Mask:
    """Which words have a flag."""
    having: Mask = (flags & np.uint32(BITS[name])) != 0
    return having
