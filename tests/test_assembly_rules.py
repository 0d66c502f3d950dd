"""The rules of an assembly, one small case each: what aligns, what merges, what is told of the rest."""

from __future__ import annotations

import pytest

from tests.assemblies import Given, assembled, given, rows_of, together
from tol_db.taxonomy.curation import Instruction
from tol_db.taxonomy.ranks import rank_level


def said(action: str, taxon: str, argument: str = "", stage: str = "source") -> Instruction:
    return Instruction("curation.tsv, line 2", action, taxon, argument, "a reason", stage)


# ------------------------------------------------------------------ merge


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("((a,b)x,(c,d)y)z", "((c,d)y,(e,f)w)z", "((e,f)w,(a,b)x,(c,d)y)z"),
        ("((a,b)x,(c,d)y)z", "(a,b,c,d)z", "((a,b)x,(c,d)y)z"),
        ("(a,b,c,d)z", "((a,b)x,(c,d)y)z", "((a,b)x,(c,d)y)z"),
        ("((a,b)x,(c,d)y)z", "(a,b,c,d,e)z", "(?e,(a,b)x,(c,d)y)z"),
        ("(a,b,c,d,e)z", "((a,b)x,(c,d)y)z", "(a,b,c,d,e)z"),
        ("((a,b)x,(c,d)y)z", "((a,c)p,(b,d,e)q)z", "(?e,(a,b)x,(c,d)y)z"),
    ],
    ids=["graft", "nothing new", "insertion", "scattered siblings", "absorbed", "conflict"],
)
def test_the_six_cases_of_the_paper(first: str, second: str, expected: str) -> None:
    assert together(first, second) == expected


def test_a_graft_keeps_its_inner_shape() -> None:
    assert together("(a,b)z", "(a,b,(((e,f)v,g)w)u)z") == "(a,b,((g,(e,f)v)w)u)z"


def test_an_insertion_may_bring_a_taxon_of_its_own() -> None:
    assert together("(a,b,c)z", "((a,b,n)x,c)z") == "(c,(a,b,n)x)z"


def test_insertions_nest() -> None:
    assert together("(a,b,c)z", "(((a,b)v)w,c)z") == "(c,((a,b)v)w)z"


def test_new_siblings_of_one_group_hang_in_it_and_are_in_place() -> None:
    assert together("((a,b)x,(c,d)y)z", "(a,b,n)z") == "((a,b,n)x,(c,d)y)z"


def test_scattered_siblings_hang_no_higher_than_they_have_to() -> None:
    first = "(((a,b)x,(c,d)y)w,(f,g)v)z"
    assert together(first, "(a,c,n)q") == "((f,g)v,(?n,(a,b)x,(c,d)y)w)z"


def test_a_conflicting_group_is_told_with_the_parents_of_its_members() -> None:
    found = assembled(given("one", "((a,b)x,(c,d)y)z"), given("two", "((a,c)p,(b,d,e)q)z"))
    for group in ("two:p", "two:q"):
        assert group not in found
        decision = found.decision(group)
        assert decision is not None and decision.outcome == "conflict"
        assert {found.text(int(found.tree.name[node])) for node in decision.candidates} == {"x", "y"}
    assert found.flags("two:e") >= {"incertae_sedis"}


def test_an_absorbed_group_is_told_with_where_its_members_went() -> None:
    found = assembled(given("one", "(a,b,c,d,e)z"), given("two", "((a,b)x,(c,d)y)z"))
    decision = found.decision("two:x")
    assert decision is not None and decision.outcome == "absorbed"
    assert decision.node == found.node["one:z"]


def test_a_group_between_two_nodes_that_are_one_taxon_hangs_below_it() -> None:
    two = given("two", "((x|genus|inner,n)Bus||b)x||outer")
    assert assembled(given("one", "x"), two).newick() == "((n)Bus)x"
    assert assembled(given("one", "(x)z"), two).newick() == "(((n)Bus)x)z"


def test_what_is_incertae_sedis_moves_to_a_more_specific_place() -> None:
    one = given("one", "((a,b)x,(c,d)y,e)z", flags={"e": "incertae_sedis"})
    found = assembled(one, given("two", "((a,b,e)x,(c,d)y)z"))
    assert found.parent("two:e") == "x"
    assert found.same("one:e", "two:e")
    assert "incertae_sedis" not in found.flags("one:e")


