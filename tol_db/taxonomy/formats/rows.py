"""What a reader of a taxonomy yields, and what it reads from.

A reader is a function of :class:`Files` and :class:`Notes` that yields rows of five kinds in any order; it
holds no row longer than it must. Keys are the source's own ids, as text. Who collects the rows finds the
parents, and decides what a key that leads nowhere means.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

from tol_db.errors import InputError
from tol_db.taxonomy.ranks import known_rank

MAX_BAD: Final = 10_000
"""Rows of a file that may be unreadable before it is taken for another file than was meant."""


class TaxonRow(NamedTuple):
    """A node.

    Attributes:
        line: where it stands in the file of taxa.
        key: its id.
        parent: the id of its parent, None for a root.
        name: scientific name, without authorship where the source gives both.
        rank: as :func:`tol_db.taxonomy.ranks.canonical_rank`.
        flags: comma-separated, sorted.
        sources: qualified ids that the source gives as its origin, comma-separated: ``ncbi:4209,gbif:414``.
    """

    line: int
    key: str
    parent: str | None
    name: str
    rank: str
    flags: str = ""
    sources: str = ""


class SynonymRow(NamedTuple):
    """Another scientific name of the taxon ``key``; ``kind`` is the source's word for it, in lower case."""

    line: int
    key: str
    name: str
    kind: str
    source: str | None = None


class VernacularRow(NamedTuple):
    """A common name; ``language`` as :func:`tol_db.taxonomy.languages.language_code`, ``preferred`` 0 or 1."""

    line: int
    key: str
    name: str
    language: str
    preferred: int


class AliasRow(NamedTuple):
    """Another id of the taxon ``key``.

    Attributes:
        kept: 0 where ``alias`` is a node without a name: it is no taxon, its children hang under ``key``.
    """

    line: int
    alias: str
    key: str
    kept: int = 1


class Finding(NamedTuple):
    """Something to tell about the file: see docs/taxonomy.md for the kinds."""

    kind: str
    subject: str
    detail: str


Row = TaxonRow | SynonymRow | VernacularRow | AliasRow | Finding


class Files(Protocol):
    """The files of one taxonomy: a folder, the members of an archive, or one file."""

    where: str
    """The path, as messages call it."""

    def names(self) -> list[str]:
        """Of the files, relative, sorted."""

    def texts(self, name: str) -> Iterator[str]:
        """Lines with their ends, UTF-8, without a byte order mark.

        Raises:
            InputError: not UTF-8, a NUL, a line of unlikely length, a damaged archive.
        """

    def read(self, name: str) -> bytes:
        """A small file as a whole."""


class Notes:
    """What a reader finds out by the way. One for each taxonomy that is read.

    Attributes:
        bad: rows that were not read.
    """

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._ranks: dict[str, str] = {}
        self._unknown: Counter[str] = Counter()
        self.bad = 0

    def find(self, kind: str, subject: str, detail: str) -> None:
        """Keep a finding."""
        self._found.append(Finding(kind, subject, detail))

    def bad_row(self, file: str, line: int, why: str) -> None:
        """A row is passed over.

        Raises:
            InputError: too many are.
        """
        self.bad += 1
        if self.bad > MAX_BAD:
            raise InputError(
                f"{file}: line {line}: {why}; more than {MAX_BAD:,} rows cannot be read",
                hint="is it the right file and format? nothing was ingested",
            )
        self.find("bad_row", f"{file}: line {line}", why)

    def name(self, file: str, line: int, text: str) -> str:
        """A name in one line, single blanks, nothing invisible; that it was not so is kept as a finding."""
        name = " ".join(text.split())
        if name.isprintable():
            if len(name) == len(text):
                if name != text:
                    self.find("name_changed", f"{file}: line {line}", f"{text!r} → {name!r}")
                return name
        else:
            name = " ".join(_INVISIBLE.sub("", name).split())
        if name != text.strip(" "):
            self.find("name_changed", f"{file}: line {line}", f"{text!r} → {name!r}")
        return name

    def rank(self, text: str) -> str:
        """The rank that a text means; words that are none are counted."""
        rank = self._ranks.get(text)
        if rank is None:
            rank = known_rank(text)
            if rank is None:
                self._unknown[" ".join(text.split())[:100]] += 1
                return "no rank"
            if len(self._ranks) < 10_000:
                self._ranks[text] = rank
        return rank

    def findings(self) -> list[Finding]:
        """All of them, the unknown ranks with their counts."""
        unknown = [
            Finding("unknown_rank", rank, f"{count:,} rows: no rank")
            for rank, count in sorted(self._unknown.items())
        ]
        return self._found + unknown


Reader = Callable[[Files, Notes], Iterator[Row]]

# controls, soft hyphen, zero-width space, marks of direction, byte order marks; the joiners of scripts and
# emoji stay
_INVISIBLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)


def flags_of(text: str) -> str:
    """Flags in canonical form: sorted, each once, joined by commas."""
    return ",".join(sorted({flag.strip() for flag in text.split(",")} - {""})) if text else ""


def base_name(path: str) -> str:
    """The last part of a member's name, lower case."""
    return path.rpartition("/")[2].lower()


def find_file(files: Files, *wanted: str) -> str | None:
    """The file with one of these base names (lower case), the least deeply nested one."""
    found = [name for name in files.names() if base_name(name) in wanted]
    return min(found, key=lambda name: (name.count("/"), name), default=None)


def require_file(files: Files, *wanted: str) -> str:
    """Raises: InputError, where there is none."""
    found = find_file(files, *wanted)
    if found is None:
        has = ", ".join(files.names()[:8]) or "nothing"
        raise InputError(
            f"{files.where}: no {wanted[0]} in it", hint=f"it holds {has}; is it the right path and format?"
        )
    return found


def the_only_file(files: Files) -> str | None:
    """The name of the file where there is just one."""
    names = files.names()
    return names[0] if len(names) == 1 else None
