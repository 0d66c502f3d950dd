"""Reading whole TreeOfLife-10M trees, and what the commands print."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.raw_trees import (
    Rows,
    counters_hold,
    dump,
    located,
    new_database,
    rows_of,
    strays,
    write_mapping,
    write_tree,
)
from tests.running import manifest, tol_db
from tests.shared_data import SHARED, SHARED_DATA, needs_shared
from tol_db.db.engine import Database
from tol_db.errors import InputError, InputMissing, UsageError
from tol_db.ingest.claims import NO_ROW, SYSTEM_FILE
from tol_db.ingest.containers import ingest_containers
from tol_db.ingest.layout import find_roots, find_tree
from tol_db.ingest.mapping import ingest_mapping
from tol_db.ingest.raw_folders import ingest_bioscan
from tol_db.ingest.scan import SUBFOLDER
from tol_db.ingest.tol10m import ingest_tree

STRUCTURAL = (
    "tar_dir_member,tar_dot_slash,tar_truncated,dup_member,stray_files,missing_part,inat_no_name,nasty_common,"
    "empty_taxon,upper_ext"
)


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return new_database(tmp_path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path)


# ------------------------------------------------------------------ whole trees


def test_what_is_absent_is_listed(db: Database, tree: Path) -> None:
    shutil.rmtree(tree / "dataset" / "bioscan")
    result = ingest_tree(db, tree)
    assert result.absent == (
        "metadata/naming/eol_name_lookup.json",
        "metadata/naming/inat21_name_lookup.json",
        "metadata/naming/bioscan_name_lookup.json",
        "metadata/licenses.csv",
        "dataset/bioscan",
    )
    assert [step.path for step in result.steps] == ["metadata/mapping.sqlite"]
    assert "licenses.csv" in result.describe()[-1]


def test_the_scan_can_be_left_for_later(db: Database, tree: Path) -> None:
    result = ingest_tree(db, tree, scan=False)
    assert result.containers is None
    assert located(db) == {}
    assert {s.key for s in ingest_containers(db, find_roots(tree)).sources} == {"eol", "inat21", "bioscan"}
    assert len(located(db)) == 10


def test_a_tree_without_a_mapping_names_the_raw_commands(db: Database, tree: Path, tmp_path: Path) -> None:
    (tree / "metadata" / "mapping.sqlite").unlink()
    before = dump(db)
    (tmp_path / "none").mkdir()
    for folder in (tree, tmp_path / "none"):
        with pytest.raises(InputMissing) as caught:
            ingest_tree(db, folder)
        assert "tol-db ingest eol DIR" in str(caught.value.hint)
    assert dump(db) == before


def test_two_trees_in_one_folder_have_to_be_told_apart(tmp_path: Path) -> None:
    write_tree(tmp_path).rename(tmp_path / "one")
    write_tree(tmp_path).rename(tmp_path / "two")
    with pytest.raises(UsageError, match="one, two"):
        find_tree(tmp_path)


@needs_shared
def test_the_published_corpus_is_matched_as_its_manifest_says(db: Database) -> None:
    corpus = SHARED_DATA / "corpora" / "dev"
    result = ingest_tree(db, corpus / "data")
    items = manifest(corpus)
    mapped = {item["id"]: item for item in items if item["fate"] != "drop:unmapped"}
    found = located(db)
    assert {key: row[-1] for key, row in found.items()} == {key: item["bytes"] for key, item in mapped.items()}
    (stray,) = strays(db)
    (unmapped,) = (item["id"] for item in items if item["fate"] == "drop:unmapped")
    assert stray[1:] == (f"{unmapped}.jpg", NO_ROW)
    named = rows_of(db, "SELECT count(*) FROM image WHERE label_id IS NOT NULL")
    assert named == [(sum(item["fate"] != "drop:no-name" for item in mapped.values()),)]
    assert result.absent == ()
    counters_hold(db)
    before = dump(db)
    assert ingest_tree(db, corpus / "data").unchanged
    assert dump(db) == before


@needs_shared
def test_the_adversarial_corpus_is_matched_whole(db: Database) -> None:
    corpus = SHARED_DATA / "corpora" / "dev_adversarial"
    ingest_tree(db, corpus / "data")
    items = {item["id"] for item in manifest(corpus) if item["fate"] != "drop:unmapped"}
    assert set(located(db)) == items
    counters_hold(db)


@needs_shared
def test_a_tree_with_faults_of_every_kind_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    tool = SHARED / "tools" / "make_corpus.py"
    words = ["--images", "120", "--seed", "3", "--size-profile", "small", "--kinds", STRUCTURAL]
    subprocess.run(
        [sys.executable, tool, tmp_path, *words, "--workers", "2"], check=True, capture_output=True, timeout=300
    )
    db = new_database(tmp_path)
    done = tol_db(db.path, "ingest", "tol10m", tmp_path / "data", expect=65)
    assert "damaged" in done.stderr
    assert "fetch" in done.stderr
    items = {item["id"]: item for item in manifest(tmp_path) if item["fate"] != "drop:unmapped"}
    found = located(db)
    missing = {key for key, item in items.items() if item.get("bad") == "missing_part"}
    cut = {key for key, item in items.items() if item["source"] == "eol" and key not in found}
    assert set(found) == set(items) - missing - cut
    assert cut
    assert {key: row[-1] for key, row in found.items()} == {key: items[key]["bytes"] for key in found}
    reasons = Counter(row[-1] for row in strays(db))
    assert reasons[SYSTEM_FILE] >= 9
    assert reasons[SUBFOLDER] >= 3
    assert "README.txt" in done.stdout
    counters_hold(db)
    before = dump(db)
    tol_db(db.path, "ingest", "tol10m", tmp_path / "data", expect=65)
    assert dump(db) == before


def test_a_tree_whose_mapping_names_other_sources_only_is_read(db: Database, tree: Path) -> None:
    mapping = tree / "metadata" / "mapping.sqlite"
    mapping.unlink()
    write_mapping(mapping, Rows(bioscan={8: (1, "x.jpg")})).close()
    shutil.rmtree(tree / "dataset" / "bioscan")
    result = ingest_tree(db, tree)
    assert "eol      no image row" in "\n".join(result.describe())


def test_a_folder_whose_name_is_not_utf_8_is_refused(db: Database, tree: Path, tmp_path: Path) -> None:
    odd = tree.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    before = dump(db)
    with pytest.raises(InputError, match="UTF-8"):
        ingest_tree(db, odd)
    with pytest.raises(InputError, match="UTF-8"):
        ingest_mapping(db, odd / "metadata" / "mapping.sqlite")
    with pytest.raises(InputError, match="UTF-8"):
        ingest_bioscan(db, odd / "dataset" / "bioscan")
    assert dump(db) == before


# ------------------------------------------------------------------ the command line


def test_the_commands_print_what_they_did(tree: Path, tmp_path: Path) -> None:
    db = tmp_path / "tol.sqlite"
    tol_db(db, "init")
    first = tol_db(db, "ingest", "tol10m", tree.parent)
    assert "10 images" in first.stdout
    assert "2 containers scanned" in first.stdout
    assert "not in this tree" in first.stdout
    again = tol_db(db, "ingest", "tol10m", tree.parent)
    assert "nothing changed" in again.stdout
    assert again.stderr == ""
    one = tol_db(db, "ingest", "containers", tree, "--source", "eol", "--containers", "2", "--rehash")
    assert "1 unchanged" in one.stdout
    both = tol_db(db, "ingest", "containers", tree, "--containers", "2", expect=2)
    assert "--source" in both.stderr
    tol_db(db, "ingest", "containers", tree / "dataset" / "bioscan")
    refused = tol_db(db, "ingest", "eol", tree / "dataset" / "eol", expect=2)
    assert "ingest containers" in refused.stderr
