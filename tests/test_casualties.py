"""A decoder that crashes or hangs its process costs the one image, whatever the archive it lies in."""

from __future__ import annotations

import gzip
import io
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from materialize.casualties import TRIES, Casualties
from tests.conftest import _ingested
from tests.faults import CHUNKS, CRASHER, ROOT
from tests.running import DATASET, environment, plan, tol_db
from tol_db.demo_tree import FEWEST_IMAGES, DemoTree, make_demo_tree

SAMPLES = "SELECT split, treeoflife_id, outcome, hex(jpg_digest) FROM v_sample"
Samples = dict[tuple[str, str], tuple[str, str]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoTree, Samples]:
    """A tree, and what becomes of its images as they are."""
    folder = tmp_path_factory.mktemp("whole")
    tree = make_demo_tree(folder / "tree", images=FEWEST_IMAGES)
    db = _ingested(folder, tree.tree, tree.rare_seen, tree.rare_unseen)
    plan(db, folder / "out", "clean", *CHUNKS)
    tol_db(db, "materialize")
    return tree, samples(db)


def samples(db: Path) -> Samples:
    with sqlite3.connect(db) as connection:
        return {row[:2]: row[2:] for row in connection.execute(SAMPLES)}


def poisoned(tree: DemoTree, folder: Path, payloads: dict[str, bytes]) -> Path:
    """A copy of the tree, planned, in which some EOL images (ids) hold other bytes."""
    raw = folder / "raw"
    shutil.copytree(tree.tree, raw)
    for archive in sorted((raw / "dataset" / "eol").glob("*.tar.gz")):
        made = io.BytesIO()
        with tarfile.open(archive) as old, tarfile.open(fileobj=made, mode="w") as new:
            for member in old:
                stored = old.extractfile(member)
                data = payloads.get(Path(member.name).stem, stored.read() if stored else b"")
                member.size = len(data) if member.isfile() else member.size
                new.addfile(member, io.BytesIO(data))
        archive.write_bytes(gzip.compress(made.getvalue()))
    db = _ingested(folder, raw, tree.rare_seen, tree.rare_unseen)
    plan(db, folder / "out", "clean", *CHUNKS)
    return db


def materialize(db: Path, *more: object) -> subprocess.CompletedProcess[str]:
    """With the crashing decoder, which the installed command does not have."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faulty", "--db", str(db), "materialize", *map(str, more)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        start_new_session=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def eol_images(found: Samples, number: int) -> list[str]:
    """Images of the archives that are written, in their order of reading."""
    return sorted({key for (_, key), (outcome, _) in found.items() if outcome == "written"})[:number]


@pytest.mark.parametrize("mode", [(), ("--receipts-only",)])
def test_images_that_crash_or_hang_the_decoder_are_left_out_and_no_other(
    whole: tuple[DemoTree, Samples], tmp_path: Path, mode: tuple[str, ...]
) -> None:
    tree, expected = whole
    ways = [b"SEGV", b"ABRT", b"EXIT", b"KILL", b"HANG"]
    with sqlite3.connect(_db_of(tree)) as connection:
        inside = {row[0] for row in connection.execute("SELECT treeoflife_id FROM v_image WHERE source = 'eol'")}
    victims = [key for key in eol_images(expected, 1000) if key in inside][: 3 * len(ways) : 3]
    payloads = {key: CRASHER + way + b" " for key, way in zip(victims, ways, strict=True)}
    db = poisoned(tree, tmp_path, payloads)
    done = materialize(db, "--workers", 2, "--image-timeout", 1.5, *mode)
    if mode:
        tol_db(db, "collect", "--dataset", DATASET)
    found = samples(db)
    assert found.keys() == expected.keys()
    for at, (outcome, digest) in expected.items():
        if at[1] in payloads:
            wanted = "timeout" if payloads[at[1]].endswith(b"HANG ") else "decode_error"
            assert found[at] == (wanted, ""), at
            assert at[1] in done.stdout
        else:
            assert found[at] == (outcome, digest), at
    told = tol_db(db, "report", "image", victims[0]).stdout
    assert "the decoder does not survive it (SIGSEGV)" in told
    tol_db(db, "doctor")


def test_an_image_that_is_not_to_blame_is_written_although_its_worker_died(
    whole: tuple[DemoTree, Samples], tmp_path: Path
) -> None:
    tree, expected = whole
    with sqlite3.connect(_db_of(tree)) as connection:
        inside = {row[0] for row in connection.execute("SELECT treeoflife_id FROM v_image WHERE source = 'eol'")}
    victims = [key for key in eol_images(expected, 1000) if key in inside][:2]
    payloads = {key: CRASHER + b"KILL " + str(tmp_path / key).encode() + b" " for key in victims}
    db = poisoned(tree, tmp_path, payloads)
    materialize(db, "--workers", 1)
    assert all((tmp_path / key).exists() for key in victims)
    assert {at: row[0] for at, row in samples(db).items()} == {at: row[0] for at, row in expected.items()}
    with sqlite3.connect(db) as connection:
        assert connection.execute("SELECT count(*) FROM attempt WHERE ending = 'failed'").fetchone() == (2,)


def _db_of(tree: DemoTree) -> Path:
    return tree.tree.parents[1] / "tol.sqlite"


def test_deaths_without_a_culprit_end_a_unit_after_a_few() -> None:
    casualties = Casualties()
    assert [casualties.may_try_again() for _ in range(TRIES)] == [True] * (TRIES - 1) + [False]
    assert casualties.convict("k", "SIGSEGV", None).outcome == "decode_error"
    assert casualties.convict("k", "SIGKILL", 2.5).detail == "decoding did not end within 2.5 s"
