"""aria2c, where it is installed: several connections for one file.

It gets an address that needs no credentials and was just seen to answer, on its standard input, so that nothing
secret stands in the list of processes; redirects were followed before. It inherits the locked partial, so that
nobody else writes to that while it lives, and ends itself when its parent is gone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tol_db.errors import CannotWrite, InputError
from tol_db.fetch.http import NetworkFault
from tol_db.fetch.partial import Partial

SMALLEST = 1 << 20
"""Bytes below which a second connection is not worth a process."""
SEGMENT = 1 << 20
"""Bytes that a connection takes at least; the smallest that aria2c accepts."""
LOOK = 0.2
"""Seconds between two looks at how far it is."""

_NO_ROOM = (9, 15, 16, 17, 18)
_WHY = {
    2: "timed out",
    3: "not found",
    5: "too slow",
    6: "the network failed",
    8: "the server does not resume",
    19: "its host is not found",
    22: "a broken answer",
    24: "refused",
    29: "the server is overloaded",
}
"""Exit status → why (aria2c(1), EXIT STATUS)."""


def find_aria2c() -> Path | None:
    """The program, or None where it is not installed."""
    found = shutil.which("aria2c")
    return Path(found) if found else None


def run_aria2c(
    program: Path,
    url: str,
    partial: Partial,
    *,
    connections: int,
    rate: float | None,
    timeout: float,
    wait: Callable[[float], None],
    advance: Callable[[int], None],
) -> None:
    """Fetch ``url`` into a partial that is held and noted as aria2c's.

    Args:
        connections: 1 to 16, which is aria2c's limit for one server.
        rate: bytes per second, or None.
        wait: sleeps so long; raises Interrupted when the run is to stop.
        advance: told how many bytes came.

    Raises:
        NetworkFault: to be tried again.
        CannotWrite: the disk is full or fails.
        InputError: the program cannot be started.
    """
    seconds = str(max(1, round(timeout)))
    command = [
        str(program),
        "--input-file=-",
        "--no-conf=true",
        "--no-netrc=true",
        "--quiet=true",
        "--continue=true",
        "--allow-overwrite=true",
        "--auto-file-renaming=false",
        "--file-allocation=none",
        "--auto-save-interval=1",
        "--follow-metalink=false",
        "--follow-torrent=false",
        "--http-accept-gzip=false",
        "--max-tries=3",
        "--retry-wait=1",
        f"--connect-timeout={seconds}",
        f"--timeout={seconds}",
        f"--split={connections}",
        f"--max-connection-per-server={connections}",
        f"--min-split-size={SEGMENT}",
        f"--max-download-limit={int(rate) if rate else 0}",
        f"--stop-with-process={os.getpid()}",
    ]
    order = f"{url}\n  dir={partial.path.parent.absolute()}\n  out={partial.path.name}\n"
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # what it prints holds addresses
            pass_fds=(partial.fd,),
            text=True,
        )
    except OSError as err:
        raise InputError(f"{program}: cannot be started: {err.strerror}", hint="go on with --no-aria2") from None
    there = partial.written()
    try:
        assert child.stdin is not None
        with suppress(BrokenPipeError):
            child.stdin.write(order)
            child.stdin.close()
        while child.poll() is None:
            wait(LOOK)
            now = partial.written()
            advance(now - there)
            there = now
    finally:
        _end(child)
    now = partial.written()
    advance(now - there)
    if child.returncode in _NO_ROOM:
        raise CannotWrite(
            f"{partial.path}: aria2c cannot write it (status {child.returncode})",
            hint="make room and run again: it goes on where it was",
        )
    if child.returncode != 0:
        raise NetworkFault(f"aria2c: {_WHY.get(child.returncode, f'failed with status {child.returncode}')}")


def _end(child: subprocess.Popen[str]) -> None:
    """End it, gently first: it then writes down how far it is."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(3)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()
