"""What the documents hold: blocks of shell and Python, and the calls of tol-db among them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "slurm/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
_BLOCK = re.compile(
    r'(?P<mark><!-- not run: (?P<why>[^\n]+) -->\n)?^```(?P<language>\w+)(?: title="(?P<title>[\w.]+)")?\n'
    r"(?P<text>.*?)^```",
    re.DOTALL | re.MULTILINE,
)
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


def blocks(document: Path) -> list[Block]:
    """The blocks of a document, in order."""
    found = _BLOCK.finditer(document.read_text(encoding="utf-8"))
    return [Block(m["language"], m["text"], m["title"], m["why"]) for m in found]


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
