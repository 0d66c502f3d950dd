"""A planned dataset on a cluster: submitted as a user does it, with tasks that can be made to stand still."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from materialize.steps import Step
from tests.faults import ROOT, Undisturbed, check_equal, check_nothing_false, copy_of
from tests.processes import until
from tests.running import DATASET, environment
from tests.slurm_cluster import Cluster, Job


@dataclass(frozen=True, slots=True)
class Pause:
    """A process of a task that stands still.

    Attributes:
        task: ``12_3``: its job and number in the array.
        node: where it runs.
        pid: of the worker process.
    """

    task: str
    node: str
    pid: int


@dataclass(frozen=True, slots=True)
class Site:
    """A dataset, and the cluster that writes it.

    Attributes:
        db, out: its database and output root.
        base: what an undisturbed local run makes of it.
    """

    cluster: Cluster
    db: Path
    out: Path
    base: Undisturbed

    @classmethod
    def copy(cls, cluster: Cluster, base: Undisturbed, folder: Path) -> Site:
        """A copy of a planned dataset; tasks pause at the second shard of a process, if told to."""
        site = cls(cluster, *copy_of(base.db, base.out, folder), base)
        site.prepare()
        return site

    @property
    def folder(self) -> Path:
        return self.db.parent

    @property
    def pauses(self) -> Path:
        return self.folder / "pauses"

    def prepare(self, step: Step = Step.SHARD_FSYNC, nth: int = 2) -> None:
        """Make the command ``tol-db`` that jobs find: ours, with a pause in it."""
        self.pauses.mkdir()
        (self.folder / "local").mkdir()
        command = self.folder / "bin" / "tol-db"
        command.parent.mkdir()
        command.write_text(
            f"#!/bin/sh\nPAUSE='{step}:{nth}:{self.pauses}' PYTHONPATH='{ROOT}' NO_COLOR=1\n"
            f"export PAUSE PYTHONPATH NO_COLOR\nexec '{sys.executable}' -m tests.paused \"$@\"\n"
        )
        command.chmod(0o755)

    def start(self, *words: object, at: Cluster | None = None, **variables: str) -> subprocess.Popen[str]:
        """Start a command on the login node, or on that of another cluster that sees the same files."""
        return subprocess.Popen(
            [sys.executable, "-m", "tol_db", "--db", str(self.db), *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=environment(**(at or self.cluster).environment, **variables),
            start_new_session=True,
        )

    def tol_db(self, *words: object, expect: int = 0, at: Cluster | None = None) -> str:
        """Run a command on the login node; what it printed, both streams."""
        return finish(self.start(*words, at=at), expect)

    def submission(self, *more: object) -> tuple[object, ...]:
        """The words that submit one task per work unit, with one worker each."""
        return (
            *("slurm", "submit", "--dataset", DATASET, "--time", "00:05:00", "--cpus", 1, "--mem", "500M"),
            *("--task-minutes", 1, "--rate", "0.01", "--local-dir", self.folder / "local", "--no-verify"),
            *("--setup", f"export PATH={self.folder / 'bin'}:$PATH", *more),
        )

    def submit(self, *more: object) -> list[str]:
        """Submit what is pending; the numbers of the new jobs, all of which were printed."""
        before = self._numbers()
        told = self.tol_db(*self.submission(*more))
        new = sorted(self._numbers() - before, key=int)
        assert all(number in told for number in new), told
        return new

    def _numbers(self) -> set[str]:
        return {number.partition("_")[0] for number in self.cluster.jobs()}

    def pause(self, tasks: int = 1) -> None:
        """Let the next so many tasks that come there stand still."""
        for number in range(tasks):
            (self.pauses / f"token-{number}").touch()

    def paused(self, number: int = 1) -> list[Pause]:
        """Wait until so many processes stand still; in the order in which they did."""

        def look() -> list[Pause]:
            files = sorted(self.pauses.glob("paused-*.json"), key=lambda path: path.stat().st_mtime_ns)
            told = [json.loads(path.read_text()) for path in files]
            found = [
                Pause(f"{t['SLURM_ARRAY_JOB_ID']}_{t['SLURM_ARRAY_TASK_ID']}", t["SLURMD_NODENAME"], t["pid"])
                for t in told
            ]
            return found if len(found) >= number else []

        return until(f"{number} tasks stand still", look, told=self.told)

    def go(self) -> None:
        """Let whatever stands still go on."""
        (self.pauses / "go").touch()

    def wait_for(self, ids: list[str]) -> dict[str, Job]:
        try:
            return {job.id: job for job in self.cluster.wait_for(ids)}
        except AssertionError as err:
            raise AssertionError(f"{err}\n{self.logs()}") from None

    def logs(self) -> str:
        """What the jobs have printed."""
        found = sorted((self.out / "_logs").rglob("*")) if (self.out / "_logs").is_dir() else []
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in found if path.is_file())

    def told(self) -> str:
        return f"{self.cluster.told()}\n{self.logs()}"

    def check_nothing_false(self) -> None:
        check_nothing_false(self.db, self.out, self.base)

    def finish(self) -> None:
        """Submit again what is left, if anything is, and compare with the run that was not disturbed."""
        self.check_nothing_false()
        self.go()
        if left := self.submit("--no-collect"):
            self.wait_for(left)
            assert not self.submit(), self.told()  # which has collected
        assert shards_on_disk(self.out) == set(self.base.shards), self.told()
        check_equal(self.db, self.out, self.base)
        self.tol_db("doctor")
        assert not list((self.folder / "local").iterdir())  # copies on the nodes are removed


def shards_on_disk(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*.tar")}


def finish(process: subprocess.Popen[str], expect: int = 0) -> str:
    """Wait for a command; what it printed. It never prints a traceback."""
    text, errors = process.communicate(timeout=180)
    told = f"{process.args!r}\nexit {process.returncode}\n{text}\n{errors}"
    assert "Traceback" not in errors, told
    assert process.returncode == expect, told
    return text + errors
