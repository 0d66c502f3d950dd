"""``tol-db browse``: datasette itself over a dataset that was really written, here and in a process of its own."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import io
import os
import re
import signal
import sqlite3
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from datasette.plugins import pm
from PIL import Image

from tests.populated import populated
from tests.running import plan, start, tol_db
from tests.unprivileged import folder_for_all, unprivileged
from tol_db.audit import runner
from tol_db.browse.app import Browser, browsing
from tol_db.browse.labels import LABELS
from tol_db.browse.pictures import picture
from tol_db.browse.queries import canned_queries
from tol_db.cli import cli
from tol_db.db.models import Base


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, _demo_ingested: Path) -> Path:
    """The demo tree, written; its database."""
    folder = tmp_path_factory.mktemp("browse")
    db = folder / "tol.sqlite"
    db.write_bytes(_demo_ingested.read_bytes())
    plan(db, folder / "out", "tol10m", "--shard-images", "25")
    tol_db(db, "materialize")
    return db


@pytest.fixture
def browser(written: Path) -> Iterator[Browser]:
    with browsing(written) as found:
        yield found


def get(browser: Browser, path: str, **headers: str) -> Any:
    return asyncio.run(browser.client.get(path, headers=headers))


def one(db: Path, sql: str, *parameters: object) -> Any:
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
        return connection.execute(sql, parameters).fetchone()


WRITTEN = "SELECT shard_id, position, treeoflife_id, split, file FROM v_sample WHERE outcome = 'written' LIMIT 1"


def test_every_audit_is_a_canned_query_and_answers_what_the_audit_answers(browser: Browser, written: Path) -> None:
    listed = get(browser, "/tol.json").json()["queries"]
    assert {audit.name for audit in runner.load()} < {query["name"] for query in listed}
    for audit in runner.load():
        answer = get(browser, f"/tol/{audit.name}.json?_shape=arrays")
        assert answer.status_code == 200, (audit.name, answer.text)
        with closing(sqlite3.connect(written)) as connection:
            rows = [list(row) for row in connection.execute(audit.sql)]
        assert answer.json()["rows"] == rows[:1000], audit.name


def test_every_table_and_view_has_a_page(browser: Browser) -> None:
    listed = get(browser, "/tol.json").json()
    names = [table["name"] for table in listed["tables"]] + [view["name"] for view in listed["views"]]
    assert set(Base.metadata.tables) < set(names)
    assert not set(names) & set(canned_queries())  # a query would be shown in the place of the table
    for name in names:
        assert get(browser, f"/tol/{name}").status_code == 200, name


def test_keys_are_shown_with_the_names_of_what_they_point_to(browser: Browser, written: Path) -> None:
    assert set(LABELS) <= set(Base.metadata.tables)
    (genus, species) = one(
        written, "SELECT genus, species FROM label l JOIN image i ON i.label_id = l.id WHERE i.id = 1"
    )
    for page in ("/tol/image?id=1", "/tol/image/1"):  # a table, and a row of it
        assert f">{genus} {species}</a>" in get(browser, page).text, page
    row = get(browser, "/tol/shard.json?_shape=objects&_labels=on&_size=1").json()["rows"][0]
    assert row["dataset_id"]["label"] == "set"
    assert row["work_unit_id"]["label"] == "unit 0"
    sample = get(browser, "/tol/shard_image.json?_shape=objects&_labels=on&_size=1").json()["rows"][0]
    assert re.fullmatch(r"(train|val|train_small)/shard-\d{6}\.tar", sample["shard_id"]["label"])
    assert re.fullmatch(r"[0-9a-f-]{36}", sample["image_id"]["label"])


def test_a_label_without_a_genus_is_called_by_its_lowest_rank(tmp_path: Path) -> None:
    db = populated(tmp_path / "tol.sqlite").path
    with browsing(db) as browser:
        rows = get(browser, "/tol/image.json?_shape=objects&_labels=on&_size=max").json()["rows"]
    labels = {row["label_id"]["label"] for row in rows if isinstance(row["label_id"], dict)}
    assert {"Parus major", "Rhododendron", "Diptera"} <= labels


def test_ids_and_digests_are_text_and_lead_to_the_samples_of_the_image(browser: Browser, written: Path) -> None:
    _, _, id, *_ = one(written, WRITTEN)
    page = get(browser, f"/tol/image_samples?treeoflife_id={id}")
    assert page.status_code == 200
    assert f'<a href="/tol/image_samples?treeoflife_id={id}">{id}</a>' in page.text
    assert f"treeoflife_id={id}" in get(browser, "/tol/image?_size=max").text
    assert "Binary:" not in get(browser, "/tol/shard?_size=max").text
    digest = one(written, "SELECT hex(digest) FROM shard")[0].lower()
    assert digest in get(browser, "/tol/shard?_size=max").text
    for query in ("image_facts", "image_exclusions"):
        assert get(browser, f"/tol/{query}.json?treeoflife_id={id}").status_code == 200


def test_the_exclusions_of_an_image_are_found(browser: Browser, written: Path) -> None:
    id, split, outcome = one(written, "SELECT treeoflife_id, split, outcome FROM v_exclusion LIMIT 1")
    rows = get(browser, f"/tol/image_exclusions.json?treeoflife_id={id.upper()}&_shape=objects").json()["rows"]
    assert (split, outcome) in {(row["split"], row["outcome"]) for row in rows}


def test_the_picture_of_a_sample_is_what_its_shard_holds(browser: Browser, written: Path) -> None:
    with closing(sqlite3.connect(written)) as connection:
        samples = connection.execute(
            """SELECT v.shard_id, v.position, m.jpg_digest FROM v_sample v
               JOIN shard_image m ON m.shard_id = v.shard_id AND m.position = v.position
               WHERE v.outcome = 'written'"""
        ).fetchall()
    assert len(samples) > 50
    for shard, position, digest in samples:
        answer = get(browser, f"/-/sample/{shard}/{position}.jpg")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/jpeg"
        assert hashlib.sha256(answer.content).digest()[:16] == digest
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (224, 224)


def test_pages_of_samples_show_the_pictures_of_those_that_were_written(browser: Browser, written: Path) -> None:
    images = one(written, "SELECT count(*) FROM v_sample WHERE outcome = 'written'")[0]
    for table in ("v_sample", "shard_image"):
        shown = re.findall(r'<img src="(/-/sample/\d+/\d+\.jpg)"', get(browser, f"/tol/{table}?_size=max").text)
        assert len(set(shown)) == images, table


@pytest.mark.parametrize(
    "path",
    [
        *("/-/sample/999999/0.jpg", "/-/sample/1/999999.jpg", "/-/sample/-1/0.jpg", "/-/sample/1/0.png"),
        *("/-/sample/../../etc/passwd.jpg", "/-/sample/9999999999999999999/0.jpg"),
    ],
)
def test_a_picture_that_is_none_is_not_found(browser: Browser, path: str) -> None:
    assert get(browser, path).status_code == 404


def test_what_became_of_a_shard_is_told_where_its_picture_would_be(tmp_path: Path, written: Path) -> None:
    db = Path(tmp_path / "tol.sqlite")
    db.write_bytes(written.read_bytes())
    shard, position, id, split, file = one(db, WRITTEN)
    path = written.parent / "out" / "224x224" / split / file
    data = path.read_bytes()
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE dataset SET output_root = ?", (str(tmp_path / "moved"),))
    moved = tmp_path / "moved" / "224x224" / split / file
    moved.parent.mkdir(parents=True)
    with browsing(db) as browser:
        address = f"/-/sample/{shard}/{position}.jpg"
        assert "No such file" in get(browser, address).text
        for damaged in (b"", bytes(len(data)), data[:700], data[:512] + bytes(len(data) - 512)):
            moved.write_bytes(damaged)  # the second is a file of zeros: allocated and never written
            answer = get(browser, address)
            assert (answer.status_code, "does not hold it" in answer.text) == (404, True)
        moved.unlink()
        os.mkfifo(moved)
        assert get(browser, address).status_code == 404
        moved.unlink()
        moved.write_bytes(data)
        assert get(browser, address).status_code == 200
    assert picture(moved, "../" + id) is None


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tol.db", 403),
        ("/-/metadata", 404),
        ("/-/databases.json", 404),
        ("/-/plugins", 404),
        ("/-/threads", 404),
        ("/-/permissions", 404),
        ("/_internal", 403),
        ("/_memory", 404),
        ("/-/static/app.css", 200),
    ],
)
def test_nothing_else_is_exposed(browser: Browser, path: str, status: int) -> None:
    assert get(browser, path).status_code == status


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM image",
        "ATTACH '/etc/passwd' AS x",
        "PRAGMA query_only = OFF",
        "WITH x AS (SELECT 1) DELETE FROM image",
        "SELECT load_extension('x')",
        "SELECT writefile('x', 'y')",
        "VACUUM INTO '/tmp/copy.sqlite'",
    ],
)
def test_sql_that_does_more_than_read_is_refused(browser: Browser, written: Path, sql: str) -> None:
    before = written.read_bytes()
    answer = asyncio.run(browser.client.get("/tol.json", params={"sql": sql}))
    assert answer.status_code == 400, answer.text
    assert written.read_bytes() == before


def test_sql_that_reads_is_answered_within_its_time_limit(written: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with browsing(written, time_limit=0.2) as browser:
        count = asyncio.run(browser.client.get("/tol.json", params={"sql": "SELECT count(*) AS n FROM image"}))
        assert count.json()["rows"] == [[one(written, "SELECT count(*) FROM image")[0]]]
        assert "time limit" in asyncio.run(browser.client.get("/tol.json", params={"sql": endless})).text


def test_only_reading_and_only_this_machine_is_answered(browser: Browser) -> None:
    assert get(browser, "/", Host="localhost:9000").status_code == 200  # what ssh -L makes of it
    assert get(browser, "/", Host="[::1]:8001").status_code == 200
    for host in ("tol.example.org", "localhost.example.org", "127.0.0.1.example.org:8001", ""):
        assert get(browser, "/", Host=host).status_code == 403, host
    assert asyncio.run(browser.client.post("/tol", data={"sql": "SELECT 1"})).status_code == 405
    answer = get(browser, "/tol")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_name_that_looks_like_a_script_is_shown_as_text(tmp_path: Path, written: Path) -> None:
    db = Path(tmp_path / "tol.sqlite")
    db.write_bytes(written.read_bytes())
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE label SET genus = '<script>alert(1)</script>', species = ''")
    with browsing(db) as browser:
        for page in ("/tol/label", "/tol/image", "/tol/image/1", "/tol/v_image"):
            text = get(browser, page).text
            assert "<script>alert" not in text
            assert "&lt;script&gt;alert" in text


def test_plugins_that_happen_to_be_installed_are_left_out(written: Path) -> None:
    class Writes:
        __name__ = "writes"

    class Distribution(importlib.metadata.Distribution):
        def read_text(self, filename: str) -> str | None:
            return "Name: datasette-writes\nVersion: 1\n" if filename == "METADATA" else None

        def locate_file(self, path: Any) -> Any:
            return Path(path)

    other = Writes()
    pm.register(other, "writes")
    pm._plugin_distinfo.append((other, Distribution()))
    try:
        with browsing(written):
            assert not pm.is_registered(other)
    finally:
        pm._plugin_distinfo.pop()


def test_keys_that_no_index_leads_along_are_not_counted(browser: Browser) -> None:
    page = get(browser, "/tol/label/1").text  # image.label_id has no index: ten million rows would be read
    assert "/tol/image?label_id=1" not in page
    assert "/tol/image?container_id=9" in get(browser, "/tol/container/9").text


def test_tables_of_millions_are_shown_without_being_counted(
    browser: Browser, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = one(written, "SELECT count(*) FROM image")[0]
    assert f"<h3>{images:,} rows" in re.sub(r"\s+", " ", get(browser, "/tol/image").text)
    monkeypatch.setattr("tol_db.browse.app.COUNTED", 50)
    page = get(browser, "/tol/image").text
    assert f"{images:,} rows" not in page
    assert "treeoflife_id=" in page
    counts = {table["name"]: table["count"] for table in get(browser, "/tol.json").json()["tables"]}
    assert (counts["image"], counts["blacklist"]) == (None, 1)


def test_a_database_that_we_may_not_write_is_read_and_nothing_is_made_beside_it(written: Path) -> None:
    with folder_for_all() as top:
        folder = top / "archive"
        folder.mkdir()
        db = folder / "a name with ?, # and %41.sqlite"
        db.write_bytes(written.read_bytes())
        db.chmod(0o444)
        folder.chmod(0o555)
        with unprivileged(), browsing(db) as browser:
            assert "immutable=1" in browser.databases["tol"].uri
            assert get(browser, "/tol/image.json?_size=1").json()["rows"]
            assert [entry.name for entry in folder.iterdir()] == [db.name]


# ------------------------------------------------------------------ a process of its own


def fetch(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=20) as answer:
        found: bytes = answer.read()
    return found


def test_the_command_serves_on_loopback_while_others_write_and_ends_without_a_trace(
    tmp_path: Path, written: Path
) -> None:
    db = Path(tmp_path / "tol.sqlite")
    db.write_bytes(written.read_bytes())
    serving = start(db, "browse", "--port", "0")
    try:
        assert serving.stdout is not None
        line = serving.stdout.readline()
        match = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        assert match, line
        shard, position, *_ = one(db, WRITTEN)
        assert fetch(f"{match[0]}-/sample/{shard}/{position}.jpg").startswith(b"\xff\xd8")
        assert b"rare-species" in fetch(f"{match[0]}tol/blacklist")
        with closing(sqlite3.connect(db)) as writer:  # seen at once, also out of the write-ahead log
            for number in range(3):
                with writer:
                    writer.execute(
                        "INSERT INTO blacklist (name, created_at) VALUES (?, '2026-01-01T00:00:00Z')",
                        (f"later-{number}",),
                    )
                assert f"later-{number}".encode() in fetch(f"{match[0]}tol/blacklist")
        with pytest.raises(urllib.error.HTTPError) as gone:
            fetch(f"{match[0]}tol/nosuch")
        assert gone.value.code == 404
        tol_db(db, "browse", "--port", match[1], expect=2)  # taken
    finally:
        serving.send_signal(signal.SIGINT)
        told, errors = serving.communicate(timeout=20)
    assert serving.returncode == 0, errors
    assert (told, errors) == ("", "")
    assert [entry.name for entry in tmp_path.iterdir()] == [db.name]


def test_a_file_that_is_not_ours_is_not_served(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "other.sqlite").execute("CREATE TABLE t (x)").connection.close()
    assert "not a tol-db database" in tol_db(tmp_path / "other.sqlite", "browse", expect=65).stderr
    assert "no such database" in tol_db(tmp_path / "none.sqlite", "browse", expect=66).stderr


def test_without_the_extra_it_says_how_to_get_it(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = CliRunner().invoke(cli, ["--db", str(written), "browse"])
    assert (done.exit_code, "pip install 'tol-db[browse]'" in done.output) == (1, True)
