"""The report page: what it counts, what it shows, what it survives; the browser has tests of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from materialize.root import shard_path
from tests.populated import OAK, OAK_TODAY, populated
from tests.running import DATASET, SPLITS, plan, tol_db
from tests.shared_data import SHARED_DATA, needs_shared
from tol_db.audit.runner import Audit
from tol_db.db.bulk import integers, query
from tol_db.db.engine import Database, open_database
from tol_db.db.migrate import init
from tol_db.errors import CannotWrite, UsageError
from tol_db.report.page import checks as checks_module
from tol_db.report.page.checks import checks
from tol_db.report.page.counts import IMAGES, LABELS, PLACES, SIDES, Scope, count
from tol_db.report.page.gather import LICENCES, Wishes, gather
from tol_db.report.page.html import json_block, tag
from tol_db.report.page.names import names
from tol_db.report.page.page import page, write_page
from tol_db.report.page.plots import nice_top, short
from tol_db.report.page.samples import contact_sheet
from tol_db.report.page.squarify import Box, squarify
from tol_db.report.page.throughput import Work, paced, throughput
from tol_db.report.page.tree import Leaf, Style, arrange, as_lists, build
from tol_db.report.summary import summarise

VOID = {"meta", "br", "img", "link"}
NASTY = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A populated database that no test changes; its shards have no files."""
    return populated(tmp_path_factory.mktemp("page") / "tol.sqlite")


