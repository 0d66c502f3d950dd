"""Formats of taxonomies: which files each reads, how, and which rules of assembly its sources need.

A reader knows no database. Each is a generator of rows (:mod:`tol_db.taxonomy.formats.rows`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tol_db.taxonomy.formats import coldp, darwin_core, eol, interim, itis, ncbi, newick
from tol_db.taxonomy.formats.rows import Reader, base_name

RULES = ("fold-sibling-homonyms", "major-rank-conflict", "name-flags")
"""What an assembly may do to a source before it is aligned; docs/taxonomy.md tells what each is for."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format.

    Attributes:
        name: as the command line calls it.
        read: its reader.
        wanted: of the names of files, those that are read.
        rules: the default.
    """

    name: str
    read: Reader
    wanted: Callable[[list[str]], list[str]]
    rules: tuple[str, ...] = ()


def _named(*base_names: str) -> Callable[[list[str]], list[str]]:
    def wanted(names: list[str]) -> list[str]:
        found = [name for name in names if base_name(name) in base_names]
        return found or (names if len(names) == 1 else [])

    return wanted


def _one(names: list[str]) -> list[str]:
    """The only file, or of several those that look like the one."""
    return names if len(names) == 1 else [name for name in names if base_name(name).endswith(".csv")]


_SHOWN_AT_HIGHER_RANK = ("fold-sibling-homonyms", "major-rank-conflict")

FORMATS = {
    format_.name: format_
    for format_ in (
        Format("interim", interim.read, _named(*interim.FILES)),
        Format("ncbi", ncbi.read, _named(*ncbi.FILES), ("name-flags",)),
        Format("darwin-core", darwin_core.read, darwin_core.files_of, _SHOWN_AT_HIGHER_RANK),
        Format("coldp", coldp.read, coldp.files_of, _SHOWN_AT_HIGHER_RANK),
        Format("itis", itis.read, _one, ("major-rank-conflict",)),
        Format("eol", eol.read, _named(*eol.FILES), ("fold-sibling-homonyms",)),
        Format("newick", newick.read, lambda names: names),
    )
}
