"""Tables of text: delimited, piped (``a\\t|\\tb\\t|``) or quoted, with their columns found by name."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Final

from tol_db.errors import InputError
from tol_db.taxonomy.formats.rows import Files, Notes

Record = tuple[int, list[str]]
Split = Callable[[Iterable[str], str], Iterator[Record]]
"""Lines and what to call their file → line number and fields of each record."""

_FIELD: Final = 10_000_000


def tabbed(texts: Iterable[str], _file: str) -> Iterator[Record]:
    """Fields between tabs; a quote is a sign like any other."""
    for line, text in enumerate(texts, 1):
        if stripped := text.rstrip("\r\n"):
            yield line, stripped.split("\t")


def piped(texts: Iterable[str], _file: str) -> Iterator[Record]:
    """Fields between ``\\t|\\t``; the last one ends in ``\\t|`` or ``\\t|\\t``."""
    for line, text in enumerate(texts, 1):
        if stripped := text.rstrip("\r\n"):
            yield line, stripped.removesuffix("\t").removesuffix("\t|").split("\t|\t")


def quoted(delimiter: str = ",", quote: str = '"') -> Split:
    """RFC 4180, with any delimiter."""

    def split(texts: Iterable[str], file: str) -> Iterator[Record]:
        csv.field_size_limit(max(_FIELD, csv.field_size_limit()))  # the process's; it is only ever raised
        reader = csv.reader(texts, delimiter=delimiter, quotechar=quote, strict=True)
        line = 1
        try:
            for values in reader:
                if values:
                    yield line, values
                line = reader.line_num + 1
        except csv.Error as err:
            raise InputError(f"{file}: line {line}: not CSV: {err}", hint="is a quote missing?") from None

    return split


def delimited(delimiter: str) -> Split:
    """Fields between a delimiter that is no tab; quotes are signs like any other."""

    def split(texts: Iterable[str], _file: str) -> Iterator[Record]:
        for line, text in enumerate(texts, 1):
            if stripped := text.rstrip("\r\n"):
                yield line, stripped.split(delimiter)

    return split


def guessed(head: str) -> Split:
    """How the line of a header is split: by what stands in it."""
    if "\t|" in head:
        return piped
    if "\t" in head:
        return tabbed
    return quoted(";" if head.count(";") > head.count(",") else ",")


def peeked(texts: Iterator[str], file: str) -> tuple[str, Iterator[str]]:
    """The first line, and all lines.

    Raises:
        InputError: there is none.
    """
    head = next(texts, None)
    if head is None:
        raise InputError(f"{file}: an empty file", hint="fetch it again")
    return head, chain([head], texts)


def column_name(text: str) -> str:
    """A column's name without case, blanks and prefix: ``dwc:taxonID`` → ``taxonid``."""
    return text.strip().strip('"').rpartition(":")[2].lower()


class Table:
    """A table whose columns have names.

    Args:
        name: of the file.
        split: how its lines become fields; None: by the delimiter that its first line holds.
        columns: names in order, lower case, where the file has no header; else its first record is one.
        is_header: with ``columns``: whether the first record is a header all the same, to be believed.
        skip: records before the first one that counts, with ``columns``.

    Raises (when made):
        InputError: the file is empty.
    """

    def __init__(
        self,
        files: Files,
        notes: Notes,
        name: str,
        *,
        split: Split | None = None,
        columns: Sequence[str] | None = None,
        is_header: Callable[[list[str]], bool] = lambda _: False,
        skip: int = 0,
    ) -> None:
        self.file = f"{files.where}/{name}" if name not in files.where else files.where
        self._notes, self._name = notes, name
        head, texts = peeked(files.texts(name), self.file)
        self._records = (split or guessed(head))(texts, self.file)
        for _ in range(skip):
            next(self._records, None)
        first = next(self._records, None)
        if first is None and columns is None:
            raise InputError(f"{self.file}: an empty file", hint="fetch it again")
        if columns is None or (first is not None and is_header(first[1])):
            columns = list(map(column_name, first[1] if first else ()))
            while columns and not columns[-1]:
                columns.pop()
        elif first is not None:
            self._records = chain([first], self._records)
        self.columns = list(columns)

    def rows(self, required: Sequence[str], optional: Sequence[str] = ()) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Line number and the values of two or more columns, ``''`` for an optional one that is not there.

        A row with more fields than columns, or too few for the required ones, is a bad row.

        Raises:
            InputError: a required column is not there.
        """
        for name in required:
            if name not in self.columns:
                has = ", ".join(self.columns[:16])[:300]
                raise InputError(
                    f"{self.file}: no column {name}", hint=f"its columns: {has}; is the delimiter the right one?"
                )
        width = len(self.columns)
        places = [self.columns.index(c) if c in self.columns else width for c in (*required, *optional)]
        pick = itemgetter(*places)
        least = max(places[: len(required)]) + 1
        for line, values in self._records:
            found = len(values)
            if found != width:
                if found < least:
                    self._notes.bad_row(self._name, line, f"{found} fields, {width} are wanted")
                    continue
                if found > width and any(values[width:]):
                    self._notes.bad_row(self._name, line, f"{found} fields, {width} are wanted")
                    continue
                values = values[:width] + [""] * (width - found)
            values.append("")
            yield line, pick(values)
