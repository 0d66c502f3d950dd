"""The bytes of a source image → the JPEG of a sample, as a recipe says.

One function, ``convert``. It knows no database, no file and no pool. What is wrong with an image's *content*
it reports as ``Rejected``; a missing resizer or memory that runs out is the machine's fault and left to rise.

What the recipes leave open:

- Colours are taken for sRGB: an ICC profile is neither applied nor kept.
- Under mode ``rgb``, 16-bit grey (I;16, and what readers hand out as I) is scaled by 1/257 and rounded: 65535
  → 255. Values beyond that, F, and modes that Pillow cannot turn into RGB are ``unsupported_mode``.
- Of an animated image the first frame is taken.
- The EXIF orientation is applied after the resize: the same picture for a fraction of the work. An EXIF block
  that cannot be read is no fault of the picture, which then stays as it is stored.
- TIFF is turned upright by Pillow while it loads, whatever the recipe says.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageFile, UnidentifiedImageError

from materialize.image_memory import (
    MODEST,
    budget,
    estimate,
    is_decoded_row_by_row,
    is_modest,
    make_room,
    pixels_openable,
)
from materialize.image_modes import NoMeaning
from materialize.image_resize import Box, resize
from materialize.recipe import Recipe

LONGEST_SIDE = 1_000_000
"""Pixels. No real picture comes near it, and resizers allocate in proportion to it: a header that claims more
would end as a MemoryError, which looks like the machine's fault and is not."""

LONGEST_COMMENT = 65_533  # bytes that a JPEG's COM segment can hold
LONGEST_DETAIL = 200  # characters

_SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*"),
    "BMP": (b"BM",),
}
"""Formats that their first bytes name."""

_ALLOCATES_NOTHING = frozenset({"JPEG", "PNG", "TIFF", "BMP"})
"""Of those, the ones whose header is read without allocating for the picture. A GIF may want its first frame
cleared away afterwards: Pillow then makes that empty rectangle, 65,535 pixels a side, while it opens the file."""

_PILLOW_LOG = logging.getLogger("PIL")
_PILLOW_LOG.addHandler(logging.NullHandler())  # a logger without any handler writes to stderr

_CUT_OFF = re.compile(r"truncated|incomplete|but only got|not enough image data|reached EOF", re.IGNORECASE)
"""What Pillow's readers say of a file that ends too early."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation (tag 0x0112) → what turns the picture upright; from 5 on the axes swap."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A sample's picture, and what its source was.

    Attributes:
        jpg: the file to write.
        width: of the source as its header has it, before any rotation or scaling, pixels.
        height: likewise.
        mode: of the source, in Pillow's words.
        format: of the source, in Pillow's words (``JPEG``, ``PNG``, ``MPO``, …).
    """

    jpg: bytes
    width: int
    height: int
    mode: str
    format: str


class Rejected(Exception):
    """The content of an image keeps it out of the dataset.

    Attributes:
        outcome: ``decode_error``, ``truncated``, ``too_large`` or ``unsupported_mode``.
        detail: one line of at most 200 characters; the same for the same bytes.
        width, height, mode: of the source as its header has it, None where that cannot be read.
    """

    def __init__(
        self,
        outcome: str,
        detail: str,
        width: int | None = None,
        height: int | None = None,
        mode: str | None = None,
    ) -> None:
        line = "".join(sign if sign.isprintable() else "?" for sign in " ".join(detail.split()))
        line = line if len(line) <= LONGEST_DETAIL else line[: LONGEST_DETAIL - 1] + "…"
        super().__init__(outcome, line, width, height, mode)  # all of them: it must survive pickling
        self.outcome, self.detail = outcome, line
        self.width, self.height, self.mode = width, height, mode

    def __str__(self) -> str:
        return f"{self.outcome}: {self.detail}"


