"""The queries that the documents offer run as they stand there, and answer what they are said to answer."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.running import plan, tol_db

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


BLOCK = re.compile(r"^```sql\n(.*?)^```", re.DOTALL | re.MULTILINE)


def queries() -> Iterator[tuple[str, str]]:
    """The comment above each query of a document, and the query."""
    for document in DOCUMENTS:
        for block in BLOCK.findall(document.read_text(encoding="utf-8")):
            statement = ""
            for line in block.splitlines(keepends=True):
                statement += line
                if sqlite3.complete_statement(statement):
                    yield statement.strip().partition("\n")[0].removeprefix("-- "), statement
                    statement = ""
            assert not statement.strip(), f"{document.name}: a query without a semicolon at its end: {statement}"


QUERIES = dict(queries())
DEEP = "which complete shards were never compared byte by byte?"


def rows(db: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, _demo_ingested: Path) -> Path:
    """The demo tree in shards of twelve, each checked, the first two of them byte by byte."""
    folder = tmp_path_factory.mktemp("docs")
    db = folder / "tol.sqlite"
    db.write_bytes(_demo_ingested.read_bytes())
    plan(db, folder / "out", "tol10m", "--shard-images", "12")
    tol_db(db, "materialize")
    tol_db(db, "verify", "--deep", "--shards", "0-1")
    tol_db(db, "verify")
    return db


def test_the_documents_have_queries() -> None:
    assert DEEP in QUERIES
    assert len(QUERIES) >= 4


@pytest.mark.parametrize("question", QUERIES)
def test_each_query_of_the_documents_runs(small: Path, question: str) -> None:
    with closing(sqlite3.connect(small)) as connection:
        assert connection.execute(QUERIES[question]).description is not None


def test_shards_that_were_never_compared_byte_by_byte_are_those(small: Path) -> None:
    every = rows(small, "SELECT dataset_id, number FROM shard ORDER BY number")
    assert len(every) > 3
    levels = dict(rows(small, "SELECT level, count(*) FROM verification GROUP BY level"))
    assert levels == {"deep": 2, "default": len(every)}
    assert sorted(rows(small, QUERIES[DEEP])) == every[2:]
    tol_db(small, "verify", "--deep")
    assert rows(small, QUERIES[DEEP]) == []
    with closing(sqlite3.connect(small)) as connection, connection:  # the third was written anew since
        connection.execute(
            """UPDATE verification SET checked_at = '2020-01-01T00:00:00Z'
               WHERE shard_id = (SELECT id FROM shard WHERE number = 2)"""
        )
    assert rows(small, QUERIES[DEEP]) == every[2:3]