def test_what_is_incertae_sedis_moves_into_a_group_that_only_the_later_source_has() -> None:
    one = given("one", "((a,b)x,d,e)z", flags={"e": "incertae_sedis"})
    found = assembled(one, given("two", "((a,b)x,(e,f)y)z"))
    assert found.parent("two:y") == "z"
    assert found.parent("one:e") == "y"
    assert found.parent("two:f") == "y"
    assert "incertae_sedis" not in found.flags("one:e")
    assert "incertae_sedis" not in found.flags("two:y")


def test_what_is_incertae_sedis_does_not_keep_a_group_from_being_put_between() -> None:
    one = given("one", "(a,b,c,e)z", flags={"e": "incertae_sedis"})
    found = assembled(one, given("two", "((a,b,e)x,c)z"))
    assert found.parent("one:a") == found.parent("one:e") == "x"
    assert found.parent("two:x") == "z"
    assert "incertae_sedis" not in found.flags("one:e")


def test_what_is_incertae_sedis_stays_where_a_later_source_is_no_more_specific() -> None:
    one = given("one", "((a,b)x,(c,d)y,e)z", flags={"e": "incertae_sedis"})
    found = assembled(one, given("two", "(a,b,c,d,e)z"))
    assert found.parent("one:e") == "z"
    assert "incertae_sedis" in found.flags("one:e")


def test_a_taxon_in_place_never_moves() -> None:
    found = assembled(given("one", "((a,b)x,(c,d)y,e)z"), given("two", "((a,b,e)x,(c,d)y)z"))
    assert found.parent("one:e") == "z"


def test_what_a_scattered_source_left_uncertain_a_third_source_places() -> None:
    sources = ("((a,b)x,(c,d)y)z", "(a,b,c,d,e)z", "((a,b)x,(c,d,e)y)z")
    assert together(*sources) == "((a,b)x,(c,d,e)y)z"


def test_roots_left_over_hang_under_the_largest_as_unplaced() -> None:
    found = assembled(given("one", "((a,b)x,(c,d)y)z"), given("two", "(p,q)r"))
    assert found.newick() == "((p,q)?r,(a,b)x,(c,d)y)z"
    assert found.flags("two:r") >= {"unplaced"}
    assert found.flags("two:p") >= {"unplaced_inherited"}


def test_what_aligns_has_name_and_place_of_the_first_source_and_names_of_all() -> None:
    one = given("one", "((Ursus arctos|species|7)Ursus|genus)Ursidae|family", synonyms={"7": ["Ursus ferox"]})
    two = given("two", "((Ursus ferox|species|8)Ursus|genus)Ursidae|family", synonyms={"8": ["Ursus horribilis"]})
    found = assembled(one, two)
    assert found.same("one:7", "two:8")
    assert found.name("two:8") == "Ursus arctos"
    assert found.synonyms("one:7") == {"Ursus ferox", "Ursus horribilis"}
    assert found.ids[found.node["one:7"]] == ["one:7", "two:8"]


def test_a_rank_that_was_missing_is_filled_in_and_one_that_was_there_stays() -> None:
    found = assembled(given("one", "((a,b)x,c|tribe)z"), given("two", "((a,b)x|order,c|subtribe)z|class"))
    assert found.rank("one:x") == rank_level("order")
    assert found.rank("one:c") == rank_level("tribe")


def test_extinct_passes_on_and_so_upwards() -> None:
    one = given("one", "((a|species,b|species)x|genus,(c|species)y|genus)z|family")
    found = assembled(one, given("two", "((a,b)x)z", flags={"a": "extinct", "b": "extinct"}))
    assert "extinct" in found.flags("one:a")
    assert "extinct" in found.flags("one:x")
    assert "extinct" not in found.flags("one:z")


# ------------------------------------------------------------------ alignment


