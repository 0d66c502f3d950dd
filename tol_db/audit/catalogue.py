"""The page ``docs/audits.md``, from the headers of the audits.

Make it anew with ``python -m tol_db.audit.catalogue > docs/audits.md``; a test holds the two equal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from tol_db.audit.runner import Audit, load

_INTRODUCTION = """\
# Audits

Questions to the database, each a file of `tol_db/audit/queries` that also runs as it is in the sqlite3 shell:

```console
$ tol-db report audit                                     # this list
$ tol-db report audit images_without_file --limit 5
$ tol-db report audit --all --limit 0                     # exit 1 when one that must be empty is not
$ tol-db report audit unplanned_images --csv > unplanned.csv
$ tol-db report audit --all --csv --output audits         # audits/NAME.csv
$ sqlite3 -readonly "$TOL_DB" < tol_db/audit/queries/shard_numbers.sql
```

`--json` gives columns and rows. At ten million images each answers within ten seconds on one core, unless it says
why not. This page is made from the headers of the files (`python -m tol_db.audit.catalogue`).
"""

_PARTS = (
    ("Invariants", "Must be empty, always: a row is a fault of the database. `tol-db doctor` asks these too."),
    ("Must be empty", "A row is no damage to the database, but something that nobody wants in a dataset."),
    ("To look at", "What there is, what is missing, what differs. Rows are no fault."),
)


def catalogue(audits: Sequence[Audit]) -> str:
    """The page: a part for each kind of audit, an entry for each audit in the order given."""
    parts = [_INTRODUCTION]
    for number, (title, told) in enumerate(_PARTS):
        entries = "\n".join(_entry(audit) for audit in audits if _part(audit) == number)
        parts.append(f"## {title}\n\n{told}\n\n{entries}")
    return "\n".join(parts)


def _part(audit: Audit) -> int:
    if audit.invariant:
        return 0
    return 1 if audit.must_be_empty else 2


def _entry(audit: Audit) -> str:
    return f"### {audit.name}\n\n" + "\n".join(_lines(audit)) + "\n"


def _lines(audit: Audit) -> Iterator[str]:
    yield f"{audit.title}.\n"
    yield f"- answers: {audit.answers}"
    yield f"- a row is: {audit.row}"
    if audit.empty_when is not None:
        yield f"- empty when: {audit.empty_when}"
    if audit.slow is not None:
        yield f"- slow: {audit.slow}"


if __name__ == "__main__":
    sys.stdout.write(catalogue(load()))
