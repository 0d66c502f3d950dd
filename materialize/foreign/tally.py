"""Brings the results of all shards together, in memory that does not grow with the samples but eight bytes each."""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from materialize.foreign.keys import (
    Digests,
    SharedKeys,
    digests_of,
    distinct,
    keys_with,
    number_in_both,
    shared_keys,
)
from materialize.foreign.names import told
from materialize.foreign.result import ExtensionSet, Finding, Kind, KindCount, ShardCheck
from materialize.foreign.shard import MOST_SETS
from materialize.shard import BLOCK, RECORD

END_MARK = 2 * BLOCK
LISTED = 10_000
"""Findings of each kind that a report holds; more are counted."""
FOLDERS_COMPARED = 16
"""With more folders than these, the keys that they share are not counted pair by pair."""


@dataclass(frozen=True, slots=True)
class FoldersShare:
    """Keys that two folders share: no fault, a small split is a part of a large one.

    Attributes:
        keys: how many, by their 64-bit digests.
    """

    first: str
    second: str
    keys: int


@dataclass(frozen=True, slots=True)
class _End:
    """Of a plain archive with members: bytes of all of it, and of the zeros behind the last one."""

    size: int
    tail: int


class _Few:
    """The first findings by shard and order, however they come."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, int, Finding]] = []

    def add(self, finding: Finding, order: int) -> None:
        row = (finding.shard, order, finding)
        if len(self.kept) < LISTED or row[:2] < self.kept[-1][:2]:
            insort(self.kept, row, key=lambda kept: kept[:2])
            del self.kept[LISTED:]


class Tally:
    """What has been found so far.

    Attributes:
        shards, samples, members, bytes, empty_members: sums.
        numbers: findings by kind.
    """

    def __init__(self) -> None:
        self.shards = self.samples = self.members = self.bytes = self.empty_members = 0
        self.numbers: Counter[Kind] = Counter()
        self.faulty: set[str] = set()
        self._empty: dict[str, int] = {}  # path → bytes
        self._few: defaultdict[Kind, _Few] = defaultdict(_Few)
        self._sets: Counter[tuple[str, ...]] = Counter()
        self._samples: defaultdict[tuple[str, ...], _Few] = defaultdict(_Few)
        self._holders: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
        self._keys: dict[str, Digests] = {}
        self._ends: dict[str, _End] = {}
        self._orders: Counter[str] = Counter()

    def add(self, check: ShardCheck) -> None:
        """Enter the result of a shard."""
        self.shards += 1
        self.samples += check.samples
        self.members += check.members
        self.bytes += check.size
        self.empty_members += check.empty_members
        if not check.members:
            self._empty[check.path] = check.size
        for finding in check.findings:
            self._list(finding)
        for count in check.counts:
            self._number(check.path, count.kind, count.number)
        for samples in check.extension_sets:
            self._add_set(check.path, samples)
        self._keys[check.path] = digests_of(check.keys)
        if check.tail is not None and check.members:
            self._ends[check.path] = _End(check.size, check.tail)

    def find(self, finding: Finding, number: int = 1) -> None:
        """Enter a finding, which stands for ``number`` of its kind."""
        self._list(finding)
        self._number(finding.shard, finding.kind, number)

    def findings(self) -> tuple[Finding, ...]:
        """At most ``LISTED`` of each kind, by kind, then by shard."""
        return tuple(row[2] for kind in Kind if kind in self._few for row in self._few[kind].kept)

    def counts(self) -> tuple[KindCount, ...]:
        return tuple(KindCount(kind, self.numbers[kind]) for kind in Kind if self.numbers[kind])

    def empty_archives(self) -> int:
        """Archives without any member in which nothing was found, when all results are in."""
        return len(self._empty.keys() - self.faulty)

    def extensions(self) -> tuple[str, ...]:
        """Those of the most samples; of as many, the larger set."""
        told_apart = [key for key in self._sets if key]
        return max(told_apart, key=lambda key: (self._sets[key], len(key), key), default=())

    def find_incomplete_samples(self) -> None:
        """Call once, when all results are in."""
        expected = self.extensions()
        for extensions, number in self._sets.items():
            if extensions == expected:
                continue
            for row in self._samples[extensions].kept:
                self._list(_incomplete(row[2], extensions, expected))
            self.numbers[Kind.INCOMPLETE_SAMPLE] += number
            self.faulty |= self._holders[extensions]

    def find_strange_ends(self) -> None:
        """Find plain archives that end otherwise than the others: no archive by itself tells. Call once.

        Two zero blocks are an end mark, and how far a writer pads them is its own choice (``tar -b``): to a record
        that the sizes of all its archives are multiples of. But zeros are also what some file systems leave of
        data that was lost in a crash, and a copy can be cut within the padding.
        """
        cut = sorted(path for path, end in self._ends.items() if end.size % RECORD)
        if len(self._ends) >= 3 and len(cut) <= self._few_of_all():
            why = f"it ends within a record of {RECORD} bytes, where others end with one: its end is cut"
            for path in cut:
                self.find(Finding(path, Kind.MISSING_END_MARK, None, why))
        record = self._record()
        why = "more zeros follow its last member than an archive ends with: its end may be lost"
        for path in sorted(path for path, end in self._ends.items() if end.tail >= record + END_MARK):
            self.find(Finding(path, Kind.TRUNCATED, None, why))
        why = f"nothing but zeros, more than the {record} bytes of an empty archive: its data may be lost"
        empty = self._empty.keys() - self.faulty
        for path in sorted(path for path in empty if self._empty[path] > record):
            self.find(Finding(path, Kind.TRUNCATED, None, why))

    def find_no_samples(self, folder: str) -> None:
        """Find that a whole set holds no sample, where nothing else was found: an empty archive is no fault
        beside others, but nobody keeps a set of nothing else. Call once, after all other searches.

        Args:
            folder: what the set is called in the finding.
        """
        if self.samples or self.numbers or not self.shards:
            return
        self.find(Finding(folder, Kind.EMPTY, None, "no shard of the whole set has a sample"))
        self.faulty = set(self._empty)

    def _record(self) -> int:
        """Bytes that the writer of this set pads its archives to; ``RECORD`` where nothing tells of more.

        Sizes alone do not tell: those of shards of equal samples are equal. A longer record than that of
        :mod:`tarfile` shows in long ends of many archives, a lost end in that of one. Archives without members
        have no say, they may be what is left of lost ones.
        """
        long_ends = sum(end.tail >= RECORD + END_MARK for end in self._ends.values())
        if len(self._ends) < 3 or long_ends < self._few_of_all():
            return RECORD
        return max(RECORD, math.gcd(*(end.size for end in self._ends.values())))

    def _few_of_all(self) -> int:
        return max(1, len(self._ends) // 10)

    def find_duplicate_keys(self, check: Callable[[], None]) -> tuple[FoldersShare, ...]:
        """Find keys that two shards of one folder hold. Call once, when all results are in.

        Args:
            check: called now and then; may raise.

        Returns:
            How many keys the folders share.
        """
        folders: defaultdict[str, list[str]] = defaultdict(list)
        for path in sorted(self._keys):
            folders[str(Path(path).parent)].append(path)
        for paths in folders.values():
            check()
            pairs = shared_keys([self._keys[path] for path in paths])
            for finding, number in _confirmed(pairs, paths, check):
                self.find(finding, number)
        check()
        return tuple(self._shares({folder: folders[folder] for folder in sorted(folders)}))

    def _shares(self, folders: dict[str, list[str]]) -> Iterator[FoldersShare]:
        if not 1 < len(folders) <= FOLDERS_COMPARED:
            return
        keys = {folder: distinct([self._keys[path] for path in paths]) for folder, paths in folders.items()}
        for first, second in combinations(keys, 2):
            if number := number_in_both(keys[first], keys[second]):
                yield FoldersShare(first, second, number)

    def _add_set(self, path: str, samples: ExtensionSet) -> None:
        extensions = samples.extensions
        if extensions not in self._sets and len(self._sets) >= MOST_SETS:
            extensions = ()
        self._sets[extensions] += samples.samples
        self._holders[extensions].add(path)
        for order, key in enumerate(samples.examples):
            self._samples[extensions].add(Finding(path, Kind.INCOMPLETE_SAMPLE, key, ""), order)

    def _list(self, finding: Finding) -> None:
        self._orders[finding.shard] += 1
        self._few[finding.kind].add(finding, self._orders[finding.shard])

    def _number(self, shard: str, kind: Kind, number: int) -> None:
        self.numbers[kind] += number
        self.faulty.add(shard)


def _incomplete(example: Finding, extensions: tuple[str, ...], expected: tuple[str, ...]) -> Finding:
    lacks = [name for name in expected if name not in extensions]
    besides = [name for name in extensions if name not in expected]
    parts = [f"lacks {_listed(lacks)}"] if lacks and extensions else []
    parts += [f"has {_listed(besides)} besides"] if besides else []
    why = " and ".join(parts) or "has other extensions than most"
    return Finding(example.shard, example.kind, example.member, f"sample {told(example.member or '')} {why}")


def _listed(names: list[str]) -> str:
    shown = ", ".join(told(name)[1:-1] if name.isprintable() else told(name) for name in names[:10])
    return shown + (" …" if len(names) > 10 else "")


def _confirmed(
    pairs: list[SharedKeys], paths: list[str], check: Callable[[], None]
) -> Iterator[tuple[Finding, int]]:
    """Findings of keys that shards share, and what number each stands for."""
    wanted: defaultdict[int, set[int]] = defaultdict(set)
    for pair in pairs:
        if pair.digests:
            wanted[pair.first].update(pair.digests)
            wanted[pair.second].update(pair.digests)
    names: dict[int, dict[int, Counter[str]]] = {}
    for shard, digests in wanted.items():
        check()
        names[shard] = keys_with(Path(paths[shard]), digests)
    for pair in pairs:
        yield from _named(pair, paths, names)


def _named(
    pair: SharedKeys, paths: list[str], names: dict[int, dict[int, Counter[str]]]
) -> Iterator[tuple[Finding, int]]:
    first, second = paths[pair.first], paths[pair.second]
    rest = pair.number - len(pair.digests)
    for digest in pair.digests:
        ours, theirs = names[pair.second].get(digest, Counter()), names[pair.first].get(digest, Counter())
        if not ours or not theirs:  # a shard that is damaged, or has changed: its names cannot be read again
            rest += 1
        for key in ours.keys() & theirs.keys():
            yield Finding(second, Kind.DUPLICATE_KEY, key, f"key {told(key)} is also in {told(first)}"), 1
    if rest:
        more = "more keys are" if rest > 1 else "more key is"
        yield Finding(second, Kind.DUPLICATE_KEY, None, f"{rest} {more} also in {told(first)}"), rest
