"""The documentation as a site: built with warnings as errors, complete, equal to the program, and of no network."""

from __future__ import annotations

import importlib.util
import logging
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from tests.documents import ROOT
from tests.test_house import commands
from tol_db.db.models import Base

REFERENCE = ROOT / "docs" / "reference"


def _loaded(name: str) -> ModuleType:
    """A module of docs/, which is no package."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


diagram = _loaded("diagram")
generated: dict[str, str] = _loaded("generate").pages()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as it is built; a warning fails it."""
    folder = tmp_path_factory.mktemp("site")
    warnings: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(record.getMessage())

    handler = Kept(level=logging.WARNING)
    logging.getLogger("mkdocs").addHandler(handler)
    try:
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
    finally:
        logging.getLogger("mkdocs").removeHandler(handler)
    assert warnings == []
    return folder


def test_every_page_is_built_and_stands_in_the_navigation(site: Path) -> None:
    start = (site / "index.html").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")]
    for page in [*pages, Path("slurm/index.html"), Path("CONTRIBUTING.html"), Path("CHANGELOG.html")]:
        assert (site / page).is_file(), page
        shown = "slurm/index.html" if page.parent.name == "slurm" else page.as_posix()
        assert f'href="{shown}"' in start, page


def test_nothing_is_loaded_from_a_network(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]* src="([^"]+)"', text)
        loaded += re.findall(r'<link[^>]*rel="(?:stylesheet|preconnect|preload|icon)"[^>]*href="([^"]+)"', text)
        assert [url for url in loaded if re.match(r"(https?:)?//", url)] == [], page


def test_no_link_leads_to_a_page_that_is_not_there(site: Path) -> None:
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue
        for link in re.findall(r'href="([^"]+)"', page.read_text(encoding="utf-8")):
            target = link.partition("#")[0]
            if target and not re.match(r"[a-z]+:|//", target):
                assert (page.parent / target).exists(), (page.relative_to(site), link)


@pytest.mark.parametrize("name", sorted(generated))
def test_the_reference_is_what_the_program_says(name: str) -> None:
    committed = (REFERENCE / name).read_text(encoding="utf-8")
    assert committed == generated[name], "run: python docs/generate.py"


def test_the_reference_of_commands_has_every_command_and_option() -> None:
    page = generated["commands.md"]
    for path, command in commands():
        section = page.split(f" tol-db {' '.join(path)}\n", 1)[1].split("\n## ")[0]
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert max(parameter.opts, key=len) in section, (path, parameter.opts)


def test_the_reference_of_the_schema_has_every_table_column_and_view() -> None:
    page = generated["schema.md"]
    for name, table in Base.metadata.tables.items():
        section = page.split(f"### {name}\n", 1)[1].split("\n### ")[0]
        for column in table.columns:
            assert f"| `{column.name}` |" in section, (name, column.name)
    assert "### v_sample" in page


def test_the_diagram_shows_every_table_and_every_key_and_no_table_covers_another() -> None:
    root = ET.fromstring(generated["schema.svg"])
    svg = "{http://www.w3.org/2000/svg}"
    names = {text.text for text in root.iter(f"{svg}text") if text.get("class") == "name"}
    assert names == set(Base.metadata.tables)
    keys = sum(
        len({k.column.table.name for k in c.foreign_keys}) for t in Base.metadata.tables.values() for c in t.columns
    )
    assert len([path for path in root.iter(f"{svg}path") if "line" in path.get("class", "")]) == keys
    places = []
    for group in root.iter(f"{svg}g"):
        box = group.find(f"{svg}rect")
        assert box is not None
        x, y = map(int, re.findall(r"-?\d+", group.get("transform", "")))
        places.append((x, y, int(box.get("width", "0")), int(box.get("height", "0"))))
    for i, (x, y, width, height) in enumerate(places):
        assert min(x, y) >= 0
        for x2, y2, width2, height2 in places[:i]:
            assert x >= x2 + width2 or x2 >= x + width or y >= y2 + height2 or y2 >= y + height


def test_the_diagram_is_drawn_for_tables_that_point_to_each_other() -> None:
    boxes = [
        diagram.Box("a", (diagram.Column("id", True, None), diagram.Column("b_id", False, "b")), 0, 0, "one"),
        diagram.Box("b", (diagram.Column("id", True, None), diagram.Column("a_id", False, "a")), 2, 0, "one"),
        diagram.Box(
            "c", (diagram.Column("parent", False, "c"), diagram.Column("x", False, "nowhere")), 0, 1, "<two>"
        ),
    ]
    drawn = diagram.diagram(boxes)
    assert ET.fromstring(drawn) is not None
    assert drawn.count('class="line') == 3
    assert drawn == diagram.diagram(boxes)
