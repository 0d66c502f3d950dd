"""Which work units a task takes, and which tasks an array holds: pure arithmetic."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tol_db.errors import UsageError

DEFAULT_RATE = 40.0
"""Images a second and core, where nothing was measured: what a slow core does with large pictures."""
MAX_WARNING = 120
"""Seconds before the time limit at which a task is told (``--signal``): what it has open is dropped in a few."""


@dataclass(frozen=True, slots=True)
class Array:
    """Tasks ``offset`` to ``offset + tasks - 1``, as an array that counts from 0."""

    offset: int
    tasks: int


def tasks_of(
    units: Iterable[int], sizes: Mapping[int, int], images_per_task: float, cpus: int
) -> list[tuple[int, ...]]:
    """Share out work units, in order.

    A core writes one unit at a time: a task with fewer units than cores would leave cores idle, and be no
    sooner done. So a task gets one unit per core, and then as many more as its target time allows.

    Args:
        units: numbers of work units.
        sizes: unit → images that are read for it.
        images_per_task: what all cores of a task read in the target time.
        cpus: cores of a task.
    """
    tasks: list[tuple[int, ...]] = []
    group: list[int] = []
    images = 0
    for unit in sorted(units):
        size = sizes.get(unit, 0)
        if len(group) >= cpus and images + size > images_per_task:
            tasks.append(tuple(group))
            group, images = [], 0
        group.append(unit)
        images += size
    return [*tasks, tuple(group)] if group else tasks


def arrays_of(tasks: int, max_array_size: int) -> list[Array]:
    """Cut tasks into arrays: the highest number in one is MaxArraySize - 1 (slurm.conf(5))."""
    return [
        Array(offset, min(max_array_size, tasks - offset)) for offset in range(0, tasks, max(1, max_array_size))
    ]


def parts_of(tasks: Sequence[Sequence[int]], sizes: Mapping[int, int], limit: int) -> list[range]:
    """Cut tasks into runs of whole tasks, of at most ``limit`` images each where one task alone has no more.

    Args:
        tasks: the units (or shards) of each.
        sizes: unit → images.
    """
    parts: list[range] = []
    start = images = 0
    for number, task in enumerate(tasks):
        size = sum(sizes.get(unit, 0) for unit in task)
        if number > start and images + size > limit:
            parts.append(range(start, number))
            start, images = number, 0
        images += size
    return [*parts, range(start, len(tasks))] if tasks else []


def array_option(array: Array, throttle: int | None, arrays: int = 1) -> str:
    """``0-9%4``: the tasks of an array, and how many run at once.

    Args:
        throttle: tasks that run at once, over all ``arrays``; None: as many as the cluster lets.
    """
    limit = "" if throttle is None else f"%{max(1, throttle // arrays)}"
    return f"0-{array.tasks - 1}{limit}"


def wall_seconds(text: str) -> int:
    """Seconds of a time limit as sbatch(1) takes it: ``30``, ``30:00``, ``08:00:00``, ``2-12``, ``2-12:00:00``.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if match is None:
        raise UsageError(
            f"--time {text}: no time limit", hint="such as 08:00:00, or 2-12:00:00 for two days and a half"
        )
    days, *rest = match.groups()
    first, second, third = (int(part or 0) for part in rest)
    if days is not None:  # days-hours[:minutes[:seconds]]
        seconds = int(days) * 86400 + first * 3600 + second * 60 + third
    elif rest[2] is not None:  # hours:minutes:seconds
        seconds = first * 3600 + second * 60 + third
    else:  # minutes[:seconds]
        seconds = first * 60 + second
    if seconds < 60:
        raise UsageError(f"--time {text}: less than a minute", hint="such as 08:00:00")
    return seconds


def warning_seconds(wall: int) -> int:
    """How long before its time limit a task is told: 120 s, and a quarter of what is shorter than eight minutes."""
    return min(MAX_WARNING, wall // 4)


def longest_seconds(task: Sequence[int], sizes: Mapping[int, int], rate: float, cpus: int) -> float:
    """How long a task takes: its units one after the other on each core, and no less than its largest one."""
    images = [sizes.get(unit, 0) for unit in task]
    return max(sum(images) / min(cpus, len(task)), max(images)) / rate if images else 0.0


def told_numbers(numbers: Iterable[int]) -> str:
    """``0-3, 7``: numbers as ranges, in order."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def measured_rate(attempts: Iterable[tuple[int, float]]) -> float | None:
    """Images a second and core from attempts that ended well (images, seconds); None where there are too few.

    One attempt is one process at one unit. What took less than a few seconds says nothing: that is its start.
    """
    counted = [(images, seconds) for images, seconds in attempts if seconds >= 5 and images > 0]
    if not counted:
        return None
    rate = sum(images for images, _ in counted) / sum(seconds for _, seconds in counted)
    return rate if math.isfinite(rate) else None
