"""Looks at the processes of this machine by what /proc says of them, and at who opens which file."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def until(
    what: str, look: Callable[[], T], seconds: float = 60, told: Callable[[], str] = str, step: float = 0.1
) -> T:
    """Look every ``step`` seconds until there is something; fails with what there is ``told`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}\n{told()}"
        time.sleep(step)
    return found


def processes() -> list[int]:
    """Numbers of all processes."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def read_of(pid: int, name: str) -> bytes:
    """A file of a process under /proc; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def open_files(pid: int) -> set[str]:
    """Targets of all descriptors of a process; none where it is gone."""
    try:
        names = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return set()
    targets = set()
    for name in names:
        with suppress(OSError):
            targets.add(str(name.readlink()))
    return targets


def status_of(pid: int) -> tuple[str, int] | None:
    """State (a letter, `Z` for a zombie) and parent of a process; None where it is gone."""
    fields = read_of(pid, "stat").rpartition(b")")[2].split()
    return (fields[0].decode(), int(fields[1])) if fields else None


def runs(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    status = status_of(pid)
    return status is not None and status[0] != "Z"


def with_descendants(roots: set[int]) -> set[int]:
    """Those of some processes that run, and all that were started by them and run."""
    parents = {pid: status[1] for pid in processes() if (status := status_of(pid)) and status[0] != "Z"}
    found = roots & parents.keys()
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def with_variable(name: str, value: object) -> set[int]:
    """Processes that were started with a variable in their environment."""
    mark = f"{name}={value}".encode()
    return {pid for pid in processes() if mark in read_of(pid, "environ").split(b"\0")}


def stand_still(pid: int) -> None:
    """SIGSTOP, and wait until every thread has stopped: kill(2) comes back before they have."""
    os.kill(pid, signal.SIGSTOP)
    until("the process stands still", lambda: _states_of_threads(pid) <= {b"T"}, step=0.002)


def _states_of_threads(pid: int) -> set[bytes]:
    stats = [read_of(pid, f"task/{task.name}/stat") for task in Path(f"/proc/{pid}/task").iterdir()]
    return {stat.rpartition(b")")[2].split()[0] for stat in stats if stat}


def kill(pids: set[int]) -> set[int]:
    """SIGKILL for each; returns them."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pids


IN_OPEN = 0x20
_EVENT = struct.Struct("iIII")


@contextmanager
def opened_in(folder: Path) -> Iterator[Callable[[], list[str]]]:
    """Within, whoever opens a file of a folder is noticed (inotify(7)); called, it gives the names so far."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert watch >= 0, os.strerror(ctypes.get_errno())
    names: list[str] = []

    def look() -> list[str]:
        with suppress(BlockingIOError):
            while events := os.read(watch, 65536):
                while events:
                    length = _EVENT.unpack_from(events)[3]
                    names.append(os.fsdecode(events[_EVENT.size : _EVENT.size + length].rstrip(b"\0")))
                    events = events[_EVENT.size + length :]
        return names

    try:
        assert libc.inotify_add_watch(watch, os.fsencode(folder), IN_OPEN) >= 0, os.strerror(ctypes.get_errno())
        yield look
    finally:
        os.close(watch)
