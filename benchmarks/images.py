"""What an image costs: a bare Pillow loop, the two recipes, their fidelity, and the whole command around them.

The bare loop is what the published procedure does to the same bytes: open, RGBA and P to RGB, resize to 224 x 224
(bicubic), save with quality 100. Of each image the lowest of several measurements counts, all ways in turns: what
other processes of the machine add is no property of the code.
"""

from __future__ import annotations

import io
import math
import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import corpus
from benchmarks.corpus import Corpus
from benchmarks.frame import Benchmark, Context, Result, tol_db
from materialize.image import Rejected, convert
from materialize.image_resize import resize
from materialize.recipe import BUILT_IN

TOL10M, CLEAN = BUILT_IN["tol10m"], BUILT_IN["clean"]
SIDE = 224
SAMPLE = 300
"""Images of each kind that are timed, at full size."""
GOALS = {"A": 1.85, "B": 1.6, "C": 1.5}
FAITHFUL = 45.0  # dB
ROUNDS, ROUNDS_WHOLE = 5, 3


def bare(data: bytes) -> bytes:
    """The published procedure's work on one image."""
    image: Image.Image = Image.open(io.BytesIO(data))
    if image.mode in ("RGBA", "P"):
        image = image.convert("RGB")
    image = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=100)
    return file.getvalue()


def per_image(context: Context) -> list[Result]:
    """CPU of an image: bare Pillow, recipe tol10m, recipe clean; fidelity of clean."""
    of = corpus.corpus(context)
    number = max(10, round(SAMPLE * context.scale))
    results = []
    for kind, images in _kinds(of).items():
        sample = list(islice((data for data in images if _is_sound(data)), number))
        if not sample:
            continue
        results.append(_speed(context, of, kind, sample))
        results += _fidelity(context, of, kind, sample)
    return results


def whole_path(context: Context) -> list[Result]:
    """CPU of `materialize` with one worker on EOL archives, against bare Pillow on the same bytes."""
    of = corpus.corpus(context)
    tree, database = corpus.eol_tree(context, of), context.folder / "eol.sqlite"
    corpus.ingested(database, tree)
    rounds = []
    for attempt in range(ROUNDS_WHOLE):
        context.say(f"whole path on EOL, round {attempt + 1} of {ROUNDS_WHOLE}")
        rounds.append(_round(database, tree, context.folder))
    loop, cpu, start, number = (statistics.median(each) for each in zip(*rounds, strict=True))
    added = statistics.median((spent - nothing) / base - 1 for base, spent, nothing, _ in rounds)
    figure = (
        f"{added:+.1%} (bare {loop / number * 1e3:.2f}, command {(cpu - start) / number * 1e3:.2f} ms an image, "
        f"and {start:.2f} s to start)"
    )
    numbers = {"bare_s": loop, "command_s": cpu, "start_s": start, "added": added, "images": number}
    goal = "archive, texts, tar, hashes, database: at most +12 % on bare Pillow"
    size = f"{number:,.0f} EOL images, of {of.size}"
    return [Result("whole path, A, tol10m", goal, figure, of.judged(context, added <= 0.12), size, numbers)]


def _round(ingested: Path, tree: Path, folder: Path) -> tuple[float, float, float, float]:
    """CPU seconds of the bare loop, of the command, of the command with nothing left to do; images."""
    database, out = folder / "eol-round.sqlite", folder / "eol-shards"
    for path in folder.glob(database.name + "*"):
        path.unlink()
    shutil.copy(ingested, database)
    corpus.planned(database, out, "eol", "tol10m")
    with closing(sqlite3.connect(database)) as conn:
        rows = conn.execute(
            """SELECT c.path, i.member_index FROM image i JOIN container c ON c.id = i.container_id
               WHERE i.id IN (SELECT image_id FROM shard_image)"""
        )
        wanted = {(Path(path).name, index) for path, index in rows}
    loop = sum(_cpu(bare, data) for where, data in corpus.archived(tree) if where in wanted)
    words = ("materialize", "--dataset", "eol", "--workers", 1)
    return loop, tol_db(database, *words).cpu, tol_db(database, *words).cpu, len(wanted)


def _kinds(of: Corpus) -> dict[str, Iterable[bytes]]:
    return {
        "A": (data for _, data in corpus.archived(of.tree)),
        "B": corpus.in_folders(of.tree, "inat21"),
        "C": corpus.in_folders(of.tree, "bioscan"),
    }


