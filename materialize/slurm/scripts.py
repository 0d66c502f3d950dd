"""Batch scripts: those of the folder ``slurm/``, which people also run by hand, with values filled in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from tol_db.errors import InputMissing, UsageError

MARK = "# Settings: from the environment, else as they stand here."
"""The line of a script below which the values of a submission are written."""

_OPTION = re.compile(r"#SBATCH\s+(--[a-z-]+)")


def scripts_folder() -> Path:
    """The batch scripts: inside the package when installed, beside it in a checkout.

    Raises:
        InputMissing: neither is there.
    """
    import tol_db

    package = Path(tol_db.__file__).resolve().parent
    for folder in (package / "_slurm", package.parent / "slurm"):
        if (folder / "materialize.sbatch").is_file():
            return folder
    raise InputMissing(f"{package}: the batch scripts are missing", hint="install tol-db again")


def render(
    name: str, options: Mapping[str, str | None], settings: Mapping[str, str], more: Sequence[str] = ()
) -> str:
    """A script with values of its own.

    Args:
        name: ``materialize``, ``collect``, ``verify``, ``verify_single`` or ``report``.
        options: of sbatch: ``--time`` → value; None for an option without one. They replace those of the script.
        settings: environment variables that the script reads.
        more: whole options of the user (``--qos=x``), after all others.

    Raises:
        UsageError: an option of the user is none, or a value has a line end.
    """
    for option in more:
        if not option.startswith("-") or not option.isprintable():
            raise UsageError(
                f"--sbatch-option {option!r}: no option of sbatch", hint="such as --sbatch-option=--qos=long"
            )
    for key, text in settings.items():
        if "\0" in text:
            raise UsageError(f"{key}: a value with a zero byte cannot stand in a script")
    lines = (scripts_folder() / f"{name}.sbatch").read_text(encoding="utf-8").splitlines()
    theirs = {option.partition("=")[0] for option in more}
    replaced = {*options, *theirs}
    kept = [line for line in lines if not ((found := _OPTION.match(line)) and found[1] in replaced)]
    directives = [_directive(option, value) for option, value in options.items() if option not in theirs]
    directives += [f"#SBATCH {option}" for option in more]
    values = [f"export {key}={shlex.quote(value)}" for key, value in settings.items()]
    last = max((i for i, line in enumerate(kept) if line.startswith("#SBATCH")), default=0)
    mark = kept.index(MARK)
    head, middle, rest = kept[: last + 1], kept[last + 1 : mark + 1], kept[mark + 1 :]
    filled = ["# Values of this submission:", *values] if values else []
    return "\n".join([*head, *directives, *middle, *filled, *rest]) + "\n"


def _directive(option: str, value: str | None) -> str:
    if value is None:
        return f"#SBATCH {option}"
    if any(c in value for c in '\n\r\0"'):
        raise UsageError(
            f"{option}={value!r}: sbatch cannot take this in a script", hint="name another folder or value"
        )
    return f'#SBATCH {option}="{value}"' if re.search(r"[^\w@%:=./,+-]", value) else f"#SBATCH {option}={value}"


def log_pattern(folder: Path, kind: str, *, is_array: bool) -> str:
    """Where a job logs: sbatch fills in the numbers of job and task, and takes ``%`` for the start of such."""
    numbers = "%A_%a" if is_array else "%j"
    return f"{str(folder).replace('%', '%%')}/{kind}-{numbers}.log"


def log_path(folder: Path, kind: str, job: str, task: int | None) -> Path:
    """The log of a job or task."""
    return folder / (f"{kind}-{job}.log" if task is None else f"{kind}-{job}_{task}.log")
