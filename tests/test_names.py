"""Normalisation of names: the published cases, a second writing of the rules, and the published catalog."""

from __future__ import annotations

import csv
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests import names_oracle
from tests.shared_data import SHARED_DATA, needs_shared
from tol_db.taxonomy import names
from tol_db.taxonomy.names import Lineage, clean_species, normalise, parse_blacklist_name, strip_html
from tol_db.taxonomy.ranks import RANKS


def label(**ranks: str) -> list[str]:
    """A raw 7-tuple out of the ranks that matter."""
    return [ranks.get(rank, ranks.get(f"{rank}_", "")) for rank in RANKS]


def binomial(genus: str, species: str) -> tuple[str, str]:
    shown = normalise(label(genus=genus, species=species))
    return shown.genus, shown.species


# ---------------------------------------------------------------- HTML


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("alba", "alba"),
        ("<i>alba</i>", "alba"),
        ("<em>alba</em> <b>Smith</b>", "alba Smith"),
        ("<i><b>alba</b></i>", "alba"),
        ('<a href="x">alba</b>', "alba"),  # names of tags are not compared
        ("<i>alba", "<i>alba"),
        ("alba</i>", "alba</i>"),
        ("alba<br>nigra", "alba<br>nigra"),
        ("<i>al\nba</i>", "<i>al\nba</i>"),
        ("<i>al\rba</i>", "al\rba"),
        ("<i\n>alba</i>", "<i\n>alba</i>"),
        ("<>alba</>", "alba"),
        ("a <<i>b</i> c", "a b c"),
        ("<a><b></a>x<c>y</c>", "<b>xy"),  # one sweep after the other, each from left to right
        ("", ""),
    ],
)
def test_html_elements_become_their_text(text: str, stripped: str) -> None:
    assert strip_html(text) == stripped


# ---------------------------------------------------------------- the species


@pytest.mark.parametrize(
    ("raw", "epithet"),
    [
        ("cinerascens (Bates 1864)", "cinerascens"),
        ("dacrydioides (Baker) Pic.Serm.", "dacrydioides"),
        ("araneiformis subsp. parvulus Casey 1913", "araneiformis"),
        ("araneiformis ssp. parvulus", "araneiformis"),
        ("subangulata Pease, 1870", "subangulata"),
        ("orchidacea Meksuwan, Pholpunthin & Segers, 2013", "orchidacea"),
        ("yarrowi Jordan & Evermann", "yarrowi"),
        ("boivinii <br > var. boivinii", "boivinii"),
        ("boivinii <br > boivinii", "boivinii"),
        ("boivinii<BR>boivinii", "boivinii"),
        ("boivinii<br/>boivinii", "boivinii<br/>boivinii"),
        ("spinulosum r.br.", "spinulosum"),
        ("citrifolia L.", "citrifolia"),
        ("alba 2013b", ""),  # `alba` is the word before the year
        ("alba Smith 20134", "alba"),
        ("alba x2013", "alba x"),
        ("alba 201", "alba 201"),
        ("  Alba\u00a0", "alba"),
    ],
)
def test_authors_years_and_infraspecific_ranks_are_cut_off(raw: str, epithet: str) -> None:
    assert clean_species(raw) == epithet


@pytest.mark.parametrize(
    ("raw", "epithet"), [("cultivar.", "culti"), ("xssp.y", "x"), ("subsp.", ""), ("a(b", "a")]
)
def test_patterns_match_inside_words(raw: str, epithet: str) -> None:
    assert clean_species(raw) == epithet


def test_only_a_real_full_stop_ends_an_infraspecific_rank() -> None:
    assert clean_species("variegata") == "variegata"
    assert clean_species("alba sspx") == "alba sspx"


