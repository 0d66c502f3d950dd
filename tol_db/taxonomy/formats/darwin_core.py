"""Darwin Core Archive: the GBIF backbone, Catalogue of Life, iNaturalist, WoRMS and other checklists.

meta.xml names the core of taxa and its extensions, of which the vernacular names are read; without it a table
of taxa with a header of Darwin Core terms will do. Source: dwc.tdwg.org/text, dwc.tdwg.org/terms.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tol_db.errors import InputError
from tol_db.taxonomy.formats.darwin_core_meta import read_meta
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
    the_only_file,
)
from tol_db.taxonomy.formats.table import Table
from tol_db.taxonomy.languages import language_code

META: Final = "meta.xml"
_INATURALIST: Final = "inaturalist.org/taxa/"
_YES: Final = ("true", "1", "t", "yes", "y")
_TAXA: Final = ("taxon.tsv", "taxon.tab", "taxa.csv", "taxon.txt", "taxa.txt", "taxon.csv", "taxa.tsv", "taxa.tab")
_VERNACULAR: Final = (
    *("vernacularname.tsv", "vernacularname.txt", "vernacularname.csv", "vernacularnames.csv"),
    *("vernacularname.tab", "vernacularnames.tsv", "vernacularnames.txt", "vernacular_names.tsv"),
)


def files_of(names: list[str]) -> list[str]:
    """Those of an archive that may be read: not its licence, nor the metadata of its data sets."""
    return [
        name
        for name in names
        if base_name(name) == META or base_name(name).endswith((".tsv", ".txt", ".csv", ".tab"))
    ]


def read(files: Files, notes: Notes) -> Iterator[Row]:
    """Rows of an archive, or of one table of taxa."""
    meta = find_file(files, META)
    if meta is None:
        yield from _without_meta(files, notes)
        return
    core, extensions = read_meta(files, meta)
    for file in core.files:
        yield from taxa(core.table(files, notes, file), file, notes, id_column=core.id_column)
    for part in extensions:
        if part.row_type.endswith("vernacularname"):
            for file in part.files:
                yield from _vernaculars(part.table(files, notes, file), file, notes, part.id_column)


def _without_meta(files: Files, notes: Notes) -> Iterator[Row]:
    file = the_only_file(files) or find_file(files, *_TAXA)
    if file is None:
        has = ", ".join(files.names()[:8]) or "nothing"
        raise InputError(
            f"{files.where}: no {META} and no taxon.tsv in it", hint=f"it holds {has}; is it a Darwin Core Archive?"
        )
    yield from taxa(Table(files, notes, file), file, notes)
    vernacular = find_file(files, *_VERNACULAR)
    if vernacular is not None and vernacular != file:
        table = Table(files, notes, vernacular)
        id_column = next((name for name in ("taxonid", "id", "coreid") if name in table.columns), "taxonid")
        yield from _vernaculars(table, vernacular, notes, id_column)


def taxa(table: Table, file: str, notes: Notes, *, id_column: str | None = None) -> Iterator[Row]:
    """Rows of a core: taxa, and synonyms, whose accepted name is another taxon's.

    Args:
        id_column: the one that extensions refer to, where it need not be the taxon's id.
    """
    key_column = "taxonid" if "taxonid" in table.columns or id_column is None else id_column
    if "parentnameusageid" not in table.columns:
        raise InputError(
            f"{table.file}: no column parentNameUsageID",
            hint="names of parents alone tell no tree; get an archive that has their ids",
        )
    if "scientificname" not in table.columns and "canonicalname" not in table.columns:
        raise InputError(f"{table.file}: no column scientificName", hint="is the delimiter the right one?")
    rows = table.rows(
        (key_column, "parentnameusageid"),
        (
            *("acceptednameusageid", "scientificname", "canonicalname", "scientificnameauthorship", "authority"),
            *("taxonrank", "taxonomicstatus", id_column or key_column),
        ),
    )
    for line, (id_, up, accepted_id, full, canonical, by, authority, rank, state, other_id) in rows:
        key, parent, accepted, status = _id(id_), _id(up), _id(accepted_id), state.strip().lower()
        if not key:
            notes.bad_row(file, line, f"no {key_column}")
            continue
        whole = notes.name(file, line, full or canonical)
        name = notes.name(file, line, canonical) or _without(whole, by or authority)
        is_synonym = bool(accepted) and accepted != key
        if not name:
            notes.bad_row(file, line, f"{key} has no name")
            if parent and not is_synonym:
                yield AliasRow(line, key, parent, 0)
        elif "synonym" in status and not is_synonym:
            notes.bad_row(file, line, f"{key} is a synonym of nothing")
        elif is_synonym:
            yield SynonymRow(line, accepted, name, status if status not in ("", "accepted") else "synonym")
            yield AliasRow(line, key, accepted)
        else:
            yield TaxonRow(line, key, parent or None, name, notes.rank(rank))
            if whole != name:
                yield SynonymRow(line, key, whole, "authority")
            if (other := _id(other_id)) and other != key:
                yield AliasRow(line, other, key)


def _vernaculars(table: Table, file: str, notes: Notes, id_column: str) -> Iterator[Row]:
    rows = table.rows((id_column, "vernacularname"), ("language", "ispreferredname"))
    for line, (id_, name, language, preferred) in rows:
        key, tidy = _id(id_), notes.name(file, line, name)
        if key and tidy:
            yield VernacularRow(line, key, tidy, language_code(language), int(preferred.strip().lower() in _YES))
        else:
            notes.bad_row(file, line, "no name" if key else "no taxon")


def _id(text: str) -> str:
    """An id; iNaturalist writes its own as addresses in one column and as numbers in the next."""
    text = text.strip()
    return text.rpartition("/")[2] if _INATURALIST in text else text


def _without(name: str, authorship: str) -> str:
    """A scientific name without the authorship at its end."""
    by = " ".join(authorship.split())
    return name.removesuffix(by).rstrip(" ,") if by and name != by else name
