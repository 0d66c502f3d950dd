"""Writes the pages of docs/reference out of the program: ``python docs/generate.py``. A test holds them equal.

* ``commands.md``: every command with its help, arguments and options, out of click;
* ``schema.md``: every table, column, constraint and index, out of the models; every view, out of a database;
* ``schema.svg``: the tables and what points to what.
"""

from __future__ import annotations

import inspect
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parent))

from diagram import Box, Column, diagram

from tol_db.cli import cli
from tol_db.db import models
from tol_db.db.migrate import init

FOLDER = Path(__file__).parent / "reference"
_NOTE = "<!-- written by `python docs/generate.py`; do not edit -->\n"


def pages() -> dict[str, str]:
    """Name in docs/reference → text."""
    return {"commands.md": commands_page(), "schema.md": schema_page(), "schema.svg": diagram(boxes())}


# ------------------------------------------------------------------ commands


def commands_page() -> str:
    ctx = click.Context(cli, info_name="tol-db")
    parts = [
        "# All options",
        _NOTE,
        "What `tol-db COMMAND --help` prints. [commands.md](../commands.md) tells what goes with what.",
        *_command(cli, ctx, 2),
    ]
    return "\n\n".join(parts) + "\n"


def _command(command: click.Command, ctx: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * min(level, 4)} {ctx.command_path}"
    yield f"```text\n{' '.join(command.get_usage(ctx).removeprefix('Usage: ').split())}\n```"
    yield from _help(command.help or "")
    rows = [row for parameter in command.params if (row := _option(parameter, ctx)) is not None]
    if rows:
        yield "\n".join(["| option | |", "|---|---|", *rows])
    if isinstance(command, click.Group):
        for name in sorted(command.list_commands(ctx)):
            below = command.get_command(ctx, name)
            if below is not None:
                yield from _command(below, click.Context(below, info_name=name, parent=ctx), level + 1)


def _help(text: str) -> Iterator[str]:
    """Paragraphs; those that click is told not to wrap as they are."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            yield f"```text\n{paragraph.removeprefix(chr(8)).strip(chr(10))}\n```"
        else:
            yield _text(" ".join(paragraph.split()))


def _option(parameter: click.Parameter, ctx: click.Context) -> str | None:
    record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
    if record is None:
        return None
    names, told = record
    return f"| `{names.replace('|', chr(92) + '|')}` | {_text(told).replace('|', chr(92) + '|')} |"


def _text(words: str) -> str:
    """Words that Markdown takes as they are: no tags, no emphasis by chance."""
    return re.sub(r"([<>*_\[\]])", r"\\\1", words) if "`" not in words else words.replace("<", "&lt;")


# ------------------------------------------------------------------ schema


def _classes() -> dict[str, type[models.Base]]:
    """Table → model, in the order in which they stand in models.py."""
    return {mapper.local_table.name: mapper.class_ for mapper in models.Base.registry.mappers}  # type: ignore[attr-defined]


def _sections() -> dict[str, list[str]]:
    """Heading → tables, as models.py is parted by its rulers."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in inspect.getsource(models).splitlines():
        if ruler := re.fullmatch(r"# -{10,} (.*)", line):
            heading = ruler[1]
        elif name := re.fullmatch(r'    __tablename__ = "(.*)"', line):
            found.setdefault(heading, []).append(name[1])
    return found


def boxes() -> list[Box]:
    made = []
    tables = models.Base.metadata.tables
    for section, (heading, names) in enumerate(_sections().items()):
        for name in names:
            table = tables[name]
            columns = [
                Column(c.name, c.primary_key, next((k.column.table.name for k in c.foreign_keys), None))
                for c in table.columns
                if c.primary_key or c.foreign_keys
            ]
            made.append(Box(name, tuple(columns), len(table.columns) - len(columns), section, heading))
    return made


def schema_page() -> str:
    parts = [
        "# All tables",
        _NOTE,
        "[schema.md](../schema.md) tells how they hang together. An arrow names what a column "
        "points to. Every table stands in `tol_db/db/models.py`.",
        "[![The tables and what points to what](schema.svg)](schema.svg)",
    ]
    for heading, names in _sections().items():
        parts.append(f"## {heading.capitalize()}")
        for name in names:
            parts += _table(models.Base.metadata.tables[name], _classes()[name])
    parts += ["## Views", *_views()]
    return "\n\n".join(parts) + "\n"


def _table(table: sa.Table, model: type[models.Base]) -> Iterator[str]:
    yield f"### {table.name}"
    if model.__doc__:
        yield _text(" ".join(re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", model.__doc__).split()))
    rows = ["| column | type | | |", "|---|---|---|---|"]
    for column in table.columns:
        points = ", ".join(f"→ [{k.column.table.name}](#{k.column.table.name})" for k in column.foreign_keys)
        marks = " ".join(
            filter(None, ("**key**" if column.primary_key else "", "" if column.nullable else "NOT NULL", points))
        )
        rows.append(f"| `{column.name}` | {column.type} | {marks} | {_text(column.comment or '')} |")
    yield "\n".join(rows)
    lines = [*_constraints(table)]
    if lines:
        yield "\n".join(lines)


def _constraints(table: sa.Table) -> Iterator[str]:
    for constraint in sorted(table.constraints, key=lambda each: str(each.name)):
        if isinstance(constraint, sa.CheckConstraint):
            yield f"- check `{constraint.name}`: `{' '.join(str(constraint.sqltext).split())}`"
        elif isinstance(constraint, sa.UniqueConstraint):
            yield f"- unique: {', '.join(f'`{column.name}`' for column in constraint.columns)}"
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        kind = "unique index" if index.unique else "index"
        yield f"- {kind} `{index.name}`: {', '.join(f'`{column.name}`' for column in index.columns)}"


def _views() -> Iterator[str]:
    """Every view as the migrations make it."""
    with tempfile.TemporaryDirectory() as folder:
        init(Path(folder) / "tol.sqlite")
        with closing(sqlite3.connect(Path(folder) / "tol.sqlite")) as connection:
            rows = connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'view' ORDER BY name"
            ).fetchall()
    for name, sql in rows:
        yield f"### {name}"
        yield f"```sqlite\n{inspect.cleandoc(sql.replace(' AS SELECT', ' AS' + chr(10) + 'SELECT', 1))}\n```"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{FOLDER / name}\n")
