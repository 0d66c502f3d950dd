"""Each audit that is no invariant finds what it is meant to find, and nothing where that is not there.

The invariants are broken one by one in ``test_audits.py``.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.populated import populated, tree_id
from tol_db.audit.catalogue import catalogue
from tol_db.audit.runner import find, load, parse, run
from tol_db.db.bulk import changes
from tol_db.db.engine import Database, open_database
from tol_db.db.migrate import init
from tol_db.taxonomy.ranks import RANKS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "audits.md"
AUDITS = load()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return populated(tmp_path_factory.mktemp("findings") / "tol.sqlite").path


@pytest.fixture
def db(template: Path, tmp_path: Path) -> Database:
    return open_database(Path(shutil.copyfile(template, tmp_path / "tol.sqlite")))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database without anything in it."""
    path = tmp_path_factory.mktemp("fresh") / "tol.sqlite"
    init(path)
    return open_database(path)


def rows(db: Database, name: str) -> list[dict[str, Any]]:
    with db.read() as conn:
        result = run(conn, find(name))
    return [dict(zip(result.columns, row, strict=True)) for row in result.rows]


def execute(db: Database, *statements: str) -> None:
    with db.write() as conn:
        for statement in statements:
            assert changes(conn, statement) > 0, statement


def ids(*numbers: int) -> list[str]:
    return [str(tree_id(number)) for number in numbers]


@dataclass(frozen=True, slots=True)
class Breakage:
    """A change after which an audit finds rows; ``first``: what the first of them says."""

    statement: str
    first: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mend:
    """A change after which an audit finds nothing any more; None: only a database without anything is like that.

    ``first``: what the first row says in the populated database.
    """

    statement: str | None
    first: dict[str, Any] = field(default_factory=dict)


ENTRY = "INSERT INTO blacklist_entry (blacklist_id, kind, value, kingdom, genus, species) VALUES"
DIGEST_OF_1 = "(SELECT content_digest FROM shard_image WHERE image_id = 1 LIMIT 1)"
FILLED = """UPDATE label SET kingdom = 'K', phylum = 'P', class = 'C', "order" = 'O', family = 'F'
            WHERE genus <> ''"""
OTHER_BYTES = "UPDATE shard_image SET content_digest = NULL WHERE image_id = 3"

