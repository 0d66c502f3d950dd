"""A sample as it stands in a shard: its bytes taken apart."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from materialize.shard import BLOCK
from tol_db.errors import InputError
from tol_db.taxonomy.names import Lineage

if TYPE_CHECKING:
    from PIL import Image

_SIZE = slice(124, 135)
"""Where a ustar header has the size of its member: eleven octal digits."""


def padded(size: int) -> int:
    """Bytes that a member takes behind its header."""
    return -(-size // BLOCK) * BLOCK


def picture_size(header: bytes, key: str) -> int | None:
    """The size of the picture of a sample, from the 512 bytes of its header; None where this is not that header."""
    name = f"{key}.jpg".encode() + b"\0"
    digits = header[_SIZE]
    return int(digits, 8) if len(header) == BLOCK and header.startswith(name) and digits.isdigit() else None


@dataclass(frozen=True, slots=True)
class Record:
    """What the database knows of a written sample.

    Attributes:
        treeoflife_id: its key, as text.
        position: among the samples of its shard, from 0.
        label: the one that was written, the seven ranks in the shown form.
        common_name: as shown: where the source gives none, the scientific or the taxonomic name.
    """

    treeoflife_id: str
    split: str
    shard: Path
    position: int
    label: Lineage
    common_name: str


@dataclass(frozen=True, slots=True)
class Sample(Record):
    """A sample.

    Attributes:
        jpg: the picture's bytes.
        texts: extension → text, ``{"sci.txt": "a photo of Parus major.", …}``.
    """

    jpg: bytes
    texts: Mapping[str, str]

    def image(self) -> Image.Image:
        """The picture, decoded."""
        from PIL import Image

        picture = Image.open(io.BytesIO(self.jpg))
        picture.load()
        return picture


def take_apart(record: Record, data: bytes) -> Sample:
    """The sample of a record out of its stretch of the shard: headers, members, paddings.

    Raises:
        InputError: these bytes are not that sample.
    """
    members: dict[str, bytes] = {}
    at, prefix = 0, f"{record.treeoflife_id}."
    while at < len(data):
        name = data[at : at + 100].split(b"\0", 1)[0].decode("utf-8", "replace")
        try:
            size = int(data[at + _SIZE.start : at + _SIZE.stop], 8) if len(data) - at > BLOCK else -1
        except ValueError:
            size = -1
        begin = at + BLOCK
        if not name.startswith(prefix) or size < 0 or begin + size > len(data):
            raise not_as_planned(record.shard, record.treeoflife_id)
        members[name.removeprefix(prefix)] = data[begin : begin + size]
        at = begin + padded(size)
    jpg = members.pop("jpg", None)
    if jpg is None:
        raise not_as_planned(record.shard, record.treeoflife_id)
    return Sample(
        treeoflife_id=record.treeoflife_id,
        split=record.split,
        shard=record.shard,
        position=record.position,
        label=record.label,
        common_name=record.common_name,
        jpg=jpg,
        texts={extension: text.decode() for extension, text in members.items()},
    )


def not_as_planned(shard: Path, key: str) -> InputError:
    return InputError(
        f"{shard}: member {key}.*: not where the database has it",
        hint="`tol-db verify` says what is wrong with the shard; a run may also have written it anew just now",
    )
