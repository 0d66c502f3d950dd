"""Images that something went wrong with, made from sound ones: the same seed gives the same bytes.

Each has one to three accidents of the kinds that discs, networks, careless programs and ill-meaning people
cause. What was done stands in its name.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Sequence

Accident = Callable[[bytearray, random.Random, Sequence[bytes]], str]

LONGEST = 4 << 20
"""Bytes; splicing and doubling stop there, so that ten thousand of them stay a matter of minutes."""

_JPEG_MARKERS = bytes(
    (0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC9, 0xD0, 0xD7, 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xE1, 0xFE)
)
_EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF)


def mutations(originals: Sequence[bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Damaged copies of originals.

    Args:
        originals: whole image files, at least one.
        count: how many to make.
        seed: of the random numbers; nothing else decides what comes out.

    Yields:
        (what was done to which original, the bytes), in a fixed order.
    """
    for number in range(count):
        rng = random.Random(f"{seed}:{number}")
        index = rng.randrange(len(originals))
        data = bytearray(originals[index])
        done = [rng.choice(ACCIDENTS)(data, rng, originals) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        yield f"{number:06d} of original {index}: {', '.join(done)}", bytes(data[:LONGEST])


def _place(data: bytearray, rng: random.Random) -> int:
    """Any place, half of the time one of the first 600 bytes, where headers and tables are."""
    if not data:
        return 0
    return rng.randrange(min(len(data), rng.choice((60, 600, len(data), len(data)))))


def _flip_bits(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> str:
    places = [_place(data, rng) for _ in range(rng.choice((1, 3, 30)))]
    for at in places:
        if data:
            data[at] ^= 1 << rng.randrange(8)
    return f"{len(places)} bits flipped from {min(places)}"


def _set_bytes(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> str:
    at, length = _place(data, rng), rng.choice((1, 2, 16))
    data[at : at + length] = rng.randbytes(len(data[at : at + length]))
    return f"{length} random bytes at {at}"


def _cut(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> str:
    at = _place(data, rng)
    del data[at:]
    return f"cut at {at}"


def _delete(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> str:
    at, length = _place(data, rng), rng.choice((1, 2, 7, 512, 4096))
    del data[at : at + length]
    return f"{length} bytes missing at {at}"


def _insert(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> str:
    at, length = _place(data, rng), rng.choice((1, 2, 7, 512, 4096))
    data[at:at] = rng.randbytes(length)
    return f"{length} bytes put in at {at}"


def _zero_range(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> str:
    at, length = _place(data, rng), rng.choice((16, 512, 4096, 65_536))
    fill = rng.choice((0, 0, 0xFF))
    data[at : at + length] = bytes([fill]) * len(data[at : at + length])
    return f"{length} bytes of {fill:02x} at {at}"


def _double_range(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> str:
    at, length = _place(data, rng), rng.choice((16, 512, 4096))
    data[at:at] = data[at : at + length]
    return f"{length} bytes doubled at {at}"


def _splice(data: bytearray, rng: random.Random, originals: Sequence[bytes]) -> str:
    index = rng.randrange(len(originals))
    at, other = _place(data, rng), originals[index]
    start = rng.randrange(len(other)) if other else 0
    data[at:] = other[start:]
    return f"from {at} on original {index} from {start}"


def _patch(data: bytearray, rng: random.Random, originals: Sequence[bytes]) -> str:
    index, length = rng.randrange(len(originals)), rng.choice((64, 512, 4096))
    at, other = _place(data, rng), originals[index]
    start = rng.randrange(len(other)) if other else 0
    data[at : at + length] = other[start : start + length]
    return f"at {at} {length} bytes of original {index}"


def _other_header(data: bytearray, rng: random.Random, originals: Sequence[bytes]) -> str:
    index, length = rng.randrange(len(originals)), rng.choice((4, 12, 64, 600))
    data[:length] = originals[index][:length]
    return f"first {length} bytes of original {index}"


def _inject_marker(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> str:
    at, marker = _place(data, rng), rng.choice(_JPEG_MARKERS)
    data[at:at] = bytes((0xFF, marker)) + struct.pack(">H", rng.choice((0, 1, 2, 17, 0xFFFF)))
    return f"marker {marker:02X} at {at}"


def _set_number(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> str:
    """A length, a size or an offset becomes an edge case, in either byte order."""
    at, width, order = _place(data, rng), rng.choice((1, 2, 4)), rng.choice((">", "<"))
    value = rng.choice(_EDGES) & ((1 << 8 * width) - 1)
    packed = struct.pack(order + {1: "B", 2: "H", 4: "I"}[width], value)
    data[at : at + width] = packed[: len(data[at : at + width])]
    return f"{width} bytes at {at} = {value:#x}"


def _jpeg_length(data: bytearray, rng: random.Random, originals: Sequence[bytes]) -> str:
    """The length of a JPEG segment, or the size in its frame header."""
    places = [at for at in range(2, min(len(data), 4000) - 9) if data[at] == 0xFF and data[at + 1] >= 0xC0]
    if not places:
        return _set_number(data, rng, originals)
    at = rng.choice(places)
    at += rng.choice((5, 7)) if 0xC0 <= data[at + 1] <= 0xC3 else 2
    data[at : at + 2] = struct.pack(">H", rng.choice((0, 1, 2, 3, 0x7FFF, 0xFFFF, rng.randrange(65_536))))
    return f"JPEG length at {at}"


def _trailing(data: bytearray, rng: random.Random, originals: Sequence[bytes]) -> str:
    index = rng.randrange(len(originals))
    data += rng.choice((bytes(4096), rng.randbytes(4096), b"<html></html>", originals[index]))
    return "something behind the end"


def _swap_halves(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> str:
    at = _place(data, rng)
    data[:] = data[at:] + data[:at]
    return f"begins at {at}"


def _line_ends(data: bytearray, _rng: random.Random, _: Sequence[bytes]) -> str:
    """What FTP in text mode does."""
    data[:] = data.replace(b"\n", b"\r\n")
    return "line ends changed"


ACCIDENTS: tuple[Accident, ...] = (
    _flip_bits,
    _flip_bits,
    _set_bytes,
    _cut,
    _delete,
    _insert,
    _zero_range,
    _double_range,
    _splice,
    _patch,
    _other_header,
    _inject_marker,
    _set_number,
    _set_number,
    _jpeg_length,
    _trailing,
    _swap_halves,
    _line_ends,
)
