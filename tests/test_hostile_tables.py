"""Tables that are broken or made to harm: one line that names file and row, and nothing of them is kept."""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.raw_trees import Rows, dump, new_database, rows_of, small_rows, tree_id, write_mapping, write_tree
from tests.running import plan, tol_db
from tol_db.db.engine import Database
from tol_db.errors import InputError, InputMissing, TolDbError, UsageError
from tol_db.ingest.blacklist_file import ingest_blacklist
from tol_db.ingest.json_escapes import WholeCharacters
from tol_db.ingest.labels import ingest_lookup
from tol_db.ingest.licences import ingest_licences
from tol_db.ingest.mapping import ingest_mapping
from tol_db.ingest.split_file import ingest_split

LICENCE_COLUMNS = (
    "treeoflife_id,eol_content_id,eol_page_id,md5,medium_source_url,eol_full_size_copy_url,license_name,"
    "copyright_owner,license_link,title"
)
LICENCES = f"{LICENCE_COLUMNS}\n{tree_id(1)},11,101,,u,v,cc-by,Jane,link,A title\n"
SEVEN = '["Animalia","Chordata","Aves","Passeriformes","Paridae","Parus","major"]'
LOOKUP = f'{{"101": [{SEVEN}, "Great tit"], "102": [{SEVEN}, "Great tit"]}}'
BIOSCAN = "image_file\torder\tfamily\tgenus\tspecies\nx.jpg\tDiptera\tMuscidae\tMusca\tMusca domestica\n"
BIOSCAN_LINES = '{"image_file": "x.jpg", "order": "Diptera", "family": "", "genus": "", "species": ""}\n'
BLACKLIST = '{"Parus major": ["/x/11_101_eol-full-size-copy.jpg"]}'
IDS = f"{tree_id(1)}\n{tree_id(2)}\n"
CATALOG = f"split,treeoflife_id\nmine,{tree_id(1)}\nmine,{tree_id(2)}\n"

Reader = Callable[[Database, Path], object]

READERS: dict[str, tuple[str, str, Reader]] = {
    "licences": ("licenses.csv", LICENCES, ingest_licences),
    "lookup": ("eol_name_lookup.json", LOOKUP, lambda db, path: ingest_lookup(db, "eol", path)),
    "bioscan table": ("bioscan.tsv", BIOSCAN, lambda db, path: ingest_lookup(db, "bioscan", path)),
    "bioscan lines": ("bioscan.jsonl", BIOSCAN_LINES, lambda db, path: ingest_lookup(db, "bioscan", path)),
    "blacklist": ("list.json", BLACKLIST, lambda db, path: ingest_blacklist(db, "mine", species=[path])),
    "blacklist lines": (
        "list.txt",
        "11_101_eol.jpg\n",
        lambda db, path: ingest_blacklist(db, "mine", images=[path]),
    ),
    "ids": ("ids.txt", IDS, lambda db, path: ingest_split(db, "mine", path)),
    "catalog": ("catalog.csv", CATALOG, lambda db, path: ingest_split(db, "mine", path)),
}
"""What is read → file name, sound content, reader."""


@pytest.fixture
def db(tmp_path: Path) -> Database:
    """With the images of the small mapping."""
    write_mapping(tmp_path / "mapping.sqlite", small_rows()).close()
    made = new_database(tmp_path)
    ingest_mapping(made, tmp_path / "mapping.sqlite")
    return made


def refused(db: Database, path: Path, reader: Reader, *, told: str = "") -> None:
    """It is an input error with a hint that names the file, and nothing was kept."""
    before = dump(db)
    with pytest.raises(InputError) as caught:
        reader(db, path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)
    assert caught.value.hint
    assert str(caught.value).isprintable(), "it may reach a terminal"
    assert len(str(caught.value)) < 1000
    assert dump(db) == before


