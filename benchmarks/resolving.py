"""How many names `tol-db taxonomy resolve` answers in a second, from a file with lineages to a file with taxa."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.assembly import assembled_pair
from benchmarks.frame import Benchmark, Context, Result, tol_db
from benchmarks.taxonomies import KINGDOMS, Truth, kingdoms

TAXA, NAMES = 600_000, 200_000
NAMES_A_SECOND, MEMORY = 10_000, 500e6
_COLUMNS: Final = ("scientificName", "kingdom", "family", "genus")
_SYNONYMS, _CITED, _UNKNOWN = 0.1, 0.1, 0.05
"""Of the names: shares of synonyms, of names with their author, and of names that no source has."""


def resolve(context: Context) -> list[Result]:
    """Names with kingdom, family and genus, a tenth of them synonyms, are resolved from a file, in one process."""
    known, _, _, database = assembled_pair(context, round(TAXA * context.scale))
    names = context.folder / "names.csv"
    many = _write(known, context.folder / "taxonomies", names, round(NAMES * context.scale))
    context.say(f"resolve {many:,} names")
    begun = tol_db(database, "taxonomy", "resolve", "--csv", "Aus bus")
    spent = tol_db(database, "taxonomy", "resolve", "--file", names)
    states = [row["state"] for row in csv.DictReader(spent.out.splitlines())]
    answered = sum(state in ("matched", "synonym", "homonym-resolved") for state in states)
    rate = many / (spent.cpu - begun.cpu)
    database.unlink()
    return [
        Result(
            "resolve names",
            f">= {NAMES_A_SECOND:,} a second, <= {MEMORY / 1e6:.0f} MB",
            f"{rate:,.0f} a second of CPU, peak {spent.peak / 1e6:.0f} MB; {answered / len(states):.1%} answered",
            context.judged(rate >= NAMES_A_SECOND and spent.peak <= MEMORY),
            f"{many:,} names, a taxonomy of {len(known):,} taxa; the start of tol-db ({begun.cpu:.1f} s) left out",
            {"rate": rate, "peak": spent.peak, "answered": answered / len(states)},
        )
    ]


def _write(truth: Truth, sources: Path, path: Path, most: int) -> int:
    """A table of names of species; returns of how many."""
    rng = np.random.default_rng(9)
    species = np.flatnonzero(truth.of_rank("species"))
    chosen = rng.choice(species, min(most, len(species)), replace=False).tolist()
    synonyms = list(_synonyms(sources / "two", len(chosen)))
    lot = rng.random(len(chosen)).tolist()
    kingdom, family = kingdoms(truth).tolist(), truth.ranks.index("family")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for node, chance in zip(chosen, lot, strict=True):
            above = node
            while above >= 0 and truth.rank[above] != family:
                above = int(truth.parent[above])
            name, place = truth.names[node], KINGDOMS[kingdom[node]] if kingdom[node] >= 0 else ""
            lineage = [place, truth.names[above] if above >= 0 else "", truth.names[truth.genus[node]]]
            if chance < _SYNONYMS and synonyms:
                name, lineage = synonyms.pop(), [place, "", ""]
            elif chance < _SYNONYMS + _CITED:
                name += " (Linnaeus, 1758)"
            elif chance < _SYNONYMS + _CITED + _UNKNOWN:
                name += "zzz"
            writer.writerow([name, *lineage])
    return len(chosen)


def _synonyms(folder: Path, most: int) -> Iterator[str]:
    with (folder / "synonyms.tsv").open(encoding="utf-8") as lines:
        next(lines)
        for number, line in enumerate(lines):
            if number >= most:
                return
            yield line.split("\t|\t")[1]


BENCHMARKS: dict[str, Benchmark] = {"resolve": resolve}
