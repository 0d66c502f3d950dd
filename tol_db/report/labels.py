"""Published labels beside those of a taxonomy: how many are the same, filled, moved, …, and which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest, nsmallest
from itertools import groupby
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import query, scalar
from tol_db.db.engine import Database
from tol_db.errors import UsageError
from tol_db.report.tables import indented, percent, table
from tol_db.taxonomy.lookup import TaxonomyRef, find_taxonomy
from tol_db.taxonomy.names import Lineage, scientific, taxonomic
from tol_db.taxonomy.relabelled import CHANGE_MEANING, Change
from tol_db.taxonomy.resolve import State

EXAMPLES: Final = 3
"""Labels named for each state."""


@dataclass(frozen=True, slots=True)
class Example:
    """A label and what became of it."""

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class SourceCount:
    """Images of one source whose published label became this."""

    source: str
    images: int


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """What became of some published labels.

    Attributes:
        change: same, filled, moved, renamed, conflicting, unresolved, ambiguous; meaning: the same in words.
        labels, images: how many; sources: the images by source.
        examples: those of the most images.
    """

    change: str
    meaning: str
    labels: int
    images: int
    sources: tuple[SourceCount, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Published labels compared with those of a taxonomy.

    Attributes:
        taxonomy: ``name@version``.
        applied: images that have a label of a taxonomy today.
        unknown: published labels that came after `tol-db label`.
        changes: by what became of them.
        states: what became of the names: state → labels.
    """

    taxonomy: str
    applied: int
    unknown: int
    changes: tuple[ChangeReport, ...]
    states: dict[str, int]


@dataclass(frozen=True, slots=True)
class ListedLabel:
    """A published label and what became of it.

    Attributes:
        published, now: the seven ranks; now is what images get.
        taxon: the taxon's id in its taxonomy, None where there is none.
    """

    images: int
    change: str
    state: str
    how: str | None
    published: tuple[str, ...]
    published_common_name: str
    now: tuple[str, ...]
    common_name: str
    taxon: str | None
    detail: str


# one pass over image
_IMAGES: Final = """
SELECT coalesce(published_label_id, label_id) AS label_id, source_id, count(*) AS images
FROM image WHERE label_id IS NOT NULL GROUP BY 1, 2"""

# from labels of images to their decisions by primary key
_COUNTS: Final = f"""
SELECT r.change, r.label_id, s.key, n.images
FROM ({_IMAGES}) AS n
CROSS JOIN label_resolution r ON r.taxonomy_id = ? AND r.label_id = n.label_id
CROSS JOIN source s ON s.id = n.source_id
ORDER BY n.label_id, s.id"""  # noqa: S608

_LABELS: Final = "SELECT change, state, count(*) FROM label_resolution WHERE taxonomy_id = ? GROUP BY change, state"

_RANKS: Final = '{0}.kingdom, {0}.phylum, {0}.class, {0}."order", {0}.family, {0}.genus, {0}.species'

_ONE: Final = f"""
SELECT r.change, r.state, r.how, {_RANKS.format("l")}, l.common_name, {_RANKS.format("m")}, m.common_name,
       t.source_key, coalesce(r.detail, '')
FROM label_resolution r JOIN label l ON l.id = r.label_id JOIN label m ON m.id = r.new_label_id
LEFT JOIN taxon t ON t.id = r.taxon_id
WHERE r.taxonomy_id = ? AND r.label_id = ?"""  # noqa: S608

_OF_STATE: Final = "SELECT label_id FROM label_resolution WHERE taxonomy_id = ? AND ? IN (change, state)"

_UNKNOWN: Final = """
SELECT count(*) FROM label l WHERE l.resolution <> 'resolved'
  AND NOT EXISTS (SELECT 1 FROM label_resolution r WHERE r.taxonomy_id = ? AND r.label_id = l.id)"""


def compare(db: Database, taxonomy: str | None = None) -> Comparison:
    """Count published labels and their images by what a taxonomy makes of them; half a minute at ten million.

    Raises:
        UsageError: no such taxonomy, or `tol-db label` did not use it yet.
    """
    with db.read() as conn:
        ref = _labelled_by(conn, taxonomy)
        counts = {str(change): _Counted() for change in Change}
        states: Counter[str] = Counter()
        for change, state, labels in query(conn, _LABELS, (ref.id,)):
            counts[change].labels += labels
            states[state] += labels
        for (change, label), rows in groupby(query(conn, _COUNTS, (ref.id,)), lambda row: row[:2]):
            counts[change].add(label, {key: images for *_, key, images in rows})
        return Comparison(
            taxonomy=str(ref),
            applied=scalar(conn, "SELECT count(*) FROM image WHERE published_label_id IS NOT NULL"),
            unknown=scalar(conn, _UNKNOWN, (ref.id,)),
            changes=tuple(_change_report(conn, ref, change, counts[change]) for change in Change),
            states=dict(sorted(states.items())),
        )


class _Counted:
    """Labels of one state, counted; those of the most images are remembered."""

    def __init__(self) -> None:
        self.labels = 0
        self.images: Counter[str] = Counter()
        self.most: list[tuple[int, int]] = []

    def add(self, label: int, images: dict[str, int]) -> None:
        self.images.update(images)
        self.most = nlargest(EXAMPLES, [*self.most, (sum(images.values()), -label)])


def _change_report(conn: sa.Connection, ref: TaxonomyRef, change: Change, counted: _Counted) -> ChangeReport:
    examples = []
    for images, label in counted.most:
        row = _listed_label(conn, ref, -label, images)
        examples.append(Example(_name(row.published), row.detail))
    return ChangeReport(
        change=change,
        meaning=CHANGE_MEANING[change],
        labels=counted.labels,
        images=counted.images.total(),
        sources=tuple(SourceCount(key, images) for key, images in counted.images.items()),
        examples=tuple(examples),
    )


