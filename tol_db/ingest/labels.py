"""Read name lookups: which names the images of a source get. Nothing is kept of a file with one fault."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from tol_db.db.bulk import query, uuid_blob, uuid_text
from tol_db.db.engine import Database
from tol_db.errors import InputError, UsageError
from tol_db.ingest.files import SOURCES, InputFile, look, record, source_id
from tol_db.ingest.text_files import CsvTable, TextInput, json_items, reading, require_text, shown
from tol_db.label import (
    NOTHING,
    LabelsResult,
    NamedKey,
    apply_labels,
    gather_names,
    store_names,
    summarise,
)
from tol_db.taxonomy.names import Lineage, normalise
from tol_db.taxonomy.ranks import RANKS

MAX_NAME: Final = 1_000
"""Longest name, characters: the published patterns take time that grows with the square of it."""

_REMEMBERED: Final = 20_000
"""Names that are kept to be met again: some 20 MB."""

_BIOSCAN_COLUMNS: Final = ("image_file", "order", "family", "genus", "species")

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
        identity = _known(conn, source, file)
        if identity is not None:
            # whoever changes the key of an image labels it at once; to join ten million to their keys takes 14 s
            changed = apply_labels(conn, source, only_missing=True)
            return summarise(conn, path, source, identity, stored=NOTHING, images_changed=changed)
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
    names = _Names(file)
    for number, (key, value) in enumerate(json_items(file), 1):
        if key is None:
            raise InputError(f"{file.path}: a list; an object of key → names is wanted", hint="the right file?")
        lineage, common_name = names.of(key, value)
        canonical = _canonical_key(source_key, key)
        if canonical is None:
            wanted = "a TreeOfLife id (uuid)" if source_key == "bioscan" else "a number"
            raise InputError(
                f"{file.path}: key {shown(key)}: not {wanted}", hint=f"is it the lookup of {source_key}?"
            )
        yield NamedKey(number, canonical, lineage, common_name)


class _Names:
    """Names checked and normalised, once where many keys have the same (BIOSCAN: 1.1 million of 8,000)."""

    def __init__(self, file: TextInput) -> None:
        self._file = file
        self._known: dict[object, tuple[Lineage, str]] = {}

    def of(self, key: str, value: Any) -> tuple[Lineage, str]:
        seen: tuple[object, ...] | None = None
        # lists only: a text has parts too, which may be the seven names of a list that was met before
        if type(value) is list and len(value) > 1 and type(value[0]) is list:
            seen = (*value[0], None, value[1], len(value))
        try:
            found = self._known.get(seen)
        except TypeError:  # of another shape, which is told of below
            seen, found = None, None
        if found is None:
            ranks, common_name = _seven_and_common(self._file, f"key {shown(key)}", value)
            found = normalise(ranks), common_name
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            if seen is not None:
                self._known[seen] = found
        return found


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
    whole = "".join(texts)
    if not (whole.isascii() and "\0" not in whole and len(whole) <= MAX_NAME):  # then each is as it should be
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
