"""Every named step of the shard protocol × everything that can happen there × both modes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import _ingested
from tests.faults import DETACHED, LOCAL, Undisturbed, all_faults, one_fault_each, try_fault, undisturbed
from tol_db.demo_tree import FEWEST_IMAGES, make_demo_tree


@dataclass(frozen=True, slots=True)
class FaultPoints:
    """How many faults were tried, and after how many the next run ended as if there had been none.

    Attributes:
        steps: distinct named steps.
        failed: what went wrong, one line each.
    """

    tried: int
    converged: int
    steps: int
    failed: tuple[str, ...]


def run(folder: Path, *, everything: bool, jobs: int, say: Callable[[str], None]) -> FaultPoints:
    """Try them, ``jobs`` at a time."""
    tree = make_demo_tree(folder / "tree", images=FEWEST_IMAGES)
    base = undisturbed(_ingested(folder, tree.tree, tree.rare_seen, tree.rare_unseen), folder)
    choose = all_faults if everything else one_fault_each
    cases = [(fault, detached) for detached, steps in ((False, LOCAL), (True, DETACHED)) for fault in choose(steps)]
    failed: list[str] = []
    done = 0

    def one(number: int) -> str | None:
        (step, action, nth), detached = cases[number]
        return _tried(base, folder / f"case-{number}", step, action, nth, detached)

    with ThreadPoolExecutor(jobs) as pool:
        for told in pool.map(one, range(len(cases))):
            done += 1
            if told is not None:
                failed.append(told)
                say(told)
            if done % 50 == 0:
                say(f"{done} of {len(cases)} faults, {len(failed)} did not converge")
    steps = {fault[0] for fault, _ in cases}
    return FaultPoints(len(cases), len(cases) - len(failed), len(steps), tuple(failed))


def _tried(base: Undisturbed, folder: Path, step: str, action: str, nth: int, detached: bool) -> str | None:
    try:
        try_fault(base, folder, step, action, nth, detached=detached, workers=2)
    except AssertionError as err:
        mode = "receipts collected later" if detached else "local pool"
        return f"{mode}: {step} {action} {nth}: {str(err)[:500]}"
    return None
