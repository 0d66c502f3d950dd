"""Draws tables and what points to what, as SVG that needs nothing to be looked at.

Layout: tables stand in columns, each to the right of what it points to; within a column they are ordered by where
their neighbours stand (a few sweeps of barycentres), which keeps the lines short. The same tables: the same file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

ROW, HEAD, WIDTH, GAP_X, GAP_Y, MARGIN = 17, 24, 190, 90, 22, 36
SWEEPS = 12


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is a key, or points to a table."""

    name: str
    is_key: bool
    points_to: str | None


@dataclass(frozen=True, slots=True)
class Box:
    """A table: its keys, how many columns more it has, and the section that it belongs to."""

    name: str
    columns: tuple[Column, ...]
    more: int
    section: int
    heading: str

    @property
    def height(self) -> int:
        return HEAD + ROW * (len(self.columns) + (self.more > 0)) + 6

    def targets(self) -> list[str]:
        return [c.points_to for c in self.columns if c.points_to and c.points_to != self.name]


def diagram(boxes: Sequence[Box]) -> str:
    """The SVG of some tables."""
    places = _places(boxes)
    by_name = {box.name: box for box in boxes}
    width = max(x for x, _ in places.values()) + WIDTH + MARGIN
    height = max(y + by_name[name].height for name, (_, y) in places.items()) + MARGIN + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="tables of the database and what points to what" font-family="system-ui, sans-serif">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" class="paper"/>',
        *(
            _line(by_name, places, box, i)
            for box in boxes
            for i, c in enumerate(box.columns)
            if c.points_to in by_name
        ),
        *(_box(box, *places[box.name]) for box in boxes),
        *_legend(boxes, height),
        "</svg>",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _layers(boxes: Sequence[Box]) -> dict[str, int]:
    """How far to the right each table stands: one further than the furthest that it points to."""
    by_name = {box.name: box for box in boxes}
    found: dict[str, int] = {}

    def layer(name: str, above: tuple[str, ...] = ()) -> int:
        if name not in found:
            below = [t for t in by_name[name].targets() if t in by_name and t not in above and t != name]
            found[name] = 1 + max((layer(t, (*above, name)) for t in below), default=-1)
        return found[name]

    for box in boxes:
        layer(box.name)
    return found


def _places(boxes: Sequence[Box]) -> dict[str, tuple[int, int]]:
    """Name → left upper corner."""
    layers = _layers(boxes)
    columns: list[list[Box]] = [[] for _ in range(max(layers.values()) + 1)]
    for box in boxes:
        columns[layers[box.name]].append(box)
    near: dict[str, list[str]] = {box.name: [] for box in boxes}
    for box in boxes:
        for target in box.targets():
            if target in near:
                near[box.name].append(target)
                near[target].append(box.name)
    middles: dict[str, float] = {}
    for column in columns:
        _stack(column, middles)
    for _ in range(SWEEPS):
        for column in columns:
            wanted = {b.name: _mean([middles[n] for n in near[b.name]], middles[b.name]) for b in column}
            column.sort(key=lambda box: (wanted[box.name], box.name))
            _stack(column, middles)
    by_name = {box.name: box for box in boxes}
    top = min(middles[name] - by_name[name].height / 2 for name in middles)
    return {
        name: (
            MARGIN + layers[name] * (WIDTH + GAP_X),
            MARGIN + round(middles[name] - by_name[name].height / 2 - top),
        )
        for name in middles
    }


def _stack(column: Sequence[Box], middles: dict[str, float]) -> None:
    """Tables of a column under each other, about the middle of the page."""
    at = -sum(box.height + GAP_Y for box in column) / 2
    for box in column:
        middles[box.name] = at + box.height / 2
        at += box.height + GAP_Y


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _line(by_name: dict[str, Box], places: dict[str, tuple[int, int]], box: Box, row: int) -> str:
    """From a column to the head of the table that it points to."""
    target = box.columns[row].points_to
    assert target is not None
    (x, y), (to_x, to_y) = places[box.name], places[target]
    y += HEAD + ROW * row + ROW // 2
    to_y += HEAD // 2
    if target == box.name:
        return f'<path class="line s{box.section}" d="M{x} {y} C{x - 30} {y} {x - 30} {to_y} {x} {to_y}"/>'
    to_x += WIDTH
    bend = max(40, (x - to_x) // 2)
    title = f"{box.name}.{box.columns[row].name} → {target}"
    path = f"M{x} {y} C{x - bend} {y} {to_x + bend} {to_y} {to_x} {to_y}"
    return f'<path class="line s{by_name[target].section}" d="{path}"><title>{escape(title)}</title></path>'


def _box(box: Box, x: int, y: int) -> str:
    parts = [
        f'<g transform="translate({x} {y})">',
        f'<rect class="box" width="{WIDTH}" height="{box.height}" rx="4"/>',
        f'<rect class="head s{box.section}" width="{WIDTH}" height="{HEAD}" rx="4"/>',
        f'<text class="name" x="8" y="17">{escape(box.name)}</text>',
    ]
    for row, column in enumerate(box.columns):
        kind = "key" if column.is_key else "column"
        at = HEAD + ROW * row + 14
        parts.append(f'<text class="{kind}" x="8" y="{at}">{escape(column.name)}</text>')
    if box.more:
        parts.append(f'<text class="more" x="8" y="{HEAD + ROW * len(box.columns) + 14}">+ {box.more} more</text>')
    return "".join([*parts, "</g>"])


def _legend(boxes: Sequence[Box], height: int) -> list[str]:
    headings = dict(sorted({box.section: box.heading for box in boxes}.items()))
    parts, x = [], MARGIN
    for section, heading in headings.items():
        parts.append(f'<rect class="head s{section}" x="{x}" y="{height - 26}" width="12" height="12" rx="2"/>')
        parts.append(f'<text class="column" x="{x + 18}" y="{height - 15}">{escape(heading)}</text>')
        x += 40 + 7 * len(heading)
    return parts


_COLOURS = ("#3b7dd8", "#8a5fbf", "#2f9e6e", "#c77d20", "#c2476b", "#5c7080")
_STYLE = (
    ".paper{fill:#fff}.box{fill:#f7f9fa;stroke:#b8c2c8}.name{fill:#fff;font:600 13px system-ui,sans-serif}"
    ".key,.column,.more{fill:#24303a;font-size:12px}.key{font-weight:600}.more{fill:#74818a}"
    ".line{fill:none;stroke-width:1.4;opacity:.65}"
    + "".join(f".head.s{i}{{fill:{c}}}.line.s{i}{{stroke:{c}}}" for i, c in enumerate(_COLOURS))
    + "@media(prefers-color-scheme:dark){.paper{fill:#1e2129}.box{fill:#272b35;stroke:#4a5260}"
    ".key,.column{fill:#dde3e8}.more{fill:#98a4ad}}"
)
