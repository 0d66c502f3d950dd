"""Folders in which the commands of documents and help texts are run, and how their text is changed for that.

A document says ``/blue/group/TreeOfLife-10M``, and a user has that folder; here it lies in the folder of a scene.
All that is changed stands in :data:`PLACES` and :data:`SUBSTITUTIONS`, with the reason; the rest is executed as it
stands there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import scene_files
from tests.documents import ROOT
from tests.running import environment
from tol_db.demo_tree import DemoTree, make_demo_tree

PLACES = ("/data", "/blue", "/backup", "/local/disk", "/scratch", "/tmp")
"""Folders of a cluster, each of which is one below the folder of a scene."""


@dataclass(frozen=True)
class Substitution:
    """What is changed in the text of a document before it is run.

    Attributes:
        pattern: a regular expression; to: what takes its place.
        why: it cannot be run as it stands.
    """

    pattern: str
    to: str
    why: str


SUBSTITUTIONS = (
    Substitution(
        r"(tol-db fetch (?:metadata|eol|inat21|bioscan)\b(?!.* --manifest)(?: +[^\s;#]+)+)",
        r'\1 --manifest "$MIRROR"',
        "terabytes, and servers of others: a server of the test has the files of a small tree",
    ),
    Substitution(
        r"(tol-db fetch manifest > mine.toml)",
        r'\1; cp "$MIRROR" mine.toml',
        "the reader is told to edit the copy; here it comes to name the server of the test",
    ),
    Substitution(
        r"demo /tmp/tol-db-demo",
        "demo /tmp/tol-db-demo --images 60",
        "fewer pictures in less time; the first command of the README draws them all",
    ),
    Substitution(
        r"--workers (?:16|32)", "--workers 2", "so many processes take their time to start, and nothing else"
    ),
    Substitution(
        r"\| head\b", "| tail", "head ends before the table does, and whether that fails a pipe is chance"
    ),
    Substitution(r"--scale 0\.3", "--scale 0.0001", "a third of ten million images takes an hour"),
    Substitution(
        r"browse (?:--open|--port 0)",
        "browse --open --port 0",
        "another test may have port 8001, and the browser of the scene is what presses Ctrl-C",
    ),
)

_XDG_OPEN = """\
#!/bin/sh
# the web browser of the scene: looks at the page, then presses Ctrl-C in the terminal of the server
python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=60).read()' "$1" ||
  kill -KILL $PPID
kill -INT $PPID
"""
_SQLITE3 = """\
import sqlite3, sys
for row in sqlite3.connect(f"file:{sys.argv[2]}?mode=ro", uri=True).execute(sys.stdin.read()):
    print(*row, sep="|")
