"""How much memory a picture takes while it becomes a sample, told from its header.

A pixel limit alone does not bound memory: at 80 million pixels a baseline JPEG takes 20 MB, a PNG 320, a
progressive JPEG up to 640 and a WebP 1,300. What would take more than the budget of a recipe is refused before
anything is allocated, so that many workers fit on one machine.

The figures are upper estimates. They were measured as the peak resident size of a process that converts pictures of
20 million pixels of noise, less its size before and less the file (Pillow 13.0, libwebp 1.6, libavif 1.4, OpenJPEG
2.5, libtiff 4.7); the header of each function says what was found. Not seen is the true size of a picture in
an AVIF whose container claims a smaller one: libavif decodes it whole and then scales it.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any

from PIL import ImageFile

from materialize.image_resize import first_axis
from materialize.recipe import Recipe

ALLOWANCE = 14_000_000
"""Bytes beside the pixels: the file, the first pass of the resize, strips, row buffers. With the 320 MB of 80
million pixels, the 62 MB that a worker has once it has used every decoder, and some thousand rows of its unit,
it stays below 400 MB."""

WORKING, STRIPS = 1_600_000, 2_600_000
"""Bytes for row buffers and the finished sample; for strips under conversion (measured: 1.4 and 2.5 MB)."""

MUCH = 100_000_000
"""Bytes; a picture that takes more is worth a millisecond of tidying up first."""

MODEST_SIDE, MODEST_FILE = 1024, 4 << 20
"""Pixels a side, and bytes, of a JPEG that takes little whatever its header says."""
MODEST = 50_000_000
"""Bytes that such a JPEG takes at most: file and metadata 16 MB, picture 4, coefficients of four components 11, the
converted picture 8, the first pass 4, the rest 5."""

WORST = 28
"""Bytes per pixel taken for formats without a figure of their own. Measured: QOI and DDS 7, SGI 6, TGA, PPM, PCX
and IM 4.2, MSP and XBM 2.1; an icon may hold JPEG 2000, which is the costliest of all."""

_TEXT_CHUNK = 1 << 20  # bytes to which Pillow inflates a text chunk of a PNG at most
_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf"})
LIBTIFF = 5_000_000
"""Bytes that libtiff takes for itself."""

_PLAIN_TIFF = frozenset({1, 2, 3, 4, 5, 8, 32_773, 32_946})
"""TIFF compressions that are inflated straight into the strip: none, fax, LZW, deflate, PackBits."""


def budget(recipe: Recipe) -> int | None:
    """Bytes that a picture may take; None where the recipe counts pixels as stored and bounds nothing else."""
    return 4 * recipe.max_pixels + ALLOWANCE if recipe.pixels_counted == "as_decoded" else None


def pixels_openable(data: bytes, recipe: Recipe) -> int:
    """The pixels that a reader may be shown which allocates, or decodes, while it opens a file.

    It holds for pictures inside of pictures (icons) too.
    """
    limit = budget(recipe)
    if limit is None or _own_figure(data):
        return recipe.max_pixels
    return max(1, min(recipe.max_pixels, (limit - len(data)) // WORST))


def _own_figure(data: bytes) -> bool:
    """Whether the first bytes name a format whose memory is judged by its header once it is open."""
    return (
        data.startswith((b"GIF8", b"\xff\x4f\xff\x51"))
        or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
        or data[4:8] == b"jP  "
        or data[4:12] in (b"ftypavif", b"ftypavis", b"ftypmif1", b"ftypmsf1")
    )


def make_room(needed: int) -> None:
    """Give freed memory back to the system before a picture that takes much.

    glibc keeps blocks of up to 32 MB on its heap once such a block was freed: what an earlier big picture left
    there came on top of this one's (10 MB after ten pictures of 80 million pixels). Elsewhere nothing is done.
    """
    if needed > MUCH:
        trim = _malloc_trim()
        if trim is not None:
            trim(0)


@functools.cache
def _malloc_trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None


def estimate(image: ImageFile.ImageFile, stored: tuple[int, int], data: bytes, recipe: Recipe) -> int:
    """Bytes that the picture takes until it is resized, its file included.

    Args:
        image: an opened Pillow image, of which nothing is decoded; a JPEG may have been told to decode smaller.
        stored: width and height in the file, pixels.
        data: the file.
        recipe: what is to become of it.
    """
    decoding = _picture(image) + _extra(image, image.format or "", stored, data)
    strips = 0 if image.mode in ("RGB", "L") and recipe.alpha == "drop" else STRIPS
    return len(data) + decoding + _resizing(image, recipe) + WORKING + strips


def is_modest(image: ImageFile.ImageFile, stored: tuple[int, int], data: bytes, recipe: Recipe) -> bool:
    """Whether a picture surely takes no more than ``MODEST`` bytes, as nearly all do: no need to estimate it."""
    return (
        image.format == "JPEG"
        and max(*stored, recipe.width, recipe.height) <= MODEST_SIDE
        and len(data) <= MODEST_FILE
    )


def _picture(image: ImageFile.ImageFile) -> int:
    return image.width * image.height * stored_bytes(image.mode)


def _resizing(image: ImageFile.ImageFile, recipe: Recipe) -> int:
    """What the first pass leaves, and the converted picture where that is not made strip by strip."""
    first = first_axis(image.size, recipe.size)
    grey = recipe.alpha == "drop" and (image.mode in ("1", "L", "LA") or image.mode.startswith("I"))
    passed = recipe.size[first] * image.size[1 - first] * (1 if grey else 4)
    whole = recipe.resampler == "pillow-bicubic" and image.mode not in ("RGB", "L")
    return passed + (8 * image.width * image.height if whole else 0)


def _extra(image: ImageFile.ImageFile, kind: str, stored: tuple[int, int], data: bytes) -> int:
    """What a decoder takes beside the file and the picture."""
    pixels = image.width * image.height
    match kind:
        case "JPEG" | "MPO":
            return _jpeg(image, stored, data)
        case "PNG":
            return _png_texts(data)
        case "GIF":
            return 2 * pixels  # what the frame is laid on, and what it leaves behind; measured 2.0 in all
        case "BMP":
            # Runs are collected in a list that grows, then copied: 3.1 in all. Plain rows need nothing more.
            return 3 * pixels if image.tile and image.tile[0][0] == "bmp_rle" else 0
        case "TIFF":
            return _tiff(image)
        case "WEBP":
            # Two canvases, the frame as bytes and the picture, four each: 16.0 to 16.3. The file is copied thrice.
            return 13 * pixels + 3 * len(data)
        case "AVIF":
            # Planes, the frame twice, the picture: 9.3 (4:2:0), 11.0 (4:4:4), 13.7 (4:4:4 with alpha), all of
            # 8 bits; planes of 10 bits take as much again.
            return (16 if image.mode == "RGBA" else 12) * pixels + len(data)
        case "JPEG2000":
            # Four bytes a component, then one: L 6.1, RGB 19.4, RGBA 24.5. In tiles less, which is not looked at.
            return (1 + 5 * len(image.getbands())) * pixels + len(data)
    return (WORST - 4) * pixels


def stored_bytes(mode: str) -> int:
    """Bytes in which Pillow keeps a pixel: LA and RGB take four."""
    if mode in ("1", "L", "P"):
        return 1
    return 2 if mode.startswith("I;16") else 4


def is_decoded_row_by_row(image: Any, data: bytes) -> bool:
    """Whether libjpeg can do without the coefficients of the whole picture, two bytes each at any scale.

    It can where the file is sequential and its first scan holds all components. Without this check a kilobyte
    that claims 65,500 x 65,500 pixels has 25 GB allocated and cleared before it turns out to be empty.
    """
    if "progressive" in image.info:
        return False
    start = _first_scan(data)
    length = 6 + 2 * image.layers  # n components, 2 bytes each, 3 more
    return data[start : start + 5] == bytes((0xFF, 0xDA, 0, length, image.layers))


def _first_scan(data: bytes) -> int:
    """Where the first scan's header begins; markers are looked for as libjpeg does it (jdmarker.c)."""
    at = 2
    while (at := data.find(0xFF, at)) != -1 and at + 4 <= len(data):
        marker = data[at + 1]
        if marker == 0xDA:
            return at
        if marker == 0xFF:  # fill
            at += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD9:  # these stand alone
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return len(data)


