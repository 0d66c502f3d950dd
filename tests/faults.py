"""One fault in a run, the run again, and what must be the same then as if nothing had happened."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from materialize.steps import Step
from tests.running import DATASET, environment, plan, shards_of, tol_db

ROOT = Path(__file__).parents[1]
CHUNKS = ("--shard-images", "8")

ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EACCES")
"""With which a step fails."""
CRASHER = b"CRASHER "
"""Pictures that begin with this crash their reader, where ``tests.faulty`` is the main module; a word of four
letters says how. A path may follow: of a file that is made the first time, after which the picture is fine."""

LEDGER_STEPS = tuple(step for step in Step if step.startswith("ledger."))
ATTEMPT_STEPS = (Step.LEDGER_ATTEMPT, Step.LEDGER_END)
NOTE_STEPS = tuple(step for step in Step if step.startswith("note."))
FILE_STEPS = tuple(step for step in Step if step.startswith(("shard.", "receipt.")))

LOCAL = (*ATTEMPT_STEPS, *FILE_STEPS, *LEDGER_STEPS)
"""Steps that a run with the database takes."""
DETACHED = (*NOTE_STEPS, *FILE_STEPS, *LEDGER_STEPS)
"""Steps of a run that only leaves receipts, and of the `collect` after it."""

# after COMMIT there is no call that could fail
FALLIBLE = tuple(step for step in Step if step != Step.LEDGER_DONE)

_ERROR_OF = dict(zip(FALLIBLE, itertools.cycle(ERRORS), strict=False))
"""The one error of the default suite: each step has its own, so that all are tried somewhere."""
_TIMES = {Step.SHARD_WRITE: (1, 2, 6)}
"""Which time a step is reached the fault comes; the second, so that one shard is whole, unless said here."""

Fault = tuple[str, str, int]
"""Step, action, which time the step is reached."""


def one_fault_each(steps: tuple[Step, ...], *, errors: int = 1) -> list[Fault]:
    """Each step × {SIGKILL of everything, one error}; errors of every second step alone with ``errors=2``."""
    killed = [(step, "kill", nth) for step in steps for nth in _TIMES.get(step, (2,))]
    failing = [step for step in steps if step in _ERROR_OF][::errors]
    return [*killed, *((step, _ERROR_OF[step], 2) for step in failing)]


def all_faults(steps: tuple[Step, ...]) -> list[Fault]:
    """Each step × all that can happen there × the first times it is reached."""
    ended = [(step, action, nth) for step in steps for action in ("kill", "kill-one", "term") for nth in (1, 2, 3)]
    failed = [(s, error, nth) for s in steps if s in _ERROR_OF for error in ERRORS for nth in (1, 2)]
    return [*ended, *failed]


TABLES = {
    "shard": """number, work_unit_id, split_id, ordinal, state, digest, planned, written, left_out, bytes, sha256,
        detail""",
    "shard_image": "*",
    "dataset_split": "*",
    "exclusion": "*",
    "work_unit": "*",
    "lease": "*",
}
"""What must be equal row by row: all but times and attempts."""


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A planned dataset whose shards are not written, and what a run without a fault makes of it.

    Attributes:
        db, out: a database and its output root, as planned; to be copied.
        shards: path → bytes; rows: table → rows.
    """

    db: Path
    out: Path
    shards: dict[str, bytes]
    rows: dict[str, list[tuple[object, ...]]]


def dump(db: Path) -> dict[str, list[tuple[object, ...]]]:
    with sqlite3.connect(db) as connection:
        return {
            table: sorted(connection.execute(f"SELECT {columns} FROM {table}").fetchall(), key=repr)
            for table, columns in TABLES.items()
        }


def undisturbed(ingested: Path, folder: Path) -> Undisturbed:
    """Plan a copy of an ingested database, keep it, and write its shards elsewhere."""
    kept = folder / "kept"
    kept.mkdir()
    db = Path(shutil.copy(ingested, kept / "tol.sqlite"))
    plan(db, kept / "out", "clean", *CHUNKS)
    db_done, out_done = copy_of(db, kept / "out", folder / "done")
    tol_db(db_done, "materialize", "--workers", 1)
    return Undisturbed(db, kept / "out", shards_of(out_done), dump(db_done))


def copy_of(db: Path, out: Path, folder: Path) -> tuple[Path, Path]:
    """A copy of a planned dataset in a folder of its own."""
    folder.mkdir(exist_ok=True)
    copy, root = Path(shutil.copy(db, folder / "tol.sqlite")), folder / "out"
    shutil.copytree(out, root)
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("UPDATE dataset SET output_root = ?", (str(root),))
    return copy, root


def faulty(db: Path, fault: str, *words: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command with a fault in it, in a process group of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tests.faulty", "--db", str(db), *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(FAULT=fault),
        start_new_session=True,
        timeout=timeout,
        check=False,
    )


def try_fault(
    base: Undisturbed, folder: Path, step: str, action: str, nth: int, *, detached: bool, workers: int = 1
) -> None:
    """Have a fault, run again, and compare with the run that had none."""
    db, out = copy_of(base.db, base.out, folder)
    foreign = out / "224x224" / "train" / "notes.txt"
    foreign.parent.mkdir(parents=True, exist_ok=True)
    foreign.write_text("mine")
    flag = folder / "fault-happened"
    fault = f"{step}:{action}:{nth}:{flag}"
    write = ("materialize", "--dataset", DATASET, "--workers", workers)
    commands = ((*write, "--receipts-only"), ("collect",)) if detached else (write,)
    for command in commands:
        done = faulty(db, fault, *command)
        told = f"{command} with {fault}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, told
        assert "internal error" not in done.stderr, told
        assert done.returncode in (0, 1, 73, 75, -9), told
        assert flag.exists() or done.returncode in (0, 1), told
        check_nothing_false(db, out, base)
    assert flag.exists(), f"{fault} was never reached"
    for command in commands:
        tol_db(db, *command)
    check_equal(db, out, base)
    assert foreign.read_text() == "mine"


def check_nothing_false(db: Path, out: Path, base: Undisturbed) -> None:
    """Whatever has happened: what has a final name is whole, and the database says "done" of nothing else."""
    for path, data in shards_of(out).items():
        assert data == base.shards[path], path
    with sqlite3.connect(db) as connection:
        done = connection.execute(
            """SELECT '224x224/' || s.name || printf('/shard-%06d.tar', h.ordinal)
               FROM shard h JOIN split s ON s.id = h.split_id WHERE h.state IN ('complete', 'verified')"""
        ).fetchall()
    assert {row[0] for row in done} <= set(shards_of(out))


def check_equal(db: Path, out: Path, base: Undisturbed) -> None:
    assert shards_of(out) == base.shards
    assert dump(db) == base.rows
    left = [str(p) for p in out.rglob("*") if p.name.endswith(".partial") or ".bad-" in p.name or ".old-" in p.name]
    assert not left
    assert not list((out / "_receipts").glob("attempt-*"))
