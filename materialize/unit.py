"""A work unit as a worker gets it: plain values, no database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from materialize.containers import Wanted
from materialize.seek_index import SeekIndex
from tol_db.taxonomy.names import Lineage


@dataclass(frozen=True, slots=True)
class ShardTask:
    """A shard to write.

    Attributes:
        number: dataset-wide.
        path: relative to the output root.
        digest: the shard digest, hex.
        planned: how many positions it has.
    """

    number: int
    path: Path
    digest: str
    planned: int


@dataclass(frozen=True, slots=True)
class LabelText:
    """The label of an image, pinned when it was planned."""

    lineage: Lineage
    common_name: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image goes: which shard (its number), which position, under which label (its id)."""

    shard: int
    position: int
    label: int


@dataclass(frozen=True, slots=True)
class ImageTask:
    """An image to read once, and all places it goes to.

    Attributes:
        key: the treeoflife_id as text: the sample's key.
    """

    key: str
    wanted: Wanted
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class ContainerTask:
    """A container to read in one pass.

    Attributes:
        path: absolute.
        kind: ``tar_gz``, ``tar`` or ``directory``.
        size, mtime_ns: as they were when it was scanned; None for folders, whose files are checked singly.
        images: in the order in which they are read.
        index: of a ``tar_gz`` that has one.
        in_order: the images lie in the container in this order, so that it can be streamed.
    """

    path: Path
    kind: str
    size: int | None
    mtime_ns: int | None
    images: Sequence[ImageTask]
    index: SeekIndex | None = None
    in_order: bool = True


@dataclass(frozen=True, slots=True)
class UnitTask:
    """All that a worker needs to write the shards of a unit that are not complete."""

    dataset: str
    number: int
    shards: tuple[ShardTask, ...]
    labels: dict[int, LabelText]
    containers: tuple[ContainerTask, ...]
