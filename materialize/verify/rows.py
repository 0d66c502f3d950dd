"""What `verify` reads from the database, and what it writes there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from materialize import ledger
from materialize.dataset import Dataset
from materialize.lease import Guard, unguarded
from materialize.root import shard_path
from materialize.unit import LabelText
from materialize.verify.shard import Checked, Expected, Level, Verdict
from tol_db.db.base import Outcome, ShardState
from tol_db.db.bulk import changes, query, scalar, utc_now, uuid_text
from tol_db.db.engine import Database
from tol_db.errors import InputError
from tol_db.taxonomy.names import Lineage

CHECKABLE = (ShardState.COMPLETE, ShardState.VERIFIED)
TO_REPAIR = (ShardState.BAD, ShardState.MISSING)
RESUMABLE_DAYS = 7
"""Days after which an unfinished run is not gone on with: what it found first is old by then."""
DETAIL_FINDINGS = 3
"""Findings of a shard that stand in the database."""


@dataclass(frozen=True, slots=True)
class ShardRow:
    """A shard as the database has it.

    Attributes:
        id: database id; number: dataset-wide.
        path: relative to the output root.
        size: bytes as recorded, 0 where it is not complete; sha256: the same, None there.
        detail: why it is bad, missing or stale.
        run: id of the run that checked it last at the level in question, or None.
        checked_at: when it did, seconds since 1970.
    """

    id: int
    number: int
    path: Path
    state: ShardState
    size: int
    sha256: bytes | None
    detail: str | None
    run: int | None
    checked_at: float

    def is_done(self, run: int, output_root: Path) -> bool:
        """Whether this run has checked the file that lies there now.

        One that was written anew is complete again, not verified; one that was touched since looks it.
        """
        if self.run != run or self.state is not ShardState.VERIFIED:
            return self.run == run and self.state in TO_REPAIR
        try:
            status = (output_root / self.path).stat()
        except OSError:
            return False
        return status.st_size == self.size and int(status.st_mtime) <= self.checked_at


def shard_rows(conn: sa.Connection, dataset: Dataset, level: Level) -> list[ShardRow]:
    """All shards of a dataset, by number, with what the last run of this level said of each."""
    return [
        ShardRow(
            id=id,
            number=number,
            path=shard_path(dataset.recipe.size, split, ordinal),
            state=ShardState(state),
            size=size or 0,
            sha256=sha256,
            detail=detail,
            run=run,
            checked_at=datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp() if at else 0.0,
        )
        for id, number, split, ordinal, state, size, sha256, detail, run, at in query(
            conn,
            """SELECT h.id, h.number, s.name, h.ordinal, h.state, h.bytes, h.sha256, h.detail, v.run_id,
                      v.checked_at
               FROM shard h JOIN split s ON s.id = h.split_id
               LEFT JOIN verification v ON v.shard_id = h.id AND v.level = ?2
               WHERE h.dataset_id = ?1 ORDER BY h.number""",
            (dataset.id, level.value),
        )
    ]


def load_expected(conn: sa.Connection, dataset: Dataset, shard: int, level: Level) -> Expected:
    """What a shard (its id) must be: a range of the clustered table, and at the deep level its labels.

    Raises:
        InputError: the database does not say how large it must be.
    """
    number, split, ordinal, size, sha256 = next(
        query(
            conn,
            """SELECT h.number, s.name, h.ordinal, h.bytes, h.sha256
               FROM shard h JOIN split s ON s.id = h.split_id WHERE h.id = ?""",
            (shard,),
        )
    )
    if size is None or sha256 is None:
        raise InputError(
            f"shard {number} is recorded as complete, but not its size and sha256", hint="run `tol-db doctor`"
        )
    rows = list(
        query(
            conn,
            """SELECT i.treeoflife_id, m.jpg_digest, m.label_id
               FROM shard_image m JOIN image i ON i.id = m.image_id
               WHERE m.shard_id = ? AND m.outcome_id = ? ORDER BY m.position""",
            (shard, int(Outcome.WRITTEN)),
        )
    )
    return Expected(
        path=dataset.output_root / shard_path(dataset.recipe.size, split, ordinal),
        size=size,
        sha256=sha256,
        picture=dataset.recipe.size,
        keys=tuple(uuid_text(row[0]) for row in rows),
        jpgs=tuple(row[1] for row in rows),
        labels=tuple(row[2] for row in rows),
        texts=_labels(conn, shard) if level is Level.DEEP else {},
    )


def _labels(conn: sa.Connection, shard: int) -> dict[int, LabelText]:
    rows = query(
        conn,
        """SELECT id, kingdom, phylum, class, "order", family, genus, species, common_name
           FROM label WHERE id IN (SELECT label_id FROM shard_image WHERE shard_id = ?)""",
        (shard,),
    )
    return {id: LabelText(Lineage.of(ranks), common) for id, *ranks, common in rows}


# ------------------------------------------------------------------ runs


@dataclass(frozen=True, slots=True)
class VerifyRun:
    """A run of `verify`.

    Attributes:
        is_resumed: it was begun by an earlier process.
    """

    id: int
    started_at: str
    is_resumed: bool


def open_run(db: Database, dataset: Dataset, level: Level, shards: range | None, *, restart: bool) -> VerifyRun:
    """The unfinished run to go on with, or a new one.

    Gone on with is the last run of the same level and the same range of shards, where it is not finished and was
    begun in the last ``RESUMABLE_DAYS``.
    """
    oldest = (datetime.now(UTC) - timedelta(days=RESUMABLE_DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ")
    first, last = (shards[0], shards[-1]) if shards is not None else (None, None)
    with db.write() as conn:
        row = next(
            query(
                conn,
                """SELECT id, started_at, ended_at FROM verify_run
                   WHERE dataset_id = ? AND level = ? AND first_shard IS ? AND last_shard IS ?
                   ORDER BY id DESC LIMIT 1""",
                (dataset.id, level.value, first, last),
            ),
            None,
        )
        if row is not None and row[2] is None and row[1] >= oldest and not restart:
            return VerifyRun(row[0], row[1], True)
        now = utc_now()
        changes(
            conn,
            """INSERT INTO verify_run (dataset_id, level, first_shard, last_shard, started_at)
               VALUES (?, ?, ?, ?, ?)""",
            (dataset.id, level.value, first, last, now),
        )
        return VerifyRun(int(scalar(conn, "SELECT last_insert_rowid()")), now, False)


def close_run(db: Database, run: VerifyRun) -> None:
    with db.write() as conn:
        changes(conn, "UPDATE verify_run SET ended_at = ? WHERE id = ?", (utc_now(), run.id))


def add_ended_run(conn: sa.Connection, dataset: Dataset, level: Level, shards: range, started_at: str) -> int:
    """A run for checks that were made elsewhere and are entered now; it is over, nobody goes on with it.

    It names the range of its shards, so that an unfinished run over all of them stays the last of its kind.

    Args:
        shards: from the first to the last that it has a result of.
        started_at: when the first of them was checked.

    Returns:
        Its id.
    """
    changes(
        conn,
        """INSERT INTO verify_run (dataset_id, level, first_shard, last_shard, started_at, ended_at)
           VALUES (?, ?, ?, ?, ?, ?)""",
        (dataset.id, level.value, shards[0], shards[-1], started_at, utc_now()),
    )
    return int(scalar(conn, "SELECT last_insert_rowid()"))


# ------------------------------------------------------------------ results


def record(
    db: Database, run: VerifyRun, shard: ShardRow, level: Level, checked: Checked, guard: Guard = unguarded
) -> None:
    """Write down the result for a shard, in a transaction of its own; see :func:`enter`."""
    with db.write() as conn:
        guard(conn)
        enter(conn, run.id, shard.id, level, checked, utc_now())


def enter(conn: sa.Connection, run: int, shard: int, level: Level, checked: Checked, checked_at: str) -> None:
    """The result for a shard: good → verified; else → bad or missing, its images → pending.

    Args:
        run, shard: their ids.
        checked_at: UTC.
    """
    detail = told_briefly(checked)
    if checked.verdict is Verdict.GOOD:
        changes(conn, "UPDATE shard SET state = 'verified' WHERE id = ? AND state = 'complete'", (shard,))
    else:
        ledger.reopen(conn, [shard], ShardState(checked.verdict.value), detail)
    changes(
        conn,
        """INSERT INTO verification (shard_id, run_id, level, outcome, detail, findings, bytes, seconds, checked_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT (shard_id, level) DO UPDATE SET run_id = excluded.run_id,
               outcome = excluded.outcome, detail = excluded.detail, findings = excluded.findings,
               bytes = excluded.bytes, seconds = excluded.seconds, checked_at = excluded.checked_at""",
        (
            *(shard, run, level.value, checked.verdict.value, detail),
            *(checked.found, checked.size, checked.seconds, checked_at),
        ),
    )


def last_checks(conn: sa.Connection, dataset: Dataset) -> dict[tuple[int, Level], tuple[Verdict, str]]:
    """Shard (its id) and level → what the last check of it said, and when."""
    return {
        (shard, Level(level)): (Verdict(outcome), checked_at)
        for shard, level, outcome, checked_at in query(
            conn,
            """SELECT v.shard_id, v.level, v.outcome, v.checked_at
               FROM verification v JOIN shard h ON h.id = v.shard_id WHERE h.dataset_id = ?""",
            (dataset.id,),
        )
    }


def told_briefly(checked: Checked) -> str | None:
    """The first findings on one line."""
    if not checked.findings:
        return None
    told = "; ".join(str(finding) for finding in checked.findings[:DETAIL_FINDINGS])
    more = checked.found - DETAIL_FINDINGS
    return f"{told}; and {more:,} more" if more > 0 else told
