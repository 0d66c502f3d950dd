"""What a label becomes by a taxonomy, compared with the published one. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from tol_db.taxonomy.name_forms import without_hybrid_sign
from tol_db.taxonomy.names import Lineage
from tol_db.taxonomy.ranks import RANKS
from tol_db.taxonomy.resolve import Lookup, Query, Resolution, State, resolve

_ABOVE_GENUS: Final = RANKS[:5]


class Change(enum.StrEnum):
    """What a taxonomy makes of a label."""

    SAME = "same"
    FILLED = "filled"
    MOVED = "moved"
    RENAMED = "renamed"
    CONFLICTING = "conflicting"
    UNRESOLVED = "unresolved"
    AMBIGUOUS = "ambiguous"


CHANGE_MEANING: Final = {
    Change.SAME: "as published",
    Change.FILLED: "ranks (or a common name) that were empty are filled",
    Change.MOVED: "a rank above the genus has another name: the taxon stands elsewhere, or its group was renamed",
    Change.RENAMED: "genus or species (or the common name, if asked) has another name: a synonym was published",
    Change.CONFLICTING: "published in another kingdom than the taxon's; kept as published unless asked",
    Change.UNRESOLVED: "the name is not in the taxonomy, or not in its published kingdom; kept as published",
    Change.AMBIGUOUS: "the name means several taxa and its lineage does not tell which; kept as published",
}

GENUS_ONLY: Final = "genus"
"""How a label was resolved of which the taxonomy knows the genus, not the species."""


@dataclass(frozen=True, slots=True)
class Relabelled:
    """What a label becomes.

    Attributes:
        state, how: of its name; how is None where it has no answer.
        taxon: the id of the taxon, None where there is none.
        change: against the published label.
        lineage: the new label; the published one where nothing is known.
        detail: why there is no taxon, or what the change is.
        takes_names: whether the taxon's vernacular names are the label's.
    """

    state: State
    how: str | None
    taxon: int | None
    change: Change
    lineage: Lineage
    detail: str
    takes_names: bool


def relabel(lookup: Lookup, labels: Sequence[Lineage], *, replace_conflicting: bool = False) -> list[Relabelled]:
    """What labels become.

    Args:
        lookup: the taxonomy.
        labels: in the shown form.
        replace_conflicting: give a label also the kingdom that contradicts its published one.
    """
    resolutions = resolve(lookup, [_query(label) for label in labels])
    unknown = [
        number
        for number, (label, answer) in enumerate(zip(labels, resolutions, strict=True))
        if answer.state == State.UNMATCHED and not answer.candidates and label.genus and label.species
    ]
    genera = resolve(lookup, [_query(replace(labels[number], species="")) for number in unknown])
    of_genus = dict(zip(unknown, genera, strict=True))
    return [
        _compared(lookup, label, answer, of_genus.get(number), replace_conflicting)
        for number, (label, answer) in enumerate(zip(labels, resolutions, strict=True))
    ]


def _query(label: Lineage) -> Query:
    """The deepest name of a label, the names above it as its context."""
    names = list(zip(RANKS, label.as_tuple(), strict=True))
    if label.species:
        name = f"{label.genus} {label.species}" if label.genus else ""
        return Query(name, tuple(names[:5]), "species")
    while names and not names[-1][1]:
        names.pop()
    if not names:
        return Query("")
    rank, name = names.pop()
    return Query(name, tuple(names), rank)


def _compared(
    lookup: Lookup, label: Lineage, answer: Resolution, genus: Resolution | None, replace_conflicting: bool
) -> Relabelled:
    if answer.state == State.AMBIGUOUS:
        return Relabelled(answer.state, answer.how, None, Change.AMBIGUOUS, label, answer.detail, False)
    if answer.match is None and genus is not None and genus.match is not None and not genus.match.is_synonym:
        # where a genus has gone, its species may have gone elsewhere: only an accepted genus says where they stand
        lineage = replace(_merged(lookup, label, genus), species=label.species)
        return _by_genus(_judged(label, lineage, genus, replace_conflicting))
    if answer.match is None:
        detail = "an epithet without a genus" if label.species and not label.genus else answer.detail
        return Relabelled(State.UNMATCHED, None, None, Change.UNRESOLVED, label, detail, False)
    lineage = _merged(lookup, label, answer)
    if (label.species and not lineage.species) or (label.genus and not lineage.genus):
        detail = f"it means {answer.match.node.name}, a {answer.match.node.rank}"
        return Relabelled(State.UNMATCHED, None, None, Change.UNRESOLVED, label, detail, False)
    return _judged(label, lineage, answer, replace_conflicting)


def _by_genus(result: Relabelled) -> Relabelled:
    """The species is unknown; what its genus tells of the ranks above is taken."""
    change = Change.UNRESOLVED if result.change == Change.SAME else result.change
    detail = f"the species is not in the taxonomy; {result.detail or 'its genus stands as published'}"
    return replace(result, state=State.UNMATCHED, how=GENUS_ONLY, change=change, detail=detail, takes_names=False)


def _merged(lookup: Lookup, label: Lineage, answer: Resolution) -> Lineage:
    """The taxon's lineage; where that has no name at a rank, the published one stays unless it is elsewhere.

    A published kingdom that the taxonomy has as a domain stays, too.
    """
    assert answer.match is not None and answer.verdict is not None
    ranks = dict(zip(RANKS, lookup.place(answer.match.node.id).ranks.as_tuple(), strict=True))
    elsewhere = answer.verdict.against | answer.verdict.moved
    for rank, name in zip(RANKS, label.as_tuple(), strict=True):
        if name and not ranks[rank] and rank not in elsewhere and rank in _ABOVE_GENUS:
            ranks[rank] = name
    if label.kingdom and "kingdom" in answer.verdict.agreed and _is_above(lookup, label.kingdom, answer):
        ranks["kingdom"] = label.kingdom
    if label.genus == ranks["genus"] and without_hybrid_sign(label.species) == without_hybrid_sign(
        ranks["species"]
    ):
        ranks["species"] = label.species
    depth = max((i for i, name in enumerate(label.as_tuple()) if name), default=-1)
    return Lineage.of([ranks[rank] if i <= depth else "" for i, rank in enumerate(RANKS)])


def _is_above(lookup: Lookup, kingdom: str, answer: Resolution) -> bool:
    assert answer.match is not None
    return any(node.name == kingdom for node in lookup.place(answer.match.node.id).lineage)


def _judged(label: Lineage, lineage: Lineage, answer: Resolution, replace_conflicting: bool) -> Relabelled:
    assert answer.match is not None
    change = _change(label, lineage)
    is_kept = change == Change.CONFLICTING and not replace_conflicting
    return Relabelled(
        state=answer.state,
        how=answer.how,
        taxon=answer.match.node.id,
        change=change,
        lineage=label if is_kept else lineage,
        detail=_differences(label, lineage),
        takes_names=not is_kept,
    )


def _change(label: Lineage, lineage: Lineage) -> Change:
    pairs = dict(zip(RANKS, zip(label.as_tuple(), lineage.as_tuple(), strict=True), strict=True))
    other = {rank for rank, (published, now) in pairs.items() if published and published != now}
    if "kingdom" in other:
        return Change.CONFLICTING
    if other & {"genus", "species"}:
        return Change.RENAMED
    if other:
        return Change.MOVED
    return Change.SAME if label == lineage else Change.FILLED


def _differences(label: Lineage, lineage: Lineage) -> str:
    """``family Lymantriidae → Erebidae, genus - → Parus``."""
    return ", ".join(
        f"{rank} {published or '-'} → {now or '-'}"
        for rank, published, now in zip(RANKS, label.as_tuple(), lineage.as_tuple(), strict=True)
        if published != now
    )
