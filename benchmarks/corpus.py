"""A corpus of realistic photographs, made once in the scratch folder, and trees and datasets over it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from benchmarks.frame import SHARED, Context, tol_db
from tol_db.demo_tree import FEWEST_IMAGES, make_demo_tree

IMAGES = 6000
"""Of the corpus at full size."""
SHARD, SMALL_SHARD = 10_000, 200
"""Images of the two shards that are read back."""
SPLITS = ("train", "val", "train_small")
MAKER = SHARED / "tools" / "make_corpus.py"


@dataclass(frozen=True, slots=True)
class Corpus:
    """A raw tree in the published layout.

    Attributes:
        root: its folder; rarespecies: the published lists of rare species beside it.
        tree: the TreeOfLife-10M folder.
        realistic: photographs of realistic sizes; False for small ones, and for drawn ones where there is no maker.
        images: how many were asked for.
    """

    root: Path
    tree: Path
    realistic: bool
    images: int

    @property
    def size(self) -> str:
        """In words, for results."""
        return f"{self.images:,} {'realistic photographs' if self.realistic else 'small or drawn pictures'}"

    def judged(self, context: Context, met: bool) -> bool | None:
        """Drawn pictures say nothing about a goal that is stated for photographs."""
        return context.judged(met) if self.realistic else None


def corpus(context: Context) -> Corpus:
    """The corpus of this scale; made if it is not there."""
    return corpus_of(context, round(IMAGES * context.scale))


def corpus_of(context: Context, images: int, profile: str = "realistic") -> Corpus:
    """A corpus of any size; made if it is not there.

    Args:
        images: how many; not less than a drawn tree needs.
        profile: of the maker: ``realistic`` or ``small`` pictures. Where it is not there, pictures are drawn.
    """
    images = max(FEWEST_IMAGES, images)
    is_made = MAKER.exists()
    kind = {"realistic": "corpus", "small": "small"}[profile] if is_made else "drawn"
    root = context.folder / f"{kind}-{images}"
    if not root.exists():
        context.say(f"making a corpus of {images:,} images")
        partial = root.with_name(root.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        if is_made:
            words = (partial, "--images", images, "--seed", 17, "--size-profile", profile, "--workers", 2)
            subprocess.run([sys.executable, str(MAKER), *map(str, words)], check=True, stdout=subprocess.DEVNULL)
        else:
            make_demo_tree(partial, images=images)
        partial.rename(root)
    mapping = next(path for path in root.rglob("mapping.sqlite"))
    return Corpus(root, mapping.parents[1], is_made and profile == "realistic", images)


def written(context: Context, of: Corpus) -> tuple[Path, Path, int]:
    """Its pictures as a written dataset of recipe tol10m: a shard of full size, and a small one.

    They are laid out as one folder, each picture under as many names as it takes; the folder is removed afterwards.

    Returns:
        The database, the output root and the samples in it; made if it is not there.
    """
    folder = context.folder / f"written-{of.root.name}"
    database, out = folder / "tol.sqlite", folder / "out"
    if not (folder / "done").exists():
        context.say("writing the corpus as large shards")
        shutil.rmtree(folder, ignore_errors=True)
        images = round((SHARD + SMALL_SHARD) * context.scale)
        _lay_out(of, folder / "raw", images)
        tol_db(database, "init")
        tol_db(database, "ingest", "inat21", folder / "raw")
        tol_db(database, "split", "small", "--fraction", SMALL_SHARD / (SHARD + SMALL_SHARD))
        tol_db(database, "split", "large", "--except", "small")
        words = ("--recipe", "tol10m", "--split", "large", "--split", "small", "--shard-images", images)
        tol_db(database, "plan", out, "--dataset", "set", *words)
        tol_db(database, "materialize", "--dataset", "set")
        shutil.rmtree(folder / "raw")
        (folder / "done").touch()
    with closing(sqlite3.connect(database)) as conn:
        (samples,) = conn.execute("SELECT sum(written) FROM shard").fetchone()
    return database, out, samples


def _lay_out(of: Corpus, raw: Path, images: int) -> None:
    folder = raw / "00000_Animalia_Chordata_Mammalia_Carnivora_Canidae_Canis_lupus"
    folder.mkdir(parents=True)
    pictures = (data for _, data in archived(of.tree))
    kinds = [pictures, in_folders(of.tree, "inat21"), in_folders(of.tree, "bioscan")]
    first = 0
    for first, data in enumerate(islice(chain(*kinds), images), 1):
        (folder / f"{first - 1:06d}.jpg").write_bytes(data)
    for number in range(first, images):
        (folder / f"{number:06d}.jpg").hardlink_to(folder / f"{number % first:06d}.jpg")


def eol_tree(context: Context, of: Corpus) -> Path:
    """A tree that holds the EOL archives only (links), so that a whole run can be measured on them."""
    tree = context.folder / f"{of.root.name}-eol"
    if not tree.exists():
        partial = tree.with_name(tree.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "dataset").mkdir(parents=True)
        (partial / "dataset" / "eol").symlink_to((of.tree / "dataset" / "eol").resolve())
        shutil.copytree(of.tree / "metadata", partial / "metadata")
        with closing(sqlite3.connect(partial / "metadata" / "mapping.sqlite")) as conn:
            for table in ("inat21", "bioscan"):
                conn.execute(f"DELETE FROM split WHERE evobio10m_id IN (SELECT evobio10m_id FROM {table})")
                conn.execute(f"DELETE FROM {table}")
            conn.commit()
        partial.rename(tree)
    return tree


def ingested(database: Path, tree: Path) -> None:
    """A fresh database of a tree."""
    for path in database.parent.glob(database.name + "*"):
        path.unlink()
    tol_db(database, "init")
    tol_db(database, "ingest", "tol10m", tree)


def planned(database: Path, out: Path, name: str, recipe: str, *more: object) -> None:
    """A dataset of all splits, planned in a fresh folder."""
    shutil.rmtree(out, ignore_errors=True)
    splits = [word for split in SPLITS for word in ("--split", split)]
    tol_db(database, "plan", out, "--dataset", name, "--recipe", recipe, *splits, *more)


def archived(tree: Path) -> Iterator[tuple[tuple[str, int], bytes]]:
    """(Archive, index of the member) and bytes of every image in the EOL archives, one in memory at a time."""
    for path in sorted((tree / "dataset" / "eol").glob("*.tar.gz")):
        with tarfile.open(path, "r|gz") as archive:
            for index, member in enumerate(archive):
                file = archive.extractfile(member)
                if file is not None:
                    yield (path.name, index), file.read()


def in_folders(tree: Path, source: str) -> Iterator[bytes]:
    """The bytes of every image of a source that lies in folders."""
    for path in sorted((tree / "dataset" / source).rglob("*")):
        if path.is_file():
            yield path.read_bytes()
