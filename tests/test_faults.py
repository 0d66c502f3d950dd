"""Every step of the shard protocol, killed and failed, with and without the database: the next run converges.

The default suite walks every step × {SIGKILL, one error} with the database, and without it every step × SIGKILL and
every second × one error; ``pytest -m soak`` all × all.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import _ingested
from tests.faults import DETACHED, LOCAL, Undisturbed, all_faults, one_fault_each, try_fault, undisturbed
from tol_db.demo_tree import FEWEST_IMAGES, make_demo_tree


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("faults")
    tree = make_demo_tree(folder / "tree", images=FEWEST_IMAGES)
    return undisturbed(_ingested(folder, tree.tree, tree.rare_seen, tree.rare_unseen), folder)


@pytest.mark.parametrize(("step", "action", "nth"), one_fault_each(LOCAL))
def test_after_a_fault_of_a_local_run_the_next_one_converges(
    base: Undisturbed, tmp_path: Path, step: str, action: str, nth: int
) -> None:
    try_fault(base, tmp_path / "run", step, action, nth, detached=False)


@pytest.mark.parametrize(("step", "action", "nth"), one_fault_each(DETACHED, errors=2))
def test_after_a_fault_of_a_run_that_leaves_receipts_the_next_one_converges(
    base: Undisturbed, tmp_path: Path, step: str, action: str, nth: int
) -> None:
    try_fault(base, tmp_path / "run", step, action, nth, detached=True)


@pytest.mark.soak
@pytest.mark.parametrize(("step", "action", "nth"), all_faults(LOCAL))
def test_all_faults_of_a_local_run(base: Undisturbed, tmp_path: Path, step: str, action: str, nth: int) -> None:
    try_fault(base, tmp_path / "run", step, action, nth, detached=False, workers=2)


@pytest.mark.soak
@pytest.mark.parametrize(("step", "action", "nth"), all_faults(DETACHED))
def test_all_faults_of_a_run_that_leaves_receipts(
    base: Undisturbed, tmp_path: Path, step: str, action: str, nth: int
) -> None:
    try_fault(base, tmp_path / "run", step, action, nth, detached=True, workers=2)
