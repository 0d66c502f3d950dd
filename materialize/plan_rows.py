"""Writes a plan down: recipe, units, shards, the places of images, exclusions, counters."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa

from materialize.candidates import Candidates, Mask, Split, exclusions
from materialize.layout import Ints, Layout, PlannedShard, Start
from materialize.recipe import Recipe, library_versions
from tol_db.db.bulk import changes, insert_block, insert_many, query, scalar, utc_now, without_indexes


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
    with without_indexes(conn, "shard_image"):
        for shard in layout.shards:
            insert_block(
                conn, "shard_image (shard_id, position, image_id, label_id)", _places(candidates, shard, ids)
            )


def _places(candidates: Candidates, shard: PlannedShard, ids: dict[int, int]) -> Ints:
    """The rows of a shard in ``shard_image``, shape (n, 4)."""
    table: Ints = np.empty((len(shard.rows), 4), np.int64)
    table[:, 0] = ids[shard.number]
    table[:, 1] = np.arange(len(shard.rows))
    table[:, 2] = candidates.images.id[shard.rows]
    table[:, 3] = candidates.images.label[shard.rows]
    return table


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
