"""How work units are shared out among tasks, and tasks among arrays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialize.slurm.arrays import (
    Array,
    array_option,
    arrays_of,
    longest_seconds,
    measured_rate,
    parts_of,
    tasks_of,
    told_numbers,
    wall_seconds,
    warning_seconds,
)
from tol_db.errors import UsageError

sizes_of_units = st.dictionaries(st.integers(0, 500), st.integers(1, 200_000), max_size=60)


@given(sizes=sizes_of_units, images=st.floats(0.1, 1e7), cpus=st.integers(1, 64))
def test_each_unit_is_in_one_task_and_the_tasks_are_in_order(
    sizes: dict[int, int], images: float, cpus: int
) -> None:
    tasks = tasks_of(sizes, sizes, images, cpus)
    assert [unit for task in tasks for unit in task] == sorted(sizes)
    assert all(tasks)


@given(sizes=sizes_of_units, images=st.floats(0.1, 1e7), cpus=st.integers(1, 64))
def test_a_task_has_a_unit_for_each_core_and_no_more_than_its_time_allows(
    sizes: dict[int, int], images: float, cpus: int
) -> None:
    tasks = tasks_of(sizes, sizes, images, cpus)
    assert all(len(task) >= cpus for task in tasks[:-1])
    assert all(len(task) <= cpus or sum(sizes[unit] for unit in task) <= images for task in tasks)


def test_one_core_that_is_slow_gets_one_unit_at_a_time() -> None:
    assert tasks_of([4, 2, 9], {2: 10, 4: 10, 9: 10}, images_per_task=0.6, cpus=1) == [(2,), (4,), (9,)]


@given(sizes=sizes_of_units, limit=st.integers(1, 500_000), cpus=st.integers(1, 8))
def test_parts_hold_every_task_once_and_no_more_images_than_allowed_unless_one_task_has_them(
    sizes: dict[int, int], limit: int, cpus: int
) -> None:
    tasks = tasks_of(sizes, sizes, 1e5, cpus)
    parts = parts_of(tasks, sizes, limit)
    assert [number for part in parts for number in part] == list(range(len(tasks)))
    images = [sum(sizes[unit] for number in part for unit in tasks[number]) for part in parts]
    assert all(number <= limit or len(part) == 1 for number, part in zip(images, parts, strict=True))


@given(tasks=st.integers(0, 5000), limit=st.integers(1, 1001))
def test_arrays_count_from_zero_and_hold_every_task_once(tasks: int, limit: int) -> None:
    arrays = arrays_of(tasks, limit)
    assert [n for array in arrays for n in range(array.offset, array.offset + array.tasks)] == list(range(tasks))
    assert all(array.tasks <= limit for array in arrays)


def test_the_highest_index_is_one_less_than_the_size_that_the_cluster_allows() -> None:
    first, second = arrays_of(1500, 1001)
    assert (array_option(first, None), array_option(second, None)) == ("0-1000", "0-498")
    assert second.offset == 1001


def test_a_throttle_holds_for_all_arrays_together() -> None:
    assert array_option(Array(0, 10), 4) == "0-9%4"
    assert array_option(Array(0, 10), 4, arrays=2) == "0-9%2"
    assert array_option(Array(0, 10), 1, arrays=3) == "0-9%1"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800),
        ("30:30", 1830),
        ("08:00:00", 28800),
        ("2-12", 216000),
        ("2-12:30", 217800),
        ("1-00:00:01", 86401),
    ],
)
def test_time_limits_are_read_as_sbatch_reads_them(text: str, seconds: int) -> None:
    assert wall_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "-1", "0", "00:00:30"])
def test_what_is_no_time_limit_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        wall_seconds(text)


def test_a_task_is_told_well_before_its_time_is_over() -> None:
    assert [warning_seconds(wall) for wall in (60, 300, 480, 86400)] == [15, 75, 120, 120]


def test_a_task_takes_as_long_as_its_largest_unit_at_least() -> None:
    sizes = {1: 100, 2: 100, 3: 1000}
    assert longest_seconds([1, 2, 3], sizes, rate=10, cpus=3) == 100
    assert longest_seconds([1, 2, 3], sizes, rate=10, cpus=1) == 120


def test_the_rate_is_that_of_attempts_long_enough_to_tell() -> None:
    assert measured_rate([(1000, 10.0), (3000, 30.0), (5, 0.5)]) == 100
    assert measured_rate([(5, 0.5)]) is None


def test_numbers_are_told_as_ranges() -> None:
    assert told_numbers([7, 0, 1, 2, 9, 3]) == "0-3, 7, 9"
    assert told_numbers([]) == ""
