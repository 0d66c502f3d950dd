"""Reading ahead of the work: the same members in the same order, little memory, faults and stops in their place."""

from __future__ import annotations

import tarfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialize.archive import plain_file
from materialize.containers import Wanted, read_members
from materialize.read_ahead import BYTES, MEMBERS, read_ahead
from tol_db.errors import ContainerChanged


class Source:
    """Yields a number for each size, and keeps account of what was asked of it."""

    def __init__(self, sizes: list[int], fault_at: int | None = None) -> None:
        self.sizes, self.fault_at = sizes, fault_at
        self.read: list[int] = []
        self.is_closed = False

    def things(self) -> Generator[int, None, None]:
        try:
            for number in range(len(self.sizes)):
                if number == self.fault_at:
                    raise OSError(5, "Input/output error")
                self.read.append(number)
                yield number
        finally:
            self.is_closed = True

    def ahead(self) -> Generator[int, None, None]:
        return read_ahead(self.things(), self.sizes)


def settled(look: Callable[[], object]) -> object:
    """What is seen once it changes no more."""
    seen = look()
    while True:
        time.sleep(0.05)
        if look() == seen:
            return seen
        seen = look()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "read-ahead"]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([0, 1, 500, BYTES // 4, BYTES - 1, BYTES, BYTES + 1, 10 * BYTES]), max_size=60))
def test_everything_comes_once_and_in_its_order(sizes: list[int]) -> None:
    source = Source(sizes)
    assert list(source.ahead()) == list(range(len(sizes)))
    assert source.is_closed or not sizes  # nothing begins where nothing is wanted
    assert threads() == []


def test_no_more_than_a_few_small_members_are_kept_ready() -> None:
    source = Source([100] * 200)
    with closing(source.ahead()) as things:
        assert list(islice(things, 3)) == [0, 1, 2]
        assert settled(lambda: len(source.read)) <= 3 + MEMBERS
    assert source.is_closed


def test_no_more_than_two_megabytes_are_kept_ready() -> None:
    source = Source([BYTES // 3] * 50)
    with closing(source.ahead()) as things:
        assert next(things) == 0
        assert settled(lambda: len(source.read)) <= 4


def test_a_large_member_is_not_read_before_it_is_asked_for() -> None:
    source = Source([100, BYTES + 1, 100])
    with closing(source.ahead()) as things:
        assert next(things) == 0
        assert settled(lambda: source.read) == [0]
        assert next(things) == 1


def test_a_fault_is_told_after_all_that_was_read_before_it() -> None:
    source = Source([100] * 10, fault_at=7)
    taken = []
    with pytest.raises(OSError, match="Input/output error"):
        for thing in source.ahead():
            taken.append(thing)
    assert taken == list(range(7))
    assert source.is_closed
    assert threads() == []


def test_whoever_stops_early_leaves_no_thread_and_no_open_source() -> None:
    for taken in (0, 1, 5):
        source = Source([100] * 100)
        things = source.ahead()
        assert list(islice(things, taken)) == list(range(taken))
        things.close()
        assert threads() == []
        assert source.is_closed or taken == 0


def test_files_of_a_folder_come_whole_and_one_that_is_gone_fails_at_its_place(tmp_path: Path) -> None:
    wanted = []
    for number in range(40):
        data = bytes([number]) * (1000 + number)
        (tmp_path / f"{number:02}.jpg").write_bytes(data)
        wanted.append(Wanted(number, f"{number:02}.jpg", None, len(data)))
    sizes = [want.size for want in wanted]
    read = list(read_ahead(read_members(tmp_path, "directory", wanted), sizes))
    assert [want for want, _ in read] == wanted
    assert [data[:1] * want.size for want, data in read] == [data for _, data in read]
    (tmp_path / "30.jpg").unlink()
    before = []
    with pytest.raises(ContainerChanged, match=r"30\.jpg"):
        for want, _ in read_ahead(read_members(tmp_path, "directory", wanted), sizes):
            before.append(want.index)
    assert before == list(range(30))


HEADER_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)


@settings(deadline=None, max_examples=300)
@given(
    name=HEADER_NAMES,
    size=st.integers(0, 8**11 - 1),
    form=st.sampled_from(["ustar", "gnu", "pax"]),
    kind=st.sampled_from([b"0", b"\0", b"5", b"2", b"7", b"L", b"x"]),
    flip=st.none() | st.integers(0, 511),
)
def test_a_header_that_is_read_the_fast_way_is_read_as_tarfile_reads_it(
    name: str, size: int, form: str, kind: bytes, flip: int | None
) -> None:
    formats = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
    info = tarfile.TarInfo(name)
    info.size, info.type, info.uname, info.mtime = size, kind, "me", 1_700_000_000
    try:
        header = bytearray(info.tobuf(formats[form], errors="surrogateescape")[-512:])
    except ValueError:  # a name that the format cannot hold
        return
    if flip is not None:
        header[flip] ^= 1
    found = plain_file(bytes(header))
    if found is None:
        return
    theirs = tarfile.TarInfo.frombuf(bytes(header), "utf-8", "surrogateescape")
    assert (found.name, found.size, found.type) == (theirs.name, theirs.size, theirs.type)
