"""A status as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tol_db.progress import amount, duration
from tol_db.report.status import Count, DatasetStatus, SplitStatus, Status
from tol_db.report.tables import indented, percent, table

NOT_COUNTED = "not counted at this size (add --check)"


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
        *(f"  {line}" for split in dataset.splits for line in _details(split)),
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
    rows = [_row(split.name, [split]) for split in splits]
    if len(rows) > 1:
        rows.append(_row("all", splits))
    columns = ("split", "shards", "planned", "written", "left out", "pending", "done")
    return table(columns, rows, width)


def _row(name: str, splits: Sequence[SplitStatus]) -> tuple[object, ...]:
    counts = [count for split in splits for count in split.shards]
    complete = sum(count.shards for count in counts if count.state in ("complete", "verified"))
    planned, written = sum(split.planned for split in splits), sum(split.written for split in splits)
    left_out, pending = sum(split.left_out for split in splits), sum(split.pending for split in splits)
    shards = f"{complete:,} of {sum(count.shards for count in counts):,}"
    return name, shards, planned, written, left_out, pending, percent(planned - pending, planned)


def _details(split: SplitStatus) -> Iterator[str]:
    states = [f"{count.state} {count.shards:,} ({count.images:,} images)" for count in split.shards]
    if states:
        size = f"; {amount(split.bytes, 'bytes')}" if split.bytes else ""
        yield f"{split.name}: shards {', '.join(states)}{size}"
    if split.left_out:
        yield f"{split.name}: left out when read {split.left_out:,}: {_counts(split.left_out_by)}"
    if split.excluded:
        yield (
            f"{split.name}: left out by the plan {split.excluded:,} of {split.members:,} members: "
            f"{_counts(split.excluded_by)}"
        )
    if split.unplanned:
        yield f"{split.name}: unplanned {split.unplanned:,} members that came after the plan"
    if split.stale_shards is None:
        yield f"{split.name}: stale shards {NOT_COUNTED}"
    elif split.stale_shards:
        yield f"{split.name}: stale {split.stale_shards:,} shards that would be planned otherwise today"


def _counts(counts: tuple[Count, ...] | None) -> str:
    if counts is None:
        return NOT_COUNTED
    return ", ".join(f"{count.name} {count.images:,}" for count in counts)
