"""Settings that no single command owns: flags > environment > ``tol-db.toml`` > defaults."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tol_db.errors import InputError, InputMissing

DEFAULT_DATABASE = Path("tol.sqlite")
CONFIG_NAME = "tol-db.toml"
IMAGE_TIMEOUT = 120.0
"""Seconds. The largest picture that recipe `clean` takes needs some five on a slow core."""


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """What jobs on a cluster ask for; the table ``[slurm]``, and ``TOL_DB_SLURM_*`` in the environment.

    Attributes:
        account, partition: None: the cluster's default.
        time: wall time of a job, as sbatch(1) takes it.
        cpus: cores of an array task; mem: its memory, as sbatch takes it.
        task_minutes: how long a task is meant to take; None: half of ``time``.
        rate: images a second and core; None: as measured.
        throttle: array tasks that run at once; None: as many as the cluster lets.
        requeues: how often a task asks to be started again when its time is over.
        verify_shards: shards that one task checks; where there are no more in all, one job checks them.
        setup: shell lines that make `tol-db` ready in a job.
        sbatch_options: more options for all jobs.
        local_dir: a folder on the disk of each node; None: ``$SLURM_TMPDIR``, ``$TMPDIR``, ``/tmp``.
    """

    account: str | None = None
    partition: str | None = None
    time: str = "08:00:00"
    cpus: int = 8
    mem: str = "8G"
    task_minutes: float | None = None
    rate: float | None = None
    throttle: int | None = None
    requeues: int = 3
    verify_shards: int = 500
    setup: str | None = None
    sbatch_options: tuple[str, ...] = ()
    local_dir: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What a command starts from.

    Attributes:
        database: path of the database.
        workers: processes of a pool; by default the cores this process may use.
        image_timeout: seconds that decoding one image may take.
        recipes: tables ``[recipe.NAME]`` of the toml file, verbatim.
        slurm: what jobs on a cluster ask for.
        config: the toml file that was read, or None.
    """

    database: Path = DEFAULT_DATABASE
    workers: int = 1
    image_timeout: float = IMAGE_TIMEOUT
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    slurm: SlurmSettings = SlurmSettings()
    config: Path | None = None


