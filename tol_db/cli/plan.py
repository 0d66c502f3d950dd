"""``tol-db plan``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from tol_db.cli.options import as_json, db_settings, opened
from tol_db.errors import UsageError, did_you_mean
from tol_db.progress import amount
from tol_db.settings import Settings

if TYPE_CHECKING:
    from materialize.plan import PlanSummary
    from materialize.recipe import Recipe
    from materialize.replan import RefreshSummary


@click.command()
@click.argument("out", required=False, type=click.Path(path_type=Path))
@click.option("--dataset", "name", required=True, help="Name of the dataset.")
@click.option(
    "--recipe", "recipe_name", default="clean", show_default=True, help="tol10m, clean, or [recipe.NAME]."
)
@click.option("--split", "splits", multiple=True, help="A split to write (repeat).")
@click.option("--blacklist", "blacklists", multiple=True, help="Only this blacklist applies (repeat).  [all]")
@click.option("--no-blacklist", is_flag=True, help="No blacklist applies.")
@click.option(
    "--license",
    "--licence",
    "licences",
    multiple=True,
    help="Only images of these licences: cc-by,cc0,… (repeat); `unknown` where none is recorded.  [all]",
)
@click.option(
    "--order",
    type=click.Choice(["source", "shuffled"]),
    default="source",
    show_default=True,
    help="Images of one archive stay together, or each shard is a fair sample; a .tar.gz then needs a seek index "
    "(`ingest containers --seek-index`).",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=17, show_default=True, help="Of --order shuffled."
)
@click.option(
    "--shard-images",
    type=click.IntRange(1, 100_000),
    default=10_000,
    show_default=True,
    help="Images per shard at most.",
)
@click.option("--size", help="Width and height of the pictures, such as 224x224.")
@click.option("--quality", type=click.IntRange(1, 100), help="JPEG quality.")
@click.option("--extend", "extending", is_flag=True, help="Add shards for images that came since.")
@click.option("--refresh", "refreshing", is_flag=True, help="Plan shards anew that would come out otherwise.")
@click.option("--dry-run", is_flag=True, help="Only say what would be planned.")
@click.option("--json", "json_", is_flag=True, help="JSON instead of text.")
@db_settings
def plan(
    settings: Settings,
    out: Path | None,
    name: str,
    recipe_name: str,
    splits: tuple[str, ...],
    blacklists: tuple[str, ...],
    no_blacklist: bool,
    licences: tuple[str, ...],
    order: str,
    seed: int,
    shard_images: int,
    size: str | None,
    quality: int | None,
    extending: bool,
    refreshing: bool,
    dry_run: bool,
    json_: bool,
) -> None:
    """Fix which image goes to which shard of the dataset under OUT, and which stay out and why.

    All blacklists apply unless said otherwise, also those that come later (--refresh then). A licence is meant
    in every version (cc-by: also cc-by-4.0); --extend and --refresh keep to the licences of the plan.

    \b
    Examples:
      tol-db plan /data/shards --dataset tol --split train --split val --split train_small --dry-run
      tol-db plan /data/shards --dataset tol --split train --split val --split train_small
      tol-db plan /data/published --dataset tol10m --split train --recipe tol10m
      tol-db plan /data/mixed --dataset mixed --split train --order shuffled --seed 5
      tol-db plan /data/free --dataset free --split train --license cc-by,cc0,public-domain
      tol-db plan --dataset tol --extend
      tol-db plan --dataset tol --refresh
    """
    from materialize.plan import PlanRequest
    from materialize.plan import plan as make_plan
    from materialize.replan import extend, refresh
    from materialize.slurm.jobs import require_no_arrays
    from tol_db.licences import parse_words

    database = opened(settings)
    if extending or refreshing:
        if out is not None or splits:
            raise UsageError(
                "--extend and --refresh take everything else from the dataset",
                hint="leave out OUT and --split",
            )
        _require_not_given(
            *(
                "recipe_name",
                "blacklists",
                "no_blacklist",
                "licences",
                "order",
                "seed",
                "shard_images",
                "size",
                "quality",
            )
        )
        results: list[PlanSummary | RefreshSummary] = []
        if refreshing:
            if not dry_run:
                require_no_arrays(database, name)
            results.append(refresh(database, name, dry_run=dry_run))
        if extending:
            results.append(extend(database, name, dry_run=dry_run))
        if json_:
            click.echo(as_json(results))
            return
        for result in results:
            _print_refresh(result) if refreshing and result is results[0] else _print_plan(result)  # type: ignore[arg-type]
        return
    if out is None or not splits:
        raise UsageError(
            "where to and which splits?", hint="tol-db plan OUT --dataset NAME --split train --split val"
        )
    if no_blacklist and blacklists:
        raise UsageError("--blacklist and --no-blacklist contradict each other")
    request = PlanRequest(
        dataset=name,
        output_root=out,
        recipe=_recipe(settings, recipe_name, size, quality),
        splits=splits,
        blacklists=() if no_blacklist else blacklists or None,
        order=order,
        seed=seed,
        shard_images=shard_images,
        licences=parse_words(licences),
    )
    summary = make_plan(database, request, dry_run=dry_run)
    click.echo(as_json(summary)) if json_ else _print_plan(summary)


def _require_not_given(*names: str) -> None:
    """Raises UsageError where one of these options stands on the command line."""
    ctx = click.get_current_context()
    for parameter in ctx.command.params:
        name = parameter.name or ""
        given = ctx.get_parameter_source(name) in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
        if name in names and given:
            raise UsageError(
                f"{parameter.opts[0]}: --extend and --refresh take it from the dataset",
                hint=f"leave out {parameter.opts[0]}, or plan another dataset with it",
            )


def _recipe(settings: Settings, name: str, size: str | None, quality: int | None) -> Recipe:
    """A built-in recipe or a table [recipe.NAME] (its key `base` names the built-in it starts from)."""
    from materialize.recipe import BUILT_IN

    if name in BUILT_IN and name not in settings.recipes:
        recipe = BUILT_IN[name]
    elif name in settings.recipes:
        table = dict(settings.recipes[name])
        base = table.pop("base", "clean")
        if base not in BUILT_IN:
            raise UsageError(f"[recipe.{name}]: base = {base!r}", hint=f"one of {', '.join(BUILT_IN)}")
        recipe = BUILT_IN[base].with_(name=name, **table)
    else:
        known = [*BUILT_IN, *settings.recipes]
        there = f"recipes: {', '.join(known)}; [recipe.NAME] in tol-db.toml adds one"
        raise UsageError(f"no recipe {name!r}", hint=did_you_mean(name, known, there))
    if size is not None:
        sides = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", size)
        if sides is None:
            raise UsageError(f"--size {size}: WIDTHxHEIGHT is wanted", hint="such as 224x224")
        recipe = recipe.with_(width=int(sides[1]), height=int(sides[2]))
    return recipe.with_(quality=quality) if quality is not None else recipe


def _print_plan(summary: PlanSummary) -> None:
    if not summary.shards:
        click.echo(f"dataset {summary.dataset}: no shards to add")
        return
    verb = "planned" if summary.written else "would be planned"
    click.echo(f"dataset {summary.dataset}: {summary.shards} shards in {summary.units} work units {verb}")
    for split in summary.splits:
        told = "".join(f", {name} {number:,}" for name, number in split.excluded)
        click.echo(f"  {split.name}: {split.planned:,} of {split.members:,} images in {split.shards} shards{told}")
    click.echo(f"  reads {summary.images:,} images, {amount(summary.source_bytes, 'bytes')}")
    click.echo(
        f"  writes about {amount(summary.estimated_bytes, 'bytes')} to {summary.output_root} "
        f"({amount(summary.free_bytes, 'bytes')} free)"
    )
    click.echo(f"  plan digest {summary.digest[:16]}")
    if summary.estimated_bytes > summary.free_bytes:
        click.echo("warning: that is more than is free", err=True)
    if summary.written:
        click.echo(f"next: tol-db materialize --dataset {summary.dataset}")


def _print_refresh(summary: RefreshSummary) -> None:
    if not summary.stale:
        click.echo(f"dataset {summary.dataset}: none of {summary.shards} shards is stale")
        return
    verb = "planned anew" if summary.written else "would be planned anew"
    click.echo(
        f"dataset {summary.dataset}: {len(summary.stale)} of {summary.shards} shards {verb}: "
        f"{summary.dropped:,} images leave them, {summary.relabelled:,} have another label"
    )
    if summary.written:
        click.echo(f"next: tol-db materialize --dataset {summary.dataset}")
