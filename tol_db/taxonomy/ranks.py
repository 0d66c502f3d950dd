"""Ranks: the seven that a label has, and the vocabulary of all ranks that taxonomies use.

The vocabulary is that of NCBI Taxonomy, the GBIF backbone and Catalogue of Life (the enumeration ``Rank`` of
gbif/name-parser), ITIS, Open Tree, iNaturalist and EOL, in seven bands. A band begins with its major rank and
reaches to the next major rank, so that a superfamily belongs to the band of the order: it stands above the
family. A rank's level is ``100 × band + its place in the band``; a smaller level lies nearer to the root.

Some words mean two ranks. *Section* and *series* are those of botany, below the genus; the ranks of zoology
between order and family are ``section zoology`` and so on. *Division* is botany's word for the phylum and has
its level, but keeps its name, because zoologists use it below the class. What is no rank in any of them
(clade, unranked, cellular root) is :data:`NO_RANK`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")
"""The seven Linnaean ranks, from the root down: the order of a label's values everywhere."""

NO_RANK: Final = "no rank"

NO_RANK_LEVEL: Final = -1
"""The level of :data:`NO_RANK`: in no band, and in no order with the others."""

BANDS: Final = ("domain", "phylum", "class", "order", "family", "genus", "species")
"""The major rank of each band; their levels are 0, 100, …, 600."""

_VOCABULARY: Final = (
    # kingdom is no band of its own: sources differ in whether it or the domain comes first below life
    """domain, realm, subrealm, superkingdom, kingdom, subkingdom, infrakingdom, parvkingdom,
    superphylum/superdivision""",
    """phylum/division, subphylum/subdivision, infraphylum/infradivision, parvphylum, microphylum, nanophylum,
    gigaclass, megaclass, superclass""",
    """class, subclass, infraclass, subterclass, parvclass, superlegion, legion, sublegion, infralegion,
    megacohort, supercohort, cohort, subcohort, infracohort, gigaorder, magnorder, grandorder, mirorder,
    superorder""",
    """order, epiorder, nanorder, hypoorder, minorder, suborder, infraorder, parvorder,
    supersection zoology, section zoology, subsection zoology, falanx, gigafamily, megafamily, grandfamily,
    superfamily, epifamily""",
    """family, subfamily, infrafamily, supertribe, tribe, subtribe, infratribe, suprageneric name, genus group,
    supergenus""",
    """genus, subgenus, infragenus, supersection, section, subsection, superseries, series, subseries,
    infrageneric name, species group, species subgroup, superspecies, species aggregate""",
    """species, infraspecific name, grex, klepton, subspecies, cultivar group, convariety,
    infrasubspecific name, proles, natio, race, aberration, morph, supervariety, varietas, subvariety, superform,
    forma, subform, forma specialis, pathovar/biovar/chemovar/morphovar/phagovar/serovar, chemoform, lusus,
    cultivar, mutatio, serogroup, serotype, biotype, genotype, pathogroup, ecotype, strain, isolate""",
)
"""The bands, root first; ranks of one level are joined by a slash."""

