"""Puts bad and missing shards back to planned, so that the next `materialize` writes exactly them.

The order of steps is such that a kill anywhere leaves what the next start puts right: the receipts go first
(with one of them the file could be adopted again), then the file is renamed, and the database is told last. Up
to then it says bad or missing, of which `materialize` writes a shard anew as well.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from materialize import ledger
from materialize.dataset import Dataset
from materialize.lease import Keeper
from materialize.receipt import receipts_of
from materialize.reconcile import set_aside
from materialize.shard import cannot_write, sync_folder
from materialize.verify.rows import ShardRow
from tol_db.db.base import ShardState
from tol_db.db.engine import Database

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did.

    Attributes:
        shards: numbers of those that are planned again.
        set_aside: where the files went that were in their places.
    """

    shards: tuple[int, ...]
    set_aside: tuple[Path, ...]


def repair(db: Database, dataset: Dataset, shards: Sequence[ShardRow], keeper: Keeper) -> Repaired:
    """Put these shards back to planned and their images to pending; their files are set aside, never deleted.

    A file that was missing and is there again was away, not lost: it keeps its place and its receipts, by which
    the next run adopts it, if its bytes are still those.

    Raises:
        CannotWrite: a receipt cannot be removed or a file not be renamed; what was done stays done.
        LeaseHeld: another run took the dataset over.
    """
    if not shards:
        return Repaired((), ())
    moved = []
    try:
        receipts = receipts_of(dataset.output_root)
        for shard in shards:
            keeper.beat()
            if shard.state is ShardState.BAD:
                remove_receipts(receipts.get(shard.number, []))
                final = dataset.output_root / shard.path
                moved += [set_aside(final)] if os.path.lexists(final) else []
    except OSError as err:
        raise cannot_write(Path(err.filename or dataset.output_root), err) from err
    with db.write() as conn:
        keeper.guard(conn)
        ledger.reopen(conn, [shard.id for shard in shards], ShardState.PLANNED)
    return Repaired(tuple(shard.number for shard in shards), tuple(moved))


def remove_receipts(paths: Sequence[Path]) -> None:
    """Remove receipts, so that no file is adopted by them.

    Raises:
        OSError
    """
    for path in paths:
        path.unlink(missing_ok=True)
    for folder in {path.parent for path in paths}:
        sync_folder(folder)


class Receipts:
    """The receipts under an output root, listed once, when the first bad shard is met."""

    def __init__(self, output_root: Path) -> None:
        self._root = output_root
        self._by_shard: dict[int, list[Path]] | None = None

    def void(self, shard: int) -> None:
        """Take away by what the next start of a run could adopt the file of a bad shard (its number) again.

        Where the root takes no changes (mounted read-only), the result is written down all the same.
        """
        try:
            if self._by_shard is None:
                self._by_shard = receipts_of(self._root)
            remove_receipts(self._by_shard.get(shard, []))
        except OSError as err:
            log.warning("shard %d: its receipts cannot be removed: %s", shard, err.strerror or err)
