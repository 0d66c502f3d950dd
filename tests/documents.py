"""What documents and help texts hold: blocks of shell and Python, and the calls of tol-db among them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from tol_db.cli import cli

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "slurm/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
GUIDES = ("docs/tutorial.md", "docs/faq.md", "docs/migrating.md")
"""Documents of which each goes on in the folder of the one before."""
_BLOCK = re.compile(
    r'(?P<mark><!-- not run: (?P<why>[^\n]+) -->\n)?^```(?P<language>\w+)(?: title="(?P<title>[\w.]+)")?\n'
    r"(?P<text>.*?)^```",
    re.DOTALL | re.MULTILINE,
)
_FENCE = re.compile(r"^ *(```|~~~)", re.MULTILINE)
SHELL = ("sh", "bash", "shell", "console")
"""Languages of blocks whose lines are entered in a shell."""
_HERE_DOCUMENT = re.compile(r"(<<'?(\w+)'?[^\n]*\n).*?^\2$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of a document.

    Attributes:
        title: the file that it is to be written to, or None.
        not_run: why it cannot be run here, or None.
    """

    language: str
    text: str
    title: str | None
    not_run: str | None

    @property
    def shell(self) -> str:
        """What is entered; of a console the lines with a prompt, without it."""
        if self.language != "console":
            return self.text
        lines = [line[2:] for line in self.text.splitlines(keepends=True) if line.startswith("$ ")]
        return "".join(lines)

    @property
    def needs(self) -> str:
        """What a block of shell needs to be run: ``index`` of packages, ``cluster``, or nothing else: ``here``."""
        if re.search(r"\bpip install\b", self.text):
            return "index"
        return "cluster" if re.search(r"\bslurm\b|\bsbatch\b", self.text) else "here"


def blocks(document: Path) -> list[Block]:
    """The blocks of a document, in order.

    Raises:
        AssertionError: there is a block without a language, or one that is indented.
    """
    text = document.read_text(encoding="utf-8")
    found = [Block(m["language"], m["text"], m["title"], m["why"]) for m in _BLOCK.finditer(text)]
    fences = len(_FENCE.findall(text))
    assert fences == 2 * len(found), f"{document}: {fences} fences, and {len(found)} blocks with a language"
    return found


def shell_blocks(document: Path, needs: str | None = None) -> list[Block]:
    """The blocks of shell that are run; only those with these needs, unless None."""
    found = [block for block in blocks(document) if block.language in SHELL and block.not_run is None]
    return [block for block in found if needs in (None, block.needs)]


def documents_with(needs: str) -> list[str]:
    """Names of the documents that have blocks of shell with these needs, below the root of the checkout."""
    return [document.relative_to(ROOT).as_posix() for document in DOCUMENTS if shell_blocks(document, needs)]


def examples(command: click.Command) -> list[str]:
    """The calls that a command's help shows, each on a line."""
    return [line.strip() for line in (command.help or "").splitlines() if re.match(r" *tol-db ", line)]


def helps(command: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command and group whose help shows calls, and the words that call it, without ``tol-db``."""
    if examples(command):
        yield " ".join(path) or "tol-db", command
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None, (*path, name)
            yield from helps(below, (*path, name))


def calls(shell: str) -> Iterator[list[str]]:
    """The words behind ``tol-db`` of every call in some lines of shell; braces and stars as they stand."""
    text = _HERE_DOCUMENT.sub(r"\1", shell).replace("\\\n", " ")
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        yield from _calls_of(list(lexer))


def _calls_of(words: Sequence[str]) -> Iterator[list[str]]:
    current: list[str] | None = None
    is_first = True
    for word in words:
        if re.fullmatch(r"[();<>|&]+", word):
            if current is not None:
                yield current
            current, is_first = None, word not in (">", ">>", "<", "<<")
        elif current is not None:
            current.append(word)
        elif is_first and re.search(r"(^|/)tol-db$", word):
            current = []
        else:
            is_first = is_first and re.match(r"\w+=", word) is not None
    if current is not None:
        yield current


def require_call(root: click.Group, words: Sequence[str]) -> None:
    """Parse a call down to its command, and call nothing.

    Raises:
        click.UsageError, TolDbError: no such command or option, or a value that it does not take.
    """
    command: click.Command = root
    name, args, parent = "tol-db", list(words), None
    while isinstance(command, click.Group):
        ctx = click.Context(command, info_name=name, parent=parent)
        _, args, _ = command.make_parser(ctx).parse_args(args)
        if not args:
            return
        name, found, args = command.resolve_command(ctx, args)  # type: ignore[assignment]
        assert found is not None
        command, parent = found, ctx
    command.make_context(name, list(args), parent=parent)
