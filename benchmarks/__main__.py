"""All benchmarks: ``python -m benchmarks`` prints a table of goals and figures, and a line of JSON for each.

``python -m benchmarks --list`` names them; named ones run alone. What is dear to make (a corpus of 6,000 images, a
database of 10 million rows) is kept in ``--folder`` for the next time. How nothing gets lost is shown by
``python -m benchmarks.reliability``.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import click

from benchmarks.frame import Benchmark, Context, Result
from benchmarks.profiles import found, profiled

MODULES = (
    "images",
    "samples",
    "pool",
    "growth",
    "scan",
    "database",
    "complete",
    "ledger",
    "verify",
    "assembly",
    "resolving",
)
"""Modules of this package; each has a dict ``BENCHMARKS``: name → function."""


def _all() -> dict[str, Benchmark]:
    found: dict[str, Benchmark] = {}
    for name in MODULES:
        found |= importlib.import_module(f"benchmarks.{name}").BENCHMARKS
    return found


@click.command()
@click.argument("names", nargs=-1)
@click.option("--list", "list_", is_flag=True, help="Name the benchmarks.")
@click.option("--scale", type=click.FloatRange(0.0001, 1), default=1.0, help="A fraction of the full size.")
@click.option("--folder", type=click.Path(path_type=Path), help="Scratch to keep; 30 GB at full size.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Append the JSON lines to this file.")
@click.option(
    "--reference-checkout",
    type=click.Path(path_type=Path, exists=True),
    help="Your own checkout of the published scripts, to be measured beside (benchmark `pool`).",
)
@click.option(
    "--profile",
    type=click.Path(path_type=Path),
    help="Write a profile (pstats) of every process into this folder; no goal is judged then.",
)
def main(
    names: tuple[str, ...],
    list_: bool,
    scale: float,
    folder: Path | None,
    json_path: Path | None,
    reference_checkout: Path | None,
    profile: Path | None,
) -> None:
    """Measure; print goals and figures. Exit code 1 when a goal is missed."""
    known = _all()
    if list_:
        for name, benchmark in known.items():
            click.echo(f"{name:12} {(benchmark.__doc__ or '').splitlines()[0]}")
        return
    for name in names:
        if name not in known:
            raise click.UsageError(f"no benchmark {name!r}; known: {', '.join(known)}")
    results: list[Result] = []
    with nullcontext(folder) if folder else tempfile.TemporaryDirectory(prefix="tol-db-bench-") as place:
        context = Context(Path(str(place)), scale, _say, reference_checkout, profile)
        context.folder.mkdir(parents=True, exist_ok=True)
        for name, benchmark in known.items():
            if not names or name in names:
                _say(f"{name} …")
                with profiled(profile, name):
                    made = benchmark(context)
                results += made
                _print_lines(made, json_path)
                if profile is not None:
                    _say_profiles(profile, name)
    _print_table(results)
    sys.exit(any(result.held is False for result in results))


def _say(text: str) -> None:
    click.echo(f"  {text}", err=True)


def _say_profiles(folder: Path, name: str) -> None:
    own, *children = found(folder, name)
    _say(f"profiles: {own} and {len(children)} of its processes beside it; to look at them:")
    files = f"{folder}/{name}-*.pstats" if children else str(own)
    program = 'import pstats, sys; pstats.Stats(*sys.argv[1:]).sort_stats("cumtime").print_stats(40)'
    _say(f"python -c '{program}' {files}")


def _print_lines(results: list[Result], path: Path | None) -> None:
    for result in results:
        line = json.dumps(asdict(result), ensure_ascii=False)
        click.echo(line)
        if path is not None:
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")


def _print_table(results: list[Result]) -> None:
    verdicts = {True: "met", False: "MISSED", None: "-"}
    for result in results:
        click.echo(
            f"{verdicts[result.held]:7}{result.name:40} {result.figure:40} goal: {result.goal} [{result.size}]"
        )


if __name__ == "__main__":
    main()
