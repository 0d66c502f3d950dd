"""What is fetched from where: a toml file that comes with the package, and that users edit or mirror.

::

    [bioscan]
    title = "BIOSCAN-1M, cropped"
    folder = "dataset/bioscan"            # below the tree

    [[bioscan.files]]
    path = "cropped_256.zip"              # below the folder; "{}" where there are numbers
    numbers = "01-63"                     # as many files, "{}" in path and url is 01, 02 …
    url = "https://…"
    bytes = 7171212982                    # exact; or `about = …`, an estimate for the check of free space
    md5 = "…"                             # or sha256; leave out what is not published
    optional = true                       # the server may not have it
    token = true                          # send TOL_DB_FETCH_TOKEN

    [bioscan.files.extract]               # archives that are taken apart
    folder = "bioscan/images/cropped_256" # within the archive; anything else in it is passed over
    parts = 'part[0-9]+'                  # names of the folders in it, a regular expression
    into = ""                             # below the folder of the section
    members = 1128313                     # how many files there must be; leave out what is not known
    about = 8000000000                    # bytes on disk, for the check of free space
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from tol_db.errors import InputError, InputMissing
from tol_db.fetch.urls import checked

KEYS = ("metadata", "eol", "inat21", "bioscan")
BUILT_IN = "the built-in manifest"
_MOST_FILES = 100_000
_HEX = {"sha256": 64, "md5": 32}
_SECTION = {"title", "folder", "files"}
_FILE = {"path", "numbers", "url", "bytes", "about", "sha256", "md5", "optional", "token", "extract"}
_EXTRACT = {"folder", "parts", "into", "members", "about"}


@dataclass(frozen=True, slots=True)
class Extract:
    """What of an archive is wanted: files ``<folder>/<part>/<name>``, to ``<into>/<part>/<name>``.

    Attributes:
        folder: within the archive.
        parts: what a folder in it must be named.
        into: below the folder of the section, or "".
        members: how many files there must be, or None where that is not known.
        about: bytes of the files, an estimate; None where there is none.
    """

    folder: str
    parts: re.Pattern[str]
    into: str
    members: int | None
    about: int | None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to fetch.

    Attributes:
        path: below the folder of its section, with ``/``.
        url: where it is.
        number: what it was numbered by (``numbers``), or None.
        bytes: its exact size, or None.
        about: its size roughly, or None.
        sha256, md5: lower-case hex, or None where not published.
        optional: the server may not have it.
        token: whether it may be sent the user's token.
        extract: what to take out of it, or None.
    """

    path: str
    url: str
    number: int | None = None
    bytes: int | None = None
    about: int | None = None
    sha256: str | None = None
    md5: str | None = None
    optional: bool = False
    token: bool = False
    extract: Extract | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def size(self) -> int | None:
        """Bytes, as exactly as is known; for estimates only."""
        return self.bytes if self.bytes is not None else self.about


@dataclass(frozen=True, slots=True)
class Section:
    """One of the four downloads.

    Attributes:
        key: ``metadata``, ``eol``, ``inat21`` or ``bioscan``.
        title: for people.
        folder: below the tree, with ``/``.
        files: in the order of the manifest.
    """

    key: str
    title: str
    folder: str
    files: tuple[RemoteFile, ...]


def built_in_text() -> str:
    """The manifest that comes with the package, as it stands."""
    return resources.files("tol_db.fetch").joinpath("manifest.toml").read_text(encoding="utf-8")


def read_manifest(path: Path | None = None) -> dict[str, Section]:
    """Key → section of a manifest; of the built-in one where none is named.

    Raises:
        InputMissing: there is no such file.
        InputError: it is not toml, or says what it may not; names the file, the section and the entry.
    """
    if path is None:
        return parse_manifest(built_in_text(), BUILT_IN)
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise InputMissing(f"{path}: no such manifest", hint="`tol-db fetch manifest` prints one to edit") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8", hint="a manifest is a toml file") from None
    except OSError as err:
        raise InputMissing(f"{path}: {err.strerror}") from None
    return parse_manifest(text, str(path))


