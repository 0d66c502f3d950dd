"""What a run finds when it starts: the disk and the database are brought to agree before anything is written.

Final files without a record are adopted only when their sha256 is that of a receipt with the shard's current
digest; any other is set aside. Records without files are taken back. Partials of dead attempts are removed.
Files that are not ours are named, never touched.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from materialize import ledger, root
from materialize.dataset import Dataset
from materialize.lease import Guard, unguarded
from materialize.notes import is_note_partial, is_orphaned, note_path, read_notes
from materialize.receipt import FOLDER as RECEIPTS
from materialize.receipt import Receipt, is_its_file, read_receipt, receipts_of, receipts_of_shard
from materialize.shard import sha256_of, sync_folder
from tol_db.db.base import Outcome, ShardState
from tol_db.db.bulk import query
from tol_db.db.engine import Database
from tol_db.errors import InputError, ShardConflict, UsageError

log = logging.getLogger(__name__)

AT_A_TIME = 16
"""Receipts that are entered in one transaction: the disk is waited for once a second, and others get their turn."""

_PARTIAL = re.compile(
    r"\.(shard-\d{6,}\.tar|shard-\d{6,}-[0-9a-f]+\.json|attempt-[0-9a-f]+\.json"
    r"|verified-\d{6,}-[a-z]+-[0-9a-f]+\.json|clock)\.[0-9a-f]+\.partial"
)
_KNOWN = re.compile(r"sizes\.json|wids-index\.json|\..*\.partial|shard-\d{6,}\.tar\.(bad|old)-[0-9a-f]+")


@dataclass(slots=True)
class Findings:
    """What was found and done, for the log.

    Attributes:
        adopted: shards whose file was there, whole, and only lacked its record.
        missing: shards that were recorded and whose file is gone.
        bad: shards whose file has another size than recorded.
        set_aside: where files went that were in the way.
        partials: how many files of dead attempts were removed.
        foreign: files that are not ours.
        lost: attempts that never told their end.
        working: attempts elsewhere that may still write (``materialize --receipts-only``); theirs is left alone.
    """

    adopted: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    set_aside: list[Path] = field(default_factory=list)
    partials: int = 0
    foreign: list[Path] = field(default_factory=list)
    lost: int = 0
    working: int = 0


@dataclass(frozen=True, slots=True)
class _Known:
    id: int
    number: int
    state: str
    digest: bytes
    size: int | None
    path: Path


def reconcile(
    db: Database,
    dataset: Dataset,
    between_steps: Callable[[], None] = lambda: None,
    *,
    by_stat: bool = False,
    guard: Guard = unguarded,
) -> Findings:
    """Bring disk and database to agree. The caller holds the lease, so every attempt without a note is dead.

    Args:
        between_steps: called between shards; what it raises ends the work, which the next start goes on with.
        by_stat: a file is also adopted where inode, size and mtime say that it is untouched since its receipt
            was written (a thousand shards of 600 MB are not read for it); else its sha256 alone decides.
        guard: of the caller's lease.

    Raises:
        OutputNotMounted: the root, or the folder of a split that has complete shards, is not there, or the
            root is another dataset's; nothing is judged then.
        OSError: something in the root cannot be read, renamed or removed.
    """
    root.require(dataset.output_root, dataset.marker)
    findings = Findings()
    shards = _shards(db, dataset)
    root.require_folders(dataset.output_root, {s.path.parent for s in shards if s.size is not None})
    partials = _partials(dataset, {shard.path for shard in shards}, findings)
    # read after the partials were listed: a live attempt has its note before its first partial
    found = read_notes(dataset.output_root, dataset.uuid)
    findings.working = len(found.alive)
    findings.foreign += found.foreign
    with db.write() as conn:
        findings.lost = ledger.lose_open_attempts(conn, dataset)
        findings.lost += ledger.enter_notes(conn, dataset, found.over)
    _sweep(partials, {note.token for note in found.alive}, findings)
    for note in found.over:
        note_path(dataset.output_root, note.token).unlink(missing_ok=True)
    receipts = receipts_of(dataset.output_root)  # of before: what comes meanwhile is not void
    adoption = _Adoption(db, dataset, findings, guard)
    for shard in shards:
        between_steps()
        final = dataset.output_root / shard.path
        if shard.state in (ShardState.COMPLETE, ShardState.VERIFIED):
            _check_recorded(db, dataset, shard, final, findings, guard)
        elif os.path.lexists(final):
            _judge(dataset, shard, final, receipts.get(shard.number, []), adoption, by_stat)
    adoption.finish()
    _drop_void_receipts(db, dataset, receipts)
    return findings


def _drop_void_receipts(db: Database, dataset: Dataset, receipts: dict[int, list[Path]]) -> None:
    """A receipt of an earlier plan counts for nothing; one of the current plan may find its file again."""
    digests = {s.number: s.digest.hex() for s in _shards(db, dataset) if s.size is None}
    for number, paths in receipts.items():
        for path in paths if number in digests else ():
            try:
                void = read_receipt(path).digest != digests[number]
            except InputError:
                void = True
            if void:
                path.unlink(missing_ok=True)


def _stat(path: Path) -> os.stat_result | None:
    """None where there is nothing; a fault of the storage is no absence.

    Raises:
        OSError
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _shards(db: Database, dataset: Dataset) -> list[_Known]:
    with db.read() as conn:
        return [
            _Known(id, number, state, digest, size, root.shard_path(dataset.recipe.size, split, ordinal))
            for id, number, state, digest, size, split, ordinal in query(
                conn,
                """SELECT h.id, h.number, h.state, h.digest, h.bytes, s.name, h.ordinal
                   FROM shard h JOIN split s ON s.id = h.split_id
                   WHERE h.dataset_id = ? ORDER BY h.number""",
                (dataset.id,),
            )
        ]


