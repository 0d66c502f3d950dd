"""ITIS as chains: species_level_taxonomy_chains.csv of TreeOfLife-10M, a row for each species from the root down.

The ids of a chain are joined by ``-``, its names and ranks by ``->``. A node stands in many chains: it is kept
once, with the parent, name and rank that the chains agree on. ITIS's *Division* is botany's phylum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tol_db.errors import InputError
from tol_db.taxonomy.formats.rows import (
    Files,
    Notes,
    Row,
    SynonymRow,
    TaxonRow,
    VernacularRow,
    base_name,
    the_only_file,
)
from tol_db.taxonomy.formats.table import Table, quoted
from tol_db.taxonomy.languages import language_code

COLUMNS: Final = ("hierarchy_string_tsn", "hierarchy_string_names", "hierarchy_string_ranks")
_DIVISIONS: Final = {"division": "phylum", "subdivision": "subphylum", "superdivision": "superphylum"}


def read(files: Files, notes: Notes) -> Iterator[Row]:
    """Rows of the table."""
    file = the_only_file(files) or next((n for n in files.names() if base_name(n).endswith("chains.csv")), None)
    if file is None:
        raise InputError(f"{files.where}: no table of chains in it", hint="name the csv file itself")
    table = Table(files, notes, file, split=quoted())
    seen: set[tuple[str, str, str, str]] = set()
    others = ("terminal_tsn", "terminal_scientific_name", "terminal_vernacular", "terminal_vernacular_lang")
    for line, (tsns, chain, levels, tsn, terminal, vernacular, language) in table.rows(COLUMNS, others):
        keys = [part.strip() for part in tsns.split("-")]
        names = [notes.name(file, line, part.strip()) for part in chain.split("->")]
        ranks = [part.strip() for part in levels.split("->")]
        if not len(keys) == len(names) == len(ranks) or not all(keys) or not all(names):
            why = f"a chain of {len(keys)} ids, {len(names)} names and {len(ranks)} ranks, or one is empty"
            notes.bad_row(file, line, why)
            continue
        parent = ""
        for key, name, rank in zip(keys, names, ranks, strict=True):
            if (key, parent, name, rank) not in seen:
                seen.add((key, parent, name, rank))
                meant = notes.rank(rank)
                yield TaxonRow(line, key, parent or None, name, _DIVISIONS.get(meant, meant))
            parent = key
        end = tsn.strip() or keys[-1]
        if (other := notes.name(file, line, terminal)) and end == keys[-1] and other != names[-1]:
            yield SynonymRow(line, end, other, "synonym")
        if common := notes.name(file, line, vernacular):
            yield VernacularRow(line, end, common, language_code(language), 0)
