"""Every command that a document or a help text shows is one that there is, and none is left out of being run.

The guides are run here; for the others see test_docs_examples.py, test_docs_cluster.py and test_docs_install.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from tests import test_docs_cluster, test_docs_examples, test_docs_install
from tests.documents import (
    DOCUMENTS,
    GUIDES,
    ROOT,
    SHELL,
    blocks,
    calls,
    documents_with,
    examples,
    helps,
    require_call,
    shell_blocks,
)
from tests.scenes import PLACES, SUBSTITUTIONS, Scene
from tests.test_house import commands
from tol_db.cli import cli
from tol_db.errors import TolDbError

REASONS = {
    "it is what runs the test of the other commands": "README.md: pytest would start pytest, and so on",
    "hours at full size; the second one needs a checkout of the published scripts": "test_benchmarks.py: small",
    "minutes to an hour; the tests of faults do the same at a small size": "test_faults.py, test_interruption.py",
}
"""The reasons of all blocks that are not run → what is behind them, for whoever wants to add one."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_every_call_in_a_document_can_be_parsed(document: Path) -> None:
    for block in blocks(document):
        if block.language in SHELL:
            for words in calls(block.shell):
                _require(words, block.text)


@pytest.mark.parametrize(
    ("name", "command"), [pytest.param(name, command, id=name.replace(" ", "-")) for name, command in helps()]
)
def test_every_example_in_a_help_text_can_be_parsed(name: str, command: click.Command) -> None:
    for words in calls("\n".join(examples(command))):
        _require(words, "\n".join(examples(command)))


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(path, command, id="-".join(path)) for path, command in commands()]
)
def test_every_command_shows_calls_of_itself_and_all_that_it_shows_is_seen(
    path: tuple[str, ...], command: click.Command
) -> None:
    assert command.help is not None
    shown = re.split(r"Examples?:\n", command.help)[1]
    assert [line.strip() for line in shown.splitlines() if line.strip()] == examples(command)
    assert any(words[: len(path)] == list(path) for words in calls("\n".join(examples(command))))
    assert ("Examples:" in command.help) == (len(examples(command)) > 1)


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


def test_no_command_stands_where_none_is_looked_for() -> None:
    for document in DOCUMENTS:
        for block in blocks(document):
            assert block.language in (*SHELL, "python", "sql", "toml", "text"), document
            if block.language not in SHELL:
                assert not re.search(r"^(\$ |tol-db )", block.text, re.MULTILINE), f"{document}\n{block.text}"


def test_nothing_is_changed_in_the_text_of_commands_that_need_not_be() -> None:
    shown = [block.shell for document in DOCUMENTS for block in shell_blocks(document)]
    shown += ["\n".join(examples(command)) for _, command in helps()]
    text = "\n".join(shown)
    for each in SUBSTITUTIONS:
        assert re.search(each.pattern, text), each
        assert each.why
        text = re.sub(each.pattern, each.to, text)
    for place in PLACES:
        assert f" {place}/" in text or f"={place}/" in text, place
    for each in test_docs_cluster.SUBSTITUTIONS:
        assert re.search(each.pattern, text), each


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Guide → what its commands printed. Those that fail fail the guide."""
    scene = Scene(tmp_path_factory.mktemp("guides"))
    found = {}
    for guide in GUIDES:
        for block in blocks(ROOT / guide):
            if block.title is not None:
                (scene.here / block.title).write_text(block.text, encoding="utf-8")
        found[guide] = scene.run("".join(block.shell for block in shell_blocks(ROOT / guide, "here")))
    return found


def test_the_tutorial_runs_to_its_batch_and_says_what_happens(told: dict[str, str]) -> None:
    said = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    printed = told["docs/tutorial.md"]
    assert "train: 40 of 54 images" in printed
    assert "blacklisted_image 9, blacklisted_taxon 3, no_label 1, source_missing 1" in printed
    assert "8 are good" in printed
    losses = [float(loss) for loss in re.findall(r"epoch \d+: loss ([0-9.]+)", printed)]
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)
    assert re.findall(r"\d\.\d{3}", said)  # what the page says of them is about what comes out
    assert losses[:3] == pytest.approx([float(x) for x in re.findall(r"\d\.\d{3}", said)][:3], abs=0.1)


def test_the_answers_of_the_faq_are_those_that_it_gives(told: dict[str, str]) -> None:
    printed = told["docs/faq.md"]
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
    printed = told["docs/migrating.md"]
    assert "nothing is wrong" in printed
    assert "catalog.csv: " in printed


def test_every_block_of_shell_is_run_by_one_of_these_tests_or_says_why_not() -> None:
    runs = {
        "here": {*GUIDES, *test_docs_examples.SETTINGS},
        "cluster": set(test_docs_cluster.SETTINGS),
        "index": set(test_docs_install.DOCUMENTS),
    }
    for needs, known in runs.items():
        assert set(documents_with(needs)) <= known, f"what needs {needs}"
    assert set(test_docs_cluster.SETTINGS) <= {*documents_with("cluster"), *(name for name, _ in helps())}
    not_run = [(path.name, block) for path in DOCUMENTS for block in blocks(path) if block.not_run is not None]
    for name, block in not_run:
        assert block.not_run in REASONS, f"{name}: it is not run, and this reason is not known:\n{block.text}"
    assert {block.not_run for _, block in not_run} == REASONS.keys()
