"""`tol-db fetch` over TLS, with and without a proxy; certificates of our own, made by openssl."""

from __future__ import annotations

import random
import select
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.fetch_server import Server, drop, redirect, serving, write_manifest
from tests.running import environment
from tol_db.fetch.urls import origin

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
BODY = random.Random(4).randbytes(300_000)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of localhost, in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@contextmanager
def serving_tls(certificate: Path) -> Iterator[Server]:
    with serving() as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        yield server


class Connecting(BaseHTTPRequestHandler):
    """A proxy for https: joins two connections, and sees nothing."""

    asked: list[tuple[str, str | None]] = []  # noqa: RUF012

    def log_message(self, *_args: object) -> None:
        pass

    def do_CONNECT(self) -> None:
        self.asked.append((self.path, self.headers.get("Proxy-Authorization")))
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port))) as far, suppress(OSError):
            self.send_response(200)
            self.end_headers()
            near = self.connection
            while True:
                for ready in select.select([near, far], [], [], 10)[0]:
                    if not (data := ready.recv(65536)):
                        return
                    (far if ready is near else near).sendall(data)


def fetch(folder: Path, url: str, expect: int = 0, token: bool = False, **variables: str) -> str:
    manifest = write_manifest(folder / "m.toml", "metadata", {"path": "f", "url": url, "token": token})
    command = [sys.executable, "-m", "tol_db", "--db", str(folder / "db"), "fetch", "metadata", str(folder)]
    command += ["--manifest", str(manifest), "--no-aria2", "--retry-wait", "0.01", "--retries", "2"]
    plain = {k: v for k, v in environment(**variables).items() if k.lower() != "https_proxy" or k in variables}
    done = subprocess.run(command, capture_output=True, text=True, env=plain, timeout=60)
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_a_file_comes_over_tls_however_often_it_drops(tmp_path: Path, certificate: Path) -> None:
    with serving_tls(certificate) as server:
        server.put("f", BODY)
        server.script("f", drop(1000), drop(2000))
        url = f"https://localhost:{server.port}/f"
        fetch(tmp_path, url, token=True, SSL_CERT_FILE=str(certificate), TOL_DB_FETCH_TOKEN="secret")
        assert [r.headers.get("authorization") for r in server.requests] == ["Bearer secret"] * 3
    assert (tmp_path / "metadata" / "f").read_bytes() == BODY


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(tmp_path: Path, certificate: Path) -> None:
    with serving_tls(certificate) as server:
        server.put("f", BODY)
        told = fetch(tmp_path, f"https://localhost:{server.port}/f", expect=65)
    assert "certificate is not valid" in told
    assert "SSL_CERT_FILE" in told


def test_a_redirect_from_https_to_plain_http_is_refused(tmp_path: Path, certificate: Path) -> None:
    with serving_tls(certificate) as server, serving() as plain:
        server.script("f", redirect(plain.put("f", BODY)))
        told = fetch(tmp_path, f"https://localhost:{server.port}/f", expect=65, SSL_CERT_FILE=str(certificate))
    assert "from https to plain http" in told
    assert plain.requests == []


def test_https_goes_through_the_proxy_of_the_environment(tmp_path: Path, certificate: Path) -> None:
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Connecting)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    Connecting.asked.clear()
    try:
        with serving_tls(certificate) as server:
            server.put("f", BODY)
            access = {"https_proxy": f"http://me:hush@127.0.0.1:{proxy.server_port}", "no_proxy": ""}
            told = fetch(tmp_path, f"https://localhost:{server.port}/f", SSL_CERT_FILE=str(certificate), **access)
            assert Connecting.asked == [(f"localhost:{server.port}", "Basic bWU6aHVzaA==")]
            assert [r.headers.get("proxy-authorization") for r in server.requests] == [None]
    finally:
        proxy.shutdown()
        proxy.server_close()
    assert "hush" not in told
    assert (tmp_path / "metadata" / "f").read_bytes() == BODY


def test_a_proxy_that_refuses_is_told_without_its_password(tmp_path: Path) -> None:
    with serving() as server:  # knows no CONNECT
        access = {"https_proxy": f"http://me:hush@127.0.0.1:{server.port}", "no_proxy": ""}
        told = fetch(tmp_path, "https://data.example/f", expect=1, **access)
    assert "given up" in told
    assert "hush" not in told


@pytest.mark.parametrize(
    ("url", "private"),
    [("https://h/", True), ("http://h/", False), ("http://127.0.0.1:8/", True), ("http://localhost/", True)],
)
def test_only_tls_and_this_machine_are_private(url: str, private: bool) -> None:
    assert origin(url).is_private is private
