"""Rows of ``licenses.csv``: one by one with every check, or many at a time where all are as they should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np

from tol_db.db.bulk import uuid_blob
from tol_db.ingest.image_ids import Ints
from tol_db.ingest.text_files import CsvTable, TextInput, shown

COLUMNS: Final = (
    *("treeoflife_id", "eol_content_id", "eol_page_id", "md5", "medium_source_url"),
    *("eol_full_size_copy_url", "license_name", "copyright_owner", "license_link", "title"),
)
NOT_GIVEN: Final = -1
BLOCK: Final = 4_000
"""Rows that are looked up at a time."""
_LONGEST_NUMBER: Final = 18
"""Digits that surely fit SQLite's integers."""

Row = tuple[int, bytes, int | None, int | None, bytes | None, str, str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows, column by column.

    Attributes:
        ids: TreeOfLife ids, 16 bytes each, one after the other.
        contents, pages: shape (rows,); ``NOT_GIVEN`` where the field is empty.
        md5: None where it is not given.
        medium, full, names, owners, links, titles: texts.
    """

    ids: bytes
    contents: Ints
    pages: Ints
    md5: Sequence[bytes | None]
    medium: Sequence[str]
    full: Sequence[str]
    names: Sequence[str]
    owners: Sequence[str]
    links: Sequence[str]
    titles: Sequence[str]

    def __len__(self) -> int:
        return len(self.md5)


def rows(file: TextInput) -> Iterator[Row]:
    """Line, id, content id, page id, md5, medium_source_url, eol_full_size_copy_url, name, owner, link, title.

    Raises:
        InputError: not such a CSV; an id, number or md5 that is none.
    """
    for line, values in CsvTable(file).rows(COLUMNS):
        yield _row(file, line, values)


def blocks(file: TextInput) -> Iterator[Block]:
    """The same rows in blocks, checked as strictly, in half the time.

    Raises:
        InputError: as :func:`rows`.
    """
    records = CsvTable(file).rows(COLUMNS)
    while some := list(islice(records, BLOCK)):
        yield _block([values for _, values in some]) or _block_by_rows(
            [_row(file, line, values) for line, values in some]
        )


def _block(values: list[list[str]]) -> Block | None:
    """None where a field is empty or wrong, or written in one of the rarer ways."""
    ids, contents, pages, md5, medium, full, names, owners, links, titles = zip(*values, strict=True)
    blobs, digests = _uuids(ids), _hex(md5, 32)
    content, page = _numbers(contents), _numbers(pages)
    if blobs is None or digests is None or content is None or page is None:
        return None
    split = [digests[at : at + 16] for at in range(0, len(digests), 16)]
    return Block(blobs, content, page, split, medium, full, names, owners, links, titles)


def _block_by_rows(some: list[Row]) -> Block:
    _, ids, contents, pages, md5, *texts = zip(*some, strict=True)
    return Block(b"".join(ids), _given(contents), _given(pages), md5, *texts)


def _given(numbers: Sequence[int | None]) -> Ints:
    return np.array([NOT_GIVEN if number is None else number for number in numbers], np.int64)


def _uuids(texts: Sequence[str]) -> bytes | None:
    if set(map(len, texts)) != {36}:
        return None
    joined = "".join(texts)
    if not joined.isascii():
        return None
    signs = np.frombuffer(joined.encode("ascii"), np.uint8).reshape(-1, 36)
    if (signs[:, (8, 13, 18, 23)] != ord("-")).any():
        return None
    return _hex([joined.replace("-", "")], 32 * len(texts))


def _hex(texts: Sequence[str], length: int) -> bytes | None:
    """The bytes of texts of so many hex digits each."""
    if set(map(len, texts)) != {length}:
        return None
    try:
        found = bytes.fromhex("".join(texts))
    except ValueError:
        return None
    return found if 2 * len(found) == length * len(texts) else None  # fromhex passes over blanks


def _numbers(texts: Sequence[str]) -> Ints | None:
    joined = "".join(texts)
    if not (joined.isdigit() and joined.isascii() and all(texts) and max(map(len, texts)) <= _LONGEST_NUMBER):
        return None
    return np.array(list(map(int, texts)), np.int64)


def _row(file: TextInput, line: int, values: list[str]) -> Row:
    treeoflife_id, content_id, page_id, md5, medium, full, name, owner, link, title = values
    blob = uuid_blob(treeoflife_id)
    if blob is None:
        raise file.error(line, f"treeoflife_id {shown(treeoflife_id)} is not a uuid", "mend the file")
    content = _number(file, line, "eol_content_id", content_id)
    page = _number(file, line, "eol_page_id", page_id)
    return (line, blob, content, page, _md5(file, line, md5), medium, full, name, owner, link, title)


def _number(file: TextInput, line: int, column: str, text: str) -> int | None:
    if not text:
        return None
    if not (text.isdigit() and text.isascii() and len(text) <= _LONGEST_NUMBER):
        raise file.error(line, f"{column} {shown(text)} is not a number", "mend the file, or leave it empty")
    return int(text)


def _md5(file: TextInput, line: int, text: str) -> bytes | None:
    if text in ("", "not provided"):
        return None
    try:
        digest = bytes.fromhex(text) if len(text) == 32 else b""
    except ValueError:
        digest = b""
    if len(digest) != 16:
        raise file.error(line, f"md5 {shown(text)} is not 32 hex digits", "mend the file, or leave it empty")
    return digest
