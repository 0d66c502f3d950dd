"""Verification and repair: every damage is found at the level that promises it, and nothing else is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materialize.collect import collect
from materialize.dataset import load_dataset
from materialize.reconcile import set_aside
from materialize.shard import BLOCK
from materialize.verify.check import VerifyReport, verify
from materialize.verify.rows import VerifyRun, close_run, load_expected, open_run
from materialize.verify.shard import Expected, Level, Verdict, check_shard
from tests.damage import DAMAGES, NEEDS_UNPRIVILEGED, flip, members, middle
from tests.running import DATASET, plan, shards_of, start, tol_db
from tests.unprivileged import folder_for_all, unprivileged
from tol_db.db.base import ShardState
from tol_db.db.engine import open_database
from tol_db.errors import OutputNotMounted

PRIVILEGED = sorted(set(DAMAGES) - NEEDS_UNPRIVILEGED)
GROUPS = 2


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, _demo_ingested: Path) -> Path:
    """A folder with a written dataset: the database and its root; read only."""
    folder = tmp_path_factory.mktemp("written")
    db = Path(shutil.copy(_demo_ingested, folder / "tol.sqlite"))
    plan(db, folder / "out", "tol10m", "--shard-images", "3")
    tol_db(db, "materialize")
    return folder


@pytest.fixture
def written(kept: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the database and its root, of one's own; times and names kept, inodes not."""
    db = Path(shutil.copy2(kept / "tol.sqlite", tmp_path / "tol.sqlite"))
    out = Path(shutil.copytree(kept / "out", tmp_path / "out"))
    # closed at once: locks of a process end when it closes any descriptor of the file, as open_database does
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE dataset SET output_root = ?", (str(out),))
    return db, out


def rows(db: Path, sql: str) -> list[Any]:
    connection = sqlite3.connect(db)
    found = connection.execute(sql).fetchall()
    connection.close()
    return [row[0] if len(row) == 1 else row for row in found]


def states(db: Path) -> dict[int, str]:
    return dict(rows(db, "SELECT number, state FROM shard ORDER BY number"))


def large(db: Path) -> dict[int, Path]:
    """Number → path under the root, of shards with enough samples to be damaged in every way."""
    found = rows(
        db,
        """SELECT h.number, s.name, h.ordinal FROM shard h JOIN split s ON s.id = h.split_id
           WHERE h.written >= 2 ORDER BY h.number""",
    )
    return {number: Path("224x224") / split / f"shard-{ordinal:06d}.tar" for number, split, ordinal in found}


def check(db: Path, **options: Any) -> VerifyReport:
    """What the command does, in this process."""
    return verify(open_database(db), DATASET, workers=2, **options)


def told(db: Path, *words: object, expect: int = 0) -> dict[str, Any]:
    """The command's JSON."""
    report: dict[str, Any] = json.loads(tol_db(db, "-q", "verify", "--json", *words, expect=expect).stdout)
    return report


def expected_of(db: Path, number: int, level: Level) -> Expected:
    with open_database(db, readonly=True).read() as conn:
        (shard,) = rows(db, f"SELECT id FROM shard WHERE number = {number}")
        return load_expected(conn, load_dataset(conn, DATASET), shard, level)


