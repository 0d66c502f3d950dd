"""The command line with one fault in it: ``python -m tests.faulty --db …`` in place of ``python -m tol_db --db …``.

Workers are spawned, and a spawned process imports the main module of its parent: so what is set up here, at
import, holds in them too.

Environment:
    FAULT: ``step:action:nth:flag``. The nth time a process reaches the step (``materialize.steps``), the action
        is taken, once in the life of the file ``flag``, which is made then. Actions: ``kill`` (SIGKILL to
        the whole process group, as a power cut does), ``kill-one`` (to the process alone), ``stop`` (SIGSTOP
        to it), ``term`` (SIGTERM to the parent of the pool), or the name of an errno, with which the step fails.

Besides, Pillow gets a decoder that crashes, hangs, or swallows memory: see ``CRASHER``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sqlite3
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageFile

from materialize.steps import observe
from tests.faults import CRASHER

_OF_SQLITE = {
    # what SQLite makes of the errno (os_unix.c: all but ENOSPC are SQLITE_IOERR; opening is SQLITE_CANTOPEN)
    "ENOSPC": "database or disk is full",
    "EDQUOT": "disk I/O error",
    "EIO": "disk I/O error",
    "EACCES": "unable to open database file",
}


class _Fault:
    def __init__(self, text: str) -> None:
        self.step, self.action, nth, flag = text.split(":", 3)
        self.nth, self.flag = int(nth), Path(flag)
        self.seen: Counter[str] = Counter()

    def __call__(self, step: str) -> None:
        self.seen[step] += 1
        if step != self.step or self.seen[step] != self.nth:
            return
        try:
            self.flag.touch(exist_ok=False)
        except FileExistsError:
            return
        self.take(step)

    def take(self, step: str) -> None:
        if self.action == "kill":
            os.killpg(0, signal.SIGKILL)
        elif self.action == "kill-one":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.action == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self.action == "term":
            os.kill(os.getpgrp(), signal.SIGTERM)
            time.sleep(0.2)  # for the signal to be there when the step is done
        elif step.startswith(("ledger.", "attempt.")):
            raise sqlite3.OperationalError(_OF_SQLITE[self.action])
        else:
            number = getattr(errno, self.action)
            raise OSError(number, os.strerror(number))


class _Crasher(ImageFile.ImageFile):
    format = "CRASHER"
    format_description = "crashes its reader"

    def _open(self) -> None:
        assert self.fp is not None
        words = self.fp.read(500).decode("ascii", "replace").split()
        self.how, self.where = words[1], Path(words[2]) if len(words) > 2 else None
        self._size, self._mode = (8, 8), "RGB"
        self.tile = []

    def load(self) -> Image.core.PixelAccess | None:  # type: ignore[override]
        if self.where is not None:
            with suppress(FileExistsError):
                self.where.touch(exist_ok=False)  # the first time
                self.crash()
            self.im = Image.new("RGB", (8, 8), "red").im
            return None
        self.crash()
        return None

    def crash(self) -> None:
        if self.how == "SEGV":
            ctypes.string_at(0)
        elif self.how == "ABRT":
            os.abort()
        elif self.how == "EXIT":
            os._exit(3)
        elif self.how == "KILL":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.how == "HANG":
            time.sleep(3600)


Image.register_open("CRASHER", _Crasher, lambda prefix: prefix.startswith(CRASHER))

if os.environ.get("FAULT"):
    observe(_Fault(os.environ["FAULT"]))

if __name__ == "__main__":
    from materialize import reconcile
    from tol_db.cli import main

    reconcile.AT_A_TIME = 2  # so that the few shards of a test are entered in several transactions

    main()
