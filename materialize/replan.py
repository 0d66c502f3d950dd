"""Changes of a plan: shards for new images (extend); shards that would come out otherwise today (refresh)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from materialize import lease, ledger
from materialize.candidates import Candidates, Mask, Split, load_blacklists, load_candidates
from materialize.dataset import Dataset, load_dataset, require_same_recipe
from materialize.layout import Ints, in_reading_order, lay_out, plan_digest, shard_digest
from materialize.plan import PlanRequest, PlanSummary, layout_digests, require_order, summarise
from materialize.plan_rows import (
    next_numbers,
    store_counts,
    store_exclusions,
    store_layout,
    store_recipe,
)
from materialize.recipe import check_resizer, digest, library_versions
from tol_db.db.base import ShardState
from tol_db.db.bulk import changes, insert_block, insert_many, query, utc_now
from tol_db.db.engine import Database, raw
from tol_db.licences import bound_words


@dataclass(frozen=True, slots=True)
class RefreshSummary:
    """What a refresh changed.

    Attributes:
        shards: how many were looked at; stale: their numbers that were planned anew.
        dropped: images that left their shards: blacklisted, of another licence, without label or file, out of
            the split.
        relabelled: images whose label is another one now.
    """

    dataset: str
    shards: int
    stale: tuple[int, ...]
    dropped: int
    relabelled: int
    written: bool


@dataclass(frozen=True, slots=True)
class _Placed:
    """A shard as it is planned now."""

    id: int
    number: int
    unit: int
    split: int
    ordinal: int
    digest: bytes
    images: Ints
    labels: Ints


def extend(db: Database, name: str | None, *, dry_run: bool = False) -> PlanSummary:
    """Add shards for images that came after the plan, and look again at those that it left out.

    Raises:
        UsageError: no such dataset.
        LeaseHeld: a run works on it.
        RecipeChanged: this environment would write other bytes than the rest of the dataset has.
    """
    with db.read() if dry_run else db.write() as conn:
        dataset = load_dataset(conn, name)
        if not dry_run:
            lease.require_idle(conn, dataset)
        require_same_recipe(dataset)
        splits = _splits_of(conn, dataset)
        candidates = load_candidates(conn, splits, bound_blacklists(conn, dataset), bound_words(conn, dataset.id))
        there = _there(candidates, splits, _placed(conn, dataset))
        fresh = [
            member & (candidates.outcome == 0) & ~placed
            for member, placed in zip(candidates.members, there, strict=True)
        ]
        if any(mask.any() for mask in fresh):
            require_order(candidates, fresh, dataset.order)
        layout = lay_out(
            candidates.images,
            fresh,
            candidates.groups,
            order=dataset.order,
            seed=dataset.seed,
            shard_images=dataset.shard_images,
            start=next_numbers(conn, dataset.id, splits),
        )
        digests = layout_digests(candidates, splits, layout, dataset.recipe_digest)
        if not dry_run:
            store_layout(conn, dataset.id, candidates, splits, layout, digests)
            _store_rest(conn, dataset, candidates, splits, there)
        whole = _whole_digest(conn, dataset) if not dry_run else b""
        return summarise(_request(dataset, splits), candidates, splits, fresh, layout, whole, written=not dry_run)


def refresh(db: Database, name: str | None, *, dry_run: bool = False) -> RefreshSummary:
    """Plan anew each shard that would come out otherwise today; the others are not touched.

    A shard is stale when an image of it has another label, is blacklisted or of a licence that the dataset does
    not admit, has lost its label or file or left the split, when the order of its container changed, or when the
    recipe's libraries are of other versions.
    Its images become pending; `materialize` sets the old file aside.

    Raises:
        UsageError: no such dataset.
        LeaseHeld: a run works on it.
    """
    with db.read() if dry_run else db.write() as conn:
        dataset = load_dataset(conn, name)
        if not dry_run:
            lease.require_idle(conn, dataset)  # a run writes by the plan that it began with
        check_resizer(dataset.recipe)
        recipe_digest = bytes.fromhex(digest(dataset.recipe, library_versions(dataset.recipe)))
        splits = _splits_of(conn, dataset)
        candidates = load_candidates(conn, splits, bound_blacklists(conn, dataset), bound_words(conn, dataset.id))
        shards = _placed(conn, dataset)
        stale: list[int] = []
        dropped = relabelled = 0
        for shard in shards:
            rows = _rows_today(candidates, splits, shard, dataset.order)
            now = _digest_today(candidates, splits, shard, rows, recipe_digest)
            if now == shard.digest:
                continue
            stale.append(shard.number)
            dropped += len(shard.images) - len(rows)
            relabelled += _relabelled(candidates, shard)
            if not dry_run:
                _replace(conn, shard, candidates, rows, now)
        if not dry_run and (stale or recipe_digest != dataset.recipe_digest):
            recipe = store_recipe(conn, dataset.recipe, recipe_digest)
            changes(conn, "UPDATE dataset SET recipe_id = ? WHERE id = ?", (recipe, dataset.id))
            _store_rest(conn, dataset, candidates, splits, _there(candidates, splits, _placed(conn, dataset)))
        return RefreshSummary(dataset.name, len(shards), tuple(stale), dropped, relabelled, not dry_run)


def bound_blacklists(conn: sa.Connection, dataset: Dataset) -> tuple[int, ...]:
    """The blacklists that bind a dataset today."""
    rows = query(conn, "SELECT blacklist_id FROM v_dataset_blacklist WHERE dataset_id = ?", (dataset.id,))
    bound = {row[0] for row in rows}
    return tuple(id for id in load_blacklists(conn, None) if id in bound)


def _splits_of(conn: sa.Connection, dataset: Dataset) -> tuple[Split, ...]:
    """The splits of a dataset in the order in which they were numbered."""
    sql = """SELECT s.id, s.name FROM dataset_split d JOIN split s ON s.id = d.split_id
             LEFT JOIN shard h ON h.dataset_id = d.dataset_id AND h.split_id = d.split_id AND h.ordinal = 0
             WHERE d.dataset_id = ? ORDER BY h.number IS NULL, h.number, s.id"""
    return tuple(Split(*row) for row in query(conn, sql, (dataset.id,)))


def _placed(conn: sa.Connection, dataset: Dataset) -> list[_Placed]:
    sql = """SELECT h.id, h.number, u.id, h.split_id, h.ordinal, h.digest
             FROM shard h JOIN work_unit u ON u.id = h.work_unit_id
             WHERE h.dataset_id = ? ORDER BY h.number"""
    found = []
    for id, number, unit, split, ordinal, digest_ in query(conn, sql, (dataset.id,)):
        rows = (
            raw(conn)
            .execute("SELECT image_id, label_id FROM shard_image WHERE shard_id = ? ORDER BY position", (id,))
            .fetchall()
        )
        table = np.array(rows, np.int64).reshape(-1, 2)
        found.append(_Placed(id, number, unit, split, ordinal, digest_, table[:, 0], table[:, 1]))
    return found


def _there(candidates: Candidates, splits: Sequence[Split], shards: Sequence[_Placed]) -> list[Mask]:
    """For each split, which rows are in a shard of it."""
    masks = [np.zeros(len(candidates.images), bool) for _ in splits]
    index = {split.id: i for i, split in enumerate(splits)}
    for shard in shards:
        masks[index[shard.split]][candidates.rows_of(shard.images)] = True
    return masks


def _rows_today(candidates: Candidates, splits: Sequence[Split], shard: _Placed, order: str) -> Ints:
    """The rows of a shard that may stay in it, in the order in which they are read today."""
    rows: Ints = candidates.rows_of(shard.images)
    index = next(i for i, split in enumerate(splits) if split.id == shard.split)
    rows = rows[candidates.members[index][rows] & (candidates.outcome[rows] == 0)]
    if order != "shuffled":
        rows = in_reading_order(candidates.images, rows)
    return rows


def _digest_today(
    candidates: Candidates, splits: Sequence[Split], shard: _Placed, rows: Ints, recipe_digest: bytes
) -> bytes:
    name = next(split.name for split in splits if split.id == shard.split)
    images = candidates.images
    return shard_digest(recipe_digest, name, shard.ordinal, images.uuid[rows], candidates.digests_of(rows))


def _relabelled(candidates: Candidates, shard: _Placed) -> int:
    rows = candidates.rows_of(shard.images)
    return int((candidates.images.label[rows] != shard.labels).sum())


def _replace(conn: sa.Connection, shard: _Placed, candidates: Candidates, rows: Ints, now: bytes) -> None:
    """Plan a shard anew: its receipts are void from now on, because its digest is another."""
    ledger.reopen(conn, [shard.id], ShardState.PLANNED, "planned anew")
    changes(conn, "DELETE FROM shard_image WHERE shard_id = ?", (shard.id,))
    columns = (np.full(len(rows), shard.id), np.arange(len(rows)), candidates.images.id[rows])
    table = np.column_stack((*columns, candidates.images.label[rows]))
    insert_block(conn, "shard_image (shard_id, position, image_id, label_id)", table)
    changes(conn, "UPDATE shard SET digest = ?, planned = ? WHERE id = ?", (now, len(rows), shard.id))
    changes(
        conn,
        """UPDATE work_unit SET (images, bytes) =
               (SELECT count(*), coalesce(sum(i.bytes), 0) FROM image i WHERE i.id IN
                   (SELECT m.image_id FROM shard h JOIN shard_image m ON m.shard_id = h.id
                    WHERE h.work_unit_id = work_unit.id))
           WHERE id = ?""",
        (shard.unit,),
    )


def _store_rest(
    conn: sa.Connection,
    dataset: Dataset,
    candidates: Candidates,
    splits: Sequence[Split],
    there: Sequence[Mask],
) -> None:
    """Exclusions of the members that are in no shard, counters, blacklists, the digest of the whole."""
    rest = [member & ~placed for member, placed in zip(candidates.members, there, strict=True)]
    store_exclusions(conn, dataset.id, candidates, splits, rest)
    store_counts(conn, dataset.id, splits)
    insert_many(
        conn,
        "INSERT INTO dataset_blacklist (dataset_id, blacklist_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(dataset.id, id) for id in bound_blacklists(conn, dataset)],
    )
    changes(
        conn,
        "UPDATE dataset SET plan_digest = ?, planned_at = ? WHERE id = ?",
        (_whole_digest(conn, dataset), utc_now(), dataset.id),
    )


def _whole_digest(conn: sa.Connection, dataset: Dataset) -> bytes:
    rows = query(conn, "SELECT digest FROM shard WHERE dataset_id = ? ORDER BY number", (dataset.id,))
    return plan_digest([row[0] for row in rows])


def _request(dataset: Dataset, splits: Sequence[Split]) -> PlanRequest:
    return PlanRequest(
        dataset.name,
        dataset.output_root,
        dataset.recipe,
        tuple(split.name for split in splits),
        None,
        dataset.order,
        dataset.seed,
        dataset.shard_images,
    )
