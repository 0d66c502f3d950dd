"""Reports: where datasets stand, what the database holds, everything of one image, audits."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from tests.populated import populated, tree_id
from tests.running import DATASET, plan, tol_db
from tol_db.audit.runner import load
from tol_db.db.bulk import changes, utc_now
from tol_db.db.engine import Database
from tol_db.db.migrate import init
from tol_db.errors import UsageError
from tol_db.report import status as status_module
from tol_db.report.status import Count, DatasetStatus, SplitStatus, StateCount, status
from tol_db.report.status_text import status_text
from tol_db.report.summary import summarise, summary_text
from tol_db.report.tables import cell, named_values, percent, table


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return populated(tmp_path / "tol.sqlite")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A populated database that no test changes."""
    return populated(tmp_path_factory.mktemp("report") / "tol.sqlite")


def execute(db: Database, *statements: str) -> None:
    with db.write() as conn:
        for statement in statements:
            assert changes(conn, statement) > 0, statement


def of(db: Database) -> DatasetStatus:
    (found,) = status(db).datasets
    return found


def split_of(db: Database, name: str) -> SplitStatus:
    (found,) = [split for split in of(db).splits if split.name == name]
    return found


# ------------------------------------------------------------------ status


def test_status_counts_shards_and_images_of_each_split(untouched: Database) -> None:
    train = split_of(untouched, "train")
    assert train.shards == (StateCount("complete", 2, 28),)
    assert (train.members, train.planned, train.excluded) == (34, 28, 6)
    assert (train.written, train.left_out, train.pending, train.unplanned) == (27, 1, 0, 1)
    assert train.left_out_by == (Count("decode_error", 1),)
    assert train.excluded_by is not None
    assert sum(count.images for count in train.excluded_by) == train.excluded
    assert train.stale_shards == 1
    small = split_of(untouched, "train_small")
    assert small.shards == (StateCount("complete", 1, 4), StateCount("bad", 1, 4))
    assert small.pending == 4


def test_status_tells_the_last_try_that_failed_until_its_unit_is_complete(db: Database) -> None:
    (failure,) = of(db).failures
    assert (failure.unit, failure.host, failure.slurm_job, failure.ending) == (1, "node2", "77", "failed")
    assert failure.detail == "image_set_02.tar.gz: Input/output error"
    execute(db, "UPDATE shard SET state = 'complete' WHERE work_unit_id = 2")
    assert of(db).failures == ()


def test_a_failure_is_forgotten_when_a_later_try_ended_well(db: Database) -> None:
    execute(
        db,
        """INSERT INTO attempt (dataset_id, work_unit_id, token, host, pid, started_at, ended_at, ending)
           VALUES (1, 2, 'c3', 'node3', 1, '2026-03-01T13:00:00Z', '2026-03-01T13:00:09Z', 'interrupted')""",
    )
    assert of(db).failures == ()


def test_the_pace_is_that_of_the_last_run_over_all_its_processes(db: Database) -> None:
    pace = of(db).pace
    assert pace is not None
    # two attempts, 12:00:00 to 12:00:20 together; 20 images of the first, 14 of the second
    assert (pace.images, pace.seconds, pace.per_second) == (34, 20.0, 1.7)
    assert pace.remaining_seconds == pytest.approx(6 / 1.7)
    execute(
        db,
        "UPDATE attempt SET started_at = '2026-03-01T10:00:00Z', ended_at = '2026-03-01T11:00:00Z' WHERE id = 1",
        "UPDATE shard SET completed_at = '2026-03-01T11:00:00Z' WHERE attempt_id = 1",
    )
    later = of(db).pace
    assert later is not None
    assert (later.images, later.seconds) == (14, 15.0), "an hour earlier is another run"


def test_a_pause_between_two_tries_of_a_run_does_not_slow_it(db: Database) -> None:
    execute(
        db,
        "UPDATE attempt SET started_at = '2026-03-01T11:51:00Z', ended_at = '2026-03-01T11:51:10Z' WHERE id = 1",
        "UPDATE shard SET completed_at = '2026-03-01T11:51:10Z' WHERE attempt_id = 1",
    )
    pace = of(db).pace
    assert pace is not None
    assert (pace.images, pace.seconds) == (34, 25.0)


def test_without_a_completed_shard_there_is_no_pace(db: Database) -> None:
    execute(db, "UPDATE shard SET attempt_id = NULL")
    assert of(db).pace is None


