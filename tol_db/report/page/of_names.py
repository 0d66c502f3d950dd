"""The part of a page that tells of names: the treemap, rank coverage, the long tail, taxonomies."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from tol_db.report.page.counts import Contents, Longs
from tol_db.report.page.gather import Facts
from tol_db.report.page.html import Number, Part, figure, join, json_block, number, table, tag
from tol_db.report.page.plots import Line, decade_ticks, lines, log_place
from tol_db.report.page.squarify import Box
from tol_db.report.page.tree import LEVELS, Node, Style, arrange, as_lists, build, shown
from tol_db.report.tables import cell, percent
from tol_db.taxonomy.ranks import RANKS

POINTS = 160
"""Of a curve: more cannot be told apart."""
GROUPS = 8
"""Colours of kingdoms; those beyond have the last one."""
CLASSES = ((1, 1), (2, 4), (5, 9), (10, 49), (50, 99), (100, 499), (500, 999), (1000, 9999), (10_000, None))
"""Images per species: from, to."""


# ------------------------------------------------------------------ treemap


def treemap(facts: Facts) -> Iterator[Markup]:
    """The map by kingdom, phylum, class, order and family; a script makes it one to walk through."""
    contents = facts.contents
    root = build(contents.leaves, len(contents.scopes))
    named = root.images[0]
    if not named:
        yield tag("p", "No image has a label yet.", class_="note")
        return
    note = (
        f"{named:,} labelled images of {contents.taxa[0]:,} taxa in {len(contents.leaves):,} families. A taxon is "
        "a distinct name from kingdom to species. Choose a name to look into it."
    )
    yield tag(
        "figure",
        tag("figcaption", tag("h3", "Kingdom to family"), tag("p", note, class_="note")),
        _choices(contents),
        tag("nav", class_="crumbs", id="treemap-crumbs", aria_label="Place in the tree"),
        tag(
            "div",
            _still(root),
            id="treemap",
            class_="treemap",
            role="group",
            aria_label="Treemap of names by images",
        ),
        tag(
            "details",
            tag("summary", "Table"),
            tag("div", _children(root), id="treemap-table"),
        ),
    )
    data = {"levels": LEVELS, "scopes": [cell(scope.title) for scope in contents.scopes], "tree": as_lists(root)}
    yield json_block("treemap-data", data)


def _choices(contents: Contents) -> Markup:
    """What the area stands for; without the script they are of no use and not shown."""
    options = [tag("option", scope.title, value=index) for index, scope in enumerate(contents.scopes)]
    return tag(
        "div",
        tag(
            "label",
            "Area ",
            tag(
                "select",
                tag("option", "images", value="images"),
                tag("option", "taxa", value="taxa"),
                id="treemap-by",
            ),
        ),
        tag("label", "of ", tag("select", *options, id="treemap-scope")),
        class_="choices",
        hidden="",
    )


def _still(root: Node) -> Markup:
    """The map as it is without a script: kingdoms and phyla, stretched to the width."""
    style = Style(header=0.0, gap=0.0, headed=0, smallest=9000.0)
    tiles = arrange(root, Box(0.0, 0.0, 1000.0, 560.0), style)
    shapes = [
        tag(
            "rect",
            tag("title", f"{' > '.join(shown(name, i) for i, name in enumerate(tile.path))}: {tile.size:,} images"),
            x=round(tile.box.x, 1), y=round(tile.box.y, 1),
            width=round(tile.box.width, 1), height=round(tile.box.height, 1),
            class_=f"k{min(tile.group, GROUPS - 1)} p{tile.parity % 3}",
        )
        for tile in tiles
        if tile.leaf
    ]  # fmt: skip
    return tag(
        "svg",
        *shapes,
        viewBox="0 0 1000 560",
        preserveAspectRatio="none",
        role="img",
        aria_label="Treemap of names by images",
    )


def _children(root: Node) -> Markup:
    rows = [
        (shown(child.name, 0), child.images[0], number(percent(child.images[0], root.images[0])), child.taxa[0])
        for child in root.ordered("images", 0)
    ]
    return table(("kingdom", "images", "share", "taxa"), rows, caption="Kingdoms")


# ------------------------------------------------------------------ coverage


def coverage(facts: Facts) -> Iterator[Markup]:
    """Which share of each source's images has a name at each rank: a table that is its own plot."""
    rows: list[tuple[Part, ...]] = []
    for source in facts.contents.sources:
        if not source.images:  # it gives names
            continue
        shares = [_shade(images, source.images) for images in (*source.ranks, source.every)]
        rows.append((source.key, source.images, source.labelled, source.relabelled, *shares))
    columns = ("source", "images", "labelled", "relabelled", *RANKS, "all seven")
    yield tag(
        "p",
        "Images with a name at each rank. Relabelled: with another label than the published one.",
        class_="note",
    )
    yield table(columns, rows, caption="Rank coverage by source", class_="heat")


