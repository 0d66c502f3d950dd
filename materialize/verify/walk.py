"""Walks through a shard file and compares it with what it must hold, header by header. Pure files: no database.

Two ways through a file. :func:`walk` is the quick one: it knows every name that must come next, compares each
header with the one that :func:`materialize.shard.member_header` makes of name and size, byte by byte, and stops
at the first difference. :func:`diagnose` then finds out what the difference is, in words.

The file is read, not mapped: a fault of the storage is then an error of the call, and no signal that ends the
process (mmap(2), SIGBUS).
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from materialize.captions import EXTENSIONS
from materialize.shard import BLOCK, RECORD, member_header

PARTS = tuple(sorted(("jpg", *EXTENSIONS)))
"""Extensions of the members of a sample, in their order in a shard."""
JPG = PARTS.index("jpg")
WINDOW = 4 << 20
NAMED = 5
"""How many samples one finding names."""

_SUFFIXES = tuple(f".{extension}" for extension in PARTS)
_ZEROS = tuple(bytes(length) for length in range(BLOCK))


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a shard.

    Attributes:
        what: in words.
        where: the member or sample, or None where it is the file itself.
    """

    what: str
    where: str | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class Differs(Exception):
    """A shard is not what it must be; :func:`diagnose` says in what."""


class Hash(Protocol):
    """What :mod:`hashlib` makes."""

    def update(self, data: memoryview, /) -> None: ...


Visitor = Callable[[int, list[bytearray]], None]
"""Called with the position of a sample and its members' bytes, in the order of ``PARTS``."""


class _Window:
    """The part of a file that is in memory; it only moves forward.

    Attributes:
        buffer: its bytes; those up to ``filled`` count.
        start: offset in the file of ``buffer[0]``.
    """

    def __init__(self, file: io.FileIO, digest: Hash | None) -> None:
        self.file, self.digest = file, digest
        self.buffer = bytearray(WINDOW)
        self.start = self.filled = 0

    def move(self, position: int, length: int) -> int:
        """Have ``length`` bytes from ``position`` of the buffer on in memory; returns their new position: 0.

        Raises:
            Differs: the file ends before.
            OSError
        """
        kept = self.filled - position
        self.buffer[:kept] = self.buffer[position : self.filled]
        self.start += position
        self.filled = kept
        if length > len(self.buffer):
            self.buffer.extend(bytes(length - len(self.buffer)))
        with memoryview(self.buffer) as view:
            while self.filled < length:
                read = self.file.readinto(view[self.filled :])
                if not read:
                    raise Differs("the file ends too early")
                if self.digest is not None:
                    self.digest.update(view[self.filled : self.filled + read])
                self.filled += read
        return 0


def walk(
    file: io.FileIO, size: int, keys: Sequence[str], *, digest: Hash | None = None, visit: Visitor | None = None
) -> None:
    """Check that a file is an archive of these samples, in this order, and nothing else.

    Args:
        file: open at its start; unbuffered.
        size: bytes of it.
        keys: of the samples.
        digest: gets every byte, once.
        visit: called for each sample whose members have the right headers.

    Raises:
        Differs: it is not.
        OSError: it cannot be read.
    """
    window = _Window(file, digest)
    buffer, at = window.buffer, 0
    parts: list[bytearray] = []
    for position, key in enumerate(keys):
        for suffix in _SUFFIXES:
            if at + BLOCK > window.filled:
                at = window.move(at, BLOCK)
            header = buffer[at : at + BLOCK]
            length = _length(header)
            if length < 0 or header != member_header(key + suffix, length):
                raise Differs(f"no header of {key}{suffix} at byte {window.start + at}")
            padding = -length % BLOCK
            whole = BLOCK + length + padding
            if at + whole > window.filled:
                if window.start + at + whole > size:
                    raise Differs(f"{key}{suffix} reaches beyond the end")
                at = window.move(at, whole)
            end = at + BLOCK + length
            if padding and buffer[end : end + padding] != _ZEROS[padding]:
                raise Differs(f"the padding of {key}{suffix} is not zeros")
            if visit is not None:
                parts.append(buffer[at + BLOCK : end])
            at += whole
        if visit is not None:
            visit(position, parts)
            parts = []
    left = size - (window.start + at)
    if left != end_length(window.start + at):
        raise Differs("the end is too long or too short")
    at = window.move(at, left)
    if any(buffer[at : at + left]):
        raise Differs("the end is not zeros")


def end_length(offset: int) -> int:
    """Bytes from the end of the last sample, at ``offset``, to the end of the archive."""
    return 2 * BLOCK + -(offset + 2 * BLOCK) % RECORD


def _length(header: bytes | bytearray) -> int:
    """The size that a header tells; -1 where it tells none."""
    try:
        return int(header[124:135], 8)
    except ValueError:
        return -1


# ------------------------------------------------------------------ what is wrong with it


@dataclass(frozen=True, slots=True)
class _Member:
    key: str
    extension: str


