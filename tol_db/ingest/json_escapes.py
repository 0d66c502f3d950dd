"""Refuse JSON that escapes half a character: the fast parser would turn it into "?", and say nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

# an escape of any kind, so that what follows an escaped backslash is not taken for one
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.?)", re.DOTALL
)
_LONGEST: Final = len(rb"\ud83d\ude00")


class WholeCharacters:
    """JSON in the pieces that a parser asks for, each surrogate of which has its other half (RFC 8259 §8.2).

    Args:
        read: gives the next bytes, at most as many as it is asked for, and none at the end.

    Raises (in ``read``):
        ValueError: half a character; says at which byte.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._held = b""
        self._before = 0

    def read(self, size: int = -1) -> bytes:
        if size == 0:
            return b""
        ready = b""
        while not ready:
            new = self._read(max(1, size - _LONGEST) if size > 0 else -1)
            ready = self._checked(self._held + new, is_last=not new)
            if not new:
                break
        return ready

    def _checked(self, data: bytes, *, is_last: bool) -> bytes:
        """The data up to an escape that may go on in the next piece, which is held back."""
        end = len(data)
        for escape in _ESCAPE.finditer(data):
            if not is_last and escape.start() > len(data) - _LONGEST:
                end = escape.start()
                break
            if escape[1]:
                at = self._before + escape.start() + 1
                raise ValueError(f"byte {at}: {escape[0].decode()} is half a character")
        self._held = data[end:]
        self._before += end
        return data[:end]
