"""Blacklists: what entries mean, what is reported, and that nothing of them is lost."""

from __future__ import annotations

import json
import os
import sqlite3
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.running import tol_db
from tests.shared_data import SHARED_DATA, needs_shared
from tol_db.blacklist import (
    _IMAGES,
    _LABELS,
    Hit,
    PageMismatch,
    blacklisted_images,
    blacklisted_labels,
    match_counts,
    page_mismatches,
    unmatched,
)
from tol_db.db.engine import Database, open_database
from tol_db.db.migrate import init
from tol_db.errors import InputError, InputMissing, UsageError
from tol_db.ingest.blacklist_file import ingest_blacklist
from tol_db.taxonomy.names import Lineage, parse_blacklist_name

RARE = SHARED_DATA / "rarespecies"
NEW_LABEL = """INSERT INTO label (kingdom, phylum, class, "order", family, genus, species, common_name,
                                  resolution)
               VALUES (?, ?, ?, ?, ?, ?, ?, '', 'published') ON CONFLICT DO NOTHING"""


@pytest.fixture
def db(tmp_path: Path) -> Database:
    path = tmp_path / "tol.sqlite"
    init(path)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO source (id, key, title) VALUES (1, 'eol', 'EOL')")
    return open_database(path)


def tree_id(number: int) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, str(number))


def add_images(db: Database, images: Iterable[tuple[int, int, int, Lineage | None]]) -> None:
    """Rows of (number, content id, page id, lineage); the number is also the image's id."""
    with sqlite3.connect(db.path) as connection:
        for number, content_id, page_id, lineage in images:
            label = None
            if lineage is not None:
                connection.execute(NEW_LABEL, lineage.as_tuple())
                label = connection.execute(
                    "SELECT id FROM label WHERE (kingdom, phylum, genus, species) = (?, ?, ?, ?)",
                    (lineage.kingdom, lineage.phylum, lineage.genus, lineage.species),
                ).fetchone()[0]
            connection.execute(
                "INSERT INTO image (id, treeoflife_id, source_id, label_id) VALUES (?, ?, 1, ?)",
                (number, tree_id(number).bytes, label),
            )
            connection.execute("INSERT INTO eol_image VALUES (?, ?, ?)", (number, content_id, page_id))


def species(kingdom: str, genus: str, epithet: str) -> Lineage:
    return Lineage(kingdom, "", "", "", "", genus, epithet)