CASES: dict[str, Breakage | Mend] = {
    "blacklisted_synonym_written": Breakage(
        f"{ENTRY} (1, 'taxon', 'Parus fringillago', '', 'Parus', 'fringillago')",
        {"genus": "Parus", "species": "major", "taxon": "Parus major", "entry": "Parus fringillago"},
    ),
    "blacklisted_content_written": Breakage(
        "UPDATE blacklist_entry SET content_id = 9008 WHERE id = 2",
        {"split": "train", "treeoflife_id": ids(3)[0], "listed_id": ids(8)[0]},
    ),
    "blacklisted_md5_written": Breakage(
        "UPDATE image_licence SET md5 = (SELECT md5 FROM image_licence WHERE image_id = 10) WHERE image_id = 2",
        {"split": "train", "treeoflife_id": ids(2)[0], "listed_id": ids(10)[0], "blacklist": "rare"},
    ),
    "labels_empty": Breakage(
        "UPDATE label SET kingdom = '', phylum = '', class = '', \"order\" = ' ' WHERE id = 5", {"label_id": 5}
    ),
    "unidentified_species": Breakage("UPDATE label SET species = '(Unidentified)' WHERE id = 1", {"label_id": 1}),
    "bad_shards": Mend("UPDATE shard SET state = 'planned' WHERE state = 'bad'", {"split": "train_small"}),
    "blacklist_other_page": Breakage(
        "UPDATE blacklist_entry SET page_id = 1 WHERE id = 1", {"entry_page_id": 1, "image_page_id": 7010}
    ),
    "blacklist_unmatched": Mend("DELETE FROM blacklist_entry WHERE id IN (2, 4)"),
    "blacklists_not_applied": Mend("INSERT INTO dataset_blacklist VALUES (1, 2)", {"blacklist": "unused"}),
    "common_names_missing": Mend(
        "UPDATE label SET common_name = 'a name'",
        {"source": "eol", "instead": "scientific name", "images": 9, "labels": 3},
    ),
    "containers_by_outcome": Mend(
        "DELETE FROM dataset", {"source": "eol", "container": None, "excluded": 3, "written": 0}
    ),
    "containers_by_state": Mend(None, {"source": "eol", "state": "scanned", "containers": 2}),
    "decode_errors_by_container": Mend(
        "UPDATE shard_image SET outcome_id = 1 WHERE outcome_id = 7",
        {"container": "image_set_01.tar.gz", "outcome": "decode_error", "images": 1, "example": "not an image"},
    ),
    "duplicate_content": Mend(OTHER_BYTES, {"images": 2}),
    "duplicates_across_splits": Mend(
        OTHER_BYTES,
        {"split": "train", "other_split": "val", "first_id": ids(3)[0], "other_first_id": ids(8)[0]},
    ),
    "duplicates_within_split": Breakage(
        f"UPDATE shard_image SET content_digest = {DIGEST_OF_1} WHERE image_id = 2",
        {"split": "train", "images": 2, "first_id": ids(1)[0], "last_id": ids(2)[0]},
    ),
    "exclusions_by_reason": Mend("DELETE FROM exclusion"),
    "exclusions_by_source": Mend(
        "DELETE FROM exclusion", {"source": "eol", "reason": "source_missing", "images": 3}
    ),
    "files_without_image": Mend("DELETE FROM stray_member", {"file": "readme.txt"}),
    "hierarchy_gaps": Mend(FILLED, {"label_id": 2, "lowest": "genus", "missing": "kingdom, class"}),
    "hierarchy_gaps_by_rank": Mend(
        FILLED, {"source": "eol", "known": "genus", "missing": "kingdom", "images": 6, "labels": 1}
    ),
    "images_without_file": Mend(
        "UPDATE image SET container_id = 1, member_index = 100 + id WHERE member_index IS NULL"
    ),
    "images_without_label": Mend("UPDATE image SET label_id = 1 WHERE label_id IS NULL"),
    "images_without_split": Breakage("DELETE FROM split_member WHERE image_id = 39", {"treeoflife_id": ids(39)[0]}),
    "kingdoms": Mend(
        "UPDATE image SET label_id = NULL",
        {"source": "eol", "kingdom": "Animalia", "one_of_three": "yes", "images": 15, "labels": 3},
    ),
    "kingdoms_other": Breakage(
        "UPDATE label SET kingdom = 'Chromista' WHERE id = 2", {"kingdom": "Chromista", "labels": 1}
    ),
    "label_conflicts": Breakage(
        "UPDATE label SET family = 'Betulaceae' WHERE id = 7",
        {
            **{"species": "robur", "source": "inat21", "other_source": "bioscan"},
            **{"rank": "family", "name": "Fagaceae", "other_name": "Betulaceae"},
        },
    ),
    "licence_coverage": Mend(None, {"source": "eol", "images": 11}),
    "outcomes_by_source": Mend("DELETE FROM dataset", {"source": "eol", "outcome": "written"}),
    "pending_shards": Mend("UPDATE shard SET state = 'complete'", {"split": "train_small", "images": 4}),
    "placeholder_names": Breakage(
        "UPDATE label SET family = 'Incertae sedis ' WHERE id = 5", {"rank": "family", "labels": 1}
    ),
    "rank_coverage": Mend(
        None, {"source": "eol", "images": 22, "labelled": 21, "kingdom": 15, "species": 15, "all_seven": 14}
    ),
    "slowest_units": Mend(
        "UPDATE attempt SET ended_at = NULL",
        {"unit": 1, "seconds": 15, "images_per_second": 1.1, "tries": 1, "ending": "failed", "host": "node2"},
    ),
    "source_files": Mend(None, {"path": "mapping.sqlite"}),
    "species_of_several_words": Breakage(
        "UPDATE label SET species = 'quercus robur' WHERE id = 6",
        {"label_id": 6, "words": 2, "remark": "begins with its genus"},
    ),
    "stale_shards": Mend("UPDATE image SET label_id = 6 WHERE id = 38", {"relabelled": 1}),
    "train_val_same_content": Mend(OTHER_BYTES, {"split": "val"}),
    "unique_taxa": Mend("UPDATE image SET label_id = NULL", {"source": "eol", "taxa": 4, "with_species": 3}),
    "unplanned_images": Mend("DELETE FROM split_member WHERE image_id = 39", {"treeoflife_id": ids(39)[0]}),
}


