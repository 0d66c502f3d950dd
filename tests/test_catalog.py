"""The catalog and sizes.json of a dataset that was really written."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

from tests.running import DATASET, SPLITS, plan, tol_db
from tests.shared_data import SHARED_DATA, needs_shared


@needs_shared
def test_the_catalog_of_the_dev_corpus_has_the_rows_of_the_published_one(
    corpus_db: Callable[[str], Path], tmp_path: Path
) -> None:
    db, ours = corpus_db("dev"), tmp_path / "catalog.csv"
    plan(db, tmp_path / "out")
    tol_db(db, "materialize")
    tol_db(db, "export", "catalog", "-o", ours)
    metadata = SHARED_DATA / "corpora" / "dev" / "data" / "TreeOfLife-10M" / "metadata"
    with (metadata / "catalog.csv").open(newline="", encoding="utf-8") as file:
        published = list(csv.reader(file))
    with ours.open(newline="", encoding="utf-8") as file:
        written = list(csv.reader(file))
    assert written[0] == published[0]
    assert written[1:] == sorted(published[1:], key=lambda row: row[:2])
    assert len(written) > 370


def test_the_catalog_is_sorted_byte_stable_and_says_what_is_pending(demo_db: Path, tmp_path: Path) -> None:
    plan(demo_db, tmp_path / "out", "clean", "--shard-images", 30)
    before = tol_db(demo_db, "export", "catalog", "--dataset", DATASET)
    assert before.stdout.count("\n") == 1
    assert "still pending" in before.stderr
    pending = tol_db(demo_db, "export", "catalog", "--include-pending").stdout.splitlines()
    tol_db(demo_db, "materialize")
    path = tmp_path / "catalog.csv"
    tol_db(demo_db, "export", "catalog", "-o", path)
    first = path.read_bytes()
    tol_db(demo_db, "export", "catalog", "-o", path)
    assert path.read_bytes() == first
    lines = first.decode().split("\r\n")
    assert lines[-1] == ""
    keys = [line.split(",")[:2] for line in lines[1:-1]]
    assert keys == sorted(keys)
    # a truncated and an empty file are planned, and left out when they are read
    assert 0 < len(pending) - len(lines[:-1]) <= 3
    assert set(lines[:-1]) <= set(pending)
    assert not list(tmp_path.glob(".catalog*"))


def test_sizes_are_those_of_the_shards(demo_db: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan(demo_db, out, "clean", "--shard-images", 30)
    tol_db(demo_db, "materialize")
    tol_db(demo_db, "export", "sizes")
    for split in SPLITS:
        folder = out / "224x224" / split
        sizes = json.loads((folder / "sizes.json").read_text())
        assert list(sizes) == sorted(p.name for p in folder.glob("*.tar"))
        for name, samples in sizes.items():
            with tarfile.open(folder / name) as tar:
                assert sum(member.name.endswith(".jpg") for member in tar) == samples
    assert "not ours" not in tol_db(demo_db, "materialize").stderr


def test_a_catalog_that_cannot_be_written_is_exit_73(demo_db: Path, tmp_path: Path) -> None:
    plan(demo_db, tmp_path / "out")
    refused = tol_db(demo_db, "export", "catalog", "-o", tmp_path / "nosuch" / "catalog.csv", expect=73)
    assert str(tmp_path / "nosuch") in refused.stderr
    assert not (tmp_path / "nosuch").exists()
    assert "no dataset 'nosuch'" in tol_db(demo_db, "export", "sizes", "--dataset", "nosuch", expect=2).stderr
