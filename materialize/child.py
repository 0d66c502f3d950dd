"""What a process needs that works for another one: its parent's signals held back, and no life beyond it."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from tol_db.errors import TolDbError

S = TypeVar("S")

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
    with _starting():
        return _spawn(main, arguments)


def start_watched_child(
    main: Callable[..., None], *arguments: Any, shared: Callable[[], S]
) -> tuple[BaseProcess, Connection, S]:
    """As :func:`start_child`, with memory that both processes see.

    Args:
        main: gets its end of a pipe, the arguments, then what ``shared`` made.
        shared: makes the memory.

    Returns:
        The process, our end of the pipe, and what ``shared`` made.

    Raises:
        TolDbError: there is no memory, process number or open file left for it, or for what both see.
    """
    with _starting():
        seen_by_both = shared()
        return *_spawn(main, (*arguments, seen_by_both)), seen_by_both


@contextmanager
def _starting() -> Iterator[None]:
    """Signals that are meant for this process alone are held back; what there is too little of is told."""
    try:
        # until a worker has its own handlers, Ctrl-C in the terminal must not reach it; the tracker, which
        # start() starts first, would unblock the signals again
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, WORKER_SIGNALS)
        yield
    except OSError as err:
        raise TolDbError(
            f"a worker process cannot be started: {err.strerror or err}", hint="use fewer --workers"
        ) from err
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WORKER_SIGNALS)


def _spawn(main: Callable[..., None], arguments: tuple[Any, ...]) -> tuple[BaseProcess, Connection]:
    # spawn: a fork would carry the parent's threads and open database into the child
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with theirs:
        try:
            process = context.Process(target=_run, args=(main, theirs, *arguments), daemon=True)
            process.start()
        except BaseException:
            ours.close()
            raise
    return process, ours


def _run(main: Callable[..., None], *arguments: Any) -> None:
    try:
        main(*arguments)
    finally:
        gc.freeze()  # a process that ends need not look for cycles among all that it has imported


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
