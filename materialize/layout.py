"""Which image goes to which shard at which position: the arithmetic of a plan, on arrays. Pure.

``source`` order: images of one archive stay together; the shards of all splits that draw on the same archive
form one work unit, so that one pass over the archive writes them all and an image in two splits is decoded
once. Folders have no pass to save: all folders of a source are cut into units of equal size. ``shuffled``
order: a seeded permutation of each split, so that each shard is a fair sample; every shard is a unit.

Sizes are balanced: 25,000 images at 10,000 per shard make shards of 8,334, 8,333 and 8,333.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.signedinteger[Any]]
"""Whole numbers: int32 where they fit, which halves the memory of a plan of ten million images."""

_CHUNK = 500_000

UNIT_SHARDS = 10
"""Images of folders that make a unit, in shards: as many as an EOL archive holds at the default size."""


@dataclass(frozen=True, slots=True)
class Images:
    """The images that a plan may place; row i of each array is one image.

    Attributes:
        id: database id.
        container: rank of its container in reading order.
        member: its place in the container.
        size: stored bytes.
        label: label id.
        uuid: shape (n, 16), uint8.
    """

    id: Ints
    container: Ints
    member: Ints
    size: Ints
    label: Ints
    uuid: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True, slots=True)
class Group:
    """Containers of consecutive ranks that are cut into units together.

    Attributes:
        first, last: ranks, both inclusive.
        whole: an archive, read in one pass: one unit. Else folders, cut anywhere.
    """

    first: int
    last: int
    whole: bool


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """A shard to be.

    Attributes:
        number: dense over the dataset in unit order.
        unit: number of its work unit.
        split: index into the splits of the plan.
        ordinal: dense within the split; the file's name.
        rows: of :class:`Images`, in order of position.
    """

    number: int
    unit: int
    split: int
    ordinal: int
    rows: Ints


@dataclass(frozen=True, slots=True)
class PlannedUnit:
    """A work unit to be: shards ``first_shard`` … ``last_shard``, distinct images and their stored bytes."""

    number: int
    first_shard: int
    last_shard: int
    images: int
    size: int


@dataclass(frozen=True, slots=True)
class Layout:
    units: tuple[PlannedUnit, ...]
    shards: tuple[PlannedShard, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """Where numbering goes on: for an extension, after what is planned already.

    Attributes:
        unit, shard: the next free numbers.
        ordinals: the next free ordinal of each split.
    """

    unit: int
    shard: int
    ordinals: tuple[int, ...]


def lay_out(
    images: Images,
    splits: Sequence[npt.NDArray[np.bool_]],
    groups: Sequence[Group],
    *,
    order: str,
    seed: int,
    shard_images: int,
    start: Start | None = None,
) -> Layout:
    """Place every member of every split.

    Args:
        images: what may be placed.
        splits: for each split, which rows are in it.
        groups: the containers, in reading order (``source`` order only).
        order: ``source`` or ``shuffled``.
        seed: of the permutation (``shuffled`` only).
        shard_images: images per shard at most.
        start: where numbering goes on.

    Returns:
        Units and shards; the same for the same arguments, whatever the order of rows.
    """
    begin = start or Start(0, 0, (0,) * len(splits))
    if order == "source":
        pools = _source_pools(images, splits, groups, shard_images)
    else:
        pools = _shuffled_pools(images, splits, seed, shard_images)
    units: list[PlannedUnit] = []
    shards: list[PlannedShard] = []
    ordinals = list(begin.ordinals)
    for pool in pools:
        unit, first = begin.unit + len(units), begin.shard + len(shards)
        for split, rows in pool:
            for part in balanced(rows, shard_images):
                shards.append(PlannedShard(begin.shard + len(shards), unit, split, ordinals[split], part))
                ordinals[split] += 1
        distinct = np.unique(np.concatenate([rows for _, rows in pool]))
        size = int(images.size[distinct].sum())
        units.append(PlannedUnit(unit, first, begin.shard + len(shards) - 1, len(distinct), size))
    return Layout(tuple(units), tuple(shards))


def balanced(rows: Ints, most: int) -> list[Ints]:
    """Cut rows into the fewest parts of at most ``most``, whose sizes differ by one at most."""
    return np.array_split(rows, -(-len(rows) // most)) if len(rows) else []


def _source_pools(
    images: Images, splits: Sequence[npt.NDArray[np.bool_]], groups: Sequence[Group], shard_images: int
) -> Iterator[list[tuple[int, Ints]]]:
    wanted = np.logical_or.reduce(splits) if splits else np.zeros(len(images), bool)
    rows = in_reading_order(images, np.flatnonzero(wanted).astype(np.int32))
    ranks = images.container[rows]
    for group in groups:
        low, high = np.searchsorted(ranks, (group.first, group.last + 1))
        inside = rows[low:high]
        parts = balanced(inside, len(inside) if group.whole else UNIT_SHARDS * shard_images) if len(inside) else []
        for part in parts:
            pool = [(index, part[member[part]]) for index, member in enumerate(splits)]
            yield [(index, chosen) for index, chosen in pool if len(chosen)]


def in_reading_order(images: Images, rows: Ints) -> Ints:
    """Rows by container, then place in it, then id; each container has fewer than 2^32 members."""
    ids = images.id[rows]
    if not (ids[1:] > ids[:-1]).all():
        rows = rows[np.argsort(ids)]
    del ids
    key = images.container[rows].astype(np.int64)  # one key: lexsort takes thrice the memory
    key <<= 32
    key |= images.member[rows]
    return rows[np.argsort(key, kind="stable")]


def _shuffled_pools(
    images: Images, splits: Sequence[npt.NDArray[np.bool_]], seed: int, shard_images: int
) -> Iterator[list[tuple[int, Ints]]]:
    for index, member in enumerate(splits):
        rows = np.flatnonzero(member).astype(np.int32)
        keys = np.empty(len(rows), np.uint64)
        for at in range(0, len(rows), _CHUNK):
            keys[at : at + _CHUNK] = permutation_keys(images.uuid[rows[at : at + _CHUNK]], seed, index)
        order = np.argsort(keys)
        ordered = keys[order]
        if (ordered[1:] == ordered[:-1]).any():
            words = np.ascontiguousarray(images.uuid[rows]).view(">u8").reshape(-1, 2)
            order = np.lexsort((words[:, 1], words[:, 0], keys))
        rows = rows[order]
        del keys, order, ordered
        for part in balanced(rows, shard_images):
            yield [(index, part)]


def permutation_keys(uuids: npt.NDArray[np.uint8], seed: int, salt: int) -> npt.NDArray[np.uint64]:
    """A pseudo-random 64-bit key per id, by the finalizer of SplitMix64 (Steele, Lea & Flood 2014).

    Not numpy's generator: its streams may change between versions, and a key per id needs no order of rows.
    """
    words = np.ascontiguousarray(uuids).view(">u8").reshape(-1, 2).astype(np.uint64)
    state = np.array([(seed * 0x9E3779B97F4A7C15 + salt * 0xD1B54A32D192ED03) % 2**64], np.uint64)
    return _mix(_mix(words[:, 0] ^ state) ^ words[:, 1])


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def shard_digest(
    recipe_digest: bytes,
    split: str,
    ordinal: int,
    uuids: npt.NDArray[np.uint8],
    label_digests: npt.NDArray[np.uint8],
) -> bytes:
    """What fixes the bytes of a shard, inputs apart: recipe, split, ordinal, ids and labels in order.

    Args:
        recipe_digest: 32 bytes, over the recipe's parameters and the library versions.
        uuids, label_digests: shape (n, 16) each, in order of position.

    Returns:
        32 bytes.
    """
    digest = hashlib.sha256(b"tol-db shard 1\0" + recipe_digest)
    digest.update(f"{split}\0{ordinal}\0".encode())
    digest.update(np.ascontiguousarray(np.hstack((uuids, label_digests))).tobytes())
    return digest.digest()


def label_digest(texts: Sequence[str]) -> bytes:
    """16 bytes that stand for a label wherever it was stored: over its seven ranks and common name."""
    return hashlib.sha256("\x1f".join(texts).encode("utf-8", "surrogatepass")).digest()[:16]


def plan_digest(shard_digests: Sequence[bytes]) -> bytes:
    """32 bytes over the digests of all shards in order of number."""
    return hashlib.sha256(b"tol-db plan 1\0" + b"".join(shard_digests)).digest()
