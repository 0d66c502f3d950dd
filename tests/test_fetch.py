"""`tol-db fetch` against a server that misbehaves: a file is whole and right, or it is not there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fetch_server import (
    Server,
    after,
    becomes,
    drip,
    drop,
    garbage,
    redirect,
    serving,
    silence,
    slam,
    status,
    write_manifest,
)
from tests.running import environment, start, tol_db
from tol_db.fetch.pace import Pace

QUICK = ("--no-aria2", "--retry-wait", "0.01")
BODY = random.Random(1).randbytes(1_500_000)
NAME = "catalog.csv"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


class Site:
    """A tree, a manifest of one file, and how to fetch it."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self.tree = folder / "TreeOfLife-10M"
        self.db = folder / "tol.sqlite"
        self.file = self.tree / "metadata" / NAME

    def manifest(self, url: str | None = None, **more: Any) -> Path:
        entry = {"path": NAME, "url": url or self.server.url("f"), **more}
        return write_manifest(self.folder / "m.toml", "metadata", entry)

    def words(self, *more: object) -> tuple[object, ...]:
        return ("fetch", "metadata", self.tree, "--manifest", self.folder / "m.toml", *QUICK, *more)

    def fetch(self, *more: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
        return tol_db(self.db, *self.words(*more), expect=expect)

    def is_whole(self, body: bytes = BODY) -> bool:
        return self.file.read_bytes() == body and self.leftovers() == []

    def leftovers(self) -> list[str]:
        folder = self.file.parent
        return sorted(p.name for p in folder.iterdir() if p.name != NAME) if folder.exists() else []


@pytest.fixture
def site(tmp_path: Path, server: Server) -> Site:
    site = Site(tmp_path, server)
    server.put("f", BODY)
    site.manifest()
    return site


def sums(body: bytes) -> dict[str, str]:
    return {"sha256": hashlib.sha256(body).hexdigest(), "md5": hashlib.md5(body).hexdigest()}


# ------------------------------------------------------------------ the plain way


def test_a_file_gets_its_name_when_size_and_sums_are_right(site: Site) -> None:
    site.manifest(bytes=len(BODY), **sums(BODY))
    done = site.fetch()
    assert site.is_whole()
    assert "fetched 1 files, 0 were there already" in done.stdout


def test_a_file_that_was_fetched_is_not_fetched_again(site: Site) -> None:
    site.fetch()
    before = len(site.server.requests)
    assert "fetched 0 files, 1 were there already" in site.fetch().stdout
    assert len(site.server.requests) == before


def test_a_dry_run_lists_sizes_and_fetches_nothing(site: Site) -> None:
    site.manifest(site.server.url("f", user="me:secret@") + "?token=secret", bytes=len(BODY))
    done = site.fetch("--dry-run")
    assert "1.4 MiB, missing" in done.stdout
    assert "to fetch: 1 files, about 1.4 MiB" in done.stdout
    assert "secret" not in done.stdout
    assert site.server.requests == []
    assert not site.tree.exists()


def test_an_empty_file_is_a_file(site: Site) -> None:
    site.server.put("f", b"")
    site.fetch()
    assert site.is_whole(b"")


def test_what_was_fetched_is_registered_with_digest_and_time(site: Site) -> None:
    tol_db(site.db, "init")
    site.fetch()
    with closing(sqlite3.connect(site.db)) as conn:
        rows = conn.execute("SELECT kind, root, path, bytes, sha256, read_at, detail FROM source_file").fetchall()
    ((kind, root, path, size, sha256, read_at, detail),) = rows
    assert (kind, root, path) == ("download", str(site.file.parent), NAME)
    assert (size, sha256.hex()) == (len(BODY), sums(BODY)["sha256"])
    assert read_at.endswith("Z")
    assert detail.startswith(site.server.url("f"))
    site.fetch()
    tol_db(site.db, "doctor")


def test_without_a_database_files_are_fetched_and_registered_later(site: Site) -> None:
    assert "not registered" in site.fetch().stderr
    tol_db(site.db, "init")
    assert "registered 1 files" in site.fetch().stdout
    assert "registered" not in site.fetch().stdout


def test_a_file_that_is_there_already_is_verified_and_kept(site: Site) -> None:
    site.manifest(**sums(BODY))
    site.file.parent.mkdir(parents=True)
    site.file.write_bytes(BODY)
    assert "0 files, 1 were there" in site.fetch().stdout
    assert site.server.requests == []


@pytest.mark.parametrize("known", ["sum", "size of the server", "sum of the hub"])
def test_a_wrong_file_that_is_there_already_is_not_overwritten(site: Site, known: str) -> None:
    if known == "sum":
        site.manifest(**sums(BODY))
    elif known == "sum of the hub":
        site.server.script("f", redirect("/g", X_Linked_Etag=f'"{sums(BODY)["sha256"]}"'))
        site.server.put("g", BODY)
    site.file.parent.mkdir(parents=True)
    mine = BODY[:-1] + (b"" if known == "size of the server" else b"x" if BODY[-1:] != b"x" else b"y")
    site.file.write_bytes(mine)
    told = site.fetch(expect=65).stderr
    assert NAME in told
    assert "move it away" in told
    assert site.file.read_bytes() == mine


def test_a_file_that_changed_on_disk_since_is_looked_at_again(site: Site) -> None:
    site.manifest(**sums(BODY))
    site.fetch()
    site.file.write_bytes(b"changed")
    assert "the manifest says" in site.fetch(expect=65).stderr


@pytest.mark.parametrize("code", [401, 404, 429, 503])
def test_a_cut_file_that_is_there_is_not_taken_for_whole_where_the_server_refuses(site: Site, code: int) -> None:
    site.server.always["f"] = status(code)
    site.file.parent.mkdir(parents=True)
    site.file.write_bytes(BODY[:1000])
    told = site.fetch("--retries", 1, expect=66 if code == 404 else 1).stderr
    assert str(code) in told
    assert site.file.read_bytes() == BODY[:1000]
    assert not list(site.tree.rglob("*.json"))


def test_a_file_that_is_there_is_asked_for_until_the_server_answers(site: Site) -> None:
    site.server.script("f", status(503), slam(), status(429))
    site.file.parent.mkdir(parents=True)
    site.file.write_bytes(BODY)
    assert "0 files, 1 were there" in site.fetch().stdout
    assert len(site.server.requests) == 4


def test_a_file_that_is_there_and_of_which_nobody_tells_the_length_is_refused(site: Site) -> None:
    site.server.put("f", BODY, length=-1, ranges=False)
    site.file.parent.mkdir(parents=True)
    site.file.write_bytes(BODY[:1000])
    told = site.fetch(expect=65).stderr
    assert "neither the manifest nor the server" in told
    assert "sha256 in a manifest" in told
    site.manifest(bytes=1000)
    site.fetch()


def test_a_length_in_the_manifest_does_without_a_server(site: Site) -> None:
    site.manifest(bytes=len(BODY))
    site.server.always["f"] = status(403)
    site.file.parent.mkdir(parents=True)
    site.file.write_bytes(BODY)
    assert "checked by the length" in site.fetch().stderr


def test_an_empty_note_of_a_partial_vouches_for_nothing(site: Site) -> None:
    site.file.parent.mkdir(parents=True)
    site.file.write_bytes(BODY[:1000])
    note = {
        "url": site.server.url("f"),
        "bytes": None,
        "etag": None,
        "modified": None,
        "sha256": None,
        "by": "http",
    }
    (site.file.parent / f".{NAME}.partial.json").write_text(json.dumps(note))
    assert "the server says" in site.fetch(expect=65).stderr


def test_an_own_file_in_place_of_an_optional_one_that_the_server_lacks_is_left_alone(site: Site) -> None:
    site.manifest(site.server.url("none"), optional=True)
    site.file.parent.mkdir(parents=True)
    site.file.write_bytes(b"my own")
    assert "the server does not have" in site.fetch().stdout
    assert site.file.read_bytes() == b"my own"
    assert not list(site.tree.rglob("*.json"))


# ------------------------------------------------------------------ connections that break


def test_drops_at_random_bytes_are_gone_on_from_where_they_were(site: Site) -> None:
    rng = random.Random(7)
    site.server.script("f", *(drop(rng.randrange(1, 120_000)) for _ in range(12)))
    site.fetch()
    assert site.is_whole()
    starts = [r.headers.get("range") for r in site.server.asked("f")]
    assert starts[0] is None
    assert len(starts) == 13
    assert all(start is not None for start in starts[1:])


def test_a_server_without_ranges_is_read_anew_after_a_drop(site: Site) -> None:
    site.server.put("f", BODY, ranges=False)
    site.server.script("f", drop(700_000), drop(100), drop(900_000))
    done = site.fetch()
    assert site.is_whole()
    assert "the server begins anew" in done.stderr


def test_breaks_after_a_change_are_measured_by_what_came_since(site: Site) -> None:
    newer = random.Random(2).randbytes(1_500_000)
    site.server.script("f", drop(1_400_000), after(becomes(newer), drop(100_000)))
    site.server.script("f", *(drop(100_000) for _ in range(6)))
    site.fetch("--retries", 1)
    assert site.is_whole(newer)


def test_a_server_that_resumes_nothing_and_always_drops_is_given_up(site: Site) -> None:
    site.server.put("f", BODY, ranges=False)
    site.server.always["f"] = drop(400_000)
    assert "begun anew 7 times" in site.fetch("--retries", 1, expect=1).stderr


def test_a_server_that_only_drops_is_given_up_and_the_partial_stays(site: Site) -> None:
    site.server.script("f", drop(400_000))
    site.server.script("f", *(slam() for _ in range(20)))
    told = site.fetch("--retries", 2, expect=1).stderr
    assert "given up after 3 tries" in told
    assert "run the same command again" in told
    assert not site.file.exists()
    assert (site.file.parent / f".{NAME}.partial").stat().st_size == 400_000
    site.server.faults.clear()
    site.fetch()
    assert site.is_whole()
    assert site.server.asked("f")[-1].headers["range"] == "bytes=400000-"


def test_no_server_at_all(site: Site) -> None:
    site.manifest("http://127.0.0.1:9/f")
    told = site.fetch("--retries", 1, expect=1).stderr
    assert "Connection refused" in told
    assert site.leftovers() == []


def test_garbage_instead_of_http(site: Site) -> None:
    site.server.script("f", garbage(b"SSH-2.0-OpenSSH\r\n\r\n"), garbage(b"HTTP/1.1 twenty OK\r\n\r\n"))
    site.fetch()
    assert site.is_whole()


def test_a_file_that_changes_between_two_tries_is_not_glued_together(site: Site) -> None:
    new = BODY[::-1]
    site.server.script("f", drop(800_000), becomes(new))
    site.fetch()
    assert site.is_whole(new)


def test_a_file_that_changes_between_two_runs_is_not_glued_together(site: Site) -> None:
    new = BODY[::-1]
    site.server.script("f", drop(800_000), slam())
    site.fetch("--retries", 0, expect=1)
    site.server.put("f", new)
    site.fetch()
    assert site.is_whole(new)


def test_a_server_that_ignores_if_range_does_not_glue_either(site: Site) -> None:
    new = BODY[::-1]

    def careless(handler: Any, served: Any) -> bool:
        del handler.headers["If-Range"]
        return False

    site.server.script("f", drop(800_000), after(becomes(new), careless))
    site.fetch()
    assert site.is_whole(new)


def test_without_any_validator_nothing_is_glued_unless_a_sum_will_tell(site: Site) -> None:
    site.server.put("f", BODY, etag=None, modified=None)
    site.server.script("f", drop(800_000))
    site.fetch()
    assert site.is_whole()
    assert len(site.server.asked("f")) == 3  # the second was to go on, and the third began anew


def test_pieces_that_do_not_fit_are_found_by_the_sum_and_fetched_once_more(site: Site) -> None:
    site.manifest(**sums(BODY))
    bad = bytes(len(BODY))
    site.server.put("f", bad, etag=None, modified=None)
    site.server.script("f", drop(800_000), becomes(BODY, None))
    done = site.fetch()
    assert "once more, in one" in done.stderr
    assert site.is_whole()


def test_an_address_that_changed_is_begun_anew(site: Site) -> None:
    site.server.script("f", drop(800_000), slam())
    site.fetch("--retries", 0, expect=1)
    site.manifest(site.server.put("other", BODY[::-1], etag='"same"'))
    site.fetch()
    assert site.is_whole(BODY[::-1])


def test_a_broken_note_beside_a_partial_only_costs_the_partial(site: Site) -> None:
    site.server.script("f", drop(800_000), slam())
    site.fetch("--retries", 0, expect=1)
    (site.file.parent / f".{NAME}.partial.json").write_text('{"url": ')
    site.fetch()
    assert site.is_whole()


# ------------------------------------------------------------------ wrong answers


@pytest.mark.parametrize("what", ["bytes", "sha256", "md5"])
def test_wrong_content_gets_no_name(site: Site, what: str) -> None:
    other = BODY[:-1] + bytes([BODY[-1] ^ 1]) + (b"x" if what == "bytes" else b"")
    site.manifest(**({"bytes": len(BODY)} if what == "bytes" else {what: sums(BODY)[what]}))
    site.server.put("f", other)
    told = site.fetch(expect=65).stderr
    assert "the manifest says" in told
    assert not site.file.exists()
    site.manifest(**({"bytes": len(other)} if what == "bytes" else {what: sums(other)[what]}))
    site.fetch()  # the manifest was wrong: what came is still there
    assert site.is_whole(other)
    assert len(site.server.asked("f")) == (2 if what == "bytes" else 1)


def test_a_wrong_sum_of_an_earlier_run_is_fetched_anew(site: Site) -> None:
    site.manifest(**sums(BODY))
    site.server.put("f", BODY[::-1])
    site.fetch(expect=65)
    site.server.put("f", BODY)
    site.fetch()
    assert site.is_whole()


def test_the_sum_that_the_hub_announces_is_checked(site: Site) -> None:
    site.server.put("g", BODY)
    link = {"X_Linked_Etag": f'"{"0" * 64}"', "X_Linked_Size": str(len(BODY))}
    site.server.always["f"] = redirect(site.server.url("g"), **link)
    told = site.fetch(expect=65).stderr
    assert f"the server says {'0' * 64}" in told
    site.server.always["f"] = redirect(site.server.url("g"), X_Linked_Etag=f'"{sums(BODY)["sha256"]}"')
    site.fetch()
    assert site.is_whole()


@pytest.mark.parametrize("claimed", [len(BODY) + 1000, len(BODY) - 1000])
def test_a_wrong_length_is_found(site: Site, claimed: int) -> None:
    site.manifest(**sums(BODY))
    site.server.put("f", BODY, length=claimed, ranges=False)
    told = site.fetch("--retries", 1, expect=1 if claimed > len(BODY) else 65).stderr
    assert "broke off" in told or "the manifest says" in told
    assert not site.file.exists()


def test_a_length_nobody_tells_is_refused_unless_a_sum_will_tell(site: Site) -> None:
    site.server.put("f", BODY, length=-1)
    assert "does not say how long it is" in site.fetch(expect=65).stderr
    site.manifest(sha256=sums(BODY)["sha256"])
    site.fetch()
    assert site.is_whole()


def test_a_chunked_answer_is_read_to_its_end(site: Site) -> None:
    site.server.put("f", BODY, chunked=True)
    site.fetch()
    assert site.is_whole()


def test_a_compressed_answer_is_refused(site: Site) -> None:
    site.server.put("f", BODY, headers={"Content-Encoding": "br"})
    assert "compressed though asked not to" in site.fetch(expect=65).stderr


def test_a_web_page_instead_of_the_file_is_refused(site: Site) -> None:
    site.server.put("f", b"<html>log in</html>", headers={"Content-Type": "text/html; charset=utf-8"})
    assert "sends a web page" in site.fetch(expect=65).stderr
    assert site.leftovers() == []


def test_a_file_that_is_not_there(site: Site) -> None:
    site.manifest(site.server.url("gone"))
    told = site.fetch(expect=66).stderr
    assert "no such file (404)" in told
    site.manifest(site.server.url("gone"), optional=True)
    assert "the server does not have" in site.fetch().stdout
    assert site.leftovers() == []


@pytest.mark.parametrize("code", [401, 403])
def test_a_refusal_names_the_token(site: Site, code: int) -> None:
    site.server.script("f", status(code))
    assert "TOL_DB_FETCH_TOKEN" in site.fetch(expect=1).stderr
    assert len(site.server.requests) == 1


# ------------------------------------------------------------------ patience


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_is_honoured(site: Site, code: int) -> None:
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=5), usegmt=True)
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1200), usegmt=True)
    site.server.script("f", status(code, Retry_After="1"), status(code, Retry_After=past))
    done = site.fetch()
    assert site.is_whole()
    assert f"answers {code}; again in 1.0 s" in done.stderr
    site.file.unlink()
    site.server.script("f", status(code, Retry_After=soon))
    process = start(site.db, *site.words())
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    waits = next(line for line in lines if f"answers {code}; again in " in line)
    process.send_signal(signal.SIGTERM)  # nobody waits that long
    process.communicate(timeout=60)
    assert process.returncode == 75
    assert re.search(r"again in 1[12]\d\d\.\d s", waits)