def test_far_roots_are_no_common_lineage() -> None:
    """Both have Metazoa above them. That alone does not make a genus of insects one of animals of no class."""
    one = given("one", "((((Aus|genus|1)Bidae|family)Insecta|class)Metazoa|kingdom)Eukaryota|domain")
    found = assembled(one, given("two", "((Insecta|class,Aus|genus|9)Metazoa|kingdom)Eukaryota|domain"))
    assert not found.same("one:1", "two:9")
    decision = found.decision("two:9")
    assert decision is not None and decision.heuristic == "proximity"


def test_lineage_chooses_the_genus_of_the_same_family() -> None:
    one = given(
        "one", "(((Aus|genus|1)Bidae|family)Bales|order,((Aus|genus|2)Cidae|family)Cales|order)Insecta|class"
    )
    found = assembled(one, given("two", "((Aus|genus|3)Cidae|family)Insecta|class"))
    assert found.same("one:2", "two:3")
    decision = found.decision("two:3")
    assert decision is not None and decision.heuristic == "lineage"


def test_of_two_candidates_that_overlap_the_one_that_holds_all_wins() -> None:
    one = given(
        "one",
        "((Bus|genus,Cus|genus)Aidae|family|1,(Dus|genus,Eus|genus,Fus|genus,Bus x|genus)Aidae|family|2)Insecta",
    )
    found = assembled(one, given("two", "((Bus|genus,Cus|genus,Gus|genus)Aidae|family|3)Insecta"))
    assert found.same("one:1", "two:3")
    assert found.parent("two:Gus") == "Aidae"


def test_all_inside_is_stronger_than_some_inside() -> None:
    one = given(
        "one", "((((a1|genus,a2|genus)Q|family|inner,a3|genus)P|order,a4|genus)Q|class|outer)Insecta|class|I"
    )
    found = assembled(one, given("two", "((a1|genus,a4|genus)Q||two)Insecta|class|I"))
    assert found.same("one:outer", "two:two")


def test_a_candidate_of_another_smallest_group_is_refused() -> None:
    one = given("one", "((Aus|genus|1)Diptera|order,Coleoptera|order)Insecta|class")
    found = assembled(one, given("two", "((Aus|genus|2)Coleoptera|order)Insecta|class"))
    assert not found.same("one:1", "two:2")
    decision = found.decision("two:2")
    assert decision is not None and decision.outcome == "new" and decision.heuristic == "separation"


def test_a_candidate_of_a_wider_group_is_refused_by_proximity() -> None:
    one = given("one", "((Aus|genus|1)Bidae|family,Diptera|order)Insecta|class")
    found = assembled(one, given("two", "(((Aus|genus|2)Cidae|family)Diptera|order)Insecta|class"))
    assert not found.same("one:1", "two:2")
    decision = found.decision("two:2")
    assert decision is not None and decision.heuristic == "proximity"


def test_a_source_that_lies_in_no_major_group_aligns_by_name() -> None:
    one = given("one", "((Aus bus|species)Aus|genus)Insecta|class")
    found = assembled(one, given("two", "(Aus bus|species,Aus cus|species)Aus|genus"))
    assert found.same("one:Aus bus", "two:Aus bus")
    assert found.same("one:Aus", "two:Aus")
    assert found.parent("two:Aus cus") == "Aus"


def test_same_source_id_decides_between_two_of_one_name() -> None:
    one = given("one", "(Aus|genus|1,Aus|genus|2)Insecta|class", rules=[])
    two = given("two", "(Aus|genus|9)Insecta|class", ids={"9": ["one:2"]})
    found = assembled(one, two)
    assert found.same("one:2", "two:9")
    decision = found.decision("two:9")
    assert decision is not None and decision.heuristic == "same id"


def test_a_shared_id_alone_makes_a_candidate() -> None:
    one = given("one", "((Aus bus|species|1)Aus|genus)Insecta|class")
    two = given("two", "((Xus yus|species|9)Xus|genus)Insecta|class", ids={"9": ["one:1"]})
    found = assembled(one, two)
    assert found.same("one:1", "two:9")
    assert found.synonyms("one:1") == {"Xus yus"}


