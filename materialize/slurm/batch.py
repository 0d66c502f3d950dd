"""The jobs of a submission: which follow on the arrays, and the script of each."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from materialize.dataset import Dataset
from materialize.slurm import scripts
from materialize.slurm.arrays import Array, array_option, wall_seconds, warning_seconds
from materialize.slurm.jobs import Submission
from tol_db.settings import SlurmSettings

LOGS = "_logs"


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be submitted, before anything is.

    Attributes:
        database, config: absolute path; the settings file that the jobs read too.
        tasks: the work units of each task; arrays: of these tasks.
        live: arrays of earlier submissions that are in the queue.
        order: tells the tasks of an array of checks what they check; None where one job checks all.
        verify_tasks: how many there are of those.
    """

    dataset: Dataset
    settings: SlurmSettings
    database: Path
    config: Path | None
    tasks: Sequence[tuple[int, ...]]
    arrays: Sequence[Array]
    live: Sequence[Submission]
    order: Path | None
    verify_tasks: int


@dataclass(frozen=True, slots=True)
class Follower:
    """A job that starts when the one before it has ended, however that was.

    Attributes:
        kind: ``collect``, ``verify`` or ``report``.
        tasks: of an array; 1: it is none.
        script: whole.
    """

    kind: str
    tasks: int
    script: str


def verify_tasks(shards: int, per_task: int, max_array_size: int) -> int:
    """How many tasks check so many shards; 1: one job does, and writes down by itself what it finds."""
    return max(1, min(-(-shards // per_task), max_array_size))


def array_script(work: Work, array: Array, snapshot: Path) -> str:
    """The script of an array over work units."""
    settings = work.settings
    options = _options(work, "array", is_array=True) | {
        "--array": array_option(array, settings.throttle, len(work.arrays)),
        "--cpus-per-task": str(settings.cpus),
    }
    values = _task_values(work) | {
        "TOL_DB_SLURM_SNAPSHOT": str(snapshot),
        "TOL_DB_SLURM_OFFSET": str(array.offset),
    }
    return scripts.render("materialize", options, values, settings.sbatch_options)


def followers(work: Work, *, verify: bool) -> list[Follower]:
    """What comes after the arrays, in order: collect, checks, collect again where these are an array, report.

    Where the checks are an array, the first collect makes their snapshot: what it has entered is what they check.
    """
    if not verify:
        return [_single(work, "collect"), _single(work, "report")]
    if work.order is None:
        return [
            _single(work, "collect"),
            _single(work, "verify", script="verify_single", cpus=work.settings.cpus),
            _single(work, "report"),
        ]
    ordered = {"TOL_DB_SLURM_VERIFY_ORDER": str(work.order)}
    return [
        _single(work, "collect", more=ordered),
        _verify_array(work, work.order),
        _single(work, "collect"),
        _single(work, "report"),
    ]


def _verify_array(work: Work, order: Path) -> Follower:
    settings = work.settings
    options = _options(work, "verify", is_array=True) | {
        "--array": array_option(Array(0, work.verify_tasks), settings.throttle),
        "--cpus-per-task": str(settings.cpus),
    }
    values = _task_values(work) | {"TOL_DB_SLURM_SNAPSHOT": str(order)}
    return Follower("verify", work.verify_tasks, scripts.render("verify", options, values, settings.sbatch_options))


def _single(
    work: Work, kind: str, script: str | None = None, cpus: int = 1, more: dict[str, str] | None = None
) -> Follower:
    values = (
        _values(work) | {"TOL_DB": str(work.database), "TOL_DB_SLURM_DATASET": work.dataset.name} | (more or {})
    )
    options = _options(work, kind) | {"--cpus-per-task": str(cpus)}
    return Follower(kind, 1, scripts.render(script or kind, options, values, work.settings.sbatch_options))


def _options(work: Work, kind: str, *, is_array: bool = False) -> dict[str, str | None]:
    settings = work.settings
    signal = "USR1" if is_array else "TERM"  # only an array task asks to be started again
    options: dict[str, str | None] = {
        "--time": settings.time,
        "--mem": settings.mem,
        "--signal": f"B:{signal}@{warning_seconds(wall_seconds(settings.time))}",
        "--output": scripts.log_pattern(work.dataset.output_root / LOGS, kind, is_array=is_array),
        "--chdir": str(work.dataset.output_root),  # a settings file where the user stands now is not read by chance
    }
    named = {"--account": settings.account, "--partition": settings.partition}
    return {option: value for option, value in named.items() if value} | options


def _task_values(work: Work) -> dict[str, str]:
    """What the tasks of all arrays get."""
    values = _values(work) | {
        "TOL_DB_SLURM_DATASET": work.dataset.name,
        "TOL_DB_SLURM_REQUEUES": str(work.settings.requeues),
    }
    return values | ({"TOL_DB_SLURM_LOCAL_DIR": work.settings.local_dir} if work.settings.local_dir else {})


def _values(work: Work) -> dict[str, str]:
    """What all jobs get: where tol-db is, and the settings file."""
    values = {}
    command = Path(sys.executable).with_name("tol-db")
    found = command if command.is_file() else shutil.which("tol-db")
    if found:
        values["TOL_DB_SLURM_BIN"] = str(Path(found).parent)
    if work.settings.setup:
        values["TOL_DB_SLURM_SETUP"] = work.settings.setup
    if work.config is not None:
        values["TOL_DB_CONFIG"] = str(work.config.absolute())
    return values
