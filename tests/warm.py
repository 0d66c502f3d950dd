"""Runs the command line in processes forked from an interpreter that has the libraries loaded already.

Most of a short command is the import of SQLAlchemy, click, alembic and numpy, some thousand times in the tests. So
each test process starts one interpreter that imports those (nothing of tol-db) and forks from it for each command:
a process of its own with its own streams, signals and exit code, which does what ``python -m tol_db`` does. What a
new interpreter adds is left to the tests that start one: of signals, faults, batch jobs, documents, the wheel.
"""

from __future__ import annotations

import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

_LIBRARIES: Final = (
    "alembic.command", "alembic.runtime.migration", "alembic.script", "click", "multiprocessing.spawn", "numpy",
    "PIL.Image", "rich.progress", "rich.table", "sqlalchemy.dialects.sqlite", "sqlalchemy.orm", "tempfile",
)  # fmt: skip
_ROOT: Final = Path(__file__).resolve().parents[1]
_LARGEST_REQUEST: Final = 1 << 20


def run(
    words: Sequence[str], env: dict[str, str], cwd: Path | None, timeout: float
) -> subprocess.CompletedProcess[str]:
    """What ``subprocess.run([sys.executable, "-m", "tol_db", *words], capture_output=True, text=True)`` returns.

    Raises:
        subprocess.TimeoutExpired: it was killed for that.
    """
    if _for_python(env) != _STARTED_WITH:
        command = [sys.executable, "-m", "tol_db", *words]
        return subprocess.run(
            command, capture_output=True, text=True, env=env, cwd=cwd, timeout=timeout, check=False
        )
    request = json.dumps({"words": [*words], "env": env, "cwd": str(cwd or Path.cwd())}).encode()
    mine, theirs = socket.socketpair()
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    with mine:
        with theirs:
            socket.send_fds(_server(), [request], [theirs.fileno(), out_end, err_end])
        os.close(out_end)
        os.close(err_end)
        pid = int.from_bytes(_exactly(mine, 4), "big")
        try:
            stdout, stderr = _read_all(out, err, time.monotonic() + timeout)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(["tol-db", *words], timeout) from None
        finally:
            os.close(out)
            os.close(err)
        code = int.from_bytes(_exactly(mine, 4), "big", signed=True)
    return subprocess.CompletedProcess(["tol-db", *words], code, stdout.decode(), stderr.decode())


def _for_python(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith("PYTHON")}


_STARTED_WITH: Final = _for_python(os.environ)
"""What an interpreter looks at when it starts; a command that is to have it otherwise gets one of its own."""


def _read_all(out: int, err: int, deadline: float) -> tuple[bytes, bytes]:
    """Both streams to their ends: whoever has inherited them has ended then, too."""
    parts: dict[int, list[bytes]] = {out: [], err: []}
    with selectors.DefaultSelector() as selector:
        for stream in parts:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(deadline - time.monotonic())
            if not ready and time.monotonic() >= deadline:
                raise TimeoutError
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                if data:
                    parts[key.fd].append(data)
                else:
                    selector.unregister(key.fd)
    return b"".join(parts[out]), b"".join(parts[err])


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        assert more, "the process that was to tell the exit code has ended"
        data += more
    return data


@cache
def _server() -> socket.socket:
    """The control socket of the warm interpreter, which ends when this process does."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST_REQUEST)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            cwd=_ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # a process with threads must not fork
        )
    return mine


def _serve(control: socket.socket) -> None:
    """Fork for each request, for ever; returns in the process that is to be the command."""
    for name in _LIBRARIES:
        __import__(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that watch over a command are not waited for
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, _LARGEST_REQUEST, 3)
        if not request:
            os._exit(0)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            _watch(request, *descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _watch(request: bytes, connection: int, out: int, err: int) -> None:
    """Start the command, and tell its number and how it ended; returns in the command."""
    pid = os.fork()
    if pid:
        os.close(out)
        os.close(err)
        with socket.socket(fileno=connection) as told, suppress(OSError):
            told.sendall(pid.to_bytes(4, "big"))
            _, status = os.waitpid(pid, 0)
            told.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
        os._exit(0)
    wanted = json.loads(request)
    os.close(connection)
    for name, number, stream in (("stdout", 1, out), ("stderr", 2, err)):
        os.dup2(stream, number)
        os.close(stream)
        old = getattr(sys, name)  # it knows whether the stream that it was opened on can seek
        new = os.fdopen(number, "w", -1 if number == 1 else 1, encoding=old.encoding, errors=old.errors)
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    os.environ.clear()
    os.environ.update(wanted["env"])
    os.chdir(wanted["cwd"])
    sys.path[0] = wanted["cwd"]
    sys.argv[1:] = wanted["words"]


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy._run_module_as_main("tol_db")  # type: ignore[attr-defined]
