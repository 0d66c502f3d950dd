"""Kills and signals: after any of them the same command ends where an undisturbed run would have."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.processes import stand_still
from tests.running import DATASET, plan, shards_of, start, tol_db

CHUNKS = ("--shard-images", "12")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, _demo_ingested: Path) -> tuple[Path, Path, dict[str, bytes]]:
    """A planned database, its (empty) root, and the shards that an undisturbed run writes."""
    folder = tmp_path_factory.mktemp("planned")
    db = Path(shutil.copy(_demo_ingested, folder / "tol.sqlite"))
    plan(db, folder / "out", "tol10m", *CHUNKS)
    kept = folder / "kept"
    kept.mkdir()
    shutil.copy(db, kept / "tol.sqlite")
    shutil.copytree(folder / "out", kept / "out")
    tol_db(db, "materialize", "--workers", 1)
    return kept / "tol.sqlite", kept / "out", shards_of(folder / "out")


@pytest.fixture
def fresh(planned: tuple[Path, Path, dict[str, bytes]], tmp_path: Path) -> tuple[Path, Path, dict[str, bytes]]:
    """A copy of the planned database whose dataset follows to this test's folder."""
    db = Path(shutil.copy(planned[0], tmp_path / "tol.sqlite"))
    out = tmp_path / "out"
    shutil.copytree(planned[1], out)
    tol_db(db, "dataset", "move", DATASET, out)
    return db, out, planned[2]


def kill_group(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
    os.killpg(process.pid, number)
    process.communicate(timeout=60)


def complete(db: Path) -> set[str]:
    with sqlite3.connect(db) as connection:
        rows = connection.execute(
            "SELECT split || '/' || file FROM v_sample WHERE shard_state = 'complete' GROUP BY 1"
        )
        return {row[0] for row in rows}


def stamps(out: Path, names: set[str]) -> dict[str, tuple[int, int]]:
    found = {name: (out / "224x224" / name).stat() for name in names}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}


def check_converged(db: Path, out: Path, expected: dict[str, bytes]) -> None:
    assert shards_of(out) == expected
    assert not list(out.rglob("*.partial"))
    assert not list(out.rglob("*.bad-*"))
    tol_db(db, "doctor")


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_moments_a_run_converges_and_redoes_nothing_complete(
    fresh: tuple[Path, Path, dict[str, bytes]], seed: int
) -> None:
    db, out, expected = fresh
    moments = random.Random(seed)
    for _ in range(4):
        process = start(db, "materialize", "--workers", moments.randint(1, 3))
        time.sleep(moments.uniform(0.5, 2.0))
        kill_group(process)
    done = complete(db)
    before = stamps(out, done)
    tol_db(db, "materialize", "--workers", moments.randint(1, 3))
    assert stamps(out, done) == before
    check_converged(db, out, expected)


