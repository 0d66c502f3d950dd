"""`taxonomy assemble`: load the sources from the database, assemble, store the result as a taxonomy of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tol_db.blacklist_names import refresh_blacklist_names
from tol_db.db.bulk import no_cycles
from tol_db.db.engine import Database, entering
from tol_db.errors import NameTaken, UsageError
from tol_db.ingest.taxonomy import ingest_taxonomy
from tol_db.taxonomy import curation, store
from tol_db.taxonomy.assemble import Assembly, assemble
from tol_db.taxonomy.load import load
from tol_db.taxonomy.source import SourceTaxonomy
from tol_db.taxonomy.store import Inputs, Stored
from tol_db.taxonomy.tree import Names
from tol_db.taxonomy.workspace import SEPARATION

SEPARATION_TREE: Final = Path(__file__).resolve().parents[1] / "taxonomy" / "separation_tree"
"""The separation tree that comes with tol-db."""

_MANY_GROUPS: Final = 2_000
"""Each group is held against each other."""


@dataclass(frozen=True, slots=True)
class AssembledResult:
    """What an assembly brought.

    Attributes:
        unchanged: the newest version of that name is the same.
        name: with its version.
        inputs: names with versions, in order of priority.
        taxa, synonyms: of the result.
        left_out: source taxa that are no taxa of it, by reason.
        forwards, retired_ids: of the previous assembly.
        unmatched: curation instructions that met nothing, with file and line.
        seconds: wall time.
    """

    unchanged: bool
    name: str
    inputs: tuple[str, ...]
    taxa: int
    synonyms: int
    left_out: dict[str, int]
    forwards: int
    retired_ids: int
    unmatched: tuple[str, ...]
    seconds: float

    def describe(self) -> list[str]:
        """Lines to print."""
        state = "unchanged, " if self.unchanged else ""
        lines = [
            f"{self.name}: {state}{self.taxa:,} taxa and {self.synonyms:,} synonyms from {', '.join(self.inputs)} "
            f"in {self.seconds:.1f} s"
        ]
        if self.left_out:
            told = ", ".join(f"{many:,} {reason}" for reason, many in self.left_out.items())
            lines.append(f"  left out: {told}")
        if self.forwards or self.retired_ids:
            lines.append(f"  previous ids: {self.forwards:,} forwards, {self.retired_ids:,} retired")
        if self.unmatched:
            lines.append(f"  {len(self.unmatched):,} instructions of curation met nothing; first:")
            lines += [f"    {text}" for text in self.unmatched[:3]]
        return lines


def assemble_taxonomy(
    db: Database,
    name: str,
    *,
    sources: Sequence[str] = (),
    separation: Path | None = None,
    previous: str | None = None,
    curated: Sequence[Path] = (),
    say: Callable[[str], None] = lambda _: None,
) -> AssembledResult:
    """Assemble source taxonomies into one, and store it as a new version.

    Args:
        name: of the result.
        sources: ``NAME`` or ``NAME@VERSION``, the one heard first before the others; empty: all that have a
            priority.
        separation: a folder in interim format; None: the tree that comes with tol-db.
        previous: an assembled taxonomy, or a folder in interim format, whose ids go on.
        curated: curation files.
        say: told what is being done.

    Raises:
        UsageError: no sources, or a name that is not there.
        NameTaken: a source has that name.
        InputError, InputMissing: a file is wrong or not there.
    """
    begun = time.monotonic()
    instructions = [one for path in curated for one in curation.read(path)]
    _check_name(db, name)
    folder = separation or SEPARATION_TREE
    separation_id = ingest_taxonomy(db, "interim", folder, name=SEPARATION, priority=None, rules=()).id
    previous_id = _previous(db, previous)
    names = Names()
    with db.read() as conn, no_cycles():
        groups = store.stored(conn, separation_id)
        if groups.taxa > _MANY_GROUPS:
            raise UsageError(
                f"{folder}: a tree of {groups.taxa:,} nodes is not one of major groups",
                hint=f"name some dozens, {_MANY_GROUPS:,} at most, that keep homonyms apart",
            )
        chosen = [one for one in store.sources_by_priority(conn, sources) if one.name != SEPARATION]
        if not chosen:
            raise UsageError("no source taxonomy to assemble", hint="tol-db ingest taxonomy FORMAT PATH --name … ")
        earlier = store.stored(conn, previous_id) if previous_id is not None else None
        loaded_previous = load(conn, earlier, names) if earlier else None
        assembly = assemble(
            names,
            load(conn, groups, names),
            _loaded(conn, chosen, names, say),
            previous=loaded_previous,
            instructions=instructions,
            say=say,
        )
    parameters = {
        "sources": [one.name for one in chosen],
        "curation": [f"{one} # {one.reason}" for one in instructions],
    }
    inputs = Inputs([groups, *chosen], earlier, parameters)
    with db.staging() as conn, entering(conn):
        taxonomy_id, is_new = store.save(conn, name, assembly, inputs, say)
        if is_new:  # what else a blacklisted species is called may have changed
            refresh_blacklist_names(conn)
        result = store.stored(conn, taxonomy_id)
    return _result(assembly, result, chosen, is_new, time.monotonic() - begun)


def _loaded(
    conn: sa.Connection, chosen: Sequence[Stored], names: Names, say: Callable[[str], None]
) -> Iterator[SourceTaxonomy]:
    for one in chosen:
        say(f"{one}: load {one.taxa:,} taxa")
        yield load(conn, one, names)


def _check_name(db: Database, name: str) -> None:
    if not name or "@" in name or ":" in name or any(c.isspace() for c in name):
        raise UsageError(f"{name!r} is no name for a taxonomy", hint="no blanks, no '@', no ':'")
    with db.read() as conn:
        if conn.exec_driver_sql("SELECT 1 FROM taxonomy WHERE name = ? AND kind = 'source'", (name,)).first():
            raise NameTaken(f"{name} is a source taxonomy", hint="give the result another name")


def _previous(db: Database, previous: str | None) -> int | None:
    """The id of the assembly whose ids go on; a folder is read into the database, so that it can be referred to."""
    if previous is None:
        return None
    with db.read() as conn:
        try:
            return store.find(conn, previous, "assembled").id
        except UsageError:
            if not Path(previous).is_dir():
                raise
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in Path(previous).resolve().name)
    return ingest_taxonomy(db, "interim", Path(previous), name=f"previous_{name}", priority=None, rules=()).id


def _result(
    assembly: Assembly, stored: Stored, chosen: Sequence[Stored], is_new: bool, seconds: float
) -> AssembledResult:
    left: dict[str, int] = {}
    for decision in assembly.decisions:
        if decision.outcome not in ("aligned", "new", "folded"):
            left[decision.outcome] = left.get(decision.outcome, 0) + 1
    return AssembledResult(
        not is_new,
        str(stored),
        tuple(map(str, chosen)),
        stored.taxa,
        len(assembly.tree.synonyms.node),
        dict(sorted(left.items())),
        len(assembly.forwards),
        sum(one.kind == "retired_id" for one in assembly.findings),
        tuple(f"{one.subject}: {one.detail}" for one in assembly.findings if one.kind == "unmatched_curation"),
        seconds,
    )