def test_a_server_that_asks_for_hours_is_told_to_the_user(site: Site) -> None:
    site.server.script("f", status(429, Retry_After="86400"))
    assert "come back in 86,400 s" in site.fetch(expect=1).stderr


def test_a_silent_server_is_left_and_asked_again(site: Site) -> None:
    site.server.script("f", silence(30))
    done = site.fetch("--timeout", 0.5)
    assert site.is_whole()
    assert "no answer in time" in done.stderr


def test_a_server_that_drips_is_left_and_what_came_is_kept(site: Site) -> None:
    site.server.script("f", drip(10, 0.05))
    done = site.fetch("--timeout", 0.5)
    assert site.is_whole()
    assert "slower than" in done.stderr
    assert "range" in site.server.asked("f")[1].headers


def test_a_limit_is_shared_by_all_transfers_and_waits_for_what_was_read() -> None:
    pace = Pace(1000.0)
    delays = [pace.delay(500_000) for _ in range(4)]
    assert [round(delay, -2) for delay in delays] == [500, 1000, 1500, 2000]  # seconds, to come
    assert Pace(None).delay(1 << 40) == 0


@pytest.mark.parametrize("rate", ["64M", "1.5m"])
def test_a_file_comes_whole_within_a_limit(site: Site, rate: str) -> None:
    site.fetch("--limit-rate", rate)
    assert site.is_whole()


