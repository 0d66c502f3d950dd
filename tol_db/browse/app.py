"""datasette over a tol-db database: read-only connections, labels for keys, counts that keep nobody waiting."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from datasette.app import Datasette
from datasette.database import Database as BrowsedDatabase
from datasette.database import QueryInterrupted
from datasette.plugins import pm

from tol_db.browse import plugin
from tol_db.browse.labels import LABELS, labels_of
from tol_db.browse.queries import canned_queries
from tol_db.db.engine import file_uri, reading_uri
from tol_db.db.models import Base

NAME = "tol"
"""Of the database in addresses, whatever its file is called."""
TIME_LIMIT = 60.0
"""Seconds that a query may take: audits of ten million images need up to ten on an idle machine."""
COUNTED = 100_000
"""Rows that are counted for a page; of more it is shown without their number."""
COUNT_MS = 500
"""Milliseconds after which it is, too."""
BUSY_SECONDS = 10.0


class ReadOnlyDatabase(BrowsedDatabase):  # type: ignore[misc]  # datasette carries no types
    """A file that is read and never written.

    datasette's own ``immutable`` would hash gigabytes and count every table first, and read wrong pages where
    somebody writes; ours is SQLite's, only where we could not write and nobody does (:func:`reading_uri`).
    """

    def __init__(self, browser: Browser, path: Path, uri: str) -> None:
        super().__init__(browser, path=str(path), is_mutable=True)
        self.uri = uri

    def connect(self, write: bool = False) -> sqlite3.Connection:
        if write:
            raise PermissionError("the database is only read here")
        connection = sqlite3.connect(self.uri, uri=True, check_same_thread=False, timeout=BUSY_SECONDS)
        connection.execute("PRAGMA query_only = ON")
        self._all_file_connections.append(connection)
        return connection

    async def execute(self, sql: str, params: Any = None, truncate: bool = False, **options: Any) -> Any:
        # datasette counts the rows of a table, and of what points to a row, before it shows either
        if not truncate and sql.startswith("select (select count(*)"):
            options.setdefault("custom_time_limit", COUNT_MS)
        if truncate or not sql.startswith("select count(*) from"):
            return await super().execute(sql, params, truncate=truncate, **options)
        # SQLite counts a whole table in one step, which no time limit ends: minutes from a cold disk
        rows = sql.removeprefix("select count(*) ")
        bounded = f"select count(*) from (select 1 {rows} limit {COUNTED + 1})"  # noqa: S608
        options.setdefault("custom_time_limit", COUNT_MS)
        found = await super().execute(bounded, params, **options)
        if found.rows[0][0] > COUNTED:
            raise QueryInterrupted(sqlite3.OperationalError("interrupted"), sql, params)
        return found

    async def get_all_foreign_keys(self) -> dict[str, dict[str, list[dict[str, str]]]]:
        """Of the keys that point to a table, those that an index leads along; the others take minutes to follow."""
        keys: dict[str, dict[str, list[dict[str, str]]]] = await super().get_all_foreign_keys()
        led = await self.execute_fn(_first_indexed)
        for ends in keys.values():
            ends["incoming"] = [k for k in ends["incoming"] if (k["other_table"], k["other_column"]) in led]
        return keys

    async def label_column_for_table(self, table: str) -> str | None:
        """Not a column for the tables that :data:`LABELS` knows: only that there is a label."""
        if table in LABELS:
            return "id"
        column: str | None = await super().label_column_for_table(table)
        return column


def _first_indexed(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """(table, column) of the columns that an index, or the primary key, begins with."""
    sql = """SELECT t.name, c.name FROM sqlite_master t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
             WHERE t.type = 'table' AND c.seqno = 0
             UNION SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c
             WHERE t.type = 'table' AND c.pk = 1"""
    return {(table, column) for table, column in connection.execute(sql)}


class Browser(Datasette):  # type: ignore[misc]  # datasette carries no types
    """A datasette of one tol-db database, and nothing else."""

    def __init__(self, path: Path, uri: str, time_limit: float = TIME_LIMIT) -> None:
        _only_our_plugins()
        super().__init__(
            files=[],
            metadata=_metadata(path),
            settings={
                "sql_time_limit_ms": int(1000 * time_limit),
                "allow_download": False,
                "suggest_facets": False,  # tries every column: seconds at ten million rows
                "default_cache_ttl": 0,  # a run may be writing
            },
        )
        self.remove_database("_memory")  # what datasette adds where no file is named
        self.add_database(ReadOnlyDatabase(self, path, uri), name=NAME)

    async def expand_foreign_keys(
        self, database: str, table: str, column: str, values: Sequence[object]
    ) -> dict[tuple[str, object], str]:
        """(column, value) → label, for a page of rows."""
        browsed = self.databases[database]
        keys = [key for key in await browsed.foreign_keys_for_table(table) if key["column"] == column]
        if not keys or keys[0]["other_table"] not in LABELS:
            return {}
        other, pointed = keys[0]["other_table"], keys[0]["other_column"]
        wanted = sorted({value for value in values if isinstance(value, int)})
        found = await browsed.execute_fn(lambda connection: labels_of(connection, other, pointed, wanted))
        return {(column, value): label for value, label in found.items()}

    def close(self) -> None:
        """Wait for what is being read, and close every connection."""
        self.executor.shutdown(wait=True, cancel_futures=True)
        for database in self.databases.values():
            database.close()


@contextmanager
def browsing(path: Path, time_limit: float = TIME_LIMIT) -> Iterator[Browser]:
    """A browser of the database at ``path``.

    Where we may write, a connection that could, but does not, stays open as long as the browser: it alone may put
    right what a crash left, and takes the files of the write-ahead log away when it is the last to close.
    """
    uri = reading_uri(path)
    if "mode=rw" not in uri:
        with closing(Browser(path, uri, time_limit)) as browser:
            yield browser
        return
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as keeper:
        keeper.execute("PRAGMA query_only = ON")
        keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()
        with closing(Browser(path, file_uri(path, mode="ro"), time_limit)) as browser:
            yield browser


def _only_our_plugins() -> None:
    """Plugins that happen to be installed may write, or answer more than is asked for here."""
    for installed, _ in list(pm.list_plugin_distinfo()):
        if pm.is_registered(installed):
            pm.unregister(installed)
    # or each page that is not there prints the locals of every frame
    pm.get_plugin("datasette.handle_exception").rich = None
    if not pm.is_registered(plugin):
        pm.register(plugin, "tol_db")


def _metadata(path: Path) -> dict[str, Any]:
    """Titles, canned queries, and what the models say of tables and columns."""
    tables: dict[str, dict[str, Any]] = {"alembic_version": {"hidden": True}}
    documented = {mapper.local_table.name: mapper.class_.__doc__ for mapper in Base.registry.mappers}  # type: ignore[attr-defined]
    for name, table in Base.metadata.tables.items():
        about = " ".join((documented.get(name) or "").split())
        comments = {column.name: column.comment for column in table.columns if column.comment}
        tables[name] = {"description": about, "columns": comments}
    tables["v_sample"] = {"description": "A place in a shard, with the picture that was written."}
    tables["v_image"] = {"description": "An image: its id as text, source, container, member, label."}
    return {
        "title": f"tol-db: {path.name}",
        "databases": {
            NAME: {
                "description": "Read-only. Audits and what one asks of an image stand under Queries.",
                "tables": tables,
                "queries": canned_queries(),
            }
        },
    }
