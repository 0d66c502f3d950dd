"""A full disk under the database: the previous state stays, the command says so, and succeeds with more room.

Three ways to have no room, all of them real: SQLite's own limit on pages, a small tmpfs, and a limit on the
size of files (RLIMIT_FSIZE; SQLite calls what comes of it "disk I/O error").
"""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from materialize import plan as planning
from materialize.recipe import TOL10M
from tests.raw_trees import Rows, dump, located, new_database, scan, tree_id, write_archive, write_mapping
from tests.running import DATASET, environment, plan, shards_of, tol_db
from tol_db.db.base import REVISIONS
from tol_db.db.engine import Database, open_database
from tol_db.db.migrate import upgrade
from tol_db.demo_tree import DemoTree
from tol_db.errors import CannotWrite
from tol_db.ingest.blacklist_file import ingest_blacklist
from tol_db.ingest.labels import ingest_lookup
from tol_db.ingest.licences import ingest_licences
from tol_db.ingest.mapping import ingest_mapping
from tol_db.ingest.split_file import ingest_split
from tol_db.split import make_split

MANY = 400
COLUMNS = (
    "treeoflife_id,eol_content_id,eol_page_id,md5,medium_source_url,eol_full_size_copy_url,license_name,"
    "copyright_owner,license_link,title"
)


def leftovers(folder: Path) -> list[str]:
    """What should not lie beside a database."""
    return sorted(path.name for path in folder.iterdir() if "partial" in path.name or "mapping-" in path.name)


# ------------------------------------------------------------------ SQLite's own limit


@contextmanager
def room_for(pages: int) -> Iterator[None]:
    """Within, every database that is opened may grow by so many pages."""

    def limit(connection: Any, _record: object) -> None:
        there = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {there + pages}")

    event.listen(sa.Engine, "connect", limit)
    try:
        yield
    finally:
        event.remove(sa.Engine, "connect", limit)


def refused_until_there_is_room(db: Database, act: Callable[[], object]) -> None:
    """With no room at all, and with ever more, the act fails and leaves no trace; at last it succeeds."""
    before = dump(db)
    for pages in (0, 1, 3, 6, 12, 24, 48, 96, 192):
        with room_for(pages):
            try:
                act()
            except CannotWrite as err:
                assert "the disk is full" in str(err)
                assert str(db.path) in str(err)
                assert err.hint
            else:
                assert pages, "it needs no room, so that this shows nothing"
                assert dump(db) != before
                return
        assert dump(db) == before
        assert leftovers(db.path.parent) == []
    pytest.fail("there was never room enough")


@pytest.fixture
def mapped(tmp_path: Path) -> Database:
    """A database of 400 EOL images, and the inputs that tests read beside it."""
    rows = Rows(eol={n: (n, n % 50) for n in range(MANY)}, split={n: (n % 2, 0) for n in range(MANY)})
    write_mapping(tmp_path / "mapping.sqlite", rows).close()
    return new_database(tmp_path)


@pytest.mark.parametrize("wal", [False, True])
def test_a_mapping_is_read_whole_or_not_at_all(tmp_path: Path, wal: bool) -> None:
    rows = Rows(eol={n: (n, n % 50) for n in range(MANY)}, split={n: (n % 2, 0) for n in range(MANY)})
    theirs = write_mapping(tmp_path / "mapping.sqlite", rows, wal=wal)
    db = new_database(tmp_path)
    refused_until_there_is_room(db, lambda: ingest_mapping(db, tmp_path / "mapping.sqlite"))
    theirs.close()


def _licences(folder: Path) -> Path:
    lines = [f"{tree_id(n)},{n},{n % 50},,u{n},v{n},cc-{n % 7},owner {n},link,{'title ' * 9}" for n in range(MANY)]
    (folder / "licenses.csv").write_text("\n".join([COLUMNS, *lines]))
    return folder / "licenses.csv"


def _lookup(folder: Path) -> Path:
    entry = '"{0}": [["Animalia","Chordata","Aves","Order{0}","Family{0}","Genus{0}","species{0}"],"bird {0}"]'
    path = folder / "eol_name_lookup.json"
    path.write_text("{" + ",".join(entry.format(n) for n in range(MANY)) + "}")
    return path


def _ids(folder: Path) -> Path:
    (folder / "ids.txt").write_text("\n".join(tree_id(n) for n in range(MANY)))
    return folder / "ids.txt"