@pytest.mark.parametrize("rate", ["0", "-1", "10X", "fast", "1e9"])
def test_a_limit_that_is_none_is_refused(site: Site, rate: str) -> None:
    assert "bytes a second are wanted" in site.fetch("--limit-rate", rate, expect=2).stderr


# ------------------------------------------------------------------ redirects, proxies, secrets


def test_redirects_are_followed_to_another_host(site: Site) -> None:
    with serving() as other:
        other.put("there", BODY)
        site.server.script("f", redirect("/a", 301))
        site.server.script("a", redirect(other.url("there", host="localhost"), 307))
        site.fetch()
    assert site.is_whole()


def test_a_redirect_loop_ends(site: Site) -> None:
    site.server.always["f"] = redirect("/g")
    site.server.always["g"] = redirect("/f")
    assert "more than 10 redirects" in site.fetch(expect=65).stderr
    assert len(site.server.requests) == 11


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/f", "data:,x", "gopher://x/"])
def test_redirects_to_anything_but_http_are_refused(site: Site, to: str) -> None:
    site.server.script("f", redirect(to))
    assert "redirected to a forbidden place" in site.fetch(expect=65).stderr
    assert not site.file.exists()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/f", "/etc/passwd", "https://"])
def test_manifests_of_anything_but_http_are_refused(site: Site, url: str) -> None:
    site.manifest(url)
    assert "m.toml: [metadata] file 1: url" in site.fetch(expect=65).stderr


