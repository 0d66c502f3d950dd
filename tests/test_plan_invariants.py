"""What holds of every plan, on random databases: splits, exclusions, additions, refreshes. And of every archive."""

from __future__ import annotations

import gzip
import io
import shutil
import sqlite3
import tarfile
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from materialize.archive import MAX_MEMBER, Archive
from materialize.plan import PlanRequest, plan
from materialize.recipe import TOL10M
from materialize.replan import extend, refresh
from materialize.streams import GzipReader, HashingReader
from tests.raw_trees import dump, new_database, rows_of
from tol_db.audit.runner import load, run
from tol_db.db.engine import Database, open_database

NOW = "2026-03-01T12:00:00Z"
SPLITS = ("a", "b", "c")
CONTAINERS = (
    (1, "tar_gz", "image_set_02.tar.gz"),
    (1, "tar_gz", "image_set_01.tar.gz"),
    (1, "tar", "image_set_10.tar"),
    (2, "directory", "00007_x"),
    (2, "directory", "00003_y"),
)
"""Source, kind, path."""
QUICK = settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
LONG = settings(deadline=None, max_examples=1500, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True, slots=True)
class Drawn:
    """An image: container (0: none), label (0: none), splits that it is in, its size, whether it is listed."""

    container: int
    label: int
    splits: frozenset[int]
    size: int
    is_listed: bool


