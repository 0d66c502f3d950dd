"""Starting a worker process where the machine has too little left: it is told, and nothing stays open."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.running import environment

SWEEP = """
import json, os, resource
from collections import deque
from materialize.child import start_child, start_watched_child
from materialize.foreign.pool import Pool, SharedWatch
from materialize.slot import Slot
from tol_db.errors import TolDbError

def opened():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except OSError:  # that of the listing itself
            pass
    return found

def limit(free):
    '''Let so many more files be opened.'''
    taken, number = {fd for fd, _ in opened()}, 0
    while free:
        free -= number not in taken
        number += 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(number, 1), hard))

def watched():
    process, ours, _ = start_watched_child(operator.is_, shared=Slot)
    process.kill(); process.join(); ours.close()

def plain():
    process, ours = start_child(callable)
    process.kill(); process.join(); ours.close()

def pool():
    pool = Pool(None, None, 60.0, None)
    try:
        pool._start()
    finally:
        pool._end_all()

import operator, sys
# what is imported only now would fail on its own account
import multiprocessing.popen_spawn_posix, multiprocessing.heap, multiprocessing.resource_tracker, tempfile, mmap
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
begin = {"watched": watched, "plain": plain, "pool": pool}[sys.argv[1]]
for free in range(14):
    limit(free)
    try:
        begin()
        outcome = "started"
    except TolDbError as err:
        outcome = f"TolDbError: {err}; {err.hint}"
    except Exception as err:
        outcome = f"raw {type(err).__name__}: {err}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print(json.dumps([free, outcome, sum(name.startswith("socket:") for _, name in opened())]))
"""


@pytest.mark.parametrize("way", ["watched", "plain", "pool"])
def test_too_few_open_files_for_a_worker_are_told_and_none_stays_open(way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWEEP, way],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=environment(),
        stdin=subprocess.DEVNULL,
    )
    tries = [json.loads(line) for line in done.stdout.splitlines()]
    refused = [outcome for _, outcome, _ in tries if outcome != "started"]
    assert tries[-1][1] == "started", tries
    assert len(refused) >= 4, tries
    for outcome in refused:
        assert outcome.startswith("TolDbError: a worker process cannot be started: "), tries
        assert outcome.endswith("; use fewer --workers"), tries
    assert len({sockets for _, _, sockets in tries}) == 1, "an end of a pipe stays open"