def _names(folder: Path) -> Path:
    (folder / "names.txt").write_text("\n".join(f"{n}_{n % 50}_eol-full-size-copy.jpg" for n in range(MANY)))
    return folder / "names.txt"


TABLES: dict[str, Callable[[Database, Path], object]] = {
    "licences": lambda db, folder: ingest_licences(db, _licences(folder)),
    "labels": lambda db, folder: ingest_lookup(db, "eol", _lookup(folder)),
    "split file": lambda db, folder: ingest_split(db, "mine", _ids(folder)),
    "blacklist": lambda db, folder: ingest_blacklist(db, "mine", images=[_names(folder)]),
    "split": lambda db, _folder: make_split(db, "mine", fraction=0.9),
}


@pytest.mark.parametrize("what", TABLES)
def test_a_table_is_read_whole_or_not_at_all(mapped: Database, tmp_path: Path, what: str) -> None:
    ingest_mapping(mapped, tmp_path / "mapping.sqlite")
    refused_until_there_is_room(mapped, lambda: TABLES[what](mapped, tmp_path))


def test_a_plan_is_stored_whole_or_not_at_all(demo_db: Path, tmp_path: Path) -> None:
    db = open_database(demo_db)
    request = planning.PlanRequest("x", tmp_path / "out", TOL10M, ("train", "val"), shard_images=1)
    refused_until_there_is_room(db, lambda: planning.plan(db, request))
    tol_db(demo_db, "doctor")


def test_an_upgrade_is_made_whole_or_not_at_all(demo_db: Path) -> None:
    upgrade(demo_db, REVISIONS[0])
    before = dump(demo_db)
    with sqlite3.connect(demo_db) as connection:  # no page that it could take from the free ones
        connection.execute("CREATE TABLE filler (x)")
        connection.execute("DROP TABLE filler")
        connection.execute("VACUUM")
    with room_for(0), suppress(CannotWrite):
        upgrade(demo_db)
        pytest.skip("the newer schema takes no page more")
    assert dump(demo_db) == before
    upgrade(demo_db)
    tol_db(demo_db, "doctor")


# ------------------------------------------------------------------ a limit on the size of files


