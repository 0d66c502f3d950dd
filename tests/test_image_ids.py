"""Ids found in arrays are those that a dictionary finds, and blocks of licence rows are the rows one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tol_db.db.engine import Database, open_database
from tol_db.db.migrate import init
from tol_db.errors import InputError
from tol_db.ingest.image_ids import ImageIds
from tol_db.ingest.licence_rows import COLUMNS, NOT_GIVEN, Block, blocks, rows
from tol_db.ingest.text_files import reading

HALVES = st.sampled_from([b"\0" * 8, b"\xff" * 8, b"12345678", b"1234567\x80"]) | st.binary(min_size=8, max_size=8)
IDS = st.tuples(HALVES, HALVES).map(b"".join)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Database:
    path = tmp_path_factory.mktemp("ids") / "tol.sqlite"
    init(path)
    return open_database(path)


@given(st.lists(IDS, unique=True, max_size=30), st.lists(IDS, min_size=1, max_size=30))
def test_ids_are_found_as_by_a_dictionary(db: Database, known: list[bytes], asked: list[bytes]) -> None:
    wanted = asked + known[::2]
    numbers = {blob: (7 + 3 * number, -number) for number, blob in enumerate(known)}
    values = ", ".join(f"(x'{blob.hex()}', {a}, {b})" for blob, (a, b) in numbers.items())
    sql = f"SELECT * FROM (VALUES {values})" if known else "SELECT treeoflife_id, id, id FROM image"
    with db.read() as conn:
        found, there = ImageIds.load(conn, sql).find(b"".join(wanted))
    assert there.tolist() == [blob in numbers for blob in wanted]
    assert [tuple(row) for row, is_known in zip(found.tolist(), there, strict=True) if is_known] == [
        numbers[blob] for blob in wanted if blob in numbers
    ]


def as_rows(block: Block) -> list[tuple[object, ...]]:
    def given_(number: int) -> int | None:
        return None if number == NOT_GIVEN else number

    return [
        (
            block.ids[16 * n : 16 * n + 16],
            given_(int(block.contents[n])),
            given_(int(block.pages[n])),
            *(column[n] for column in (block.md5, block.medium, block.full, block.names)),
            *(column[n] for column in (block.owners, block.links, block.titles)),
        )
        for n in range(len(block))
    ]


FIELD = {
    "treeoflife_id": st.uuids().map(str)
    | st.uuids().map(lambda id: id.hex)
    | st.uuids().map(lambda id: str(id).upper())
    | st.sampled_from(["", "x", "1234567-81234-1234-1234-123456789012", " " * 36, "0" * 35 + " "]),
    "eol_content_id": st.integers(0, 10**18 - 1).map(str) | st.sampled_from(["", "1" * 19, "-1", "1.0", "²"]),
    "eol_page_id": st.integers(0, 99).map(str) | st.sampled_from(["", "007", "x"]),
    "md5": st.binary(min_size=16, max_size=16).map(bytes.hex)
    | st.sampled_from(["", "not provided", "f" * 31, "f" * 31 + " "]),
}
LINE = st.tuples(*(FIELD.get(name, st.sampled_from(["", "a", "b c"])) for name in COLUMNS))
GOOD = st.tuples(
    *(
        st.uuids().map(str)
        if name == "treeoflife_id"
        else st.integers(0, 10**18 - 1).map(str)
        if name.startswith("eol_") and name.endswith("_id")
        else st.binary(min_size=16, max_size=16).map(bytes.hex)
        if name == "md5"
        else st.sampled_from(["", "a"])
        for name in COLUMNS
    )
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(GOOD, max_size=4), st.lists(LINE, max_size=2))
def test_blocks_are_the_rows_and_complain_as_they_do(
    tmp_path: Path, good: list[tuple[str, ...]], odd: list[tuple[str, ...]]
) -> None:
    path = tmp_path / "licenses.csv"
    path.write_text("\n".join([",".join(COLUMNS), *map(",".join, good + odd)]) + "\n", encoding="utf-8")
    results: list[object] = []
    for read in (
        lambda text: [row[1:] for row in rows(text)],
        lambda text: [row for block in blocks(text) for row in as_rows(block)],
    ):
        with reading(path) as text:
            try:
                results.append(read(text))
            except InputError as err:
                results.append(str(err))
    assert results[0] == results[1]
