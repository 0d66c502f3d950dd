"""What scanning an archive costs, against :mod:`tarfile` reading the same file with and without a hash of it.

Each way runs in a process of its own, in turns. The scan always hashes: an archive is known by its sha256. Its hash
runs in a second thread, so two figures are told: CPU of the thread that reads, which is the wall time where another
core is free (wall itself says little on a busy machine), and CPU of all threads.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from benchmarks import corpus
from benchmarks.frame import Benchmark, Context, Result, interleaved, run

ROUNDS = 5
GOAL = 1.3

_WITHOUT = 'import sys; sys.modules["{}"] = None\n'
_WITHOUT_ISAL = _WITHOUT.format("isal")
_WITHOUT_BOTH = _WITHOUT_ISAL + _WITHOUT.format("zlib_ng")
_CLOCK = """
import sys, time
all_threads, this_thread = time.process_time(), time.thread_time()
work(sys.argv[1])
print(time.process_time() - all_threads, time.thread_time() - this_thread)
"""
_TARFILE = (
    """
import hashlib, tarfile
class Hashed:
    def __init__(self, path):
        self.file, self.hash = open(path, "rb"), hashlib.sha256()
    def read(self, size):
        data = self.file.read(size)
        self.hash.update(data)
        return data
def work(path):
    with tarfile.open(fileobj=SOURCE(path), mode="r|gz") as archive:
        for member in archive:
            member.name, member.offset_data, member.size
"""
    + _CLOCK
)
_SCAN = (
    """
from pathlib import Path
from tol_db.ingest.scan import scanned
def work(path):
    with scanned(Path(path), "tar_gz") as scan:
        assert scan.fault is None and scan.digest
"""
    + _CLOCK
)
_DECODER = (
    """
from materialize.streams import INFLATED, READ, _zlib
def work(path):
    stream = _zlib.decompressobj(31)
    with open(path, "rb", buffering=0) as file:
        while data := file.read(READ):
            while data:
                stream.decompress(data, INFLATED)
                data = stream.unconsumed_tail
"""
    + _CLOCK
)


def scan(context: Context) -> list[Result]:
    """Scanning an EOL archive into the member index, against tarfile `r|gz` on the same file."""
    of = corpus.corpus(context)
    path = max((of.tree / "dataset" / "eol").glob("*.tar.gz"), key=lambda each: each.stat().st_size)
    size = f"{path.stat().st_size / 1e6:.0f} MB, of {of.size}"
    results = []
    for inflater, before in (
        ("isal", ""),
        ("zlib-ng", _WITHOUT_ISAL),
        ("standard library", _WITHOUT_BOTH),
    ):
        context.say(f"scan with {inflater}")
        programs = (
            before + _SCAN,
            _TARFILE.replace("SOURCE(path)", 'open(path, "rb")'),
            _TARFILE.replace("SOURCE", "Hashed"),
            before + _DECODER,
        )
        readers: list[list[float]] = [[] for _ in programs]
        ours, plain, hashed, floor = interleaved(
            ROUNDS, *(lambda p=p, r=r: _spent(p, path, r) for p, r in zip(programs, readers, strict=True))
        )
        reading, baseline = statistics.median(readers[0]), statistics.median(readers[1])
        numbers = {
            **{"scan_s": ours, "tarfile_s": plain, "tarfile_hashing_s": hashed, "inflate_s": floor},
            **{"scan_reading_s": reading, "tarfile_reading_s": baseline},
        }
        figure = (
            f"{baseline / reading:.2f}x in the reading thread; CPU of all {plain / ours:.2f}x, "
            f"{hashed / ours:.2f}x where both hash (scan {ours:.2f} s, inflating alone {floor:.2f} s)"
        )
        goal = f"at least {GOAL}x tarfile, which hashes nothing" if not before else "told: without the extra"
        met = of.judged(context, baseline / reading >= GOAL) if not before else None
        results.append(Result(f"scan, {inflater}", goal, figure, met, size, numbers))
    return results


def _spent(program: str, path: Path, readers: list[float]) -> float:
    """CPU seconds of the work, without the start of the interpreter; those of the reading thread go to the list."""
    every, reader = map(float, run([sys.executable, "-c", program, path]).out.split())
    readers.append(reader)
    return every


BENCHMARKS: dict[str, Benchmark] = {"scan": scan}
