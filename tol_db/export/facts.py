"""What is said of a dataset as a whole: how it was built, of what, how much of it there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from materialize.dataset import Dataset
from materialize.root import shard_path
from tol_db.db.bulk import query, scalar
from tol_db.export.members import MEMBERS, Scope, splits_in
from tol_db.licences import bound_words
from tol_db.progress import track

DONE = "('complete', 'verified')"


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """A split of a dataset: members = planned + excluded, planned = written + left out + pending.

    Attributes:
        policy: how the split was made; seed, fraction: of it, None where it has none.
        reasons: why images are not in it, most first: (outcome, images).
        size: bytes of its complete shards.
    """

    name: str
    policy: str
    seed: int | None
    fraction: float | None
    members: int
    planned: int
    written: int
    pending: int
    shards: int
    size: int
    reasons: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """A provider of images; images: samples of it that are written, once per split."""

    key: str
    title: str
    release: str | None
    url: str | None
    licence: str | None
    citation: str | None
    images: int


@dataclass(frozen=True, slots=True)
class LicenceFacts:
    """A licence; images: samples under it that are written, once per split."""

    name: str
    link: str
    images: int


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file that the database was made of."""

    kind: str
    name: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class TaxonomyFacts:
    """An assembled taxonomy that labels of the dataset come from.

    Attributes:
        digest: hex, of its content; sources: what it was made of, ``ncbi@1``, the first heard first.
    """

    name: str
    version: str
    digest: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BlacklistFacts:
    """A blacklist that the dataset was planned with."""

    name: str
    reason: str
    entries: int


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """A complete shard.

    Attributes:
        path: relative to the output root, with slashes.
        size: bytes; sha256: of the file; digest: of its plan; both hex.
    """

    path: str
    split: str
    size: int
    sha256: str
    samples: int
    digest: str


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """A dataset.

    Attributes:
        versions: library → version that fix the bytes, as they were when it was planned.
        parameters: of the recipe, by name.
        recipe_digest, plan_digest: hex.
        revision: of the database's schema.
        blacklist_policy: ``all`` or ``named``.
        licence_filter: words of the licences that are admitted; none: all.
        taxonomies: that labels of written images come from; none where all are published ones.
        planned_on: the day of the last plan, ``2026-01-31``.
    """

    name: str
    recipe_name: str
    recipe_digest: str
    parameters: dict[str, Any]
    versions: dict[str, str]
    plan_digest: str
    planned_on: str
    order: str
    seed: int
    shard_images: int
    revision: str
    blacklist_policy: str
    blacklists: tuple[BlacklistFacts, ...]
    licence_filter: tuple[str, ...]
    splits: tuple[SplitFacts, ...]
    sources: tuple[SourceFacts, ...]
    taxonomies: tuple[TaxonomyFacts, ...]
    files: tuple[ReadFile, ...]

    @property
    def width(self) -> int:
        return int(self.parameters["width"])

    @property
    def height(self) -> int:
        return int(self.parameters["height"])

    @property
    def written(self) -> int:
        return sum(split.written for split in self.splits)

    @property
    def pending(self) -> int:
        return sum(split.pending for split in self.splits)


def dataset_facts(conn: sa.Connection, dataset: Dataset) -> DatasetFacts:
    """Everything but the shards and licences of single images; a pass over the written places counts sources."""
    plan_digest, planned_at, policy, *versions = next(
        query(
            conn,
            """SELECT d.plan_digest, d.planned_at, d.blacklist_policy, r.pillow, r.libjpeg_turbo, r.resizer
               FROM dataset d JOIN recipe r ON r.id = d.recipe_id WHERE d.id = ?""",
            (dataset.id,),
        )
    )
    named = zip(("pillow", "libjpeg_turbo", "resizer"), versions, strict=True)
    return DatasetFacts(
        name=dataset.name,
        recipe_name=dataset.recipe.name,
        recipe_digest=dataset.recipe_digest.hex(),
        parameters={key: value for key, value in dataset.recipe.parameters().items() if key != "name"},
        versions={name: version for name, version in named if version is not None},
        plan_digest=plan_digest.hex(),
        planned_on=planned_at[:10],
        order=dataset.order,
        seed=dataset.seed,
        shard_images=dataset.shard_images,
        revision=str(scalar(conn, "SELECT version_num FROM alembic_version")),
        blacklist_policy=policy,
        blacklists=_blacklists(conn, dataset),
        licence_filter=bound_words(conn, dataset.id),
        splits=_splits(conn, dataset),
        sources=_sources(conn, dataset),
        taxonomies=_taxonomies(conn, dataset),
        files=_files(conn),
    )