@pytest.mark.parametrize("other", ["Aus alba", "Aus album"])
def test_a_binomial_is_found_under_another_gender(other: str) -> None:
    one = given("one", "((Aus albus|species|1)Aus|genus)Insecta|class")
    found = assembled(one, given("two", f"(({other}|species|2)Aus|genus)Insecta|class"))
    assert found.same("one:1", "two:2")
    assert other in found.synonyms("one:1")


def test_genders_are_tried_of_binomials_only() -> None:
    found = assembled(given("one", "(Albus|genus|1)Insecta|class"), given("two", "(Alba|genus|2)Insecta|class"))
    assert not found.same("one:1", "two:2")


def test_another_gender_is_not_tried_where_the_name_itself_is_known() -> None:
    one = given("one", "((Aus albus|species|1,Aus alba|species|2)Aus|genus)Insecta|class")
    found = assembled(one, given("two", "((Aus alba|species|3)Aus|genus)Insecta|class"))
    assert found.same("one:2", "two:3")


def test_another_gender_is_tried_where_only_the_synonym_of_another_taxon_was_found() -> None:
    one = given("one", "((Aus albus|species|1,Aus niger|species|2)Aus|genus)Insecta|class")
    two = given(
        "two", "((Aus alba|species|3,Aus niger|species|4)Aus|genus)Insecta|class", synonyms={"3": ["Aus niger"]}
    )
    found = assembled(one, two)
    assert found.same("one:1", "two:3")
    assert found.same("one:2", "two:4")


def test_another_gender_is_found_in_the_own_kingdom_only() -> None:
    one = given("one", "(((Aus albus|species|1)Aus|genus|g)Fungi,Metazoa)Eukaryota")
    found = assembled(one, given("two", "(((Aus alba|species|2)Aus|genus|g)Metazoa)Eukaryota"))
    assert not found.same("one:1", "two:2")


def test_hemihomonyms_stay_in_their_kingdoms_with_all_their_species() -> None:
    one = given("one", "(((Ficus variegata|species|1)Ficus|genus|2)Mollusca|phylum)Metazoa")
    two = given(
        "two",
        "((((Ficus variegata|species|3)Ficus|genus|4)Mollusca|phylum)Metazoa,"
        " ((Ficus variegata|species|5,Ficus carica|species|6)Ficus|genus|7)Chloroplastida)Eukaryota",
    )
    found = assembled(one, two)
    assert found.bearers("Ficus") == 2
    assert found.same("one:1", "two:3")
    assert found.same("one:2", "two:4")
    assert not found.same("one:2", "two:7")
    assert found.parent("two:6") == "Ficus"


@pytest.mark.parametrize("kind", ["type material", "authority", "blast name", "in-part", "valid", "common name"])
def test_what_is_no_name_makes_no_candidate_and_stays_a_synonym(kind: str) -> None:
    one = given("one", "((Aus bus|species|1)Aus|genus)Insecta|class", synonyms={"1": [f"{kind}:Xus yus"]})
    found = assembled(one, given("two", "((Xus yus|species|2)Xus|genus)Insecta|class"))
    assert not found.same("one:1", "two:2")
    assert "Xus yus" in found.synonyms("one:1")


def test_a_genus_never_becomes_a_major_group() -> None:
    one = given("one", "((Fungi|genus|1)Bidae|family,Fungi|kingdom|2)Eukaryota")
    found = assembled(one)
    assert found.parent("one:1") == "Bidae"
    assert not found.same("one:1", "one:2")


def test_groups_of_a_source_that_has_them_twice_are_found_in_one_of_its_trees() -> None:
    rows = [
        *rows_of("(((a|species)Diptera|order|d)Insecta|class|i,m1,m2)Animalia|kingdom|r"),
        *rows_of("(((b|species,c|species,e|species)Diptera|order|d2)Insecta|class|i2)Metazoa|kingdom|r2"),
    ]
    found = assembled(Given("one", rows))
    assert found.parent("one:i") == "Animalia"
    assert found.parent("one:d") == found.parent("one:d2") == "Insecta"
    assert found.parent("one:i2") == "Metazoa"


