"""Plots as markup: shapes in SVG that stretch with the window, every text in HTML that does not.

A drawing with its texts inside is scaled as a whole, so that on a phone nobody can read it. Here a plot is a box
whose shapes are stretched (``preserveAspectRatio="none"``, lines keep their width), with texts placed at
per cents around it. That needs no script, prints, and follows the colours of the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tol_db.report.page.html import join, tag, text
from tol_db.report.tables import percent

WIDE, HIGH = 1000.0, 300.0
"""Units of a drawing."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of an axis: where (0 to 1) and what; ``minor`` ones are left out where there is no room."""

    at: float
    label: str
    minor: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a bar chart; ``key`` is the colour, a class of the style sheet."""

    label: Markup | str
    value: int
    key: str = "c0"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: points (0 to 1, upwards) and its name in the legend."""

    name: str
    points: Sequence[tuple[float, float]]
    key: str = "c0"


def nice_top(value: float) -> float:
    """The least of 1, 2, 2.5, 5 × 10^n that is not less."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if value <= step * power * (1 + 1e-9))


def value_ticks(top: float, number: int = 4) -> list[Tick]:
    """Evenly from 0 to ``top``."""
    return [Tick(i / number, short(top * i / number)) for i in range(number + 1)]


def decade_ticks(low: float, high: float) -> list[Tick]:
    """Powers of ten on a logarithmic axis from ``low`` to ``high``."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [
        Tick(log_place(10.0**n, low, high), short(10.0**n), minor=(n - first) % 2 == 1)
        for n in range(first, last + 1)
    ]


def log_place(value: float, low: float, high: float) -> float:
    return math.log(value / low) / math.log(high / low)


def short(value: float) -> str:
    """``950``, ``1.2 k``, ``34 M``: a number for an axis."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def columns(
    values: Sequence[float], top: float, *, ticks: Sequence[Tick], label: str, titles: Sequence[str], unit: str
) -> Markup:
    """A histogram: a column for each value, as high as its share of ``top``."""
    step = WIDE / max(1, len(values))
    gap = min(step * 0.12, 4.0)
    shapes = [
        tag(
            "rect",
            tag("title", title),
            x=round(i * step + gap / 2, 2), y=round(HIGH * (1 - value / top), 2),
            width=round(step - gap, 2), height=round(HIGH * value / top, 2), class_="c0",
        )
        for i, (value, title) in enumerate(zip(values, titles, strict=True))
        if value > 0
    ]  # fmt: skip
    return frame(shapes, ticks, value_ticks(top), label=label, unit=unit)


def lines(
    curves: Sequence[Line], x: Sequence[Tick], y: Sequence[Tick], *, label: str, unit: str, below: str
) -> Markup:
    """Curves over each other, with a legend where there are several."""
    shapes = [
        tag(
            "path",
            tag("title", curve.name),
            d="M" + "L".join(f"{round(WIDE * a, 1)} {round(HIGH * (1 - b), 1)}" for a, b in curve.points),
            class_=f"curve {curve.key}",
        )
        for curve in curves
        if curve.points
    ]
    plot = frame(shapes, x, y, label=label, unit=unit, below=below)
    return join((legend((curve.key, curve.name) for curve in curves) if len(curves) > 1 else None, plot))


def frame(
    shapes: Iterable[Markup], x: Sequence[Tick], y: Sequence[Tick], *, label: str, unit: str, below: str = ""
) -> Markup:
    """Shapes between two axes; ``label`` says to those who do not see it what it shows."""
    grid = [
        tag("line", x1=0, x2=WIDE, y1=HIGH * (1 - t.at), y2=HIGH * (1 - t.at), class_="grid") for t in y
    ]  # fmt: skip
    drawing = tag(
        "svg", *grid, *shapes,
        viewBox=f"0 0 {WIDE:g} {HIGH:g}", preserveAspectRatio="none", role="img", aria_label=label,
    )  # fmt: skip
    at_left = [tag("span", t.label, style=f"bottom:{100 * t.at:.2f}%") for t in y]
    at_foot = [
        tag("span", t.label, style=f"left:{100 * t.at:.2f}%", class_="minor" if t.minor else None) for t in x
    ]
    return tag(
        "div",
        tag("div", unit, class_="unit"),
        tag("div", *at_left, class_="y", aria_hidden="true"),
        tag("div", drawing, class_="area"),
        tag("div", *at_foot, class_="x", aria_hidden="true"),
        tag("div", below, class_="below") if below else None,
        class_="plot",
    )


def bars(rows: Sequence[Bar], whole: int | None = None, *, label: str) -> Markup:
    """Horizontal bars, each with its name, its number and its share of ``whole`` (the sum where None)."""
    top = max((row.value for row in rows), default=0)
    total = sum(row.value for row in rows) if whole is None else whole
    parts = []
    for row in rows:
        share = 100 * row.value / top if top else 0
        bar = tag("span", class_=f"bar {row.key}", style=f"width:{max(share, 0.3 if row.value else 0):.2f}%")
        parts.append(
            tag(
                "li",
                tag("span", row.label, class_="name", title=row.note or None),
                tag("span", bar, class_="track"),
                tag("span", f"{row.value:,}", class_="n"),
                tag("span", percent(row.value, total), class_="n share"),
            )
        )
    return tag("ul", *parts, class_="bars", aria_label=label)


def stacked(parts: Sequence[tuple[str, str, int]], *, label: str) -> Markup:
    """One bar in parts: (name, colour, number)."""
    total = sum(number for *_, number in parts)
    pieces = [
        tag("span", class_=f"part {key}", style=f"width:{100 * number / total:.3f}%", title=f"{name}: {number:,}")
        for name, key, number in parts
        if number
    ]
    return tag("div", *pieces, class_="stack", role="img", aria_label=label)


def legend(entries: Iterable[tuple[str, str]]) -> Markup:
    """Colours and what they mean: (colour, name)."""
    return tag("ul", *(tag("li", tag("i", class_=key), text(name)) for key, name in entries), class_="legend")
