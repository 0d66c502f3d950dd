"""licenses.csv: what is kept of it, what is counted, what is refused."""

from __future__ import annotations

import csv
import hashlib
import os
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.shared_data import SHARED_DATA, needs_shared
from tol_db.db.engine import Database, open_database
from tol_db.db.migrate import init
from tol_db.errors import InputError, InputMissing
from tol_db.ingest.licences import ingest_licences

COLUMNS = [
    *("treeoflife_id", "eol_content_id", "eol_page_id", "md5", "medium_source_url"),
    *("eol_full_size_copy_url", "license_name", "copyright_owner", "license_link", "title"),
]
BY = "http://creativecommons.org/licenses/by/4.0/"


@pytest.fixture
def db(tmp_path: Path) -> Database:
    """Five EOL images; image n has content id 1000 + n and page id 50 + n."""
    path = tmp_path / "tol.sqlite"
    init(path)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("INSERT INTO source (id, key, title) VALUES (1, 'eol', 'EOL')")
        for n in range(1, 6):
            blob = uuid.UUID(tree_id(n)).bytes
            connection.execute("INSERT INTO image (id, treeoflife_id, source_id) VALUES (?, ?, 1)", (n, blob))
            connection.execute("INSERT INTO eol_image VALUES (?, ?, ?)", (n, 1000 + n, 50 + n))
    connection.close()
    return open_database(path)


