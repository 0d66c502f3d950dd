"""Inputs that several tests share: each is made once per process and copied for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import slurm_cluster
from tests.raw_trees import Rows, new_database, write_mapping, write_tree
from tests.running import plan, tol_db
from tests.shared_data import SHARED_DATA
from tol_db.db.engine import Database
from tol_db.demo_tree import DemoTree, make_demo_tree
from tol_db.ingest.mapping import ingest_mapping

_MUST_RUN = {
    "shared": f"{SHARED_DATA} is there" if SHARED_DATA.is_dir() else "",
    "browser": "TOL_DB_REQUIRE_BROWSER is set" if os.environ.get("TOL_DB_REQUIRE_BROWSER") == "1" else "",
    "index": "TOL_DB_REQUIRE_INDEX is set" if os.environ.get("TOL_DB_REQUIRE_INDEX") == "1" else "",
    "slurm": "TOL_DB_REQUIRE_SLURM is set" if os.environ.get("TOL_DB_REQUIRE_SLURM") == "1" else "",
}
"""Mark → why tests with it may not be skipped here, if they may not."""
_skipped_nevertheless: dict[str, list[str]] = {}


_LONGEST = (
    "test_slurm_pipeline", "test_faults", "test_docs_examples", "test_docs_cluster", "test_interruption",
    "test_verify_results", "test_fetch_unpack", "test_fetch", "test_verify", "test_hostile_tables",
)  # fmt: skip
"""Files that take a minute or more. They are begun with: no process is left alone with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for mark, reason in _MUST_RUN.items():
        if report.skipped and mark in report.keywords and reason:
            _skipped_nevertheless.setdefault(reason, []).append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Published inputs that are there must be used, and a cluster that is asked for: a skip then is a failure."""
    if _skipped_nevertheless and not hasattr(session.config, "workerinput"):
        told = "\n".join(f"skipped although {why}: {', '.join(ids)}" for why, ids in _skipped_nevertheless.items())
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


@pytest.fixture(scope="session")
def written_demo(tmp_path_factory: pytest.TempPathFactory, _demo_ingested: Path) -> Path:
    """The demo tree, written in shards of twelve under ``out`` beside the database; read only."""
    db = _copy(_demo_ingested, tmp_path_factory.mktemp("written"))
    plan(db, db.parent / "out", "clean", "--shard-images", 12)
    tol_db(db, "materialize")
    return db


@pytest.fixture
def corpus_db(_corpus_ingested: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """corpus_db("dev"): a published corpus, ingested with its rare-species lists."""
    return lambda name: _copy(_corpus_ingested(name), tmp_path)


@pytest.fixture
def db(tmp_path: Path) -> Database:
    """An empty database."""
    return new_database(tmp_path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A raw TreeOfLife-10M tree of ten images, made by hand."""
    return write_tree(tmp_path)


@pytest.fixture
def eol(db: Database, tmp_path: Path) -> Path:
    """A folder for EOL archives; the mapping names the images 1 to 9, content 10 × n, page n."""
    write_mapping(tmp_path / "mapping.sqlite", Rows(eol={n: (10 * n, n) for n in range(1, 10)})).close()
    ingest_mapping(db, tmp_path / "mapping.sqlite")
    (tmp_path / "eol").mkdir()
    return tmp_path / "eol"


@pytest.fixture(scope="session")
def slurm() -> Iterator[slurm_cluster.Cluster]:
    """A real cluster of four nodes; tests that use it stand in one file, so that one process of xdist has it."""
    if missing := slurm_cluster.what_is_missing():
        pytest.skip(missing)
    with slurm_cluster.running(nodes=4) as cluster:
        yield cluster
