"""Readers of taxonomies: what is written comes back, whatever the names; ranks and languages mean what they say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import taxonomy_files as written
from tol_db.errors import InputError
from tol_db.taxonomy.formats import FORMATS, newick
from tol_db.taxonomy.formats.rows import (
    AliasRow,
    Finding,
    Notes,
    Row,
    SynonymRow,
    TaxonRow,
    VernacularRow,
)
from tol_db.taxonomy.languages import language_code
from tol_db.taxonomy.ranks import (
    BANDS,
    NO_RANK,
    NO_RANK_LEVEL,
    RANKS,
    band,
    canonical_rank,
    known_rank,
    rank_level,
)


class Texts:
    """Files that are held as texts."""

    def __init__(self, texts: dict[str, str], where: str = "there") -> None:
        self.where = where
        self._texts = texts

    def names(self) -> list[str]:
        return sorted(self._texts)

    def texts(self, name: str) -> Iterator[str]:
        text = self._texts[name]
        return iter(line + "\n" for line in text.removesuffix("\n").split("\n")) if text else iter(())

    def read(self, name: str) -> bytes:
        return self._texts[name].encode()


def rows(format_name: str, texts: dict[str, str]) -> tuple[list[Row], list[Finding]]:
    notes = Notes()
    return list(FORMATS[format_name].read(Texts(texts), notes)), notes.findings()


def tree(found: list[Row]) -> set[tuple[str, str | None, str, str]]:
    return {(row.key, row.parent, row.name, row.rank) for row in found if isinstance(row, TaxonRow)}


# ------------------------------------------------------------------ ranks and languages


def test_ranks_stand_in_the_order_of_nature_and_in_seven_bands() -> None:
    order = [
        "domain",
        "kingdom",
        "superphylum",
        "phylum",
        "subphylum",
        "superclass",
        "class",
        "cohort",
        "superorder",
        "order",
        "suborder",
        "superfamily",
        "family",
        "subfamily",
        "tribe",
        "genus",
        "subgenus",
        "section",
        "series",
        "species",
        "subspecies",
        "varietas",
        "forma",
    ]
    levels = [rank_level(rank) for rank in order]
    assert levels == sorted(set(levels))
    assert [rank_level(rank) for rank in BANDS] == [0, 100, 200, 300, 400, 500, 600]
    assert [band(rank_level(rank)) for rank in RANKS] == list(range(7))
    assert band(rank_level("superfamily")) == band(rank_level("order"))
    assert rank_level("section zoology") < rank_level("family") < rank_level("section")
    assert rank_level(NO_RANK) == rank_level("never heard of") == NO_RANK_LEVEL
    assert band(NO_RANK_LEVEL) == -1


@pytest.mark.parametrize(
    ("text", "rank"),
    [
        ("Subsp.", "subspecies"), ("FORMA_SPECIALIS", "forma specialis"), ("no rank - terminal", NO_RANK),
        ("clade", NO_RANK), ("", NO_RANK), ("variety", "varietas"), ("zoosection", "section zoology"),
        ("f.", "forma"), ("Phylum (Division)", "phylum"), ("genushybrid", "genus"), (" Ordo ", "order"),
    ],
)  # fmt: skip
def test_a_rank_is_known_by_its_other_spellings(text: str, rank: str) -> None:
    assert canonical_rank(text) == known_rank(text) == rank


def test_a_word_that_is_no_rank_is_no_rank() -> None:
    assert known_rank("hobbit") is None
    assert canonical_rank("hobbit") == NO_RANK


@pytest.mark.parametrize(
    ("text", "code"),
    [("English", "en"), ("eng", "en"), ("en-GB", "en"), ("fre", "fr"), ("haw", "haw"), ("xyz", "xyz"),
     ("unspecified", ""), ("", ""), ("und", "")],
)  # fmt: skip
def test_a_language_becomes_its_code(text: str, code: str) -> None:
    assert language_code(text) == code


# ------------------------------------------------------------------ round trips

NAMES = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Cf", "Cn", "Co", "Zl", "Zp", "Zs")), min_size=1, max_size=12
)
TITLES = st.lists(NAMES, min_size=1, max_size=3).map(" ".join)


@st.composite
def trees(draw: st.DrawFn) -> list[written.Node]:
    """Nodes with ids 1 … n in any order of rows; names with quotes, bars, commas, emoji."""
    names = draw(st.lists(TITLES, min_size=1, max_size=12))
    nodes = [("1", "", names[0], "no rank")]
    for number, name in enumerate(names[1:], 2):
        parent = str(draw(st.integers(1, number - 1)))
        nodes.append((str(number), parent, name, draw(st.sampled_from(["genus", "species", "no rank", "family"]))))
    return draw(st.permutations(nodes))


def expected(nodes: list[written.Node]) -> set[tuple[str, str | None, str, str]]:
    return {(key, up or None, name, rank) for key, up, name, rank in nodes}


@settings(max_examples=60, deadline=None)
@given(trees(), st.booleans(), st.booleans())
def test_an_interim_taxonomy_comes_back(nodes: list[written.Node], bars: bool, header: bool) -> None:
    table = [("uid", "parent_uid", "name", "rank")] * header + nodes
    found, findings = rows("interim", {"taxonomy.tsv": (written.piped if bars else written.tabbed)(table)})
    assert tree(found) == expected(nodes)
    assert findings == []


@settings(max_examples=40, deadline=None)
@given(trees())
def test_a_darwin_core_archive_comes_back(nodes: list[written.Node]) -> None:
    found, findings = rows("darwin-core", written.darwin_core_texts(nodes))
    assert tree(found) == expected(nodes)
    assert findings == []


@settings(max_examples=40, deadline=None)
@given(trees(), st.randoms(use_true_random=False))
def test_a_taxdump_comes_back_whatever_the_order_of_its_rows(nodes: list[written.Node], random: object) -> None:
    texts = written.ncbi_texts(nodes, [(nodes[0][0], "Another name", "synonym"), ("1", "life", "common name")])
    for name in ("nodes.dmp", "names.dmp"):
        lines = texts[name].splitlines(keepends=True)
        random.shuffle(lines)  # type: ignore[attr-defined]
        texts[name] = "".join(lines)
    found, findings = rows("ncbi", texts)
    assert tree(found) == expected(nodes)
    assert [(r.key, r.name) for r in found if isinstance(r, SynonymRow)] == [(nodes[0][0], "Another name")]
    assert [(r.key, r.name) for r in found if isinstance(r, VernacularRow)] == [("1", "life")]
    assert findings == []


@settings(max_examples=60, deadline=None)
@given(trees())
def test_a_newick_tree_comes_back(nodes: list[written.Node]) -> None:
    children: dict[str, list[str]] = {}
    for key, up, _, _ in sorted(nodes):
        children.setdefault(up, []).append(key)
    plain = {key: name.replace("=", "-") for key, _, name, _ in nodes}

    def text(key: str) -> str:
        inner = ",".join(map(text, children.get(key, [])))
        label = plain[key].replace("'", "''")
        return (f"({inner})" if inner else "") + f"'{label} ott{key}':0.5[a comment]"

    found, findings = rows("newick", {"tree.tre": text("1") + ";"})
    assert tree(found) == {(key, up or None, plain[key], NO_RANK) for key, up, _, _ in nodes}
    assert findings == []


# ------------------------------------------------------------------ Newick


def newick_tree(text: str) -> dict[str, str | None]:
    found, _ = rows("newick", {"tree.tre": text})
    return {row.key: row.parent for row in found if isinstance(row, TaxonRow)}


def test_newick_keys_are_names_and_where_they_are_not_unique_the_parent_tells_them_apart() -> None:
    assert newick_tree("((a,b)x,(a,c)y,(d,d)w)z") == {
        "a|x": "x", "b": "x", "x": "z", "a|y": "y", "c": "y", "y": "z", "d|w": "w", "d|w#2": "w", "w": "z",
        "z": None,
    }  # fmt: skip


def test_a_newick_name_may_say_its_rank_and_a_nameless_node_is_no_taxon() -> None:
    found, findings = rows("newick", {"t": "((Homo_sapiens,'Homo=x'):1)'Genus=Homo';"})
    assert tree(found) == {
        ("Homo sapiens", "Homo", "Homo sapiens", NO_RANK), ("Homo=x", "Homo", "Homo=x", NO_RANK),
        ("Homo", None, "Homo", "genus"),
    }  # fmt: skip
    assert [finding.kind for finding in findings] == ["unnamed"]


@pytest.mark.parametrize(
    ("text", "why"),
    [("((a,b)x", "without their"), ("(a,b))x;", "without its"), ("(a,'b", "does not belong"), ("", "empty"),
     ("(a,b)(c,d);", "comma"), ("(a'b',c);", "two names")],
)  # fmt: skip
def test_broken_newick_is_refused(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        newick_tree(text)


def test_a_newick_tree_may_be_deep_and_wide() -> None:
    deep = "(" * 5000 + "a" + "".join(f")n{n}" for n in range(5000)) + ";"
    assert len(newick_tree(deep)) == 5001
    assert len(newick_tree("(" + ",".join(f"t{n}" for n in range(50_000)) + ")r;")) == 50_001
    assert newick._TOKEN.match("[a b]") is not None


# ------------------------------------------------------------------ what the formats say beside the tree


def test_interim_files_keep_flags_sources_kinds_and_other_ids() -> None:
    found, findings = rows(
        "interim",
        {
            "taxonomy.tsv": written.piped(
                [
                    ("uid", "parent_uid", "name", "rank", "sourceinfo", "uniqname", "flags"),
                    ("1", "", "life", "no rank", "ncbi:1,gbif:0", "", ""),
                    ("2", "1", "Foo", "no rank - terminal", "", "", "hidden,barren"),
                ]
            ),
            "synonyms.tsv": written.piped(
                [
                    ("name", "uid", "type", "uniqname", "sourceinfo"),
                    ("Fu", "2", "", "", "gbif:7"),
                    ("Fou", "2", "Misspelling", "", ""),
                    ("foo-fighter", "2", "common name", "", ""),
                ]
            ),
            "forwards.tsv": "id\treplacement\n7\t2\n",
            "about.json": '{ "prefix" "x" }',
        },
    )
    assert found == [
        TaxonRow(2, "1", None, "life", NO_RANK, "", "ncbi:1,gbif:0"),
        TaxonRow(3, "2", "1", "Foo", NO_RANK, "barren,hidden"),
        SynonymRow(2, "2", "Fu", "synonym", "gbif:7"),
        SynonymRow(3, "2", "Fou", "misspelling", None),
        VernacularRow(4, "2", "foo-fighter", "", 0),
        AliasRow(2, "7", "2"),
    ]
    assert [finding.kind for finding in findings] == ["about_unreadable"]


def test_names_are_made_clean_and_it_is_told() -> None:
    dirty = ["Homo\u00a0sapiens", "Pan\u200b paniscus", "Gorilla  gorilla", "Pongo \U0001f9a7", "\ufeffHylobates"]
    table = [("uid", "parent_uid", "name", "rank"), ("r", "", "life", "")]
    table += [(str(n), "r", name, "species") for n, name in enumerate(dirty)]
    found, findings = rows("interim", {"taxonomy.tsv": written.tabbed(table)})
    assert [row.name for row in found[1:] if isinstance(row, TaxonRow)] == [
        "Homo sapiens", "Pan paniscus", "Gorilla gorilla", "Pongo \U0001f9a7", "Hylobates",
    ]  # fmt: skip
    assert [(finding.kind, finding.subject) for finding in findings] == [
        ("name_changed", f"taxonomy.tsv: line {line}") for line in (3, 4, 5, 7)
    ]


def test_unknown_ranks_are_counted_and_bad_rows_named() -> None:
    table = (
        "uid\tparent_uid\tname\trank\n1\t\tlife\thobbit\n2\t1\tA\thobbit\n3\t1\n4\t1\tB\tgenus\t\t\textra\n\t1\tC\n"
    )
    found, findings = rows("interim", {"taxonomy.tsv": table})
    assert len(found) == 2
    assert findings == [
        Finding("bad_row", "taxonomy.tsv: line 4", "2 fields, 4 are wanted"),
        Finding("bad_row", "taxonomy.tsv: line 5", "7 fields, 4 are wanted"),
        Finding("bad_row", "taxonomy.tsv: line 6", "no uid"),
        Finding("unknown_rank", "hobbit", "2 rows: no rank"),
    ]


def test_a_file_full_of_odd_names_does_not_fill_the_memory() -> None:
    table = "uid\tparent_uid\tname\n" + "".join(f"{n}\t\tA  b\n" for n in range(10_005))
    _, findings = rows("interim", {"taxonomy.tsv": table})
    assert len(findings) == 10_001
    assert findings[-1] == Finding("name_changed", "and more", "5 more of this kind")


def test_a_file_with_too_many_bad_rows_is_another_file() -> None:
    table = "uid\tparent_uid\tname\n" + "1\n" * 10_001
    with pytest.raises(InputError, match="more than 10,000 rows cannot be read"):
        rows("interim", {"taxonomy.tsv": table})


def test_names_of_ncbi_that_are_common_are_no_synonyms() -> None:
    texts = written.ncbi_texts(
        names=[
            ("11", "brown bear", "genbank common name"),
            ("11", "grizzly", "common name"),
            ("10", "Ursus Linnaeus, 1758", "authority"),
            ("10", "bears", "blast name"),
        ]
    )
    found, _ = rows("ncbi", texts)
    assert {(r.key, r.name, r.preferred) for r in found if isinstance(r, VernacularRow)} == {
        ("11", "brown bear", 1), ("11", "grizzly", 0),
    }  # fmt: skip
    assert {(r.key, r.name, r.kind) for r in found if isinstance(r, SynonymRow)} == {
        ("10", "Ursus Linnaeus, 1758", "authority"), ("10", "bears", "blast name"),
    }  # fmt: skip
    assert AliasRow(1, "99", "11") in found


def test_a_table_of_inaturalist_has_ids_as_addresses_and_quotes() -> None:
    root = "https://www.inaturalist.org/taxa/"
    meta = (
        written.META.replace('fieldsTerminatedBy="\\t"', 'fieldsTerminatedBy=","')
        .replace('fieldsEnclosedBy=""', "fieldsEnclosedBy='&quot;'")
        .replace("Taxon.tsv", "taxa.csv")
        .replace("VernacularName.tsv", "VernacularNames-english.csv")
    )
    taxa = f'id,parent,,name,,rank,\n{root}1,,,Animalia,,kingdom,\n{root}2,{root}1,,"Ursus, the bear",,genus,\n'
    found, findings = rows(
        "darwin-core",
        {"meta.xml": meta, "taxa.csv": taxa, "VernacularNames-english.csv": 'id,n,l,p\n2,"Bear ""B""",en,\n'},
    )
    assert tree(found) == {("1", None, "Animalia", "kingdom"), ("2", "1", "Ursus, the bear", "genus")}
    assert found[-1] == VernacularRow(2, "2", 'Bear "B"', "en", 0)
    assert findings == []