def shard_facts(conn: sa.Connection, dataset: Dataset) -> tuple[ShardFacts, ...]:
    """The complete shards by split, then file name."""
    sql = f"""SELECT p.name, h.ordinal, h.bytes, h.sha256, h.written, h.digest
              FROM shard h JOIN split p ON p.id = h.split_id
              WHERE h.dataset_id = ? AND h.state IN {DONE} ORDER BY p.name, h.ordinal"""  # noqa: S608
    return tuple(
        ShardFacts(
            shard_path(dataset.recipe.size, split, ordinal).as_posix(),
            *(split, size, sha256.hex(), written, digest.hex()),
        )
        for split, ordinal, size, sha256, written, digest in query(conn, sql, (dataset.id,))
    )


def licence_facts(conn: sa.Connection, dataset: Dataset) -> tuple[LicenceFacts, ...]:
    """The licences of the written images, most first; an image without one has that of its source, or none."""
    sql = f"""SELECT coalesce(l.name, nullif(s.licence, ''), 'not provided'), coalesce(l.link, ''), sum(n.images)
              FROM (SELECT x.licence_id, i.source_id, count(*) AS images
                    FROM ({MEMBERS[Scope.WRITTEN]}) m JOIN image i ON i.id = m.image_id
                    LEFT JOIN image_licence x ON x.image_id = m.image_id
                    GROUP BY 1, 2) n
              JOIN source s ON s.id = n.source_id LEFT JOIN licence l ON l.id = n.licence_id
              GROUP BY 1, 2"""  # noqa: S608
    counts: dict[tuple[str, str], int] = {}
    for name, link, images in _per_split(conn, dataset, "counting licences", sql):
        counts[name, link] = counts.get((name, link), 0) + images
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(LicenceFacts(name, link, images) for (name, link), images in ordered)


def _splits(conn: sa.Connection, dataset: Dataset) -> tuple[SplitFacts, ...]:
    sql = f"""SELECT s.id, s.name, s.policy, s.seed, s.fraction, d.members, d.planned, d.written,
                     d.planned - d.written - d.left_out, h.shards, h.bytes
              FROM dataset_split d JOIN split s ON s.id = d.split_id
              JOIN (SELECT d.split_id, count(h.id) AS shards, coalesce(sum(h.bytes), 0) AS bytes
                    FROM dataset_split d LEFT JOIN shard h ON h.dataset_id = d.dataset_id
                     AND h.split_id = d.split_id AND h.state IN {DONE}
                    WHERE d.dataset_id = ?1 GROUP BY d.split_id) h ON h.split_id = d.split_id
              WHERE d.dataset_id = ?1 ORDER BY s.name"""  # noqa: S608
    return tuple(
        SplitFacts(*(*row, _reasons(conn, dataset, split))) for split, *row in query(conn, sql, (dataset.id,))
    )


def _reasons(conn: sa.Connection, dataset: Dataset, split: int) -> tuple[tuple[str, int], ...]:
    sql = """SELECT o.name, n.images FROM (
                 SELECT outcome_id, sum(images) AS images FROM (
                     SELECT outcome_id, count(*) AS images FROM exclusion
                     WHERE dataset_id = ?1 AND split_id = ?2 GROUP BY 1
                     UNION ALL
                     SELECT m.outcome_id, count(*) FROM shard h CROSS JOIN shard_image m ON m.shard_id = h.id
                     WHERE h.dataset_id = ?1 AND h.split_id = ?2 AND h.left_out > 0 AND m.outcome_id > 1 GROUP BY 1)
                 GROUP BY 1) n
             JOIN outcome o ON o.id = n.outcome_id ORDER BY n.images DESC, o.name"""
    return tuple((name, images) for name, images in query(conn, sql, (dataset.id, split)))