@pytest.mark.parametrize("what", READERS)
def test_a_sound_table_is_read_also_with_a_byte_order_mark_and_other_line_ends(
    db: Database, tmp_path: Path, what: str
) -> None:
    name, content, reader = READERS[what]
    contents = []
    for number, data in enumerate((content, "\ufeff" + content, content.replace("\n", "\r\n"))):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        path.write_bytes(data.encode())
        if number and what in ("ids", "catalog"):
            with db.write() as conn:
                conn.exec_driver_sql(
                    "DELETE FROM split_member WHERE split_id IN (SELECT id FROM split WHERE name = 'mine')"
                )
                conn.exec_driver_sql("DELETE FROM split WHERE name = 'mine'")
        reader(db, path)
        kept = ("image_licence", "label", "blacklist_entry", "split_member")
        content_now = {name: [row[1:] for row in dump(db)[name]] for name in kept[:1]}
        content_now["labels"] = rows_of(db, "SELECT kingdom, genus, species, common_name FROM label ORDER BY id")
        content_now["list"] = rows_of(db, "SELECT kind, value FROM blacklist_entry ORDER BY id")
        content_now["members"] = rows_of(db, "SELECT image_id FROM split_member ORDER BY split_id, image_id")
        contents.append(content_now)
    assert contents[0] == contents[1] == contents[2]


def _broken(content: str) -> dict[str, bytes]:
    """Kinds of harm that every reader has to meet."""
    data = content.encode()
    middle = len(data) - 8
    return {
        "empty": b"",
        "blank": b"\n\n  \n",
        "only a mark": b"\xef\xbb\xbf",
        "NUL": data[:middle] + b"\0" + data[middle:],
        "not UTF-8": data[:middle] + b"\xff\xfe" + data[middle:],
        "UTF-16": content.encode("utf-16"),
        "ten megabytes in a field": data[:middle] + b"x" * 10_000_001 + data[middle:],
        "a picture": b"\xff\xd8\xff\xe0" + bytes(range(256)) * 20,
        "gzip": b"\x1f\x8b\x08" + bytes(300),
    }


HARMS = tuple(_broken("0123456789"))


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("what", READERS)
def test_a_harmed_table_is_named_and_nothing_is_kept(db: Database, tmp_path: Path, what: str, harm: str) -> None:
    name, content, reader = READERS[what]
    path = tmp_path / name
    path.write_bytes(_broken(content)[harm])
    refused(db, path, reader)


