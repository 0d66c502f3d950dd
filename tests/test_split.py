"""Splits: the hash rule, complements, extension, and lists of ids from files."""

from __future__ import annotations

import hashlib
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.running import tol_db
from tests.shared_data import SHARED_DATA, needs_shared
from tol_db.db.engine import Database, open_database
from tol_db.db.migrate import init
from tol_db.errors import InputError, InputMissing, NameTaken, UsageError
from tol_db.ingest.split_file import ingest_split
from tol_db.split import _BY_IMAGE, _BY_TAXON, _THE_REST, Extended, chooser, extend_policies, make_split

_numbers = count()


def new_db(folder: Path) -> Database:
    path = folder / f"{next(_numbers)}.sqlite"
    init(path)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO source (id, key, title) VALUES (1, 'eol', 'EOL')")
    return open_database(path)


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return new_db(tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the many databases of the property tests."""
    return tmp_path_factory.mktemp("splits")


def tree_id(number: int) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, str(number))


def add_images(db: Database, numbers: Iterable[int], species: Sequence[str | None] = (None,)) -> None:
    """One image for each number, in this order; the species go round."""
    with sqlite3.connect(db.path) as connection:
        for name in dict.fromkeys(species):
            if name is not None:
                connection.execute(NEW_LABEL, (name, ""))
        connection.executemany(
            """INSERT INTO image (treeoflife_id, source_id, label_id)
               VALUES (?, 1, (SELECT min(id) FROM label WHERE species = ?))""",
            ((tree_id(n).bytes, species[n % len(species)]) for n in numbers),
        )


NEW_LABEL = """
INSERT INTO label (kingdom, phylum, class, "order", family, genus, species, common_name, resolution)
VALUES ('Animalia', '', 'Aves', '', 'Paridae', 'Parus', ?, ?, 'published') ON CONFLICT DO NOTHING"""


def rows(db: Database, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with sqlite3.connect(db.path) as connection:
        return connection.execute(sql, parameters).fetchall()


def members(db: Database, name: str) -> set[uuid.UUID]:
    sql = """SELECT i.treeoflife_id FROM split s JOIN split_member m ON m.split_id = s.id
             JOIN image i ON i.id = m.image_id WHERE s.name = ?"""
    return {uuid.UUID(bytes=blob) for (blob,) in rows(db, sql, name)}


def everyone(db: Database) -> set[uuid.UUID]:
    return {uuid.UUID(bytes=blob) for (blob,) in rows(db, "SELECT treeoflife_id FROM image")}


def dump(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    tables = [name for (name,) in rows(db, "SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {name: rows(db, f'SELECT * FROM "{name}"') for name in tables}


def extend(db: Database) -> list[Extended]:
    with db.write() as conn:
        return extend_policies(conn)


# ------------------------------------------------------------------ the rule


def stated(seed: int, name: str, fraction: float, key: str) -> bool:
    """The rule as the documentation states it."""
    head = hashlib.sha256(f"{seed}:{name}:{key}".encode()).digest()[:8]
    return int.from_bytes(head, "big") < fraction * 2**64


@given(st.integers(), st.sampled_from(["val", "train_small"]), st.floats(0.001, 1), st.uuids())
def test_the_rule_is_the_one_that_is_stated(seed: int, name: str, fraction: float, key: uuid.UUID) -> None:
    assert chooser(seed, name, fraction)(key.bytes) == stated(seed, name, fraction, str(key))


def test_a_lineage_is_hashed_in_lower_case(db: Database) -> None:
    rule = chooser(17, "val", 0.5)
    texts = [f"Animalia\t\tAves\t\tParidae\tParus\tØ{n}" for n in range(100)]
    assert [rule(text) for text in texts] == [stated(17, "val", 0.5, text.lower()) for text in texts]


@pytest.mark.parametrize("fraction", [0.01, 0.05, 0.1, 0.5])
def test_the_fraction_is_kept_roughly(fraction: float) -> None:
    rule = chooser(17, "val", fraction)
    number = sum(rule(tree_id(n).bytes) for n in range(20_000))
    spread = (20_000 * fraction * (1 - fraction)) ** 0.5
    assert abs(number - 20_000 * fraction) < 4 * spread


def test_a_fraction_of_one_takes_all(db: Database) -> None:
    add_images(db, range(50))
    assert make_split(db, "all", fraction=1).members == 50


def test_a_split_within_another_is_a_fair_sample_of_it(db: Database) -> None:
    add_images(db, range(4_000))
    make_split(db, "val", fraction=0.5)
    inner = make_split(db, "inner", fraction=0.5, within="val")
    assert members(db, "inner") < members(db, "val")
    assert inner.drawn_from == len(members(db, "val"))
    # with the name left out of the hash all of val would be in it
    assert 0.45 < inner.members / inner.drawn_from < 0.55


def test_seeds_give_different_splits(db: Database) -> None:
    add_images(db, range(1_000))
    first, second = chooser(1, "val", 0.5), chooser(2, "val", 0.5)
    same = sum(first(tree_id(n).bytes) == second(tree_id(n).bytes) for n in range(1_000))
    assert 400 < same < 600


PROPERTY = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@PROPERTY
@given(st.lists(st.integers(0, 500), unique=True, max_size=80), st.randoms(), st.floats(0.05, 0.95))
def test_the_order_of_images_plays_no_part(folder: Path, numbers: list[int], random: Any, fraction: float) -> None:
    one, two = new_db(folder), new_db(folder)
    add_images(one, numbers)
    shuffled = list(numbers)
    random.shuffle(shuffled)
    add_images(two, shuffled)
    for db in (one, two):
        make_split(db, "val", fraction=fraction)
        make_split(db, "train", complement_of="val")
    assert members(one, "val") == members(two, "val")
    assert members(one, "train") == members(two, "train")


@PROPERTY
@given(
    st.lists(st.lists(st.integers(0, 400), max_size=40), min_size=1, max_size=4),
    st.floats(0.05, 0.95),
    st.sampled_from(["image", "taxon"]),
)
def test_adding_images_moves_nobody_and_complements_stay_disjoint_and_exhaustive(
    folder: Path, batches: list[list[int]], fraction: float, by: Any
) -> None:
    species = ["major", "minor", "ater", "fringillinus", "niger", None]
    db, whole = new_db(folder), new_db(folder)
    seen: set[int] = set()
    for index, batch in enumerate(batches):
        new = [n for n in dict.fromkeys(batch) if n not in seen]
        seen.update(new)
        before = {name: members(db, name) for name in ("val", "train", "small", "rest")}
        add_images(db, new, species)
        if index:
            extend(db)
        else:
            make_chain(db, fraction, by)
        for name, were in before.items():
            assert were <= members(db, name)
        assert not members(db, "val") & members(db, "train")
        assert members(db, "val") | members(db, "train") == everyone(db)
        assert not members(db, "small") & members(db, "rest")
        assert members(db, "small") | members(db, "rest") == members(db, "train")
    add_images(whole, sorted(seen), species)
    make_chain(whole, fraction, by)
    for name in ("val", "train", "small", "rest"):
        assert members(whole, name) == members(db, name)
    assert extend(db) == []


def make_chain(db: Database, fraction: float, by: Any) -> None:
    make_split(db, "val", fraction=fraction, by=by)
    make_split(db, "train", complement_of="val")
    make_split(db, "small", fraction=fraction, within="train", by=by)
    make_split(db, "rest", complement_of="small", within="train")


# ------------------------------------------------------------------ by taxon


def test_all_images_of_a_lineage_fall_on_one_side_whatever_their_common_names(db: Database) -> None:
    species = [f"species{n}" for n in range(40)]
    add_images(db, range(400), species)
    with sqlite3.connect(db.path) as connection:
        for name in species:
            connection.execute(NEW_LABEL, (name, "a common name"))
        connection.execute(
            """UPDATE image SET label_id = (SELECT max(b.id) FROM label a JOIN label b USING (species)
                                            WHERE a.id = image.label_id) WHERE id % 3 = 0"""
        )
    make_split(db, "val", fraction=0.3, by="taxon")
    sides = rows(
        db,
        """SELECT l.species, count(DISTINCT l.id), count(DISTINCT m.image_id IS NULL)
           FROM image i JOIN label l ON l.id = i.label_id LEFT JOIN split_member m ON m.image_id = i.id
           GROUP BY l.species""",
    )
    assert len(sides) == 40
    assert {(labels, number) for _, labels, number in sides} == {(2, 1)}
    assert 0 < len(members(db, "val")) < 400


def test_images_without_a_label_go_by_their_own_id_and_are_counted(db: Database) -> None:
    add_images(db, range(1_000))
    result = make_split(db, "val", fraction=0.5, by="taxon")
    assert 400 < result.members < 600
    assert result.remark == "1,000 images have no label and went by their own id"


def test_an_image_whose_label_changes_keeps_its_side(db: Database) -> None:
    species = [f"species{n}" for n in range(20)]
    add_images(db, range(200), [*species, None])
    make_split(db, "val", fraction=0.5, by="taxon")
    make_split(db, "train", complement_of="val")
    before = members(db, "val"), members(db, "train")
    with sqlite3.connect(db.path) as connection:
        connection.execute("UPDATE image SET label_id = (coalesce(label_id, 0) + 7) % 20 + 1")
    assert extend(db) == []
    assert (members(db, "val"), members(db, "train")) == before


# ------------------------------------------------------------------ extension


def test_extension_says_which_splits_took_how_many(db: Database) -> None:
    add_images(db, range(100))
    make_split(db, "val", fraction=0.5)
    make_split(db, "train", complement_of="val")
    ids = db.path.with_name("ids.txt")
    ids.write_text(str(tree_id(1)))
    ingest_split(db, "mine", ids)
    add_images(db, range(100, 200))
    grown = extend(db)
    assert [item.split for item in grown] == ["val", "train"]
    assert sum(item.added for item in grown) == 100
    assert len(members(db, "mine")) == 1


def test_what_is_left_of_a_published_split_takes_new_images(db: Database) -> None:
    add_images(db, range(10))
    with sqlite3.connect(db.path) as connection:
        connection.execute("INSERT INTO split (id, name, policy, created_at) VALUES (1, 'val', 'published', '')")
        connection.executemany("INSERT INTO split_member VALUES (1, ?)", [(1,), (2,)])
    make_split(db, "train", complement_of="val")
    make_split(db, "small", fraction=0.5, within="train")
    add_images(db, range(10, 20))
    assert extend(db)[0] == Extended("train", 10)
    assert len(members(db, "val")) == 2
    assert members(db, "small") < members(db, "train")


def test_a_split_drawn_from_a_list_takes_what_joins_the_list_later(db: Database, tmp_path: Path) -> None:
    add_images(db, range(200))
    path = tmp_path / "ids.txt"
    path.write_text("\n".join(str(tree_id(n)) for n in range(100, 150)))
    ingest_split(db, "mine", path)
    make_split(db, "half", fraction=0.5, within="mine")
    path.write_text("\n".join(str(tree_id(n)) for n in range(150)))
    ingest_split(db, "mine", path)
    extend(db)
    rule = chooser(17, "half", 0.5)
    assert members(db, "half") == {tree_id(n) for n in range(150) if rule(tree_id(n).bytes)}


# ------------------------------------------------------------------ wrong calls


def test_a_name_that_is_taken_is_refused(db: Database) -> None:
    add_images(db, range(10))
    make_split(db, "val", fraction=0.5)
    before = dump(db)
    with pytest.raises(NameTaken, match="'val'"):
        make_split(db, "val", fraction=0.5)
    assert dump(db) == before


def test_a_split_that_is_not_there_is_told_with_those_that_are(db: Database) -> None:
    make_split(db, "val", fraction=0.5)
    calls: list[Any] = [{"complement_of": "nosuch"}, {"fraction": 0.1, "within": "nosuch"}]
    for call in calls:
        with pytest.raises(UsageError, match="no split 'nosuch'") as refused:
            make_split(db, "train", **call)
        assert refused.value.hint == "splits that exist: val"


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"fraction": 0.5, "complement_of": "val"},
        {"fraction": 0.0},
        {"fraction": 1.5},
        {"fraction": -0.1},
        {"fraction": float("nan")},
        {"fraction": 0.5, "seed": 2**63},
    ],
)
def test_a_call_that_makes_no_sense_is_refused(db: Database, call: Any) -> None:
    before = dump(db)
    with pytest.raises(UsageError):
        make_split(db, "new", **call)
    assert dump(db) == before


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-x", "a\0", "a\n", "ø", "x" * 101])
def test_a_name_that_cannot_be_a_folder_is_refused(db: Database, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        make_split(db, name, fraction=0.5)


def test_the_rest_of_a_split_within_another_says_when_it_is_drawn_from_all(db: Database) -> None:
    add_images(db, range(40))
    make_split(db, "train", fraction=0.9)
    make_split(db, "small", fraction=0.5, within="train")
    assert "--within" in make_split(db, "a", complement_of="small").describe()[1]
    assert len(make_split(db, "b", complement_of="small", within="train").describe()) == 1


@pytest.mark.parametrize("sql", [_BY_IMAGE, _BY_TAXON, _THE_REST])
def test_no_plan_scans_members_or_images_for_each_image(db: Database, sql: str) -> None:
    with sqlite3.connect(db.path) as connection:
        connection.create_function("is_chosen", 1, lambda _key: True)
        connection.execute("CREATE TEMP TABLE chosen_label (label_id INTEGER PRIMARY KEY)")
        parameters = (1, 0, None, 2)[: 4 if "?4" in sql else 3]
        steps = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, parameters)]
    assert {step for step in steps if step.startswith("SCAN")} <= {"SCAN c"}  # the few splits
    assert len(steps) > 5


# ------------------------------------------------------------------ lists of ids


def test_a_text_file_lists_an_id_per_line(db: Database, tmp_path: Path) -> None:
    add_images(db, range(10))
    path = tmp_path / "ids.txt"
    lines = [
        "# mine",
        "",
        str(tree_id(3)),
        f"  {tree_id(4).hex.upper()}  # a remark",
        str(tree_id(3)),
        str(tree_id(99)),
    ]
    path.write_bytes("\ufeff".encode() + "\r\n".join(lines).encode())
    result = ingest_split(db, "mine", path)
    assert members(db, "mine") == {tree_id(3), tree_id(4)}
    assert rows(db, "SELECT policy, parent_id, complement_of_id FROM split") == [("file", None, None)]
    assert (result.listed, result.repeated, result.added) == (3, 1, 2)
    assert result.unmatched_first == (f"line 6: {tree_id(99)}",)
    assert result.describe() == [
        "split mine: 2 images of the 3 ids of ids.txt",
        "  1 lines repeat an id",
        "  1 ids are no image of this database; first:",
        f"    line 6: {tree_id(99)}",
    ]


@pytest.mark.parametrize("name", ["ids.csv", "ids.txt", "ids.tsv"])
def test_a_table_lists_ids_in_a_column(db: Database, tmp_path: Path, name: str) -> None:
    add_images(db, range(10))
    path = tmp_path / name
    text = "n,treeoflife_id\n" + "".join(f"{n},{tree_id(n)}\n" for n in (1, 5))
    path.write_text(text.replace(",", "\t") if name.endswith("tsv") else text)
    ingest_split(db, "mine", path)
    assert members(db, "mine") == {tree_id(1), tree_id(5)}


@needs_shared
def test_a_split_of_the_published_catalog_is_its_rows(db: Database) -> None:
    metadata = SHARED_DATA / "corpora" / "dev" / "data" / "TreeOfLife-10M" / "metadata"
    mapping = sqlite3.connect(f"file:{metadata / 'mapping.sqlite'}?immutable=1", uri=True)
    published = dict(mapping.execute("SELECT evobio10m_id, is_train_small FROM split"))
    mapping.close()
    with sqlite3.connect(db.path) as connection:
        connection.executemany(
            "INSERT INTO image (treeoflife_id, source_id) VALUES (?, 1)",
            ((uuid.UUID(text).bytes,) for text in published),
        )
    small = ingest_split(db, "train_small", metadata / "catalog.csv")
    assert 10 < small.members < len(published)
    assert all(published[str(key)] for key in members(db, "train_small"))
    with pytest.raises(InputError, match="no row of split 'nosuch'") as refused:
        ingest_split(db, "nosuch", metadata / "catalog.csv")
    assert refused.value.hint == "splits in the file: 'train', 'train_small', 'val'"


def test_a_list_again_changes_nothing_and_says_so(db: Database, tmp_path: Path) -> None:
    add_images(db, range(10))
    for name, numbers in (("whole", [1, 2, 3]), ("partly", [4, 5, 99])):
        path = tmp_path / f"{name}.txt"
        path.write_text("\n".join(str(tree_id(n)) for n in numbers))
        ingest_split(db, name, path)
        before = dump(db)
        again = ingest_split(db, name, path)
        assert again.unchanged
        assert again.describe()[0] == f"split {name}: unchanged, {len(members(db, name))} images"
        assert dump(db) == before


def test_a_changed_list_changes_the_split_while_nothing_was_made_of_it(db: Database, tmp_path: Path) -> None:
    add_images(db, range(10))
    path = tmp_path / "ids.txt"
    path.write_text("\n".join(str(tree_id(n)) for n in (1, 2, 3)))
    ingest_split(db, "mine", path)
    path.write_text("\n".join(str(tree_id(n)) for n in (2, 3, 4, 5)))
    result = ingest_split(db, "mine", path)
    assert (result.added, result.removed) == (2, 1)
    assert members(db, "mine") == {tree_id(n) for n in (2, 3, 4, 5)}
    make_split(db, "rest", complement_of="mine")
    path.write_text(str(tree_id(2)))
    before = dump(db)
    with pytest.raises(UsageError, match=r"3 images of 'mine' are not in it any more, and split rest uses it"):
        ingest_split(db, "mine", path)
    assert dump(db) == before


def test_an_id_whose_image_comes_later_is_met_when_the_list_is_read_again(db: Database, tmp_path: Path) -> None:
    add_images(db, range(3))
    path = tmp_path / "ids.txt"
    path.write_text("\n".join(str(tree_id(n)) for n in (1, 7)))
    ingest_split(db, "mine", path)
    add_images(db, [7])
    again = ingest_split(db, "mine", path)
    assert (again.unchanged, again.added, again.unmatched) == (False, 1, 0)


def test_an_image_that_a_disjoint_split_holds_cannot_join_a_list(db: Database, tmp_path: Path) -> None:
    add_images(db, range(3))
    path = tmp_path / "ids.txt"
    path.write_text("\n".join(str(tree_id(n)) for n in (1, 7)))
    ingest_split(db, "mine", path)
    make_split(db, "rest", complement_of="mine")
    add_images(db, [7])
    extend(db)
    with pytest.raises(InputError, match=rf"line 2: {tree_id(7)} is in split 'rest'"):
        ingest_split(db, "mine", path)


def test_a_list_stays_within_its_parent_and_out_of_the_other(db: Database, tmp_path: Path) -> None:
    add_images(db, range(20))
    lists = {
        "all": range(10),
        "held": range(3),
        "good": range(3, 6),
        "outside": range(8, 12),
        "inside": range(2, 5),
    }
    paths = {name: tmp_path / f"{name}.txt" for name in lists}
    for name, numbers in lists.items():
        paths[name].write_text("\n".join(str(tree_id(n)) for n in numbers))
    ingest_split(db, "all", paths["all"])
    ingest_split(db, "held", paths["held"], parent="all")
    ingest_split(db, "good", paths["good"], parent="all", complement_of="held")
    before = dump(db)
    with pytest.raises(InputError, match=rf"line 3: {tree_id(10)} is not in the split"):
        ingest_split(db, "new", paths["outside"], parent="all")
    with pytest.raises(InputError, match=rf"line 1: {tree_id(2)} is in split 'held'"):
        ingest_split(db, "new", paths["inside"], complement_of="held")
    with pytest.raises(UsageError, match="no split 'nosuch'"):
        ingest_split(db, "new", paths["good"], parent="nosuch")
    with pytest.raises(NameTaken, match="another --within"):
        ingest_split(db, "good", paths["good"])
    assert dump(db) == before


def test_a_split_of_that_name_that_came_from_elsewhere_is_left_alone(db: Database, tmp_path: Path) -> None:
    add_images(db, range(20))
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text(str(tree_id(1)))
    two.write_text(str(tree_id(2)))
    make_split(db, "val", fraction=0.5)
    ingest_split(db, "mine", one)
    before = dump(db)
    for name in ("val", "mine"):
        with pytest.raises(NameTaken, match=f"a split '{name}' already"):
            ingest_split(db, name, two)
    assert dump(db) == before


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("ids.txt", b"", "no id in it"),
        ("ids.txt", b"# nothing\n\n", "no id in it"),
        ("ids.txt", f"{tree_id(1)}\nx\n".encode(), "line 2: 'x' is not a TreeOfLife id"),
        ("ids.txt", f"{tree_id(1)}.jpg\n".encode(), "line 1: "),
        ("ids.txt", f"{tree_id(1)}\n\xff".encode("latin-1"), "line 2: byte 1 is not UTF-8"),
        ("ids.csv", b"id\n1\n", "line 1: no column 'treeoflife_id'"),
        ("ids.csv", f"treeoflife_id,x\n{tree_id(1)}\n".encode(), "line 2: 1 fields"),
        ("ids.csv", f"treeoflife_id,split\n{tree_id(1)},val\n".encode(), "no row of split 'mine'"),
        ("ids.txt", f"{tree_id(99)}\n".encode(), "none of its ids is an image"),
    ],
)
def test_a_list_with_a_fault_is_refused_and_the_line_named(
    db: Database, tmp_path: Path, name: str, data: bytes, told: str
) -> None:
    add_images(db, range(3))
    before = dump(db)
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError) as refused:
        ingest_split(db, "mine", path)
    assert str(refused.value).startswith(f"{path}: {told}")
    assert refused.value.hint
    assert dump(db) == before


def test_a_list_of_which_nothing_is_there_can_be_accepted(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text(str(tree_id(1)))
    assert ingest_split(db, "mine", path, allow_unmatched=True).unmatched == 1
    with pytest.raises(InputMissing, match=r"nosuch\.txt"):
        ingest_split(db, "other", tmp_path / "nosuch.txt")


def test_the_commands_make_splits_and_print_what_is_in_them(db: Database, tmp_path: Path) -> None:
    add_images(db, range(10))
    path = tmp_path / "ids.txt"
    path.write_text("\n".join(str(tree_id(n)) for n in range(3)))
    made = tol_db(db.path, "ingest", "split", "held", path)
    assert made.stdout == "split held: 3 images of the 3 ids of ids.txt\n"
    rest = tol_db(db.path, "split", "train", "--except", "held")
    assert rest.stdout == "split train: 7 of 10 images (70.00 %): what held left\n"
    whole = tol_db(db.path, "split", "whole", "--fraction", "1", "--within", "train", "--seed", "3")
    assert whole.stdout == "split whole: 7 of 7 images (100.00 %): fraction 1.0 by image, seed 3\n"
