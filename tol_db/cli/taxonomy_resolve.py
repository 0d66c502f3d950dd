"""``tol-db taxonomy resolve``."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import click

from tol_db.cli.options import db_settings, opened
from tol_db.errors import TolDbError, UsageError
from tol_db.report.resolve import ResolvedName, queries_of, queries_of_stream, resolve_names
from tol_db.report.tables import table, terminal_width
from tol_db.settings import Settings
from tol_db.taxonomy.ranks import RANKS
from tol_db.taxonomy.resolve import Query

_COLUMNS = (
    *("name", "state", "how", "taxon", "scientific_name", "rank", "matched_name", *RANKS),
    *("detail", "candidates", "suggestions"),
)


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--file", "file", type=click.Path(path_type=Path), help="Names: .csv, .tsv or one a line; - is stdin."
)
@click.option("--taxonomy", metavar="NAME[@VERSION]", help="Which one.  [the assembled one that was made last]")
@click.option(
    "--context", metavar="RANK=NAME", multiple=True, help="Of the names given here: --context kingdom=Plantae"
)
@click.option("--fuzzy", is_flag=True, help="Suggest names that are spelt alike; they are never taken as answers.")
@click.option("--csv", "csv_", is_flag=True, help="CSV; what names from a file become anyway.")
@click.option("--json", "json_", is_flag=True, help="JSON instead.")
@click.option("--strict", is_flag=True, help="Exit 1 when a name is ambiguous or not found.")
@db_settings
def resolve(
    settings: Settings,
    names: tuple[str, ...],
    file: Path | None,
    taxonomy: str | None,
    context: tuple[str, ...],
    fuzzy: bool,
    csv_: bool,
    json_: bool,
    strict: bool,
) -> None:
    """Find the taxa that names mean; without NAME, names are read from --file or standard input.

    A name is looked for as it stands, as a synonym too; then without authorship; then with its epithet in another
    gender. Homonyms are told apart by the lineage in the columns kingdom to genus of a table, or by --context. A
    name is matched, synonym, homonym-resolved, ambiguous or unmatched; nothing is guessed.

    \b
    Examples:
      tol-db taxonomy resolve "Parus caeruleus Linnaeus, 1758"
      tol-db taxonomy resolve "Ficus variegata" --context kingdom=Plantae
      tol-db taxonomy resolve --file names.csv --fuzzy > resolved.csv
    """
    if csv_ and json_:
        raise UsageError("--csv and --json at once", hint="leave one out")
    if names and file:
        raise UsageError("names here and in a file at once", hint="leave out one of them")
    if context and not names:
        raise UsageError("--context is for names given here", hint="a table of --file has columns for it")
    queries = _queries(names, file, context)
    counts: Counter[str] = Counter()
    found = _counted(resolve_names(opened(settings, readonly=True), taxonomy, queries, fuzzy=fuzzy), counts)
    if json_:
        _print_json(found)
    elif names and not csv_:
        _print_table(found)
    else:
        _print_csv(found)
    told = ", ".join(f"{number:,} {state}" for state, number in sorted(counts.items())) or "no names"
    if not names:
        click.echo(told, err=True)
    if strict and counts["ambiguous"] + counts["unmatched"]:
        raise TolDbError(f"not every name has an answer: {told}")


def _queries(names: tuple[str, ...], file: Path | None, context: tuple[str, ...]) -> Iterator[Query]:
    if names:
        pairs = tuple(_pair(text) for text in context)
        return (Query(name, pairs) for name in names)
    if file is None or str(file) == "-":
        return queries_of_stream(sys.stdin.buffer, "standard input")
    return queries_of(file)


def _pair(text: str) -> tuple[str, str]:
    rank, _, name = text.partition("=")
    if rank not in RANKS[:-1] or not name.strip():
        ranks = ", ".join(RANKS[:-1])
        raise UsageError(f"--context {text!r} is no RANK=NAME", hint=f"such as kingdom=Plantae; ranks: {ranks}")
    return rank, name.strip()


def _counted(found: Iterable[ResolvedName], counts: Counter[str]) -> Iterator[ResolvedName]:
    for name in found:
        counts[name.state] += 1
        yield name


def _print_json(found: Iterable[ResolvedName]) -> None:
    """A list, written as it comes."""
    click.echo("[", nl=False)
    between = "\n"
    for name in found:
        told = asdict(name)
        told["lineage"] = dict(zip(RANKS, name.lineage, strict=False))
        click.echo(between + json.dumps(told, ensure_ascii=False), nl=False)
        between = ",\n"
    click.echo("\n]")


def _print_csv(found: Iterable[ResolvedName]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for name in found:
        lineage = name.lineage or ("",) * len(RANKS)
        candidates = "|".join(_shown_candidates(name))
        suggestions = "|".join(suggestion.name for suggestion in name.suggestions)
        values = (name.name, name.state, name.how, name.taxon, name.scientific_name, name.rank, name.matched_name)
        writer.writerow((*values, *lineage, name.detail, candidates, suggestions))


def _shown_candidates(name: ResolvedName) -> list[str]:
    return [
        " ".join(filter(None, (c.taxon, c.scientific_name, f"({' '.join(filter(None, (c.kingdom, c.phylum)))})")))
        for c in name.candidates
    ]


def _print_table(found: Iterable[ResolvedName]) -> None:
    rows = []
    for name in found:
        detail = [name.detail] if name.detail else []
        if not name.is_answered:
            detail += _shown_candidates(name)
            detail += [f"spelt alike: {s.name} ({s.similarity:.0f} %)" for s in name.suggestions]
        place = " ".join(filter(None, name.lineage[:2]))
        rows.append(
            (name.name, name.state, name.how, name.scientific_name, name.rank, place, name.taxon, "; ".join(detail))
        )
    columns = ("name", "state", "how", "accepted name", "rank", "in", "taxon", "detail")
    click.echo(table(columns, rows, terminal_width()))
