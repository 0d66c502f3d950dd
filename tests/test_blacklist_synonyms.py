"""A blacklisted species stays out under every name that the assembled taxonomy has for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from tests.raw_trees import new_database
from tests.taxonomies import HOMONYMS, add_taxonomy
from tests.test_blacklist import add_images, labels_out, rows, species
from tol_db.blacklist import _LABELS, match_counts
from tol_db.blacklist_names import refresh_blacklist_names
from tol_db.db.engine import Database
from tol_db.ingest.blacklist_file import BlacklistResult, ingest_blacklist
from tol_db.relabel import label_by_taxonomy
from tol_db.taxonomy.prune import prune

RARE = "Animalia-Chordata-Mammalia-Perissodactyla-Equidae-Equus-zebra"


@pytest.fixture
def db(tmp_path: Path) -> Database:
    database = new_database(tmp_path)
    with closing(sqlite3.connect(database.path)) as connection, connection:
        connection.execute("INSERT INTO source (id, key, title) VALUES (1, 'eol', 'EOL')")
    return database


def label_images(db: Database, names: Iterable[tuple[str, str]]) -> None:
    """An image for each (kingdom, ``Genus epithet``), numbered from 1."""
    labels = [species(kingdom, *name.split()) for kingdom, name in names]
    add_images(db, [(n, n, n, label) for n, label in enumerate(labels, 1)])


def keep_out(db: Database, folder: Path, *entries: str) -> BlacklistResult:
    path = folder / "rare.txt"
    path.write_text("\n".join(entries))
    return ingest_blacklist(db, "rare", species=[path], allow_unmatched=True)


def names_out(db: Database) -> set[str]:
    texts = dict(rows(db, "SELECT id, trim(kingdom || ' ' || genus || ' ' || species) FROM label"))
    hits = [hit.id for hit in labels_out(db)]
    assert len(hits) == len(set(hits)), "a label comes once for an entry"
    return {texts[id] for id in hits}


def test_a_rare_species_under_another_name_is_kept_out(db: Database, tmp_path: Path) -> None:
    add_taxonomy(db.path)
    names = ("Equus zebra", "Hippotigris zebra", "Asinus zebra", "Parus major")
    label_images(db, [("Animalia", name) for name in names])
    (report,) = keep_out(db, tmp_path, RARE).files
    assert names_out(db) == {f"Animalia {name}" for name in names[:3]}
    assert (report.counts.labels, report.counts.synonym_entries, report.counts.synonym_labels) == (3, 1, 2)
    assert "    1 species under other names, too: 2 labels" in report.describe()


@pytest.mark.parametrize("entry", ["Hippotigris zebra", "Equus zebra", "Asinus zebra", "Equus zebrus"])
def test_a_synonym_on_the_list_means_the_accepted_name_and_its_other_synonyms(
    db: Database, tmp_path: Path, entry: str
) -> None:
    add_taxonomy(db.path)
    label_images(db, [("Animalia", "Equus zebra"), ("Animalia", "Hippotigris zebra"), ("Animalia", "Asinus zebra")])
    keep_out(db, tmp_path, entry)
    assert len(names_out(db)) == 3


def test_names_in_another_kingdom_are_others(db: Database, tmp_path: Path) -> None:
    add_taxonomy(db.path)
    label_images(db, [("Plantae", "Ficus racemifera"), ("", "Ficus racemifera"), ("Animalia", "Ficus variegata")])
    keep_out(db, tmp_path, "Animalia-Mollusca-Gastropoda--Ficidae-Ficus-variegata")
    assert names_out(db) == {"Animalia Ficus variegata"}
    keep_out(db, tmp_path, "Plantae-Streptophyta-Magnoliopsida-Rosales-Moraceae-Ficus-variegata")
    assert names_out(db) == {"Plantae Ficus racemifera", "Ficus racemifera"}


def test_an_image_stays_out_whatever_label_it_gets(db: Database, tmp_path: Path) -> None:
    add_taxonomy(db.path)
    label_images(
        db, [("Animalia", "Bombyx dispar"), ("Animalia", "Lymantria disparus"), ("Animalia", "Porthetria umbrosa")]
    )
    keep_out(db, tmp_path, "Ocneria dispar")
    out = "SELECT count(*) FROM image WHERE label_id IN (SELECT label_id FROM v_blacklisted_label)"
    assert rows(db, out) == [(2,)]  # a subspecies' synonym is a name of the species, too
    label_by_taxonomy(db)
    assert rows(db, out) == [(2,)]
    with closing(sqlite3.connect(db.path)) as connection, connection:  # a spelling that only resolving understood
        taxon = connection.execute("SELECT id FROM taxon WHERE scientific_name = 'Lymantria dispar'").fetchone()[0]
        connection.execute("UPDATE label SET taxon_id = ? WHERE species = 'disparus'", (taxon,))
    assert rows(db, out) == [(3,)]


def test_an_image_stays_out_when_the_taxonomy_that_labelled_it_has_gone(db: Database, tmp_path: Path) -> None:
    taxonomy = add_taxonomy(db.path)
    label_images(db, [("Animalia", "Hippotigris zebra"), ("Animalia", "Parus major")])
    keep_out(db, tmp_path, "Hippotigris zebra")
    label_by_taxonomy(db)
    with db.staging() as conn:
        prune(conn, taxonomy)
        refresh_blacklist_names(conn)
    assert names_out(db) == {"Animalia Hippotigris zebra", "Animalia Equus zebra"}


def test_the_name_of_a_species_of_today_is_not_taken_for_an_old_name_of_another(
    db: Database, tmp_path: Path
) -> None:
    add_taxonomy(db.path, "Animalia|kingdom\n  Aus|genus\n    Aus bus|species|Aus cus|Aus dus\n    Aus cus|species")
    label_images(db, [("Animalia", name) for name in ("Aus bus", "Aus cus", "Aus dus")])
    keep_out(db, tmp_path, "Aus bus")
    assert names_out(db) == {"Animalia Aus bus", "Animalia Aus dus"}
    keep_out(db, tmp_path, "Aus cus")
    assert names_out(db) == {"Animalia Aus cus"}


def test_a_later_taxonomy_is_met_when_the_names_are_looked_up_anew(db: Database, tmp_path: Path) -> None:
    label_images(db, [("Animalia", "Equus zebra"), ("Animalia", "Asinus zebra"), ("Animalia", "Zebra zebra")])
    keep_out(db, tmp_path, "Equus zebra")
    assert names_out(db) == {"Animalia Equus zebra"}
    add_taxonomy(db.path)
    with db.write() as conn:
        assert refresh_blacklist_names(conn) == 1
    assert names_out(db) == {"Animalia Equus zebra", "Animalia Asinus zebra"}
    add_taxonomy(db.path, HOMONYMS.replace("|Asinus zebra", "|Zebra zebra"), version="2", created_at="2027")
    with db.write() as conn:
        assert refresh_blacklist_names(conn) == 1
    assert names_out(db) == {"Animalia Equus zebra", "Animalia Zebra zebra"}
    with db.write() as conn:
        assert match_counts(conn, 1).synonym_labels == 1
        conn.exec_driver_sql("DELETE FROM blacklist_entry")
    assert rows(db, "SELECT * FROM blacklist_name") == rows(db, "SELECT * FROM blacklist_taxon") == []


def test_labels_and_entries_are_looked_up_by_index(db: Database) -> None:
    asked = ("SELECT * FROM v_blacklisted_label WHERE label_id = ?", _LABELS)
    with closing(sqlite3.connect(db.path)) as connection:
        for sql in asked:
            steps = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, (1,))]
            assert {step for step in steps if step.startswith("SCAN")} <= {"SCAN v"}, steps
