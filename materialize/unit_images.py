"""The images of a container of a work unit, packed: 80 bytes each instead of 600, made into tasks one by one."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import overload

from materialize.containers import Wanted
from materialize.unit import ImageTask, Place
from tol_db.db.bulk import uuid_text

_NONE = -1  # no offset: a file in a folder
UUID_BYTES = 16


class PackedImages(Sequence[ImageTask]):
    """A sequence of :class:`ImageTask`, in the order in which they were added; each access makes a new one.

    An EOL archive has 100,000 images: as objects they are 60 MB in each worker.
    """

    __slots__ = ("_blobs", "_ends", "_indexes", "_members", "_offsets", "_places", "_sizes")

    def __init__(self) -> None:
        self._blobs = bytearray()
        self._members: list[str | None] = []
        self._indexes, self._offsets, self._sizes = array("q"), array("q"), array("q")
        self._places = array("q")  # shard, position, label, one after the other
        self._ends = array("q")  # of the places of each image

    def add(self, blob: bytes, member: str | None, index: int, offset: int | None, size: int) -> None:
        """Add an image, as yet without a place.

        Args:
            blob: its treeoflife_id, 16 bytes.
            member: its name in the container; None: ``<treeoflife_id>.jpg``.
            index, offset, size: as in :class:`Wanted`.
        """
        self._blobs += blob
        self._members.append(member)
        self._indexes.append(index)
        self._offsets.append(_NONE if offset is None else offset)
        self._sizes.append(size)
        self._ends.append(len(self._places))

    def place(self, shard: int, position: int, label: int) -> None:
        """Give the last image a place."""
        self._places.extend((shard, position, label))
        self._ends[-1] += 3

    @property
    def sizes(self) -> Sequence[int]:
        """Bytes of each image, without making any."""
        return self._sizes

    def __len__(self) -> int:
        return len(self._members)

    @overload
    def __getitem__(self, at: int) -> ImageTask: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[ImageTask]: ...

    def __getitem__(self, at: int | slice) -> ImageTask | Sequence[ImageTask]:
        whole = range(len(self))[at]
        return self._task(whole) if isinstance(whole, int) else [self._task(each) for each in whole]

    def __iter__(self) -> Iterator[ImageTask]:
        return map(self._task, range(len(self)))

    def _task(self, at: int) -> ImageTask:
        key = uuid_text(bytes(self._blobs[UUID_BYTES * at : UUID_BYTES * (at + 1)]))
        offset = self._offsets[at]
        wanted = Wanted(
            self._indexes[at],
            self._members[at] or f"{key}.jpg",
            None if offset == _NONE else offset,
            self._sizes[at],
        )
        places, end = self._places, self._ends[at]
        start = self._ends[at - 1] if at else 0
        return ImageTask(key, wanted, tuple(Place(*places[p : p + 3]) for p in range(start, end, 3)))
