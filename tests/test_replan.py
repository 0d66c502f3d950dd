"""What comes after a plan: new images, new labels, new blacklists, moved and removed datasets."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.running import DATASET, plan, shards_of, tol_db
from tol_db.demo_tree import DemoTree


@pytest.fixture
def tree(demo_tree: DemoTree, tmp_path: Path) -> Path:
    """A tree of this test's own."""
    return Path(shutil.copytree(demo_tree.tree, tmp_path / "tree"))


def rows(db: Path, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(db) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def written(tree: Path, demo_tree: DemoTree, tmp_path: Path) -> tuple[Path, Path]:
    """A database and the root of its finished dataset; no blacklist yet; half of the folders hidden."""
    db, out = tmp_path / "tol.sqlite", tmp_path / "out"
    hidden = tmp_path / "hidden"
    (tree / "dataset" / "bioscan" / "part2").rename(hidden)
    tol_db(db, "init")
    tol_db(db, "ingest", "tol10m", tree)
    plan(db, out, "tol10m", "--shard-images", 15)
    tol_db(db, "materialize")
    hidden.rename(tree / "dataset" / "bioscan" / "part2")
    return db, out


def test_images_whose_files_come_later_are_added_by_an_extension(written: tuple[Path, Path], tree: Path) -> None:
    db, out = written
    before = shards_of(out)
    missing = rows(db, "SELECT count(*) FROM v_exclusion WHERE outcome = 'source_missing'")[0][0]
    assert missing > 2  # one is planted, the others lie in the hidden folder
    assert "no shards to add" in tol_db(db, "plan", "--dataset", DATASET, "--extend").stdout
    tol_db(db, "ingest", "containers", tree)
    tol_db(db, "plan", "--dataset", DATASET, "--extend")
    tol_db(db, "materialize")
    after = shards_of(out)
    assert {name: after[name] for name in before} == before
    assert len(after) > len(before)
    assert rows(db, "SELECT count(*) FROM v_exclusion WHERE outcome = 'source_missing'") < [(missing,)]
    tol_db(db, "doctor")


def test_a_blacklist_that_comes_later_is_a_leak_until_the_refresh(
    written: tuple[Path, Path], demo_tree: DemoTree
) -> None:
    db, out = written
    before = shards_of(out)
    tol_db(
        *(db, "ingest", "blacklist", "rare", "--images", demo_tree.rare_seen),
        *("--species", demo_tree.rare_unseen),
    )
    broken = tol_db(db, "doctor", expect=1)
    assert "blacklisted" in broken.stdout + broken.stderr
    dry = tol_db(db, "plan", "--dataset", DATASET, "--refresh", "--dry-run").stdout
    assert "would be planned anew" in dry
    assert shards_of(out) == before
    tol_db(db, "plan", "--dataset", DATASET, "--refresh")
    tol_db(db, "materialize")
    tol_db(db, "doctor")
    after = shards_of(out)
    untouched = [name for name in before if after[name] == before[name]]
    assert 0 < len(untouched) < len(before)
    listed = {p.rpartition("/")[2] for ps in json.loads(demo_tree.rare_unseen.read_text()).values() for p in ps}
    assert listed
    assert rows(
        db,
        "SELECT count(*) FROM v_sample s JOIN eol_image e ON e.image_id = s.image_id WHERE e.content_id IN ("
        + ",".join(name.split("_")[0] for name in listed)
        + ")",
    ) == [(0,)]
    assert "none of" in tol_db(db, "plan", "--dataset", DATASET, "--refresh").stdout


def test_a_new_name_changes_only_the_shards_that_hold_it(written: tuple[Path, Path], tree: Path) -> None:
    db, out = written
    before = shards_of(out)
    lookup = tree / "metadata" / "naming" / "inat21_name_lookup.json"
    names = json.loads(lookup.read_text())
    number = sorted(names)[0]
    names[number][1] = "a brand-new name"
    lookup.write_text(json.dumps(names))
    tol_db(db, "ingest", "labels", "--source", "inat21", lookup)
    assert shards_of(out) == before
    tol_db(db, "doctor")  # stale is no fault
    tol_db(db, "plan", "--dataset", DATASET, "--refresh")
    tol_db(db, "materialize")
    changed = {name for name, data in shards_of(out).items() if before[name] != data}
    assert changed
    assert all(b"a brand-new name" in (out / name).read_bytes() for name in changed)
    unchanged = set(before) - changed
    assert not any(b"a brand-new name" in (out / name).read_bytes() for name in unchanged)
    tol_db(db, "doctor")


def test_a_dataset_is_renamed_followed_and_removed(written: tuple[Path, Path], tmp_path: Path) -> None:
    db, out = written
    target = tmp_path / "shelf" / "shards"
    assert "renamed" in tol_db(db, "dataset", "move", DATASET, target).stdout
    assert not out.exists()
    copy = tmp_path / "copy"
    shutil.copytree(target, copy)
    assert "recorded" in tol_db(db, "dataset", "move", DATASET, copy).stdout
    assert "nothing is pending" in tol_db(db, "materialize").stdout
    other = tmp_path / "other"
    other.mkdir()
    assert "is not the output root" in tol_db(db, "dataset", "move", DATASET, other, expect=2).stderr
    assert str(copy) in tol_db(db, "dataset", "list").stdout

    tol_db(db, "export", "wids")
    assert "not recorded" not in tol_db(db, "verify").stdout
    mine = copy / "224x224" / "train" / "mine.txt"
    mine.write_text("keep me")
    assert f"left alone: {mine}" in tol_db(db, "dataset", "remove", DATASET, "--files", "--yes").stdout
    assert [p for p in copy.rglob("*") if p.is_file()] == [mine]
    assert list(target.rglob("*.tar"))
    for table in ("dataset", "shard", "shard_image", "work_unit", "attempt", "exclusion", "dataset_split"):
        assert rows(db, f"SELECT count(*) FROM {table}") == [(0,)]
    tol_db(db, "doctor")
    plan(db, tmp_path / "again", "tol10m")
