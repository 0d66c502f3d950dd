"""The same dataset on a real SLURM cluster of four nodes as on one machine, whatever happens to its jobs.

After each accident the same line, `tol-db slurm submit`, is entered again; then the shards are the bytes of an
undisturbed local run, the database has its rows, and `doctor` finds nothing.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests import slurm_accounting
from tests.faults import CHUNKS, ROOT, Undisturbed, dump, undisturbed
from tests.processes import open_files, opened_in, read_of, runs, until, with_variable
from tests.running import DATASET, environment, plan, shards_of, tol_db
from tests.shared_data import SHARED_DATA
from tests.slurm_cluster import PATH, Cluster, running
from tests.slurm_jobs import Site, finish
from tol_db.demo_tree import DemoTree

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, _demo_ingested: Path) -> Undisturbed:
    return undisturbed(_demo_ingested, tmp_path_factory.mktemp("slurm"))


@pytest.fixture
def site(slurm: Cluster, base: Undisturbed, tmp_path: Path) -> Iterator[Site]:
    """A planned dataset of four work units, none of which is written."""
    yield Site.copy(slurm, base, tmp_path / "run")
    slurm.mend()


def units(site: Site) -> int:
    with closing(sqlite3.connect(site.db)) as connection:
        return int(connection.execute("SELECT count(*) FROM work_unit").fetchone()[0])


def wait_for_all_but(site: Site, ids: list[str], task: str) -> None:
    """Wait until the other tasks of the same array are over."""
    array = task.partition("_")[0]
    assert array in ids
    others = {job.id for job in site.cluster.jobs_of([array])} - {task}
    site.wait_for(sorted(others))


@pytest.mark.parametrize("corpus", ["dev" if SHARED_DATA.is_dir() else "demo"])
def test_the_whole_pipeline_as_jobs_equals_the_local_run(
    slurm: Cluster, request: pytest.FixtureRequest, corpus: str, tmp_path: Path
) -> None:
    ingested: Path = (
        request.getfixturevalue("corpus_db")(corpus) if corpus == "dev" else request.getfixturevalue("demo_db")
    )
    local = undisturbed(ingested, tmp_path)
    site = Site.copy(slurm, local, tmp_path / "run")
    words = [word for word in site.submission("--verify-shards", 2) if word != "--no-verify"]
    told = site.tol_db(*words, "--json")
    jobs = {job.id: job for job in slurm.jobs().values() if job.id.partition("_")[0] in told}
    ended = site.wait_for(sorted({number.partition("_")[0] for number in jobs}, key=int))
    assert {job.state for job in ended.values()} == {"COMPLETED"}, site.told()
    assert len({job.node for job in ended.values()}) > 1
    assert shards_of(site.out) == local.shards
    with closing(sqlite3.connect(site.db)) as connection:
        assert connection.execute("SELECT DISTINCT state FROM shard").fetchall() == [("verified",)]
    catalogs = [tmp_path / "here.csv", tmp_path / "there.csv"]
    for db, catalog in zip((site.db, tmp_path / "done" / "tol.sqlite"), catalogs, strict=True):
        tol_db(db, "export", "catalog", "--dataset", DATASET, "-o", catalog)
    assert catalogs[0].read_bytes() == catalogs[1].read_bytes()
    site.tol_db("doctor")
    assert not site.submit()


def test_tasks_that_are_cancelled_in_the_middle_leave_the_rest_to_the_next_submit(site: Site) -> None:
    site.pause(tasks=2)
    ids = site.submit()
    one, other = site.paused(2)
    site.cluster.run("scancel", one.task)
    assert [job.state for job in site.wait_for([one.task]).values()] == ["CANCELLED"]
    assert not runs(one.pid)
    told = site.tol_db("slurm", "status", "--dataset", DATASET)
    assert all(number in told for number in ids), told
    ended = site.tol_db("slurm", "cancel", "--dataset", DATASET, "--yes")
    assert all(number in ended for number in ids), ended
    site.wait_for(ids)
    assert not runs(other.pid)
    site.check_nothing_false()
    site.tol_db("collect", "--dataset", DATASET, expect=1)
    assert not list(site.out.rglob("*.partial"))
    assert "tol-db slurm submit" in site.tol_db("slurm", "status", "--dataset", DATASET)  # what to do next
    site.finish()


def test_a_task_that_is_requeued_goes_on_where_it_was(site: Site) -> None:
    site.pause()
    ids = site.submit()
    (paused,) = site.paused()
    before = shards_of(site.out)
    site.cluster.run("scontrol", "requeue", paused.task)
    ended = site.wait_for(ids)
    assert {job.state for job in ended.values()} == {"COMPLETED"}, site.told()
    assert before.items() <= shards_of(site.out).items()
    assert not list(site.out.rglob("*.partial"))
    site.finish()


def test_the_tasks_of_a_node_that_dies_are_done_by_others(site: Site) -> None:
    site.pause()
    ids = site.submit()
    (paused,) = site.paused()
    site.cluster.crash_node(paused.node)
    assert not runs(paused.pid)
    ended = site.wait_for(ids)
    assert {job.state for job in ended.values()} == {"COMPLETED"}, site.told()
    assert ended[paused.task].node != paused.node
    site.cluster.start_node(paused.node)
    site.finish()


def test_a_node_that_comes_back_has_written_the_same_unit_as_the_task_that_took_its_place(site: Site) -> None:
    site.pause()
    ids = site.submit()
    (first,) = site.paused()
    wait_for_all_but(site, ids, first.task)
    site.pause()
    site.cluster.lose_node(first.node)
    site.cluster.run("scontrol", "update", f"nodename={first.node}", "state=down", "reason=test")
    second = site.paused(2)[1]
    assert (second.task, second.node != first.node) == (first.task, True)
    assert runs(first.pid)
    site.go()  # both write the same shards now
    until("the lost task has ended", lambda: not runs(first.pid), told=site.told)
    site.cluster.start_node(first.node)
    ended = site.wait_for(ids)
    assert {job.state for job in ended.values()} == {"COMPLETED"}, site.told()
    site.finish()


def test_at_its_time_limit_a_task_is_requeued_as_often_as_allowed_and_then_waits_for_the_next_submit(
    slurm: Cluster, base: Undisturbed, tmp_path: Path
) -> None:
    # both at once: SLURM looks at time limits every 30 s, and sends the signal 30 s too early rather than too late;
    # here 15 s after the start at least, when the tasks have handlers for it
    sites = {requeues: Site.copy(slurm, base, tmp_path / f"requeues-{requeues}") for requeues in (0, 2)}
    ids = {}
    for requeues, site in sites.items():
        site.pause()
        limit = ("--time", "00:01:00", "--sbatch-option", "--signal=B:USR1@15")
        ids[requeues] = site.submit("--requeues", requeues, *limit)
    paused = {requeues: site.paused()[0] for requeues, site in sites.items()}
    ended = {requeues: site.wait_for(ids[requeues]) for requeues, site in sites.items()}
    assert ended[0][paused[0].task].state == "FAILED"
    assert "ExitCode=75:0" in slurm.run("scontrol", "show", "job", paused[0].task)
    assert {job.state for job in ended[2].values()} == {"COMPLETED"}, sites[2].told()
    # once; where the machine is slow the signal may come once more
    assert re.search(r"Restarts=[12]\b", slurm.run("scontrol", "show", "job", paused[2].task))
    entered = [job.state for job in slurm.jobs_of(ids[0]) if "_" not in job.id]
    assert "FAILED" in entered  # its collect job tells that units are missing
    for site in sites.values():
        site.finish()


def test_tasks_do_not_need_the_controller(site: Site) -> None:
    site.pause(tasks=4)
    ids = site.submit()
    paused = site.paused(2)
    site.cluster.stop_controller()
    try:
        told = site.tol_db("slurm", "status", "--dataset", DATASET)
        assert "does not answer" in told
        assert "in a job or in none: SLURM is silent" in told and "in no job" not in told
        site.go()
        until("the tasks have ended", lambda: not any(runs(each.pid) for each in paused), told=site.logs)
    finally:
        site.cluster.start_controller()
    ended = site.wait_for(ids)
    assert {job.state for job in ended.values()} == {"COMPLETED"}, site.told()
    site.finish()


def test_collects_during_and_after_the_array_three_at_once_enter_each_shard_once(site: Site) -> None:
    site.pause()
    ids = site.submit("--no-collect")
    (paused,) = site.paused()
    wait_for_all_but(site, ids, paused.task)
    for process in [site.start("collect", "--dataset", DATASET) for _ in range(3)]:
        assert "still to be written" in finish(process, expect=1)
    assert runs(paused.pid)
    assert list(site.out.rglob(".shard-*.partial"))  # of the task that stands still; not swept
    site.check_nothing_false()
    site.go()
    site.wait_for(ids)
    for process in [site.start("collect", "--dataset", DATASET) for _ in range(3)]:
        finish(process)
    assert shards_of(site.out) == site.base.shards
    assert dump(site.db) == site.base.rows
    site.finish()


def test_two_submits_at_once_and_a_third_after_them_submit_each_unit_once(site: Site) -> None:
    site.pause(tasks=units(site))
    before = set(site.cluster.jobs())
    for process in [site.start(*site.submission()) for _ in range(2)]:
        finish(process)
    site.submit()
    new = {number for number in site.cluster.jobs() if number not in before}
    tasks = {number for number in new if "_" in number}
    assert len(tasks) == units(site), site.told()
    refused = site.tol_db("plan", "--dataset", DATASET, "--refresh", expect=75)
    assert "SLURM lists array" in refused and "slurm cancel" in refused
    site.go()
    site.wait_for(sorted({number.partition("_")[0] for number in new}, key=int))
    site.finish()


def test_tasks_hold_no_lock_and_no_handle_on_the_shared_database_and_never_open_it(site: Site) -> None:
    number = units(site)
    site.pause(tasks=number)
    ids = site.submit("--no-collect", "--sbatch-option", "--hold")
    with (
        closing(sqlite3.connect(site.db, timeout=0, isolation_level=None)) as writer,
        opened_in(site.folder) as opened,
    ):
        writer.execute("SELECT count(*) FROM dataset").fetchone()
        ours = len(opened())
        site.cluster.run("scontrol", "release", *ids)
        paused = site.paused(number)
        tasks = {pid for each in paused for pid in site.cluster.processes_of(each.node)}
        assert {each.pid for each in paused} <= tasks
        files = {str(path): str(path.stat().st_ino) for path in site.folder.glob("tol.sqlite*")}
        assert not {file for pid in tasks for file in open_files(pid)} & files.keys()
        assert not [pid for pid in tasks for file in files if file.encode() in read_of(pid, "maps")]
        writer.execute("BEGIN EXCLUSIVE")  # succeeds at once; held until all tasks are over
        writer.execute("UPDATE dataset SET name = 'another'")
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        assert {lock[-4] for lock in locks if lock[-3].rpartition(":")[2] in files.values()} == {str(os.getpid())}
        site.go()
        ended = site.wait_for(ids)
        writer.execute("ROLLBACK")
        assert {job.state for job in ended.values()} == {"COMPLETED"}, site.told()
        assert not [name for name in opened()[ours:] if name.startswith("tol.sqlite")]
        site.tol_db("report", "status")
        assert "tol.sqlite" in opened()[ours:]  # it would have been noticed
    site.finish()


def test_rows_that_are_only_in_the_log_reach_the_nodes_though_a_plain_copy_has_none_of_them(
    slurm: Cluster, base: Undisturbed, demo_db: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(demo_db, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM image").fetchone()  # while this is read, the log is not folded in
        plan(demo_db, tmp_path / "out", "clean", *CHUNKS)
        copied = Path(shutil.copy(demo_db, tmp_path / "copied.sqlite"))
        site = Site(slurm, demo_db, tmp_path / "out", base)
        site.prepare()
        ids = site.submit()
    (snapshot,) = (site.out / "_snapshots").iterdir()
    assert hashlib.sha256(snapshot.read_bytes()).hexdigest() == snapshot.stem
    with closing(sqlite3.connect(copied)) as connection:
        assert connection.execute("SELECT count(*) FROM dataset").fetchone() == (0,)
    ended = site.wait_for(ids)
    assert {job.state for job in ended.values()} == {"COMPLETED"}, site.told()
    assert shards_of(site.out) == base.shards
    site.tol_db("doctor")


def test_a_snapshot_that_was_damaged_is_not_believed_and_the_next_submit_makes_it_again(site: Site) -> None:
    ids = site.submit("--no-collect", "--sbatch-option", "--hold")
    (snapshot,) = (site.out / "_snapshots").iterdir()
    data = snapshot.read_bytes()
    snapshot.chmod(0o644)
    snapshot.write_bytes(bytes([*data[:5000], data[5000] ^ 1, *data[5001:]]))
    site.cluster.run("scontrol", "release", *ids)
    ended = site.wait_for(ids)
    assert {job.state for job in ended.values()} == {"FAILED"}, site.told()
    assert "ExitCode=65:0" in site.cluster.run("scontrol", "show", "job", *ids)
    assert not shards_of(site.out)
    assert "sha256" in site.tol_db("slurm", "status", "--dataset", DATASET)  # the end of a failed task's log
    site.finish()


def test_a_job_that_sbatch_refuses_leaves_no_trace_and_one_whose_number_was_never_heard_is_found_by_its_name(
    site: Site,
) -> None:
    site.tol_db(*site.submission("--partition", "none"), expect=1)
    with closing(sqlite3.connect(site.db)) as connection:
        assert connection.execute("SELECT count(*) FROM submission").fetchone() == (0,)
    site.pause(tasks=4)
    real = shutil.which("sbatch", path=PATH)
    dying = site.folder / "dying" / "sbatch"
    dying.parent.mkdir()
    dying.write_text(f'#!/bin/sh\n"{real}" "$@" >"{dying.parent}/told"\nkill -9 $PPID\n')
    dying.chmod(0o755)
    submit = site.start(*site.submission(), PATH=f"{dying.parent}:{os.environ['PATH']}")
    assert submit.wait(timeout=120) == -signal.SIGKILL
    number = (dying.parent / "told").read_text().strip()
    with closing(sqlite3.connect(site.db)) as connection:
        assert connection.execute("SELECT slurm_job_id FROM submission").fetchall() == [("0",)]
    assert f"array job {number}: " in site.tol_db("slurm", "status", "--dataset", DATASET)
    again = site.tol_db(*site.submission())
    assert "work units are in jobs already" in again and "nothing to submit" in again and "collect job" in again
    ended = site.tol_db("slurm", "cancel", "--dataset", DATASET, "--yes")
    assert number in ended.split("ended jobs ")[1].split("\n")[0].split(", ")
    site.wait_for([number])
    site.finish()


def test_the_jobs_of_another_cluster_are_neither_asked_for_nor_cancelled_nor_submitted_twice(site: Site) -> None:
    site.pause(tasks=4)
    ids = site.submit("--no-collect")
    site.paused()
    with running(nodes=1, name="south", first_job=int(ids[0])) as south:
        stranger = south.run("sbatch", "--parsable", "-o", "/dev/null", "--wrap", "sleep 600").strip()
        assert [stranger] == ids
        told = site.tol_db("slurm", "status", "--dataset", DATASET, at=south)
        assert f"array job {stranger} of cluster tests" in told and "in jobs of another cluster" in told
        told = site.tol_db(*site.submission(), at=south)
        assert "left out: array" in told and "nothing to submit" in told
        refused = site.tol_db("slurm", "cancel", "--dataset", DATASET, "--yes", at=south, expect=1)
        assert "of cluster tests" in refused and "this is cluster south" in refused
        assert [job.state for job in south.jobs_of([stranger])] != ["CANCELLED"]
        taken = site.tol_db(*site.submission("--take-over", "--dry-run"), at=south)
        assert "would be submitted" in taken
        with closing(sqlite3.connect(site.db)) as connection, connection:  # a cluster that was set up anew
            connection.execute("UPDATE submission SET cluster = 'south'")
        told = site.tol_db("slurm", "status", "--dataset", DATASET, at=south)
        assert "none in the queue of cluster south" in told and "in no job" in told
        with closing(sqlite3.connect(site.db)) as connection, connection:
            connection.execute("UPDATE submission SET cluster = 'tests'")
        assert ids[0] in site.tol_db("slurm", "cancel", "--dataset", DATASET, "--yes")
        told = site.tol_db(*site.submission("--dry-run"), at=south)
        assert "would be submitted" in told and "left out" not in told  # it is known to be over by now
    site.wait_for(ids)
    site.finish()


def test_status_tells_how_tasks_of_several_arrays_ended_where_accounts_are_kept(
    base: Undisturbed, tmp_path: Path
) -> None:
    if missing := slurm_accounting.what_is_missing(PATH):
        pytest.skip(missing)
    with running(nodes=1, name="accounted", accounting=True, max_array_size=3) as cluster:
        site = Site.copy(cluster, base, tmp_path / "run")
        ids = site.submit("--no-collect", "--sbatch-option", "--hold")
        (snapshot,) = (site.out / "_snapshots").iterdir()
        data = snapshot.read_bytes()
        snapshot.chmod(0o644)
        snapshot.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
        cluster.run("scontrol", "release", *ids)
        site.wait_for(ids)
        told = until(
            "the accounts know of it",
            lambda: (
                (text := site.tol_db("slurm", "status", "--dataset", DATASET)).count("FAILED") >= len(ids) and text
            ),
            told=lambda: cluster.run("sacct", "-X", "-P", "-o", "JobID,State,ExitCode,JobName"),
        )
        assert len(ids) == -(-units(site) // 3) > 1  # arrays of three tasks, each counting from 0
        assert all(f"task {job}_0 ended FAILED 65:0 without work units" in told for job in ids)
        site.finish()


def test_the_pipeline_script_scans_in_an_array_and_goes_on_to_the_catalog(
    slurm: Cluster, demo_tree: DemoTree, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "tol-db"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m tol_db "$@"\n')
    command.chmod(0o755)
    tree, out = Path(shutil.copytree(demo_tree.tree, tmp_path / "TreeOfLife-10M")), tmp_path / "shards"
    values = {
        "TOL_DB": str(tmp_path / "tol.sqlite"),
        "TOL_DB_SLURM_DATA": str(tree),
        "TOL_DB_SLURM_OUT": str(out),
        "TOL_DB_SLURM_BIN": str(command.parent),
        "TOL_DB_SLURM_SETUP": f"export PATH={command.parent}:$PATH",
        "TOL_DB_SLURM_SHARES": "2",
        "TOL_DB_SLURM_LOGS": str(tmp_path / "logs"),
        "TOL_DB_SLURM_TIME": "00:05:00",
        "TOL_DB_SLURM_CPUS": "2",
        "TOL_DB_SLURM_MEM": "500M",
        "TOL_DB_SLURM_SBATCH_OPTIONS": "--mem=500M",
        **slurm.environment,
    }
    before = set(slurm.jobs())
    script = ["bash", str(ROOT / "slurm" / "pipeline.sh"), "scan", "plan"]
    subprocess.run(script, env=environment(**values), check=True, capture_output=True, cwd=tmp_path, timeout=60)
    slurm.wait_for(sorted({number.partition("_")[0] for number in set(slurm.jobs()) - before}))
    new = {number.partition("_")[0] for number in set(slurm.jobs()) - before}  # plan has submitted more
    states = {job.name: job.state for job in slurm.wait_for(sorted(new))}
    logs = "\n".join(path.read_text() for folder in (tmp_path / "logs", out / "_logs") for path in folder.iterdir())
    assert set(states.values()) == {"COMPLETED"}, f"{states}\n{logs}"
    assert len(list((tree / "scans").iterdir())) > 3
    assert "of them from scan files" in logs
    with closing(sqlite3.connect(tmp_path / "tol.sqlite")) as connection:
        assert connection.execute("SELECT DISTINCT state FROM shard").fetchall() == [("verified",)]
    assert (out / "catalog.csv").is_file()
    slurm.mend()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_cluster_ends_with_the_process_that_started_it(slurm: Cluster, number: signal.Signals) -> None:
    code = (
        "import time; from tests.slurm_cluster import running\n"
        "with running(nodes=1) as cluster: print(cluster.folder, flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    ours = with_variable("SLURM_CONF", folder / "slurm.conf")
    assert len(ours) >= 3  # munged, slurmctld, slurmd
    process.send_signal(number)
    process.communicate(timeout=60)
    until("its daemons and files are gone", lambda: not folder.exists() and not any(map(runs, ours)))
    assert slurm.run("sinfo", "-h", "-N", "-o", "%N").split() == slurm.names  # another one goes on


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_accidents_at_random_moments_change_nothing(site: Site, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(6):
        ids = site.submit()
        for _ in range(2):
            time.sleep(dice.uniform(0.2, 3))
            accident(site, ids, dice)
        site.wait_for(ids)
        site.check_nothing_false()
    site.finish()


def accident(site: Site, ids: list[str], dice: random.Random) -> None:
    """Something that happens to a cluster, to a node or task that is at work if there is one."""
    cluster = site.cluster
    running = [job for job in cluster.jobs_of(ids) if job.state == "RUNNING"]
    what = dice.choice(["scancel", "requeue", "crash", "lose", "controller", "collect"])
    if what == "controller":
        cluster.stop_controller()
        time.sleep(dice.uniform(0, 2))
        cluster.start_controller()
    elif what == "collect":
        site.start("collect", "--dataset", DATASET).communicate(timeout=120)
    elif running:
        job = dice.choice(running)
        if what in ("crash", "lose"):
            (cluster.crash_node if what == "crash" else cluster.lose_node)(job.node)
            cluster.run("scontrol", "update", f"nodename={job.node}", "state=down", "reason=test")
            cluster.start_node(job.node)
        else:  # it may be over by now
            subprocess.run(
                [what, job.id] if what == "scancel" else ["scontrol", what, job.id],
                env=environment(**cluster.environment),
                capture_output=True,
                check=False,
                timeout=60,
            )
