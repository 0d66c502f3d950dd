"""`plan --license`: what it lets in, what becomes of the rest, and that later plans keep to it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from materialize import plan as planning
from materialize.candidates import Candidates, load_candidates
from materialize.recipe import CLEAN
from tests.populated import populated
from tests.running import DATASET, plan, tol_db
from tol_db.db.bulk import changes, insert_many, query
from tol_db.db.engine import open_database
from tol_db.errors import UsageError
from tol_db.licences import FAMILIES, admission, parse_words, require_known

FAMILY_OF = {
    "cc-0": "cc0",
    "CC0 1.0": "cc0",
    "cc-by": "cc-by",
    "cc-by-4.0": "cc-by",
    "CC BY-NC-SA 3.0": "cc-by-nc-sa",
    "cc_by_nd_2.5": "cc-by-nd",
    "public domain": "public-domain",
    "No known copyright restrictions": "no-known-copyright-restrictions",
    "not provided": "unknown",
    "": "unknown",
    "GFDL 1.3": "gfdl",
}


QUERIES = Path(__file__).resolve().parents[1] / "tol_db" / "audit" / "queries"


def rows(db: Path, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as connection, connection:
        return connection.execute(sql, parameters).fetchall()


def licences_of(db: Path, outcome: str) -> set[str | None]:
    """The licences of the images that a plan gave this outcome; None: no row."""
    if outcome == "planned":
        sql = "SELECT l.name FROM shard_image m LEFT JOIN image_licence x ON x.image_id = m.image_id"
    else:
        sql = """SELECT l.name FROM (SELECT * FROM exclusion WHERE outcome_id = 5) m
                 LEFT JOIN image_licence x ON x.image_id = m.image_id"""
    return {row[0] for row in rows(db, sql + " LEFT JOIN licence l ON l.id = x.licence_id")}


def test_a_licence_is_told_by_its_family_whatever_its_version_and_spelling(tmp_path: Path) -> None:
    db = populated(tmp_path / "tol.sqlite")
    with db.write() as conn:
        names = [(100 + n, name) for n, name in enumerate(FAMILY_OF)]
        changes(conn, "DELETE FROM licence WHERE id NOT IN (SELECT licence_id FROM image_licence)")
        insert_many(conn, "INSERT INTO licence (id, name, link) VALUES (?, ?, 'x')", names)
        assert dict(query(conn, "SELECT name, key FROM v_licence WHERE licence_id >= 100")) == FAMILY_OF
        admitted = {FAMILY_OF[n] for i, n in names if i in admission(conn, ("cc-by", "gfdl-1.3")).admitted}
        assert admitted == {"cc-by", "gfdl"}
        require_known(conn, (*FAMILIES, "gfdl", "gfdl-1.3"))
        with pytest.raises(UsageError, match="no licence 'cc-bx'") as caught:
            require_known(conn, ("cc-bx",))
    assert "cc-by-nc-sa" in str(caught.value.hint)


def test_words_are_taken_in_any_spelling_and_order_and_once() -> None:
    assert parse_words(["CC BY,cc-0", "cc_by", "not provided"]) == ("cc-by", "cc0", "unknown")
    with pytest.raises(UsageError, match="empty"):
        parse_words(["cc-by,"])


def test_only_images_of_these_licences_are_planned_and_the_others_say_why(demo_db: Path, tmp_path: Path) -> None:
    plan(demo_db, tmp_path / "out", "clean", "--license", "cc-by,CC0")
    assert licences_of(demo_db, "planned") == {"cc-by", "cc-0"}
    assert {"No known copyright restrictions", None} <= licences_of(demo_db, "licence_filtered")
    assert rows(demo_db, "SELECT word FROM dataset_licence") == [("cc-by",), ("cc0",)]
    # a blacklist's reason stands before the licence's
    assert rows(demo_db, "SELECT count(*) FROM exclusion WHERE outcome_id IN (2, 3)") != [(0,)]
    sql = "SELECT treeoflife_id FROM v_exclusion WHERE outcome = 'licence_filtered' AND detail LIKE 'No known%'"
    told = tol_db(demo_db, "report", "image", rows(demo_db, sql)[0][0]).stdout
    assert "licence_filtered" in told


def test_images_without_a_licence_are_let_in_as_unknown_or_under_that_of_their_source(
    demo_db: Path, tmp_path: Path
) -> None:
    plan(demo_db, tmp_path / "out", "clean", "--licence", "unknown")
    assert licences_of(demo_db, "planned") == {None}
    rows(demo_db, "UPDATE source SET licence = 'cc-by-nc 4.0' WHERE key = 'inat21'")
    words = ("plan", tmp_path / "two", "--dataset", "two", "--split", "train", "--license", "cc-by-nc", "--json")
    told = json.loads(tol_db(demo_db, *words).stdout)
    assert told["splits"][0]["planned"] > 0
    sql = """SELECT DISTINCT s.key FROM shard h JOIN shard_image m ON m.shard_id = h.id
             JOIN image i ON i.id = m.image_id JOIN source s ON s.id = i.source_id WHERE h.dataset_id = 2"""
    assert rows(demo_db, sql) == [("inat21",)]


def test_a_word_that_is_no_licence_is_exit_2_and_plans_nothing(demo_db: Path, tmp_path: Path) -> None:
    words = ("plan", tmp_path / "out", "--dataset", "x", "--split", "train", "--license")
    assert "cc-by-nc-sa" in tol_db(demo_db, *words, "cc-bay", expect=2).stderr
    assert "licence_filtered" in tol_db(demo_db, *words, "cc-by-nd", expect=2).stderr
    assert rows(demo_db, "SELECT count(*) FROM dataset") == [(0,)]


def test_extend_and_refresh_keep_to_the_licences_and_doctor_sees_what_changed(
    demo_db: Path, tmp_path: Path
) -> None:
    plan(demo_db, tmp_path / "out", "clean", "--license", "cc-by", splits=("train",))
    extend = ("plan", "--dataset", DATASET, "--extend")
    assert "no shards to add" in tol_db(demo_db, *extend).stdout
    assert "--license" in tol_db(demo_db, *extend, "--license", "cc0", expect=2).stderr
    tol_db(demo_db, "materialize")
    # one image's licence is changed to another, and another's to cc-by
    (away,) = rows(demo_db, "SELECT min(image_id) FROM shard_image WHERE outcome_id = 1")[0]
    other = """SELECT min(x.image_id) FROM exclusion e JOIN image_licence x ON x.image_id = e.image_id
               WHERE e.outcome_id = 5"""
    (come,) = rows(demo_db, other)[0]
    set_to = "UPDATE image_licence SET licence_id = (SELECT id FROM licence WHERE name = ?) WHERE image_id = ?"
    rows(demo_db, set_to, "cc-0", away)
    rows(demo_db, set_to, "cc-by", come)
    assert "refused_licence_written" in tol_db(demo_db, "doctor", expect=1).stdout
    assert "1 of" in tol_db(demo_db, "plan", "--dataset", DATASET, "--refresh").stdout
    tol_db(demo_db, *extend)
    assert rows(demo_db, "SELECT detail FROM exclusion WHERE image_id = ?", away) == [("cc-0",)]
    assert rows(demo_db, "SELECT count(*) FROM shard_image WHERE image_id = ?", come) == [(1,)]
    assert rows(demo_db, (QUERIES / "refused_licence_written.sql").read_text()) == []


def test_a_licence_that_changes_while_a_plan_reads_is_met(
    demo_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []

    def loading(conn: Any, *chosen: Any) -> Candidates:
        found = load_candidates(conn, *chosen)
        loads.append(1)
        if len(loads) == 1:
            rows(demo_db, "UPDATE image_licence SET licence_id = (SELECT id FROM licence WHERE name = 'cc-0')")
        return found

    monkeypatch.setattr(planning, "load_candidates", loading)
    request = planning.PlanRequest("x", tmp_path / "out", CLEAN, ("train",), licences=("cc0",))
    planning.plan(open_database(demo_db), request)
    assert len(loads) == 2
    assert licences_of(demo_db, "planned") == {"cc-0"}
    assert licences_of(demo_db, "licence_filtered") == {None}
