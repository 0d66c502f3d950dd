"""Runs a piece of a test without the rights of root, which no file mode stops."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """A folder that any user can reach; pytest's own are root's alone."""
    folder = Path(tempfile.mkdtemp(prefix="tol-db-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for inside in (folder, *folder.rglob("*")):
            if inside.is_dir():
                inside.chmod(0o755)
        shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Within, this process is an ordinary user; who is one already stays it."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.setresuid(NOBODY, NOBODY, 0)
    except PermissionError:
        pytest.skip("root without the right to change its user (a container)")
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
