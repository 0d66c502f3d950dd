"""taxon.tab of EOL's Dynamic Hierarchy: Darwin Core terms in a tab-delimited table, as TreeOfLife-10M ships it."""

from __future__ import annotations

from collections.abc import Iterator

from tol_db.taxonomy.formats.darwin_core import taxa
from tol_db.taxonomy.formats.rows import Files, Notes, Row, require_file, the_only_file
from tol_db.taxonomy.formats.table import Table, tabbed

FILES = ("taxon.tab",)


def read(files: Files, notes: Notes) -> Iterator[Row]:
    """Rows of taxon.tab, or of a folder that holds it."""
    file = the_only_file(files) or require_file(files, *FILES)
    return taxa(Table(files, notes, file, split=tabbed), file, notes)