def with_environment(site: Site, *words: object, expect: int = 0, **variables: str) -> str:
    command = [sys.executable, "-m", "tol_db", "--db", str(site.db), *map(str, site.words(*words))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(**variables), timeout=120)
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_a_token_goes_only_to_files_that_the_manifest_gives_it_to_and_never_to_another_host(site: Site) -> None:
    with serving() as other:
        other.put("there", BODY)
        other.put("back", BODY)
        site.manifest(token=True)
        site.server.script("f", redirect("/a"))
        site.server.script("a", redirect(other.url("there")))
        told = with_environment(site, TOL_DB_FETCH_TOKEN="hf_secret")
        assert "hf_secret" not in told
        assert [r.headers.get("authorization") for r in site.server.requests] == ["Bearer hf_secret"] * 2
        assert [r.headers.get("authorization") for r in other.requests] == [None]
    assert site.is_whole()


def test_a_token_is_not_sent_where_the_manifest_does_not_say_so(site: Site) -> None:
    with_environment(site, TOL_DB_FETCH_TOKEN="hf_secret")
    assert [r.headers.get("authorization") for r in site.server.requests] == [None]


def test_a_token_is_not_sent_where_a_stranger_led(site: Site) -> None:
    with serving() as other:
        other.script("lure", redirect(site.server.url("f")))
        site.manifest(token=True)
        site.server.script("f", redirect(other.url("lure")))
        with_environment(site, TOL_DB_FETCH_TOKEN="hf_secret")
    assert [r.headers.get("authorization") for r in site.server.requests] == ["Bearer hf_secret", None]


