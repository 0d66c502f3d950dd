"""meta.xml of a Darwin Core Archive: which files it has, how they are delimited, what stands in which column."""

from __future__ import annotations

import posixpath
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Final

from tol_db.errors import InputError
from tol_db.taxonomy.formats.rows import Files, Notes
from tol_db.taxonomy.formats.table import Split, Table, delimited, quoted, tabbed

_ESCAPES: Final = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\r\\n": "\r\n", "\\\\": "\\"}


@dataclass(frozen=True, slots=True)
class Part:
    """The core, or an extension.

    Attributes:
        row_type: last part of its type, lower case: ``taxon``, ``vernacularname``.
        files: as the archive names them.
        split: how its lines become fields.
        skip: header lines to be passed over: meta.xml says what stands in the columns.
        columns: last part of each column's term, lower case; ``#n`` where none is said.
        id_column: which of them is the id that binds core and extensions.
    """

    row_type: str
    files: tuple[str, ...]
    split: Split
    skip: int
    columns: tuple[str, ...]
    id_column: str

    def table(self, files: Files, notes: Notes, file: str) -> Table:
        """One of its files."""
        return Table(files, notes, file, split=self.split, columns=self.columns, skip=self.skip)


def read_meta(files: Files, meta: str) -> tuple[Part, list[Part]]:
    """The core and its extensions.

    Raises:
        InputError: no such XML, no core of taxa, an encoding other than UTF-8.
    """
    where = f"{files.where}/{meta}"
    try:
        root = ET.fromstring(files.read(meta))  # expat 2.4.1 and later bound what entities may become
    except ET.ParseError as err:
        raise InputError(f"{where}: not XML: {err}", hint="fetch the archive again") from None
    parts = [
        _part(element, where, posixpath.dirname(meta))
        for element in root
        if isinstance(element.tag, str) and _local(element.tag) in ("core", "extension")
    ]
    core = next((part for part in parts if part.row_type == "taxon"), None)
    if core is None:
        kinds = ", ".join(part.row_type for part in parts) or "nothing"
        raise InputError(f"{where}: no core of taxa: {kinds}", hint="is it a checklist?")
    return core, [part for part in parts if part is not core]


def _part(element: ET.Element, where: str, folder: str) -> Part:
    encoding = element.get("encoding", "UTF-8").upper().replace("UTF8", "UTF-8")
    if encoding not in ("UTF-8", "ASCII", "US-ASCII"):
        raise InputError(f"{where}: its encoding is {encoding}", hint="convert it to UTF-8, for example with iconv")
    row_type = _local(element.get("rowType", ""))
    locations = [
        posixpath.normpath(posixpath.join(folder, (child.text or "").strip()))
        for child in element.iter()
        if isinstance(child.tag, str) and _local(child.tag) == "location"
    ]
    names: dict[int, str] = {}
    id_at = None
    try:
        skip = int(element.get("ignoreHeaderLines", "0") or 0)
        for child in element:
            tag = _local(child.tag) if isinstance(child.tag, str) else ""
            at = child.get("index")
            if tag == "field" and at is not None:
                names[int(at)] = _local(child.get("term", ""))
            elif tag in ("id", "coreid") and at is not None:
                id_at = int(at)
    except ValueError as err:
        raise InputError(f"{where}: {row_type}: {err}", hint="mend it, or fetch the archive again") from None
    if id_at is not None:
        names.setdefault(id_at, "coreid")
    if not names or min(names) < 0 or max(names) > 10_000 or not locations:
        raise InputError(f"{where}: {row_type}: no columns, or no file", hint="mend it, or fetch the archive again")
    columns = tuple(names.get(at, f"#{at}") for at in range(max(names) + 1))
    id_column = columns[id_at] if id_at is not None else "taxonid"
    return Part(row_type, tuple(locations), _split(element), skip, columns, id_column)


def _split(element: ET.Element) -> Split:
    delimiter = _unescaped(element.get("fieldsTerminatedBy", ","))
    quote = _unescaped(element.get("fieldsEnclosedBy", '"'))
    if quote:
        return quoted(delimiter, quote) if len(delimiter) == len(quote) == 1 else delimited(delimiter)
    return tabbed if delimiter == "\t" else delimited(delimiter or ",")


def _unescaped(text: str) -> str:
    return _ESCAPES.get(text, text)


def _local(name: str) -> str:
    """The last part of a qualified name, lower case."""
    return name.rpartition("}")[2].rpartition("/")[2].lower()
