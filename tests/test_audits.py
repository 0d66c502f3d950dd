"""Each invariant is an audit that finds nothing in a sound database, and finds the fault that breaks it."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.populated import STALE, UNPLANNED, populated, tree_id
from tol_db.audit.runner import Audit, find, load, parse, run, stream
from tol_db.db.engine import Database
from tol_db.doctor import examine
from tol_db.errors import UsageError

AUDITS = load()
INVARIANTS = [audit for audit in AUDITS if audit.invariant]
QUERIES = Path(__file__).resolve().parents[1] / "tol_db" / "audit" / "queries"


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return populated(tmp_path / "tol.sqlite")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A populated database that no test changes."""
    return populated(tmp_path_factory.mktemp("audits") / "tol.sqlite")


def rows(db: Database, name: str) -> list[dict[str, Any]]:
    with db.read() as conn:
        result = run(conn, find(name))
    return [dict(zip(result.columns, row, strict=True)) for row in result.rows]


def execute(db: Database, script: str) -> None:
    with db.write() as conn:
        for statement in script.split("; "):
            assert conn.exec_driver_sql(statement).rowcount > 0, statement


def named(audit: Audit) -> str:
    return audit.name


@pytest.mark.parametrize("audit", INVARIANTS, ids=named)
def test_a_sound_database_breaks_no_invariant(untouched: Database, audit: Audit) -> None:
    assert rows(untouched, audit.name) == []


OTHER_DATASET = """INSERT INTO dataset SELECT 2, 'other', 'other', recipe_id, image_order, seed, shard_images,
    blacklist_policy, output_root, plan_digest, created_at, planned_at FROM dataset; """

