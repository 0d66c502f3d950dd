"""The catalog and sizes.json of a small database, value by value."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from materialize import root
from materialize.dataset import load_dataset
from tests.populated import SMALL_MEMBERS, STALE, content_id, populated, tree_id
from tests.running import environment, tol_db
from tests.shared_data import SHARED_DATA, needs_shared
from tests.unprivileged import folder_for_all, unprivileged
from tol_db.db.bulk import changes, insert_many
from tol_db.db.engine import Database
from tol_db.errors import CannotWrite, OutputNotMounted, UsageError
from tol_db.export.catalog import COLUMNS, export_catalog
from tol_db.export.sizes import export_sizes
from tol_db.taxonomy.names import Lineage, common


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return populated(tmp_path / "tol.sqlite")


def exported(db: Database, target: Path, *, include_pending: bool = False) -> dict[tuple[str, str], dict[str, str]]:
    """(split, id) → row."""
    export_catalog(db, "tol", target, include_pending=include_pending)
    with target.open(newline="", encoding="utf-8") as file:
        return {(row["split"], row["treeoflife_id"]): row for row in csv.DictReader(file)}


# ------------------------------------------------------------------ catalog


def test_every_written_image_has_a_row_for_each_split_and_no_other_has(db: Database, tmp_path: Path) -> None:
    rows = exported(db, tmp_path / "catalog.csv")
    assert len(rows) == 33
    written_small = [n for n in SMALL_MEMBERS if n in (1, 9, 13, 17)]
    assert {key for split, key in rows if split == "train_small"} == {str(tree_id(n)) for n in written_small}
    assert ("train", str(tree_id(7))) not in rows, "it could not be decoded"
    assert ("train", str(tree_id(10))) not in rows, "a blacklist names it"


def test_the_columns_of_each_source_are_filled_and_the_others_are_empty(db: Database, tmp_path: Path) -> None:
    rows = exported(db, tmp_path / "catalog.csv")
    eol = rows["train", str(tree_id(1))]
    assert (eol["eol_content_id"], eol["eol_page_id"]) == (str(content_id(1)), "7001")
    assert [eol[c] for c in COLUMNS if c.startswith(("bioscan", "inat21"))] == [""] * 5
    inat21 = rows["train", str(tree_id(23))]
    named = (inat21["inat21_filename"], inat21["inat21_cls_name"], inat21["inat21_cls_num"])
    assert named == ("photo-23.jpg", "Plantae_Quercus_robur", "7")
    assert (inat21["eol_content_id"], inat21["bioscan_part"]) == ("", "")
    bioscan = rows["train", str(tree_id(33))]
    assert (bioscan["bioscan_part"], bioscan["bioscan_filename"]) == ("1", "BIO33.jpg")
    assert (bioscan["family"], bioscan["species"]) == ("", "")


def test_common_falls_back_to_the_scientific_and_then_the_taxonomic_name(db: Database, tmp_path: Path) -> None:
    rows = exported(db, tmp_path / "catalog.csv")
    assert rows["train", str(tree_id(1))]["common"] == "Great tit"
    assert rows["train", str(tree_id(3))]["common"] == "Rhododendron"
    assert rows["train", str(tree_id(33))]["common"] == "Animalia Arthropoda Insecta Diptera"
    assert rows["train", str(tree_id(23))]["common"] == 'Oak, "English"'


def test_the_label_is_the_one_in_the_shard_not_the_one_of_today(db: Database, tmp_path: Path) -> None:
    row = exported(db, tmp_path / "catalog.csv")["train", str(tree_id(STALE))]
    assert (row["phylum"], row["common"]) == ("", 'Oak, "English"')


def test_rows_are_sorted_lines_end_with_crlf_and_the_bytes_are_the_same_each_time(
    db: Database, tmp_path: Path
) -> None:
    rows = list(exported(db, tmp_path / "a.csv"))
    assert rows == sorted(rows)
    exported(db, tmp_path / "b.csv")
    content = (tmp_path / "a.csv").read_bytes()
    assert content == (tmp_path / "b.csv").read_bytes()
    assert content.count(b"\r\n") == content.count(b"\n") == 34
    assert content.startswith(",".join(COLUMNS).encode() + b"\r\n")


def test_pending_images_are_in_it_only_when_asked_for(db: Database, tmp_path: Path) -> None:
    without = exported(db, tmp_path / "catalog.csv")
    with_pending = exported(db, tmp_path / "catalog.csv", include_pending=True)
    assert len(with_pending) - len(without) == 6
    assert set(without) < set(with_pending)
    done = tol_db(db.path, "export", "catalog", "--dataset", "tol", "-o", tmp_path / "c.csv")
    assert "33 rows" in done.stdout
    assert "warning: 6 images are still pending" in done.stderr
    done = tol_db(db.path, "export", "catalog", "--include-pending", "-o", tmp_path / "c.csv")
    assert "warning" not in done.stderr


@pytest.mark.parametrize("words", [(), ("-o", "-")])
def test_standard_output_gets_the_bytes_of_the_file_whatever_the_locale(
    db: Database, tmp_path: Path, words: tuple[str, ...]
) -> None:
    with db.write() as conn:
        changes(conn, "UPDATE label SET common_name = 'Mu\u00f1oz \u9b5a' WHERE id = 1")
    exported(db, tmp_path / "catalog.csv")
    command = [sys.executable, "-m", "tol_db", "--db", str(db.path), "export", "catalog", *words]
    done = subprocess.run(command, capture_output=True, check=True, env=environment(PYTHONIOENCODING="latin-1"))
    assert done.stdout == (tmp_path / "catalog.csv").read_bytes()


def test_a_reader_that_goes_away_is_no_error_to_shout_about(db: Database) -> None:
    command = f"{sys.executable} -m tol_db --db {db.path} export catalog --include-pending | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, env=environment())
    assert done.stdout.startswith("split,treeoflife_id")
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr


def test_a_file_that_cannot_be_written_is_exit_73_and_the_old_one_stays(db: Database, tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="none"):
        export_catalog(db, None, tmp_path / "none" / "catalog.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CannotWrite):
        export_catalog(db, None, tmp_path / "folder")
    assert not list(tmp_path.glob(".*partial"))


def test_an_unknown_dataset_is_refused_and_the_known_are_named(db: Database, tmp_path: Path) -> None:
    for act in (lambda: export_catalog(db, "x", tmp_path / "c"), lambda: export_sizes(db, "x")):
        with pytest.raises(UsageError, match="no dataset 'x'") as caught:
            act()
        assert caught.value.hint == "datasets: tol"
    with db.write() as conn:
        changes(conn, "DELETE FROM dataset")
    done = tol_db(db.path, "export", "catalog", expect=2)
    assert "tol-db plan" in done.stderr


@needs_shared
def test_rows_of_the_published_catalog_come_out_as_they_went_in(db: Database, tmp_path: Path) -> None:
    """Images, labels and places are made of the published rows; the export has to give those rows."""
    path = SHARED_DATA / "corpora" / "dev" / "data" / "TreeOfLife-10M" / "metadata" / "catalog.csv"
    with path.open(newline="", encoding="utf-8") as file:
        published = list(csv.DictReader(file))
    _replace_images(db, published)
    rows = exported(db, tmp_path / "catalog.csv")
    assert len(rows) == len(published) > 370
    for row in published:
        assert rows[row["split"], row["treeoflife_id"]] == row


def _replace_images(db: Database, published: list[dict[str, str]]) -> None:
    splits = {"train": 1, "val": 2, "train_small": 3}
    ids = {key: 1000 + i for i, key in enumerate(sorted({row["treeoflife_id"] for row in published}))}
    with db.write() as conn:
        changes(conn, "DELETE FROM shard_image")
        for position, row in enumerate(published):
            image = ids[row["treeoflife_id"]]
            source = 1 if row["eol_content_id"] else 2 if row["inat21_filename"] else 3
            ranks = [row[rank] for rank in COLUMNS[9:16]]
            # where a fallback gives the published name, none is stored
            given = "" if row["common"] == common(Lineage.of(ranks), "") else row["common"]
            group = row["inat21_cls_num"] or row["bioscan_part"] or None
            folder = f"{source}/{group}"
            changes(
                conn,
                """INSERT INTO container (source_id, kind, path, group_number, group_name, state)
                   VALUES (?, 'directory', ?, ?, ?, 'expected') ON CONFLICT DO NOTHING""",
                (source, folder, group, row["inat21_cls_name"] or None),
            )
            insert_many(
                conn,
                """INSERT INTO label (kingdom, phylum, class, "order", family, genus, species, common_name,
                                      resolution)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'x') ON CONFLICT DO NOTHING""",
                [(*ranks, given)],
            )
            changes(
                conn,
                """INSERT INTO image (id, treeoflife_id, source_id, container_id, member)
                   SELECT ?, ?, ?, id, ? FROM container WHERE path = ? ON CONFLICT DO NOTHING""",
                (
                    image,
                    bytes.fromhex(row["treeoflife_id"].replace("-", "")),
                    source,
                    row["inat21_filename"] or row["bioscan_filename"] or None,
                    folder,
                ),
            )
            if source == 1:
                changes(
                    conn,
                    "INSERT INTO eol_image VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    (image, row["eol_content_id"], row["eol_page_id"]),
                )
            changes(
                conn,
                """INSERT INTO shard_image (shard_id, position, image_id, label_id, outcome_id)
                   SELECT (SELECT min(id) FROM shard WHERE split_id = ?), ?, ?, id, 1 FROM label
                   WHERE resolution = 'x' AND (kingdom, phylum, class, "order", family, genus, species, common_name)
                         = (?, ?, ?, ?, ?, ?, ?, ?)""",
                (splits[row["split"]], position, image, *ranks, given),
            )


# ------------------------------------------------------------------ sizes


def make_root(db: Database) -> Path:
    """The output root with its marker and the folders of the splits."""
    with db.read() as conn:
        dataset = load_dataset(conn, "tol")
    root.write_marker(dataset.output_root, dataset.marker)
    for split in ("train", "val", "train_small"):
        (dataset.output_root / "224x224" / split).mkdir(parents=True)
    return dataset.output_root / "224x224"


def test_sizes_tell_the_samples_of_complete_shards_in_file_order(db: Database) -> None:
    folder = make_root(db)
    told = tol_db(db.path, "export", "sizes", "--dataset", "tol").stdout
    assert json.loads((folder / "train" / "sizes.json").read_text()) == {
        "shard-000000.tar": 13,
        "shard-000001.tar": 14,
    }
    assert json.loads((folder / "train_small" / "sizes.json").read_text()) == {"shard-000000.tar": 4}
    assert json.loads((folder / "val" / "sizes.json").read_text()) == {"shard-000000.tar": 2}
    assert "27 samples in 2 shards" in told
    assert not list(folder.rglob(".*partial"))


def test_sizes_follow_when_a_shard_is_no_longer_complete(db: Database) -> None:
    folder = make_root(db)
    export_sizes(db, None)
    with db.write() as conn:
        changes(conn, "UPDATE shard SET state = 'missing' WHERE id = 3")
    export_sizes(db, None)
    assert json.loads((folder / "val" / "sizes.json").read_text()) == {}


def test_without_the_output_root_sizes_are_exit_66(db: Database) -> None:
    with pytest.raises(OutputNotMounted, match="not there"):
        export_sizes(db, "tol")
    assert tol_db(db.path, "export", "sizes", expect=66)


def test_an_output_root_of_something_else_is_not_written_to(db: Database, tmp_path: Path) -> None:
    (tmp_path / "shards" / "224x224" / "train").mkdir(parents=True)
    with pytest.raises(OutputNotMounted, match="no marker"):
        export_sizes(db, "tol")
    assert not list(tmp_path.rglob("sizes.json"))


def test_sizes_that_cannot_be_written_are_exit_73() -> None:
    with folder_for_all() as folder:
        db = populated(folder / "tol.sqlite")
        for path in (*make_root(db).rglob("*"), folder):
            path.chmod(0o555)
        with unprivileged(), pytest.raises(CannotWrite):
            export_sizes(Database(db.path, readonly=True), "tol")