def test_an_ambiguous_tip_is_dropped_and_told_with_its_candidates() -> None:
    one = given(
        "one",
        "((Aus bus|species|1,Aus cus|species|2)Aus|genus)Insecta|class",
        synonyms={"1": ["Aus dus"], "2": ["Aus dus"]},
    )
    found = assembled(one, given("two", "((Aus dus|species|3)Aus|genus)Insecta|class"))
    assert "two:3" not in found
    decision = found.decision("two:3")
    assert decision is not None and decision.outcome == "ambiguous tip"
    assert set(decision.candidates) == {found.node["one:1"], found.node["one:2"]}


def test_an_ambiguous_group_is_new() -> None:
    one = given(
        "one", "((Aus|genus|1,Bus|genus|2)Cidae|family)Insecta|class", synonyms={"1": ["Dus"], "2": ["Dus"]}
    )
    found = assembled(one, given("two", "(((Dus eus|species)Dus|genus|3)Cidae|family)Insecta|class"))
    assert found.ids[found.node["two:3"]] == ["two:3"]
    assert found.parent("two:Dus eus") == "Dus"


def test_a_name_borne_by_very_many_is_told_by_its_parents_or_ambiguous() -> None:
    some = ",".join(f"(thing||p{n})Genus{n}|genus" for n in range(150))
    many = ",".join(f"heap||h{n}" for n in range(150))
    newick = f"({some},(heap||inner,{many})Aidae|family)Insecta|class"
    found = assembled(given("one", newick), given("two", newick.replace("heap||inner", "(x)heap||inner")))
    assert all(found.same(f"one:p{n}", f"two:p{n}") for n in range(150))
    decisions = [found.decision(f"two:h{n}") for n in range(150)]
    assert {each.outcome for each in decisions if each} == {"ambiguous tip"}
    inner = found.decision("two:inner")
    assert inner is not None and (inner.outcome, inner.candidates) == ("new", ())
    assert "too many" in (inner.detail or "")
    assert found.ids[found.node["two:inner"]] == ["two:inner"]


# ------------------------------------------------------------------ normalisation


def test_containers_are_emptied_nested_ones_too() -> None:
    one = given(
        "one",
        "(((a|species,(b|species)environmental samples)unclassified Aidae)incertae sedis,c|species)Aidae|family",
    )
    found = assembled(one)
    assert found.newick() == "(?a,?b,c)Aidae"
    assert found.flags("one:b") >= {"environmental"}
    for container in ("one:incertae sedis", "one:unclassified Aidae", "one:environmental samples"):
        decision = found.decision(container)
        assert decision is not None and decision.outcome == "container"
        assert decision.node == found.node["one:Aidae"]


def test_a_subgenus_named_as_its_genus_is_told_from_it() -> None:
    found = assembled(given("one", "((Aus bus|species)Aus|subgenus|2)Aus|genus|1"))
    assert found.name("one:2") == "Aus subgenus Aus"
    assert found.name("one:1") == "Aus"


def test_sibling_homonyms_are_folded_and_all_ids_kept() -> None:
    one = given(
        "one",
        "((a|species)Aus|genus|1,(b|species)Aus|genus|2,Aus|genus|3)Aidae|family",
        rules=["fold-sibling-homonyms"],
        synonyms={"2": ["Bus"]},
    )
    found = assembled(one)
    assert found.same("one:1", "one:2", "one:3")
    assert found.newick() == "((a,b)Aus)Aidae"
    assert found.synonyms("one:1") == {"Bus"}


def test_children_of_folded_siblings_are_folded_in_their_turn() -> None:
    one = given(
        "one",
        "((Aus bus|species|4)Aus|genus|1,(Aus bus|species|5)Aus|genus|2)Aidae|family",
        rules=["fold-sibling-homonyms"],
    )
    found = assembled(one)
    assert found.newick() == "((Aus bus)Aus)Aidae"
    assert found.same("one:4", "one:5")


def test_siblings_of_one_name_and_different_ranks_are_not_folded() -> None:
    found = assembled(given("one", "(Aus|genus|1,Aus|subgenus|2)Aidae|family", rules=["fold-sibling-homonyms"]))
    assert not found.same("one:1", "one:2")


def test_a_sibling_of_another_rank_does_not_keep_the_others_from_being_folded() -> None:
    rows = "(Aus|genus|1,Aus|subgenus|2,Aus|genus|3,Aus|subgenus|4)Aidae|family"
    found = assembled(given("one", rows, rules=["fold-sibling-homonyms"]))
    assert found.same("one:1", "one:3")
    assert found.same("one:2", "one:4")
    assert not found.same("one:1", "one:2")