def convert(data: bytes, recipe: Recipe) -> Converted:
    """The sample's JPEG for a source image.

    The same bytes, recipe and library versions give the same JPEG on every processor. Pillow keeps two of its
    settings in module globals, so only one thread of a process may be in here; afterwards they are as before.

    Args:
        data: a whole file of any format that Pillow reads.
        recipe: what to make of it.

    Raises:
        Rejected: the content is broken, cut off, too large or of a mode without a meaning in the recipe.
        UsageError: the recipe's resizer is not installed.
    """
    sniffed = _sniff(data)
    # Of a known header the size is read before anything is allocated, and judged then. Other readers may
    # allocate while they open: there Pillow's own limit, which is twice the figure, must hold from the start.
    guard = None if sniffed in _ALLOCATES_NOTHING else -(-pixels_openable(data, recipe) // 2)
    with _pillow_settings(recipe.truncated == "accept", guard):
        return _convert(data, sniffed, recipe)


def _convert(data: bytes, sniffed: str | None, recipe: Recipe) -> Converted:
    image = _open(data, sniffed)
    width, height, mode, kind = *image.size, image.mode, image.format or ""
    is_jpeg = sniffed == "JPEG"
    try:
        orientation = _orientation(image) if recipe.exif_upright and is_jpeg else 1
        scale = recipe.dct_scaling and is_jpeg
        box = _scale_while_decoding(image, _target(recipe, orientation)) if scale else None
        _refuse_too_large(image, (width, height), data, recipe)
        _refuse_too_hungry(image, (width, height), data, recipe)
        _load(image, data, sniffed)
        if recipe.exif_upright and not is_jpeg:
            # Only now: a PNG may carry its EXIF behind the pixels. TIFF reports 1, being upright already.
            orientation = _orientation(image)
        picture = _resize(image, _target(recipe, orientation), box, recipe)
        if orientation in _UPRIGHT:
            picture = picture.transpose(_UPRIGHT[orientation])
        if recipe.mode == "rgb" and picture.mode != "RGB":
            picture = picture.convert("RGB")
        comment = _comment(image) if recipe.keep_comment else b""
    except Rejected as rejected:
        raise Rejected(rejected.outcome, rejected.detail, width, height, mode) from rejected.__cause__
    return Converted(_encode(picture, comment, recipe), width, height, mode, kind)


@contextlib.contextmanager
def _pillow_settings(accept_truncated: bool, max_image_pixels: int | None) -> Iterator[None]:
    """Pillow has no arguments for these, only module globals: set for one image, then put back.

    Warnings and what Pillow logs go with them: on stderr nobody can tell which image was meant, and the outcome
    says it.
    """
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, _PILLOW_LOG.propagate
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = max_image_pixels, accept_truncated
        _PILLOW_LOG.propagate = False
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, _PILLOW_LOG.propagate = before


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """libtiff writes its complaints straight to file descriptor 2; what is wrong, the outcome says."""
    try:
        kept = os.dup(2)
    except OSError:  # closed: nobody listens
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _sniff(data: bytes) -> str | None:
    for name, starts in _SIGNATURES.items():
        if data.startswith(starts):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return None


@functools.cache
def _other_formats() -> tuple[str, ...]:
    """What is tried on bytes without a well-known signature: all that Pillow reads but EPS, for which it runs
    Ghostscript; a picture must not be able to start programs."""
    Image.init()
    return tuple(name for name in Image.ID if name != "EPS")


def _open(data: bytes, sniffed: str | None) -> ImageFile.ImageFile:
    """Reads the header."""
    formats = (sniffed,) if sniffed else _other_formats()
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except MemoryError:
        raise
    # On hostile bytes readers raise OSError, SyntaxError, ValueError, struct.error, IndexError, zlib.error,
    # OverflowError …: whatever it is, it is about these bytes. Interrupts are not among the Exceptions.
    except Exception as error:
        raise _unreadable(error, data, sniffed) from error


def _load(image: ImageFile.ImageFile, data: bytes, sniffed: str | None) -> None:
    """Decodes the pixels."""
    if sniffed == "JPEG":
        # In one piece: by default libjpeg gets 64 KiB at a time, and Pillow copies the rest along each time.
        image.decodermaxblock = len(data)
    try:
        with _quiet_stderr() if sniffed == "TIFF" else contextlib.nullcontext():
            image.load()
    except MemoryError:
        raise
    except Exception as error:  # as in _open
        raise _unreadable(error, data, sniffed) from error


def _unreadable(error: Exception, data: bytes, sniffed: str | None) -> Rejected:
    if isinstance(error, Image.DecompressionBombError):
        return Rejected("too_large", str(error))
    if isinstance(error, UnidentifiedImageError):  # its own message holds an address in memory
        start = f", begins with {data[:16]!r}" if data else ""
        message = f"cannot identify image file ({len(data)} bytes{start})"
    else:
        message = str(error) or type(error).__name__
    if _CUT_OFF.search(str(error)) or _ends_early(data, sniffed):
        return Rejected("truncated", message)
    return Rejected("decode_error", message)


class _NoticesTheEnd(io.BytesIO):
    """A file that knows whether more was asked of it than it holds."""

    ran_out: bool = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if size is not None and len(data) < size:
            self.ran_out = True
        return data


def _ends_early(data: bytes, sniffed: str | None) -> bool:
    """Whether an unreadable file was cut off: its header or table of contents points past its end.

    Only files that failed come here, so it may read the header again.
    """
    if sniffed == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)  # RIFF: size of what follows
    if sniffed is None:
        return False
    file = _NoticesTheEnd(data)
    try:
        image: Any = Image.open(file, formats=(sniffed,))
        if sniffed == "TIFF":
            for offsets, counts in ((273, 279), (324, 325)):  # strips, tiles
                parts = zip(image.tag_v2.get(offsets, ()), image.tag_v2.get(counts, ()), strict=False)
                file.ran_out |= any(offset + count > len(data) for offset, count in parts)
    except Exception:  # noqa: BLE001 — it failed before, for reasons that are being found out
        pass
    return file.ran_out


