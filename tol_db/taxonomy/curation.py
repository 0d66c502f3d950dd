"""Instructions of people: what to mend in a source before it is aligned, or in the result after all are merged.

A file is tab-separated text with the header ``action  taxon  argument  reason`` and, where wanted, ``stage``; lines
that begin with ``#`` are notes. A taxon is ``idspace:id``. Every line gives its reason.

===========  =================================================  ==================
action       argument                                           stage
===========  =================================================  ==================
rename       the new name (the old one becomes a synonym)       source, result
synonym      a name to add                                      source, result
not-synonym  a name to take away                                source, result
prune        (none) the taxon and all below it                  source, result
move         the new parent                                     source, result
fold         the taxon that stands for it from now on           source, result
flag         a flag to set; with ``-`` before it, to clear      source, result
align        the taxon of another source that it is             (at the alignment)
never-align  the taxon of another source that it is not         (at the alignment)
===========  =================================================  ==================

``source`` is the default; ``move`` and ``fold`` between taxa of different sources are of the stage ``result``.
``merge`` is another word for ``fold`` at the stage ``result``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tol_db.errors import InputError, InputMissing
from tol_db.taxonomy.flags import ASSERTED, BITS
from tol_db.taxonomy.source import LeftOut, SourceTaxonomy
from tol_db.taxonomy.tree import NONE, Mask, Names, Shape, Tree

ALIGNING: Final = ("align", "never-align")
_WITH_TAXON: Final = (*ALIGNING, "move", "fold", "merge")
ACTIONS: Final = ("rename", "synonym", "not-synonym", "prune", "move", "fold", "merge", "flag", *ALIGNING)
_COLUMNS: Final = ("action", "taxon", "argument", "reason")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of a curation file.

    Attributes:
        place: file and line, for reports.
        action, taxon, argument, reason: as they stand there.
        stage: ``source``, ``alignment`` or ``result``.
    """

    place: str
    action: str
    taxon: str
    argument: str
    reason: str
    stage: str

    @property
    def idspace(self) -> str:
        """Of the taxon that is spoken of."""
        return self.taxon.partition(":")[0]

    def __str__(self) -> str:
        return " ".join(filter(None, (self.action, self.taxon, self.argument)))