MORE: tuple[tuple[str, bytes, str], ...] = (
    ("licences", LICENCES.replace("Jane", '"Jane').encode(), "line 2"),
    ("licences", LICENCES.replace(",11,", ",99999999999999999999,").encode(), "line 2: eol_content_id"),
    ("licences", LICENCES.replace(",11,", ",NaN,").encode(), "line 2: eol_content_id"),
    ("licences", LICENCES.replace(",11,", ",-1,").encode(), "line 2: eol_content_id"),
    ("licences", LICENCES.replace(",11,", ",１１,").encode(), "line 2: eol_content_id"),
    ("licences", (LICENCES + LICENCES.splitlines()[1].replace("Jane", "Joe")).encode(), "lines 2 and 3"),
    ("licences", LICENCES.replace("title", "title,title").encode(), "stands twice"),
    ("licences", LICENCES.replace("\n", "\r").replace("Jane", "'; DROP TABLE image; --,x").encode(), "line 1"),
    ("lookup", b"[" * 100_000, "not the JSON wanted"),
    ("lookup", b'{"1": ' + b"[" * 100_000, "at key '1'"),
    ("lookup", b'{"1": ' + b'{"a":' * 100_000, "at key '1'"),
    ("lookup", LOOKUP.replace('"major"', "1" * 5000).encode(), "key '101'"),
    ("lookup", LOOKUP.replace('"major"', "NaN").encode(), "not the JSON wanted"),
    ("lookup", LOOKUP.replace('"major"', "1e999").encode(), "'101'"),
    ("lookup", LOOKUP.replace("major", "\\ud800").encode(), "ud800 is half a character"),
    ("lookup", LOOKUP.replace("major", "\\u0000").encode(), "key '101'"),
    ("lookup", LOOKUP.replace("major", "\\x").encode(), "'101'"),
    ("lookup", LOOKUP.replace('"101"', '"1e2"').encode(), "key '1e2'"),
    ("lookup", LOOKUP.replace('"101"', '"\\u001b[2J"').encode(), "'\\x1b[2J'"),
    ("lookup", LOOKUP.replace('"101"', '"' + "9" * 5000 + '"').encode(), "not a number"),
    ("lookup", LOOKUP.replace('"102"', '"101"').replace('"Great tit"', '"Oak"', 1).encode(), "101"),
    ("lookup", LOOKUP.encode() + b"{}", "not the JSON wanted"),
    ("lookup", LOOKUP[:-5].encode(), "not the JSON wanted"),
    ("bioscan table", BIOSCAN.replace("x.jpg", "").encode(), "line 2"),
    ("bioscan table", BIOSCAN.replace("\tMusca\t", "\t").encode(), "line 2: 4 fields"),
    ("bioscan table", BIOSCAN.replace("Muscidae", "M" * 2000).encode(), "line 2: a name of 2,000"),
    ("bioscan lines", b'{"a":' * 100_000 + b"\n", "line 1"),
    ("bioscan lines", b"[1]\n", "line 1: not a JSON object"),
    ("bioscan lines", BIOSCAN_LINES.replace('"Diptera"', "1" * 5000).encode(), "line 1"),
    ("bioscan lines", BIOSCAN_LINES.replace('"Diptera"', '"\\udc00"').encode(), "line 1"),
    ("blacklist", b'{"Parus major": "a.jpg"}', "key 'Parus major'"),
    ("blacklist", b'{"Parus major": [["a.jpg"]]}', "key 'Parus major'"),
    ("blacklist", b'{"Parus major": [null]}', "key 'Parus major'"),
    ("blacklist", b'["Parus major", 7]', "item 2"),
    ("blacklist", b'["Parus \\ud800"]', "ud800 is half a character"),
    ("blacklist", b'["Parus ' + b"<a " * 300_000 + b'"]', "item 1: an entry of"),
    ("blacklist lines", b"x" * 9_000 + b"\n", "line 1: an entry of"),
    ("ids", IDS.encode() + b"../../etc/passwd\n", "line 3"),
    ("ids", f"{{{tree_id(1)}}}\n".encode(), "line 1"),
    ("ids", b"'; DROP TABLE image; --\n", "line 1"),
    ("ids", b"\x1b[2J\n", "line 1: '\\x1b[2J'"),
    ("catalog", CATALOG.replace("mine,", "other\x1b[2J,").encode(), "no row of split 'mine'"),
    ("catalog", CATALOG.replace("treeoflife_id", "id").encode(), "no column 'treeoflife_id'"),
)  # fmt: skip


@pytest.mark.parametrize(("what", "data", "told"), MORE, ids=range(len(MORE)))
def test_a_fault_is_named_with_its_row_or_key(
    db: Database, tmp_path: Path, what: str, data: bytes, told: str
) -> None:
    name, _, reader = READERS[what]
    path = tmp_path / name
    path.write_bytes(data)
    refused(db, path, reader, told=told)


@pytest.mark.parametrize("what", [*READERS, "mapping"])
def test_what_is_no_plain_file_is_never_waited_for(db: Database, tmp_path: Path, what: str) -> None:
    name, _, reader = READERS.get(what, ("other.sqlite", "", ingest_mapping))
    path = tmp_path / name
    os.mkfifo(path)
    refused(db, path, reader, told="not a plain file")
    path.unlink()
    path.mkdir()
    refused(db, path, reader, told="a folder")
    path.rmdir()
    path.symlink_to(path)
    with pytest.raises(InputMissing, match="no such file"):
        reader(db, path)


@pytest.mark.parametrize("what", [*READERS, "mapping"])
def test_a_file_whose_name_cannot_be_stored_is_refused(db: Database, tmp_path: Path, what: str) -> None:
    name, content, reader = READERS.get(what, ("other.sqlite", "", ingest_mapping))
    path = tmp_path / os.fsdecode(b"caf\xe9-" + name.encode())
    path.write_text(content)
    before = dump(db)
    with pytest.raises(InputError, match=r"caf\\xe9.*not UTF-8"):
        reader(db, path)
    assert dump(db) == before


