"""The arithmetic of a plan, on generated images: invariants that hold for any input."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from materialize.layout import (
    UNIT_SHARDS,
    Group,
    Images,
    Layout,
    Start,
    balanced,
    label_digest,
    lay_out,
    permutation_keys,
    plan_digest,
    shard_digest,
)


def make_images(containers: list[int]) -> Images:
    """containers[r] images in the container of rank r; ids and uuids are scattered."""
    n = sum(containers)
    digests = [hashlib.sha256(b"%d" % i).digest()[:16] for i in range(n)]
    uuid = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)
    container = np.repeat(np.arange(len(containers)), containers)
    member = np.concatenate([np.arange(c) for c in containers]) if containers else np.zeros(0, np.int64)
    return Images(np.arange(1, n + 1) * 3, container, member, np.full(n, 1000), np.full(n, 1), uuid)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Images, list[np.ndarray], list[Group], int]:
    archives = draw(st.lists(st.integers(0, 60), max_size=4))
    folders = draw(st.lists(st.integers(0, 12), max_size=8))
    images = make_images(archives + folders)
    groups = [Group(r, r, True) for r in range(len(archives))]
    if folders:
        groups.append(Group(len(archives), len(archives) + len(folders) - 1, False))
    masks = [
        np.array(draw(st.lists(st.booleans(), min_size=len(images), max_size=len(images))), bool)
        for _ in range(draw(st.integers(1, 3)))
    ]
    return images, masks, groups, draw(st.integers(1, 25))


def check(layout: Layout, masks: list[np.ndarray], shard_images: int) -> None:
    assert [s.number for s in layout.shards] == list(range(len(layout.shards)))
    assert [u.number for u in layout.units] == list(range(len(layout.units)))
    for index, mask in enumerate(masks):
        mine = [s for s in layout.shards if s.split == index]
        assert [s.ordinal for s in mine] == list(range(len(mine)))
        rows = np.concatenate([s.rows for s in mine]) if mine else np.zeros(0, np.int64)
        assert sorted(rows.tolist()) == np.flatnonzero(mask).tolist()
    assert all(0 < len(s.rows) <= shard_images for s in layout.shards)
    for unit in layout.units:
        numbers = [s.number for s in layout.shards if s.unit == unit.number]
        assert numbers == list(range(unit.first_shard, unit.last_shard + 1))
        inside = {row for s in layout.shards if s.unit == unit.number for row in s.rows.tolist()}
        assert (unit.images, unit.size) == (len(inside), 1000 * len(inside))


@given(cases(), st.sampled_from(["source", "shuffled"]), st.integers(0, 2**31))
@settings(max_examples=200, deadline=None)
def test_every_member_is_placed_once_and_all_numbers_are_dense(case, order: str, seed: int) -> None:  # type: ignore[no-untyped-def]
    images, masks, groups, shard_images = case
    layout = lay_out(images, masks, groups, order=order, seed=seed, shard_images=shard_images)
    check(layout, masks, shard_images)


@given(cases())
@settings(max_examples=100, deadline=None)
def test_in_source_order_an_archive_is_one_unit_and_shards_follow_its_order(case) -> None:  # type: ignore[no-untyped-def]
    images, masks, groups, shard_images = case
    layout = lay_out(images, masks, groups, order="source", seed=0, shard_images=shard_images)
    for shard in layout.shards:
        places = list(zip(images.container[shard.rows], images.member[shard.rows], strict=True))
        assert places == sorted(places)
    units_of = {}
    for shard in layout.shards:
        for rank in set(images.container[shard.rows].tolist()):
            units_of.setdefault(rank, set()).add(shard.unit)
    for group in groups:
        if group.whole:
            assert len(units_of.get(group.first, ())) <= 1


@given(cases(), st.integers(0, 1000), st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_order_of_rows_does_not_matter(case, seed: int, random) -> None:  # type: ignore[no-untyped-def]
    images, masks, groups, shard_images = case
    order = list(range(len(images)))
    random.shuffle(order)
    mixed = Images(*(getattr(images, name)[order] for name in images.__slots__))
    for kind in ("source", "shuffled"):
        one = lay_out(images, masks, groups, order=kind, seed=seed, shard_images=shard_images)
        two = lay_out(mixed, [m[order] for m in masks], groups, order=kind, seed=seed, shard_images=shard_images)
        ids = [images.id[s.rows].tolist() for s in one.shards]
        assert ids == [mixed.id[s.rows].tolist() for s in two.shards]


def test_sizes_are_balanced_and_not_filled_then_rest() -> None:
    assert [len(p) for p in balanced(np.arange(25_000), 10_000)] == [8334, 8333, 8333]
    assert balanced(np.zeros(0, np.int64), 10) == []


def test_folders_of_a_source_are_joined_and_cut_into_equal_units() -> None:
    images = make_images([7] * 100)
    mask = np.ones(700, bool)
    layout = lay_out(images, [mask], [Group(0, 99, False)], order="source", seed=0, shard_images=30)
    assert [u.images for u in layout.units] == [234, 233, 233]
    assert max(u.images for u in layout.units) <= UNIT_SHARDS * 30


def test_an_extension_goes_on_with_the_numbers() -> None:
    images = make_images([50])
    start = Start(unit=4, shard=9, ordinals=(3, 6))
    masks = [np.ones(50, bool), np.arange(50) < 5]
    layout = lay_out(images, masks, [Group(0, 0, True)], order="source", seed=0, shard_images=25, start=start)
    assert [(s.number, s.unit, s.split, s.ordinal) for s in layout.shards] == [
        (9, 4, 0, 3),
        (10, 4, 0, 4),
        (11, 4, 1, 6),
    ]


def test_the_shuffle_is_a_stated_function_of_id_and_seed() -> None:
    uuids = make_images([3]).uuid
    keys = permutation_keys(uuids, 17, 0)
    assert keys.tolist() == permutation_keys(uuids[::-1], 17, 0)[::-1].tolist()
    assert keys.tolist() != permutation_keys(uuids, 18, 0).tolist()
    # a change of these values would move every image of every shuffled dataset
    assert permutation_keys(np.zeros((1, 16), np.uint8), 0, 0).tolist() == [0]
    assert permutation_keys(np.arange(16, dtype=np.uint8).reshape(1, 16), 17, 0).tolist() == [9647203952686225007]


def test_a_shards_digest_depends_on_everything_that_fixes_its_bytes() -> None:
    images = make_images([4])
    base = (b"r" * 32, "train", 0, images.uuid, images.uuid)
    digests = {
        shard_digest(*base),
        shard_digest(b"s" * 32, *base[1:]),
        shard_digest(base[0], "val", *base[2:]),
        shard_digest(*base[:2], 1, *base[3:]),
        shard_digest(*base[:3], images.uuid[::-1], images.uuid),
        shard_digest(*base[:3], images.uuid, images.uuid[::-1]),
        shard_digest(*base[:3], images.uuid[:3], images.uuid[:3]),
    }
    assert len(digests) == 7
    assert shard_digest(*base) == shard_digest(*base)
    assert plan_digest([b"a" * 32, b"b" * 32]) != plan_digest([b"b" * 32, b"a" * 32])


def test_a_labels_digest_tells_its_columns_apart() -> None:
    assert label_digest(["a", "", "b"]) != label_digest(["a", "b", ""])
