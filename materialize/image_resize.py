"""A decoded picture of any mode → one of the size that a recipe asks for.

Big pictures are brought into the recipe's mode strip by strip, along with the first pass of the resize, which
treats each line by itself: the same bytes as by converting the whole, without a second picture of full size.
"""

from __future__ import annotations

import functools
from typing import Any

from PIL import Image

from materialize.image_modes import check_mode, in_mode, is_ready
from materialize.recipe import Recipe, check_resizer

Box = tuple[float, float, float, float]

STRIP = 1 << 18
"""Pixels that are converted at a time: one megabyte before and after, small beside any picture that counts."""


def resize(image: Image.Image, target: tuple[int, int], box: Box | None, recipe: Recipe) -> Image.Image:
    """The picture in the recipe's mode and of the target's size.

    Args:
        image: decoded.
        target: width and height, pixels.
        box: the part of the picture that the source covers, from its upper left corner; None for all of it.
        recipe: its resampler and mode count here.

    Raises:
        NoMeaning: the recipe does not know what to make of the mode.
        UsageError: the recipe's resizer is not installed.
    """
    check_mode(image, recipe)
    if recipe.resampler == "pillow-bicubic":
        return in_mode(image, recipe).resize(target, Image.Resampling.BICUBIC, box=box)
    covered = box[2:] if box else (float(image.width), float(image.height))
    # One pass an axis, columns before rows unless rows shrink far more: the order of Pillow 13. By itself the
    # resizer starts with rows; as values are rounded in between, every fourth then differs from Pillow's by
    # one (55 dB), and a JPEG encoder makes 42 dB of that. This way it is 71 dB or more, for 3 % of the time.
    first = first_axis(image.size, target)
    image = _convert_and_scale(image, first, target[first], covered[first], recipe)
    return _scale(image, 1 - first, target[1 - first], covered[1 - first], recipe)


def first_axis(size: tuple[int, int], target: tuple[int, int]) -> int:
    """Which axis is scaled first: 0 is the width, 1 the height."""
    return 1 if size[1] - target[1] > 2 * max(0, size[0] - target[0]) else 0


def _convert_and_scale(image: Image.Image, axis: int, length: int, covered: float, recipe: Recipe) -> Image.Image:
    if is_ready(image, recipe) or image.width * image.height <= STRIP:
        return _scale(in_mode(image, recipe), axis, length, covered, recipe)
    lines = max(1, STRIP // image.size[axis])
    end = image.size[1 - axis]
    whole: Image.Image | None = None
    for start in range(0, end, lines):
        stop = min(start + lines, end)
        part = image.crop((0, start, image.width, stop) if axis == 0 else (start, 0, stop, image.height))
        part = _scale(in_mode(part, recipe), axis, length, covered, recipe)
        if whole is None:
            whole = Image.new(part.mode, (length, end) if axis == 0 else (end, length), None)
        whole.paste(part, (0, start) if axis == 0 else (start, 0))
    assert whole is not None, "a picture has at least one line"
    return whole


def _scale(source: Image.Image, axis: int, length: int, covered: float, recipe: Recipe) -> Image.Image:
    """One pass: the first ``covered`` pixels of an axis become ``length``; the other axis stays."""
    cykooz, resizer, cubic = _cykooz(recipe)
    size, part = list(source.size), list[float](source.size)
    size[axis], part[axis] = length, covered
    image = Image.new(source.mode, (size[0], size[1]), None)  # every pixel will be written
    options = cykooz.ResizeOptions(resize_alg=cubic, crop_box=cykooz.CropBox(0, 0, *part))
    resizer.resize_pil(source, image, options)
    return image


@functools.cache
def _cykooz(recipe: Recipe) -> tuple[Any, Any, Any]:
    """The module, loaded when a recipe first wants it; a resizer that keeps its scratch memory; a filter."""
    check_resizer(recipe)
    import cykooz_resizer as cykooz

    return cykooz, cykooz.Resizer(), cykooz.ResizeAlg.convolution(cykooz.FilterType.catmull_rom)