def test_patterns_apply_in_the_published_order_each_once() -> None:
    # The year is cut with the word before it, then the word before that has no year any more.
    assert clean_species("alba smith 1901 1902") == "alba"
    assert clean_species("alba 1901, 1902") == ""
    # `word & word` would leave `alba smith,`; the longer form comes first and takes the first author too.
    assert clean_species("alba smith, jones & wu") == "alba"
    # Each pattern cuts at its first match only, in what the patterns before it left.
    assert clean_species("alba a. b <br> (x) 1999") == "alba"


@pytest.mark.parametrize("sign", list("[\\]^_`"))
def test_the_range_of_the_initial_holds_the_six_signs_between_z_and_a(sign: str) -> None:
    assert clean_species(f"alba {sign}. x") == "alba"


@pytest.mark.parametrize("text", ["alba é. x", "alba @. x", "alba {. x", "alba\u00a0l. x", "l. x"])
def test_an_initial_is_ascii_and_follows_a_blank(text: str) -> None:
    assert clean_species(text) == text


def test_digits_and_words_are_those_of_unicode() -> None:
    assert clean_species("alba blüthgen, ١٩٢٦") == "alba"
    assert clean_species("alba m_üller & wu") == "alba"
    assert clean_species("alba smith ²²²²") == "alba smith ²²²²"  # superscripts are no decimal digits


def test_a_hyphenated_author_loses_only_its_last_part() -> None:
    assert clean_species("alba smith-jones & wu") == "alba smith-"


# ---------------------------------------------------------------- the whole label


@pytest.mark.parametrize(
    ("raw", "genus", "species"),
    [
        ("Atrypanius cinerascens (Bates 1864)", "Atrypanius", "cinerascens"),
        ("Huperzia dacrydioides (Baker) Pic.Serm.", "Huperzia", "dacrydioides"),
        ("Lagocheirus araneiformis subsp. parvulus Casey 1913", "Lagocheirus", "araneiformis"),
        ("Partula subangulata Pease, 1870", "Partula", "subangulata"),
        ("Collotheca orchidacea Meksuwan, Pholpunthin & Segers, 2013", "Collotheca", "orchidacea"),
        ("Agosia yarrowi Jordan & Evermann", "Agosia", "yarrowi"),
        ("Pellaea boivinii <br > var. boivinii", "Pellaea", "boivinii"),
        ("Stylidium spinulosum r.br.", "Stylidium", "spinulosum"),
        ("Morinda citrifolia L.", "Morinda", "citrifolia"),
        ("geospiza fuliginosa fuliginosa", "Geospiza", "fuliginosa"),
    ],
)
def test_published_cases_hold_with_and_without_a_genus(raw: str, genus: str, species: str) -> None:
    assert binomial("", raw) == (genus, species)
    assert binomial(genus, raw) == (genus, species)
    assert names.scientific(normalise(label(species=raw))) == f"{genus} {species}"


@pytest.mark.parametrize("kingdom", ["Metazoa", "METAZOA", "<i>metazoa</i>"])
def test_kingdom_synonyms_are_renamed(kingdom: str) -> None:
    assert normalise(label(kingdom=kingdom)).kingdom == "Animalia"


def test_plant_kingdoms_are_renamed_and_others_stay() -> None:
    assert normalise(label(kingdom="Archaeplastida")).kingdom == "Plantae"
    assert normalise(label(kingdom="Chloroplastida")).kingdom == "Plantae"
    assert normalise(label(kingdom="Viridiplantae")).kingdom == "Viridiplantae"
    assert normalise(label(kingdom="Metazoa ")).kingdom == "Metazoa "
    assert normalise(label(phylum="Metazoa")).phylum == "Metazoa"


@pytest.mark.parametrize("value", ["Unknown", "(unidentified)", "PleaseHelp", "<i>unknown</i>"])
def test_names_that_say_unknown_become_empty_at_every_rank(value: str) -> None:
    assert normalise([value] * 7).is_empty


def test_unknown_with_blanks_around_it_stays_above_the_species() -> None:
    shown = normalise(label(family=" unknown", species=" unknown"))
    assert (shown.family, shown.species) == (" unknown", "")


