"""Which taxon a name means, its lineage considered. Pure: what a taxonomy knows is asked through :class:`Lookup`.

A name is looked for as it stands, then without authorship, then with its epithet in another gender, then as the
species of an infraspecific name. What is found first and fits its context is the answer; two answers are none.

The context is the rest of a lineage. Each of its names speaks *for* a candidate that it is an ancestor of, under a
synonym too; *against* one that lies in another kingdom or phylum than everything that the name means; and is
silent where the taxonomy does not know it, or knows it elsewhere in the same phylum (families move). A candidate
that nothing below the kingdom speaks for and something speaks against is out, also when it is the only one: a
homonym of something that this taxonomy does not have.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tol_db.taxonomy.name_forms import Canonical, canonical, gender_variants, listed_forms, tidy
from tol_db.taxonomy.names import Lineage
from tol_db.taxonomy.seven_ranks import Node, is_high, major_rank, shown_kingdom

_KNOWN_KINGDOMS: Final = frozenset(["Animalia", "Plantae", "Fungi", "Bacteria", "Archaea", "Viruses"])
"""Kingdoms that mean the same to everybody: enough to tell homonyms apart where a taxonomy does not name them."""


class State(enum.StrEnum):
    """What came of a name."""

    MATCHED = "matched"
    SYNONYM = "synonym"
    HOMONYM_RESOLVED = "homonym-resolved"
    AMBIGUOUS = "ambiguous"
    UNMATCHED = "unmatched"


class How(enum.StrEnum):
    """By which form of the name its taxon was found."""

    EXACT = "exact"
    CANONICAL = "canonical form"
    GENDER = "gender variant"
    SPECIES = "species"


@dataclass(frozen=True, slots=True)
class Query:
    """A name to be resolved.

    Attributes:
        name: as it was given.
        context: (rank, name) of its lineage, in any order; names that are "" say nothing.
        rank: of the seven, which one the name has; None where that is not known.
    """

    name: str
    context: tuple[tuple[str, str], ...] = ()
    rank: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A taxon that has a name.

    Attributes:
        node: the taxon.
        name: the string that was found.
        is_synonym: it is not the taxon's accepted name.
    """

    node: Node
    name: str
    is_synonym: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a taxon stands.

    Attributes:
        lineage: itself first, the root last; above: the ids of its ancestors.
        ranks: the seven in the shown form.
    """

    lineage: tuple[Node, ...]
    above: frozenset[int]
    ranks: Lineage

    def lies_in(self, taxa: frozenset[int]) -> bool:
        """Whether one of some taxa is it or an ancestor of it."""
        return self.lineage[0].id in taxa or not self.above.isdisjoint(taxa)


class Lookup(Protocol):
    """What a taxonomy knows."""

    def find(self, names: Collection[str]) -> Mapping[str, Sequence[Match]]:
        """Name → taxa that have it, as accepted name or synonym; names that nothing has are left out."""

    def know(self, names: Collection[str]) -> None:
        """Make :meth:`meaning` ready for these names."""

    def meaning(self, name: str) -> frozenset[int]:
        """Ids of the taxa that a name of a context means."""

    def load(self, ids: Iterable[int]) -> None:
        """Make :meth:`place` ready for these taxa."""

    def place(self, id: int) -> Place:
        """Where a taxon stands."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a context says of a candidate.

    Attributes:
        agreed, against: ranks whose names speak for it, or against it.
        moved: ranks whose names are known elsewhere in its phylum.
    """

    match: Match
    agreed: frozenset[str]
    against: frozenset[str]
    moved: frozenset[str]

    @property
    def is_out(self) -> bool:
        return bool(self.against) and not self.agreed - {"kingdom"}


@dataclass(frozen=True, slots=True)
class Resolution:
    """What came of a query.

    Attributes:
        match: the taxon and the name that led to it; None where there is no answer.
        verdict: what its context says of it.
        candidates: taxa that were considered, in order of their ids.
        detail: why there is no answer, or what else is to be known.
    """

    query: Query
    state: State
    how: How | None = None
    match: Match | None = None
    verdict: Verdict | None = None
    candidates: tuple[Node, ...] = ()
    detail: str = ""


def resolve(lookup: Lookup, queries: Sequence[Query]) -> list[Resolution]:
    """Resolve names, all of them at once: the lookup is asked a few times for thousands of names.

    The answer to a query depends on it and the taxonomy alone, not on the other queries.
    """
    lookup.know({name for query in queries for rank, name in query.context if _tells(query.name, rank, name)})
    answers: dict[int, Resolution] = {}
    open_queries = list(enumerate(queries))
    parsed: dict[str, Canonical | None] = {}
    for how in How:
        forms = {number: _forms(query.name, how, parsed) for number, query in open_queries}
        found = lookup.find({form for some in forms.values() for form in some})
        lookup.load(match.node.id for matches in found.values() for match in matches)
        left = []
        for number, query in open_queries:
            matches = next((found[form] for form in forms[number] if form in found), ())
            answer = _decide(lookup, query, how, matches) if matches else None
            if answer is not None and (number not in answers or answer.state != State.UNMATCHED):
                answers[number] = answer
            if answer is None or answer.state == State.UNMATCHED:
                left.append((number, query))
        open_queries = left
        if not open_queries:
            break
    return [answers.get(number) or _unknown(query, parsed) for number, query in enumerate(queries)]


def _unknown(query: Query, parsed: Mapping[str, Canonical | None]) -> Resolution:
    if not tidy(query.name):
        return Resolution(query, State.UNMATCHED, detail="no name")
    no_name = query.name in parsed and parsed[query.name] is None
    detail = "not in the taxonomy" + (", and cannot be read as a scientific name" if no_name else "")
    return Resolution(query, State.UNMATCHED, detail=detail)


def _forms(name: str, how: How, parsed: dict[str, Canonical | None]) -> tuple[str, ...]:
    """The strings to look for, the likeliest first."""
    if how == How.EXACT:
        return (tidy(name),)
    if name not in parsed:
        parsed[name] = canonical(name)
    form = parsed[name]
    if form is None:
        return ()
    if how == How.CANONICAL:
        return listed_forms(form)
    if how == How.GENDER:
        return gender_variants(form)
    return (form.binomial,) if form.infraspecific else ()


def _decide(lookup: Lookup, query: Query, how: How, matches: Sequence[Match]) -> Resolution:
    verdicts = [_judge(lookup, query, match) for match in _of_its_rank(query, _distinct(matches))]
    candidates = tuple(verdict.match.node for verdict in verdicts)
    if not verdicts:
        ranks = ", ".join(sorted({match.node.rank for match in matches}))
        return Resolution(query, State.UNMATCHED, detail=f"only as {ranks}")
    fitting = [verdict for verdict in verdicts if not verdict.is_out]
    if not fitting:
        return Resolution(query, State.UNMATCHED, candidates=candidates, detail=_why_out(lookup, query, verdicts))
    best = _best(lookup, fitting)
    if best is None:
        detail = f"{len(fitting)} taxa have this name" + ("" if query.context else ", and no context is given")
        return Resolution(query, State.AMBIGUOUS, how, candidates=candidates, detail=detail)
    contrary = _spoken_for_by_another(best, verdicts)
    if contrary:
        named = ", ".join(f"{rank} {name}" for rank, name in query.context if rank in contrary)
        return Resolution(
            query, State.AMBIGUOUS, how, candidates=candidates, detail=f"its context contradicts itself: {named}"
        )
    state = _state(lookup, best, verdicts)
    return Resolution(query, state, how, best.match, best, candidates, _misfits(query, best))


def _state(lookup: Lookup, best: Verdict, verdicts: Sequence[Verdict]) -> State:
    """Whether it was told from a homonym; a taxon that had the name once and is its neighbour is none."""
    ranks = lookup.place(best.match.node.id).ranks
    for other in verdicts:
        if other is not best and (
            other.is_out
            or other.match.is_synonym == best.match.is_synonym
            or _apart(lookup.place(other.match.node.id).ranks, ranks)
        ):
            return State.HOMONYM_RESOLVED
    return State.SYNONYM if best.match.is_synonym else State.MATCHED


def _distinct(matches: Sequence[Match]) -> list[Match]:
    """One match for each taxon, by its accepted name where it has both."""
    found: dict[int, Match] = {}
    for match in matches:
        known = found.get(match.node.id)
        if known is None or (known.is_synonym and not match.is_synonym):
            found[match.node.id] = match
    return [found[id] for id in sorted(found)]


def _of_its_rank(query: Query, matches: list[Match]) -> list[Match]:
    """Without those of a disparate rank; those of the very rank alone, where there are some."""
    wanted = query.rank or ("species" if " " in tidy(query.name) else None)
    if wanted is None:
        return matches
    high = is_high(wanted)
    kept = [match for match in matches if is_high(match.node.rank) in (high, None)]
    same = [match for match in kept if major_rank(match.node.rank) == query.rank] if query.rank else []
    return same or kept


def _judge(lookup: Lookup, query: Query, match: Match) -> Verdict:
    place = lookup.place(match.node.id)
    sorted_ranks: dict[str, set[str]] = {"agreed": set(), "against": set(), "moved": set()}
    for rank, name in query.context:
        if _tells(match.name, rank, name):
            said = _says(lookup, place, rank, name)
            if said:
                sorted_ranks[said].add(rank)
    return Verdict(
        match,
        frozenset(sorted_ranks["agreed"]),
        frozenset(sorted_ranks["against"]),
        frozenset(sorted_ranks["moved"]),
    )


def _tells(query_name: str, rank: str, name: str) -> bool:
    """Whether a name of a context can tell anything: homonyms share the genus that they begin with."""
    return bool(name) and not (rank == "genus" and query_name.startswith(name))


def _says(lookup: Lookup, place: Place, rank: str, name: str) -> str:
    """``agreed``, ``against``, ``moved`` or, where a name tells nothing, ""."""
    meaning = lookup.meaning(name)
    if place.lies_in(meaning):
        return "agreed"
    if rank == "kingdom":
        shown = shown_kingdom(name)
        if shown == place.ranks.kingdom:
            return "agreed"
        if place.ranks.kingdom in _KNOWN_KINGDOMS and shown in _KNOWN_KINGDOMS:
            return "against"
    if not meaning:
        return ""
    elsewhere = all(_apart(lookup.place(id).ranks, place.ranks) for id in meaning)
    return "against" if elsewhere else "moved"


def _apart(one: Lineage, other: Lineage) -> bool:
    """Whether two taxa lie in different kingdoms, or in different phyla."""
    if one.kingdom and other.kingdom and one.kingdom != other.kingdom:
        return True
    return bool(one.phylum and other.phylum and one.phylum != other.phylum)


def _best(lookup: Lookup, fitting: Sequence[Verdict]) -> Verdict | None:
    """The candidate that everything speaks for that speaks for any other, and more; or the only one."""
    if len(fitting) == 1:
        return fitting[0]
    most = max(fitting, key=lambda verdict: len(verdict.agreed))
    others = (other for other in fitting if other is not most)
    if all(other.agreed < most.agreed and most.against <= other.against for other in others):
        return most
    return _accepted(lookup, fitting)


def _accepted(lookup: Lookup, fitting: Sequence[Verdict]) -> Verdict | None:
    """The one that has the name as its accepted name, if the others are its neighbours and as well spoken for."""
    accepted = [verdict for verdict in fitting if not verdict.match.is_synonym]
    if len(accepted) != 1:
        return None
    place = lookup.place(accepted[0].match.node.id).ranks
    for other in fitting:
        ranks = lookup.place(other.match.node.id).ranks
        same_kingdom = ranks.kingdom == place.kingdom != "" or ranks.phylum == place.phylum != ""
        if not same_kingdom or not other.agreed <= accepted[0].agreed:
            return None
    return accepted[0]


def _spoken_for_by_another(best: Verdict, verdicts: Sequence[Verdict]) -> frozenset[str]:
    """Ranks of the context that speak against the best candidate and for another one."""
    return frozenset().union(*(best.against & other.agreed for other in verdicts if other is not best))


def _why_out(lookup: Lookup, query: Query, verdicts: Sequence[Verdict]) -> str:
    against = frozenset().union(*(verdict.against for verdict in verdicts))
    named = ", ".join(f"{rank} {name}" for rank, name in query.context if rank in against)
    places = [lookup.place(verdict.match.node.id).ranks for verdict in verdicts]
    there = sorted({" ".join(filter(None, (p.kingdom, p.phylum))) or "another part of the tree" for p in places})
    return f"its context is {named}; the name is known in {' and '.join(there)} only"


def _misfits(query: Query, verdict: Verdict) -> str:
    named = [f"{rank} {name}" for rank, name in query.context if rank in verdict.against]
    return f"does not lie in {', '.join(named)}" if named else ""
