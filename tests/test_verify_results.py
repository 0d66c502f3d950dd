"""Checks by many jobs that only read the database, and the one command that enters what they found."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from materialize import lease
from materialize.dataset import load_dataset
from materialize.steps import SmallFile
from materialize.verify.detached import leave_results
from materialize.verify.enter import EnteredResults, collect_results
from materialize.verify.results import read_result, result_files
from tests.damage import DAMAGES
from tests.faults import ERRORS, ROOT, faulty
from tests.running import DATASET, environment, plan, shards_of, start, tol_db
from tol_db.db.engine import open_database
from tol_db.errors import InputError, OutputNotMounted

STEPS = tuple(f"{SmallFile.RESULT}.{step}" for step in ("open", "write", "fsync", "rename", "fsync_folder"))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, _demo_ingested: Path) -> Path:
    """A folder with a written dataset: the database and its root; read only."""
    folder = tmp_path_factory.mktemp("results")
    db = Path(shutil.copy(_demo_ingested, folder / "tol.sqlite"))
    plan(db, folder / "out", "tol10m", "--shard-images", "5")
    tol_db(db, "materialize")
    return folder


def copied(kept: Path, folder: Path) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    db = Path(shutil.copy2(kept / "tol.sqlite", folder / "tol.sqlite"))
    out = Path(shutil.copytree(kept / "out", folder / "out"))
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE dataset SET output_root = ?", (str(out),))
    return db, out


@pytest.fixture
def written(kept: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the database and its root, of one's own."""
    return copied(kept, tmp_path / "run")