# which invariant → one statement that breaks it; more than one breach where it has more than one part
BREACHES: list[tuple[str, str]] = [
    ("planned_membership", "UPDATE dataset_split SET members = members + 1 WHERE split_id = 1"),
    ("planned_membership", "DELETE FROM exclusion WHERE split_id = 1 AND image_id = 10"),
    ("planned_membership", "DELETE FROM shard_image WHERE shard_id = 6 AND position = 1"),
    ("image_twice_in_split", "UPDATE shard_image SET image_id = 1 WHERE shard_id = 4 AND position = 13"),
    ("image_placed_and_excluded", "INSERT INTO exclusion VALUES (1, 1, 1, 4, NULL)"),
    ("foreign_splits", "DELETE FROM dataset_split WHERE split_id = 3"),
    ("foreign_splits", OTHER_DATASET + "UPDATE work_unit SET dataset_id = 2 WHERE id = 2"),
    ("foreign_splits", OTHER_DATASET + "UPDATE attempt SET dataset_id = 2 WHERE id = 1"),
    ("shard_counters", "UPDATE shard SET written = written + 1 WHERE id = 1"),
    ("shard_counters", "UPDATE shard SET left_out = 0 WHERE id = 1"),
    ("shard_counters", "UPDATE shard SET planned = 99 WHERE id = 6"),
    ("shard_counters", "UPDATE shard_image SET outcome_id = 8 WHERE shard_id = 1 AND position = 0"),
    ("shard_counters", "DELETE FROM shard_image WHERE shard_id = 6"),
    ("split_counters", "UPDATE dataset_split SET written = 0 WHERE split_id = 2"),
    ("split_counters", "UPDATE dataset_split SET left_out = 7 WHERE split_id = 1"),
    ("split_counters", "UPDATE dataset_split SET excluded = 7 WHERE split_id = 1"),
    ("split_counters", "UPDATE dataset_split SET planned = 7 WHERE split_id = 1"),
    ("container_members", "UPDATE container SET members = 3 WHERE id = 5"),
    ("container_members", "DELETE FROM stray_member WHERE container_id = 1"),
    ("container_members", "UPDATE image SET member_index = NULL WHERE id = 40"),
    ("complete_shards", "UPDATE shard SET sha256 = NULL WHERE id = 3"),
    ("complete_shards", "UPDATE shard SET bytes = NULL WHERE id = 1"),
    ("complete_shards", "UPDATE shard SET completed_at = NULL WHERE id = 1"),
    ("complete_shards", "UPDATE shard_image SET outcome_id = 0 WHERE shard_id = 3 AND position = 0"),
    ("complete_shards", "UPDATE shard SET state = 'complete' WHERE id = 6"),
    ("open_shards", "UPDATE shard SET written = 1 WHERE id = 6"),
    ("open_shards", "UPDATE shard_image SET outcome_id = 7 WHERE shard_id = 5 AND position = 0"),
    ("open_shards", "UPDATE shard SET state = 'missing' WHERE id = 1"),
    ("written_in_open_shard", "UPDATE shard_image SET outcome_id = 1 WHERE shard_id = 6 AND position = 0"),
    ("written_in_open_shard", "UPDATE shard SET state = 'stale' WHERE id = 3"),
    ("splits_overlap", "INSERT INTO split_member VALUES (1, 8)"),
    ("split_outside_parent", "INSERT INTO split_member VALUES (3, 8)"),
    ("shards_overlap", "UPDATE shard_image SET image_id = 8 WHERE shard_id = 1 AND position = 0"),
    ("shards_overlap", "UPDATE shard_image SET image_id = 8 WHERE shard_id = 2 AND position = 0"),
    ("blacklisted_image_written", "UPDATE blacklist_entry SET content_id = 9001 WHERE id = 2"),
    (
        "blacklisted_image_written",
        "UPDATE blacklist_entry SET treeoflife_id = (SELECT treeoflife_id FROM image WHERE id = 33)",
    ),
    (
        "blacklisted_taxon_written",
        "UPDATE blacklist_entry SET kingdom = '', genus = 'Quercus', species = 'robur' WHERE id = 4",
    ),
    ("refused_licence_written", "DELETE FROM dataset_licence WHERE word = 'cc0'"),
    ("refused_licence_written", "UPDATE source SET licence = 'CC BY-NC 4.0' WHERE id = 2"),
    ("shard_numbers", "UPDATE shard SET number = 17 WHERE id = 6"),
    ("shard_numbers", "UPDATE shard SET ordinal = 4 WHERE id = 6"),
    ("unit_ranges", "UPDATE work_unit SET last_shard = 9 WHERE id = 2"),
    ("unit_ranges", "UPDATE work_unit SET first_shard = 2 WHERE id = 2"),
    ("unit_ranges", "UPDATE work_unit SET number = 4 WHERE id = 2"),
    ("unit_ranges", "UPDATE shard SET work_unit_id = 1 WHERE id = 4"),
    ("shard_positions", "UPDATE shard_image SET position = 60 WHERE shard_id = 6 AND position = 1"),
    ("shard_positions", "UPDATE shard_image SET position = 60 WHERE shard_id = 6 AND position = 0"),
    ("taxonomy_trees", "UPDATE taxon SET parent_id = 1 WHERE id = 4"),  # of another taxonomy
    ("taxonomy_trees", "UPDATE taxon SET parent_id = 4 WHERE id = 3"),  # a circle
    ("taxonomy_trees", "UPDATE taxon SET taxonomy_id = 1 WHERE id = 4"),  # ids with a gap
    ("taxa_without_origin", "DELETE FROM taxon_provenance WHERE taxon_id = 3"),
    ("taxon_origins", "UPDATE taxon_provenance SET source_taxon_id = 1 WHERE taxon_id = 4"),  # twice
    ("taxon_origins", "UPDATE taxonomy_input SET input_id = 2"),
    ("taxon_origins", "UPDATE taxon_decision SET source_taxon_id = 3"),
    ("taxon_origins", "UPDATE taxonomy_input SET role = 'previous'"),
    ("label_taxa", "UPDATE label_resolution SET taxon_id = 2"),
    ("label_taxa", "UPDATE label SET taxon_id = 2 WHERE taxon_id = 4"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "breach"), BREACHES, ids=lambda text: text[:70])
def test_an_invariant_that_is_broken_is_found_and_doctor_names_it(db: Database, name: str, breach: str) -> None:
    execute(db, breach)
    assert rows(db, name)
    assert name in {check.name for check in examine(db.path).broken}


def test_every_invariant_has_a_test_that_breaks_it() -> None:
    assert {name for name, _ in BREACHES} == {audit.name for audit in INVARIANTS}
    assert all(audit.must_be_empty for audit in INVARIANTS)


