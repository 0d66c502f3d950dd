"""The audits of a page: as many as answer within the time that is allowed for them."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

import sqlalchemy as sa

from tol_db.audit.runner import Audit, load, run
from tol_db.db.engine import raw

SECONDS = 20.0
"""That all audits together may take."""
SHARE = 5.0
"""Seconds of these that one of them may take."""
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
    """Ask every audit, those that must be empty first; at most ``seconds`` in all, 0: ask none.

    At millions of images some take longer than a page may; `tol-db report audit` gives each its time.
    """
    driver = raw(conn)
    deadline = time.monotonic() + seconds
    found = []
    for audit in load():
        end = min(deadline, time.monotonic() + SHARE)
        driver.set_progress_handler(lambda end=end: time.monotonic() > end, _STEPS)  # type: ignore[misc]
        try:
            rows = run(conn, audit, 0).total if time.monotonic() < deadline else None
        except sqlite3.OperationalError as err:
            if "interrupted" not in str(err):
                raise
            rows = None
        finally:
            driver.set_progress_handler(None, 0)
        found.append(Check(audit, rows))
    return tuple(found)
