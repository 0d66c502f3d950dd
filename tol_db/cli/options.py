"""Options and argument types that several commands share."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tol_db.settings import Settings

if TYPE_CHECKING:  # help and completion need no SQLAlchemy, which takes long to import
    from tol_db.db.engine import Database

db_settings = click.make_pass_decorator(Settings)
"""Passes the :class:`Settings` that the root group loaded."""


def opened(settings: Settings, *, readonly: bool = False) -> Database:
    from tol_db.db.engine import open_database

    return open_database(settings.database, readonly=readonly)


class NumberRange(click.ParamType[range]):
    """``7`` or ``3-9``: a range of numbers, both ends included."""

    name = "A-B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> range:
        if isinstance(value, range):
            return value
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", str(value))
        if not match:
            self.fail(f"{value!r}: a number or a range such as 3-9 is wanted", param, ctx)
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first:
            self.fail(f"{value!r}: the range ends before it begins", param, ctx)
        return range(first, last + 1)


def as_json(value: object, *, indent: int | None = 1) -> str:
    """A dataclass, or a list of them, as indented JSON; on one line with an indent of None."""

    def default(item: object) -> object:
        if is_dataclass(item) and not isinstance(item, type):
            return asdict(item)
        if isinstance(item, Path):
            return str(item)
        if isinstance(item, bytes):
            return item.hex()
        raise TypeError(f"not JSON: {item!r}")

    return json.dumps(value, default=default, ensure_ascii=False, indent=indent)