def _jpeg(image: Any, stored: tuple[int, int], data: bytes) -> int:
    """Measured: 0.15 bytes per pixel row by row, 3.1 in several scans at 4:2:0, 6.1 at 4:4:4."""
    metadata = 3 * sum(len(segment) for _, segment in image.applist)  # as segments, by name, and joined
    rows = 256 * stored[0]
    if is_decoded_row_by_row(image, data):
        return rows + metadata
    factors = [(max(h, 1), max(v, 1)) for _, h, v, _ in image.layer]  # a hostile header has zeros
    across, down = max(h for h, _ in factors), max(v for _, v in factors)
    blocks = sum(
        _up(math.ceil(stored[0] * h / (8 * across)), h) * _up(math.ceil(stored[1] * v / (8 * down)), v)
        for h, v in factors
    )
    return blocks * 64 * 2 + rows + metadata


def _up(number: int, unit: int) -> int:
    return -(-number // unit) * unit


def _png_texts(data: bytes) -> int:
    """What the text chunks of a PNG may grow to: four bytes a character and the inflated bytes."""
    total, at = 0, 8
    while at + 8 <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if name in _TEXT_CHUNKS:
            inflated = length if name in (b"tEXt", b"eXIf") else min(_TEXT_CHUNK, 1032 * length)
            total += 5 * max(length, inflated)
        at += length + 12
    return total


def _tiff(image: Any) -> int:
    """Measured: one strip its bytes (3.0 per pixel), with JPEG inside 2.8; turned upright
    the whole picture once more (4.0)."""
    turned = _picture(image) if _number(image, 274, 1) != 1 else 0
    compression = _number(image, 259, 1)
    if compression == 1:
        return turned
    width, height = image.size
    if 322 in image.tag_v2:  # tiles; one may be far bigger than the picture
        part = _number(image, 322, width) * _number(image, 323, height)
    else:
        part = width * min(_number(image, 278, height) or height, height)
    bits = image.tag_v2.get(258, 1)
    widest = max((b for b in (bits if isinstance(bits, tuple) else (bits,)) if isinstance(b, int)), default=8)
    raw = part * max(4, _number(image, 277, 1) * math.ceil(min(max(widest, 1), 64) / 8))
    # Others (JPEG, WebP, …) decode a strip by a decoder of their own; a progressive one keeps its coefficients.
    return LIBTIFF + turned + (raw if compression in _PLAIN_TIFF else 4 * raw)


def _number(image: Any, tag: int, otherwise: int) -> int:
    """A tag that should be a number not below zero; hostile files have texts and lists there."""
    value = image.tag_v2.get(tag, otherwise)
    if isinstance(value, tuple) and value:
        value = value[0]
    return value if isinstance(value, int) and value >= 0 else otherwise
