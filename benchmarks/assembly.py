"""Assembling two large taxonomies by the commands that a user runs: its cost, how that grows, and what is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.frame import Benchmark, Context, Result, Spent, tol_db
from benchmarks.taxonomies import Truth, Written, kingdoms, made_up, written
from tol_db.taxonomy.flags import OUT_OF_PLACE, parse
from tol_db.taxonomy.tree import Longs, Mask, shape_of

SIZES = 594_000, 1_188_000, 2_970_000
"""Taxa that are made up; of the largest, one source has 2.6 million and the other 2.4."""
TRUTH = 600_000
CPU, MEMORY = 240, 4.0e9
RIGHT = 0.9999


def taxonomy(context: Context) -> list[Result]:
    """Two sources of 2.6 and 2.4 million nodes: CPU and memory of reading, assembling and storing; how it grows."""
    costs = []
    results = []
    for size in SIZES:
        _, sources, spent, database = assembled_pair(context, round(size * context.scale))
        total = sum(len(source.nodes) for source in sources)
        *read, assembled = spent
        cpu, peak = sum(each.cpu for each in spent), max(each.peak for each in spent)
        costs.append((total, cpu))
        results.append(
            Result(
                f"taxonomy, {total / 1e6:.1f} M nodes",
                f"<= {CPU} s CPU, <= {MEMORY / 1e9:.0f} GB" if size == SIZES[-1] else "told",
                f"{cpu:.0f} s CPU, peak {peak / 1e9:.2f} GB, a file of {database.stat().st_size / 1e9:.2f} GB",
                context.judged(cpu <= CPU and peak <= MEMORY) if size == SIZES[-1] else None,
                f"reading {read[0].cpu:.0f} + {read[1].cpu:.0f} s, assembling {assembled.cpu:.0f} s",
                {"nodes": total, "cpu": cpu, "peak": peak, "assemble": assembled.cpu},
            )
        )
        database.unlink()
    (few, less), (many, more) = costs[0], costs[-1]
    ratio = (more / many) / (less / few)
    results.append(
        Result(
            "taxonomy, growth",
            "<= 1.3 times the cost of a node",
            f"{less / few * 1e6:.1f} and {more / many * 1e6:.1f} us of CPU a node, {ratio:.2f}x",
            context.judged(ratio <= 1.3),
            f"{few:,} and {many:,} nodes",
            {"ratio": ratio},
        )
    )
    return results


def truth(context: Context) -> list[Result]:
    """How many of the taxa of a pair whose truth is known are placed right."""
    known, sources, _, database = assembled_pair(context, round(TRUTH * context.scale))
    out = context.folder / "taxonomy-export"
    tol_db(database, "taxonomy", "export", "both", out)
    verdict = judged(known, sources, Exported.read(out, sources, len(known)))
    database.unlink()
    return [
        Result(
            "taxonomy, placed right",
            f">= {RIGHT:.2%}, none merged across kingdoms",
            f"{verdict.right:.4%} ({verdict.told}), {verdict.across} across",
            context.judged(verdict.right >= RIGHT and not verdict.across),
            f"{verdict.taxa:,} taxa of {sum(len(source.nodes) for source in sources):,} nodes",
            {"right": verdict.right, "across": verdict.across, "groups_not_taken": verdict.not_taken},
        )
    ]


def assembled_pair(context: Context, size: int) -> tuple[Truth, list[Written], list[Spent], Path]:
    """A truth of about so many taxa, two sources of it, what reading and assembling them cost, and the database."""
    known, sources = _pair(context, size)
    read, assembled, database = _assembled(context, sources)
    return known, sources, [*read, assembled], database


def _pair(context: Context, size: int) -> tuple[Truth, list[Written]]:
    context.say(f"make up {size:,} taxa")
    known = made_up(size)
    sources = written(known, context.folder / "taxonomies")
    context.say(f"assemble {sum(len(source.nodes) for source in sources):,} nodes")
    return known, sources


def _assembled(context: Context, sources: Sequence[Written]) -> tuple[list[Spent], Spent, Path]:
    """Read and assemble, as a user does; what it cost, and the database."""
    database = context.folder / "taxonomy.sqlite"
    database.unlink(missing_ok=True)
    tol_db(database, "init")
    read = [
        tol_db(
            *(database, "ingest", "taxonomy", "interim", source.folder),
            *("--name", source.folder.name, "--priority", priority),
        )
        for priority, source in enumerate(sources, 1)
    ]
    return read, tol_db(database, "taxonomy", "assemble", "both"), database


# ------------------------------------------------------------------ what is true


@dataclass(frozen=True, slots=True)
class Exported:
    """An assembled taxonomy, as its interim files have it.

    Attributes:
        parent: row of the parent of each row, or -1.
        out_of_place: whether a row says that its parent is not its last word.
        images: for each source, of each taxon of the truth: the row that it is in, or -1.
    """

    parent: Longs
    out_of_place: Mask
    images: list[Longs]

    @classmethod
    def read(cls, folder: Path, sources: Sequence[Written], taxa: int) -> Exported:
        """Read ``taxonomy.tsv``."""
        with (folder / "taxonomy.tsv").open(encoding="utf-8") as file:
            columns = [column.strip() for column in next(file).split("|")]
            at = [columns.index(column) for column in ("uid", "parent_uid", "sourceinfo", "flags")]
            rows = [[cells[column] for column in at] for line in file if (cells := line.split("\t|\t"))]
        number = {uid: row for row, (uid, *_) in enumerate(rows)}
        images = [np.full(taxa, -1, np.int64) for _ in sources]
        taxon = [dict(zip(each.uid.tolist(), each.nodes.tolist(), strict=True)) for each in sources]
        place = {each.folder.name: index for index, each in enumerate(sources)}
        for row, (_, _, ids, _) in enumerate(rows):
            for qualified in filter(None, ids.split(",")):
                idspace, _, key = qualified.partition(":")
                if idspace in place:
                    images[place[idspace]][taxon[place[idspace]][int(key)]] = row
        return cls(
            np.array([number.get(parent, -1) for _, parent, _, _ in rows]),
            np.array([bool(parse(flags) & OUT_OF_PLACE) for *_, flags in rows]),
            images,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """How true an assembly is.

    Attributes:
        taxa: of the truth, that any source has.
        right: the share of them that is placed right.
        split, joined, lost, misplaced: the others: twice in the result; with another taxon; not in it; elsewhere.
        across: merged with a taxon of another kingdom.
        not_taken: groups above the genus that the result does not have because sources contradict each other there.
    """

    taxa: int
    right: float
    split: int
    joined: int
    lost: int
    misplaced: int
    across: int
    not_taken: int

    @property
    def told(self) -> str:
        """In words."""
        return f"{self.split} split, {self.joined} joined, {self.lost} lost, {self.misplaced} misplaced"


def judged(truth: Truth, sources: Sequence[Written], result: Exported) -> Verdict:
    """Compare the assembly of two sources with the truth.

    A taxon is placed right where it is one row, with no other taxon in it, and its parent a true ancestor: as deep
    at least as the first source that has the taxon says, or any where the result says that it is out of place.
    A group above the genus that only the second source has need not be taken (absorbed, in conflict), nor need it
    be the parent of what only the first source has.
    """
    one, two = result.images
    has = [np.isin(np.arange(len(truth)), source.nodes) for source in sources]
    owner = np.full(len(result.parent), -1)
    for image in (two, one):
        owner[image[image >= 0]] = np.flatnonzero(image >= 0)
    both, only_two = has[0] & has[1], has[1] & ~has[0]
    low = truth.of_rank("genus") | truth.of_rank("species") | truth.of_rank("subspecies")
    split = both & (one != two)
    joined = only_two & (two >= 0) & (owner[two] != np.arange(len(truth)))
    lost = (has[0] & (one < 0)) | (only_two & (two < 0) & low)
    kingdom = kingdoms(truth)
    theirs = kingdom[owner[two]]
    across = has[1] & (two >= 0) & (kingdom >= 0) & (theirs >= 0) & (kingdom != theirs)
    misplaced = _misplaced(truth, sources, result, owner) & ~split & ~joined & ~lost
    taxa, wrong = int((has[0] | has[1]).sum()), int((split | joined | lost | misplaced).sum())
    counts = [int(each.sum()) for each in (split, joined, lost & ~split, misplaced, across)]
    return Verdict(taxa, 1 - wrong / taxa, *counts, int((only_two & (two < 0) & ~low).sum()))


def _misplaced(truth: Truth, sources: Sequence[Written], result: Exported, owner: Longs) -> Mask:
    """Which taxa of the truth have a parent in the result that is not right."""
    one, two = result.images
    row = np.where(one >= 0, one, two)
    there = np.flatnonzero(row >= 0)
    above = result.parent[row[there]]
    parent = np.where(above >= 0, owner[above], -1)
    said = [np.full(len(truth), -1) for _ in sources]
    for each, source in zip(said, sources, strict=True):
        each[source.nodes] = source.parent
    second = said[1][there]
    while (up := (second >= 0) & (two[second] < 0)).any():
        second[up] = said[1][second[up]]
    wanted = np.where(one[there] >= 0, said[0][there], second)
    shape = shape_of(truth.parent)
    holds = (parent >= 0) & (shape.place[parent] < shape.place[there])
    holds &= shape.place[there] < shape.place[parent] + shape.size[parent]
    deep = (shape.depth[parent] >= shape.depth[wanted]) | result.out_of_place[row[there]]
    wrong = np.zeros(len(truth), np.bool_)
    wrong[there] = ~(holds & deep) & (truth.parent[there] >= 0)
    return wrong


BENCHMARKS: dict[str, Benchmark] = {"taxonomy": taxonomy, "taxonomy-truth": truth}
