"""The part of a page that tells of datasets: state, throughput, outcomes, sizes and formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from markupsafe import Markup

from tol_db.db.base import OUTCOME_MEANING, Outcome
from tol_db.progress import amount, duration
from tol_db.report.page.counts import SIDES, SplitCounts
from tol_db.report.page.gather import Facts
from tol_db.report.page.html import Part, figure, join, number, table, tag
from tol_db.report.page.plots import (
    HIGH,
    WIDE,
    Bar,
    Tick,
    bars,
    columns,
    frame,
    legend,
    nice_top,
    stacked,
    value_ticks,
)
from tol_db.report.page.throughput import Run, Throughput, moment
from tol_db.report.status import DatasetStatus, SplitStatus
from tol_db.report.tables import percent

_KINDS = (("written", "good"), ("left out", "warn"), ("pending", "rest"))


def state(facts: Facts) -> Iterator[Markup]:
    """A card for each dataset."""
    if not facts.datasets:
        yield tag("p", "No dataset is planned yet.", class_="note")
    for dataset in facts.datasets:
        yield _dataset(dataset)


def _dataset(dataset: DatasetStatus) -> Markup:
    facts: list[tuple[str, Part]] = [
        ("recipe", dataset.recipe),
        ("order", dataset.order),
        ("planned", dataset.planned_at),
        ("root", dataset.output_root),
    ]
    if dataset.worker is not None:
        silent = "" if dataset.worker.alive else " (no sign of life)"
        facts.append(("at work", f"process {dataset.worker.pid} on {dataset.worker.host}{silent}"))
    return tag(
        "article",
        tag("h3", dataset.name),
        tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts), class_="facts"),
        legend((key, name) for name, key in _KINDS),
        *(_progress(split) for split in dataset.splits),
        table(_COLUMNS, (_row(split) for split in dataset.splits), caption=f"Splits of {dataset.name}"),
        tag("ul", *(tag("li", line) for line in _remarks(dataset)), class_="remarks"),
        class_="dataset",
    )


def _progress(split: SplitStatus) -> Markup:
    parts = [split.written, split.left_out, split.pending]
    done = percent(split.written + split.left_out, split.planned)
    told = ", ".join(f"{value:,} {name}" for (name, _), value in zip(_KINDS, parts, strict=True))
    bar = [(name, key, value) for (name, key), value in zip(_KINDS, parts, strict=True)]
    return tag(
        "div",
        tag("span", split.name, class_="name"),
        stacked(bar, label=f"{split.name}: {told}"),
        tag("span", done, class_="n"),
        class_="progress",
    )


_COLUMNS = (
    *("split", "members", "by plan left out", "planned", "written", "left out", "pending", "done"),
    *("shards complete", "shards", "size"),
)


def _row(split: SplitStatus) -> tuple[Part, ...]:
    complete = sum(count.shards for count in split.shards if count.state in ("complete", "verified"))
    return (
        *(split.name, split.members, split.excluded, split.planned, split.written, split.left_out, split.pending),
        number(percent(split.planned - split.pending, split.planned)),
        *(complete, sum(count.shards for count in split.shards), number(amount(split.bytes, "bytes"))),
    )


def _remarks(dataset: DatasetStatus) -> Iterator[Part]:
    for split in dataset.splits:
        others = [count for count in split.shards if count.state not in ("planned", "complete", "verified")]
        if others:
            yield f"{split.name}: " + ", ".join(f"{count.shards:,} shards {count.state}" for count in others)
        if split.unplanned:
            yield f"{split.name}: {split.unplanned:,} members came after the plan"
        if split.stale_shards:
            yield f"{split.name}: {split.stale_shards:,} shards would be planned otherwise today"
    for failure in dataset.failures:
        yield f"unit {failure.unit} {failure.ending} on {failure.host}: {failure.detail or 'without a word'}"
    for step in dataset.next:
        yield join(("next: ", tag("code", step)))


# ------------------------------------------------------------------ throughput


def pace(facts: Facts) -> Iterator[Markup]:
    """A plot of each dataset that has complete shards."""
    some = [each for each in facts.paces if each.runs]
    if not some:
        yield tag("p", "No shard is complete yet.", class_="note")
    for each in some:
        yield _pace(each)


def _pace(each: Throughput) -> Markup:
    top = nice_top(max(rate for run in each.runs for rate in run.rates))
    total = sum(run.images for run in each.runs)
    seconds = sum(run.end - run.begin for run in each.runs)
    several = f" in {len(each.runs):,} runs; the time between them is left out" if len(each.runs) > 1 else ""
    note = (
        f"{total:,} images in {duration(seconds)} of work, {total / max(1.0, seconds):,.1f} a second on average"
        f"{several}. Each column is the mean of {duration(each.step)}."
    )
    shapes, ticks = _drawn(each, top)
    plot = frame(
        shapes, ticks, value_ticks(top), label=f"{each.dataset}: images a second over time. {note}", unit="images/s"
    )
    return figure(each.dataset, plot, _runs(each), note=note)


def _drawn(each: Throughput, top: float) -> tuple[list[Markup], list[Tick]]:
    """Columns of all runs beside each other, with a mark where each begins."""
    total = sum(len(run.rates) for run in each.runs)
    width, at = WIDE / total, 0
    shapes: list[Markup] = []
    ticks: list[Tick] = []
    for run in each.runs:
        if at:
            shapes.append(tag("line", x1=at * width, x2=at * width, y1=0.0, y2=HIGH, class_="seam"))
        apart = not ticks or at / total - ticks[-1].at > 0.16
        if apart and at / total < 0.84:
            ticks.append(Tick(at / total, moment(run.begin).removesuffix(" UTC")))
        for index, rate in enumerate(run.rates):
            when = moment(run.begin + index * each.step)
            high = HIGH * rate / top
            shapes.append(
                tag(
                    "rect",
                    tag("title", f"{when}: {rate:,.1f} images/s"),
                    x=round((at + index) * width, 3), y=round(HIGH - high, 2),
                    width=round(width * 0.92, 3), height=round(high, 2), class_="c0",
                )
            )  # fmt: skip
        at += len(run.rates)
    ticks.append(Tick(1.0, moment(each.runs[-1].end).removesuffix(" UTC")[11:], minor=False))
    return shapes, ticks


def _runs(each: Throughput) -> Markup:
    def row(run: Run) -> tuple[Part, ...]:
        lasted = number(duration(run.end - run.begin))
        return (
            moment(run.begin),
            moment(run.end),
            lasted,
            run.shards,
            run.images,
            round(run.per_second, 1),
            round(max(run.rates), 1),
        )

    names = ("begin", "end", "lasted", "shards", "images", "images/s", "best interval")
    return table(names, map(row, each.runs), caption=f"Runs of {each.dataset}")


# ------------------------------------------------------------------ outcomes


def outcomes(facts: Facts) -> Iterator[Markup]:
    """What became of the members of each split."""
    if not facts.contents.splits:
        yield tag("p", "No dataset is planned yet.", class_="note")
    for split in facts.contents.splits:
        counts = {**split.excluded}
        for name, images in split.outcomes.items():
            counts[name] = counts.get(name, 0) + images
        whole = sum(counts.values())
        reasons = {name: n for name, n in counts.items() if name not in ("written", "pending")}
        left = sum(reasons.values())
        ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        plot = (
            bars(
                [Bar(_words(name), n, "warn", _meaning(name)) for name, n in ordered],
                whole,
                label="images left out, by reason",
            )
            if ordered
            else tag("p", "Nothing is left out.", class_="note")
        )
        rows = [
            (
                _words(name),
                n,
                number(percent(n, whole)),
                split.excluded.get(name, 0),
                split.outcomes.get(name, 0),
                _meaning(name),
            )
            for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ]
        behind = table(
            ("outcome", "images", "share", "by the plan", "in shards", "meaning"),
            rows,
            caption=f"Outcomes of {split.scope.title}",
        )
        note = f"{left:,} of {whole:,} members are left out ({percent(left, whole)})."
        yield figure(split.scope.title, plot, behind, note=note)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _meaning(name: str) -> str:
    return OUTCOME_MEANING[Outcome[name.upper()]]


# ------------------------------------------------------------------ sizes and formats


def pictures(facts: Facts) -> Iterator[Markup]:
    """Sizes and pixel formats of the originals, by split."""
    some = [split for split in facts.contents.splits if split.measured]
    if not some:
        yield tag("p", "No original was read yet.", class_="note")
    largest = {each.scope.dataset: each for each in sorted(some, key=lambda split: split.measured)}
    for split in sorted(some, key=lambda split: largest[split.scope.dataset] is not split):
        drawn = join((_sizes(split), _formats(split)))
        if largest[split.scope.dataset] is split:
            yield drawn
        else:
            yield tag("details", tag("summary", split.scope.title), drawn, class_="more")


def _sizes(split: SplitCounts) -> Markup:
    edges = _intervals()
    low, high = _used(split.sides)
    values, names = split.sides[low:high], edges[low:high]
    top = nice_top(max(values))
    ticks = [
        Tick((i + 0.5) / len(values), name, minor=i % 2 == 1) for i, name in enumerate(names)
    ]  # fmt: skip
    titles = [f"{name} px: {n:,} images" for name, n in zip(names, values, strict=True)]
    most = percent(max(values), split.measured)
    note = (
        f"Shorter side of {split.measured:,} originals, pixels. {percent(split.smaller, split.measured)} have "
        f"fewer than the {split.shortest} of the target; the most frequent interval holds {most}."
    )
    plot = columns(values, top, ticks=ticks, label=f"{split.scope.title}: {note}", titles=titles, unit="images")
    rows = [(f"{name} px", n, number(percent(n, split.measured))) for name, n in zip(names, values, strict=True)]
    behind = table(("shorter side", "images", "share"), rows, caption=f"Sizes of {split.scope.title}")
    return figure(f"{split.scope.title}: size", plot, behind, note=note)


def _intervals() -> list[str]:
    inner = [f"{a}–{b - 1}" for a, b in pairwise(SIDES)]
    return [f"<{SIDES[0]}", *inner, f"≥{SIDES[-1]}"]


def _used(values: Sequence[int]) -> tuple[int, int]:
    """The range of intervals that hold anything."""
    some = [index for index, value in enumerate(values) if value]
    return some[0], some[-1] + 1


def _formats(split: SplitCounts) -> Markup:
    modes = sorted(split.modes.items(), key=lambda item: (-item[1], item[0]))
    shapes = (("broad", split.broad), ("upright", split.upright), ("square", split.square))
    plot = tag(
        "div",
        bars([Bar(mode, n) for mode, n in modes], split.measured, label="originals by pixel format"),
        bars([Bar(name, n, "c1") for name, n in shapes], split.measured, label="originals by shape"),
        class_="pair",
    )
    rows = [(name, n, number(percent(n, split.measured))) for name, n in (*modes, *shapes)]
    behind = table(("format or shape", "images", "share"), rows, caption=f"Formats of {split.scope.title}")
    note = "Pixel formats as Pillow names them, and shapes, of the originals."
    return figure(f"{split.scope.title}: format and shape", plot, behind, note=note)
