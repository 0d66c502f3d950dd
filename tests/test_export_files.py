"""The other exports of a small database, value by value; the libraries that read them have tests of their own."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from materialize.dataset import load_dataset
from tests.populated import LABELS, OAK, OAK_TODAY, STALE, UNREADABLE, populated, tree_id
from tests.running import tol_db
from tol_db.db.bulk import changes, query
from tol_db.db.engine import Database
from tol_db.errors import CannotWrite, OutputNotMounted, UsageError
from tol_db.export import catalog, licences
from tol_db.export.card import export_card, split_names
from tol_db.export.catalog import COLUMNS, export_catalog
from tol_db.export.croissant import export_croissant
from tol_db.export.facts import dataset_facts, licence_facts
from tol_db.export.licences import export_licences, export_notice
from tol_db.export.manifest import export_manifest
from tol_db.export.members import MEMBERS, Scope
from tol_db.export.names import export_names
from tol_db.export.parquet import export_parquet
from tol_db.export.wids import export_wids


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return populated(tmp_path / "tol.sqlite")


def table(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """(split, id) → row."""
    with path.open(newline="", encoding="utf-8") as file:
        return {(row["split"], row["treeoflife_id"]): row for row in csv.DictReader(file)}


def loaded(write: Callable[..., object], db: Database, path: Path, **more: Any) -> Any:
    write(db, "tol", path, **more)
    return json.loads(path.read_text(encoding="utf-8"))


# ------------------------------------------------------------------ catalog


def test_provenance_tells_how_a_label_came_and_what_was_published(db: Database, tmp_path: Path) -> None:
    export_catalog(db, "tol", tmp_path / "c.csv", provenance=True)
    rows = table(tmp_path / "c.csv")
    tit = rows["train", str(tree_id(1))]
    assert list(tit)[: len(COLUMNS)] == list(COLUMNS)
    assert (tit["label_resolution"], tit["published_species"], tit["published_common"]) == (
        *("published", "major"),
        "Great tit",
    )
    named_by_folder = rows["train", str(tree_id(23))]
    assert named_by_folder["label_resolution"] == "folder_name"
    assert {value for key, value in named_by_folder.items() if key.startswith("published_")} == {""}
    # its label of today is another one, and took the place of one that is no published one
    assert rows["train", str(tree_id(STALE))]["published_genus"] == ""
    with db.write() as conn:
        changes(conn, "UPDATE image SET label_id = 7, published_label_id = 1 WHERE id = 1")
    export_catalog(db, "tol", tmp_path / "c.csv", provenance=True)
    again = table(tmp_path / "c.csv")["train", str(tree_id(1))]
    assert (again["published_genus"], again["published_common"]) == ("Parus", "Great tit")


def test_the_predicted_catalog_keeps_the_rare_species_and_what_was_left_out(db: Database, tmp_path: Path) -> None:
    export_catalog(db, "tol", tmp_path / "c.csv", predicted=True)
    rows = table(tmp_path / "c.csv")
    train = {key for split, key in rows if split == "train"}
    assert {str(tree_id(n)) for n in (10, 11, 12, UNREADABLE, 1, 33)} <= train
    assert not {str(tree_id(n)) for n in (5, 21, 22)} & train, "without a label or a file"
    names = loaded(export_names, db, tmp_path / "n.json", scope=Scope.PREDICTED)
    for row in rows.values():
        ranks, common = names[int(row["class_index"])]
        assert ranks == [row[rank] for rank in COLUMNS[9:16]]
        assert common == row["common"]
    assert names[int(rows["train", str(tree_id(11))]["class_index"])][0][-1] == "zebra"


def test_parquet_of_nothing_is_a_file_with_columns(db: Database, tmp_path: Path) -> None:
    import pyarrow.parquet

    with db.write() as conn:
        changes(conn, "UPDATE shard_image SET outcome_id = 7")
    assert export_parquet(db, "tol", tmp_path / "c.parquet").rows == 0
    assert pyarrow.parquet.read_table(tmp_path / "c.parquet").column_names == list(COLUMNS)


# ------------------------------------------------------------------ names


def test_the_class_list_has_each_taxon_once_with_its_commonest_name(db: Database, tmp_path: Path) -> None:
    with db.write() as conn:  # of the great tits, one has another common name
        changes(conn, "UPDATE label SET common_name = 'Titmouse', resolution = 'x' WHERE id = 7")
        for column in ("kingdom", "phylum", "class", '"order"', "family", "genus", "species"):
            changes(conn, f"UPDATE label SET {column} = (SELECT {column} FROM label WHERE id = 1) WHERE id = 7")
        changes(conn, "UPDATE shard_image SET label_id = 7 WHERE shard_id = 1 AND position = 0")
    names = loaded(export_names, db, tmp_path / "n.json")
    assert names == sorted(names)
    assert len({tuple(ranks) for ranks, _ in names}) == len(names)
    assert {tuple(ranks): common for ranks, common in names}[LABELS[0][:7]] == "Great tit"
    assert loaded(export_names, db, tmp_path / "n.json", rank="species") == [
        entry for entry in names if entry[0][6]
    ]
    val = loaded(export_names, db, tmp_path / "n.json", splits=("val",))
    assert 0 < len(val) < len(names)
    assert all(entry in names for entry in val)
    with pytest.raises(UsageError, match="no split 'tset'"):
        export_names(db, "tol", tmp_path / "n.json", splits=("tset",))


def test_a_class_list_of_nothing_is_an_empty_list(db: Database, tmp_path: Path) -> None:
    with db.write() as conn:
        changes(conn, "UPDATE shard_image SET outcome_id = 7")
    assert loaded(export_names, db, tmp_path / "n.json") == []


# ------------------------------------------------------------------ licences


def test_each_written_image_has_its_licence_that_of_its_source_or_not_provided(
    db: Database, tmp_path: Path
) -> None:
    with db.write() as conn:
        changes(conn, "UPDATE source SET licence = 'cc-by-nc-4.0' WHERE key = 'inat21'")
    summary = export_licences(db, "tol", tmp_path / "l.csv")
    rows = table(tmp_path / "l.csv")
    assert summary.rows == len(rows) == 33
    eol = rows["train", str(tree_id(1))]
    assert (eol["license_name"], eol["copyright_owner"], eol["source"]) == ("cc0", "Owner 1", "eol")
    assert eol["md5"] == hashlib.sha256(b"1").hexdigest()[:32]
    assert rows["train", str(tree_id(23))]["license_name"] == "cc-by-nc-4.0"
    assert rows["train", str(tree_id(33))]["license_name"] == "not provided"
    assert list(rows) == sorted(rows)


def test_the_notice_names_sources_licences_and_every_owner(db: Database, tmp_path: Path) -> None:
    with db.write() as conn:
        owner = "'A. ' || char(10) || ' P' || char(27) || 'n'"
        changes(conn, f"UPDATE image_licence SET copyright_owner = {owner} WHERE image_id < 4")
    export_notice(db, "tol", tmp_path / "NOTICE")
    text = (tmp_path / "NOTICE").read_text(encoding="utf-8")
    assert "Encyclopedia of Life (" in text
    assert "iNaturalist 2021, release 2021" in text
    assert "Only images of these licences were taken: cc-by, cc0, unknown." in text
    head, train, small, val = text.split("\nSplit ")
    assert train.startswith("train\n")
    assert "A. P" not in head
    assert "  cc-by-4.0 <https://creativecommons.org/licenses/by/4.0/>\n    A. P\\x1bn (1)\n" in train
    assert "  cc0\n    A. P\\x1bn (2)\n" in train
    assert small.startswith("train_small\n")
    assert val.startswith("val\n")


# ------------------------------------------------------------------ manifest, card, croissant, wids


def test_the_manifest_ties_recipe_plan_database_and_shards_together(db: Database, tmp_path: Path) -> None:
    told = loaded(export_manifest, db, tmp_path / "m.json")
    assert told["complete"] is False
    assert told["recipe"]["digest"] == hashlib.sha256(b"recipe").hexdigest()
    assert told["recipe"]["versions"] == {"pillow": "13.0.0", "libjpeg_turbo": "3.2.0"}
    assert told["plan"]["digest"] == hashlib.sha256(b"plan").hexdigest()
    assert told["plan"]["licences"] == ["cc-by", "cc0", "unknown"]
    assert [file["name"] for file in told["database"]["files"]][-1] == "mapping.sqlite"
    assert [shard["path"] for shard in told["shards"]] == [
        "224x224/train/shard-000000.tar",
        "224x224/train/shard-000001.tar",
        "224x224/train_small/shard-000000.tar",
        "224x224/val/shard-000000.tar",
    ]
    assert told["shards"][0]["sha256"] == hashlib.sha256(b"file 1").hexdigest()
    for split in told["splits"]:
        assert split["written"] + split["pending"] + sum(split["reasons"].values()) == split["members"]
        shards = [shard for shard in told["shards"] if shard["split"] == split["name"]]
        assert sum(shard["samples"] for shard in shards) == split["written"]
        assert sum(shard["bytes"] for shard in shards) == split["bytes"]
    done = tol_db(db.path, "export", "manifest", "-o", "-")
    assert json.loads(done.stdout) == told
    assert "6 images are still pending" in done.stderr


def test_manifest_and_card_name_the_taxonomy_that_labels_come_from(db: Database, tmp_path: Path) -> None:
    assert loaded(export_manifest, db, tmp_path / "m.json")["taxonomies"] == []
    with db.write() as conn:
        changes(
            conn,
            f"""INSERT INTO label_resolution (taxonomy_id, label_id, state, change, new_label_id)
                VALUES (2, {OAK}, 'matched', 'filled', {OAK_TODAY})""",
        )
    assert loaded(export_manifest, db, tmp_path / "m.json")["taxonomies"] == []  # planned before
    with db.write() as conn:
        changes(conn, f"UPDATE shard_image SET label_id = {OAK_TODAY} WHERE label_id = {OAK} AND outcome_id = 1")
    digest = hashlib.sha256(b"taxonomy").hexdigest()
    assert loaded(export_manifest, db, tmp_path / "m.json")["taxonomies"] == [
        {"name": "tol", "version": "1", "digest": digest, "sources": ["itis@2026"]}
    ]
    card = tol_db(db.path, "export", "card", "-o", "-").stdout
    assert f"- labels by taxonomy tol@1, digest `{digest}`, made of itis@2026" in card
    assert 'shards = "224x224/train/shard-{000000..000001}.tar"' in card  # as many as there are


def test_the_manifest_says_nothing_of_place_and_time(db: Database, tmp_path: Path) -> None:
    export_manifest(db, "tol", tmp_path / "a.json")
    with db.write() as conn:
        changes(
            conn, "UPDATE dataset SET output_root = '/elsewhere', created_at = 'x', planned_at = 'y', uuid = 'z'"
        )
        changes(conn, "UPDATE source_file SET root = '/elsewhere', read_at = 'x', mtime_ns = 0")
    export_manifest(db, "tol", tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_texts_of_others_are_no_markup_in_the_card(db: Database, tmp_path: Path) -> None:
    with db.write() as conn:
        changes(conn, "UPDATE source SET title = 'A | <script>*x*</script>' || char(10) || '# head' WHERE id = 1")
        changes(conn, "UPDATE split SET name = 'train-2.x' WHERE id = 1")
        changes(conn, "UPDATE licence SET link = 'javascript:alert(1)' WHERE name = 'cc0'")
    export_card(db, "tol", tmp_path / "README.md", title='The "set"')
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "\n# head" not in text
    assert "javascript" not in text
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert 'pretty_name: "The \\"set\\""' in text
    assert "- split: train_2_x" in text
    assert "**Not complete: 6 images" in text
    assert split_names(["a b-c", "a_b_c", "a-b-c", "a_b_c_2"]) == {
        "a b-c": "a_b_c",
        "a_b_c": "a_b_c_2",
        "a-b-c": "a_b_c_3",
        "a_b_c_2": "a_b_c_2_2",
    }


def test_the_facts_count_each_licence_and_reason(db: Database) -> None:
    with db.read() as conn:
        dataset = load_dataset(conn, "tol")
        facts, found = dataset_facts(conn, dataset), licence_facts(conn, dataset)
    assert sum(licence.images for licence in found) == facts.written == 33
    assert [licence.name for licence in found] == ["not provided", "cc0", "cc-by-4.0"]
    train = facts.splits[0]
    assert dict(train.reasons) == {
        **{"blacklisted_image": 1, "blacklisted_taxon": 2, "no_label": 1, "source_missing": 2, "decode_error": 1}
    }


@pytest.mark.parametrize(
    "sql",
    [
        *(catalog.ROWS.format(members=MEMBERS[scope], more="", joined="") for scope in Scope),
        catalog.ROWS.format(members=MEMBERS[Scope.WRITTEN], more=catalog.PUBLISHED, joined=catalog.PUBLISHED_JOIN),
        *(licences.ROWS, licences.OWNERS),
    ],
)
def test_what_is_asked_of_every_image_is_found_by_its_key(db: Database, sql: str) -> None:
    with db.read() as conn:
        steps = [row[3] for row in query(conn, f"EXPLAIN QUERY PLAN {sql}", (1, 1))]
    assert not [step for step in steps if step.startswith("SCAN") or "AUTOMATIC" in step or "MATERIALIZE" in step]


WRITERS = [
    *(export_catalog, export_parquet, export_licences, export_notice, export_names, export_manifest),
    *(export_card, export_croissant),
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_every_export_is_the_same_each_time_and_leaves_the_old_file_where_it_cannot_write(
    db: Database, tmp_path: Path, write: Callable[..., object]
) -> None:
    made = []
    for _ in range(2):
        write(db, None, tmp_path / "file")
        made.append((tmp_path / "file").read_bytes())
    assert made[0] == made[1] != b""
    with pytest.raises(CannotWrite, match="none"):
        write(db, None, tmp_path / "none" / "file")
    with pytest.raises(UsageError, match="no dataset 'x'"):
        write(db, "x", tmp_path / "file")
    with db.write() as conn:  # in the midst of it
        changes(conn, "ALTER TABLE image RENAME COLUMN treeoflife_id TO other")
        changes(conn, "ALTER TABLE label RENAME COLUMN species TO other")
    if write in (export_catalog, export_parquet, export_licences, export_names):
        with pytest.raises(Exception, match="no such column"):
            write(db, None, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == made[0]
    assert not list(tmp_path.glob(".*partial"))


def test_without_the_output_root_wids_is_exit_66(db: Database) -> None:
    with pytest.raises(OutputNotMounted):
        export_wids(db, "tol")


def test_the_commands_say_what_they_wrote(db: Database, tmp_path: Path) -> None:
    for words, what in ((("names",), "classes"), (("licences", "--notice"), "owners"), (("card",), "splits")):
        done = tol_db(db.path, "export", *words, "-o", tmp_path / "file")
        assert done.stdout.startswith(str(tmp_path / "file"))
        assert what in done.stdout
    assert "pending" not in tol_db(db.path, "export", "catalog", "--predicted", "-o", tmp_path / "f").stderr
