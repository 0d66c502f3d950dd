"""Enters what checks without the database have left: any number of times, during them or after.

A result counts only for the file that was looked at. Under the lease, with nobody else to change a shard, it is
entered where the shard is still complete with the sha256 that was checked against, and its file untouched; else
it is dropped, and told. What was entered or dropped is removed.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from materialize import lease
from materialize.collect import WAIT_SECONDS, holding
from materialize.dataset import Dataset
from materialize.shard import cannot_write
from materialize.verify.check import BadShard, OpenShard, bad_shard, open_shard, require_root
from materialize.verify.repair import Receipts
from materialize.verify.results import Result, read_result, result_files
from materialize.verify.rows import CHECKABLE, TO_REPAIR, ShardRow, add_ended_run, enter, last_checks, shard_rows
from materialize.verify.shard import Level, Verdict, seen_at
from tol_db.db.base import ShardState
from tol_db.db.engine import Database
from tol_db.errors import InputError, LeaseHeld
from tol_db.progress import track

log = logging.getLogger(__name__)

AT_A_TIME = 64
"""Results that are entered in one transaction: one wait for the disk in place of many."""


@dataclass(frozen=True, slots=True)
class NotEntered:
    """A result file that was not entered; path relative to the output root."""

    path: Path
    why: str


@dataclass(slots=True)
class EnteredResults:
    """What became of the results.

    Attributes:
        entered: how many; good: of them.
        bad: bad and missing shards that were entered now.
        known: results that had been entered before, or were older than what is known.
        dropped: results that do not hold any more; their files are removed.
        kept: results of which the storage does not let us know; they wait for the next time.
        broken: files with the name of a result that are none; they are left alone.
        others: results of other datasets, left alone.
        bad_before: shards that were found bad or missing earlier and have not been written anew.
    """

    entered: int = 0
    good: int = 0
    bad: list[BadShard] = field(default_factory=list)
    known: int = 0
    dropped: list[NotEntered] = field(default_factory=list)
    kept: list[NotEntered] = field(default_factory=list)
    broken: list[NotEntered] = field(default_factory=list)
    others: int = 0
    bad_before: list[OpenShard] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there was no result at all."""
        return not (self.entered or self.known or self.dropped or self.kept or self.broken or self.others)

    @property
    def is_good(self) -> bool:
        """Whether no shard is bad or missing, and every result could be read and judged."""
        return not (self.bad or self.bad_before or self.broken or self.kept)


def collect_results(
    db: Database,
    name: str | None,
    *,
    wait: float = WAIT_SECONDS,
    on_wait: Callable[[LeaseHeld], None] = lambda _held: None,
) -> EnteredResults:
    """Enter the results that checks of a dataset have left.

    Args:
        name, wait, on_wait: as :func:`materialize.collect.collect`.

    Raises:
        LeaseHeld: another run still works on the dataset.
        OutputNotMounted: its root, or the folder of a split that has complete shards, is not there.
        CannotWrite: the database takes no more, or the results cannot be listed.
        Interrupted: by a signal; what was entered is kept.
    """
    with holding(db, name, wait, on_wait) as (dataset, keeper, between_steps):
        try:
            return enter_results(db, dataset, keeper, between_steps)
        except OSError as err:
            raise cannot_write(Path(err.filename or dataset.output_root), err) from err


def enter_results(
    db: Database, dataset: Dataset, keeper: lease.Keeper, between_steps: Callable[[], None] = lambda: None
) -> EnteredResults:
    """Enter the results under a dataset's output root; the caller holds the lease.

    Args:
        between_steps: called between transactions; what it raises ends the work, which the next time goes on with.

    Raises:
        OutputNotMounted, CannotWrite: as :func:`collect_results`.
        LeaseHeld: another run took the dataset over.
        OSError: the results cannot be listed or read.
    """
    with db.read() as conn:
        known = shard_rows(conn, dataset, Level.DEFAULT)
        last = last_checks(conn, dataset)
    require_root(dataset, known)
    report = EnteredResults()
    found = _read(dataset, report, between_steps)
    entering = _Entering(db, dataset, keeper, report, known, last, found)
    with track(f"entering results of {dataset.name}", total=len(found), unit="results") as tracker:
        for at in range(0, len(found), AT_A_TIME):
            between_steps()
            some = found[at : at + AT_A_TIME]
            entering.enter(some)
            tracker.advance(len(some))
    now = {bad.shard for bad in report.bad}
    report.bad_before = [open_shard(row) for row in known if row.state in TO_REPAIR and row.number not in now]
    return report


Found = tuple[Path, Result]


