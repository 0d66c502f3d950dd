"""Names: what of a text is the name, which taxon it means, and that homonyms are told apart by their lineage."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.raw_trees import new_database
from tests.running import environment, tol_db
from tests.shared_data import SHARED_DATA, needs_shared
from tests.taxonomies import HOMONYMS, add_taxonomy
from tol_db.db.engine import Database, open_database
from tol_db.errors import UsageError
from tol_db.report.resolve import ResolvedName, queries_of, resolve_names
from tol_db.report.taxonomy_explain import explain
from tol_db.taxonomy import fuzzy, lookup
from tol_db.taxonomy.lookup import DatabaseLookup, find_taxonomy
from tol_db.taxonomy.name_forms import canonical, gender_variants, listed_forms, without_hybrid_sign
from tol_db.taxonomy.resolve import Query, resolve
from tol_db.taxonomy.seven_ranks import Node, seven_ranks

# ------------------------------------------------------------------ what the name is


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Parus major", "Parus major"),
        ("Parus major Linnaeus, 1758", "Parus major"),
        ("Parus (Cyanistes) caeruleus (Linnaeus, 1758)", "Parus caeruleus"),
        ("Poa annua L. subsp. supina (Schrad.) Link", "Poa annua supina"),
        ("Salvia rosmarinus L. f.", "Salvia rosmarinus"),
        ("Lobelia tupa var. pavonii", "Lobelia tupa pavonii"),
        ("Saussurea polycolea Hand.-Mazz.", "Saussurea polycolea"),
        ("Aus bus d'Orbigny & van der Hoeven, 1835-36", "Aus bus"),
        ("Jasione maritima (Duby) L.M.Dufour ex Merino", "Jasione maritima"),
        ("Felidae Fischer, 1817", "Felidae"),
        ("Papilio (Linnaeus, 1758)", "Papilio"),
        ("[Candida] auris", "Candida auris"),
        ("× Cupressocyparis leylandii", "Cupressocyparis leylandii"),
        ("Quercus × hispanica Lam.", "Quercus hispanica"),
        ("Isoëtes lacustris L.", "Isoetes lacustris"),
        ("parus  major\u00a0", "Parus major"),
        ("PARUS MAJOR", "Parus major"),
    ],
)
def test_authors_years_subgenera_and_signs_are_no_part_of_a_name(text: str, name: str) -> None:
    assert str(canonical(text)) == name


@pytest.mark.parametrize(
    "text",
    [
        *("Parus sp.", "Parus cf. major", "Taraxacum sp. TL264-3", "Aus bus auct.", "Influenza A virus"),
        *(
            "",
            "?",
            "12",
            "Candidatus Liberibacter",
            "Parus CAERULEUS",
            "uncultured bacterium",
            "Bacillus 16S clone",
        ),
    ],
)
def test_what_is_not_a_name_is_not_made_one(text: str) -> None:
    assert canonical(text) is None


WORDS = st.from_regex(r"[a-z]{4,12}", fullmatch=True).filter(lambda word: word not in ("cult", "hort"))
AUTHORS = st.sampled_from(
    [
        "L.",
        "Linnaeus, 1758",
        "(L.) Mill.",
        "(Linnaeus, 1758)",
        "Hook.f. & Thomson",
        "DC. ex Meisn.",
        "de Vries 1901",
    ]
)


@settings(max_examples=40)
@given(WORDS, st.lists(WORDS, max_size=2), AUTHORS)
def test_a_name_is_the_same_with_and_without_its_authors(genus: str, epithets: list[str], authors: str) -> None:
    name = " ".join([genus.capitalize(), *epithets])
    assert str(canonical(f"{name} {authors}")) == str(canonical(name)) == name


@given(st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]+( [a-zA-Z.,()&×'-]+)*", fullmatch=True))
@example("x")
@example("×")
def test_a_canonical_name_is_its_own_canonical_name(text: str) -> None:
    name = canonical(text)
    if name is not None:
        assert str(canonical(str(name))) == str(name)
        assert listed_forms(name)


def _real_names() -> Iterator[str]:
    for source in ("gbif_aster", "ncbi_aster", "prev_aster"):
        for table in ("taxonomy.tsv", "synonyms.tsv"):
            with (SHARED_DATA / "taxonomies" / source / table).open(encoding="utf-8") as lines:
                place = next(lines).split("\t|\t").index("name")
                yield from (line.split("\t|\t")[place].strip() for line in lines)


@needs_shared
def test_nearly_all_names_of_real_taxonomies_are_read_and_keep_their_first_two_words() -> None:
    names = sorted(set(_real_names()))
    read = {name: parsed for name in names if (parsed := canonical(name)) is not None}
    open_names = [name for name in names if name not in read]
    assert len(names) > 60_000 and len(open_names) < len(names) / 40
    signs = (" sp.", " cf.", " aff.", " x ", "(sect.")
    assert sum(any(sign in name for sign in signs) for name in open_names) > 0.8 * len(open_names)
    for name, parsed in read.items():
        words = name.split()
        if name.isascii() and len(words) > 1 and words[1].isalpha() and words[1].islower() and "x" not in words:
            assert parsed.genus.lower() == words[0].strip("[]").lower(), name
            assert parsed.species in (words[1], ""), name


def test_genders_are_those_of_us_a_um() -> None:
    cattleya = canonical("Cattleya alba")
    assert cattleya is not None
    assert set(gender_variants(cattleya)) == {"Cattleya albus", "Cattleya album"}
    for text in ("Cattleya", "Parus major"):
        name = canonical(text)
        assert name is not None and gender_variants(name) == ()


# ------------------------------------------------------------------ seven ranks


def _lineage(*pairs: tuple[str, str]) -> list[Node]:
    """A lineage of (name, rank), the root first."""
    return [Node(i, i - 1 or None, name, rank) for i, (name, rank) in enumerate(pairs, 1)][::-1]


def test_seven_ranks_are_picked_from_a_lineage_of_any_depth() -> None:
    lineage = _lineage(
        *(("cellular organisms", "no rank"), ("Eukaryota", "superkingdom"), ("Metazoa", "kingdom")),
        *(("Chordata", "phylum"), ("Craniata", "subphylum"), ("Aves", "class"), ("Neognathae", "infraclass")),
        *(("Passeriformes", "order"), ("Paridae", "family"), ("Parus", "genus"), ("Parus major", "species")),
        ("Parus major newtoni", "subspecies"),
    )
    bird = ("Animalia", "Chordata", "Aves", "Passeriformes", "Paridae", "Parus", "major")
    assert seven_ranks(lineage).as_tuple() == seven_ranks(lineage[1:]).as_tuple() == bird
    assert seven_ranks(lineage[2:]).as_tuple() == (*bird[:6], "")


def test_a_domain_is_no_kingdom_and_a_kingdom_is_known_by_its_name() -> None:
    assert seven_ranks(_lineage(("Bacteria", "domain"), ("Bacillota", "phylum"))).kingdom == ""
    for name in ("Viridiplantae", "Chloroplastida", "Archaeplastida"):
        assert seven_ranks(_lineage(("life", "no rank"), (name, "clade"))).kingdom == "Plantae"


def test_a_species_is_shown_as_its_taxonomy_spells_it() -> None:
    rheum = _lineage(("Polygonaceae", "family"), ("Rheum", "genus"), ("Rheum østergaardi", "species"))
    assert seven_ranks(rheum).as_tuple()[5:] == ("Rheum", "østergaardi")
    for name in ("Mentha × piperita", "Mentha ×piperita L.", "Mentha x piperita"):
        assert seven_ranks(_lineage((name, "species"))).as_tuple()[5:] == ("Mentha", "× piperita")
    assert seven_ranks(_lineage(("Mentha xenia", "species"))).species == "xenia"
    assert seven_ranks(_lineage(("Alternaria sp. JF-1", "species"))).species == "sp. jf-1"


# ------------------------------------------------------------------ which taxon


@pytest.fixture(scope="module")
def homonyms(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """Between other taxonomies, whose taxa must not be met; read only."""
    db = new_database(tmp_path_factory.mktemp("homonyms"))
    add_taxonomy(db.path, "Parus|genus\n  Parus major|species|Only here", name="before", kind="source")
    add_taxonomy(db.path)
    add_taxonomy(db.path, "Quercus|genus\n  Quercus robur|species|Only there", name="after", kind="source")
    return open_database(db.path, readonly=True)


def ask(db: Database, name: str, rank: str | None = None, **context: str) -> ResolvedName:
    """The context by rank; ``class_`` is the class."""
    pairs = tuple((rank.rstrip("_"), value) for rank, value in context.items())
    (answer,) = resolve_names(db, None, [Query(name, pairs, rank)])
    return answer


@pytest.mark.parametrize(
    ("name", "state", "how", "accepted"),
    [
        ("Parus major", "matched", "exact", "Parus major"),
        ("Quercus pedunculata", "synonym", "exact", "Quercus robur"),
        ("Quercus pedunculata Ehrh.", "synonym", "canonical form", "Quercus robur"),
        ("Cattleya albus", "matched", "gender variant", "Cattleya alba"),
        ("Equus zebra hartmannae", "matched", "species", "Equus zebra"),
        ("Lymantria dispar asiatica", "matched", "exact", "Lymantria dispar asiatica"),
        ("Lymantria dispar ssp. asiatica Vnuk.", "matched", "canonical form", "Lymantria dispar asiatica"),
        ("Hexapoda", "synonym", "exact", "Insecta"),
        ("Only here", "unmatched", None, None),
        ("Parus sp.", "unmatched", None, None),
        ("", "unmatched", None, None),
    ],
)
def test_a_name_is_found_exactly_as_synonym_without_authors_or_in_another_gender(
    homonyms: Database, name: str, state: str, how: str | None, accepted: str | None
) -> None:
    answer = ask(homonyms, name)
    assert (answer.state, answer.how, answer.scientific_name) == (state, how, accepted)


@pytest.mark.parametrize("name", ["Laelia rosea", "Ficus variegata", "Asterina gibbosa", "Laelia"])
def test_a_homonym_without_context_is_ambiguous(homonyms: Database, name: str) -> None:
    answer = ask(homonyms, name)
    assert (answer.state, answer.taxon) == ("ambiguous", None)
    assert len({candidate.kingdom for candidate in answer.candidates}) == 2


def test_a_name_borne_by_thousands_is_ambiguous_at_once(db: Database) -> None:
    many = "\n".join(f"  Aus{n}|genus\n    common name|species" for n in range(3000))
    add_taxonomy(db.path, f"Metazoa|kingdom\n{many}")
    answer = ask(db, "common name", kingdom="Animalia")
    assert (answer.state, len(answer.candidates)) == ("ambiguous", 3000)
    told = explain(db, "common name", None)
    assert (len(told.taxa), told.more) == (100, 2900)


@pytest.mark.parametrize(
    ("name", "context", "family"),
    [
        ("Laelia rosea", {"kingdom": "Animalia"}, "Erebidae"),
        ("Laelia rosea", {"kingdom": "Plantae"}, "Orchidaceae"),
        ("Laelia rosea", {"kingdom": "Viridiplantae"}, "Orchidaceae"),
        ("Laelia rosea", {"family": "Lymantriidae"}, "Erebidae"),
        ("Laelia rosea Swainson", {"kingdom": "Metazoa", "genus": "Laelia"}, "Erebidae"),
        ("Asterina gibbosa", {"kingdom": "Fungi"}, "Asterinaceae"),
        ("Asterina gibbosa", {"class_": "Asteroidea"}, "Asterinidae"),
        ("Ficus variegata", {"phylum": "Mollusca", "family": "Unknownidae"}, "Ficidae"),
        ("Ficus", {"kingdom": "Plantae", "phylum": "Tracheophyta"}, "Moraceae"),
    ],
)
def test_a_homonym_lands_where_its_context_says(
    homonyms: Database, name: str, context: dict[str, str], family: str
) -> None:
    answer = ask(homonyms, name, **context)
    assert (answer.state, answer.lineage[4]) == ("homonym-resolved", family)


def test_a_context_that_contradicts_itself_is_not_followed(homonyms: Database) -> None:
    answer = ask(homonyms, "Laelia rosea", kingdom="Plantae", family="Erebidae")
    assert (answer.state, answer.taxon) == ("ambiguous", None)
    assert answer.detail == "its context contradicts itself: kingdom Plantae"


@pytest.mark.parametrize(
    "context", [{"kingdom": "Plantae"}, {"phylum": "Streptophyta", "family": "Moraceae"}, {"family": "Orchidaceae"}]
)
def test_the_only_bearer_of_a_name_is_not_taken_for_a_homonym_in_another_kingdom(
    homonyms: Database, context: dict[str, str]
) -> None:
    answer = ask(homonyms, "Equus zebra", **context)
    assert (answer.state, answer.taxon) == ("unmatched", None)
    assert "is known in Animalia Chordata only" in answer.detail


def test_a_family_that_moved_within_its_phylum_is_no_contradiction(homonyms: Database) -> None:
    answer = ask(homonyms, "Equus zebra", kingdom="Animalia", family="Paridae")
    assert (answer.state, answer.scientific_name) == ("matched", "Equus zebra")


def test_a_wrong_kingdom_is_told_where_the_rest_of_the_context_agrees(homonyms: Database) -> None:
    answer = ask(homonyms, "Equus zebra", kingdom="Plantae", family="Equidae")
    assert (answer.state, answer.detail) == ("matched", "does not lie in kingdom Plantae")


def test_a_rank_tells_a_genus_from_a_family_of_the_same_name(db: Database) -> None:
    add_taxonomy(db.path, "life|no rank\n  Aus|family\n    Aus|genus\n      Aus bus|species")
    assert [ask(db, "Aus", rank=rank).rank for rank in ("family", "genus")] == ["family", "genus"]
    assert ask(db, "Aus").state == "ambiguous"
    assert ask(db, "Aus bus", rank="family").detail == "only as species"


def test_an_accepted_name_stands_before_a_synonym_of_its_neighbour_only(db: Database) -> None:
    text = """
