"""Reports on what the splits hold: pictures under several ids, licences."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.populated import populated, tree_id
from tests.running import tol_db
from tol_db.db.bulk import changes
from tol_db.db.engine import Database, open_database
from tol_db.db.migrate import init
from tol_db.errors import UsageError
from tol_db.report.duplicates import Across, DatasetDuplicates, Within, duplicates, duplicates_text
from tol_db.report.licences import LicenceImages, licences, licences_text


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return populated(tmp_path_factory.mktemp("content") / "tol.sqlite").path


@pytest.fixture
def db(template: Path, tmp_path: Path) -> Database:
    return open_database(Path(shutil.copyfile(template, tmp_path / "tol.sqlite")))


def execute(db: Database, *statements: str) -> None:
    with db.write() as conn:
        for statement in statements:
            assert changes(conn, statement) > 0, statement


def of(db: Database, **options: int) -> DatasetDuplicates:
    (found,) = duplicates(db, **options)
    return found


def same_bytes(image: int, *others: int) -> str:
    digest = f"(SELECT content_digest FROM shard_image WHERE image_id = {image} LIMIT 1)"
    return f"UPDATE shard_image SET content_digest = {digest} WHERE image_id IN ({', '.join(map(str, others))})"


# ------------------------------------------------------------------ duplicates


def test_equal_bytes_in_train_and_val_are_told_with_the_images(db: Database) -> None:
    found = of(db)
    assert found.within == (Within("train", 28, 0, 0), Within("train_small", 4, 0, 0), Within("val", 2, 0, 0))
    assert found.across == (Across("train", "val", 1, 1, 1),)
    (group,) = found.groups
    assert {(copy.treeoflife_id, copy.splits) for copy in group.copies} == {
        (str(tree_id(3)), ("train",)),
        (str(tree_id(8)), ("val",)),
    }


def test_a_picture_is_counted_once_in_a_split_and_its_images_each(db: Database) -> None:
    # 1 is in train and train_small; 2, 4 and 6 in train alone
    execute(db, same_bytes(1, 2, 4), same_bytes(3, 6))
    found = of(db)
    assert found.within[0] == Within("train", 28, 2, 5)
    assert found.within[1] == Within("train_small", 4, 0, 0)
    assert found.across == (Across("train", "val", 1, 2, 1),), "a split and one drawn from it share by design"
    assert [group.images for group in found.groups] == [3, 3]
    text = duplicates_text((found,), 120)
    assert max(map(len, text.splitlines())) <= 120
    assert "too many" in text and "and in" in text


def test_the_largest_groups_are_kept_and_all_are_counted(db: Database) -> None:
    execute(db, same_bytes(1, 2, 4))
    found = of(db, limit=1)
    assert [group.images for group in found.groups] == [3]
    assert (found.within[0].contents, found.across[0].contents) == (1, 1)
    assert of(db, limit=0).groups == ()


def test_an_image_in_two_splits_is_no_duplicate_of_itself(db: Database) -> None:
    execute(db, "UPDATE shard_image SET content_digest = NULL WHERE image_id IN (3, 8)")
    found = of(db)
    assert (found.across, found.groups) == ((), ())
    assert sum(one.images for one in found.within) == 0


def test_duplicates_of_other_datasets_are_not_told(db: Database) -> None:
    with pytest.raises(UsageError, match="no dataset 'x'"):
        duplicates(db, "x")
    told = json.loads(tol_db(db.path, "report", "duplicates", "--dataset", "tol", "--json").stdout)
    assert [one["dataset"] for one in told] == ["tol"]
    execute(db, "DELETE FROM dataset")
    assert tol_db(db.path, "report", "duplicates").stdout == "no dataset is planned\n"


def test_the_reports_agree_with_the_audits(db: Database) -> None:
    execute(db, same_bytes(1, 2, 4), same_bytes(3, 6))
    found = of(db)
    names = ("duplicates_within_split", "duplicates_across_splits")
    told = json.loads(tol_db(db.path, "report", "audit", *names, "--json").stdout)
    assert [len(one["rows"]) for one in told] == [
        sum(one.contents for one in found.within),
        sum(one.contents for one in found.across),
    ]


# ------------------------------------------------------------------ licences


def test_licences_are_counted_by_split_and_source(db: Database) -> None:
    train, small, val = licences(db).splits
    assert [(one.split, one.images, one.licensed) for one in (train, small, val)] == [
        ("train", 35, 20),
        ("train_small", 10, 6),
        ("val", 5, 2),
    ]
    eol, inat21, bioscan = train.sources
    link = "https://creativecommons.org/licenses/by/4.0/"
    assert eol.licences == (LicenceImages("cc0", "", 11), LicenceImages("cc-by-4.0", link, 9))
    assert [(one.source, one.images, one.licensed) for one in (inat21, bioscan)] == [
        ("inat21", 8, 0),
        ("bioscan", 7, 0),
    ]


def test_of_a_dataset_only_what_its_shards_hold_or_will_hold_is_counted(db: Database) -> None:
    found = licences(db, "tol")
    assert {one.split: one.images for one in found.splits} == {"train": 27, "train_small": 8, "val": 4}
    with pytest.raises(UsageError, match="no dataset 'x'"):
        licences(db, "x")


def test_a_source_with_a_licence_as_a_whole_says_so_where_images_have_none(db: Database, tmp_path: Path) -> None:
    execute(db, "UPDATE source SET licence = 'cc-by-3.0' WHERE key = 'bioscan'")
    text = licences_text(licences(db))
    assert "train: 35 images, 57.1 % with a licence of their own" in text
    assert "(of the source: cc-by-3.0)" in text and "(none is known)" in text
    told = json.loads(tol_db(db.path, "report", "licences", "--dataset", "tol", "--json").stdout)
    assert told["dataset"] == "tol" and told["splits"][0]["sources"][0]["source"] == "eol"
    init(tmp_path / "empty.sqlite")
    assert tol_db(tmp_path / "empty.sqlite", "report", "licences").stdout == "no split is known\n"
