"""What a process needs that works for another one: its parent's signals held back, and no life beyond it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from tol_db.errors import TolDbError

PR_SET_PDEATHSIG = 1
WORKER_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGUSR1})
"""Signals that a worker is started with blocked, and unblocks when its handlers stand."""


def start_child(main: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """Start a process that works for this one.

    Args:
        main: its function; gets its end of a pipe, then the arguments.

    Returns:
        The process and our end of the pipe.

    Raises:
        TolDbError: there is no memory, process number or open file left for it.
    """
    # spawn: a fork would carry the parent's threads and open database into the child
    context = multiprocessing.get_context("spawn")
    # until a worker has its own handlers, Ctrl-C in the terminal must not reach it; the tracker, which start()
    # starts first, would unblock the signals again
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, WORKER_SIGNALS)
    try:
        ours, theirs = context.Pipe()
        with theirs:
            process = context.Process(target=main, args=(theirs, *arguments), daemon=True)
            process.start()
    except OSError as err:
        raise TolDbError(
            f"a worker process cannot be started: {err.strerror or err}", hint="use fewer --workers"
        ) from err
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WORKER_SIGNALS)
    return process, ours


def how_it_ended(process: BaseProcess) -> str:
    """The name of the signal that ended a process, or its exit code."""
    code = process.exitcode
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # a real-time signal has a number only
        return f"signal {-code}"


def die_with(parent: int) -> None:
    """Make sure that this process does not outlive its parent."""
    with suppress(OSError, AttributeError):  # not Linux: the thread below does it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(75)  # it died before we asked

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(75)

    threading.Thread(target=watch, daemon=True, name="watch-parent").start()
