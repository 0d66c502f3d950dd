"""What the database holds: images by source, labels, taxonomies, splits, blacklists, containers, licences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import query, scalar
from tol_db.db.engine import Database
from tol_db.progress import track
from tol_db.report.tables import indented, percent, table
from tol_db.taxonomy.ranks import RANKS


@dataclass(frozen=True, slots=True)
class RankCount:
    """How many images of a source have a name at a rank."""

    rank: str
    images: int


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """A source of images.

    Attributes:
        located: images whose file was found; labelled: images with a label.
        all_ranks: images with all seven ranks; ranks: images with each of them, kingdom first.
    """

    key: str
    title: str
    release: str | None
    root: str | None
    images: int
    located: int
    labelled: int
    all_ranks: int
    ranks: tuple[RankCount, ...]


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """Distinct labels that came one way (``published``, ``folder_name``, …); with_species: that name a species."""

    resolution: str
    labels: int
    with_species: int
    with_common_name: int


@dataclass(frozen=True, slots=True)
class TaxonomySummary:
    """A taxonomy.

    Attributes:
        kind: ``source`` or ``assembled``; priority: of a source, 1 is heard first.
        labels: published labels that were looked up in it; resolved: for which it has a taxon.
    """

    name: str
    version: str
    kind: str
    priority: int | None
    taxa: int
    labels: int
    resolved: int


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """A split; parent: it was drawn from this; complement_of: it is disjoint from this."""

    name: str
    images: int
    policy: str
    parent: str | None
    complement_of: str | None
    seed: int | None
    fraction: float | None


@dataclass(frozen=True, slots=True)
class BlacklistSummary:
    """A blacklist; matched entries are those that mean an image or a label of this database.

    Attributes:
        images: that image entries name; labels: that taxon entries name; labelled_images: that have such a label.
        datasets: that it binds today.
    """

    name: str
    reason: str
    image_entries: int
    matched_image_entries: int
    images: int
    taxon_entries: int
    matched_taxon_entries: int
    labels: int
    labelled_images: int
    datasets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContainerSummary:
    """Archives or folders of a source in one state."""

    source: str
    kind: str
    state: str
    containers: int
    members: int
    bytes: int


@dataclass(frozen=True, slots=True)
class LicenceSummary:
    name: str
    link: str
    images: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What the database holds."""

    images: int
    sources: tuple[SourceSummary, ...]
    labels: tuple[LabelSummary, ...]
    taxonomies: tuple[TaxonomySummary, ...]
    splits: tuple[SplitSummary, ...]
    blacklists: tuple[BlacklistSummary, ...]
    containers: tuple[ContainerSummary, ...]
    licences: tuple[LicenceSummary, ...]


# one pass over image for each source: grouping by source would sort ten million rows
_SOURCE: Final = """
SELECT count(*), count(i.member_index), count(i.label_id), coalesce(sum(
           l.kingdom <> '' AND l.phylum <> '' AND l.class <> '' AND l."order" <> ''
           AND l.family <> '' AND l.genus <> '' AND l.species <> ''), 0),
       coalesce(sum(l.kingdom <> ''), 0), coalesce(sum(l.phylum <> ''), 0), coalesce(sum(l.class <> ''), 0),
       coalesce(sum(l."order" <> ''), 0), coalesce(sum(l.family <> ''), 0), coalesce(sum(l.genus <> ''), 0),
       coalesce(sum(l.species <> ''), 0)
FROM image i LEFT JOIN label l ON l.id = i.label_id
WHERE i.source_id = ?"""

_LABELS: Final = """
SELECT resolution, count(*), sum(species <> ''), sum(common_name <> '') FROM label
GROUP BY resolution ORDER BY count(*) DESC"""

_TAXONOMIES: Final = """
SELECT t.name, t.version, t.kind, t.priority, (SELECT count(*) FROM taxon x WHERE x.taxonomy_id = t.id),
       (SELECT count(*) FROM label_resolution r WHERE r.taxonomy_id = t.id),
       (SELECT count(r.taxon_id) FROM label_resolution r WHERE r.taxonomy_id = t.id)
FROM taxonomy t ORDER BY t.kind = 'assembled', t.priority IS NULL, t.priority, t.name, t.id"""

_SPLITS: Final = """
SELECT s.name, (SELECT count(*) FROM split_member m WHERE m.split_id = s.id), s.policy, p.name, c.name,
       s.seed, s.fraction
FROM split s LEFT JOIN split p ON p.id = s.parent_id LEFT JOIN split c ON c.id = s.complement_of_id
ORDER BY s.name"""

_BLACKLIST: Final = """
SELECT (SELECT count(*) FROM blacklist_entry WHERE blacklist_id = ?1 AND kind = 'image'),
       (SELECT count(DISTINCT entry_id) FROM v_blacklisted_image WHERE blacklist_id = ?1),
       (SELECT count(DISTINCT image_id) FROM v_blacklisted_image WHERE blacklist_id = ?1),
       (SELECT count(*) FROM blacklist_entry WHERE blacklist_id = ?1 AND kind = 'taxon'),
       (SELECT count(DISTINCT entry_id) FROM v_blacklisted_label WHERE blacklist_id = ?1),
       (SELECT count(DISTINCT label_id) FROM v_blacklisted_label WHERE blacklist_id = ?1),
       (SELECT count(*) FROM image
        WHERE label_id IN (SELECT label_id FROM v_blacklisted_label WHERE blacklist_id = ?1))"""

_BOUND: Final = """
SELECT d.name FROM v_dataset_blacklist v JOIN dataset d ON d.id = v.dataset_id
WHERE v.blacklist_id = ? ORDER BY d.name"""

