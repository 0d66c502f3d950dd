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


class ShareOf(click.ParamType[tuple[int, int]]):
    """``3/63``: the share with number 3 of 63, which count from 0."""

    name = "K/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", str(value))
        if not match or not int(match[1]) < int(match[2]):
            self.fail(f"{value!r}: a share such as 0/63 is wanted, up to 62/63", param, ctx)
        return int(match[1]), int(match[2])


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
