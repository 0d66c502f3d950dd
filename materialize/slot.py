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

_ROW = struct.Struct("=16sd")


@dataclass(frozen=True, slots=True)
class Decoding:
    """An image that is being decoded.

    Attributes:
        key: its treeoflife_id.
        since: when that began, by the clock ``time.monotonic``.
    """

    key: str
    since: float


class Slot:
    """One worker's place; made by the parent, handed to the worker when it is started.

    Raises:
        OSError: there is no memory or open file left for it.
    """

    def __init__(self) -> None:
        self._shared: Any = get_context("spawn").RawArray("b", 1 + _ROW.size)

    def enter(self, key: str) -> None:
        row = memoryview(self._shared).cast("B")
        row[1:] = _ROW.pack(uuid.UUID(key).bytes, time.monotonic())
        row[0] = 1  # last: who sees it set sees the rest

    def leave(self) -> None:
        memoryview(self._shared).cast("B")[0] = 0

    def decoding(self) -> Decoding | None:
        """What is being decoded, or was when the worker died; None between images.

        Of a living worker it may be a moment old, or torn between two images: judge by two looks.
        """
        row = memoryview(self._shared).cast("B")
        if not row[0]:
            return None
        key, since = _ROW.unpack(row[1:])
        return Decoding(str(uuid.UUID(bytes=key)), since)
