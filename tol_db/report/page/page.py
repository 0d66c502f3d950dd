"""The page: one HTML file that needs nothing else.

Its content policy lets no script run but its own, by hash, and nothing be fetched (CSP level 3): a name that got
past the escaping could still do nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from tol_db.db.engine import Database
from tol_db.report.page import of_database, of_datasets, of_names
from tol_db.report.page.gather import Facts, Wishes, gather
from tol_db.report.page.html import join, tag
from tol_db.report.write import write_whole

Section = tuple[str, str, Callable[[Facts], Iterator[Markup]]]

SECTIONS: tuple[Section, ...] = (
    ("datasets", "Datasets", of_datasets.state),
    ("throughput", "Throughput", of_datasets.pace),
    ("outcomes", "Outcomes", of_datasets.outcomes),
    ("tree", "Tree of names", of_names.treemap),
    ("coverage", "Rank coverage", of_names.coverage),
    ("tail", "Long tail", of_names.tail),
    ("originals", "Originals", of_datasets.pictures),
    ("licences", "Licences", of_database.licences),
    ("taxonomies", "Taxonomies", of_names.taxonomies),
    ("audits", "Audits", of_database.audits),
    ("samples", "Samples", of_database.samples),
)


@dataclass(frozen=True, slots=True)
class PageFile:
    """A page that was written: its path, bytes, and how many shards its contact sheet could not read."""

    path: Path
    bytes: int
    unreadable: int


def write_page(db: Database, target: Path, wishes: Wishes | None = None) -> PageFile:
    """Write the report page of a database; a file that is there is replaced when the new one is whole.

    Raises:
        UsageError: no such dataset.
        CannotWrite: the file cannot be written.
    """
    facts = gather(db, wishes or Wishes())
    data = str(page(facts)).encode("utf-8", "replace")
    write_whole(target, data)
    return PageFile(target, len(data), facts.sheet.failed)


def page(facts: Facts) -> Markup:
    """The whole document."""
    script, style = _asset("page.js"), _asset("page.css")
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    )
    head = tag(
        "head",
        Markup('<meta charset="utf-8">'),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"tol-db {facts.version}"),
        tag("title", f"{facts.database}: report"),
        Markup(f"<style>{style}</style>"),
    )
    body = tag(
        "body",
        tag("a", "Skip to content", href="#content", class_="skip"),
        _header(facts),
        tag("main", tag("dl", *of_database.key_figures(facts), class_="keys"), *_sections(facts), id="content"),
        of_database.foot(facts),
        Markup(f"<script>{script}</script>"),
    )
    return Markup("<!doctype html>\n") + tag("html", head, body, lang="en") + Markup("\n")


def _asset(name: str) -> str:
    return (files("tol_db.report.page") / name).read_text(encoding="utf-8")


def _header(facts: Facts) -> Markup:
    links = [tag("a", title, href=f"#{id}") for id, title, _ in SECTIONS]
    theme = tag("button", "Theme", id="theme", type="button", hidden="", aria_label="Colour theme")
    return tag(
        "header",
        tag(
            "div",
            tag("h1", facts.database),
            tag("p", f"as of {facts.made_at}", class_="note"),
            theme,
            class_="title",
        ),
        tag("nav", *links, aria_label="Sections"),
    )


def _sections(facts: Facts) -> Iterator[Markup]:
    for id, title, content in SECTIONS:
        yield tag("section", tag("h2", title), join(content(facts)), id=id)
