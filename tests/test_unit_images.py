"""The packed images of a work unit come out as they were put in."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from materialize.containers import Wanted
from materialize.unit import ImageTask, Place
from materialize.unit_images import PackedImages

numbers = st.integers(0, 2**62)
images = st.builds(
    ImageTask,
    st.uuids().map(str),
    st.builds(Wanted, numbers, st.sampled_from(["", "part1/a.jpg", "é.jpg"]), st.none() | numbers, numbers),
    st.lists(st.builds(Place, numbers, numbers, numbers), max_size=3).map(tuple),
)


@given(st.lists(images, max_size=8))
def test_each_image_is_the_one_that_was_added(tasks: list[ImageTask]) -> None:
    packed = PackedImages()
    expected = []
    for task in tasks:
        wanted = task.wanted
        packed.add(uuid.UUID(task.key).bytes, wanted.name or None, wanted.index, wanted.offset, wanted.size)
        for place in task.places:
            packed.place(place.shard, place.position, place.label)
        name = wanted.name or f"{task.key}.jpg"
        expected.append(ImageTask(task.key, Wanted(wanted.index, name, wanted.offset, wanted.size), task.places))
    assert list(packed) == expected
    assert list(packed.sizes) == [task.wanted.size for task in expected]
    assert [packed[at] for at in range(len(packed))] == expected
    assert list(packed[1:]) == expected[1:]
    assert list(packed[-1:]) == expected[-1:]