def _shade(part: int, whole: int) -> Markup:
    share = part / whole if whole else 0.0
    return Number(tag("span", percent(part, whole), class_="shade", style=f"--v:{share:.3f}"))


# ------------------------------------------------------------------ long tail


def tail(facts: Facts) -> Iterator[Markup]:
    """Images of each species, the most frequent first, on logarithmic axes."""
    contents = facts.contents
    every = contents.species[0]
    if not len(every):
        yield tag("p", "No image has the name of a species yet.", class_="note")
        return
    high, far = max(10.0, float(every[0])), max(10.0, float(max(len(numbers) for numbers in contents.species)))
    curves = [
        Line(scope.title, _points(numbers, far, high), f"s{index % 6}")
        for index, (scope, numbers) in enumerate(zip(contents.scopes, contents.species, strict=True))
        if len(numbers)
    ]
    half = int((every.cumsum() < every.sum() / 2).sum()) + 1
    note = (
        f"{len(every):,} species; half of their {int(every.sum()):,} images are of {half:,} of them, and "
        f"{percent(int((every == 1).sum()), len(every))} have one image."
    )
    plot = lines(
        curves, decade_ticks(1, far), decade_ticks(1, high),
        label=f"Images per species by rank of the species. {note}", unit="images",
        below="species, the most frequent first",
    )  # fmt: skip
    yield figure("Images per species", plot, join((_classes(contents), _top(facts))), note=note)


def _points(numbers: Longs, far: float, high: float) -> list[tuple[float, float]]:
    last = len(numbers)
    ranks = sorted({min(last, max(1, round(last ** (i / POINTS)))) for i in range(POINTS + 1)})
    return [(log_place(rank, 1, far), log_place(float(numbers[rank - 1]), 1, high)) for rank in ranks]


def _classes(contents: Contents) -> Markup:
    rows: list[tuple[Part, ...]] = []
    for low, high in CLASSES:
        name = f"{low:,}" if low == high else f"{low:,}–{high:,}" if high else f"{low:,} or more"
        row: list[Part] = [name]
        for numbers in contents.species:
            inside = (numbers >= low) & (numbers <= (high or numbers.max(initial=0)))
            row.append(int(inside.sum()))
        rows.append(tuple(row))
    names = ("images of a species", *(f"species: {scope.title}" for scope in contents.scopes))
    return table(names, rows, caption="Species by how many images they have")


def _top(facts: Facts) -> Markup:
    rows = [(tag("i", species.name), species.images) for species in facts.contents.top]
    return table(("species", "images"), rows, caption="Species with the most images")


# ------------------------------------------------------------------ taxonomies


def taxonomies(facts: Facts) -> Iterator[Markup]:
    """Where names come from, and where labels do not agree."""
    found = facts.names
    if found.taxonomies:
        rows = [
            (
                f"{t.name} {t.version}",
                t.kind,
                None if t.priority is None else str(t.priority),
                t.nodes,
                t.synonyms,
                t.vernacular_names,
                t.digest,
            )
            for t in found.taxonomies
        ]
        columns = ("taxonomy", "kind", "priority", "nodes", "synonyms", "common names", "digest")
        yield table(columns, rows, caption="Taxonomies")
    else:
        yield tag("p", "No taxonomy is in the database; names come from the lookups of the sources.", class_="note")
    if found.origins:
        origins = [(o.assembled, o.source, o.how, o.nodes) for o in found.origins]
        yield table(("assembled", "from", "how", "nodes"), origins, caption="Where assembled nodes come from")
    if found.decisions:
        decided = [(d.assembled, d.source, d.outcome, d.nodes) for d in found.decisions]
        caption = "What assemblies decided beyond copying (tol-db taxonomy report --list conflicts, …)"
        yield table(("assembled", "from", "outcome", "nodes"), decided, caption=caption)
    yield tag("h3", "Conflicts")
    if not found.conflicting:
        yield tag("p", "Every species has one lineage.", class_="note")
        return
    cut = found.conflicting > len(found.conflicts)
    yield tag(
        "p",
        f"{found.conflicting:,} species have labels with more than one lineage from kingdom to family.",
        class_="note",
    )
    disputed = [(tag("i", c.species), tag("span", *_lines(c.lineages))) for c in found.conflicts]
    yield table(
        ("species", "lineages"),
        disputed,
        caption="Species with more than one lineage" + (", the first of them" if cut else ""),
    )


def _lines(texts: tuple[str, ...]) -> Iterator[Part]:
    for index, each in enumerate(texts):
        if index:
            yield tag("br")
        yield each