def listed_labels(db: Database, taxonomy: str | None, state: str, limit: int | None) -> Iterator[ListedLabel]:
    """Labels of a state, those of the most images first.

    Args:
        db: the database.
        taxonomy: as for :func:`compare`.
        state: a :class:`Change` or a :class:`State`.
        limit: how many at most; None: all.

    Raises:
        UsageError: no such state; as :func:`compare`.
    """
    known = [*Change, *(name for name in State if str(name) not in list(Change))]
    if state not in list(map(str, known)):
        raise UsageError(f"no state {state!r}", hint=f"states: {', '.join(known)}")
    with db.read() as conn:
        ref = _labelled_by(conn, taxonomy)
        per_label = f"SELECT label_id, sum(images) FROM ({_IMAGES}) GROUP BY label_id"  # noqa: S608
        images: dict[int, int] = dict(query(conn, per_label))
        labels = [(-images.get(label, 0), label) for (label,) in query(conn, _OF_STATE, (ref.id, state))]
        for fewer, label in sorted(labels) if limit is None else nsmallest(limit, labels):
            yield _listed_label(conn, ref, label, -fewer)


def label_rows(
    db: Database, taxonomy: str | None, state: str | None, limit: int | None
) -> Iterator[Sequence[object]]:
    """The same as rows under a heading."""
    if state is None:
        yield ("change", "source", "images")
        for change in compare(db, taxonomy).changes:
            yield from ((change.change, count.source, count.images) for count in change.sources)
        return
    yield (
        *("images", "change", "state", "how"),
        *(f"published_{rank}" for rank in (*_COLUMNS, "common_name")),
        *(*_COLUMNS, "common_name", "taxon", "detail"),
    )
    for row in listed_labels(db, taxonomy, state, limit):
        yield (
            *(row.images, row.change, row.state, row.how or ""),
            *(*row.published, row.published_common_name, *row.now, row.common_name, row.taxon or "", row.detail),
        )


_COLUMNS: Final = ("kingdom", "phylum", "class", "order", "family", "genus", "species")


def _labelled_by(conn: sa.Connection, wanted: str | None) -> TaxonomyRef:
    """The taxonomy that is asked for, or the latest one that labels were resolved by."""
    if wanted is None:
        row = next(
            query(
                conn,
                """SELECT name || '@' || version FROM taxonomy t
                   WHERE EXISTS (SELECT 1 FROM label_resolution r WHERE r.taxonomy_id = t.id)
                   ORDER BY created_at DESC, id DESC LIMIT 1""",
            ),
            None,
        )
        if row is None:
            raise UsageError("no label was resolved by a taxonomy yet", hint="run `tol-db label`")
        wanted = row[0]
    ref = find_taxonomy(conn, wanted)
    resolved = "SELECT EXISTS (SELECT 1 FROM label_resolution WHERE taxonomy_id = ?)"
    if not scalar(conn, resolved, (ref.id,)):
        raise UsageError(f"no label was resolved by {ref} yet", hint=f"run `tol-db label --taxonomy {ref}`")
    return ref


def _listed_label(conn: sa.Connection, ref: TaxonomyRef, label: int, images: int) -> ListedLabel:
    change, state, how, *names, taxon, detail = next(query(conn, _ONE, (ref.id, label)))
    return ListedLabel(
        images=images,
        change=change,
        state=state,
        how=how,
        published=tuple(names[:7]),
        published_common_name=names[7],
        now=tuple(names[8:15]),
        common_name=names[15],
        taxon=taxon,
        detail=detail,
    )


def _name(ranks: Sequence[str]) -> str:
    lineage = Lineage.of(ranks)
    return scientific(lineage) or taxonomic(lineage)


# ------------------------------------------------------------------ as text


def comparison_text(found: Comparison, width: int | None = None) -> str:
    """A table of states, and examples of those that changed."""
    labels = sum(change.labels for change in found.changes)
    images = sum(change.images for change in found.changes)
    sources = list(dict.fromkeys(count.source for change in found.changes for count in change.sources))
    rows = []
    for change in found.changes:
        of_source = {count.source: count.images for count in change.sources}
        rows.append(
            (
                *(change.change, change.labels, percent(change.labels, labels)),
                *(change.images, percent(change.images, images)),
                *(of_source.get(source, 0) for source in sources),
            )
        )
    applied = f"{found.applied:,} images have another label than the published one"
    parts = [
        f"published labels by {found.taxonomy}; {applied if found.applied else 'images have the published ones'}"
    ]
    if found.unknown:
        parts.append(f"{found.unknown:,} labels came later: run `tol-db label` again")
    parts.append(indented(table(("became", "labels", "%", "images", "%", *sources), rows, width and width - 2)))
    for change in found.changes:
        if change.examples and change.change != Change.SAME:
            lines = (f"{example.name}: {example.detail}" for example in change.examples)
            parts.append(f"{change.change}: {change.meaning}\n" + indented("\n".join(lines)))
    return "\n\n".join(parts)


def listed_text(labels: Sequence[ListedLabel], width: int | None = None) -> str:
    """A line for each label."""
    if not labels:
        return "none"
    rows = [
        (row.images, _name(row.published), row.published[0], row.state, row.how, row.detail or None)
        for row in labels
    ]
    return table(("images", "published name", "kingdom", "state", "how", "detail"), rows, width)
