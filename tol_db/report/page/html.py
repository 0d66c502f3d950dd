"""HTML by hand, in which nothing that comes from data can become markup.

Everything is a :class:`markupsafe.Markup`; a plain string is escaped when it enters one. Signs that would move
text about (line ends, bidirectional marks, control signs) are replaced, as in the tables of the terminal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from markupsafe import Markup, escape

from tol_db.report.tables import cell

Part = Markup | str | int | float | None

_VOID: Final = frozenset({"br", "img", "meta", "rect", "path", "line", "circle", "link"})


def text(value: Part) -> Markup:
    """A value as escaped text; markup stays what it is."""
    if isinstance(value, Markup):
        return value
    return escape(visible(value) if isinstance(value, str) else cell(value))


def visible(value: str) -> str:
    """A string of which every sign shows and none moves others about; blanks at its ends stay."""
    if value.isprintable():
        return value
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in value)


def tag(name: str, /, *children: Part, **attributes: Part) -> Markup:
    """An element.

    Args:
        name: of the element; written by us, never from data.
        children: escaped unless they are markup.
        attributes: ``class_`` for ``class``, ``_`` for ``-``; None leaves one out. Values are escaped.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not children:
        return Markup(f"<{name}{written}>" if name in {"br", "img", "meta", "link"} else f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def _attribute(value: Part) -> str:
    """A number stays a number: coordinates have no thousands."""
    return (
        f"{value:g}" if isinstance(value, float) else str(value) if isinstance(value, int) else visible(str(value))
    )


def join(parts: Iterable[Part], between: str = "") -> Markup:
    return Markup(between).join(text(part) for part in parts if part is not None)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Part]], *, caption: str, class_: str | None = None
) -> Markup:
    """A table whose first column heads its rows; columns of numbers stand to the right."""
    kept = [list(row) for row in rows]
    right = [
        index > 0 and bool(kept) and all(_numeric(row[index]) for row in kept) for index in range(len(columns))
    ]
    styles = ["n" if to_right else None for to_right in right]
    heads = [tag("th", name, scope="col", class_=style) for name, style in zip(columns, styles, strict=True)]
    body = [
        tag(
            "tr", tag("th", row[0], scope="row"), *(tag("td", row[i], class_=styles[i]) for i in range(1, len(row)))
        )
        for row in kept
    ] or [tag("tr", tag("td", "none", colspan=len(columns)))]
    drawn = tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *heads)), tag("tbody", *body), class_=class_
    )
    # what is wider than a phone is moved by touch, or by the keyboard
    return tag("div", drawn, class_="scroll", tabindex=0, role="region", aria_label=caption)


class Number(Markup):
    """Markup that stands to the right, as a number does: a share, a size."""

    __slots__ = ()


def number(value: str) -> Number:
    return Number(escape(value))


def _numeric(value: Part) -> bool:
    return value is None or isinstance(value, int | float | Number)


def figure(
    title: str, plot: Markup, behind: Markup | None = None, *, note: Part = None, id: str | None = None
) -> Markup:
    """A plot with its title, a line that says what is seen, and the table behind it."""
    return tag(
        "figure",
        tag("figcaption", tag("h3", title), tag("p", note, class_="note") if note is not None else None),
        plot,
        tag("details", tag("summary", "Table"), behind) if behind is not None else None,
        id=id,
    )


def json_block(id: str, value: object) -> Markup:
    """JSON for the page's script; no name in it can end the element or begin a comment (HTML, "restrictions for
    contents of script elements")."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign, code in _IN_SCRIPT.items():
        written = written.replace(sign, code)
    return Markup(f'<script type="application/json" id="{escape(id)}">{written}</script>')


_IN_SCRIPT: Final[Mapping[str, str]] = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}
