"""One taxonomy out of many: separation, then source after source, then ids.

Pure: what is read from files or the database comes as :class:`~tol_db.taxonomy.source.SourceTaxonomy`, what comes
out is arrays. :mod:`tol_db.taxonomy.store` does both ends. The steps are those of Rees & Cranston 2017
(Biodiversity Data Journal 5:e12581), docs/assembly.md names each rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tol_db.taxonomy import curation, finish, identifiers
from tol_db.taxonomy.align import Alignment, Curated, align
from tol_db.taxonomy.curation import Editor, Instruction
from tol_db.taxonomy.decision import ALIGNED, AMBIGUOUS, HOW, HOW_NUMBER, REFUSED
from tol_db.taxonomy.identifiers import Identifiers
from tol_db.taxonomy.merge import Merged, merge
from tol_db.taxonomy.normalise import normalise
from tol_db.taxonomy.source import SourceTaxonomy
from tol_db.taxonomy.tree import NONE, Ints, Names, Tree
from tol_db.taxonomy.workspace import Ids, Workspace, begin


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided on a source taxon, where that is more than copying it or aligning its only candidate.

    Attributes:
        source, row: which taxon.
        outcome: ``aligned``, ``new`` (others of its name were refused, or several remained), or one of
            :data:`~tol_db.taxonomy.decision.LEFT_OUT`.
        heuristic: what decided; None where nothing did.
        candidates: nodes of the result; those that are not in it are left out.
        node: of the result: itself, or where its members went; -1 for none.
        detail: in words.
    """

    source: int
    row: int
    outcome: str
    heuristic: str | None
    candidates: tuple[int, ...]
    node: int
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know of the result: kind, what it is about, in words."""

    kind: str
    subject: str
    detail: str | None = None


@dataclass(slots=True)
class Assembly:
    """The result.

    Attributes:
        sources: the separation tree, then the sources in order of priority; their number is meant by ``source``.
        tree: nodes in preorder, siblings by name.
        uids: of each node.
        ids: provenance, ascending by node.
        forwards: other ids → uid.
        decisions: of all sources.
        findings: what else there is to say.
        counts: per source: word → how many.
        names: texts of all name numbers.
    """

    sources: list[SourceTaxonomy]
    tree: Tree
    uids: list[str]
    ids: Ids
    forwards: dict[str, str]
    decisions: list[Decision]
    findings: list[Finding]
    counts: list[dict[str, int]]
    names: Names


@dataclass(slots=True)
class _Step:
    """What is kept of a source until its decisions can be told in nodes of the result."""

    number: int
    alignment: Alignment
    merged: Merged


@dataclass(slots=True)
class _Run:
    names: Names
    sources: list[SourceTaxonomy]
    instructions: Sequence[Instruction]
    say: Callable[[str], None]
    workspace: Workspace
    findings: list[Finding] = field(default_factory=list)
    counts: list[dict[str, int]] = field(default_factory=list)
    steps: list[_Step] = field(default_factory=list)


def assemble(
    names: Names,
    separation: SourceTaxonomy,
    sources: Iterable[SourceTaxonomy],
    *,
    previous: SourceTaxonomy | None = None,
    instructions: Sequence[Instruction] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Assembly:
    """Assemble sources into one taxonomy.

    Args:
        names: in which the names of all sources are numbered.
        separation: the tree of major groups.
        sources: in order of priority; each is taken (and may be loaded) when its turn comes, and is changed.
        previous: an earlier assembly, whose ids go on.
        instructions: of curation files.
        say: told what is being done.
    """
    run = _Run(names, [separation], instructions, say, begin(separation.tree))
    run.counts.append({"total": len(separation.keys)})
    for source in sources:
        _add(run, source)
    _curate_result(run)
    finish.drop_unbacked(run.workspace)
    for one in _some_ids(run, finish.join_roots(run.workspace)):
        run.findings.append(Finding("root", one, "hung under the largest tree as unplaced"))
    carried = _ids_of_previous(run, previous)
    say("order, flags")
    finish.sort_provenance(run.workspace)
    new = finish.compact(run.workspace, names)
    uids = identifiers.number_all(carried, len(run.workspace.tree), new)
    run.findings += [Finding("retired_id", key) for key in carried.retired]
    _count_previous(run, carried, new)
    return Assembly(
        run.sources,
        run.workspace.tree,
        uids,
        run.workspace.ids,
        _living(carried, set(uids)),
        list(_decisions(run, new)),
        run.findings,
        run.counts,
        names,
    )


def _add(run: _Run, source: SourceTaxonomy) -> None:
    number = len(run.sources)
    run.sources.append(source)
    run.say(f"{source.idspace}: normalise")
    total = len(source.keys)
    unmet = curation.apply_to_source(source, run.instructions, run.names)
    normalise(source, run.names)
    run.say(f"{source.idspace}: align")
    curated, unmet_pairs = _curated_pairs(run, source)
    run.findings += [Finding("unmatched_curation", each.place, str(each)) for each in (*unmet, *unmet_pairs)]
    alignment = align(source, run.workspace, run.names, shared_ids=_shared_ids(run, source), curated=curated)
    run.say(f"{source.idspace}: merge")
    merged = merge(source, number, run.workspace, alignment)
    folded = [row for row, left in source.left.items() if left.reason == "folded"]
    nodes = [(merged.image[node], row) for row in folded if (node := source.node_of_row(row)) != NONE]
    nodes = [(int(node), row) for node, row in nodes if node != NONE]
    run.workspace.ids.add(
        [node for node, _ in nodes], number, [row for _, row in nodes], [HOW_NUMBER["folded"]] * len(nodes)
    )
    run.steps.append(_Step(number, alignment, merged))
    run.counts.append(_counted(source, total, merged))


def _counted(source: SourceTaxonomy, total: int, merged: Merged) -> dict[str, int]:
    counts = {"total": total}
    numbers, how_many = np.unique(merged.how[merged.image != NONE], return_counts=True)
    counts |= {HOW[number]: int(many) for number, many in zip(numbers, how_many, strict=True)}
    for reason in [left.reason for left in source.left.values()] + [left.reason for left in merged.left.values()]:
        counts[reason] = counts.get(reason, 0) + 1
    if merged.moved:
        counts["moved"] = len(merged.moved)
    return counts


# ------------------------------------------------------------------ ids of sources


def _finder(run: _Run) -> Callable[[str], int]:
    """Qualified id → node of the workspace; ids that a source has replaced are followed."""
    by_space: dict[str, tuple[SourceTaxonomy, Ints]] = {}
    for number, source in enumerate(run.sources):
        rows = run.workspace.ids.source == number
        node_of = np.full(len(source.keys), NONE, np.int32)
        node_of[run.workspace.ids.row[rows]] = run.workspace.ids.node[rows]
        by_space[source.idspace] = source, node_of

    def find(qualified: str) -> int:
        idspace, _, key = qualified.partition(":")
        if idspace not in by_space:
            return NONE
        source, node_of = by_space[idspace]
        row = source.row_of(key)
        node = NONE if row == NONE else int(node_of[row])
        return node if node == NONE or run.workspace.backed[node] else NONE

    return find


def _shared_ids(run: _Run, source: SourceTaxonomy) -> list[tuple[int, int]]:
    if not source.source_ids:
        return []
    find = _finder(run)
    rows = zip(range(len(source.row)), source.row.tolist(), strict=True)
    listed = ((node, find(qualified)) for node, row in rows for qualified in source.source_ids.get(row, ()))
    return [(node, found) for node, found in listed if found != NONE]


def _curated_pairs(run: _Run, source: SourceTaxonomy) -> tuple[Curated, list[Instruction]]:
    """The pairs of this source and of earlier ones that curation speaks of, and what met nothing for good."""
    asked = [each for each in run.instructions if each.stage == "alignment"]
    if not asked:
        return Curated(), []
    find = _finder(run)
    same: list[tuple[int, int]] = []
    different: list[tuple[int, int]] = []
    unmet = []
    for each in asked:
        ours, other = each.taxon, each.argument
        if other.partition(":")[0] == source.idspace:
            ours, other = other, ours
        if ours.partition(":")[0] != source.idspace:
            continue
        earlier = {s.idspace for s in run.sources[1:-1]}
        if other.partition(":")[0] not in earlier:
            continue  # its turn comes when the other source is added
        node, there = source.node_of(ours.partition(":")[2]), find(other)
        if node == NONE or there == NONE:
            unmet.append(each)
        else:
            (same if each.action == "align" else different).append((node, there))
    return Curated(tuple(same), tuple(different)), unmet


def _ids_of_previous(run: _Run, previous: SourceTaxonomy | None) -> Identifiers:
    if previous is None:
        return Identifiers()
    run.say(f"{previous.idspace}: hand ids on")
    normalise(previous, run.names)
    return identifiers.hand_on(previous, run.workspace, run.names, _finder(run))


def _count_previous(run: _Run, carried: Identifiers, new: Ints) -> None:
    if carried.old or carried.retired:
        run.findings.append(
            Finding(
                "ids",
                "carried over",
                f"{sum(new[node] != NONE for node in carried.old):,} kept, {len(carried.forwards):,} forwards, "
                f"{len(carried.retired):,} retired",
            )
        )


def _living(carried: Identifiers, uids: set[str]) -> dict[str, str]:
    return {old: new for old, new in sorted(carried.forwards.items()) if new in uids and old not in uids}


# ------------------------------------------------------------------ curation of the result


def _curate_result(run: _Run) -> None:
    workspace = run.workspace
    spaces = {source.idspace for source in run.sources[1:]}
    for each in run.instructions:
        if each.idspace not in spaces and each.stage != "result":
            run.findings.append(Finding("unmatched_curation", each.place, f"{each}: no source {each.idspace}"))
        if each.stage == "alignment" and each.argument.partition(":")[0] not in spaces and each.idspace in spaces:
            run.findings.append(Finding("unmatched_curation", each.place, str(each)))
        if each.stage != "result":
            continue
        editor = Editor(workspace.tree, workspace.shape, run.names, _finder(run))
        if not editor.apply(each):
            run.findings.append(Finding("unmatched_curation", each.place, str(each)))
        elif editor.gone is not None:
            gone = np.flatnonzero(editor.gone)
            workspace.backed[gone] = False
            if editor.into != NONE:
                workspace.ids.node[np.isin(workspace.ids.node, gone)] = editor.into
                workspace.backed[editor.into] = True
            else:
                lost = _some_ids(run, gone.tolist())
                run.findings += [Finding("pruned", one, f"{each.place}: {each.reason}") for one in lost]


def _some_ids(run: _Run, nodes: Sequence[int]) -> list[str]:
    """An id of each node, for people; the name of what no source has."""
    ids, tree = run.workspace.ids, run.workspace.tree
    held, first = np.unique(ids.node, return_index=True) if nodes else (ids.node, ids.node)
    told = []
    for node, at in zip(nodes, np.searchsorted(held, nodes).tolist(), strict=True):
        if at < len(held) and held[at] == node:
            source, row = run.sources[ids.source[first[at]]], ids.row[first[at]]
            told.append(f"{source.idspace}:{source.keys[row]}")
        else:
            told.append(run.names.texts[tree.name[node]])
    return told


# ------------------------------------------------------------------ what was decided


def _decisions(run: _Run, new: Ints) -> Iterator[Decision]:
    for step in run.steps:
        source = run.sources[step.number]
        yield from _of_normalisation(source, step, new)
        yield from _of_merge(source, step, new)
        yield from _of_alignment(source, step, new)


def _of_normalisation(source: SourceTaxonomy, step: _Step, new: Ints) -> Iterator[Decision]:
    for row, left in sorted(source.left.items()):
        node = source.node_of_row(left.into) if left.into != NONE else NONE
        image = NONE if node == NONE else int(new[step.merged.image[node]])
        yield Decision(step.number, row, left.reason, None, (), image, left.detail)


def _of_merge(source: SourceTaxonomy, step: _Step, new: Ints) -> Iterator[Decision]:
    for node, left in sorted(step.merged.left.items()):
        candidates = step.alignment.candidates(node) if left.reason == "ambiguous tip" else left.parents
        yield Decision(
            step.number,
            int(source.row[node]),
            left.reason,
            None,
            tuple(number for number in finish.remap(candidates, new) if number != NONE),
            int(new[left.spot]),
            _CROWDED if step.alignment.crowded[node] else _NOT_TAKEN[left.reason],
        )


_NOT_TAKEN = {
    "ambiguous tip": "several candidates remain",
    "absorbed": "its parent has a child of an earlier source that this source does not know",
    "conflict": "its members have different parents in earlier sources",
}
_CROWDED = "its name is borne by too many, here and there, to look at them all"


def _of_alignment(source: SourceTaxonomy, step: _Step, new: Ints) -> Iterator[Decision]:
    """Decisions among several candidates, and refusals."""
    alignment, merged = step.alignment, step.merged
    counts = np.bincount(alignment.pairs.node, minlength=len(source.tree))
    told = (counts > 1) | (alignment.answer == REFUSED) | (alignment.how == HOW_NUMBER["curation"])
    told |= alignment.crowded
    for node in np.flatnonzero(told).tolist():
        if node in merged.left:
            continue
        answer, how = int(alignment.answer[node]), int(alignment.how[node])
        candidates = finish.remap(alignment.candidates(node), new)
        yield Decision(
            step.number,
            int(source.row[node]),
            "aligned" if answer == ALIGNED else "new",
            HOW[how] if how != NONE else None,
            tuple(number for number in candidates if number != NONE),
            int(new[merged.image[node]]),
            (_CROWDED if alignment.crowded[node] else "several candidates remain") if answer == AMBIGUOUS else None,
        )
