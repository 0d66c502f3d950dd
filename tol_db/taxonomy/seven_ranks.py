"""The seven Linnaean ranks out of a lineage of any depth, as labels show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from tol_db.taxonomy.name_forms import canonical, is_hybrid_species
from tol_db.taxonomy.names import Lineage
from tol_db.taxonomy.ranks import RANKS, band, canonical_rank, rank_level

KINGDOMS: Final = {
    "metazoa": "Animalia",
    "animalia": "Animalia",
    "viridiplantae": "Plantae",
    "chloroplastida": "Plantae",
    "archaeplastida": "Plantae",
    "plantae": "Plantae",
    "fungi": "Fungi",
}
"""Names of kingdoms, lower case → how labels show them; they mean the kingdom at whatever rank they stand."""

NO_RANKS: Final = Lineage.of([""] * len(RANKS))
_FIELD_OF: Final = {**{rank: rank for rank in RANKS}, "class": "class_"}
_RANK_OF: Final = {"division": "phylum", **{rank: rank for rank in RANKS}}


@dataclass(frozen=True, slots=True)
class Node:
    """A taxon.

    Attributes:
        id: in the table ``taxon``; parent: the id of its parent, None for a root.
        name, rank: as the taxonomy has them.
    """

    id: int
    parent: int | None
    name: str
    rank: str


def shown_kingdom(name: str) -> str:
    """A kingdom as labels show it: Metazoa is Animalia, Viridiplantae is Plantae."""
    return KINGDOMS.get(name.lower()) or name.capitalize()


@lru_cache(maxsize=1024)
def major_rank(rank: str) -> str | None:
    """Which of the seven a rank is, or None; a domain or a superkingdom is no kingdom."""
    return _RANK_OF.get(canonical_rank(rank))


@lru_cache(maxsize=1024)
def is_high(rank: str) -> bool | None:
    """Whether a rank is a family or above; None for no rank."""
    level = rank_level(canonical_rank(rank))
    return None if level < 0 else band(level) < 5


@lru_cache(maxsize=1024)
def is_infraspecific(rank: str) -> bool:
    """Whether a rank lies below the species."""
    level = rank_level(canonical_rank(rank))
    return band(level) == 6 and level > 600


def species_of(lineage: Sequence[Node]) -> Node | None:
    """The species in a lineage, the node itself first; None above the species, or where it is left out."""
    return next((node for node in lineage if major_rank(node.rank) == "species"), None)


def seven_ranks(lineage: Sequence[Node]) -> Lineage:
    """A lineage in the shown form.

    Each rank takes the nearest ancestor that has it. The genus of a species is the first word of its name, so that
    the two make the name that the taxonomy gives.

    Args:
        lineage: the taxon first, the root last.
    """
    ranks = NO_RANKS
    for node in reversed(lineage):
        ranks = ranks_below(ranks, node)
    return ranks


def ranks_below(ranks: Lineage, node: Node) -> Lineage:
    """The seven ranks of a node whose parent has these."""
    rank = major_rank(node.rank)
    if rank == "species" or (not ranks.species and is_infraspecific(node.rank)):
        genus, species = _binomial(node.name)
        return replace(ranks, genus=genus if species else ranks.genus, species=species)
    if rank == "kingdom":
        return replace(ranks, kingdom=shown_kingdom(node.name))
    if rank is not None:
        return replace(ranks, **{_FIELD_OF[rank]: node.name.capitalize()})
    if not ranks.kingdom and node.name.lower() in KINGDOMS:  # a taxonomy may call Metazoa a clade
        return replace(ranks, kingdom=shown_kingdom(node.name))
    return ranks


def _binomial(name: str) -> tuple[str, str]:
    """Genus and epithet of a species' name, hybrids with their sign; what is no binomial goes whole."""
    first, blank, epithet = name.partition(" ")
    if blank and epithet.isalpha() and first.isalpha():  # as the taxonomy spells it: Rheum østergaardi
        return first.capitalize(), epithet.lower()
    parsed = canonical(name)
    if parsed is not None and parsed.species:
        sign = "× " if is_hybrid_species(name) else ""
        return parsed.genus.capitalize(), sign + parsed.species
    genus, _, rest = name.partition(" ")
    return genus.capitalize(), rest.lower()
