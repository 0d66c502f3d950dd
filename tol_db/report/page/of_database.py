"""The part of a page that tells of the whole: figures, licences, audits, the contact sheet."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from markupsafe import Markup

from tol_db.report.page.checks import Check
from tol_db.report.page.gather import Facts
from tol_db.report.page.html import Part, figure, join, number, table, tag
from tol_db.report.page.plots import Bar, bars
from tol_db.report.page.samples import FIRST, ContactSheet, Thumbnail
from tol_db.report.tables import percent

MOST_LICENCES = 14
"""Bars; the others are one bar together, and each is in the table."""
_VERDICTS = {
    "passed": ("✓", "passed"),
    "failed": ("✗", "failed"),
    "told": ("·", "for information"),
    "unknown": ("?", "not answered in time"),
}


def key_figures(facts: Facts) -> Iterator[Markup]:
    """The numbers that one looks for first."""
    contents = facts.contents
    labelled = sum(source.labelled for source in contents.sources)
    written = sum(split.written for dataset in facts.datasets for split in dataset.splits)
    failed = sum(check.verdict == "failed" for check in facts.checks)
    unknown = sum(check.verdict == "unknown" for check in facts.checks)
    asked = len(facts.checks) - unknown
    numbers: list[tuple[str, str, str]] = [
        ("images", f"{facts.images:,}", f"{percent(labelled, facts.images)} with a label"),
        ("taxa", f"{contents.taxa[0]:,}", f"{len(contents.species[0]):,} of them species"),
        ("families", f"{sum(bool(leaf.path[4]) for leaf in contents.leaves):,}", "with images"),
        (
            "samples written",
            f"{written:,}",
            f"in {len(facts.datasets)} dataset{'' if len(facts.datasets) == 1 else 's'}",
        ),
        ("audits failed", f"{failed:,}", f"of {asked} that answered"),
    ]
    for name, value, note in numbers:
        bad = " bad" if name == "audits failed" and failed else ""
        yield tag("div", tag("dt", name), tag("dd", value), tag("dd", note, class_="note"), class_=f"key{bad}")


# ------------------------------------------------------------------ licences


def licences(facts: Facts) -> Iterator[Markup]:
    """Images by licence."""
    found = facts.licences
    if not any(licence.name or licence.link for licence in found):
        yield tag("p", "No licence is known of any image.", class_="note")
        return
    rows = [Bar(_licence(x.name, x.link), x.images, "c0" if x.name or x.link else "rest", x.link) for x in found]
    if len(rows) > MOST_LICENCES:
        others = rows[MOST_LICENCES - 1 :]
        rows[MOST_LICENCES - 1 :] = [Bar(f"{len(others)} others", sum(bar.value for bar in others), "rest")]
    behind = table(
        ("licence", "link", "images", "share"),
        [(_licence(x.name, x.link), x.link, x.images, number(percent(x.images, facts.images))) for x in found],
        caption="Licences",
    )
    known = sum(x.images for x in found if x.name or x.link)
    note = f"{known:,} of {facts.images:,} images have a licence ({percent(known, facts.images)})."
    yield figure("Images by licence", bars(rows, facts.images, label="images by licence"), behind, note=note)


def _licence(name: str, link: str) -> str:
    """Its name; where the source gives none, its address."""
    return name or link or "no licence known"


# ------------------------------------------------------------------ audits


def audits(facts: Facts) -> Iterator[Markup]:
    """Every audit with its verdict."""
    order = ("failed", "unknown", "passed")
    must = sorted(
        (check for check in facts.checks if check.audit.must_be_empty), key=lambda check: order.index(check.verdict)
    )
    others = [check for check in facts.checks if not check.audit.must_be_empty]
    if any(check.verdict == "unknown" for check in facts.checks):
        hint = tag("code", "tol-db report audit NAME")
        yield tag(
            "p",
            "Those marked ? did not answer within the time that a page allows; ",
            hint,
            " gives them theirs.",
            class_="note",
        )
    yield table(("what must hold", "verdict", "rows"), map(_check, must), caption="Must be empty", class_="audits")
    yield table(("tells", "verdict", "rows"), map(_check, others), caption="For information", class_="audits")


def _check(check: Check) -> tuple[Part, ...]:
    sign, words = _VERDICTS[check.verdict]
    verdict = tag("span", tag("b", sign, aria_hidden="true"), f" {words}", class_=f"verdict {check.verdict}")
    rows = number("–") if check.rows is None else check.rows
    return join((check.audit.title, tag("code", check.audit.name))), verdict, rows


# ------------------------------------------------------------------ contact sheet


def samples(facts: Facts) -> Iterator[Markup]:
    """Pictures by kingdom, and what could not be read."""
    sheet = facts.sheet
    yield tag("p", _told(sheet), class_="note")
    if sheet.failed:
        lines = [tag("li", line) for line in sheet.unreadable]
        more = sheet.failed - len(lines)
        if more:
            lines.append(tag("li", f"and {more:,} more"))
        yield tag(
            "div", tag("p", f"{sheet.failed:,} shards could not be read:"), tag("ul", *lines), class_="warning"
        )
    for kingdom, pictures in sheet.kingdoms().items():
        yield tag(
            "section",
            tag("h3", kingdom or "(no kingdom)"),
            tag("div", *(_picture(picture) for picture in pictures), class_="sheet"),
        )


def _told(sheet: ContactSheet) -> str:
    if not sheet.of:
        return "No shard is complete yet."
    room = " There was room for no more." if sheet.capped else ""
    return (
        f"{len(sheet.pictures):,} samples, drawn by a seed from the first {FIRST} of {sheet.shards:,} of "
        f"{sheet.of:,} complete shards; as written, made smaller.{room}"
    )


def _picture(picture: Thumbnail) -> Markup:
    data = base64.b64encode(picture.jpeg).decode("ascii")
    return tag(
        "figure",
        tag(
            "img",
            src=Markup("data:image/jpeg;base64," + data),
            width=picture.width, height=picture.height, alt=picture.name,
        ),
        tag("figcaption", tag("i", picture.name)),
        title=f"{picture.treeoflife_id}, {picture.where}",
    )  # fmt: skip


def foot(facts: Facts) -> Markup:
    made = f"Made by tol-db {facts.version} from {facts.database} (schema {facts.schema}), {facts.made_at}."
    return tag("footer", tag("p", join((made, " It needs no network; what it shows is what it holds."))))
