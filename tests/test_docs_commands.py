"""Every command that a document or a help text shows is one that there is; the guides are run as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.documents import DOCUMENTS, ROOT, blocks, calls, require_call
from tests.running import environment
from tests.test_house import commands
from tol_db.cli import cli
from tol_db.errors import TolDbError

RUN = ("tutorial.md", "faq.md", "migrating.md")
"""Pages of docs/ whose shell blocks are run, in this order, in one folder."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_every_call_in_a_document_can_be_parsed(document: Path) -> None:
    for block in blocks(document):
        if block.language in ("sh", "bash", "shell", "console"):
            for words in calls(block.text):
                _require(words, block.text)


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(path, command, id="-".join(path)) for path, command in commands()]
)
def test_every_example_in_a_help_text_can_be_parsed(path: tuple[str, ...], command: click.Command) -> None:
    assert command.help is not None
    examples = re.split(r"Examples?:\n", command.help)[1]
    called = list(calls(examples))
    for words in called:
        _require(words, examples)
    assert any(words[: len(path)] == list(path) for words in called)
    assert ("Examples:" in command.help) == (len(examples.strip().splitlines()) > 1)


def _require(words: list[str], where: str) -> None:
    try:
        require_call(cli, words)
    except (click.ClickException, TolDbError) as err:
        message = err.format_message() if isinstance(err, click.ClickException) else str(err)
        pytest.fail(f"tol-db {' '.join(words)}: {message}\n{where}")


def test_a_call_that_there_is_not_is_noticed() -> None:
    assert list(calls("X=1 tol-db a --b 'c d' > f; cat <<'END' | tol-db e\ntol-db no\nEND\necho tol-db")) == [
        ["a", "--b", "c d"],
        ["e"],
    ]
    for words in (
        ["nosuch"],
        ["plan", "out", "--nosuch"],
        ["report", "nosuch"],
        ["plan", "--dataset", "x", "--order", "y"],
    ):
        with pytest.raises((click.ClickException, TolDbError)):
            require_call(cli, words)
    require_call(cli, ["--db", "x", "report", "audit", "--all"])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Page → what its commands printed. Those that fail fail the page."""
    folder = tmp_path_factory.mktemp("guides")
    (folder / "bin").mkdir()
    for name, start in (("tol-db", f"{sys.executable} -m tol_db"), ("python3", sys.executable)):
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec {start} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    found = {}
    for page in RUN:
        script = "set -euo pipefail\n"
        for block in blocks(ROOT / "docs" / page):
            if block.title is not None:
                (folder / block.title).write_text(block.text, encoding="utf-8")
            elif block.language == "sh" and block.not_run is None:
                script += block.text
        done = subprocess.run(
            [shutil.which("bash") or "bash", "-c", script],
            cwd=folder,
            capture_output=True,
            text=True,
            env=environment(PATH=path, TOL_DB_WORKERS="1"),
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, f"{page}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        found[page] = done.stdout
    return found


def test_the_tutorial_runs_to_its_batch_and_says_what_happens(told: dict[str, str]) -> None:
    said = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    printed = told["tutorial.md"]
    assert "train: 40 of 54 images" in printed
    assert "blacklisted_image 9, blacklisted_taxon 3, no_label 1, source_missing 1" in printed
    assert "8 are good" in printed
    losses = [float(loss) for loss in re.findall(r"epoch \d+: loss ([0-9.]+)", printed)]
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)
    assert re.findall(r"\d\.\d{3}", said)  # what the page says of them is about what comes out
    assert losses[:3] == pytest.approx([float(x) for x in re.findall(r"\d\.\d{3}", said)][:3], abs=0.1)


def test_the_answers_of_the_faq_are_those_that_it_gives(told: dict[str, str]) -> None:
    printed = told["faq.md"]
    for outcome in ("blacklisted_image", "blacklisted_taxon", "no_label", "source_missing", "truncated"):
        assert outcome in printed
        assert f"| `{outcome}`" in (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    named, taken_down, repaired = (
        printed.index("image 4a0172d3-ee8b-4b5a-9299-c32ab905c570"),
        printed.rindex("image 1b733e4e-1cf7-4593-beed-6a10a1ab2e78"),
        printed.index("exit 1: something was wrong"),
    )
    assert "written" in printed[named:taken_down]
    assert "blacklisted_image (takedown" in printed[taken_down:repaired]
    assert "are good" in printed[repaired:]


def test_the_migration_guide_runs(told: dict[str, str]) -> None:
    printed = told["migrating.md"]
    assert "nothing is wrong" in printed
    assert "catalog.csv: " in printed


def test_what_cannot_be_run_says_why() -> None:
    for page in RUN:
        for block in blocks(ROOT / "docs" / page):
            if block.language == "sh" and block.not_run is not None:
                assert list(calls(block.text)), block.text  # its calls are parsed like all others
