"""The ten texts of an image: their forms, and letter for letter those of the published procedure."""

from __future__ import annotations

import json

import pytest

from materialize.captions import EXTENSIONS, texts
from tests.shared_data import SHARED_DATA, needs_shared
from tests.test_names import raw_labels
from tol_db.taxonomy.names import Lineage, normalise

GREAT_TIT = Lineage.of(["Animalia", "Chordata", "Aves", "Passeriformes", "", "Parus", "major"])


def test_the_ten_texts_of_a_species_with_a_common_name() -> None:
    taxonomic = "Animalia Chordata Aves Passeriformes Parus major"
    tagged = "kingdom Animalia phylum Chordata class Aves order Passeriformes genus Parus species major"
    assert texts(GREAT_TIT, "great tit") == {
        "com.txt": "a photo of great tit.",
        "common_name.txt": "great tit",
        "sci.txt": "a photo of Parus major.",
        "sci_com.txt": "a photo of Parus major with common name great tit.",
        "scientific_name.txt": "Parus major",
        "taxon.txt": f"a photo of {taxonomic}.",
        "taxonTag.txt": f"a photo of {tagged}.",
        "taxonTag_com.txt": f"a photo of {tagged} with common name great tit.",
        "taxon_com.txt": f"a photo of {taxonomic} with common name great tit.",
        "taxonomic_name.txt": taxonomic,
    }


def test_extensions_stand_in_ascii_order_and_so_do_the_texts() -> None:
    assert list(EXTENSIONS) == sorted(EXTENSIONS)
    assert tuple(texts(GREAT_TIT, "")) == EXTENSIONS


def test_without_a_common_name_the_scientific_name_stands_in() -> None:
    assert texts(GREAT_TIT, "")["com.txt"] == "a photo of Parus major."


def test_a_label_above_the_genus_has_an_empty_scientific_name() -> None:
    found = texts(normalise(["Animalia", "Arthropoda", "Insecta", "Diptera", "", "", ""]), "")
    assert found["scientific_name.txt"] == ""
    assert found["sci.txt"] == "a photo of ."
    assert found["common_name.txt"] == "Animalia Arthropoda Insecta Diptera"


def test_signs_of_a_common_name_are_kept_as_they_are() -> None:
    nasty = 'line\nbreak\t"tab" \U0001f98b {x} %s \\n'
    assert texts(GREAT_TIT, nasty)["common_name.txt"] == nasty


def test_an_empty_lineage_has_no_texts() -> None:
    with pytest.raises(ValueError, match="without a single name"):
        texts(Lineage.of([""] * 7), "great tit")


@needs_shared
def test_all_texts_equal_those_of_the_published_procedure() -> None:
    corpus = SHARED_DATA / "corpora" / "dev"
    labels = raw_labels(corpus / "data" / "TreeOfLife-10M" / "metadata")
    with (corpus / "published_procedure.jsonl").open(encoding="utf-8") as published:
        samples = [json.loads(line) for line in published]
    assert len(samples) > 100
    for sample in samples:
        raw, common_name = labels[sample["key"]]
        assert texts(normalise(raw), common_name) == sample["texts"]