def _orientation(image: Image.Image) -> int:
    """The EXIF (or XMP) orientation, 1 where there is none or it makes no sense."""
    try:
        value = image.getexif().get(0x0112, 1)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 — the picture is whole; only the way it is to be held is unknown
        return 1
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _target(recipe: Recipe, orientation: int) -> tuple[int, int]:
    """What to resize to, so that the picture has the recipe's size once it stands upright."""
    return (recipe.height, recipe.width) if orientation >= 5 else (recipe.width, recipe.height)


def _scale_while_decoding(image: ImageFile.ImageFile, target: tuple[int, int]) -> Box | None:
    """Asks libjpeg for 1/2, 1/4 or 1/8 where both sides stay at least twice the target.

    Returns the part of the decoded picture that the source covers, None where nothing is scaled: libjpeg
    rounds sizes up, so the last column and row reach beyond the source. Taken for whole, they cost 10 dB.
    """
    stored = image.size
    draft = image.draft(None, (2 * target[0], 2 * target[1]))
    return draft[1] if draft and image.size != stored else None


def _refuse_too_large(image: ImageFile.ImageFile, stored: tuple[int, int], data: bytes, recipe: Recipe) -> None:
    pixels, size = stored[0] * stored[1], f"{stored[0]} x {stored[1]} pixels"
    if max(stored) > LONGEST_SIDE:
        raise Rejected("too_large", f"{size}, a side of {LONGEST_SIDE} at most")
    if pixels > recipe.max_pixels and recipe.pixels_counted == "as_decoded" and image.size != stored:
        if not is_decoded_row_by_row(image, data):
            why = "a JPEG in several scans is in memory whole while it is scaled"
            raise Rejected("too_large", f"{size}, {recipe.max_pixels} at most: {why}")
        pixels = image.width * image.height
    if pixels > recipe.max_pixels:
        raise Rejected("too_large", f"{size}, {recipe.max_pixels} at most")


def _refuse_too_hungry(image: ImageFile.ImageFile, stored: tuple[int, int], data: bytes, recipe: Recipe) -> None:
    allowed = budget(recipe)
    if allowed is None or (allowed >= MODEST and is_modest(image, stored, data, recipe)):
        return
    needed = estimate(image, stored, data, recipe)
    if needed > allowed:
        size = f"{stored[0]} x {stored[1]} pixels"
        raise Rejected(
            "too_large", f"{size} would take {_megabytes(needed)} to decode, {_megabytes(allowed)} at most"
        )
    make_room(needed)


def _megabytes(number: int) -> str:
    return f"{-(-number // 1_000_000)} MB"


def _resize(image: Image.Image, target: tuple[int, int], box: Box | None, recipe: Recipe) -> Image.Image:
    try:
        return resize(image, target, box, recipe)
    except NoMeaning as error:
        raise Rejected("unsupported_mode", str(error)) from error


def _comment(image: Image.Image) -> bytes:
    comment = image.info.get("comment", b"")
    comment = comment if isinstance(comment, bytes) else str(comment).encode("utf-8", "replace")
    if len(comment) > LONGEST_COMMENT:
        raise Rejected("decode_error", f"comment of {len(comment)} bytes, {LONGEST_COMMENT} fit into a JPEG")
    return comment


def _encode(picture: Image.Image, comment: bytes, recipe: Recipe) -> bytes:
    options: dict[str, Any] = {"quality": recipe.quality, "comment": comment}
    if recipe.subsampling is not None:
        options["subsampling"] = recipe.subsampling
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)
    return file.getvalue()
