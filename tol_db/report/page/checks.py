"""The audits of a page: as many as answer within the time that is allowed for them."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

import sqlalchemy as sa

from tol_db.audit.runner import Audit, load, run
from tol_db.db.engine import raw

SECONDS = 15.0
"""That all audits together may take."""
QUICK = 0.25
"""Seconds that each has in the first round, so that a slow one leaves the quick ones their time."""
SHARE = 5.0
"""Seconds that each of the others has in the second."""
_STEPS = 20_000  # of SQLite's virtual machine between two looks at the clock: some 0.2 ms


@dataclass(frozen=True, slots=True)
class Check:
    """An audit and how many rows its answer has; ``rows`` is None where the time was not enough to know."""

    audit: Audit
    rows: int | None

    @property
    def verdict(self) -> str:
        """``passed``, ``failed``, ``told`` (it may have rows), or ``unknown``."""
        if self.rows is None:
            return "unknown"
        if not self.audit.must_be_empty:
            return "told"
        return "failed" if self.rows else "passed"


def checks(conn: sa.Connection, seconds: float = SECONDS) -> tuple[Check, ...]:
    """Ask every audit; at most ``seconds`` in all, 0: ask none.

    At millions of images some take longer than a page may; `tol-db report audit` gives each its time.
    """
    deadline = time.monotonic() + seconds
    rows: dict[str, int | None] = {}
    for share in (QUICK, SHARE):
        for audit in load():
            if rows.get(audit.name) is None:
                rows[audit.name] = _rows(conn, audit, min(deadline, time.monotonic() + share))
    return tuple(Check(audit, rows[audit.name]) for audit in load())


def _rows(conn: sa.Connection, audit: Audit, deadline: float) -> int | None:
    """How many rows its answer has, or None where it has not answered by then."""
    if time.monotonic() >= deadline:
        return None
    driver = raw(conn)
    driver.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        return run(conn, audit, 0).total
    except sqlite3.OperationalError as err:
        if "interrupted" not in str(err):
            raise
        return None
    finally:
        driver.set_progress_handler(None, 0)
