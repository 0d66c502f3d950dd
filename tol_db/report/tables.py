"""Plain tables for people: aligned columns that fit the terminal, nothing but text."""

from __future__ import annotations

import sys
import textwrap
import unicodedata
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


def cells(text: str) -> int:
    """Columns of a terminal that a text takes: a Chinese, Japanese or Korean sign two, a combining accent none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(sign) in "WF" for sign in text)
    return len(text) + wide - sum(unicodedata.combining(sign) > 0 for sign in text)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], width: int | None = None) -> str:
    """Rows under their headings, numbers to the right; where even narrow columns do not fit, one value a line.

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
    widths = [max(cells(text) for text in (columns[i], *(row[i] for row in texts))) for i in range(len(columns))]
    _shrink(widths, width)
    if width is not None and kept and _taken(widths) > width:
        return "\n\n".join(named_values(zip(columns, row, strict=True), width) for row in texts)
    lines = [_line(columns, widths, right), _line(["-" * size for size in widths], widths, right)]
    lines += [_line(row, widths, right) for row in texts]
    return "\n".join(lines)


def named_values(pairs: Iterable[tuple[str, object]], width: int | None = None) -> str:
    """Names and values, one pair a line, the values under each other; those that are None are left out.

    Args:
        pairs: names and values.
        width: characters that a line may have; longer values go on in the next line. None: no limit.
    """
    told = [(name, cell(value)) for name, value in pairs if value is not None]
    longest = max((len(name) for name, _ in told), default=0)
    lines = []
    for name, value in told:
        room = None if width is None else max(NARROWEST, width - longest - 2)
        parts = [value] if room is None or cells(value) <= room else textwrap.wrap(value, room)
        lines += [
            f"{head:<{longest}}  {part}".rstrip()
            for head, part in zip([name, *[""] * len(parts)], parts, strict=False)
        ]
    return "\n".join(lines)


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
    while _taken(widths) > width:
        widest = max(range(len(widths)), key=lambda i: widths[i])
        if widths[widest] <= NARROWEST:
            return
        widths[widest] -= 1


def _taken(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _cut(text: str, size: int) -> str:
    """A text that takes ``size`` columns at most."""
    if cells(text) <= size:
        return text
    while cells(text) > size - 1:
        text = text[: min(len(text) - 1, size - 1)]
    return text + "…"


def _line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = []
    for text, size, to_right in zip(texts, widths, right, strict=True):
        shown = _cut(text, size)
        blank = " " * (size - cells(shown))
        parts.append(blank + shown if to_right else shown + blank)
    return "  ".join(parts).rstrip()
