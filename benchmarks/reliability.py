"""Shows that nothing is lost: ``python -m benchmarks.reliability`` prints the figures of docs/reliability.md.

Every part tries the real command line on real files in real processes. Each prints a line of the table and a line
of JSON; the exit code is 1 when one does not hold. ``--quick`` runs all parts at a fraction of their size, which
is said in the table and counts as not held.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from benchmarks import bad_shards, fault_points, hostile_images, random_kills

SHARED = Path(__file__).parents[2] / "shared" / "data" / "corpora"
"""A real corpus, where one lies beside the checkout; generated pictures else."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the table.

    Attributes:
        goal: what must hold.
        figure: what was found.
        held: whether it does, at full size.
        seconds: how long it took.
        numbers: the same for machines.
    """

    part: str
    goal: str
    figure: str
    held: bool
    seconds: float
    numbers: dict[str, object] = field(default_factory=dict)


Say = Callable[[str], None]
Part = Callable[[Path, bool, int, Say], Figure]


def _faults(folder: Path, quick: bool, jobs: int, say: Say) -> Figure:
    start = time.monotonic()
    tried = fault_points.run(folder, everything=not quick, jobs=jobs, say=say)
    return Figure(
        "fault points",
        "all steps x {SIGKILL, one process killed, SIGTERM, 4 errors} x 2 modes: byte-identical after the next run",
        f"{tried.converged} of {tried.tried} converged ({tried.steps} steps)",
        not quick and tried.converged == tried.tried,
        time.monotonic() - start,
        {"tried": tried.tried, "converged": tried.converged, "steps": tried.steps, "failed": list(tried.failed)},
    )


def _kills(folder: Path, quick: bool, _jobs: int, say: Say) -> Figure:
    start = time.monotonic()
    wanted = 10 if quick else 200
    killed = random_kills.run(folder, kills=wanted, seed=200, say=say)
    return Figure(
        "random kills",
        "200 of 200 kills -9 at random times change nothing",
        f"{killed.harmless} of {killed.kills} ({killed.datasets} datasets written)",
        killed.kills >= 200 and killed.harmless == killed.kills,
        time.monotonic() - start,
        asdict(killed),
    )


def _bad_shards(folder: Path, quick: bool, jobs: int, say: Say) -> Figure:
    start = time.monotonic()
    good = 50 if quick else 1000
    found = bad_shards.run(folder, good_shards=good, jobs=jobs, say=say)
    return Figure(
        "bad shards",
        "every damage found at the level that promises it; no false alarm on 1,000 good shards",
        f"{found.found} of {found.damaged} found; {found.false_alarms} false alarms on {found.good} good shards",
        found.good >= 1000 and found.found == found.damaged and not found.false_alarms,
        time.monotonic() - start,
        asdict(found),
    )


def _images(folder: Path, quick: bool, jobs: int, say: Say) -> Figure:
    start = time.monotonic()
    corpora = SHARED if SHARED.is_dir() else None
    made = hostile_images.run(
        folder,
        count=300 if quick else 10_000,
        seed=10,
        workers=jobs,
        say=say,
        originals=corpora / "dev" if corpora else None,
        adversarial=corpora / "dev_adversarial" if corpora else None,
    )
    peak = made.peak_rss_bytes / 1e6
    return Figure(
        "hostile images",
        "adversarial corpus and 10,000 mutated images: no crash of the run, an outcome each, workers < 400 MB",
        f"{made.images:,} images, {made.crashes} crashes, {made.without_outcome} without an outcome, {peak:.0f} MB",
        made.images >= 10_000 and not made.crashes and not made.without_outcome and peak < 400,
        time.monotonic() - start,
        asdict(made),
    )


PARTS: dict[str, Part] = {"faults": _faults, "kills": _kills, "shards": _bad_shards, "images": _images}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="Only these parts (repeat).")
@click.option("--quick", is_flag=True, help="A fraction of the size, to see that it runs.")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True, help="Processes.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Append the JSON lines to this file.")
def main(only: tuple[str, ...], quick: bool, jobs: int, json_path: Path | None) -> None:
    """Try to lose data; print what became of it."""

    def say(text: str) -> None:
        click.echo(f"  {text}", err=True)

    figures = []
    for name, part in PARTS.items():
        if only and name not in only:
            continue
        say(f"{name} …")
        with tempfile.TemporaryDirectory(prefix=f"tol-db-{name}-") as folder:
            figures.append(part(Path(folder), quick, jobs, say))
        line = json.dumps(asdict(figures[-1]), default=str)
        click.echo(line)
        if json_path is not None:
            with json_path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
    for figure in figures:
        held = "held" if figure.held else "NOT HELD" if not quick else "quick run"
        click.echo(f"{figure.part:15} {held:9} {figure.figure}  [{figure.seconds:.0f} s]")
    sys.exit(not all(figure.held for figure in figures) and not quick)


if __name__ == "__main__":
    main()
