"""Read everything that is found in a TreeOfLife-10M tree.

Names come first, so that the images have their labels when their splits are made: ``naming/*.json``, then
``mapping.sqlite``, ``licenses.csv``, and the containers. Each file and each container is a transaction of its
own; an interrupted run goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tol_db.db.engine import Database
from tol_db.errors import InputError, InputMissing
from tol_db.ingest.containers import scan_all
from tol_db.ingest.files import escaped, is_stored
from tol_db.ingest.labels import ingest_lookup
from tol_db.ingest.layout import KEYS, find_tree, tree_roots
from tol_db.ingest.licences import ingest_licences
from tol_db.ingest.mapping import ingest_mapping
from tol_db.ingest.scan_report import ContainersResult
from tol_db.ingest.seek_indexes import SeekWish


class Result(Protocol):
    """What every step of an ingest returns."""

    @property
    def unchanged(self) -> bool:
        """Whether the database is as it was."""

    def describe(self) -> list[str]:
        """Lines to print."""


@dataclass(frozen=True, slots=True)
class Step:
    """A file of the tree, relative to it, and what it brought."""

    path: str
    result: Result


@dataclass(frozen=True, slots=True)
class TreeResult:
    """What a tree brought.

    Attributes:
        tree: the TreeOfLife-10M folder.
        steps: files that were read, in order.
        containers: the scan, or None where it was left for later or there is no source folder.
        absent: files and folders of the published layout that are not in the tree.
    """

    tree: Path
    steps: tuple[Step, ...]
    containers: ContainersResult | None
    absent: tuple[str, ...]

    @property
    def unchanged(self) -> bool:
        scanned = self.containers is not None and not self.containers.unchanged
        return not scanned and all(step.result.unchanged for step in self.steps)

    def describe(self) -> list[str]:
        """Lines to print."""
        lines = [line for step in self.steps for line in step.result.describe()]
        if self.containers is not None:
            lines += self.containers.describe()
        if self.absent:
            lines.append(f"not in this tree: {', '.join(self.absent)}")
        if self.unchanged and self.containers is None:
            lines.append("nothing changed")
        return lines


def ingest_tree(
    db: Database, folder: Path, *, scan: bool = True, seek: SeekWish | None = None, scans: Path | None = None
) -> TreeResult:
    """Read all that is in a TreeOfLife-10M tree.

    Args:
        db: where to.
        folder: the TreeOfLife-10M folder, or the folder that holds it.
        scan: also scan the containers (``ingest containers`` does it later).
        seek: whether each ``.tar.gz`` is to have a seek index.
        scans: as :func:`tol_db.ingest.containers.ingest_containers`.

    Raises:
        InputMissing, InputError: no such folder, no tree in it, or no mapping.sqlite in the tree; or what the
            steps raise. What was read before the fault stays.
    """
    if not is_stored(str(folder.resolve())):
        raise InputError(f"{escaped(str(folder))}: its name is not UTF-8", hint="rename the folder")
    tree = find_tree(folder)
    if tree is None:
        raise InputMissing(
            f"{folder}: no TreeOfLife-10M tree: it has neither metadata/ nor dataset/", hint=_RAW_INSTEAD
        )
    metadata = tree / "metadata"
    mapping = metadata / "mapping.sqlite"
    if not mapping.exists():
        raise InputMissing(f"{mapping}: no such file", hint=_RAW_INSTEAD)
    roots = tree_roots(tree)
    steps = []
    absent = []
    for key in KEYS:
        lookup = metadata / "naming" / f"{key}_name_lookup.json"
        if lookup.exists():  # a folder of that name is a fault, not an absent file
            steps.append(_step(tree, lookup, ingest_lookup(db, key, lookup)))
        else:
            absent.append(str(lookup.relative_to(tree)))
    steps.append(_step(tree, mapping, ingest_mapping(db, mapping, roots)))
    licences = metadata / "licenses.csv"
    if licences.exists():
        steps.append(_step(tree, licences, ingest_licences(db, licences)))
    else:
        absent.append(str(licences.relative_to(tree)))
    there = dict(roots.items())
    absent += [f"dataset/{key}" for key in KEYS if key not in there]
    containers = scan_all(db, roots, seek=seek, scans=scans) if scan and there else None
    return TreeResult(tree, tuple(steps), containers, tuple(absent))


_RAW_INSTEAD = (
    "without a mapping.sqlite: `tol-db ingest eol DIR`, `tol-db ingest inat21 DIR`, "
    "`tol-db ingest bioscan DIR`, each with the folder of that source"
)


def _step(tree: Path, path: Path, result: Result) -> Step:
    return Step(str(path.relative_to(tree)), result)
