"""Squarified treemaps: rectangles whose areas are given and whose sides are as equal as can be. Pure.

Bruls, Huizing, van Wijk (2000): "Squarified Treemaps". The same algorithm stands in ``page.js``, which lays the
map out anew for the width of the window; a test in a browser holds both equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; ``x`` and ``y`` are its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        return self.width * self.height

    def inset(self, side: float, top: float) -> Box:
        """What is left of it within a margin; never less than nothing."""
        width, height = max(0.0, self.width - 2 * side), max(0.0, self.height - top - side)
        return Box(self.x + side, self.y + top, width, height)


def squarify(sizes: Sequence[float], box: Box) -> list[Box]:
    """Cut a rectangle into one of each size, in their order.

    Args:
        sizes: positive, the largest first.
        box: what they fill together.

    Raises:
        ValueError: a size is not positive, or larger than the one before it.
    """
    if any(size <= 0 for size in sizes) or any(b > a for a, b in pairwise(sizes)):
        raise ValueError("sizes must be positive, the largest first")
    found: list[Box] = []
    at, left, total = 0, box, float(sum(sizes))
    while at < len(sizes):
        short = min(left.width, left.height)
        scale = left.area / total if total > 0 else 0.0
        end, row = at + 1, sizes[at] * scale
        while end < len(sizes):
            longer = row + sizes[end] * scale
            if _worst(longer, sizes[at] * scale, sizes[end] * scale, short) > _worst(
                row, sizes[at] * scale, sizes[end - 1] * scale, short
            ):
                break
            row, end = longer, end + 1
        last = end == len(sizes)
        depth = (max(left.width, left.height) if last else row / short) if short > 0 else 0.0
        found += _lay_row(sizes[at:end], left, depth)
        total -= sum(sizes[at:end])
        left = _beside_row(left, depth)
        at = end
    return found


def _worst(row: float, largest: float, smallest: float, short: float) -> float:
    """The largest ratio of sides in a row of this area that lies along a side of this length."""
    if row <= 0 or smallest <= 0 or short <= 0:
        return 0.0
    return max(short * short * largest / (row * row), row * row / (short * short * smallest))


def _lay_row(sizes: Sequence[float], left: Box, depth: float) -> list[Box]:
    """A row along the shorter side of what is left."""
    found: list[Box] = []
    total, along = float(sum(sizes)), 0.0
    upright = left.width >= left.height
    length = left.height if upright else left.width
    for size in sizes:
        part = length * size / total
        if upright:
            found.append(Box(left.x, left.y + along, depth, part))
        else:
            found.append(Box(left.x + along, left.y, part, depth))
        along += part
    return found


def _beside_row(left: Box, depth: float) -> Box:
    if left.width >= left.height:
        return Box(left.x + depth, left.y, max(0.0, left.width - depth), left.height)
    return Box(left.x, left.y + depth, left.width, max(0.0, left.height - depth))
