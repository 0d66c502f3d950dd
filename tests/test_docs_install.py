"""Whoever has nothing but Python sets tol-db up by the README's own lines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.documents import ROOT, shell_blocks
from tests.package_index import pip_install
from tests.running import environment

DOCUMENTS = ("README.md",)
"""Those with blocks that install something."""
_PLACE = "/path/to/tol-db"

pytestmark = pytest.mark.index


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a source distribution holds, and so every checkout; skips where no package index can be reached."""
    pip_install(["--dry-run", "--no-deps", "--target", tmp_path / "none", "hatchling"])
    folder = tmp_path / "tol-db"
    folder.mkdir()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    held = settings["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    for path in (ROOT / name for name in [*held, "pyproject.toml", "LICENSE"]):
        if path.is_dir():
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, folder)
    return folder


def test_the_lines_of_the_readme_set_everything_up_and_run_the_main_job(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    first, *others = [block.shell for name in DOCUMENTS for block in shell_blocks(ROOT / name, "index")]
    printed = _run(first, checkout, tmp_path / "bin")
    assert "catalog.csv: one row per image and split" in printed
    assert (checkout / "demo" / "catalog.csv").is_file()
    # the others are entered in an environment of one's own: in that one
    for lines in others:
        assert _PLACE in lines
        _run(lines.replace(_PLACE, str(checkout)), tmp_path, checkout / ".venv" / "bin")
    script = "import isal, tol_db; print(tol_db.__file__)"
    where = _run(f"python -c '{script}'", tmp_path, checkout / ".venv" / "bin")
    assert where.startswith(str(checkout / ".venv")), where


def _run(lines: str, folder: Path, programs: Path) -> str:
    done = subprocess.run(
        [shutil.which("bash") or "bash", "-c", f"set -euo pipefail\n{lines}"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
        env=environment(PATH=f"{programs}{os.pathsep}{os.environ['PATH']}", PYTHONPATH=""),
    )
    assert done.returncode == 0, f"{lines}\nexit {done.returncode}\n{done.stdout}"
    return done.stdout
