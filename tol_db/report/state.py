"""What state a database is in, in a few lines, and what one would do next: the answer of `tol-db` alone.

Only small tables are read, and by the driver itself: SQLAlchemy alone would take longer to import than all of this.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tol_db.db.scripts import newest_revision
from tol_db.db.uri import file_uri, log_beside

COUNTED = 1_000_000
"""Images that are counted; of more it is told about how many there are."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command, without ``tol-db`` and ``--db``, and what it is good for."""

    command: str
    why: str


@dataclass(frozen=True, slots=True)
class State:
    """``facts`` are names and values; ``next`` is what one would do, the most useful first."""

    facts: tuple[tuple[str, str], ...]
    next: tuple[Step, ...]


def look(path: Path) -> State:
    """The state of the database at ``path``, also of one that is not there.

    Raises:
        NotADatabase, SchemaError: a file that is none of ours, or of a version to come.
    """
    if not path.exists():
        first = Step("init", "make it"), Step("demo", "or first see the whole path on a small generated tree")
        return State((("database", f"{path}: not there yet"),), first)
    state = _at_once(path)
    return _after_a_closer_look(path) if state is None else state


def _at_once(path: Path) -> State | None:
    """The state of a database as it should be: ours, of this version, and nothing to be put right first."""
    uri = file_uri(path, mode="ro") if log_beside(path) else file_uri(path, immutable=1)
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=1.0)) as connection:
            if _one(connection, "SELECT version_num FROM alembic_version") == newest_revision():
                return _state(path, connection)
    except (sqlite3.Error, UnicodeDecodeError):
        pass  # the closer look tells what is wrong
    return None


def _after_a_closer_look(path: Path) -> State:
    from tol_db.db.base import REVISIONS
    from tol_db.db.engine import open_database, raw, revision_of

    found = revision_of(path)
    if found in REVISIONS[:-1]:
        steps = Step("backup FILE", "a copy, to be sure"), Step("upgrade", f"to schema {REVISIONS[-1]}")
        return State((("database", f"{path}: schema {found}, of an older version"),), steps)
    with open_database(path, readonly=True).read() as conn:
        return _state(path, raw(conn))


def _state(path: Path, conn: sqlite3.Connection) -> State:
    rows = conn.execute("SELECT id, name FROM dataset ORDER BY name").fetchall()
    datasets = [_Dataset.read(conn, *row) for row in rows]
    facts = [("database", str(path)), *_holds(conn), *(dataset.fact() for dataset in datasets)]
    steps = tuple(step for dataset in datasets for step in dataset.steps()) or tuple(_first_steps(conn))
    return State(tuple(facts), steps)


def _one(conn: sqlite3.Connection, sql: str, parameters: tuple[object, ...] = ()) -> Any:
    """The first column of the first row, or None."""
    row = conn.execute(sql, parameters).fetchone()
    return row[0] if row else None


