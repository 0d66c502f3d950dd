"""The report page in a real browser: drawn, quiet, readable in every light and on a phone, deaf to odd names."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests import browser
from tests.running import plan, tol_db
from tol_db.report.page.squarify import Box, squarify

pytestmark = pytest.mark.browser

SCRIPT = "<script>document.title='owned'</script>"
IMAGE = "\"><img src=x onerror=document.title='owned'>"
END = "</script><b>bold"


@pytest.fixture(scope="module")
def page(_demo_ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a dataset that was really written, with names that want to be scripts."""
    folder = tmp_path_factory.mktemp("page")
    db = folder / "tol.sqlite"
    db.write_bytes(_demo_ingested.read_bytes())
    with closing(sqlite3.connect(db)) as connection, connection:
        most = """SELECT l.id FROM label l JOIN image i ON i.label_id = l.id
                  WHERE l.species <> '' GROUP BY 1 ORDER BY count(*) DESC"""
        ids = [row[0] for row in connection.execute(most)]
        for id, name in zip(ids, (SCRIPT, IMAGE, END), strict=False):
            connection.execute("UPDATE label SET species = ?, family = ? WHERE id = ?", (name, name, id))
        connection.execute("UPDATE licence SET name = ? WHERE id = 1", (SCRIPT,))
    plan(db, folder / "out", "clean", "--shard-images", 30)
    tol_db(db, "materialize")
    tol_db(db, "report", "page", "-o", folder / "report.html", "--samples", 3)
    return folder / "report.html"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    if missing := browser.what_is_missing():
        pytest.skip(missing)
    with browser.running(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [browser.DESK, browser.PHONE])
