"""Croissant: a dataset described for machines, as JSON-LD (Croissant Format Specification 1.0, MLCommons)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from materialize.dataset import load_dataset
from tol_db.db.engine import Database
from tol_db.export.citation import citation, description
from tol_db.export.facts import DatasetFacts, LicenceFacts, ShardFacts, dataset_facts, licence_facts, shard_facts
from tol_db.export.output import write_json

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_CR = (
    *("citeAs", "column", "extract", "field", "fileProperty", "fileObject", "fileSet", "format", "includes"),
    *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform", "equivalentProperty"),
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _CR},
}
"""The context of the specification."""


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of a sample that becomes a field: its extension, media type, type, and names in the description."""

    extension: str
    media_type: str
    data_type: str
    records: str
    field: str


_MEMBERS = (
    _Member("jpg", "image/jpeg", "sc:ImageObject", "images", "image"),
    _Member("taxonomic_name.txt", "text/plain", "sc:Text", "taxonomic_names", "taxonomic_name"),
    _Member("common_name.txt", "text/plain", "sc:Text", "common_names", "common_name"),
)


@dataclass(frozen=True, slots=True)
class CroissantSummary:
    """How many shards it tells of; pending: images that are not written yet."""

    dataset: str
    shards: int
    pending: int


def export_croissant(
    db: Database, name: str | None, target: Path | None, *, url: str | None = None, version: str = "1.0.0"
) -> CroissantSummary:
    """Write the Croissant description of a dataset.

    Args:
        url: where the output root is published; shards then have absolute addresses. Without it their addresses
            are relative to the description, which belongs into the output root.
        version: of the publication, MAJOR.MINOR.PATCH.

    Raises:
        UsageError: no such dataset.
        CannotWrite: the file cannot be written.
    """
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        facts, shards = dataset_facts(conn, dataset), shard_facts(conn, dataset)
        licences = licence_facts(conn, dataset)
    write_json(target, croissant(facts, shards, licences, url=url, version=version))
    return CroissantSummary(facts.name, len(shards), facts.pending)


def croissant(
    facts: DatasetFacts,
    shards: Sequence[ShardFacts],
    licences: Sequence[LicenceFacts],
    *,
    url: str | None,
    version: str,
) -> dict[str, Any]:
    """The description as JSON takes it. A split without a complete shard has no records."""
    there = [split.name for split in facts.splits if split.shards]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": facts.name,
        "description": description(facts),
        "conformsTo": CONFORMS_TO,
        "citeAs": citation(facts),
        "datePublished": facts.planned_on,
        "license": [licence.link or licence.name for licence in licences],
        **({"url": url} if url else {}),
        "version": version,
        "distribution": [
            *(_shard(shard, url) for shard in shards),
            *(_file_set(split, member, shards) for split in there for member in _MEMBERS),
        ],
        "recordSet": [_record_set(split, member) for split in there for member in _MEMBERS],
    }


def _shard(shard: ShardFacts, url: str | None) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": shard.path,
        "name": shard.path,
        "contentSize": f"{shard.size} B",
        "contentUrl": f"{url.rstrip('/')}/{shard.path}" if url else shard.path,
        "encodingFormat": "application/x-tar",
        "sha256": shard.sha256,
    }


def _file_set(split: str, member: _Member, shards: Sequence[ShardFacts]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{split}-{member.records}-files",
        "name": f"{split}-{member.records}-files",
        "containedIn": [{"@id": shard.path} for shard in shards if shard.split == split],
        "encodingFormat": member.media_type,
        "includes": f"*.{member.extension}",
    }


def _record_set(split: str, member: _Member) -> dict[str, Any]:
    """One record for each sample of a split; the key joins the record sets of a split."""
    name, files = f"{split}-{member.records}", {"@id": f"{split}-{member.records}-files"}
    identity = f"{name}/treeoflife_id"
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "key": {"@id": identity},
        "field": [
            {
                "@type": "cr:Field",
                "@id": identity,
                "name": identity,
                "dataType": "sc:Text",
                "source": {
                    "fileSet": files,
                    "extract": {"fileProperty": "filename"},
                    "transform": {"regex": r"^([0-9a-f-]{36})\."},
                },
            },
            {
                "@type": "cr:Field",
                "@id": f"{name}/{member.field}",
                "name": f"{name}/{member.field}",
                "dataType": member.data_type,
                "source": {"fileSet": files, "extract": {"fileProperty": "content"}},
            },
        ],
    }
