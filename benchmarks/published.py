"""The published procedure, run from a checkout of its scripts on the same corpus. Nothing of it is shipped.

Its writer is run once per split, as its README says. It looks for ``data/TreeOfLife-10M`` and ``data/rarespecies``
below the folder that it is started in, and opens the mapping for writing: it gets a folder of links, and copies of
the metadata.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.corpus import SPLITS, Corpus
from benchmarks.frame import run

SCRIPTS = ("make_wds_reproduce.py", "make_wds.py")
"""Names of the writer: that of the reproduction guide, which reads the tree as published, comes first."""
PARTS = 113
"""BIOSCAN parts that it takes for granted."""
STATED = "stated for such a machine: 96 to 109 s CPU for 6,000 realistic images"
LEAST = 0.9
"""It ends with exit code 0 also when its workers died: with less than this share of our samples it failed."""


@dataclass(frozen=True, slots=True)
class Published:
    """The scripts of a checkout and the folder that they run in.

    Attributes:
        script: the writer.
        checkout: of it; its package lies in ``src``.
        folder: has ``data`` as the script expects it.
    """

    script: Path
    checkout: Path
    folder: Path

    @classmethod
    def found(cls, checkout: Path, of: Corpus, folder: Path) -> Published:
        """Find the writer, and lay out the corpus for it.

        Raises:
            click.ClickException: there is none in the checkout.
        """
        for name in SCRIPTS:
            for script in sorted(checkout.rglob(name)):
                _lay_out(of, folder)
                return cls(script.resolve(), checkout.resolve(), folder)
        raise click.ClickException(
            f"--reference-checkout {checkout}: no {' or '.join(SCRIPTS)} in it; "
            "check out the published scripts at the version that made the dataset"
        )

    def cpu(self, workers: int, least: int) -> float:
        """Write all splits anew; CPU seconds of all its processes.

        Args:
            workers: how many processes.
            least: samples that we wrote, to tell whether it did its work.

        Raises:
            click.ClickException: it failed.
        """
        dataset = self.folder / "data" / "TreeOfLife-10M" / "dataset"
        for old in dataset.glob("evobio10m-*"):
            shutil.rmtree(old)
        path = os.pathsep.join(each for each in (str(self.checkout / "src"), os.environ.get("PYTHONPATH")) if each)
        cpu, err = 0.0, ""
        for split in SPLITS:
            words: list[str | Path] = [
                sys.executable,
                self.script,
                "--split",
                split,
                "--tag",
                "bench",
                "--workers",
                str(workers),
            ]
            try:
                spent = run(words, cwd=self.folder, PYTHONPATH=path)
            except RuntimeError as failed:
                raise click.ClickException(str(failed)) from failed
            cpu, err = cpu + spent.cpu, spent.err
        samples = sum(samples_in(path) for path in dataset.glob("evobio10m-*/*/*/*.tar"))
        if samples < LEAST * least:
            raise click.ClickException(f"{self.script}: {samples:,} samples, we wrote {least:,}\n{err[-4000:]}")
        return cpu


def _lay_out(of: Corpus, folder: Path) -> None:
    """The corpus under the names that the script looks for."""
    shutil.rmtree(folder, ignore_errors=True)
    theirs, ours = folder / "data" / "TreeOfLife-10M", of.tree / "dataset"
    (theirs / "dataset" / "bioscan").mkdir(parents=True)
    for source in ("eol", "inat21"):
        (theirs / "dataset" / source).symlink_to((ours / source).resolve())
    for number in range(1, PARTS + 1):
        part = ours / "bioscan" / f"part{number}"
        there = theirs / "dataset" / "bioscan" / part.name
        there.symlink_to(part.resolve()) if part.is_dir() else there.mkdir()
    shutil.copytree(of.tree / "metadata", theirs / "metadata")
    lists = next(of.root.rglob("seen_in_training.json")).parent
    (folder / "data" / "rarespecies").symlink_to(lists.resolve())


def samples_in(shard: Path) -> int:
    """Samples of a shard: its jpg members, told by their headers."""
    count = 0
    with shard.open("rb") as file:
        while (header := file.read(512)).strip(b"\0"):
            count += header[:100].rstrip(b"\0").endswith(b".jpg")
            file.seek(-(-int(header[124:135], 8) // 512) * 512, os.SEEK_CUR)
    return count