IMAGES = st.builds(
    Drawn,
    container=st.integers(0, 5),
    label=st.integers(0, 3),
    splits=st.frozensets(st.integers(1, len(SPLITS))),
    size=st.sampled_from([0, 1, 700, 700, 5000, MAX_MEMBER, MAX_MEMBER + 1]),
    is_listed=st.sampled_from([False, False, False, True]),
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five containers, three labels (of the third the species is blacklisted), three splits, one blacklist."""
    path = new_database(tmp_path_factory.mktemp("template")).path
    connection = sqlite3.connect(path)
    with connection:
        for key, name in enumerate(("eol", "inat21"), 1):
            connection.execute("INSERT INTO source (id, key, title) VALUES (?, ?, ?)", (key, name, name))
        for key, (source, kind, name) in enumerate(CONTAINERS, 1):
            connection.execute(
                """INSERT INTO container (id, source_id, kind, path, group_number, state, members, bytes, mtime_ns,
                                          digest, scanned_at)
                   VALUES (?, ?, ?, ?, ?, 'scanned', 0, 0, 0, zeroblob(32), ?)""",
                (key, source, kind, name, key if kind == "directory" else None, NOW),
            )
        for key, species in enumerate(("major", "ater", "zebra"), 1):
            connection.execute(
                """INSERT INTO label (id, kingdom, phylum, class, "order", family, genus, species, common_name,
                                      resolution)
                   VALUES (?, 'Animalia', '', '', '', '', 'Parus', ?, '', 'published')""",
                (key, species),
            )
        for key, name in enumerate(SPLITS, 1):
            connection.execute(
                "INSERT INTO split (id, name, policy, split_by, created_at) VALUES (?, ?, 'file', 'image', ?)",
                (key, name, NOW),
            )
        connection.execute("INSERT INTO blacklist (id, name, reason, created_at) VALUES (1, 'list', '', ?)", (NOW,))
        connection.execute(
            """INSERT INTO blacklist_entry (blacklist_id, kind, value, kingdom, genus, species)
               VALUES (1, 'taxon', 'Parus zebra', '', 'Parus', 'zebra')"""
        )
    connection.close()
    return path


def add(path: Path, images: Sequence[Drawn], first: int = 1) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for number, image in enumerate(images, first):
            identity = uuid.uuid5(uuid.NAMESPACE_URL, str(number)).bytes
            there = image.container != 0
            where = (image.container, f"{number}.jpg", number, 512 * number, image.size) if there else (None,) * 5
            source = 2 if image.container > 3 else 1
            connection.execute(
                "INSERT INTO image VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                (number, identity, source, *where, image.label or None),
            )
            for split in image.splits:
                connection.execute("INSERT INTO split_member VALUES (?, ?)", (split, number))
            if image.is_listed:
                blacklist(connection, number)
        connection.execute(
            "UPDATE container SET members = (SELECT count(*) FROM image i WHERE i.container_id = container.id)"
        )
    connection.close()


def blacklist(connection: sqlite3.Connection, number: int) -> None:
    connection.execute(
        """INSERT INTO blacklist_entry (blacklist_id, kind, value, treeoflife_id)
           VALUES (1, 'image', ?, (SELECT treeoflife_id FROM image WHERE id = ?)) ON CONFLICT DO NOTHING""",
        (f"{number}.jpg", number),
    )


def request(folder: Path, shard_images: int) -> PlanRequest:
    return PlanRequest("x", folder / "out", TOL10M, SPLITS, shard_images=shard_images)


Shards = dict[tuple[str, int], tuple[int, str, list[tuple[int, int]]]]


def shards_of(path: Path) -> Shards:
    """(split, ordinal) → number, digest, (image, label) in order."""
    found: Shards = {}
    for key, split, ordinal, number, digest in rows_of(
        path,
        "SELECT h.id, s.name, h.ordinal, h.number, hex(h.digest) FROM shard h JOIN split s ON s.id = h.split_id",
    ):
        rows = rows_of(
            path, "SELECT position, image_id, label_id FROM shard_image WHERE shard_id = ? ORDER BY position", key
        )
        assert [row[0] for row in rows] == list(range(len(rows))), "positions are dense"
        found[split, ordinal] = (number, digest, [(row[1], row[2]) for row in rows])
    return found


def holds(db: Database, shard_images: int) -> Shards:
    """Check what must hold of every plan; returns its shards."""
    shards = shards_of(db.path)
    assert sorted(number for number, _, _ in shards.values()) == list(range(len(shards))), "numbers are dense"
    for name in SPLITS:
        ordinals = sorted(ordinal for split, ordinal in shards if split == name)
        assert ordinals == list(range(len(ordinals))), "ordinals are dense"
        placed = [image for (split, _), (_, _, rows) in shards.items() if split == name for image, _ in rows]
        assert len(placed) == len(set(placed)), "an image is in one shard of a split"
        sql = """SELECT e.image_id FROM exclusion e JOIN split s ON s.id = e.split_id WHERE s.name = ?"""
        excluded = {row[0] for row in rows_of(db.path, sql, name)}
        assert not excluded & set(placed), "an image is in a shard, or it is left out"
        sql = "SELECT m.image_id FROM split_member m JOIN split s ON s.id = m.split_id WHERE s.name = ?"
        assert excluded | set(placed) == {row[0] for row in rows_of(db.path, sql, name)}
    assert all(len(rows) <= shard_images for _, _, rows in shards.values())
    for audit in load():
        if audit.invariant:
            with db.read() as conn:
                assert run(conn, audit).total == 0, audit.name
    return shards


def never_planned(path: Path) -> set[int]:
    """Images that a blacklist names, that have no label or no file, or that are too large."""
    return {
        row[0]
        for row in rows_of(
            path,
            """SELECT id FROM image WHERE label_id IS NULL OR label_id = 3 OR container_id IS NULL OR bytes > ?
               OR treeoflife_id IN (SELECT treeoflife_id FROM blacklist_entry WHERE kind = 'image')""",
            MAX_MEMBER,
        )
    }


def planned(shards: Shards) -> set[int]:
    return {image for _, _, rows in shards.values() for image, _ in rows}


def check(template: Path, images: list[Drawn], more: list[Drawn], listed: list[int], shard_images: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = Path(shutil.copy(template, folder / "tol.sqlite"))
        add(path, images)
        can_be = {row[0] for row in rows_of(path, "SELECT image_id FROM split_member")} - never_planned(path)
        assume(can_be)
        twin = Path(shutil.copy(path, folder / "twin.sqlite"))
        db = open_database(path)
        made = plan(db, request(folder, shard_images))
        shards = holds(db, shard_images)
        assert planned(shards) == can_be
        again = plan(open_database(twin), request(folder / "twin", shard_images))
        assert again.digest == made.digest
        assert shards_of(twin) == shards

        add(path, more, first=len(images) + 1)
        extend(db, "x")
        extended = holds(db, shard_images)
        assert {key: shard for key, shard in extended.items() if key in shards} == shards
        before = dump(db)
        extend(db, "x")
        after = dump(db)
        assert {t for t in after if t != "dataset" and after[t] != before[t]} == set(), "a second time adds nothing"

        with sqlite3.connect(path) as connection:
            for number in listed:
                if number <= len(images) + len(more):
                    blacklist(connection, number)
        connection.close()
        refreshed = refresh(db, "x")
        fresh = holds(db, shard_images)
        assert not planned(fresh) & never_planned(path)
        touched = {number for number, _, rows in extended.values() if {i for i, _ in rows} & never_planned(path)}
        assert set(refreshed.stale) == touched
        for key, shard in extended.items():
            assert (fresh[key] == shard) == (shard[0] not in touched)


LISTS = {
    "images": st.lists(IMAGES, min_size=1, max_size=30),
    "more": st.lists(IMAGES, max_size=10),
    "listed": st.lists(st.integers(1, 40), max_size=4),
    "shard_images": st.integers(1, 7),
}


@QUICK
@given(**LISTS)
def test_every_member_is_in_one_shard_or_has_a_reason(
    template: Path, images: list[Drawn], more: list[Drawn], listed: list[int], shard_images: int
) -> None:
    check(template, images, more, listed, shard_images)


@pytest.mark.soak
@LONG
@given(**LISTS)
def test_every_member_is_in_one_shard_or_has_a_reason_at_length(
    template: Path, images: list[Drawn], more: list[Drawn], listed: list[int], shard_images: int
) -> None:
    check(template, images, more, listed, shard_images)


# ------------------------------------------------------------------ archives


FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)


class Halting(io.RawIOBase):
    """A file whose reads give as little as they like, as those of some file systems do."""

    def __init__(self, data: bytes, steps: Sequence[int]) -> None:
        self._file, self._steps, self._at = io.BytesIO(data), steps, 0

    def read(self, size: int = -1, /) -> bytes:
        step = self._steps[self._at % len(self._steps)]
        self._at += 1
        return self._file.read(min(size, step) if size > 0 else size)


@settings(QUICK, max_examples=60)
@given(data=st.data(), form=st.sampled_from(sorted(FORMATS)))
def test_an_archive_of_any_members_in_any_streams_reads_as_tarfile_reads_it(data: st.DataObject, form: str) -> None:
    letters = st.characters(codec="ascii" if form == "ustar" else "utf-8", exclude_characters="\0/")
    names = st.text(letters, min_size=1, max_size=60).filter(lambda name: bool(name.strip("./ ")))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=FORMATS[form]) as archive:
        for name in data.draw(st.lists(names, max_size=8)):
            info = tarfile.TarInfo(name)
            info.type = data.draw(st.sampled_from(TYPES))
            content = data.draw(st.binary(max_size=2000)) if info.isreg() else b""
            info.size, info.linkname = len(content), "target" if info.issym() or info.islnk() else ""
            archive.addfile(info, io.BytesIO(content))
    plain = out.getvalue()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(plain)), max_size=4)))
    edges = [0, *cuts, len(plain)]
    streams = [gzip.compress(plain[a:b], 1) for a, b in pairwise(edges)]
    stored = bytes(data.draw(st.integers(0, 3))).join(streams)
    steps = data.draw(st.lists(st.integers(1, 3000), min_size=1, max_size=4))
    inflated = GzipReader(HashingReader(Halting(stored, steps), hashed=False))  # type: ignore[arg-type]
    sizes = data.draw(st.lists(st.integers(1, 5000), min_size=1, max_size=4))
    parts: list[bytes] = []
    while part := inflated.read(sizes[len(parts) % len(sizes)]):
        parts.append(part)
    assert b"".join(parts) == plain
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.tar.gz"
        path.write_bytes(stored)
        with tarfile.open(path) as reference:
            expected = [
                (
                    info.name,
                    info.offset_data,
                    info.size,
                    reference.extractfile(info).read() if info.isreg() else None,
                )  # type: ignore[union-attr]
                for info in reference
            ]
        with Archive(path, "tar_gz") as ours:
            read = [(m.name, m.offset, m.size, ours.data(m) if m.is_file else None) for m in ours]
        assert [(n.rstrip("/"), *rest) for n, *rest in read] == [(n.rstrip("/"), *rest) for n, *rest in expected]
