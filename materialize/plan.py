"""Plans a dataset: which image goes to which shard, and which stay out and why, before any is decoded."""

from __future__ import annotations

import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from materialize import root
from materialize.candidates import (
    Candidates,
    Mask,
    Split,
    exclusions,
    load_blacklists,
    load_candidates,
    load_splits,
)
from materialize.layout import Layout, PlannedShard, Start, lay_out, plan_digest, shard_digest
from materialize.recipe import Recipe, check_resizer, digest, library_versions
from tol_db.db.base import Outcome
from tol_db.db.bulk import changes, insert_many, query, scalar, utc_now
from tol_db.db.engine import Database
from tol_db.errors import NameTaken, UsageError

DATASET_NAMESPACE = uuid.UUID("5f0f3f0e-6e59-5b0b-9d0a-6a3f1c2b7d10")
TEXT_BYTES = 10 * 1024
"""Ten texts of a sample: a header and a data block each."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What a user asks for.

    Attributes:
        dataset: its name.
        output_root: where its shards will lie.
        recipe: what a sample is.
        splits: names, in the order in which their shards are numbered within a unit.
        blacklists: names, or None for all there are.
        order: ``source`` or ``shuffled``.
        seed: of the shuffle.
        shard_images: images per shard at most.
    """

    dataset: str
    output_root: Path
    recipe: Recipe
    splits: tuple[str, ...]
    blacklists: tuple[str, ...] | None = None
    order: str = "source"
    seed: int = 17
    shard_images: int = 10_000


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """A split of a plan: members = planned + the sum of excluded (outcome → images)."""

    name: str
    members: int
    planned: int
    shards: int
    excluded: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a plan comes to.

    Attributes:
        images: distinct images that are read; source_bytes: theirs, as stored.
        estimated_bytes: of all shards, roughly; free_bytes: on the disk of the output root.
        digest: of the plan, hex; equal for equal inputs on any machine.
        written: False for a dry run.
    """

    dataset: str
    output_root: str
    splits: tuple[SplitPlan, ...]
    units: int
    shards: int
    images: int
    source_bytes: int
    estimated_bytes: int
    free_bytes: int
    digest: str
    written: bool


def plan(db: Database, request: PlanRequest, *, dry_run: bool = False) -> PlanSummary:
    """Plan a new dataset; one transaction.

    Raises:
        NameTaken: there is a dataset of that name, or the output root belongs to another one.
        UsageError: no such split or blacklist, no image to place, an order that the containers do not allow,
            a recipe whose resizer is not installed.
        CannotWrite: the output root cannot be made.
    """
    check_resizer(request.recipe)
    with db.read() if dry_run else db.write() as conn:
        if scalar(conn, "SELECT 1 FROM dataset WHERE name = ?", (request.dataset,)):
            raise NameTaken(
                f"dataset {request.dataset!r} is there already",
                hint="`--extend` adds new images to it, `--refresh` replans what changed, "
                f"`tol-db dataset remove {request.dataset}` removes it",
            )
        splits = load_splits(conn, request.splits)
        blacklists = load_blacklists(conn, request.blacklists)
        candidates = load_candidates(conn, splits, blacklists)
        placed = [member & (candidates.outcome == 0) for member in candidates.members]
        require_some(candidates, splits, placed)
        require_order(candidates, placed, request.order)
        layout = lay_out(
            candidates.images,
            placed,
            candidates.groups,
            order=request.order,
            seed=request.seed,
            shard_images=request.shard_images,
        )
        recipe_digest = bytes.fromhex(digest(request.recipe, library_versions(request.recipe)))
        digests = layout_digests(candidates, splits, layout, recipe_digest)
        whole = plan_digest(digests)
        identity = _identity(request, whole)
        if not dry_run:
            marker = root.Marker(identity, request.dataset)
            root.create(_absolute(request), marker, request.recipe.size, request.splits)
            dataset = _insert_dataset(conn, request, identity, recipe_digest, whole)
            insert_many(
                conn,
                "INSERT INTO dataset_blacklist (dataset_id, blacklist_id) VALUES (?, ?)",
                [(dataset, b) for b in blacklists],
            )
            store_layout(conn, dataset, candidates, splits, layout, digests)
            store_exclusions(conn, dataset, candidates, splits, candidates.members)
            store_counts(conn, dataset, splits)
        return summarise(request, candidates, splits, placed, layout, whole, written=not dry_run)


def _absolute(request: PlanRequest) -> Path:
    return request.output_root.absolute()


def _identity(request: PlanRequest, whole: bytes) -> str:
    """The dataset's uuid; not random, so that a plan that died before its commit can be made again."""
    return str(uuid.uuid5(DATASET_NAMESPACE, f"{request.dataset}\0{whole.hex()}\0{_absolute(request)}"))


