"""Read raw folders without a mapping: each picture found becomes an image row.

The ids follow from the names (:func:`tol_db.ingest.claims.raw_id`), so they are the same on every machine and
in every order. Reading a folder again adds what has come since.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tol_db.db.bulk import changes, query, scalar
from tol_db.db.engine import Database
from tol_db.errors import InputMissing, UsageError
from tol_db.ingest.containers import counted, scan_source
from tol_db.ingest.files import require_folder, source_id
from tol_db.ingest.known_containers import are_raw, has_images
from tol_db.ingest.layout import discover
from tol_db.ingest.scan_report import ContainersResult, listed
from tol_db.label import apply_labels
from tol_db.split import Extended, extend_policies
from tol_db.taxonomy.names import Lineage, normalise

RESOLUTION = "folder_name"
"""How a label that the name of an iNat21 class folder gave is marked."""


@dataclass(frozen=True, slots=True)
class RawResult:
    """What a raw folder brought.

    Attributes:
        scan: of its containers.
        labelled: images whose label changed.
        unnamed: iNat21 class folders that have no label of a lookup and whose name is not a number and seven
            names.
        extended: stored splits that took in new images.
    """

    scan: ContainersResult
    labelled: int
    unnamed: tuple[str, ...]
    extended: tuple[Extended, ...]

    @property
    def unchanged(self) -> bool:
        return self.scan.unchanged and not self.labelled and not self.extended

    def describe(self) -> list[str]:
        """Lines to print."""
        lines = self.scan.describe()
        if not self.scan.unchanged:
            new = sum(source.new for source in self.scan.sources)
            lines.append(f"  {new:,} new images, {self.labelled:,} labelled")
        lines += listed("no label from the folder name", self.unnamed)
        return lines + [f"  split {grown.split}: {grown.added:,} new images" for grown in self.extended]


def ingest_eol(db: Database, folder: Path) -> RawResult:
    """Read original EOL archives, whose members are named ``<content_id>_<page_id>_eol….jpg``.

    Args:
        db: where to.
        folder: ``.tar.gz``, ``.tgz`` and ``.tar`` files lie directly in it.

    Raises:
        InputMissing, InputError: the folder is not there, is none, or holds no archive.
        UsageError: the images of the source came from a mapping.
    """
    return _ingest(db, "eol", folder)


def ingest_inat21(db: Database, folder: Path) -> RawResult:
    """Read iNat21 class folders ``NNNNN_Kingdom_Phylum_Class_Order_Family_Genus_species``.

    A class without an entry in the lookup (``ingest labels``) gets its label from the name of its folder.

    Args:
        db: where to.
        folder: holds the class folders, or ``train/`` with them.

    Raises:
        InputMissing, InputError, UsageError: as :func:`ingest_eol`.
    """
    return _ingest(db, "inat21", folder)


def ingest_bioscan(db: Database, folder: Path) -> RawResult:
    """Read BIOSCAN-1M parts.

    Args:
        db: where to.
        folder: holds ``part1``, ``part2``, …, whatever numbers there are.

    Raises:
        InputMissing, InputError, UsageError: as :func:`ingest_eol`.
    """
    return _ingest(db, "bioscan", folder)


def _ingest(db: Database, key: str, folder: Path) -> RawResult:
    require_folder(folder)
    with db.read() as conn:
        if has_images(conn, key) and not are_raw(conn, key):
            raise UsageError(
                f"the images of {key} came from a mapping, and these would be there twice",
                hint=f"scan the files for them with `tol-db ingest containers {folder} --source {key}`",
            )
    if not discover(key, folder).containers:
        raise InputMissing(f"{folder}: {_ABSENT[key]}", hint=f"name the folder that holds them, for {key}")
    scan = counted(db, [scan_source(db, key, folder, raw=True)])
    with db.write() as conn:
        # also when nothing was new: an earlier run may have been ended between its scan and this
        source = source_id(conn, key)
        unnamed = _label_classes(conn, source) if key == "inat21" else ()
        labelled = apply_labels(conn, source)
        extended = tuple(extend_policies(conn))
    return RawResult(scan, labelled, unnamed, extended)


_ABSENT = {
    "eol": "no .tar.gz, .tgz or .tar in it",
    "inat21": "no class folder such as 00371_Animalia_… in it",
    "bioscan": "no part folder such as part12 in it",
}


def _label_classes(conn: sa.Connection, source: int) -> tuple[str, ...]:
    """Label each class that no lookup names by its folder; returns the folders whose names give none."""
    rows = list(query(conn, _CLASSES_WITHOUT_KEY, (source,)))
    unnamed = []
    for number, name, path in rows:
        lineage = _lineage(name)
        if lineage is None:
            unnamed.append(path)
        else:
            changes(conn, _KEY, (source, str(number), _label(conn, lineage)))
    return tuple(unnamed)


_CLASSES_WITHOUT_KEY = """
SELECT c.group_number, c.group_name, c.path FROM container c
WHERE c.source_id = ?1 AND c.state IN ('scanned', 'damaged') AND NOT EXISTS (
    SELECT 1 FROM label_key k WHERE k.source_id = ?1 AND k.key = CAST(c.group_number AS TEXT))
ORDER BY c.group_number, c.id"""

# of two folders with one number the first names the class
_KEY = "INSERT INTO label_key (source_id, key, label_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"


def _lineage(name: str) -> Lineage | None:
    """``Kingdom_…_species`` in the published normalisation; None unless it holds seven names."""
    ranks = name.split("_")
    if len(ranks) != 7:
        return None
    lineage = normalise(ranks)
    return None if lineage.is_empty else lineage


def _label(conn: sa.Connection, lineage: Lineage) -> int:
    values = (*lineage.as_tuple(), "", RESOLUTION)
    changes(
        conn,
        """INSERT INTO label (kingdom, phylum, class, "order", family, genus, species,
                              common_name, resolution)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING""",
        values,
    )
    found: int = scalar(
        conn,
        """SELECT id FROM label WHERE (kingdom, phylum, class, "order", family, genus, species,
                                       common_name, resolution) = (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        values,
    )
    return found