@pytest.mark.parametrize(
    "name", ["unclassified", "Unassigned", "Aidae unallocated", "mitosporic Aidae", "incertae sedis"]
)
def test_words_for_containers(name: str) -> None:
    found = assembled(given("one", f"((a|species){name},b|species)Aidae|family"))
    assert found.newick() == "(?a,b)Aidae"


def test_a_rank_far_below_its_siblings_is_a_conflict_only_where_the_source_means_it() -> None:
    tree = "(Bales|order,(Cus dus|species)Cus|genus,Eidae|family)Aia|class"
    flagged = assembled(given("one", tree, rules=["major-rank-conflict"]))
    assert "major_rank_conflict" in flagged.flags("one:Cus")
    assert "major_rank_conflict" in flagged.flags("one:Eidae")
    assert "major_rank_conflict" not in flagged.flags("one:Bales")
    assert "major_rank_conflict_inherited" in flagged.flags("one:Cus dus")
    assert "major_rank_conflict" not in assembled(given("one", tree)).flags("one:Cus")


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("uncultured fungus", "not_otu"),
        ("unidentified beetle", "not_otu"),
        ("Aus sp.", "not_otu"),
        ("soil metagenome", "not_otu"),
        ("Aus bus x Aus cus", "hybrid"),
        ("Aus × bus", "hybrid"),
        ("Tobacco mosaic virus", "viral"),
    ],
)
def test_names_that_tell_a_flag(name: str, flag: str) -> None:
    one = given("one", f"({name}|species|1,Aus bus|species)Z|genus", rules=["name-flags"])
    found = assembled(one)
    assert flag in found.flags("one:1")
    assert not found.flags("one:Aus bus") & {"not_otu", "hybrid", "viral"}


def test_inferred_flags() -> None:
    found = assembled(given("one", "((((f|forma)s|species)g|genus,k|genus)Fam|family,d|genus)Ord|order"))
    assert found.flags("one:f") == {"infraspecific"}
    assert found.flags("one:k") == {"barren"}
    assert found.flags("one:d") == {"barren", "sibling_higher"}
    assert not found.flags("one:s") | found.flags("one:g") | found.flags("one:Ord")


# ------------------------------------------------------------------ curation


def test_curation_renames_adds_and_removes_names_before_alignment() -> None:
    one = given("one", "(Aus bus|species|1,Aus cus|species|2)Aus|genus", synonyms={"2": ["Aus eus"]})
    two = given("two", "(Aus dus|species|3,Aus eus|species|4)Aus|genus")
    found = assembled(
        one, two, instructions=[said("rename", "one:1", "Aus dus"), said("not-synonym", "one:2", "Aus eus")]
    )
    assert found.same("one:1", "two:3")
    assert found.synonyms("one:1") == {"Aus bus"}
    assert not found.same("one:2", "two:4")


def test_curation_prunes_moves_and_flags() -> None:
    one = given("one", "((a,b)x,(c,d)y)z")
    steps = [said("prune", "one:a"), said("move", "one:b", "one:y"), said("flag", "one:c", "extinct")]
    found = assembled(one, instructions=steps)
    assert found.newick() == "(x,(b,c,d)y)z"
    assert "extinct" in found.flags("one:c")
    assert found.decision("one:a").outcome == "pruned"  # type: ignore[union-attr]


def test_curation_folds_within_a_source() -> None:
    one = given("one", "((a,b)x,(c,d)y)z")
    found = assembled(one, instructions=[said("fold", "one:x", "one:y")])
    assert found.newick() == "((a,b,c,d)y)z"
    assert found.same("one:x", "one:y")
    assert found.synonyms("one:y") == {"x"}


def test_curation_aligns_and_keeps_apart() -> None:
    one, two = given("one", "((a,b)x,(c,d)y)z"), given("two", "((e,f)w,(a,g)x)z")
    found = assembled(
        one,
        two,
        instructions=[
            said("align", "two:w", "one:y", "alignment"),
            said("never-align", "one:x", "two:x", "alignment"),
        ],
    )
    assert found.same("one:y", "two:w")
    assert not ("two:x" in found and found.same("one:x", "two:x"))