@pytest.mark.parametrize("token", ["two words", "line\nfeed", "umlaut-ä"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(site: Site, token: str) -> None:
    told = with_environment(site, expect=65, TOL_DB_FETCH_TOKEN=token)
    assert "TOL_DB_FETCH_TOKEN" in told
    assert token not in told


def test_user_and_query_of_an_address_are_used_and_never_shown(site: Site) -> None:
    site.manifest(site.server.url("f", user="me:hush%21@") + "?sig=hush")
    tol_db(site.db, "init")
    site.server.script("f", drop(1000), status(503))
    told = site.fetch()
    request = site.server.requests[-1]
    assert request.headers["authorization"] == "Basic bWU6aHVzaCE="
    assert request.path == "/f?sig=hush"
    written = [p.read_bytes() for p in site.tree.rglob("*") if p.is_file()] + [site.db.read_bytes()]
    assert not any(b"hush" in text for text in [told.stdout.encode(), told.stderr.encode(), *written])


@pytest.mark.parametrize(
    "fault", [slam(), status(500), status(404), status(403), redirect("ftp://me:hush@h/?hush")]
)
def test_no_error_shows_a_secret(site: Site, fault: Any) -> None:
    site.manifest(site.server.url("f", user="me:hush@") + "?sig=hush")
    site.server.always["f"] = fault
    command = [sys.executable, "-m", "tol_db", "--db", str(site.db), *map(str, site.words("--retries", 1))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=120)
    assert done.returncode in (1, 65, 66)
    assert "hush" not in done.stdout + done.stderr


def test_the_proxy_of_the_environment_is_used_with_its_password(site: Site) -> None:
    site.manifest("http://data.example/f")  # a name that only the proxy knows
    proxy = f"http://me:hush@127.0.0.1:{site.server.port}"
    told = with_environment(site, http_proxy=proxy, no_proxy="")
    assert site.is_whole()
    assert "hush" not in told
    (request,) = site.server.requests
    assert request.path == "http://data.example/f"
    assert request.headers["host"] == "data.example"
    assert request.headers["proxy-authorization"] == "Basic bWU6aHVzaA=="


def test_no_proxy_is_honoured(site: Site) -> None:
    with_environment(site, http_proxy="http://127.0.0.1:9", no_proxy="127.0.0.1")
    assert site.is_whole()


# ------------------------------------------------------------------ killed and stopped


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def size_of(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def test_a_run_that_was_killed_is_gone_on_with(site: Site) -> None:
    site.server.script("f", drip(30_000, 0.05), drip(30_000, 0.05))
    partial = site.file.parent / f".{NAME}.partial"
    for seen in (100_000, 300_000):
        process = start(site.db, *site.words())
        until(lambda seen=seen: size_of(partial) > seen, process)  # type: ignore[misc]
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert not site.file.exists()
    have = size_of(partial)
    site.fetch()
    assert site.is_whole()
    assert site.server.asked("f")[-1].headers["range"] == f"bytes={have}-"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_keeps_the_partial_and_says_run_again(site: Site, number: signal.Signals) -> None:
    site.server.script("f", drip(30_000, 0.05))
    partial = site.file.parent / f".{NAME}.partial"
    process = start(site.db, *site.words())
    until(lambda: size_of(partial) > 100_000, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert "Traceback" not in errors
    assert "run the same command again" in errors
    assert size_of(partial) > 100_000
    site.fetch()
    assert site.is_whole()


def test_a_signal_ends_a_run_that_waits_for_a_silent_server(site: Site) -> None:
    site.server.script("f", silence(60))
    process = start(site.db, *site.words())
    until(lambda: len(site.server.requests) == 1, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 75


def test_a_kill_between_name_and_note_costs_only_a_look(site: Site) -> None:
    site.fetch()
    (note,) = (site.tree / ".fetched").rglob("*.json")
    value = json.loads(note.read_text())
    note.unlink()
    site.fetch()
    assert json.loads(note.read_text())["sha256"] == value["sha256"]
    assert len(site.server.asked("f")) == 2  # the second asked for the size, as nothing else was known


def test_two_runs_at_once_do_not_write_one_file(site: Site) -> None:
    site.server.script("f", drip(30_000, 0.2))
    process = start(site.db, *site.words())
    until(lambda: size_of(site.file.parent / f".{NAME}.partial") > 0, process)
    assert "another process" in site.fetch(expect=75).stderr
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert site.is_whole()


# ------------------------------------------------------------------ several files, room


def test_several_files_at_once_and_one_that_fails_does_not_hinder_the_others(site: Site) -> None:
    entries = []
    for number in range(6):
        body = BODY[number * 1000 :]
        entries.append({"path": f"d/{number}.csv", "url": site.server.put(f"n{number}", body)})
        site.server.script(f"n{number}", drop(200_000))
    del site.server.files["n3"]
    site.server.faults["n3"].clear()
    write_manifest(site.folder / "m.toml", "metadata", *entries)
    done = site.fetch("--jobs", 4, expect=66)
    assert "fetched 5 files" in done.stdout
    assert "n3: the server has no such file" in done.stderr
    there = {p.name: p.read_bytes() for p in (site.tree / "metadata" / "d").iterdir()}
    assert there == {f"{n}.csv": BODY[n * 1000 :] for n in range(6) if n != 3}


def test_numbered_files_are_fetched_by_their_numbers(site: Site) -> None:
    for number in range(1, 13):
        site.server.put(f"set_{number:02}.tar.gz", b"%d" % number)
    entry = {"numbers": "01-12", "path": "image_set_{}.tar.gz", "url": site.server.url("set_{}.tar.gz")}
    write_manifest(site.folder / "m.toml", "eol", entry)
    words = ("fetch", "eol", site.tree, "--manifest", site.folder / "m.toml", *QUICK)
    (site.tree / "dataset" / "EOL").mkdir(parents=True)
    tol_db(site.db, *words, "--archives", "9-10")
    folder = site.tree / "dataset" / "EOL"  # as it is spelled there
    assert sorted(p.name for p in folder.iterdir()) == ["image_set_09.tar.gz", "image_set_10.tar.gz"]
    assert "no eol file numbered 13-13" in tol_db(site.db, *words, "--archives", "13", expect=2).stderr


def test_a_file_that_does_not_fit_is_not_begun(site: Site) -> None:
    site.manifest(bytes=1 << 58)
    told = site.fetch(expect=73).stderr
    assert "are free" in told
    assert site.server.requests == []


def test_a_length_that_does_not_fit_is_not_begun_either(site: Site) -> None:
    site.server.put("f", b"x", length=1 << 58)
    assert "are free" in site.fetch(expect=73).stderr
    assert site.leftovers() == []


def test_a_limit_on_the_size_of_files_is_told_and_the_partial_goes_on(site: Site) -> None:
    command = f"ulimit -f 700; exec {sys.executable} -m tol_db --db {site.db} " + " ".join(map(str, site.words()))
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == 73, done.stderr
    assert "File too large" in done.stderr
    site.fetch()
    assert site.is_whole()


def test_a_folder_that_cannot_be_made(site: Site) -> None:
    site.tree.mkdir()
    (site.tree / "metadata").write_text("a file in the way")
    assert "error:" in site.fetch(expect=73).stderr
