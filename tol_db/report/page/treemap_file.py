"""The treemap as a figure for papers: SVG by hand, PNG and PDF by matplotlib (extra ``[plots]``).

All three have the same rectangles and texts; equal counts give equal bytes with the same version of matplotlib.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from tol_db.db.engine import Database
from tol_db.errors import TolDbError, UsageError
from tol_db.report.page.counts import Scope, count
from tol_db.report.page.squarify import Box
from tol_db.report.page.tree import Node, Style, Tile, arrange, build, shown
from tol_db.report.tables import cell
from tol_db.report.write import write_whole

COLOURS: Final = ("#a9c9dd", "#b4d6a4", "#e8c58f", "#d9b3d3", "#9fd5cb", "#e7b1a6", "#cfd08e", "#c6cbcf")
"""Of kingdoms, the largest first; those beyond have the last one."""
INK, SEAM = "#16202a", "#ffffff"
POINT: Final = 25.4 / 72  # mm
HEADER: Final = 3.6
"""mm of the band with the name of a kingdom or phylum."""
THINNEST: Final = 0.3
"""mm: what is narrower would be nothing but the lines at its sides."""
_PAPER = Style(header=HEADER, gap=0.35, headed=2, smallest=4.0)
_WIDTH_OF_SIGN: Final = 0.56  # of the font's size, on average, in the fonts that papers use
FORMATS = ("svg", "png", "pdf")


@dataclass(frozen=True, slots=True)
class Figure:
    """A treemap on paper.

    Attributes:
        by: ``images`` or ``taxa``.
        width, height: mm.
        dpi: of a PNG.
        dataset, split: count what is written there; None: all images of the database.
    """

    by: str = "images"
    width: float = 180.0
    height: float = 120.0
    dpi: int = 300
    dataset: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class FigureFile:
    """A figure that was written; ``total``: images or taxa that it shows."""

    path: Path
    bytes: int
    total: int
    of: str


@dataclass(frozen=True, slots=True)
class Text:
    """A name: its left end and base line, mm; its size in points; of a kingdom, bold."""

    x: float
    y: float
    points: float
    text: str
    bold: bool


def write_treemap(db: Database, target: Path, figure: Figure | None = None) -> FigureFile:
    """Write the treemap of all images, or of those written in a split or a dataset.

    Args:
        db: the database.
        target: its ending says the format: ``.svg``, ``.png`` or ``.pdf``.
        figure: size and what is shown.

    Raises:
        UsageError: another ending, no such dataset or split, or nothing to show.
        TolDbError: matplotlib is not installed, for PNG and PDF.
        CannotWrite: the file cannot be written.
    """
    figure = figure or Figure()
    kind = target.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(f"{target}: a treemap is .svg, .png or .pdf", hint="name such a file with -o")
    draw: Callable[[list[Tile], Figure], bytes] = svg if kind == "svg" else _by_matplotlib(kind)
    root, scope, title = _counted(db, figure)
    total = root.measure(figure.by, scope)
    if not total:
        raise UsageError(
            f"{title}: no labelled image to show", hint="`tol-db report status` says where things stand"
        )
    box = Box(0.0, 0.0, figure.width, figure.height)
    tiles = [
        tile
        for tile in arrange(root, box, _PAPER, figure.by, scope)
        if min(tile.box.width, tile.box.height) >= THINNEST
    ]
    data = draw(tiles, figure)
    write_whole(target, data)
    return FigureFile(target, len(data), total, title)


def _counted(db: Database, figure: Figure) -> tuple[Node, int, str]:
    """The tree, which of its numbers counts, and what that is called."""
    if figure.split is not None and figure.dataset is None:
        raise UsageError("--split is of a dataset", hint="name it with --dataset")
    from materialize.dataset import load_dataset

    with db.read() as conn:
        names = () if figure.dataset is None else (load_dataset(conn, figure.dataset).name,)
        contents = count(conn, names, lambda _: None)
    scopes = list(contents.scopes)
    wanted = Scope(figure.dataset, figure.split)
    if figure.dataset is not None and figure.split is None:
        # splits of a dataset may share images, so that a sum would count some twice
        raise UsageError("which split?", hint="--split " + " or ".join(str(scope.split) for scope in scopes[1:]))
    if wanted not in scopes:
        known = ", ".join(str(scope.split) for scope in scopes[1:])
        raise UsageError(f"dataset {figure.dataset!r} has no split {figure.split!r}", hint=f"splits: {known}")
    return build(contents.leaves, len(scopes)), scopes.index(wanted), wanted.title


# ------------------------------------------------------------------ what stands where


def colour(tile: Tile) -> str:
    """Its kingdom's, lighter from phylum to phylum and for bands."""
    base = COLOURS[min(tile.group, len(COLOURS) - 1)]
    share = (0.0, 0.16, 0.3)[tile.parity % 3]
    parts = [int(base[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)


def line_width(tile: Tile) -> float:
    """mm: the outer, the wider."""
    return (0.5, 0.35, 0.2, 0.12, 0.08)[len(tile.path) - 1]


def texts(tiles: list[Tile]) -> Iterator[Text]:
    """Names that fit: on bands, and in tiles within which nothing is drawn."""
    for tile in tiles:
        name = cell(shown(tile.path[-1], len(tile.path) - 1))
        if tile.headed:
            size = 7.0 if len(tile.path) == 1 else 6.0
            shown_name = fitted(name, size, tile.box.width - 1.2)
            if shown_name:
                yield Text(tile.box.x + 0.7, tile.box.y + HEADER - 1.0, size, shown_name, len(tile.path) == 1)
        elif tile.leaf:
            size = 5.0
            if tile.box.height > 1.5 * size * POINT and fitted(name, size, tile.box.width - 0.8) == name:
                yield Text(tile.box.x + 0.45, tile.box.y + 0.3 + size * POINT, size, name, False)


def fitted(name: str, points: float, room: float) -> str:
    """A name, cut to ``room`` mm; "" where not even four signs of it fit."""
    signs = int(room / (points * POINT * _WIDTH_OF_SIGN))
    if len(name) <= signs:
        return name
    return f"{name[: signs - 1]}…" if signs >= 5 else ""


# ------------------------------------------------------------------ formats


def svg(tiles: list[Tile], figure: Figure) -> bytes:
    """SVG 1.1, in millimetres; names stay text."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{figure.width:g}mm" height="{figure.height:g}mm" '
        f'viewBox="0 0 {figure.width:g} {figure.height:g}" font-family="Helvetica, Arial, sans-serif" fill="{INK}">'
    ]
    for tile in tiles:
        path = " > ".join(cell(shown(name, depth)) for depth, name in enumerate(tile.path))
        box = tile.box
        lines.append(
            f'<rect x="{box.x:.3f}" y="{box.y:.3f}" width="{box.width:.3f}" height="{box.height:.3f}" '
            f'fill="{colour(tile)}" stroke="{SEAM}" stroke-width="{line_width(tile):g}">'
            f"<title>{escape(path)}: {tile.size:,} {figure.by}</title></rect>"
        )
    for each in texts(tiles):
        weight = " font-weight=" + quoteattr("bold") if each.bold else ""
        lines.append(
            f'<text x="{each.x:.3f}" y="{each.y:.3f}" font-size="{each.points * POINT:.3f}"{weight}>'
            f"{escape(each.text)}</text>"
        )
    lines.append("</svg>")
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _by_matplotlib(kind: str) -> Callable[[list[Tile], Figure], bytes]:
    """Raises: TolDbError: it is not installed; nothing was counted yet."""
    try:
        import matplotlib
    except ImportError as err:
        raise TolDbError(
            f"matplotlib is not installed; without it a treemap is .svg, not .{kind}",
            hint="pip install 'tol-db[plots]', or name a .svg file",
        ) from err

    def draw(tiles: list[Tile], figure: Figure) -> bytes:
        # names are data: no dollar sign begins a formula; glyphs are embedded as journals want them
        with matplotlib.rc_context({"text.parse_math": False, "pdf.fonttype": 42, "font.family": "DejaVu Sans"}):
            return _saved(kind, tiles, figure)

    return draw


def _saved(kind: str, tiles: list[Tile], figure: Figure) -> bytes:
    from matplotlib.figure import Figure as Canvas
    from matplotlib.patches import Rectangle

    canvas = Canvas(figsize=(figure.width / 25.4, figure.height / 25.4), dpi=figure.dpi)
    axes = canvas.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0, figure.width)
    axes.set_ylim(figure.height, 0)
    for tile in tiles:
        axes.add_patch(
            Rectangle(
                (tile.box.x, tile.box.y), tile.box.width, tile.box.height,
                facecolor=colour(tile), edgecolor=SEAM, linewidth=line_width(tile) / POINT,
            )
        )  # fmt: skip
    for each in texts(tiles):
        weight = "bold" if each.bold else "normal"
        # DejaVu is wider than the fonts that the estimate is of
        axes.text(each.x, each.y, each.text, fontsize=each.points * 0.9, color=INK, fontweight=weight)
    # dates and versions would make other bytes of the same figure
    metadata: dict[str, Any] = (
        {"Software": None} if kind == "png" else {"CreationDate": None, "Producer": None, "Creator": None}
    )
    buffer = io.BytesIO()
    canvas.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()