def rows(db: Database, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(db.path) as connection:
        return connection.execute(sql).fetchall()


def dump(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    tables = [name for (name,) in rows(db, "SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {name: rows(db, f'SELECT * FROM "{name}"') for name in tables}


def tree_id(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


def md5(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def row(number: int, **changed: str) -> dict[str, str]:
    return {
        "treeoflife_id": tree_id(number),
        "eol_content_id": str(1000 + number),
        "eol_page_id": str(50 + number),
        "md5": md5(number),
        "medium_source_url": f"https://example.org/media/{number}",
        "eol_full_size_copy_url": f"https://example.org/full/{number}.jpg",
        "license_name": "cc-by",
        "copyright_owner": 'Åsa, "the Fly"',
        "license_link": BY,
        "title": "not provided",
        **changed,
    }


def licences(folder: Path, *table: dict[str, str], name: str = "licenses.csv") -> Path:
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table)
    return path


def test_a_licence_is_kept_once_and_each_image_refers_to_it(db: Database, tmp_path: Path) -> None:
    free = {"license_name": "No known copyright restrictions", "license_link": ""}
    path = licences(tmp_path, row(2), row(1, md5="", title="A\r\nfly"), row(3, **free))
    result = ingest_licences(db, path)
    assert rows(db, "SELECT id, name, link FROM licence ORDER BY id") == [
        (1, "cc-by", BY),
        (2, "No known copyright restrictions", ""),
    ]
    assert rows(db, "SELECT * FROM image_licence ORDER BY image_id") == [
        (1, 1, 'Åsa, "the Fly"', "A\r\nfly", "https://example.org/media/1", "https://example.org/full/1.jpg",
         None),
        (2, 1, 'Åsa, "the Fly"', "not provided", "https://example.org/media/2", "https://example.org/full/2.jpg",
         bytes.fromhex(md5(2))),
        (3, 2, 'Åsa, "the Fly"', "not provided", "https://example.org/media/3", "https://example.org/full/3.jpg",
         bytes.fromhex(md5(3))),
    ]  # fmt: skip
    assert result.describe() == ["licenses.csv: 3 rows, licences of 3 images (3 new or changed), 2 licences"]


def test_the_same_file_again_changes_nothing_and_says_so(db: Database, tmp_path: Path) -> None:
    path = licences(tmp_path, row(1), row(2))
    ingest_licences(db, path)
    before = dump(db)
    again = ingest_licences(db, path)
    assert again.unchanged
    assert again.describe() == ["licenses.csv: unchanged, 2 rows"]
    assert dump(db) == before
    os.utime(path, (1, 1))
    assert ingest_licences(db, path).unchanged
    assert dump(db)["image_licence"] == before["image_licence"]


def test_rows_of_no_image_are_counted_and_shown_and_met_when_the_image_comes(db: Database, tmp_path: Path) -> None:
    path = licences(tmp_path, row(1), *(row(n) for n in range(70, 78)))
    result = ingest_licences(db, path)
    assert (result.rows, result.images, result.no_image) == (9, 1, 8)
    assert result.no_image_first == tuple(f"line {n - 67}: {tree_id(n)}" for n in range(70, 75))
    assert "  8 rows name no image of this database; first:" in result.describe()
    before = dump(db)
    assert ingest_licences(db, path).no_image == 8
    assert dump(db) == before
    with sqlite3.connect(db.path) as connection:
        blob = uuid.UUID(tree_id(77)).bytes
        connection.execute("INSERT INTO image (id, treeoflife_id, source_id) VALUES (77, ?, 1)", (blob,))
        connection.execute("INSERT INTO eol_image VALUES (77, 1077, 127)")
    later = ingest_licences(db, path)
    assert (later.unchanged, later.changed, later.no_image) == (False, 1, 7)


def test_ids_that_are_not_those_of_the_image_are_counted_and_shown(db: Database, tmp_path: Path) -> None:
    other = row(2, eol_content_id="9"), row(3, eol_page_id="9"), row(4, eol_content_id="", eol_page_id="")
    result = ingest_licences(db, licences(tmp_path, row(1), *other))
    assert (result.images, result.other_keys) == (4, 2)
    assert result.other_keys_first == (f"line 3: {tree_id(2)}", f"line 4: {tree_id(3)}")


def test_a_changed_file_changes_only_what_changed(db: Database, tmp_path: Path) -> None:
    ingest_licences(db, licences(tmp_path, row(1), row(2), row(3)))
    changed = ingest_licences(db, licences(tmp_path, row(1), row(2, copyright_owner="Bo"), row(4)))
    assert (changed.changed, changed.removed) == (2, 1)
    assert rows(db, "SELECT image_id, copyright_owner FROM image_licence ORDER BY image_id") == [
        (1, 'Åsa, "the Fly"'),
        (2, "Bo"),
        (4, 'Åsa, "the Fly"'),
    ]


def test_licences_of_another_file_stay(db: Database, tmp_path: Path) -> None:
    ingest_licences(db, licences(tmp_path, row(1), name="one.csv"))
    result = ingest_licences(db, licences(tmp_path, row(2), name="two.csv"))
    assert (result.removed, result.kept) == (0, 1)
    assert rows(db, "SELECT image_id FROM image_licence") == [(1,), (2,)]


def test_a_row_may_stand_twice_but_not_with_two_meanings(db: Database, tmp_path: Path) -> None:
    assert ingest_licences(db, licences(tmp_path, row(1), row(2), row(1))).images == 2
    before = dump(db)
    with pytest.raises(InputError, match=rf"licenses\.csv: lines 2 and 5: {tree_id(1)} stands twice"):
        ingest_licences(db, licences(tmp_path, row(1), row(2), row(1), row(1, title="other")))
    with pytest.raises(InputError, match="lines 2 and 3"):
        ingest_licences(db, licences(tmp_path, row(90), row(90, md5="")))
    assert dump(db) == before


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"treeoflife_id": "x"}, "line 3: treeoflife_id 'x' is not a uuid"),
        ({"treeoflife_id": ""}, "line 3: treeoflife_id '' is not a uuid"),
        ({"eol_content_id": "12.0"}, "line 3: eol_content_id '12.0' is not a number"),
        ({"eol_page_id": "-1"}, "line 3: eol_page_id '-1' is not a number"),
        ({"eol_page_id": "9" * 30}, "line 3: eol_page_id '9"),
        ({"md5": "abc"}, "line 3: md5 'abc' is not 32 hex digits"),
        ({"md5": "g" * 32}, "line 3: md5 'g"),
        ({"title": "a\0b"}, "line 3: holds a NUL"),
    ],
)
def test_a_row_with_a_fault_is_refused_and_its_line_named(
    db: Database, tmp_path: Path, changed: dict[str, str], told: str
) -> None:
    ingest_licences(db, licences(tmp_path, row(5)))
    before = dump(db)
    with pytest.raises(InputError) as refused:
        ingest_licences(db, licences(tmp_path, row(1), row(2, **changed)))
    assert str(refused.value).startswith(f"{tmp_path / 'licenses.csv'}: {told}")
    assert refused.value.hint
    assert dump(db) == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: no column 'treeoflife_id'"),
        (",".join(COLUMNS) + "\n", "no row in it"),
        (",".join(COLUMNS).replace("license_name", "licence") + "\n", "line 1: no column 'license_name'"),
        (",".join(COLUMNS) + "\n1,2\n", "line 2: 2 fields, the header has 10"),
    ],
)
def test_another_table_is_refused(db: Database, tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "licenses.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"licenses\.csv") as refused:
        ingest_licences(db, path)
    assert told in str(refused.value)


def test_columns_may_stand_in_any_order_beside_others(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "licenses.csv"
    first = row(1)
    columns = ["more", *reversed(COLUMNS)]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([columns, [first.get(column, "") for column in columns]])
    assert ingest_licences(db, path).images == 1
    assert rows(db, "SELECT title, md5 FROM image_licence") == [("not provided", bytes.fromhex(md5(1)))]


def test_a_file_that_is_not_there_is_told(db: Database, tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match=r"nosuch\.csv"):
        ingest_licences(db, tmp_path / "nosuch.csv")


@needs_shared
def test_the_published_licences_come_back_as_they_stand(db: Database) -> None:
    path = SHARED_DATA / "corpora" / "dev" / "data" / "TreeOfLife-10M" / "metadata" / "licenses.csv"
    with path.open(encoding="utf-8", newline="") as file:
        published = {line["treeoflife_id"]: line for line in csv.DictReader(file)}
    with sqlite3.connect(db.path) as connection:
        for number, line in enumerate(published.values(), 100):
            blob = uuid.UUID(line["treeoflife_id"]).bytes
            connection.execute("INSERT INTO image (id, treeoflife_id, source_id) VALUES (?, ?, 1)", (number, blob))
            keys = (number, line["eol_content_id"], line["eol_page_id"])
            connection.execute("INSERT INTO eol_image VALUES (?, ?, ?)", keys)
    result = ingest_licences(db, path)
    assert (result.images, result.no_image, result.other_keys) == (len(published), 0, 0)
    stored = rows(
        db,
        """SELECT i.treeoflife_id, e.content_id, e.page_id, lower(hex(x.md5)), x.medium_source_url,
                  x.eol_full_size_copy_url, l.name, x.copyright_owner, l.link, x.title
           FROM image_licence x JOIN licence l ON l.id = x.licence_id
           JOIN image i ON i.id = x.image_id JOIN eol_image e ON e.image_id = i.id""",
    )
    assert len(stored) > 200
    for blob, *values in stored:
        line = published[str(uuid.UUID(bytes=blob))]
        assert list(map(str, values)) == [line[column] for column in COLUMNS[1:]]


@pytest.mark.parametrize("at", [0, 2, 3, 4])
def test_a_row_that_has_no_place_changes_nothing_for_those_before_it(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Rows go straight to their places until one cannot; then all are looked at again, with the same result."""
    monkeypatch.setattr("tol_db.ingest.licence_rows.BLOCK", 2)
    rows_ = [row(n, license_name=f"cc-{n}") for n in range(1, 5)]
    result = ingest_licences(db, licences(tmp_path, *rows_[:at], row(99, license_name="cc-99"), *rows_[at:]))
    assert (result.rows, result.images, result.changed, result.no_image) == (5, 4, 4, 1)
    assert result.no_image_first == (f"line {at + 2}: {tree_id(99)}",)
    names = [f"cc-{n}" for n in range(1, 5)]
    names.insert(at, "cc-99")
    assert [name for (name,) in rows(db, "SELECT name FROM licence ORDER BY id")] == names
    stored = rows(db, "SELECT image_id, name FROM image_licence JOIN licence ON licence.id = licence_id ORDER BY 1")
    assert stored == [(n, f"cc-{n}") for n in range(1, 5)]


@pytest.mark.parametrize(
    ("bad", "why"), [(b"caf\xe9", r"byte \d+ is not UTF-8 \(0xe9\)"), (b"a\0b", "holds a NUL character")]
)
@pytest.mark.parametrize("line", [2, 900, 1500])
def test_a_fault_far_into_a_file_is_told_with_its_line(
    db: Database, tmp_path: Path, bad: bytes, why: str, line: int
) -> None:
    """Lines are read in blocks of a MiB; 1,500 lines of 2 kB make three of them."""
    path = licences(tmp_path, *(row(n, title="x" * 2000) for n in range(1, 1501)))
    content = path.read_bytes().split(b"\n")
    content[line - 1] = content[line - 1].replace(b"xxxxxx", bad, 1)
    path.write_bytes(b"\n".join(content))
    with pytest.raises(InputError, match=f"line {line}: {why}"):
        ingest_licences(db, path)
    assert rows(db, "SELECT count(*) FROM image_licence") == [(0,)]
    assert rows(db, "SELECT count(*) FROM licence") == [(0,)]