def test_the_page_opens_without_a_complaint_and_fetches_nothing(
    window: browser.Browser, page: Path, size: tuple[int, int], scheme: str
) -> None:
    window.complaints()
    window.open(page, size, scheme)
    assert window.complaints() == []
    fetched = window.ask("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in fetched if not name.startswith("data:")] == []


def test_names_that_look_like_scripts_are_shown_as_text_and_do_nothing(window: browser.Browser, page: Path) -> None:
    window.open(page)
    window.ask("for (const each of document.querySelectorAll('details')) each.open = true")
    assert window.ask("return document.title") == "tol.sqlite: report"
    shown = window.ask("return document.body.innerText")
    for name in (SCRIPT, IMAGE, END):
        assert name in shown
    assert len(window.find("script")) == 2, "the page's own, and its data"
    assert window.find("img[onerror]") == []


def test_an_injected_script_would_not_run(window: browser.Browser, page: Path) -> None:
    window.open(page)
    window.ask(
        "const s = document.createElement('script'); s.textContent = 'document.title = 1'; document.body.append(s)"
    )
    assert window.ask("return document.title") == "tol.sqlite: report"
    assert any("Content Security Policy" in told for told in window.complaints())


def test_every_plot_is_drawn_and_every_picture_is_shown(window: browser.Browser, page: Path) -> None:
    window.open(page)
    for section in ("throughput", "tail", "originals"):
        sizes = window.ask(
            """return [...document.querySelectorAll(arguments[0])].map(e => e.getBBox())
                 .map(box => Math.max(box.width, box.height))""",
            f"#{section} > figure .plot svg :is(rect, path)",
        )
        assert sizes and all(size > 0 for size in sizes), section
    for section in ("outcomes", "licences"):
        assert all(bar.size["width"] > 0 for bar in window.find(f"#{section} .bar")), section
    widths = window.ask("return [...document.images].map(i => i.complete ? i.naturalWidth : 0)")
    assert len(widths) >= 6 and all(width > 0 for width in widths)


def test_the_treemap_is_walked_through_by_mouse_and_keyboard(window: browser.Browser, page: Path) -> None:
    window.open(page)
    place = "#treemap-crumbs [aria-current]"
    names = [tile.get_attribute("aria-label") for tile in window.find("#treemap > button")]
    assert [name.split(":")[0] for name in names] == ["Animalia", "Plantae", "Fungi"]
    window.one("#treemap > button").click()
    assert window.one(place).text.startswith("Animalia: ")
    window.ask("document.querySelector('#treemap-table').parentElement.open = true")
    window.settle()
    assert "Chordata" in [cell.text for cell in window.find("#treemap-table tbody th")]
    focused = window.driver.switch_to.active_element
    assert "look into it" in focused.get_attribute("aria-label")
    focused.send_keys("\ue007")  # Enter: a button is one for the keyboard, too
    deeper = window.one(place).text
    assert not deeper.startswith(("Animalia", "all"))
    window.driver.switch_to.active_element.send_keys("\ue00c")  # Escape
    assert window.one(place).text.startswith("Animalia: ")
    window.one("#treemap-crumbs button").click()
    assert window.one(place).text.startswith("all: ")


def test_the_treemap_shows_taxa_and_single_splits(window: browser.Browser, page: Path) -> None:
    window.open(page)
    before = window.one("#treemap-crumbs [aria-current]").text
    window.one("#treemap-by option[value=taxa]").click()
    assert re.fullmatch(r"all: \d+ taxa", window.one("#treemap-crumbs [aria-current]").text)
    window.one("#treemap-by option[value=images]").click()
    (val,) = [o for o in window.find("#treemap-scope option") if o.text.endswith("/ val")]
    val.click()
    after = window.one("#treemap-crumbs [aria-current]").text
    assert int(after.split()[1]) < int(before.split()[1])


def test_the_script_lays_out_what_python_lays_out(window: browser.Browser, page: Path) -> None:
    window.open(page)
    measured = window.ask(
        """const map = document.getElementById('treemap').getBoundingClientRect();
           return [map.width, map.height, [...document.querySelectorAll('#treemap > button')].map(tile => {
             const n = Number(tile.getAttribute('aria-label').match(/: ([0-9,]+) /)[1].replaceAll(',', ''));
             return [n, ...['left', 'top', 'width', 'height'].map(k => parseFloat(tile.style[k]))]; })]"""
    )
    width, height, tiles = measured
    boxes = squarify([tile[0] for tile in tiles], Box(0, 0, width, height))
    assert len(boxes) == 3
    for box, (_, *place) in zip(boxes, tiles, strict=True):
        wanted = (box.x / width, box.y / height, box.width / width, box.height / height)
        assert place == pytest.approx([100 * part for part in wanted], abs=0.01)


def test_on_a_phone_nothing_is_cut_off_and_no_text_is_tiny(window: browser.Browser, page: Path) -> None:
    window.open(page, browser.PHONE)
    assert window.ask("return document.documentElement.scrollWidth") <= browser.PHONE[0]
    out = window.ask(
        """return [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, .treemap, nav')
             && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
    )
    assert out == []
    smallest = window.ask(
        """return Math.min(...[...document.querySelectorAll('main *')].filter(e => e.innerText && e.offsetWidth)
             .map(e => parseFloat(getComputedStyle(e).fontSize)))"""
    )
    assert smallest >= 11.5


def test_the_theme_follows_the_system_until_one_is_chosen(window: browser.Browser, page: Path) -> None:
    def background() -> str:
        return str(window.ask("return getComputedStyle(document.body).backgroundColor"))

    window.open(page, scheme="light")
    light = background()
    window.open(page, scheme="dark")
    dark = background()
    assert sum(map(int, re.findall(r"\d+", light)[:3])) > 600 > 200 > sum(map(int, re.findall(r"\d+", dark)[:3]))
    window.one("#theme").click()
    assert (window.one("#theme").text, background()) == ("Theme: light", light)
    window.open(page, scheme="dark")
    assert background() == light, "remembered"
    window.one("#theme").click()
    window.one("#theme").click()
    assert (window.one("#theme").text, background()) == ("Theme: auto", dark)


def test_it_prints(window: browser.Browser, page: Path) -> None:
    window.open(page, scheme="dark")
    paper = window.printed()
    assert paper.startswith(b"%PDF-") and paper.count(b"/Type /Page\n") >= 2
