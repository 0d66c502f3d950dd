"""Plain tables for people: aligned columns that fit the terminal, nothing but text."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from shutil import get_terminal_size

NARROWEST = 12
"""Characters that a column keeps when a table is too wide."""


def terminal_width() -> int | None:
    """Columns of the terminal, or None where the output goes to a file or a pipe."""
    return get_terminal_size().columns if sys.stdout.isatty() else None


def cell(value: object) -> str:
    """A value as a table shows it: thousands parted, NULL empty, line ends as blanks."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, bytes):
        return value.hex()
    # a name out of somebody's file must not move the cursor
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(str(value).split()))


def is_identifier(column: str) -> bool:
    """Whether the numbers of a column name something, so that thousands are not parted."""
    return column.endswith("_id") or column in ("shard", "ordinal", "position", "unit", "number")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], width: int | None = None) -> str:
    """Rows under their headings, numbers to the right.

    Args:
        columns: headings.
        rows: as many values in each.
        width: characters that a line may have; wide columns are cut to it. None: no limit.
    """
    kept = [list(row) for row in rows]
    names = [is_identifier(column) for column in columns]
    texts = [
        [
            str(value) if name and isinstance(value, int) else cell(value)
            for name, value in zip(names, row, strict=True)
        ]
        for row in kept
    ]
    right = [
        bool(kept) and all(isinstance(row[i], int | float) or row[i] is None for row in kept)
        for i in range(len(columns))
    ]
    widths = [max(len(text) for text in (columns[i], *(row[i] for row in texts))) for i in range(len(columns))]
    _shrink(widths, width)
    lines = [_line(columns, widths, right), _line(["-" * size for size in widths], widths, right)]
    lines += [_line(row, widths, right) for row in texts]
    return "\n".join(lines)


def named_values(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values, one pair a line, the values under each other; those that are None are left out."""
    told = [(name, cell(value)) for name, value in pairs if value is not None]
    longest = max((len(name) for name, _ in told), default=0)
    return "\n".join(f"{name:<{longest}}  {value}".rstrip() for name, value in told)


def indented(text: str, by: int = 2) -> str:
    return "\n".join(" " * by + line if line else line for line in text.splitlines())


def percent(part: int, whole: int) -> str:
    """``84.2 %``, or ``-`` of nothing; neither all nor none is shown as such unless it is."""
    if not whole:
        return "-"
    share = 100 * part / whole
    if 0 < part < whole:
        share = min(max(share, 0.1), 99.9)
    return f"{share:.1f} %"


def _shrink(widths: list[int], width: int | None) -> None:
    if width is None:
        return
    while sum(widths) + 2 * (len(widths) - 1) > width:
        widest = max(range(len(widths)), key=lambda i: widths[i])
        if widths[widest] <= NARROWEST:
            return
        widths[widest] -= 1


def _line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = []
    for text, size, to_right in zip(texts, widths, right, strict=True):
        shown = text if len(text) <= size else text[: size - 1] + "…"
        parts.append(shown.rjust(size) if to_right else shown.ljust(size))
    return "  ".join(parts).rstrip()
