"""Checks one shard file against what the database says of it. Files and pictures only: no database.

Two levels. The default one asks whether the file is there, whole, and holds the planned samples with all their
members in the planned order; it reads every header and no picture. The deep one also asks for every byte: the
sha256 of the file, the texts of each label, the digest of each jpg, and whether it can be decoded.
"""

from __future__ import annotations

import enum
import errno
import hashlib
import io
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from materialize.captions import texts
from materialize.receipt import DIGEST_BYTES
from materialize.unit import LabelText
from materialize.verify.walk import JPG, PARTS, Differs, Finding, diagnose, walk

KEPT = 100
"""Findings of one shard that are kept; the others are counted."""
SHOWN = 60
"""Characters of a text that a finding shows."""


class Level(enum.StrEnum):
    DEFAULT = "default"
    DEEP = "deep"


class Verdict(enum.StrEnum):
    GOOD = "good"
    BAD = "bad"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a shard must be.

    Attributes:
        path: of the file.
        size, sha256: as recorded; bytes, and 32 of them.
        picture: width and height of every picture, pixels.
        keys: of the samples, in order.
        jpgs: per sample, the first 16 bytes of the sha256 of its jpg; None where it is not recorded.
        labels: per sample, the id of its label.
        texts: label id → label; empty where only the default level is asked for.
    """

    path: Path
    size: int
    sha256: bytes
    picture: tuple[int, int]
    keys: tuple[str, ...]
    jpgs: tuple[bytes | None, ...] = ()
    labels: tuple[int, ...] = ()
    texts: Mapping[int, LabelText] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it was when it was looked at.

    Whoever puts another file under its name changes the inode, whoever writes into it the mtime.
    """

    inode: int
    size: int
    mtime_ns: int


