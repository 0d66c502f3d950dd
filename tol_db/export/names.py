"""Class lists: the distinct taxa of a dataset with a common name each, as zero-shot classification takes them.

The form is that of BioCLIP's ``txt_emb_*.json``: a list of ``[[kingdom, …, species], common name]``, whose order is
that of the columns of an embedding matrix.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import sqlalchemy as sa

from materialize.dataset import Dataset, load_dataset
from tol_db.db.bulk import query
from tol_db.db.engine import Database
from tol_db.errors import UsageError
from tol_db.export.members import MEMBERS, Scope, splits_in
from tol_db.export.output import text_output
from tol_db.progress import track
from tol_db.taxonomy.names import Lineage, common
from tol_db.taxonomy.ranks import RANKS

# uq_label_text has them in this order
_LABELS = """
SELECT id, kingdom, phylum, class, "order", family, genus, species, common_name FROM label
ORDER BY kingdom, phylum, class, "order", family, genus, species, common_name, resolution"""


@dataclass(frozen=True, slots=True)
class TaxonClass:
    """A class.

    Attributes:
        ranks: seven, "" where there is no name.
        common_name: the one that most images have; of equals the first in the alphabet.
        labels: ids of the labels that are of this class.
    """

    ranks: tuple[str, ...]
    common_name: str
    labels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NamesSummary:
    """How many classes were written."""

    dataset: str
    classes: int


def export_names(
    db: Database,
    name: str | None,
    target: Path | None,
    *,
    scope: Scope = Scope.WRITTEN,
    splits: tuple[str, ...] = (),
    rank: str | None = None,
) -> NamesSummary:
    """Write the class list of a dataset: one class for each distinct tuple of seven ranks, sorted by them.

    Args:
        name: of the dataset; None where there is only one.
        target: a file, replaced when the new one is whole; None: standard output.
        scope: whose classes.
        splits: names; none: all.
        rank: only classes that have a name at this rank.

    Raises:
        UsageError: no such dataset or split.
        CannotWrite: the file cannot be written.
    """
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        classes = 0
        with text_output(target) as file:
            separator = "[\n"
            for taxon in class_list(conn, dataset, scope, splits):
                if rank is None or taxon.ranks[RANKS.index(rank)]:
                    entry = [list(taxon.ranks), taxon.common_name]
                    file.write(separator + json.dumps(entry, ensure_ascii=False))
                    separator = ",\n"
                    classes += 1
            file.write("[]\n" if not classes else "\n]\n")
    return NamesSummary(dataset.name, classes)


def class_list(
    conn: sa.Connection, dataset: Dataset, scope: Scope, splits: tuple[str, ...] = ()
) -> Iterator[TaxonClass]:
    """The classes of a dataset in their order.

    Raises:
        UsageError: no such split.
    """
    images = _images_per_label(conn, dataset, scope, splits)
    rows = (row for row in query(conn, _LABELS) if row[0] in images)
    for ranks, group in groupby(rows, key=itemgetter(slice(1, 8))):
        lineage = Lineage.of(ranks)
        shown: Counter[str] = Counter()
        labels = []
        for row in group:
            labels.append(row[0])
            shown[common(lineage, row[8])] += images[row[0]]
        best = min(shown, key=lambda text: (-shown[text], text))
        yield TaxonClass(ranks, best, tuple(labels))


def class_numbers(conn: sa.Connection, dataset: Dataset, scope: Scope) -> dict[int, int]:
    """Label id → place of its class in the list."""
    classes = class_list(conn, dataset, scope)
    return {label: number for number, taxon in enumerate(classes) for label in taxon.labels}


def _images_per_label(
    conn: sa.Connection, dataset: Dataset, scope: Scope, names: tuple[str, ...]
) -> dict[int, int]:
    splits = splits_in(conn, dataset, scope)
    known = [split.name for split in splits]
    for name in names:
        if name not in known:
            raise UsageError(f"dataset {dataset.name!r} has no split {name!r}", hint=f"splits: {', '.join(known)}")
    images: dict[int, int] = {}
    sql = f"SELECT m.label_id, count(*) FROM ({MEMBERS[scope]}) m GROUP BY 1"  # noqa: S608
    wanted = [split for split in splits if not names or split.name in names]
    with track("counting labels", sum(split.expected for split in wanted)) as tracker:
        for split in wanted:
            for label, count in query(conn, sql, (dataset.id, split.id)):
                images[label] = images.get(label, 0) + count
            tracker.advance(split.expected)
    return images
