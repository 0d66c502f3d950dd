"""Readers of lines, CSV and JSON.

Each input is read once, as a stream, through :class:`TextInput`; every complaint names the file and the line
or key.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import ijson

from tol_db import progress
from tol_db.errors import InputError, InputMissing
from tol_db.ingest.json_escapes import WholeCharacters

MAX_LINE: Final = 10_000_000
"""Longest line, bytes, and longest CSV field, characters: beyond it the file is not what it seems."""

_BOM: Final = b"\xef\xbb\xbf"
_TICK: Final = 1 << 20
_DEPTH: Final = 8


class TextInput:
    """An open file that is read from its start to its end; made by :func:`reading`.

    A UTF-8 byte order mark at the start is skipped (spreadsheets write one).

    Attributes:
        path: as it was named.
    """

    def __init__(self, path: Path, file: BinaryIO, tracker: progress.Tracker) -> None:
        self.path = path
        self._file = file
        self._tracker = tracker
        self._hash = hashlib.sha256()
        self._unseen = 0
        self._at_start = True

    def digest(self) -> bytes:
        """The sha256 of what was read."""
        return self._hash.digest()

    def peek(self, size: int) -> bytes:
        """Some of the bytes that come next, without taking them; at most ``size``."""
        return self._file.peek(size)[:size].removeprefix(_BOM)  # type: ignore[attr-defined, no-any-return]

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as JSON parsers ask for them."""
        return self._take(self._file.read, size)

    def lines(self) -> Iterator[tuple[int, str]]:
        """Line numbers from 1, and the lines with their ends.

        Raises:
            InputError: a line is not UTF-8, holds a NUL, or is longer than ``MAX_LINE``.
        """
        return enumerate(self.texts(), 1)

    def texts(self) -> Iterator[str]:
        """The lines without their numbers; only a block with a fault in it is looked at line by line."""
        number, rest = 0, b""
        while True:
            block = self._take(self._file.read, _TICK)
            end = block.rfind(b"\n") + 1 if block else 0
            if block and not end:  # the middle of a long line
                rest += block
                if len(rest) <= MAX_LINE:
                    continue
            whole, rest = rest + block[:end], block[end:]
            text = _plain(whole)
            if text is None:
                yield from self._line_by_line(whole, number)
            else:
                yield from io.StringIO(text, newline="\n")
            number += whole.count(b"\n")
            if not block:
                return

    def _line_by_line(self, block: bytes, before: int) -> Iterator[str]:
        for number, line in enumerate(io.BytesIO(block), before + 1):
            if len(line) > MAX_LINE:
                raise self.error(number, f"longer than {MAX_LINE:,} bytes", "is this the right file?")
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as err:
                why = f"byte {err.start + 1} is not UTF-8 ({line[err.start]:#04x})"
                raise self.error(number, why, "convert the file to UTF-8, for example with iconv") from None
            if "\0" in text:
                raise self.error(number, "holds a NUL character", "fetch the file again")
            yield text

    def error(self, line: int, why: str, hint: str) -> InputError:
        """A complaint about a line."""
        return InputError(f"{self.path}: line {line}: {why}", hint=hint)

    def _take(self, read: Any, size: int) -> bytes:
        try:
            data: bytes = read(size)
        except OSError as err:
            raise _unreadable(self.path, err) from err
        self._hash.update(data)
        self._unseen += len(data)
        if self._unseen >= _TICK:
            self._tracker.advance(self._unseen)
            self._unseen = 0
        if self._at_start and data:
            self._at_start = False
            return data.removeprefix(_BOM)
        return data


@contextmanager
def reading(path: Path) -> Iterator[TextInput]:
    """Open a file as :class:`TextInput` and show how far it is read.

    Raises:
        InputMissing: it cannot be opened.
    """
    try:
        file = path.open("rb")
    except OSError as err:
        raise _unreadable(path, err) from err
    with file, progress.track(f"reading {path.name}", unit="bytes") as tracker:
        tracker.expect(os.fstat(file.fileno()).st_size)
        yield TextInput(path, file, tracker)


def _plain(block: bytes) -> str | None:
    """Some lines as text, or None where one may be faulty."""
    if len(block) > MAX_LINE or b"\0" in block:
        return None
    try:
        return block.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _unreadable(path: Path, err: OSError) -> InputMissing:
    return InputMissing(f"{path}: {err.strerror or err}", hint="check its permissions and the disk")


