"""Inputs that several tests share: each is made once per process and copied for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import tol_db
from tests.shared_data import SHARED_DATA
from tol_db.demo_tree import DemoTree, make_demo_tree

_skipped_though_there: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and "shared" in report.keywords and SHARED_DATA.is_dir():
        _skipped_though_there.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Published inputs that are there must be used: a skip then is a failure."""
    if _skipped_though_there and not hasattr(session.config, "workerinput"):
        told = f"skipped although {SHARED_DATA} is there: {', '.join(_skipped_though_there)}"
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(told, red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _a_plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith(("TOL_DB", "SLURM_"))]:
        monkeypatch.delenv(name)


def _ingested(folder: Path, tree: Path, seen: Path, unseen: Path) -> Path:
    db = folder / "tol.sqlite"
    tol_db(db, "init")
    tol_db(db, "ingest", "tol10m", tree)
    tol_db(db, "ingest", "blacklist", "rare-species", "--images", seen, "--species", unseen)
    return db


@pytest.fixture(scope="session")
def demo_tree(tmp_path_factory: pytest.TempPathFactory) -> DemoTree:
    """A generated raw tree of 90 images; read only."""
    return make_demo_tree(tmp_path_factory.mktemp("demo"), images=90)


@pytest.fixture(scope="session")
def _demo_ingested(tmp_path_factory: pytest.TempPathFactory, demo_tree: DemoTree) -> Path:
    folder = tmp_path_factory.mktemp("demo_db")
    return _ingested(folder, demo_tree.tree, demo_tree.rare_seen, demo_tree.rare_unseen)


@pytest.fixture(scope="session")
def _corpus_ingested(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            data = SHARED_DATA / "corpora" / name / "data"
            lists = data / "rarespecies"
            made[name] = _ingested(
                tmp_path_factory.mktemp(name),
                data / "TreeOfLife-10M",
                lists / "seen_in_training.json",
                lists / "unseen_in_training.json",
            )
        return made[name]

    return make


def _copy(db: Path, folder: Path) -> Path:
    """A database of its own for a test; the log was folded into the file when the last command ended."""
    assert not Path(f"{db}-wal").exists()
    return Path(shutil.copy(db, folder / "tol.sqlite"))


@pytest.fixture
def demo_db(_demo_ingested: Path, tmp_path: Path) -> Path:
    """The demo tree, ingested with its rare-species lists."""
    return _copy(_demo_ingested, tmp_path)


@pytest.fixture
def corpus_db(_corpus_ingested: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """corpus_db("dev"): a published corpus, ingested with its rare-species lists."""
    return lambda name: _copy(_corpus_ingested(name), tmp_path)