def rows(db: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(sql).fetchall()


def states(db: Path) -> dict[int, str]:
    return dict(rows(db, "SELECT number, state FROM shard ORDER BY number"))  # type: ignore[arg-type]


def paths_of(db: Path, out: Path) -> dict[int, Path]:
    """Number → file, of shards with enough samples to be damaged in every way."""
    found = rows(
        db,
        """SELECT h.number, s.name, h.ordinal FROM shard h JOIN split s ON s.id = h.split_id
           WHERE h.written >= 2 ORDER BY h.number""",
    )
    return {number: out / "224x224" / split / f"shard-{ordinal:06d}.tar" for number, split, ordinal in found}


def all_that_verify_writes(db: Path) -> tuple[list[tuple[Any, ...]], ...]:
    """What it leaves in the database, but for times and the numbers of runs."""
    return (
        rows(db, "SELECT number, state, detail, written, left_out, bytes, hex(sha256) FROM shard ORDER BY number"),
        rows(db, "SELECT * FROM dataset_split"),
        rows(db, "SELECT shard_id, position, outcome_id, detail FROM shard_image ORDER BY shard_id, position"),
        rows(
            db,
            """SELECT h.number, v.level, v.outcome, v.detail, v.findings, v.bytes
               FROM verification v JOIN shard h ON h.id = v.shard_id ORDER BY h.number, v.level""",
        ),
    )


def results(out: Path) -> list[Path]:
    return [path for _, path in result_files(out)]


def task(db: Path, *words: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
    return tol_db(db, "verify", "--results-only", "--workers", 1, *words, expect=expect)


def leave(db: Path, **options: Any) -> Any:
    """What a task does, in this process."""
    return leave_results(open_database(db, readonly=True), DATASET, workers=1, **options)


def enter(db: Path) -> EnteredResults:
    return collect_results(open_database(db), DATASET, wait=0)


def why_dropped(entered: EnteredResults) -> list[str]:
    return [dropped.why for dropped in entered.dropped]


# ------------------------------------------------------------------ tasks and collect are a verify


def harm(db: Path, out: Path) -> None:
    """One shard damaged, one cut, one gone."""
    damaged, cut, gone = list(paths_of(db, out).values())[:3]
    DAMAGES["bit in a jpg"][0](damaged)
    DAMAGES["cut in a body"][0](cut)
    gone.unlink()


@pytest.mark.parametrize("command", [("verify", "--collect-results"), ("collect",)], ids=["verify", "collect"])
def test_two_tasks_and_a_collect_write_what_one_verify_writes(
    kept: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    alone, alone_out = copied(kept, tmp_path / "alone")
    db, out = copied(kept, tmp_path / "tasks")
    for each in ((alone, alone_out), (db, out)):
        harm(*each)
    told = tol_db(alone, "verify", "--deep", expect=1).stdout
    before, last = db.read_bytes(), max(states(db))
    first = task(db, "--deep", "--shards", f"0-{last // 2}", expect=1)
    assert "enter the results with `tol-db verify --collect-results`" in first.stderr
    task(db, "--deep", "--shards", f"{last // 2 + 1}-{last}")
    assert db.read_bytes() == before
    assert len(results(out)) == len(states(db))
    done = tol_db(db, *command, expect=1)
    for line in told.splitlines():
        if line.startswith(("  bad:", "  missing:")):
            assert line in done.stdout
    assert all_that_verify_writes(db) == all_that_verify_writes(alone)
    assert sorted(states(db).values()).count("bad") == 2
    assert results(out) == []
    assert {p.name for p in (out / "_receipts").iterdir()} == {p.name for p in (alone_out / "_receipts").iterdir()}
    assert rows(db, "SELECT level, first_shard, last_shard, ended_at IS NULL FROM verify_run") == [
        ("deep", 0, last, 0)
    ]
    tol_db(db, "doctor")
    tol_db(db, "report", "status")
    tol_db(db, "materialize")
    assert shards_of(out) == shards_of(kept / "out")
    assert set(states(db).values()) == {"complete", "verified"}
    tol_db(db, "doctor")


def test_collecting_three_times_or_at_once_changes_nothing_more(written: tuple[Path, Path], tmp_path: Path) -> None:
    db, out = written
    harm(db, out)
    task(db, expect=1)
    saved = shutil.copytree(out / "_receipts", tmp_path / "saved")
    collects = [start(db, "verify", "--collect-results") for _ in range(3)]
    for each in collects:
        text, errors = each.communicate(timeout=120)
        assert each.returncode == 1, text + errors  # bad now, or since before
    after = all_that_verify_writes(db)
    # as if the one that entered them had been killed before it removed them
    for path in saved.glob("verified-*.json"):
        shutil.copy(path, out / "_receipts")
    again = enter(db)
    assert (again.entered, again.dropped, again.known) == (0, [], len(states(db)))
    third = enter(db)
    assert (third.is_empty, third.is_good, len(third.bad_before)) == (True, False, 2)
    assert all_that_verify_writes(db) == after
    assert len(rows(db, "SELECT id FROM verify_run")) == 1
    assert results(out) == []


def test_a_read_only_copy_of_the_database_is_enough_and_nothing_appears_beside_it(
    written: tuple[Path, Path], tmp_path: Path
) -> None:
    db, _ = written
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    copy = folder / "copy.sqlite"
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    copy.chmod(0o444)
    folder.chmod(0o555)
    try:
        before = copy.read_bytes()
        run = start(copy, "verify", "--results-only", "--deep", "--workers", "1")
        beside: set[str] = set()
        while run.poll() is None:
            beside |= {path.name for path in folder.iterdir()}
            time.sleep(0.01)
        text, errors = run.communicate()
        assert run.returncode == 0, text + errors
        assert beside == {"copy.sqlite"}
        assert copy.read_bytes() == before
    finally:
        folder.chmod(0o755)
    assert f"entered {len(states(db))} results" in tol_db(db, "collect").stdout
    assert set(states(db).values()) == {"verified"}


def test_tasks_of_the_batch_script_check_their_ranges(written: tuple[Path, Path], tmp_path: Path) -> None:
    db, out = written
    copy = tmp_path / "a copy.sqlite"
    tol_db(db, "backup", copy)
    copy.chmod(0o444)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "tol-db").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tol_db "$@"\n')
    (bin_ / "tol-db").chmod(0o755)
    per_task = -(-len(states(db)) // 2)
    for number in range(2):
        values = {
            "TOL_DB": str(tmp_path / "never opened"),
            "TOL_DB_SLURM_BIN": str(bin_),
            "TOL_DB_SLURM_SNAPSHOT": str(copy),
            "TOL_DB_SLURM_SHARDS_PER_TASK": str(per_task),
            "TOL_DB_SLURM_VERIFY": "--workers 1",
            "TOL_DB_SLURM_LOCAL_DIR": str(tmp_path),
            "SLURM_ARRAY_JOB_ID": "70",
            "SLURM_ARRAY_TASK_ID": str(number),
            "SLURM_JOB_ID": str(70 + number),
        }
        script = ROOT / "slurm" / "verify.sbatch"
        done = subprocess.run(
            ["bash", script], capture_output=True, text=True, env=environment(**values), timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert {read_result(path).slurm_job_id for path in results(out)} == {"70", "71"}
    assert f"entered {len(states(db))} results" in tol_db(db, "collect").stdout
    assert set(states(db).values()) == {"verified"}


def test_an_unfinished_verify_is_gone_on_with_after_results_were_entered(written: tuple[Path, Path]) -> None:
    db, _ = written
    tol_db(db, "verify", "--workers", 1)
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE verify_run SET ended_at = NULL")
    time.sleep(1.1)  # a result of the same second and verdict is known already
    leave(db, shards=range(0, 2))
    assert enter(db).entered == 2
    again = tol_db(db, "verify", "--workers", 1)
    assert "going on with the verification begun 20" in again.stderr
    assert "checked 2 shards" in again.stdout


# ------------------------------------------------------------------ what changed since


def rewrite(path: Path) -> None:
    """The same bytes, another file."""
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.replace(path)


def write_into(path: Path) -> None:
    """The same file, size and bytes, another time."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (rewrite, "its file has been touched or replaced since"),
        (write_into, "its file has been touched or replaced since"),
        (Path.unlink, "its file is gone since"),
    ],
)
@pytest.mark.parametrize("damage", [None, "bit in padding"])
def test_a_result_of_another_file_than_the_one_that_lies_there_is_dropped(
    written: tuple[Path, Path], change: Callable[[Path], None], why: str, damage: str | None
) -> None:
    db, out = written
    number, path = next(iter(paths_of(db, out).items()))
    if damage:
        DAMAGES[damage][0](path)
    leave(db, shards=range(number, number + 1))
    change(path)
    entered = enter(db)
    assert (why_dropped(entered), entered.entered) == ([why], 0)
    assert states(db)[number] == "complete"
    assert rows(db, "SELECT * FROM verification") == []
    assert results(out) == []


def test_a_shard_that_was_away_is_not_missing_when_it_is_back(written: tuple[Path, Path]) -> None:
    db, out = written
    number, path = next(iter(paths_of(db, out).items()))
    path.rename(out / "away")
    leave(db, shards=range(number, number + 1))
    (out / "away").rename(path)
    assert why_dropped(enter(db)) == ["its file is there again"]
    assert states(db)[number] == "complete"


def test_a_shard_that_was_found_bad_and_written_anew_meanwhile_is_left_alone(written: tuple[Path, Path]) -> None:
    db, out = written
    number, path = next(iter(paths_of(db, out).items()))
    DAMAGES["cut in a body"][0](path)
    task(db, "--shards", number, expect=1)
    tol_db(db, "verify", "--shards", number, expect=1)
    reopened = f"the shard is {states(db)[number]} by now"
    (result,) = results(out)
    later = json.loads(result.read_text()) | {"checked_at": "2100-01-01T00:00:00Z"}
    result.write_text(json.dumps(later))
    copy = shutil.copy(result, out / "copy")
    assert why_dropped(enter(db)) == [reopened]
    tol_db(db, "materialize")
    shutil.copy(copy, result)
    done = tol_db(db, "collect")
    assert "dropped: _receipts/verified-" in done.stdout
    assert "has been touched or replaced since" in done.stdout
    assert states(db)[number] == "complete"
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE shard SET sha256 = zeroblob(32) WHERE number = ?", (number,))
    shutil.copy(copy, result)
    assert why_dropped(enter(db)) == ["the shard has been written anew since, with other bytes"]


def test_what_one_task_found_bad_stays_bad_whatever_another_says_of_the_same_file(
    written: tuple[Path, Path],
) -> None:
    db, out = written
    number, path = next(iter(paths_of(db, out).items()))
    leave(db, shards=range(number, number + 1))
    (good,) = results(out)
    seen = json.loads(good.read_text())["file"]
    bad = json.loads(good.read_text()) | {"verdict": "bad", "findings": [["a bit", None]], "found": 1}
    bad["checked_at"] = "2026-01-01T00:00:00Z"
    good.with_name(f"verified-{number:06d}-default-00.json").write_text(json.dumps(bad))
    entered = enter(db)
    assert (entered.entered, entered.good, why_dropped(entered)) == (1, 0, ["the shard is bad by now"])
    assert (states(db)[number], path.stat().st_ino) == ("bad", seen["inode"])


def test_a_root_that_is_not_mounted_makes_nothing_missing_and_keeps_its_results(
    written: tuple[Path, Path],
) -> None:
    db, out = written
    number, path = next(iter(paths_of(db, out).items()))
    path.unlink()
    leave(db, shards=range(number, number + 1))
    path.parent.rename(out / "away")
    with pytest.raises(OutputNotMounted):
        leave(db)
    with pytest.raises(OutputNotMounted):
        enter(db)
    assert str(path.parent) in tol_db(db, "collect", expect=66).stderr
    assert states(db)[number] == "complete"
    (out / "away").rename(path.parent)
    assert len(results(out)) == 1
    assert [bad.verdict for bad in enter(db).bad] == ["missing"]
    assert states(db)[number] == "missing"


def test_a_receipt_of_a_bad_shard_is_taken_away_so_that_nothing_adopts_its_file(written: tuple[Path, Path]) -> None:
    db, out = written
    number, path = next(iter(paths_of(db, out).items()))
    DAMAGES["jpgs of two samples swapped"][0](path)
    assert list((out / "_receipts").glob(f"shard-{number:06d}-*"))
    leave(db, deep=True, shards=range(number, number + 1))
    assert [bad.shard for bad in enter(db).bad] == [number]
    assert not list((out / "_receipts").glob(f"shard-{number:06d}-*"))
    assert not enter(db).is_good


# ------------------------------------------------------------------ killed, run again


def test_a_killed_task_goes_on_where_it_was(written: tuple[Path, Path]) -> None:
    db, out = written
    killed = faulty(db, f"{STEPS[3]}:kill:3:{out.with_name('flag')}", "verify", "--results-only", "--workers", 1)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(results(out)) == 2
    assert len(list((out / "_receipts").glob(".verified-*.partial"))) == 1
    total = len(states(db))
    again = task(db)
    assert "going on with the verification begun 20" in again.stderr
    assert f": 2 of {total} shards were checked" in again.stderr
    assert f"checked {total - 2} shards" in again.stdout
    tol_db(db, "collect")
    assert set(states(db).values()) == {"verified"}
    assert not [path for path in (out / "_receipts").iterdir() if "verified" in path.name]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("action", ["kill", ERRORS[0]])
def test_a_result_is_there_whole_or_not_at_all(written: tuple[Path, Path], step: str, action: str) -> None:
    db, out = written
    words = ("verify", "--results-only", "--workers", 1, "--shards", "0-2")
    failed = faulty(db, f"{step}:{action}:2:{out.with_name('flag')}", *words)
    assert failed.returncode == (73 if action == ERRORS[0] else -signal.SIGKILL), failed.stderr
    assert "Traceback" not in failed.stderr
    for path in results(out):
        read_result(path)
    tol_db(db, *words)
    entered = enter(db)
    assert (entered.good, entered.broken) == (entered.entered, [])
    assert [number for number, state in states(db).items() if state == "verified"] == [0, 1, 2]


def test_a_signal_stops_a_task_cleanly_and_its_results_are_kept(written: tuple[Path, Path]) -> None:
    db, out = written
    done = faulty(db, f"{STEPS[0]}:term:2:{out.with_name('flag')}", "verify", "--results-only", "--workers", 1)
    assert done.returncode == 75, done.stderr
    assert "stopped by SIGTERM" in done.stderr
    assert "run the same command again" in done.stderr
    assert 2 <= len(results(out)) < len(states(db))
    assert rows(db, "SELECT * FROM lease") == []


def test_a_restarted_task_believes_only_good_results_of_its_level_and_of_the_same_file(
    written: tuple[Path, Path],
) -> None:
    db, out = written
    paths = paths_of(db, out)
    touched, bad = list(paths)[:2]
    DAMAGES["cut in a body"][0](paths[bad])
    total = len(states(db))
    assert (leave(db).shards, leave(db, deep=True).shards) == (total, total)
    write_into(paths[touched])
    again = leave(db)
    assert (again.shards, again.going_on.checked, [x.shard for x in again.bad]) == (2, total - 2, [bad])
    restarted = leave(db, restart=True)
    assert (restarted.shards, restarted.going_on) == (total, None)
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE shard SET sha256 = zeroblob(32) WHERE number = ?", (touched,))
    assert leave(db, shards=range(touched, touched + 1)).shards == 1


# ------------------------------------------------------------------ files that are no results of ours


def test_broken_results_are_named_and_left_and_those_of_others_too(written: tuple[Path, Path]) -> None:
    db, out = written
    leave(db, shards=range(0, 4))
    cut, other, named, _ = results(out)
    cut.write_bytes(cut.read_bytes()[:50])
    other.write_text(json.dumps(json.loads(other.read_text()) | {"dataset": "another"}))
    misnamed = named.rename(named.with_name(named.name.replace("-default-", "-deep-")))
    done = tol_db(db, "verify", "--collect-results", expect=1)
    assert f"broken, left alone: {cut}: not a readable result" in done.stdout
    assert f"broken, left alone: {misnamed}: not a readable result: it tells of another shard" in done.stdout
    assert "results of other datasets, left alone: 1" in done.stdout
    assert "results of verify: 2 broken results" in done.stderr
    assert "remove the broken files" in done.stderr
    assert set(results(out)) == {cut, other, misnamed}
    assert [number for number, state in states(db).items() if state == "verified"] == [3]
    for path in (cut, misnamed):
        path.unlink()
    told = json.loads(tol_db(db, "collect", "--json").stdout)
    assert (told["results"]["entered"], told["results"]["others"]) == (0, 1)
    tol_db(db, "doctor")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"shard": 1},
        {"shard": True},
        {"level": "deeper"},
        {"verdict": "fine"},
        {"verdict": "bad"},
        {"verdict": "missing"},
        {"found": 1},
        {"findings": [["what", None]]},
        {"findings": None},
        {"findings": [["\ud800", None]], "found": 1, "verdict": "bad"},
        {"findings": [[1, None]], "found": 1, "verdict": "bad"},
        {"bytes": 2**70},
        {"bytes": -1},
        {"seconds": float("nan")},
        {"seconds": "1"},
        {"seconds": 10**400},
        {"checked_at": "yesterday"},
        {"sha256": "00"},
        {"sha256": "zz"},
        {"file": None},
        {"file": {"inode": 1}},
        {"file": 3},
        {"host": None},
        {"slurm_job_id": 7},
    ],
    ids=lambda change: ascii(change).replace("\\", ""),
)
def test_a_result_that_does_not_add_up_is_refused(
    one_result: tuple[Path, dict[str, Any]], change: dict[str, Any]
) -> None:
    path, table = one_result
    path.write_text(json.dumps(table))
    assert read_result(path).shard == table["shard"] == 0
    path.write_text(json.dumps(table | change))
    with pytest.raises(InputError, match=f"{path}: not a readable result"):
        read_result(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"format": 1}'])
def test_bytes_that_are_no_result_are_refused(one_result: tuple[Path, dict[str, Any]], content: bytes) -> None:
    path, _ = one_result
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a readable result"):
        read_result(path)


@pytest.fixture(scope="module")
def one_result(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A result of shard 0: a path that may be overwritten, and what it says."""
    db, out = copied(kept, tmp_path_factory.mktemp("one") / "run")
    leave(db, shards=range(0, 1))
    (path,) = results(out)
    return path, json.loads(path.read_text())


# ------------------------------------------------------------------ usage


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--results-only", "--repair"), "--repair writes the database, and --results-only only reads it"),
        (("--collect-results", "--results-only"), "--results-only does not go with --collect-results"),
        (("--collect-results", "--repair"), "--repair does not go with --collect-results"),
        (("--collect-results", "--deep"), "--deep does not go with --collect-results"),
        (("--collect-results", "--shards", "1-2"), "--shards does not go with --collect-results"),
        (("/tmp", "--results-only"), "--results-only does not go with DIR"),
        (("/tmp", "--collect-results"), "--collect-results does not go with DIR"),
        (("--results-only", "--shards", "500-600"), "has no shard in 500-600"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    written: tuple[Path, Path], words: tuple[str, ...], why: str
) -> None:
    assert why in tol_db(written[0], "verify", *words, expect=2).stderr


def test_results_are_entered_under_the_lease_alone(written: tuple[Path, Path]) -> None:
    db, out = written
    leave(db, shards=range(0, 1))
    database = open_database(db)
    with database.read() as conn:
        dataset = load_dataset(conn, DATASET)
    keeper = lease.Keeper(database, dataset, lease.here())
    keeper.acquire()
    held = tol_db(db, "collect", "--wait", 0, expect=75)
    assert f"process {os.getpid()} on" in held.stderr
    assert len(results(out)) == 1
    leave(db, shards=range(1, 2))  # tasks need none
    keeper.release()
    assert (enter(db).entered, results(out)) == (2, [])
