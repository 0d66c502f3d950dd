"""Keys that several shards hold, found by 64-bit digests and confirmed by name.

Ten million keys do not fit in memory as text, and need not: digests of eight bytes are merged and sorted, and of
the few that come twice the names are read again, from the headers alone. Two keys with one digest (a chance of
1 in 300,000 at ten million keys) are told apart then.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from materialize.archive import Archive, open_file
from materialize.foreign.names import is_metadata, key_digest, sample_name
from tol_db.errors import ContainerError

Digests = NDArray[np.uint64]

NAMED = 20
"""Keys that are named of two shards; more are counted."""
NAMED_IN_ALL = 10_000


@dataclass(frozen=True, slots=True)
class SharedKeys:
    """Keys that two shards hold.

    Attributes:
        first, second: places of the shards in the list that was searched.
        number: how many keys.
        digests: of the first ones, to be confirmed.
    """

    first: int
    second: int
    number: int
    digests: tuple[int, ...]


def digests_of(keys: bytes) -> Digests:
    """The distinct digests of a shard, sorted."""
    return distinct([np.frombuffer(keys, dtype="<u8").astype(np.uint64)])


def distinct(shards: Sequence[Digests]) -> Digests:
    """All digests of some shards, each once, sorted."""
    # in place, not numpy.unique, whose hash table needs three times the memory of ten million keys, and the time
    merged = np.concatenate(shards)
    merged.sort()
    is_first = np.ones(len(merged), np.bool_)
    np.not_equal(merged[1:], merged[:-1], out=is_first[1:])
    return merged if is_first.all() else merged[is_first]


def shared_keys(shards: Sequence[Digests]) -> list[SharedKeys]:
    """Which shards hold the same keys.

    A key that more than two hold is counted between the first one and each other.

    Args:
        shards: sorted distinct digests of each.
    """
    twice = held_twice(shards)
    if not twice.size:
        return []
    held = [_also_in(digests, twice) for digests in shards]
    values = np.concatenate(held)
    owners = np.repeat(np.arange(len(held)), [len(part) for part in held])
    order = np.lexsort((owners, values))
    values, owners = values[order], owners[order]
    begins = np.concatenate(([True], values[1:] != values[:-1]))
    firsts = owners[begins][np.cumsum(begins) - 1]
    values, firsts, seconds = values[~begins], firsts[~begins], owners[~begins]
    order = np.lexsort((values, seconds, firsts))
    return _pairs(values[order], firsts[order], seconds[order])


def held_twice(shards: Sequence[Digests]) -> Digests:
    """The digests that more than one of these sorted distinct arrays has."""
    merged = np.concatenate(shards) if shards else np.empty(0, np.uint64)
    merged.sort()
    return distinct([merged[1:][merged[1:] == merged[:-1]]])


def number_in_both(one: Digests, other: Digests) -> int:
    """How many digests two sorted distinct arrays share."""
    return len(_also_in(one, other))


def _also_in(digests: Digests, wanted: Digests) -> Digests:
    if not wanted.size:
        return digests[:0]
    at = np.minimum(np.searchsorted(wanted, digests), len(wanted) - 1)
    found: Digests = digests[wanted[at] == digests]
    return found


def _pairs(values: Digests, firsts: NDArray[np.intp], seconds: NDArray[np.intp]) -> list[SharedKeys]:
    changes = np.flatnonzero((firsts[1:] != firsts[:-1]) | (seconds[1:] != seconds[:-1])) + 1
    bounds = [0, *changes.tolist(), len(values)]
    pairs, named = [], 0
    for start, end in pairwise(bounds):
        few = tuple(int(value) for value in values[start : min(end, start + min(NAMED, NAMED_IN_ALL - named))])
        named += len(few)
        pairs.append(SharedKeys(int(firsts[start]), int(seconds[start]), end - start, few))
    return pairs


def keys_with(path: Path, wanted: Collection[int]) -> dict[int, Counter[str]]:
    """The keys of a shard that have one of these digests, and how often each begins a sample.

    Of a damaged shard, as far as it can be read: what is wrong with it has been told already.
    """
    found: dict[int, Counter[str]] = defaultdict(Counter)
    with suppress(ContainerError, OSError):
        for key in sample_keys(path):
            digest = key_digest(key)
            if digest in wanted:
                found[digest][key] += 1
    return found


def sample_keys(path: Path) -> Iterator[str]:
    """The keys of a shard's samples in order, from its headers."""
    last: str | None = None
    with _Headers(path) as archive:
        for member in archive:
            name = sample_name(member.name) if member.is_file and not is_metadata(member.name) else None
            if name is not None and name.key != last:
                last = name.key
                yield last


def archive_kind(path: Path) -> str:
    """``tar_gz`` or ``tar``, by the first two bytes as readers of WebDataset do it, not by the name.

    Raises:
        ContainerError: it cannot be opened.
        OSError: it cannot be read.
    """
    with open_file(path) as file:
        return "tar_gz" if file.read(2) == b"\x1f\x8b" else "tar"


class _Headers(Archive):
    """An archive of which only headers are read: the data of a plain tar is sought over."""

    def __init__(self, path: Path) -> None:
        kind = archive_kind(path)
        super().__init__(path, kind)
        self._file = open_file(path)
        if kind == "tar":
            self._source = _Seeking(self._file)

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        super().__exit__(*exc)


class _Seeking:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size

    def read(self, size: int, /) -> bytes:
        parts, left = [], size
        while left and (data := self._file.read(left)):
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def skip(self, size: int, /) -> int:
        at = self._file.tell()
        step = max(0, min(size, self._size - at))
        self._file.seek(at + step)
        return step