@pytest.mark.parametrize("name", CASES)
def test_an_audit_finds_what_it_asks_for_and_nothing_where_it_is_not(db: Database, name: str) -> None:
    case = CASES[name]
    if isinstance(case, Breakage):
        assert rows(db, name) == []
        execute(db, case.statement)
    first = rows(db, name)[0]
    assert {key: first[key] for key in case.first} == case.first
    if isinstance(case, Mend) and case.statement is not None:
        execute(db, case.statement)
        assert rows(db, name) == []


def test_every_audit_that_is_no_invariant_has_a_case() -> None:
    assert set(CASES) == {audit.name for audit in AUDITS if not audit.invariant}


def test_no_audit_finds_anything_in_a_database_without_anything(fresh: Database) -> None:
    assert [audit.name for audit in AUDITS if rows(fresh, audit.name)] == []


# ------------------------------------------------------------------ what a name means


def test_a_blacklist_means_a_species_by_its_older_and_by_its_newer_name(db: Database) -> None:
    execute(db, "INSERT INTO synonym VALUES (9, 4, 'Quercus robur', 'synonym', NULL)")
    assert rows(db, "blacklisted_synonym_written") == []
    # the entry has the accepted name and the label an older one, or both have older ones
    for entry in ("'Parus major', '', 'Parus', 'major'", "'Parus fringillago', '', 'Parus', 'fringillago'"):
        execute(db, f"{ENTRY} (1, 'taxon', {entry})")
        found = {(row["genus"], row["species"]) for row in rows(db, "blacklisted_synonym_written")}
        assert ("Quercus", "robur") in found
    execute(db, "DELETE FROM blacklist_entry WHERE value = 'Parus fringillago'")
    found = {(row["genus"], row["species"]) for row in rows(db, "blacklisted_synonym_written")}
    assert found == {("Quercus", "robur")}, "its own name is the business of blacklisted_taxon_written"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE blacklist_entry SET kingdom = 'Plantae' WHERE value = 'Parus fringillago'",
        "UPDATE blacklist_entry SET blacklist_id = 2 WHERE value = 'Parus fringillago'",
        "UPDATE synonym SET kind = 'in-part'",
    ],
    ids=["another kingdom", "a list that does not bind", "no name of the taxon"],
)
def test_a_synonym_is_no_leak_where_the_entry_does_not_mean_it(db: Database, change: str) -> None:
    execute(db, f"{ENTRY} (1, 'taxon', 'Parus fringillago', '', 'Parus', 'fringillago')", change)
    assert rows(db, "blacklisted_synonym_written") == []


def test_a_picture_of_a_listed_species_is_found_under_the_label_of_another(db: Database) -> None:
    execute(db, f"{ENTRY} (1, 'taxon', 'Parus major', 'Animalia', 'Parus', 'major')")
    (found,) = rows(db, "blacklisted_content_written")
    assert (found["treeoflife_id"], found["listed_id"]) == tuple(ids(3, 8))


def test_a_split_that_was_drawn_from_another_shares_its_pictures_without_a_row(db: Database) -> None:
    # 1 is in train and train_small, 2 in train alone
    execute(db, f"UPDATE shard_image SET content_digest = {DIGEST_OF_1} WHERE image_id = 2")
    assert {(row["split"], row["other_split"]) for row in rows(db, "duplicates_across_splits")} == {
        ("train", "val")
    }


