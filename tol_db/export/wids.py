"""The index that wids reads: which shards a split has, how many samples and bytes each holds."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from materialize import root
from materialize.dataset import load_dataset
from materialize.shard import write_synced
from materialize.steps import SmallFile
from tol_db.db.engine import Database
from tol_db.export.facts import ShardFacts, shard_facts
from tol_db.export.sizes import SizesFile

KIND = "wids-shard-index-v1"
NAME = "wids-index.json"


def export_wids(db: Database, name: str | None) -> list[SizesFile]:
    """Write ``<root>/<size>/<split>/wids-index.json`` for each split with a complete shard.

    The urls are the shards' names: wids takes them as relative to the index, wherever the folder is moved or
    served from. wids knows md5 sums only, which would have to be read out of the shards anew, so each entry has
    our sha256 in their place; wids passes over it.

    Raises:
        UsageError: no such dataset.
        OutputNotMounted: its root is not there.
        CannotWrite: a file cannot be written.
    """
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        shards = shard_facts(conn, dataset)
    root.require(dataset.output_root, dataset.marker)
    made = []
    for split, group in groupby(shards, key=lambda shard: shard.split):
        members = list(group)
        path = dataset.output_root / root.split_folder(dataset.recipe.size, split) / NAME
        text = json.dumps(index(f"{dataset.name} {split}", members), ensure_ascii=False, indent=1) + "\n"
        write_synced(path, text.encode(), secrets.token_hex(4), SmallFile.SIZES)
        made.append(SizesFile(path, len(members), sum(shard.samples for shard in members)))
    return made


def index(name: str, shards: Sequence[ShardFacts]) -> dict[str, Any]:
    """The index of some shards of one folder."""
    return {
        "__kind__": KIND,
        "wids_version": 1,
        "name": name,
        "shardlist": [
            {
                "url": PurePosixPath(shard.path).name,
                "nsamples": shard.samples,
                "filesize": shard.size,
                "sha256": shard.sha256,
            }
            for shard in shards
        ],
    }