def _is_sound(data: bytes) -> bool:
    """Whether every way makes a picture of it: a broken one costs nothing and would flatter somebody."""
    try:
        bare(data)
        convert(data, CLEAN)
    except (OSError, Rejected):
        return False
    return True


def _cpu(work: Callable[[bytes], object], data: bytes) -> float:
    start = time.process_time()
    work(data)
    return time.process_time() - start


def _speed(context: Context, of: Corpus, kind: str, sample: Sequence[bytes]) -> Result:
    ways: tuple[Callable[[bytes], object], ...] = (
        bare,
        lambda data: convert(data, TOL10M),
        lambda data: convert(data, CLEAN),
    )
    lowest = [[math.inf] * len(sample) for _ in ways]
    for attempt in range(ROUNDS):
        for at, data in enumerate(sample):
            for turn in range(len(ways)):
                way = (attempt + turn) % len(ways)  # nobody always comes first, to cold caches
                lowest[way][at] = min(lowest[way][at], _cpu(ways[way], data))
    a, b, c = (sum(each) / len(sample) * 1e3 for each in lowest)
    ratio = b / c
    figure = f"{ratio:.2f}x (bare {a:.2f}, tol10m {b:.2f}, clean {c:.2f} ms)"
    size = f"{len(sample)} images of {sum(map(len, sample)) // len(sample) // 1000} KB, of {of.size}"
    numbers = {"bare_ms": a, "tol10m_ms": b, "clean_ms": c, "ratio": ratio, "tol10m_to_bare": b / a}
    goal = f"clean at least {GOALS[kind]}x as fast as tol10m"
    return Result(f"image, {kind}", goal, figure, of.judged(context, ratio >= GOALS[kind]), size, numbers)


def _fidelity(context: Context, of: Corpus, kind: str, sample: Sequence[bytes]) -> list[Result]:
    """How far clean is from the exact picture (Pillow's resize of a picture decoded whole), at equal quality.

    Twice: at the quality of tol10m, and at clean's own. There it is the two encoders' rounding that differs most.
    """
    exact = CLEAN.with_(name="exact", resampler="pillow-bicubic", dct_scaling=False)
    before = min(_before_encoding(data) for data in sample)
    results = []
    for quality in (TOL10M.quality, CLEAN.quality):
        ours, theirs = (recipe.with_(quality=quality) for recipe in (CLEAN, exact))
        pairs = ((convert(data, ours).jpg, convert(data, theirs).jpg) for data in sample)
        decibels = [psnr(_pixels(one), _pixels(other)) for one, other in pairs]
        worst, below = min(decibels), sum(each < FAITHFUL for each in decibels)
        results.append(
            Result(
                f"fidelity, {kind}, both at quality {quality}",
                f"every image at least {FAITHFUL:.0f} dB from the exact picture at equal quality",
                f"worst {worst:.1f} dB, {below} images below the goal; before encoding worst {before:.1f} dB",
                of.judged(context, worst >= FAITHFUL),
                f"{len(sample)} images of {of.size}",
                {"worst_db": worst, "below": below, "before_encoding_db": before},
            )
        )
    return results


def _before_encoding(data: bytes) -> float:
    """dB between the resized pictures, before any JPEG encoder rounds them."""
    one, other = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(data))
    stored = one.size
    draft = one.draft(None, (2 * SIDE, 2 * SIDE)) if one.format == "JPEG" else None
    box = draft[1] if draft and one.size != stored else None
    one.load()
    other.load()
    exact = CLEAN.with_(name="exact", resampler="pillow-bicubic")
    ours = resize(one, (SIDE, SIDE), box, CLEAN)
    theirs = resize(other, (SIDE, SIDE), None, exact)
    return psnr(np.asarray(ours.convert("RGB"), np.int16), np.asarray(theirs.convert("RGB"), np.int16))


def _pixels(jpg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpg)).convert("RGB"), np.int16)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal to noise of two pictures of 8 bits, dB; 99 where they are equal."""
    error = float(((one - other) ** 2).mean(dtype=float))
    return 10 * math.log10(255**2 / error) if error else 99.0


BENCHMARKS: dict[str, Benchmark] = {"images": per_image, "whole-path": whole_path}
