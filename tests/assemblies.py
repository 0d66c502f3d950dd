"""Small sources out of Newick-like text, and what an assembly made of them.

A source reads ``((a,b)x,(c,d)y)z``; a label is ``name``, ``name|rank`` or ``name|rank|id`` (the id is the name
where none is given). Blanks around labels do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tol_db.taxonomy import flags
from tol_db.taxonomy.assemble import Assembly, Decision, assemble
from tol_db.taxonomy.curation import Instruction
from tol_db.taxonomy.ranks import canonical_rank, rank_level
from tol_db.taxonomy.source import SourceTaxonomy
from tol_db.taxonomy.tree import NONE, Names, Synonyms, Tree

GROUPS = (
    "(Viruses, (Bacteria|domain, Archaea|domain, (SAR, (Rhodophyta, Chloroplastida)Archaeplastida, Fungi,"
    " (Nematoda|phylum, Mollusca|phylum, Chordata|phylum, (Arachnida|class, (Diptera|order, Coleoptera|order,"
    " Lepidoptera|order)Insecta|class)Arthropoda|phylum)Metazoa)Eukaryota|domain)cellular organisms)life"
)
"""A separation tree, as it is shipped but smaller."""

Row = tuple[str, str, str, str]
"""Id, id of the parent or "", name, rank."""


@dataclass(frozen=True, slots=True)
class Given:
    """A source as a test states it.

    Attributes:
        rows: in any order.
        synonyms: id → names; ``kind:name`` for another kind than ``synonym``.
        flags: id → flags.
        rules, aliases, ids: see :class:`~tol_db.taxonomy.source.SourceTaxonomy`.
    """

    idspace: str
    rows: Sequence[Row]
    synonyms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    rules: Sequence[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, Sequence[str]] = field(default_factory=dict)


def rows_of(newick: str) -> list[Row]:
    """Rows of a tree in the notation above; parents before their children."""
    rows: list[Row] = []
    labels: list[tuple[str, str, str]] = []
    open_: list[list[int]] = [[]]
    parents: dict[int, int] = {}
    word = ""

    def end() -> None:
        nonlocal word
        if not word.strip():
            return
        name, rank, key = (word.strip().split("|") + ["", ""])[:3]
        labels.append((key or name, name, rank))
        open_[-1].append(len(labels) - 1)
        word = ""

    members: list[int] | None = None
    for letter in newick:
        if letter == "(":
            open_.append([])
        elif letter in ",)":
            end()
            if members is not None:
                parents |= dict.fromkeys(members, len(labels) - 1)
                members = None
            if letter == ")":
                members = open_.pop()
        else:
            word += letter
    end()
    if members is not None:
        parents |= dict.fromkeys(members, len(labels) - 1)
    for number, (key, name, rank) in enumerate(labels):
        above = parents.get(number)
        rows.append((key, "" if above is None else labels[above][0], name, rank))
    return rows[::-1]


def given(idspace: str, newick: str, **more: object) -> Given:
    """A source in Newick, see :class:`Given`."""
    return Given(idspace, rows_of(newick), **more)  # type: ignore[arg-type]


def loaded(source: Given, names: Names) -> SourceTaxonomy:
    """What a reader would hand to the assembly."""
    rows = sorted(source.rows)
    keys = [key for key, *_ in rows]
    at = {key: row for row, key in enumerate(keys)}
    synonyms = Synonyms.none()
    for key in sorted(source.synonyms):
        for text in source.synonyms[key]:
            kind, _, name = text.rpartition(":")
            node = np.array([at[key]], np.int32)
            synonyms.add(node, [names.number(name)], kind or "synonym", matching=kind in ("", "synonym"), row=node)
    tree = Tree(
        np.array([at.get(parent, NONE) for _, parent, _, _ in rows], np.int32).reshape(-1),
        names.numbers(name for _, _, name, _ in rows),
        np.array([rank_level(canonical_rank(rank)) for *_, rank in rows], np.int32).reshape(-1),
        np.array([flags.parse(source.flags.get(key, "")) for key in keys], np.uint32).reshape(-1),
        synonyms,
    )
    return SourceTaxonomy(
        source.idspace,
        tree,
        np.arange(len(keys), dtype=np.int32),
        keys,
        frozenset(source.rules),
        dict(source.aliases),
        {at[key]: tuple(ids) for key, ids in source.ids.items()},
    )


class Result:
    """What an assembly says, asked by qualified ids (``one:a``)."""

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly
        self.tree = assembly.tree
        self.node: dict[str, int] = {}
        self.ids: list[list[str]] = [[] for _ in range(len(assembly.tree))]
        rows = assembly.ids
        for node, source, row in zip(rows.node.tolist(), rows.source.tolist(), rows.row.tolist(), strict=True):
            qualified = f"{assembly.sources[source].idspace}:{assembly.sources[source].keys[row]}"
            assert qualified not in self.node, f"{qualified} is in the provenance twice"
            self.node[qualified] = node
            self.ids[node].append(qualified)

    def __contains__(self, qualified: str) -> bool:
        return qualified in self.node

    def text(self, name: int) -> str:
        return self.assembly.names.texts[name]

    def name(self, qualified: str) -> str:
        return self.text(int(self.tree.name[self.node[qualified]]))

    def rank(self, qualified: str) -> int:
        return int(self.tree.rank[self.node[qualified]])

    def parent(self, qualified: str) -> str:
        """The name of the parent; empty at a root."""
        above = int(self.tree.parent[self.node[qualified]])
        return "" if above == NONE else self.text(int(self.tree.name[above]))

    def uid(self, qualified: str) -> str:
        return self.assembly.uids[self.node[qualified]]

    def same(self, *qualified: str) -> bool:
        """Whether they are one taxon."""
        return len({self.node[each] for each in qualified}) == 1

    def flags(self, qualified: str) -> set[str]:
        return set(flags.shown(int(self.tree.flags[self.node[qualified]])).split(",")) - {""}

    def synonyms(self, qualified: str) -> set[str]:
        rows = self.tree.synonyms.node == self.node[qualified]
        return {self.text(name) for name in self.tree.synonyms.name[rows].tolist()}

    def bearers(self, name: str) -> int:
        """How many taxa bear a name."""
        return sum(self.text(number) == name for number in self.tree.name.tolist())

    def decision(self, qualified: str) -> Decision | None:
        idspace, _, key = qualified.partition(":")
        for each in self.assembly.decisions:
            source = self.assembly.sources[each.source]
            if source.idspace == idspace and source.keys[each.row] == key:
                return each
        return None

    def newick(self) -> str:
        """The whole tree; ``?`` before what is incertae sedis or unplaced."""
        out_of_place = flags.BITS["incertae_sedis"] | flags.BITS["unplaced"]

        def shown(node: int) -> str:
            below = [shown(child) for child in np.flatnonzero(self.tree.parent == node).tolist()]
            mark = "?" if int(self.tree.flags[node]) & out_of_place else ""
            members = f"({','.join(below)})" if below else ""
            return f"{members}{mark}{self.text(int(self.tree.name[node]))}"

        return ";".join(shown(root) for root in np.flatnonzero(self.tree.parent == NONE).tolist())

    def everything(self) -> tuple[object, ...]:
        """All of it, to be compared."""
        tree, synonyms = self.tree, self.tree.synonyms
        return (
            list(zip(tree.parent.tolist(), map(self.text, tree.name.tolist()), strict=True)),
            tree.rank.tolist(),
            tree.flags.tolist(),
            self.assembly.uids,
            self.ids,
            [
                (node, self.text(name), synonyms.kinds[kind])
                for node, name, kind in zip(
                    synonyms.node.tolist(), synonyms.name.tolist(), synonyms.kind.tolist(), strict=True
                )
            ],
            self.assembly.forwards,
            self.assembly.decisions,
        )


def assembled(
    *sources: Given,
    groups: str = GROUPS,
    previous: Given | None = None,
    instructions: Iterable[Instruction] = (),
) -> Result:
    """Assemble sources, the first of highest priority."""
    names = Names()
    separation = loaded(given("separation", groups), names)
    old = None if previous is None else loaded(previous, names)
    each = [loaded(source, names) for source in sources]
    return Result(assemble(names, separation, each, previous=old, instructions=tuple(instructions)))


def together(*newick: str) -> str:
    """The merged tree of several, in Newick."""
    return assembled(*(given(f"s{number}", text) for number, text in enumerate(newick, 1))).newick()


def every_id(source: Given) -> Iterator[str]:
    """Qualified ids of all rows."""
    return (f"{source.idspace}:{key}" for key, *_ in source.rows)