# ------------------------------------------------------------------ any bytes at all


PIECES = st.sampled_from(
    [
        *(b"\0", b"\xff", b"\xef\xbb\xbf", b'"', b"'", b",", b"\t", b"\r", b"\n", b"{", b"}", b"[", b"]", b":"),
        *(b"\\ud800", b"\\u0000", b"null", b"NaN", b"1e999", b"-", b"9" * 5000, b"[" * 50),
        *(b"\x1b[2J", b"../", b"<b>", b"\xe2\x80\xae"),
    ]
)


@st.composite
def mutated(draw: st.DrawFn, seed: bytes) -> bytes:
    """A sound file in which some places were cut out or filled with something else."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        data[start:end] = draw(st.one_of(PIECES, st.binary(max_size=8)))
    return bytes(data)


@pytest.mark.parametrize("what", READERS)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bytes_at_all_are_more_than_an_error_of_ours(
    db: Database, tmp_path: Path, what: str, data: st.DataObject
) -> None:
    name, content, reader = READERS[what]
    path = tmp_path / name
    path.write_bytes(data.draw(st.one_of(mutated(content.encode()), st.binary(max_size=200))))
    before = dump(db)
    try:
        reader(db, path)
    except TolDbError as err:
        assert isinstance(err, InputError | UsageError)
        assert str(err).isprintable()
        assert dump(db) == before


# ------------------------------------------------------------------ a mapping of a stranger


STRANGE = {
    "a view": "ALTER TABLE eol RENAME TO e; CREATE VIEW eol AS SELECT * FROM e",
    "a view without an end": """ALTER TABLE eol RENAME TO e; CREATE VIEW eol AS
        WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT e.* FROM e, n""",
    "a virtual table": """CREATE TABLE kept AS SELECT * FROM eol; DROP TABLE eol;
        CREATE VIRTUAL TABLE eol USING fts5(content_id, page_id, evobio10m_id)""",
    "other columns": "ALTER TABLE inat21 DROP COLUMN cls_name",
    "a huge number": "UPDATE eol SET content_id = 1e300",
    "a text for a number": "UPDATE eol SET page_id = '101; DROP TABLE image'",
}


@pytest.mark.parametrize("what", STRANGE)
def test_a_strange_mapping_is_refused_whole(tmp_path: Path, what: str) -> None:
    path = tmp_path / "mapping.sqlite"
    connection = write_mapping(path, small_rows())
    connection.executescript(STRANGE[what])
    connection.close()
    refused(new_database(tmp_path), path, ingest_mapping, told="is a " if what.startswith("a v") else "")


def test_triggers_further_tables_and_indexes_of_a_mapping_do_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mapping.sqlite"
    connection = write_mapping(path, small_rows())
    connection.executescript(
        """CREATE TABLE image (id); CREATE TABLE source (key); CREATE VIEW label AS SELECT 1 AS id;
           CREATE TRIGGER t AFTER INSERT ON eol BEGIN DELETE FROM split; END;
           CREATE INDEX ix_image_container_id ON eol (page_id)"""
    )
    connection.close()
    db = new_database(tmp_path)
    ingest_mapping(db, path)
    assert rows_of(db, "SELECT count(*) FROM image") == [(10,)]


def test_damage_anywhere_in_a_mapping_is_the_mappings(tmp_path: Path) -> None:
    """Never our database's: a user who is told to restore that one loses what is in it."""
    rows = Rows(eol={n: (n, n % 9) for n in range(600)}, split={n: (n % 2, 0) for n in range(600)})
    write_mapping(tmp_path / "mapping.sqlite", rows).close()
    whole = (tmp_path / "mapping.sqlite").read_bytes()
    db = new_database(tmp_path)
    before = dump(db)
    chance = random.Random(7)
    path = tmp_path / "harmed.sqlite"
    kept = 0
    for _ in range(25):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 1, 20])):
            start = chance.randrange(16, len(data))
            data[start : start + 64] = chance.randbytes(len(data[start : start + 64]))
        path.write_bytes(data)
        try:
            ingest_mapping(db, path)
        except TolDbError as err:
            assert isinstance(err, InputError), err
            assert str(path) in str(err)
            assert dump(db) == before
        else:  # where it means nothing, or what it means is as good
            kept += 1
            (tmp_path / str(kept)).mkdir()
            db = new_database(tmp_path / str(kept))
            before = dump(db)


