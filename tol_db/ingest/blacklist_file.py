"""Read blacklists: images and species that must stay out of training.

The format is that of the rare-species benchmark: a JSON object, name → list of paths. A JSON list of texts
and a plain text file with one entry per line are read too. An entry is kept as it was written, whether it
means anything in this database or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

import sqlalchemy as sa

from tol_db.blacklist import MatchCounts, match_counts
from tol_db.blacklist_names import refresh_blacklist_names
from tol_db.db.bulk import changes, insert_many, query, scalar, utc_now
from tol_db.db.engine import Database, raw
from tol_db.errors import InputError, UsageError, printed
from tol_db.ingest.files import InputFile, look, record, same_content
from tol_db.ingest.labels import MAX_NAME
from tol_db.ingest.text_files import TextInput, json_items, reading, require_text, shown
from tol_db.taxonomy.names import parse_blacklist_name
from tol_db.taxonomy.ranks import RANKS

Role = Literal["images", "species"]

NAMED: Final = 5
"""How many unmatched entries are named in a result."""

MAX_ENTRY: Final = len(RANKS) * MAX_NAME
"""Longest entry, characters: seven names, or a path; the patterns of names take time that grows with its square."""

_EOL_NAME: Final = re.compile(r"([0-9]{1,18})_([0-9]{1,18})_eol")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PICTURE: Final = re.compile(r"\.(jpe?g|png|gif|webp|tiff?|bmp)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FileReport:
    """What a file of a list holds, and what it means today.

    Attributes:
        path, role: the file, and whether it was read for its images only or for species too.
        counts: its entries, each once, and their matches.
        unmatched_first: a few of the entries that match nothing.
    """

    path: Path
    role: Role
    counts: MatchCounts
    unmatched_first: tuple[str, ...]

    def describe(self) -> list[str]:
        """Lines to print."""
        c = self.counts
        lines = [f"  {self.path.name}:"]
        if c.taxon_entries:
            lines.append(
                f"    {c.taxon_entries:,} species, {c.matched_taxon_entries:,} of them known here: "
                f"{c.labels:,} labels, {c.labelled_images:,} images"
            )
        if c.synonym_entries:
            lines.append(f"    {c.synonym_entries:,} species under other names, too: {c.synonym_labels:,} labels")
        if c.image_entries:
            known = f"{c.matched_image_entries:,} of them known here"
            lines.append(f"    {c.image_entries:,} listed images, {known}: {c.images:,} images")
        if c.page_mismatches:
            lines.append(f"    {c.page_mismatches:,} images have another EOL page id than the list says")
        if c.unmatched:
            lines.append(f"    {c.unmatched:,} entries match nothing; first:")
            lines.extend(f"      {printed(text)}" for text in self.unmatched_first)
        return lines


@dataclass(frozen=True, slots=True)
class BlacklistResult:
    """What the files of a list brought.

    Attributes:
        unchanged: the list is as it was (what it matches may have changed).
        name: of the list.
        entries: in the list now, from all files ever read into it.
        added, removed: against before.
        files: one report for each file of the call.
    """

    unchanged: bool
    name: str
    entries: int
    added: int
    removed: int
    files: tuple[FileReport, ...]

    def describe(self) -> list[str]:
        """Lines to print."""
        what = "unchanged" if self.unchanged else f"{self.added:,} added, {self.removed:,} removed"
        lines = [f"blacklist {self.name}: {self.entries:,} entries ({what})"]
        return lines + [line for file in self.files for line in file.describe()]


def ingest_blacklist(
    db: Database,
    name: str,
    *,
    images: Sequence[Path] = (),
    species: Sequence[Path] = (),
    reason: str = "",
    allow_unmatched: bool = False,
) -> BlacklistResult:
    """Read the files of a blacklist, all in one transaction.

    An image entry is the name of a file without its folders. ``<content_id>_<page_id>_eol…`` means the EOL
    image of that content id, a uuid (with or without a suffix) the image of that id, anything else nothing.
    A species entry is ``Genus species`` or ``Kingdom-Phylum-…-Genus-species``, normalised as labels are.
    A file that is read again replaces its entries; those of other files of the list stay. A species is kept out
    under its synonyms too, where there is an assembled taxonomy.

    Args:
        db: the database.
        name: of the list, made when it is new.
        images: files of which only the listed images stay out; the names above them say nothing.
        species: files of which the named species and the listed images stay out.
        reason: why; of a list that exists it replaces the reason unless it is "".
        allow_unmatched: accept a file of which nothing is in this database.

    Raises:
        UsageError: no file, or no name; a changed file shares entries with one that was not named.
        InputMissing: no such file.
        InputError: broken JSON, not UTF-8, values of another shape; no entry at all; a file of which nothing
            matches.
    """
    if not name.strip() or not name.isprintable():
        raise UsageError(f"{name!r} cannot be the name of a blacklist", hint="a word that can be printed")
    inputs: list[tuple[Role, Path]] = [("images", path) for path in images]
    inputs += [("species", path) for path in species]
    if not inputs:
        raise UsageError("a blacklist is read from files", hint="name some with --images or --species")
    with db.write() as conn:
        blacklist, is_changed = _blacklist(conn, name, reason)
        for statement in _TEMPORARY:
            raw(conn).execute(statement)
        for number, (role, path) in enumerate(inputs):
            _gather(conn, number, role, path, look(conn, f"blacklist_{role}:{name}", path))
        removed = _remove_vanished(conn, blacklist, name)
        added = scalar(conn, _COUNT_NEW, (blacklist,))
        changes(conn, _STORE, (blacklist,))
        refresh_blacklist_names(conn)
        reports = tuple(_report(conn, blacklist, number, role, path) for number, (role, path) in enumerate(inputs))
        for report in reports:
            if not report.counts.matched and not allow_unmatched:
                raise InputError(
                    f"{report.path}: none of its {report.counts.unmatched:,} entries is in this database",
                    hint="ingest images and labels first; --allow-unmatched keeps the list for later",
                )
        entries = scalar(conn, "SELECT count(*) FROM blacklist_entry WHERE blacklist_id = ?", (blacklist,))
        return BlacklistResult(not (is_changed or added or removed), name, entries, added, removed, reports)


def _blacklist(conn: sa.Connection, name: str, reason: str) -> tuple[int, bool]:
    """The id of a list, made when it is new; and whether it is new or has another reason now."""
    changed = changes(
        conn,
        """INSERT INTO blacklist (name, reason, created_at) VALUES (?, ?, ?)
           ON CONFLICT (name) DO UPDATE SET reason = excluded.reason
           WHERE excluded.reason NOT IN ('', reason)""",
        (name, reason, utc_now()),
    )
    return scalar(conn, "SELECT id FROM blacklist WHERE name = ?", (name,)), bool(changed)


# ------------------------------------------------------------------ reading

_TEMPORARY: Final = (
    """CREATE TEMP TABLE listed (
           ordinal INTEGER PRIMARY KEY, file INTEGER NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL,
           content_id INTEGER, page_id INTEGER, treeoflife_id BLOB,
           kingdom TEXT, genus TEXT, species TEXT)""",
    "CREATE INDEX temp.ix_listed ON listed (kind, value, file)",
    "CREATE TEMP TABLE list_file (number INTEGER PRIMARY KEY, source_file_id INTEGER NOT NULL)",
)

_INSERT: Final = """
INSERT INTO temp.listed (file, kind, value, content_id, page_id, treeoflife_id, kingdom, genus, species)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""