def test_next_steps_follow_from_what_is_found(db: Database) -> None:
    assert of(db).next == (
        "tol-db plan --dataset tol --refresh",
        "tol-db plan --dataset tol --extend",
        "tol-db materialize --dataset tol",
    )
    execute(
        db,
        "UPDATE image SET label_id = 6 WHERE id = 38",
        "DELETE FROM split_member WHERE image_id = 39",
    )
    assert of(db).next == ("tol-db materialize --dataset tol",)
    execute(db, f"UPDATE lease SET heartbeat_at = '{utc_now()}'")
    assert of(db).next == (), "somebody is at it"
    worker = of(db).worker
    assert worker is not None and worker.alive
    execute(db, "DELETE FROM lease", "UPDATE dataset_split SET written = planned - left_out")
    assert of(db).next[0] == "tol-db export sizes --dataset tol"


def test_at_millions_of_images_what_takes_a_while_is_counted_only_when_asked_for(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_module, "QUICK_ROWS", 5)
    quick = {split.name: split for split in of(db).splits}
    assert quick["train"].stale_shards is None
    assert quick["train"].left_out_by is None
    assert quick["train"].excluded_by is None
    assert "--check" in status_text(status(db))
    (asked,) = status(db, check=True).datasets
    assert {split.name: split.stale_shards for split in asked.splits} == {"train": 1, "train_small": 0, "val": 0}


def test_the_size_of_a_split_that_the_dataset_has_not_makes_nothing_unplanned(db: Database) -> None:
    execute(
        db,
        "DELETE FROM split_member WHERE image_id = 39",
        """INSERT INTO split (id, name, policy, created_at) VALUES (9, 'other', 'file', 'x')""",
        "INSERT INTO split_member SELECT 9, id FROM image",
    )
    assert sum(split.unplanned for split in of(db).splits) == 0


def test_an_unknown_dataset_is_refused_and_the_known_are_named(untouched: Database) -> None:
    with pytest.raises(UsageError, match="no dataset 'tool'") as caught:
        status(untouched, "tool")
    assert caught.value.hint == "did you mean tol? datasets: tol"
    assert "datasets: tol" in tol_db(untouched.path, "report", "status", "--dataset", "x", expect=2).stderr


def test_without_a_dataset_status_says_what_to_run(tmp_path: Path, db: Database) -> None:
    init(tmp_path / "empty.sqlite")
    assert "next: tol-db ingest tol10m DIR" in tol_db(tmp_path / "empty.sqlite", "report", "status").stdout
    execute(db, "DELETE FROM dataset")
    assert status(db).next == ("tol-db plan OUT --dataset NAME --split train --split train_small --split val",)
    assert "no dataset is planned" in status_text(status(db))


def test_status_as_text_says_what_the_json_says(untouched: Database) -> None:
    text = tol_db(untouched.path, "report", "status").stdout
    assert re.search(r"train +2 of 2 +28 +27 +1 +0 +100.0 %", text)
    assert re.search(r"all +4 of 6 +40 +33 +1 +6 +85.0 %", text)
    assert "last run: 34 images in 20 s, 1.7 images/s; at this pace 4 s to go" in text
    assert "failed: unit 1 on node2, SLURM job 77" in text
    assert "at work: process 100 on node1" in text
    assert "train: left out when read 1: decode_error 1" in text
    assert "train: left out by the plan 6 of 34 members: blacklisted_taxon 2, source_missing 2" in text
    assert "train: unplanned 1 members" in text
    assert "train: stale 1 shards" in text
    assert "train_small: shards complete 1 (4 images), bad 1 (4 images); 40.0 KiB" in text
    told = json.loads(tol_db(untouched.path, "report", "status", "--json").stdout)
    (dataset,) = told["datasets"]
    assert dataset["splits"][0]["written"] == 27
    assert dataset["next"][-1] == "tol-db materialize --dataset tol"


def test_reports_of_a_dataset_that_was_really_written(demo_db: Path, tmp_path: Path) -> None:
    plan(demo_db, tmp_path / "out", "clean", "--shard-images", 20)
    before = json.loads(tol_db(demo_db, "report", "status", "--json").stdout)["datasets"][0]
    assert before["next"] == [f"tol-db materialize --dataset {DATASET}"]
    assert before["pace"] is None
    tol_db(demo_db, "materialize", "--workers", 2)
    after = json.loads(tol_db(demo_db, "report", "status", "--json").stdout)["datasets"][0]
    for split in after["splits"]:
        assert split["pending"] == 0
        assert split["planned"] == split["written"] + split["left_out"]
        assert sum(count["images"] for count in split["left_out_by"]) == split["left_out"]
        assert split["members"] == split["planned"] + split["excluded"]
    assert after["pace"]["images"] == sum(split["planned"] for split in after["splits"])
    assert after["next"][0].startswith("tol-db export")
    tol_db(demo_db, "doctor")
    tol_db(demo_db, "report", "audit", "--all", "--limit", 0)