def test_half_a_character_is_found_wherever_the_pieces_end() -> None:
    whole = rb'["a\\ud800", "\ud83d\ude00", "\"\\\ud83d\ude00 \u00e9"]'
    for text, at in ((whole, None), (whole + rb"\ud800", len(whole) + 1), (rb'"\ud800\ud83d\ude00"', 2)):
        for size in range(13, 60):
            source = io.BytesIO(text)
            reader = WholeCharacters(source.read)
            try:
                parts = list(iter(lambda reader=reader, size=size: reader.read(size), b""))
            except ValueError as err:
                assert str(err).startswith(f"byte {at}:")
            else:
                assert at is None
                assert b"".join(parts) == text


# ------------------------------------------------------------------ from the input to the reports


ODD = "'; DROP TABLE image; --"
TERMINAL = "\x1b[2J\x1b]0;owned\x07"


def test_hostile_texts_go_through_all_commands_as_texts(tmp_path: Path) -> None:
    rows = small_rows()
    rows.inat21[5] = ("a.jpg", f"{ODD}{TERMINAL}", 7)
    rows.inat21[6] = ("b.jpg", f"{ODD}{TERMINAL}", 7)
    tree = write_tree(tmp_path, rows)
    naming = tree / "metadata" / "naming"
    naming.mkdir()
    names = ["Animalia", "", "", "", ODD, "../../etc", "<script>alert(1)</script>"]
    for key, ids in (("eol", (101, 102, 103)), ("inat21", (7, 8876))):
        table = {str(i): [names, f"{TERMINAL} $(touch evil) <img src=x>"] for i in ids}
        (naming / f"{key}_name_lookup.json").write_text(json.dumps(table))
    licences = f'{LICENCE_COLUMNS}\n{tree_id(1)},11,101,,u,v,{TERMINAL},"{ODD}",javascript:alert(1),<b>t</b>\n'
    (tree / "metadata" / "licenses.csv").write_text(licences)
    db = tmp_path / "tol.sqlite"
    (tmp_path / "list.json").write_text(
        json.dumps({f"Nosuch {ODD}": [f"/x/{TERMINAL}.jpg"], "../..": ["11_101_eol.jpg"]})
    )
    printed = [
        tol_db(db, "init"),
        tol_db(db, "ingest", "tol10m", tree),
        tol_db(db, "ingest", "blacklist", ODD, "--species", tmp_path / "list.json"),
    ]
    for name in (ODD, "../up", TERMINAL, "<script>"):
        printed.append(tol_db(db, "split", name, "--fraction", "0.5", expect=2))
        printed.append(tol_db(db, "ingest", "split", name, tree / "metadata" / "licenses.csv", expect=2))
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    plan(db, tmp_path / "out", "tol10m")
    printed.append(tol_db(db, "materialize"))
    for words in (
        ("report", "status"),
        ("report", "summary"),
        ("report", "image", tree_id(1)),
        ("report", "image", tree_id(5)),
        ("report", "audit"),
        ("dataset", "list"),
    ):
        printed.append(tol_db(db, *words, expect=0))
    printed.append(tol_db(db, "export", "catalog", "-o", tmp_path / "catalog.csv"))
    printed.append(tol_db(db, "doctor"))
    for done in printed:
        assert "\x1b" not in done.stdout + done.stderr, done.args
        assert "\x07" not in done.stdout + done.stderr, done.args
    assert not list(tmp_path.rglob("evil"))
    new = {str(path) for path in tmp_path.rglob("*")} - set(before)
    allowed = (str(tmp_path / "out"), str(tmp_path / "catalog.csv"), str(db))
    assert all(path.startswith(allowed) for path in new), new
    assert rows_of(db, "SELECT count(*) FROM image") == [(10,)]
