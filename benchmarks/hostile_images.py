"""Thousands of damaged images through the real command line: ingest, plan, materialize, doctor."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageFile

from tests.big_pictures import BIG
from tests.mutations import mutations
from tests.running import environment
from tol_db.demo_tree import make_demo_tree

Say = Callable[[str], None]

PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".tif", ".tiff", ".bmp")
_OTHER_FORMATS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("RGB", "JPEG", {"progressive": True}),
    ("CMYK", "JPEG", {}),
    ("RGB", "PNG", {}),
    ("RGBA", "PNG", {}),
    ("LA", "PNG", {}),
    ("P", "PNG", {"transparency": 3}),
    ("P", "GIF", {}),
    ("RGB", "WEBP", {}),
    ("RGBA", "WEBP", {"lossless": True}),
    ("RGB", "TIFF", {}),
    ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    ("RGB", "TIFF", {"compression": "jpeg"}),
    ("RGB", "BMP", {}),
    ("RGB", "JPEG2000", {}),
    ("RGB", "AVIF", {}),
    ("RGB", "ICO", {}),
)
PER_CLASS = 500
CLASS = "{:05d}_Animalia_Chordata_Mammalia_Carnivora_Canidae_Canis_lupus"
ORIGINALS = 150
LONGEST_ORIGINAL = 1 << 20
BIG_ONES = (
    "RGBA PNG",
    "LA PNG",
    "progressive JPEG 4:2:0",
    "progressive JPEG 4:4:4",
    "GIF, transparent",
    "RGB WebP",
)
LOOK_EVERY = 0.02  # seconds
SHARD_IMAGES = 500
COMMAND_SECONDS = 6 * 3600


@dataclass(frozen=True, slots=True)
class HostileImages:
    """What became of hostile images.

    Attributes:
        images: damaged, big and adversarial ones that were to be written by recipe ``clean``.
        crashes: commands that ended otherwise than they should, and databases in which doctor found something.
        without_outcome: images that are neither written nor left out with a reason, of both recipes.
        decoder_deaths: images that took a worker process along; each has its outcome.
        outcomes: name → images under recipe ``clean``.
        peak_rss_bytes: the most that any single process of the ``clean`` runs had in memory (VmHWM of each
            process of the tree, looked up every 20 ms in /proc).
        published_peak_rss_bytes: the same of the ``tol10m`` runs, whose pixel limit is that of the published
            procedure: 1.8 billion.
        complaints: what went wrong, a line each.
        seconds: for all of it.
    """

    images: int
    crashes: int
    without_outcome: int
    decoder_deaths: int
    outcomes: dict[str, int]
    peak_rss_bytes: int
    published_peak_rss_bytes: int
    complaints: tuple[str, ...]
    seconds: float


@dataclass(slots=True)
class _Tally:
    say: Say
    images: int = 0
    without_outcome: int = 0
    deaths: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    peak: dict[str, int] = field(default_factory=lambda: {"clean": 0, "tol10m": 0})
    complaints: list[str] = field(default_factory=list)

    def complain(self, what: str) -> None:
        self.complaints.append(what)
        self.say(what)


def run(
    folder: Path,
    count: int,
    seed: int,
    workers: int,
    say: Say,
    originals: Path | None = None,
    adversarial: Path | None = None,
) -> HostileImages:
    """Make ``count`` damaged images, write datasets of them, and look what became of each.

    Args:
        folder: an empty one, to work in.
        seed: of the damages.
        workers: of materialize.
        say: is told how it goes.
        originals: a folder with sound pictures, at any depth; else those of the demo tree are taken.
        adversarial: a TreeOfLife-10M tree, or a folder with one in ``data/``, of images that are bad already.
    """
    start, tally = time.monotonic(), _Tally(say)
    lay_out(folder / "inat21", _originals(folder, originals), count, seed)
    say(f"{count:,} damaged images and {len(BIG_ONES)} of 80 million pixels laid out")
    _mutated(folder, tally, workers)
    if adversarial is not None:
        _adversarial(folder, adversarial, tally, workers)
    return HostileImages(
        images=tally.images,
        crashes=len(tally.complaints),
        without_outcome=tally.without_outcome,
        decoder_deaths=tally.deaths,
        outcomes=dict(sorted(tally.outcomes.items())),
        peak_rss_bytes=tally.peak["clean"],
        published_peak_rss_bytes=tally.peak["tol10m"],
        complaints=tuple(tally.complaints),
        seconds=time.monotonic() - start,
    )


def lay_out(folder: Path, originals: list[bytes], count: int, seed: int) -> None:
    """Write damaged images, and big ones, as an iNat21 folder."""
    for number, (_, data) in enumerate(mutations(originals, count, seed)):
        target = folder / "train" / CLASS.format(number // PER_CLASS)
        if number % PER_CLASS == 0:
            target.mkdir(parents=True)
        (target / f"{number:06d}.jpg").write_bytes(data)
    big = folder / "train" / CLASS.format(99_999)
    big.mkdir(parents=True)
    for number, name in enumerate(BIG_ONES):
        (big / f"{number}.jpg").write_bytes(BIG[name].make())


def _originals(folder: Path, given: Path | None) -> list[bytes]:
    """Sound pictures of moderate size, the same ones at each run; a few in every format that is common."""
    root = given or make_demo_tree(folder / "originals").root
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    fitting = [path for path in files if 0 < path.stat().st_size <= LONGEST_ORIGINAL]
    step = max(1, len(fitting) // ORIGINALS)
    found = [path.read_bytes() for path in fitting[::step]]
    return found + [_saved(data, *how) for data, how in zip(found, _OTHER_FORMATS * 3, strict=False)]


def _saved(data: bytes, mode: str, format: str, more: dict[str, Any]) -> bytes:
    ImageFile.LOAD_TRUNCATED_IMAGES, before = True, ImageFile.LOAD_TRUNCATED_IMAGES  # some originals are cut off
    try:
        with Image.open(io.BytesIO(data)) as image:
            picture = image.convert("RGB")
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
    picture.thumbnail((320, 320))
    file = io.BytesIO()
    picture.convert(mode).save(file, format, **more)
    return file.getvalue()


def _mutated(folder: Path, tally: _Tally, workers: int) -> None:
    db = folder / "mutated.sqlite"
    _tol_db(db, tally, "init")
    _tol_db(db, tally, "ingest", "inat21", folder / "inat21")
    _tol_db(db, tally, "split", "everything", "--fraction", 1.0)
    _tol_db(db, tally, "split", "tenth", "--fraction", 0.1)
    _write(db, folder, "clean", "everything", tally, workers)
    _write(db, folder, "tol10m", "tenth", tally, workers)
    _tol_db(db, tally, "doctor")


def _adversarial(folder: Path, corpus: Path, tally: _Tally, workers: int) -> None:
    tree = corpus if (corpus / "metadata").is_dir() else corpus / "data" / "TreeOfLife-10M"
    db = folder / "adversarial.sqlite"
    _tol_db(db, tally, "init")
    _tol_db(db, tally, "ingest", "tol10m", tree)
    _tol_db(db, tally, "split", "everything", "--fraction", 1.0)
    for recipe in ("clean", "tol10m"):
        _write(db, folder, recipe, "everything", tally, workers)
    _tol_db(db, tally, "doctor")


def _write(db: Path, folder: Path, recipe: str, split: str, tally: _Tally, workers: int) -> None:
    """Plan and write a dataset of a split, and count what became of its images."""
    name, out = recipe, folder / f"{db.stem}-{recipe}"
    words = ("--dataset", name, "--recipe", recipe, "--split", split, "--shard-images", SHARD_IMAGES)
    _tol_db(db, tally, "plan", out, *words)
    _tol_db(db, tally, "materialize", "--dataset", name, "--workers", workers, recipe=recipe)
    with closing(sqlite3.connect(db)) as connection:
        outcomes = Counter[str]()
        for view in ("v_sample", "v_exclusion"):
            sql = f"SELECT outcome, count(*) FROM {view} WHERE dataset = ? GROUP BY 1"
            outcomes.update(dict(connection.execute(sql, (name,)).fetchall()))
        sql = """SELECT count(*) FROM split_member m JOIN split s ON s.id = m.split_id WHERE s.name = ?"""
        members = int(connection.execute(sql, (split,)).fetchone()[0])
        sql = """SELECT count(*) FROM v_sample WHERE dataset = ?
                 AND (detail LIKE 'the decoder does not survive it%' OR outcome = 'timeout')"""
        tally.deaths += int(connection.execute(sql, (name,)).fetchone()[0])
    told = outcomes.total() - outcomes["pending"]
    tally.without_outcome += members - told
    if recipe == "clean":
        tally.images += members
        tally.outcomes.update(outcomes)
    tally.say(f"{db.stem}, {recipe}: {members:,} images, {members - told} without an outcome, {dict(outcomes)}")
    if not tally.complaints:
        shutil.rmtree(out)


def _tol_db(db: Path, tally: _Tally, *words: object, recipe: str | None = None) -> None:
    """Run a command; where it writes by a recipe, note what memory the hungriest of its processes had."""
    command = [sys.executable, "-m", "tol_db", "--db", str(db), *map(str, words)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    watch = _Watch(process.pid)
    watch.start()
    try:
        out, err = process.communicate(timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    watch.ended.set()
    watch.join()
    if recipe is not None:
        tally.peak[recipe] = max(tally.peak[recipe], watch.peak)
    told = f"tol-db {' '.join(map(str, words))}: exit {process.returncode}"
    if process.returncode != 0 or "Traceback" in err or "internal error" in err:
        tally.complain(f"{told}: {(err or out)[-2000:]}")
    elif recipe is not None and err.strip():
        tally.say(f"{told}, on stderr: {err[-500:]}")


class _Watch(threading.Thread):
    """Looks at the memory of a process and its descendants until it is told that they have ended."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.ended, self.peak = pid, threading.Event(), 0

    def run(self) -> None:
        while not self.ended.wait(LOOK_EVERY):
            for pid in _descendants(self.pid):
                self.peak = max(self.peak, _high_water(pid))


def _descendants(pid: int) -> Iterator[int]:
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _descendants(int(child))
    except OSError:
        return  # it has ended meanwhile


def _high_water(pid: int) -> int:
    """VmHWM of a process, bytes; 0 where it has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
