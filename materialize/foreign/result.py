"""What the check of a shard that this tool did not make has found: values, and nothing else."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field

LONGEST = 4096
"""Characters of a name or a message that are kept: a name in an archive can have a million."""
KEPT = 1_000
"""Findings of one kind that are kept of one shard; more are counted."""
EXAMPLES = 100
"""Keys that are kept of the samples of one shard that have the same extensions."""


class Kind(enum.StrEnum):
    """What can be wrong."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    MISSING_END_MARK = "missing_end_mark"
    NOT_A_TAR = "not_a_tar"
    DAMAGED = "damaged"
    TRAILING_BYTES = "trailing_bytes"
    IS_A_FOLDER = "is_a_folder"
    UNREADABLE = "unreadable"
    STORAGE_FAULT = "storage_fault"
    NOT_CHECKED = "not_checked"
    INCOMPLETE_SAMPLE = "incomplete_sample"
    REPEATED_KEY = "repeated_key"
    REPEATED_MEMBER = "repeated_member"
    DUPLICATE_KEY = "duplicate_key"
    UNDECODABLE_IMAGE = "undecodable_image"
    TOO_LARGE = "too_large_to_check"
    ENDED_PROCESS = "ended_the_process"
    NOT_A_FILE = "not_a_file"
    UNSAFE_NAME = "unsafe_name"
    NO_SAMPLE_NAME = "no_sample_name"


MEANING = {
    Kind.EMPTY: "shards without any sample",
    Kind.TRUNCATED: "shards that are cut off",
    Kind.MISSING_END_MARK: "shards whose end mark is missing or cut",
    Kind.NOT_A_TAR: "files that are no tar archives",
    Kind.DAMAGED: "shards with broken headers or checksums",
    Kind.TRAILING_BYTES: "shards with bytes behind their end, which no reader sees",
    Kind.IS_A_FOLDER: "folders that are named like a shard",
    Kind.UNREADABLE: "files and folders that may not be read",
    Kind.STORAGE_FAULT: "shards that the disk or mount did not give, or that changed meanwhile",
    Kind.NOT_CHECKED: "shards whose check did not come to an end",
    Kind.INCOMPLETE_SAMPLE: "samples with other extensions than most",
    Kind.REPEATED_KEY: "keys that come again later in the same shard",
    Kind.REPEATED_MEMBER: "members that a sample has twice (WebDataset refuses them)",
    Kind.DUPLICATE_KEY: "keys that are in two shards of a folder",
    Kind.UNDECODABLE_IMAGE: "images that cannot be decoded",
    Kind.TOO_LARGE: "images that are too large to check",
    Kind.ENDED_PROCESS: "images whose decoding ended the process, or never ended",
    Kind.NOT_A_FILE: "members that are no plain files (WebDataset skips them)",
    Kind.UNSAFE_NAME: "members with dangerous names",
    Kind.NO_SAMPLE_NAME: "members whose names have no key or no extension",
}

PASSING = frozenset({Kind.UNREADABLE, Kind.STORAGE_FAULT, Kind.NOT_CHECKED})
"""Of the machine, not of the shard: such a shard is checked again by the next run."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        shard: path of the file.
        kind: what sort of thing.
        member: the member, or the sample's key, as the archive spells it; None of the shard as such.
        message: a sentence, safe to print: names in it are escaped.
    """

    shard: str
    kind: Kind
    member: str | None
    message: str


@dataclass(frozen=True, slots=True)
class KindCount:
    """How many findings of a kind there are, whether kept or not."""

    kind: Kind
    number: int


@dataclass(frozen=True, slots=True)
class ExtensionSet:
    """Samples of a shard that have the same extensions.

    Attributes:
        extensions: sorted; none where there were too many sets to tell them apart.
        samples: how many.
        examples: the first keys.
    """

    extensions: tuple[str, ...]
    samples: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShardCheck:
    """The result of one shard.

    Attributes:
        path: of the shard, absolute.
        size, mtime_ns: of the file when it was opened; bytes and nanoseconds.
        decode: whether images were decoded.
        samples: whole ones; a last one that is cut off is not among them.
        members: entries of the archive.
        empty_members: members of no bytes that are no images (no fault).
        tail: zero bytes behind the last member of a plain tar; None where there is no whole end mark to measure.
        seconds: that it took.
        extension_sets: which samples have what.
        findings: at most ``KEPT`` of each kind.
        counts: of all findings.
        keys: 64-bit digests of the samples' keys, in order, little-endian.
    """

    path: str
    size: int
    mtime_ns: int
    decode: bool
    samples: int = 0
    members: int = 0
    empty_members: int = 0
    tail: int | None = None
    seconds: float = 0.0
    extension_sets: tuple[ExtensionSet, ...] = ()
    findings: tuple[Finding, ...] = ()
    counts: tuple[KindCount, ...] = ()
    keys: bytes = field(default=b"", repr=False)

    @property
    def is_final(self) -> bool:
        """Whether another look at the same bytes would find the same."""
        return not any(count.kind in PASSING for count in self.counts)


class Collector:
    """Gathers the findings of one shard, so many of each kind."""

    def __init__(self, shard: str) -> None:
        self.shard = shard
        self.kept: list[Finding] = []
        self.numbers: Counter[Kind] = Counter()

    def add(self, kind: Kind, member: str | None, message: str) -> None:
        if self.numbers[kind] < KEPT:
            name = member[:LONGEST] if member is not None else None
            self.kept.append(Finding(self.shard, kind, name, message[:LONGEST]))
        self.numbers[kind] += 1

    def counts(self) -> tuple[KindCount, ...]:
        return tuple(KindCount(kind, number) for kind, number in self.numbers.items())
