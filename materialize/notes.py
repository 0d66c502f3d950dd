"""Who writes a dataset's shards without its database: one small file per attempt, beside the receipts.

A run that only leaves receipts (an array task; ``materialize --receipts-only``) cannot hold a lease, which is a
row of the database. Before it opens a partial it writes ``_receipts/attempt-<token>.json``, touches it while it
is alive, and writes down there how it ended. `collect` enters notes into the ledger and removes them; partials
of an attempt are only swept once it is known to be dead.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from materialize import cluster
from materialize.receipt import FOLDER
from materialize.root import require_mounted
from materialize.shard import write_synced
from materialize.steps import SmallFile
from tol_db.db.bulk import utc_now
from tol_db.db.holders import STALE_SECONDS, process_exists
from tol_db.errors import LeaseHeld, TolDbError

FORMAT = 1
_NAME = re.compile(r"attempt-([0-9a-f]+)\.json")


@dataclass(frozen=True, slots=True)
class Note:
    """One try of one process at one work unit.

    Attributes:
        unit: number of the work unit.
        token: of the attempt.
        host, pid, slurm_job_id, slurm_array_task: where it runs.
        started_at, ended_at: UTC; ended_at None while it runs, or where it never told.
        ending: ``done``, ``failed``, ``interrupted`` or None.
        detail: what went wrong.
        slurm_cluster: the name of the cluster that ``slurm_job_id`` is a number of.
    """

    dataset: str
    unit: int
    token: str
    host: str
    pid: int
    slurm_job_id: str | None
    slurm_array_task: str | None
    started_at: str
    ended_at: str | None = None
    ending: str | None = None
    detail: str | None = None
    slurm_cluster: str | None = None

    def ended(self, ending: str, detail: str | None) -> Note:
        return replace(self, ended_at=utc_now(), ending=ending, detail=detail)


def new_note(dataset: str, unit: int, token: str, pid: int) -> Note:
    """The note of an attempt of process ``pid`` of this host that begins now."""
    job, task = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    where = os.environ.get("SLURM_CLUSTER_NAME")
    return Note(dataset, unit, token, socket.gethostname(), pid, job, task, utc_now(), slurm_cluster=where)


def note_path(root: Path, token: str) -> Path:
    return root / FOLDER / f"attempt-{token}.json"


def write_note(root: Path, note: Note) -> None:
    """Write or rewrite a note.

    Raises:
        OutputNotMounted: the root has gone away.
        CannotWrite
    """
    require_mounted(root)
    text = json.dumps({"format": FORMAT, **asdict(note)}, ensure_ascii=False) + "\n"
    write_synced(note_path(root, note.token), text.encode(), writer(), SmallFile.NOTE)


def writer() -> str:
    """This process, for the names of partials that no note tells of yet: its number, and a mark of its host."""
    return f"{os.getpid():08x}{_host_mark()}"


def _host_mark() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]


def is_note_partial(path: Path) -> bool:
    """Whether a partial is that of a note, a result of `verify` or the clock, not of a shard or receipt."""
    return path.name.startswith((".attempt-", ".verified-", ".clock."))


def is_orphaned(path: Path) -> bool:
    """Whether the process that writes such a partial is gone; elsewhere, silence has to tell."""
    writer = path.name.split(".")[-2]
    if writer[8:] == _host_mark():
        return not process_exists(int(writer[:8], 16))
    try:
        return _clock_of(path.parent) - path.stat().st_mtime > STALE_SECONDS
    except FileNotFoundError:
        return False


def touch(root: Path, token: str) -> None:
    """Show that an attempt is alive. A disk that refuses this refuses the next shard too, and that is told."""
    with suppress(OSError):
        os.utime(note_path(root, token))


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes under an output root.

    Attributes:
        alive: of attempts that may still write.
        over: of attempts that ended, or whose process is gone (``ending`` is None there).
        foreign: files with a note's name that are none, or another dataset's.
    """

    alive: tuple[Note, ...]
    over: tuple[Note, ...]
    foreign: tuple[Path, ...]


def read_notes(root: Path, dataset: str) -> Notes:
    """All notes of a dataset (its uuid) under its output root, judged as of now.

    An attempt of a SLURM job is over, too, when squeue does not list the job any more: where there is no
    squeue, or it does not answer, only the note itself tells.

    Raises:
        OSError: the folder cannot be read or written.
    """
    alive: list[Note] = []
    over: list[Note] = []
    foreign: list[Path] = []
    folder = root / FOLDER
    paths = sorted(p for p in folder.iterdir() if _NAME.fullmatch(p.name)) if folder.is_dir() else []
    now = _clock_of(folder) if paths else 0.0
    for path in paths:
        try:
            note, touched = _read(path)
        except FileNotFoundError:
            continue  # another `collect` was quicker
        except (ValueError, TypeError, KeyError):
            foreign.append(path)
            continue
        if note.dataset != dataset:
            foreign.append(path)
            continue
        (alive if _may_write(note, now - touched) else over).append(note)
    gone = _of_ended_jobs([note for note in alive if _is_mine(note_path(root, note.token))])
    over += [note for note in alive if note.token in gone]
    alive = [note for note in alive if note.token not in gone]
    return Notes(tuple(alive), tuple(over), tuple(foreign))


def _is_mine(path: Path) -> bool:
    """Whether a note is this user's: many clusters list nobody the jobs of others."""
    with suppress(OSError):
        return path.stat().st_uid == os.geteuid()
    return False


def _of_ended_jobs(alive: list[Note]) -> set[str]:
    """Tokens of attempts whose job our cluster does not list any more; another cluster's jobs are not asked for."""
    if not any(note.slurm_job_id and note.slurm_cluster for note in alive) or not cluster.is_here():
        return set()
    try:
        here = cluster.name()
        ours = {note.token: note.slurm_job_id for note in alive if note.slurm_job_id and note.slurm_cluster == here}
        listed = {job.raw_id for job in cluster.jobs(set(ours.values()), is_patient=False)}
    except TolDbError:
        return set()
    return {token for token, job in ours.items() if job not in listed}


def _read(path: Path) -> tuple[Note, float]:
    with path.open("rb") as file:
        touched = os.fstat(file.fileno()).st_mtime
        table = json.load(file)
    if not isinstance(table, dict) or table.pop("format") != FORMAT:
        raise ValueError("another format")
    return Note(**table), touched


def _may_write(note: Note, silent_seconds: float) -> bool:
    if note.ended_at is not None:
        return False
    if note.host == socket.gethostname() and not process_exists(note.pid):
        return False
    return silent_seconds < STALE_SECONDS


def _clock_of(folder: Path) -> float:
    """Now, by the clock that the file system stamps files with: a server's may differ from ours by minutes."""
    probe = folder / f".clock.{writer()}.partial"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink()


def require_over(root: Path, dataset: str, name: str) -> None:
    """Check that no run that only leaves receipts is at work on a dataset (its uuid and name).

    Raises:
        LeaseHeld: one is, or may be.
        OSError: the folder of notes cannot be read.
    """
    alive = read_notes(root, dataset).alive
    if alive:
        first = alive[0]
        job = f", SLURM job {first.slurm_job_id}" if first.slurm_job_id else ""
        raise LeaseHeld(
            f"{len(alive)} work units of dataset {name!r} are being written elsewhere, unit {first.unit} "
            f"by process {first.pid} on {first.host}{job}",
            hint=f"wait for them, then `tol-db collect --dataset {name}`; "
            f"one that died counts as over after {STALE_SECONDS:.0f} s",
        )