@contextmanager
def write_lock(db: Path) -> Iterator[sqlite3.Connection]:
    """Within, nobody else writes the database."""
    connection = sqlite3.connect(db, isolation_level=None, timeout=60)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.close()


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Processes that a running command has spawned to work for it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            words = path.with_name("cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        if parent == process.pid and b"spawn_main" in words:
            found.append(int(path.parent.name))
    return found


# ------------------------------------------------------------------ the matrix


@pytest.fixture(scope="module")
def one(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Expected, bytes]:
    """What one shard must be, under a path of its own, and its bytes."""
    db = Path(shutil.copy(kept / "tol.sqlite", tmp_path_factory.mktemp("one") / "tol.sqlite"))
    good = expected_of(db, next(iter(large(db))), Level.DEEP)
    path = Path(shutil.copy(good.path, db.with_name("shard.tar")))
    return replace(good, path=path), path.read_bytes()


@pytest.fixture
def shard(one: tuple[Expected, bytes], tmp_path: Path) -> Expected:
    """What one shard must be, for a copy of one's own."""
    path = tmp_path / one[0].path.name
    path.write_bytes(one[1])
    return replace(one[0], path=path)


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("name", PRIVILEGED)
def test_a_damaged_shard_is_found_at_the_level_that_promises_it(shard: Expected, name: str, level: Level) -> None:
    damage, promised = DAMAGES[name]
    assert check_shard(shard, level).verdict is Verdict.GOOD
    damage(shard.path)
    checked = check_shard(shard, level)
    if level is Level.DEFAULT and promised == "deep":
        assert checked.verdict is Verdict.GOOD
        return
    assert checked.verdict is (Verdict.MISSING if name in ("gone", "link to nowhere") else Verdict.BAD)
    assert checked.found == len(checked.findings) >= 1
    assert all(str(finding) for finding in checked.findings)


@pytest.mark.parametrize("level", list(Level))
def test_a_file_without_permission_is_bad_for_whoever_may_not_read_it(shard: Expected, level: Level) -> None:
    with folder_for_all() as folder:
        path = Path(shutil.copy(shard.path, folder / "shard-000000.tar"))
        DAMAGES["unreadable"][0](path)
        with unprivileged():
            checked = check_shard(replace(shard, path=path), level)
    assert checked.verdict is Verdict.BAD
    assert [str(f) for f in checked.findings] == [
        "it cannot be opened: Permission denied; its bytes were not looked at"
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cut in a body", ["bytes instead of", "member '{key}.jpg': the file ends at byte", "cannot be reached"]),
        ("bit in the checksum of a header", ["there is no right header at byte", "behind member '{key}.jpg'"]),
        ("bit in a text", ["member '{key}.taxon.txt': it says 'a ph", "its sha256 is"]),
        ("bit in a jpg", ["member '{key}.jpg': its bytes are others: digest"]),
        ("bit in padding", ["member '{key}.taxon.txt': the padding behind it is not zeros"]),
        ("member missing, size kept", ["sample '{key}': it lacks taxon.txt"]),
        ("members of a sample swapped", ["sample '{key}': its members stand in another order"]),
        ("sample missing, size kept", ["sample '{key}': it is missing"]),
        ("sample duplicated", ["it stands twice"]),
        ("sample extra", ["is not planned for this shard"]),
        ("samples in another order", ["the order is another"]),
        ("shard of another dataset", ["another shard under this name"]),
        ("replaced by a folder", ["a folder stands in its place"]),
        ("replaced by a pipe", ["it is no regular file"]),
        ("0 bytes", ["it has 0 bytes instead of", "the file ends at byte 0"]),
    ],
)
def test_a_finding_names_member_or_sample_and_what_is_wrong(shard: Expected, name: str, words: list[str]) -> None:
    key = middle(shard.path, "jpg").key
    DAMAGES[name][0](shard.path)
    text = "\n".join(str(finding) for finding in check_shard(shard, Level.DEEP).findings)
    for word in words:
        assert word.format(key=key) in text, text


def damage_group(db: Path, out: Path, group: int) -> dict[int, str]:
    """Damage as many shards in as many ways; number → way."""
    ways = PRIVILEGED[group::GROUPS]
    targets = large(db)
    assert len(targets) >= len(ways)
    done = dict(zip(targets, ways, strict=False))
    for number, way in done.items():
        DAMAGES[way][0](out / targets[number])
    return done


@pytest.mark.parametrize("group", range(GROUPS))
def test_the_command_names_every_damaged_shard_and_no_good_one(written: tuple[Path, Path], group: int) -> None:
    db, out = written
    level = "deep" if group % 2 else "default"
    done = damage_group(db, out, group)
    found = {n for n, way in done.items() if level == "deep" or DAMAGES[way][1] == "default"}
    report = told(db, *(["--deep"] if level == "deep" else []), expect=1)
    assert {bad["shard"] for bad in report["bad"]} == found
    assert (report["good"], report["shards"]) == (len(states(db)) - len(found), len(states(db)))
    lost = {n for n in found if done[n] in ("gone", "link to nowhere")}
    assert {n for n, state in states(db).items() if state == "missing"} == lost
    assert {n for n, state in states(db).items() if state == "bad"} == found - lost
    assert {n for n, state in states(db).items() if state == "verified"} == set(states(db)) - found
    counts = dict(
        rows(db, "SELECT number, findings FROM verification v JOIN shard h ON h.id = v.shard_id WHERE findings > 0")
    )
    assert counts == {bad["shard"]: bad["found"] for bad in report["bad"] if bad["findings"]}
    tol_db(db, "doctor")


