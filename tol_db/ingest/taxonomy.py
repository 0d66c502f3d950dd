"""Read a taxonomy as it was published into the database, as a version of its own."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import changes, no_cycles, query, scalar, utc_now
from tol_db.db.engine import Database, entering, raw
from tol_db.errors import InputError, NameTaken, UsageError
from tol_db.ingest.files import look, record, source_id
from tol_db.ingest.taxonomy_files import TaxonomyFiles, content_digests, files_on_disk, taxonomy_files
from tol_db.ingest.taxonomy_rows import add_findings, arrange, count, stage, store
from tol_db.taxonomy.formats import FORMATS, RULES, Format
from tol_db.taxonomy.formats.rows import Notes, TaxonRow

FIRST: Final = 3
"""Findings of a kind that a result shows; the database has all."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class FindingKind:
    """Findings of one kind: how many, and a few of them."""

    kind: str
    count: int
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TaxonomyResult:
    """What a taxonomy brought.

    Attributes:
        unchanged: this content is in the database already.
        id: of the row of ``taxonomy``.
        name: its id space.
        version: as it was named, or counted.
        remarks: what changed beside the content, or deserves to be known.
        nodes, tips: taxa, and those without children.
        synonyms, vernaculars, aliases: rows of these.
        findings: by kind.
    """

    unchanged: bool
    id: int
    name: str
    version: str
    remarks: tuple[str, ...]
    nodes: int
    tips: int
    synonyms: int
    vernaculars: int
    aliases: int
    findings: tuple[FindingKind, ...]

    def describe(self) -> list[str]:
        """Lines to print."""
        lines = [
            f"{self.name} {self.version}: {'unchanged, ' if self.unchanged else ''}{self.nodes:,} nodes "
            f"({self.tips:,} tips), {self.synonyms:,} synonyms, {self.vernaculars:,} common names, "
            f"{self.aliases:,} other ids"
        ]
        lines.extend(f"  {remark}" for remark in self.remarks)
        for found in self.findings:
            lines.append(f"  {found.count:,} {found.kind}; first:" if found.count > FIRST else f"  {found.kind}:")
            lines.extend(f"    {text}" for text in found.first)
        return lines


@dataclass(frozen=True, slots=True)
class _Wish:
    """What was asked for."""

    format: Format
    path: Path
    name: str
    priority: int | None
    rules: tuple[str, ...]
    release: str | None

    @property
    def kind(self) -> str:
        """Of its files, in the register."""
        return f"taxonomy {self.name}"

    @property
    def parameters(self) -> str:
        return json.dumps({"format": self.format.name, "rules": list(self.rules)})


def ingest_taxonomy(
    db: Database,
    format_name: str,
    path: Path,
    *,
    name: str,
    priority: int | None,
    rules: Sequence[str] | None = None,
    release: str | None = None,
) -> TaxonomyResult:
    """Read a taxonomy; all of it in one transaction, or nothing.

    Content that is there already changes nothing but the priority and the rules; other content under the same
    name is a new version beside the old one.

    Args:
        format_name: a key of :data:`tol_db.taxonomy.formats.FORMATS`.
        path: a folder, an archive or a file.
        name: id space: what its ids are prefixed with.
        priority: 1 is heard first; None: it takes part in an assembly only where it is named.
        rules: None: those of the format.
        release: the version; None: a count.

    Raises:
        InputMissing: nothing is there.
        InputError: not of that format, damaged, not UTF-8, ids that contradict, parents in a circle.
        UsageError: the name, rule or priority is none; NameTaken: that release is there with other content.
    """
    wish = _wish(format_name, path, name, priority, rules, release)
    with taxonomy_files(path, wish.format) as files:
        with db.read() as conn:
            known = _known(conn, wish, files)
        if known is not None:
            with db.write() as conn:
                return _unchanged(conn, wish, known)
        with db.staging() as conn, no_cycles():
            with conn.begin():
                notes = _read(conn, wish, files)
            recorded = content_digests(path, files)
            digest = _digest(wish, files, recorded)
            with entering(conn):
                there = _version_of(conn, wish, digest)
                if there is not None:
                    _record(conn, wish, files, recorded, None)
                    return _unchanged(conn, wish, there)
                add_findings(conn, notes.findings())
                return _enter(conn, wish, files, recorded, digest)