@pytest.mark.soak
def test_a_hundred_kills_at_random_moments_change_nothing(
    planned: tuple[Path, Path, dict[str, bytes]], tmp_path: Path
) -> None:
    moments = random.Random(100)
    kills = rounds = 0
    while kills < 100:
        rounds += 1
        folder = tmp_path / str(rounds)
        folder.mkdir()
        db, out = Path(shutil.copy(planned[0], folder / "tol.sqlite")), folder / "out"
        shutil.copytree(planned[1], out)
        tol_db(db, "dataset", "move", DATASET, out)
        done: dict[str, tuple[int, int]] = {}
        while True:
            process = start(db, "materialize", "--workers", moments.randint(1, 3))
            time.sleep(moments.uniform(0.2, 2.5))
            if process.poll() is not None:
                process.communicate()
                break
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
            kills += 1
            assert stamps(out, set(done)) == done  # what was complete is not touched again
            done = stamps(out, complete(db))
        tol_db(db, "materialize")
        check_converged(db, out, planned[2])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_stops_cleanly_and_says_run_again(
    fresh: tuple[Path, Path, dict[str, bytes]], number: signal.Signals
) -> None:
    db, out, expected = fresh
    process = start(db, "materialize", "--workers", 2)
    wait_for_a_shard(out, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert number.name in errors
    assert "run the same command again" in errors
    assert not list(out.rglob("*.partial"))
    with sqlite3.connect(db) as connection:
        assert connection.execute("SELECT count(*) FROM lease").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM attempt WHERE ending IS NULL").fetchone() == (0,)
    tol_db(db, "doctor")
    tol_db(db, "materialize", "--workers", 2)
    check_converged(db, out, expected)


def wait_for_a_shard(out: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not list(out.rglob("shard-*.tar")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_commands_that_hold_no_lease_stop_cleanly_too(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "demo"
    process = start(tmp_path / "unused.sqlite", "demo", folder, "--images", "400")
    deadline = time.monotonic() + 60
    while not list(folder.rglob("*.jpg")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in errors) == (75, False), errors
    assert "interrupted" in errors


def test_ctrl_c_in_a_terminal_reaches_the_whole_group_and_still_stops_cleanly(
    fresh: tuple[Path, Path, dict[str, bytes]],
) -> None:
    db, out, expected = fresh
    process = start(db, "materialize", "--workers", 2)
    wait_for_a_shard(out, process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in errors) == (75, False), errors
    tol_db(db, "materialize")
    check_converged(db, out, expected)


def test_killing_only_the_parent_ends_its_workers(fresh: tuple[Path, Path, dict[str, bytes]]) -> None:
    db, out, expected = fresh
    process = start(db, "materialize", "--workers", 2)
    wait_for_a_shard(out, process)
    group = process.pid
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while members_of(group):
        assert time.monotonic() < deadline, members_of(group)
        time.sleep(0.05)
    tol_db(db, "materialize")
    check_converged(db, out, expected)


def members_of(group: int) -> list[int]:
    """Live processes of a process group, from /proc (zombies are dead)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] not in "ZX":
                found.append(int(entry.name))
    return found


def test_a_worker_that_is_killed_costs_nothing(fresh: tuple[Path, Path, dict[str, bytes]]) -> None:
    db, out, expected = fresh
    process = start(db, "materialize", "--workers", 1)
    wait_for_a_shard(out, process)
    workers = [pid for pid in members_of(process.pid) if pid != process.pid and is_worker(pid)]
    assert len(workers) == 1
    os.kill(workers[0], signal.SIGKILL)
    text, errors = process.communicate(timeout=60)
    assert process.returncode == 0, text + errors
    with sqlite3.connect(db) as connection:
        told = connection.execute("SELECT detail FROM attempt WHERE ending = 'failed'").fetchall()
    assert ["the worker process died (SIGKILL)" in row[0] for row in told] == [True]
    check_converged(db, out, expected)


def is_worker(pid: int) -> bool:
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_second_run_is_told_who_holds_the_dataset(fresh: tuple[Path, Path, dict[str, bytes]]) -> None:
    db, out, expected = fresh
    process = start(db, "materialize", "--workers", 1)
    wait_for_a_shard(out, process)
    workers = [pid for pid in members_of(process.pid) if is_worker(pid)]
    for pid in workers:
        stand_still(pid)  # however slow the second run is to start, the first is still at work
    refused = tol_db(db, "materialize", expect=75)
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    assert f"process {process.pid}" in refused.stderr
    process.communicate(timeout=120)
    assert process.returncode == 0
    check_converged(db, out, expected)


def test_a_whole_file_that_only_lacks_its_record_is_adopted(fresh: tuple[Path, Path, dict[str, bytes]]) -> None:
    """The state between link(2) and the ledger's commit, made by putting the older database back."""
    db, out, expected = fresh
    before = db.read_bytes()
    tol_db(db, "materialize")
    db.write_bytes(before)
    stamps_before = {p: p.stat().st_ino for p in out.rglob("*.tar")}
    done = tol_db(db, "materialize")
    assert f"adopted {len(expected)} shards" in done.stderr
    assert stamps_before == {p: p.stat().st_ino for p in out.rglob("*.tar")}
    check_converged(db, out, expected)


def test_a_file_that_no_receipt_tells_of_is_set_aside_and_written_anew(
    fresh: tuple[Path, Path, dict[str, bytes]],
) -> None:
    db, out, expected = fresh
    in_the_way = out / "224x224" / "train" / "shard-000000.tar"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_bytes(b"half a shard")
    foreign = in_the_way.with_name("notes.txt")
    foreign.write_text("mine")
    done = tol_db(db, "materialize")
    assert f"not ours, left alone: {foreign}" in done.stderr
    aside = list(out.rglob("*.bad-*"))
    assert [p.read_bytes() for p in aside] == [b"half a shard"]
    assert foreign.read_text() == "mine"
    assert shards_of(out) == expected


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_recorded_file_that_is_gone_or_cut_is_written_anew(
    fresh: tuple[Path, Path, dict[str, bytes]], damage: str
) -> None:
    db, out, expected = fresh
    tol_db(db, "materialize")
    victim = out / "224x224" / "train" / "shard-000001.tar"
    if damage == "gone":
        victim.unlink()
    else:
        os.truncate(victim, 5000)
    done = tol_db(db, "materialize")
    assert f"1 recorded shards are {'missing' if damage == 'gone' else 'bad'}" in done.stderr
    assert shards_of(out) == expected
    tol_db(db, "doctor")


def test_an_output_root_that_is_not_mounted_is_not_taken_for_missing_shards(
    fresh: tuple[Path, Path, dict[str, bytes]],
) -> None:
    db, out, expected = fresh
    tol_db(db, "materialize")
    hidden = out.with_name("elsewhere")
    out.rename(hidden)
    assert "the output root of dataset 'set' is not there" in tol_db(db, "materialize", expect=66).stderr
    out.mkdir()
    assert "no marker file" in tol_db(db, "materialize", expect=66).stderr
    out.rmdir()
    hidden.rename(out)
    assert "nothing is pending" in tol_db(db, "materialize").stdout
    check_converged(db, out, expected)
