"""What a worker is decoding right now, in memory that its parent sees: so that a crash has a name.

A decoder in C can crash or hang on hostile bytes and takes its process along. The worker notes each image here
before it decodes it (a microsecond); the parent reads it when the worker has died, or has been silent for too
long.
"""

from __future__ import annotations

import struct
import time
import uuid
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

_ROW = struct.Struct("=?16sd")


@dataclass(frozen=True, slots=True)
class Decoding:
    """An image that is being decoded.

    Attributes:
        key: its treeoflife_id.
        seconds: since when.
    """

    key: str
    seconds: float


class Slot:
    """One worker's place; made by the parent, handed to the worker when it is started."""

    def __init__(self) -> None:
        self._shared: Any = get_context("spawn").RawArray("b", _ROW.size)

    def enter(self, key: str) -> None:
        _ROW.pack_into(memoryview(self._shared).cast("B"), 0, True, uuid.UUID(key).bytes, time.monotonic())

    def leave(self) -> None:
        memoryview(self._shared).cast("B")[0] = 0

    def decoding(self) -> Decoding | None:
        """What is being decoded, or was when the worker died; None between images."""
        busy, key, since = _ROW.unpack_from(memoryview(self._shared).cast("B"), 0)
        return Decoding(str(uuid.UUID(bytes=key)), time.monotonic() - since) if busy else None