def test_a_cut_that_lays_bare_an_unknown_empties_the_species() -> None:
    assert binomial("Parus", "unknown (Smith)") == ("Parus", "")
    assert binomial("", "unknown alba") == ("", "alba")


def test_a_genus_in_front_of_the_species_is_dropped() -> None:
    assert binomial("Parus", "parus major") == ("Parus", "major")
    assert binomial("<i>Parus</i>", "<i>Parus major</i>") == ("Parus", "major")


def test_a_species_named_as_its_genus_stays() -> None:
    assert binomial("Oenanthe", "oenanthe") == ("Oenanthe", "oenanthe")
    assert binomial("Oenanthe", "Oenanthe oenanthe") == ("Oenanthe", "oenanthe")
    assert binomial("Oenanthe", "Oenanthe oenanthe oenanthe") == ("Oenanthe", "oenanthe")


def test_an_unknown_genus_is_taken_from_the_species() -> None:
    assert binomial("unknown", "Parus major") == ("Parus", "major")
    assert binomial("", "major") == ("", "major")


def test_two_equal_words_become_one_and_three_stay() -> None:
    assert binomial("Parus", "major major") == ("Parus", "major")
    assert binomial("Parus", "major major major") == ("Parus", "major major major")
    assert binomial("", "Parus major major major") == ("Parus", "major major major")


def test_ranks_are_not_trimmed_and_inner_blanks_of_an_epithet_stay() -> None:
    shown = normalise(label(order=" Aves", genus="Parus", species=" major  x\u00a0minor "))
    assert (shown.order, shown.species) == (" aves", "major  x\u00a0minor")


def test_shown_form_capitalises_ranks_and_lowers_the_species() -> None:
    shown = normalise(["ANIMALIA", "chordata", "aVES", "x-Y", "éA", "PARUS", "MAJOR"])
    assert shown.as_tuple() == ("Animalia", "Chordata", "Aves", "X-y", "Éa", "Parus", "major")


def test_normalisation_is_not_idempotent() -> None:
    once = normalise(label(genus="Parus", species="parus parus major"))
    assert once.species == "parus major"
    assert normalise(once.as_tuple()).species == "major"


@pytest.mark.parametrize("raw", [[], [""] * 6, [""] * 8, "unknown", ["", "", "", "", "", "", None]])
def test_anything_but_seven_strings_is_refused(raw: list[str]) -> None:
    with pytest.raises(ValueError, match="seven names"):
        normalise(raw)
    with pytest.raises(ValueError, match="seven names"):
        Lineage.of(raw)


def test_lineage_keeps_the_seven_values_in_order() -> None:
    values = ("A", "b", "c", "d", "e", "f", "g")
    lineage = Lineage.of(values)
    assert lineage.as_tuple() == values
    assert (lineage.kingdom, lineage.class_, lineage.species) == ("A", "c", "g")
    assert not lineage.is_empty
    assert Lineage.of([""] * 7).is_empty


# ---------------------------------------------------------------- a second writing of the rules

PIECES = (
    *("(", ")", "ssp.", "subsp.", "var.", " & ", "&", ",", ", ", ".", "<br>", "<br >", "<BR>", "<i>", "</i>"),
    *(
        "<",
        ">",
        "/",
        "</",
        "</b >",
        "\n",
        "\r",
        "\t",
        "\u00a0",
        "\u2028",
        "\u200b",
        " ",
        "  ",
        "`",
        "_",
        "[",
        "^",
    ),
    *(
        "\\",
        "-",
        "'",
        "1758",
        "19",
        "2",
        "١٩٢٦",
        "²²²²",
        "५",
        "é",
        "ß",
        "İ",
        "Σ",
        "ǆ",
        "ŉ",
        "×",
        "@",
        "{",
        "A",
        "z",
    ),
    *(
        "unknown",
        "(unidentified)",
        "PleaseHelp",
        "metazoa",
        "Parus",
        "parus",
        "major",
        "L.",
        "r.br.",
        "Smith",
    ),
)
PIECEMEAL = st.lists(st.sampled_from(PIECES) | st.characters(), max_size=12).map("".join)
RAW = st.lists(PIECEMEAL, min_size=7, max_size=7)
SAME_GENUS = st.tuples(
    st.sampled_from(["parus", "Parus", "", "unknown", "<i>parus</i>", "  "]),
    st.lists(st.sampled_from(["parus", "Parus", "major", "unknown", "L.", "1758", "\u00a0", " "]), max_size=6),
)


