"""Where samples begin in a shard, without reading it.

The plan fixes the samples of a shard, their order and their texts, and a header is always 512 bytes: all that it
does not know of the layout is the size of each picture. So one header a sample, that of its ``jpg``, is read by a
seek: 512 bytes of some 40,000. Nothing else has to be recorded, and the headers are checked on the way.
"""

from __future__ import annotations

import os
import secrets
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

from materialize.captions import texts
from materialize.shard import BLOCK, cannot_write
from tol_db.errors import InputMissing
from tol_db.reading.sample import not_as_planned, padded, picture_size
from tol_db.taxonomy.names import Lineage

_KEPT: Final = 256
"""Shards whose offsets are held: 80 KB each at 10,000 samples."""

Offsets: TypeAlias = "array[int]"
"""Where each sample begins, and at the end where the last one ends; bytes."""


@dataclass(frozen=True, slots=True)
class TextSizes:
    """Bytes of a sample's texts in a shard, headers and paddings included.

    Attributes:
        before, after: those that stand before the ``jpg``, and after it.
    """

    before: int
    after: int


@lru_cache(1 << 15)
def text_sizes(label: Lineage, common_name: str) -> TextSizes:
    """The sizes of the texts of a label. Args: as :func:`materialize.captions.texts`."""
    before = after = 0
    for extension, text in texts(label, common_name).items():
        whole = BLOCK + padded(len(text.encode()))
        if extension < "jpg":
            before += whole
        else:
            after += whole
    return TextSizes(before, after)


def find_offsets(path: Path, samples: Sequence[tuple[str, TextSizes]]) -> Offsets:
    """Walk through a shard from one picture's header to the next.

    Args:
        samples: key and text sizes of each, in their order.

    Raises:
        InputMissing: there is no such file.
        InputError: a picture is not where it must be.
        OSError: the storage failed.
    """
    found: Offsets = array("Q", [0])
    at = 0
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError as err:
        raise missing(path) from err
    try:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)  # no reading ahead: most is passed over
        for key, sizes in samples:
            size = picture_size(os.pread(descriptor, BLOCK, at + sizes.before), key)
            if size is None:
                raise not_as_planned(path, key)
            at += sizes.before + BLOCK + padded(size) + sizes.after
            found.append(at)
    finally:
        os.close(descriptor)
    return found


def missing(path: Path) -> InputMissing:
    return InputMissing(
        f"{path}: no such shard",
        hint="`tol-db verify` finds out what is missing, `tol-db materialize` writes it anew",
    )


class OffsetCache:
    """Offsets of shards that were looked for once.

    Args:
        folder: also keep them there, a file of 80 KB for each shard of 10,000 samples, named by the sha256 of the
            shard, so that none is ever out of date. None: only in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._kept: OrderedDict[str, Offsets] = OrderedDict()

    def get(self, sha256: str, samples: int, find: Callable[[], Offsets]) -> Offsets:
        """The offsets of a shard; ``find`` is called where they are not known.

        Raises:
            CannotWrite: the folder takes no file.
        """
        offsets = self._kept.get(sha256)
        if offsets is None:
            offsets = self._read(sha256, samples)
            if offsets is None:
                offsets = find()
                self._write(sha256, offsets)
            self._kept[sha256] = offsets
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(sha256)
        return offsets

    def _read(self, sha256: str, samples: int) -> Offsets | None:
        if self.folder is None:
            return None
        try:
            data = self._path(self.folder, sha256).read_bytes()
        except FileNotFoundError:
            return None
        offsets: Offsets = array("Q")
        if len(data) != 8 * (samples + 1):
            return None  # cut off; it is made again
        offsets.frombytes(data)
        return offsets

    def _write(self, sha256: str, offsets: Offsets) -> None:
        if self.folder is None:
            return
        path = self._path(self.folder, sha256)
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(offsets.tobytes())
            partial.replace(path)
        except OSError as err:
            partial.unlink(missing_ok=True)
            raise cannot_write(path, err) from err

    @staticmethod
    def _path(folder: Path, sha256: str) -> Path:
        return folder / f"{sha256}.offsets"