def rows(db: Database, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with sqlite3.connect(db.path) as connection:
        return connection.execute(sql, parameters).fetchall()


def dump(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    tables = [name for (name,) in rows(db, "SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {name: rows(db, f'SELECT * FROM "{name}"') for name in tables}


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def values(db: Database, kind: str) -> list[str]:
    return [v for (v,) in rows(db, "SELECT value FROM blacklist_entry WHERE kind = ? ORDER BY id", kind)]


def images_out(db: Database, *ids: int) -> list[int]:
    with db.read() as conn:
        return [hit.id for hit in blacklisted_images(conn, ids or (1,))]


def labels_out(db: Database, *ids: int) -> list[Hit]:
    with db.read() as conn:
        return list(blacklisted_labels(conn, ids or (1,)))


# ------------------------------------------------------------------ the published lists


@needs_shared
def test_the_published_rare_species_lists_are_met_through_ids_and_names(db: Database) -> None:
    seen = json.loads((RARE / "seen_in_training.json").read_text())
    unseen = json.loads((RARE / "unseen_in_training.json").read_text())
    listed = [path.rsplit("/", 1)[-1] for paths in [*seen.values(), *unseen.values()] for path in paths]
    eol = [name.split("_")[:2] for name in listed if name.split("_")[1].isdigit()]
    assert (len(seen), len(unseen), len(listed), len(eol)) == (400, 400, 15_983, 15_973)
    images: list[tuple[int, int, int, Lineage | None]] = [
        (n, int(content), int(page), None) for n, (content, page) in enumerate(eol, 1)
    ]
    # every species once more, under content ids that no list has
    lineages = [parse_blacklist_name(name) for name in [*seen, *unseen]]
    images += [(50_000 + n, 10**12 + n, n, lineage) for n, lineage in enumerate(lineages)]
    add_images(db, images)
    result = ingest_blacklist(
        db, "rare", images=[RARE / "seen_in_training.json"], species=[RARE / "unseen_in_training.json"]
    )
    first, second = (report.counts for report in result.files)
    assert (first.image_entries, first.matched_image_entries, first.images) == (4_000, 3_990, 3_990)
    assert (first.taxon_entries, first.unmatched, first.page_mismatches) == (0, 10, 0)
    assert all(value.startswith("1056352_EOL-media-") for value in result.files[0].unmatched_first)
    assert (second.image_entries, second.matched_image_entries) == (11_983, 11_983)
    assert (second.taxon_entries, second.matched_taxon_entries, second.labelled_images) == (400, 400, 400)
    assert len(images_out(db)) == 15_973
    assert {hit.entry for hit in labels_out(db)} == set(unseen)
    with db.read() as conn:
        strangers = list(unmatched(conn, 1))
    assert strangers == [name for name in listed if "_EOL-media-" in name]
    assert len(strangers) == 10
    before = dump(db)
    again = ingest_blacklist(
        db, "rare", images=[RARE / "seen_in_training.json"], species=[RARE / "unseen_in_training.json"]
    )
    assert again.unchanged
    assert again.files == result.files
    assert dump(db) == before


@needs_shared
def test_every_rare_species_of_the_benchmark_is_named_by_the_unseen_list() -> None:
    unseen = json.loads((RARE / "unseen_in_training.json").read_text())
    lineages = [parse_blacklist_name(name) for name in unseen]
    assert all(lineage is not None and lineage.kingdom and lineage.genus for lineage in lineages)


# ------------------------------------------------------------------ what entries mean


def test_from_a_list_of_images_only_the_images_stay_out(db: Database, tmp_path: Path) -> None:
    tit = species("Animalia", "Parus", "major")
    add_images(db, [(1, 11, 5, tit), (2, 12, 5, tit)])
    path = write(tmp_path / "seen.json", {"Parus major": ["/fs/11_5_eol-full-size-copy.jpg"]})
    result = ingest_blacklist(db, "rare", images=[path], reason="held out")
    assert images_out(db) == [1]
    assert labels_out(db) == []
    assert rows(db, "SELECT name, reason FROM blacklist") == [("rare", "held out")]
    assert result.describe() == [
        "blacklist rare: 1 entries (1 added, 0 removed)",
        "  seen.json:",
        "    1 listed images, 1 of them known here: 1 images",
    ]


def test_from_a_list_of_species_the_species_and_the_images_stay_out(db: Database, tmp_path: Path) -> None:
    tit = species("Animalia", "Parus", "major")
    add_images(db, [(1, 11, 5, tit), (2, 12, 5, tit), (3, 13, 6, None)])
    key = "Metazoa-Chordata-Aves-Passeriformes-Paridae-Parus-Parus major"
    result = ingest_blacklist(db, "rare", species=[write(tmp_path / "l.json", {key: ["a/13_6_eol-x.jpg"]})])
    assert images_out(db) == [3]
    assert labels_out(db) == [Hit(1, key, "rare")]
    assert rows(db, "SELECT kingdom, genus, species FROM blacklist_entry WHERE kind = 'taxon'") == [
        ("Animalia", "Parus", "major")
    ]
    counts = result.files[0].counts
    assert (counts.labels, counts.labelled_images, counts.images, counts.unmatched) == (1, 2, 1, 0)


def test_a_name_without_a_kingdom_means_all_kingdoms_and_one_with_it_only_its_own(
    db: Database, tmp_path: Path
) -> None:
    add_images(
        db,
        [
            (1, 11, 5, species("Animalia", "Oenanthe", "aquatica")),
            (2, 12, 6, species("Plantae", "Oenanthe", "aquatica")),
            (3, 13, 7, species("", "Oenanthe", "aquatica")),
        ],
    )
    ingest_blacklist(db, "any", species=[write(tmp_path / "any.txt", "Oenanthe aquatica\n")])
    ingest_blacklist(db, "plants", species=[write(tmp_path / "p.txt", "Plantae------Oenanthe aquatica\n")])
    assert [hit.id for hit in labels_out(db, 1)] == [1, 2, 3]
    assert [hit.id for hit in labels_out(db, 2)] == [2, 3]
    assert [(hit.id, hit.blacklist) for hit in labels_out(db, 2, 1)][:3] == [
        (2, "plants"),
        (3, "plants"),
        (1, "any"),
    ]


def test_epithets_with_hyphens_and_blanks_are_names_too(db: Database, tmp_path: Path) -> None:
    c_album = "Animalia-Arthropoda-Insecta-Lepidoptera-Nymphalidae-Polygonia-c-album"
    lineage = parse_blacklist_name(c_album)
    assert lineage is not None and lineage.species == "c-album"
    add_images(db, [(1, 11, 5, lineage)])
    ingest_blacklist(db, "rare", species=[write(tmp_path / "l.json", {c_album: []})])
    assert [hit.id for hit in labels_out(db)] == [1]


def test_ids_mean_images_with_or_without_a_suffix_and_folder(db: Database, tmp_path: Path) -> None:
    add_images(db, [(n, 10 + n, 5, None) for n in range(1, 5)])
    entries = [
        str(tree_id(1)),
        f"x/{str(tree_id(2)).upper()}.jpg",
        tree_id(3).hex,
        "/y/14_5_eol-full-size-copy.jpg",
    ]
    result = ingest_blacklist(db, "mine", images=[write(tmp_path / "ids.json", entries)])
    assert images_out(db) == [1, 2, 4]
    assert result.files[0].unmatched_first == (tree_id(3).hex,)
    assert values(db, "image") == [entry.rsplit("/", 1)[-1] for entry in entries]


def test_a_plain_list_of_species_may_hold_pictures(db: Database, tmp_path: Path) -> None:
    add_images(db, [(1, 11, 5, species("Animalia", "Parus", "major")), (2, 12, 5, None), (3, 13, 5, None)])
    lines = ["# why", "", "Parus major", str(tree_id(2)), "13_5_eol-full-size-copy.jpg", "some picture.JPG"]
    ingest_blacklist(db, "mine", species=[write(tmp_path / "l.txt", "\n".join(lines))])
    assert values(db, "taxon") == ["Parus major"]
    assert images_out(db) == [2, 3]
    assert values(db, "image") == [str(tree_id(2)), "13_5_eol-full-size-copy.jpg", "some picture.JPG"]


def test_what_means_nothing_is_kept_as_it_stands_and_reported(db: Database, tmp_path: Path) -> None:
    add_images(db, [(1, 11, 5, None)])
    strange = {
        "Parus": ["x/11_5_eol.jpg", "1056352_EOL-media-7-CalPhotos:0000 0000.jpeg"],
        "": [],
        "a-b-c": ["9" * 30],
    }
    result = ingest_blacklist(db, "rare", species=[write(tmp_path / "l.json", strange)])
    assert values(db, "taxon") == ["Parus", "", "a-b-c"]
    assert values(db, "image") == ["11_5_eol.jpg", "1056352_EOL-media-7-CalPhotos:0000 0000.jpeg", "9" * 30]
    assert (result.files[0].counts.matched, result.files[0].counts.unmatched) == (1, 5)
    with db.read() as conn:
        assert list(unmatched(conn, 1)) == ["Parus", values(db, "image")[1], "", "a-b-c", "9" * 30]
    assert "    5 entries match nothing; first:" in result.describe()


def test_numbers_too_large_for_a_database_are_no_ids(db: Database, tmp_path: Path) -> None:
    add_images(db, [(1, 11, 5, None)])
    huge = f"{'9' * 25}_{'9' * 25}_eol-full-size-copy.jpg"
    ingest_blacklist(db, "rare", images=[write(tmp_path / "l.json", [huge, "11_5_eol.jpg"])])
    assert values(db, "image") == [huge, "11_5_eol.jpg"]


def test_another_page_id_still_means_the_image_and_is_reported(db: Database, tmp_path: Path) -> None:
    add_images(db, [(1, 11, 5, None), (2, 12, 6, None)])
    path = write(tmp_path / "l.json", ["11_99_eol-full-size-copy.jpg", "12_6_eol-full-size-copy.jpg"])
    result = ingest_blacklist(db, "rare", images=[path])
    assert images_out(db) == [1, 2]
    assert result.files[0].counts.page_mismatches == 1
    with db.read() as conn:
        assert list(page_mismatches(conn, 1)) == [PageMismatch("11_99_eol-full-size-copy.jpg", 99, 1, 5)]


def test_images_and_names_that_come_later_are_met_without_reading_again(db: Database, tmp_path: Path) -> None:
    path = write(tmp_path / "l.json", {"Parus major": ["11_5_eol-full-size-copy.jpg"]})
    ingest_blacklist(db, "rare", species=[path], allow_unmatched=True)
    assert (images_out(db), labels_out(db)) == ([], [])
    add_images(db, [(1, 11, 5, species("Animalia", "Parus", "major"))])
    assert images_out(db) == [1]
    assert [hit.id for hit in labels_out(db)] == [1]
    with open_database(db.path).read() as conn:
        counts = match_counts(conn, 1)
    assert (counts.matched, counts.unmatched, counts.labelled_images) == (2, 0, 1)


@pytest.mark.parametrize("sql", [_IMAGES, _LABELS])
def test_entries_are_looked_up_by_index(db: Database, sql: str) -> None:
    with sqlite3.connect(db.path) as connection:
        steps = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, (1,))]
    assert {step for step in steps if step.startswith("SCAN")} <= {"SCAN v"}  # the hits themselves


# ------------------------------------------------------------------ several files, and reading again


def test_what_stands_in_two_files_is_one_entry_and_counts_for_both(db: Database, tmp_path: Path) -> None:
    add_images(db, [(1, 11, 5, None), (2, 12, 5, None)])
    one = write(tmp_path / "one.json", {"Parus major": ["a/11_5_eol.jpg", "b/11_5_eol.jpg"]})
    two = write(tmp_path / "two.json", {"Parus major": ["11_5_eol.jpg", "12_5_eol.jpg"]})
    result = ingest_blacklist(db, "rare", images=[one], species=[two])
    assert values(db, "image") == ["11_5_eol.jpg", "12_5_eol.jpg"]
    assert (result.entries, result.added) == (3, 3)
    assert [report.counts.image_entries for report in result.files] == [1, 2]
    before = dump(db)
    assert ingest_blacklist(db, "rare", images=[one], species=[two]).unchanged
    assert ingest_blacklist(db, "rare", species=[two]).unchanged
    assert dump(db) == before


def test_a_changed_file_replaces_its_entries_and_leaves_those_of_others(db: Database, tmp_path: Path) -> None:
    add_images(db, [(n, 10 + n, 5, None) for n in range(1, 6)])
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    write(one, "11_5_eol\n12_5_eol\n")
    write(two, "13_5_eol\n")
    ingest_blacklist(db, "rare", images=[one, two])
    write(one, "12_5_eol\n14_5_eol\n")
    result = ingest_blacklist(db, "rare", images=[one])
    assert (result.added, result.removed, result.unchanged) == (1, 1, False)
    assert values(db, "image") == ["12_5_eol", "13_5_eol", "14_5_eol"]
    assert images_out(db) == [2, 3, 4]


def test_an_entry_that_one_file_drops_and_another_keeps_is_not_lost(db: Database, tmp_path: Path) -> None:
    add_images(db, [(n, 10 + n, 5, None) for n in range(1, 6)])
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    write(one, "11_5_eol\n12_5_eol\n")
    write(two, "11_5_eol\n13_5_eol\n")
    ingest_blacklist(db, "rare", images=[one, two])
    write(one, "12_5_eol\n")
    before = dump(db)
    with pytest.raises(UsageError, match=r"two\.txt has entries in common"):
        ingest_blacklist(db, "rare", images=[one])
    assert dump(db) == before
    assert ingest_blacklist(db, "rare", images=[one, two]).removed == 0
    assert images_out(db) == [1, 2, 3]
    write(two, "13_5_eol\n")
    assert ingest_blacklist(db, "rare", images=[two]).removed == 1
    assert images_out(db) == [2, 3]


def test_a_touched_file_and_a_new_reason_change_no_entry(db: Database, tmp_path: Path) -> None:
    add_images(db, [(1, 11, 5, None)])
    path = write(tmp_path / "l.txt", "11_5_eol\n")
    ingest_blacklist(db, "rare", images=[path], reason="held out")
    before = dump(db)
    os.utime(path, (1, 1))
    assert ingest_blacklist(db, "rare", images=[path]).unchanged
    assert not ingest_blacklist(db, "rare", images=[path], reason="benchmark").unchanged
    after = dump(db)
    assert {name for name in before if before[name] != after[name]} == {"source_file", "blacklist"}
    assert rows(db, "SELECT reason FROM blacklist") == [("benchmark",)]


# ------------------------------------------------------------------ what is refused


def test_a_file_of_which_nothing_matches_undoes_the_whole_call(db: Database, tmp_path: Path) -> None:
    add_images(db, [(1, 11, 5, species("Animalia", "Parus", "major"))])
    good = write(tmp_path / "good.json", ["11_5_eol.jpg"])
    # the fault of the reference: names of one form are looked for in a list of another
    bad = write(tmp_path / "bad.json", ["Parus major.jpg", "99_5_eol.jpg"])
    before = dump(db)
    with pytest.raises(InputError, match=r"bad\.json: none of its 2 entries is in this database") as refused:
        ingest_blacklist(db, "rare", images=[good, bad])
    assert "--allow-unmatched" in str(refused.value.hint)
    assert dump(db) == before
    result = ingest_blacklist(db, "rare", images=[good, bad], allow_unmatched=True)
    assert [report.counts.unmatched for report in result.files] == [0, 2]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "no entry in it"),
        ("\n# nothing\n", "no entry in it"),
        ("{}", "no entry in it"),
        ('{"Parus major": "x.jpg"}', "key 'Parus major': a list of paths is wanted"),
        ('{"Parus major": ["x.jpg", 5]}', "key 'Parus major': not a text"),
        ('{"Parus major": {"x": 1}}', "at key 'Parus major'"),
        ('{"Parus major": ["x.jpg"', "at key 'Parus major'"),
        ('["x.jpg", ["y.jpg"]]', "item 2: not a text"),
        ('["x\\u0000.jpg"]', "NUL"),
        ("x.jpg\0", "line 1: holds a NUL"),
    ],
)
def test_a_list_with_a_fault_is_refused_and_the_place_named(
    db: Database, tmp_path: Path, content: str, told: str
) -> None:
    before = dump(db)
    path = write(tmp_path / "list.json", content)
    with pytest.raises(InputError) as refused:
        ingest_blacklist(db, "rare", species=[path], allow_unmatched=True)
    assert str(refused.value).startswith(str(path))
    assert told in str(refused.value)
    assert refused.value.hint
    assert dump(db) == before


