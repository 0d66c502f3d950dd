"""Runs the commands of SLURM and reads what they answer: formats that SLURM 20.11 and later print alike.

A controller that does not answer is asked again for about a minute. Nothing is asked twice that would then be
done twice: a job whose sbatch never told its number is looked for by its name.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from tol_db.errors import InputMissing, Interrupted, TolDbError

TIMEOUT = 60.0
"""Seconds that one command may take."""
PAUSES = (2.0, 5.0, 10.0, 20.0)
"""Seconds between one try and the next while the controller does not answer."""
DEFAULT_MAX_ARRAY_SIZE = 1001
"""Of slurm.conf(5), where the controller does not say."""
MANY_IDS = 1000
"""More job numbers than this are no argument for squeue: all jobs of the user are listed then."""

_NO_ANSWER = re.compile(
    r"unable to contact slurm controller|socket timed out|connection refused|connection timed out|"
    r"zero bytes were transmitted|communication connection failure|controller in standby|transport endpoint|"
    r"unable to establish control(ler)? machine|unexpected message received|slurmctld.*(down|not responding)",
    re.IGNORECASE,
)
_ROW = "%F|%K|%A|%T|%M|%N|%r|%j"


@dataclass(frozen=True, slots=True)
class Job:
    """A job, or one task of an array, that squeue lists.

    Attributes:
        id: of the job; of the array where it is a task.
        task: number in the array, or None.
        raw_id: SLURM_JOB_ID of the task itself.
        state: ``RUNNING``, ``PENDING``, …
        elapsed: as squeue writes it; node: where it runs; reason: why it does not.
        name: as it was submitted; ours are given to no other job (:func:`submit`).
    """

    id: str
    task: int | None
    raw_id: str
    state: str
    elapsed: str
    node: str
    reason: str
    name: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How accounting says that a job or task ended.

    Attributes:
        state: ``COMPLETED``, ``FAILED``, ``TIMEOUT``, …
        exit_code: ``75:0``: exit code and signal.
        name: of the job.
    """

    state: str
    exit_code: str
    elapsed: str
    name: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """What sbatch tells of a job: its number, and the cluster whose number it is, where that is not this one."""

    job: str
    cluster: str | None


_NOT_OURS = ("SLURM_", "SQUEUE_", "SCANCEL_", "SACCT_", "SCONTROL_")
"""Environment that changes what the commands answer; SBATCH_ACCOUNT and the like are what a user wants."""


class ControllerSilent(Interrupted):
    """The controller did not answer: nothing is known."""


def is_here() -> bool:
    """Whether this host has the commands of SLURM."""
    return shutil.which("squeue") is not None


def name(*, is_patient: bool = False) -> str:
    """ClusterName: job numbers are those of one cluster. Raises as :func:`max_array_size`."""
    # in a job that is where it runs; SLURM_CLUSTERS makes the commands speak with another one
    inside = os.environ.get("SLURM_CLUSTER_NAME") if "SLURM_CLUSTERS" not in os.environ else None
    return inside or _configured("ClusterName", is_patient=is_patient) or ""


def max_array_size() -> int:
    """MaxArraySize: tasks of an array count up to one less (slurm.conf(5)).

    Raises:
        InputMissing: no SLURM here. ControllerSilent. TolDbError: it refuses.
    """
    return int(_configured("MaxArraySize") or DEFAULT_MAX_ARRAY_SIZE)


def _configured(key: str, *, is_patient: bool = True) -> str | None:
    told = _ask("scontrol", "show", "config", is_patient=is_patient)
    match = re.search(rf"^{key}\s*=\s*(\S+)", told, re.MULTILINE)
    return match[1] if match else None


def jobs(ids: Collection[str], *, is_patient: bool = True) -> list[Job]:
    """Those of these jobs that are not over, each task of an array for itself; jobs that end now among them.

    Args:
        ids: of jobs, arrays, or single tasks (SLURM_JOB_ID).
        is_patient: ask again where the controller does not answer.

    Raises:
        InputMissing, ControllerSilent, TolDbError: as :func:`max_array_size`.
    """
    if not ids:
        return []
    which = ("-j", ",".join(sorted(ids))) if len(ids) <= MANY_IDS else ("-u", getpass.getuser())
    return [job for job in _listed(which, is_patient) if job.id in ids or job.raw_id in ids]


def named(names: Collection[str], *, is_patient: bool = True) -> list[Job]:
    """As :func:`jobs`, of the jobs with these names."""
    return _listed(("-n", ",".join(sorted(names))), is_patient) if names else []


def _listed(which: tuple[str, str], is_patient: bool) -> list[Job]:
    try:
        text = _ask("squeue", "-h", "-r", *which, "-o", _ROW, is_patient=is_patient)
    except TolDbError as err:
        if "Invalid job id" in str(err):  # what squeue says where it knows none of them any more
            return []
        raise
    return [_job(line) for line in text.splitlines() if line.count("|") >= 7]