def limited(db: Path, limit: int, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a command that can make no file longer than ``limit`` bytes, nor write behind them in another."""
    return subprocess.run(
        [sys.executable, "-m", "tol_db", "--db", str(db), *map(str, words)],
        capture_output=True,
        text=True,
        env=environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        timeout=120,
        check=False,
    )


def is_told(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 73, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")


@pytest.mark.parametrize("limit", [0, 4096, 100_000])
def test_an_init_without_room_leaves_nothing(tmp_path: Path, limit: int) -> None:
    is_told(limited(tmp_path / "tol.sqlite", limit, "init"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [0, 4096])
def test_no_command_keeps_half_of_its_work(demo_db: Path, demo_tree: DemoTree, tmp_path: Path, limit: int) -> None:
    commands: list[tuple[object, ...]] = [
        ("split", "mine", "--fraction", "0.9"),
        ("ingest", "blacklist", "rare-species", "--species", demo_tree.rare_unseen, "--reason", "another"),
        ("plan", tmp_path / "out", "--dataset", "x", "--recipe", "tol10m", "--split", "train"),
        ("backup", tmp_path / "copy.sqlite"),
        ("upgrade", "--to", REVISIONS[0]),
    ]
    before = dump(demo_db)
    for words in commands:
        is_told(limited(demo_db, limit, *words))
        assert dump(demo_db) == before
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "copy.sqlite").exists()
    tol_db(demo_db, "doctor")
    for words in commands[:-1]:
        tol_db(demo_db, *words)
    tol_db(tmp_path / "copy.sqlite", "doctor")


def test_a_log_that_cannot_be_folded_in_loses_nothing(demo_db: Path) -> None:
    """The limit lies within the database but beyond what one transaction logs: only the checkpoint fails."""
    connection = sqlite3.connect(demo_db, isolation_level=None)
    connection.execute("CREATE TABLE filler (x)")
    connection.execute("INSERT INTO filler VALUES (zeroblob(400000))")
    connection.close()  # the file is as long as that, and what is new gets its last pages
    end = demo_db.stat().st_size
    done = limited(demo_db, 100_000, "split", "mine", "--fraction", "0.5")
    assert done.returncode == 0, done.stderr
    log = Path(f"{demo_db}-wal")
    assert log.exists(), "the log could not be folded in, and is kept"
    assert demo_db.stat().st_size == end
    counted = "SELECT count(*) FROM split_member m JOIN split s ON s.id = m.split_id WHERE s.name = 'mine'"
    with sqlite3.connect(f"file:{demo_db}?mode=ro", uri=True) as connection:
        members = connection.execute(counted).fetchone()[0]
    assert members > 10
    tol_db(demo_db, "doctor")
    tol_db(demo_db, "backup", demo_db.with_name("copy.sqlite"))
    for path in (demo_db, demo_db.with_name("copy.sqlite")):
        with sqlite3.connect(path) as connection:
            assert connection.execute(counted).fetchone()[0] == members


# ------------------------------------------------------------------ a small disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=100", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, *, left: int) -> Path:
    """Fill the disk but for some bytes; returns the file that does."""
    filler = folder / "filler"
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize - left
    with filler.open("ab") as file:
        file.write(bytes(max(0, free)))
    return filler


def test_a_run_on_a_full_disk_is_told_and_finished_when_there_is_room(
    demo_db: Path, small_disk: Path, tmp_path: Path
) -> None:
    """The ledger's commits find no room; the shards, on another disk, do."""
    db = Path(shutil.copy(demo_db, small_disk / "tol.sqlite"))
    plan(db, tmp_path / "out", "tol10m", "--shard-images", 8)
    undisturbed = Path(shutil.copy(db, tmp_path / "undisturbed.sqlite"))
    for left in (0, 40_000, 120_000):
        filler = fill(small_disk, left=left)
        done = limited(db, resource.RLIM_INFINITY, "materialize", "--workers", 1)
        is_told(done)
        filler.unlink()  # a reader too needs some room beside a database in WAL mode
        with sqlite3.connect(db) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            complete = connection.execute("SELECT hex(sha256) FROM shard WHERE state = 'complete'").fetchall()
        there = {hashlib.sha256(data).hexdigest().upper() for data in shards_of(tmp_path / "out").values()}
        assert {digest for (digest,) in complete} <= there, "it says done of something that is not"
        tol_db(db, "doctor")
    tol_db(db, "materialize")
    assert not list((tmp_path / "out").rglob("*.partial"))
    tol_db(db, "doctor")
    made = shards_of(tmp_path / "out")
    tol_db(undisturbed, "dataset", "move", DATASET, tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "first")
    (tmp_path / "out").mkdir()
    shutil.copy(tmp_path / "first" / "_dataset.json", tmp_path / "out")
    tol_db(undisturbed, "materialize")
    assert shards_of(tmp_path / "out") == made


def test_a_copy_to_a_full_disk_leaves_nothing(demo_db: Path, small_disk: Path) -> None:
    filler = fill(small_disk, left=100_000)
    assert "free space" in tol_db(demo_db, "backup", small_disk / "copy.sqlite", expect=73).stderr
    assert [path.name for path in small_disk.iterdir()] == ["filler"]
    filler.unlink()
    tol_db(demo_db, "backup", small_disk / "copy.sqlite")
    tol_db(small_disk / "copy.sqlite", "doctor")


def test_a_new_database_on_a_full_disk_leaves_nothing(small_disk: Path) -> None:
    filler = fill(small_disk, left=20_000)
    tol_db(small_disk / "tol.sqlite", "init", expect=73)
    assert [path.name for path in small_disk.iterdir()] == ["filler"]
    filler.unlink()
    tol_db(small_disk / "tol.sqlite", "init")


def test_a_scan_without_room_for_its_notes_keeps_nothing_of_the_archive(
    mapped: Database, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest_mapping(mapped, tmp_path / "mapping.sqlite")
    archive = tmp_path / "eol" / "image_set_01.tar.gz"
    write_archive(archive, {f"{tree_id(n)}.jpg": b"picture" for n in range(MANY)})
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    filler = fill(small_disk, left=8192)
    with pytest.raises(CannotWrite, match="No space left") as caught:
        scan(mapped, archive.parent)
    assert "TMPDIR" in str(caught.value.hint)
    assert located(mapped) == {}
    filler.unlink()
    assert scan(mapped, archive.parent).matched == MANY