"""


@dataclass(frozen=True)
class Setting:
    """What there is before the lines of a command or document are entered.

    Attributes:
        stage: of the scene, one of :data:`STAGES`.
        before: what was entered since.
    """

    stage: str = "written"
    before: str = ""


def write_commands(folder: Path) -> None:
    """Programs that the documents call: ours as this checkout has it, and those that not every machine has."""
    folder.mkdir(parents=True)
    ours = f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}"'
    programs = {
        "tol-db": f'{ours} -m tol_db "$@"\n',
        "python": f'{ours} "$@"\n',
        "python3": f'{ours} "$@"\n',
        "xdg-open": _XDG_OPEN,
    }
    if shutil.which("sqlite3") is None:
        (folder / "sqlite3.py").write_text(_SQLITE3)
        programs["sqlite3"] = f'#!/bin/sh\nexec "{sys.executable}" "{folder}/sqlite3.py" "$@"\n'
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


class Scene:
    """A folder with places of a cluster in it, and the folder ``here`` in which commands are entered.

    Attributes:
        root: the folder; always at the same place, for databases record where things are.
        here: where commands are entered.
        mirror: a manifest of what `tol-db fetch` fetches here.
        commands: folder of the programs that it has.
        settings: variables that its shell has besides.
    """

    def __init__(self, folder: Path, more: Sequence[Substitution] = ()) -> None:
        self._more = more
        self.root, self._kept, self.commands = folder / "scene", folder / "kept", folder / "bin"
        self.settings: dict[str, str] = {}
        self.mirror = folder / "mirror.toml"
        write_commands(self.commands)
        self.here = self.root / "here"
        for place in (*PLACES, "/here", "/home", "/blue/group", "/blue/lab", "/scratch/local"):
            (self.root / place[1:]).mkdir(parents=True, exist_ok=True)

    def variables(self) -> dict[str, str]:
        """The environment of the scene's shell."""
        variables = {
            "PATH": f"{self.commands}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.root / "home"),
            "TOL_DB": str(self.root / "data" / "tol.sqlite"),
            "TOL_DB_WORKERS": "1",
            "MIRROR": str(self.mirror),
        }
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):  # or each of two hundred commands would be compiled anew
            variables |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(self.commands.parent / "pyc")}
        return environment(**variables | self.settings)

    def text(self, shell: str) -> str:
        """Lines of a document as they are run here."""
        for each in (*SUBSTITUTIONS, *self._more):
            shell = re.sub(each.pattern, each.to, shell)
        places = "|".join(re.escape(place) for place in PLACES)
        return re.sub(rf"(?<![\w.~$}}/-])({places})(?=/|\s|$)", rf"{self.root}\1", shell)

    def run(self, shell: str) -> str:
        """Run lines of a document; what they printed, both streams."""
        script = f"set -euo pipefail\n{self.text(shell)}"
        done = subprocess.run(
            [shutil.which("bash") or "bash", "-c", script],
            cwd=self.here,
            input="y\n",  # to what is asked
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.variables(),
            timeout=600,
            check=False,
        )
        told = f"{script}\nexit {done.returncode}\n{done.stdout}"
        assert "Traceback" not in done.stdout, told
        assert done.returncode == 0, told
        return done.stdout

    def keep(self, stage: str) -> None:
        """Keep the scene as it is now, under a name."""
        shutil.copytree(self.root, self._kept / stage, symlinks=True)

    def restore(self, stage: str) -> None:
        """Make the scene what it was at a stage."""
        shutil.rmtree(self.root)
        shutil.copytree(self._kept / stage, self.root, symlinks=True)


STAGES = {
    "tree": "",  # a tree and files beside it, no database
    "new": """
        tol-db init
    """,
    "ingested": """
        tol-db ingest tol10m /data/TreeOfLife-10M
        tol-db ingest blacklist rare-species --images seen_in_training.json --species unseen_in_training.json
    """,
    "assembled": """
        tol-db ingest taxonomy ncbi taxdump.tar.gz --name ncbi --priority 1
        tol-db ingest taxonomy darwin-core backbone.zip --name gbif --priority 2 --release 2023-08-28
        tol-db taxonomy assemble tol
        tol-db ingest taxonomy darwin-core backbone-2024.zip --name gbif --priority 2 --release 2024-05-01
        tol-db taxonomy assemble tol
    """,
    "planned": """
        tol-db plan /data/shards --dataset tol --split train --split val --split train_small --shard-images 8
        tol-db backup snapshot.sqlite
    """,
    "written": """
        tol-db materialize
        tol-db backup copy.sqlite
        tol-db label
    """,
}
"""Stage → what was entered since the one before; taxonomies may be left out."""


def prepare(
    folder: Path,
    stages: Sequence[str] = ("ingested", "assembled", "planned", "written"),
    more: Sequence[Substitution] = (),
) -> tuple[Scene, DemoTree]:
    """A scene at the first two stages and at these, and the tree that lies in it."""
    scene = Scene(folder, more)
    demo = make_demo_tree(folder / "demo", images=60)
    data = scene.root / "data"
    shutil.copytree(demo.tree, data / "TreeOfLife-10M")
    scene_files.write_raw_folders(data, demo)
    scene_files.write_lists(scene.here, demo)
    scene_files.write_taxonomies(scene.here)
    for name in ("tol_db", "slurm"):  # the documents are read in a checkout
        (scene.here / name).symlink_to(ROOT / name)
    for stage in ("tree", "new", *stages):
        scene.run("\n".join(line.strip() for line in STAGES[stage].splitlines()))
        scene.keep(stage)
    return scene, demo
