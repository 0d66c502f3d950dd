"""The migration scripts as files. Needs neither Alembic nor SQLAlchemy."""

from __future__ import annotations

from pathlib import Path

from tol_db.errors import InputMissing


def scripts_folder() -> Path:
    """The migration scripts: inside the package when installed, beside it in a checkout.

    Raises:
        InputMissing: neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise InputMissing(f"{package}: the migration scripts are missing", hint="install tol-db again")


def newest_revision() -> str:
    """The schema revision of this version: the last script's number.

    Raises:
        InputMissing: as :func:`scripts_folder`.
    """
    return max(script.name.partition("_")[0] for script in (scripts_folder() / "versions").glob("[0-9]*_*.py"))
