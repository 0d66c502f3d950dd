"""All facts of a page, read in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import sqlalchemy as sa

from materialize.dataset import load_dataset
from tol_db import __version__
from tol_db.db.base import REVISIONS
from tol_db.db.bulk import integers, no_cycles, query, scalar, utc_now
from tol_db.db.engine import Database
from tol_db.progress import Tracker, track
from tol_db.report.page import checks as audits
from tol_db.report.page import samples
from tol_db.report.page.checks import Check, checks
from tol_db.report.page.counts import Contents, count
from tol_db.report.page.names import Names, names
from tol_db.report.page.samples import ContactSheet, contact_sheet
from tol_db.report.page.throughput import Throughput, throughput
from tol_db.report.status import DatasetStatus, status_of


@dataclass(frozen=True, slots=True)
class Licence:
    """How many images have a licence; ``images`` without any are in the one with neither name nor link."""

    name: str
    link: str
    images: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What a page shows."""

    database: str
    version: str
    schema: str
    made_at: str
    datasets: tuple[DatasetStatus, ...]
    contents: Contents
    paces: tuple[Throughput, ...]
    licences: tuple[Licence, ...]
    names: Names
    checks: tuple[Check, ...]
    sheet: ContactSheet

    @property
    def images(self) -> int:
        return sum(source.images for source in self.contents.sources)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a page is to show.

    Attributes:
        datasets: by name; none: all.
        seed: of the contact sheet; per_kingdom: pictures on it, 0: none.
        audit_seconds: that the audits may take together.
    """

    datasets: tuple[str, ...] = ()
    seed: int = 0
    per_kingdom: int = samples.PER_KINGDOM
    audit_seconds: float = audits.SECONDS


def gather(db: Database, wishes: Wishes) -> Facts:
    """Read everything that a page shows: a minute at ten million images.

    Raises:
        UsageError: no such dataset.
    """
    with db.read() as conn, no_cycles(), track("reading", None, "rows") as tracker:
        chosen = _chosen(conn, wishes.datasets)
        tracker.expect(_rows(conn, chosen))
        contents = count(conn, chosen, tracker.advance)
        return Facts(
            database=db.path.name,
            version=__version__,
            schema=REVISIONS[-1],
            made_at=utc_now(),
            datasets=tuple(dataset for name in chosen for dataset in status_of(conn, name).datasets),
            contents=contents,
            paces=tuple(throughput(conn, name) for name in chosen),
            licences=_licences(conn, tracker),
            names=names(conn, relabelled=any(source.relabelled for source in contents.sources)),
            sheet=contact_sheet(conn, chosen, seed=wishes.seed, per_kingdom=wishes.per_kingdom),
            checks=checks(conn, wishes.audit_seconds),
        )


def _chosen(conn: sa.Connection, wished: Sequence[str]) -> list[str]:
    for name in wished:
        load_dataset(conn, name)
    known = [row[0] for row in query(conn, "SELECT name FROM dataset ORDER BY name")]
    return [name for name in known if not wished or name in wished]


def _rows(conn: sa.Connection, datasets: Sequence[str]) -> int:
    """Of the large tables, all that is read of them."""
    planned = (
        "SELECT coalesce(sum(h.planned), 0) FROM shard h JOIN dataset d ON d.id = h.dataset_id WHERE d.name = ?"
    )
    rows = sum(int(scalar(conn, planned, (name,))) for name in datasets)
    for table in ("image", "image_licence"):
        rows += int(scalar(conn, f"SELECT count(*) FROM {table}"))  # noqa: S608  these two
    return rows


LICENCES: Final = "SELECT licence_id FROM image_licence"


def _licences(conn: sa.Connection, tracker: Tracker) -> tuple[Licence, ...]:
    known = {id: (name, link) for id, name, link in query(conn, "SELECT id, name, link FROM licence")}
    counts = np.zeros(1 + max(known, default=0), np.int64)
    for block in integers(conn, LICENCES, columns=1):
        counts += np.bincount(block[:, 0], minlength=len(counts))
        tracker.advance(len(block))
    found = [Licence(*known[id], int(counts[id])) for id in known if counts[id]]
    without = int(scalar(conn, "SELECT count(*) FROM image")) - int(counts.sum())
    if without:
        found.append(Licence("", "", without))
    return tuple(sorted(found, key=lambda licence: (-licence.images, licence.name, licence.link)))