class _Lost(Exception):
    """From here on the file is no archive."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def diagnose(file: io.FileIO, size: int, keys: Sequence[str]) -> list[Finding]:
    """What makes a file another one than an archive of these samples; empty where it is one.

    Where the structure is lost, what follows is not looked at: nothing is said of samples behind it but that
    they cannot be reached.

    Args:
        file: unbuffered; read from its start.
        size: bytes of it.
        keys: of the samples, in order.

    Raises:
        OSError: it cannot be read.
    """
    members: list[_Member] = []
    findings: list[Finding] = []
    lost = None
    try:
        for member in _members(file, size, findings):
            members.append(member)
    except _Lost as err:
        lost = err.finding
        findings.insert(0, lost)
    groups = list(_groups(members))
    # the last sample before a loss is cut by it: that it is incomplete goes without saying
    for key, extensions in groups[:-1] if lost else groups:
        findings += _wrong_members(key, extensions)
    findings += _wrong_samples([key for key, _ in groups], keys, is_lost=lost is not None)
    return findings


def _members(file: io.FileIO, size: int, findings: list[Finding]) -> Iterator[_Member]:
    """The members up to the end of the archive, or to where it is lost."""
    offset, before = 0, ""
    while True:
        header = _read(file, offset, BLOCK)
        behind = f", behind {before}" if before else ""
        if len(header) < BLOCK:
            raise _Lost(Finding(f"the file ends at byte {size:,}, where a header or the end should stand{behind}"))
        if not any(header):
            findings += _wrong_end(file, size, offset)
            return
        name, length = header[:100].rstrip(b"\0").decode("ascii", "replace"), _length(header)
        if not _is_header(header, name, length):
            raise _Lost(Finding(f"there is no right header at byte {offset:,}{behind}"))
        data_end = offset + BLOCK + length
        next_offset = data_end + -length % BLOCK
        if next_offset > size:
            where = "body" if data_end > size else "padding"
            raise _Lost(Finding(f"the file ends at byte {size:,}, in its {where}", f"member {name!r}"))
        if any(_read(file, data_end, next_offset - data_end)):
            findings.append(Finding("the padding behind it is not zeros", f"member {name!r}"))
        key, _, extension = name.partition(".")
        yield _Member(key, extension)
        offset, before = next_offset, f"member {name!r}"


def _is_header(header: bytes, name: str, length: int) -> bool:
    try:
        return header == member_header(name, length)
    except ValueError:
        return False


def _wrong_end(file: io.FileIO, size: int, offset: int) -> Iterator[Finding]:
    wanted, found = end_length(offset), size - offset
    if found != wanted:
        yield Finding(
            f"{found:,} bytes stand behind the last sample, at byte {offset:,}; {wanted:,} end an archive"
        )
    end = _read(file, offset, min(wanted, found))
    if any(end):
        first = offset + next(i for i, byte in enumerate(end) if byte)
        yield Finding(f"the end of the archive is not zeros: byte {first:,} is another")


def _read(file: io.FileIO, offset: int, length: int) -> bytes:
    """All bytes of a range that the file has."""
    file.seek(offset)
    found = b""
    while len(found) < length and (data := file.read(length - len(found))):
        found += data
    return found


def _groups(members: Sequence[_Member]) -> Iterator[tuple[str, list[str]]]:
    """Neighbours with the same key: a sample, as webdataset reads it."""
    key, extensions = "", list[str]()
    for member in members:
        if extensions and member.key != key:
            yield key, extensions
            extensions = []
        key = member.key
        extensions.append(member.extension)
    if extensions:
        yield key, extensions


def _wrong_members(key: str, extensions: list[str]) -> Iterator[Finding]:
    where = f"sample {key!r}"
    counts = Counter(extensions)
    absent = [x for x in PARTS if x not in counts]
    others = [x for x in counts if x not in PARTS]
    twice = [x for x, count in counts.items() if count > 1]
    if set(counts) == set(PARTS) and set(counts.values()) == {2}:
        yield Finding("it stands twice", where)
        return
    for what, found in (("it lacks", absent), ("it also has", others), ("it has more than once", twice)):
        if found:
            yield Finding(f"{what} {', '.join(found)}", where)
    if not (absent or others or twice) and tuple(extensions) != PARTS:
        yield Finding(f"its members stand in another order: {', '.join(extensions)}", where)


def _wrong_samples(found: list[str], keys: Sequence[str], *, is_lost: bool) -> Iterator[Finding]:
    planned, counts = set(keys), Counter(found)
    if found and keys and not planned & set(counts):
        yield Finding(
            f"it holds none of the {len(keys):,} planned samples but {len(counts):,} others, "
            f"the first {found[0]!r}: another shard under this name"
        )
        return
    yield from _told([k for k, count in counts.items() if count > 1], "stand more than once")
    others = [k for k in counts if k not in planned]
    yield from _told(others, "are not planned for this shard")
    absent = [k for k in keys if k not in counts]
    if is_lost:
        if absent:
            yield Finding(f"{len(absent):,} of {len(keys):,} planned samples cannot be reached", _sample(absent[0]))
        return
    yield from _told(absent, "are missing")
    common = (k for k in counts if k in planned)
    for wanted, key in zip((k for k in keys if k in counts), common, strict=False):
        if wanted != key:
            yield Finding(f"it stands where {wanted!r} is planned: the order is another", _sample(key))
            return


def _told(keys: list[str], what: str) -> Iterator[Finding]:
    if len(keys) > NAMED:
        more = f" and {len(keys) - NAMED:,} more"
        yield Finding(f"{len(keys):,} samples {what}", f"samples {', '.join(keys[:NAMED])}{more}")
        return
    singular = what.replace("are ", "is ", 1).replace("stand ", "stands ", 1)
    for key in keys:
        yield Finding(f"it {singular}", _sample(key))


def _sample(key: str) -> str:
    return f"sample {key!r}"