def _check_recorded(
    db: Database, dataset: Dataset, shard: _Known, final: Path, findings: Findings, guard: Guard
) -> None:
    """A record needs its file, of the recorded size; its bytes are `verify`'s business.

    Inode and time are in the receipt, not in the record: a copy, a move or a restored backup changes both and no
    byte, and to read a thousand receipts of half a megabyte at every start would tell nothing to act on.
    """
    found = _stat(final)
    if found is None:
        root.require(dataset.output_root, dataset.marker)  # it may have gone away as a whole meanwhile
        root.require_folders(dataset.output_root, [shard.path.parent])
        state, why = ShardState.MISSING, "its file is gone"
        findings.missing.append(shard.number)
    elif not stat.S_ISREG(found.st_mode) or found.st_size != shard.size:
        state, why = ShardState.BAD, f"{found.st_size} bytes instead of {shard.size}"
        findings.bad.append(shard.number)
    else:
        return
    if os.path.lexists(final):
        findings.set_aside.append(set_aside(final))
    with db.write() as conn:
        guard(conn)
        ledger.reopen(conn, [shard.id], state, why)


def _judge(
    dataset: Dataset, shard: _Known, final: Path, receipts: list[Path], adoption: _Adoption, by_stat: bool
) -> None:
    """A file that has a final name and no record: the run died between link and commit, or it is not ours."""
    # what `verify` found bad may be untouched by inode, size and mtime all the same
    by_stat = by_stat and shard.state != ShardState.BAD
    receipt = matching_receipt(shard.digest, final, receipts, by_stat=by_stat)
    if receipt is None:
        # listed again: a writer leaves its receipt before its file gets the name that was just seen
        receipts = receipts_of_shard(dataset.output_root, shard.number)
        receipt = matching_receipt(shard.digest, final, receipts, by_stat=by_stat)
    if receipt is not None:
        adoption.add(receipt)
    elif os.path.lexists(final):
        adoption.findings.set_aside.append(set_aside(final))