@pytest.fixture(scope="module")
def written(_demo_ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """The demo tree, really written in small shards; read only."""
    folder = tmp_path_factory.mktemp("written")
    path = Path(shutil.copy(_demo_ingested, folder / "tol.sqlite"))
    plan(path, folder / "out", "clean", "--shard-images", 15)
    tol_db(path, "materialize")
    return open_database(path, readonly=True)


def execute(db: Database, *statements: str) -> None:
    with db.write() as conn:
        for statement in statements:
            assert conn.exec_driver_sql(statement).rowcount > 0, statement


class Reader(HTMLParser):
    """Reads a page and checks that every element that is begun is ended."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.figures = self.tables = self.behind = 0
        self.data: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [value for key, value in attrs if key == "id" and value]
        self.links += [value for key, value in attrs if key in ("src", "href") and value]
        self.figures += tag == "figcaption" and "sheet" not in str(self.get_starttag_text())
        self.tables += tag == "table"
        self.behind += tag == "table" and "details" in self.open
        assert not any(key.startswith("on") for key in found), attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for key, value in attrs if key == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.data.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.data).split())


# ------------------------------------------------------------------ squarified


sizes_of = st.lists(st.integers(1, 10**7), min_size=1, max_size=60).map(lambda xs: sorted(xs, reverse=True))


@given(sizes_of, st.floats(1, 2000), st.floats(1, 2000))
def test_a_treemap_fills_its_box_with_areas_that_are_to_each_other_as_the_sizes(
    sizes: list[int], width: float, height: float
) -> None:
    boxes = squarify(sizes, Box(3, 5, width, height))
    for size, box in zip(sizes, boxes, strict=True):
        assert box.area == pytest.approx(width * height * size / sum(sizes), rel=1e-6, abs=1e-6)
        assert box.x >= 3 - 1e-6 and box.y >= 5 - 1e-6
        assert box.x + box.width <= 3 + width + 1e-6 and box.y + box.height <= 5 + height + 1e-6
    # areas add up, and no two overlap
    for a, b in ((a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]):
        across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
        along = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
        assert min(across, along) <= 1e-6


def test_the_example_of_the_paper_comes_out_as_printed() -> None:
    boxes = squarify([6, 6, 4, 3, 2, 2, 1], Box(0, 0, 6, 4))
    found = [(round(b.x, 2), round(b.y, 2), round(b.width, 2), round(b.height, 2)) for b in boxes]
    # Bruls et al., figure 4; there the sides are counted from below
    assert found[:4] == [(0, 0, 3, 2), (0, 2, 3, 2), (3, 0, 1.71, 2.33), (4.71, 0, 1.29, 2.33)]


@pytest.mark.parametrize("sizes", [[1, 2], [1, 0], [-1]])
def test_sizes_that_are_not_sorted_or_not_positive_are_refused(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="positive, the largest first"):
        squarify(sizes, Box(0, 0, 1, 1))


# ------------------------------------------------------------------ tree


def leaf(path: str, images: int, taxa: int = 1) -> Leaf:
    return Leaf(tuple(path.split("/")), (images,), (taxa,))


def test_counts_of_a_node_are_those_of_what_is_below_it() -> None:
    root = build([leaf("A/b/c/d/e", 5, 2), leaf("A/b/c/d/f", 3), leaf("B////", 4)], 1)
    assert (root.images, root.taxa) == ((12,), (4,))
    assert {name: node.images[0] for name, node in root.children.items()} == {"A": 8, "B": 4}
    assert [node.name for node in root.ordered("images", 0)] == ["A", "B"]


def test_beyond_a_number_of_families_the_smallest_of_each_order_are_together_and_none_is_lost() -> None:
    leaves = [leaf(f"A/b/c/{i % 3}/f{i}", 100 - i) for i in range(50)]
    root = build(leaves, 1, most=10)
    assert (root.images[0], root.taxa[0]) == (sum(100 - i for i in range(50)), 50)
    families = [
        name
        for order in root.children["A"].children["b"].children["c"].children.values()
        for name in order.children
    ]
    assert len(families) == 13 and "(13 small families)" in families


def test_the_map_has_no_tile_for_what_a_split_has_nothing_of() -> None:
    root = build([Leaf(tuple("Abcde"), (5, 0), (1, 0)), Leaf(tuple("Bbcde"), (5, 2), (1, 1))], 2)
    style = Style(header=2, gap=1, headed=1, smallest=1)
    tiles = arrange(root, Box(0, 0, 100, 100), style, "images", 1)
    assert {tile.path[0] for tile in tiles} == {"B"}
    assert [tile.headed for tile in tiles] == [True, False, False, False, False]
    assert sum(tile.size for tile in tiles if tile.leaf) == 2


# ------------------------------------------------------------------ counting


def test_sources_are_counted_as_the_summary_counts_them(small: Database, written: Database) -> None:
    for db in (small, written):
        with db.read() as conn:
            found = count(conn, [], lambda _: None).sources
        for ours, theirs in zip(found, summarise(db).sources, strict=True):
            assert (ours.key, ours.images, ours.labelled, ours.every) == (
                *(theirs.key, theirs.images, theirs.labelled, theirs.all_ranks),
            )
            assert ours.ranks == tuple(rank.images for rank in theirs.ranks)
    with small.read() as conn:
        assert [s.relabelled for s in count(conn, [], lambda _: None).sources] == [0, 0, 1]


def test_families_species_and_taxa_are_counted_as_sql_counts_them(written: Database) -> None:
    ranks = 'l.kingdom, l.phylum, l.class, l."order", l.family'
    with written.read() as conn:
        found = count(conn, [DATASET], lambda _: None)
        assert found.scopes == (Scope(), *(Scope(DATASET, name) for name in sorted(SPLITS)))
        for index, scope in enumerate(found.scopes):
            placed = f"""(SELECT m.* FROM shard_image m
                          JOIN shard h ON h.id = m.shard_id JOIN split s ON s.id = h.split_id
                          WHERE m.outcome_id = 1 AND s.name = '{scope.split}') AS m"""
            source = "image m" if scope.split is None else placed
            joined = f"FROM {source} JOIN label l ON l.id = m.label_id"
            taxa = "count(DISTINCT l.genus || '|' || l.species)"
            rows = query(conn, f"SELECT {ranks}, count(*), {taxa} {joined} GROUP BY {ranks}")
            wanted = {tuple(row[:5]): tuple(row[5:]) for row in rows}
            told = {x.path: (x.images[index], x.taxa[index]) for x in found.leaves if x.images[index]}
            assert told == wanted
            assert found.taxa[index] == sum(number for _, number in wanted.values())
            species = f"""SELECT count(*) {joined} WHERE l.genus <> '' AND l.species <> ''
                          GROUP BY {ranks}, l.genus, l.species ORDER BY 1 DESC"""
            assert found.species[index].tolist() == [row[0] for row in query(conn, species)]
    assert found.top[0].images == found.species[0][0]
    assert [x.images for x in found.top] == found.species[0][: len(found.top)].tolist()


def test_outcomes_sizes_and_modes_are_counted_as_sql_counts_them(written: Database) -> None:
    with written.read() as conn:
        found = count(conn, [DATASET], lambda _: None).splits
        for split in found:
            places = f"""FROM shard_image m JOIN shard h ON h.id = m.shard_id JOIN split s ON s.id = h.split_id
                         JOIN outcome o ON o.id = m.outcome_id WHERE s.name = '{split.scope.split}'"""
            assert split.outcomes == dict(query(conn, f"SELECT o.name, count(*) {places} GROUP BY 1"))
            assert split.modes == dict(
                query(conn, f"SELECT m.mode, count(*) {places} AND m.mode IS NOT NULL GROUP BY 1")
            )
            sides = [row[0] for row in query(conn, f"SELECT min(m.width, m.height) {places} AND m.width > 0")]
            assert split.measured == len(sides) == sum(split.sides)
            assert split.smaller == sum(side < 224 for side in sides)
            edges = [0, *SIDES, 10**9]
            assert list(split.sides) == [sum(a <= side < b for side in sides) for a, b in pairwise(edges)]
            excluded = f"""SELECT o.name, count(*) FROM exclusion x JOIN outcome o ON o.id = x.outcome_id
                           JOIN split s ON s.id = x.split_id WHERE s.name = '{split.scope.split}' GROUP BY 1"""
            assert split.excluded == dict(query(conn, excluded))
    assert any(split.excluded for split in found)


def test_rows_of_numbers_come_as_arrays_whatever_their_number(small: Database) -> None:
    with small.read() as conn:
        blocks = list(integers(conn, "SELECT id, id * 2 FROM image ORDER BY id", columns=2))
        assert np.concatenate(blocks).tolist() == [[n, 2 * n] for n in range(1, 41)]
        assert list(integers(conn, "SELECT id FROM image WHERE id < 0", columns=1)) == []


def test_species_with_two_lineages_are_told(tmp_path: Path) -> None:
    db = populated(tmp_path / "tol.sqlite")
    with db.read() as conn:
        found = names(conn)
    assert found.conflicting == 1
    (conflict,) = found.conflicts
    assert conflict.species == "Quercus robur"
    assert conflict.lineages == (
        "Plantae > – > – > Fagales > Fagaceae",
        "Plantae > Tracheophyta > – > Fagales > Fagaceae",
    )
    told = {(t.name, t.kind): (t.nodes, t.synonyms, t.vernacular_names) for t in found.taxonomies}
    assert told == {("itis", "source"): (2, 0, 0), ("tol", "assembled"): (2, 1, 2)}
    assert {(o.source, o.how, o.nodes) for o in found.origins} == {
        ("itis 2026", "copied", 1),
        ("itis 2026", "aligned", 1),
    }
    assert [(d.assembled, d.source, d.outcome, d.nodes) for d in found.decisions] == [
        ("tol 1", "itis 2026", "aligned", 1)
    ]


def test_labels_that_no_image_has_any_more_disagree_with_nothing(tmp_path: Path) -> None:
    db = populated(tmp_path / "tol.sqlite")
    with db.write() as conn:
        conn.exec_driver_sql(
            f"""INSERT INTO label_resolution (taxonomy_id, label_id, state, change, new_label_id)
                VALUES (2, {OAK}, 'matched', 'filled', {OAK_TODAY})"""
        )
    with db.read() as conn:
        assert names(conn).conflicting == 0  # the published label was replaced
        assert names(conn, relabelled=False).conflicting == 0  # the new one is not in use


@pytest.mark.parametrize(
    ("sql", "parameters", "wanted"),
    [
        (LABELS, (), [r"SCAN label USING COVERING INDEX \S+"]),
        (PLACES, (1, 1), [r"SEARCH h USING (COVERING )?INDEX", r"SEARCH m USING PRIMARY KEY \(shard_id=\?\)"]),
        (IMAGES, (), ["SCAN image"]),
        (LICENCES, (), ["SCAN image_licence"]),
    ],
)
def test_what_is_read_of_large_tables_is_read_in_their_order(
    small: Database, sql: str, parameters: tuple[int, ...], wanted: list[str]
) -> None:
    with small.read() as conn:
        plans = [row[3] for row in query(conn, f"EXPLAIN QUERY PLAN {sql}", parameters)]
    assert len(plans) == len(wanted), "nothing is sorted"
    assert all(re.match(a, b) for a, b in zip(wanted, plans, strict=True)), plans


# ------------------------------------------------------------------ throughput


works_of = st.lists(
    st.builds(lambda begin, length, images: Work(begin, begin + length, images),
              st.floats(0, 20_000), st.floats(1, 500), st.integers(1, 10_000)),
    min_size=1, max_size=30,
)  # fmt: skip


@given(works_of)
def test_rates_times_their_time_are_all_images(works: list[Work]) -> None:
    found = paced("x", works)
    for run in found.runs:
        lengths = [min(found.step, run.end - run.begin - i * found.step) for i in range(len(run.rates))]
        done = sum(rate * max(1.0, length) for rate, length in zip(run.rates, lengths, strict=True))
        assert done == pytest.approx(run.images)
    assert sum(run.images for run in found.runs) == sum(work.images for work in works)
    assert sum(run.shards for run in found.runs) == len(works)
    assert all(b.begin - a.end > 600 for a, b in pairwise(found.runs))


def test_ten_idle_minutes_part_two_runs(small: Database) -> None:
    found = paced("x", [Work(0, 10, 100), Work(5, 20, 50), Work(700, 710, 30)])
    assert [(run.begin, run.end, run.images) for run in found.runs] == [(0, 20, 150), (700, 710, 30)]
    assert found.runs[0].rates[0] == pytest.approx(10) and found.step == 1
    with small.read() as conn:
        real = throughput(conn, "tol")
    assert sum(run.images for run in real.runs) == 34, "of the complete shards"


# ------------------------------------------------------------------ audits


def test_audits_without_time_are_unknown_not_passed(small: Database) -> None:
    with small.read() as conn:
        assert {check.verdict for check in checks(conn, 0)} == {"unknown"}
        found = {check.audit.name: check for check in checks(conn)}
    assert {check.verdict for check in found.values()} == {"passed", "told"}
    assert found["bad_shards"].rows == 1


def test_a_slow_audit_is_given_up_and_leaves_the_others_their_time(
    small: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0"
    audits = [
        Audit("slow", "t", "a", "r", True, False, None, None, endless),
        Audit("bad", "t", "a", "r", True, False, None, None, "SELECT 1 UNION ALL SELECT 2"),
        Audit("good", "t", "a", "r", True, False, None, None, "SELECT 1 WHERE 0"),
    ]
    monkeypatch.setattr(checks_module, "load", lambda: audits)
    with small.read() as conn:
        found = {check.audit.name: (check.verdict, check.rows) for check in checks(conn, 0.8)}
        assert conn.exec_driver_sql("SELECT count(*) FROM image").scalar() == 40, "the transaction goes on"
    assert found == {"slow": ("unknown", None), "bad": ("failed", 2), "good": ("passed", 0)}


# ------------------------------------------------------------------ contact sheet


def test_the_same_seed_draws_the_same_pictures(written: Database) -> None:
    def drawn(seed: int) -> list[str]:
        with written.read() as conn:
            return [picture.treeoflife_id for picture in contact_sheet(conn, [DATASET], seed=seed).pictures]

    assert drawn(1) == drawn(1) != drawn(2)
    with written.read() as conn:
        sheet = contact_sheet(conn, [DATASET], per_kingdom=3)
        assert not sheet.failed and sheet.of == sheet.shards > 4
        kingdoms = dict(query(conn, "SELECT l.kingdom, 1 FROM label l"))
        assert set(sheet.kingdoms()) <= set(kingdoms)
        assert {len(pictures) for pictures in sheet.kingdoms().values()} == {3}
        assert len({picture.treeoflife_id for picture in sheet.pictures}) == len(sheet.pictures)
        assert all(picture.jpeg.startswith(b"\xff\xd8") and len(picture.jpeg) < 8000 for picture in sheet.pictures)
        assert contact_sheet(conn, [DATASET], per_kingdom=0).pictures == ()


def _shards(db: Database) -> list[Path]:
    sql = """SELECT d.output_root, s.name, h.ordinal FROM shard h JOIN split s ON s.id = h.split_id
             JOIN dataset d ON d.id = h.dataset_id ORDER BY h.number"""
    with db.read() as conn:
        return [Path(root) / shard_path((224, 224), split, ordinal) for root, split, ordinal in query(conn, sql)]


def test_shards_that_cannot_be_read_cost_the_page_only_their_pictures(written: Database, tmp_path: Path) -> None:
    root = tmp_path / "out"
    shutil.copytree(_shards(written)[0].parents[2], root)
    path = Path(shutil.copy(written.path, tmp_path / "tol.sqlite"))
    db = open_database(path)
    execute(db, f"UPDATE dataset SET output_root = '{root}'")
    missing, zeros, cut = _shards(db)[:3]
    missing.unlink()
    size = zeros.stat().st_size
    zeros.unlink()
    with zeros.open("wb") as file:
        file.truncate(size)
    cut.write_bytes(cut.read_bytes()[:1500])
    execute(
        db,
        "UPDATE shard_image SET jpg_digest = zeroblob(16) WHERE shard_id = (SELECT id FROM shard WHERE number = 3)",
    )
    with db.read() as conn:
        sheet = contact_sheet(conn, [DATASET], per_kingdom=40)
    assert sheet.failed == 4 and sheet.pictures and len(sheet.unreadable) == 3
    done = tol_db(path, "report", "page", "-o", tmp_path / "r.html", "--samples", 40, "--audit-seconds", 0)
    assert "warning: 4 shards could not be read" in done.stderr
    shown = Reader((tmp_path / "r.html").read_text()).text
    assert "4 shards could not be read" in shown
    assert all(line in shown for line in sheet.unreadable)
    assert not any(p.name.startswith(".") for p in tmp_path.iterdir())


# ------------------------------------------------------------------ the page


def test_a_name_that_looks_like_a_script_is_text_everywhere(tmp_path: Path) -> None:
    db = populated(tmp_path / "tol.sqlite")
    nasty = f"{NASTY}</script><!--"
    execute(
        db,
        f"UPDATE label SET species = '{nasty}', family = '{nasty}', kingdom = '{nasty}' WHERE id = 6",
        f"UPDATE licence SET name = '{nasty}', link = 'javascript:alert(1)' WHERE id = 1",
        f"UPDATE dataset SET name = '{nasty}'",
        "UPDATE split SET name = '<b>val' WHERE name = 'val'",
        f"UPDATE attempt SET detail = '{nasty}' WHERE id = 2",
        f"UPDATE taxonomy SET name = '{nasty}' WHERE id = 1",
    )
    text = str(page(gather(db, Wishes())))
    assert text.count("<script") == 2 and text.count("</script>") == 2 and "<!--" not in text
    read = Reader(text)
    assert read.text.count(NASTY) >= 8
    assert not any(link.startswith("javascript") for link in read.links)
    (data,) = re.findall(r'<script type="application/json" id="treemap-data">(.*?)</script>', text)
    assert nasty in [child[0] for child in json.loads(data)["tree"][1]]


def test_signs_that_move_text_about_are_replaced() -> None:
    assert (
        str(tag("p", "a\u202eb\0c\nd", title="x\u2066<\ud800"))
        == '<p title="x\ufffd&lt;\ufffd">a\ufffdb\ufffdc d</p>'
    )
    assert str(tag("p", Markup("<b>x</b>"), "<b>")) == "<p><b>x</b>&lt;b&gt;</p>"


@settings(max_examples=60)
@given(st.lists(st.text(max_size=20) | st.sampled_from([NASTY, "</script", "<!--", "\u2028&"]), max_size=4))
def test_embedded_json_reads_back_and_cannot_end_its_element(value: object) -> None:
    block = str(json_block("x", value))
    inner = block.removeprefix('<script type="application/json" id="x">').removesuffix("</script>")
    assert json.loads(inner) == value
    assert not set("<>&\u2028\u2029") & set(inner)


def test_the_page_is_whole_and_alone(written: Database) -> None:
    text = str(page(gather(written, Wishes())))
    read = Reader(text)
    assert [link for link in read.links if not link.startswith(("#", "data:image/jpeg;base64,"))] == []
    assert [id for id, times in Counter(read.ids).items() if times > 1] == []
    anchors = {link[1:] for link in read.links if link.startswith("#")}
    assert anchors <= set(read.ids)
    assert "http:" not in text.replace("http://www.w3.org", "") or "licenses" in text
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in text


def test_behind_every_plot_there_is_a_table(written: Database) -> None:
    text = str(page(gather(written, Wishes(per_kingdom=0))))
    for figure in re.findall(r"<figure.*?</figure>", text, re.DOTALL):
        drawn = "<svg" in figure or 'class="bars"' in figure
        assert not drawn or "<details><summary>Table</summary>" in figure
        assert 'role="img"' not in figure or re.search(r'role="img" aria-label="[^"]+"', figure)
    assert Reader(text).behind >= 9


def test_the_page_of_an_empty_and_of_a_merely_planned_database(tmp_path: Path, demo_db: Path) -> None:
    init(tmp_path / "empty.sqlite")
    empty = Reader(str(page(gather(open_database(tmp_path / "empty.sqlite"), Wishes()))))
    assert "No dataset is planned yet." in empty.text and "No image has a label yet." in empty.text
    plan(demo_db, tmp_path / "out", "tol10m")
    planned = Reader(str(page(gather(open_database(demo_db), Wishes()))))
    assert "No shard is complete yet." in planned.text and "No original was read yet." in planned.text
    assert "tol-db materialize --dataset set" in planned.text


def test_only_the_datasets_that_are_named_are_shown(small: Database, tmp_path: Path) -> None:
    path = Path(shutil.copy(small.path, tmp_path / "tol.sqlite"))
    db = open_database(path)
    execute(
        db,
        """INSERT INTO dataset SELECT 2, 'other', 'u', recipe_id, image_order, seed, shard_images, blacklist_policy,
           output_root, plan_digest, created_at, planned_at FROM dataset""",
        "INSERT INTO dataset_split SELECT 2, split_id, 0, 0, 0, 0, 0 FROM dataset_split",
    )
    assert [d.name for d in gather(db, Wishes(audit_seconds=0)).datasets] == ["other", "tol"]
    facts = gather(db, Wishes(("tol",), audit_seconds=0))
    assert [d.name for d in facts.datasets] == ["tol"]
    assert {s.dataset for s in facts.contents.scopes} == {None, "tol"}
    with pytest.raises(UsageError, match="no dataset 'x'"):
        gather(db, Wishes(("x",)))


def test_a_page_that_is_there_is_kept_until_the_new_one_is_whole(small: Database, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("before")
    with pytest.raises(UsageError):
        write_page(small, target, Wishes(("x",)))
    assert target.read_text() == "before"
    made = write_page(small, target, Wishes(audit_seconds=0))
    assert made.bytes == target.stat().st_size and [p.name for p in tmp_path.iterdir()] == ["report.html"]
    for bad in (tmp_path, tmp_path / "no" / "report.html"):
        with pytest.raises(CannotWrite):
            write_page(small, bad, Wishes(audit_seconds=0))
    assert "FILE" not in tol_db(small.path, "report", "page", "-o", tmp_path / "no" / "x", expect=73).stdout


@needs_shared
def test_the_page_of_the_published_corpus(corpus_db: object, tmp_path: Path) -> None:
    db = corpus_db("dev")  # type: ignore[operator]
    plan(db, tmp_path / "out", splits=("val",))
    tol_db(db, "materialize")
    tol_db(db, "report", "page", "-o", tmp_path / "r.html")
    with (SHARED_DATA / "corpora" / "dev" / "manifest.jsonl").open() as lines:
        images = sum(1 for _ in lines)
    read = Reader((tmp_path / "r.html").read_text())
    with closing(sqlite3.connect(db)) as connection:
        (known,) = connection.execute("SELECT count(*) FROM image").fetchone()
    assert f"images {known:,}" in read.text and images >= known
    assert "audits failed 0" in read.text and "shards could not be read" not in read.text


# ------------------------------------------------------------------ the look


def _colours(css: str) -> Iterator[tuple[str, dict[str, str]]]:
    for name, body in (("light", css.split(":root{")[1]), ("dark", css.split(":root[data-theme=dark]{")[1])):
        yield name, dict(re.findall(r"--([\w]+):(#[0-9a-f]{3,6})", body.split("}")[0]))


def _luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_every_text_has_enough_contrast_in_light_and_dark() -> None:
    css = Path(checks_module.__file__).with_name("page.css").read_text()
    themes = dict(_colours(css))
    for name, colour in themes.items():
        for text in ("ink", "soft", "accent", "bad", "good"):
            for ground in ("page", "card"):
                assert contrast(colour[text], colour[ground]) >= 4.5, (name, text, ground)
        assert contrast(colour["ink"], colour["warnbg"]) >= 4.5
        for tile in (f"k{i}" for i in range(8)):
            assert contrast(colour["tileink"], colour[tile]) >= 4.5, (name, tile)
        for mark in ("accent", "second", "good", "warn", "s1", "s2", "s3", "s4", "s5"):
            assert contrast(colour[mark], colour["card"]) >= 3, (name, mark)
    system = css.split("@media (prefers-color-scheme:dark){")[1].split("}")[0]
    assert dict(re.findall(r"--([\w]+):(#[0-9a-f]{3,6})", system)) == themes["dark"], "chosen or not, dark is dark"


def test_axes_have_round_numbers() -> None:
    assert [nice_top(x) for x in (0, 0.3, 1, 1.2, 21, 26, 999)] == [1, 0.5, 1, 2, 25, 50, 1000]
    assert [short(x) for x in (0, 0.25, 950, 1200, 34e6)] == ["0", "0.25", "950", "1.2 k", "34 M"]


def test_the_tree_as_lists_is_what_the_script_unpacks() -> None:
    root = build([leaf("A/b/c/d/e", 5, 2)], 1)
    assert as_lists(root) == ["", [["A", [["b", [["c", [["d", [["e", [5], [2]]]]]]]]]]]]