def parse_manifest(text: str, where: str) -> dict[str, Section]:
    """:func:`read_manifest` of a text; ``where`` it is from stands in errors."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as err:
        raise InputError(
            f"{where}: {err}", hint="mend the toml; `tol-db fetch manifest` prints a good one"
        ) from None
    unknown = sorted(set(table) - set(KEYS))
    if unknown:
        raise InputError(f"{where}: unknown section {unknown[0]!r}", hint=f"known: {', '.join(KEYS)}")
    return {key: _Reader(f"{where}: [{key}]", table[key]).section(key) for key in KEYS if key in table}


class _Reader:
    """One table of a manifest, and how to name it in an error."""

    def __init__(self, where: str, table: object) -> None:
        self.where = where
        if not isinstance(table, dict):
            raise self.wrong("a table is wanted")
        self.table: Mapping[str, Any] = table

    def wrong(self, what: str) -> InputError:
        return InputError(f"{self.where}: {what}", hint="`tol-db fetch manifest` prints a good manifest to compare")

    def only(self, known: set[str]) -> None:
        unknown = sorted(set(self.table) - known)
        if unknown:
            raise self.wrong(f"unknown key {unknown[0]!r} (known: {', '.join(sorted(known))})")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.table.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(f"{key}: a text is wanted")
        return value

    def folder(self, key: str, default: str | None = None) -> str:
        """A path that stays below what it is relative to; "" where ``default`` is."""
        value = self.text(key, default)
        if value == "" and default == "":
            return value
        bad = any(step in ("", ".", "..") or step.startswith(".") for step in value.split("/"))
        if bad or "\\" in value or not value.isprintable():
            raise self.wrong(f"{key}: {value!r} is not a plain relative path")
        return value

    def number(self, key: str) -> int | None:
        value = self.table.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 60:
            raise self.wrong(f"{key}: a whole number, 0 or more, is wanted")
        return value

    def flag(self, key: str) -> bool:
        value = self.table.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(f"{key}: true or false is wanted")
        return value

    def digest(self, key: str) -> str | None:
        if key not in self.table:
            return None
        value = self.text(key).lower()
        if not re.fullmatch(f"[0-9a-f]{{{_HEX[key]}}}", value):
            raise self.wrong(f"{key}: {_HEX[key]} hexadecimal digits are wanted")
        return value

    def section(self, key: str) -> Section:
        self.only(_SECTION)
        entries = self.table.get("files", [])
        if not isinstance(entries, list):
            raise self.wrong(f"files: wanted as [[{key}.files]]")
        files: list[RemoteFile] = []
        seen: set[str] = set()
        for index, entry in enumerate(entries, 1):
            reader = _Reader(f"{self.where} file {index}", entry)
            for file in reader.files():
                if file.path in seen:
                    raise reader.wrong(f"path: {file.path!r} comes twice")
                seen.add(file.path)
                files.append(file)
                if len(files) > _MOST_FILES:
                    raise reader.wrong(f"numbers: more than {_MOST_FILES:,} files")
        return Section(key, self.text("title", key), self.folder("folder"), tuple(files))

    def files(self) -> Iterator[RemoteFile]:
        """The file of an entry, or its numbered files."""
        self.only(_FILE)
        extract = self.table.get("extract")
        file = RemoteFile(
            path=self.folder("path"),
            url=self.text("url"),
            bytes=self.number("bytes"),
            about=self.number("about"),
            sha256=self.digest("sha256"),
            md5=self.digest("md5"),
            optional=self.flag("optional"),
            token=self.flag("token"),
            extract=None if extract is None else _Reader(f"{self.where}, extract", extract).extract(),
        )
        try:
            checked(file.url)
        except InputError as err:
            raise self.wrong(f"url: {err}") from None
        if file.extract is not None and not file.path.lower().endswith((".zip", ".tar.gz", ".tgz", ".tar")):
            raise self.wrong(f"extract: {file.path!r} is no .zip, .tar.gz, .tgz or .tar")
        if "numbers" not in self.table:
            yield file
            return
        if file.sha256 or file.md5 or file.extract or file.bytes is not None:
            raise self.wrong("numbers: bytes, sha256, md5 and extract are of one file; list the files one by one")
        if "{}" not in file.path or "{}" not in file.url:
            raise self.wrong("numbers: path and url need {} where the number goes")
        for number, digits in self.numbers():
            path, url = file.path.replace("{}", digits), file.url.replace("{}", digits)
            yield replace(file, path=path, url=url, number=number)

    def numbers(self) -> Iterator[tuple[int, str]]:
        text = self.text("numbers")
        match = re.fullmatch(r"([0-9]{1,9})-([0-9]{1,9})", text)
        if match is None or int(match[2]) < int(match[1]):
            raise self.wrong(f"numbers: {text!r} is not a range such as 01-63")
        width = len(match[1])
        for number in range(int(match[1]), int(match[2]) + 1):
            yield number, f"{number:0{width}}"

    def extract(self) -> Extract:
        self.only(_EXTRACT)
        try:
            parts = re.compile(self.text("parts"))
        except re.error as err:
            raise self.wrong(f"parts: not a regular expression: {err}") from None
        return Extract(
            folder=self.folder("folder"),
            parts=parts,
            into=self.folder("into", ""),
            members=self.number("members"),
            about=self.number("about"),
        )
