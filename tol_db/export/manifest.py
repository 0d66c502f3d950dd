"""manifest.json: what a dataset is, down to the sha256 of every shard. The file to cite."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from materialize.dataset import load_dataset
from tol_db.db.engine import Database
from tol_db.export.facts import DatasetFacts, ShardFacts, dataset_facts, shard_facts
from tol_db.export.output import write_json

FORMAT = "tol-db-manifest-1"


@dataclass(frozen=True, slots=True)
class ManifestSummary:
    """What it tells of; pending: images that are not written yet, so that it is not the last word."""

    dataset: str
    shards: int
    samples: int
    pending: int


def export_manifest(db: Database, name: str | None, target: Path | None) -> ManifestSummary:
    """Write the manifest of a dataset.

    It names no place, host or time: the same plan of the same inputs gives the same file wherever it is made.

    Raises:
        UsageError: no such dataset.
        CannotWrite: the file cannot be written.
    """
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        facts, shards = dataset_facts(conn, dataset), shard_facts(conn, dataset)
    write_json(target, manifest(facts, shards))
    return ManifestSummary(facts.name, len(shards), sum(shard.samples for shard in shards), facts.pending)


def manifest(facts: DatasetFacts, shards: tuple[ShardFacts, ...]) -> dict[str, Any]:
    """The manifest as JSON takes it."""
    return {
        "format": FORMAT,
        "dataset": facts.name,
        "complete": facts.pending == 0,
        "recipe": {
            "name": facts.recipe_name,
            "digest": facts.recipe_digest,
            "parameters": facts.parameters,
            "versions": facts.versions,
        },
        "plan": {
            "digest": facts.plan_digest,
            "order": facts.order,
            "seed": facts.seed,
            "shard_images": facts.shard_images,
            "blacklist_policy": facts.blacklist_policy,
            "blacklists": [asdict(blacklist) for blacklist in facts.blacklists],
            "licences": list(facts.licence_filter) or None,
        },
        "database": {"schema": facts.revision, "files": [asdict(file) for file in facts.files]},
        "sources": [asdict(source) for source in facts.sources],
        "taxonomies": [{**asdict(taxonomy), "sources": list(taxonomy.sources)} for taxonomy in facts.taxonomies],
        "splits": [{**_renamed(asdict(split)), "reasons": dict(split.reasons)} for split in facts.splits],
        "shards": [_renamed(asdict(shard)) for shard in shards],
    }


def _renamed(table: dict[str, Any]) -> dict[str, Any]:
    return {"bytes" if key == "size" else key: value for key, value in table.items()}