@pytest.mark.parametrize(
    ("format_name", "texts", "why"),
    [
        ("ncbi", {"nodes.dmp": "1,1,no rank\n", "names.dmp": "1,root,,scientific name\n"}, "do not stand between"),
        ("ncbi", {"names.dmp": ""}, "no nodes.dmp"),
        ("darwin-core", {"Taxon.tsv": "a;b;c\n1;2;3\n"}, "no column parentNameUsageID"),
        ("darwin-core", {"meta.xml": "<archive><core", "Taxon.tsv": ""}, "not XML"),
        ("darwin-core", {"meta.xml": "<archive/>", "Taxon.tsv": ""}, "no core of taxa"),
        ("coldp", {"Name.tsv": "ID\n"}, "neither NameUsage nor"),
        ("itis", {"x.csv": "a,b\n1,2\n"}, "no column hierarchy_string_tsn"),
        ("itis", {"x.csv": written.ITIS_HEAD + '"1,2\n'}, "not CSV"),
        ("eol", {"taxon.tab": ""}, "empty file"),
        ("interim", {"taxonomy.tsv": "\n\n", "synonyms.tsv": ""}, "empty file"),
    ],
)
def test_what_is_not_of_the_format_is_refused(format_name: str, texts: dict[str, str], why: str) -> None:
    with pytest.raises(InputError, match=why):
        rows(format_name, texts)
