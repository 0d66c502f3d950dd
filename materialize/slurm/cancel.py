"""Ends the jobs of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from materialize import cluster
from materialize.dataset import load_dataset
from materialize.slurm.jobs import Submission, enter_listing, listed, submissions
from tol_db.db.engine import Database


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What was cancelled.

    Attributes:
        jobs: numbers of the jobs that were ended.
        elsewhere: jobs of other clusters, which were left alone: their numbers are those of strangers here.
        cluster: the one whose jobs were ended.
    """

    jobs: tuple[str, ...]
    elsewhere: tuple[Submission, ...]
    cluster: str


def cancel(db: Database, name: str | None, confirm: Callable[[list[str]], bool]) -> Cancelled:
    """End all jobs of a dataset that this host's cluster lists, also those whose sbatch never told their number.

    Args:
        confirm: asked with their numbers; False: nothing is done.

    Raises:
        InputMissing: no SLURM here. ControllerSilent. TolDbError: it refuses.
    """
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        known = submissions(conn, dataset)
    listing = listed(known)
    # what depends on an array goes first: else it would start when the array has ended
    ids = [submission.job for submission in reversed(listing.live)]
    if not ids or not confirm(ids):
        return Cancelled((), listing.elsewhere, listing.cluster)
    for job in ids:
        cluster.cancel([job])
    # what winds down now is over for whoever asks from another cluster
    enter_listing(db, replace(listing, known=tuple(listing.live), jobs={}))
    return Cancelled(tuple(ids), listing.elsewhere, listing.cluster)
