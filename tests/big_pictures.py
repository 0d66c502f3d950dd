"""Pictures of 80 million pixels that are quickly made and small on disk: a coloured tile, repeated."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

WIDTH, HEIGHT = 10_000, 8_000


@dataclass(frozen=True, slots=True)
class Big:
    """How a big picture is made, and what `clean` makes of it.

    Attributes:
        outcome: ``""`` where it is converted.
        size: width and height, pixels.
    """

    mode: str
    format: str
    outcome: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = (WIDTH, HEIGHT)

    def make(self) -> bytes:
        picture = _tiled(self.mode, self.size)
        file = io.BytesIO()
        if self.format == "PNG":
            picture.save(file, "PNG", **{"compress_level": 3, **self.options})
        else:
            picture.save(file, self.format, **self.options)
        return file.getvalue()


@functools.lru_cache(maxsize=1)
def _tiled(mode: str, size: tuple[int, int]) -> Image.Image:
    tile = Image.radial_gradient("L").resize((250, 200)).point(lambda value: value & 0xF8)
    colours = Image.merge("RGB", (tile, tile.rotate(90).resize(tile.size), tile.rotate(180)))
    part = colours.convert(mode)
    if mode in ("LA", "RGBA"):
        part.putalpha(200)
    row = Image.new(mode, (size[0], min(200, size[1])))
    whole = Image.new(mode, size)
    for at in range(0, size[0], 250):
        row.paste(part, (at, 0))
    for at in range(0, size[1], 200):
        whole.paste(row, (0, at))
    if mode == "P":
        whole.putpalette(part.getpalette() or [])
    return whole


_SLIGHTLY_LESS = (10_000, 7_750)  # four bytes a pixel, and more beside them than what a plain RGB PNG needs
_DEFLATED = {"compression": "tiff_adobe_deflate"}

BIG: dict[str, Big] = {
    "RGB PNG": Big("RGB", "PNG"),
    "RGBA PNG": Big("RGBA", "PNG", size=_SLIGHTLY_LESS),
    "RGBA PNG, tall": Big("RGBA", "PNG", size=(3_900, 20_000)),
    "RGB PNG of 240 MB": Big("RGB", "PNG", "too_large", {"compress_level": 0}),
    "LA PNG": Big("LA", "PNG"),
    "P PNG": Big("P", "PNG"),
    "P PNG, transparent": Big("P", "PNG", options={"transparency": bytes(range(256))}),
    "L PNG": Big("L", "PNG"),
    "1 PNG": Big("1", "PNG"),
    "I;16 PNG": Big("I;16", "PNG"),
    "baseline JPEG": Big("RGB", "JPEG"),
    "baseline JPEG, thin": Big("RGB", "JPEG", size=(1_230, 65_000)),
    "CMYK JPEG": Big("CMYK", "JPEG"),
    "progressive JPEG 4:2:0": Big("RGB", "JPEG", options={"progressive": True}),
    "progressive JPEG 4:4:4": Big("RGB", "JPEG", "too_large", {"progressive": True, "subsampling": 0}),
    "progressive grey JPEG": Big("L", "JPEG", options={"progressive": True}),
    "GIF": Big("P", "GIF"),
    "GIF, transparent": Big("P", "GIF", options={"transparency": 3, "disposal": 2}),
    "L BMP": Big("L", "BMP"),
    "RGB BMP": Big("RGB", "BMP", "too_large"),
    "RGB TIFF, stored": Big("RGB", "TIFF", "too_large"),
    "CMYK TIFF, stored": Big("CMYK", "TIFF", "too_large"),
    "L TIFF": Big("L", "TIFF", options=_DEFLATED),
    "L TIFF, turned": Big("L", "TIFF", options={**_DEFLATED, "tiffinfo": {274: 6}}),
    "RGB TIFF": Big("RGB", "TIFF", options=_DEFLATED, size=_SLIGHTLY_LESS),
    "RGB TIFF, turned": Big("RGB", "TIFF", "too_large", {**_DEFLATED, "tiffinfo": {274: 6}}),
    "CMYK TIFF": Big("CMYK", "TIFF", options=_DEFLATED, size=_SLIGHTLY_LESS),
    "F TIFF": Big("F", "TIFF", "unsupported_mode", _DEFLATED, size=_SLIGHTLY_LESS),
    "I TIFF": Big("I", "TIFF", options=_DEFLATED, size=_SLIGHTLY_LESS),
    "RGB WebP": Big("RGB", "WEBP", "too_large", {"method": 0}),
    "RGBA WebP": Big("RGBA", "WEBP", "too_large", {"method": 0}),
    "RGB WebP of 18 million": Big("RGB", "WEBP", options={"method": 0}, size=(5_000, 3_600)),
    "RGBA WebP of 18 million": Big("RGBA", "WEBP", options={"lossless": True, "method": 0}, size=(5_000, 3_600)),
    "RGB AVIF of 18 million": Big("RGB", "AVIF", options={"speed": 10}, size=(5_000, 3_600)),
    "RGB AVIF": Big("RGB", "AVIF", "too_large", {"speed": 10}),
    "RGB JPEG 2000 of 12 million": Big("RGB", "JPEG2000", size=(4_000, 3_000)),
    "RGBA JPEG 2000 of 16 million": Big("RGBA", "JPEG2000", "too_large", size=(4_000, 4_000)),
    "RGB PPM of 12 million": Big("RGB", "PPM", "too_large", size=(4_000, 3_000)),
    "RGB TGA of 10 million": Big("RGB", "TGA", options={"compression": "tga_rle"}, size=(4_000, 2_500)),
}
