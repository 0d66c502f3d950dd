"""Name lookups: what is read, what images are called then, what is refused, and the cost in memory."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.shared_data import SHARED_DATA, needs_shared
from tol_db.db.engine import Database, open_database
from tol_db.db.migrate import init
from tol_db.errors import InputError, InputMissing, UsageError
from tol_db.ingest.labels import ingest_lookup
from tol_db.ingest.text_files import CsvTable, reading
from tol_db.label import _BY_ID_OR_FILE, _EOL, _INAT21
from tol_db.taxonomy.names import Lineage, common
from tol_db.taxonomy.ranks import RANKS

PARUS = ["Animalia", "Chordata", "Aves", "Passeriformes", "Paridae", "Parus", "major"]
ERICA = ["Plantae", "Streptophyta", "", "Ericales", "Ericaceae", "Erica", "Erica carnea L."]
NEW_FOLDER = """INSERT INTO container (source_id, kind, path, group_number, state)
                VALUES (?, 'directory', ?, ?, 'expected') ON CONFLICT DO NOTHING"""
NOTHING = ["", "", "", "", "unknown", "", ""]


@pytest.fixture
def db(tmp_path: Path) -> Database:
    init(tmp_path / "tol.sqlite")
    return open_database(tmp_path / "tol.sqlite")


def rows(db: Database, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with sqlite3.connect(db.path) as connection:
        return connection.execute(sql, parameters).fetchall()


def run(db: Database, *statements: tuple[str, tuple[object, ...]]) -> None:
    connection = sqlite3.connect(db.path)
    with connection:
        for sql, parameters in statements:
            connection.execute(sql, parameters)
    connection.close()


def dump(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    tables = [name for (name,) in rows(db, "SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {name: rows(db, f'SELECT * FROM "{name}"') for name in tables}


def tree_id(number: int) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, str(number))


def add_source(db: Database, key: str) -> int:
    run(db, ("INSERT INTO source (key, title) VALUES (?, ?) ON CONFLICT DO NOTHING", (key, key)))
    return int(rows(db, "SELECT id FROM source WHERE key = ?", key)[0][0])


def add_eol(db: Database, pages: list[int]) -> None:
    """Images 1, 2, … of these EOL pages."""
    source = add_source(db, "eol")
    for number, page in enumerate(pages, 1):
        run(
            db,
            ("INSERT INTO image (id, treeoflife_id, source_id) VALUES (?, ?, ?)",
             (number, tree_id(number).bytes, source)),
            ("INSERT INTO eol_image VALUES (?, ?, ?)", (number, 1000 + number, page)),
        )  # fmt: skip


def add_in_folder(db: Database, key: str, folder: int, members: list[str | None]) -> None:
    """Images in a numbered folder of iNat21 or BIOSCAN."""
    source = add_source(db, key)
    run(db, (NEW_FOLDER, (source, f"folder{folder}", folder)))
    container = rows(db, "SELECT max(id) FROM container")[0][0]
    for member in members:
        number = rows(db, "SELECT coalesce(max(id), 0) + 1 FROM image")[0][0]
        run(
            db,
            ("INSERT INTO image (id, treeoflife_id, source_id, container_id, member) VALUES (?, ?, ?, ?, ?)",
             (number, tree_id(number).bytes, source, container, member)),
        )  # fmt: skip


def lookup(folder: Path, content: object, name: str = "names.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), "utf-8")
    return path


def called(db: Database) -> list[str | None]:
    """Genus and species of each image, in order of id."""
    return [
        None if genus is None else f"{genus} {species}".strip()
        for genus, species in rows(
            db, "SELECT l.genus, l.species FROM image i LEFT JOIN label l ON l.id = i.label_id ORDER BY i.id"
        )
    ]


# ------------------------------------------------------------------ what images are called


def test_eol_images_are_named_by_their_page(db: Database, tmp_path: Path) -> None:
    add_eol(db, [7, 8, 7, 9, 10])
    path = lookup(tmp_path, {"7": [PARUS, "Great tit", [1, 2]], "8": [ERICA, ""], "9": [NOTHING, "x"]})
    result = ingest_lookup(db, "eol", path)
    assert called(db) == ["Parus major", "Erica carnea", "Parus major", None, None]
    assert (result.keys, result.labels_new, result.labels_known, result.empty) == (3, 2, 0, 1)
    assert (result.images_changed, result.images_labelled, result.images_unlabelled) == (3, 3, 2)
    assert not result.unchanged
    assert result.describe() == [
        "names.json: 3 keys, 2 new labels, 0 known; 3 images changed",
        "  1 keys have no name at all: their images have no label",
        "  images of eol: 3 with a label, 2 without",
    ]


def test_inat21_images_are_named_by_the_number_of_their_folder(db: Database, tmp_path: Path) -> None:
    add_in_folder(db, "inat21", 371, ["a.jpg", "b.jpg"])
    add_in_folder(db, "inat21", 5, ["c.jpg"])
    ingest_lookup(db, "inat21", lookup(tmp_path, {"00371": [PARUS, ""], "9": [ERICA, ""]}))
    assert called(db) == ["Parus major", "Parus major", None]


def test_bioscan_images_are_named_by_their_id_in_any_spelling(db: Database, tmp_path: Path) -> None:
    add_in_folder(db, "bioscan", 1, [None, "b.jpg"])
    names = {str(tree_id(1)).upper(): [PARUS, ""], tree_id(2).hex: [ERICA, ""]}
    ingest_lookup(db, "bioscan", lookup(tmp_path, names))
    assert called(db) == ["Parus major", "Erica carnea"]
    assert [key for (key,) in rows(db, "SELECT key FROM label_key ORDER BY key")] == sorted(
        [str(tree_id(1)), str(tree_id(2))]
    )


def test_names_are_normalised_once_and_the_common_name_is_kept_as_given(db: Database, tmp_path: Path) -> None:
    ranks = ["Metazoa", "<i>Chordata</i>", "", "unknown", None, "GEOSPIZA", "Geospiza fuliginosa fuliginosa"]
    ingest_lookup(db, "eol", lookup(tmp_path, {"1": [ranks, " Small  ground-finch "], "2": [PARUS, None]}))
    assert rows(
        db, 'SELECT kingdom, phylum, "order", family, genus, species, common_name FROM label ORDER BY id'
    ) == [
        ("Animalia", "Chordata", "", "", "Geospiza", "fuliginosa", " Small  ground-finch "),
        ("Animalia", "Chordata", "Passeriformes", "Paridae", "Parus", "major", ""),
    ]


def test_labels_are_numbered_by_where_they_stand_first(db: Database, tmp_path: Path) -> None:
    names = {"9": [ERICA, ""], "1": [PARUS, ""], "5": [ERICA, ""], "2": [PARUS, "Great tit"]}
    ingest_lookup(db, "eol", lookup(tmp_path, names))
    assert rows(db, "SELECT id, genus, common_name, resolution FROM label ORDER BY id") == [
        (1, "Erica", "", "published"),
        (2, "Parus", "", "published"),
        (3, "Parus", "Great tit", "published"),
    ]
    assert rows(db, "SELECT key, label_id FROM label_key ORDER BY key") == [
        ("1", 2),
        ("2", 3),
        ("5", 1),
        ("9", 1),
    ]


def test_names_that_come_before_their_images_are_applied_when_they_are_read_again(
    db: Database, tmp_path: Path
) -> None:
    path = lookup(tmp_path, {"7": [PARUS, ""]})
    assert ingest_lookup(db, "eol", path).describe()[-1] == "  images of eol: none yet"
    add_eol(db, [7])
    again = ingest_lookup(db, "eol", path)
    assert called(db) == ["Parus major"]
    assert (again.unchanged, again.images_changed, again.labels_known) == (False, 1, 1)


@needs_shared
@pytest.mark.parametrize("corpus", ["dev", "dev_adversarial"])
def test_the_published_corpora_get_the_names_of_their_catalog(db: Database, corpus: str) -> None:
    metadata = SHARED_DATA / "corpora" / corpus / "data" / "TreeOfLife-10M" / "metadata"
    with (metadata / "catalog.csv").open(encoding="utf-8", newline="") as file:
        catalog = {row["treeoflife_id"]: row for row in csv.DictReader(file)}
    for row in catalog.values():
        add_catalog_image(db, row)
    for key in ("eol", "inat21", "bioscan"):
        ingest_lookup(db, key, metadata / "naming" / f"{key}_name_lookup.json")
    ranks = 'kingdom, phylum, class, "order", family, genus, species'
    named = rows(db, f"SELECT i.treeoflife_id, {ranks}, common_name FROM image i JOIN label l ON l.id = i.label_id")
    assert len(named) == len(catalog) > 100
    for blob, *texts in named:
        row = catalog[str(uuid.UUID(bytes=blob))]
        assert texts[:-1] == [row[rank] for rank in RANKS]
        assert common(Lineage.of(texts[:-1]), texts[-1]) == row["common"]


def add_catalog_image(db: Database, row: dict[str, str]) -> None:
    key = "eol" if row["eol_page_id"] else "inat21" if row["inat21_cls_num"] else "bioscan"
    source = add_source(db, key)
    blob = uuid.UUID(row["treeoflife_id"]).bytes
    run(db, ("INSERT INTO image (treeoflife_id, source_id) VALUES (?, ?)", (blob, source)))
    number = rows(db, "SELECT id FROM image WHERE treeoflife_id = ?", blob)[0][0]
    if key == "eol":
        run(
            db,
            ("INSERT INTO eol_image VALUES (?, ?, ?)", (number, row["eol_content_id"], row["eol_page_id"])),
        )
    elif key == "inat21":
        folder = int(row["inat21_cls_num"])
        run(
            db,
            (NEW_FOLDER, (source, str(folder), folder)),
            ("UPDATE image SET container_id = (SELECT id FROM container WHERE path = ?) WHERE id = ?",
             (str(folder), number)),
        )  # fmt: skip


@pytest.mark.parametrize("only", ["", "AND i.label_id IS NULL"])
@pytest.mark.parametrize("sql", [_EOL, _INAT21, _BY_ID_OR_FILE])
def test_keys_are_looked_up_by_index(db: Database, sql: str, only: str) -> None:
    sql = sql.format(only=only)
    steps = [row[3] for row in rows(db, "EXPLAIN QUERY PLAN " + sql, 1)]
    assert {step for step in steps if step.startswith("SCAN")} <= {"SCAN i", "SCAN image", "SCAN n"}
    assert any("SEARCH" in step and "source_id=? AND key=?" in step for step in steps)


# ------------------------------------------------------------------ reading again


def test_the_same_file_again_changes_nothing_and_says_so(db: Database, tmp_path: Path) -> None:
    add_eol(db, [7, 8])
    path = lookup(tmp_path, {"7": [PARUS, ""], "8": [NOTHING, ""]})
    ingest_lookup(db, "eol", path)
    before = dump(db)
    again = ingest_lookup(db, "eol", path)
    assert again.unchanged
    assert again.describe()[0] == "names.json: unchanged, 2 keys"
    assert dump(db) == before


def test_a_touched_or_copied_file_is_the_same_file(db: Database, tmp_path: Path) -> None:
    add_eol(db, [7])
    path = lookup(tmp_path, {"7": [PARUS, ""]})
    ingest_lookup(db, "eol", path)
    before = dump(db)
    os.utime(path, (1, 1))
    assert ingest_lookup(db, "eol", path).unchanged
    after = dump(db)
    assert {name for name in before if before[name] != after[name]} == {"source_file"}


def test_a_changed_name_is_a_new_label_and_the_old_one_stays(db: Database, tmp_path: Path) -> None:
    add_eol(db, [7, 8, 9])
    ingest_lookup(db, "eol", lookup(tmp_path, {"7": [PARUS, ""], "8": [ERICA, ""], "9": [PARUS, ""]}))
    changed = ingest_lookup(db, "eol", lookup(tmp_path, {"7": [PARUS, "Great tit"], "9": [PARUS, ""]}))
    assert rows(db, "SELECT id, genus, common_name FROM label ORDER BY id") == [
        (1, "Parus", ""),
        (2, "Erica", ""),
        (3, "Parus", "Great tit"),
    ]
    assert rows(db, "SELECT label_id FROM image") == [(3,), (None,), (1,)]
    assert (changed.stored.keys_changed, changed.stored.keys_removed, changed.images_changed) == (1, 1, 2)
    assert "  1 keys are not in the file any more: removed" in changed.describe()


def test_of_two_lookups_the_one_read_last_names_a_key_of_both(db: Database, tmp_path: Path) -> None:
    add_eol(db, [7, 8])
    one = lookup(tmp_path, {"7": [PARUS, ""], "8": [PARUS, ""]}, "one.json")
    two = lookup(tmp_path, {"7": [ERICA, ""]}, "two.json")
    ingest_lookup(db, "eol", one)
    taken = ingest_lookup(db, "eol", two)
    assert (taken.stored.keys_taken_over, called(db)) == (1, ["Erica carnea", "Parus major"])
    back = ingest_lookup(db, "eol", one)
    assert (back.stored.keys_taken_over, called(db)) == (1, ["Parus major", "Parus major"])


def test_a_label_put_in_place_of_the_published_one_stays_while_that_one_does(db: Database, tmp_path: Path) -> None:
    add_eol(db, [7])
    ingest_lookup(db, "eol", lookup(tmp_path, {"7": [PARUS, ""], "8": [ERICA, ""]}))
    run(db, ("UPDATE image SET published_label_id = label_id, label_id = 2", ()))
    assert ingest_lookup(db, "eol", lookup(tmp_path, {"7": [PARUS, ""], "8": [ERICA, "x"]})).images_changed == 0
    assert called(db) == ["Erica carnea"]
    ingest_lookup(db, "eol", lookup(tmp_path, {"7": [PARUS, "Great tit"]}))
    assert rows(db, "SELECT published_label_id, label_id = 2 FROM image") == [(None, 0)]


# ------------------------------------------------------------------ what is refused

SEVEN = '["a", "b", "c", "d", "e", "f", "g"]'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "EOF"),
        ("{}", "no entry"),
        ("[]", "no entry"),
        ('{"5": [[', "key '5'"),
        (f'{{"5": [{SEVEN}, ""]', "key '5'"),
        (f'{{"5": [{SEVEN}, ""]}} x', "trailing"),
        ("[1, 2]", "list"),
        ('"text"', "neither an object nor a list"),
        ('{"5": 5}', "key '5'"),
        ('{"5": {"kingdom": "Animalia"}}', "key '5'"),
        ('{"5": [["a"], "b"]}', "7 names"),
        (f'{{"5": [{SEVEN}]}}', "key '5'"),
        (f'{{"5": [{SEVEN}, "", [], 1]}}', "key '5'"),
        (f'{{"5": [{SEVEN}, 3]}}', "all of them texts"),
        ('{"5": [[1, 2, 3, 4, 5, 6, 7], ""]}', "all of them texts"),
        ('{"5": ["abcdefg", ""]}', "key '5'"),
        (f'{{"4": [{SEVEN}, "z", 1], "5": ["abcdefg", "z", 1]}}', "key '5'"),
        (f'{{"x": [{SEVEN}, ""]}}', "key 'x': not a number"),
        (f'{{"-5": [{SEVEN}, ""]}}', "key '-5'"),
        (f'{{"5.0": [{SEVEN}, ""]}}', "key '5.0'"),
        (f'{{"٣": [{SEVEN}, ""]}}', "key '٣'"),
        (f'{{"99999999999999999999": [{SEVEN}, ""]}}', "not a number"),
        (f'{{"5": [{SEVEN}, "a\\u0000b"]}}', "NUL"),
        (f'{{"5": [{SEVEN}, "a\0b"]}}', "key '5'"),
        (
            f'{{"5": [{SEVEN}, "{"<" * 20}"], "6": [{SEVEN.replace("f", "f" * 2000)}, ""]}}',
            "2,000 characters",
        ),
        (f'{{"5": [{SEVEN}, ""], "6": [{SEVEN}, ""], "05": [{SEVEN}, "other"]}}', "key '5' stands twice"),
        (f'{{"5": [{SEVEN}, "", [{"9" * 5000}]]}}', "key '5'"),
        (f'{{"5": {"[" * 100_000}', "key '5'"),
        (f'{{"5": [{SEVEN}, "", [1e999999999999999999999]]}}', "key '5'"),
    ],
)
def test_a_lookup_with_a_fault_is_refused_whole_and_the_place_named(
    db: Database, tmp_path: Path, text: str, told: str
) -> None:
    add_eol(db, [5])
    ingest_lookup(db, "eol", lookup(tmp_path, {"5": [PARUS, ""]}, "good.json"))
    before = dump(db)
    with pytest.raises(InputError, match=r"names\.json") as refused:
        ingest_lookup(db, "eol", lookup(tmp_path, text))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.hint
    assert dump(db) == before


def test_a_lookup_that_is_not_utf8_is_refused(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    path.write_bytes(f'{{"5": [{SEVEN}, "Mu\xf1oz"]}}'.encode("latin-1"))
    with pytest.raises(InputError, match=r"key '5'.*UTF8"):
        ingest_lookup(db, "eol", path)


def test_a_byte_order_mark_is_no_fault(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"5": [PARUS, ""]}).encode())
    assert ingest_lookup(db, "eol", path).keys == 1


def test_a_key_that_stands_twice_with_the_same_name_is_no_fault(db: Database, tmp_path: Path) -> None:
    text = f'{{"5": [{SEVEN}, ""], "05": [{SEVEN}, "", [1]]}}'
    assert ingest_lookup(db, "eol", lookup(tmp_path, text)).keys == 1
    assert ingest_lookup(db, "eol", lookup(tmp_path, text)).unchanged


def test_a_bioscan_lookup_wants_ids_for_keys(db: Database, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"key '12': not a TreeOfLife id"):
        ingest_lookup(db, "bioscan", lookup(tmp_path, {"12": [PARUS, ""]}))


def test_a_source_or_file_that_is_not_there_is_told(db: Database, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no source 'gbif'"):
        ingest_lookup(db, "gbif", lookup(tmp_path, {}))
    with pytest.raises(InputMissing, match=r"nosuch\.json"):
        ingest_lookup(db, "eol", tmp_path / "nosuch.json")
    with pytest.raises(InputError, match="a folder"):
        ingest_lookup(db, "eol", tmp_path)
    with pytest.raises(InputError, match=r"not read from '\.tsv'"):
        ingest_lookup(db, "eol", lookup(tmp_path, "x", "names.tsv"))


# ------------------------------------------------------------------ BIOSCAN's own metadata

RECORDS = [
    {"image_file": "1.jpg", "order": "Diptera", "family": "not_classified", "genus": "", "species": ""},
    {"image_file": "2.jpg", "order": "Odonata", "family": "Libellulidae", "genus": "Sympetrum",
     "species": "Sympetrum danae"},
]  # fmt: skip


def as_table(records: list[dict[str, str]], delimiter: str) -> str:
    lines = [delimiter.join(["sample", *records[0]])]
    return "\r\n".join([*lines, *(delimiter.join(["s", *r.values()]) for r in records)]) + "\r\n"


BIOSCAN_FORMS: dict[str, Callable[[list[dict[str, str]]], str]] = {
    "metadata.tsv": lambda records: as_table(records, "\t"),
    "metadata.csv": lambda records: as_table(records, ","),
    "metadata.jsonl": lambda records: "".join(json.dumps(r) + "\n" for r in records),
}


@pytest.mark.parametrize("name", BIOSCAN_FORMS)
def test_bioscan_metadata_names_raw_images_by_their_file(db: Database, tmp_path: Path, name: str) -> None:
    add_in_folder(db, "bioscan", 1, ["1.jpg", "2.jpg"])
    add_in_folder(db, "bioscan", 2, ["bioscan/part2/2.jpg", "3.jpg"])
    path = lookup(tmp_path, BIOSCAN_FORMS[name](RECORDS), name)
    result = ingest_lookup(db, "bioscan", path)
    assert called(db) == ["", "Sympetrum danae", "Sympetrum danae", None]
    assert rows(db, 'SELECT kingdom, phylum, class, "order", family, genus, species, common_name FROM label') == [
        ("Animalia", "Arthropoda", "Insecta", "Diptera", "", "", "", ""),
        ("Animalia", "Arthropoda", "Insecta", "Odonata", "Libellulidae", "Sympetrum", "danae", ""),
    ]
    assert (result.keys, result.images_unlabelled) == (2, 1)
    before = dump(db)
    assert ingest_lookup(db, "bioscan", path).unchanged
    assert dump(db) == before


def test_the_most_exact_key_of_a_bioscan_image_decides(db: Database, tmp_path: Path) -> None:
    add_in_folder(db, "bioscan", 1, ["1.jpg"])
    add_in_folder(db, "bioscan", 2, ["1.jpg", "1.jpg"])
    parts = [{**RECORDS[0], "image_file": "cropped/part2/1.jpg", "order": "Hymenoptera"}]
    records = [*RECORDS, *parts]
    ingest_lookup(db, "bioscan", lookup(tmp_path, BIOSCAN_FORMS["metadata.csv"](records), "metadata.csv"))
    ingest_lookup(db, "bioscan", lookup(tmp_path, {str(tree_id(3)): [NOTHING, ""]}))
    orders = rows(db, 'SELECT l."order" FROM image i LEFT JOIN label l ON l.id = i.label_id ORDER BY i.id')
    assert orders == [("Diptera",), ("Hymenoptera",), (None,)]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("m.tsv", "image_file\torder\tfamily\tgenus\n", "line 1: no column 'species'"),
        ("m.tsv", "", "line 1: no column 'image_file'"),
        ("m.csv", as_table(RECORDS, ",").replace("s,2.jpg", "2.jpg"), "line 3: 5 fields, the header has 6"),
        ("m.csv", as_table(RECORDS, ",").replace("2.jpg", ""), "line 3: image_file is empty"),
        ("m.csv", as_table([*RECORDS, {**RECORDS[1], "genus": "Aeshna"}], ","), "'2.jpg' stands twice"),
        ("m.csv", as_table(RECORDS, ",").replace("s,2", 's,"2'), "line 3: not CSV"),
        ("m.csv", as_table(RECORDS, ",").replace("danae", "da\0nae"), "line 3: holds a NUL"),
        ("m.csv", as_table(RECORDS, ",").replace("family", "genus"), "column 'genus' stands twice"),
        ("m.jsonl", json.dumps(RECORDS[0]) + "\n{", "line 2: broken JSON"),
        ("m.jsonl", json.dumps(RECORDS[0]) + "\n[1]", "line 2: not a JSON object"),
        ("m.jsonl", '{"image_file": "1.jpg"}', "line 1: no order"),
        ("m.jsonl", json.dumps({**RECORDS[0], "genus": 5}), "line 1: a name that is not a text"),
        ("m.jsonl", json.dumps({**RECORDS[0], "genus": "\ud800"}), "half a character"),
        ("m.jsonl", "[" * 100_000, "line 1: broken JSON"),
    ],
)
def test_bioscan_metadata_with_a_fault_is_refused_and_the_line_named(
    db: Database, tmp_path: Path, name: str, text: str, told: str
) -> None:
    before = dump(db)
    with pytest.raises(InputError, match=rf"{name}: ") as refused:
        ingest_lookup(db, "bioscan", lookup(tmp_path, text, name))
    assert told in str(refused.value)
    assert dump(db) == before


# ------------------------------------------------------------------ the CSV reader


def read_csv(path: Path, data: bytes, *columns: str) -> list[tuple[int, list[str]]]:
    path.write_bytes(data)
    with reading(path) as file:
        return list(CsvTable(file).rows(columns))


def test_csv_fields_may_hold_line_ends_quotes_and_millions_of_characters(tmp_path: Path) -> None:
    long = "x" * 9_000_000
    data = f'\ufeffa,b\r\n"1\r\n2","say ""so"""\r\n\r\n3,{long}\r\n'.encode()
    assert read_csv(tmp_path / "t.csv", data, "b", "a") == [
        (2, ['say "so"', "1\r\n2"]),
        (5, [long, "3"]),
    ]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"a,b\n1,2\n\xff,3\n", "line 3: byte 1 is not UTF-8 (0xff)"),
        (b"a,b\n1," + b"x" * 10_000_001 + b"\n", "line 2: longer than 10,000,000 bytes"),
        (b'a,b\n1,2\n"' + b"x" * 999 * 1 + b"\n" * 10_000_001, "line 3: not CSV: field larger"),
        (b'a,b\n1,"2\n3,4\n', "line 2: not CSV"),
        (b'a,b\n1,"2"3\n', "line 2: not CSV"),
        (b"a,b\n1,2\r3,4\n", "line 2"),
    ],
)
def test_csv_faults_name_the_line_at_which_the_record_begins(tmp_path: Path, data: bytes, told: str) -> None:
    with pytest.raises(InputError) as refused:
        read_csv(tmp_path / "t.csv", data, "a")
    assert str(refused.value).startswith(f"{tmp_path / 't.csv'}: {told}")


# ------------------------------------------------------------------ memory


def big_lookup() -> Iterator[str]:
    """75,000 keys of 700 bytes."""
    yield "{"
    for n in range(75_000):
        ranks = [
            "Animalia",
            "Arthropoda",
            "Insecta",
            f"Order{n % 40}",
            f"Family{n % 900}",
            f"Genus{n % 20_000}",
        ]
        name = f"common name {n // 3} {'of some length ' * 36}"
        value = json.dumps([[*ranks, f"species{n // 3}"], name, [0, 0, n, n, n, n, n]])
        yield f'{"," if n else ""}"{n}":{value}'
    yield "}"


def test_a_large_lookup_is_read_in_little_memory(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(big_lookup())
    size = path.stat().st_size
    assert size > 50_000_000
    tracemalloc.start()
    try:
        result = ingest_lookup(db, "eol", path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.keys == 75_000
    # json.load takes 117 MB for it and grows with the file; ours are two batches of 20,000 rows (SQLite's own
    # memory is bounded by its cache and not counted here)
    assert peak < 60_000_000, f"{peak:,} bytes for a file of {size:,}"