def _wish(
    format_name: str, path: Path, name: str, priority: int | None, rules: Sequence[str] | None, release: str | None
) -> _Wish:
    format_ = FORMATS.get(format_name)
    if format_ is None:
        raise UsageError(f"no format {format_name!r}", hint=f"one of {', '.join(FORMATS)}")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no id space", hint="a letter, then letters, digits, '_', '.' or '-', such as ncbi"
        )
    if priority is not None and priority < 1:
        raise UsageError(f"priority {priority}", hint="1 is heard first, then 2, …")
    chosen = format_.rules if rules is None else tuple(rule for rule in RULES if rule in rules)
    for rule in rules or ():
        if rule not in RULES:
            raise UsageError(f"no rule {rule!r}", hint=f"one of {', '.join(RULES)}")
    if release is not None and not release.strip():
        raise UsageError("an empty release", hint="leave it out, and versions are counted")
    return _Wish(format_, path, name, priority, chosen, release.strip() if release else None)


def _read(conn: sa.Connection, wish: _Wish, files: TaxonomyFiles) -> Notes:
    """Stage the rows."""
    notes = Notes()
    stage(conn, wish.format.read(files, notes))
    nodes = count(conn, TaxonRow)
    if not nodes or notes.bad > nodes:
        example = next((f": {found.subject}: {found.detail}" for found in notes.findings()), "")
        raise InputError(
            f"{wish.path}: {nodes:,} taxa and {notes.bad:,} rows that cannot be read{example}",
            hint=f"is it {wish.format.name}, and the right delimiter? nothing was ingested",
        )
    arrange(conn, str(wish.path))
    return notes


def _digest(wish: _Wish, files: TaxonomyFiles, recorded: dict[Path, bytes]) -> bytes:
    """One of all files; a file that is moved, or renamed alone, keeps it."""
    parts = [
        (name or "" if len(recorded) > 1 else "", recorded[file].hex())
        for file, name in files_on_disk(wish.path, files)
    ]
    return hashlib.sha256(json.dumps([wish.format.name, parts]).encode()).digest()


def _known(conn: sa.Connection, wish: _Wish, files: TaxonomyFiles) -> int | None:
    """The version that holds these files, where each is as it was when it was recorded."""
    recorded = {}
    for file, _ in files_on_disk(wish.path, files):
        if not look(conn, wish.kind, file).known:
            return None
        place = file.resolve()
        recorded[file] = scalar(
            conn,
            "SELECT sha256 FROM source_file WHERE kind = ? AND root = ? AND path = ?",
            (wish.kind, str(place.parent), place.name),
        )
    return _version_of(conn, wish, _digest(wish, files, recorded))


def _version_of(conn: sa.Connection, wish: _Wish, digest: bytes) -> int | None:
    found: int | None = scalar(
        conn,
        "SELECT id FROM taxonomy WHERE name = ? AND kind = 'source' AND digest = ?",
        (wish.name, digest),
    )
    return found


def _unchanged(conn: sa.Connection, wish: _Wish, taxonomy_id: int) -> TaxonomyResult:
    version, priority, parameters = next(
        query(conn, "SELECT version, priority, parameters FROM taxonomy WHERE id = ?", (taxonomy_id,))
    )
    remarks = []
    if wish.release is not None and wish.release != version:
        remarks.append(f"this content is version {version}, not {wish.release}")
    if priority != wish.priority:
        remarks.append(f"priority {priority} → {wish.priority}")
    if parameters != wish.parameters:
        before = ", ".join(json.loads(parameters).get("rules", ())) or "none"
        remarks.append(f"rules {before} → {', '.join(wish.rules) or 'none'}")
    newest = "SELECT version FROM taxonomy WHERE name = ? AND kind = 'source' AND id > ? ORDER BY id DESC LIMIT 1"
    if (newer := scalar(conn, newest, (wish.name, taxonomy_id))) is not None:
        remarks.append(f"version {newer} is newer, and stays the one that is used")
    changes(
        conn,
        "UPDATE taxonomy SET priority = ?, parameters = ? WHERE id = ?",
        (wish.priority, wish.parameters, taxonomy_id),
    )
    return _result(conn, wish, taxonomy_id, version, [*remarks, *_others(conn, wish)], None)


def _enter(
    conn: sa.Connection, wish: _Wish, files: TaxonomyFiles, recorded: dict[Path, bytes], digest: bytes
) -> TaxonomyResult:
    version = _next_version(conn, wish)
    file_id = _record(conn, wish, files, recorded, wish.release)
    taxonomy_id = (
        raw(conn)
        .execute(
            """INSERT INTO taxonomy (name, version, kind, priority, parameters, digest, source_file_id, created_at)
           VALUES (?, ?, 'source', ?, ?, ?, ?, ?)""",
            (wish.name, version, wish.priority, wish.parameters, digest, file_id, utc_now()),
        )
        .lastrowid
    )
    assert taxonomy_id is not None
    nodes, tips = store(conn, taxonomy_id, str(wish.path))
    changes(conn, "UPDATE source_file SET rows_read = ? WHERE id = ?", (nodes, file_id))
    return _result(conn, wish, taxonomy_id, version, list(_others(conn, wish)), (nodes, tips))


