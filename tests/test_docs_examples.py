"""Every example of every help text, and every block of shell in the documents, does what it is shown for.

Each is run in a scene (:mod:`tests.scenes`). What needs a cluster stands in test_docs_cluster.py, what needs a
package index in test_docs_install.py; the guides, which go on in one folder, in test_docs_commands.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from tests.documents import GUIDES, ROOT, documents_with, examples, helps, shell_blocks
from tests.scene_files import mirror
from tests.scenes import Scene, Setting, prepare

_NOTHING_FETCHED = Setting("new", "rm -r /data/TreeOfLife-10M")
SETTINGS = {
    "tol-db": Setting("tree"),
    "taxonomy": Setting("ingested"),
    "init": Setting("tree", "export TOL_DB=mine.sqlite"),
    "demo": Setting("tree"),
    "fetch bioscan": _NOTHING_FETCHED,
    "fetch eol": _NOTHING_FETCHED,
    "fetch inat21": _NOTHING_FETCHED,
    "fetch manifest": _NOTHING_FETCHED,
    "fetch metadata": _NOTHING_FETCHED,
    "ingest tol10m": Setting("new"),
    "ingest containers": Setting(
        "ingested", "tar -czf /data/TreeOfLife-10M/dataset/eol/image_set_07.tar.gz --files-from /dev/null"
    ),
    "ingest eol": Setting("new"),
    "ingest inat21": Setting("new"),
    "ingest bioscan": Setting("new"),
    "ingest labels": Setting("ingested"),
    "ingest licences": Setting("ingested"),
    "ingest taxonomy": Setting("ingested"),
    "ingest split": Setting("ingested"),
    "ingest blacklist": Setting("ingested"),
    "split": Setting("new", "tol-db ingest inat21 /data/inat21"),
    "plan": Setting("assembled", "tol-db ingest containers /data/TreeOfLife-10M --seek-index"),
    "materialize": Setting("planned"),
    "collect": Setting("planned", "tol-db --db snapshot.sqlite materialize --receipts-only"),
    "verify": Setting(before="cp -r /data/shards /data/shards-of-others"),
    "dataset remove": Setting(before="tol-db plan /data/trial --dataset trial --split val"),
    "completion": Setting(
        before="mkdir -p ~/.local/share/bash-completion/completions ~/.config/fish/completions ~/.zfunc"
    ),
    "docs/assembly.md": Setting("ingested"),
    "docs/audits.md": Setting(),
    "docs/exports.md": Setting("ingested"),
    "docs/fetching.md": Setting("tree"),
    "docs/labels.md": Setting(),
    "docs/performance.md": Setting("tree"),
    "docs/report-page.md": Setting(),
    "docs/taxonomy.md": Setting("ingested"),
}
"""Command or document → what there is before it; commands that are not named have a dataset that is written."""

CODES = {
    "tol-db taxonomy diff tol@1 tol@2": (1, "the two differ"),
}
"""Example → the exit code other than 0 that it has, and why."""

COMMANDS = [
    pytest.param(name, command, id=name.replace(" ", "-"))
    for name, command in helps()
    if not name.startswith("slurm")
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made, demo = prepare(tmp_path_factory.mktemp("scene"))
    with mirror(demo, made.mirror):
        yield made


def _checked(line: str) -> str:
    """A line that ends the script unless it ends as it is to end."""
    code, _ = CODES.get(line, (0, ""))
    if code == 0:
        return line
    return f"ended=0; {line} || ended=$?; [ $ended = {code} ]"


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_the_examples_of_a_help_text_run(scene: Scene, name: str, command: click.Command) -> None:
    setting = SETTINGS.get(name, Setting())
    scene.restore(setting.stage)
    scene.run("\n".join([setting.before, *map(_checked, examples(command))]))


@pytest.mark.parametrize("document", [name for name in documents_with("here") if name not in GUIDES])
def test_the_blocks_of_a_document_run(scene: Scene, document: str) -> None:
    assert document in SETTINGS, f"{document} has blocks of shell: say in SETTINGS what there is before them"
    setting = SETTINGS[document]
    scene.restore(setting.stage)
    lines = [block.shell for block in shell_blocks(ROOT / document, "here")]
    scene.run("\n".join([setting.before, *lines]))


def test_what_is_said_of_commands_and_documents_is_said_of_some_that_there_are() -> None:
    known = dict(helps())
    documents = {name for name in documents_with("here") if name not in GUIDES}
    assert known.keys() | documents >= SETTINGS.keys()
    shown = {line for command in known.values() for line in examples(command)}
    assert shown >= CODES.keys()
