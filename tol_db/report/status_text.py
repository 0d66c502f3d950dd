"""A status as text."""

from __future__ import annotations

from collections.abc import Iterable

from tol_db.progress import amount, duration
from tol_db.report.status import Count, DatasetStatus, SplitStatus, Status
from tol_db.report.tables import indented, percent, table

NOT_COUNTED = "not counted at this size: add --check"


def status_text(status: Status, width: int | None = None) -> str:
    """All datasets, one after the other, within ``width`` characters where a terminal sets it."""
    if not status.datasets:
        return "\n".join(["no dataset is planned", *(f"next: {step}" for step in status.next)])
    return "\n\n".join(_dataset(dataset, width) for dataset in status.datasets)


def _dataset(dataset: DatasetStatus, width: int | None) -> str:
    lines = [
        f"dataset {dataset.name}: recipe {dataset.recipe}, order {dataset.order}, planned {dataset.planned_at}",
        f"  in {dataset.output_root}",
        indented(_splits(dataset.splits, None if width is None else width - 2)),
        *_breakdowns(dataset.splits),
    ]
    if dataset.pace is not None:
        pace = dataset.pace
        done = f"{pace.images:,} images in {duration(pace.seconds)}, {pace.per_second:,.1f} images/s"
        rest = f"; at this pace {duration(pace.remaining_seconds)} to go" if pace.remaining_seconds else ""
        lines.append(f"  last run: {done}{rest}")
    if dataset.worker is not None:
        worker = dataset.worker
        job = f", SLURM job {worker.slurm_job}" if worker.slurm_job else ""
        silent = "" if worker.alive else " (no sign of life: the next run takes over)"
        lines.append(f"  at work: process {worker.pid} on {worker.host}{job} since {worker.since}{silent}")
    for failure in dataset.failures:
        job = f", SLURM job {failure.slurm_job}" if failure.slurm_job else ""
        told = failure.detail or "without a word"
        lines.append(f"  {failure.ending}: unit {failure.unit} on {failure.host}{job}, {failure.ended_at}: {told}")
    lines += [f"  next: {step}" for step in dataset.next]
    return "\n".join(lines)


def _splits(splits: tuple[SplitStatus, ...], width: int | None) -> str:
    rows = [_row(split) for split in splits]
    if len(rows) > 1:
        rows.append(["all", *(_sum(values) for values in list(zip(*rows, strict=True))[1:])])
    columns = ["split", "shards", "complete", "members", "planned", "written", "left out", "pending", "excluded"]
    columns += ["unplanned", "stale shards", "size"]
    for row in rows:
        planned, written, left_out, size = row[4], row[5], row[6], row[-1]
        assert isinstance(planned, int) and isinstance(written, int) and isinstance(left_out, int)
        assert isinstance(size, int)
        row[-1:] = [amount(size, "bytes"), percent(written + left_out, planned)]
    return table([*columns, "done"], rows, width)


def _row(split: SplitStatus) -> list[object]:
    complete = sum(count.shards for count in split.shards if count.state in ("complete", "verified"))
    return [
        *(split.name, sum(count.shards for count in split.shards), complete, split.members, split.planned),
        *(split.written, split.left_out, split.pending, split.excluded, split.unplanned),
        *(split.stale_shards, split.bytes),
    ]


def _sum(values: Iterable[object]) -> object:
    numbers = [value for value in values if isinstance(value, int)]
    return sum(numbers) if numbers else None


def _breakdowns(splits: tuple[SplitStatus, ...]) -> Iterable[str]:
    for split in splits:
        told = [f"{count.state} {count.shards:,} ({count.images:,} images)" for count in split.shards]
        if told:
            yield f"  {split.name}: shards {', '.join(told)}"
        for what, total, counts in (
            ("left out", split.left_out, split.left_out_by),
            ("excluded", split.excluded, split.excluded_by),
        ):
            if total:
                yield f"  {split.name}: {what} {_counts(counts)}"
    if any(split.stale_shards is None for split in splits):
        yield f"  stale shards: {NOT_COUNTED}"


def _counts(counts: tuple[Count, ...] | None) -> str:
    if counts is None:
        return NOT_COUNTED
    return ", ".join(f"{count.name} {count.images:,}" for count in counts)
