"""Newick: nested groups with names, quoted or not; branch lengths and comments are passed over.

A name may say its rank, ``'Class=Sordariomycetes'``, and its id, ``Panthera_leo_ott563151``; an underscore
outside quotes is a blank. Without an id the key of a node is its name; where several have the name, their
parents' names are put behind it, ``Asterina|Asterinaceae``. A node without a name is no taxon: its children hang
under its parent. Source: evolution.genetics.washington.edu/phylip/newicktree.html.

The names of a tree are held in memory; no other format needs that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tol_db.errors import InputError
from tol_db.taxonomy.formats.rows import Files, Notes, Row, TaxonRow, the_only_file
from tol_db.taxonomy.ranks import NO_RANK, known_rank

_TOKEN: Final = re.compile(
    r"""\s+ | \[[^\]]*\] | (?P<sign>[(),;]) | :\s*(?P<length>[^\s(),;:\[\]']*)
      | '(?P<quoted>(?:[^']|'')*)' | (?P<word>[^\s(),;:\[\]']+)""",
    re.VERBOSE,
)
_OTT: Final = re.compile(r"(.*?)[ _]?ott(\d+)$")


@dataclass
class _Tree:
    """Nodes in the order in which they end; the parent of a node comes after it.

    Attributes:
        labels: of each node; '' where it has none.
        parents: number of each node's parent; -1 for a root.
        lines: where its name stands.
    """

    labels: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def add(self, label: str, line: int, children: list[int]) -> int:
        number = len(self.labels)
        self.labels.append(label)
        self.parents.append(-1)
        self.lines.append(line)
        for child in children:
            self.parents[child] = number
        return number


def read(files: Files, notes: Notes) -> Iterator[Row]:
    """Rows of a file with one tree or several."""
    file = the_only_file(files)
    if file is None:
        raise InputError(f"{files.where}: several files", hint="name the tree's own file")
    where = files.where
    tree = _parse("".join(files.texts(file)), where)
    taxa = [_label(label, notes, file, line) for label, line in zip(tree.labels, tree.lines, strict=True)]
    parents = _named_parents(tree, [name for name, _, _ in taxa])
    keys = _keys(taxa, parents)
    nameless = sum(1 for name, _, _ in taxa if not name)
    if nameless:
        notes.find("unnamed", where, f"{nameless:,} nodes without a name: their children hang under their parents")
    for number, (name, rank, _) in enumerate(taxa):
        if name:
            up = parents[number]
            yield TaxonRow(tree.lines[number], keys[number], None if up < 0 else keys[up], name, rank)


def _label(label: str, notes: Notes, file: str, line: int) -> tuple[str, str, str]:
    """Name, rank, and id ('' where there is none)."""
    name = notes.name(file, line, label)
    word, equals, rest = name.partition("=")
    rank = known_rank(word) if equals and word.strip() else None
    if rank is not None and rest.strip():
        name = rest.strip()
    ott = _OTT.fullmatch(name)
    if ott and ott[1].strip():
        return ott[1].strip(), rank or NO_RANK, ott[2]
    return name, rank or NO_RANK, ""


def _named_parents(tree: _Tree, names: list[str]) -> list[int]:
    """The nearest ancestor with a name, from the roots down: a parent has the greater number."""
    parents = list(tree.parents)
    for number in range(len(parents) - 1, -1, -1):
        up = parents[number]
        if up >= 0 and not names[up]:
            parents[number] = parents[up]
    return parents


def _keys(taxa: list[tuple[str, str, str]], parents: list[int]) -> list[str]:
    count = Counter(name for name, _, _ in taxa)
    keys = []
    for number, (name, _, id_) in enumerate(taxa):
        if id_ or not name:
            keys.append(id_)
        elif count[name] == 1:
            keys.append(name)
        else:
            up = parents[number]
            keys.append(f"{name}|{taxa[up][0] if up >= 0 else ''}")
    seen: Counter[str] = Counter()
    for number, key in enumerate(keys):
        seen[key] += 1
        if (
            seen[key] > 1 and key and not taxa[number][2]
        ):  # of one name under parents of one name: as they follow in the file
            keys[number] = f"{key}#{seen[key]}"
    return keys


def _parse(text: str, where: str) -> _Tree:
    if not text.strip():
        raise InputError(f"{where}: an empty file", hint="fetch it again")
    tree = _Tree()
    stack: list[list[int]] = [[]]
    label: str | None = None
    children: list[int] | None = None
    line, at, last = 1, 0, 1

    def close() -> None:
        nonlocal label, children
        stack[-1].append(tree.add(label or "", last, children or []))
        label = children = None

    ended = True
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise _fault(where, line, f"{text[at : at + 20]!r} does not belong in Newick")
        sign, word = token["sign"], token["word"]
        if sign == "(":
            if label is not None or children is not None:
                raise _fault(where, line, "a group begins where a comma is wanted")
            stack.append([])
            ended = False
        elif sign in (")", ",", ";"):
            if not (sign == ";" and ended):
                close()
            if sign == ")":
                if len(stack) == 1:
                    raise _fault(where, line, "a ) without its (")
                children = stack.pop()
            elif sign == ";" and len(stack) != 1:
                raise _fault(where, line, f"{len(stack) - 1} ( without their )")
            ended = sign == ";"
        elif word is not None or token["quoted"] is not None:
            if label is not None and token["quoted"] is not None:
                raise _fault(where, line, "two names for one node")
            part = word.replace("_", " ") if word is not None else token["quoted"].replace("''", "'")
            label = part if label is None else f"{label} {part}"
            last, ended = line, False
        line += token[0].count("\n")
        at = token.end()
    if len(stack) != 1:
        raise _fault(where, line, f"{len(stack) - 1} ( without their )", "is the file cut off?")
    if not ended:  # a tree may lack its semicolon
        close()
    return tree


def _fault(where: str, line: int, why: str, hint: str = "is it Newick?") -> InputError:
    return InputError(f"{where}: line {line}: {why}", hint=hint)