def _gather(conn: sa.Connection, number: int, role: Role, path: Path, file: InputFile) -> None:
    """Stream a file into ``temp.listed`` and note which record of ``source_file`` it has."""
    with reading(path) as text:
        rows = ((number, *entry) for entry in _entries(text, role))
        if not insert_many(conn, _INSERT, rows):
            raise InputError(f"{path}: no entry in it", hint="is it the right file?")
    distinct = "SELECT count(*) FROM (SELECT DISTINCT kind, value FROM temp.listed WHERE file = ?)"
    where = (file.kind, str(file.path.parent), file.path.name)
    identity = scalar(conn, "SELECT id FROM source_file WHERE kind = ? AND root = ? AND path = ?", where)
    if not (file.known and same_content(conn, file, text.digest())):
        identity = record(conn, file, sha256=text.digest(), rows=scalar(conn, distinct, (number,)))
    changes(conn, "INSERT INTO temp.list_file VALUES (?, ?)", (number, identity))


def _entries(file: TextInput, role: Role) -> Iterator[tuple[Any, ...]]:
    """kind, value, content id, page id, TreeOfLife id, kingdom, genus, species."""
    if file.peek(4096).lstrip()[:1] not in (b"{", b"["):
        for number, line in file.lines():
            text = line.strip()
            if text and not text.startswith("#"):
                yield _entry(_of_sane_length(file, f"line {number}", text), role)
        return
    for number, (key, value) in enumerate(json_items(file), 1):
        where = f"item {number}" if key is None else f"key {shown(key)}"
        if key is None:
            yield _entry(_text(file, where, value), role)
            continue
        if not isinstance(value, list):
            raise InputError(f"{file.path}: {where}: a list of paths is wanted", hint="is it a blacklist?")
        if role == "species":
            yield _taxon(_text(file, where, key))
        for path in value:
            yield _image(_text(file, where, path))


