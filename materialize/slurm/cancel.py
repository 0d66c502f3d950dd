"""Ends the jobs of a dataset."""

from __future__ import annotations

from collections.abc import Callable

from materialize import cluster
from materialize.dataset import load_dataset
from materialize.slurm.jobs import listed, submissions
from tol_db.db.engine import Database


def cancel(db: Database, name: str | None, confirm: Callable[[list[str]], bool]) -> list[str]:
    """End all jobs of a dataset that SLURM lists.

    Args:
        confirm: asked with their numbers; False: nothing is done.

    Returns:
        The numbers of the jobs that were ended.

    Raises:
        InputMissing: no SLURM here. ControllerSilent. TolDbError: it refuses.
    """
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        known = submissions(conn, dataset)
    jobs = listed(known)
    # what depends on an array goes first: else it would start when the array has ended
    ids = [s.job for s in reversed(known) if s.job in jobs]
    if not ids or not confirm(ids):
        return []
    for job in ids:
        cluster.cancel([job])
    return ids
