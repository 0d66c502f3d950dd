"""A small database in which every table has a row and every invariant holds.

Forty images of three sources, three splits, one dataset of six shards in two work units. An image is
its number, which is its id in the table ``image``:

* 1-20 EOL (two archives), 21-22 EOL without a file, 23-31 iNat21 (two folders), 32 iNat21 whose file is
  missing, 33-40 BIOSCAN;
* 5 has no label; 10 is named by the blacklist, 11 and 12 are of a species that it names;
* ``val`` holds every eighth image, ``train`` the others, ``train_small`` 1, 5, 9, … of them;
* 39 came after the plan (unplanned), 38 got another label after it (stale); 7 cannot be decoded;
* 3 (train) and 8 (val) are the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from materialize.recipe import TOL10M
from tol_db.db.base import Outcome
from tol_db.db.engine import Database, open_database
from tol_db.db.migrate import init

NOW = "2026-03-01T12:00:00Z"
LATER = "2026-03-02T08:30:00Z"

TRAIN, VAL, TRAIN_SMALL = 1, 2, 3
TIT, HEATH, TURTLE, ZEBRA, FLY, OAK, OAK_TODAY = range(1, 8)
LABELS: tuple[tuple[str, ...], ...] = (
    ("Animalia", "Chordata", "Aves", "Passeriformes", "Paridae", "Parus", "major", "Great tit", "published"),
    ("", "Streptophyta", "", "Ericales", "Ericaceae", "Rhododendron", "", "", "published"),
    ("Animalia", "Chordata", "", "Testudines", "Emydidae", "Emydoidea", "blandingii", "", "published"),
    ("Animalia", "Chordata", "Mammalia", "Perissodactyla", "Equidae", "Equus", "zebra", "", "published"),
    ("Animalia", "Arthropoda", "Insecta", "Diptera", "", "", "", "", "published"),
    ("Plantae", "", "", "Fagales", "Fagaceae", "Quercus", "robur", "Oak, \"English\"", "folder_name"),
    ("Plantae", "Tracheophyta", "", "Fagales", "Fagaceae", "Quercus", "robur", "Oak", "resolved"),
)  # fmt: skip

TRAIN_MEMBERS = [n for n in range(1, 41) if n % 8]
VAL_MEMBERS = [n for n in range(1, 41) if n % 8 == 0]
SMALL_MEMBERS = [n for n in range(1, 41) if n % 4 == 1]
UNPLANNED, STALE, UNREADABLE = 39, 38, 7
FIRST_OF_SECOND_UNIT = 21


def tree_id(number: int) -> uuid.UUID:
    """The TreeOfLife id of an image."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"tol-db test image {number}")


