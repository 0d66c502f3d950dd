"""The progress of datasets, a line for each split: what ``report status --watch`` shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tol_db.progress import duration
from tol_db.report.status import DatasetStatus, SplitStatus, Status
from tol_db.report.tables import cell, percent

if TYPE_CHECKING:  # a log needs no rich
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a split is; ``split`` is None of all splits of a dataset together.

    Attributes:
        done: images that are written or left out, of those planned.
        per_second: images a second in the last run; None where it did none of the split.
        remaining_seconds: what is pending, at this pace.
    """

    dataset: str
    split: str | None
    done: int
    planned: int
    per_second: float | None
    remaining_seconds: float | None


def progress_of(dataset: DatasetStatus) -> list[Progress]:
    """The splits of a dataset; where they are several, all together last."""
    lines = [_of_split(dataset.name, split) for split in dataset.splits]
    if len(lines) > 1:
        done, planned = sum(line.done for line in lines), sum(line.planned for line in lines)
        pace = dataset.pace
        rate, rest = (None, None) if pace is None else (pace.per_second, pace.remaining_seconds)
        lines.append(Progress(dataset.name, None, done, planned, rate, rest))
    return lines


def _of_split(dataset: str, split: SplitStatus) -> Progress:
    done = split.planned - split.pending
    return Progress(dataset, split.name, done, split.planned, split.per_second, split.remaining_seconds)


def is_done(status: Status) -> bool:
    """Whether nothing is left to be watched."""
    return not any(split.pending for dataset in status.datasets for split in dataset.splits)


def plain_lines(status: Status) -> Iterator[str]:
    """``tol train: 1,234 of 9,000 images, 13.7 %, 210 images/s, 37 s to go``; then who works, what failed."""
    for dataset in status.datasets:
        for line in progress_of(dataset):
            name = f"{cell(line.dataset)} {cell(line.split or '(all splits)')}"
            yield f"{name}: {', '.join(_told(line))}"
        yield from (f"{cell(dataset.name)}: {remark}" for remark in remarks(dataset))


def _told(line: Progress) -> Iterator[str]:
    yield f"{line.done:,} of {line.planned:,} images"
    yield percent(line.done, line.planned)
    if line.done < line.planned:
        yield _rate(line)
        yield f"{_rest(line)} to go"


def remarks(dataset: DatasetStatus) -> Iterator[str]:
    """Who is at work, and the last failures."""
    worker = dataset.worker
    if worker is not None and worker.alive:
        job = f", SLURM job {worker.slurm_job}" if worker.slurm_job else ""
        yield f"at work: process {worker.pid} on {cell(worker.host)}{job}"
    elif any(split.pending for split in dataset.splits):
        yield "no run holds the dataset now (of array tasks `tol-db slurm status` tells)"
    for failure in dataset.failures:
        yield f"{failure.ending}: unit {failure.unit} on {cell(failure.host)}: {cell(failure.detail or '')}"


def _rate(line: Progress) -> str:
    return "no pace yet" if line.per_second is None else f"{line.per_second:,.1f} images/s"


def _rest(line: Progress) -> str:
    return "?" if line.remaining_seconds is None else duration(line.remaining_seconds)


# ------------------------------------------------------------------ on a terminal


def drawn(status: Status, told: str) -> RenderableType:
    """The same with bars, as wide as the terminal; ``told`` stands below."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for dataset in status.datasets:
        parts.append(Text(cell(dataset.name), style="bold"))
        parts.append(_bars(progress_of(dataset)))
        parts += [Text(f"  {remark}", no_wrap=True, overflow="ellipsis") for remark in remarks(dataset)]
    return Group(*parts, Text(told, style="dim", no_wrap=True, overflow="ellipsis"))


def _bars(lines: Sequence[Progress]) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, min_width=8)
    for _ in range(4):
        table.add_column(justify="right", no_wrap=True)
    for line in lines:
        is_open = line.done < line.planned
        table.add_row(
            Text(f"  {cell(line.split or 'all')}"),
            ProgressBar(total=max(line.planned, 1), completed=line.done if line.planned else 1),
            percent(line.done, line.planned),
            f"{line.done:,} of {line.planned:,}",
            _rate(line) if is_open else "",
            _rest(line) if is_open else "",
        )
    return table
