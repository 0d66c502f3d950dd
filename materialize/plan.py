"""Plans a dataset: which image goes to which shard, and which stay out and why, before any is decoded."""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from materialize import root
from materialize.candidates import (
    Candidates,
    Mask,
    Split,
    load_blacklists,
    load_candidates,
    load_splits,
)
from materialize.dataset import require_name
from materialize.fingerprint import fingerprint
from materialize.layout import Layout, lay_out, plan_digest, shard_digest
from materialize.plan_rows import store_counts, store_exclusions, store_layout, store_recipe
from materialize.recipe import Recipe, check_resizer, digest, library_versions
from materialize.shard import cannot_write
from tol_db.db.base import Outcome
from tol_db.db.bulk import changes, insert_many, scalar, utc_now
from tol_db.db.engine import Database
from tol_db.errors import NameTaken, UsageError
from tol_db.licences import require_known

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
        licences: words of the licences that are admitted (:mod:`tol_db.licences`); none: all.
    """

    dataset: str
    output_root: Path
    recipe: Recipe
    splits: tuple[str, ...]
    blacklists: tuple[str, ...] | None = None
    order: str = "source"
    seed: int = 17
    shard_images: int = 10_000
    licences: tuple[str, ...] = ()


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
    """Plan a new dataset; it is stored in one transaction.

    What takes long, reading and laying out, is done before the write lock is taken, so that a run that works
    on another dataset meanwhile is not kept from its commits.

    Raises:
        NameTaken: there is a dataset of that name, or the output root belongs to another one.
        UsageError: a name or path that cannot be stored, no such split, blacklist or licence, no image to place,
            an order that the containers do not allow, a recipe whose resizer is not installed.
        CannotWrite: the output root cannot be made.
    """
    check_resizer(request.recipe)
    require_name(request.dataset)
    root.require_creatable(_absolute(request))
    with db.read() as conn:
        _require_new(conn, request)
        seen = b"" if dry_run else fingerprint(conn, licences=bool(request.licences))
        draft = _draft(conn, request)
    if not dry_run:
        with db.write() as conn:
            _require_new(conn, request)
            if fingerprint(conn, licences=bool(request.licences)) != seen:  # somebody ingested meanwhile
                draft = _draft(conn, request)
            _store(conn, request, draft)
    return summarise(
        request, draft.candidates, draft.splits, draft.placed, draft.layout, draft.whole, written=not dry_run
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    """A plan that is not stored yet."""

    splits: tuple[Split, ...]
    blacklists: tuple[int, ...]
    candidates: Candidates
    placed: list[Mask]
    layout: Layout
    recipe_digest: bytes
    digests: list[bytes]
    whole: bytes


def _draft(conn: sa.Connection, request: PlanRequest) -> _Draft:
    splits = load_splits(conn, request.splits)
    blacklists = load_blacklists(conn, request.blacklists)
    require_known(conn, request.licences)
    candidates = load_candidates(conn, splits, blacklists, request.licences)
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
    return _Draft(splits, blacklists, candidates, placed, layout, recipe_digest, digests, plan_digest(digests))


def _store(conn: sa.Connection, request: PlanRequest, draft: _Draft) -> None:
    identity = _identity(request, draft.whole)
    _require_root(conn, request, identity)
    dataset = _insert_dataset(conn, request, identity, draft.recipe_digest, draft.whole)
    insert_many(
        conn,
        "INSERT INTO dataset_blacklist (dataset_id, blacklist_id) VALUES (?, ?)",
        [(dataset, b) for b in draft.blacklists],
    )
    insert_many(
        conn,
        "INSERT INTO dataset_licence (dataset_id, word) VALUES (?, ?)",
        [(dataset, word) for word in request.licences],
    )
    store_layout(conn, dataset, draft.candidates, draft.splits, draft.layout, draft.digests)
    store_exclusions(conn, dataset, draft.candidates, draft.splits, draft.candidates.members)
    store_counts(conn, dataset, draft.splits)
    # last, so that a plan that fails leaves the folder as it was; before the commit, so that there is no
    # dataset without a root
    root.write_marker(_absolute(request), root.Marker(identity, request.dataset))


def _require_new(conn: sa.Connection, request: PlanRequest) -> None:
    """Raises NameTaken where the dataset is there, or where its root is somebody else's for certain."""
    if scalar(conn, "SELECT 1 FROM dataset WHERE name = ?", (request.dataset,)):
        raise NameTaken(
            f"dataset {request.dataset!r} is there already",
            hint="`--extend` adds new images to it, `--refresh` replans what changed, "
            f"`tol-db dataset remove {request.dataset}` removes it",
        )
    _require_root(conn, request, None)


def _require_root(conn: sa.Connection, request: PlanRequest, identity: str | None) -> None:
    """Check that the output root is nobody else's.

    Args:
        identity: uuid of the dataset; None before it is known: the name then stands for it.

    Raises:
        NameTaken
    """
    folder = _absolute(request)
    found = root.read_marker(folder)
    sql = "SELECT name FROM dataset WHERE uuid = ? OR output_root = ?"
    owner = scalar(conn, sql, (found.uuid if found else None, str(folder)))
    if owner is not None:
        raise NameTaken(f"{folder} is the output root of dataset {owner!r}", hint="name another folder")
    if found is None:
        root.require_free(folder, request.recipe.size, request.splits)
    elif found.name != request.dataset or identity not in (None, found.uuid):
        # the same plan of a database that was restored or died has the same uuid, and may have its shards
        root.require_leftover(folder, found)


def _absolute(request: PlanRequest) -> Path:
    return root.absolute(request.output_root)


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
            f"--order shuffled: {hindered:,} images lie in .tar.gz archives without a seek index, "
            "which cannot be read at random",
            hint="make indexes: `tol-db ingest containers DIR --seek-index`; or have them as .tar: "
            "`tol-db fetch eol DIR --as-tar`, then `tol-db ingest containers DIR`; or use --order source",
        )


def layout_digests(
    candidates: Candidates, splits: Sequence[Split], layout: Layout, recipe_digest: bytes
) -> list[bytes]:
    """The digest of each shard, in order."""
    images = candidates.images
    return [
        shard_digest(
            recipe_digest, splits[s.split].name, s.ordinal, images.uuid[s.rows], candidates.digests_of(s.rows)
        )
        for s in layout.shards
    ]


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
    placed_anywhere = np.zeros(len(candidates.images), bool)
    for shard in layout.shards:
        placed_anywhere[shard.rows] = True
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
        images=int(placed_anywhere.sum()),
        source_bytes=int(candidates.images.size[placed_anywhere].sum(dtype=np.int64)),
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
    try:
        return shutil.disk_usage(root.nearest_folder(folder)).free
    except OSError as err:
        raise cannot_write(folder, err) from err