class _Adoption:
    """Receipts on their way into the ledger, some at a time; files that it does not take are set aside."""

    def __init__(self, db: Database, dataset: Dataset, findings: Findings, guard: Guard) -> None:
        self.findings = findings
        self._db, self._dataset, self._guard = db, dataset, guard
        self._waiting: list[Receipt] = []

    def add(self, receipt: Receipt) -> None:
        self._waiting.append(receipt)
        if len(self._waiting) >= AT_A_TIME:
            self.finish()

    def finish(self) -> None:
        """Enter what waits.

        Raises:
            ShardConflict: a shard was completed meanwhile, with other bytes.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        entries = ledger.commit_all(self._db, self._dataset, waiting, self._guard)
        for receipt, entry in zip(waiting, entries, strict=True):
            final = self._dataset.output_root / receipt.path
            if isinstance(entry, InputError):
                log.warning("%s", entry)
            if entry in (ledger.Entry.COMMITTED, ledger.Entry.KNOWN):
                self.findings.adopted.append(receipt.shard)
            elif not isinstance(entry, ShardConflict) and os.path.lexists(final):
                self.findings.set_aside.append(set_aside(final))
        for entry in entries:
            if isinstance(entry, ShardConflict):
                raise entry


def matching_receipt(digest: bytes, final: Path, paths: list[Path], *, by_stat: bool = False) -> Receipt | None:
    """The receipt that tells of this very file under the shard's current digest, if there is one.

    Args:
        digest: of the shard.
        paths: of its receipts.
        by_stat: believe inode, size and mtime, as in :func:`reconcile`.
    """
    if not final.is_file():
        return None
    status = final.stat()
    receipts = [r for r in map(_readable, paths) if r is not None]
    candidates = [r for r in receipts if r.digest == digest.hex() and r.size == status.st_size]
    if by_stat:
        for receipt in candidates:
            if is_its_file(receipt, status):
                return receipt
    try:
        sha256 = sha256_of(final) if candidates else None
    except PermissionError:
        return None  # whoever wrote it could read it
    return next((receipt for receipt in candidates if receipt.sha256 == sha256), None)


def is_untouched(final: Path, paths: list[Path]) -> bool:
    """Whether a file is just what one of these receipts tells of, of whatever plan."""
    status = _stat(final)
    return status is not None and any(is_its_file(r, status) for r in map(_readable, paths) if r is not None)


def _readable(path: Path) -> Receipt | None:
    """None for a receipt that a power failure cut off; the file it told of is judged without it."""
    try:
        return read_receipt(path)
    except InputError:
        return None


RETRIED = tuple(o.label for o in Outcome if o > Outcome.SOURCE_MISSING and o != Outcome.DUPLICATE)
"""Outcomes that reading an image again can change."""


def reopen_for_retry(
    db: Database,
    dataset: Dataset,
    outcomes: Sequence[str],
    shards: range | None = None,
    units: range | None = None,
    *,
    between_steps: Callable[[], None] = lambda: None,
    guard: Guard = unguarded,
) -> list[int]:
    """Open again the shards that lack images with these outcomes; their files are set aside as ``.old-…``.

    Args:
        shards, units: only in these ranges of numbers.
        between_steps, guard: as in :func:`reconcile`.

    Returns:
        The numbers of these shards.

    Raises:
        UsageError: an outcome that no reading can change.
    """
    for name in outcomes:
        if name not in RETRIED:
            hint = f"one of {', '.join(RETRIED)}; what the plan left out is looked at by `tol-db plan --extend`"
            raise UsageError(f"--retry {name}: not an outcome of reading an image", hint=hint)
    ids = [int(ledger.OUTCOME_BY_NAME[name]) for name in outcomes]
    marks = ", ".join("?" * len(ids))
    with db.write() as conn:
        guard(conn)
        rows = query(
            conn,
            f"""SELECT h.id, h.number, u.number FROM shard h JOIN work_unit u ON u.id = h.work_unit_id
                WHERE h.dataset_id = ? AND h.left_out > 0 AND EXISTS
                (SELECT 1 FROM shard_image m WHERE m.shard_id = h.id AND m.outcome_id IN ({marks}))""",  # noqa: S608
            (dataset.id, *ids),
        )
        chosen = [
            id
            for id, shard, unit in rows
            if (shards is None or shard in shards) and (units is None or unit in units)
        ]
        ledger.reopen(conn, chosen, ShardState.PLANNED, f"retry of {', '.join(outcomes)}")
    receipts = receipts_of(dataset.output_root)
    known = [shard for shard in _shards(db, dataset) if shard.id in set(chosen)]
    for shard in known:
        between_steps()
        # the receipts first: with one of them the old file would be adopted again
        for path in receipts.get(shard.number, []):
            path.unlink(missing_ok=True)
        set_aside(dataset.output_root / shard.path, "old")
    return [shard.number for shard in known]


def set_aside(final: Path, why: str = "bad") -> Path:
    """Rename what has a shard's name to ``….tar.<why>-<token>``; never deletes."""
    target = final.with_name(f"{final.name}.{why}-{secrets.token_hex(4)}")
    final.rename(target)
    sync_folder(final.parent)
    return target


def _partials(dataset: Dataset, ours: set[Path], findings: Findings) -> list[Path]:
    """All partials of attempts; what else is not ours is named."""
    found = []
    folders = {dataset.output_root / path.parent for path in ours}
    for folder in sorted({*folders, dataset.output_root / RECEIPTS}):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if _PARTIAL.fullmatch(path.name) and path.is_file():
                found.append(path)
            elif folder in folders and not is_ours(path, dataset.output_root, ours):
                findings.foreign.append(path)
    return found


def _sweep(partials: list[Path], alive: set[str], findings: Findings) -> None:
    """Remove partials but those of live attempts."""
    for path in partials:
        token = path.name.split(".")[-2]
        if is_orphaned(path) if is_note_partial(path) else token not in alive:
            path.unlink(missing_ok=True)
            findings.partials += 1


def is_ours(path: Path, output_root: Path, ours: set[Path]) -> bool:
    """Whether a file has a name that this tool gives; ``ours``: paths of shards relative to the root."""
    return path.relative_to(output_root) in ours or bool(_KNOWN.fullmatch(path.name))
