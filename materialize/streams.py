"""Bytes of a file, counted and hashed as they are read, and inflated where they are gzip."""

from __future__ import annotations

import hashlib
import importlib
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, Protocol

READ = 128 * 1024
"""Bytes of the file that are read, and hashed, at a time."""
INFLATED = 256 * 1024
"""Bytes that are inflated at a time: they stay in the second-level cache."""


INFLATERS = ("isal.isal_zlib", "zlib_ng.zlib_ng")
"""Modules of the extra ``fast`` with the calls of the standard library's zlib, the fastest first: on photographs
they take 0.6 and 0.8 of its time."""


def _fastest_zlib() -> Any:
    """The first of the inflaters that is installed, else the standard library's zlib."""
    for name in INFLATERS:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return zlib


_zlib = _fastest_zlib()
ZlibError: type[Exception] = _zlib.error


class Readable(Protocol):
    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; fewer only at the end."""

    def skip(self, size: int, /) -> int:
        """Pass over up to ``size`` bytes; how many there were."""


class HashingReader:
    """A raw file whose bytes are counted and, if asked for, hashed beside the reading.

    hashlib and zlib both let go of the interpreter, so the hash costs no time where a second core is free.
    """

    def __init__(self, file: BinaryIO, on_bytes: Callable[[int], None] | None = None, *, hashed: bool) -> None:
        self._file = file
        self._on_bytes = on_bytes
        self._sha256 = hashlib.sha256()
        self._hasher = ThreadPoolExecutor(1, "sha256") if hashed else None
        self._hashing: Future[None] | None = None
        self.bytes = 0

    def read(self, size: int, /) -> bytes:
        data = self._read_once(size)
        if len(data) == size or not data:
            return data
        parts = [data]  # a file system may give less than it was asked for, and not only at the end
        left = size - len(data)
        while left and (data := self._read_once(left)):
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def skip(self, size: int, /) -> int:
        left = size
        while left and (data := self._read_once(min(left, READ))):
            left -= len(data)
        return size - left

    def digest(self) -> bytes:
        """The sha256 of what was read."""
        if self._hasher is None:
            raise ValueError("nothing was hashed")
        if self._hashing is not None:
            self._hashing.result()
        return self._sha256.digest()

    def close(self) -> None:
        if self._hasher is not None:
            self._hasher.shutdown()
        self._file.close()

    def _read_once(self, size: int) -> bytes:
        data = self._file.read(size)
        self.bytes += len(data)
        if self._hasher is not None:
            if self._hashing is not None:
                self._hashing.result()  # one at a time: in order, and no heap of chunks when it lags behind
            self._hashing = self._hasher.submit(self._sha256.update, data)
        if self._on_bytes is not None:
            self._on_bytes(len(data))
        return data


class GzipReader:
    """The inflated bytes of a gzip file, of concatenated streams too.

    zlib checks each stream's CRC and length (RFC 1952).

    Attributes:
        trailing: something that is no gzip stream follows the last one.

    Raises (in ``read`` and ``skip``):
        EOFError: the file ends within a stream.
        ZlibError: it is not gzip, or a checksum is wrong.
    """

    def __init__(self, raw: HashingReader) -> None:
        self._raw = raw
        self._stream = _zlib.decompressobj(31)
        self._fed = False
        self._pending = b""
        self._block = b""
        self._at = 0
        self._ended = False
        self.trailing = False

    def read(self, size: int, /) -> bytes:
        if len(self._block) - self._at >= size:
            self._at += size
            return self._block[self._at - size : self._at]
        parts = [memoryview(self._block)[self._at :]]  # views: the bytes are copied once, by the join
        left = size - len(parts[0])
        while left and self._more():
            parts.append(memoryview(self._block)[:left])
            self._at = len(parts[-1])
            left -= self._at
        return b"".join(parts)

    def skip(self, size: int, /) -> int:
        left = size
        while left:
            step = min(left, len(self._block) - self._at)
            self._at += step
            left -= step
            if left and not self._more():
                break
        return size - left

    def _more(self) -> bool:
        """Inflate the next block; False at the end."""
        self._block, self._at = b"", 0
        while not self._block and not self._ended:
            if self._stream.eof:
                self._next_stream()
            else:
                self._inflate()
        return bool(self._block)

    def _inflate(self) -> None:
        data = self._pending or self._raw.read(READ)
        if not data:
            if self._fed:
                raise EOFError("the gzip stream is cut off")
            self._ended = True
            return
        self._fed = True
        self._block = self._stream.decompress(data, INFLATED)
        self._pending = self._stream.unconsumed_tail

    def _next_stream(self) -> None:
        rest = self._stream.unused_data or self._raw.read(READ)
        while rest and not rest.strip(b"\0"):  # gzip(1) allows zero padding between and after streams
            rest = self._raw.read(READ)
        rest = rest.lstrip(b"\0")
        if len(rest) < 2:  # the two bytes that begin a stream can lie in two reads
            rest += self._raw.read(READ)
        if rest.startswith(b"\x1f\x8b"):
            self._stream = _zlib.decompressobj(31)
            self._pending = rest
        else:
            self.trailing = bool(rest)
            self._ended = True