def test_a_list_that_is_not_utf8_is_refused(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "l.txt"
    path.write_bytes("Parus major\nMu\xf1oz\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"l\.txt: line 2: byte 3 is not UTF-8"):
        ingest_blacklist(db, "rare", species=[path])


def test_a_call_without_a_file_or_name_is_refused(db: Database, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="from files"):
        ingest_blacklist(db, "rare")
    with pytest.raises(UsageError, match="cannot be the name"):
        ingest_blacklist(db, " ", images=[write(tmp_path / "l.txt", "x")])
    with pytest.raises(InputMissing, match=r"nosuch\.json"):
        ingest_blacklist(db, "rare", images=[tmp_path / "nosuch.json"])


def test_the_command_reads_a_list_and_prints_what_it_means(db: Database, tmp_path: Path) -> None:
    add_images(db, [(1, 11, 5, species("Animalia", "Parus", "major")), (2, 12, 5, None)])
    seen = write(tmp_path / "seen.json", {"Parus major": ["11_5_eol.jpg", "99_5_eol.jpg"]})
    key = "Animalia-Chordata-Aves-Passeriformes-Paridae-Parus-major"
    unseen = write(tmp_path / "unseen.json", {key: ["12_7_eol.jpg"]})
    words = ("ingest", "blacklist", "rare", "--images", seen, "--species", unseen, "--reason", "benchmark")
    assert tol_db(db.path, *words).stdout.splitlines() == [
        "blacklist rare: 4 entries (4 added, 0 removed)",
        "  seen.json:",
        "    2 listed images, 1 of them known here: 1 images",
        "    1 entries match nothing; first:",
        "      99_5_eol.jpg",
        "  unseen.json:",
        "    1 species, 1 of them known here: 1 labels, 1 images",
        "    1 listed images, 1 of them known here: 1 images",
        "    1 images have another EOL page id than the list says",
    ]
    assert tol_db(db.path, *words).stdout.splitlines()[0] == "blacklist rare: 4 entries (unchanged)"