def seen_at(path: Path) -> Seen | None:
    """What has a name now; None where nothing has it, or a link to nowhere.

    Raises:
        OSError: the storage failed.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as err:
        if err.errno != errno.ELOOP:
            raise
        status = path.lstat()
    return Seen(status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of it.

    Attributes:
        findings: the first ``KEPT``; found: how many there were.
        size: bytes of the file, 0 where it is none.
        seconds: that it took.
        seen: what had the shard's name when the check began; None where nothing had, or where that is not known.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    found: int
    size: int
    seconds: float
    seen: Seen | None = None


class _Findings:
    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.found = 0

    def add(self, *findings: Finding) -> None:
        self.found += len(findings)
        self.kept += findings[: KEPT - len(self.kept)]


def check_shard(expected: Expected, level: Level) -> Checked:
    """Check one shard.

    Raises:
        OSError: the storage failed (EIO, ESTALE, a folder that cannot be entered …): nothing is known of the
            file. That it is not there, is no file, or may not be read by us is no such fault but a finding.
    """
    start = time.perf_counter()
    findings = _Findings()
    seen = seen_at(expected.path)  # before it is opened: what takes its place meanwhile is not what was seen
    try:
        size = _regular_size(expected.path)
        _check_file(expected, size, level, findings)
        verdict = Verdict.BAD if findings.found else Verdict.GOOD
    except _NoFile as err:
        findings.add(err.finding)
        size, verdict = 0, err.verdict
    seconds = round(time.perf_counter() - start, 3)
    return Checked(verdict, tuple(findings.kept), findings.found, size, seconds, seen)


class _NoFile(Exception):
    def __init__(self, verdict: Verdict, what: str) -> None:
        super().__init__(what)
        self.verdict, self.finding = verdict, Finding(what)


def _regular_size(path: Path) -> int:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        what = "a link to nowhere stands in its place" if path.is_symlink() else "it is not there"
        raise _NoFile(Verdict.MISSING, what) from None
    except OSError as err:
        if err.errno == errno.ELOOP:
            raise _NoFile(Verdict.BAD, "a link to itself stands in its place") from None
        raise
    if stat.S_ISDIR(status.st_mode):
        raise _NoFile(Verdict.BAD, "a folder stands in its place")
    if not stat.S_ISREG(status.st_mode):
        raise _NoFile(Verdict.BAD, "it is no regular file (a pipe, socket or device)")
    return status.st_size


def _opened(path: Path) -> io.FileIO:
    try:
        # should it have become a pipe since, nobody waits at its end
        return io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except PermissionError as err:
        raise _NoFile(Verdict.BAD, f"it cannot be opened: {err.strerror}; its bytes were not looked at") from None
    except FileNotFoundError:
        raise _NoFile(Verdict.MISSING, "it is not there") from None


def _check_file(expected: Expected, size: int, level: Level, findings: _Findings) -> None:
    if size != expected.size:
        findings.add(Finding(f"it has {size:,} bytes instead of {expected.size:,}"))
    with _opened(expected.path) as file:
        digest = hashlib.sha256() if level is Level.DEEP else None
        contents = _Contents(expected, findings) if level is Level.DEEP else None
        try:
            walk(file, size, expected.keys, digest=digest, visit=contents)
        except Differs as err:
            wrong = diagnose(file, size, expected.keys)
            findings.add(*(wrong or [Finding(str(err))]))
            return  # the sha256 of what was read so far tells nothing
        if digest is not None and digest.digest() != expected.sha256:
            findings.add(Finding(f"its sha256 is {digest.hexdigest()}, recorded is {expected.sha256.hex()}"))


class _Contents:
    """Compares what is in the members of one sample after the other."""

    def __init__(self, expected: Expected, findings: _Findings) -> None:
        self.expected, self.findings = expected, findings
        self._encoded: dict[int, tuple[bytes, ...]] = {}

    def __call__(self, position: int, parts: list[bytearray]) -> None:
        wanted = self._texts(self.expected.labels[position])
        for number, part in enumerate(parts):
            if number != JPG and part != wanted[number]:
                name = f"member '{self.expected.keys[position]}.{PARTS[number]}'"
                what = f"it says {_shown(part)}, the database says {_shown(wanted[number])}"
                self.findings.add(Finding(what, name))
        for what in self._wrong_with(parts[JPG], self.expected.jpgs[position]):
            self.findings.add(Finding(what, f"member '{self.expected.keys[position]}.jpg'"))

    def _texts(self, label: int) -> tuple[bytes, ...]:
        """In the order of ``PARTS``, nothing in the place of the jpg."""
        found = self._encoded.get(label)
        if found is None:
            text = self.expected.texts[label]
            by_extension = texts(text.lineage, text.common_name)
            found = tuple(by_extension.get(extension, "").encode() for extension in PARTS)
            self._encoded[label] = found
        return found

    def _wrong_with(self, jpg: bytearray, digest: bytes | None) -> list[str]:
        wrong = []
        found = hashlib.sha256(jpg).digest()[:DIGEST_BYTES]
        if found != digest:
            recorded = digest.hex() if digest is not None else "nothing"
            wrong.append(f"its bytes are others: digest {found.hex()}, recorded is {recorded}")
        told = undecodable(jpg, self.expected.picture)
        return [*wrong, told] if told is not None else wrong


def undecodable(jpg: bytes | bytearray, size: tuple[int, int]) -> str | None:
    """Why a picture is no JPEG of this size (width, height) that can be decoded to its end; None where it is."""
    try:
        with Image.open(io.BytesIO(jpg), formats=("JPEG",)) as image:
            if image.size != size:  # before decoding: a damaged header may promise a picture of gigabytes
                return f"it is a picture of {image.width}x{image.height} instead of {size[0]}x{size[1]}"
            image.load()
    except MemoryError:
        raise  # the machine's fault
    except Exception as err:  # noqa: BLE001  whatever a decoder makes of damaged bytes, it is the content's fault
        return f"it cannot be decoded: {err}"
    return None


def _shown(text: bytes | bytearray) -> str:
    told = repr(text.decode("utf-8", "replace"))
    return told if len(told) <= SHOWN else told[:SHOWN] + "…"
