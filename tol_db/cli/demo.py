"""``tol-db demo``: the main path on a small generated tree, by the commands that a user would type."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click

from tol_db import demo_tree, progress
from tol_db.errors import TolDbError

DATASET = "demo"
SPLITS = ("train", "val", "train_small")


@click.command()
@click.argument("folder", default="tol-db-demo", type=click.Path(path_type=Path))
@click.option(
    "--images",
    type=click.IntRange(demo_tree.FEWEST_IMAGES, 20_000),
    default=240,
    show_default=True,
    help="How many pictures to draw.",
)
@click.option(
    "--recipe",
    type=click.Choice(["clean", "tol10m"]),
    default="clean",
    show_default=True,
    help="What a sample is.",
)
@click.option("--workers", type=click.IntRange(1, 64), help="Processes.  [default: cores]")
@click.option("--tree-only", is_flag=True, help="Draw the raw tree, and leave the rest to you (docs/tutorial.md).")
def demo(folder: Path, images: int, recipe: str, workers: int | None, tree_only: bool) -> None:
    """Make a small raw tree in FOLDER and take it all the way to shards, a catalog and a status report.

    The pictures are generated (drawn by a program); the names of taxa are real. No network is used. Run it
    again: everything that is done already is found done.

    \b
    Examples:
      tol-db demo /tmp/tol-db-demo
      tol-db demo sandbox --images 60 --tree-only
    """
    raw = folder / "raw"
    with progress.track("drawing specimens", total=images) as tracker:
        tree = demo_tree.make_demo_tree(raw, images=images, on_image=lambda: tracker.advance())
    click.echo(f"a raw tree of {tree.images} generated pictures lies in {raw}")
    if tree_only:
        return
    database, shards, catalog = folder / "tol.sqlite", folder / "shards", folder / "catalog.csv"
    if not database.exists():
        _run(database, "init")
    _run(database, "ingest", "tol10m", str(tree.tree))
    _run(
        *(database, "ingest", "blacklist", "rare-species"),
        *("--images", str(tree.rare_seen), "--species", str(tree.rare_unseen)),
    )
    if not _is_planned(database):
        wanted = [word for split in SPLITS for word in ("--split", split)]
        _run(
            *(database, "plan", str(shards), "--dataset", DATASET, "--recipe", recipe),
            *("--shard-images", "50", *wanted),
        )
    _run(database, "materialize", "--dataset", DATASET, *(("--workers", str(workers)) if workers else ()))
    _run(database, "export", "catalog", "--dataset", DATASET, "-o", str(catalog))
    _run(database, "export", "sizes", "--dataset", DATASET)
    _run(database, "doctor")
    _run(database, "report", "status")
    for line in (
        "",
        "Where to look:",
        f"  {shards}/224x224/<split>/shard-*.tar: WebDataset shards",
        f"  {catalog}: one row per image and split",
        f"  {database}: the database; try",
        f"    tol-db --db {database} report summary",
        f"    tol-db --db {database} report audit exclusions_by_reason",
        f"    tol-db --db {database} browse --open",
    ):
        click.echo(line)


def _is_planned(database: Path) -> bool:
    from tol_db.datasets import list_datasets
    from tol_db.db.engine import open_database

    return any(line.name == DATASET for line in list_datasets(open_database(database, readonly=True)))


def _run(database: Path, *words: str) -> None:
    """Show a command and run it as its own process."""
    click.secho(f"\n$ {shlex.join(['tol-db', '--db', str(database), *words])}", bold=True)
    sys.stdout.flush()
    # -P: the package that is installed, not a folder of that name where the user happens to stand
    command = [sys.executable, "-P", "-m", "tol_db", "--db", str(database), *words]
    done = subprocess.run(command, env=os.environ, check=False)
    if done.returncode:
        failed = TolDbError(f"`tol-db {words[0]}` ended with exit code {done.returncode}")
        failed.exit_code = done.returncode
        raise failed
