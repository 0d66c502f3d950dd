"""The treemap as a figure: SVG, PNG and PDF of the same rectangles, the same bytes each time."""

from __future__ import annotations

import io
import re
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from tests.populated import populated
from tests.running import tol_db
from tol_db.db.engine import Database
from tol_db.errors import TolDbError, UsageError
from tol_db.report.page.treemap_file import COLOURS, Figure, fitted, write_treemap

SVG = "{http://www.w3.org/2000/svg}"
ODD = "A & <b> $x^2$ \u202e ő"


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Database:
    found = populated(tmp_path_factory.mktemp("treemap") / "tol.sqlite")
    with found.write() as conn:
        conn.exec_driver_sql("UPDATE label SET family = ? WHERE family = 'Paridae'", (ODD,))
    return found


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_same_counts_give_the_same_bytes(db: Database, tmp_path: Path, kind: str) -> None:
    made = [write_treemap(db, tmp_path / f"{n}.{kind}", Figure(dpi=100)) for n in (1, 2)]
    first, second = (file.path.read_bytes() for file in made)
    assert first == second and len(first) == made[0].bytes
    assert made[0].total == 39, "all but the one without a label"
    assert re.search(rb"20\d\d-\d\d-\d\d|D:20\d\d", first) is None, "no date"


def test_an_svg_is_xml_whose_areas_are_to_each_other_as_the_counts(db: Database, tmp_path: Path) -> None:
    write_treemap(db, tmp_path / "t.svg", Figure(width=200, height=100))
    root = ElementTree.fromstring((tmp_path / "t.svg").read_bytes())
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("200mm", "100mm", "0 0 200 100")
    kingdoms = []
    for rect in root.iter(f"{SVG}rect"):
        title = rect.findtext(f"{SVG}title") or ""
        if " > " not in title:
            area = float(rect.get("width", 0)) * float(rect.get("height", 0))
            kingdoms.append((int(re.findall(r": (\d+) images", title)[0]), area))
    assert sum(images for images, _ in kingdoms) == 39
    for images, area in kingdoms:
        assert area == pytest.approx(20_000 * images / 39, rel=1e-3)
    assert all(a[0] >= b[0] for a, b in pairwise(kingdoms))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "Animalia" in texts and "A & <b> $x^2$ \ufffd ő" in texts
    # its own name space is the only address in it
    assert re.findall(r"https?://[^\"]+", (tmp_path / "t.svg").read_text()) == ["http://www.w3.org/2000/svg"]


def test_a_png_has_the_size_that_was_asked_for_and_the_colours_of_kingdoms(db: Database, tmp_path: Path) -> None:
    write_treemap(db, tmp_path / "t.PNG", Figure(width=101.6, height=50.8, dpi=100))
    with Image.open(io.BytesIO((tmp_path / "t.PNG").read_bytes())) as image:
        assert image.size == (400, 200)
        seen = {"#{:02x}{:02x}{:02x}".format(*pixel) for _, pixel in image.convert("RGB").getcolors(1 << 20)}
    assert {COLOURS[0], COLOURS[1]} <= seen


def test_a_figure_by_taxa_and_of_one_split(db: Database, tmp_path: Path) -> None:
    taxa = write_treemap(db, tmp_path / "t.svg", Figure(by="taxa"))
    assert (taxa.total, taxa.of) == (7, "all images")
    split = write_treemap(db, tmp_path / "s.svg", Figure(dataset="tol", split="train"))
    assert (split.total, split.of) == (27, "tol / train")


@pytest.mark.parametrize(
    ("name", "figure", "message"),
    [
        ("t.jpg", Figure(), "a treemap is .svg, .png or .pdf"),
        ("t", Figure(), "a treemap is .svg, .png or .pdf"),
        ("t.svg", Figure(split="train"), "--split is of a dataset"),
        ("t.svg", Figure(dataset="tol"), "which split?"),
        ("t.svg", Figure(dataset="tol", split="x"), "dataset 'tol' has no split 'x'"),
        ("t.svg", Figure(dataset="x", split="train"), "no dataset 'x'"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    db: Database, tmp_path: Path, name: str, figure: Figure, message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        write_treemap(db, tmp_path / name, figure)
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_a_png_is_refused_with_the_remedy_and_an_svg_is_written(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    with pytest.raises(TolDbError) as caught:
        write_treemap(db, tmp_path / "t.png")
    assert "tol-db[plots]" in str(caught.value.hint)
    assert write_treemap(db, tmp_path / "t.svg").bytes > 0


def test_the_command_says_what_it_drew(db: Database, tmp_path: Path) -> None:
    done = tol_db(db.path, "report", "treemap", "-o", tmp_path / "t.svg")
    assert done.stdout.endswith("t.svg: all images, 39 images\n")
    assert (
        "splits: train"
        in tol_db(
            *(db.path, "report", "treemap", "-o", tmp_path / "t.svg", "--dataset", "tol", "--split", "x"), expect=2
        ).stderr
    )


def test_names_are_cut_to_their_room() -> None:
    assert fitted("Papilionidae", 7.0, 100) == "Papilionidae"
    assert fitted("Papilionidae", 7.0, 10) == "Papili…"
    assert fitted("Papilionidae", 7.0, 3) == ""
