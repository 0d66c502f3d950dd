"""What a sample is: size, resampling, modes, quality, and the versions that decide its bytes.

A recipe is a value: two with equal parameters under equal library versions make equal bytes of equal inputs.
``digest`` says so in one string, and what depends on a recipe (datasets, shards) keeps that string.

Two are built in. ``tol10m`` is the published TreeOfLife-10M procedure, bit for bit. ``clean`` is the default
for new datasets: RGB always, upright, whole, and about twice as fast.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import importlib
import importlib.metadata
import json
from collections.abc import Mapping
from typing import Any, Literal

from tol_db.errors import InputError, UsageError

Resampler = Literal["pillow-bicubic", "cykooz-catmull-rom"]
Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]

LONGEST_JPEG_SIDE = 65_500
"""Pixels; JPEG_MAX_DIMENSION of libjpeg, above which it refuses to write."""

_CHOICES: dict[str, tuple[str | None, ...]] = {
    "resampler": ("pillow-bicubic", "cykooz-catmull-rom"),
    "subsampling": (None, "4:4:4", "4:2:2", "4:2:0"),
    "mode": ("published", "rgb"),
    "alpha": ("drop", "white"),
    "truncated": ("accept", "leave_out"),
    "pixels_counted": ("as_stored", "as_decoded"),
    "captions": ("tol10m",),
}
_RANGES: dict[str, tuple[int, int | None]] = {
    "width": (1, LONGEST_JPEG_SIDE),
    "height": (1, LONGEST_JPEG_SIDE),
    "quality": (1, 100),
    "max_pixels": (1, None),
}
_SWITCHES = ("exif_upright", "dct_scaling", "keep_comment")

_PACKAGES: dict[str, tuple[str, str]] = {"cykooz-catmull-rom": ("cykooz-resizer", "cykooz_resizer")}
"""Resampler → (distribution, module) where it is not Pillow's own."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How the bytes of a source image become the ``jpg`` member of a sample, and how it is captioned.

    Attributes:
        name: a label for people; no part of the digest.
        width: of the written picture, pixels.
        height: of the written picture, pixels; the source's aspect ratio is not kept.
        resampler: both are the same cubic (a = -0.5); the bytes differ in rounding.
        quality: of the JPEG, 1 to 100.
        subsampling: of the chroma; None leaves it to the writer (libjpeg: 4:2:0).
        mode: ``published`` turns RGBA and P into RGB and leaves other modes as they are, as the published
            procedure does; ``rgb`` turns every mode into RGB.
        alpha: with mode ``rgb``, ``drop`` forgets transparency and shows the colours below it, ``white`` lays
            the picture on white first.
        exif_upright: apply the EXIF orientation.
        truncated: ``accept`` fills what is missing (grey in a JPEG), ``leave_out`` rejects the image.
        dct_scaling: decode JPEGs at 1/2, 1/4 or 1/8 where both sides stay at least twice the target.
        max_pixels: images of more pixels are refused before they are decoded.
        pixels_counted: ``as_stored`` counts what the header says, ``as_decoded`` what DCT scaling leaves of
            it (of a JPEG in several scans nothing is left out: its decoder holds it whole).
        keep_comment: carry the source's comment over into the JPEG, as Pillow does by itself.
        captions: which set of texts goes with the picture.

    Raises:
        InputError: a value is of the wrong type, out of range or at odds with another.
    """

    name: str
    width: int
    height: int
    resampler: Resampler
    quality: int
    subsampling: Subsampling | None
    mode: Literal["published", "rgb"]
    alpha: Literal["drop", "white"]
    exif_upright: bool
    truncated: Literal["accept", "leave_out"]
    dct_scaling: bool
    max_pixels: int
    pixels_counted: Literal["as_stored", "as_decoded"]
    keep_comment: bool
    captions: Literal["tol10m"]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise InputError(f"recipe: name must be a text that is not empty, not {self.name!r}")
        for field in _names():
            if field != "name":
                _check(field, getattr(self, field))
        if self.mode == "published" and self.resampler != "pillow-bicubic":
            raise InputError(
                f"recipe {self.name}: mode 'published' keeps modes that {self.resampler!r} cannot resize",
                hint="Set mode to 'rgb', or resampler to 'pillow-bicubic'.",
            )
        if self.mode == "published" and self.alpha != "drop":
            raise InputError(
                f"recipe {self.name}: alpha {self.alpha!r} has no effect with mode 'published'",
                hint="Set mode to 'rgb', or alpha to 'drop'.",
            )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the written picture, pixels."""
        return self.width, self.height

    def parameters(self) -> dict[str, str | int | bool | None]:
        """All fields, the name included, in their order; ``json.dumps`` takes it as it is."""
        return dataclasses.asdict(self)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Recipe:
        """The recipe that ``parameters()`` of gave this mapping.

        Raises:
            InputError: a key is unknown or missing, or a value is wrong; the message names it.
        """
        if not isinstance(parameters, Mapping):
            raise InputError(f"recipe: parameters must be a table of keys and values, not {parameters!r}")
        _check_names(parameters)
        missing = [field for field in _names() if field not in parameters]
        if missing:
            raise InputError(
                f"recipe: {', '.join(missing)} not given",
                hint="To change single values, start from a built-in recipe: " + ", ".join(BUILT_IN) + ".",
            )
        return cls(**parameters)

    def with_(self, **overrides: Any) -> Recipe:
        """This recipe with other values for the named fields.

        Raises:
            InputError: a field is unknown or its value wrong.
        """
        _check_names(overrides)
        return dataclasses.replace(self, **overrides)