def require_some(candidates: Candidates, splits: Sequence[Split], placed: Sequence[Mask]) -> None:
    """Raises UsageError where there is nothing to place, with the reasons counted."""
    if any(p.any() for p in placed):
        return
    members = np.logical_or.reduce(list(candidates.members))
    reasons = Counter(Outcome(int(o)).label for o in candidates.outcome[members])
    told = ", ".join(f"{name} {number:,}" for name, number in reasons.most_common()) or "the splits are empty"
    raise UsageError(
        f"no image can be placed in {', '.join(s.name for s in splits)}: {told}",
        hint="`tol-db report summary` shows what is there; source_missing: run `tol-db ingest containers`",
    )


def require_order(candidates: Candidates, placed: Sequence[Mask], order: str) -> None:
    """Raises UsageError where ``shuffled`` would read an archive from its start for every image."""
    if order != "shuffled":
        return
    hindered = int((np.logical_or.reduce(list(placed)) & ~candidates.random_access).sum())
    if hindered:
        raise UsageError(
            f"--order shuffled: {hindered:,} images lie in .tar.gz archives, which cannot be read at random",
            hint="gunzip the archives to .tar and run `tol-db ingest containers`, or use --order source",
        )


def layout_digests(
    candidates: Candidates, splits: Sequence[Split], layout: Layout, recipe_digest: bytes
) -> list[bytes]:
    """The digest of each shard, in order."""
    images = candidates.images
    return [
        shard_digest(
            recipe_digest, splits[s.split].name, s.ordinal, images.uuid[s.rows], images.label_digest[s.rows]
        )
        for s in layout.shards
    ]


def store_recipe(conn: sa.Connection, recipe: Recipe, recipe_digest: bytes) -> int:
    """The id of the recipe's row, made when it is new."""
    versions = library_versions(recipe)
    changes(
        conn,
        """INSERT INTO recipe (name, digest, parameters, pillow, libjpeg_turbo, resizer, created_at)
           VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING""",
        (
            *(recipe.name, recipe_digest, json.dumps(recipe.parameters(), sort_keys=True)),
            *(versions.pillow, versions.libjpeg_turbo, versions.resizer, utc_now()),
        ),
    )
    return int(scalar(conn, "SELECT id FROM recipe WHERE digest = ?", (recipe_digest,)))


