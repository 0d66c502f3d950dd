"""Packages that tests fetch from an index, where one can be reached."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.running import environment


def pip_install(words: Sequence[object], *, of_pip: Sequence[object] = ()) -> None:
    """Run ``pip OF_PIP install WORDS``, which soon gives up; the test is skipped then."""
    command = [sys.executable, "-m", "pip", *of_pip, "install", "-q", "--retries", "1", "--timeout", "15", *words]
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=environment(),
    )
    if done.returncode:
        told = done.stderr.strip().splitlines()[-1:]
        pytest.skip(f"pip finds no package index, or not there what it is to install: {' '.join(told)}")
