"""Profiles of a benchmark: of its own process, and of every Python process that it starts.

Python imports a module ``sitecustomize`` at its start where one is found: a folder with one of ours, put first on
PYTHONPATH, starts a profiler in each child, whatever its command. Only the main thread of each is profiled.
"""

from __future__ import annotations

import cProfile
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FOLDER, _NAME = "TOLDB_PROFILE_FOLDER", "TOLDB_PROFILE_NAME"  # frame.run() takes away what begins with TOL_DB

_SITECUSTOMIZE = f'''"""Profiles this process; made by tol-db's benchmarks."""

import atexit, cProfile, os, sys


def _begin():
    folder, name = os.environ["{_FOLDER}"], os.environ["{_NAME}"]
    profiler = cProfile.Profile()

    def dump():
        profiler.disable()
        profiler.dump_stats(os.path.join(folder, f"{{name}}-{{os.getpid()}}.pstats"))

    def begin_anew(_):
        profiler.clear()
        multiprocessing.util.Finalize(None, dump, exitpriority=0)

    import multiprocessing.util

    # a forked worker ends by os._exit(), after its finalizers; a spawned one as any other process
    if not any("spawn_main" in word for word in sys.orig_argv):
        multiprocessing.util.register_after_fork(begin_anew, begin_anew)
    atexit.register(dump)
    profiler.enable()


if "{_FOLDER}" in os.environ and not any("resource_tracker" in word for word in sys.orig_argv):
    _begin()
'''


@contextmanager
def profiled(folder: Path | None, name: str) -> Iterator[None]:
    """Profile what runs within.

    Args:
        folder: for ``NAME.pstats`` (this process) and ``NAME-PID.pstats`` (each child); None: nothing is done.
        name: of the benchmark.
    """
    if folder is None:
        yield
        return
    folder = folder.absolute()
    hook = folder / "hook"
    hook.mkdir(parents=True, exist_ok=True)
    (hook / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    path = os.pathsep.join(each for each in (str(hook), os.environ.get("PYTHONPATH", "")) if each)
    before = dict(os.environ)
    os.environ |= {"PYTHONPATH": path, _FOLDER: str(folder), _NAME: name}
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        yield
    finally:
        profiler.disable()
        profiler.dump_stats(folder / f"{name}.pstats")
        os.environ.clear()
        os.environ.update(before)


def found(folder: Path, name: str) -> list[Path]:
    """The profiles of a benchmark, that of its own process first."""
    return [folder / f"{name}.pstats", *sorted(folder.glob(f"{name}-[0-9]*.pstats"))]
