"""Where the published inputs lie, and the mark for tests that need them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
SHARED_DATA = SHARED / "data"

_Test = TypeVar("_Test", bound=Callable[..., object])


def needs_shared(test: _Test) -> _Test:
    """Marks a test as `shared`, and skips it where the published inputs are not beside the checkout."""
    absent = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason=f"{SHARED_DATA} is not there")
    marked: _Test = absent(pytest.mark.shared(test))
    return marked