def test_images_without_a_file_are_listed_with_the_folder_that_should_hold_them(untouched: Database) -> None:
    found = rows(untouched, "images_without_file")
    assert {row["treeoflife_id"] for row in found} == {str(tree_id(n)) for n in (21, 22, 32)}
    (missing,) = (row for row in found if row["source"] == "inat21")
    assert missing["expected_in"] == "00011_Plantae_Quercus_petraea"
    assert missing["file"] == "photo-32.jpg"


def test_files_without_an_image_are_listed_with_the_reason(untouched: Database) -> None:
    found = {(row["container"], row["file"], row["reason"]) for row in rows(untouched, "files_without_image")}
    assert found == {
        ("image_set_01.tar.gz", "readme.txt", "not_an_image"),
        ("image_set_02.tar.gz", "x.jpg", "unknown_id"),
    }


def test_an_image_that_came_after_the_plan_is_unplanned(untouched: Database) -> None:
    (found,) = rows(untouched, "unplanned_images")
    assert (found["split"], found["treeoflife_id"]) == ("train", str(tree_id(UNPLANNED)))


def test_an_image_in_no_split_is_listed(db: Database) -> None:
    assert rows(db, "images_without_split") == []
    execute(db, "DELETE FROM split_member WHERE image_id = 39")
    assert [row["treeoflife_id"] for row in rows(db, "images_without_split")] == [str(tree_id(39))]


def test_a_shard_is_stale_when_an_image_of_it_has_another_label_today(untouched: Database) -> None:
    (found,) = rows(untouched, "stale_shards")
    assert (found["split"], found["file"], found["relabelled"]) == ("train", "shard-000001.tar", 1)
    assert (found["without_file"], found["blacklisted"]) == (0, 0)


def test_a_shard_is_stale_when_a_label_of_it_is_taken_away(db: Database) -> None:
    execute(db, f"UPDATE image SET label_id = NULL WHERE id = 1; UPDATE image SET label_id = 6 WHERE id = {STALE}")
    assert [row["file"] for row in rows(db, "stale_shards")] == ["shard-000000.tar"] * 2


def test_a_shard_is_stale_when_a_file_of_it_is_gone(db: Database) -> None:
    execute(db, "UPDATE image SET member_index = NULL WHERE id = 2")
    assert [row["without_file"] for row in rows(db, "stale_shards")] == [1, 0]


def test_a_shard_is_stale_when_a_blacklist_that_binds_the_dataset_names_an_image_of_it(db: Database) -> None:
    entry = "INSERT INTO blacklist_entry (blacklist_id, kind, value, content_id, genus, species, kingdom) VALUES"
    execute(db, f"{entry} (2, 'image', 'x', 9001, NULL, NULL, NULL)")
    execute(db, f"{entry} (2, 'taxon', 'Quercus robur', NULL, 'Quercus', 'robur', '')")
    assert sum(row["blacklisted"] for row in rows(db, "stale_shards")) == 0, "the dataset left this list aside"
    execute(db, "UPDATE dataset SET blacklist_policy = 'all'")
    found = {(row["split"], row["file"]): row["blacklisted"] for row in rows(db, "stale_shards")}
    oaks = {
        ("train", "shard-000001.tar"): 9,
        ("val", "shard-000001.tar"): 1,
        ("train_small", "shard-000001.tar"): 2,
    }
    assert found == {("train", "shard-000000.tar"): 1, ("train_small", "shard-000000.tar"): 1} | oaks


def test_a_list_that_binds_a_dataset_by_name_only_makes_nothing_stale_or_broken(db: Database) -> None:
    execute(
        db,
        "INSERT INTO blacklist_entry (blacklist_id, kind, value, content_id) VALUES (2, 'image', 'x', 9001)",
    )
    assert rows(db, "blacklisted_image_written") == []
    assert [row["blacklist"] for row in rows(db, "blacklists_not_applied")] == ["unused"]


def test_equal_bytes_in_val_and_train_are_reported(untouched: Database) -> None:
    (found,) = rows(untouched, "train_val_same_content")
    assert (found["split"], found["treeoflife_id"]) == ("val", str(tree_id(8)))
    assert (found["other_split"], found["other_id"]) == ("train", str(tree_id(3)))
    (same,) = rows(untouched, "duplicate_content")
    assert (same["images"], same["first_id"], same["last_id"]) == (2, str(tree_id(3)), str(tree_id(8)))