def _insert_dataset(
    conn: sa.Connection, request: PlanRequest, identity: str, recipe_digest: bytes, whole: bytes
) -> int:
    recipe = store_recipe(conn, request.recipe, recipe_digest)
    now = utc_now()
    changes(
        conn,
        """INSERT INTO dataset (name, uuid, recipe_id, image_order, seed, shard_images, blacklist_policy,
                                output_root, plan_digest, created_at, planned_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            *(request.dataset, identity, recipe, request.order, request.seed, request.shard_images),
            *("all" if request.blacklists is None else "named", str(_absolute(request)), whole, now, now),
        ),
    )
    return int(scalar(conn, "SELECT id FROM dataset WHERE name = ?", (request.dataset,)))


def store_layout(
    conn: sa.Connection,
    dataset: int,
    candidates: Candidates,
    splits: Sequence[Split],
    layout: Layout,
    digests: Sequence[bytes],
) -> None:
    """Write units, shards and the places of images; in shard order, so that the table stays clustered."""
    insert_many(
        conn,
        """INSERT INTO work_unit (dataset_id, number, first_shard, last_shard, images, bytes)
           VALUES (?, ?, ?, ?, ?, ?)""",
        [(dataset, u.number, u.first_shard, u.last_shard, u.images, u.size) for u in layout.units],
    )
    units = dict(query(conn, "SELECT number, id FROM work_unit WHERE dataset_id = ?", (dataset,)))
    insert_many(
        conn,
        """INSERT INTO shard (dataset_id, number, work_unit_id, split_id, ordinal, digest, planned)
           VALUES (?, ?, ?, ?, ?, ?, ?)""",
        [
            (dataset, s.number, units[s.unit], splits[s.split].id, s.ordinal, d, len(s.rows))
            for s, d in zip(layout.shards, digests, strict=True)
        ],
    )
    ids = dict(query(conn, "SELECT number, id FROM shard WHERE dataset_id = ?", (dataset,)))
    insert_many(
        conn,
        "INSERT INTO shard_image (shard_id, position, image_id, label_id) VALUES (?, ?, ?, ?)",
        _places(candidates, layout.shards, ids),
    )


def _places(
    candidates: Candidates, shards: Sequence[PlannedShard], ids: dict[int, int]
) -> Iterator[tuple[int, int, int, int]]:
    for shard in shards:
        shard_id = ids[shard.number]
        images = candidates.images.id[shard.rows].tolist()
        labels = candidates.images.label[shard.rows].tolist()
        for position, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield shard_id, position, image, label


def store_exclusions(
    conn: sa.Connection,
    dataset: int,
    candidates: Candidates,
    splits: Sequence[Split],
    members: Sequence[Mask],
) -> None:
    """Write down who stays out, instead of what was written down before."""
    changes(conn, "DELETE FROM exclusion WHERE dataset_id = ?", (dataset,))
    insert_many(
        conn,
        "INSERT INTO exclusion (dataset_id, split_id, image_id, outcome_id, detail) VALUES (?, ?, ?, ?, ?)",
        ((dataset, *row) for row in exclusions(candidates, splits, members)),
    )


COUNTS = """
INSERT INTO dataset_split (dataset_id, split_id, members, planned, excluded, written, left_out)
SELECT ?1, s.id, coalesce(p.planned, 0) + coalesce(x.excluded, 0), coalesce(p.planned, 0),
       coalesce(x.excluded, 0), coalesce(p.written, 0), coalesce(p.left_out, 0)
FROM split s
LEFT JOIN (SELECT split_id, sum(planned) AS planned, sum(written) AS written, sum(left_out) AS left_out
           FROM shard WHERE dataset_id = ?1 GROUP BY split_id) p ON p.split_id = s.id
LEFT JOIN (SELECT split_id, count(*) AS excluded FROM exclusion WHERE dataset_id = ?1 GROUP BY split_id) x
       ON x.split_id = s.id
WHERE s.id = ?2
ON CONFLICT (dataset_id, split_id) DO UPDATE SET
    members = excluded.members, planned = excluded.planned, excluded = excluded.excluded,
    written = excluded.written, left_out = excluded.left_out
"""


def store_counts(conn: sa.Connection, dataset: int, splits: Sequence[Split]) -> None:
    """Set the counters of each split from its shards and exclusions."""
    insert_many(conn, COUNTS, [(dataset, split.id) for split in splits])


def summarise(
    request: PlanRequest,
    candidates: Candidates,
    splits: Sequence[Split],
    placed: Sequence[Mask],
    layout: Layout,
    whole: bytes,
    *,
    written: bool,
) -> PlanSummary:
    images = np.unique(np.concatenate([s.rows for s in layout.shards])) if layout.shards else np.zeros(0, int)
    samples = sum(len(s.rows) for s in layout.shards)
    return PlanSummary(
        dataset=request.dataset,
        output_root=str(_absolute(request)),
        splits=tuple(
            SplitPlan(
                split.name,
                int(member.sum()),
                int(place.sum()),
                sum(s.split == index for s in layout.shards),
                _reasons(candidates, member),
            )
            for index, (split, member, place) in enumerate(zip(splits, candidates.members, placed, strict=True))
        ),
        units=len(layout.units),
        shards=len(layout.shards),
        images=len(images),
        source_bytes=int(candidates.images.size[images].sum()),
        estimated_bytes=samples * (TEXT_BYTES + 1024 + estimated_jpg_bytes(request.recipe)),
        free_bytes=free_bytes(_absolute(request)),
        digest=whole.hex(),
        written=written,
    )


def _reasons(candidates: Candidates, member: Mask) -> tuple[tuple[str, int], ...]:
    counts = np.bincount(candidates.outcome[member], minlength=max(Outcome) + 1)
    return tuple((outcome.label, int(counts[outcome])) for outcome in Outcome if outcome and counts[outcome])


def estimated_jpg_bytes(recipe: Recipe) -> int:
    """What a jpg of photographs comes to, from the size and quality; within a third on ordinary sets."""
    per_pixel = 0.95 if recipe.quality >= 98 else 0.55 if recipe.quality >= 93 else 0.3
    return int(recipe.width * recipe.height * per_pixel)


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk that a folder, which need not be there yet, will lie on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def next_numbers(conn: sa.Connection, dataset: int, splits: Sequence[Split]) -> Start:
    """Where an extension of a dataset goes on."""
    ordinals = dict(
        query(conn, "SELECT split_id, max(ordinal) + 1 FROM shard WHERE dataset_id = ? GROUP BY 1", (dataset,))
    )
    return Start(
        scalar(conn, "SELECT coalesce(max(number) + 1, 0) FROM work_unit WHERE dataset_id = ?", (dataset,)),
        scalar(conn, "SELECT coalesce(max(number) + 1, 0) FROM shard WHERE dataset_id = ?", (dataset,)),
        tuple(ordinals.get(split.id, 0) for split in splits),
    )
