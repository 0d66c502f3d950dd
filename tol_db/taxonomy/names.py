"""The published normalisation of names, and how a normalised name is written out.

A raw label is the seven ranks as a source spells them: with HTML, authors, years, a genus repeated in the
species. ``normalise`` turns it into the spelling of the TreeOfLife-10M catalog. The rules are those of the
published procedure, with their order and their oddities (a pattern also matches inside a word; only the
species is trimmed), because captions have to equal the published ones letter for letter.

The rules are **not idempotent**: a normalised lineage must never be normalised again. Everything that takes a
``Lineage`` takes the *shown form* that ``normalise`` returns: each rank capitalised, the species lower.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tol_db.taxonomy.ranks import RANKS

# On one line; the tag that closes need not be the one that opened.
_ELEMENT = re.compile(r"<[^>\n]*>(.*?)</[^>\n]*>")

_NAMES_KEPT = 1 << 16
"""Names whose spelling is known again: those of higher ranks come over and over."""
_NO_NAME = frozenset({"(unidentified)", "unknown", "pleasehelp"})

_KINGDOM_SYNONYMS = {
    "metazoa": "animalia",
    "archaeplastida": "plantae",
    "chloroplastida": "plantae",
}

# What ends the epithet, in the published order: each is looked for once, in what the ones before it left.
# The `\b` changes no match, as the first one always begins where a word does; it keeps the search linear.
_EPITHET_ENDS = (
    re.compile(r"\("),
    re.compile(r"ssp\."),
    re.compile(r"subsp\."),
    re.compile(r"var\."),
    re.compile(r"\b\w+, \w+ & \w"),
    re.compile(r"\b\w+ & \w"),
    re.compile(r"\b\w+ \d{4}"),
    re.compile(r"\b\w+, \d{4}"),
    re.compile(r"\d{4}"),
    re.compile(r" [A-z]\."),  # not a slip for [A-Za-z]: the published range holds [ \ ] ^ _ ` too
    re.compile(r"<br ?>"),
)


@dataclass(frozen=True, slots=True)
class Lineage:
    """The seven ranks of a label in the shown form, "" where there is no name.

    Attributes:
        kingdom, phylum, class_, order, family, genus: first letter upper, the rest lower.
        species: the epithet without its genus, lower.
    """

    kingdom: str
    phylum: str
    class_: str
    order: str
    family: str
    genus: str
    species: str

    @classmethod
    def of(cls, ranks: Sequence[str]) -> Lineage:
        """The lineage of seven values that are in the shown form already, kingdom first.

        Raises:
            ValueError: these are not seven strings.
        """
        _require_seven(ranks)
        return cls(*ranks)

    def as_tuple(self) -> tuple[str, str, str, str, str, str, str]:
        """The seven values in the order of ``RANKS``."""
        return (self.kingdom, self.phylum, self.class_, self.order, self.family, self.genus, self.species)

    @property
    def is_empty(self) -> bool:
        """Whether no rank has a name; such a label is no label."""
        return not any(self.as_tuple())


def normalise(raw: Sequence[str]) -> Lineage:
    """A raw label in the spelling of the TreeOfLife-10M catalog (published normalisation).

    Call it exactly once for a label, on the values as their source has them.

    Args:
        raw: seven strings in the order of ``RANKS``, "" where there is no name.

    Returns:
        The shown form; all seven ranks may be empty.

    Raises:
        ValueError: these are not seven strings.
    """
    _require_seven(raw)
    kingdom, phylum, class_, order, family, genus, species = map(_tidy, raw)
    kingdom = _KINGDOM_SYNONYMS.get(kingdom, kingdom)
    genus, species = _part_genus_from_species(genus, clean_species(species))
    # A cut, or a word taken out of the species, can lay bare an `unknown` or markup that was not seen before.
    return Lineage(
        kingdom=_tidy_capitalised(kingdom),
        phylum=_tidy_capitalised(phylum),
        class_=_tidy_capitalised(class_),
        order=_tidy_capitalised(order),
        family=_tidy_capitalised(family),
        genus=_tidy_capitalised(genus),
        species=_tidy(species),
    )


def strip_html(text: str) -> str:
    """``text`` with every ``<…>inner</…>`` on one line replaced by its inner text, until none is left.

    The names of the two tags are not compared, and a tag that nothing closes stays (published normalisation).
    """
    if "</" not in text:
        return text
    while (stripped := _ELEMENT.sub(r"\1", text)) != text:
        text = stripped
    return text


def clean_species(text: str) -> str:
    """The epithet in lower case without authors, years, infraspecific ranks and markup.

    The patterns and their order are those of the published normalisation. A genus in front of the epithet
    stays: ``normalise`` parts them.
    """
    text = strip_html(text.lower()).strip()
    if text.isalpha():  # nearly all are, and each pattern needs a sign, a blank or a digit
        return text
    for end in _EPITHET_ENDS:
        if found := end.search(text):
            text = text[: found.start()].strip()
    return text


def scientific(lineage: Lineage) -> str:
    """Genus and epithet, ``Parus major``; one of the two, or "", where that is all there is."""
    return " ".join(f"{lineage.genus} {lineage.species}".split()).capitalize()


def taxonomic(lineage: Lineage) -> str:
    """The names of all ranks that have one, joined by blanks: ``Animalia Chordata Aves … Parus major``."""
    return " ".join(name for name in lineage.as_tuple() if name)


def tagged(lineage: Lineage) -> str:
    """As ``taxonomic``, each name after its rank: ``kingdom Animalia phylum Chordata … species major``."""
    return " ".join(f"{rank} {name}" for rank, name in zip(RANKS, lineage.as_tuple(), strict=True) if name)


def common(lineage: Lineage, common_name: str) -> str:
    """``common_name`` as it was given, else the scientific, else the taxonomic name."""
    return common_name or scientific(lineage) or taxonomic(lineage)


def parse_blacklist_name(text: str) -> Lineage | None:
    """The species that a line of a rare-species list names, normalised.

    Args:
        text: ``Genus species``, or ``Kingdom-Phylum-Class-Order-Family-Genus-species`` whose epithet may hold
            hyphens and blanks (TreeOfLife-10M, the lists of the rare-species benchmark).

    Returns:
        The lineage, its ranks above the genus empty for the first form; None where the text has neither form,
        or where normalisation leaves no genus or no epithet: such a text must not stand for a whole genus.
    """
    ranks = text.strip().split("-", 6)
    if len(ranks) < len(RANKS):
        words = text.split(maxsplit=1)
        if len(words) < 2:
            return None
        ranks = ["", "", "", "", "", *words]
    lineage = normalise(ranks)
    return lineage if lineage.genus and lineage.species else None


def _require_seven(ranks: Sequence[str]) -> None:
    # A string of seven letters is a sequence of seven strings, and never meant.
    if isinstance(ranks, str) or len(ranks) != len(RANKS) or not all(isinstance(rank, str) for rank in ranks):
        raise ValueError(f"a label has seven names, {' '.join(RANKS)}, as strings; this is {ranks!r}")


@lru_cache(_NAMES_KEPT)
def _tidy(text: str) -> str:
    text = strip_html(text).lower()
    return "" if text in _NO_NAME else text


@lru_cache(_NAMES_KEPT)
def _tidy_capitalised(text: str) -> str:
    return _tidy(text).capitalize()


def _part_genus_from_species(genus: str, species: str) -> tuple[str, str]:
    words = species.split()
    if len(words) < 2:
        return genus, species
    before = len(words)
    if words[0] == genus:
        del words[0]
    elif not genus:
        genus = words.pop(0)
    if len(words) == 2 and words[0] == words[1]:
        words.pop()
    # Blanks inside an epithet stay as they are unless a word was taken out.
    return genus, species if len(words) == before else " ".join(words)