def test_entries_that_match_nothing_say_why(untouched: Database) -> None:
    assert {(row["entry"], row["why"]) for row in rows(untouched, "blacklist_unmatched")} == {
        ("1056352_EOL-media-509.jpg", "holds no id"),
        ("Nemo nusquam", "no label has this genus and species"),
    }


def test_an_entry_with_another_page_than_its_image_matches_and_is_reported(db: Database) -> None:
    execute(db, "UPDATE blacklist_entry SET page_id = 1 WHERE id = 1")
    (found,) = rows(db, "blacklist_other_page")
    assert (found["entry_page_id"], found["image_page_id"]) == (1, 7010)


def test_outcomes_by_source_count_every_place(untouched: Database) -> None:
    found = {(row["source"], row["outcome"]): row["images"] for row in rows(untouched, "outcomes_by_source")}
    assert found[("eol", "decode_error")] == 1
    assert sum(found.values()) == 40


# ------------------------------------------------------------------ the files themselves


def test_the_header_of_each_file_says_what_it_answers() -> None:
    for audit in AUDITS:
        assert audit.title and audit.answers.endswith(("?", ".")) and audit.row, audit.name
        assert audit.invariant <= audit.must_be_empty


def test_a_file_without_its_header_is_refused() -> None:
    with pytest.raises(ValueError, match="its header must be title, answers"):
        parse("broken", "-- title: x\n\nSELECT 1;")


@pytest.mark.parametrize("audit", AUDITS, ids=named)
def test_every_file_runs_as_it_is_in_the_sqlite3_shell(untouched: Database, audit: Audit) -> None:
    shell = shutil.which("sqlite3")
    text = (QUERIES / f"{audit.name}.sql").read_text(encoding="utf-8")
    if shell is None:  # then at least SQLite itself, with the text as it stands
        with closing(sqlite3.connect(untouched.path)) as connection:
            assert bool(connection.execute(text).fetchall()) == bool(rows(untouched, audit.name))
        return
    done = subprocess.run(
        [shell, "-bail", "-batch", "-json", str(untouched.path)],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout.strip()) == bool(rows(untouched, audit.name))


# what came after SQLite 3.34 (sqlite.org/changes.html)
TOO_NEW = r"""(?ix)
    \b(materialized|returning|strict|unhex|format\s*\(|unixepoch|string_agg|concat(_ws)?\s*\(|median|timediff
    |right\s+join|full\s+(outer\s+)?join|is\s+(not\s+)?distinct\s+from|octet_length
    |iif\s*\([^,]*,[^,]*\))\b | ->"""


@pytest.mark.parametrize("audit", AUDITS, ids=named)
def test_no_file_needs_a_newer_sqlite_than_we_ask_for(audit: Audit) -> None:
    code = re.sub(r"--.*", "", audit.sql)
    assert re.search(TOO_NEW, code) is None
    assert code.count(";") == 1


# ------------------------------------------------------------------ the runner


def test_a_limit_keeps_few_rows_and_counts_all(untouched: Database) -> None:
    with untouched.read() as conn:
        result = run(conn, find("source_files"), limit=1)
        answer = stream(conn, find("source_files"))
        assert sum(1 for _ in answer.rows) == result.total == 4
    assert len(result.rows) == 1
    assert not result.is_fault


def test_an_unknown_audit_is_refused_with_names_that_come_close() -> None:
    with pytest.raises(UsageError, match="no audit 'bad_shard'") as caught:
        find("bad_shard")
    assert "bad_shards" in (caught.value.hint or "")


def test_audits_that_must_be_empty_come_first() -> None:
    kinds = [audit.must_be_empty for audit in AUDITS]
    assert kinds == sorted(kinds, reverse=True)


# ------------------------------------------------------------------ ten million rows

BIG = r"\b(?:image|shard_image|split_member|exclusion|eol_image|image_licence)\b(?:\s+(?:AS\s+)?(\w+))?"
"""A big table in a query, and the name it goes by there."""


def steps(db: Database, name: str) -> Iterator[str]:
    connection = sqlite3.connect(db.path)
    for row in connection.execute(f"EXPLAIN QUERY PLAN {find(name).sql}"):
        yield row[3]
    connection.close()