def check_whole(db: Path, out: Path, before: dict[str, bytes]) -> None:
    assert {n: b for n, b in shards_of(out).items() if b} == before
    tol_db(db, "doctor")
    assert set(states(db).values()) <= {"complete", "verified"}


@pytest.mark.parametrize("group", [0, *(pytest.param(g, marks=pytest.mark.soak) for g in range(1, GROUPS))])
@pytest.mark.parametrize("repair", [True, False])
def test_after_any_damage_two_commands_bring_back_the_same_bytes(
    written: tuple[Path, Path], group: int, repair: bool
) -> None:
    db, out = written
    before = shards_of(out)
    done = damage_group(db, out, group)
    there = sum(os.path.lexists(out / path) for number, path in large(db).items() if number in done)
    report = check(db, deep=True, repairing=repair)
    assert {bad.shard for bad in report.bad} == set(done)
    if repair:
        assert set(report.repaired) == set(done)
        assert {n for n, state in states(db).items() if state == "planned"} == set(done)
        bad = [found.shard for found in report.bad if found.verdict == "bad"]
        assert not [r for n in bad for r in (out / "_receipts").glob(f"shard-{n:06d}-*")]
    pending = rows(db, "SELECT count(*) FROM shard_image WHERE outcome_id = 0")[0]
    assert pending == sum(rows(db, f"SELECT planned FROM shard WHERE number IN ({', '.join(map(str, done))})"))
    tol_db(db, "materialize")
    aside = list(out.rglob("*.tar.bad-*"))
    assert len(aside) == there  # nothing was thrown away
    check_whole(db, out, before)


def test_a_repair_that_died_before_the_database_knew_is_put_right_by_materialize(
    written: tuple[Path, Path],
) -> None:
    db, out = written
    before = shards_of(out)
    number, path = next(iter(large(db).items()))
    DAMAGES["jpgs of two samples swapped"][0](out / path)
    report = check(db, deep=True, shards=range(number, number + 1))
    assert [bad.shard for bad in report.bad] == [number]
    assert not list((out / "_receipts").glob(f"shard-{number:06d}-*"))
    set_aside(out / path)
    tol_db(db, "materialize")
    check_whole(db, out, before)


# ------------------------------------------------------------------ random damage


RANDOM = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@RANDOM
@given(st.data())
def test_any_flipped_bit_is_found_by_deep(one: tuple[Expected, bytes], data: st.DataObject) -> None:
    expected, content = one
    expected.path.write_bytes(content)
    flip(expected.path, data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7)))
    assert check_shard(expected, Level.DEEP).verdict is Verdict.BAD


@RANDOM
@given(st.data())
def test_any_flipped_bit_of_structure_is_found_by_default(one: tuple[Expected, bytes], data: st.DataObject) -> None:
    expected, content = one
    expected.path.write_bytes(content)
    member = data.draw(st.sampled_from(members(expected.path)))
    inside = range(member.start + BLOCK, member.start + BLOCK + len(member.data))
    offset = data.draw(st.integers(member.start, member.end - 1).filter(lambda at: at not in inside))
    flip(expected.path, offset, data.draw(st.integers(0, 7)))
    assert check_shard(expected, Level.DEFAULT).verdict is Verdict.BAD


@RANDOM
@given(st.data(), st.sampled_from(list(Level)))
def test_any_truncation_is_found_at_both_levels(
    one: tuple[Expected, bytes], data: st.DataObject, level: Level
) -> None:
    expected, content = one
    expected.path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    assert check_shard(expected, level).verdict is Verdict.BAD


