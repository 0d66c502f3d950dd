"""How quick bad shards are looked for, against what readers of the same files take."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import sys
import tarfile
import time
from contextlib import closing
from pathlib import Path

from PIL import Image

from benchmarks.frame import Benchmark, Context, Result, cpu_of, interleaved, run, tol_db
from tol_db.demo_tree import make_demo_tree

IMAGES = 12_000
"""At full size: hundreds of megabytes of shards, so that a pass takes a second."""
PICTURES = 240


def shards(context: Context) -> tuple[Path, Path, int]:
    """A written dataset: its database, its root, samples in it."""
    folder = context.folder / f"verify-{context.scale:g}"
    db, out = folder / "tol.sqlite", folder / "out"
    if not (folder / "done").exists():
        context.say("making shards")
        folder.mkdir(parents=True, exist_ok=True)
        _lay_out(folder / "raw", max(PICTURES, round(IMAGES * context.scale)))
        tol_db(db, "init")
        tol_db(db, "ingest", "inat21", folder / "raw")
        tol_db(db, "split", "train", "--fraction", 1)
        tol_db(
            db, "plan", out, "--dataset", "set", "--recipe", "tol10m", "--split", "train", "--shard-images", 2000
        )
        tol_db(db, "materialize", "--dataset", "set")
        (folder / "done").touch()
    with closing(sqlite3.connect(db)) as connection:
        (samples,) = connection.execute("SELECT sum(written) FROM shard").fetchone()
    return db, out, samples


def _lay_out(raw: Path, images: int) -> None:
    """Raw iNat21 folders of a few pictures over and over; what follows a JPEG's end tells them apart."""
    tree = make_demo_tree(raw.with_name("tree"), images=PICTURES)
    pictures = [path.read_bytes() for path in sorted(tree.tree.rglob("inat21/train/*/*.jpg"))]
    folder = raw / "00000_Animalia_Chordata_Mammalia_Carnivora_Canidae_Canis_lupus"
    folder.mkdir(parents=True)
    for number in range(images):
        (folder / f"{number:06d}.jpg").write_bytes(pictures[number % len(pictures)] + number.to_bytes(4, "big"))


def verify(context: Context) -> list[Result]:
    """`verify`, default and --deep: bytes and images per second and core; against tarfile and a Pillow loop."""
    db, out, samples = shards(context)
    files = sorted(out.rglob("*.tar"))
    size = sum(path.stat().st_size for path in files)
    start = tol_db(db, "report", "status").cpu  # interpreter, imports, opening the database

    def checked(*more: str) -> float:
        spent = tol_db(db, "verify", "--dataset", "set", "--workers", 1, "--restart", "--json", *more)
        assert json.loads(spent.out)["bad"] == []
        return max(spent.cpu - 2 * start, 1e-9)  # its worker is a process of its own

    def pillow() -> float:
        return cpu_of(lambda: [_decode_all(path) for path in files])

    quick, deep, listed, decoded = interleaved(
        3, checked, lambda: checked("--deep"), lambda: cpu_of(lambda: [_list(path) for path in files]), pillow
    )
    told = f"{samples:,} samples, {size / 1e6:,.0f} MB"
    return [
        Result(
            "verify",
            ">= 1.2 GB per CPU second",
            f"{size / quick / 1e9:.2f} GB/s, {listed / quick:.1f}x tarfile's listing",
            context.judged(size / quick >= 1.2e9),
            told,
            {"bytes_per_cpu_second": size / quick, "ratio_to_tarfile": listed / quick},
        ),
        Result(
            "verify --deep",
            ">= 2,000 images per CPU second",
            f"{samples / deep:,.0f} images/s, {decoded / deep:.2f} of a bare loop of tarfile, sha256 and Pillow",
            context.judged(samples / deep >= 2000),
            told,
            {"images_per_cpu_second": samples / deep, "ratio_to_bare_loop": decoded / deep},
        ),
    ]


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
    _, out, samples = shards(context)
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
            context.judged(other / mine >= 1),
            f"{samples:,} samples",
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
            helped <= 0.25,
            "9 times",
            {"seconds": helped, "empty_interpreter": bare},
        )
    ]


BENCHMARKS: dict[str, Benchmark] = {"verify": verify, "verify-dir": verify_folder, "start": start}
