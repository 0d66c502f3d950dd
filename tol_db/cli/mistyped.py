"""What somebody meant who typed the name of a command that there is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import click

from tol_db.errors import did_you_mean


def command(group: click.Group, ctx: click.Context, name: str) -> str:
    """A hint: commands of ``group`` that look like ``name``, or those of that name further down."""
    otherwise = f"`{ctx.command_path} --help` lists the commands"
    here = did_you_mean(name, group.list_commands(ctx), otherwise)
    if here != otherwise:
        return here
    below: dict[str, list[str]] = {}
    for path in _paths(group, ctx, ctx.command_path):
        below.setdefault(path.split()[-1], []).append(f"`{path}`")
    close = [path for each in difflib.get_close_matches(name, below, n=2, cutoff=0.7) for path in below[each]]
    return f"did you mean {' or '.join(close)}? {otherwise}" if close else otherwise


def _paths(group: click.Group, ctx: click.Context, path: str) -> Iterator[str]:
    for name in group.list_commands(ctx):
        found = group.get_command(ctx, name)
        yield f"{path} {name}"
        if isinstance(found, click.Group):
            yield from _paths(found, ctx, f"{path} {name}")
