"""Where an export goes: a file that is there whole or not at all, or standard output."""

from __future__ import annotations

import io
import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from tol_db.errors import CannotWrite


@contextmanager
def text_output(target: Path | None) -> Iterator[TextIO]:
    """A file for text in UTF-8 with line ends as they are written, whatever the locale says.

    Args:
        target: replaced when the new file is whole; None: standard output.

    Raises:
        CannotWrite: it cannot be written, the disk is full.
    """
    with binary_output(target) as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8", newline="")
        try:
            yield file
            file.flush()
        finally:
            with suppress(OSError, ValueError):  # what could not be written was told already
                file.detach()


@contextmanager
def binary_output(target: Path | None) -> Iterator[BinaryIO]:
    """A file for bytes; see :func:`text_output`."""
    with _standard_output() if target is None else _file(target) as file:
        yield file


def write_json(target: Path | None, value: Any) -> None:
    """Write indented JSON with a newline at its end.

    Raises:
        CannotWrite: as :func:`text_output`.
    """
    with text_output(target) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


@contextmanager
def _file(target: Path) -> Iterator[BinaryIO]:
    if not target.name:
        raise CannotWrite(f"{target} is a folder, not a file", hint="name a file in it")
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as err:
        raise CannotWrite(f"{target}: {err.strerror or err}", hint="check the folder and free space") from err


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    """Raises CannotWrite where the disk that it goes to is full, say; not where its reader has gone."""
    try:
        yield cast(BinaryIO, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except OSError as err:
        if isinstance(err, BrokenPipeError):
            raise
        _drop_standard_output()
        raise CannotWrite(f"standard output: {err.strerror or err}", hint="check the disk that it goes to") from err


def _drop_standard_output() -> None:
    """Send what could not be written to nowhere; it would be tried, and told, once more at every flush to come."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
