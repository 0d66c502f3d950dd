"""Small raw trees made by hand, for the tests of what is read from them."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sqlite3
import tarfile
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tol_db.db.engine import Database, open_database
from tol_db.db.migrate import init
from tol_db.ingest.containers import ingest_containers
from tol_db.ingest.layout import Roots
from tol_db.ingest.scan_report import SourceScan

SCHEMA = """
CREATE TABLE eol (content_id INT, page_id INT, evobio10m_id TEXT PRIMARY KEY);
CREATE TABLE inat21 (filename TEXT, cls_name TEXT, cls_num INT, evobio10m_id TEXT PRIMARY KEY);
CREATE TABLE bioscan (part INT, filename TEXT, evobio10m_id TEXT PRIMARY KEY);
CREATE TABLE split (evobio10m_id TEXT PRIMARY KEY, is_val INT, is_train_small INT);
"""
WOLF = "Animalia_Chordata_Mammalia_Carnivora_Canidae_Canis_lupus"
POPPY = "Plantae_Tracheophyta_Magnoliopsida_Ranunculales_Papaveraceae_Papaver_rhoeas"


def tree_id(number: int) -> str:
    """The id of an image that a test calls by a number; version 4 as the published ones."""
    return str(uuid.UUID(bytes=hashlib.sha256(b"%d" % number).digest()[:16], version=4))


@dataclass
class Rows:
    """The rows of a mapping: image number → its keys."""

    eol: dict[int, tuple[int, int]] = field(default_factory=dict)
    inat21: dict[int, tuple[str, str, int]] = field(default_factory=dict)
    bioscan: dict[int, tuple[int, str]] = field(default_factory=dict)
    split: dict[int, tuple[int, int]] = field(default_factory=dict)


def small_rows() -> Rows:
    """Four images of EOL, three of iNat21 in two classes, three of BIOSCAN in two parts."""
    return Rows(
        eol={1: (11, 101), 2: (12, 101), 3: (13, 102), 4: (14, 103)},
        inat21={5: ("a.jpg", WOLF, 7), 6: ("b.jpg", WOLF, 7), 7: ("a.jpg", POPPY, 8876)},
        bioscan={8: (1, "x.jpg"), 9: (1, "y.jpg"), 10: (12, "x.jpg")},
        split={n: (int(n in (1, 8)), int(n in (2, 5))) for n in range(1, 11)},
    )


def write_mapping(path: Path, rows: Rows, *, wal: bool = False) -> sqlite3.Connection:
    """Write a mapping; the connection is open, and in WAL mode its rows may lie in the log only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    if wal:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.executescript(SCHEMA)
    for name, width in (("eol", 3), ("inat21", 4), ("bioscan", 3)):
        marks = ", ".join("?" * width)
        table: Mapping[int, tuple[object, ...]] = getattr(rows, name)
        connection.executemany(
            f"INSERT INTO {name} VALUES ({marks})", [(*keys, tree_id(n)) for n, keys in table.items()]
        )
    connection.executemany(
        "INSERT INTO split VALUES (?, ?, ?)", [(tree_id(n), *flags) for n, flags in rows.split.items()]
    )
    connection.commit()
    return connection


def write_archive(path: Path, files: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> Path:
    """A tar, or a tar.gz where the name says so; a name may come twice in a list of pairs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items() if isinstance(files, Mapping) else files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    path.write_bytes(out.getvalue() if path.suffix == ".tar" else gzip.compress(out.getvalue(), 1))
    return path


def write_files(folder: Path, names: Iterable[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"picture " + os.fsencode(name))


def jpg(number: int) -> bytes:
    return b"picture %d" % number * number


def write_tree(folder: Path, rows: Rows | None = None) -> Path:
    """A TreeOfLife-10M tree of :func:`small_rows`, every file in its place; returns the tree."""
    rows = rows or small_rows()
    tree = folder / "TreeOfLife-10M"
    numbers = sorted(rows.eol)
    half = len(numbers) // 2
    for name, some in (("01", numbers[:half]), ("02", numbers[half:])):
        files = {f"{tree_id(n)}.jpg": jpg(n) for n in some}
        write_archive(tree / "dataset" / "eol" / f"image_set_{name}.tar.gz", files)
    for file, class_name, number in rows.inat21.values():
        write_files(tree / "dataset" / "inat21" / "train" / f"{number:05d}_{class_name}", [file])
    for part, file in rows.bioscan.values():
        write_files(tree / "dataset" / "bioscan" / f"part{part}", [file])
    write_mapping(tree / "metadata" / "mapping.sqlite", rows).close()
    return tree


def new_database(folder: Path) -> Database:
    init(folder / "tol.sqlite")
    return open_database(folder / "tol.sqlite")


def dump(db: Database | Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    with sqlite3.connect(db if isinstance(db, Path) else db.path) as connection:
        names = [r[0] for r in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {n: sorted(connection.execute(f'SELECT * FROM "{n}"'), key=repr) for n in names}


def rows_of(db: Database | Path, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with sqlite3.connect(db if isinstance(db, Path) else db.path) as connection:
        return connection.execute(sql, parameters).fetchall()


# ------------------------------------------------------------------ scans and what they left


def scan(db: Database, root: Path, key: str = "eol", **options: Any) -> SourceScan:
    (found,) = ingest_containers(db, Roots.of(key, root), **options).sources
    return found


def located(db: Database) -> dict[str, tuple[object, ...]]:
    sql = "SELECT treeoflife_id, container, member, bytes FROM v_image WHERE member_index IS NOT NULL"
    return {str(row[0]): row[1:] for row in rows_of(db, sql)}


def strays(db: Database) -> list[tuple[object, ...]]:
    sql = """SELECT c.path, s.member, s.reason FROM stray_member s JOIN container c ON c.id = s.container_id
             ORDER BY c.path, s.member_index"""
    return rows_of(db, sql)


def states(db: Database) -> dict[object, object]:
    return dict(rows_of(db, "SELECT path, state FROM container"))


def counters_hold(db: Database) -> None:
    """members = matched + strays, for every container that was scanned."""
    wrong = rows_of(
        db,
        """SELECT path, members,
                  (SELECT count(*) FROM image i WHERE i.container_id = c.id AND i.member_index IS NOT NULL),
                  (SELECT count(*) FROM stray_member s WHERE s.container_id = c.id)
           FROM container c WHERE state IN ('scanned', 'damaged')""",
    )
    assert [row for row in wrong if row[1] != row[2] + row[3]] == []
    assert rows_of(db, "PRAGMA foreign_key_check") == []


def names(*numbers: int) -> dict[str, bytes]:
    return {f"{tree_id(n)}.jpg": jpg(n) for n in numbers}