_CONTAINERS: Final = """
SELECT s.key, c.kind, c.state, count(*), coalesce(sum(c.members), 0), coalesce(sum(c.bytes), 0)
FROM container c JOIN source s ON s.id = c.source_id
GROUP BY s.id, c.kind, c.state ORDER BY s.id, c.kind, c.state"""

_LICENCES: Final = """
SELECT l.name, l.link, n.images
FROM (SELECT licence_id, count(*) AS images FROM image_licence GROUP BY licence_id) AS n
JOIN licence l ON l.id = n.licence_id ORDER BY n.images DESC, l.name, l.link"""


def summarise(db: Database) -> Summary:
    """Count everything; half a minute at ten million images."""
    with db.read() as conn, track("summary", 8, "steps") as tracker:
        sources = tuple(_sources(conn))
        tracker.advance(2)
        labels = tuple(LabelSummary(*row) for row in query(conn, _LABELS))
        tracker.advance()
        taxonomies = tuple(TaxonomySummary(*row) for row in query(conn, _TAXONOMIES))
        tracker.advance()
        splits = tuple(SplitSummary(*row) for row in query(conn, _SPLITS))
        tracker.advance()
        blacklists = tuple(_blacklists(conn))
        tracker.advance()
        containers = tuple(ContainerSummary(*row) for row in query(conn, _CONTAINERS))
        tracker.advance()
        licences = tuple(LicenceSummary(*row) for row in query(conn, _LICENCES))
        tracker.advance()
        images = int(scalar(conn, "SELECT count(*) FROM image"))
    return Summary(images, sources, labels, taxonomies, splits, blacklists, containers, licences)


def _sources(conn: sa.Connection) -> Iterator[SourceSummary]:
    for id, key, title, release, root in query(
        conn, "SELECT id, key, title, release, root FROM source ORDER BY id"
    ):
        images, located, labelled, every, *ranks = next(query(conn, _SOURCE, (id,)))
        counts = tuple(RankCount(rank, number) for rank, number in zip(RANKS, ranks, strict=True))
        yield SourceSummary(key, title, release, root, images, located, labelled, every, counts)


def _blacklists(conn: sa.Connection) -> Iterator[BlacklistSummary]:
    for id, name, reason in query(conn, "SELECT id, name, reason FROM blacklist ORDER BY name"):
        entries, matched, images, taxa, matched_taxa, labels, labelled = next(query(conn, _BLACKLIST, (id,)))
        yield BlacklistSummary(
            name=name,
            reason=reason,
            image_entries=entries,
            matched_image_entries=matched,
            images=images,
            taxon_entries=taxa,
            matched_taxon_entries=matched_taxa,
            labels=labels,
            labelled_images=labelled,
            datasets=tuple(row[0] for row in query(conn, _BOUND, (id,))),
        )


# ------------------------------------------------------------------ as text


def summary_text(summary: Summary, width: int | None = None) -> str:
    """A table for each kind of thing, within ``width`` characters where a terminal sets it."""
    inner = None if width is None else width - 2
    parts = [f"{summary.images:,} images"]
    for title, columns, rows in _tables(summary):
        body = indented(table(columns, rows, inner)) if rows else "  none"
        parts.append(f"{title}\n{body}")
    return "\n\n".join(parts)


Rows = list[tuple[object, ...]]


def _tables(summary: Summary) -> Iterator[tuple[str, tuple[str, ...], Rows]]:
    yield (
        "sources",
        ("source", "release", "images", "with file", "labelled", "without label"),
        [(s.key, s.release, s.images, s.located, s.labelled, s.images - s.labelled) for s in summary.sources],
    )
    yield (
        "images with a name at each rank, %",
        ("source", *RANKS, "all seven"),
        [
            (s.key, *(_share(r.images, s.images) for r in s.ranks), _share(s.all_ranks, s.images))
            for s in summary.sources
            if s.images  # the others give names
        ],
    )
    yield (
        "labels",
        ("came from", "labels", "with species", "with common name"),
        [(n.resolution, n.labels, n.with_species, n.with_common_name) for n in summary.labels],
    )
    yield (
        "taxonomies",
        ("taxonomy", "kind", "priority", "taxa", "labels looked up", "found"),
        [
            (f"{t.name}@{t.version}", t.kind, _plain(t.priority), t.taxa, t.labels, t.resolved)
            for t in summary.taxonomies
        ],
    )
    yield (
        "splits",
        ("split", "images", "policy", "drawn from", "complement of", "seed", "fraction"),
        [
            (s.name, s.images, s.policy, s.parent, s.complement_of, _plain(s.seed), s.fraction)
            for s in summary.splits
        ],
    )
    yield (
        "blacklists",
        ("blacklist", "images", "found", "species", "found", "images of them", "binds"),
        [
            (
                *(b.name, b.image_entries, b.matched_image_entries, b.taxon_entries, b.matched_taxon_entries),
                *(b.labelled_images, ", ".join(b.datasets)),
            )
            for b in summary.blacklists
        ],
    )
    yield (
        "containers",
        ("source", "kind", "state", "containers", "members", "bytes"),
        [(c.source, c.kind, c.state, c.containers, c.members, c.bytes) for c in summary.containers],
    )
    yield (
        "licences",
        ("licence", "link", "images"),
        [(licence.name, licence.link, licence.images) for licence in summary.licences],
    )


def _share(part: int, whole: int) -> str:
    return percent(part, whole).removesuffix(" %")


def _plain(number: int | None) -> str | None:
    """A number that is a name, not an amount: without separators."""
    return None if number is None else str(number)