def sha(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def content_id(number: int) -> int:
    """EOL's content id of an image; its page id is 7000 + number."""
    return 9000 + number


def label_of(number: int) -> int | None:
    """The label of an image when the dataset was planned."""
    special = {5: None, 10: TURTLE, 11: ZEBRA, 12: ZEBRA}
    if number in special:
        return special[number]
    if number >= 33:
        return OAK if number == STALE else FLY
    return OAK if number >= 23 else (TIT if number % 3 else HEATH)


def populated(path: Path, output_root: Path | None = None) -> Database:
    """Make the database at ``path``; its dataset ``tol`` lies in ``output_root``, or ``shards`` beside it."""
    init(path)
    root = output_root if output_root is not None else path.absolute().parent / "shards"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("PRAGMA foreign_keys = ON")
        _sources(connection)
        _names(connection)
        _images(connection)
        _splits(connection)
        _dataset(connection, root)
        _plan(connection)
        _record(connection)
    connection.close()
    return open_database(path)


def _insert(connection: sqlite3.Connection, table: str, rows: Iterable[Sequence[Any]]) -> None:
    """Whole rows, in the order of the table's columns."""
    for row in rows:
        connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def _sources(c: sqlite3.Connection) -> None:
    _insert(c, "source", [
        (1, "eol", "Encyclopedia of Life", "/data/eol", None, "https://eol.org", None, "EOL", NOW),
        (2, "inat21", "iNaturalist 2021", "/data/inat21", "2021", None, None, None, None),
        (3, "bioscan", "BIOSCAN-1M", "/data/bioscan", None, None, None, None, None),
    ])  # fmt: skip
    _insert(c, "source_file", [
        (1, 1, "mapping", "/data", "mapping.sqlite", 4096, 1, sha("mapping"), 40, NOW, "ingested", None),
        (2, 1, "labels", "/data", "eol_name_lookup.json", 900, 1, sha("eol"), 22, NOW, "ingested", None),
        (3, None, "blacklist", "/data", "unseen.json", 90, 1, sha("rare"), 4, NOW, "ingested", None),
        (4, 2, "labels", "/data", "inat21_name_lookup.json", 80, 1, sha("inat"), 2, LATER, "ingested", None),
    ])  # fmt: skip
    scanned = ("scanned", None)
    folder = ("00007_Plantae_Quercus_robur", "00011_Plantae_Quercus_petraea")
    _insert(c, "container", [
        (1, 1, "tar_gz", "image_set_01.tar.gz", None, None, *scanned, 15, 9000, 1, sha("1"), NOW, None),
        (2, 1, "tar_gz", "image_set_02.tar.gz", None, None, *scanned, 7, 4000, 1, sha("2"), NOW, b"index"),
        (3, 2, "directory", folder[0], 7, folder[0][6:], "scanned", None, 5, None, 1, sha("3"), NOW, None),
        (4, 2, "directory", folder[1], 11, folder[1][6:], "scanned", None, 4, None, 1, sha("4"), NOW, None),
        (5, 3, "directory", "part1", 1, None, "scanned", None, 8, None, 1, sha("5"), NOW, None),
        (6, 3, "directory", "part2", 2, None, "missing", "no such folder", *[None] * 6),
    ])  # fmt: skip
    _insert(c, "stray_member", [(1, 14, "readme.txt", 12, "not_an_image"), (2, 6, "x.jpg", 5, "unknown_id")])


def _names(c: sqlite3.Connection) -> None:
    _insert(c, "taxonomy", [
        (1, "itis", "2026", "source", 1, "{}", None, 2, NOW),
        (2, "tol", "1", "assembled", None, '{"rules": []}', sha("taxonomy"), None, NOW),
    ])  # fmt: skip
    _insert(c, "taxon", [
        (1, 1, "202423", None, "Animalia", "kingdom", ""),
        (2, 1, "178013", 1, "Parus major", "species", ""),
        (3, 2, "a1", None, "Animalia", "kingdom", ""),
        (4, 2, "a2", 3, "Parus major", "species", "extant"),
    ])  # fmt: skip
    _insert(c, "taxon_provenance", [(3, 0, 1, "copied"), (4, 0, 2, "aligned")])
    _insert(c, "taxonomy_input", [(2, 0, "source", 1)])
    _insert(c, "taxon_alias", [(1, "178014", "178013")])
    _insert(c, "taxon_source_id", [(1, 0, "ncbi:9265")])
    _insert(c, "taxon_decision", [(2, 2, "aligned", "lineage", "a2", 4, None)])
    _insert(c, "taxonomy_finding", [(1, 2, "retired_id", "a3", None)])
    _insert(c, "synonym", [(1, 4, "Parus fringillago", "synonym", "itis")])
    _insert(c, "vernacular_name", [(1, 4, "Great tit", "en", 1, "itis"), (2, 4, "Kohlmeise", "de", 0, None)])
    _insert(c, "label", [(n, *text, 4 if n == TIT else None) for n, text in enumerate(LABELS, 1)])
    _insert(c, "label_resolution", [(2, TIT, "matched", "exact", 4, "same", TIT, None)])
    _insert(c, "label_key", [
        *((1, str(7000 + n), label_of(n), 2) for n in range(1, 23)),
        (2, "7", OAK, 4), (2, "11", OAK, 4),
    ])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image lies."""

    source: int
    container: int | None
    member: str | None
    index: int | None
    offset: int | None
    bytes: int | None


def place_of(number: int) -> Place:
    if number <= 14:
        return Place(1, 1, None, number - 1, 512 * number, 400 + number)
    if number <= 20:
        return Place(1, 2, "odd name.png" if number == 20 else None, number - 15, 512 * number, 400 + number)
    if number <= 22:
        return Place(1, None, None, None, None, None)
    if number <= 32:
        container, index = (3, number - 23) if number <= 27 else (4, number - 28)
        there = number != 32
        return Place(2, container, f"photo-{number}.jpg", index if there else None, None, 300 if there else None)
    return Place(3, 5, f"BIO{number}.jpg", number - 33, None, 200)


def _images(c: sqlite3.Connection) -> None:
    for n in range(1, 41):
        p = place_of(n)
        today, published = (OAK_TODAY, OAK) if n == STALE else (label_of(n), None)
        row = (n, tree_id(n).bytes, p.source, p.container, p.member, p.index, p.offset, p.bytes)
        _insert(c, "image", [(*row, today, published)])
    _insert(c, "eol_image", [(n, content_id(n), 7000 + n) for n in range(1, 23)])
    _insert(c, "licence", [(1, "cc-by-4.0", "https://creativecommons.org/licenses/by/4.0/"), (2, "cc0", "")])
    _insert(c, "image_licence", [
        (n, 1 + n % 2, f"Owner {n}", "A title", "https://a.test/m", "https://a.test/f", sha(str(n))[:16])
        for n in range(1, 23)
    ])  # fmt: skip


def _splits(c: sqlite3.Connection) -> None:
    c.execute("PRAGMA defer_foreign_keys = ON")
    _insert(c, "split", [
        (TRAIN, "train", None, VAL, "complement", "image", None, None, NOW),
        (VAL, "val", None, None, "published", "image", None, None, NOW),
        (TRAIN_SMALL, "train_small", TRAIN, None, "hash", "image", 17, 0.25, NOW),
    ])  # fmt: skip
    members = {TRAIN: TRAIN_MEMBERS, VAL: VAL_MEMBERS, TRAIN_SMALL: SMALL_MEMBERS}
    _insert(c, "split_member", [(split, n) for split, numbers in members.items() for n in numbers])
    _insert(c, "blacklist", [(1, "rare", "the rare-species benchmark", NOW), (2, "unused", "", NOW)])
    _insert(c, "blacklist_entry", [
        (1, 1, "image", "9010_7010_eol-full-size-copy.jpg", content_id(10), 7010, None, None, None, None, 3),
        (2, 1, "image", "1056352_EOL-media-509.jpg", None, None, None, None, None, None, 3),
        (3, 1, "taxon", "Animalia-Chordata-Mammalia-Perissodactyla-Equidae-Equus-zebra", None, None, None,
         "Animalia", "Equus", "zebra", 3),
        (4, 1, "taxon", "Nemo nusquam", None, None, None, "", "Nemo", "nusquam", 3),
    ])  # fmt: skip
    _insert(c, "blacklist_name", [(4, "Nemo", "nullus", "Animalia")])
    _insert(c, "blacklist_taxon", [(3, 3)])


def _dataset(c: sqlite3.Connection, root: Path) -> None:
    recipe = (1, "tol10m", sha("recipe"), json.dumps(TOL10M.parameters()), "13.0.0", "3.2.0", None, NOW)
    _insert(c, "recipe", [recipe])
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, "dataset"))
    _insert(c, "dataset", [(1, "tol", identity, 1, "source", 17, 20, "named", str(root), sha("plan"), NOW, NOW)])
    _insert(c, "dataset_blacklist", [(1, 1)])
    _insert(c, "dataset_licence", [(1, word) for word in ("cc-by", "cc0", "unknown")])
    _insert(c, "work_unit", [(1, 1, 0, 0, 2, 18, 8000), (2, 1, 1, 3, 5, 17, 4000)])
    _insert(c, "attempt", [
        (1, 1, 1, "a1a1", "node1", 100, None, None, NOW, "2026-03-01T12:00:10Z", "done", None),
        (2, 1, 2, "b2b2", "node2", 101, "77", "1", "2026-03-01T12:00:05Z", "2026-03-01T12:00:20Z", "failed",
         "image_set_02.tar.gz: Input/output error"),
    ])  # fmt: skip
    _insert(c, "lease", [(1, "lease-token", "node1", 100, None, NOW, NOW)])
    _insert(c, "submission", [
        (1, 1, "array", "77", 0, 1, sha("snapshot"), "#!/bin/sh\n", NOW, "north", "tol-tol-array-a1b2c3", LATER),
        (2, 1, "collect", "0", None, None, None, "#!/bin/sh\n", NOW, "north", "tol-tol-collect-d4e5f6", None),
    ])  # fmt: skip


def excluded_as(number: int) -> tuple[Outcome, str | None] | None:
    """Why the plan leaves an image out, or None where it does not."""
    if number == 10:
        return Outcome.BLACKLISTED_IMAGE, "rare"
    if label_of(number) == ZEBRA:
        return Outcome.BLACKLISTED_TAXON, "rare"
    if label_of(number) is None:
        return Outcome.NO_LABEL, None
    return (Outcome.SOURCE_MISSING, None) if place_of(number).index is None else None


def _plan(c: sqlite3.Connection) -> None:
    """Six shards, each unit's of all splits together, all planned."""
    members = {TRAIN: TRAIN_MEMBERS, TRAIN_SMALL: SMALL_MEMBERS, VAL: VAL_MEMBERS}
    placed: dict[tuple[int, int], list[int]] = {}
    for split, numbers in members.items():
        planned = [n for n in numbers if n != UNPLANNED]
        left = [n for n in planned if excluded_as(n)]
        _insert(c, "dataset_split", [(1, split, len(planned), len(planned) - len(left), len(left), 0, 0)])
        for n in left:
            outcome, detail = excluded_as(n) or (Outcome.PENDING, None)
            _insert(c, "exclusion", [(1, split, n, int(outcome), detail)])
        for n in planned:
            if n not in left:
                placed.setdefault((int(n >= FIRST_OF_SECOND_UNIT), split), []).append(n)
    for number, (unit, split) in enumerate((u, s) for u in (0, 1) for s in members):
        images = placed[unit, split]
        c.execute(
            """INSERT INTO shard (id, dataset_id, number, work_unit_id, split_id, ordinal, digest, planned)
               VALUES (?, 1, ?, ?, ?, ?, ?, ?)""",
            (number + 1, number, unit + 1, split, unit, sha(f"shard {number}"), len(images)),
        )
        c.executemany(
            "INSERT INTO shard_image (shard_id, position, image_id, label_id) VALUES (?, ?, ?, ?)",
            [(number + 1, position, n, label_of(n)) for position, n in enumerate(images)],
        )


def _record(c: sqlite3.Connection) -> None:
    """Shards 0, 1 and 3 are complete, 2 is verified, 4 is bad, 5 planned."""
    states = {1: "complete", 2: "complete", 3: "verified", 4: "complete"}
    for shard, state in states.items():
        rows = c.execute("SELECT position, image_id FROM shard_image WHERE shard_id = ?", (shard,)).fetchall()
        for position, n in rows:
            content = sha(f"bytes of {8 if n == 3 else n}")[:16]
            unread = (int(Outcome.DECODE_ERROR), "not an image", None, None, None, content, None)
            written = (int(Outcome.WRITTEN), None, 640, 480, "RGB", content, sha(f"jpg {n}")[:16])
            c.execute(
                """UPDATE shard_image SET outcome_id = ?, detail = ?, width = ?, height = ?, mode = ?,
                       content_digest = ?, jpg_digest = ?
                   WHERE shard_id = ? AND position = ?""",
                (*(unread if n == UNREADABLE else written), shard, position),
            )
        left = sum(n == UNREADABLE for _, n in rows)
        c.execute(
            """UPDATE shard SET state = ?, written = ?, left_out = ?, bytes = ?, sha256 = ?, seconds = 2.5,
                   attempt_id = ?, completed_at = ? WHERE id = ?""",
            (state, len(rows) - left, left, 10240 * len(rows), sha(f"file {shard}"), 1 if shard < 4 else 2,
             "2026-03-01T12:00:09Z" if shard < 4 else "2026-03-01T12:00:15Z", shard),
        )  # fmt: skip
    c.execute("UPDATE shard SET state = 'bad', detail = 'truncated at byte 512', attempt_id = 2 WHERE id = 5")
    _insert(c, "verify_run", [(1, 1, "deep", 2, 4, NOW, LATER), (2, 1, "default", None, None, LATER, None)])
    _insert(c, "verification", [
        (3, 1, "deep", "good", None, 0, 10240, 0.1, NOW),
        (5, 1, "deep", "bad", "truncated at byte 512", 2, 512, 0.1, NOW),
    ])  # fmt: skip
    c.execute(
        """UPDATE dataset_split SET
               written = (SELECT sum(h.written) FROM shard h WHERE h.split_id = dataset_split.split_id),
               left_out = (SELECT sum(h.left_out) FROM shard h WHERE h.split_id = dataset_split.split_id)"""
    )
