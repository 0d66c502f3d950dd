"""Everything that is known of one image, by any of its names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.populated import content_id, populated, tree_id
from tests.running import tol_db
from tests.test_report import execute
from tol_db.db.base import Outcome
from tol_db.db.engine import Database
from tol_db.errors import UsageError
from tol_db.report.image import ImageReport, Place, image_text, look_up


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return populated(tmp_path / "tol.sqlite")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A populated database that no test changes."""
    return populated(tmp_path_factory.mktemp("report") / "tol.sqlite")


def one(db: Database, key: str) -> ImageReport:
    (found,) = look_up(db, key)
    return found


def places(report: ImageReport) -> dict[str, Place]:
    return {place.split: place for place in report.places}


@pytest.mark.parametrize(
    "key",
    [
        str(tree_id(7)),
        str(tree_id(7)).upper(),
        tree_id(7).hex,
        f"{tree_id(7)}.jpg",
        f"/some/folder/{tree_id(7)}.jpg",
        "9007_7007",
        "9007_7007_eol-full-size-copy.jpg",
        "9007_1.jpg",
        f" {tree_id(7)}\n",
    ],
)
def test_an_image_is_found_by_any_of_its_names(untouched: Database, key: str) -> None:
    assert one(untouched, key).treeoflife_id == str(tree_id(7))


def test_an_image_tells_where_it_lies_and_where_its_label_comes_from(untouched: Database) -> None:
    report = one(untouched, str(tree_id(1)))
    assert (report.source, report.eol_content_id, report.eol_page_id) == ("eol", content_id(1), 7001)
    where = report.location
    assert where is not None
    assert (where.root, where.container, where.kind) == ("/data/eol", "image_set_01.tar.gz", "tar_gz")
    assert (where.member, where.member_index, where.data_offset, where.bytes) == (f"{tree_id(1)}.jpg", 0, 512, 401)
    assert report.label is not None
    assert report.label.ranks[-2:] == ("Parus", "major")
    assert (report.label.key, report.label.file) == ("7001", "/data/eol_name_lookup.json")
    assert report.licence is not None
    assert (report.licence.name, report.licence.copyright_owner) == ("cc0", "Owner 1")
    assert report.splits == ("train", "train_small")


def test_an_image_in_two_splits_has_a_place_in_each(untouched: Database) -> None:
    found = places(one(untouched, str(tree_id(1))))
    assert set(found) == {"train", "train_small"}
    train = found["train"]
    assert (train.what, train.file, train.position, train.shard_state) == (
        "placed",
        "shard-000000.tar",
        0,
        "complete",
    )
    assert (train.outcome, train.width, train.height, train.mode) == ("written", 640, 480, "RGB")
    assert re.fullmatch("[0-9a-f]{32}", train.jpg_digest or "")


def test_an_image_that_could_not_be_decoded_says_so(untouched: Database) -> None:
    report = one(untouched, "9007_7007")
    (place,) = report.places
    assert (place.outcome, place.detail, place.jpg_digest) == ("decode_error", "not an image", None)
    assert "decode_error (not an image)" in image_text(report)


@pytest.mark.parametrize(
    ("number", "outcome", "hits"),
    [
        (5, Outcome.NO_LABEL, []),
        (10, Outcome.BLACKLISTED_IMAGE, [("rare", "image", "9010_7010_eol-full-size-copy.jpg")]),
        (
            11,
            Outcome.BLACKLISTED_TAXON,
            [("rare", "taxon", "Animalia-Chordata-Mammalia-Perissodactyla-Equidae-Equus-zebra")],
        ),
        (21, Outcome.SOURCE_MISSING, []),
    ],
)
def test_an_image_that_the_plan_left_out_tells_why_and_which_entry_names_it(
    untouched: Database, number: int, outcome: Outcome, hits: list[tuple[str, str, str]]
) -> None:
    report = one(untouched, str(tree_id(number)))
    assert places(report)["train"].what == "excluded"
    assert places(report)["train"].outcome == outcome.label
    assert [(hit.blacklist, hit.kind, hit.entry) for hit in report.blacklists] == hits
    assert f"left out by the plan: {outcome.label}" in image_text(report)


def test_an_image_that_came_after_the_plan_is_told_as_such(untouched: Database) -> None:
    report = one(untouched, "BIO39.jpg")
    (place,) = report.places
    assert place.what == "unplanned"
    assert "--extend" in image_text(report)


def test_an_image_that_was_relabelled_shows_both_labels(untouched: Database) -> None:
    report = one(untouched, "part1/BIO38.jpg")
    assert report.label is not None and report.published_label is not None
    assert (report.label.given, report.published_label.given) == ("Oak", 'Oak, "English"')
    (place,) = report.places
    assert place.relabelled
    assert "which is not its label today" in image_text(report)


def test_an_image_whose_file_is_missing_says_where_it_should_be(untouched: Database) -> None:
    text = image_text(one(untouched, "photo-32.jpg"))
    assert "00011_Plantae_Quercus_petraea (scanned), where photo-32.jpg was not found" in text


def test_files_of_one_name_are_all_told(db: Database) -> None:
    execute(db, "UPDATE image SET member = 'photo.jpg' WHERE id IN (23, 33)")
    assert [report.source for report in look_up(db, "photo.jpg")] == ["inat21", "bioscan"]
    assert tol_db(db.path, "report", "image", "photo.jpg").stdout.count("image ") >= 2


@pytest.mark.parametrize("key", ["", "x", "9999_1", "12345678901234567890_1", str(tree_id(99)), "%", "../.."])
def test_a_key_that_means_no_image_is_exit_2_with_a_hint(untouched: Database, key: str) -> None:
    with pytest.raises(UsageError, match="no image") as caught:
        look_up(untouched, key)
    assert "TreeOfLife id" in (caught.value.hint or "")


def test_a_file_that_no_image_claims_says_which_container_holds_it(untouched: Database) -> None:
    done = tol_db(untouched.path, "report", "image", "readme.txt", expect=2)
    assert "image_set_01.tar.gz holds such a file, but no image claims it: not_an_image" in done.stderr


def test_an_image_as_json_has_every_field(untouched: Database) -> None:
    (told,) = json.loads(tol_db(untouched.path, "report", "image", "9001_7001", "--json").stdout)
    assert told["treeoflife_id"] == str(tree_id(1))
    assert told["places"][0]["outcome"] == "written"
    assert told["label"]["ranks"][0] == "Animalia"