@pytest.mark.soak
def test_every_bit_of_a_header_and_every_length_is_found_by_default(one: tuple[Expected, bytes]) -> None:
    expected, content = one
    expected.path.write_bytes(content)
    header = members(expected.path)[5].start
    for bit in range(BLOCK * 8):
        flip(expected.path, header + bit // 8, bit % 8)
        assert check_shard(expected, Level.DEFAULT).verdict is Verdict.BAD, bit
        flip(expected.path, header + bit // 8, bit % 8)
    assert check_shard(expected, Level.DEEP).verdict is Verdict.GOOD
    for length in reversed(range(0, len(content), 7)):
        os.truncate(expected.path, length)
        assert check_shard(expected, Level.DEFAULT).verdict is Verdict.BAD, length


# ------------------------------------------------------------------ what is written down, and told


def test_a_bad_shard_is_not_adopted_again_although_inode_size_and_mtime_are_its_own(
    written: tuple[Path, Path],
) -> None:
    db, out = written
    number, path = next(iter(large(db).items()))
    (receipt,) = (out / "_receipts").glob(f"shard-{number:06d}-*.json")
    told, status = json.loads(receipt.read_text()), (out / path).stat()
    receipt.write_text(json.dumps({**told, "inode": status.st_ino, "mtime_ns": status.st_mtime_ns}))
    DAMAGES["bit in a jpg"][0](out / path)
    os.utime(out / path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not check(db, deep=True, shards=range(number, number + 1)).is_good
    assert collect(open_database(db), DATASET).findings.adopted == []
    assert states(db)[number] == "bad"


def test_repair_takes_up_what_an_earlier_run_found_and_a_second_one_has_nothing_to_do(
    written: tuple[Path, Path],
) -> None:
    db, out = written
    first, second, third = list(large(db).items())[:3]
    DAMAGES["0 bytes"][0](out / first[1])
    DAMAGES["gone"][0](out / second[1])
    stranger = out / "224x224" / "train" / "notes.txt"
    stranger.write_text("mine")
    done = tol_db(db, "verify", expect=1)
    assert f"bad: shard {first[0]}, {first[1]}: it has 0 bytes instead of" in done.stdout
    assert f"missing: shard {second[0]}, {second[1]}: it is not there" in done.stdout
    assert f"not recorded, left alone: {stranger}" in done.stdout
    assert "shards: 1 bad, 1 missing" in done.stderr
    assert "materialize" in done.stderr
    DAMAGES["0 bytes"][0](out / third[1])
    again = tol_db(db, "verify", "--repair", expect=1).stdout
    assert f"bad since before: shard {first[0]}" in again
    assert f"planned again: 3 shards ({first[0]}, {second[0]}, {third[0]})" in again
    idle = check(db, repairing=True)
    assert (idle.repaired, idle.set_aside, idle.bad, idle.is_good) == ([], [], [], True)
    assert [shard.shard for shard in idle.not_complete] == [first[0], second[0], third[0]]
    assert stranger.read_text() == "mine"


def test_a_storage_fault_judges_nothing_and_the_next_run_looks_at_that_shard_again(
    written: tuple[Path, Path],
) -> None:
    db, out = written
    number, path = next(iter(large(db).items()))
    (out / path).rename(out / "away")
    (out / path).symlink_to("/proc/self/mem")  # a regular file whose first byte is an I/O error
    report = told(db, expect=1)
    assert [(u["shard"], u["why"]) for u in report["unreadable"]] == [(number, "Input/output error")]
    assert report["bad"] == []
    assert states(db)[number] == "complete"
    (out / path).unlink()
    (out / "away").rename(out / path)
    again = check(db)
    assert (again.going_on, again.shards) == (None, len(states(db)))
    assert set(states(db).values()) == {"verified"}


def test_an_output_root_that_is_not_mounted_is_no_missing_shard(written: tuple[Path, Path]) -> None:
    db, out = written
    folder = out / "224x224" / "val"
    folder.rename(out / "away")
    with pytest.raises(OutputNotMounted, match=str(folder)):
        check(db, repairing=True)
    (out / "away").rename(folder)
    out.rename(out.with_name("elsewhere"))
    assert str(out) in tol_db(db, "verify", "--repair", expect=66).stderr
    assert set(states(db).values()) == {"complete"}
    assert rows(db, "SELECT count(*) FROM verification") == [0]
    assert rows(db, "SELECT count(*) FROM lease") == [0]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("/tmp", "--deep", "--no-decode"), "--deep does not go with --no-decode"),
        (("/tmp", "--dataset", "x"), "--dataset does not go with DIR"),
        (("--no-decode",), "--no-decode is for a DIR"),
        (("--dataset", "x"), "no dataset 'x'"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    written: tuple[Path, Path], words: tuple[str, ...], why: str
) -> None:
    assert why in tol_db(written[0], "verify", *words, expect=2).stderr


# ------------------------------------------------------------------ interruption


@contextmanager
def stopped_midway(db: Path, *words: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A verification that has entered some results, and whose worker stands still; yields it and how many."""
    process = start(db, "verify", "--workers", "1", *words)
    wait_for(lambda: workers_of(process), process)
    (worker,) = workers_of(process)
    done = 0
    while done < 2:
        os.kill(worker, signal.SIGCONT)
        time.sleep(0.004)
        os.kill(worker, signal.SIGSTOP)
        before = -1
        while done != before:  # the parent enters what the worker has sent
            before = done
            time.sleep(0.05)
            try:
                done = rows(db, "SELECT count(*) FROM verification")[0]
            except sqlite3.OperationalError:  # the worker stands still with a lock on the log's index in its hands
                done = 0
                break
    yield process, done


def test_a_killed_verification_goes_on_where_it_was(written: tuple[Path, Path]) -> None:
    db, out = written
    with stopped_midway(db) as (process, done):
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    checked, total = rows(db, "SELECT count(*) FROM shard WHERE state = 'verified'")[0], len(states(db))
    assert checked == done < total
    victim = next(number for number in large(db) if states(db)[number] == "verified")
    DAMAGES["0 bytes"][0](out / large(db)[victim])
    other = check(db, shards=range(victim, victim + 1))
    assert other.going_on is None  # another range is another run: it does not believe the first one's results
    assert [bad.shard for bad in other.bad] == [victim]
    tol_db(db, "materialize")
    last = tol_db(db, "verify")
    assert "going on with the verification begun 20" in last.stderr
    assert f": {checked - 1} of {total} shards were checked" in last.stderr
    assert f"checked {total - checked + 1} shards" in last.stdout  # the one that was written anew among them
    assert set(states(db).values()) == {"verified"}


def test_an_unfinished_run_is_gone_on_with_only_at_its_level_and_range(written: tuple[Path, Path]) -> None:
    db = open_database(written[0])
    with db.read() as conn:
        dataset = load_dataset(conn, DATASET)

    def opened(level: Level = Level.DEFAULT, shards: range | None = None, restart: bool = False) -> VerifyRun:
        return open_run(db, dataset, level, shards, restart=restart)

    first = opened()
    assert opened() == VerifyRun(first.id, first.started_at, True)
    assert not opened(level=Level.DEEP).is_resumed
    assert not opened(shards=range(0, 3)).is_resumed
    assert not opened(shards=range(0, 4)).is_resumed
    assert opened(shards=range(0, 3)).is_resumed
    second = opened(restart=True)
    assert (second.is_resumed, opened().id) == (False, second.id)
    close_run(db, second)
    third = opened()
    assert third.id not in (first.id, second.id)  # nor is an older one taken up again
    assert not third.is_resumed


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.soak)])
def test_a_signal_stops_it_cleanly_and_what_was_checked_is_kept(
    written: tuple[Path, Path], number: signal.Signals
) -> None:
    db, _ = written
    with stopped_midway(db, "--deep") as (process, done):
        os.killpg(process.pid, number)
        time.sleep(0.05)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 75, stderr
    assert f"stopped by {number.name}" in stderr
    assert "run the same command again" in stderr
    kept = rows(db, "SELECT count(*) FROM verification")[0]
    assert done <= kept < len(states(db))
    assert rows(db, "SELECT count(*) FROM lease") == [0]
    again = check(db, deep=True)
    assert again.going_on is not None
    assert again.going_on.checked == kept


def test_a_run_and_a_verification_do_not_work_on_a_dataset_at_once(written: tuple[Path, Path]) -> None:
    db, _ = written
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with closing(sqlite3.connect(db)) as connection, connection:
        holder = ("token", socket.gethostname(), os.getpid(), now, now)
        connection.execute(
            """INSERT INTO lease (dataset_id, token, host, pid, acquired_at, heartbeat_at)
               SELECT id, ?, ?, ?, ?, ? FROM dataset""",
            holder,
        )
    assert f"process {os.getpid()}" in tol_db(db, "verify", expect=75).stderr
    assert set(states(db).values()) == {ShardState.COMPLETE}


def test_a_worker_that_is_killed_once_costs_nothing(written: tuple[Path, Path]) -> None:
    db, _ = written
    process = start(db, "verify", "--workers", "1")
    wait_for(lambda: workers_of(process), process)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    output = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert set(states(db).values()) == {"verified"}


def test_processes_that_are_killed_judge_no_shard(written: tuple[Path, Path]) -> None:
    """A machine out of memory kills whoever looks at a shard; that says nothing of the shard."""
    db, out = written
    receipts = sorted((out / "_receipts").iterdir())
    process = start(db, "verify", "--workers", 2)
    killed: set[int] = set()
    deadline = time.monotonic() + 60
    while process.poll() is None:
        for worker in set(workers_of(process)) - killed:
            killed.add(worker)
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        assert time.monotonic() < deadline
    _, errors = process.communicate()
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    assert set(states(db).values()) <= {"complete", "verified"}
    assert sorted((out / "_receipts").iterdir()) == receipts
    check(db)
    assert set(states(db).values()) == {"verified"}


def test_a_root_that_goes_away_during_the_check_makes_nothing_missing(written: tuple[Path, Path]) -> None:
    db, out = written
    process = start(db, "verify", "--deep", "--workers", 1)
    wait_for(lambda: rows(db, "SELECT count(*) FROM verification") != [0], process)
    out.rename(out.with_name("away"))
    _, errors = process.communicate(timeout=60)
    if process.returncode != 0:  # it was quicker than the rename
        assert process.returncode == 66, errors
    assert set(states(db).values()) <= {"complete", "verified"}
    out.with_name("away").rename(out)
    check(db, deep=True)
    assert set(states(db).values()) == {"verified"}


def test_a_missing_file_that_is_back_is_adopted_after_a_repair(written: tuple[Path, Path]) -> None:
    db, out = written
    before = shards_of(out)
    number, path = next(iter(large(db).items()))
    (out / path).rename(out / "away")
    assert [bad.verdict for bad in check(db).bad] == ["missing"]
    (out / "away").rename(out / path)
    assert check(db, repairing=True).set_aside == []
    assert "adopted 1 shards" in tol_db(db, "materialize").stderr
    assert states(db)[number] == "complete"
    assert shards_of(out) == before


def test_what_was_touched_since_is_checked_again_by_a_run_that_goes_on(written: tuple[Path, Path]) -> None:
    db, out = written
    check(db)
    with closing(sqlite3.connect(db, isolation_level=None)) as connection:
        connection.execute("UPDATE verify_run SET ended_at = NULL")
    number, path = next(iter(large(db).items()))
    os.truncate(out / path, 1000)
    going_on = check(db)
    assert going_on.going_on is not None
    assert [bad.shard for bad in going_on.bad] == [number]


def test_the_levels_keep_their_progress_apart(written: tuple[Path, Path]) -> None:
    db, _ = written
    check(db, deep=True)
    with closing(sqlite3.connect(db, isolation_level=None)) as connection:
        connection.execute("UPDATE verify_run SET ended_at = NULL")
        connection.execute("DELETE FROM verification WHERE shard_id % 2")
    left = rows(db, "SELECT count(*) FROM shard WHERE id % 2")[0]
    check(db)
    assert check(db, deep=True).shards == left


def test_a_range_without_shards_is_refused(written: tuple[Path, Path]) -> None:
    refused = tol_db(written[0], "verify", "--shards", "500-600", expect=2)
    assert "has no shard in 500-600" in refused.stderr
