"""Checks one WebDataset shard that this tool did not make: one pass over its bytes. No database, no pool."""

from __future__ import annotations

import errno
import time
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from sys import byteorder
from typing import Protocol

import numpy as np

from materialize.archive import BLOCK, MAX_MEMBER, Archive, Member, storage_error
from materialize.foreign.image import image_fault
from materialize.foreign.keys import archive_kind, keys_with
from materialize.foreign.names import SampleName, is_metadata, key_digest, sample_name, told, unsafe
from materialize.foreign.result import EXAMPLES, KEPT, Collector, ExtensionSet, Kind, ShardCheck
from tol_db.errors import ContainerChanged, ContainerError

MOST_SETS = 1_000
"""Sets of extensions that are told apart in one shard."""
PERMISSION = (errno.EACCES, errno.EPERM)

_FAULTS = (
    ("empty, not an archive", Kind.EMPTY),
    ("its end mark is missing", Kind.MISSING_END_MARK),
    ("cut off", Kind.TRUNCATED),
    ("the gzip stream is broken", Kind.DAMAGED),
)
"""What :class:`Archive` says of bytes at fault → kind; a test holds each."""


class Watch(Protocol):
    """Is told what is being decoded, so that a crash of the decoder has a name."""

    def enter(self, index: int, name: str) -> None: ...

    def leave(self) -> None: ...


def check_shard(
    path: Path,
    *,
    decode: bool,
    on_bytes: Callable[[int], None],
    watch: Watch,
    deadly: Mapping[int, str] | None = None,
) -> ShardCheck:
    """Read a shard from its start to its end and say what is wrong with it.

    Args:
        path: absolute.
        decode: decode every image in full.
        on_bytes: called with each number of stored bytes as they are read.
        watch: is told of each image before it is decoded.
        deadly: members by number that an earlier process did not survive → how; they are not decoded.
    """
    checker = _Checker(path, decode, on_bytes, watch, deadly or {})
    checker.run()
    return checker.result()


