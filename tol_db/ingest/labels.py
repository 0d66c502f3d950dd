"""Read name lookups: which names the images of a source get. Also the readers of lines, CSV and JSON.

Each input is read once, as a stream, through :class:`TextInput`; every complaint names the file and the line
or key. Nothing is kept of a file with one fault.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import ijson
import sqlalchemy as sa

from tol_db import progress
from tol_db.db.bulk import query, uuid_blob, uuid_text
from tol_db.db.engine import Database
from tol_db.errors import InputError, InputMissing, UsageError
from tol_db.ingest.files import SOURCES, InputFile, look, record, source_id
from tol_db.ingest.json_escapes import WholeCharacters
from tol_db.label import (
    NOTHING,
    LabelsResult,
    NamedKey,
    apply_labels,
    gather_names,
    store_names,
    summarise,
)
from tol_db.taxonomy.names import normalise
from tol_db.taxonomy.ranks import RANKS

# ------------------------------------------------------------------ lines, CSV, JSON

MAX_LINE: Final = 10_000_000
"""Longest line, bytes, and longest CSV field, characters: beyond it the file is not what it seems."""

_BOM: Final = b"\xef\xbb\xbf"
_TICK: Final = 1 << 20
_DEPTH: Final = 8
MAX_NAME: Final = 1_000
"""Longest name, characters: the published patterns take time that grows with the square of it."""

_BIOSCAN_COLUMNS: Final = ("image_file", "order", "family", "genus", "species")


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
        number = 0
        while line := self._take(self._file.readline, MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise self.error(number, f"longer than {MAX_LINE:,} bytes", "is this the right file?")
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as err:
                why = f"byte {err.start + 1} is not UTF-8 ({line[err.start]:#04x})"
                raise self.error(number, why, "convert the file to UTF-8, for example with iconv") from None
            if "\0" in text:
                raise self.error(number, "holds a NUL character", "fetch the file again")
            yield number, text

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
        self._reader = csv.reader((line for _, line in file.lines()), delimiter=delimiter, strict=True)
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
        for line, values in self._records():
            if len(values) != width:
                why = f"{len(values)} fields, the header has {width}"
                raise self._file.error(line, why, "is a quote missing, or the file cut off?")
            yield line, [values[place] for place in places]

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        while True:
            line = self._reader.line_num + 1
            try:
                values = next(self._reader)
            except StopIteration:
                return
            except csv.Error as err:
                raise self._file.error(line, f"not CSV: {err}", "is a quote missing?") from None
            if values:
                yield line, values


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
            if event == "map_key":
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


# ------------------------------------------------------------------ lookups

_KEYS_OF_FILE: Final = """
SELECT f.id, f.rows_read = (SELECT count(*) FROM label_key WHERE source_id = ? AND source_file_id = f.id)
FROM source_file f WHERE kind = ? AND root = ? AND path = ?"""


def ingest_lookup(db: Database, source_key: str, path: Path) -> LabelsResult:
    """Read a name lookup and label the images of its source, in one transaction.

    Formats (TreeOfLife-10M): a JSON object ``{key: [[7 ranks], common name, class index?]}`` whose keys are
    EOL page ids, iNat21 class numbers or BIOSCAN's TreeOfLife ids; for ``bioscan`` also BIOSCAN-1M's own
    metadata (``.tsv``, ``.csv``, ``.jsonl`` with image_file, order, family, genus, species), whose keys are
    file names. A name that is null is taken as "". Each lineage is normalised here and nowhere else.

    Args:
        db: the database.
        source_key: ``eol``, ``inat21`` or ``bioscan``.
        path: the file; its suffix tells the format.

    Raises:
        UsageError: no such source.
        InputMissing: no such file.
        InputError: broken JSON or CSV, a key or value of another shape, a key twice with different names.
    """
    if source_key not in SOURCES:
        raise UsageError(f"no source {shown(source_key)}", hint=f"known: {', '.join(SOURCES)}")
    with db.write() as conn:
        source = source_id(conn, source_key)
        file = look(conn, f"labels:{source_key}", path)
        identity, stored = _known(conn, source, file), NOTHING
        if identity is None:
            with reading(path) as text:
                read = gather_names(conn, _names(text, source_key))
                if not read:
                    raise InputError(f"{path}: no entry in it", hint="is it the right file?")
            identity = record(conn, file, sha256=text.digest(), rows=read, source=source)
            stored = store_names(conn, source, resolution="published", origin=str(path), source_file=identity)
        changed = apply_labels(conn, source)
        return summarise(conn, path, source, identity, stored=stored, images_changed=changed)


def _known(conn: sa.Connection, source: int, file: InputFile) -> int | None:
    """The id of a file that need not be read again; one that another has taken keys from has to be."""
    if not file.known:
        return None
    where = (source, file.kind, str(file.path.parent), file.path.name)
    identity, complete = next(query(conn, _KEYS_OF_FILE, where))
    return int(identity) if complete else None


def _names(file: TextInput, source_key: str) -> Iterator[NamedKey]:
    suffix = file.path.suffix.lower()
    if suffix == ".json":
        return _lookup_names(file, source_key)
    if suffix in (".tsv", ".csv", ".jsonl") and source_key == "bioscan":
        return _bioscan_names(file, suffix)
    raise InputError(
        f"{file.path}: names of {source_key} are not read from {shown(suffix) if suffix else 'such a file'}",
        hint="a lookup ends in .json; BIOSCAN's metadata (--source bioscan) in .tsv, .csv or .jsonl",
    )


def _lookup_names(file: TextInput, source_key: str) -> Iterator[NamedKey]:
    for number, (key, value) in enumerate(json_items(file), 1):
        if key is None:
            raise InputError(f"{file.path}: a list; an object of key → names is wanted", hint="the right file?")
        where = f"key {shown(key)}"
        ranks, common_name = _seven_and_common(file, where, value)
        canonical = _canonical_key(source_key, key)
        if canonical is None:
            wanted = "a TreeOfLife id (uuid)" if source_key == "bioscan" else "a number"
            raise InputError(f"{file.path}: {where}: not {wanted}", hint=f"is it the lookup of {source_key}?")
        yield NamedKey(number, canonical, normalise(ranks), common_name)


def _seven_and_common(file: TextInput, where: str, value: Any) -> tuple[list[str], str]:
    if not isinstance(value, list) or len(value) not in (2, 3) or not isinstance(value[0], list):
        raise InputError(
            f"{file.path}: {where}: its value is not [[7 names], common name, class index]",
            hint="is it a name lookup of TreeOfLife-10M?",
        )
    texts = ["" if text is None else text for text in (*value[0], value[1])]
    if len(texts) != len(RANKS) + 1 or not all(isinstance(text, str) for text in texts):
        raise InputError(
            f"{file.path}: {where}: {len(RANKS)} names and a common name, all of them texts, are wanted",
            hint="the names go from kingdom to species, with '' where there is none",
        )
    for text in texts:
        if len(require_text(file, where, text)) > MAX_NAME:
            raise InputError(f"{file.path}: {where}: a name of {len(text):,} characters", hint="mend the file")
    return texts[:-1], texts[-1]


def _canonical_key(source_key: str, key: str) -> str | None:
    if source_key == "bioscan":
        blob = uuid_blob(key)
        return None if blob is None else uuid_text(blob)
    # 18 digits: what SQLite holds as a number
    return str(int(key)) if re.fullmatch(r"[0-9]{1,18}", key) else None


def _bioscan_names(file: TextInput, suffix: str) -> Iterator[NamedKey]:
    """BIOSCAN-1M's metadata: all are insects, ``not_classified`` is no name."""
    rows = _json_lines(file) if suffix == ".jsonl" else _table(file, suffix)
    for line, values in rows:
        where = f"line {line}"
        for text in values:
            if len(require_text(file, where, text)) > MAX_NAME:
                raise file.error(line, f"a name of {len(text):,} characters", "mend the file")
        key = _file_key(values[0])
        if key is None:
            raise file.error(line, "image_file is empty", "each record names the file of its image")
        names = ["" if name.strip().lower() == "not_classified" else name for name in values[1:]]
        yield NamedKey(line, key, normalise(["Animalia", "Arthropoda", "Insecta", *names]), "")