def load(
    *,
    database: Path | None = None,
    workers: int | None = None,
    config: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Settings from flags (the arguments), the environment and a toml file.

    Environment: ``TOL_DB``, ``TOL_DB_WORKERS``, ``TOL_DB_IMAGE_TIMEOUT``, ``TOL_DB_CONFIG``, ``TOL_DB_SLURM_…``.
    The toml file is ``./tol-db.toml`` unless one is named: keys ``database``, ``workers`` and ``image_timeout``,
    tables ``[recipe.NAME]`` and ``[slurm]`` (see :class:`SlurmSettings`).

    Raises:
        InputError: the toml file is broken, has a key that is not known, or a value of another type.
        InputMissing: a toml file was named and is not there.
    """
    table, found = _read_toml(config or _path(environ.get("TOL_DB_CONFIG")))
    unknown = sorted(set(table) - {"database", "workers", "image_timeout", "recipe", "slurm"})
    if unknown:
        known = "database, workers, image_timeout, [recipe.NAME], [slurm]"
        raise InputError(f"{found}: unknown key {unknown[0]!r}", hint=f"known: {known}")
    recipes = table.get("recipe", {})
    if not isinstance(recipes, dict) or not all(isinstance(r, dict) for r in recipes.values()):
        raise InputError(f"{found}: recipes are tables: [recipe.NAME]")
    from_file = table.get("database")
    if from_file is not None and not isinstance(from_file, str):
        raise InputError(f"{found}: database: a path in quotes is wanted, not {from_file!r}")
    path = database or _path(environ.get("TOL_DB"))
    if path is None and from_file is not None and found is not None:
        path = found.parent / from_file
    return Settings(
        database=path or DEFAULT_DATABASE,
        workers=_workers(workers, environ.get("TOL_DB_WORKERS"), table.get("workers"), found),
        image_timeout=_seconds(environ.get("TOL_DB_IMAGE_TIMEOUT"), table.get("image_timeout"), found),
        recipes=recipes,
        slurm=_slurm(table.get("slurm", {}), environ, found),
        config=found,
    )


def usable_cores() -> int:
    """Cores that this process may run on: SLURM's grant or the affinity mask, not what the machine has."""
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if granted.isdigit() and int(granted) > 0:
        return int(granted)
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _read_toml(named: Path | None) -> tuple[dict[str, Any], Path | None]:
    path = named or Path(CONFIG_NAME)
    try:
        with path.open("rb") as file:
            return tomllib.load(file), path
    except FileNotFoundError:
        if named is not None:
            raise InputMissing(f"{named}: no such settings file") from None
        return {}, None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise InputError(f"{path}: {err}", hint="mend the toml, or name another file with --config") from None
    except OSError as err:
        raise InputMissing(f"{path}: {err.strerror}") from None


def _workers(flag: int | None, variable: str | None, from_file: object, path: Path | None) -> int:
    if flag is not None:
        return flag
    if variable:
        if not variable.isdigit() or int(variable) < 1:
            raise InputError(f"TOL_DB_WORKERS={variable!r}: a number of processes, 1 or more, is wanted")
        return int(variable)
    if from_file is not None:
        if not isinstance(from_file, int) or isinstance(from_file, bool) or from_file < 1:
            raise InputError(f"{path}: workers: a number of processes, 1 or more, is wanted")
        return from_file
    return usable_cores()


def _seconds(variable: str | None, from_file: object, path: Path | None) -> float:
    where, value = ("TOL_DB_IMAGE_TIMEOUT", variable) if variable else (f"{path}: image_timeout", from_file)
    if value is None:
        return IMAGE_TIMEOUT
    try:
        seconds = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise InputError(f"{where}: a number of seconds is wanted, not {value!r}")
    return seconds


def _slurm(table: object, environ: Mapping[str, str], path: Path | None) -> SlurmSettings:
    if not isinstance(table, dict):
        raise InputError(f"{path}: [slurm] is a table")
    unknown = sorted(set(table) - set(_SLURM))
    if unknown:
        raise InputError(f"{path}: [slurm]: unknown key {unknown[0]!r}", hint=f"known: {', '.join(_SLURM)}")
    found: dict[str, Any] = {}
    for key, (read, wanted) in _SLURM.items():
        variable = f"TOL_DB_SLURM_{key.upper()}"
        given = environ.get(variable) or table.get(key)
        if given is None:
            continue
        where = variable if environ.get(variable) else f"{path}: [slurm]: {key}"
        value = read(given)
        if value is None:
            raise InputError(f"{where}: {wanted} is wanted, not {given!r}")
        found[key] = value
    return SlurmSettings(**found)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> tuple[str, ...] | None:
    """A list; in the environment: words with blanks between them."""
    words = value.split() if isinstance(value, str) else value
    return tuple(words) if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


def _count(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _positive_count(value: object) -> int | None:
    return _count(value) or None


def _positive(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


_SLURM: Mapping[str, tuple[Callable[[object], Any], str]] = {
    "account": (_text, "a name"),
    "partition": (_text, "a name"),
    "time": (_text, 'a time such as "08:00:00"'),
    "cpus": (_positive_count, "a number of cores, 1 or more,"),
    "mem": (_text, 'a size such as "8G"'),
    "task_minutes": (_positive, "a number of minutes"),
    "rate": (_positive, "a number of images a second and core"),
    "throttle": (_positive_count, "a number of tasks, 1 or more,"),
    "requeues": (_count, "a number"),
    "verify_shards": (_positive_count, "a number of shards, 1 or more,"),
    "setup": (_text, "shell lines"),
    "sbatch_options": (_texts, "a list of options"),
    "local_dir": (_text, "a folder"),
}
