"""Answers as CSV: UTF-8, a line of column names, NULL as the empty field."""

from __future__ import annotations

import csv
import os
import secrets
from itertools import islice
from pathlib import Path
from typing import TextIO

import sqlalchemy as sa

from tol_db.audit.runner import Answer, Audit, stream
from tol_db.errors import CannotWrite


def write_rows(answer: Answer, file: TextIO, limit: int | None = None) -> int:
    """Write the first ``limit`` rows (None: all) of an answer as they come; how many were found.

    With a limit that is reached, one more row is looked for and no further: the number is then ``limit + 1``.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(answer.columns)
    found = 0
    for row in islice(answer.rows, None if limit is None else limit + 1):
        found += 1
        if limit is None or found <= limit:
            writer.writerow(row)
    return found


def write_file(conn: sa.Connection, audit: Audit, folder: Path, limit: int | None = None) -> int:
    """Ask, and write ``NAME.csv`` in a folder, which is made; a file of that name is replaced by the whole new one.

    Returns:
        How many rows were found, as :func:`write_rows` says.

    Raises:
        CannotWrite: the folder or the file cannot be written.
    """
    target = folder / f"{audit.name}.csv"
    partial = folder / f".{audit.name}.csv.{secrets.token_hex(4)}.partial"
    answer = stream(conn, audit)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("w", newline="", encoding="utf-8") as file:
                found = write_rows(answer, file, limit)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as err:
        raise CannotWrite(f"{target}: {err.strerror or err}", hint="check the folder and free space") from err
    return found