def _read(dataset: Dataset, report: EnteredResults, between_steps: Callable[[], None]) -> list[Found]:
    """The results of a dataset in the order in which they were made."""
    found = []
    for _, path in result_files(dataset.output_root):
        between_steps()
        try:
            result = read_result(path)
        except FileNotFoundError:
            continue
        except InputError as err:
            report.broken.append(NotEntered(path.relative_to(dataset.output_root), str(err)))
            continue
        if result.dataset != dataset.uuid:
            report.others += 1
            continue
        found.append((path, result))
    return sorted(found, key=lambda each: (each[1].checked_at, each[0]))


class _Fate(enum.Enum):
    ENTERED = enum.auto()
    KNOWN = enum.auto()
    DROPPED = enum.auto()
    KEPT = enum.auto()


class _Entering:
    """Judges results and enters those that hold; knows what the transactions so far have made of each shard."""

    def __init__(
        self,
        db: Database,
        dataset: Dataset,
        keeper: lease.Keeper,
        report: EnteredResults,
        known: Sequence[ShardRow],
        last: dict[tuple[int, Level], tuple[Verdict, str]],
        found: Sequence[Found],
    ) -> None:
        self.db, self.dataset, self.keeper, self.report = db, dataset, keeper, report
        self.rows, self.last = {row.number: row for row in known}, last
        self.reopened: dict[int, Verdict] = {}
        self.receipts = Receipts(dataset.output_root)
        self._found, self._runs = found, dict[Level, int]()

    def enter(self, some: Sequence[Found]) -> None:
        """Enter results in one transaction, then remove the files of what is settled."""
        holding: list[tuple[ShardRow, Result]] = []
        settled: list[Path] = []
        for path, result in some:
            fate, why = self._judge(result)
            told = NotEntered(path.relative_to(self.dataset.output_root), why)
            if fate is _Fate.KEPT:
                self.report.kept.append(told)
                continue
            settled.append(path)
            if fate is _Fate.ENTERED:
                holding.append((self._take(result), result))
            elif fate is _Fate.KNOWN:
                self.report.known += 1
            else:
                self.report.dropped.append(told)
        if holding:
            self._write(holding)
        for path in settled:
            try:
                path.unlink(missing_ok=True)
            except OSError as err:  # it is known the next time
                log.warning("%s: cannot be removed: %s", path, err.strerror or err)

    def _judge(self, result: Result) -> tuple[_Fate, str]:
        """Raises: OutputNotMounted."""
        row = self.rows.get(result.shard)
        if row is None:
            return _Fate.DROPPED, f"dataset {self.dataset.name!r} has no shard {result.shard}"
        verdict = result.checked.verdict
        outcome, at = self.last.get((row.id, result.level), (None, ""))
        is_older = row.state is ShardState.VERIFIED and at > result.checked_at
        if outcome is verdict and (at == result.checked_at or is_older):
            return _Fate.KNOWN, ""
        if row.number in self.reopened or row.state not in CHECKABLE:
            return _Fate.DROPPED, f"the shard is {self.reopened.get(row.number, row.state)} by now"
        if row.sha256 is None or row.sha256.hex() != result.sha256:
            return _Fate.DROPPED, "the shard has been written anew since, with other bytes"
        try:
            seen = seen_at(self.dataset.output_root / row.path)
        except OSError as err:
            return _Fate.KEPT, f"{row.path}: {err.strerror or err}"
        if seen != result.checked.seen:
            since = "is gone since" if seen is None else "has been touched or replaced since"
            return _Fate.DROPPED, f"its file {'is there again' if verdict is Verdict.MISSING else since}"
        if verdict is Verdict.MISSING:
            require_root(self.dataset, [row])  # it may have gone away as a whole
        return _Fate.ENTERED, ""

    def _take(self, result: Result) -> ShardRow:
        """Count a result that is about to be entered, and know of it from here on."""
        row, verdict = self.rows[result.shard], result.checked.verdict
        self.last[row.id, result.level] = verdict, result.checked_at
        self.report.entered += 1
        if verdict is Verdict.GOOD:
            self.report.good += 1
        else:
            self.reopened[row.number] = verdict
            self.report.bad.append(bad_shard(row, result.checked))
        return row

    def _write(self, holding: Sequence[tuple[ShardRow, Result]]) -> None:
        for row, result in holding:
            if result.checked.verdict is Verdict.BAD:
                self.receipts.void(row.number)
        runs = dict(self._runs)
        with self.db.write() as conn:
            self.keeper.guard(conn)
            for row, result in holding:
                if result.level not in runs:
                    of_level = [x for _, x in self._found if x.level is result.level]
                    numbers = [x.shard for x in of_level]
                    shards = range(min(numbers), max(numbers) + 1)
                    started_at = min(x.checked_at for x in of_level)
                    runs[result.level] = add_ended_run(conn, self.dataset, result.level, shards, started_at)
                enter(conn, runs[result.level], row.id, result.level, result.checked, result.checked_at)
        self._runs = runs
