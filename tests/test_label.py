"""Labels by a taxonomy: what is filled, moved, renamed and told apart, and that nothing is guessed or lost."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.raw_trees import new_database
from tests.running import DATASET, plan, tol_db
from tests.taxonomies import HOMONYMS, add_taxonomy
from tol_db.audit.runner import find, run
from tol_db.db.engine import Database, open_database
from tol_db.errors import UsageError
from tol_db.relabel import label_as_published, label_by_taxonomy
from tol_db.report.labels import compare, listed_labels
from tol_db.taxonomy.lookup import DatabaseLookup, find_taxonomy
from tol_db.taxonomy.names import Lineage
from tol_db.taxonomy.ranks import RANKS
from tol_db.taxonomy.relabelled import Change, relabel

MOTH = "Animalia Arthropoda Insecta Lepidoptera Erebidae Laelia rosea"
ORCHID = "Plantae Streptophyta Magnoliopsida Asparagales Orchidaceae Laelia rosea"
GYPSY = "Animalia Arthropoda Insecta Lepidoptera Erebidae Lymantria dispar"
ZEBRA = "Animalia Chordata Mammalia Perissodactyla Equidae Equus zebra"
PARUS = "Animalia Chordata Aves Passeriformes Paridae Parus"
WRACK = "- Ochrophyta Phaeophyceae Fucales Fucaceae Fucus vesiculosus"
OPEN_WRACK = "Ochrophyta - - Fucaceae Fucus vesiculosus"

CASES = [
    # published, change, new label
    (ZEBRA, "same", ZEBRA),
    ("Animalia - - - - Laelia rosea", "filled", MOTH),
    ("Plantae - - - - Laelia rosea", "filled", ORCHID),
    ("- - - - Orchidaceae Laelia rosea", "filled", ORCHID),
    ("- - - - - Laelia rosea", "ambiguous", "- - - - - Laelia rosea"),
    ("Plantae - - - Erebidae Laelia rosea", "ambiguous", "Plantae - - - Erebidae Laelia rosea"),
    ("Animalia Chordata Mammalia Carnivora Equidae Equus zebra", "moved", ZEBRA),
    ("Animalia Arthropoda Insecta Lepidoptera Lymantriidae Bombyx dispar", "renamed", GYPSY),
    ("Animalia - - - - Hippotigris zebra", "renamed", ZEBRA),
    ("Animalia - - - - Porthetria umbrosa", "renamed", GYPSY),
    ("Animalia - - - - Nemo nullus", "unresolved", "Animalia - - - - Nemo nullus"),
    ("Plantae - - - - Equus zebra", "unresolved", "Plantae - - - - Equus zebra"),
    (f"Plantae {OPEN_WRACK}", "conflicting", f"Plantae {OPEN_WRACK}"),
    (f"- {OPEN_WRACK}", "filled", WRACK),
    ("Animalia - - - Paridae Parus nonexistens", "filled", f"{PARUS} nonexistens"),
    (f"{PARUS} inventus", "unresolved", f"{PARUS} inventus"),
    ("Animalia Chordata Aves - - - -", "same", "Animalia Chordata Aves - - - -"),
    ("- - - - Fagaceae - -", "filled", "Plantae Streptophyta Magnoliopsida Fagales Fagaceae - -"),
    ("- - - - - Pyrula -", "renamed", "Animalia Mollusca Gastropoda Littorinimorpha Ficidae Ficus -"),
    ("Plantae - - - - Ficus -", "filled", "Plantae Streptophyta Magnoliopsida Rosales Moraceae Ficus -"),
    ("Animalia - - - - - vulgaris", "unresolved", "Animalia - - - - - vulgaris"),
    ("Animalia Chordata Mammalia Perissodactyla Equidae Equus ×zebra", "same", f"{ZEBRA[:-5]}×zebra"),
    ("Animalia - - - - Equus ×zebra", "filled", f"{ZEBRA[:-5]}×zebra"),
    ("Animalia Chordata Aves Avesordo Paridae Parus major", "moved", f"{PARUS} major"),
]  # fmt: skip


def lineage(text: str) -> Lineage:
    """Seven names, ``-`` for none."""
    return Lineage.of(["" if name == "-" else name for name in text.split()])


def rows(db: Database, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db.path)) as connection:
        return connection.execute(sql, values).fetchall()


def dump(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    tables = ("label", "label_resolution", "image", "label_key")
    return {table: rows(db, f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}


def add_labels(db: Database, texts: Iterable[str], common_name: str = "") -> None:
    """A published label for each text, two images of it; one of each source."""
    columns = ", ".join(f'"{rank}"' for rank in RANKS)
    with closing(sqlite3.connect(db.path)) as connection, connection:
        connection.execute(
            "INSERT OR IGNORE INTO source (id, key, title) VALUES (1, 'eol', 'EOL'), (2, 'inat21', 'i')"
        )
        for text in texts:
            label = connection.execute(
                f"""INSERT INTO label ({columns}, common_name, resolution)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'published')""",
                (*lineage(text).as_tuple(), common_name),
            ).lastrowid
            for source in (1, 2):
                uuid = bytes([source, *divmod(label or 0, 256), *[0] * 13])
                connection.execute(
                    "INSERT INTO image (treeoflife_id, source_id, label_id) VALUES (?, ?, ?)", (uuid, source, label)
                )


VERNACULARS = {
    "Equus zebra": [("Cape zebra", "en", 0), ("Mountain zebra", "eng", 1), ("Bergzebra", "de", 0)],
    "Parus major": [("Kohlmeise", "deu", 1)],
}


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    db = new_database(tmp_path_factory.mktemp("labels"))
    add_taxonomy(db.path)
    add_labels(db, [published for published, _, _ in CASES])
    return db.path


@pytest.fixture
def cases(_made: Path, tmp_path: Path) -> Database:
    """The taxonomy of homonyms, and two images for each of the cases."""
    return open_database(Path(shutil.copy(_made, tmp_path / "cases.sqlite")))


@pytest.fixture(scope="module")
def labelled(_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """The same after `tol-db label`; read only."""
    db = open_database(Path(shutil.copy(_made, tmp_path_factory.mktemp("labelled") / "tol.sqlite")))
    label_by_taxonomy(db)
    return db


SHOWN = "||' '||".join(f"CASE l.\"{rank}\" WHEN '' THEN '-' ELSE l.\"{rank}\" END" for rank in RANKS)


@pytest.mark.parametrize(("published", "change", "now"), CASES, ids=[case[0] for case in CASES])
def test_a_published_label_becomes(labelled: Database, published: str, change: str, now: str) -> None:
    sql = f"""
    SELECT r.change, {SHOWN}, m.label_id, m.published_label_id, r.label_id, r.new_label_id
    FROM label p JOIN label_resolution r ON r.label_id = p.id JOIN label l ON l.id = r.new_label_id
    JOIN image m ON coalesce(m.published_label_id, m.label_id) = p.id
    WHERE {SHOWN.replace("l.", "p.")} = ? AND p.resolution = 'published'"""
    found = rows(labelled, sql, published)
    assert len(found) == 2
    for its_change, text, label, kept, old, new in found:
        assert (its_change, text) == (change, now)
        assert (label, kept) == ((new, old) if new != old else (old, None))
        assert (published == now) == (new == old)


def test_an_unresolved_name_says_why(labelled: Database) -> None:
    details = dict(
        rows(labelled, "SELECT l.species, r.detail FROM label_resolution r JOIN label l ON l.id = r.label_id")
    )
    assert details["vulgaris"] == "an epithet without a genus"
    assert details["inventus"] == "the species is not in the taxonomy; its genus stands as published"


def test_labelling_again_changes_nothing(labelled: Database) -> None:
    before = dump(labelled)
    again = label_by_taxonomy(labelled)
    assert (again.labels_new, again.images_changed) == (0, 0)
    assert dump(labelled) == before


def test_published_labels_come_back_and_the_comparison_stays(cases: Database) -> None:
    before = rows(cases, "SELECT * FROM image")
    label_by_taxonomy(cases)
    counts = compare(cases)
    back = label_as_published(cases)
    assert back.images_changed == counts.applied > 20
    assert rows(cases, "SELECT * FROM image") == before
    assert compare(cases).changes == counts.changes and compare(cases).applied == 0


def test_common_names_come_by_language_and_preference(db: Database) -> None:
    add_taxonomy(db.path, vernaculars=VERNACULARS)
    add_labels(db, [ZEBRA, f"{PARUS} major"])
    add_labels(db, [ZEBRA], "Wild ass")
    names = (
        "SELECT l.common_name FROM image i JOIN label l ON l.id = i.label_id WHERE i.source_id = 1 ORDER BY i.id"
    )
    label_by_taxonomy(db)
    assert rows(db, names) == [("Mountain zebra",), ("",), ("Wild ass",)]
    label_by_taxonomy(db, languages=["de", "en"])
    assert rows(db, names) == [("Bergzebra",), ("Kohlmeise",), ("Wild ass",)]
    label_by_taxonomy(db, vernaculars="replace")
    assert rows(db, names) == [("Mountain zebra",), ("",), ("Mountain zebra",)]
    result = label_by_taxonomy(db, vernaculars="keep")
    assert rows(db, names) == [("",), ("",), ("Wild ass",)]
    assert [(count.change, count.labels) for count in result.counts] == [("same", 3)]


def test_a_name_of_a_source_taxon_serves_an_assembled_one(db: Database) -> None:
    source = add_taxonomy(db.path, name="inat", kind="source", vernaculars={"Equus zebra": [("Zebra", "en", 0)]})
    assembled = add_taxonomy(db.path)
    with closing(sqlite3.connect(db.path)) as connection, connection:
        connection.execute(
            """INSERT INTO taxon_provenance SELECT a.id, 0, s.id, 'copied' FROM taxon a JOIN taxon s
               ON s.source_key = a.source_key WHERE a.taxonomy_id = ? AND s.taxonomy_id = ?""",
            (assembled, source),
        )
    add_labels(db, [ZEBRA])
    label_by_taxonomy(db)
    assert rows(db, "SELECT DISTINCT l.common_name FROM image i JOIN label l ON l.id = i.label_id") == [("Zebra",)]


def test_a_conflicting_kingdom_is_kept_unless_asked(cases: Database) -> None:
    kingdom = """SELECT DISTINCT l.kingdom, l.class FROM image i JOIN label l ON l.id = i.label_id
                 JOIN label p ON p.id = coalesce(i.published_label_id, i.label_id)
                 WHERE l.species = 'vesiculosus' AND p.kingdom = 'Plantae'"""
    label_by_taxonomy(cases)
    assert rows(cases, kingdom) == [("Plantae", "")]
    label_by_taxonomy(cases, replace_conflicting=True)
    assert rows(cases, kingdom) == [("", "Phaeophyceae")]


def test_a_new_version_relabels_only_what_it_has_otherwise(cases: Database) -> None:
    label_by_taxonomy(cases)
    before = dict(rows(cases, "SELECT id, label_id FROM image"))
    add_taxonomy(cases.path, HOMONYMS.replace("Equidae|family", "Equina|family"), version="2", created_at="2027")
    result = label_by_taxonomy(cases)
    after = dict(rows(cases, "SELECT id, label_id FROM image"))
    changed = [id for id in after if after[id] != before[id]]
    assert (len(changed), result.images_changed, result.labels_new) == (
        10,
        10,
        2,
    )  # zebra and ×zebra
    families = f"""SELECT DISTINCT l.family FROM image i JOIN label l ON l.id = i.label_id
                   WHERE i.id IN ({", ".join(map(str, changed))})"""
    assert rows(cases, families) == [("Equina",)]
    assert rows(cases, "SELECT DISTINCT t.taxonomy_id FROM label l JOIN taxon t ON t.id = l.taxon_id") == [(2,)]
    assert label_by_taxonomy(cases, "tol@1").images_changed == 10
    assert dict(rows(cases, "SELECT id, label_id FROM image")) == before


def test_a_database_without_taxonomy_says_what_to_do(db: Database) -> None:
    with pytest.raises(UsageError, match="no assembled taxonomy"):
        label_by_taxonomy(db)
    with pytest.raises(UsageError, match="no label was resolved") as caught:
        compare(db)
    assert caught.value.hint == "run `tol-db label`"


KINGDOMS = st.sampled_from(["", "Animalia", "Plantae", "Fungi", "Chromista"])
FAMILIES = st.sampled_from(["", "Erebidae", "Orchidaceae", "Moraceae", "Fucaceae", "Nowhereidae"])
SPECIES = st.sampled_from(
    [
        "Laelia rosea",
        "Ficus variegata",
        "Ficus",
        "Bombyx dispar",
        "Parus major",
        "Nemo nullus",
        "Fucus vesiculosus",
        "",
    ]
)


def test_no_label_loses_its_kingdom_or_its_depth_and_each_is_judged_alone(labelled: Database) -> None:
    with labelled.read() as conn:
        ref = find_taxonomy(conn, None)

        @settings(max_examples=60)
        @given(st.lists(st.tuples(KINGDOMS, FAMILIES, SPECIES), min_size=1, max_size=6))
        def check(asked: Sequence[tuple[str, str, str]]) -> None:
            labels = []
            for kingdom, family, name in asked:
                genus, _, epithet = name.partition(" ")
                labels.append(Lineage(kingdom, "", "", "", family, genus, epithet))
            results = relabel(DatabaseLookup(conn, ref), labels)
            for label, result in zip(labels, results, strict=True):
                assert relabel(DatabaseLookup(conn, ref), [label]) == [result]
                assert not label.kingdom or result.lineage.kingdom == label.kingdom
                for rank in ("genus", "species"):
                    assert bool(getattr(result.lineage, rank)) == bool(getattr(label, rank))
                kept = result.change in (Change.SAME, Change.AMBIGUOUS, Change.UNRESOLVED, Change.CONFLICTING)
                assert (result.lineage == label) == kept

        check()


# ------------------------------------------------------------------ reports


def test_the_comparison_counts_labels_and_images_by_source(labelled: Database) -> None:
    found = compare(labelled)
    labels = {change.change: change.labels for change in found.changes}
    expected = [change for _, change, _ in CASES]
    assert labels == {str(change): expected.count(change) for change in Change}
    for change in found.changes:
        assert change.images == 2 * change.labels
        assert [(count.source, count.images) for count in change.sources] == (
            [("eol", change.labels), ("inat21", change.labels)] if change.labels else []
        )
    assert sum(found.states.values()) == len(CASES)
    assert (found.taxonomy, found.unknown) == ("tol@1", 0)


def test_the_labels_of_a_state_are_listed(labelled: Database) -> None:
    (conflict,) = listed_labels(labelled, None, "conflicting", 20)
    assert (conflict.published[0], conflict.taxon, conflict.images) == ("Plantae", "t67", 2)
    assert conflict.detail == "kingdom Plantae → -, class - → Phaeophyceae, order - → Fucales"
    unknown = {label.published[6] for label in listed_labels(labelled, None, "unmatched", None)}
    assert unknown == {"nullus", "zebra", "nonexistens", "inventus", "vulgaris"}
    assert len(list(listed_labels(labelled, None, "filled", 2))) == 2
    with pytest.raises(UsageError, match="no state 'wrong'"):
        list(listed_labels(labelled, None, "wrong", 1))


def test_the_commands_label_report_and_go_back(cases: Database) -> None:
    assert "labels by tol@1: " in tol_db(cases.path, "label").stdout
    told = tol_db(cases.path, "report", "labels").stdout
    assert "Bombyx dispar: family Lymantriidae → Erebidae, genus Bombyx → Lymantria" in told
    as_json = json.loads(tol_db(cases.path, "report", "labels", "--json", "--list", "ambiguous").stdout)
    assert [label["published"][5] for label in as_json] == ["Laelia", "Laelia"]
    lines = tol_db(cases.path, "report", "labels", "--csv", "--list", "unresolved").stdout.splitlines()
    assert len(lines) == 1 + 4 and lines[0].startswith("images,change,state,how,published_kingdom")
    assert "images changed" in tol_db(cases.path, "label", "--published").stdout
    assert tol_db(cases.path, "label", "--published", "--taxonomy", "tol", expect=2).stderr


# ------------------------------------------------------------------ what was planned


def test_planned_shards_keep_their_labels_until_the_refresh(demo_db: Path, tmp_path: Path) -> None:
    plan(demo_db, tmp_path / "out", "tol10m", "--shard-images", "12", splits=("train",))
    db = open_database(demo_db)
    id, *ranks = rows(
        db,
        """SELECT l.id, l.kingdom, l.phylum, l.class, l."order", l.family, l.genus, l.species FROM shard_image m
           JOIN label l ON l.id = m.label_id WHERE l.family <> '' AND l.genus <> '' AND l.species <> ''
           GROUP BY l.id ORDER BY count(*) DESC LIMIT 1""",
    )[0]
    kingdom, *middle, genus, species = ranks
    above = [
        (kingdom, "kingdom"),
        *((name, rank) for name, rank in zip(middle[:3], RANKS[1:4], strict=True) if name),
    ]
    tree = [*above, ("Novidae", "family"), (genus, "genus"), (f"{genus} {species}", "species")]
    add_taxonomy(demo_db, "\n".join(f"{'  ' * depth}{name}|{rank}" for depth, (name, rank) in enumerate(tree)))
    pinned = rows(db, "SELECT shard_id, position, label_id FROM shard_image ORDER BY 1, 2")
    label_by_taxonomy(db)
    assert rows(db, "SELECT shard_id, position, label_id FROM shard_image ORDER BY 1, 2") == pinned
    touched = {shard for shard, _, label in pinned if label == id}
    with db.read() as conn:
        stale = run(conn, find("stale_shards"), None)
    assert stale.total == len(touched) > 0
    tol_db(demo_db, "plan", "--dataset", DATASET, "--refresh")
    families = """SELECT DISTINCT l.family FROM shard_image m JOIN label l ON l.id = m.label_id
                  WHERE l.species = ? AND l.genus = ?"""
    assert rows(db, families, species, genus) == [("Novidae",)]
    with db.read() as conn:
        assert run(conn, find("stale_shards"), None).total == 0
