"""Verification: whether the files are what the database says, and what is done about those that are not.

The story: take the lease, check that the output root is there, go on with an unfinished run or begin one, check
every complete shard and write down each result at once, and, where it is asked for, repair.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from materialize import lease, root
from materialize.dataset import Dataset, load_dataset
from materialize.notes import require_over
from materialize.reconcile import is_ours
from materialize.stop import Stop, stop_signals
from materialize.verify.pool import CheckPool
from materialize.verify.repair import Receipts, repair
from materialize.verify.rows import (
    CHECKABLE,
    TO_REPAIR,
    ShardRow,
    VerifyRun,
    close_run,
    open_run,
    record,
    shard_rows,
)
from materialize.verify.shard import Checked, Level, Verdict
from materialize.verify.walk import Finding
from materialize.verify.worker import Unreadable
from tol_db.db.engine import Database
from tol_db.errors import InputMissing, Interrupted, UsageError
from tol_db.progress import track


@dataclass(frozen=True, slots=True)
class BadShard:
    """A shard that is bad or missing.

    Attributes:
        path: relative to the output root.
        verdict: ``bad`` or ``missing``.
        findings: the first hundred; found: how many there were.
    """

    shard: int
    path: Path
    verdict: str
    findings: tuple[Finding, ...]
    found: int


@dataclass(frozen=True, slots=True)
class UnreadShard:
    """A shard that the storage did not give: nothing is known of it, and nothing was written down."""

    shard: int
    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class OpenShard:
    """A shard that was not checked because it is not complete."""

    shard: int
    path: Path
    state: str
    detail: str | None


@dataclass(frozen=True, slots=True)
class GoingOn:
    """An unfinished run that is gone on with: ``checked`` of ``shards`` were done."""

    begun_at: str
    checked: int
    shards: int


@dataclass(slots=True)
class VerifyReport:
    """What `verify` found.

    Attributes:
        level: ``default`` or ``deep``.
        going_on: the unfinished run that was gone on with, or None.
        shards: checked now; bytes: of their files; seconds: wall time of the checking.
        good: shards that are what they must be, of those checked now.
        bad: bad and missing shards that were found now.
        unreadable: shards that a fault of the storage kept from being checked.
        not_complete: shards that were not checked: planned, stale, or bad or missing since before.
        strangers: files in the folders of the splits that no record tells of; they are left alone.
        repaired: numbers of shards that are planned again.
        set_aside: where the files went that were in their places.
    """

    level: str
    going_on: GoingOn | None = None
    shards: int = 0
    bytes: int = 0
    seconds: float = 0.0
    good: int = 0
    bad: list[BadShard] = field(default_factory=list)
    unreadable: list[UnreadShard] = field(default_factory=list)
    not_complete: list[OpenShard] = field(default_factory=list)
    strangers: list[Path] = field(default_factory=list)
    repaired: list[int] = field(default_factory=list)
    set_aside: list[Path] = field(default_factory=list)

    @property
    def bad_before(self) -> list[OpenShard]:
        """Shards that were found bad or missing earlier and have not been written anew."""
        return [shard for shard in self.not_complete if shard.state in TO_REPAIR]

    @property
    def is_good(self) -> bool:
        """Whether nothing was bad, missing or unreadable."""
        return not (self.bad or self.unreadable or self.bad_before)


def verify(
    db: Database,
    name: str | None,
    *,
    workers: int,
    deep: bool = False,
    repairing: bool = False,
    shards: range | None = None,
    restart: bool = False,
    on_going_on: Callable[[GoingOn], None] = lambda _going_on: None,
) -> VerifyReport:
    """Check the complete shards of a dataset.

    An unfinished run of the same level and the same range is gone on with: shards that it has checked, and that
    were not written anew since, are not checked again.

    Args:
        db: the database; results are written there, one transaction per shard.
        name: of the dataset; None where there is only one.
        workers: how many processes.
        deep: also compare every byte, decode every picture.
        repairing: put bad and missing shards, also those found earlier, back to planned.
        shards: only these numbers.
        restart: begin anew where there is an unfinished run.
        on_going_on: called before the checking, where an unfinished run is gone on with.

    Raises:
        LeaseHeld: another run works on the dataset; with ``repairing`` also one that only leaves receipts.
        OutputNotMounted: its root, or the folder of a split that has complete shards, is not there.
        InputMissing: the folder of a split cannot be read.
        CannotWrite: the database takes no more; a file cannot be set aside.
        Interrupted: by a signal; what was checked is kept.
    """
    level = Level.DEEP if deep else Level.DEFAULT
    with stop_signals() as stop:
        with db.read() as conn:
            dataset = load_dataset(conn, name)
        keeper = lease.Keeper(db, dataset, lease.here())
        keeper.acquire()
        with keeper.released_at_the_end():
            with db.read() as conn:  # again: it may have been planned anew until the lease was ours
                dataset = load_dataset(conn, dataset.name)
                known = shard_rows(conn, dataset, level)
            require_root(dataset, known)
            chosen = chosen_of(dataset, known, shards)
            if repairing:
                require_over(dataset.output_root, dataset.uuid, dataset.name)
            run = open_run(db, dataset, level, shards, restart=restart)
            report = VerifyReport(level.value)
            done = {row.id for row in chosen if row.is_done(run.id, dataset.output_root)}
            todo = todo_of(chosen, done, report)
            if run.is_resumed:
                report.going_on = GoingOn(run.started_at, len(done), len(done) + len(todo))
                on_going_on(report.going_on)
            keep = _Recording(db, dataset, run, level, keeper)
            Checking(db, dataset, level, report, stop, keep, keeper.beat).run(todo, workers)
            close_run(db, run)
            report.strangers = _strangers(dataset, known)
            if repairing:
                _repair(db, dataset, level, {row.id for row in chosen}, report, keeper)
            return report


def require_root(dataset: Dataset, known: Sequence[ShardRow]) -> None:
    """Raises: OutputNotMounted."""
    root.require(dataset.output_root, dataset.marker)
    root.require_folders(dataset.output_root, {row.path.parent for row in known if row.state in CHECKABLE})


def chosen_of(dataset: Dataset, known: Sequence[ShardRow], shards: Collection[int] | None) -> list[ShardRow]:
    """The shards with these numbers.

    Raises:
        UsageError: there is none.
    """
    chosen = [row for row in known if shards is None or row.number in shards]
    if shards is not None and not chosen:
        raise UsageError(
            f"dataset {dataset.name!r} has no shard in {min(shards)}-{max(shards)}",
            hint=f"its shards are numbered from 0 to {len(known) - 1}",
        )
    return chosen


def todo_of(chosen: Sequence[ShardRow], done: Container[int], report: VerifyReport) -> list[ShardRow]:
    """What is to be checked, without those that are done (ids); says in the report what is not complete."""
    report.not_complete = [open_shard(row) for row in chosen if row.state not in CHECKABLE]
    return [row for row in chosen if row.state in CHECKABLE and row.id not in done]


def open_shard(row: ShardRow) -> OpenShard:
    return OpenShard(row.number, row.path, row.state.value, row.detail)


def bad_shard(row: ShardRow, checked: Checked) -> BadShard:
    return BadShard(row.number, row.path, checked.verdict.value, checked.findings, checked.found)


class Checking:
    """Checks shards, hands on each result, and counts.

    Args:
        keep: takes the result for a shard; tells why it could not, where nothing is known of the shard after all.
        on_turn: called about once a second; what it raises ends the work.
    """

    def __init__(
        self,
        db: Database,
        dataset: Dataset,
        level: Level,
        report: VerifyReport,
        stop: Stop,
        keep: Callable[[ShardRow, Checked], Unreadable | None],
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self.db, self.dataset, self.level = db, dataset, level
        self.report, self.stop, self.keep, self.on_turn = report, stop, keep, on_turn

    def run(self, todo: Sequence[ShardRow], workers: int) -> None:
        """Raises: Interrupted, when a signal came."""
        start = time.monotonic()
        with track(f"verifying {self.dataset.name}", total=sum(row.size for row in todo), unit="bytes") as tracker:

            def enter(row: ShardRow, result: Checked | Unreadable) -> None:
                self._enter(row, result)
                tracker.advance(row.size)

            pool = CheckPool(self.db.path, self.dataset, self.level, self.stop, enter, self.on_turn)
            pool.run(todo, workers)
        self.report.seconds = round(time.monotonic() - start, 3)
        self.report.bad.sort(key=lambda bad: bad.shard)
        self.report.unreadable.sort(key=lambda unread: unread.shard)
        try:
            self.stop.check()
        except Interrupted as err:
            told = f"{err}: {self.report.shards:,} of {len(todo):,} shards were checked"
            raise Interrupted(told, hint=err.hint) from None

    def _enter(self, row: ShardRow, result: Checked | Unreadable) -> None:
        if isinstance(result, Unreadable):
            self.report.unreadable.append(UnreadShard(row.number, row.path, result.why))
            return
        if result.verdict is Verdict.MISSING:
            require_root(self.dataset, [row])  # it may have gone away as a whole meanwhile
        unknown = self.keep(row, result)
        if unknown is not None:
            self.report.unreadable.append(UnreadShard(row.number, row.path, unknown.why))
            return
        self.report.shards += 1
        self.report.bytes += result.size
        if result.verdict is Verdict.GOOD:
            self.report.good += 1
        else:
            self.report.bad.append(bad_shard(row, result))


class _Recording:
    """Writes down each result in the database at once."""

    def __init__(self, db: Database, dataset: Dataset, run: VerifyRun, level: Level, keeper: lease.Keeper) -> None:
        self.db, self.run, self.level, self.keeper = db, run, level, keeper
        self.receipts = Receipts(dataset.output_root)

    def __call__(self, row: ShardRow, checked: Checked) -> Unreadable | None:
        self.keeper.beat()
        if checked.verdict is Verdict.BAD:
            self.receipts.void(row.number)
        record(self.db, self.run, row, self.level, checked, self.keeper.guard)
        return None


def _strangers(dataset: Dataset, known: Sequence[ShardRow]) -> list[Path]:
    """Files that no record tells of: not ours at all, or under the name of a shard that was never entered.

    Raises:
        InputMissing: a folder cannot be read.
    """
    recorded = {row.path for row in known if row.state in (*CHECKABLE, *TO_REPAIR)}
    folders = sorted({dataset.output_root / row.path.parent for row in known})
    try:
        paths = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    except OSError as err:
        raise InputMissing(f"{err.filename}: {err.strerror}", hint="check the disk and its permissions") from err
    return [path for path in paths if not is_ours(path, dataset.output_root, recorded)]


def _repair(
    db: Database, dataset: Dataset, level: Level, chosen: set[int], report: VerifyReport, keeper: lease.Keeper
) -> None:
    with db.read() as conn:
        rows = [row for row in shard_rows(conn, dataset, level) if row.id in chosen and row.state in TO_REPAIR]
    repaired = repair(db, dataset, rows, keeper)
    report.repaired, report.set_aside = list(repaired.shards), list(repaired.set_aside)
