"""A contact sheet: a few pictures of each kingdom, drawn by a seed and read out of the shards.

Only the first samples of a shard are candidates, so that no more than some megabytes of it are read: in both
orders of a plan they are as random as any others. A shard that cannot be read costs the page nothing but its
pictures, and the page says so.
"""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from PIL import Image

from materialize.dataset import load_dataset
from materialize.root import shard_path
from tol_db.db.bulk import query, uuid_text
from tol_db.taxonomy.names import Lineage, scientific

PER_KINGDOM = 8
KINGDOMS = 12
"""Kingdoms that are shown at most; published sets have eight, and some images none."""
SHARDS = 60
"""Shards that are looked at until each kingdom has its pictures."""
FIRST = 400
"""Samples of a shard that are candidates."""
PER_SHARD = 2
"""Pictures of one kingdom that one shard gives at most, while there are others."""
SIDE = 112
"""Pixels of the longer side of a thumbnail."""
MOST_BYTES = 2_000_000
"""Of all thumbnails together."""
_LARGEST: Final = 64 << 20  # bytes and pixels of a sample that are decoded; a shard's are 224 pixels wide


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture; ``jpeg`` are its bytes, ``where`` the shard file it is from."""

    name: str
    kingdom: str
    treeoflife_id: str
    where: str
    width: int
    height: int
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """Pictures by kingdom, in the order of names; ``""`` are those without one.

    Attributes:
        shards: looked at; of how many that are complete.
        unreadable: of them that could not be read, with why (the first ones).
        failed: how many shards could not be read.
        capped: there was room for no more.
    """

    pictures: tuple[Thumbnail, ...]
    shards: int
    of: int
    unreadable: tuple[str, ...]
    failed: int
    capped: bool

    def kingdoms(self) -> dict[str, list[Thumbnail]]:
        found: dict[str, list[Thumbnail]] = {}
        for picture in sorted(self.pictures, key=lambda picture: (not picture.kingdom, picture.kingdom)):
            found.setdefault(picture.kingdom, []).append(picture)
        return found


@dataclass(slots=True)
class _Wanted:
    key: str
    kingdom: str
    name: str
    digest: bytes | None


@dataclass(slots=True)
class _Sheet:
    """What is found so far."""

    per_kingdom: int
    pictures: list[Thumbnail] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    shards: int = 0
    bytes: int = 0
    capped: bool = False

    def has(self, kingdom: str) -> int:
        return sum(picture.kingdom == kingdom for picture in self.pictures)

    def wants(self, kingdom: str) -> int:
        known = {picture.kingdom for picture in self.pictures}
        if kingdom not in known and len(known) >= KINGDOMS:
            return 0
        return self.per_kingdom - self.has(kingdom)


_SHARDS: Final = """
SELECT d.name, s.name, h.ordinal, h.id
FROM shard h JOIN dataset d ON d.id = h.dataset_id JOIN split s ON s.id = h.split_id
WHERE d.name = ? AND h.state IN ('complete', 'verified') AND h.written > 0 ORDER BY h.number"""

_SAMPLES: Final = """
SELECT i.treeoflife_id, m.jpg_digest, l.kingdom, l.phylum, l.class, l."order", l.family, l.genus, l.species
FROM shard_image m JOIN image i ON i.id = m.image_id JOIN label l ON l.id = m.label_id
WHERE m.shard_id = ? AND m.position < ? AND m.outcome_id = 1 ORDER BY m.position"""


def contact_sheet(
    conn: sa.Connection, datasets: Sequence[str], *, seed: int = 0, per_kingdom: int = PER_KINGDOM
) -> ContactSheet:
    """Draw pictures out of the complete shards of these datasets; the same seed draws the same ones."""
    chance = random.Random(seed)
    shards = [row for name in datasets for row in query(conn, _SHARDS, (name,))] if per_kingdom else []
    total = len(shards)
    roots = {name: load_dataset(conn, name) for name in {row[0] for row in shards}}
    sheet = _Sheet(per_kingdom)
    chance.shuffle(shards)
    for name, split, ordinal, shard in shards[:SHARDS]:
        rows = [
            _Wanted(uuid_text(blob), ranks[0], _shown(ranks), digest)
            for blob, digest, *ranks in query(conn, _SAMPLES, (shard, FIRST))
        ]
        wanted = _choose(sheet, rows, chance, PER_SHARD if total > 4 else per_kingdom)
        path = roots[name].output_root / shard_path(roots[name].recipe.size, split, ordinal)
        sheet.shards += 1
        if wanted:
            _read(sheet, path, wanted)
        if sheet.capped:
            break
    return ContactSheet(
        pictures=tuple(sheet.pictures),
        shards=sheet.shards,
        of=total,
        unreadable=tuple(sheet.unreadable[:3]),
        failed=len(sheet.unreadable),
        capped=sheet.capped,
    )


def _shown(ranks: Sequence[str]) -> str:
    """The scientific name, as far as it is known."""
    return scientific(Lineage.of(ranks)) or next((rank for rank in reversed(ranks) if rank), "(no name)")


def _choose(sheet: _Sheet, rows: list[_Wanted], chance: random.Random, most: int) -> dict[str, _Wanted]:
    """Name of a member → what it shows, for some samples of each kingdom that still wants any."""
    groups: dict[str, list[_Wanted]] = {}
    for row in rows:
        groups.setdefault(row.kingdom, []).append(row)
    chosen: dict[str, _Wanted] = {}
    for kingdom in sorted(groups):
        number = min(most, sheet.wants(kingdom), len(groups[kingdom]))
        drawn = chance.sample(groups[kingdom], len(groups[kingdom]))
        seen = {picture.name for picture in sheet.pictures}
        for _ in range(number):
            # a name that is not shown yet, while there is one
            row = next((row for row in drawn if row.name not in seen), drawn[0])
            drawn.remove(row)
            seen.add(row.name)
            chosen[f"{row.key}.jpg"] = row
    return chosen


def _read(sheet: _Sheet, path: Path, wanted: dict[str, _Wanted]) -> None:
    """Add the pictures that a shard gives; what is wrong with it is written down."""
    missing = dict(wanted)
    try:
        for name, data in _members(path, missing):
            row = missing.pop(name)
            sheet.pictures.append(_thumbnail(row, data, f"{path.parent.name}/{path.name}"))
            sheet.bytes += len(sheet.pictures[-1].jpeg)
            if sheet.bytes > MOST_BYTES:
                sheet.capped = True
                return
            if not missing:
                return
    except OSError as err:
        sheet.unreadable.append(f"{path}: {err.strerror or err}")
    except (tarfile.TarError, EOFError) as err:
        sheet.unreadable.append(f"{path}: not a whole archive: {err}")
    except _Unlike as err:
        sheet.unreadable.append(f"{path}: {err}")
    else:
        sheet.unreadable.append(f"{path}: {next(iter(missing))} is not among its first members")


def _members(path: Path, wanted: dict[str, _Wanted]) -> Iterator[tuple[str, bytes]]:
    """Those members of a shard that are wanted, as long as they can be among its first samples."""
    from materialize.verify.walk import PARTS

    with path.open("rb", buffering=1 << 18) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for number, member in enumerate(archive):
            if number >= FIRST * len(PARTS):
                return
            if member.name in wanted and member.isreg() and member.size <= _LARGEST:
                content = archive.extractfile(member)
                if content is not None:
                    yield member.name, content.read()


class _Unlike(Exception):
    """A picture is not the one that was written."""


def _thumbnail(row: _Wanted, data: bytes, where: str) -> Thumbnail:
    """Raises: _Unlike: other bytes than the database knows, or none that Pillow can decode."""
    if row.digest is not None and hashlib.sha256(data).digest()[:16] != row.digest:
        raise _Unlike(f"{row.key}.jpg is not what was written")
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            if image.width * image.height > _LARGEST:
                raise _Unlike(f"{row.key}.jpg is too large")
            image.draft("RGB", (SIDE, SIDE))
            small = image.convert("RGB")
    except (_Unlike, MemoryError):
        raise
    except Exception as err:  # whatever a decoder raises, it is about these bytes (see materialize.image)
        raise _Unlike(f"{row.key}.jpg cannot be decoded: {err}") from err
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=72, optimize=True)
    return Thumbnail(row.name, row.kingdom, row.key, where, small.width, small.height, buffer.getvalue())
