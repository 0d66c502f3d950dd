"""``tol-db completion``, and what a shell is told when Tab is pressed.

click's own machinery completes commands and options. Names that a database holds are added here, in one place: by
the name of the option, so that no command has to think of it.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from tol_db import settings
from tol_db.cli import COMPLETE
from tol_db.db.names import names
from tol_db.errors import TolDbError, UsageError

SHELLS = ("bash", "zsh", "fish")
_OPTIONS = {
    "--dataset": "dataset",
    "--split": "split",
    "--within": "split",
    "--except": "split",
    "--blacklist": "blacklist",
    "--recipe": "recipe",
    "--taxonomy": "taxonomy",
    "--license": "licence",
}
_OPTIONS_OF: dict[tuple[str, ...], dict[str, str]] = {
    ("taxonomy", "assemble"): {"--source": "taxonomy", "--previous": "taxonomy"},
}
"""Command → its options that elsewhere mean something else."""
_ARGUMENTS: dict[tuple[str, ...], str] = {
    ("report", "audit"): "audit",
    ("dataset", "move"): "dataset",
    ("dataset", "remove"): "dataset",
    ("ingest", "blacklist"): "blacklist",
    ("taxonomy", "assemble"): "taxonomy",
    ("taxonomy", "diff"): "taxonomy",
    ("taxonomy", "export"): "taxonomy",
    ("taxonomy", "prune"): "taxonomy",
}
"""Command → what its first argument names."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print the script that completes commands, options, and the names of datasets, splits, taxonomies, …

    Without SHELL: for that of $SHELL. The names come from the database that the command line, TOL_DB or
    tol-db.toml names; it is only looked at. Shells look for the script in these folders; make the one of yours
    (mkdir -p) where it is not there yet.

    \b
    Examples:
      tol-db completion bash > ~/.local/share/bash-completion/completions/tol-db
      tol-db completion zsh > ~/.zfunc/_tol-db    # ~/.zshrc: fpath+=~/.zfunc before compinit
      tol-db completion fish > ~/.config/fish/completions/tol-db.fish
    """
    wanted = shell or Path(os.environ.get("SHELL", "")).name
    made = get_completion_class(wanted) if wanted in SHELLS else None
    if made is None:
        raise UsageError("for which shell?", hint=f"tol-db completion {'|'.join(SHELLS)}")
    complete = made(ctx.find_root().command, {}, "tol-db", COMPLETE)
    # not source(), which starts bash to ask for its version: the script may be meant for another host
    click.echo(complete.source_template % complete.source_vars())


class StoredName(click.ParamType[str]):
    """A text that names a row of the database, an audit or a recipe, and is completed as such."""

    def __init__(self, kind: str) -> None:
        self.name = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        taken = ctx.params.get(param.name or "") or ()
        repeated = taken if isinstance(taken, tuple) else ()
        listed, comma, last = incomplete.rpartition(",") if self.name == "licence" else ("", "", incomplete)
        repeated = (*repeated, *listed.split(","))
        found = [each for each in _names(ctx, self.name) if each.startswith(last) and each not in repeated]
        return [CompletionItem(f"{listed}{comma}{each}") for each in found]


def prepare(command: click.Command, *words: str) -> None:
    """Let the parameters of a command, and of those below it, complete stored names."""
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            prepare(each, *words, name)
    for parameter in command.params:
        options = _OPTIONS | _OPTIONS_OF.get(words[-2:], {})
        kind = next((options[each] for each in parameter.opts if each in options), None)
        if isinstance(parameter, click.Argument):
            named = parameter is _first_argument(command) or words[-2:] == ("taxonomy", "diff")
            kind = _ARGUMENTS.get(words[-2:]) if named else None
        if kind is not None:
            parameter.type = StoredName(kind)


def _first_argument(command: click.Command) -> click.Parameter | None:
    return next((each for each in command.params if isinstance(each, click.Argument)), None)


def _names(ctx: click.Context, kind: str) -> list[str]:
    if kind == "audit":
        folder = files("tol_db.audit") / "queries"  # the runner would need SQLAlchemy
        return sorted(e.name.removesuffix(".sql") for e in folder.iterdir() if e.name.endswith(".sql"))
    root = ctx.find_root().params
    try:
        chosen = settings.load(database=root.get("db"), config=root.get("config"))
    except TolDbError:
        return []
    if kind == "licence":
        from tol_db.licences import FAMILIES

        return list(FAMILIES)
    if kind == "recipe":
        return sorted({"clean", "tol10m", *chosen.recipes})
    return names(chosen.database, kind)