def test_curation_folds_across_sources_in_the_result() -> None:
    one, two = given("one", "((a,b)x,(c,d)y)z"), given("two", "((e,f)w,c)z")
    found = assembled(one, two, instructions=[said("merge", "two:w", "one:x", stage="result")])
    assert found.same("one:x", "two:w")
    assert {found.parent(each) for each in ("two:e", "two:f", "one:a")} == {"x"}


def test_an_instruction_that_meets_nothing_is_told() -> None:
    one = given("one", "(a,b)z")
    steps = [
        said("prune", "one:nobody"),
        said("prune", "none:a"),
        said("align", "one:a", "none:b", "alignment"),
        said("not-synonym", "one:a", "Xus"),
        said("move", "one:a", "one:nobody", "result"),
    ]
    found = assembled(one, instructions=steps)
    told = [each for each in found.assembly.findings if each.kind == "unmatched_curation"]
    assert len(told) == len(steps)


# ------------------------------------------------------------------ ids


def test_ids_go_on_and_new_ones_count_upwards_in_the_order_of_the_tree() -> None:
    old = given("old", "(a||5,b||9)z||3")
    found = assembled(given("one", "((d,c)b,a)z"), previous=old)
    assert [found.uid(f"one:{key}") for key in ("z", "a", "b")] == ["3", "5", "9"]
    assert (found.uid("one:c"), found.uid("one:d")) == ("10", "11")


def test_of_two_old_ids_of_one_taxon_the_lower_stays_and_the_other_leads_to_it() -> None:
    old = given("old", "((Aus bus|species|12,Aus cus|species|11)Aus|genus|10)Insecta|class|2")
    one = given("one", "((Aus bus|species|1)Aus|genus|3)Insecta|class|4", synonyms={"1": ["Aus cus"]})
    found = assembled(one, previous=old)
    assert found.uid("one:1") == "11"
    assert found.assembly.forwards == {"12": "11"}


def test_an_id_follows_its_source_id_through_a_replaced_one() -> None:
    old = given("old", "(Xus yus|species|7)z||1", ids={"7": ["one:99"]})
    found = assembled(given("one", "(Aus bus|species|2)z", aliases={"99": "2"}), previous=old)
    assert found.uid("one:2") == "7"


def test_an_id_that_nothing_reaches_is_retired_and_not_used_again() -> None:
    found = assembled(given("one", "(a,c)z"), previous=given("old", "(a||5,gone||9)z||3"))
    assert "9" not in found.assembly.uids
    assert ("retired_id", "9") in {(each.kind, each.subject) for each in found.assembly.findings}
    assert found.uid("one:c") == "10"


def test_forwards_of_the_previous_assembly_go_on() -> None:
    old = given("old", "(a||5)z||3", aliases={"8": "5", "9": "8"})
    found = assembled(given("one", "(a)z"), previous=old)
    assert found.assembly.forwards == {"8": "5", "9": "5"}


def test_of_several_taxa_that_claim_one_id_one_keeps_it() -> None:
    old = given("old", "((Ficus|genus|5)Metazoa||4)Eukaryota||3")
    one = given("one", "((Ficus|genus|a)Metazoa,(Ficus|genus|b)Chloroplastida)Eukaryota")
    found = assembled(one, previous=old)
    assert found.uid("one:a") == "5"
    assert found.uid("one:b") != "5"
    assert len(set(found.assembly.uids)) == len(found.assembly.uids)


def test_the_id_of_what_curation_folded_leads_to_what_stands_for_it() -> None:
    old = given("old", "((a||5,b||6)x||4,(c||8,d||9)y||7)z||3")
    one = given("one", "((a,b)x,(c,d)y)z")
    found = assembled(one, previous=old, instructions=[said("fold", "one:y", "one:x", "result")])
    assert found.uid("one:x") == found.uid("one:y") == "4"
    assert found.assembly.forwards == {"7": "4"}
    assert not {"retired_id"} & {each.kind for each in found.assembly.findings}
