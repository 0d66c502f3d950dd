"""Runs the questions that stand in ``queries/*.sql``.

A question is a file: lines ``-- key: value``, a blank line, and one SELECT that also runs as it is in the sqlite3
shell. The keys are title, answers, row, empty (must, may) and invariant (yes, no), in this order; then ``when``
(when it is empty) of those that may have rows, and ``slow`` (why it is) of those that take their time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import sqlalchemy as sa

from tol_db.db.engine import raw
from tol_db.errors import UsageError, did_you_mean

_KEYS = ("title", "answers", "row", "empty", "invariant")
_MORE_KEYS = ("when", "slow")


@dataclass(frozen=True, slots=True)
class Audit:
    """A question to the database.

    Attributes:
        name: of its file.
        title: a few words; of an invariant, what must hold.
        answers: the question.
        row: what a row of the answer means.
        must_be_empty: a row is a fault.
        invariant: `tol-db doctor` asks it.
        empty_when: what has to be so that no row is found; None: it has to be empty always.
        slow: why it takes more than 10 s at ten million images; None: it does not.
        sql: one SELECT without parameters.
    """

    name: str
    title: str
    answers: str
    row: str
    must_be_empty: bool
    invariant: bool
    empty_when: str | None
    slow: str | None
    sql: str


@dataclass(frozen=True, slots=True)
class AuditResult:
    """An answer.

    Attributes:
        columns: their names.
        rows: the first ``limit`` rows, in the order of the columns.
        total: rows in all.
        seconds: how long it took.
    """

    audit: Audit
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    total: int
    seconds: float

    @property
    def is_fault(self) -> bool:
        return self.audit.must_be_empty and self.total > 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of an answer as the database finds them, for those too many to hold."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


@cache
def _load() -> tuple[Audit, ...]:
    folder = files("tol_db.audit") / "queries"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    audits = [parse(entry.name.removesuffix(".sql"), entry.read_text(encoding="utf-8")) for entry in found]
    return tuple(sorted(audits, key=lambda audit: (not audit.must_be_empty, audit.name)))


def load() -> list[Audit]:
    """All audits: first those that must be empty, then the informative ones; by name."""
    return list(_load())


def parse(name: str, text: str) -> Audit:
    """The audit of a file.

    Raises:
        ValueError: its header is not complete. The files are part of the program, so this is a fault of ours.
    """
    head, _, sql = text.partition("\n\n")
    lines = [line.removeprefix("-- ").partition(": ") for line in head.splitlines()]
    header = {key: value for key, _, value in lines}
    wanted = (*_KEYS, *(key for key in _MORE_KEYS if key in header))
    if (
        tuple(header) != wanted
        or header["empty"] not in ("must", "may")
        or header["invariant"] not in ("yes", "no")
    ):
        raise ValueError(f"{name}.sql: its header must be {', '.join(_KEYS)}, in this order")
    if (header["empty"] == "may") != ("when" in header):
        raise ValueError(f"{name}.sql: it says when it is empty where it may be otherwise, and only there")
    return Audit(
        name=name,
        title=header["title"],
        answers=header["answers"],
        row=header["row"],
        must_be_empty=header["empty"] == "must",
        invariant=header["invariant"] == "yes",
        empty_when=header.get("when"),
        slow=header.get("slow"),
        sql=sql.strip(),
    )


def find(name: str) -> Audit:
    """The audit of a name.

    Raises:
        UsageError: there is none; the hint names those that come close.
    """
    audits = {audit.name: audit for audit in _load()}
    if name in audits:
        return audits[name]
    raise UsageError(f"no audit {name!r}", hint=did_you_mean(name, audits, "`tol-db report audit` lists them"))


def run(conn: sa.Connection, audit: Audit, limit: int | None = None) -> AuditResult:
    """Ask, keep the first ``limit`` rows (None: all), count the others."""
    begin = time.monotonic()
    answer = stream(conn, audit)
    kept: list[tuple[Any, ...]] = []
    total = 0
    for row in answer.rows:
        total += 1
        if limit is None or total <= limit:
            kept.append(row)
    return AuditResult(audit, answer.columns, tuple(kept), total, time.monotonic() - begin)


def stream(conn: sa.Connection, audit: Audit) -> Answer:
    """Ask, and hand out the rows one by one while the transaction lasts."""
    cursor = raw(conn).execute(audit.sql)
    return Answer(tuple(column[0] for column in cursor.description), cursor)