def read(path: Path) -> list[Instruction]:
    """The instructions of a file, in its order.

    Raises:
        InputMissing: it cannot be read.
        InputError: a line is not of the form above; names it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as err:
        raise InputError(f"{path}: not UTF-8 (byte {err.start})", hint="save it as UTF-8 text") from None
    except OSError as err:
        raise InputMissing(f"{path}: {err.strerror}") from None
    rows = [(n, line.split("\t")) for n, line in enumerate(text.splitlines(), 1) if _says_something(line)]
    if not rows or [c.strip() for c in rows[0][1][:4]] != list(_COLUMNS):
        raise InputError(
            f"{path}: its first line has to be the header", hint="tab-separated: " + " ".join(_COLUMNS) + " [stage]"
        )
    return [_instruction(path, number, [cell.strip() for cell in cells]) for number, cells in rows[1:]]


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _instruction(path: Path, number: int, cells: list[str]) -> Instruction:
    place = f"{path.name}, line {number}"

    def wrong(what: str) -> InputError:
        return InputError(
            f"{path}: line {number}: {what}", hint="`tol-db taxonomy assemble --help` lists the actions"
        )

    action, taxon, argument, reason, stage = (cells + [""] * 5)[:5]
    if action not in ACTIONS:
        raise wrong(f"no action {action!r}; known: {', '.join(ACTIONS)}")
    if not _is_id(taxon):
        raise wrong(f"taxon {taxon!r} is not of the form idspace:id")
    if not reason:
        raise wrong("it gives no reason")
    if (argument == "") != (action == "prune"):
        raise wrong(f"{action} takes {'no' if action == 'prune' else 'an'} argument")
    if action in _WITH_TAXON and not _is_id(argument):
        raise wrong(f"argument {argument!r} is not of the form idspace:id")
    if action == "flag" and argument.lstrip("-") not in ASSERTED:
        raise wrong(f"no flag {argument!r}; known: {', '.join(ASSERTED)}")
    if stage not in ("", "source", "result"):
        raise wrong(f"stage {stage!r} is neither source nor result")
    if action in ALIGNING:
        stage = "alignment"
    elif action == "merge" or (action in _WITH_TAXON and _idspace(argument) != _idspace(taxon)):
        stage = "result"
    return Instruction(place, action, taxon, argument, reason, stage or "source")


def _idspace(taxon: str) -> str:
    return taxon.partition(":")[0]


def _is_id(text: str) -> bool:
    idspace, colon, key = text.partition(":")
    return bool(idspace and colon and key) and not any(c.isspace() for c in idspace)


def apply_to_source(source: SourceTaxonomy, instructions: Iterable[Instruction], names: Names) -> list[Instruction]:
    """Apply the instructions of the stage ``source`` that speak of a source; returns those that met nothing."""
    unmet = []
    for instruction in instructions:
        if instruction.stage != "source" or instruction.idspace != source.idspace:
            continue

        def find(taxon: str) -> int:
            return source.node_of(taxon.partition(":")[2])

        editor = Editor(source.tree, source.shape, names, find)
        if not editor.apply(instruction):
            unmet.append(instruction)
        elif editor.gone is not None:
            left = {}
            for node in np.flatnonzero(editor.gone).tolist():
                into = int(source.row[editor.into]) if editor.into != NONE else NONE
                reason = "folded" if editor.into != NONE else "pruned"
                left[int(source.row[node])] = LeftOut(reason, into, f"{instruction.place}: {instruction.reason}")
            source.take_out(editor.gone, left)
    return unmet


@dataclass(slots=True)
class Editor:
    """Applies one instruction to a tree.

    Attributes:
        tree: is changed in place, but for nodes that go.
        shape: how to get its shape, where that is asked.
        find: id → node, -1 where there is none.
        gone: nodes that are to be taken out; their children and synonyms are elsewhere already.
        into: what stands for them, or -1.
    """

    tree: Tree
    shape: Callable[[], Shape]
    names: Names
    find: Callable[[str], int]
    gone: Mask | None = None
    into: int = NONE

    def apply(self, instruction: Instruction) -> bool:
        """Whether it met what it speaks of."""
        node = self.find(instruction.taxon)
        if node == NONE:
            return False
        action, argument = instruction.action, instruction.argument
        if action == "prune":
            return self._prune(node)
        if action in ("move", "fold", "merge"):
            other = self.find(argument)
            return other not in (NONE, node) and (
                self._move(node, other) if action == "move" else self._fold(node, other)
            )
        if action == "flag":
            return self._flag(node, argument)
        return self._name(action, node, argument)

    def _prune(self, node: int) -> bool:
        shape = self.shape()
        low = int(shape.place[node])
        self.gone = (shape.place >= low) & (shape.place < low + int(shape.size[node]))
        self.tree.parent[self.gone] = NONE
        return True

    def _move(self, node: int, parent: int) -> bool:
        above = parent
        while above != NONE:
            if above == node:
                return False
            above = int(self.tree.parent[above])
        self.tree.parent[node] = parent
        self.tree.flags[node] &= ~np.uint32(BITS["incertae_sedis"] | BITS["unplaced"])
        return True

    def _fold(self, node: int, into: int) -> bool:
        tree = self.tree
        above = into
        while above != NONE:
            if int(tree.parent[above]) == node:
                tree.parent[above] = tree.parent[node]  # what takes its place must not hang below it
                break
            above = int(tree.parent[above])
        tree.parent[tree.parent == node] = into
        tree.synonyms.node[tree.synonyms.node == node] = into
        if tree.name[node] != tree.name[into]:
            tree.synonyms.add([into], [int(tree.name[node])], "synonym")
        self.gone = np.zeros(len(tree), np.bool_)
        self.gone[node] = True
        self.into = into
        return True

    def _flag(self, node: int, flag: str) -> bool:
        bit = np.uint32(BITS[flag.lstrip("-")])
        if flag.startswith("-"):
            had = bool(self.tree.flags[node] & bit)
            self.tree.flags[node] &= ~bit
            return had
        self.tree.flags[node] |= bit
        return True

    def _name(self, action: str, node: int, text: str) -> bool:
        tree, number = self.tree, self.names.number(text)
        rows = (tree.synonyms.node == node) & (tree.synonyms.name == number)
        if action == "not-synonym":
            tree.synonyms.keep(~rows)
            return bool(rows.any())
        if action == "rename":
            old, tree.name[node] = int(tree.name[node]), number
            tree.synonyms.keep(~rows)
            if old != number:
                tree.synonyms.add([node], [old], "synonym")
        elif not rows.any() and tree.name[node] != number:
            tree.synonyms.add([node], [number], "synonym")
        return True
