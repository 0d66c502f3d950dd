"""The command line: one module per family, loaded when one of its commands is called.

A command parses, calls one function, and prints. Errors of the library become two lines on standard error
and an exit code here, at the edge, and nowhere else.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from tol_db import __version__, progress, settings
from tol_db.errors import CannotWrite, Interrupted, TolDbError, UsageError, printed

COMPLETE = "_TOL_DB_COMPLETE"
"""Set by the scripts of `tol-db completion`; with it tol-db prints what could come next, and does nothing else."""


class LazyGroup(click.Group):
    """A group whose commands are named here and imported when they are needed: ``--help`` stays quick.

    Args:
        lazy: command name → (``module:attribute``, one line of help).
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *self.lazy]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        _name_values(command)
        if COMPLETE in os.environ:
            from tol_db.cli import completion

            completion.prepare(command, ctx.info_name or "", cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if ctx.resilient_parsing or name.startswith("-") or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        from tol_db.cli import mistyped

        raise UsageError(f"no command {name!r}", hint=mistyped.command(self, ctx, name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows + [(name, text) for name, (_, text) in self.lazy.items()])


_NAMED = ("--dataset", "--split", "--blacklist", "--recipe")


def _name_values(command: click.Command) -> None:
    """Say NAME and N in usage where click would say TEXT and INTEGER RANGE: the same words in every command."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _name_values(each)
    for option in command.params:
        if not isinstance(option, click.Option) or option.metavar is not None or option.is_flag:
            continue
        if isinstance(option.type, click.types.IntParamType):
            option.metavar = "N"
        elif isinstance(option.type, click.types.FloatParamType):
            option.metavar = "X"
        elif isinstance(option.type, click.types.StringParamType) and set(option.opts) & set(_NAMED):
            option.metavar = "NAME"


class RootGroup(LazyGroup):
    """The group that turns errors into messages and exit codes."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        before = _take_sigterm()
        try:
            value = super().main(
                args, prog_name or "tol-db", complete_var, standalone_mode=False, **extra
            )  # --help and --version come back as their exit code
            sys.stdout.flush()
            sys.exit(value if isinstance(value, int) else 0)
        except click.ClickException as err:
            err.show()
            sys.exit(err.exit_code)
        except TolDbError as err:
            _say(err)
            sys.exit(err.exit_code)
        except (click.Abort, KeyboardInterrupt):
            _say(Interrupted("interrupted", hint="run the same command again to go on"))
            sys.exit(Interrupted.exit_code)
        except Exception as err:  # noqa: BLE001  the last edge: a fault of ours, told in one line
            if isinstance(err, BrokenPipeError) and _reader_has_gone():
                sys.exit(1)
            if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
                _forget_output()
                _say(CannotWrite(f"output: {err.strerror}", hint="make room and run again"))
                sys.exit(CannotWrite.exit_code)
            if os.environ.get("TOL_DB_DEBUG"):
                traceback.print_exc()
            _say(
                TolDbError(
                    f"internal error: {type(err).__name__}: {err}",
                    hint="this is a bug; TOL_DB_DEBUG=1 shows the traceback to report",
                )
            )
            sys.exit(1)
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)


def _take_sigterm() -> Any:
    """Let SIGTERM do what Ctrl-C does: roll back, clean up, exit 75. Returns the handler before, or None.

    `materialize` takes both over, and more gently, while it writes.
    """
    if threading.current_thread() is not threading.main_thread():
        return None

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    return signal.signal(signal.SIGTERM, interrupt)


def _reader_has_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more (`| head`)."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        return True
    return False


def _forget_output() -> None:
    """Drop what standard output cannot take; python would complain once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(err: TolDbError) -> None:
    click.echo(f"error: {printed(str(err))}", err=True)
    if err.hint:
        click.echo(f"hint: {printed(err.hint)}", err=True)


_LAZY = {
    "init": ("tol_db.cli.database:init", "Make a new, empty database."),
    "upgrade": ("tol_db.cli.database:upgrade", "Move a database to this version's schema."),
    "doctor": ("tol_db.cli.doctor:doctor", "Check a database and every invariant."),
    "backup": ("tol_db.cli.database:backup", "Copy a database, also while it is in use."),
    "demo": ("tol_db.cli.demo:demo", "Run the whole path on a small generated tree."),
    "fetch": ("tol_db.cli.fetch:fetch", "Download what TreeOfLife-10M is made of."),
    "ingest": ("tol_db.cli.ingest:ingest", "Read sources, names, licences, splits and blacklists."),
    "taxonomy": ("tol_db.cli.taxonomy:taxonomy", "Assemble taxonomies; ask what became of names."),
    "label": ("tol_db.cli.label:label", "Give images the labels of a taxonomy."),
    "split": ("tol_db.cli.split:split", "Make a split by a stored policy."),
    "plan": ("tol_db.cli.plan:plan", "Fix which image goes to which shard."),
    "materialize": ("tol_db.cli.materialize:materialize", "Write the shards that are pending."),
    "collect": ("tol_db.cli.collect:collect", "Enter what runs without the database have written."),
    "slurm": ("tol_db.cli.slurm:slurm", "Write a dataset on a cluster, and see how far it is."),
    "verify": ("tol_db.cli.verify:verify", "Check that the shards are what the database says."),
    "dataset": ("tol_db.cli.dataset:dataset", "List, move or remove datasets."),
    "report": (
        "tol_db.cli.report:report",
        "Status, summary, one image, audits, labels, licences, a page, figures.",
    ),
    "export": ("tol_db.cli.export:export", "Catalogs, licences, descriptions: files for other tools."),
    "browse": ("tol_db.cli.browse:browse", "Look at the database in a web browser, read-only."),
    "completion": ("tol_db.cli.completion:completion", "Print the script that completes words in a shell."),
}


@click.group(
    cls=RootGroup,
    lazy=_LAZY,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "--db",
    type=click.Path(path_type=Path),
    help="The database.  [default: $TOL_DB, else tol-db.toml, else ./tol.sqlite]",
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./tol-db.toml]")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.version_option(__version__, prog_name="tol-db")
@click.pass_context
def cli(ctx: click.Context, db: Path | None, config: Path | None, quiet: bool) -> None:
    """The metadata database and shard materializer of Tree-of-Life-scale image datasets.

    Without a command: what state the database is in, and what one would do next.

    \b
    The main path:
      tol-db init
      tol-db ingest tol10m /data/TreeOfLife-10M
      tol-db ingest blacklist rare --images seen_in_training.json --species unseen_in_training.json
      tol-db plan /data/shards --dataset tol --split train --split val --split train_small
      tol-db materialize --dataset tol
      tol-db report status

    \b
    Exit codes: 0 done, 1 failed or an audit found something, 2 usage, 65 bad input, 66 input missing,
    73 cannot write, 75 interrupted (run again).
    """
    progress.be_quiet(quiet)
    if os.environ.get("NO_COLOR"):  # no-color.org
        ctx.color = False
    ctx.obj = settings.load(database=db, config=config)
    if ctx.invoked_subcommand is None:
        from tol_db.cli.state import show

        show(ctx.obj, named=db)


def main() -> NoReturn:
    """The console script.

    Modules come to stay: that the cycle collector passes over them again and again while they are imported, and
    once more before the process ends, would be a quarter of the time of a short command.
    """
    gc.set_threshold(50_000, 10, 10)
    try:
        cli.main()
    finally:
        gc.freeze()
    raise AssertionError("unreachable")
