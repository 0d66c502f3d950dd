"""How quick bad shards are looked for, against what readers of the same files take: shards of the corpus."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from PIL import Image

from benchmarks import corpus
from benchmarks.frame import Benchmark, Context, Result, cpu_of, interleaved, run, tol_db

ROUNDS = 5
LEAST = 0.01
"""Seconds of CPU; a difference of less is noise."""


def verify(context: Context) -> list[Result]:
    """`verify`, default and --deep: bytes and images per second and core; against tarfile and a Pillow loop."""
    of = corpus.corpus(context)
    db, out, samples = corpus.written(context, of)
    # what the smallest shard alone costs is mostly the start of two processes: it is taken off, and not counted
    files = sorted(out.rglob("*.tar"), key=lambda path: path.stat().st_size)[1:]
    with closing(sqlite3.connect(db)) as conn:
        number, its_samples = conn.execute("SELECT number, written FROM shard ORDER BY bytes LIMIT 1").fetchone()
    size, rest = sum(path.stat().st_size for path in files), samples - its_samples

    def checked(*more: object) -> float:
        words = ("verify", "--dataset", "set", "--workers", 1, "--restart", "--json", *more)
        spent = tol_db(db, *words)
        assert json.loads(spent.out)["bad"] == []
        return spent.cpu

    smallest = ("--shards", f"{number}-{number}")
    quick, its_quick, deep, its_deep, listed, decoded = interleaved(
        ROUNDS,
        checked,
        lambda: checked(*smallest),
        lambda: checked("--deep"),
        lambda: checked("--deep", *smallest),
        lambda: _cpu(_list, files),
        lambda: _cpu(_decode_all, files),
    )
    quick, deep = max(quick - its_quick, LEAST), max(deep - its_deep, LEAST)
    told = f"{rest:,} samples of {size / rest / 1000:.0f} KB, {size / 1e6:,.0f} MB, of {of.size}"
    return [
        Result(
            "verify",
            ">= 1.2 GB per CPU second",
            f"{size / quick / 1e9:.2f} GB/s, {listed / quick:.1f}x tarfile's listing",
            of.judged(context, size / quick >= 1.2e9),
            told,
            {"bytes_per_cpu_second": size / quick, "ratio_to_tarfile": listed / quick},
        ),
        Result(
            "verify --deep",
            ">= 2,000 images per CPU second",
            f"{rest / deep:,.0f} images/s, {decoded / deep:.2f} of a bare loop of tarfile, sha256 and Pillow",
            of.judged(context, rest / deep >= 2000),
            told,
            {"images_per_cpu_second": rest / deep, "ratio_to_bare_loop": decoded / deep},
        ),
    ]


def _cpu(work: Callable[[Path], None], files: Sequence[Path]) -> float:
    def all_of_them() -> None:
        for path in files:
            work(path)

    return cpu_of(all_of_them)


def _list(path: Path) -> None:
    with tarfile.open(path, "r:") as archive:
        for _ in archive:
            pass


def _decode_all(path: Path) -> None:
    """What whoever writes such a check in ten lines has: hash, tar, decode."""
    data = path.read_bytes()
    hashlib.sha256(data).digest()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            body = archive.extractfile(member)
            if member.name.endswith(".jpg") and body is not None:
                with Image.open(io.BytesIO(body.read())) as image:
                    image.load()


def verify_folder(context: Context) -> list[Result]:
    """`verify DIR` of the same shards, with and without decoding, against webdataset reading them."""
    of = corpus.corpus(context)
    _, out, samples = corpus.written(context, of)
    urls = [str(path) for path in sorted(out.rglob("*.tar"))]
    code = (
        "import sys, webdataset as wds\n"
        "n = sum(1 for _ in wds.WebDataset(sys.argv[1:], shardshuffle=False){decode})\nassert n"
    )

    def theirs(decode: str) -> float:
        return run([sys.executable, "-c", code.format(decode=decode), *urls]).cpu

    def ours(*more: str) -> float:
        return run([sys.executable, "-m", "tol_db", "-q", "verify", out, "--workers", "1", *more]).cpu

    plain, decoded, read, opened = interleaved(
        3, lambda: ours("--no-decode"), ours, lambda: theirs(""), lambda: theirs(".decode('pil')")
    )
    return [
        Result(
            f"verify DIR{name}",
            "no slower than webdataset reading" if not name else "",
            f"{other / mine:.2f}x webdataset {read_how}, {samples / mine:,.0f} samples/s",
            of.judged(context, other / mine >= 1),
            f"{samples:,} samples of {of.size}",
            {"ratio_to_webdataset": other / mine, "samples_per_cpu_second": samples / mine},
        )
        for name, mine, other, read_how in (
            ("", decoded, opened, ".decode(pil)"),
            (" --no-decode", plain, read, "undecoded"),
        )
    ]


def start(context: Context) -> list[Result]:
    """How long `tol-db --help` takes, against an empty interpreter."""
    command = [sys.executable, "-m", "tol_db", "--help"]

    def wall(words: list[str]) -> float:
        begun = time.monotonic()
        run(words)
        return time.monotonic() - begun

    helped, bare = interleaved(9, lambda: wall(command), lambda: wall([sys.executable, "-c", "pass"]))
    return [
        Result(
            "tol-db --help",
            "<= 0.25 s",
            f"{helped:.2f} s (an empty interpreter {bare:.2f} s)",
            helped <= 0.25 if context.profile is None else None,
            "9 times",
            {"seconds": helped, "empty_interpreter": bare},
        )
    ]


BENCHMARKS: dict[str, Benchmark] = {"verify": verify, "verify-dir": verify_folder, "start": start}
