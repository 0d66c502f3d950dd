"""Benchmarks measure what they say: the parts of them that could be wrong without a figure looking odd."""

from __future__ import annotations

import pstats
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
import pytest

from benchmarks import pretended, synthetic
from benchmarks.corpus import Corpus
from benchmarks.database import planned
from benchmarks.frame import Context, run
from benchmarks.profiles import found, profiled
from benchmarks.published import Published
from benchmarks.resolving import resolve
from materialize.dataset import load_dataset
from materialize.reconcile import reconcile
from tol_db.audit.runner import load
from tol_db.audit.runner import run as ask
from tol_db.db.engine import open_database
from tol_db.demo_tree import DemoTree

IMAGES = 2_000


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    scratch = tmp_path_factory.mktemp("scratch")
    return Context(scratch, IMAGES / synthetic.FULL_SIZE, lambda _text: None)


def test_pages_without_a_name_are_left_out_by_the_plan_as_images_without_a_label(context: Context) -> None:
    with closing(sqlite3.connect(planned(context))) as db:
        sql = """SELECT count(DISTINCT e.image_id) FROM exclusion e JOIN outcome o ON o.id = e.outcome_id
                 WHERE o.name = 'no_label'"""
        (unlabelled,) = db.execute(sql).fetchone()
        (eol,) = db.execute("SELECT count(*) FROM eol_image").fetchone()
    assert 0.01 < unlabelled / eol < 0.15


def test_pretended_shards_keep_every_audit_empty_and_a_run_takes_them_for_what_they_are(context: Context) -> None:
    db = open_database(pretended.completed(context))
    with db.read() as conn:
        dataset = load_dataset(conn, "x")
        assert [audit.name for audit in load() if ask(conn, audit).is_fault] == []
        (left,) = conn.exec_driver_sql("SELECT count(*) FROM shard WHERE state <> 'complete'").one()
    assert left == 0
    findings = reconcile(db, dataset)
    assert (findings.adopted, findings.missing, findings.bad, findings.foreign) == ([], [], [], [])


def test_most_of_the_names_that_are_to_be_resolved_have_an_answer_and_those_that_nobody_has_none(
    tmp_path: Path,
) -> None:
    (result,) = resolve(Context(tmp_path, 0.005, lambda _text: None))
    assert 0.8 < result.numbers["answered"] < 0.95
    assert result.held is None  # no goal is judged at a small size


def test_profiles_tell_of_this_process_and_of_spawned_and_forked_ones(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing, sys\n"
        "def worked_hard():\n    sum(range(1000))\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context(sys.argv[1]).Process(target=worked_hard)\n"
        "    process.start()\n    process.join()\n"
    )
    for method in ("spawn", "fork"):
        with profiled(tmp_path / "profiles", method):
            run([sys.executable, program, method])
        own, *children = found(tmp_path / "profiles", method)
        assert "run" in _functions(own)
        assert len(children) == 2
        assert sum("worked_hard" in _functions(child) for child in children) == 1


def test_without_a_folder_nothing_is_profiled(tmp_path: Path) -> None:
    with profiled(None, "nothing"):
        run([sys.executable, "-c", "pass"], cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def _functions(profile: Path) -> set[str]:
    return {name for _, _, name in pstats.Stats(str(profile)).stats}  # type: ignore[attr-defined]


WRITER = """
import argparse, io, os, tarfile
words = argparse.ArgumentParser()
for name in ("--split", "--tag", "--workers"):
    words.add_argument(name)
words = words.parse_args()
open("data/rarespecies/unseen_in_training.json").close()
assert len(os.listdir("data/TreeOfLife-10M/dataset/bioscan")) == 113
folder = f"data/TreeOfLife-10M/dataset/evobio10m-{words.tag}/224x224/{words.split}"
os.makedirs(folder)
with tarfile.open(f"{folder}/shard-000000.tar", "w") as tar:
    for number in range(SAMPLES):
        for name in ("jpg", "sci.txt"):
            member = tarfile.TarInfo(f"{number}.{name}")
            member.size = 700
            tar.addfile(member, io.BytesIO(bytes(700)))
"""


@pytest.fixture
def checkout(tmp_path: Path, demo_tree: DemoTree) -> Callable[[str], Published]:
    """Lays out a checkout whose writer is the given text."""

    def made(program: str) -> Published:
        script = tmp_path / "checkout" / "scripts" / "make_wds_reproduce.py"
        script.parent.mkdir(parents=True)
        script.write_text(program)
        return Published.found(tmp_path / "checkout", _corpus(demo_tree), tmp_path / "published")

    return made


def _corpus(demo_tree: DemoTree) -> Corpus:
    return Corpus(demo_tree.tree.parent, demo_tree.tree, realistic=False, images=90)


def test_published_scripts_write_all_splits_of_the_corpus_and_can_do_so_again(
    checkout: Callable[[str], Published],
) -> None:
    published = checkout(WRITER.replace("SAMPLES", "20"))
    assert published.cpu(workers=2, least=60) > 0
    assert published.cpu(workers=2, least=60) > 0


def test_published_scripts_that_leave_out_samples_or_fail_are_an_error(
    checkout: Callable[[str], Published],
) -> None:
    published = checkout(WRITER.replace("SAMPLES", "10"))
    with pytest.raises(click.ClickException, match="30 samples, we wrote 60"):
        published.cpu(workers=2, least=60)
    published.script.write_text("import a_package_that_is_not_here")
    with pytest.raises(click.ClickException, match="No module named 'a_package_that_is_not_here'"):
        published.cpu(workers=2, least=60)


def test_a_checkout_without_the_writer_is_an_error_that_names_it(tmp_path: Path, demo_tree: DemoTree) -> None:
    with pytest.raises(click.ClickException, match=r"no make_wds_reproduce\.py or make_wds\.py"):
        Published.found(tmp_path, _corpus(demo_tree), tmp_path / "published")
