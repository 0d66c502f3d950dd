"""Which licences a dataset admits.

A licence is told by its family, the name without its version: ``cc-by-4.0`` and ``cc-by`` are both ``cc-by``.
The views ``v_licence`` and ``v_source_licence`` say so; ``v_dataset_licence`` holds what the words of a dataset
(``dataset_licence``) admit today, so that licences which come later are met too. An image without a row in
``image_licence`` stands under the licence of its source, and under ``unknown`` where the source has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import query
from tol_db.errors import UsageError

UNKNOWN: Final = "unknown"
"""The family of images of which no licence is known."""
FAMILIES: Final = (
    *("cc0", "cc-by", "cc-by-nc", "cc-by-nc-nd", "cc-by-nc-sa", "cc-by-nd", "cc-by-sa"),
    *("public-domain", "no-known-copyright-restrictions", UNKNOWN),
)
"""Families that can be named before any image has one."""
_OTHER_SPELLINGS: Final = {
    **{"cc-0": "cc0", "cc-zero": "cc0", "pd": "public-domain", "not-provided": UNKNOWN, "none": UNKNOWN},
}

_KNOWN: Final = """
SELECT key, spelled FROM v_licence UNION SELECT key, spelled FROM v_source_licence ORDER BY 1, 2"""

_ALL: Final = """
SELECT licence_id, name, key, spelled FROM v_licence
UNION ALL SELECT -source_id, name, key, spelled FROM v_source_licence"""


@dataclass(frozen=True, slots=True)
class Admission:
    """What words admit. A number is the id of a licence, or minus the id of a source for what stands under its.

    Attributes:
        admitted: numbers of what is let in.
        names: number → name, of all.
    """

    admitted: frozenset[int]
    names: dict[int, str]


def parse_words(texts: Iterable[str]) -> tuple[str, ...]:
    """The words of ``--license cc-by,cc0 --license cc-by-sa``: one spelling, sorted, each once.

    Raises:
        UsageError: there is an empty one.
    """
    words = {spelled(word) for text in texts for word in text.split(",")}
    if "" in words:
        raise UsageError("--license: an empty word", hint="such as --license cc-by,cc0")
    return tuple(sorted(words))


def spelled(word: str) -> str:
    """A word as the views spell it: lower case, hyphens for blanks and underscores."""
    word = word.strip().lower().replace(" ", "-").replace("_", "-")
    return _OTHER_SPELLINGS.get(word, word)


def require_known(conn: sa.Connection, words: Sequence[str]) -> None:
    """Check that each word is a family or a licence of this database.

    Raises:
        UsageError: one is neither.
    """
    rows = list(query(conn, _KNOWN))
    known = {name for row in rows for name in row} | set(FAMILIES)
    for word in words:
        if word not in known:
            families = sorted({key for key, _ in rows} | set(FAMILIES))
            raise UsageError(f"--license: no licence {word!r}", hint=f"licences: {', '.join(families)}")


def admission(conn: sa.Connection, words: Sequence[str]) -> Admission:
    """What words admit today."""
    names: dict[int, str] = {}
    admitted = set()
    for number, name, key, spelling in query(conn, _ALL):
        names[number] = name
        if key in words or spelling in words:
            admitted.add(number)
    return Admission(frozenset(admitted), names)


def bound_words(conn: sa.Connection, dataset: int) -> tuple[str, ...]:
    """The licences that a dataset was planned with; empty: all."""
    sql = "SELECT word FROM dataset_licence WHERE dataset_id = ? ORDER BY word"
    return tuple(word for (word,) in query(conn, sql, (dataset,)))
