"""How cost grows: an image of a run at ten times the images, a row of ingest and plan at ten times the rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks import corpus, database
from benchmarks.corpus import Corpus
from benchmarks.frame import Benchmark, Context, Result, tol_db

IMAGES = 6_000, 60_000
STEP = 10
WORKERS = 2


def growth(context: Context) -> list[Result]:
    """Cost of an image at 6,000 and 60,000 images, of a row of ingest and plan at 1 and 10 million rows."""
    return [_images(context), _rows(context)]


def _images(context: Context) -> Result:
    """`materialize` of three splits, all processes, without what it takes to start them."""
    few, many = (corpus.corpus_of(context, round(number * context.scale), "small") for number in IMAGES)
    costs = []
    for of in (few, many):
        context.say(f"materialize, {of.size}")
        costs.append(_cost(context.folder, of))
    less, more = (each * 1e3 for each in costs)
    return Result(
        "growth, an image of materialize",
        "told: the same at ten times the size",
        f"{less:.3f} ms and {more:.3f} ms, {more / less:.2f}x",
        None,
        f"{few.size} and {many.images:,}, three splits",
        {"ms_few": less, "ms_many": more, "ratio": more / less},
    )


def _cost(folder: Path, of: Corpus) -> float:
    """CPU seconds per image of the corpus."""
    path, out = folder / "growth.sqlite", folder / "growth-shards"
    corpus.ingested(path, of.tree)
    corpus.planned(path, out, "growth", "tol10m")
    words = ("materialize", "--dataset", "growth", "--workers", WORKERS)
    whole, nothing = tol_db(path, *words).cpu, tol_db(path, *words).cpu
    return (whole - (1 + WORKERS) * nothing) / of.images


def _rows(context: Context) -> Result:
    costs = []
    for part in (replace(context, scale=context.scale / STEP), context):
        context.say(f"ingest and plan, {database.size_of(part)}")
        first, *_ = database.ingest(part)
        planned, *_ = database.plan(part)
        costs.append((first.numbers["cpu"] + planned.numbers["cpu"]) / database.rows(part))
    less, more = (each * 1e6 for each in costs)
    return Result(
        "growth, a row of ingest and plan",
        "told: the same at ten times the size",
        f"{less:.1f} µs and {more:.1f} µs, {more / less:.2f}x",
        None,
        f"{database.rows(context) // STEP:,} and {database.size_of(context)}",
        {"us_few": less, "us_many": more, "ratio": more / less},
    )


BENCHMARKS: dict[str, Benchmark] = {"growth": growth}
