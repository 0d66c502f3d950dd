"""`tol-db fetch` by aria2c, where that is installed: several connections, and all the rest as without it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fetch_server import Server, becomes, drip, drop, serving, slam, status, write_manifest
from tests.running import start, tol_db
from tol_db.fetch.aria2 import SEGMENT

pytestmark = pytest.mark.skipif(
    shutil.which("aria2c") is None, reason="aria2c is not installed (Debian: apt-get install aria2)"
)
BODY = random.Random(2).randbytes(6_000_000)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        running.put("f", BODY)
        yield running


@pytest.fixture
def words(tmp_path: Path, server: Server) -> tuple[object, ...]:
    manifest = write_manifest(tmp_path / "m.toml", "metadata", {"path": "f.csv", "url": server.url("f")})
    return ("fetch", "metadata", tmp_path, "--manifest", manifest, "--aria2", "--retry-wait", "0.01")


def is_whole(folder: Path, body: bytes = BODY) -> bool:
    names = [path.name for path in (folder / "metadata").iterdir()]
    return names == ["f.csv"] and (folder / "metadata" / "f.csv").read_bytes() == body


def ranges(server: Server) -> set[str | None]:
    return {request.headers.get("range") for request in server.asked("f")}


def starts(server: Server) -> list[int]:
    """The first byte that each request asked for."""
    asked = [request.headers.get("range", "bytes=0-") for request in server.asked("f")]
    return [int(text.removeprefix("bytes=").partition("-")[0]) for text in asked]


def by_aria2c(server: Server) -> int:
    return sum("aria2" in request.headers.get("user-agent", "") for request in server.asked("f"))


def test_several_connections_fetch_one_file(tmp_path: Path, server: Server, words: tuple[object, ...]) -> None:
    tol_db(tmp_path / "db", *words)
    assert is_whole(tmp_path)
    assert by_aria2c(server) >= 2
    assert len(ranges(server)) >= 3


def test_what_drops_and_refuses_is_fetched_all_the_same(
    tmp_path: Path, server: Server, words: tuple[object, ...]
) -> None:
    ok = drip(1 << 20, 0)
    server.script("f", ok, drop(1000), drop(0), slam(), status(503), drop(500_000), status(429, Retry_After="1"))
    tol_db(tmp_path / "db", *words)
    assert is_whole(tmp_path)


@pytest.mark.parametrize("without", ["ranges", "length"])
def test_a_server_that_does_not_resume_is_read_by_one_connection(
    tmp_path: Path, server: Server, words: tuple[object, ...], without: str
) -> None:
    server.put("f", BODY, ranges=False, chunked=without == "length")
    tol_db(tmp_path / "db", *words)
    assert is_whole(tmp_path)
    assert by_aria2c(server) == 0


def test_aria2c_never_gets_a_password(tmp_path: Path, server: Server, words: tuple[object, ...]) -> None:
    url = server.url("f", user="me:hush@")
    write_manifest(tmp_path / "m.toml", "metadata", {"path": "f.csv", "url": url})
    done = tol_db(tmp_path / "db", *words)
    assert is_whole(tmp_path)
    assert by_aria2c(server) == 0
    assert "hush" not in done.stdout + done.stderr


def slow(server: Server) -> Any:
    """After the first look, every answer drips."""
    looked = drip(1 << 20, 0)
    server.script("f", looked, *(drip(20_000, 0.05) for _ in range(40)))


def until_some(partial: Path, process: subprocess.Popen[str], number: int = 300_000) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(FileNotFoundError):
            if partial.stat().st_blocks * 512 > number and Path(f"{partial}.aria2").exists():
                return
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("how", ["kill the command", "kill both", "SIGTERM", "SIGINT"])
def test_a_run_that_was_ended_goes_on(tmp_path: Path, server: Server, words: tuple[object, ...], how: str) -> None:
    slow(server)
    partial = tmp_path / "metadata" / ".f.csv.partial"
    process = start(tmp_path / "db", *words)
    until_some(partial, process)
    if how == "kill both":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.send_signal({"SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}.get(how, signal.SIGKILL))
    process.communicate(timeout=60)
    assert process.returncode in (75, -signal.SIGKILL)
    server.faults.clear()
    before = len(server.asked("f"))
    tol_db(tmp_path / "db", *words)  # waits for an aria2c that outlived its parent
    assert is_whole(tmp_path)
    if how != "kill both":  # then it wrote down how far it was; else that may be a second old
        assert any(start % SEGMENT for start in starts(server)[before:])


@pytest.mark.parametrize("then", ["--aria2", "--no-aria2"])
def test_a_file_that_changed_in_between_is_not_glued_together(
    tmp_path: Path, server: Server, words: tuple[object, ...], then: str
) -> None:
    slow(server)
    process = start(tmp_path / "db", *words)
    until_some(tmp_path / "metadata" / ".f.csv.partial", process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    server.faults.clear()
    server.put("f", BODY[::-1])
    tol_db(tmp_path / "db", *words, then)
    assert is_whole(tmp_path, BODY[::-1])


def test_what_one_connection_began_several_go_on_with(
    tmp_path: Path, server: Server, words: tuple[object, ...]
) -> None:
    server.script("f", drop(3_000_000), slam())
    tol_db(tmp_path / "db", *words, "--no-aria2", "--retries", 0, expect=1)
    before = len(server.asked("f"))
    tol_db(tmp_path / "db", *words)
    assert is_whole(tmp_path)
    assert 0 < min(start for start in starts(server)[before:] if start % SEGMENT) <= 3_000_000


def test_a_partial_with_holes_is_not_taken_for_a_beginning(
    tmp_path: Path, server: Server, words: tuple[object, ...]
) -> None:
    slow(server)
    process = start(tmp_path / "db", *words)
    until_some(tmp_path / "metadata" / ".f.csv.partial", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    server.faults.clear()
    tol_db(tmp_path / "db", *words, "--no-aria2")
    assert is_whole(tmp_path)


def test_a_file_that_changes_while_it_is_fetched_is_found_by_its_sum(
    tmp_path: Path, server: Server, words: tuple[object, ...]
) -> None:
    new = BODY[::-1]
    sha256 = hashlib.sha256(new).hexdigest()
    entry = {"path": "f.csv", "url": server.url("f"), "sha256": sha256}
    write_manifest(tmp_path / "m.toml", "metadata", entry)
    ok = drip(1 << 20, 0)
    server.script("f", ok, ok, becomes(new))
    tol_db(tmp_path / "db", *words)
    assert is_whole(tmp_path, new)
