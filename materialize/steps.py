"""The named steps of the shard protocol, so that a process can be stopped, failed or killed before any of them.

Crash safety is shown by trying (as SQLite does it: sqlite.org/testing.html, "Anomaly Testing"): code calls
:func:`reached` right before each step; nobody listens in ordinary use, and the call costs nothing. A test
listens with :func:`observe`, in the process under test, and does there what a failing disk or a power button
does.
"""

from __future__ import annotations

import enum
from collections.abc import Callable


class Step(enum.StrEnum):
    """Steps in the order in which a shard goes through them (docs/design.md, "The shard protocol")."""

    LEDGER_ATTEMPT = "attempt.begin"
    NOTE_OPEN = "note.open"
    NOTE_WRITE = "note.write"
    NOTE_FSYNC = "note.fsync"
    NOTE_RENAME = "note.rename"
    NOTE_FSYNC_FOLDER = "note.fsync_folder"
    SHARD_OPEN = "shard.open"
    SHARD_WRITE = "shard.write"
    SHARD_END = "shard.end"
    SHARD_FLUSH = "shard.flush"
    SHARD_FSYNC = "shard.fsync"
    RECEIPT_OPEN = "receipt.open"
    RECEIPT_WRITE = "receipt.write"
    RECEIPT_FSYNC = "receipt.fsync"
    RECEIPT_RENAME = "receipt.rename"
    RECEIPT_FSYNC_FOLDER = "receipt.fsync_folder"
    SHARD_LINK = "shard.link"
    SHARD_UNLINK = "shard.unlink"
    SHARD_FSYNC_FOLDER = "shard.fsync_folder"
    LEDGER_BEGIN = "ledger.begin"
    LEDGER_FIND = "ledger.find"
    LEDGER_WRITER = "ledger.writer"
    LEDGER_IMAGES = "ledger.images"
    LEDGER_SHARD = "ledger.shard"
    LEDGER_COUNTERS = "ledger.counters"
    LEDGER_COMMIT = "ledger.commit"
    LEDGER_DONE = "ledger.done"
    LEDGER_END = "attempt.end"


class SmallFile(enum.StrEnum):
    """Kinds of small files that are written whole or not at all; each write of them has five steps."""

    RECEIPT = "receipt"
    NOTE = "note"
    MARKER = "marker"
    SIZES = "sizes"
    RESULT = "result"
    ORDER = "order"


_observer: Callable[[str], None] | None = None


def observe(observer: Callable[[str], None] | None) -> None:
    """Have ``observer`` called with the name of each step that this process reaches; None ends it."""
    global _observer
    _observer = observer


def reached(step: str) -> None:
    """The process is about to take a step. What the observer raises is what the step failed with."""
    if _observer is not None:
        _observer(step)
