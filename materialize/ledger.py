"""The only writer of shard state: receipts → database, in transactions."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from materialize.dataset import Dataset
from materialize.lease import Guard, unguarded
from materialize.notes import Note
from materialize.receipt import Fact, Receipt
from materialize.steps import Step, reached
from tol_db.db.base import Outcome, ShardState
from tol_db.db.bulk import changes, insert_many, query, scalar, utc_now
from tol_db.db.engine import Database, raw
from tol_db.errors import InputError, ShardConflict

OUTCOME_BY_NAME = {outcome.label: outcome for outcome in Outcome}
NOTHING_LEARNT = Fact()
UNFINISHED = (ShardState.PLANNED, ShardState.BAD, ShardState.MISSING, ShardState.STALE)
"""States whose shards are to be written."""


class Entry(enum.Enum):
    """What became of a receipt."""

    COMMITTED = "committed"
    KNOWN = "known already"
    OUTDATED = "for an earlier plan of the shard"


def commit(db: Database, dataset: Dataset, receipt: Receipt, guard: Guard = unguarded) -> Entry:
    """Enter a finished shard: shard → complete, images → outcomes, in one transaction.

    The file must be there under its final name with the receipt's size: a receipt alone counts for nothing.

    Raises:
        LeaseHeld: by the guard.
        InputError: the receipt is another dataset's or does not add up, or its file is not there.
        ShardConflict: the shard is complete with other bytes.
    """
    with _transaction(db, Step.LEDGER_BEGIN) as conn:
        guard(conn)
        entry = _enter(conn, dataset, receipt)
        reached(Step.LEDGER_COMMIT)
    reached(Step.LEDGER_DONE)
    return entry


def commit_all(
    db: Database, dataset: Dataset, receipts: Sequence[Receipt], guard: Guard = unguarded
) -> list[Entry | InputError | ShardConflict]:
    """Enter several finished shards in one transaction: one wait for the disk in place of many.

    Returns:
        What became of each receipt; what :func:`commit` would raise of one keeps no other out.

    Raises:
        LeaseHeld: by the guard.
    """
    entries: list[Entry | InputError | ShardConflict] = []
    with _transaction(db, Step.LEDGER_BEGIN) as conn:
        guard(conn)
        for receipt in receipts:
            try:
                entries.append(_enter(conn, dataset, receipt))
            except (InputError, ShardConflict) as err:  # found before anything of it is changed
                entries.append(err)
        reached(Step.LEDGER_COMMIT)
    reached(Step.LEDGER_DONE)
    return entries


def _enter(conn: sa.Connection, dataset: Dataset, receipt: Receipt) -> Entry:
    """Raises: InputError, ShardConflict; then nothing has been changed."""
    if receipt.dataset != dataset.uuid:
        raise InputError(f"a receipt of dataset {receipt.dataset}, not of {dataset.name!r} ({dataset.uuid})")
    final = dataset.output_root / receipt.path
    if not final.is_file() or final.stat().st_size != receipt.size:
        raise InputError(f"{final}: not there, or not of the {receipt.size} bytes its receipt tells of")
    reached(Step.LEDGER_FIND)
    row = next(
        query(
            conn,
            """SELECT id, split_id, digest, state, sha256, planned FROM shard
               WHERE dataset_id = ? AND number = ?""",
            (dataset.id, receipt.shard),
        ),
        None,
    )
    if row is None:
        raise InputError(f"a receipt of shard {receipt.shard}, which {dataset.name!r} does not have")
    shard, split, digest, state, sha256, planned = row
    if digest != bytes.fromhex(receipt.digest):
        return Entry.OUTDATED
    if state in (ShardState.COMPLETE, ShardState.VERIFIED):
        if sha256 != bytes.fromhex(receipt.sha256):
            raise ShardConflict(final, hint="two runs wrote different bytes: run `tol-db doctor`")
        return Entry.KNOWN
    unknown = {x.outcome for x in receipt.left_out} - OUTCOME_BY_NAME.keys()
    if unknown:
        raise InputError(f"the receipt of shard {receipt.shard} tells of {min(unknown)!r}, no outcome known here")
    if len(receipt.facts) != planned or receipt.samples + len(receipt.left_out) != planned:
        raise InputError(f"the receipt of shard {receipt.shard} does not add up to {planned} images")
    _complete(conn, dataset, receipt, shard, split)
    return Entry.COMMITTED


@contextmanager
def _transaction(db: Database, begin: Step) -> Iterator[sa.Connection]:
    with db.translated():
        reached(begin)
        with db.write() as conn:
            yield conn


def _complete(conn: sa.Connection, dataset: Dataset, receipt: Receipt, shard: int, split: int) -> None:
    reached(Step.LEDGER_WRITER)
    attempt = _attempt_id(conn, dataset, receipt)
    reached(Step.LEDGER_IMAGES)
    left_out = None
    if receipt.facts.count(NOTHING_LEARNT) == len(receipt.facts):  # states alone: one statement, but for a few
        changes(conn, "UPDATE shard_image SET outcome_id = ? WHERE shard_id = ?", (int(Outcome.WRITTEN), shard))
        left_out = [x.position for x in receipt.left_out]
    insert_many(
        conn,
        """UPDATE shard_image SET outcome_id = ?, detail = ?, width = ?, height = ?, mode = ?,
                  content_digest = ?, jpg_digest = ?
           WHERE shard_id = ? AND position = ?""",
        _outcomes(receipt, shard, range(len(receipt.facts)) if left_out is None else left_out),
    )
    reached(Step.LEDGER_SHARD)
    changes(
        conn,
        """UPDATE shard SET state = 'complete', written = ?, left_out = ?, bytes = ?, sha256 = ?, seconds = ?,
                  attempt_id = ?, completed_at = ?, detail = NULL
           WHERE id = ?""",
        (
            *(receipt.samples, len(receipt.left_out), receipt.size, bytes.fromhex(receipt.sha256)),
            *(receipt.seconds, attempt, utc_now(), shard),
        ),
    )
    reached(Step.LEDGER_COUNTERS)
    changes(
        conn,
        """UPDATE dataset_split SET written = written + ?, left_out = left_out + ?
           WHERE dataset_id = ? AND split_id = ?""",
        (receipt.samples, len(receipt.left_out), dataset.id, split),
    )


def _outcomes(receipt: Receipt, shard: int, positions: Iterable[int]) -> Iterator[tuple[object, ...]]:
    left_out = {x.position: (int(OUTCOME_BY_NAME[x.outcome]), x.detail) for x in receipt.left_out}
    written = int(Outcome.WRITTEN), None
    for position in positions:
        fact = receipt.facts[position]
        outcome, detail = left_out.get(position, written)
        yield outcome, detail, fact.width, fact.height, fact.mode, fact.content, fact.jpg, shard, position


def _attempt_id(conn: sa.Connection, dataset: Dataset, receipt: Receipt) -> int:
    """The attempt of a receipt; one that ran elsewhere is not known here yet."""
    changes(
        conn,
        """INSERT INTO attempt (dataset_id, token, host, pid, slurm_job_id, started_at)
           VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (token) DO NOTHING""",
        (
            *(dataset.id, receipt.token, receipt.host, receipt.pid),
            *(receipt.slurm_job_id, receipt.started_at),
        ),
    )
    return int(scalar(conn, "SELECT id FROM attempt WHERE token = ?", (receipt.token,)))


def begin_attempt(
    db: Database, dataset: Dataset, unit: int, token: str, host: str, pid: int, slurm_job_id: str | None
) -> None:
    """Write down that a work unit (its number) is being tried."""
    with _transaction(db, Step.LEDGER_ATTEMPT) as conn:
        changes(
            conn,
            """INSERT INTO attempt (dataset_id, work_unit_id, token, host, pid, slurm_job_id, started_at)
               SELECT dataset_id, id, ?, ?, ?, ?, ? FROM work_unit WHERE dataset_id = ? AND number = ?""",
            (token, host, pid, slurm_job_id, utc_now(), dataset.id, unit),
        )


def end_attempt(db: Database, token: str, ending: str, detail: str | None = None) -> None:
    """Write down how a try ended: ``done``, ``failed``, ``interrupted`` or ``lost``."""
    with _transaction(db, Step.LEDGER_END) as conn:
        changes(
            conn,
            "UPDATE attempt SET ended_at = ?, ending = ?, detail = ? WHERE token = ? AND ended_at IS NULL",
            (utc_now(), ending, detail, token),
        )


def enter_notes(conn: sa.Connection, dataset: Dataset, notes: Sequence[Note]) -> int:
    """Enter attempts that ran without the database and are over; returns how many never told their end."""
    insert_many(
        conn,
        """INSERT INTO attempt (dataset_id, work_unit_id, token, host, pid, slurm_job_id, slurm_array_task,
                               started_at, ended_at, ending, detail)
           SELECT dataset_id, id, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM work_unit WHERE dataset_id = ? AND number = ?
           ON CONFLICT (token) DO UPDATE SET work_unit_id = excluded.work_unit_id,
               ended_at = excluded.ended_at, ending = excluded.ending, detail = excluded.detail""",
        (
            (
                *(n.token, n.host, n.pid, n.slurm_job_id, n.slurm_array_task, n.started_at),
                *(n.ended_at or utc_now(), n.ending or "lost", n.detail, dataset.id, n.unit),
            )
            for n in notes
        ),
    )
    return sum(note.ending is None for note in notes)


def lose_open_attempts(conn: sa.Connection, dataset: Dataset) -> int:
    """Attempts that never told their end, now that nobody else holds the dataset; returns how many."""
    return changes(
        conn,
        """UPDATE attempt SET ended_at = ?, ending = 'lost'
           WHERE dataset_id = ? AND ended_at IS NULL AND work_unit_id IS NOT NULL""",
        (utc_now(), dataset.id),
    )


def reopen(conn: sa.Connection, shards: Sequence[int], state: ShardState, detail: str | None = None) -> None:
    """Put shards (ids) back to a state that is to be written, and their images to pending.

    Everything a receipt had entered is taken back, in the caller's transaction.
    """
    driver = raw(conn)
    for shard in shards:
        driver.execute(
            """UPDATE dataset_split SET written = dataset_split.written - h.written,
                      left_out = dataset_split.left_out - h.left_out
               FROM (SELECT dataset_id, split_id, written, left_out FROM shard WHERE id = ?) AS h
               WHERE dataset_split.dataset_id = h.dataset_id AND dataset_split.split_id = h.split_id""",
            (shard,),
        )
        driver.execute(
            """UPDATE shard_image SET outcome_id = 0, detail = NULL, width = NULL, height = NULL, mode = NULL,
                      content_digest = NULL, jpg_digest = NULL
               WHERE shard_id = ?""",
            (shard,),
        )
        driver.execute(
            """UPDATE shard SET state = ?, detail = ?, written = 0, left_out = 0, bytes = NULL, sha256 = NULL,
                      seconds = NULL, attempt_id = NULL, completed_at = NULL
               WHERE id = ?""",
            (state.value, detail, shard),
        )
