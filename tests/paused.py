"""The command line, standing still at a step: ``python -m tests.paused`` in place of ``python -m tol_db``.

Unlike a process that ``tests.faulty`` stops, one that pauses still hears its signals, and goes on for them.

Environment:
    PAUSE: ``step:nth:folder``. The nth time a process reaches the step (``materialize.steps``) it takes a file
        ``token-*`` out of the folder, if there is one; then it writes ``paused-<pid>.json`` there and waits for
        the file ``go``, or a signal.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections import Counter
from contextlib import suppress
from pathlib import Path

from materialize.steps import observe


class _Pause:
    def __init__(self, text: str) -> None:
        self.step, nth, folder = text.split(":", 2)
        self.nth, self.folder = int(nth), Path(folder)
        self.seen: Counter[str] = Counter()

    def __call__(self, step: str) -> None:
        self.seen[step] += 1
        if step == self.step and self.seen[step] == self.nth and self.take_token():
            self.tell()
            self.wait()

    def take_token(self) -> bool:
        for token in sorted(self.folder.glob("token-*")):
            with suppress(FileNotFoundError):  # another process was quicker
                token.unlink()
                return True
        return False

    def tell(self) -> None:
        names = ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURMD_NODENAME", "SLURM_RESTART_COUNT")
        told = {"pid": os.getpid(), "host": socket.gethostname(), **{name: os.environ.get(name) for name in names}}
        partial = self.folder / f".{os.getpid()}"
        partial.write_text(json.dumps(told))
        partial.rename(self.folder / f"paused-{os.getpid()}.json")

    def wait(self) -> None:
        heard, hears = os.pipe()
        os.set_blocking(hears, False)
        before = signal.set_wakeup_fd(hears)
        while not (self.folder / "go").exists():
            if select.select([heard], [], [], 0.1)[0]:
                break
        signal.set_wakeup_fd(before)


if os.environ.get("PAUSE"):
    observe(_Pause(os.environ["PAUSE"]))

if __name__ == "__main__":
    from tol_db.cli import main

    main()