def _sources(conn: sa.Connection, dataset: Dataset) -> tuple[SourceFacts, ...]:
    sql = f"""SELECT i.source_id, count(*) FROM ({MEMBERS[Scope.WRITTEN]}) m
              JOIN image i ON i.id = m.image_id GROUP BY 1"""  # noqa: S608
    images: dict[int, int] = {}
    for source, count in _per_split(conn, dataset, "counting sources", sql):
        images[source] = images.get(source, 0) + count
    columns = "SELECT id, key, title, release, url, licence, citation FROM source ORDER BY key"
    return tuple(SourceFacts(*(*row, images[id])) for id, *row in query(conn, columns) if id in images)


def _taxonomies(conn: sa.Connection, dataset: Dataset) -> tuple[TaxonomyFacts, ...]:
    """A pass over the places, and only where a taxonomy has changed labels at all."""
    changed = list(
        query(
            conn,
            """SELECT DISTINCT r.taxonomy_id, r.new_label_id FROM label_resolution r
               JOIN label l ON l.id = r.new_label_id AND l.resolution = 'resolved' ORDER BY 1""",
        )
    )
    if not changed:
        return ()
    used = {
        label
        for (label,) in query(
            conn,
            """SELECT DISTINCT m.label_id FROM shard h CROSS JOIN shard_image m ON m.shard_id = h.id
               WHERE h.dataset_id = ? AND m.outcome_id = 1""",
            (dataset.id,),
        )
    }
    made_of = """SELECT t.name || '@' || t.version FROM taxonomy_input i JOIN taxonomy t ON t.id = i.input_id
                 WHERE i.taxonomy_id = ? AND i.role = 'source' ORDER BY i.ordinal"""
    found = []
    for id in dict.fromkeys(taxonomy for taxonomy, label in changed if label in used):
        name, version, digest = next(
            query(conn, "SELECT name, version, lower(hex(digest)) FROM taxonomy WHERE id = ?", (id,))
        )
        sources = tuple(source for (source,) in query(conn, made_of, (id,)))
        found.append(TaxonomyFacts(name, version, digest, sources))
    return tuple(sorted(found, key=lambda each: (each.name, each.version)))


def _per_split(conn: sa.Connection, dataset: Dataset, what: str, sql: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a statement over dataset (?1) and split (?2), split by split, with progress."""
    splits = splits_in(conn, dataset, Scope.WRITTEN)
    with track(what, sum(split.expected for split in splits)) as tracker:
        for split in splits:
            yield from query(conn, sql, (dataset.id, split.id))
            tracker.advance(split.expected)


def _files(conn: sa.Connection) -> tuple[ReadFile, ...]:
    sql = (
        "SELECT kind, path, sha256, rows_read FROM source_file WHERE kind <> 'download' ORDER BY kind, path, sha256"
    )
    return tuple(ReadFile(kind, path, sha256.hex(), rows) for kind, path, sha256, rows in query(conn, sql))


def _blacklists(conn: sa.Connection, dataset: Dataset) -> tuple[BlacklistFacts, ...]:
    sql = """SELECT b.name, b.reason, (SELECT count(*) FROM blacklist_entry e WHERE e.blacklist_id = b.id)
             FROM dataset_blacklist d JOIN blacklist b ON b.id = d.blacklist_id
             WHERE d.dataset_id = ? ORDER BY b.name"""
    return tuple(BlacklistFacts(*row) for row in query(conn, sql, (dataset.id,)))


def parameters_text(parameters: dict[str, Any]) -> str:
    """The parameters of a recipe in a line."""
    return ", ".join(f"{key} {json.dumps(value)}" for key, value in sorted(parameters.items()))
