"""How an array of checks learns what to check: it is submitted before the shards that it will check are collected.

``submit`` leaves an order, ``<root>/_snapshots/verify-<token>.json``, that says how many tasks there are. The
collect job that runs in between makes a snapshot of the shards that are complete then and not verified yet, shares
them out among so many tasks, and writes its name into the order; each task reads it there.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from materialize.dataset import Dataset
from materialize.notes import writer
from materialize.shard import write_synced
from materialize.slurm.snapshot import FOLDER, write_snapshot
from materialize.slurm.snapshot_rows import Purpose
from materialize.steps import SmallFile
from tol_db.db.base import ShardState
from tol_db.db.bulk import query
from tol_db.db.engine import Database
from tol_db.errors import InputError, InputMissing

FORMAT = 1
_NAME = re.compile(r"verify-[0-9a-f]+\.json")


@dataclass(frozen=True, slots=True)
class Order:
    """An order to check shards.

    Attributes:
        dataset: uuid of the dataset.
        tasks: of the array.
        sha256: of the snapshot, hex; None until it is made.
    """

    path: Path
    dataset: str
    tasks: int
    sha256: str | None = None

    def write(self) -> None:
        """Raises: CannotWrite."""
        table = {"format": FORMAT, "dataset": self.dataset, "tasks": self.tasks, "snapshot": self.sha256}
        write_synced(self.path, json.dumps(table).encode() + b"\n", writer(), SmallFile.ORDER)

    @property
    def snapshot(self) -> Path:
        """Where the snapshot lies.

        Raises:
            InputMissing: none was made.
        """
        if self.sha256 is None:
            raise InputMissing(
                f"{self.path}: no snapshot was made of what is to be checked",
                hint="its collect job has not come to it: see its log, then run `tol-db slurm submit` again",
            )
        return self.path.with_name(f"{self.sha256}.sqlite")


def order_path(root: Path) -> Path:
    """A name for a new order."""
    return root / FOLDER / f"verify-{secrets.token_hex(6)}.json"


def is_order(path: Path) -> bool:
    """Whether a file is named like an order."""
    return bool(_NAME.fullmatch(path.name))


def read_order(path: Path) -> Order:
    """Raises: InputMissing: it is not there. InputError: it is no order."""
    try:
        table = json.loads(path.read_bytes())
        tasks, dataset, sha256 = table["tasks"], table["dataset"], table["snapshot"]
        if table["format"] != FORMAT or not isinstance(tasks, int) or tasks < 1 or not isinstance(dataset, str):
            raise ValueError(f"not an order of format {FORMAT}")
        if sha256 is not None and not re.fullmatch("[0-9a-f]{64}", sha256):
            raise ValueError(f"its snapshot is {sha256!r}")
    except OSError as err:
        raise InputMissing(f"{path}: {err.strerror}", hint="run `tol-db slurm submit` again") from err
    except (ValueError, TypeError, KeyError, RecursionError) as err:
        raise InputError(f"{path}: not a readable order: {err}", hint="run `tol-db slurm submit` again") from err
    return Order(path, dataset, tasks, sha256)


def orders(root: Path) -> list[Path]:
    """The orders under an output root."""
    folder = root / FOLDER
    return sorted(path for path in folder.iterdir() if is_order(path)) if folder.is_dir() else []


def snapshots_of_orders(root: Path) -> set[str]:
    """The sha256 of the snapshots that orders name."""
    found = set()
    for path in orders(root):
        with suppress(InputMissing, InputError):
            if sha256 := read_order(path).sha256:
                found.add(sha256)
    return found


def carry_out(db: Database, dataset: Dataset, path: Path, between_parts: Callable[[], None]) -> Order:
    """Make the snapshot of an order: the shards that are complete by now and not verified yet.

    Args:
        db: the caller holds the lease of the dataset.
        path: of the order.
        between_parts: called now and then, where nothing is being read; what it raises ends the work.

    Raises:
        InputMissing, InputError: there is no such order, or it is another dataset's.
        CannotWrite: the root takes no more.
    """
    order = read_order(path)
    if order.dataset != dataset.uuid:
        raise InputError(f"{path}: an order for another dataset", hint="run `tol-db slurm submit` again")
    with db.read() as conn:
        sql = "SELECT number, planned FROM shard WHERE dataset_id = ? AND state = ? ORDER BY number"
        sizes = dict(query(conn, sql, (dataset.id, ShardState.COMPLETE.value)))
    numbers = list(sizes)
    share = -(-len(numbers) // order.tasks)
    tasks = [numbers[first : first + share] for first in range(0, len(numbers), share or 1)]
    snapshot = write_snapshot(db, dataset, tasks, sizes, purpose=Purpose.VERIFY, between_parts=between_parts)
    made = Order(path, order.dataset, order.tasks, snapshot.sha256)
    made.write()
    return made