# what each may read from end to end: the table that it counts, once; everything else must be looked up
SCANS: dict[str, set[str]] = {
    "planned_membership": set(),
    "image_twice_in_split": {"shard_image"},
    "image_placed_and_excluded": {"x"},
    "foreign_splits": {"exclusion", "x"},  # x: its few groups
    "shard_counters": {"shard_image"},
    "split_counters": set(),
    "container_members": {"image"},
    "complete_shards": {"shard_image"},
    "open_shards": set(),
    "written_in_open_shard": set(),
    "splits_overlap": set(),
    "split_outside_parent": set(),
    "shards_overlap": set(),
    "blacklisted_image_written": set(),
    "blacklisted_taxon_written": {"shard_image", "m"},  # m: what was found
    "shard_positions": {"shard_image"},
    "stale_shards": {"m"},
    "unplanned_images": set(),
    "train_val_same_content": {"o"},  # o: what was found
    "blacklisted_synonym_written": {"shard_image", "m"},
    "blacklisted_content_written": {"shard_image", "m"},
    "blacklisted_md5_written": {"image", "image_licence", "m", "same"},  # m, same: what was found
    "containers_by_outcome": {"x"},  # x: exclusion, once; shards are read one by one
    "decode_errors_by_container": {"shard_image", "m"},
    "duplicates_across_splits": {"shard_image", "m"},
    "duplicates_within_split": {"shard_image", "m"},
    "exclusions_by_source": {"x"},
    "hierarchy_gaps_by_rank": {"image"},
    "label_conflicts": {"image"},
    "licence_coverage": {"i"},  # i: image, once
    "outcomes_by_source": set(),
    "rank_coverage": {"image"},
    "unique_taxa": {"image"},
}


@pytest.mark.parametrize("name", SCANS)
def test_a_hot_audit_reads_no_big_table_from_end_to_end_unless_it_counts_it(untouched: Database, name: str) -> None:
    big = {found[1] or "" for found in re.finditer(BIG, find(name).sql)}
    big |= {
        "image",
        "shard_image",
        "split_member",
        "exclusion",
        "eol_image",
        "image_licence",
        "i",
    }  # i: in the views
    scanned = {
        step.removeprefix("SCAN ").removeprefix("TABLE ").split()[0]
        for step in steps(untouched, name)
        if step.startswith("SCAN")
    }
    assert scanned & big <= SCANS[name]


@pytest.mark.parametrize(
    "name",
    [
        *("shard_counters", "complete_shards", "shard_positions", "blacklisted_taxon_written"),
        *("blacklisted_synonym_written", "decode_errors_by_container"),
    ],
)
def test_what_counts_the_images_of_each_shard_reads_them_in_the_order_they_lie_in(
    untouched: Database, name: str
) -> None:
    scan = [step for step in steps(untouched, name) if step.startswith("SCAN") and "shard_image" in step]
    assert scan == ["SCAN shard_image"] or scan == ["SCAN TABLE shard_image"]


def test_images_in_two_places_are_found_by_the_index_alone(untouched: Database) -> None:
    found = [step for step in steps(untouched, "image_twice_in_split") if "ix_shard_image_image_id" in step]
    assert any("COVERING INDEX" in step for step in found)


def test_names_of_taxa_are_looked_up_by_their_indexes(untouched: Database) -> None:
    found = list(steps(untouched, "blacklisted_synonym_written"))
    assert any("ix_synonym_name" in step for step in found)
    assert any("ix_taxon_scientific_name" in step for step in found)
    assert not any(re.match(r"SCAN (TABLE )?(synonym|taxon|y|t|n)\b", step) for step in found)


def test_no_index_is_made_of_a_big_table_for_one_audit(untouched: Database) -> None:
    # such an index takes as long as the sort of all its rows; those of what a subquery has found are small
    for audit in AUDITS:
        names = {found[1] for found in re.finditer(BIG, audit.sql) if found[1]} | {"i", "e"}
        subqueries = set(re.findall(r"\)\s+AS\s+(\w+)", audit.sql)) | set(
            re.findall(r"JOIN listed (\w+)", audit.sql)
        )
        for step in steps(untouched, audit.name):
            made = re.match(r"SEARCH (?:TABLE )?(\w+).* AUTOMATIC (?!PARTIAL)", step)
            assert made is None or made[1] not in names - subqueries, f"{audit.name}: {step}"