def _holds(conn: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """What there is before any dataset."""
    last = _one(conn, "SELECT coalesce(max(id), 0) FROM image")
    counted = _one(conn, "SELECT count(*) FROM image") if last <= COUNTED else last
    yield "images", f"{counted:,}" if last <= COUNTED else f"about {counted / 1e6:,.1f} million"
    states = dict(conn.execute("SELECT state, count(*) FROM container GROUP BY state"))
    if states:
        told = (f"{number:,} {state}" for state, number in sorted(states.items(), key=lambda each: -each[1]))
        yield "containers", ", ".join(told)
    for table, name in (("split", "splits"), ("blacklist", "blacklists")):
        names = [row[0] for row in conn.execute(f"SELECT name FROM {table} ORDER BY id")]  # noqa: S608
        if names:
            yield name, ", ".join(names)
    taxonomies = dict(conn.execute(_TAXONOMIES))
    if taxonomies:
        yield "taxonomies", f"{', '.join(taxonomies)}; labels resolved by {_labelled_by(conn) or 'none of them'}"


_TAXONOMIES = """
SELECT name || '@' || version, id FROM taxonomy WHERE kind = 'assembled' OR priority IS NOT NULL
ORDER BY kind = 'assembled', priority, id"""


def _labelled_by(conn: sqlite3.Connection) -> str | None:
    """The taxonomy that resolved labels; of several the newest."""
    sql = """SELECT name || '@' || version FROM taxonomy t
             WHERE EXISTS (SELECT 1 FROM label_resolution WHERE taxonomy_id = t.id) ORDER BY id DESC"""
    found: str | None = _one(conn, sql)
    return found


def _steps_of_names(conn: sqlite3.Connection) -> Iterator[Step]:
    """From source taxonomies to labels; nothing where there are none, since published labels do as well."""
    source = _one(conn, "SELECT coalesce(max(id), 0) FROM taxonomy WHERE kind = 'source' AND priority IS NOT NULL")
    made = _one(conn, "SELECT coalesce(max(id), 0) FROM taxonomy WHERE kind = 'assembled'")
    if source > made:
        name = _one(conn, "SELECT name FROM taxonomy WHERE id = ?", (made,)) or "NAME"
        yield Step(f"taxonomy assemble {name}", "one taxonomy out of the sources, by priority")
    elif made and not _one(conn, "SELECT EXISTS (SELECT 1 FROM label_resolution WHERE taxonomy_id = ?)", (made,)):
        yield Step("label", "give images the labels of the taxonomy; `label --published` goes back")
    elif made and _one(conn, _PUBLISHED_SINCE, (made,)):
        yield Step("label", "resolve the labels that were published since it last ran, too")


_PUBLISHED_SINCE = """
SELECT EXISTS (SELECT 1 FROM label WHERE resolution <> 'resolved'
               AND id > (SELECT max(label_id) FROM label_resolution WHERE taxonomy_id = ?))"""


def _first_steps(conn: sqlite3.Connection) -> Iterator[Step]:
    """Up to the first plan."""
    if not _one(conn, "SELECT EXISTS (SELECT 1 FROM image)"):
        yield Step("fetch metadata DIR", "the files, where they are not there yet (and eol, inat21, bioscan)")
        yield Step("ingest tol10m DIR", "read a TreeOfLife-10M tree; raw folders: ingest eol|inat21|bioscan DIR")
        return
    if not _one(conn, "SELECT EXISTS (SELECT 1 FROM container WHERE state = 'scanned')"):
        yield Step("ingest containers DIR", "find the images in archives and folders")
    yield from _steps_of_names(conn)
    splits = [row[0] for row in conn.execute("SELECT name FROM split ORDER BY id")]
    if not splits:
        yield Step("split val --fraction 0.05", "and then: split train --except val")
        return
    if not _one(conn, "SELECT EXISTS (SELECT 1 FROM blacklist)"):
        yield Step("ingest blacklist NAME --images FILE --species FILE", "what must stay out, if anything")
    chosen = " ".join(f"--split {split}" for split in splits)
    yield Step(f"plan OUT --dataset NAME {chosen}", "fix which image goes to which shard")


@dataclass(frozen=True, slots=True)
class _Dataset:
    """A dataset in numbers; ``shards`` by state, ``pending`` in images."""

    name: str
    shards: dict[str, int]
    planned: int
    written: int
    pending: int
    worker: str | None
    at_cluster: bool

    @classmethod
    def read(cls, conn: sqlite3.Connection, id: int, name: str) -> _Dataset:
        shards = dict(conn.execute("SELECT state, count(*) FROM shard WHERE dataset_id = ? GROUP BY state", (id,)))
        sums = """SELECT coalesce(sum(planned), 0), coalesce(sum(written), 0), coalesce(sum(left_out), 0)
                  FROM dataset_split WHERE dataset_id = ?"""
        planned, written, left_out = next(conn.execute(sums, (id,)))
        submitted = _one(conn, "SELECT EXISTS (SELECT 1 FROM submission WHERE dataset_id = ?)", (id,))
        pending = planned - written - left_out
        return cls(name, shards, planned, written, pending, _worker(conn, name), bool(submitted))

    def count(self, *states: str) -> int:
        return sum(self.shards.get(state, 0) for state in states)

    def fact(self) -> tuple[str, str]:
        done, spoilt = self.count("complete", "verified"), self.count("bad", "missing")
        told = f"{done:,} of {sum(self.shards.values()):,} shards, {self.written:,} of {self.planned:,} images"
        wrong = f", {spoilt:,} shards bad or missing" if spoilt else ""
        return f"dataset {self.name}", told + wrong + (f", at work: {self.worker}" if self.worker else "")

    def steps(self) -> Sequence[Step]:
        of = f"--dataset {self.name}"
        if self.worker:
            return [Step(f"report status {of}", "how far it is")]
        steps = []
        if self.count("bad", "missing"):
            steps.append(Step(f"verify {of} --repair", "set bad shards aside; what they held is pending"))
        if self.pending:
            if self.at_cluster:
                steps.append(Step(f"slurm status {of}", "what its jobs are doing"))
            steps.append(Step(f"materialize {of}", f"write what is pending: {self.pending:,} images"))
            if not self.at_cluster:
                steps.append(Step(f"slurm submit {of}", "or have a cluster write it"))
        elif not steps:
            if self.count("complete"):
                steps.append(Step(f"verify {of}", "are the files what the database says?"))
            steps.append(Step(f"report status {of}", "what was left out, and what has changed since"))
            steps.append(Step(f"export catalog {of} -o catalog.csv", "for training code, as export sizes"))
        return steps


def _worker(conn: sqlite3.Connection, dataset: str) -> str | None:
    """Who works on a dataset now."""
    sql = """SELECT l.token, l.host, l.pid, l.slurm_job_id, l.heartbeat_at
             FROM lease l JOIN dataset d ON d.id = l.dataset_id WHERE d.name = ?"""
    for token, host, pid, job, heartbeat in conn.execute(sql, (dataset,)):
        from tol_db.db.holders import Held, Holder

        if Held(dataset, Holder(token, host, pid, job), heartbeat).is_alive():
            return f"process {pid} on {host}"
    return None
