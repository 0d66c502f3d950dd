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

    def __init__(self, raw: Readable) -> None:
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
        rest = self._after_stream()
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

    def _after_stream(self) -> bytes:
        """Bytes that follow the stream which has just ended; none at the end of the file."""
        return self._stream.unused_data or self._raw.read(READ)


class GzipFrom(GzipReader):
    """The inflated bytes of a gzip file from the beginning of a deflate block on, and of the streams that follow.

    The checksum of the stream that is entered cannot be checked: it is of all its bytes.

    Args:
        raw: the file from the byte in which the block begins.
        window: the 32 KB of data before the block; nothing where a stream begins with it.
        bits: how many bits of the first byte, its highest, belong to the block; 0 where all do.
    """

    def __init__(self, raw: Readable, window: bytes, bits: int) -> None:
        super().__init__(raw)
        self._stream = _zlib.decompressobj(-15, zdict=window) if window else _zlib.decompressobj(-15)
        self._is_entered = True
        if bits:
            shared = raw.read(1)
            if not shared:
                raise EOFError("the gzip stream is cut off")
            self._pending = _lead_in(shared[0], bits)

    def _after_stream(self) -> bytes:
        if not self._is_entered:
            return super()._after_stream()
        self._is_entered = False
        rest = self._stream.unused_data
        while len(rest) < GZIP_TRAILER and (more := self._raw.read(READ)):
            rest += more
        return rest[GZIP_TRAILER:] or self._raw.read(READ)


GZIP_TRAILER = 8
"""Bytes of checksum and length behind the deflate data of a stream (RFC 1952)."""


def _lead_in(shared: int, bits: int) -> bytes:
    """Empty blocks, and in the highest bits of their last byte the first bits of a block that begins within one.

    zlib's inflatePrime() is not to be had from Python; blocks that inflate to nothing and end at the right bit do
    the same (RFC 1951, 3.2.3). An empty block with the fixed code has 10 bits; where an odd number is
    wanted, one with a code of its own precedes, which has 95.
    """
    wanted = 8 - bits
    blocks, length = _ODD_BLOCK if wanted % 2 else (0, 0)
    while length % 8 != wanted:
        blocks |= 0b010 << length
        length += 10
    return (blocks | (shared >> wanted) << length).to_bytes((length + bits) // 8, "little")


def _odd_block() -> tuple[int, int]:
    """An empty deflate block of 95 bits and that number (RFC 1951, 3.2.7: dynamic Huffman codes)."""
    ones = {18, 1}  # of the code lengths only these occur, with one bit each: 1 is 0, 18 is 1
    order = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
    fields = [
        *((0, 1), (2, 2)),  # not the last block; dynamic codes
        *((0, 5), (1, 5), (15, 4)),  # 257 codes of literals, 2 of distances, 19 of lengths
        *((int(symbol in ones), 3) for symbol in order),
        *(
            (0, 1),
            (1, 1),
            (138 - 11, 7),
            (1, 1),
            (117 - 11, 7),
            (0, 1),
        ),  # 0 has one bit, 255 have none, 256 has one
        *((0, 1), (0, 1)),  # the two distances, which nobody uses, have one bit each
        (1, 1),  # 256: the end of the block
    ]
    value = length = 0
    for number, size in fields:
        value |= number << length
        length += size
    return value, length


_ODD_BLOCK = _odd_block()