@dataclasses.dataclass(frozen=True, slots=True)
class Versions:
    """The libraries that decide a sample's bytes.

    Attributes:
        pillow: Pillow itself; its resampling changed between 10.2 and 13.
        libjpeg_turbo: the JPEG codec that Pillow was built with; ``libjpeg N`` where it is another one.
        resizer: the package that resizes; None where the recipe resizes with Pillow.
    """

    pillow: str
    libjpeg_turbo: str
    resizer: str | None


def library_versions(recipe: Recipe) -> Versions:
    """The versions in use in this process.

    Raises:
        UsageError: the recipe's resizer is not installed.
    """
    import PIL
    from PIL import features

    check_resizer(recipe)
    turbo = features.version("libjpeg_turbo") or f"libjpeg {features.version('jpg')}"
    package = _PACKAGES.get(recipe.resampler)
    return Versions(PIL.__version__, turbo, importlib.metadata.version(package[0]) if package else None)


def digest(recipe: Recipe, versions: Versions) -> str:
    """SHA-256 in hex over the canonical JSON of all parameters but the name, and of the versions."""
    parameters = recipe.parameters()
    del parameters["name"]
    content = {"parameters": parameters, "versions": dataclasses.asdict(versions)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def check_resizer(recipe: Recipe) -> None:
    """Makes sure that the recipe's own resizer can be used: another one would make other bytes.

    Raises:
        UsageError: it is not installed, or was built for another machine.
    """
    package = _PACKAGES.get(recipe.resampler)
    if package is None:
        return
    distribution, module = package
    try:
        importlib.import_module(module)
        importlib.metadata.version(distribution)
    except ImportError as error:  # PackageNotFoundError is one
        raise UsageError(
            f"recipe {recipe.name}: resampler {recipe.resampler!r} cannot be loaded ({error})",
            hint=f"Install it (pip install {distribution}), or choose another recipe.",
        ) from error


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(Recipe))


def _check_names(given: Mapping[str, Any]) -> None:
    for key in given:
        if key not in _names():
            near = difflib.get_close_matches(str(key), _names(), n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise InputError(f"recipe: unknown key {key!r}", hint=f"{hint}Keys: {', '.join(_names())}.")


def _check(field: str, value: object) -> None:
    if field in _SWITCHES:
        fits, allowed = isinstance(value, bool), "true or false"
    elif field in _CHOICES:
        fits = (value is None or isinstance(value, str)) and value in _CHOICES[field]
        allowed = ", ".join("null" if choice is None else repr(choice) for choice in _CHOICES[field])
    else:
        low, high = _RANGES[field]
        # bool is an int to Python, and 1.0 equals 1: neither is a number of pixels.
        fits = type(value) is int and low <= value and (high is None or value <= high)
        allowed = f"a whole number from {low}" + ("" if high is None else f" to {high}")
    if not fits:
        raise InputError(f"recipe: {field} is {value!r}", hint=f"Allowed: {allowed}.")


TOL10M = Recipe(
    name="tol10m",
    width=224,
    height=224,
    resampler="pillow-bicubic",
    quality=100,
    subsampling=None,
    mode="published",
    alpha="drop",
    exif_upright=False,
    truncated="accept",
    dct_scaling=False,
    max_pixels=2 * 30_000**2,
    pixels_counted="as_stored",
    keep_comment=True,
    captions="tol10m",
)
"""The published TreeOfLife-10M procedure, bit for bit."""

CLEAN = Recipe(
    name="clean",
    width=224,
    height=224,
    resampler="cykooz-catmull-rom",
    quality=95,
    subsampling="4:4:4",
    mode="rgb",
    alpha="drop",
    exif_upright=True,
    truncated="leave_out",
    dct_scaling=True,
    max_pixels=80_000_000,
    pixels_counted="as_decoded",
    keep_comment=False,
    captions="tol10m",
)
"""The default for new datasets."""

BUILT_IN: dict[str, Recipe] = {recipe.name: recipe for recipe in (TOL10M, CLEAN)}