def _job(line: str) -> Job:
    id, task, raw, state, elapsed, node, reason, name = line.split("|", 7)
    return Job(id, int(task) if task.isdigit() else None, raw, state, elapsed, node, reason, name)


def submit(script: str, name: str, options: Iterable[str] = ()) -> Submitted:
    """Hand a script to sbatch.

    Args:
        script: the batch script, whole.
        name: of the job; no other job of the user has it.
        options: more words for sbatch.

    Raises:
        InputMissing. TolDbError: sbatch refuses it.
        ControllerSilent: the job may have been submitted all the same; :func:`named` finds it later.
    """
    words = ("sbatch", "--parsable", f"--job-name={name}", *options)
    told = _ask(*words, stdin=script, instead=lambda: _number_of(name))
    number, _, where = told.strip().splitlines()[-1].partition(";") if told.strip() else ("", "", "")
    if not number.isdigit():
        raise TolDbError(
            f"sbatch answered {told.strip()!r} instead of a job number", hint="look with `squeue --me`"
        )
    return Submitted(number, where.strip() or None)


def _number_of(name: str) -> str:
    """The job of that name, if sbatch got through although it did not say so."""
    return _run(("squeue", "-h", "-n", name, "-o", "%F"), None)[1].partition("\n")[0].strip()


def requeue(job: str) -> None:
    """Put a running job or task (``12_3``) back into the queue.

    Raises:
        InputMissing, ControllerSilent. TolDbError: SLURM does not do that.
    """
    _ask("scontrol", "requeue", job)


def cancel(ids: Collection[str]) -> None:
    """End jobs. Raises as :func:`requeue`."""
    if ids:
        _ask("scancel", *sorted(ids))


def accounting(ids: Collection[str]) -> dict[str, Ended]:
    """Job or task (``12_3``) → how it ended; empty where this cluster keeps no accounts, or they do not answer."""
    if not ids or shutil.which("sacct") is None:
        return {}
    words = ("sacct", "-n", "-P", "-X", "-j", ",".join(sorted(ids)), "-o", "JobID,State,ExitCode,Elapsed,JobName")
    try:
        code, text, _ = _run(words, None)
    except ControllerSilent:
        return {}
    rows = [line.split("|", 4) for line in text.splitlines()] if code == 0 else []
    return {row[0]: Ended(row[1].partition(" ")[0], *row[2:]) for row in rows if len(row) == 5}


def _ask(
    *words: str, stdin: str | None = None, instead: Callable[[], str] | None = None, is_patient: bool = True
) -> str:
    """What a command prints; it is run again while the controller does not answer, if we are patient.

    Args:
        instead: asked before a command is run again: what it finds is the answer.
    """
    why = ""
    for pause in (0.0, *PAUSES) if is_patient else (0.0,):
        time.sleep(pause)
        try:
            if why and instead is not None and (found := instead()):
                return found
            code, text, errors = _run(words, stdin)
        except ControllerSilent as err:
            why = str(err)
            continue
        if code == 0:
            return text
        why = " ".join(errors.split()) or f"exit code {code}"
        if not _NO_ANSWER.search(errors):
            raise TolDbError(f"{words[0]}: {why}", hint=_what_to_do(errors))
    raise ControllerSilent(
        f"SLURM's controller does not answer: {why}", hint="wait until `squeue` answers, then run again"
    )


def _run(words: tuple[str, ...], stdin: str | None) -> tuple[int, str, str]:
    """Exit code and both streams of a command.

    Raises:
        InputMissing: there is no such command.
        ControllerSilent: it did not end in time.
    """
    # options of the job that we may run in, and a user's filters, are none for the questions that are asked here
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(_NOT_OURS) or k in ("SLURM_CONF", "SLURM_CLUSTERS")
    }
    try:
        done = subprocess.run(
            words,
            input=stdin if stdin is not None else "",
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env={**kept, "LC_ALL": "C"},
            timeout=TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        raise InputMissing(
            f"{words[0]}: no such command: this host has no SLURM",
            hint="run it on a login node, or `module load slurm`; without SLURM: `tol-db materialize`",
        ) from None
    except subprocess.TimeoutExpired:
        raise ControllerSilent(f"{words[0]} did not end within {TIMEOUT:.0f} s") from None
    return done.returncode, done.stdout, done.stderr


def _what_to_do(errors: str) -> str:
    low = errors.lower()
    if "account" in low or "partition" in low or "qos" in low:
        return "name yours: --account, --partition, --sbatch-option=--qos=…, or [slurm] in tol-db.toml"
    if "time limit" in low or "node configuration" in low or "memory" in low or "cpu" in low:
        return "ask for what the partition has: --time, --cpus, --mem (`scontrol show partition`)"
    if "limit" in low or "qosmaxsubmit" in low:
        return "wait until jobs of yours are over, then run again: what was submitted is not submitted twice"
    return "see sbatch(1), or ask those who run the cluster"
