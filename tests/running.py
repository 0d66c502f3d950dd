"""Runs the command line as a user does: another process, real files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests import warm

DATASET = "set"
SPLITS = ("train", "val", "train_small")


def environment(**more: str) -> dict[str, str]:
    """The environment of a user's shell, without what this test run was started with."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TOL_DB", "SLURM_"))}
    return {**kept, "NO_COLOR": "1", "COLUMNS": "200", **more}


def tol_db(db: Path, *words: object, expect: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``tol-db --db DB WORDS`` and check its exit code; it never prints a traceback."""
    command = ["--db", str(db), *map(str, words)]
    done = warm.run(command, environment(), cwd, timeout=300)
    told = f"tol-db {command}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, told
    assert "internal error" not in done.stderr, told
    assert done.returncode == expect, told
    return done


def start(db: Path, *words: object) -> subprocess.Popen[str]:
    """Start a command in a process group of its own, to be signalled."""
    command = [sys.executable, "-m", "tol_db", "--db", str(db), *map(str, words)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )


def plan(db: Path, out: Path, recipe: str = "tol10m", *more: object, splits: tuple[str, ...] = SPLITS) -> None:
    chosen = [word for split in splits for word in ("--split", split)]
    tol_db(db, "plan", out, "--dataset", DATASET, "--recipe", recipe, *chosen, *more)


def shards_of(out: Path) -> dict[str, bytes]:
    """Path under the root → bytes of every shard."""
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*.tar"))}


def manifest(corpus: Path) -> list[dict[str, Any]]:
    with (corpus / "manifest.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