# ------------------------------------------------------------------ summary


def test_the_summary_counts_images_by_source(untouched: Database) -> None:
    found = summarise(untouched)
    assert found.images == 40
    told = {s.key: (s.images, s.located, s.labelled, s.all_ranks) for s in found.sources}
    assert told == {"eol": (22, 20, 21, 14), "inat21": (10, 9, 10, 0), "bioscan": (8, 8, 8, 0)}
    bioscan = {rank.rank: rank.images for rank in found.sources[2].ranks}
    assert (bioscan["kingdom"], bioscan["class"], bioscan["species"]) == (8, 7, 1)


def test_the_summary_counts_what_else_there_is(untouched: Database) -> None:
    found = summarise(untouched)
    assert {s.name: (s.images, s.parent, s.complement_of) for s in found.splits} == {
        "train": (35, None, "val"),
        "train_small": (10, "train", None),
        "val": (5, None, None),
    }
    rare = found.blacklists[0]
    assert (rare.name, rare.image_entries, rare.matched_image_entries, rare.images) == ("rare", 2, 1, 1)
    assert (rare.taxon_entries, rare.matched_taxon_entries, rare.labels, rare.labelled_images) == (2, 1, 1, 2)
    assert (rare.datasets, found.blacklists[1].datasets) == (("tol",), ())
    assert {(c.source, c.state): c.containers for c in found.containers} == {
        ("eol", "scanned"): 2,
        ("inat21", "scanned"): 2,
        ("bioscan", "scanned"): 1,
        ("bioscan", "missing"): 1,
    }
    assert {licence.name: licence.images for licence in found.licences} == {"cc-by-4.0": 11, "cc0": 11}
    assert {label.resolution: label.labels for label in found.labels} == {
        "published": 5,
        "folder_name": 1,
        "resolved": 1,
    }
    assert [(f"{t.name}@{t.version}", t.priority, t.taxa, t.labels, t.resolved) for t in found.taxonomies] == [
        ("itis@2026", 1, 2, 0, 0),
        ("tol@1", None, 2, 1, 1),
    ]


def test_the_summary_of_an_empty_database_has_every_heading(tmp_path: Path) -> None:
    init(tmp_path / "tol.sqlite")
    text = tol_db(tmp_path / "tol.sqlite", "report", "summary").stdout
    assert text.startswith("0 images")
    for heading in ("sources", "labels", "taxonomies", "splits", "blacklists", "containers", "licences"):
        assert f"\n{heading}\n" in text


def test_the_summary_as_text_fits_the_terminal(untouched: Database) -> None:
    assert max(map(len, summary_text(summarise(untouched), 80).splitlines())) <= 80
    told = json.loads(tol_db(untouched.path, "report", "summary", "--json").stdout)
    assert set(told) == {
        *("images", "sources", "labels", "taxonomies", "splits", "blacklists", "containers", "licences"),
    }


# ------------------------------------------------------------------ audits


def test_without_a_name_the_audits_are_listed(untouched: Database) -> None:
    text = tol_db(untouched.path, "report", "audit").stdout
    for audit in load():
        assert re.search(rf"^{audit.name} ", text, re.MULTILINE)
    told = json.loads(tol_db(untouched.path, "report", "audit", "--json").stdout)
    assert len(told) == len(load())


def test_an_audit_shows_its_rows_and_how_many_more_there_are(untouched: Database) -> None:
    text = tol_db(untouched.path, "report", "audit", "images_without_file", "--limit", 1).stdout
    assert "images_without_file: Images without a file: 3 rows" in text
    assert "and 2 more" in text
    assert text.count("eol") == 1


def test_an_audit_that_must_be_empty_and_is_not_is_exit_1_and_is_named(db: Database) -> None:
    tol_db(db.path, "report", "audit", "shard_counters")
    execute(db, "UPDATE shard SET written = 0 WHERE id = 1")
    for more in ((), ("--json",), ("--csv",), ("--csv", "--limit", "0")):
        done = tol_db(db.path, "report", "audit", "shard_counters", *more, expect=1)
        assert "must be empty and is not: shard_counters" in done.stderr
    assert "shard_counters" in tol_db(db.path, "report", "audit", "--all", "--limit", 0, expect=1).stderr


