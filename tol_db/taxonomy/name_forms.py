"""Scientific names without what is no part of them: authors, years, a subgenus in parentheses.

``canonical`` reads a name word by word and answers None rather than guess: what is left after the name must look
like authorship, so that ``Influenza A virus`` does not become the genus *Influenza*, nor ``Aus sp.`` the genus
*Aus*. The forms that follow from a canonical name are those under which taxonomies list it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tol_db.taxonomy.spelling import ascii_spelling

_MARKERS: Final = {
    "subsp.": "subsp.",
    "subsp": "subsp.",
    "ssp.": "subsp.",
    "ssp": "subsp.",
    "var.": "var.",
    "var": "var.",
    "f.": "f.",
    "fo.": "f.",
    "forma": "f.",
    "subvar.": "subvar.",
    "subf.": "subf.",
    "nothosubsp.": "subsp.",
    "nothovar.": "var.",
}
"""How the rank of an infraspecific epithet is written → how taxonomies write it."""

_OPEN: Final = "sp. sp spp. spp ssp. cf. cf aff. aff nr. nr indet. indet"
_MISAPPLIED: Final = "auct. auct auctt. sensu s.l. s.str. s.s. hort. cv."
_NOT_THE_NAME: Final = frozenset(f"{_OPEN} {_MISAPPLIED}".split())
"""Words after which a name stands for something else: open nomenclature, misapplied and garden names."""

_SMALL_WORDS: Final = """
a af al and ap apud auf av bis da dal das de degli del della den der des di do dos du e emend et ex f fil filius im
in la le les non nec nom nov nud orth ta te ten ter und v van var vom von y zu zum zur"""
_PARTICLES: Final = frozenset(_SMALL_WORDS.split())
"""Small words of authorship."""

_NO_GENUS: Final = frozenset(["candidatus", "uncultured", "unidentified", "unclassified", "unknown"])

_YEAR: Final = re.compile(r"\d{4}[a-z]?([-–/]\d{2,4})?")
_AUTHOR: Final = re.compile(r"(?:[^\W\d_]{1,3}['’])?[^\W\d_]+(?:[-'’.]{1,2}[^\W\d_]+)*\.?")
_HYBRID: Final = frozenset("×xX")
_HYBRID_SPECIES: Final = re.compile(r"[^\W\d_]\S+ (?:× ?|[xX] )[^\W\d_]")
_HYBRID_SIGN: Final = re.compile(r"^(?:×\s*|[xX]\s+)")
_SUBGENUS: Final = re.compile(r"\([A-Z][a-z-]+\)")


@dataclass(frozen=True, slots=True)
class Canonical:
    """A name in parts.

    Attributes:
        genus: or any name of one word.
        species: the epithet, "" for a name of one word.
        infraspecific: the lowest epithet below the species, or "".
        marker: how its rank was written (``subsp.``), or "".
    """

    genus: str
    species: str = ""
    infraspecific: str = ""
    marker: str = ""

    def __str__(self) -> str:
        """``Poa annua supina``: without the marker."""
        return " ".join(filter(None, (self.genus, self.species, self.infraspecific)))

    @property
    def binomial(self) -> str:
        """The species that it is or belongs to; the name itself where it has one word."""
        return f"{self.genus} {self.species}".rstrip()


def tidy(text: str) -> str:
    """Blanks of any kind as one blank, none at the ends."""
    return " ".join(text.split())


def canonical(text: str) -> Canonical | None:
    """The name in a text that may also hold authors, years, a subgenus, a rank below the species.

    Letter case is mended where the whole text is upper or lower. Hybrid signs are dropped.

    Returns:
        None where the text holds no such name, or more than one: open nomenclature, viruses, strains.

    >>> str(canonical("Parus (Cyanistes) caeruleus Linnaeus, 1758"))
    'Parus caeruleus'
    """
    words = ascii_spelling(tidy(text)).split(" ")
    if len(words) > 1 and words[0] in _HYBRID:
        del words[0]
    first = words[0].lstrip("×").strip("[]")
    if not _is_word(first.lower()) or first.lower() in _NO_GENUS:
        return None
    rest = words[1:]
    if first.isupper() and all(not any(map(str.islower, word)) for word in rest):
        rest = [word.lower() if word.isalpha() else word for word in rest]
    if len(rest) == 1 and rest[0].isalpha() and rest[0].isupper() and len(rest[0]) > 3:
        return None  # "Parus CAERULEUS": an epithet or an author?
    if first.isupper() or first.islower():
        first = first.capitalize()
    elif not first[0].isupper() or not first[1:].islower():
        return None
    if len(rest) > 1 and _SUBGENUS.fullmatch(rest[0]) and _is_epithet(rest[1]):
        del rest[0]
    return _with_epithets(first, [word.lstrip("×") for word in rest if word not in _HYBRID])


def _with_epithets(genus: str, rest: list[str]) -> Canonical | None:
    epithets: list[str] = []
    marker, in_authors, at = "", False, 0
    while at < len(rest):
        word = rest[at]
        following = rest[at + 1] if at + 1 < len(rest) else ""
        if word in _MARKERS and epithets and _is_epithet(following):
            marker = _MARKERS[word]
            epithets.append(following)
            at += 1
        elif word in _NOT_THE_NAME:
            return None
        elif _is_epithet(word) and not in_authors and len(epithets) < 2:
            epithets.append(word)
        elif _is_authorship(word):
            in_authors = True
        else:
            return None
        at += 1
    if not epithets:
        return Canonical(genus)
    return Canonical(genus, epithets[0], epithets[-1] if len(epithets) > 1 else "", marker)


def _is_word(word: str) -> bool:
    return len(word) > 1 and word.replace("-", "").isalpha()


def _is_epithet(word: str) -> bool:
    return _is_word(word) and word.islower() and word not in _PARTICLES


def _is_authorship(word: str) -> bool:
    bare = word.strip("()[],;:&")
    if not bare:  # an ampersand, a comma that stands alone
        return bool(word)
    if bare.rstrip(".").lower() in _PARTICLES and bare.islower():
        return True
    if _YEAR.fullmatch(bare):
        return True
    if not _AUTHOR.fullmatch(bare):
        return False
    letters = bare.rpartition("'")[2].rpartition("’")[2]
    return letters[0].isupper() and (len(letters) > 1 or bare.endswith(".") or bare == "L")


def is_hybrid_species(text: str) -> bool:
    """Whether a hybrid sign stands before the epithet of a species: ×, or the letter x as a word of its own.

    Source: International Code of Nomenclature for algae, fungi, and plants, Art. H.3.

    >>> is_hybrid_species("Mentha × piperita L."), is_hybrid_species("Mentha aquatica × spicata")
    (True, False)
    """
    return _HYBRID_SPECIES.match(tidy(text)) is not None


def without_hybrid_sign(epithet: str) -> str:
    """An epithet as it is without the sign of a hybrid before it; any other as it stands.

    >>> without_hybrid_sign("× piperita"), without_hybrid_sign("xenia")
    ('piperita', 'xenia')
    """
    return _HYBRID_SIGN.sub("", epithet)


def listed_forms(name: Canonical) -> tuple[str, ...]:
    """The spellings under which a taxonomy may list a name, the likeliest first."""
    if not name.species:
        return (name.genus,)
    if not name.infraspecific:
        return (name.binomial, f"{name.genus} x {name.species}", f"{name.genus} × {name.species}")
    markers = (name.marker,) if name.marker else ("subsp.", "var.", "f.")
    marked = (f"{name.binomial} {marker} {name.infraspecific}" for marker in markers)
    return (str(name), *marked)


_GENDERS: Final = ("us", "a", "um")


def gender_variants(name: Canonical) -> tuple[str, ...]:
    """The name with its last epithet in the other two genders, where it ends in -us, -a or -um."""
    words = str(name).split(" ")
    if len(words) < 2:
        return ()
    for ending in sorted(_GENDERS, key=len, reverse=True):
        stem = words[-1].removesuffix(ending)
        if stem != words[-1] and len(stem) > 1:
            others = (other for other in _GENDERS if other != ending)
            return tuple(" ".join((*words[:-1], stem + other)) for other in others)
    return ()