class CsvTable:
    """A CSV file with a header line (RFC 4180; any line end; quotes must be right).

    Attributes:
        header: the names of its columns, in order.

    Raises (when made):
        InputError: no header, or a column twice.
    """

    def __init__(self, file: TextInput, delimiter: str = ",") -> None:
        # the limit belongs to the process; it is only ever raised
        csv.field_size_limit(max(MAX_LINE, csv.field_size_limit()))
        self._file = file
        self._reader = csv.reader(file.texts(), delimiter=delimiter, strict=True)
        self.header = [name.strip() for name in next(self._records(), (1, []))[1]]
        twice = sorted({name for name in self.header if self.header.count(name) > 1})
        if twice:
            raise file.error(1, f"column {shown(twice[0])} stands twice", "rename one of them")

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
        """The line at which each record begins, and its values of ``columns`` in that order.

        Raises:
            InputError: a column is not there; a record has more or fewer fields than the header; a quote or
                a field has no end.
        """
        absent = [name for name in columns if name not in self.header]
        if absent:
            has = ", ".join(map(shown, self.header[:12])) or "none"
            raise self._file.error(1, f"no column {shown(absent[0])}", f"the columns of the file: {has}")
        places = [self.header.index(name) for name in columns]
        width = len(self.header)
        as_they_stand = places == list(range(width))
        for line, values in self._records():
            if len(values) != width:
                why = f"{len(values)} fields, the header has {width}"
                raise self._file.error(line, why, "is a quote missing, or the file cut off?")
            yield line, values if as_they_stand else [values[place] for place in places]

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        reader = self._reader
        line = reader.line_num + 1
        try:
            for values in reader:
                if values:
                    yield line, values
                line = reader.line_num + 1
        except csv.Error as err:
            raise self._file.error(line, f"not CSV: {err}", "is a quote missing?") from None


def json_items(file: TextInput) -> Iterator[tuple[str | None, Any]]:
    """The members of a JSON object, or the items of a JSON array with None for a key, one at a time.

    A value is a string, a number, a truth value, None or nested lists of these.

    Raises:
        InputError: broken JSON, not UTF-8, neither object nor array, an object within, too deep, half a
            character.
    """
    key: str | None = None
    lists: list[list[Any]] = []
    try:
        # use_float: with unlimited integers the C parser crashes on one of 5,000 digits
        events = ijson.basic_parse(WholeCharacters(file.read), use_float=True)
        if next(events)[0] not in ("start_map", "start_array"):
            raise ValueError("neither an object nor a list")
        for event, value in events:
            if event == "string" and lists:  # most of them
                lists[-1].append(value)
            elif event == "map_key":
                key = value
            elif event == "start_array" and len(lists) < _DEPTH:
                lists.append([])
            elif event in ("start_array", "start_map"):
                raise ValueError("a value of another shape: an object or too many lists within it")
            elif event == "end_map" or (event == "end_array" and not lists):
                continue
            else:
                value = lists.pop() if event == "end_array" else value
                if lists:
                    lists[-1].append(value)
                else:
                    yield key, value
    except (ijson.JSONError, ValueError, ArithmeticError) as err:
        where = f"{file.path}: " + ("" if key is None else f"at key {shown(key)}: ")
        why = re.split(r"\n|\\n", str(err))[0].removeprefix("b'")
        raise InputError(f"{where}not the JSON wanted: {why}", hint="is it whole and the right file?") from None


def shown(text: str) -> str:
    """A text of the input as messages quote it: what cannot be printed escaped, cut after 80 signs."""
    return repr(text if len(text) <= 80 else text[:80] + "…")


def require_text(file: TextInput, where: str, text: str) -> str:
    """The text itself, unless the database cannot hold it or another program could not read it again.

    Raises:
        InputError: a NUL, or half of a surrogate pair (JSON can escape both).
    """
    if "\0" in text or not (text.isascii() or text.encode("utf-8", "ignore").decode() == text):
        raise InputError(
            f"{file.path}: {where}: {shown(text)} holds a NUL or half a character", hint="mend it in the file"
        )
    return text
