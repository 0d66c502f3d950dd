"""Names resolved by a taxonomy, a batch at a time: what ``tol-db taxonomy resolve`` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import sqlalchemy as sa

from tol_db.db.bulk import no_cycles, query
from tol_db.db.engine import Database
from tol_db.errors import InputError
from tol_db.ingest.text_files import CsvTable, TextInput, reading
from tol_db.progress import track
from tol_db.taxonomy.fuzzy import Suggestion, suggester
from tol_db.taxonomy.lookup import DatabaseLookup, find_taxonomy
from tol_db.taxonomy.name_forms import tidy
from tol_db.taxonomy.ranks import RANKS
from tol_db.taxonomy.resolve import Query, Resolution, State, resolve
from tol_db.taxonomy.seven_ranks import Node, major_rank

_AT_A_TIME: Final = 2_000

NAME_COLUMNS: Final = ("scientificname", "canonicalname", "name")
"""Columns that hold the name, in lower case, the best first."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A taxon that a name may mean; taxon is its id in the taxonomy."""

    taxon: str
    scientific_name: str
    rank: str
    kingdom: str
    phylum: str


@dataclass(frozen=True, slots=True)
class ResolvedName:
    """A name and what it means.

    Attributes:
        name: as it was given.
        state, how: what came of it, and by which form of the name.
        taxon: its id in the taxonomy; None where there is no answer.
        scientific_name, rank: of the taxon, its accepted name.
        matched_name: the name of the taxon that was found; another one than scientific_name for a synonym.
        lineage: its seven ranks in the shown form, kingdom first.
        candidates: where there are several, or none that fits.
        suggestions: names that are spelt alike, for a name that was not found.
    """

    name: str
    state: str
    how: str | None
    taxon: str | None
    scientific_name: str | None
    rank: str | None
    matched_name: str | None
    lineage: tuple[str, ...]
    detail: str
    candidates: tuple[Candidate, ...]
    suggestions: tuple[Suggestion, ...]

    @property
    def is_answered(self) -> bool:
        """Whether there is one taxon."""
        return self.taxon is not None


def resolve_names(
    db: Database, taxonomy: str | None, queries: Iterable[Query], *, fuzzy: bool = False
) -> Iterator[ResolvedName]:
    """Resolve names as they come, in bounded memory.

    Args:
        db: the database.
        taxonomy: ``NAME`` or ``NAME@VERSION``; None: the latest assembled one.
        queries: names with their context.
        fuzzy: suggest names for those that are not found.

    Raises:
        UsageError: no such taxonomy; fuzzy without the extra.
    """
    stream = iter(queries)
    with db.read() as conn, no_cycles():
        ref = find_taxonomy(conn, taxonomy)
        lookup = DatabaseLookup(conn, ref)
        suggest = suggester(conn, ref) if fuzzy else None
        while batch := list(islice(stream, _AT_A_TIME)):
            answers = resolve(lookup, batch)
            keys = _source_keys(conn, answers)
            for answer in answers:
                yield _resolved(lookup, answer, keys, suggest)


_KEYS: Final = "SELECT id, source_key FROM taxon WHERE id IN ({marks})"


def _source_keys(conn: sa.Connection, answers: Sequence[Resolution]) -> dict[int, str]:
    ids = {answer.match.node.id for answer in answers if answer.match is not None}
    ids |= {node.id for answer in answers for node in answer.candidates}
    wanted = sorted(ids)
    found: dict[int, str] = {}
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        found.update(query(conn, _KEYS.format(marks=", ".join("?" * len(some))), some))
    return found


def _resolved(
    lookup: DatabaseLookup,
    answer: Resolution,
    keys: dict[int, str],
    suggest: Callable[[str], tuple[Suggestion, ...]] | None,
) -> ResolvedName:
    node = answer.match.node if answer.match is not None else None
    is_unknown = answer.state == State.UNMATCHED and not answer.candidates
    return ResolvedName(
        name=answer.query.name,
        state=answer.state,
        how=answer.how,
        taxon=keys[node.id] if node else None,
        scientific_name=node.name if node else None,
        rank=node.rank if node else None,
        matched_name=answer.match.name if answer.match else None,
        lineage=lookup.place(node.id).ranks.as_tuple() if node else (),
        detail=answer.detail,
        candidates=tuple(_candidate(lookup, other, keys) for other in answer.candidates if other != node),
        suggestions=suggest(answer.query.name) if suggest is not None and is_unknown else (),
    )


def _candidate(lookup: DatabaseLookup, node: Node, keys: dict[int, str]) -> Candidate:
    ranks = lookup.place(node.id).ranks
    return Candidate(keys[node.id], node.name, node.rank, ranks.kingdom, ranks.phylum)


# ------------------------------------------------------------------ names to be resolved


def queries_of(path: Path) -> Iterator[Query]:
    """The names of a file: a table (.csv, .tsv) with a header, or one name a line.

    Of a table the column ``scientificName`` (or ``canonicalName``, ``name``) is the name, ``taxonRank`` its rank,
    and ``kingdom`` to ``genus`` are its context; case does not matter, other columns are passed over.

    Raises:
        InputMissing, InputError: no such file; not UTF-8; no column of names.
    """
    with reading(path) as file:
        suffix = path.suffix.lower()
        if suffix in (".csv", ".tsv", ".tab"):
            yield from _table(file, "," if suffix == ".csv" else "\t")
        else:
            yield from _lines(file)


def queries_of_stream(stream: BinaryIO, name: str) -> Iterator[Query]:
    """The names of a stream, one a line; ``name`` is for messages."""
    with track(f"reading {name}", unit="bytes") as tracker:
        yield from _lines(TextInput(Path(name), stream, tracker))


def _lines(file: TextInput) -> Iterator[Query]:
    return (Query(tidy(line)) for line in file.texts() if line.strip())


def _table(file: TextInput, delimiter: str) -> Iterator[Query]:
    table = CsvTable(file, delimiter)
    columns = {name.lower(): name for name in table.header}
    named = next((columns[name] for name in NAME_COLUMNS if name in columns), None)
    if named is None:
        has = ", ".join(table.header[:12]) or "none"
        raise InputError(f"{file.path}: no column scientificName", hint=f"the columns of the file: {has}")
    ranks = [rank for rank in RANKS[:-1] if rank in columns]
    wanted = [named, *(columns[rank] for rank in ranks)]
    if "taxonrank" in columns:
        wanted.append(columns["taxonrank"])
    for _, (name, *values) in table.rows(wanted):
        rank = major_rank(values[-1]) if "taxonrank" in columns else None
        context = ((rank, tidy(value)) for rank, value in zip(ranks, values, strict=False))
        yield Query(name, tuple(pair for pair in context if pair[1]), rank)
