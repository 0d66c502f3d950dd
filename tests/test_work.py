"""Reading ahead of the work: the same members in the same order, little memory, faults and stops in their place."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import time
import tracemalloc
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialize.archive import plain_file
from materialize.containers import Wanted, read_members
from materialize.read_ahead import BYTES, MEMBERS, read_ahead
from materialize.recipe import TOL10M
from materialize.root import MARKER
from materialize.slot import Slot
from materialize.unit import ContainerTask, ImageTask, LabelText, ShardTask, UnitTask
from materialize.unit_images import PackedImages
from materialize.work import UnitWriter
from tol_db.errors import ContainerChanged, ContainerError, Interrupted
from tol_db.taxonomy.names import normalise


class Source:
    """Yields a number for each size, and keeps account of what was asked of it."""

    def __init__(self, sizes: list[int], fault_at: int | None = None, close_fault: str = "") -> None:
        self.sizes, self.fault_at, self.close_fault = sizes, fault_at, close_fault
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
            if self.close_fault:
                raise OSError(116, self.close_fault)

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


def test_a_source_that_cannot_be_closed_is_told_and_nobody_waits_for_ever() -> None:
    things = Source([100] * 40, close_fault="Stale file handle").ahead()
    told: list[object] = []

    def take() -> None:
        try:
            told.extend(things)
        except OSError as err:
            told.append(err.strerror)

    taker = threading.Thread(target=take, daemon=True)  # it may never end: that is the fault looked for
    taker.start()
    taker.join(timeout=30)
    assert not taker.is_alive()
    assert told == [*range(40), "Stale file handle"]
    assert threads() == []


def test_whoever_stops_early_is_not_told_that_the_source_cannot_be_closed() -> None:
    source = Source([100] * 40, close_fault="Stale file handle")
    with closing(source.ahead()) as things:
        assert list(islice(things, 3)) == [0, 1, 2]
    assert source.is_closed
    assert threads() == []


def test_a_source_that_ends_early_ends_what_is_read_ahead_of_it() -> None:
    source = Source([100] * 20)
    assert list(read_ahead(source.things(), [100] * 30)) == list(range(20))
    assert threads() == []


@pytest.mark.parametrize("kind", ["tar", "tar_gz"])
def test_an_archive_that_cannot_be_closed_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tar"
    wanted = archive(path, 3, "" if kind == "tar" else "gz")
    members = read_members(path, kind, wanted)
    assert next(members)[0] == wanted[0]
    (fd,) = [int(entry.name) for entry in Path("/proc/self/fd").iterdir() if opened(entry) == path]
    os.close(fd)  # behind its back: closing it fails, as it may on a network file system
    with pytest.raises(ContainerError, match=r"a\.tar: Bad file descriptor"):
        members.close()


def opened(fd: Path) -> Path | None:
    try:
        return fd.readlink()
    except OSError:  # that of the listing itself
        return None


def archive(path: Path, number: int, compression: str = "") -> list[Wanted]:
    """An archive of so many members which are no pictures; where they lie."""
    with tarfile.open(path, f"w:{compression}" if compression else "w") as writer:
        for n in range(number):
            info = tarfile.TarInfo(f"{uuid.UUID(int=n)}.jpg")
            info.size = 100
            writer.addfile(info, io.BytesIO(bytes([n % 256]) * 100))
    with tarfile.open(path) as reader:
        return [Wanted(n, info.name, info.offset_data, info.size) for n, info in enumerate(reader)]


def unit(path: Path, wanted: list[Wanted], images: PackedImages) -> UnitTask:
    """These members of an archive, all of one shard."""
    for position, want in enumerate(wanted):
        images.add(uuid.UUID(int=want.index).bytes, None, want.index, want.offset, want.size)
        images.place(0, position, 1)
    status = path.stat()
    shard = ShardTask(0, Path("224x224/train/shard-000000.tar"), "00" * 32, len(wanted))
    label = LabelText(normalise(["Animalia", "Chordata", "Aves", "", "", "Parus", "major"]), "Great tit")
    container = ContainerTask(path, "tar", status.st_size, status.st_mtime_ns, images)
    return UnitTask("x", 0, (shard,), {1: label}, (container,))


def writer(task: UnitTask, root: Path, stop_after: int | None = None) -> UnitWriter:
    asked = iter(range(10**9))
    root.mkdir()
    (root / MARKER).touch()
    return UnitWriter(
        task,
        TOL10M,
        root,
        "token",
        watch=Slot(),
        verdicts={},
        on_shard=lambda _: None,
        stopping=lambda: stop_after is not None and next(asked) >= stop_after,
    )


class Short(PackedImages):
    """One image fewer is read than was planned."""

    def __iter__(self) -> Iterator[ImageTask]:
        return islice(super().__iter__(), len(self) - 1)


def test_a_container_that_ends_before_its_last_image_is_named(tmp_path: Path) -> None:
    task = unit(tmp_path / "a.tar", archive(tmp_path / "a.tar", 5), Short())
    with pytest.raises(ContainerChanged, match=r"a\.tar: it ended after 4 of 5 planned images"):
        writer(task, tmp_path / "out").run()
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == [MARKER]


def test_the_images_of_a_unit_are_made_one_by_one(tmp_path: Path) -> None:
    number = 20_000
    task = unit(tmp_path / "a.tar", archive(tmp_path / "a.tar", number), PackedImages())
    work = writer(task, tmp_path / "out", stop_after=300)
    tracemalloc.start()
    try:
        with pytest.raises(Interrupted):
            work.run()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * number, "no object for each of them"


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


def is_plain(name: str, size: int) -> bool:
    """Whether each form writes the name of a file into the field for it, and the size in octal."""
    return len(name.encode()) < 100 and name.isascii() and not name.endswith("/") and size < 8**11


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
    if flip is None and kind == b"0" and is_plain(name, size):
        assert found is not None, "the fast way is for headers such as this"
    if found is None:
        return
    theirs = tarfile.TarInfo.frombuf(bytes(header), "utf-8", "surrogateescape")
    assert (found.name, found.size, found.type) == (theirs.name, theirs.size, theirs.type)
