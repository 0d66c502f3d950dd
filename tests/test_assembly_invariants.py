"""What holds of every assembly, whatever the sources say."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.assemblies import Given, Result, assembled, every_id, rows_of
from tol_db.taxonomy.decision import LEFT_OUT
from tol_db.taxonomy.flags import OUT_OF_PLACE
from tol_db.taxonomy.tree import NONE

NAMES = [
    *("Aus", "Bus", "Cus", "Dus", "Eus", "Fus", "Aus albus", "Aus alba", "Bus albus", "Cus niger", "Cus nigra"),
    *("Aidae", "Bidae", "Cidae", "Metazoa", "Insecta", "Diptera", "Fungi", "Aus sp.", "uncultured Bus", "Müs müs"),
    *("incertae sedis", "unclassified Aidae", "environmental samples"),
]
RANKS = ["", "no rank", "class", "order", "family", "genus", "subgenus", "species", "subspecies"]
RULES = ["fold-sibling-homonyms", "major-rank-conflict", "name-flags"]
FLAGS = ["", "", "", "incertae_sedis", "extinct", "unplaced", "hidden"]


@st.composite
def sources(draw: st.DrawFn, idspace: str, *, most: int = 14) -> Given:
    """A forest of few names, so that they meet: homonyms, missing ranks, any rank below any other."""
    size = draw(st.integers(1, most))
    rows, synonyms, flags = [], {}, {}
    for number in range(size):
        above = draw(st.integers(-1, number - 1)) if draw(st.booleans()) else number - 1
        name = draw(st.sampled_from(NAMES))
        rows.append((str(number), "" if above < 0 else str(above), name, draw(st.sampled_from(RANKS))))
        if draw(st.integers(0, 3)) == 0:
            synonyms[str(number)] = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True))
        flags[str(number)] = draw(st.sampled_from(FLAGS))
    rules = draw(st.lists(st.sampled_from(RULES), unique=True))
    return Given(idspace, rows, synonyms, flags, rules)


SEVERAL = st.tuples(sources("one"), sources("two"), sources("three", most=6))

economical = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def chain_above(found: Result, node: int) -> list[int]:
    """The ancestors of a node, nearest first."""
    out: list[int] = []
    while (node := int(found.tree.parent[node])) != NONE:
        out.append(node)
        assert len(out) <= len(found.tree), "a cycle"
    return out


@economical
@given(SEVERAL)
def test_one_tree_in_preorder_of_which_every_node_has_a_source(several: tuple[Given, ...]) -> None:
    found = assembled(*several)
    parent = found.tree.parent
    assert (parent < np.arange(len(parent))).all()
    assert (parent == NONE).sum() <= 1
    assert len(set(found.assembly.uids)) == len(parent)
    for node, ids in enumerate(found.ids):
        assert ids or (parent == node).sum() > 1, "a node that nobody backs joins nothing"


@economical
@given(SEVERAL)
def test_every_source_taxon_is_in_the_provenance_once_or_left_out_with_a_reason(several: tuple[Given, ...]) -> None:
    found = assembled(*several)  # Result asserts that no id occurs twice
    told = {
        f"{found.assembly.sources[each.source].idspace}:{found.assembly.sources[each.source].keys[each.row]}": each
        for each in found.assembly.decisions
        if each.outcome in LEFT_OUT
    }
    for source in several:
        for qualified in every_id(source):
            decision = told.get(qualified)
            assert (qualified in found) != (decision is not None and decision.outcome != "folded"), qualified


@economical
@given(SEVERAL)
def test_the_tree_of_the_first_source_stands(several: tuple[Given, ...]) -> None:
    """Ancestors of a taxon of the first source, of those that the first source has, are the same with and without
    the others; but for what it says to be out of place."""
    alone, found = assembled(several[0]), assembled(*several)
    for qualified in every_id(several[0]):
        if qualified not in alone:
            assert qualified not in found
            continue
        path = [alone.node[qualified], *chain_above(alone, alone.node[qualified])]
        if any(int(alone.tree.flags[node]) & OUT_OF_PLACE for node in path):
            continue
        before = [own for node in path[1:] if (own := of_first(alone, node))]
        after = [own for node in chain_above(found, found.node[qualified]) if (own := of_first(found, node))]
        assert before == after[: len(before)], qualified


def of_first(found: Result, node: int) -> list[str]:
    """Ids of the first source that a node has."""
    return [each for each in found.ids[node] if each.startswith("one:")]


@economical
@given(SEVERAL)
def test_no_name_is_lost(several: tuple[Given, ...]) -> None:
    """Every name and synonym of a taxon that is in is a name or a synonym of its taxon."""
    found = assembled(*several)
    for source in several:
        names = {key: name for key, _, name, _ in source.rows}
        for qualified in every_id(source):
            if qualified not in found:
                continue
            key = qualified.partition(":")[2]
            there = {found.name(qualified), *found.synonyms(qualified)}
            for name in (names[key], *source.synonyms.get(key, ())):
                assert {name, f"{name} subgenus {name}"} & there, (qualified, name)


@economical
@given(SEVERAL, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(several: tuple[Given, ...], rng: random.Random) -> None:
    shuffled = []
    for source in several:
        rows = list(source.rows)
        rng.shuffle(rows)
        shuffled.append(replace(source, rows=rows))
    assert assembled(*several).everything() == assembled(*shuffled).everything()


@economical
@given(SEVERAL)
def test_ids_of_the_same_again_are_unique_and_forwards_lead_to_living_ones(
    several: tuple[Given, ...],
) -> None:
    first = assembled(*several)
    rows, ids = [], {}
    for node, uid in enumerate(first.assembly.uids):
        above = int(first.tree.parent[node])
        rows.append(
            (uid, "" if above == NONE else first.assembly.uids[above], first.text(int(first.tree.name[node])), "")
        )
        ids[uid] = first.ids[node]
    again = assembled(*several, previous=Given("old", rows, ids=ids))
    assert len(set(again.assembly.uids)) == len(again.assembly.uids)
    living = set(again.assembly.uids)
    assert not living & set(again.assembly.forwards)
    assert set(again.assembly.forwards.values()) <= living


@economical
@given(sources("one"))
def test_a_source_added_twice_adds_nothing(source: Given) -> None:
    """Of a source without homonyms all taxa align to themselves."""
    unique = [(key, above, f"{name} {key}".replace(" ", ""), rank) for key, above, name, rank in source.rows]
    plain = Given("one", unique, {}, {}, source.rules)
    found = assembled(plain, replace(plain, idspace="two"))
    assert len(found.tree) == len(assembled(plain).tree)
    assert all(found.same(f"one:{key}", f"two:{key}") for key, *_ in unique if f"one:{key}" in found)


@economical
@given(sources("two", most=10))
def test_a_graft_keeps_its_inner_shape(graft: Given) -> None:
    """What shares no name with what is there hangs in the result as it hung in its source."""
    rows = [(key, above or "root", f"new{key} {name}", rank) for key, above, name, rank in graft.rows]
    rows = [
        (key, above, name.replace(" ", "").replace("unclassified", "u"), rank) for key, above, name, rank in rows
    ]
    two = Given("two", [*rows, ("root", "", "Z", "")], {}, {}, ())
    found = assembled(Given("one", rows_of("(p,q)Z")), two)
    for key, above, _, _ in rows:
        if f"two:{key}" in found and f"two:{above}" in found:
            assert int(found.tree.parent[found.node[f"two:{key}"]]) == found.node[f"two:{above}"]


def chain(idspace: str, length: int) -> Given:
    rows = [(f"{n:05}", f"{n - 1:05}" if n else "", f"Name{n}", "") for n in range(length)]
    return Given(idspace, rows)


def test_a_chain_of_1000_levels_goes_through_twice() -> None:
    found = assembled(chain("one", 1000), chain("two", 1000))
    assert len(found.tree) == 1000
    assert all(len(ids) == 2 for ids in found.ids)


def test_50000_children_of_one_parent_go_through_twice() -> None:
    rows = [("root", "", "Z", ""), *((str(n), "root", f"Name{n}", "genus") for n in range(50_000))]
    found = assembled(Given("one", rows), Given("two", [*rows, ("new", "root", "Fresh", "genus")]))
    assert len(found.tree) == 50_002
    assert found.parent("two:new") == "Z"


def test_300_homonyms_of_one_name_do_not_multiply() -> None:
    rows = [("root", "", "Z", ""), *((str(n), "root", "Aus", "genus") for n in range(300))]
    found = assembled(Given("one", rows), Given("two", rows))
    assert found.bearers("Aus") == 300
    assert sum(each.outcome == "ambiguous tip" for each in found.assembly.decisions) == 300


@economical
@given(st.sampled_from(["(a,b)z", "a"]), st.sampled_from(["a", "(b,c)z"]))
def test_sources_without_a_taxon_change_nothing(one: str, two: str) -> None:
    sources = (Given("one", rows_of(one)), Given("two", rows_of(two)))
    empty = Given("three", ())
    with_empty = assembled(*sources, empty).everything()
    assert with_empty == assembled(*sources).everything()
