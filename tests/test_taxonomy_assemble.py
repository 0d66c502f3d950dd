"""Assemblies through the database: the published cases, two real taxonomies, ids, curation, the command line."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.raw_trees import new_database, rows_of
from tests.running import tol_db
from tests.shared_data import SHARED_DATA, needs_shared
from tol_db.db.engine import Database
from tol_db.errors import InputError, NameTaken, UsageError
from tol_db.export.taxonomy import export_interim
from tol_db.ingest.assembly import SEPARATION_TREE, assemble_taxonomy
from tol_db.ingest.taxonomy import ingest_taxonomy
from tol_db.ingest.taxonomy_prune import prune_versions
from tol_db.report.taxonomy import LISTS, listed, report, taxonomies
from tol_db.report.taxonomy_diff import diff
from tol_db.report.taxonomy_explain import explain

CASES = SHARED_DATA / "assembly-cases"
TAXONOMIES = SHARED_DATA / "taxonomies"
RULES = {"smush": "fold-sibling-homonyms", "majorRank": "major-rank-conflict", "analyzeOTUs": "name-flags"}

Row = tuple[str, str, str, str]
"""id, parent, name, rank."""


def write(folder: Path, rows: Iterable[Row], synonyms: Iterable[tuple[str, str]] = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["uid\tparent_uid\tname\trank", *("\t".join(row) for row in rows)]
    (folder / "taxonomy.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = ["uid\tname\ttype", *(f"{uid}\t{name}\tsynonym" for uid, name in synonyms)]
    (folder / "synonyms.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


FIRST: list[Row] = [
    ("1", "", "life", "no rank"),
    ("2", "1", "Metazoa", "kingdom"),
    ("3", "2", "Felidae", "family"),
    ("4", "3", "Felis", "genus"),
    ("5", "4", "Felis catus", "species"),
]
SECOND: list[Row] = [
    ("1", "", "Animalia", "kingdom"),
    ("20", "1", "Felidae", "family"),
    ("30", "20", "Felis", "genus"),
    ("40", "30", "Felis catus", "species"),
    ("50", "30", "Felis margarita", "species"),
    ("60", "20", "Felis", "subfamily"),
]


@pytest.fixture
def two(db: Database, tmp_path: Path) -> Database:
    """Two small sources, ingested."""
    for priority, (name, rows) in enumerate((("a", FIRST), ("b", SECOND)), 1):
        synonyms = [("40", "Felis domesticus")] if name == "b" else []
        folder = write(tmp_path / name, rows, synonyms)
        ingest_taxonomy(db, "interim", folder, name=name, priority=priority)
    return db


def read_export(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "taxonomy.tsv").open(encoding="utf-8") as file:
        lines = [[cell.strip("\t") for cell in line.rstrip("\n").split("\t|")][:-1] for line in file]
    return {row[0]: dict(zip(lines[0], row, strict=True)) for row in lines[1:]}


# ------------------------------------------------------------------ published cases


@needs_shared
def test_all_published_cases_hold(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(CASES, tmp_path / "cases"))
    empty = new_database(tmp_path).path
    wanted = 0
    for case in sorted(path.parent for path in copy.glob("*/case.json")):
        told = json.loads((case / "case.json").read_text(encoding="utf-8"))
        db = Database(Path(shutil.copy(empty, case / "tol.sqlite")))
        for priority, source in enumerate(told["sources"], 1):
            rules = [RULES[rule] for rule in source["ops"]]
            ingest_taxonomy(
                db, "interim", case / source["dir"], name=source["idspace"], priority=priority, rules=rules
            )
        previous = str(case / told["prev"]) if told["prev"] else None
        assemble_taxonomy(db, "ours", separation=TAXONOMIES / "separation", previous=previous)
        export_interim(db, "ours", case / "ours")
        wanted += len(told["paper"])
    checked = subprocess.run(
        [sys.executable, CASES / "check_cases.py", copy, "--result", "ours", "--against", "paper"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"{wanted} of {wanted} statements" in checked, checked
    assert wanted >= 112


# ------------------------------------------------------------------ two real taxonomies


@pytest.fixture(scope="module")
def asterales(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """Asterales of NCBI and GBIF with the ids of an earlier assembly."""
    db = new_database(tmp_path_factory.mktemp("asterales"))
    ingest_taxonomy(db, "interim", TAXONOMIES / "ncbi_aster", name="ncbi", priority=1, rules=["name-flags"])
    rules = ["fold-sibling-homonyms", "major-rank-conflict"]
    ingest_taxonomy(db, "interim", TAXONOMIES / "gbif_aster", name="gbif", priority=2, rules=rules)
    assemble_taxonomy(db, "aster", previous=str(TAXONOMIES / "prev_aster"))
    return db


@needs_shared
def test_every_source_taxon_is_in_the_result_or_has_a_reason(asterales: Database) -> None:
    missing = """SELECT y.name, s.source_key FROM taxon s JOIN taxonomy y ON y.id = s.taxonomy_id
                 WHERE y.name IN ('ncbi', 'gbif')
                   AND NOT EXISTS (SELECT 1 FROM taxon_provenance p WHERE p.source_taxon_id = s.id)
                   AND NOT EXISTS (SELECT 1 FROM taxon_decision d WHERE d.source_taxon_id = s.id
                                   AND d.outcome NOT IN ('aligned', 'new'))"""
    assert rows_of(asterales, missing) == []
    twice = "SELECT source_taxon_id FROM taxon_provenance GROUP BY 1 HAVING count(*) > 1"
    assert rows_of(asterales, twice) == []
    unbacked = """SELECT t.id FROM taxon t JOIN taxonomy y ON y.id = t.taxonomy_id WHERE y.name = 'aster'
                  AND NOT EXISTS (SELECT 1 FROM taxon_provenance p WHERE p.taxon_id = t.id)"""
    assert rows_of(asterales, unbacked) == []
    assert rows_of(asterales, "SELECT count(*) FROM taxon WHERE taxonomy_id = 5")[0][0] > 22_000


@needs_shared
def test_no_synonym_of_a_taxon_in_the_result_is_lost(asterales: Database) -> None:
    lost = """SELECT n.name, p.taxon_id
              FROM (SELECT taxon_id, name FROM synonym UNION ALL SELECT id, scientific_name FROM taxon) n
              JOIN taxon_provenance p ON p.source_taxon_id = n.taxon_id
              JOIN taxon t ON t.id = p.taxon_id
              WHERE t.scientific_name <> n.name
                AND NOT EXISTS (SELECT 1 FROM synonym x WHERE x.taxon_id = t.id AND x.name = n.name)"""
    assert rows_of(asterales, lost) == []


@needs_shared
def test_ids_of_taxa_that_still_occur_are_carried_over(asterales: Database) -> None:
    occurring = """
        SELECT o.source_key, EXISTS (SELECT 1 FROM taxon t WHERE t.taxonomy_id = 5 AND t.source_key = o.source_key),
               EXISTS (SELECT 1 FROM taxon_alias f WHERE f.taxonomy_id = 5 AND f.alias = o.source_key)
        FROM taxon o JOIN taxonomy y ON y.id = o.taxonomy_id
        WHERE y.name = 'previous_prev_aster' AND EXISTS (
            SELECT 1 FROM taxon_source_id i JOIN taxonomy z ON z.name = substr(i.source_id, 1, 4)
            JOIN taxon s ON s.taxonomy_id = z.id AND s.source_key = substr(i.source_id, 6)
            JOIN taxon_provenance p ON p.source_taxon_id = s.id WHERE i.taxon_id = o.id)"""
    rows = rows_of(asterales, occurring)
    kept = sum(kept for _, kept, _ in rows)
    assert len(rows) > 14_000
    assert kept / len(rows) >= 0.95
    assert all(kept or forwarded for _, kept, forwarded in rows)


@needs_shared
def test_the_same_inputs_give_the_same_bytes_and_no_new_version(asterales: Database, tmp_path: Path) -> None:
    again = assemble_taxonomy(asterales, "aster", previous=str(TAXONOMIES / "prev_aster"))
    assert again.unchanged
    assert again.name == "aster@1"
    other = assemble_taxonomy(asterales, "other", previous=str(TAXONOMIES / "prev_aster"))
    assert not other.unchanged
    export_interim(asterales, "aster", tmp_path / "one")
    export_interim(asterales, "other", tmp_path / "two")
    for name in ("taxonomy.tsv", "synonyms.tsv", "forwards.tsv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@needs_shared
def test_the_figures_of_the_report_add_up(asterales: Database) -> None:
    found = report(asterales, "aster")
    for one in found.inputs:
        if one.role == "source":
            assert sum(one.kept.values()) + sum(one.left_out.values()) == one.total
    assert sum(found.ranks.values()) == found.taxa
    exported = listed(asterales, "aster", "homonyms", None)
    assert exported.total >= found.homonyms
    for name in LISTS:
        assert listed(asterales, "aster", name, 1).columns


# ------------------------------------------------------------------ small ones


def test_a_source_of_lower_priority_adds_to_the_first(two: Database, tmp_path: Path) -> None:
    result = assemble_taxonomy(two, "both")
    assert result.name == "both@1"
    export_interim(two, "both", tmp_path / "out")
    taxa = read_export(tmp_path / "out")
    origins = {row["name"]: row["sourceinfo"] for row in taxa.values() if row["rank"] != "subfamily"}
    assert origins["Felis catus"] == "a:5,b:40"
    assert origins["Felis margarita"] == "b:50"
    assert origins["Metazoa"].startswith("a:2,b:1,separation:")
    assert [row["uniqname"] for row in taxa.values() if row["name"] == "Felis"] == [
        "Felis (subfamily in family Felidae)",
        "Felis (genus in family Felidae)",
    ]
    synonyms = (tmp_path / "out" / "synonyms.tsv").read_text(encoding="utf-8")
    assert "Felis domesticus\t|\t" in synonyms
    assert "Animalia\t|\t" in synonyms


def test_ids_go_on_from_one_version_to_the_next(two: Database, tmp_path: Path) -> None:
    assemble_taxonomy(two, "both", sources=["b"])
    before = dict(rows_of(two, "SELECT scientific_name, source_key FROM taxon WHERE taxonomy_id = 4"))
    second = assemble_taxonomy(two, "both", previous="both")
    assert second.name == "both@2"
    after = dict(rows_of(two, "SELECT scientific_name, source_key FROM taxon WHERE taxonomy_id = 5"))
    assert after["Felis catus"] == before["Felis catus"]
    assert after["Felidae"] == before["Felidae"]
    new = set(after.values()) - set(before.values())
    assert all(int(id) > max(map(int, before.values())) for id in new)
    told = diff(two, "both@1", "both@2", None)
    assert told.counts["removed"] == 0
    assert told.counts["added"] == len(new)


def test_ids_of_two_digits_go_on_too(db: Database, tmp_path: Path) -> None:
    """An assembly is stored in preorder, where 10 comes after 9; as texts it comes after 1."""
    nodes = [f"{n}\t|\t{max(n // 2, 1) if n > 1 else ''}\t|\tTaxon{n:02}\t|\tno rank\t|\t" for n in range(1, 31)]
    (tmp_path / "taxonomy.tsv").write_text("uid\t|\tparent_uid\t|\tname\t|\trank\t|\t\n" + "\n".join(nodes) + "\n")
    (tmp_path / "synonyms.tsv").write_text("name\t|\tuid\t|\ttype\t|\t\nOther\t|\t12\t|\tsynonym\t|\t\n")
    ingest_taxonomy(db, "interim", tmp_path, name="src", priority=1)
    assemble_taxonomy(db, "tol")
    changed = (tmp_path / "taxonomy.tsv").read_text() + "31\t|\t1\t|\tAhead\t|\tno rank\t|\t\n"
    (tmp_path / "taxonomy.tsv").write_text(changed)
    ingest_taxonomy(db, "interim", tmp_path, name="src", priority=1)
    assemble_taxonomy(db, "tol", previous="tol")
    sql = """SELECT t.scientific_name, t.source_key, p.scientific_name FROM taxon t
             JOIN taxonomy y ON y.id = t.taxonomy_id LEFT JOIN taxon p ON p.id = t.parent_id
             WHERE y.name = 'tol' AND y.version = ? AND t.scientific_name LIKE 'Taxon%' ORDER BY 1"""
    first, second = (rows_of(db, sql.replace("?", f"'{version}'")) for version in (1, 2))
    assert len(first) == 30
    assert first == second


def test_ids_go_on_from_a_version_whose_ids_are_not_in_the_order_of_its_tree(db: Database, tmp_path: Path) -> None:
    cats: list[Row] = [
        ("9", "", "Felidae", "family"),
        ("10", "9", "Felis", "genus"),
        ("2", "10", "Felis catus", "species"),
    ]
    source = write(tmp_path / "a", cats, [("2", "Felis domesticus")])
    old = write(tmp_path / "old", [*cats, ("77", "10", "Felis gone", "species")])
    ingest_taxonomy(db, "interim", source, name="a", priority=1)
    assemble_taxonomy(db, "cats", previous=str(old))
    assert assemble_taxonomy(db, "cats", previous="cats").unchanged
    ingest_taxonomy(
        db, "interim", write(tmp_path / "b", [("50", "", "Felis margarita", "species")]), name="b", priority=2
    )
    assemble_taxonomy(db, "cats", previous="cats")
    newest = "SELECT scientific_name, source_key FROM taxon WHERE taxonomy_id = (SELECT max(id) FROM taxonomy)"
    # 77 was given up by the version before, and is not given again
    assert dict(rows_of(db, newest)) == {"Felidae": "9", "Felis": "10", "Felis catus": "2", "Felis margarita": "78"}
    with pytest.raises(UsageError, match="77 is a retired id"):
        explain(db, "77", "cats")


def test_ids_stay_where_a_major_group_stands_twice(db: Database, tmp_path: Path) -> None:
    twice: list[Row] = [
        ("1", "", "Animalia", "kingdom"),
        ("2", "1", "Felidae", "family"),
        ("3", "1", "Canidae", "family"),
        ("4", "", "Metazoa", "kingdom"),
        ("5", "4", "Ursidae", "family"),
    ]
    deeper: list[Row] = [
        ("6", "", "Eukaryota", "domain"),
        ("7", "6", "Opisthokonta", "no rank"),
        ("8", "7", "Metazoa", "kingdom"),
        ("9", "8", "Felidae", "family"),
    ]
    for priority, (name, rows) in enumerate((("a", twice), ("b", deeper)), 1):
        ingest_taxonomy(db, "interim", write(tmp_path / name, rows), name=name, priority=priority)
    assemble_taxonomy(db, "both")
    assert assemble_taxonomy(db, "both", previous="both").unchanged


def test_a_separation_tree_holds_major_groups_only(two: Database, tmp_path: Path) -> None:
    kids: list[Row] = [(str(n), "0", f"Aus{n}", "genus") for n in range(1, 2001)]
    folder = write(tmp_path / "large", [("0", "", "life", "no rank"), *kids])
    with pytest.raises(UsageError, match="2,001 nodes is not one of major groups"):
        assemble_taxonomy(two, "both", separation=folder)


def test_help_names_all_commands_of_a_group(tmp_path: Path) -> None:
    told = tol_db(tmp_path / "none.sqlite", "taxonomy", "--help")
    assert all(
        f"\n  {name} " in told.stdout for name in ("assemble", "export", "list", "prune", "resolve", "explain")
    )


def test_curation_is_applied_and_what_meets_nothing_is_reported(two: Database, tmp_path: Path) -> None:
    file = tmp_path / "mend.tsv"
    lines = [
        ("action", "taxon", "argument", "reason", "stage"),
        ("rename", "a:5", "Felis silvestris", "as others have it", ""),
        ("never-align", "b:40", "a:5", "a test", ""),
        ("flag", "b:50", "extinct", "a test", ""),
        ("prune", "b:60", "", "no such subfamily", ""),
        ("synonym", "a:3", "Cats", "a test", "result"),
        ("move", "b:777", "b:20", "not there", ""),
    ]
    file.write_text("# a note\n" + "\n".join("\t".join(line) for line in lines) + "\n", encoding="utf-8")
    result = assemble_taxonomy(two, "both", curated=[file])
    assert result.unmatched == ("mend.tsv, line 8: move b:777 b:20",)
    assert result.left_out == {"pruned": 1}
    names = {name for (name,) in rows_of(two, "SELECT scientific_name FROM taxon WHERE taxonomy_id = 4")}
    assert {"Felis silvestris", "Felis catus"} <= names
    assert explain(two, "b:50", "both").taxa[0].flags == "extinct"
    assert [n.name for n in explain(two, "Felidae", "both").taxa[0].synonyms] == ["Cats"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("rename\ta:1\tX\t", "no reason"),
        ("frobnicate\ta:1\tX\twhy", "no action"),
        ("rename\tone\tX\twhy", "idspace:id"),
        ("move\ta:1\tX\twhy", "idspace:id"),
        ("flag\ta:1\tblue\twhy", "no flag"),
        ("prune\ta:1\tX\twhy", "takes no argument"),
    ],
)
def test_a_line_of_curation_that_is_wrong_is_named(two: Database, tmp_path: Path, line: str, what: str) -> None:
    file = tmp_path / "mend.tsv"
    file.write_text(f"action\ttaxon\targument\treason\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"line 2: .*{what}"):
        assemble_taxonomy(two, "both", curated=[file])
    assert rows_of(two, "SELECT name FROM taxonomy WHERE kind = 'assembled'") == []


def test_a_left_out_name_is_explained(db: Database, tmp_path: Path) -> None:
    first = [*FIRST, ("6", "4", "Felis chaus", "species")]
    ingest_taxonomy(db, "interim", write(tmp_path / "a", first), name="a", priority=1)
    second: list[Row] = [
        ("1", "", "Felidae", "family"),
        ("2", "1", "Catus", "genus"),
        ("3", "2", "Catus major", "species"),
    ]
    names = [("3", "Felis catus"), ("3", "Felis chaus")]
    ingest_taxonomy(db, "interim", write(tmp_path / "b", second, names), name="b", priority=2)
    assemble_taxonomy(db, "both")
    found = explain(db, "Catus major", "both")
    assert found.taxa == []
    assert [(d.outcome, d.candidates) for d in found.left_out] == [("ambiguous tip", "a:5,a:6")]


def test_names_and_versions_that_are_not_there_are_refused(two: Database) -> None:
    with pytest.raises(UsageError, match="no taxonomy 'c'"):
        assemble_taxonomy(two, "both", sources=["c"])
    with pytest.raises(NameTaken):
        assemble_taxonomy(two, "a")
    with pytest.raises(UsageError, match="no assembled taxonomy"):
        report(two, None)


def test_an_input_stays_as_long_as_an_assembly_was_made_of_it(two: Database) -> None:
    assemble_taxonomy(two, "both")
    with pytest.raises(UsageError, match="part of both@1"):
        prune_versions(two, "b@1", 1)
    before = Counter(name for (name,) in rows_of(two, "SELECT name FROM taxonomy"))
    assert prune_versions(two, "both@1", 1) == ["both@1: removed, 7 taxa"]
    assert prune_versions(two, "b@1", 1) == ["b@1: removed, 6 taxa"]
    assert {t.name for t in taxonomies(two)} == set(before) - {"both", "b"}
    assert rows_of(two, "PRAGMA foreign_key_check") == []
    for table in ("taxon_provenance", "taxon_decision", "taxonomy_finding", "taxonomy_input"):
        assert rows_of(two, f"SELECT count(*) FROM {table}") == [(0,)]


def test_the_separation_tree_that_comes_along_has_one_root_and_the_major_groups() -> None:
    with (SEPARATION_TREE / "taxonomy.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    names = {row["name"] for row in rows}
    assert [row["name"] for row in rows if not row["parent_uid"]] == ["life"]
    assert {"Fungi", "Metazoa", "Chloroplastida", "Insecta", "Lepidoptera", "Mollusca"} <= names


def test_the_commands_tell_the_story_of_a_taxon(tmp_path: Path) -> None:
    db = tmp_path / "tol.sqlite"
    tol_db(db, "init")
    tol_db(db, "ingest", "taxonomy", "interim", write(tmp_path / "a", FIRST), "--name", "a", "--priority", "1")
    tol_db(db, "ingest", "taxonomy", "interim", write(tmp_path / "b", SECOND), "--name", "b", "--priority", "2")
    assert "both@1: 7 taxa" in tol_db(db, "taxonomy", "assemble", "both").stdout
    assert "assembled" in tol_db(db, "taxonomy", "list").stdout
    told = tol_db(db, "taxonomy", "explain", "b:40").stdout
    assert "a:5: copied" in told
    assert "b:40: " in told
    assert "  Felidae  (family" in tol_db(db, "taxonomy", "lineage", "Felis catus").stdout
    assert json.loads(tol_db(db, "taxonomy", "report", "--json").stdout)["taxa"] == 7
    assert "aligned by" in tol_db(db, "taxonomy", "report").stdout
    assert "homonym" not in tol_db(db, "taxonomy", "report", "--list", "homonyms", "--csv").stdout
    assert "7 taxa" in tol_db(db, "taxonomy", "export", "both", tmp_path / "out").stdout
    assert "no taxon is called" in tol_db(db, "taxonomy", "explain", "Nemo", expect=2).stderr
