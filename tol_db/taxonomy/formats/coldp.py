"""Catalogue of Life Data Package: NameUsage, or Name with Taxon and Synonym; VernacularName.

Files end in tsv, txt or csv; their columns are named. Source: github.com/CatalogueOfLife/coldp.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import Final

from tol_db.errors import InputError
from tol_db.taxonomy.formats.rows import (
    AliasRow,
    Files,
    Notes,
    Row,
    SynonymRow,
    TaxonRow,
    VernacularRow,
    base_name,
    find_file,
)
from tol_db.taxonomy.formats.table import Table
from tol_db.taxonomy.languages import language_code

PARTS: Final = ("nameusage", "name", "taxon", "synonym", "vernacularname")
_ENDS: Final = (".tsv", ".txt", ".csv", ".tab")
_NAME: Final = (
    *("scientificname", "authorship", "rank", "uninomial", "genus", "genericname", "specificepithet"),
    "infraspecificepithet",
)
_ACCEPTED: Final = ("", "accepted", "provisionally accepted")
_YES: Final = ("true", "1", "t", "yes", "y")


def files_of(names: list[str]) -> list[str]:
    """The tables that are read."""
    return [name for name in names if base_name(name).removesuffix(_end(name)).replace("-", "") in PARTS]


def read(files: Files, notes: Notes) -> Iterator[Row]:
    """Rows of a package."""
    usages, taxa, names = (_file(files, part) for part in ("nameusage", "taxon", "name"))
    if usages is not None:
        yield from _usages(files, notes, usages)
    elif taxa is not None and names is not None:
        yield from _names_and_taxa(files, notes, names, taxa)
    else:
        has = ", ".join(files.names()[:8]) or "nothing"
        raise InputError(
            f"{files.where}: neither NameUsage nor Name and Taxon in it",
            hint=f"it holds {has}; is it a Catalogue of Life Data Package?",
        )
    vernaculars = _file(files, "vernacularname")
    if vernaculars is not None:
        rows = Table(files, notes, vernaculars).rows(("taxonid", "name"), ("language", "preferred"))
        for line, (id_, name, language, preferred) in rows:
            key, tidy = id_.strip(), notes.name(vernaculars, line, name)
            if key and tidy:
                is_preferred = int(preferred.strip().lower() in _YES)
                yield VernacularRow(line, key, tidy, language_code(language), is_preferred)
            else:
                notes.bad_row(vernaculars, line, "no name" if key else "no taxon")


def _usages(files: Files, notes: Notes, file: str) -> Iterator[Row]:
    bare: Counter[str] = Counter()
    rows = Table(files, notes, file).rows(("id", "parentid"), ("status", "extinct", *_NAME))
    for line, (id_, up, state, extinct, *parts) in rows:
        status = state.strip().lower().replace("_", " ")
        name = notes.name(file, line, _composed(parts))
        if status == "bare name":
            bare[file] += 1
        elif status in _ACCEPTED:
            yield from _taxon(notes, file, line, id_.strip(), up.strip(), name, parts, extinct)
        else:
            yield from _synonym(notes, file, line, id_.strip(), up.strip(), name, status)
    for where, count in bare.items():
        notes.find("bare_name", where, f"{count:,} names that are neither accepted nor synonyms")


def _names_and_taxa(files: Files, notes: Notes, names: str, taxa: str) -> Iterator[Row]:
    by_id = sqlite3.connect("", isolation_level=None)  # a temporary file: names come in any order
    by_id.execute(f"CREATE TABLE name (id TEXT PRIMARY KEY, {', '.join(_NAME)}) WITHOUT ROWID")
    by_id.execute("BEGIN")
    marks = ", ".join("?" * (len(_NAME) + 1))
    for line, (id_, _, *parts) in Table(files, notes, names).rows(("id", "scientificname"), _NAME):
        try:
            by_id.execute(f"INSERT INTO name VALUES ({marks})", (id_.strip(), *parts))  # noqa: S608
        except sqlite3.IntegrityError:
            notes.bad_row(names, line, f"{id_.strip()} stands twice")

    def parts_of(name_id: str) -> list[str]:
        found = by_id.execute("SELECT * FROM name WHERE id = ?", (name_id.strip(),)).fetchone()
        return list(found[1:]) if found else [""] * len(_NAME)

    table = Table(files, notes, taxa)
    for line, (id_, up, name_id, extinct) in table.rows(("id", "parentid", "nameid"), ("extinct",)):
        parts = parts_of(name_id)
        name = notes.name(taxa, line, _composed(parts))
        yield from _taxon(notes, taxa, line, id_.strip(), up.strip(), name, parts, extinct)
    synonyms = _file(files, "synonym")
    if synonyms is not None:
        rows = Table(files, notes, synonyms).rows(("taxonid", "nameid"), ("id", "status"))
        for line, (accepted, name_id, id_, state) in rows:
            name = notes.name(synonyms, line, _composed(parts_of(name_id)))
            status = state.strip().lower().replace("_", " ")
            yield from _synonym(notes, synonyms, line, id_.strip(), accepted.strip(), name, status or "synonym")
    by_id.close()


def _taxon(
    notes: Notes, file: str, line: int, key: str, parent: str, name: str, parts: list[str], extinct: str
) -> Iterator[Row]:
    if not key:
        notes.bad_row(file, line, "no ID")
    elif not name:
        notes.bad_row(file, line, f"{key} has no name")
        if parent:
            yield AliasRow(line, key, parent, 0)
    else:
        flags = "extinct" if extinct.strip().lower() in _YES else ""
        yield TaxonRow(line, key, parent or None, name, notes.rank(parts[2]), flags)
        if authorship := " ".join(parts[1].split()):
            yield SynonymRow(line, key, notes.name(file, line, f"{name} {authorship}"), "authority")


def _synonym(notes: Notes, file: str, line: int, key: str, accepted: str, name: str, kind: str) -> Iterator[Row]:
    if not (accepted and name):
        notes.bad_row(file, line, f"synonym {key} of nothing" if name else f"synonym {key} has no name")
        return
    yield SynonymRow(line, accepted, name, kind)
    if key and key != accepted:
        yield AliasRow(line, key, accepted)


def _composed(parts: list[str]) -> str:
    """The scientific name, or what its parts say."""
    scientific, _, _, uninomial, genus, generic, specific, infraspecific = parts
    if scientific.strip():
        return scientific
    words = (genus or generic, specific, infraspecific) if specific.strip() else (uninomial or genus or generic,)
    return " ".join(word for word in words if word)


def _file(files: Files, part: str) -> str | None:
    return find_file(files, *(f"{part}{end}" for end in _ENDS), *_hyphened(part))


def _hyphened(part: str) -> tuple[str, ...]:
    words = {"nameusage": "name-usage", "vernacularname": "vernacular-name"}
    return tuple(f"{words[part]}{end}" for end in _ENDS) if part in words else ()


def _end(name: str) -> str:
    return next((end for end in _ENDS if base_name(name).endswith(end)), "")
