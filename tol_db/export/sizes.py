"""sizes.json beside the shards of each split: how many samples each holds, for open_clip."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from materialize import root
from materialize.dataset import load_dataset
from materialize.shard import write_synced
from materialize.steps import SmallFile
from tol_db.db.bulk import query
from tol_db.db.engine import Database


@dataclass(frozen=True, slots=True)
class SizesFile:
    """A file that was written: its path, the shards and samples it tells of."""

    path: Path
    shards: int
    samples: int


def export_sizes(db: Database, name: str | None) -> list[SizesFile]:
    """Write ``<root>/<size>/<split>/sizes.json`` for each split: shard name → samples, complete shards only.

    open_clip looks for it beside the shards (its ``data.py``, ``get_dataset_size``).

    Raises:
        UsageError: no such dataset.
        OutputNotMounted: its root is not there.
        CannotWrite: a file cannot be written.
    """
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        splits = list(
            query(
                conn,
                """SELECT s.id, s.name FROM dataset_split d JOIN split s ON s.id = d.split_id
                   WHERE d.dataset_id = ? ORDER BY s.name""",
                (dataset.id,),
            )
        )
        counts = {
            split: dict(
                query(
                    conn,
                    """SELECT printf('shard-%06d.tar', ordinal), written FROM shard
                       WHERE dataset_id = ? AND split_id = ? AND state IN ('complete', 'verified')
                       ORDER BY ordinal""",
                    (dataset.id, split_id),
                )
            )
            for split_id, split in splits
        }
    root.require(dataset.output_root, dataset.marker)
    made = []
    for split, sizes in counts.items():
        path = dataset.output_root / root.split_folder(dataset.recipe.size, split) / "sizes.json"
        write_synced(path, json.dumps(sizes, indent=1).encode() + b"\n", secrets.token_hex(4), SmallFile.SIZES)
        made.append(SizesFile(path, len(sizes), sum(sizes.values())))
    return made