def _next_version(conn: sa.Connection, wish: _Wish) -> str:
    kinds = dict(query(conn, "SELECT version, kind FROM taxonomy WHERE name = ?", (wish.name,)))
    if "assembled" in kinds.values():
        raise NameTaken(f"{wish.name} is an assembled taxonomy", hint="give the source another --name")
    if wish.release is None:
        return str(1 + max((int(v) for v in kinds if v.isascii() and v.isdecimal() and len(v) < 10), default=0))
    if wish.release in kinds:
        raise NameTaken(
            f"{wish.name} {wish.release} is there, with other content",
            hint=f"give it another --release, or `tol-db taxonomy prune {wish.name}` first",
        )
    return wish.release


_OF_TAXA: Final = frozenset(["taxonomy", "nodes", "nameusage", "taxon", "taxa"])
"""First words of the file of a folder that has a row for each taxon, in the formats that have several files."""


def _record(
    conn: sa.Connection, wish: _Wish, files: TaxonomyFiles, recorded: dict[Path, bytes], release: str | None
) -> int:
    """Write down which files were read; returns the id of the one that holds the taxa."""
    source = source_id(conn, wish.name)  # EOL also gives images: where those lie, and their release, stay
    if release is not None:
        of_names = """UPDATE source SET release = ?1
                      WHERE id = ?2 AND NOT EXISTS (SELECT 1 FROM container WHERE source_id = ?2)"""
        changes(conn, of_names, (release, source))
    ids = {
        file: record(conn, look(conn, wish.kind, file), sha256=recorded[file], rows=0, source=source)
        for file, _ in files_on_disk(wish.path, files)
    }
    return next(
        (id for file, id in ids.items() if file.name.lower().partition(".")[0] in _OF_TAXA), min(ids.values())
    )


def _others(conn: sa.Connection, wish: _Wish) -> Iterator[str]:
    same = "SELECT DISTINCT name FROM taxonomy WHERE kind = 'source' AND priority = ? AND name <> ? ORDER BY name"
    names = [name for (name,) in query(conn, same, (wish.priority, wish.name))]
    if names:
        yield f"priority {wish.priority} is also that of {', '.join(names)}: give each its own"


def _result(
    conn: sa.Connection,
    wish: _Wish,
    taxonomy_id: int,
    version: str,
    remarks: list[str],
    counted: tuple[int, int] | None,
) -> TaxonomyResult:
    first, last = next(query(conn, "SELECT min(id), max(id) FROM taxon WHERE taxonomy_id = ?", (taxonomy_id,)))
    span = (first or 0, last or -1)
    unchanged = counted is None
    if counted is None:
        nodes = scalar(conn, "SELECT count(*) FROM taxon WHERE id BETWEEN ? AND ?", span)
        parents = "SELECT count(DISTINCT parent_id) FROM taxon WHERE id BETWEEN ? AND ?"
        counted = nodes, nodes - scalar(conn, parents, span)
    within = "SELECT count(*) FROM {} WHERE taxon_id BETWEEN ? AND ?"
    return TaxonomyResult(
        unchanged=unchanged,
        id=taxonomy_id,
        name=wish.name,
        version=version,
        remarks=tuple(remarks),
        nodes=counted[0],
        tips=counted[1],
        synonyms=scalar(conn, within.format("synonym"), span),
        vernaculars=scalar(conn, within.format("vernacular_name"), span),
        aliases=scalar(conn, "SELECT count(*) FROM taxon_alias WHERE taxonomy_id = ?", (taxonomy_id,)),
        findings=tuple(_findings(conn, taxonomy_id)),
    )


def _findings(conn: sa.Connection, taxonomy_id: int) -> Iterator[FindingKind]:
    kinds = "SELECT kind, count(*) FROM taxonomy_finding WHERE taxonomy_id = ? GROUP BY kind ORDER BY kind"
    some = "SELECT subject, detail FROM taxonomy_finding WHERE taxonomy_id = ? AND kind = ? ORDER BY id LIMIT ?"
    for kind, number in list(query(conn, kinds, (taxonomy_id,))):
        first = tuple(f"{subject}: {detail}" for subject, detail in query(conn, some, (taxonomy_id, kind, FIRST)))
        yield FindingKind(kind, number, first)
