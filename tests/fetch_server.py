"""An HTTP server that misbehaves on order, and manifests that point to it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Fault = Callable[["Handler", "Served"], bool]
"""Does something to a request; True where that was the whole answer."""


@dataclass
class Served:
    """A file as the server has it now."""

    body: bytes
    etag: str | None = None
    modified: str | None = "Thu, 01 Jan 2026 00:00:00 GMT"
    ranges: bool = True
    length: int | None = None
    """What Content-Length claims, where it lies."""
    chunked: bool = False
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    path: str
    headers: dict[str, str]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, Served] = {}
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.always: dict[str, Fault] = {}
        self.requests: list[Request] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, path: str, host: str = "127.0.0.1", user: str = "") -> str:
        return f"http://{user}{host}:{self.port}/{path}"

    def put(self, path: str, body: bytes, **more: Any) -> str:
        """Serve a file; returns its address."""
        self.files[path] = Served(body, etag=more.pop("etag", f'"{hashlib.md5(body).hexdigest()}"'), **more)
        return self.url(path)

    def script(self, path: str, *faults: Fault) -> None:
        """What happens to the next requests for a file, one each."""
        self.faults[path].extend(faults)

    def asked(self, path: str) -> list[Request]:
        return [request for request in list(self.requests) if request.path.partition("?")[0] == "/" + path]

    def handle_error(self, *_args: object) -> None:
        """A client that was killed is no news."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = re.sub(r"\Ahttp://[^/]*", "", self.path).partition("?")[0].lstrip("/")
        self.server.requests.append(Request(self.path, {k.lower(): v for k, v in self.headers.items()}))
        served = self.server.files.get(path)
        fault = self.server.always.get(path)
        if fault is None and self.server.faults[path]:
            fault = self.server.faults[path].popleft()
        if served is None and fault is None:
            self.plain(404)
        elif fault is None or not fault(self, served or Served(b"")):
            assert served is not None
            self.send_file(served)

    def plain(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def begin(self, served: Served) -> bytes:
        """Send the head of an answer; returns the body that is due."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if served.ranges else None
        condition = self.headers.get("If-Range")
        if match and condition is not None and condition not in (served.etag, served.modified):
            match = None
        first = int(match[1]) if match else 0
        last = min(int(match[2]) if match and match[2] else len(served.body), len(served.body) - 1)
        if match and first >= len(served.body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(served.body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return b""
        body = served.body[first : last + 1] if match else served.body
        self.send_response(206 if match else 200)
        if match:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(served.body)}")
        if served.etag:
            self.send_header("ETag", served.etag)
        if served.modified:
            self.send_header("Last-Modified", served.modified)
        for name, value in served.headers.items():
            self.send_header(name, value)
        if served.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif served.length != -1:
            self.send_header("Content-Length", str(len(body) if served.length is None else served.length))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        return body

    def send_file(self, served: Served) -> None:
        body = self.begin(served)
        if served.chunked:
            for at in range(0, len(body), 50_000):
                piece = body[at : at + 50_000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(body)
        if served.length is not None:
            self.hang_up()

    def hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)


# ------------------------------------------------------------------ what can go wrong


def drop(after: int) -> Fault:
    """The connection ends after so many bytes of the body."""

    def fault(handler: Handler, served: Served) -> bool:
        body = handler.begin(served)
        handler.wfile.write(body[:after])
        handler.hang_up()
        return True

    return fault


def slam() -> Fault:
    """The connection ends before any answer."""

    def fault(handler: Handler, _served: Served) -> bool:
        handler.hang_up()
        return True

    return fault


def status(code: int, **headers: str) -> Fault:
    def fault(handler: Handler, _served: Served) -> bool:
        handler.plain(code, **headers)
        return True

    return fault


def redirect(to: str, code: int = 302, **headers: str) -> Fault:
    return status(code, Location=to, **headers)


def drip(size: int, pause: float) -> Fault:
    """So many bytes at a time, and a pause after each."""

    def fault(handler: Handler, served: Served) -> bool:
        body = handler.begin(served)
        for at in range(0, len(body), size):
            handler.wfile.write(body[at : at + size])
            handler.wfile.flush()
            time.sleep(pause)
        return True

    return fault


def silence(seconds: float) -> Fault:
    """The head of an answer, and then nothing."""

    def fault(handler: Handler, served: Served) -> bool:
        handler.begin(served)
        time.sleep(seconds)
        handler.hang_up()
        return True

    return fault


def garbage(data: bytes) -> Fault:
    """No HTTP at all."""

    def fault(handler: Handler, _served: Served) -> bool:
        handler.wfile.write(data)
        handler.hang_up()
        return True

    return fault


def becomes(body: bytes, etag: str | None = '"another"') -> Fault:
    """The file changes, and is sent as it is from then on."""

    def fault(_handler: Handler, served: Served) -> bool:
        served.body, served.etag = body, etag
        return False

    return fault


def after(first: Fault, then: Fault) -> Fault:
    """Two things to one request."""
    return lambda handler, served: first(handler, served) or then(handler, served)


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


# ------------------------------------------------------------------ manifests


def toml(value: object) -> str:
    return json.dumps(value) if not isinstance(value, bool) else str(value).lower()


def write_manifest(
    path: Path, key: str, *files: dict[str, Any], folder: str | None = None, extract: dict[str, Any] | None = None
) -> Path:
    """A manifest of one section; ``extract`` is that of the last file."""
    folder = folder or {"metadata": "metadata"}.get(key, f"dataset/{key}")
    lines = [f"[{key}]", f"folder = {toml(folder)}"]
    for file in files:
        lines += [f"[[{key}.files]]", *(f"{name} = {toml(value)}" for name, value in file.items())]
    if extract is not None:
        lines += [f"[{key}.files.extract]", *(f"{name} = {toml(value)}" for name, value in extract.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
