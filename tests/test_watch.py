"""`report status --watch`: in place on a terminal, lines in a log, and gone without a trace at Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.populated import populated
from tests.running import environment, start, tol_db
from tol_db.db.bulk import changes
from tol_db.db.engine import Database
from tol_db.report.status import DatasetStatus, status
from tol_db.report.watch import is_done, plain_lines, progress_of

ALL_WRITTEN = "UPDATE dataset_split SET written = planned - left_out"
PATIENCE = 60


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return populated(tmp_path / "tol.sqlite")


def execute(db: Database, *statements: str) -> None:
    with db.write() as conn:
        for statement in statements:
            assert changes(conn, statement) > 0, statement


def of(db: Database) -> DatasetStatus:
    (found,) = status(db).datasets
    return found


# ------------------------------------------------------------------ what is told


def test_each_split_has_its_rate_and_no_split_takes_longer_than_all(db: Database) -> None:
    dataset = of(db)
    assert dataset.pace is not None
    told = {line.split: line for line in progress_of(dataset)}
    assert [(line.done, line.planned) for line in told.values()] == [(28, 28), (4, 8), (2, 4), (34, 40)]
    # 28, 4 and 2 images in the 20 s of the last run
    assert [line.per_second for line in told.values()] == [1.4, 0.2, 0.1, 1.7]
    assert told["train"].remaining_seconds == 0
    assert told["train_small"].remaining_seconds == told[None].remaining_seconds == dataset.pace.remaining_seconds


def test_a_split_that_is_slower_than_the_others_ends_with_them_and_a_fast_one_before(db: Database) -> None:
    execute(db, "UPDATE dataset_split SET planned = 29 WHERE split_id = 1")
    told = {line.split: line for line in progress_of(of(db))}
    assert told["train"].remaining_seconds == pytest.approx(1 / 1.4)
    assert told["val"].remaining_seconds == told[None].remaining_seconds


def test_without_a_run_there_is_neither_rate_nor_end(db: Database) -> None:
    execute(db, "UPDATE shard SET attempt_id = NULL")
    told = {line.split: line for line in progress_of(of(db))}
    assert told["val"].per_second is told["val"].remaining_seconds is told[None].per_second is None
    assert any(line.endswith("no pace yet, ? to go") for line in plain_lines(status(db)))


def test_a_dataset_of_one_split_has_one_line(db: Database) -> None:
    dataset = of(db)
    assert [line.split for line in progress_of(replace(dataset, splits=dataset.splits[:1]))] == ["train"]


def test_what_is_watched_is_done_when_nothing_is_pending(db: Database) -> None:
    assert not is_done(status(db))
    execute(db, ALL_WRITTEN)
    assert is_done(status(db))


# ------------------------------------------------------------------ in a log


def test_a_log_gets_lines_that_changed_until_all_is_written(db: Database) -> None:
    watching = start(db.path, "report", "status", "--watch", "--interval", 0.2)
    assert watching.stdout is not None
    first = [watching.stdout.readline() for _ in range(6)]
    assert "tol train: 28 of 28 images, 100.0 %" in first[0]
    assert "tol val: 2 of 4 images, 50.0 %, 0.1 images/s, 4 s to go" in first[2]
    assert "tol (all splits): 34 of 40 images, 85.0 %" in first[3]
    assert "failed: unit 1 on node2" in first[5]
    execute(db, ALL_WRITTEN)
    rest, complained = watching.communicate(timeout=PATIENCE)
    assert (watching.returncode, complained) == (0, "")
    told = [line.partition(" ")[2] for line in rest.splitlines()]
    assert "tol val: 4 of 4 images, 100.0 %" in told
    assert not any(line.startswith("tol train:") for line in told), "it had been told already"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_look_and_is_no_error(db: Database, number: int) -> None:
    watching = start(db.path, "report", "status", "--watch", "--interval", 30)
    assert watching.stdout is not None and "tol train" in watching.stdout.readline()
    watching.send_signal(number)
    _, complained = watching.communicate(timeout=PATIENCE)
    assert (watching.returncode, complained) == (0, "")


def test_json_is_a_line_for_each_look(db: Database) -> None:
    execute(db, ALL_WRITTEN)
    (line,) = tol_db(db.path, "report", "status", "--watch", "--json").stdout.splitlines()
    assert json.loads(line) == json.loads(tol_db(db.path, "report", "status", "--json").stdout)


def test_where_nothing_is_planned_there_is_nothing_to_watch(db: Database) -> None:
    execute(db, "DELETE FROM dataset")
    assert "no dataset is planned" in tol_db(db.path, "report", "status", "--watch").stdout


def test_a_watch_that_contradicts_itself_is_exit_2(db: Database) -> None:
    assert "--interval is for --watch" in tol_db(db.path, "report", "status", "--interval", 1, expect=2).stderr
    assert "leave out one" in tol_db(db.path, "report", "status", "--watch", "--check", expect=2).stderr


# ------------------------------------------------------------------ on a terminal


def test_a_terminal_is_drawn_on_in_place_and_left_in_order(db: Database) -> None:
    ours, theirs = pty.openpty()
    words = ("--db", str(db.path), "report", "status", "--watch", "--interval", "0.2")
    watching = subprocess.Popen(
        [sys.executable, "-m", "tol_db", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm", COLUMNS="90", LINES="30"),
        start_new_session=True,
    )
    os.close(theirs)
    shown = _read(ours, lambda text: text.count("looked at") >= 3)
    watching.send_signal(signal.SIGINT)
    shown += _read(ours, lambda text: False)
    os.close(ours)
    assert watching.wait(PATIENCE) == 0
    assert "train_small ━" in shown and "4 of 8" in shown and "0.2 images/s" in shown
    assert "\x1b[1A" in shown, "it goes up to where it began"
    assert shown.rstrip().endswith("\x1b[?25h"), "the cursor is back"
    assert "Traceback" not in shown and "error" not in shown.replace("Input/output error", "")
    assert max(len(line) for line in shown.split("\x1b[2K")[-1].splitlines()) <= 90


def _read(terminal: int, enough: Callable[[str], bool]) -> str:
    """What a terminal shows, until it is enough or the other side is gone."""
    text, end = "", time.monotonic() + PATIENCE
    while time.monotonic() < end and not enough(text):
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # EIO: nobody holds the other side any more (pty(7))
                break
            if not data:
                break
            text += data.decode("utf-8", "replace")
    return text
