"""Pixels of any mode → those that a recipe resizes: RGB, L, or what the published procedure leaves as it is.

Each pixel is turned by itself, so a part of a picture may be turned instead of the whole.
"""

from __future__ import annotations

from PIL import Image

from materialize.recipe import Recipe

WRITABLE = frozenset({"1", "L", "RGB", "RGBX", "CMYK", "YCbCr"})  # by Pillow, as JPEG


class NoMeaning(Exception):
    """A mode, or a range of values, that has no meaning in the recipe."""


def check_mode(image: Image.Image, recipe: Recipe) -> None:
    """Look whether the recipe knows what to make of a decoded picture.

    Raises:
        NoMeaning: it does not.
    """
    mode = image.mode
    if recipe.mode == "published":
        if mode not in WRITABLE and mode not in ("RGBA", "P"):
            raise NoMeaning(f"mode {mode} cannot be written as JPEG")
    elif mode == "F":
        raise NoMeaning("mode F has no defined range")
    elif mode == "I":
        low, high = image.getextrema()
        if low < 0 or high > 65_535:  # type: ignore[operator]
            raise NoMeaning(f"mode I with values from {low} to {high}, known are 0 to 65535")


def is_ready(image: Image.Image, recipe: Recipe) -> bool:
    """Whether the picture is resized as it is."""
    if recipe.mode == "published":
        return image.mode not in ("RGBA", "P")
    return image.mode in ("RGB", "L") and not (recipe.alpha == "white" and image.has_transparency_data)


def in_mode(part: Image.Image, recipe: Recipe) -> Image.Image:
    """A picture, or a part of one, in a mode to resize. Grey stays L also under ``rgb``: one band to resize.

    Raises:
        NoMeaning: Pillow cannot convert this mode.
    """
    if is_ready(part, recipe):
        return part
    try:
        if recipe.mode == "published":
            return part.convert("RGB")
        if part.mode == "I" or part.mode.startswith("I;16"):
            return _eight_bits(part)
        if recipe.alpha == "white" and part.has_transparency_data:
            return _on_white(part)
        return part.convert("L" if part.mode in ("1", "LA") else "RGB")
    except ValueError as error:  # Pillow's word for a conversion that it does not have
        raise NoMeaning(f"mode {part.mode}: {error}") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    wide = image if image.mode == "I" else image.convert("I")
    return wide.point(lambda value: value * (1 / 257) + 0.5).convert("L")


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    page = Image.new("RGB", layer.size, "white")
    page.paste(layer, mask=layer)
    return page
