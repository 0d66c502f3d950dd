"""Whether an image member can be decoded, in full. Pure: bytes → what is wrong with them.

It asks what a training run will ask: can Pillow make pixels of it, all of them? A picture that is cut off is at
fault, a strange format under a familiar extension is not.
"""

from __future__ import annotations

import functools
import io
import itertools
import warnings
from dataclasses import dataclass

from PIL import Image, ImageFile, UnidentifiedImageError

MAX_PIXELS = 80_000_000
"""Of one picture: as in recipe `clean`. It is checked in the header, before anything is decoded."""
MAX_FRAME_PIXELS = 10 * MAX_PIXELS
"""Of all frames of an animated picture together."""

_FRAMES_COUNT = frozenset({"GIF", "PNG", "WEBP", "TIFF"})
"""Formats of which every frame is decoded. Not MPO: cameras write broken previews behind good pictures."""


@dataclass(frozen=True, slots=True)
class ImageFault:
    """What is wrong with an image.

    Attributes:
        message: one line.
        is_too_large: it was not decoded, because of its size.
    """

    message: str
    is_too_large: bool = False


def image_fault(data: bytes, max_pixels: int = MAX_PIXELS) -> ImageFault | None:
    """Decode all of an image; what is wrong with it, or None.

    Pillow keeps its settings in module globals: only one thread of a process may be in here, and afterwards
    they are as before.
    """
    if not data:
        return ImageFault("an empty file")
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Pillow refuses to open what has more than twice its figure
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = -(-max_pixels // 2), False
        try:
            _decode(data, max_pixels)
        except _TooLarge as err:
            return ImageFault(str(err), is_too_large=True)
        except Image.DecompressionBombError as err:
            return ImageFault(_line(str(err)), is_too_large=True)
        except UnidentifiedImageError:  # its own message holds an address in memory
            return ImageFault(f"not an image that can be read; it begins with {data[:16]!r}")
        except MemoryError:
            raise
        # On hostile bytes readers raise OSError, SyntaxError, ValueError, struct.error, IndexError …: whatever
        # it is, it is about these bytes. Interrupts are not among the Exceptions.
        except Exception as err:  # noqa: BLE001
            return ImageFault(_line(str(err) or type(err).__name__))
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before
    return None


class _TooLarge(Exception):
    pass


def _decode(data: bytes, max_pixels: int) -> None:
    image = Image.open(io.BytesIO(data), formats=_formats())
    _refuse(image, max_pixels)
    if image.format == "JPEG":
        # In one piece: by default libjpeg gets 64 KiB at a time, and Pillow copies the rest along each time.
        image.decodermaxblock = len(data)
    image.load()
    if image.format == "PNG":  # loading does not check all of the checksums
        Image.open(io.BytesIO(data), formats=("PNG",)).verify()
    if image.format in _FRAMES_COUNT:
        _decode_frames(image, max_pixels)


def _decode_frames(image: ImageFile.ImageFile, max_pixels: int) -> None:
    pixels = image.width * image.height
    for number in itertools.count(1):
        try:
            image.seek(number)
        except EOFError:
            return
        _refuse(image, max_pixels)
        pixels += image.width * image.height
        if pixels > MAX_FRAME_PIXELS:
            raise _TooLarge(f"more than {number} frames of {image.width} x {image.height} pixels")
        image.load()


def _refuse(image: ImageFile.ImageFile, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise _TooLarge(f"{image.width} x {image.height} pixels, {max_pixels} at most")


@functools.cache
def _formats() -> tuple[str, ...]:
    """All that Pillow reads but EPS, for which it runs Ghostscript: a picture must not start programs."""
    Image.init()
    return tuple(name for name in Image.ID if name != "EPS")


def _line(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))[:200]
