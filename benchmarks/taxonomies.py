"""Sources of one known taxonomy, of any size, in interim format: what an assembly costs, and whether it is right.

A taxonomy is made up first: major groups by their real names, ranks of very unequal size below them, names out of
syllables. Then each source says of it what sources say: it leaves taxa and intermediate ranks out, uses synonyms,
puts genera into other families, gets the gender of an epithet wrong. *Homonyms* are part of what is made up: genera
of different kingdoms that share their names, and many of their species' names. Seeded: the same arguments make the
same files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tol_db.taxonomy.tree import Ints, Longs, Mask, ranges, shape_of

GROUPS: Final = (
    # name, parent, rank, share of the species that hang below it and below no smaller group
    ("life", "", "no rank", 0.0),
    ("cellular organisms", "life", "no rank", 0.0),
    ("Viruses", "life", "no rank", 0.01),
    ("Bacteria", "cellular organisms", "domain", 0.06),
    ("Archaea", "cellular organisms", "domain", 0.01),
    ("Eukaryota", "cellular organisms", "domain", 0.01),
    ("SAR", "Eukaryota", "no rank", 0.02),
    ("Archaeplastida", "Eukaryota", "kingdom", 0.0),
    ("Rhodophyta", "Archaeplastida", "phylum", 0.01),
    ("Chloroplastida", "Archaeplastida", "no rank", 0.18),
    ("Fungi", "Eukaryota", "kingdom", 0.09),
    ("Metazoa", "Eukaryota", "kingdom", 0.03),
    ("Nematoda", "Metazoa", "phylum", 0.02),
    ("Mollusca", "Metazoa", "phylum", 0.06),
    ("Chordata", "Metazoa", "phylum", 0.05),
    ("Arthropoda", "Metazoa", "phylum", 0.01),
    ("Arachnida", "Arthropoda", "class", 0.04),
    ("Malacostraca", "Arthropoda", "class", 0.02),
    ("Insecta", "Arthropoda", "class", 0.08),
    ("Diptera", "Insecta", "order", 0.08),
    ("Coleoptera", "Insecta", "order", 0.12),
    ("Lepidoptera", "Insecta", "order", 0.06),
    ("Hymenoptera", "Insecta", "order", 0.04),
)
KINGDOMS: Final = ("Viruses", "Bacteria", "Archaea", "SAR", "Archaeplastida", "Fungi", "Metazoa")
"""Groups of which none lies in another: homonyms are made across them."""

LADDER: Final = (
    # rank, of the children of one taxon of the rank above: how many there are, about
    ("phylum", 4),
    ("class", 3),
    ("order", 5),
    ("family", 12),
    ("genus", 9),
    ("species", 11),
)
BETWEEN: Final = {"order": "superorder", "family": "superfamily", "genus": "subfamily"}
"""Rank → an intermediate rank that about half of the larger taxa above it have."""
_BETWEEN_SHARE, _BETWEEN_SIZE = 0.5, 5
_SUBSPECIES_SHARE = 0.06
_SPECIES_SHARE = 0.79

_ONSETS = "b c d f g l m n p r s t v br cr dr gl tr ph ch".split()
_VOWELS = "a e i o u y ae".split()
_SYLLABLES = [onset + vowel for onset in _ONSETS for vowel in _VOWELS]
_GENDERS = ("us", "a", "um")
_FIXED = ("ensis", "i", "ae", "oides", "orum", "arum", "ior")
_EPITHETS = 10_000_019  # a prime; a genus walks through them with a stride of its own
_OTHER = 3_000_000
"""How far along that walk the epithets of synonyms begin: no genus has so many species."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What sources get wrong or leave out, as shares.

    Attributes:
        homonyms: of the genera, that share their name with one of another kingdom (as do half of the species of the
            smaller of the two).
        synonyms: of the species (and of the genera, a tenth as many) that the second source knows by a synonym.
        moved: of the genera that both have, that the second source puts into another family.
        without_rank: of the taxa of intermediate ranks, that a source leaves out; its members hang one higher.
        genders: of the species, whose epithet has another gender in the second source.
        dropped: of the species, that a source does not have; of the genera, a quarter of that share.
        stray: of the species, that list a species of another kingdom, or of their own group, as a synonym.
    """

    homonyms: float = 0.06
    synonyms: float = 0.05
    moved: float = 0.02
    without_rank: float = 0.05
    genders: float = 0.01
    dropped: tuple[float, ...] = (0.08, 0.15)
    stray: float = 0.001


@dataclass(slots=True)
class Truth:
    """A taxonomy that is known to be so. Nodes stand behind their parents.

    Attributes:
        parent: number of the parent, or -1.
        rank: index into ``ranks``.
        group: number of the smallest major group that holds the node (or that it is).
        stem: of what is above the species: number of its name; of species and below: how far along its genus's walk.
        genus: the genus of a genus, a species, a subspecies; else -1.
        gender: of a genus; index into the endings.
        walk: shape (nodes, 2): of a genus: where it begins among the epithets, and its stride.
        ranks: words.
    """

    parent: Ints
    rank: Ints
    group: Ints
    stem: Longs
    genus: Ints
    gender: Ints
    walk: Longs
    ranks: list[str]
    names: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.parent)

    def of_rank(self, rank: str) -> Mask:
        """Which nodes have a rank."""
        having: Mask = self.rank == self.ranks.index(rank)
        return having


@dataclass(frozen=True, slots=True)
class Written:
    """A source as it stands on disk.

    Attributes:
        folder: with ``taxonomy.tsv`` and ``synonyms.tsv``.
        nodes: of the truth, that it has.
        uid: of each of them, an integer.
        parent: of each of them: the node of the truth that it hangs under in this source, or -1.
    """

    folder: Path
    nodes: Longs
    uid: Longs
    parent: Longs


# ------------------------------------------------------------------ what is true


def made_up(size: int, noise: Noise | None = None, *, seed: int = 6) -> Truth:
    """A taxonomy of about so many nodes."""
    rng = np.random.default_rng(seed)
    ranks = sorted({rank for _, _, rank, _ in GROUPS} | {r for r, _ in LADDER} | {*BETWEEN.values(), "subspecies"})
    grow = _Growth(rng, ranks)
    for number, (_, _, rank, share) in enumerate(GROUPS):
        if species := round(size * _SPECIES_SHARE * share):
            grow.below(number, rank, species)
    truth = grow.done()
    _name_walks(truth, rng)
    _share_names(truth, rng, (noise or Noise()).homonyms)
    truth.names = named(truth, truth.stem)
    return truth


class _Growth:
    """Builds the tree below each group; parents before their children."""

    def __init__(self, rng: np.random.Generator, ranks: list[str]) -> None:
        self.rng, self.ranks = rng, ranks
        numbers = {name: number for number, (name, *_) in enumerate(GROUPS)}
        self.total = 0
        self.parts: list[tuple[Longs, Longs, Longs, Longs]] = []  # parent, rank, group, genus
        for number, (_, above, rank, _) in enumerate(GROUPS):
            self._add(np.array([numbers.get(above, -1)]), rank, number)

    def _add(self, parent: Longs, rank: str, group: int, genus: Longs | None = None) -> Longs:
        made = np.arange(self.total, self.total + len(parent))
        if genus is None:
            genus = made if rank == "genus" else np.full(len(parent), -1)
        self.parts.append(
            (parent, np.full(len(parent), self.ranks.index(rank)), np.full(len(parent), group), genus)
        )
        self.total += len(parent)
        return made

    def below(self, group: int, rank: str, species: int) -> None:
        """All that hangs below a group directly, in as many taxa of each rank as make so many species plausible."""
        words = [word for word, _ in LADDER]
        ladder = LADDER[words.index(rank) + 1 :] if rank in words else LADDER
        counts = [species]
        for _, mean in reversed(ladder[1:]):
            counts.append(max(1, counts[-1] // mean))
        above = parent = np.array([group])
        for (word, _), count in zip(ladder, reversed(counts), strict=True):
            if word in BETWEEN and len(above) < count:
                above = self._between(above, BETWEEN[word], group)
            parent = self._shared_out(above, count)
            above = self._add(parent, word, group, parent if word == "species" else None)
        some = above[self.rng.random(len(above)) < _SUBSPECIES_SHARE]
        twice = np.repeat(some, self.rng.integers(1, 4, len(some)))
        self._add(twice, "subspecies", group, parent[twice - above[0]])

    def done(self) -> Truth:
        """The truth, without names."""
        parent, rank, group, genus = (np.concatenate(p).astype(np.int32) for p in zip(*self.parts, strict=True))
        total = len(parent)
        walk = np.zeros((total, 2), np.int64)
        return Truth(parent, rank, group, walk[:, 0].copy(), genus, np.zeros(total, np.int32), walk, self.ranks)

    def _between(self, above: Longs, rank: str, group: int) -> Longs:
        """Some of the taxa get members of an intermediate rank, below which the next ones hang."""
        divided = self.rng.random(len(above)) < _BETWEEN_SHARE
        parent = np.repeat(above[divided], self.rng.integers(2, _BETWEEN_SIZE, int(divided.sum())))
        return np.concatenate([above[~divided], self._add(parent, rank, group)])

    def _shared_out(self, above: Longs, count: int) -> Longs:
        """Parents of so many children: each has one at least, a few have very many."""
        if count <= len(above):
            return above[:count]
        weight = self.rng.pareto(1.5, len(above)) + 0.2
        rest = self.rng.choice(above, count - len(above), p=weight / weight.sum())
        return np.sort(np.concatenate([above, rest]))


def _name_walks(truth: Truth, rng: np.random.Generator) -> None:
    """Numbers for all names; siblings below a genus (and below a species) take one epithet after the other."""
    total = len(truth)
    truth.stem[:] = rng.permutation(total) + len(_SYLLABLES) ** 2
    truth.gender[:] = rng.integers(0, len(_GENDERS), total)
    truth.walk[:, 0] = rng.integers(0, _EPITHETS, total)
    truth.walk[:, 1] = rng.integers(1, _EPITHETS, total)
    low = truth.of_rank("species") | truth.of_rank("subspecies")
    shape = shape_of(truth.parent)
    own_place = np.empty(total, np.int64)
    own_place[shape.children] = np.arange(len(shape.children)) - shape.first[truth.parent[shape.children]]
    truth.stem[low] = own_place[low]


def _share_names(truth: Truth, rng: np.random.Generator, share: float) -> None:
    """Genera of different kingdoms share name and walk, and so half of the species of the smaller of them."""
    kingdom = _kingdoms(truth)
    genera = rng.permutation(np.flatnonzero(truth.of_rank("genus") & (kingdom >= 0)))
    one, two = genera[: len(genera) // 2], genera[len(genera) // 2 :][: len(genera) // 2]
    apart = np.flatnonzero(kingdom[one] != kingdom[two])[: round(share * len(genera) / 2)]
    one, two = one[apart], two[apart]
    truth.stem[two], truth.gender[two], truth.walk[two] = truth.stem[one], truth.gender[one], truth.walk[one]
    shape = shape_of(truth.parent)
    for first, second in zip(one.tolist(), two.tolist(), strict=True):
        species = shape.children_of(second)
        many = len(shape.children_of(first))
        apart_from = (min(many, len(species)) + 1) // 2
        truth.stem[species[apart_from:]] += many


def _kingdoms(truth: Truth) -> Ints:
    """Of each node: the place of its kingdom in :data:`KINGDOMS`, or -1."""
    own = np.full(len(GROUPS), -1, np.int32)
    numbers = {name: number for number, (name, *_) in enumerate(GROUPS)}
    for number, (name, above, *_) in enumerate(GROUPS):
        own[number] = KINGDOMS.index(name) if name in KINGDOMS else own[numbers[above]] if above else -1
    kingdoms: Ints = own[truth.group]
    return kingdoms


def _stem(number: int) -> str:
    """A word for a number; different numbers, different words."""
    number, last = divmod(number, len(_SYLLABLES))
    out = _SYLLABLES[last]
    while number:
        number, last = divmod(number, len(_SYLLABLES))
        out += _SYLLABLES[last]
    return out


def named(truth: Truth, stem: Longs, *, genus: Ints | None = None, wrong_gender: Mask | None = None) -> list[str]:
    """Names of all nodes.

    Args:
        stem: numbers of names, as in the truth or others.
        genus: of each node, where that is not the true one.
        wrong_gender: species whose epithet takes another gender than its genus has.
    """
    genus_of = (truth.genus if genus is None else genus).tolist()
    gender = truth.gender.tolist()
    endings = {
        "family": "idae",
        "order": "ales",
        "class": "ia",
        "phylum": "phyta",
        "superfamily": "oidea",
        "subfamily": "inae",
        "superorder": "anae",
    }
    species, subspecies, genera = (truth.ranks.index(word) for word in ("species", "subspecies", "genus"))
    ending_of = [endings.get(word, "") for word in truth.ranks]
    begin, stride = truth.walk[:, 0].tolist(), truth.walk[:, 1].tolist()
    wrong = np.zeros(len(truth), np.int64) if wrong_gender is None else wrong_gender.astype(np.int64)
    out: list[str] = [name for name, *_ in GROUPS]
    rows = zip(truth.rank.tolist(), stem.tolist(), genus_of, truth.parent.tolist(), wrong.tolist(), strict=True)
    for node, (rank, number, own_genus, parent, other) in enumerate(rows):
        if node < len(GROUPS):
            continue
        if rank == species or rank == subspecies:
            walker = own_genus if rank == species else parent
            epithet = (begin[walker] + number * stride[walker]) % _EPITHETS
            kind = epithet % (2 * len(_FIXED))  # an even one has a gender
            sex = gender[own_genus] + other
            ending = _FIXED[kind // 2] if kind % 2 else _GENDERS[sex % 3]
            above = own_genus if rank == species else parent
            out.append(f"{out[above]} {_stem(epithet)}{ending}")
        elif rank == genera:
            out.append(_stem(number).capitalize() + _GENDERS[gender[node]])
        else:
            out.append(_stem(number).capitalize() + ending_of[rank])
    return out


# ------------------------------------------------------------------ what two sources say


def written(truth: Truth, folder: Path, noise: Noise | None = None, *, seed: int = 7) -> list[Written]:
    """Write what two sources (``one``, ``two``) say of the truth, each into its own folder."""
    noise = noise or Noise()
    rng = np.random.default_rng(seed)
    known = [_known(truth, rng, share, noise.without_rank) for share in noise.dropped]
    both = known[0] & known[1]
    sources = [_Source(truth, rng, having) for having in known]
    sources[1].move_genera(both, noise.moved)
    sources[1].rename(both, noise.synonyms)
    sources[1].misspell(noise.genders)
    sources[0].names = truth.names
    sources[1].names = named(truth, sources[1].stem, genus=sources[1].genus, wrong_gender=sources[1].wrong)
    one, two = (np.array(source.names, object) for source in sources)
    differ = np.flatnonzero((one != two) & both & ~sources[1].wrong)
    lot = rng.random(len(differ))
    sources[0].list_synonyms(differ[lot < 0.6], two)
    sources[1].list_synonyms(differ[lot > 0.4], one)
    for source in sources:
        source.list_strays(both, noise.stray)
        source.list_unrelated()
    return [source.write(folder / name) for source, name in zip(sources, ("one", "two"), strict=True)]


def _known(truth: Truth, rng: np.random.Generator, dropped: float, without_rank: float) -> Mask:
    """Which nodes a source has."""
    chance = rng.random(len(truth))
    low = truth.of_rank("species") | truth.of_rank("subspecies")
    genera = truth.of_rank("genus")
    lost = (low & (chance < dropped)) | (genera & (chance < dropped / 4))
    for level in shape_of(truth.parent).levels[1:]:
        lost[level] |= lost[
            truth.parent[level]
        ]  # only genera and what is below them are lost with all their members
    between = ~low & ~genera & (chance < without_rank)
    between[: len(GROUPS)] = False
    known: Mask = ~lost & ~between
    return known


class _Source:
    """What one source says."""

    def __init__(self, truth: Truth, rng: np.random.Generator, known: Mask) -> None:
        self.truth, self.rng, self.known = truth, rng, known
        parent = truth.parent.astype(np.int64)
        for level in shape_of(truth.parent).levels[2:]:
            above = parent[level]
            parent[level] = np.where(known[above], above, parent[above])
        self.parent = parent
        self.stem, self.genus = truth.stem.copy(), truth.genus.copy()
        self.wrong = np.zeros(len(truth), np.bool_)
        self.names: list[str] = []
        self.synonyms: list[tuple[Longs, list[str], str]] = []
        self.used = _OTHER

    def _some(self, where: Mask, share: float) -> Longs:
        return np.flatnonzero(where & (self.rng.random(len(where)) < share))

    def move_genera(self, both: Mask, share: float) -> None:
        """Put genera into any other family (or subfamily) of their group."""
        truth = self.truth
        families = (truth.of_rank("family") | truth.of_rank("subfamily")) & self.known
        moved = self._some(truth.of_rank("genus") & both, share)
        for group in np.unique(truth.group[moved]):
            homes = np.flatnonzero(families & (truth.group == group))
            those = moved[truth.group[moved] == group]
            if len(homes):
                self.parent[those] = self.rng.choice(homes, len(those))

    def rename(self, both: Mask, share: float) -> None:
        """Call species by other epithets or in other genera, genera by other names."""
        truth = self.truth
        genera = self._some(truth.of_rank("genus") & both, share / 10)
        self.stem[genera] = len(truth) + len(_SYLLABLES) ** 2 + np.arange(len(genera))
        species = self._some(truth.of_rank("species") & both, share)
        self.stem[species] = self._fresh(len(species))
        elsewhere = species[: len(species) // 2]
        self.rng.shuffle(elsewhere)
        all_genera = truth.of_rank("genus")
        for group in np.unique(truth.group[elsewhere]):
            those = elsewhere[truth.group[elsewhere] == group]
            self.genus[those] = self.rng.choice(np.flatnonzero(all_genera & (truth.group == group)), len(those))

    def _fresh(self, many: int) -> Longs:
        """Places on the walk of any genus that nothing else has."""
        self.used += many
        return np.arange(self.used - many, self.used)

    def misspell(self, share: float) -> None:
        """Give epithets that have a gender another one; not those that subspecies repeat."""
        truth = self.truth
        species = truth.of_rank("species") & self.known & (self.stem == truth.stem) & (self.genus == truth.genus)
        species[truth.parent[truth.of_rank("subspecies")]] = False
        species[species] = self.stem[truth.genus[species]] == truth.stem[truth.genus[species]]
        walk = truth.walk[truth.genus[species]]
        epithet = (walk[:, 0] + truth.stem[species] * walk[:, 1]) % _EPITHETS
        species[species] = _has_gender(epithet)
        wanted = share * int((truth.of_rank("species") & self.known).sum())
        self.wrong[self._some(species, wanted / max(1, int(species.sum())))] = True

    def list_synonyms(self, nodes: Longs, names: npt.NDArray[np.object_]) -> None:
        """List names of the other source."""
        self.synonyms.append((nodes, names[nodes].tolist(), "synonym"))

    def list_strays(self, both: Mask, share: float) -> None:
        """List names of other species that both sources have: misapplied, or used in part."""
        nodes = self._some(self.truth.of_rank("species") & both, share)
        others = self.rng.choice(np.flatnonzero(self.truth.of_rank("species") & both), len(nodes))
        half = len(nodes) // 2
        others[:half] = np.minimum(nodes[:half] + 1, len(self.truth) - 1)  # mostly of the same genus
        ok = both[others] & (others != nodes)
        self.synonyms.append((nodes[ok], [self.names[other] for other in others[ok].tolist()], "synonym"))

    def list_unrelated(self) -> None:
        """List names that nobody else knows, and authorities."""
        species = self._some(self.truth.of_rank("species") & self.known, 0.15)
        many = self._fresh(len(species)).tolist()
        names, genus = self.names, self.genus[species].tolist()
        made = [f"{names[g]} {_stem(number)}ella" for g, number in zip(genus, many, strict=True)]
        self.synonyms.append((species, made, "synonym"))
        cited = self._some(self.truth.of_rank("species") & self.known, 0.2)
        self.synonyms.append((cited, [f"{names[n]} (Autor, 1900)" for n in cited.tolist()], "authority"))

    def write(self, folder: Path) -> Written:
        """Both tables."""
        folder.mkdir(parents=True, exist_ok=True)
        nodes = np.flatnonzero(self.known)
        uid = np.zeros(len(self.truth) + 1, np.int64)
        uid[nodes] = self.rng.permutation(len(nodes)) + 1
        ranks, names = self.truth.ranks, self.names
        order = self.rng.permutation(nodes)
        rows = zip(
            *(uid[order].tolist(), uid[self.parent[order]].tolist(), order.tolist()),
            self.truth.rank[order].tolist(),
            strict=True,
        )
        with (folder / "taxonomy.tsv").open("w", encoding="utf-8") as file:
            file.write("uid\t|\tparent_uid\t|\tname\t|\trank\t|\t\n")
            file.writelines(f"{u}\t|\t{p or ''}\t|\t{names[n]}\t|\t{ranks[r]}\t|\t\n" for u, p, n, r in rows)
        with (folder / "synonyms.tsv").open("w", encoding="utf-8") as file:
            file.write("uid\t|\tname\t|\ttype\t|\t\n")
            for those, texts, kind in self.synonyms:
                pairs = zip(uid[those].tolist(), texts, strict=True)
                file.writelines(f"{u}\t|\t{text}\t|\t{kind}\t|\t\n" for u, text in pairs)
        return Written(folder, nodes, uid[nodes], self.parent[nodes])


def _has_gender(epithet: Longs) -> Mask:
    """Whether the epithet of a number ends in -us, -a, -um; as :func:`named` has it."""
    has: Mask = epithet % 2 == 0
    return has
