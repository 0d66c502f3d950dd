"""What the documents and help texts show of SLURM is entered on a cluster, and does there what it is shown for."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import click
import pytest

from tests import slurm_cluster
from tests.documents import ROOT, documents_with, examples, helps, shell_blocks
from tests.scene_files import mirror
from tests.scenes import Scene, Setting, Substitution, prepare

pytestmark = pytest.mark.slurm

SUBSTITUTIONS = (
    Substitution(
        r"(tol-db materialize --dataset tol10m --workers 2)\b",
        r"\1 --units 0",
        "so that something is left for the array, which the document offers in its place",
    ),
    Substitution(
        r"(bash slurm/pipeline\.sh(?: scan plan)?|tol-db slurm submit --dataset tol10m .*--time 08:00:00)(?=  )",
        r"\1; jobs-over",
        "what follows is entered when the jobs are over",
    ),
    Substitution(
        r"(?m)^tol-db slurm (?:verify-)?task .*",
        r"sbatch --quiet --array=0 --output=task-%j.log --wrap '\g<0>'; jobs-over",
        "it is the line of a batch script; SLURM tells it which task it is",
    ),
)
_JOBS_OVER = """\
#!/bin/sh
# waits until no job is left; a controller that does not answer is asked again
until left=$(squeue -h) && [ -z "$left" ]; do sleep 0.2; done
"""

_PLAN = "tol-db plan /data/shards --dataset tol10m --split train --split val --shard-images 8"
_BY_HAND = "mkdir -p /blue/lab/shards/_snapshots; tol-db backup copy.sqlite"
SETTINGS = {
    "README.md": Setting("tree", "mv /data/TreeOfLife-10M /blue/group; rm -r /blue/group/TreeOfLife-10M/metadata"),
    "docs/cluster.md": Setting("ingested"),
    "docs/migrating.md": Setting("ingested", _PLAN),
    "slurm/README.md": Setting("tree", "rm -r /data/TreeOfLife-10M"),
    "slurm submit": Setting("planned"),
    "slurm status": Setting("planned", "tol-db slurm submit --sbatch-option=--hold"),
    "slurm cancel": Setting("planned", "tol-db slurm submit --sbatch-option=--hold"),
    "slurm task": Setting("planned", f"{_BY_HAND}; cp copy.sqlite /blue/lab/shards/_snapshots/mine.sqlite"),
    "slurm verify-task": Setting(
        "planned",
        "tol-db slurm submit --verify-shards 8; jobs-over; "
        f"{_BY_HAND}; cp /data/shards/_snapshots/* /blue/lab/shards/_snapshots; "
        "(cd /blue/lab/shards/_snapshots && mv verify-*.json verify-0f3a.json)",
    ),
}
"""Document or command → what there is before it."""

COMMANDS = [
    pytest.param(name, command, id=name.replace(" ", "-")) for name, command in helps() if name.startswith("slurm")
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[slurm_cluster.Cluster]:
    """One node that believes to be as large as those in the documents."""
    if missing := slurm_cluster.what_is_missing():
        pytest.skip(missing)
    with slurm_cluster.running(
        nodes=1, name="docs", cpus=64, megabytes=256_000, partitions=("main", "hpg-default")
    ) as made:
        yield made


@pytest.fixture(scope="module")
def scene(cluster: slurm_cluster.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made, demo = prepare(tmp_path_factory.mktemp("scene"), ("ingested", "planned"), SUBSTITUTIONS)
    (made.commands / "jobs-over").write_text(_JOBS_OVER)
    (made.commands / "jobs-over").chmod(0o755)
    tol = made.root / "blue" / "mylab" / "tol"
    made.settings = {
        **cluster.environment,
        "PATH": f"{made.commands}{os.pathsep}{slurm_cluster.PATH}",
        "TOL_DB_SLURM_SETUP": f"export PATH={made.commands}:$PATH",
        # of slurm/pipeline.sh and the profile, whose own values stand in the environment's way
        "TOL_DB_SLURM_DATA": str(tol / "TreeOfLife-10M"),
        "TOL_DB_SLURM_OUT": str(tol / "shards"),
        "TOL_DB_SLURM_FETCH": f"--manifest {made.mirror}",
        "TOL_DB_SLURM_SHARES": "2",
        "TOL_DB_SLURM_LOGS": str(made.root / "logs"),
    }
    with mirror(demo, made.mirror):
        yield made


def _run(scene: Scene, cluster: slurm_cluster.Cluster, name: str, lines: list[str]) -> None:
    """Enter lines, and wait for the jobs that they have left."""
    assert name in SETTINGS, f"{name} shows commands for a cluster: say in SETTINGS what there is before them"
    setting = SETTINGS[name]
    scene.restore(setting.stage)
    before = set(cluster.jobs())
    scene.run("\n".join([setting.before, *lines]))
    numbers = {job.partition("_")[0] for job in set(cluster.jobs()) - before}
    held = name == "slurm status"
    if held:
        cluster.run("scancel", *numbers)
    states = {job.state for job in cluster.wait_for(sorted(numbers, key=int))}
    assert states == ({"CANCELLED"} if held or name == "slurm cancel" else {"COMPLETED"}), _logs(scene)


def _logs(scene: Scene) -> str:
    found = [path for path in sorted(scene.root.rglob("*.log")) if path.is_file()]
    return "\n".join(f"{path}:\n{path.read_text()}" for path in found)


@pytest.mark.parametrize("document", documents_with("cluster"))
def test_the_blocks_of_a_document_run(scene: Scene, cluster: slurm_cluster.Cluster, document: str) -> None:
    _run(scene, cluster, document, [block.shell for block in shell_blocks(ROOT / document, "cluster")])
    (database,) = (path for path in scene.root.rglob("tol.sqlite") if path.parent.name in ("data", "disk"))
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT DISTINCT state FROM shard").fetchall() == [("verified",)], _logs(scene)


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_the_examples_of_a_help_text_run(
    scene: Scene, cluster: slurm_cluster.Cluster, name: str, command: click.Command
) -> None:
    _run(scene, cluster, name, examples(command))