class _Checker:
    def __init__(
        self,
        path: Path,
        decode: bool,
        on_bytes: Callable[[int], None],
        watch: Watch,
        deadly: Mapping[int, str],
    ) -> None:
        self.path, self.decode, self.watch, self.deadly = path, decode, watch, deadly
        self.found = Collector(str(path))
        self.start = time.monotonic()
        self.stamp = (0, 0)
        self.bytes = self.members = self.empty_members = self.data_end = 0
        self.tail: int | None = None
        self.keys = array("Q")
        self.sets: dict[tuple[str, ...], tuple[int, list[str]]] = {}
        self.key: str | None = None
        self.extensions: set[str] = set()
        self._on_bytes = on_bytes

    def run(self) -> None:
        try:
            self.stamp = self._stamp()
            self._read(archive_kind(self.path))
            if self._stamp() != self.stamp:
                self.found.add(Kind.STORAGE_FAULT, None, "it changed while it was checked")
        except ContainerError as err:
            self._tell(err)
        except OSError as err:
            self._tell(storage_error(self.path, None, err), err)
        self._find_repeated_keys()

    def result(self) -> ShardCheck:
        if byteorder == "big":
            self.keys.byteswap()
        return ShardCheck(
            path=str(self.path),
            size=self.stamp[0],
            mtime_ns=self.stamp[1],
            decode=self.decode,
            samples=sum(samples for samples, _ in self.sets.values()),
            members=self.members,
            empty_members=self.empty_members,
            tail=self.tail,
            seconds=round(time.monotonic() - self.start, 3),
            extension_sets=tuple(ExtensionSet(key, n, tuple(few)) for key, (n, few) in self.sets.items()),
            findings=tuple(self.found.kept),
            counts=self.found.counts(),
            keys=self.keys.tobytes(),
        )

    def _stamp(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_size, status.st_mtime_ns

    def _count(self, number: int) -> None:
        self.bytes += number
        self._on_bytes(number)

    def _read(self, kind: str) -> None:
        with Archive(self.path, kind, self._count) as archive:
            for member in archive:
                self._member(archive, member)
            self._close_sample()
            remark = archive.drain()
        if remark:
            self.found.add(Kind.TRAILING_BYTES, None, remark)
        elif kind == "tar":
            self._check_end()
        if not self.sets and self.members:
            self.found.add(Kind.EMPTY, None, "there is no sample in it")

    def _check_end(self) -> None:
        """A compressed archive has a checksum over its end; of a plain one the end mark is all there is."""
        tail = self.bytes - self.data_end
        if tail < 2 * BLOCK or self.bytes % BLOCK:
            self.found.add(Kind.MISSING_END_MARK, None, f"its end mark is cut: {tail} bytes of it are left")
        else:
            self.tail = tail

    def _member(self, archive: Archive, member: Member) -> None:
        self.members += 1
        self.data_end = (member.offset or 0) + member.size + -member.size % BLOCK
        if why := unsafe(member.name):
            self.found.add(Kind.UNSAFE_NAME, member.name, f"member {told(member.name)}: {why}")
        if member.is_folder or (member.is_file and is_metadata(member.name)):
            return
        if not member.is_file:
            why = "a link, a device or a sparse file, no plain data"
            self.found.add(Kind.NOT_A_FILE, member.name, f"member {told(member.name)}: {why}")
            return
        name = sample_name(member.name)
        if name is None:
            why = "its name has no key before its first dot, or no extension behind it"
            self.found.add(Kind.NO_SAMPLE_NAME, member.name, f"member {told(member.name)}: {why}")
            return
        self._place(name, member)
        if name.is_image and self.decode:
            self._image(archive, member)
        elif not member.size and not name.is_image:
            self.empty_members += 1

    def _place(self, name: SampleName, member: Member) -> None:
        if name.key != self.key:
            self._close_sample()
            self.key = name.key
            self.keys.append(key_digest(name.key))
        elif name.extension in self.extensions:
            why = f"its sample has a member {told(name.extension)} already"
            self.found.add(Kind.REPEATED_MEMBER, member.name, f"member {told(member.name)}: {why}")
        self.extensions.add(name.extension)

    def _close_sample(self) -> None:
        """The sample is whole. One that an archive is cut off in never is: the cut is told, not the sample."""
        if self.key is None:
            return
        extensions = tuple(sorted(self.extensions))
        if extensions not in self.sets and len(self.sets) >= MOST_SETS:
            extensions = ()
        samples, examples = self.sets.get(extensions, (0, []))
        if len(examples) < EXAMPLES:
            examples.append(self.key)
        self.sets[extensions] = (samples + 1, examples)
        self.key = None
        self.extensions = set()

    def _image(self, archive: Archive, member: Member) -> None:
        where = f"member {told(member.name)}"
        if member.index in self.deadly:
            self.found.add(Kind.ENDED_PROCESS, member.name, f"{where}: {self.deadly[member.index]}")
            return
        if member.size > MAX_MEMBER:
            self.found.add(Kind.TOO_LARGE, member.name, f"{where}: {member.size:,} bytes, {MAX_MEMBER:,} at most")
            return
        data = archive.data(member)
        self.watch.enter(member.index, member.name)
        fault = image_fault(data)
        self.watch.leave()
        if fault is not None:
            kind = Kind.TOO_LARGE if fault.is_too_large else Kind.UNDECODABLE_IMAGE
            self.found.add(kind, member.name, f"{where}: {fault.message}")

    def _tell(self, err: ContainerError, cause: OSError | None = None) -> None:
        cause = cause or (err.__cause__ if isinstance(err.__cause__, OSError) else None)
        if cause is not None:
            kind = Kind.UNREADABLE if cause.errno in PERMISSION else Kind.STORAGE_FAULT
        elif isinstance(err, ContainerChanged):
            kind = Kind.STORAGE_FAULT
        else:
            unlike = Kind.DAMAGED if self.members else Kind.NOT_A_TAR
            kind = next((kind for words, kind in _FAULTS if words in err.why), unlike)
        where = f"member {told(err.member)}: " if err.member is not None else ""
        self.found.add(kind, err.member, where + err.why)

    def _find_repeated_keys(self) -> None:
        values, numbers = np.unique(np.array(self.keys, dtype=np.uint64), return_counts=True)
        repeated = values[numbers > 1]
        if not repeated.size:
            return
        for keys in keys_with(self.path, {int(value) for value in repeated[:KEPT]}).values():
            for key, times in keys.items():
                if times > 1:
                    why = f"its members are not together: it begins {times} times"
                    self.found.add(Kind.REPEATED_KEY, key, f"key {told(key)}: {why}")
        self.found.numbers[Kind.REPEATED_KEY] += len(repeated[KEPT:])
