"""Samples: what writing one costs against webdataset, and whether memory stays flat over 200,000 of them."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tempfile
from itertools import islice
from pathlib import Path

import webdataset

from benchmarks import corpus
from benchmarks.frame import ROOT, Benchmark, Context, Result, cpu_of, interleaved, run
from materialize.captions import texts
from materialize.shard import BLOCK, RECORD, Part, part, sample_bytes
from tol_db.taxonomy.names import Lineage

SAMPLES = 5_000
LABELS = 20
"""One label in so many samples changes: neighbours in an archive often share one."""
JPG_BYTES = 45_000
ROUNDS = 5

IMAGES = 200_000
PICTURES = {"eol": 15, "inat21": 45, "bioscan": 240}
"""How many of each source are converted over and over: small ones mostly, so that it ends within minutes."""
GROWTH = 1.05
"""How much higher memory may be at the end than near the beginning and count as flat."""


def sample(context: Context) -> list[Result]:
    """A sample of 11 members, byte-identical: webdataset's TarWriter against parts once per label and one write."""
    number = max(LABELS, round(SAMPLES * context.scale))
    jpg = bytes(range(256)) * (JPG_BYTES // 256)
    labels = [
        {extension: text.encode() for extension, text in texts(_lineage(at), f"common name {at}").items()}
        for at in range(number // LABELS + 1)
    ]
    keys = [f"{at:08x}-bad2-4af9-b4bd-b56f3bfd81f5" for at in range(number)]

    def theirs() -> bytes:
        file = io.BytesIO()
        writer = webdataset.TarWriter(file, encoder=False, mtime=0)
        for at, key in enumerate(keys):
            writer.write({"__key__": key, "jpg": jpg, **labels[at // LABELS]})
        writer.close()
        return file.getvalue()

    def ours() -> bytes:
        file = io.BytesIO()
        parts: tuple[Part, ...] = ()
        for at, key in enumerate(keys):
            if at % LABELS == 0:
                parts = tuple(part(extension, text) for extension, text in labels[at // LABELS].items())
            file.write(sample_bytes(key, (part("jpg", jpg), *parts)))
        file.write(bytes(2 * BLOCK + -(file.tell() + 2 * BLOCK) % RECORD))
        return file.getvalue()

    if ours() != theirs():
        raise RuntimeError("our samples are not those of webdataset.TarWriter")
    mine, other = (
        each / number * 1e3 for each in interleaved(ROUNDS, lambda: cpu_of(ours), lambda: cpu_of(theirs))
    )
    return [
        Result(
            "a sample of 11 members",
            "told; the bytes must be those of webdataset.TarWriter",
            f"{mine:.4f} ms, {other / mine:.1f}x webdataset's {other:.3f} ms, equal bytes",
            None,
            f"{number:,} samples, a label for {LABELS}, a jpg of {len(jpg) // 1000} KB",
            {"ms": mine, "webdataset_ms": other, "ratio": other / mine},
        )
    ]


def _lineage(number: int) -> Lineage:
    ranks = ("Animalia", "Chordata", "Aves", "Passeriformes", "Muscicapidae", f"Genus{number}", f"species{number}")
    return Lineage.of(ranks)


_OVER_AND_OVER = """
import json, resource, sys, time
from pathlib import Path
from materialize.recipe import BUILT_IN
from materialize.shard import part, sample_bytes
from materialize.work import transform

folder, images, page = Path(sys.argv[1]), int(sys.argv[2]), resource.getpagesize()
pictures = [path.read_bytes() for path in sorted(folder.iterdir())]
recipes = BUILT_IN["clean"], BUILT_IN["tol10m"]
label = [part(f"{n}.txt", b"a photo of Erithacus rubecula.") for n in range(10)]
highest, statm = [0] * 100, open("/proc/self/statm", "rb", buffering=0)
for number in range(images):
    turn, at = divmod(number, len(pictures))
    made = transform(pictures[at], recipes[turn % 2])
    packed = sample_bytes(f"{number:032x}", [part("jpg", made.jpg or b""), *label])
    statm.seek(0)
    hundredth = number * 100 // images
    highest[hundredth] = max(highest[hundredth], int(statm.read().split()[1]) * page)
print(json.dumps([highest, time.process_time()]))
"""


def flat(context: Context) -> list[Result]:
    """Memory of one process that converts and packs the same few hundred pictures over and over, 200,000 images."""
    of = corpus.corpus(context)
    images = max(2_000, round(IMAGES * context.scale))
    with tempfile.TemporaryDirectory(dir=context.folder) as folder:
        pictures = _lay_out(of, Path(folder))
        context.say(f"converting {images:,} images")
        highest, cpu = json.loads(run([sys.executable, "-c", _OVER_AND_OVER, folder, str(images)], cwd=ROOT).out)
    tenth = len(highest) // 10
    early, late = max(highest[tenth : 2 * tenth]), max(highest[-tenth:])
    figure = f"{late / early:.3f} ({early / 1e6:.1f} MB in the second tenth, {late / 1e6:.1f} MB in the last)"
    return [
        Result(
            "memory over 200,000 images",
            f"flat: the last tenth at most {GROWTH} of the second",
            figure,
            of.judged(context, late / early <= GROWTH),
            f"{images:,} images ({pictures} pictures of {of.size}), {cpu:.0f} s CPU",
            {"growth": late / early, "early": early, "late": late, "images": images, "cpu": cpu},
        )
    ]


def _lay_out(of: corpus.Corpus, folder: Path) -> int:
    """Copy the pictures of the mix into a folder, so that each source comes up all along; returns how many."""
    taken: list[bytes] = []
    for source, most in PICTURES.items():
        found = (
            (data for _, data in corpus.archived(of.tree))
            if source == "eol"
            else corpus.in_folders(of.tree, source)
        )
        taken += islice(found, most)
    taken.sort(key=lambda data: hashlib.sha256(data).digest())
    for number, data in enumerate(taken):
        (folder / f"{number:04d}").write_bytes(data)
    return len(taken)


BENCHMARKS: dict[str, Benchmark] = {"sample": sample, "flat": flat}
