"""Our hooks into datasette: ids as text, pictures of samples, and what is not answered.

They stand in a module because datasette has one list of plugins for a process; each looks first whether it is
asked by a browser of ours.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from datasette import hookimpl
from datasette.utils.asgi import Response
from markupsafe import Markup

from materialize.recipe import Recipe
from materialize.root import shard_path
from tol_db.browse.guard import App, guarded
from tol_db.browse.labels import LABELS, labels_of
from tol_db.browse.pictures import picture
from tol_db.db.base import Outcome
from tol_db.db.bulk import uuid_blob, uuid_text
from tol_db.errors import TolDbError

_WRITTEN = Outcome.WRITTEN
_SAMPLE = """
    SELECT i.treeoflife_id, m.outcome_id, h.state, d.output_root, r.parameters, r.name, p.name, h.ordinal
    FROM shard_image m JOIN shard h ON h.id = m.shard_id JOIN split p ON p.id = h.split_id
    JOIN dataset d ON d.id = h.dataset_id JOIN recipe r ON r.id = d.recipe_id JOIN image i ON i.id = m.image_id
    WHERE m.shard_id = ? AND m.position = ?"""
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _is_ours(datasette: object) -> bool:
    return hasattr(datasette, "expand_foreign_keys") and type(datasette).__module__ == "tol_db.browse.app"


@hookimpl  # type: ignore[untyped-decorator]
def prepare_connection(conn: sqlite3.Connection, datasette: object) -> None:
    if _is_ours(datasette):
        conn.create_function("id_bytes", 1, uuid_blob, deterministic=True)


@hookimpl  # type: ignore[untyped-decorator]
def asgi_wrapper(datasette: object) -> Callable[[App], App]:
    return guarded if _is_ours(datasette) else lambda app: app


@hookimpl  # type: ignore[untyped-decorator]
def register_routes(datasette: object) -> list[tuple[str, Any]]:
    return [(r"^/-/sample/(?P<shard>[0-9]{1,18})/(?P<position>[0-9]{1,9})\.jpg$", _sample)]


@hookimpl  # type: ignore[untyped-decorator]
def render_cell(row: Any, value: object, column: str, table: str | None, database: str, datasette: Any) -> object:
    """A cell that datasette would show as bytes or as a bare number; None: as datasette shows it."""
    if not _is_ours(datasette) or value is None:
        return None
    if isinstance(value, bytes):
        if column == "treeoflife_id" and len(value) == 16:
            return _image_link(datasette, database, uuid_text(value))
        return value.hex() if len(value) in (16, 32) else None
    keys = row.keys() if isinstance(row, sqlite3.Row) or hasattr(row, "keys") else ()
    if {"shard_id", "position"} <= set(keys) and column == "position" and isinstance(value, int):
        return _thumbnail(row, value)
    if isinstance(value, str) and column in ("treeoflife_id", "first_id", "last_id") and _ID.fullmatch(value):
        return _image_link(datasette, database, value)
    if table is not None and isinstance(value, int):
        return _label_link(datasette, database, table, column, value)
    return None


def _image_link(datasette: Any, database: str, id: str) -> Markup:
    to = f"{datasette.urls.query(database, 'image_samples')}?treeoflife_id={quote(id)}"
    return Markup('<a href="{}">{}</a>').format(to, id)


def _thumbnail(row: Any, position: int) -> Markup | None:
    """The number of a place in a shard, with its picture where one was written."""
    shown = row["outcome_id"] if "outcome_id" in row.keys() else row["outcome"] if "outcome" in row.keys() else None  # noqa: SIM118
    outcome = shown["value"] if isinstance(shown, Mapping) else shown
    shard = row["shard_id"]["value"] if isinstance(row["shard_id"], Mapping) else row["shard_id"]
    if outcome not in (_WRITTEN, _WRITTEN.label) or not isinstance(shard, int):
        return None
    return Markup(
        '{1}<br><a href="/-/sample/{0}/{1}.jpg"><img src="/-/sample/{0}/{1}.jpg" loading="lazy" '
        'style="height:112px;max-width:none" alt="sample at position {1}"></a>'
    ).format(shard, position)


async def _label_link(datasette: Any, database: str, table: str, column: str, value: int) -> Markup | None:
    """A key with its label and where it leads, on the page of one row (those of a table are labelled together)."""
    browsed = datasette.databases[database]
    keys = [key for key in await browsed.foreign_keys_for_table(table) if key["column"] == column]
    if not keys or keys[0]["other_table"] not in LABELS:
        return None
    other, pointed = keys[0]["other_table"], keys[0]["other_column"]
    found = await browsed.execute_fn(lambda connection: labels_of(connection, other, pointed, [value]))
    link = f"{datasette.urls.table(database, other)}/{value}"
    return Markup('<a href="{}">{}</a>&nbsp;<em>{}</em>').format(link, found.get(value, value), value)


async def _sample(datasette: Any, request: Any) -> Any:
    """The picture of a sample; the address is two numbers, so no path is made of what somebody sends."""
    if not _is_ours(datasette):
        return Response.text("there is no such page", status=404)
    where = int(request.url_vars["shard"]), int(request.url_vars["position"])
    browsed = datasette.get_database()
    found = await browsed.execute_fn(lambda conn: conn.execute(_SAMPLE, where).fetchone())
    if found is None:
        return Response.text("there is no such sample", status=404)
    id, outcome, state, output_root, parameters, recipe, split, ordinal = tuple(found)
    if outcome != _WRITTEN:
        return Response.text(f"no picture was written: {Outcome(outcome).label}", status=404)
    try:
        size = Recipe.from_parameters({**json.loads(parameters), "name": recipe}).size
        path = Path(output_root) / shard_path(size, split, ordinal)
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(datasette.executor, picture, path, uuid_text(id))
    except (OSError, ValueError, TolDbError) as err:
        why = getattr(err, "strerror", None) or err
        return Response.text(f"the shard ({state}) cannot be read: {why}", status=404)
    if data is None:
        return Response.text(f"the shard ({state}) does not hold it; `tol-db verify` tells why", status=404)
    return Response(data, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=60"})