_OTHER_SPELLINGS: Final = {
    NO_RANK: """clade, no rank terminal, unranked, norank, none, other, unknown, not specified, undefined,
    root, cellular root, acellular root, stateofmatter, state of matter""",
    "domain": "dom, empire",
    "superkingdom": "superregnum",
    "kingdom": "regnum, regn",
    "subkingdom": "subregnum",
    "superphylum": "superphyl",
    "phylum": "phyl, phylum (division), phylum division",
    "division": "div, divisio",
    "subphylum": "subphyl, subphylum (subdivision)",
    "subdivision": "subdiv, subdivisio",
    "superclass": "superclassis, supercl",
    "class": "cl, classis",
    "subclass": "subcl, subclassis",
    "superorder": "superordo, superord",
    "order": "ord, ordo",
    "suborder": "subord, subordo",
    "section zoology": "zoosection, section (zoology), zoological section",
    "subsection zoology": "zoosubsection, subsection (zoology), zoological subsection",
    "supersection zoology": "zoosupersection",
    "superfamily": "superfam, superfamilia",
    "family": "fam, familia",
    "subfamily": "subfam, subfamilia",
    "tribe": "trib, tribus, tr",
    "subtribe": "subtrib, subtribus",
    "supertribe": "supertrib, supertribus",
    "genus": "gen, genushybrid, genus hybrid, nothogenus",
    "subgenus": "subg, subgen, sg, nothosubgenus",
    "section": "sect, sectio, section botany, section (botany), nothosection",
    "supersection": "supersect, supersection botany",
    "subsection": "subsect, subsectio, subsection botany",
    "series": "ser, series botany",
    "subseries": "subser, subseries botany",
    "species group": "speciesgroup",
    "species subgroup": "speciessubgroup",
    "species aggregate": "agg, aggregate, complex, species complex, speciesaggregate, aggregate species",
    "species": "sp, spec, hybrid, nothospecies, species hybrid",
    "infraspecific name": "infraspecies, infraspecificname, infrasp, infrahybrid, infraspecific taxon",
    "subspecies": "subsp, ssp, nothosubspecies, subsp hybrid",
    "varietas": "variety, var, nothovarietas, nothovariety",
    "subvariety": "subvar, subvarietas",
    "forma": "form, f, fo, nothoforma, nothoform",
    "subform": "subf, subfo, subforma",
    "forma specialis": "f sp, fsp, formaspecialis, special form",
    "cultivar": "cv, cultivarietas",
    "cultivar group": "cultivargroup",
    "convariety": "convar, convarietas",
    "pathovar": "pv, pathovarietas",
    "biovar": "bv",
    "serovar": "sv",
    "strain": "str",
    "aberration": "ab, aberratio",
    "morph": "morpha",
    "mutatio": "mut, mutation",
}
"""Rank → what stands for it elsewhere: other languages, abbreviations, hybrids (a nothospecies is a species)."""


def _words(text: str) -> Iterator[tuple[int, str]]:
    """The place and the word of each rank of a band."""
    for place, words in enumerate(text.split(",")):
        for word in words.split("/"):
            yield place, " ".join(word.split())


_LEVEL: Final = {NO_RANK: NO_RANK_LEVEL} | {
    word: 100 * number + place for number, text in enumerate(_VOCABULARY) for place, word in _words(text)
}

_SHOWN: Final[dict[int, str]] = {}
for _word, _level in _LEVEL.items():
    _SHOWN.setdefault(_level, _word)

_CANONICAL: Final = {word: word for word in _LEVEL} | {
    " ".join(word.split()): rank for rank, words in _OTHER_SPELLINGS.items() for word in words.split(",")
}


@lru_cache(maxsize=4096)
def known_rank(text: str) -> str | None:
    """The rank that a text means, or None where it is no word of the vocabulary.

    Case, full stops, underscores, hyphens and repeated blanks do not matter. An empty text is
    :data:`NO_RANK`.
    """
    word = " ".join(re.sub(r"[._\s-]+", " ", text).lower().split())
    return _CANONICAL.get(word) if word else NO_RANK


def canonical_rank(text: str) -> str:
    """The rank that a text means; :data:`NO_RANK` where it means none.

    >>> canonical_rank("Subsp."), canonical_rank("no rank - terminal"), canonical_rank("SECTION_ZOOLOGY")
    ('subspecies', 'no rank', 'section zoology')
    """
    return known_rank(text) or NO_RANK


def rank_level(rank: str) -> int:
    """Where a rank stands: 0 for a domain, 500 for a genus; :data:`NO_RANK_LEVEL` for no rank.

    Args:
        rank: as :func:`canonical_rank` gives it; anything else counts as no rank.
    """
    return _LEVEL.get(rank, NO_RANK_LEVEL)


def shown_rank(level: int) -> str:
    """The rank of a level; of several words for one level the first: ``phylum``, not ``division``."""
    return _SHOWN[level]


def band(level: int) -> int:
    """The band of a level, an index of :data:`BANDS`; -1 for no rank."""
    return level // 100