def _table(file: TextInput, suffix: str) -> Iterator[tuple[int, list[str]]]:
    return CsvTable(file, "\t" if suffix == ".tsv" else ",").rows(_BIOSCAN_COLUMNS)


def _json_lines(file: TextInput) -> Iterator[tuple[int, list[str]]]:
    for line, text in file.lines():
        if not text.strip():
            continue
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError) as err:
            raise file.error(line, f"broken JSON: {err}", "each line is one JSON object") from None
        if not isinstance(entry, dict):
            raise file.error(line, "not a JSON object", "each line is one JSON object")
        absent = [name for name in _BIOSCAN_COLUMNS if name not in entry]
        if absent:
            raise file.error(line, f"no {absent[0]}", f"wanted: {', '.join(_BIOSCAN_COLUMNS)}")
        values = ["" if entry[name] is None else entry[name] for name in _BIOSCAN_COLUMNS]
        if not all(isinstance(value, str) for value in values):
            raise file.error(line, "a name that is not a text", "put the names in quotes")
        yield line, values


def _file_key(path: str) -> str | None:
    """``part7/x.jpg`` where the path ends so, else the bare file name."""
    *folders, name = path.strip().split("/")
    part = re.fullmatch(r"part([0-9]{1,18})", folders[-1]) if folders else None
    return (f"part{int(part[1])}/{name}" if part else name) or None