@given(RAW)
def test_normalisation_equals_a_second_writing_of_the_rules(raw: list[str]) -> None:
    assert normalise(raw).as_tuple() == names_oracle.normalise(raw)


@given(SAME_GENUS, st.sampled_from([" ", "  ", "\n", "\u00a0"]))
def test_genus_in_species_equals_a_second_writing_of_the_rules(words: tuple[str, list[str]], blank: str) -> None:
    raw = label(genus=words[0], species=blank.join(words[1]))
    assert normalise(raw).as_tuple() == names_oracle.normalise(raw)


@given(PIECEMEAL)
@example("smith, jones & wu")
@example("a1, 2 & 3 & 4")
@example("a 1, 19 1758")
def test_epithet_equals_a_second_writing_of_the_rules(text: str) -> None:
    assert clean_species(text) == names_oracle.cut_species(text)


@given(st.lists(st.sampled_from(["<", ">", "/", "</", "a", "\n", "<i>", "</i>"]), max_size=20).map("".join))
@example("<a><b></a>x<c>y</c>")
def test_html_equals_a_second_writing_of_the_rules(text: str) -> None:
    assert strip_html(text) == names_oracle.without_elements(text)


@given(RAW)
def test_shown_form_has_no_more_html_and_a_lower_species(raw: list[str]) -> None:
    shown = normalise(raw)
    assert all(strip_html(rank) == rank for rank in shown.as_tuple()[:6])
    assert shown.species == shown.species.lower()


def test_very_long_names_without_markup_take_no_quadratic_time() -> None:
    began = time.process_time()
    for text in ("a" * 200_000 + " 1", "1 " * 100_000, "a, " * 60_000, "a & " * 50_000, "(" * 200_000):
        normalise(label(species=text))
    assert time.process_time() - began < 5


# ---------------------------------------------------------------- written forms


def test_scientific_name_collapses_blanks_and_capitalises_once() -> None:
    assert names.scientific(normalise(label(genus="PARUS", species="Major  MINOR"))) == "Parus major minor"
    assert names.scientific(normalise(label(species="major"))) == "Major"
    assert names.scientific(normalise(label(genus="parus"))) == "Parus"
    assert names.scientific(normalise(label(family="paridae"))) == ""


def test_taxonomic_and_tagged_names_leave_empty_ranks_out() -> None:
    shown = normalise(label(kingdom="metazoa", class_="aves", genus="parus", species="major  minor"))
    assert names.taxonomic(shown) == "Animalia Aves Parus major  minor"
    assert names.tagged(shown) == "kingdom Animalia class Aves genus Parus species major  minor"


def test_common_name_falls_back_to_scientific_then_taxonomic() -> None:
    species = normalise(label(kingdom="metazoa", genus="parus", species="major"))
    family = normalise(label(kingdom="metazoa", family="paridae"))
    assert names.common(species, "great  Tit ") == "great  Tit "
    assert names.common(species, "") == "Parus major"
    assert names.common(family, "") == "Animalia Paridae"


# ---------------------------------------------------------------- blacklists


def test_blacklist_binomial_is_read() -> None:
    found = parse_blacklist_name(" Mobula  birostris\n")
    assert found == Lineage.of(["", "", "", "", "", "Mobula", "birostris"])