life|no rank
  Animalia|kingdom
    Aus|genus
      Aus bus|species
      Aus cus|species|Aus bus|Dus eus
  Plantae|kingdom
    Dus|genus
      Dus eus|species"""
    add_taxonomy(db.path, text)
    assert (ask(db, "Aus bus").state, ask(db, "Aus bus").scientific_name) == ("matched", "Aus bus")
    assert ask(db, "Dus eus").state == "ambiguous"
    assert ask(db, "Dus eus", kingdom="Animalia").scientific_name == "Aus cus"


NAMES = st.sampled_from(
    [
        *("Laelia rosea", "Laelia roseus", "Ficus variegata", "Ficus", "Parus major L.", "Parus caeruleus"),
        *("Lymantria dispar", "Equus zebra", "Asterina gibbosa", "Nemo nusquam", "Insecta", "Laelia"),
    ]
)
CONTEXTS = st.dictionaries(
    st.sampled_from(["kingdom", "phylum", "class", "order", "family", "genus"]),
    st.sampled_from(
        ["Animalia", "Plantae", "Fungi", "Arthropoda", "Erebidae", "Moraceae", "Insecta", "Nowhere", "Aves"]
    ),
    max_size=4,
)


def test_an_answer_depends_on_its_own_name_and_context_alone(homonyms: Database) -> None:
    with homonyms.read() as conn:
        ref = find_taxonomy(conn, None)

        @settings(max_examples=40)
        @given(st.lists(st.tuples(NAMES, CONTEXTS), min_size=1, max_size=8))
        def check(asked: list[tuple[str, dict[str, str]]]) -> None:
            queries = [Query(name, tuple(context.items())) for name, context in asked]
            together = resolve(DatabaseLookup(conn, ref), queries)
            turned = [Query(name, tuple(reversed(context.items()))) for name, context in asked]
            for query, answer, other in zip(queries, together, turned, strict=True):
                (alone,) = resolve(DatabaseLookup(conn, ref), [query])
                assert alone == answer
                (same,) = resolve(DatabaseLookup(conn, ref), [other])
                assert (same.state, same.match, same.how) == (answer.state, answer.match, answer.how)

        check()


def test_what_is_remembered_is_forgotten_without_changing_an_answer(
    homonyms: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = [
        Query(name, (("kingdom", "Animalia"),)) for name in ("Laelia rosea", "Ficus variegata", "Equus zebra")
    ]
    before = list(resolve_names(homonyms, None, queries * 3))
    for limit in ("_PLACES_KEPT", "_NODES_KEPT", "_MEANINGS_KEPT"):
        monkeypatch.setattr(f"tol_db.taxonomy.lookup.{limit}", 1)
    monkeypatch.setattr("tol_db.report.resolve._AT_A_TIME", 2)
    assert list(resolve_names(homonyms, None, queries * 3)) == before


def test_names_are_looked_up_by_index_whatever_the_number_of_taxonomies(homonyms: Database) -> None:
    with closing(sqlite3.connect(homonyms.path)) as connection:
        for sql, values in (
            (lookup._ACCEPTED.format(marks="?, ?"), ("a", "b", 1, 9)),
            (lookup._SYNONYMS.format(marks="?, ?"), ("a", "b", 1, 9)),
            (lookup._NODES.format(marks="?, ?"), (1, 2)),
            (fuzzy._ACCEPTED, ("a", "b", 1, 9, 5)),
            (fuzzy._SYNONYMS, ("a", "b", 1, 9, 5)),
        ):
            steps = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, values)]
            assert steps and not [step for step in steps if step.startswith("SCAN")], steps


# ------------------------------------------------------------------ which taxonomy


def test_the_assembled_taxonomy_that_was_made_last_is_asked_unless_another_is_named(db: Database) -> None:
    with pytest.raises(UsageError, match="no assembled taxonomy"):
        ask(db, "Parus major")
    add_taxonomy(db.path, version="2", created_at="2026-07-01T00:00:00Z")
    add_taxonomy(db.path, version="1", created_at="2026-06-01T00:00:00Z")
    add_taxonomy(db.path, "Aus|genus", name="ncbi", kind="source", created_at="2026-08-01T00:00:00Z")
    with db.read() as conn:
        assert [str(find_taxonomy(conn, name)) for name in (None, "tol", "tol@1", "ncbi")] == [
            *("tol@2", "tol@2", "tol@1", "ncbi@1")
        ]
        assert find_taxonomy(conn, "ncbi").last - find_taxonomy(conn, "ncbi").first == 0
        with pytest.raises(UsageError, match="no taxonomy 'gbif'") as caught:
            find_taxonomy(conn, "gbif")
    assert "ncbi@1, tol@2, tol@1" in (caught.value.hint or "")


@settings(max_examples=20)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_the_ids_of_a_taxonomy_are_found_by_halving(sizes: Sequence[int]) -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as conn:
        conn.exec_driver_sql("CREATE TABLE taxon (id INTEGER PRIMARY KEY, taxonomy_id INTEGER)")
        expected: dict[int, list[int]] = {}
        next_id = 1
        for taxonomy, size in enumerate(sizes, 1):
            for id in range(next_id, next_id + size):
                conn.exec_driver_sql("INSERT INTO taxon VALUES (?, ?)", (id, taxonomy))
            expected[taxonomy] = list(range(next_id, next_id + size))
            next_id += size + 3  # as after pruning
        between = "SELECT id FROM taxon WHERE id BETWEEN ? AND ?"
        for taxonomy, ids in expected.items():
            found = conn.exec_driver_sql(between, lookup._range(conn, taxonomy)).scalars().all()
            assert list(found) == ids


# ------------------------------------------------------------------ the command


def test_a_table_of_names_is_resolved_with_its_lineage_columns(homonyms: Database, tmp_path: Path) -> None:
    table = tmp_path / "names.csv"
    table.write_text(
        "id,ScientificName,kingdom,Family,taxonRank\n"
        "1,Ficus variegata,Plantae,,species\n2,Ficus variegata,,Ficidae,\n3,Quercus pedunculata,,,\n4,Nemo,,,\n"
    )
    done = tol_db(homonyms.path, "taxonomy", "resolve", "--file", table)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["state"], row["family"], row["matched_name"]) for row in rows] == [
        ("homonym-resolved", "Moraceae", "Ficus variegata"),
        ("homonym-resolved", "Ficidae", "Ficus variegata"),
        ("synonym", "Fagaceae", "Quercus pedunculata"),
        ("unmatched", "", ""),
    ]
    assert "2 homonym-resolved, 1 synonym, 1 unmatched" in done.stderr
    assert (
        "1 unmatched" in tol_db(homonyms.path, "taxonomy", "resolve", "--file", table, "--strict", expect=1).stderr
    )


def test_names_come_from_arguments_and_from_standard_input(homonyms: Database) -> None:
    words = ("taxonomy", "resolve", "--json", "--fuzzy")
    told = tol_db(homonyms.path, *words, "Laelia rosea", "Parus maior", "--context", "kingdom=Animalia").stdout
    moth, unknown = json.loads(told)
    assert (moth["lineage"]["order"], moth["candidates"][0]["kingdom"]) == ("Lepidoptera", "Plantae")
    assert (unknown["state"], unknown["taxon"]) == ("unmatched", None)
    assert [suggestion["name"] for suggestion in unknown["suggestions"]] == ["Parus major"]
    command = [sys.executable, "-m", "tol_db", "--db", str(homonyms.path), "taxonomy", "resolve"]
    done = subprocess.run(
        command,
        input="Parus major\n\n Quercus robur \n",
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert [row["taxon"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["t34", "t53"]


@pytest.mark.parametrize(
    ("content", "words"),
    [("id,label\n1,Aus\n", "no column scientificName"), ("scientificName,kingdom\nAus\n", "line 2: 1 fields")],
)
def test_a_table_that_is_not_of_names_is_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "names.csv"
    path.write_text(content)
    with pytest.raises(Exception, match=words):
        list(queries_of(path))


def test_the_taxonomy_of_the_tests_has_its_three_homonyms() -> None:
    names = [line.strip().split("|")[0] for line in HOMONYMS.splitlines()]
    twice = {name for name in names if name and names.count(name) > 1}
    assert {"Laelia rosea", "Asterina gibbosa", "Ficus variegata"} <= twice


def test_a_hybrid_sign_is_all_that_is_taken_from_an_epithet() -> None:
    for epithet in ("× piperita", "×piperita", "x piperita", "piperita"):
        assert without_hybrid_sign(epithet) == "piperita"
    for epithet in ("xenia", "caeruleus Linnaeus", "østergaardi", ""):
        assert without_hybrid_sign(epithet) == epithet
