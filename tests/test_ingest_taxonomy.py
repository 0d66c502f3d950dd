"""Taxonomies in the database: the tree of the file, whatever the order of its rows; faults are told."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import taxonomy_files as written
from tests.running import tol_db
from tests.shared_data import SHARED_DATA, needs_shared
from tol_db.db.bulk import without_indexes
from tol_db.db.engine import Database
from tol_db.errors import InputError, InputMissing, NameTaken, UsageError
from tol_db.ingest import taxonomy as ingest
from tol_db.ingest.files import source_id
from tol_db.ingest.taxonomy import TaxonomyResult, ingest_taxonomy
from tol_db.taxonomy.prune import prune


def read(db: Database, format_name: str, path: Path, name: str = "src", **more: Any) -> TaxonomyResult:
    return ingest_taxonomy(db, format_name, path, name=name, **{"priority": 1, **more})


def rows(db: Database, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db.path)) as connection:
        return connection.execute(sql, values).fetchall()


def tree(db: Database, name: str = "src") -> set[tuple[str, str | None, str, str]]:
    sql = """SELECT t.source_key, p.source_key, t.scientific_name, t.rank FROM taxon t
             JOIN taxonomy x ON x.id = t.taxonomy_id LEFT JOIN taxon p ON p.id = t.parent_id WHERE x.name = ?"""
    return set(rows(db, sql, name))


def findings(db: Database) -> list[tuple[str, str]]:
    return rows(db, "SELECT kind, subject FROM taxonomy_finding ORDER BY id")


def nothing_came(db: Database) -> bool:
    tables = ("taxonomy", "taxon", "synonym", "vernacular_name", "taxon_alias", "source_file", "taxonomy_finding")
    assert rows(db, "PRAGMA integrity_check") == [("ok",)]
    return all(rows(db, f"SELECT count(*) FROM {table}") == [(0,)] for table in tables)


def made(folder: Path, texts: dict[str, str]) -> Path:
    return written.write(folder, texts)


BEARS = {(key, up or None, name, rank) for key, up, name, rank in written.BEARS}


# ------------------------------------------------------------------ every format, the same tree


def _zip(folder: Path) -> Path:
    return written.zipped(folder / "backbone.zip", written.darwin_core_texts(), folder="backbone/")


def _tar(folder: Path) -> Path:
    return written.tarred(folder / "taxdump.tar.gz", written.ncbi_texts())


@pytest.mark.parametrize(
    ("format_name", "make", "synonyms", "vernaculars", "aliases"),
    [
        ("interim", lambda f: written.interim(f), 0, 0, 0),
        ("interim", lambda f: written.interim(f) / "taxonomy.tsv", 0, 0, 0),
        ("ncbi", lambda f: made(f, written.ncbi_texts()), 0, 0, 1),
        ("ncbi", _tar, 0, 0, 1),
        ("darwin-core", lambda f: made(f, written.darwin_core_texts()), 7, 3, 1),
        ("darwin-core", _zip, 7, 3, 1),
        ("coldp", lambda f: written.zipped(f / "c.zip", written.coldp_texts()), 7, 1, 1),
        ("coldp", lambda f: made(f, written.coldp_split_texts()), 7, 0, 0),
        ("eol", lambda f: made(f, {"taxon.tab": written.eol_text()}) / "taxon.tab", 1, 0, 1),
    ],
)
def test_the_same_taxa_come_from_every_format(
    db: Database, tmp_path: Path, format_name: str, make: Any, synonyms: int, vernaculars: int, aliases: int
) -> None:
    result = read(db, format_name, make(tmp_path / "in" if (tmp_path / "in").mkdir() is None else tmp_path))
    extra = {("60", "10", "Ursus spelaeus", "species")} if format_name == "coldp" and aliases else set()
    assert tree(db) == BEARS | extra
    assert result.nodes == len(BEARS | extra)
    assert result.tips == 3 + len(extra)
    assert not result.unchanged
    assert findings(db) == []
    assert (result.synonyms, result.aliases, result.vernaculars) == (
        synonyms if format_name != "eol" else 7, aliases, vernaculars,
    )  # fmt: skip
    assert rows(db, "PRAGMA foreign_key_check") == []


def test_chains_of_itis_and_a_newick_tree(db: Database, tmp_path: Path) -> None:
    made(tmp_path, {"chains.csv": written.ITIS, "tree.tre": written.NEWICK})
    result = read(db, "itis", tmp_path / "chains.csv", "itis")
    assert tree(db, "itis") == {node for node in BEARS if node[0] != "3"}
    assert rows(db, "SELECT name, language FROM vernacular_name ORDER BY 2") == [
        ("bear, brown", "en"), ("ours blanc", "fr"),
    ]  # fmt: skip
    assert (result.nodes, result.tips) == (5, 2)
    read(db, "newick", tmp_path / "tree.tre", "tree")
    assert tree(db, "tree") == {
        ("Ursus arctos", "Ursus", "Ursus arctos", "no rank"),
        ("Ursus maritimus", "Ursus", "Ursus maritimus", "no rank"),
        ("Ursus", "Ursidae", "Ursus", "genus"), ("Ursidae", "Animalia", "Ursidae", "no rank"),
        ("Laelia", "Animalia", "Laelia", "no rank"), ("Animalia", None, "Animalia", "kingdom"),
    }  # fmt: skip


def test_a_synonym_keeps_its_kind_and_its_own_id_leads_to_the_taxon(db: Database, tmp_path: Path) -> None:
    read(db, "darwin-core", made(tmp_path, written.darwin_core_texts()))
    of = "JOIN taxon t ON t.id = x.taxon_id WHERE t.source_key = '11'"
    assert rows(db, f"SELECT name, kind FROM synonym x {of} ORDER BY name") == [
        ("Ursus arctos Linnaeus, 1758", "authority"), ("Ursus horribilis", "heterotypic synonym"),
    ]  # fmt: skip
    assert rows(db, f"SELECT name, language, preferred FROM vernacular_name x {of} ORDER BY name") == [
        ("Braunbär", "de", 0), ("Brown bear", "en", 1), ("Grizzly", "en", 0),
    ]  # fmt: skip
    assert rows(db, "SELECT alias, source_key FROM taxon_alias") == [("50", "11")]


def test_taxa_lie_together_in_the_order_of_their_keys(db: Database, tmp_path: Path) -> None:
    for name in ("one", "two"):
        read(db, "interim", written.interim(tmp_path / name), name)
    ids = rows(db, "SELECT taxonomy_id, source_key FROM taxon ORDER BY id")
    keys = sorted(key for key, *_ in written.BEARS)
    assert ids == [(1, key) for key in keys] + [(2, key) for key in keys]


def test_ids_of_sources_are_kept_in_their_order(db: Database, tmp_path: Path) -> None:
    table = [("uid", "parent_uid", "name", "rank", "sourceinfo"), ("5", "", "A", "", "ncbi:9, gbif:3,,ncbi:9")]
    read(db, "interim", made(tmp_path, {"taxonomy.tsv": written.tabbed(table)}))
    assert rows(db, "SELECT ordinal, source_id FROM taxon_source_id ORDER BY ordinal") == [
        (0, "ncbi:9"),
        (1, "gbif:3"),
    ]


# ------------------------------------------------------------------ order does not matter


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_the_order_of_rows_does_not_matter(db: Database, tmp_path: Path, seed: int) -> None:
    shuffle = random.Random(seed).shuffle
    contents = []
    for number, texts in enumerate((written.darwin_core_texts(), written.darwin_core_texts())):
        if number:
            for name in ("Taxon.tsv", "VernacularName.tsv"):
                head, *lines = texts[name].splitlines(keepends=True)
                shuffle(lines)
                texts[name] = head + "".join(lines)
        folder = made(tmp_path / f"{seed}-{number}", texts)
        with db.write() as conn:
            for (id_,) in conn.exec_driver_sql("SELECT id FROM taxonomy").fetchall():
                prune(conn, id_)
        read(db, "darwin-core", folder, f"n{number}")
        contents.append(
            [rows(db, f"SELECT {columns} ORDER BY 1, 2, 3") for columns in (
                "id, source_key, parent_id, scientific_name, rank FROM taxon", "taxon_id, name, kind FROM synonym",
                "taxon_id, name, language, preferred FROM vernacular_name", "alias, source_key, 0 FROM taxon_alias",
            )]
        )  # fmt: skip
    assert contents[0] == contents[1]


# ------------------------------------------------------------------ broken input


def broken(folder: Path, *nodes: written.Node) -> Path:
    return written.interim(folder, [*written.BEARS, *nodes])


def test_a_circle_of_parents_is_refused_with_its_members(db: Database, tmp_path: Path) -> None:
    path = broken(
        tmp_path, ("20", "22", "A", ""), ("21", "20", "B", ""), ("22", "21", "C", ""), ("23", "22", "D", "")
    )
    with pytest.raises(InputError, match=r"in a circle: 20 → 22 → 21 → 20"):
        read(db, "interim", path)
    assert nothing_came(db)


def test_an_orphan_and_its_own_parent_become_roots_and_are_told(db: Database, tmp_path: Path) -> None:
    read(db, "interim", broken(tmp_path, ("20", "404", "A", "genus"), ("21", "21", "B", ""), ("22", "20", "C", "")))
    assert {(key, up) for key, up, *_ in tree(db) - BEARS} == {("20", None), ("21", None), ("22", "20")}
    assert findings(db) == [("orphan", "20"), ("self_parent", "21"), ("several_roots", "3 roots")]


def test_an_id_that_stands_twice_with_other_content_is_refused(db: Database, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"stands twice with different content: 11 \(lines 5 and 8\)"):
        read(db, "interim", broken(tmp_path, ("11", "3", "Ursus arctos", "species")))
    assert nothing_came(db)


def test_an_equal_row_is_kept_once_and_told(db: Database, tmp_path: Path) -> None:
    read(db, "interim", broken(tmp_path, written.BEARS[3]))
    assert tree(db) == BEARS
    assert findings(db) == [("duplicate_key", "11")]


def test_names_of_nobody_and_names_twice_are_told(db: Database, tmp_path: Path) -> None:
    written.interim(tmp_path)
    made(
        tmp_path,
        {
            "synonyms.tsv": "uid\tname\ttype\n11\tUrsa\tsynonym\n11\tUrsa\tsynonym\n404\tNobody\tsynonym\n",
            "forwards.tsv": "id\treplacement\n7\t8\n8\t11\n70\t404\n12\t11\n9\t11\n9\t12\n",
        },
    )
    read(db, "interim", tmp_path)
    assert rows(db, "SELECT name FROM synonym") == [("Ursa",)]
    assert rows(db, "SELECT alias, source_key FROM taxon_alias ORDER BY 1") == [("7", "11"), ("8", "11")]
    assert findings(db) == [
        ("alias_is_taxon", "12"), ("ambiguous_alias", "9"), ("dangling_alias", "70"),
        ("dangling_synonym", "Nobody"), ("duplicate_synonym", "1 rows"),
    ]  # fmt: skip


def test_a_parent_that_is_a_synonym_or_has_no_name_leads_on(db: Database, tmp_path: Path) -> None:
    texts = written.darwin_core_texts([*written.BEARS, ("70", "50", "Ursus arctos gyas", "subspecies")])
    read(db, "darwin-core", made(tmp_path / "dwc", texts), "dwc")
    assert ("70", "11", "Ursus arctos gyas", "subspecies") in tree(db, "dwc")
    assert findings(db) == [("parent_is_alias", "70")]
    read(db, "interim", broken(tmp_path / "bare", ("20", "10", " ", ""), ("21", "20", "Child", "")), "bare")
    assert tree(db, "bare") == BEARS | {("21", "10", "Child", "no rank")}
    assert findings(db)[1:] == [("bad_row", "taxonomy.tsv: line 8")]


def test_a_long_chain_and_many_children(db: Database, tmp_path: Path) -> None:
    chain = [(f"c{n}", f"c{n - 1}" if n else "", f"N{n}", "") for n in range(300)]
    fan = [(f"f{n}", "c299", f"F {n}", "species") for n in range(50_000)]
    result = read(db, "interim", written.interim(tmp_path, [*reversed(chain), *fan]))
    assert (result.nodes, result.tips) == (50_300, 50_000)
    assert rows(
        db, "SELECT count(*) FROM taxon WHERE parent_id = (SELECT id FROM taxon WHERE source_key = 'c299')"
    ) == [(50_000,)]
    assert findings(db) == []


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("taxonomy.tsv", b"", "empty file"),
        ("taxonomy.tsv", b"uid,parent_uid,name,rank\n1,,life,no rank\n", "cannot be read"),
        ("taxonomy.tsv", b"uid\tparent_uid\tname\n", "0 taxa"),
        ("taxonomy.tsv", b"uid\tparent_uid\tname\n1\t\tCaf\xe9\n", "not UTF-8"),
        ("taxonomy.tsv", b"uid\tparent_uid\tname\n1\t\tA\0B\n", "NUL"),
        ("taxonomy.tsv", b"uid\tparent_uid\tname\n1\t\tA\n2\n3\n", "1 taxa and 2 rows that cannot be read"),
    ],
)
def test_a_file_that_is_not_what_it_seems_is_refused(
    db: Database, tmp_path: Path, name: str, data: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=why):
        read(db, "interim", tmp_path / name)
    assert nothing_came(db)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "Taxon.tsv.gz"])
def test_an_archive_that_is_cut_off_is_refused(db: Database, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    many = [
        *written.BEARS,
        *((str(n), "10", f"Ursus {random.Random(n).random()}", "species") for n in range(100, 999)),
    ]
    texts = written.darwin_core_texts(many)
    if name == "a.zip":
        written.zipped(path, texts)
    elif name == "a.tar.gz":
        written.tarred(path, texts)
    else:
        path.write_bytes(gzip.compress(texts["Taxon.tsv"].encode()))
    whole = path.read_bytes()
    assert read(db, "darwin-core", path, "whole").nodes == len(many)
    with db.write() as conn:
        prune(conn, 1)
    for size in (len(whole) // 2, len(whole) - 30, 10):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="damaged or cut off"):
            read(db, "darwin-core", path)
    assert rows(db, "SELECT count(*) FROM taxon") == [(0,)]
    path.write_bytes(whole[: len(whole) // 2] + bytes(40) + whole[len(whole) // 2 + 40 :])  # bits fell over
    with pytest.raises(InputError):
        read(db, "darwin-core", path)


def test_what_is_not_there_or_not_of_the_format_is_told(db: Database, tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="no such file"):
        read(db, "ncbi", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing of format ncbi in it"):
        read(db, "ncbi", tmp_path / "empty")
    with pytest.raises(UsageError, match="no id space"):
        read(db, "ncbi", tmp_path, "a:b")
    with pytest.raises(UsageError, match="no rule"):
        read(db, "ncbi", tmp_path, rules=["mine"])


# ------------------------------------------------------------------ versions


def test_the_same_content_is_unchanged_and_other_content_a_new_version(db: Database, tmp_path: Path) -> None:
    path = written.interim(tmp_path / "a")
    assert read(db, "interim", path).version == "1"
    assert read(db, "interim", path).unchanged
    os.utime(path / "taxonomy.tsv", ns=(1, 1))
    assert read(db, "interim", path).unchanged  # touched
    copy = Path(shutil.copytree(path, tmp_path / "b"))
    assert read(db, "interim", copy).unchanged  # moved
    again = read(db, "interim", copy, priority=4, rules=["name-flags"])
    assert again.unchanged
    assert again.remarks == ("priority 1 → 4", "rules none → name-flags")
    assert rows(db, "SELECT priority, parameters FROM taxonomy") == [
        (4, '{"format": "interim", "rules": ["name-flags"]}')
    ]
    written.interim(path, [*written.BEARS, ("77", "10", "Ursus novus", "species")])
    new = read(db, "interim", path)
    assert (new.unchanged, new.version, new.nodes) == (False, "2", 7)
    assert rows(db, "SELECT version, count(*) FROM taxonomy x JOIN taxon ON taxonomy_id = x.id GROUP BY x.id") == [
        ("1", 6), ("2", 7),
    ]  # fmt: skip
    old = read(db, "interim", copy)
    assert old.unchanged
    assert "version 2 is newer, and stays the one that is used" in old.remarks


@pytest.mark.parametrize(
    ("format_name", "file", "make"),
    [
        ("interim", "taxonomy.tsv", written.interim),
        ("ncbi", "nodes.dmp", lambda f: made(f, written.ncbi_texts())),
        ("darwin-core", "Taxon.tsv", lambda f: made(f, written.darwin_core_texts())),
    ],
)
def test_of_the_files_of_a_folder_that_of_the_taxa_stands_for_it(
    db: Database, tmp_path: Path, format_name: str, file: str, make: Any
) -> None:
    nodes = read(db, format_name, make(tmp_path)).nodes
    sql = "SELECT f.path, f.rows_read FROM taxonomy t JOIN source_file f ON f.id = t.source_file_id"
    assert rows(db, sql) == [(file, nodes)]


def test_a_release_is_a_name_for_one_content(db: Database, tmp_path: Path) -> None:
    path = written.interim(tmp_path)
    assert read(db, "interim", path, release="2024-01").version == "2024-01"
    assert rows(db, "SELECT key, release FROM source") == [("src", "2024-01")]
    written.interim(tmp_path, [*written.BEARS, ("77", "10", "Ursus novus", "species")])
    with pytest.raises(NameTaken, match="is there, with other content"):
        read(db, "interim", path, release="2024-01")
    assert rows(db, "SELECT count(*) FROM taxon") == [(6,)]


def test_a_taxonomy_of_a_source_of_images_leaves_where_those_lie(db: Database, tmp_path: Path) -> None:
    with db.write() as conn:
        eol = source_id(conn, "eol", tmp_path / "archives")
        conn.exec_driver_sql(
            f"INSERT INTO container (source_id, kind, path, state) VALUES ({eol}, 'tar_gz', 'a', 'expected')"
        )
    read(db, "interim", written.interim(tmp_path), "eol", release="2024-01")
    assert rows(db, "SELECT key, root, release FROM source") == [("eol", str(tmp_path / "archives"), None)]
    assert rows(db, "SELECT name, version FROM taxonomy") == [("eol", "2024-01")]


def test_rules_default_to_what_the_format_needs(db: Database, tmp_path: Path) -> None:
    made(tmp_path / "ncbi", written.ncbi_texts())
    made(tmp_path / "gbif", written.darwin_core_texts())
    read(db, "ncbi", tmp_path / "ncbi", "ncbi")
    read(db, "darwin-core", tmp_path / "gbif", "gbif", rules=[])
    assert rows(db, "SELECT name, parameters FROM taxonomy") == [
        ("ncbi", '{"format": "ncbi", "rules": ["name-flags"]}'), ("gbif", '{"format": "darwin-core", "rules": []}'),
    ]  # fmt: skip


def test_pruning_takes_all_of_it_and_refuses_what_is_in_use(db: Database, tmp_path: Path) -> None:
    read(db, "darwin-core", made(tmp_path, written.darwin_core_texts()), "gone")
    read(db, "interim", written.interim(tmp_path / "kept"), "kept")
    with db.write() as conn:
        conn.exec_driver_sql(
            "INSERT INTO taxonomy VALUES (9, 'made', '1', 'assembled', NULL, '{}', NULL, NULL, 'now')"
        )
        conn.exec_driver_sql("INSERT INTO taxonomy_input VALUES (9, 0, 'source', 1)")
    with db.write() as conn, pytest.raises(UsageError, match="made 1 was made of it"):
        prune(conn, 1)
    with db.write() as conn:
        assert prune(conn, 9).taxa == 0
        assert prune(conn, 1).taxa == 6
    assert tree(db, "kept") == BEARS
    assert [rows(db, f"SELECT count(*) FROM {t}") for t in ("synonym", "vernacular_name", "taxon_alias")] == [
        [(0,)]
    ] * 3
    assert rows(db, "PRAGMA foreign_key_check") == []
    assert not read(db, "darwin-core", tmp_path, "gone").unchanged  # it can come again


def test_a_failure_at_the_very_end_leaves_nothing(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    schema = rows(db, "SELECT name, sql FROM sqlite_schema ORDER BY name")
    monkeypatch.setattr(ingest, "_result", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read(db, "darwin-core", made(tmp_path, written.darwin_core_texts()))
    assert nothing_came(db)
    assert rows(db, "SELECT name, sql FROM sqlite_schema ORDER BY name") == schema


def test_indexes_are_built_anew_only_where_much_comes(db: Database) -> None:
    with db.write() as conn:
        conn.exec_driver_sql("INSERT INTO taxonomy VALUES (1, 'x', '1', 'source', 1, '{}', NULL, NULL, 'now')")
        many = [(n, 1, str(n), "n", "r") for n in range(1, 101)]
        insert = "INSERT INTO taxon (id, taxonomy_id, source_key, scientific_name, rank) VALUES (?, ?, ?, ?, ?)"
        conn.exec_driver_sql(insert, many)
        indexes = "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'taxon'"
        for incoming, there in ((24, 3), (25, 0), (1000, 0), (0, 3)):
            with without_indexes(conn, "taxon", incoming):
                assert conn.exec_driver_sql(indexes).scalar() == there, incoming
            assert conn.exec_driver_sql(indexes).scalar() == 3


# ------------------------------------------------------------------ the command, and real taxonomies


def test_the_command_tells_what_came_in(db: Database, tmp_path: Path) -> None:
    path = broken(tmp_path, *((str(n), "404", f"Lost {n}", "hobbit") for n in range(20, 25)))
    words = ("-q", "ingest", "taxonomy", "interim", path, "--name", "mine", "--priority", 2)
    out = tol_db(db.path, *words, "--release", "v3").stdout
    assert "mine v3: 11 nodes (8 tips), 0 synonyms, 0 common names, 0 other ids" in out
    assert "5 orphan; first:\n    20: Lost 20: its parent 404 is not there: a root (line 8)" in out
    assert "unknown_rank:\n    hobbit: 5 rows: no rank" in out
    assert "mine v3: unchanged, 11 nodes (8 tips)" in tol_db(db.path, *words).stdout
    assert "contradict" in tol_db(db.path, *words, "--rule", "name-flags", "--no-rules", expect=2).stderr
    (path / "taxonomy.tsv").write_bytes(b"")
    assert "empty file" in tol_db(db.path, *words, expect=65).stderr


@needs_shared
def test_the_published_taxonomies_come_whole(db: Database) -> None:
    folder = SHARED_DATA / "taxonomies"
    for name, nodes, synonyms in (
        ("ncbi_aster", 15_258, 3_091), ("gbif_aster", 11_221, 12_540), ("separation", 31, 8), ("lamiales", 119, 0),
    ):  # fmt: skip
        result = read(db, "interim", folder / name, name)
        assert (result.nodes, result.synonyms) == (nodes, synonyms)
        lines = (folder / name / "taxonomy.tsv").read_text(encoding="utf-8").splitlines()[1:]
        split = [[part.strip("\t") for part in line.split("\t|" if "\t|" in line else "\t")] for line in lines]
        assert {(key, up, text) for key, up, text, _ in tree(db, name)} == {
            (part[0], part[1] or None, part[2]) for part in split
        }
    assert {kind for kind, _ in findings(db)} == {"about_unreadable"}
    fungi = read(db, "newick", folder / "h2007" / "tree.tre", "h2007")
    assert fungi.nodes > 200
    assert ("Sordariomycetes", "class") in {(name, rank) for _, _, name, rank in tree(db, "h2007")}


@needs_shared
def test_an_earlier_assembly_keeps_its_sources_and_forwards(db: Database) -> None:
    result = read(db, "interim", SHARED_DATA / "taxonomies" / "prev_aster", "prev")
    assert (result.nodes, result.synonyms, result.aliases) == (20_795, 32_538, 867)
    sql = "SELECT source_id FROM taxon_source_id s JOIN taxon t ON t.id = s.taxon_id WHERE source_key = '1042120'"
    assert rows(db, sql) == [("ncbi:4209",), ("gbif:414",)]
    metadata = SHARED_DATA / "corpora" / "dev" / "data" / "TreeOfLife-10M" / "metadata"
    assert read(db, "eol", metadata / "taxon.tab", "eol").nodes == 249
    assert read(db, "itis", metadata / "species_level_taxonomy_chains.csv", "itis").vernaculars == 15


def test_of_several_taxonomies_in_one_folder_none_is_taken_unasked(db: Database, tmp_path: Path) -> None:
    one = "uid\tparent_uid\tname\trank\n1\t\tlife\tno rank\n"
    for name in ("a", "b"):
        made(tmp_path / "all" / name, {"taxonomy.tsv": one})
    with pytest.raises(InputError, match=r"several taxonomies in it: a/taxonomy\.tsv and b/taxonomy\.tsv"):
        read(db, "interim", tmp_path / "all")
    assert nothing_came(db)
    made(tmp_path / "all", {"taxonomy.tsv": one})
    assert read(db, "interim", tmp_path / "all").nodes == 1