def test_blacklist_lineage_keeps_hyphens_and_blanks_of_the_epithet() -> None:
    found = parse_blacklist_name("Metazoa-Arthropoda-Insecta-Lepidoptera-Nymphalidae-Polygonia-c-album x-y")
    assert found is not None
    assert found.as_tuple()[:2] == ("Animalia", "Arthropoda")
    assert (found.genus, found.species) == ("Polygonia", "c-album x-y")


def test_blacklist_binomial_may_hold_hyphens() -> None:
    found = parse_blacklist_name("Polygonia c-album")
    assert found is not None
    assert (found.genus, found.species) == ("Polygonia", "c-album")


def test_blacklist_lineage_may_lack_ranks_above_the_genus() -> None:
    found = parse_blacklist_name("Animalia---Squamata--Anolis-carolinensis")
    assert found is not None
    assert found.as_tuple() == ("Animalia", "", "", "Squamata", "", "Anolis", "carolinensis")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "Mobula",
        "Animalia-Chordata",
        "------",
        "unknown unknown",
        "Mobula (Smith 1899)",
        "A-b-c-d-e-Mobula-",
    ],
)
def test_blacklist_text_that_names_no_species_is_not_read(text: str) -> None:
    assert parse_blacklist_name(text) is None


@given(PIECEMEAL)
def test_blacklist_text_never_crashes(text: str) -> None:
    found = parse_blacklist_name(text)
    assert found is None or (found.genus and found.species)


# ---------------------------------------------------------------- the published files

CORPORA = ("dev", "dev_adversarial")


def raw_labels(metadata: Path) -> dict[str, tuple[list[str], str]]:
    """treeoflife_id → (raw ranks, common name) of every image with an entry in its lookup."""
    lookups = {
        source: json.loads((metadata / "naming" / f"{source}_name_lookup.json").read_text(encoding="utf-8"))
        for source in ("eol", "inat21", "bioscan")
    }
    mapping = sqlite3.connect(f"{(metadata / 'mapping.sqlite').as_uri()}?immutable=1", uri=True)
    try:
        keys = [
            ("eol", mapping.execute("SELECT evobio10m_id, page_id FROM eol").fetchall()),
            ("inat21", mapping.execute("SELECT evobio10m_id, cls_num FROM inat21").fetchall()),
            ("bioscan", mapping.execute("SELECT evobio10m_id, evobio10m_id FROM bioscan").fetchall()),
        ]
    finally:
        mapping.close()
    return {
        image: (lookups[source][str(key)][0], lookups[source][str(key)][1])
        for source, images in keys
        for image, key in images
        if str(key) in lookups[source]
    }


def catalog_rows(metadata: Path) -> Iterator[dict[str, str]]:
    with (metadata / "catalog.csv").open(newline="", encoding="utf-8") as catalog:
        yield from csv.DictReader(catalog)


@needs_shared
@pytest.mark.parametrize("corpus", CORPORA)
def test_every_label_is_spelled_as_in_the_published_catalog(corpus: str) -> None:
    metadata = SHARED_DATA / "corpora" / corpus / "data" / "TreeOfLife-10M" / "metadata"
    labels = raw_labels(metadata)
    compared = 0
    for row in catalog_rows(metadata):
        raw, common_name = labels[row["treeoflife_id"]]
        shown = normalise(raw)
        assert shown.as_tuple() == tuple(row[rank] for rank in RANKS)
        assert names.common(shown, common_name) == row["common"]
        assert shown.as_tuple() == names_oracle.normalise(raw)
        compared += 1
    assert compared > 100


@needs_shared
def test_every_name_of_the_published_rare_species_lists_is_read() -> None:
    for listed in ("seen", "unseen"):
        text = (SHARED_DATA / "rarespecies" / f"{listed}_in_training.json").read_text(encoding="utf-8")
        for name in json.loads(text):
            found = parse_blacklist_name(name)
            assert found is not None
            spelled = names.scientific(found) if listed == "seen" else "-".join(found.as_tuple())
            assert spelled == name
