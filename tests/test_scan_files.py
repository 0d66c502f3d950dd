"""Scans that tasks leave as files, and the one run that enters them: as if it had read the containers itself."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materialize.notes import writer
from tests.faults import ROOT
from tests.raw_trees import Rows, dump, located, names, new_database, rows_of, write_archive, write_mapping
from tests.running import environment, tol_db
from tol_db.cli.options import ShareOf
from tol_db.db.engine import Database
from tol_db.errors import InputError
from tol_db.ingest.containers import ingest_containers
from tol_db.ingest.layout import Roots, find_roots
from tol_db.ingest.scan_files import read_scan, scan_file
from tol_db.ingest.scan_report import SourceScan
from tol_db.ingest.scan_shares import ScansLeft, Share, leave_scans
from tol_db.ingest.seek_indexes import SeekWish
from tol_db.ingest.tol10m import ingest_tree

SCANS = 3


@pytest.fixture
def archive(eol: Path) -> Path:
    return write_archive(eol / "image_set_01.tar.gz", [*names(1, 2, 3).items(), ("stray\udcff.txt", b"x")])


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    return tmp_path / "scans"


def leave(eol: Path, scans: Path, **options: bool) -> ScansLeft:
    return leave_scans(Roots.of("eol", eol), scans, **options)


def load(db: Database, eol: Path, scans: Path, **options: bool) -> SourceScan:
    (found,) = ingest_containers(db, Roots.of("eol", eol), scans=scans, **options).sources
    return found


def all_but_times(db: Database) -> dict[str, list[tuple[object, ...]]]:
    found = dump(db)
    found["container"] = rows_of(
        db, "SELECT id, path, kind, state, detail, members, bytes, mtime_ns, digest, seek_index FROM container"
    )
    found["split"] = rows_of(db, "SELECT id, name, policy, seed FROM split")
    return {table: rows for table, rows in found.items() if table != "source_file"}


def test_shares_scanned_without_a_database_and_entered_by_one_run_are_what_a_scan_makes(
    tree: Path, tmp_path: Path, scans: Path
) -> None:
    folders = [tmp_path / "read", tmp_path / "loaded"]
    for folder in folders:
        folder.mkdir()
    read, loaded = map(new_database, folders)
    ingest_tree(read, tree)
    for number in range(SCANS):  # no database is there
        words = ("ingest", "containers", tree, "--scan-to", scans, "--share", f"{number}/{SCANS}")
        tol_db(tmp_path / "no such folder" / "tol.sqlite", *words)
    containers = rows_of(read, "SELECT count(*) FROM container")[0][0]
    assert len(list(scans.iterdir())) == containers
    told = tol_db(loaded.path, "ingest", "tol10m", tree, "--scans", scans).stdout
    assert told.count("of them from scan files") == 3
    assert all_but_times(loaded) == all_but_times(read)
    before = dump(loaded)
    assert "nothing changed" in tol_db(loaded.path, "ingest", "containers", tree, "--scans", scans).stdout
    assert dump(loaded) == before
    again = leave_scans(find_roots(tree), scans, share=Share(0, 1))
    assert (again.scanned, again.kept) == (0, containers)


@given(containers=st.integers(0, 200), of=st.integers(1, 70))
def test_each_container_is_in_one_share(containers: int, of: int) -> None:
    shares = [range(containers)[number::of] for number in range(of)]
    assert sorted(n for share in shares for n in share) == list(range(containers))


def test_the_scan_of_a_damaged_archive_tells_of_it_up_to_the_fault(
    db: Database, eol: Path, archive: Path, scans: Path
) -> None:
    archive.write_bytes(archive.read_bytes()[:-40])
    left = leave(eol, scans)
    with pytest.raises(InputError, match=r"image_set_01\.tar\.gz"):
        left.require_sound()
    assert len(leave(eol, scans).damaged) == 1  # told again, though it was not read again
    found = load(db, eol, scans)
    assert (found.loaded, len(found.damaged)) == (1, 1)
    assert rows_of(db, "SELECT state FROM container") == [("damaged",)]


def test_a_scan_file_that_is_older_than_its_container_is_named_and_the_container_is_read(
    db: Database, eol: Path, archive: Path, scans: Path
) -> None:
    leave(eol, scans)
    write_archive(archive, names(4, 5))
    found = load(db, eol, scans)
    assert (found.loaded, found.scanned, found.matched) == (0, 1, 2)
    ((path, why),) = [(note.path, note.why) for note in found.unused_files]
    assert path == archive.name and "outdated" in why
    assert any("scan file not used" in line for line in found.describe())
    assert (leave(eol, scans).scanned, leave(eol, scans).kept) == (1, 1)


def test_where_only_the_time_differs_the_digest_decides(
    db: Database, eol: Path, archive: Path, scans: Path
) -> None:
    leave(eol, scans)
    os.utime(archive, ns=(1, 1))
    assert load(db, eol, scans).loaded == 1
    assert rows_of(db, "SELECT mtime_ns FROM container") == [(1,)]
    data = bytearray(archive.read_bytes())
    data[9] ^= 1  # which system wrote it: another byte, the same files
    archive.write_bytes(data)
    found = load(db, eol, scans)
    assert (found.loaded, found.scanned) == (0, 1)
    assert "was changed after it" in found.unused_files[0].why


def test_a_late_scan_file_of_a_container_that_is_known_changes_nothing(
    db: Database, eol: Path, archive: Path, scans: Path
) -> None:
    load(db, eol, scans)
    before = dump(db)
    leave(eol, scans)
    found = load(db, eol, scans)
    assert (found.loaded, found.unchanged) == (0, 1)
    assert dump(db) == before


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    return data[:-20] + bytes([data[-20] ^ 4]) + data[-19:]


def one_less(data: bytes) -> bytes:
    return gzip.compress(b"".join(gzip.decompress(data).splitlines(keepends=True)[:-1]))


def other_format(data: bytes) -> bytes:
    head, _, rest = gzip.decompress(data).partition(b"\n")
    return gzip.compress(json.dumps(json.loads(head) | {"format": 99}).encode() + b"\n" + rest)


@pytest.mark.parametrize("harm", [cut, flip, one_less, other_format, lambda _: b"", lambda _: b"{}\n"])
def test_a_damaged_scan_file_is_named_and_the_container_is_read(
    db: Database, eol: Path, archive: Path, scans: Path, harm: Callable[[bytes], bytes]
) -> None:
    leave(eol, scans)
    path = scan_file(scans, "eol", archive.name)
    path.write_bytes(harm(path.read_bytes()))
    found = load(db, eol, scans)
    assert (found.loaded, found.scanned, found.matched) == (0, 1, 3)
    assert str(path) in found.unused_files[0].why and "cannot be used" in found.unused_files[0].why
    left = leave(eol, scans)
    assert (left.scanned, left.kept, len(left.unused)) == (1, 0, 1)
    assert leave(eol, scans).kept == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.dictionaries(st.text(max_size=9), st.integers() | st.text(max_size=5)), rest=st.binary(max_size=60))
def test_no_file_makes_the_reader_fail_otherwise(tmp_path: Path, head: dict[str, int | str], rest: bytes) -> None:
    path = tmp_path / "any.scan.gz"
    for data in (
        rest,
        gzip.compress(rest),
        gzip.compress(json.dumps(head | {"format": 1}).encode() + b"\n" + rest),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError), read_scan(path):
            pass


def test_the_seek_index_that_a_task_made_is_recorded(
    db: Database, eol: Path, archive: Path, scans: Path, tmp_path: Path
) -> None:
    leave(eol, scans)
    wish = SeekWish(tmp_path / "indexes")
    (tmp_path / "indexes").mkdir()
    left = leave_scans(Roots.of("eol", eol), scans, seek=wish)
    assert "has no seek index" in left.unused[0].why
    (found,) = ingest_containers(db, Roots.of("eol", eol), scans=scans, seek=wish).sources
    assert (found.loaded, found.indexed) == (1, 1)
    assert len(list((tmp_path / "indexes").iterdir())) == 1
    assert len(located(db)) == 3


def test_what_a_killed_process_has_begun_to_write_is_removed_by_the_next(
    eol: Path, archive: Path, scans: Path
) -> None:
    scans.mkdir()
    dead = subprocess.Popen(["true"])
    dead.wait()
    begun = scans / f".{scan_file(scans, 'eol', archive.name).name}.{dead.pid:08x}{writer()[8:]}.partial"
    begun.touch()
    leave(eol, scans)
    assert [path.name for path in scans.iterdir()] == [scan_file(scans, "eol", archive.name).name]


def test_tasks_of_the_batch_script_scan_their_shares(tmp_path: Path) -> None:
    rows = Rows(eol={n: (10 * n, n) for n in range(1, 4)})
    tree = tmp_path / "TreeOfLife-10M"
    for number in range(1, 4):
        write_archive(tree / "dataset" / "eol" / f"image_set_{number:02d}.tar.gz", names(number))
    write_mapping(tree / "metadata" / "mapping.sqlite", rows).close()
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "tol-db"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tol_db "$@"\n')
    command.chmod(0o755)
    values = {
        "TOL_DB": str(tmp_path / "tol.sqlite"),
        "TOL_DB_SLURM_BIN": str(command.parent),
        "TOL_DB_SLURM_DATA": str(tree),
        "TOL_DB_SLURM_SHARES": "2",
    }
    begun = time.time()
    for number in range(2):
        script = ["bash", str(ROOT / "slurm" / "scan.sbatch")]
        subprocess.run(script, env=environment(**values, SLURM_ARRAY_TASK_ID=str(number)), check=True)
    assert len(list((tree / "scans").iterdir())) == 3
    assert not (tmp_path / "tol.sqlite").exists()
    subprocess.run(["bash", str(ROOT / "slurm" / "ingest.sbatch")], env=environment(**values), check=True)
    assert rows_of(tmp_path / "tol.sqlite", "SELECT count(*) FROM image WHERE member_index IS NOT NULL") == [(3,)]
    assert all(path.stat().st_mtime >= begun - 1 for path in (tree / "scans").iterdir())


@pytest.mark.parametrize("share", ["3", "3/3", "a/b", "-1/3", "0/0"])
def test_what_is_no_share_is_refused(share: str) -> None:
    with pytest.raises(click.BadParameter, match="such as 0/63"):
        ShareOf().convert(share, None, None)