def test_species_without_genus_and_holes_above_are_counted_as_the_published_checks_do(db: Database) -> None:
    execute(db, "UPDATE label SET genus = '', family = '' WHERE id = 6")
    found = {(r["known"], r["missing"]): r["images"] for r in rows(db, "hierarchy_gaps_by_rank")}
    assert found["species", "genus"] == found["species", "family"] == found["species", "phylum"] == 10
    (row,) = [row for row in rows(db, "hierarchy_gaps") if row["label_id"] == 6]
    assert row["missing"] == "phylum, class, family, genus"


def test_counts_by_label_are_those_of_a_walk_over_all_images(db: Database) -> None:
    """The figures of the published checks, counted image by image."""
    execute(db, "UPDATE label SET genus = '', family = '' WHERE id = 7")
    with db.read() as conn:
        images = [
            dict(row) for row in conn.exec_driver_sql("SELECT * FROM v_image WHERE resolution <> ''").mappings()
        ]
    for row in rows(db, "rank_coverage"):
        own = [image for image in images if image["source"] == row["source"]]
        assert row["labelled"] == len(own)
        assert [row[rank] for rank in RANKS] == [sum(image[rank] != "" for image in own) for rank in RANKS]
        assert row["all_seven"] == sum(all(image[rank] != "" for rank in RANKS) for image in own)
    told = {(r["source"], r["known"], r["missing"]): r["images"] for r in rows(db, "hierarchy_gaps_by_rank")}
    expected: Counter[tuple[str, str, str]] = Counter()
    for image in images:
        known = next(rank for rank in ("genus", "species", *reversed(RANKS[:5])) if image[rank])
        above = RANKS[: RANKS.index(known)]
        expected.update((image["source"], known, rank) for rank in above if image[rank] == "")
    assert told == expected
    assert ("bioscan", "species", "genus") in told
    taxa = {tuple(image[rank] for rank in RANKS) for image in images}
    assert rows(db, "unique_taxa")[-1]["taxa"] == len(taxa)


def test_labels_that_differ_in_the_common_name_alone_are_one_taxon(db: Database) -> None:
    execute(db, "UPDATE label SET phylum = '' WHERE id = 7")
    assert {row["source"]: row["taxa"] for row in rows(db, "unique_taxa")} == {
        **{"eol": 4, "inat21": 1, "bioscan": 2},
        "all": 6,
    }


def test_what_sources_leave_open_contradicts_nothing(db: Database) -> None:
    # label 6 has no phylum, label 7 has one
    assert rows(db, "label_conflicts") == []


# ------------------------------------------------------------------ headers and the page that is made of them


def test_an_audit_that_may_have_rows_says_when_it_has_none() -> None:
    head = "-- title: x\n-- answers: x?\n-- row: x\n-- empty: {}\n-- invariant: no\n{}\nSELECT 1;"
    assert parse("a", head.format("may", "-- when: never\n-- slow: it sorts all\n")).slow == "it sorts all"
    for wrong in (head.format("may", ""), head.format("must", "-- when: never\n")):
        with pytest.raises(ValueError, match="says when it is empty"):
            parse("a", wrong)
    with pytest.raises(ValueError, match="its header must be"):
        parse("a", head.format("may", "-- slow: x\n-- when: never\n"))


def test_the_page_of_audits_is_what_their_headers_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == catalogue(AUDITS), (
        "make it anew: python -m tol_db.audit.catalogue > docs/audits.md"
    )


def test_each_audit_stands_on_the_page_with_its_question() -> None:
    page = catalogue(AUDITS)
    for audit in AUDITS:
        assert f"### {audit.name}\n\n{audit.title}.\n\n- answers: {audit.answers}\n" in page
        assert audit.empty_when is None or f"- empty when: {audit.empty_when}" in page