def test_an_audit_as_csv_is_a_table_to_work_with(untouched: Database) -> None:
    text = tol_db(untouched.path, "report", "audit", "exclusions_by_reason", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sum(int(row["images"]) for row in rows) == 9
    limited = tol_db(untouched.path, "report", "audit", "exclusions_by_reason", "--csv", "--limit", 2).stdout
    assert limited.splitlines() == text.splitlines()[:3]


def test_several_audits_as_csv_are_files_of_a_folder(db: Database, tmp_path: Path) -> None:
    folder = tmp_path / "made" / "audits"
    done = tol_db(db.path, "report", "audit", "--all", "--csv", "-o", folder)
    assert done.stdout == f"{len(load())} files in {folder}\n"
    assert {path.name for path in folder.iterdir()} == {f"{audit.name}.csv" for audit in load()}
    alone = tol_db(db.path, "report", "audit", "exclusions_by_reason", "--csv").stdout
    assert (folder / "exclusions_by_reason.csv").read_text(encoding="utf-8") == alone
    assert len((folder / "shard_counters.csv").read_text(encoding="utf-8").splitlines()) == 1, "names of columns"
    execute(db, "UPDATE shard SET written = 0 WHERE id = 1")
    words = ("report", "audit", "shard_counters", "bad_shards", "--csv", "--output", folder, "--limit", 0)
    assert "is not: shard_counters" in tol_db(db.path, *words, expect=1).stderr
    assert len((folder / "bad_shards.csv").read_text(encoding="utf-8").splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_exit_73(untouched: Database, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    words = ("report", "audit", "bad_shards", "--csv", "-o", tmp_path / "file")
    assert "bad_shards.csv" in tol_db(untouched.path, *words, expect=73).stderr


def test_an_audit_as_json_has_columns_rows_and_the_total(untouched: Database) -> None:
    (told,) = json.loads(tol_db(untouched.path, "report", "audit", "unplanned_images", "--json").stdout)
    assert told["columns"] == ["dataset", "split", "source", "treeoflife_id"]
    assert told["rows"] == [["tol", "train", "bioscan", str(tree_id(39))]]
    assert (told["total"], told["audit"]["name"]) == (1, "unplanned_images")


def test_what_contradicts_itself_is_exit_2(untouched: Database) -> None:
    assert "did you mean bad_shards" in tol_db(untouched.path, "report", "audit", "bad_shard", expect=2).stderr
    tol_db(untouched.path, "report", "audit", "bad_shards", "stale_shards", "--csv", expect=2)
    tol_db(untouched.path, "report", "audit", "bad_shards", "--csv", "--json", expect=2)
    assert "of which audit" in tol_db(untouched.path, "report", "audit", "--csv", expect=2).stderr
    tol_db(untouched.path, "report", "audit", "bad_shards", "-o", "folder", expect=2)


# ------------------------------------------------------------------ tables


def test_a_table_aligns_numbers_to_the_right_and_text_to_the_left() -> None:
    assert table(("name", "n"), [("a", 1), ("bcdef", 12345), ("c", None)]).splitlines() == [
        "name        n",
        "-----  ------",
        "a           1",
        "bcdef  12,345",
        "c",
    ]


def test_a_table_that_is_too_wide_is_cut_at_its_widest_column() -> None:
    lines = table(("key", "text"), [("k", "x" * 100)], 40).splitlines()
    assert max(map(len, lines)) == 40
    assert lines[-1].endswith("x…")


def test_a_table_without_rows_has_its_headings() -> None:
    assert table(("a", "b"), []).splitlines() == ["a  b", "-  -"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (True, "yes"), (1234567, "1,234,567"), (0.5, "0.50"), (b"\x01\xff", "01ff"), ("a\nb", "a b")],
)
def test_a_cell_is_one_line(value: object, shown: str) -> None:
    assert cell(value) == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(0, 0, "-"), (0, 9, "0.0 %"), (9, 9, "100.0 %"), (1, 10**7, "0.1 %"), (10**7 - 1, 10**7, "99.9 %")],
)
def test_a_share_is_all_or_nothing_only_when_it_is(part: int, whole: int, shown: str) -> None:
    assert percent(part, whole) == shown


def test_named_values_leave_out_what_is_unknown() -> None:
    assert named_values([("a", 1), ("long name", "x"), ("b", None)]) == "a          1\nlong name  x"