def _text(file: TextInput, where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{file.path}: {where}: not a text", hint="paths and names stand in quotes")
    return _of_sane_length(file, where, require_text(file, where, value))


def _of_sane_length(file: TextInput, where: str, text: str) -> str:
    if len(text) > MAX_ENTRY:
        raise InputError(
            f"{file.path}: {where}: an entry of {len(text):,} characters", hint="is it the right file? or mend it"
        )
    return text


def _entry(text: str, role: Role) -> tuple[Any, ...]:
    """A line of a plain list: in a list of species it is a picture if it looks like one."""
    name = text.rsplit("/", 1)[-1]
    is_picture = "/" in text or _EOL_NAME.match(name) or _UUID.fullmatch(name) or _PICTURE.search(name)
    return _image(text) if role == "images" or is_picture else _taxon(text)


def _image(path: str) -> tuple[Any, ...]:
    value = path.rsplit("/", 1)[-1] or path
    eol = _EOL_NAME.match(value)
    if eol is not None:
        return ("image", value, int(eol[1]), int(eol[2]), None, None, None, None)
    stem = value.rsplit(".", 1)[0]
    blob = UUID(stem).bytes if _UUID.fullmatch(stem) else None
    return ("image", value, None, None, blob, None, None, None)


def _taxon(text: str) -> tuple[Any, ...]:
    lineage = parse_blacklist_name(text)
    if lineage is None:
        return ("taxon", text, None, None, None, None, None, None)
    return ("taxon", text, None, None, None, lineage.kingdom, lineage.genus, lineage.species)


# ------------------------------------------------------------------ storing

_VANISHED: Final = """
FROM blacklist_entry
WHERE blacklist_id = ? AND source_file_id IN (SELECT source_file_id FROM temp.list_file)
  AND NOT EXISTS (SELECT 1 FROM temp.listed r
                  WHERE r.kind = blacklist_entry.kind AND r.value = blacklist_entry.value)"""

# an entry belongs to the first file that listed it, so a file with fewer entries than rows shares some
_SHARING: Final = """
SELECT f.root || '/' || f.path FROM source_file f
WHERE f.kind IN (?2, ?3) AND f.id NOT IN (SELECT source_file_id FROM temp.list_file)
  AND f.rows_read > (SELECT count(*) FROM blacklist_entry e
                     WHERE e.blacklist_id = ?1 AND e.source_file_id = f.id)
ORDER BY f.id LIMIT 1"""

_COUNT_NEW: Final = """
SELECT count(*) FROM (SELECT DISTINCT kind, value FROM temp.listed) AS r
WHERE NOT EXISTS (SELECT 1 FROM blacklist_entry e
                  WHERE e.blacklist_id = ? AND e.kind = r.kind AND e.value = r.value)"""

# what stands in two files is one entry; it moves to another file only when its own lists it no more
_STORE: Final = """
INSERT INTO blacklist_entry (blacklist_id, kind, value, content_id, page_id, treeoflife_id, kingdom, genus,
                             species, source_file_id)
SELECT ?1, r.kind, r.value, r.content_id, r.page_id, r.treeoflife_id, r.kingdom, r.genus, r.species,
       f.source_file_id
FROM temp.listed r JOIN temp.list_file f ON f.number = r.file
WHERE r.ordinal = (SELECT min(x.ordinal) FROM temp.listed x WHERE x.kind = r.kind AND x.value = r.value)
ORDER BY r.ordinal
ON CONFLICT (blacklist_id, kind, value) DO UPDATE SET source_file_id = excluded.source_file_id
WHERE source_file_id IN (SELECT source_file_id FROM temp.list_file)
  AND NOT EXISTS (SELECT 1 FROM temp.list_file f JOIN temp.listed r ON r.file = f.number
                  WHERE f.source_file_id = blacklist_entry.source_file_id
                    AND r.kind = blacklist_entry.kind AND r.value = blacklist_entry.value)"""


def _remove_vanished(conn: sa.Connection, blacklist: int, name: str) -> int:
    """Delete what the files of this call listed before and list no more; returns how many."""
    vanished = scalar(conn, "SELECT count(*)" + _VANISHED, (blacklist,))
    if vanished:
        kinds = (f"blacklist_images:{name}", f"blacklist_species:{name}")
        other = scalar(conn, _SHARING, (blacklist, *kinds))
        if other is not None:
            raise UsageError(
                f"{vanished:,} entries are gone, but {other} has entries in common with the changed file",
                hint="name that file in the same call, so that no entry of it is lost",
            )
    return changes(conn, "DELETE" + _VANISHED, (blacklist,))


_ENTRIES_OF_FILE: Final = """
SELECT DISTINCT e.id FROM temp.listed r
JOIN blacklist_entry e ON e.blacklist_id = ? AND e.kind = r.kind AND e.value = r.value
WHERE r.file = ?"""

_UNMATCHED_OF_FILE: Final = """
SELECT e.value FROM blacklist_entry e
WHERE e.blacklist_id = ?1
  AND e.id NOT IN (SELECT entry_id FROM v_blacklisted_image WHERE blacklist_id = ?1)
  AND e.id NOT IN (SELECT entry_id FROM v_blacklisted_label WHERE blacklist_id = ?1)
  AND EXISTS (SELECT 1 FROM temp.listed r WHERE r.kind = e.kind AND r.value = e.value AND r.file = ?2)
ORDER BY e.id LIMIT ?3"""


def _report(conn: sa.Connection, blacklist: int, number: int, role: Role, path: Path) -> FileReport:
    entries = (entry for (entry,) in query(conn, _ENTRIES_OF_FILE, (blacklist, number)))
    counts = match_counts(conn, blacklist, entries)
    first = query(conn, _UNMATCHED_OF_FILE, (blacklist, number, NAMED)) if counts.unmatched else iter(())
    return FileReport(path, role, counts, tuple(value for (value,) in first))
