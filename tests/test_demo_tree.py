"""The demo tree: the published layout, the same bytes from the same seed, and what is planted."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import sqlite3
import tarfile
import uuid
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, UnidentifiedImageError

from tol_db.demo_taxa import SPECIES
from tol_db.demo_tree import FEWEST_IMAGES, SEEN, UNSEEN, DemoTree, make_demo_tree
from tol_db.errors import CannotWrite, NameTaken, UsageError

RARE_PATH = re.compile(r"(\d+)_(\d+)_eol-full-size-copy\.jpg")
SOURCES = ("eol", "inat21", "bioscan")


@dataclass(frozen=True)
class Demo:
    """A tree, its rows by table and its image files by path relative to the tree."""

    made: DemoTree
    rows: dict[str, list[tuple[Any, ...]]]
    files: dict[str, bytes]

    def lookup(self, source: str) -> dict[str, Any]:
        path = self.made.tree / "metadata" / "naming" / f"{source}_name_lookup.json"
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def only(self, kind: str) -> str:
        (where,) = self.made.planted[kind]
        return where


def _rows(made: DemoTree) -> dict[str, list[tuple[Any, ...]]]:
    path = made.tree / "metadata" / "mapping.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as database:
        return {table: database.execute(f"SELECT * FROM {table}").fetchall() for table in (*SOURCES, "split")}


def _images(made: DemoTree) -> dict[str, bytes]:
    found = {}
    for path in sorted((made.tree / "dataset").rglob("*")):
        where = path.relative_to(made.tree).as_posix()
        if path.name.endswith(".tar.gz"):
            with tarfile.open(path) as archive:
                for member in archive:
                    stream = archive.extractfile(member)
                    assert stream is not None
                    found[f"{where}/{member.name}"] = stream.read()
        elif path.suffix == ".jpg":
            found[where] = path.read_bytes()
    return found


def _on_disk(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    made = make_demo_tree(tmp_path_factory.mktemp("demo") / "tree", images=60)
    return Demo(made, _rows(made), _images(made))


def test_the_layout_is_the_published_one(demo: Demo) -> None:
    root = demo.made.root
    fixed = {path for path in _on_disk(root) if not path.endswith(".jpg")}
    assert fixed == {
        "README.txt",
        "demo.json",
        "rarespecies/seen_in_training.json",
        "rarespecies/unseen_in_training.json",
        "TreeOfLife-10M/dataset/bioscan/part1/.DS_Store",
        "TreeOfLife-10M/dataset/eol/image_set_01.tar.gz",
        "TreeOfLife-10M/dataset/eol/image_set_02.tar.gz",
        "TreeOfLife-10M/metadata/licenses.csv",
        "TreeOfLife-10M/metadata/mapping.sqlite",
        *(f"TreeOfLife-10M/metadata/naming/{source}_name_lookup.json" for source in SOURCES),
    }
    forms = (
        r"dataset/eol/image_set_0[12]\.tar\.gz/[0-9a-f-]{36}\.jpg",
        r"dataset/inat21/train/\d{5}(_[A-Z][a-z]+){6}_[a-z-]+/[0-9a-f-]{36}\.jpg",
        r"dataset/bioscan/part[12]/BIOUG\d{5}-[A-H]\d\d\.jpg",
    )
    counts = Counter(next(i for i, form in enumerate(forms) if re.fullmatch(form, path)) for path in demo.files)
    made = demo.made
    assert [counts[i] for i in range(3)] == [made.eol, made.inat21, made.bioscan]
    assert made.images == len(demo.files) == made.eol + made.inat21 + made.bioscan
    assert len({path.rpartition("/")[0] for path in demo.files}) == 2 + 6 + 2
    assert "nothing here is a photograph" in (root / "README.txt").read_text()


def test_ids_are_uuids_of_version_4(demo: Demo) -> None:
    ids = [row[-1] for source in SOURCES for row in demo.rows[source]]
    assert len(ids) == len(set(ids))
    assert all(str(uuid.UUID(key)) == key and uuid.UUID(key).version == 4 for key in ids)


def test_rows_and_files_differ_only_by_what_was_planted(demo: Demo) -> None:
    made = demo.made
    eol = {Path(path).stem for path in demo.files if "/eol/" in path}
    rows = {key for _, _, key in demo.rows["eol"]}
    assert rows - eol == {demo.only("no_file")}
    assert eol - rows == {Path(demo.only("no_row")).stem}
    classes = {f"dataset/inat21/train/{number:05d}_{name}/{file}" for file, name, number, _ in demo.rows["inat21"]}
    assert classes == {path for path in demo.files if "/inat21/" in path}
    parts = {f"dataset/bioscan/part{part}/{file}" for part, file, _ in demo.rows["bioscan"]}
    assert parts == {path for path in demo.files if "/bioscan/" in path}
    assert made.mapped == sum(len(demo.rows[source]) for source in SOURCES) == made.images


def test_splits_cover_the_mapping_and_keep_val_apart_from_train_small(demo: Demo) -> None:
    splits = demo.rows["split"]
    assert {row[0] for row in splits} == {row[-1] for source in SOURCES for row in demo.rows[source]}
    assert {row[1:] for row in splits} == {(0, 0), (1, 0), (0, 1)}
    assert sum(row[1] for row in splits) == demo.made.val >= 5
    assert sum(row[2] for row in splits) == demo.made.train_small >= 5


def test_lookups_name_every_row_but_the_page_without_a_name(demo: Demo) -> None:
    eol, inat21, bioscan = (demo.lookup(source) for source in SOURCES)
    nameless = Path(demo.only("no_name")).stem
    assert [key for _, page, key in demo.rows["eol"] if str(page) not in eol] == [nameless]
    assert {str(number) for _, _, number, _ in demo.rows["inat21"]} == set(inat21)
    assert {key for _, _, key in demo.rows["bioscan"]} == set(bioscan)
    entries = [*eol.values(), *inat21.values(), *bioscan.values()]
    assert all(len(lineage) == 7 for lineage, *_ in entries)
    assert all(common for _, common, _ in [*eol.values(), *inat21.values()])
    assert all("_".join(inat21[str(n)][0]) == name for _, name, n, _ in demo.rows["inat21"])


def test_raw_labels_come_in_the_spellings_of_the_real_lookup(tmp_path: Path) -> None:
    made = make_demo_tree(tmp_path / "tree", images=100)
    lookup = json.loads((made.tree / "metadata" / "naming" / "eol_name_lookup.json").read_text(encoding="utf-8"))
    lineages = [tuple(lineage) for lineage, *_ in lookup.values()]
    assert len(SPECIES) >= made.taxa >= 30
    assert any(lineage[0] == "Metazoa" for lineage in lineages)
    assert any("<i>" in lineage[6] for lineage in lineages)
    assert any(re.search(r", \d{4}", lineage[6]) for lineage in lineages)
    assert any(lineage[5] and lineage[6].startswith(f"{lineage[5]} ") for lineage in lineages)
    assert any("" in lineage[1:5] for lineage in lineages)
    for genus in ("Oenanthe", "Prunella"):
        assert {lineage[0] for lineage in lineages if lineage[5] == genus} == {"Animalia", "Plantae"}


def test_every_taxon_has_seven_names_an_english_name_and_its_own_binomial() -> None:
    assert 30 <= len(SPECIES) <= 40
    assert len({taxon.scientific for taxon in SPECIES}) == len(SPECIES)
    assert all(len(taxon.lineage) == 7 and all(taxon.lineage) and taxon.common for taxon in SPECIES)
    assert {taxon.lineage[0] for taxon in SPECIES} == {"Animalia", "Fungi", "Plantae"}


def test_every_image_opens_but_the_broken_ones(demo: Demo) -> None:
    broken = {demo.only("truncated"), demo.only("empty")}
    for path, data in demo.files.items():
        if path not in broken:
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                assert 190 <= min(image.size) <= max(image.size) <= 700, path
    with Image.open(io.BytesIO(demo.files[demo.only("truncated")])) as image, pytest.raises(OSError):
        image.load()
    assert demo.files[demo.only("empty")] == b""
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(b""))


def test_odd_pixel_formats_are_what_they_are_called(demo: Demo) -> None:
    def opened(path: str) -> Image.Image:
        return Image.open(io.BytesIO(demo.files[path]))

    assert [opened(path).mode for path in demo.made.planted["gray"]] == ["L", "L", "L"]
    for kind, mode in (("rgba_png", "RGBA"), ("palette_png", "P")):
        image = opened(demo.only(kind))
        assert (image.format, image.mode) == ("PNG", mode)
    assert [opened(path).getexif()[0x0112] for path in demo.made.planted["exif"]] == [6, 6]
    assert opened(demo.only("comment")).info["comment"] == b"drawn by tol-db demo"
    odd = {path for paths in demo.made.planted.values() for path in paths}
    plain = [opened(path) for path in demo.files if path not in odd]
    assert {(image.format, image.mode) for image in plain} == {("JPEG", "RGB")}
    assert (demo.made.tree / demo.only("stray")).is_file()


def test_licences_cover_the_eol_rows_that_have_a_file(demo: Demo) -> None:
    with (demo.made.tree / "metadata" / "licenses.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("treeoflife_id", "eol_content_id", "eol_page_id", "md5", "medium_source_url"),
        *("eol_full_size_copy_url", "license_name", "copyright_owner", "license_link", "title"),
    ]
    md5 = {Path(path).stem: hashlib.md5(data).hexdigest() for path, data in demo.files.items()}
    told = {(int(row["eol_content_id"]), int(row["eol_page_id"]), row["treeoflife_id"]) for row in rows}
    assert told == {row for row in demo.rows["eol"] if row[2] != demo.only("no_file")}
    assert all(row["md5"] == md5[row["treeoflife_id"]] for row in rows)
    assert {row["copyright_owner"] for row in rows} == {"tol-db demo", "not provided"}


def test_rare_lists_name_images_that_exist(demo: Demo) -> None:
    made = demo.made
    seen, unseen = (json.loads(path.read_text()) for path in (made.rare_seen, made.rare_unseen))
    rows = {(content, page): key for content, page, key in demo.rows["eol"]}
    members = {Path(path).stem for path in demo.files}
    for listed in (seen, unseen):
        for path in (path for paths in listed.values() for path in paths):
            found = RARE_PATH.fullmatch(Path(path).name)
            assert found is not None
            assert rows[int(found[1]), int(found[2])] in members
    assert set(seen) == set(SEEN)
    assert {" ".join(key.split("-")[-2:]) for key in unseen} == set(UNSEEN)
    assert all(key.count("-") == 6 and all(key.split("-")) for key in unseen)
    assert sum(map(len, seen.values())) == made.held_out


def test_seen_species_keep_some_images_and_unseen_ones_are_listed_whole(demo: Demo) -> None:
    lookup = demo.lookup("eol")
    pages = {page: lookup[str(page)][0] for _, page, _ in demo.rows["eol"] if str(page) in lookup}
    images = Counter(page for _, page, _ in demo.rows["eol"])
    for path, complete in ((demo.made.rare_seen, False), (demo.made.rare_unseen, True)):
        for paths in json.loads(path.read_text()).values():
            (page,) = {int(Path(path).name.split("_")[1]) for path in paths}
            assert (len(paths) == images[page]) is complete, pages[page]
    in_inat21 = [row for row in demo.rows["inat21"] if row[1].endswith("_" + UNSEEN[0].replace(" ", "_"))]
    listed = sum(map(len, json.loads(demo.made.rare_unseen.read_text()).values()))
    assert in_inat21 and demo.made.unseen == listed + len(in_inat21)


def test_the_same_parameters_write_the_same_bytes(demo: Demo, tmp_path: Path) -> None:
    steps: list[None] = []
    again = make_demo_tree(tmp_path / "tree", images=demo.made.images, on_image=lambda: steps.append(None))
    assert _on_disk(again.root) == _on_disk(demo.made.root)
    assert len(steps) == again.images


def test_another_seed_draws_another_tree_and_the_smallest_has_everything(demo: Demo, tmp_path: Path) -> None:
    other = make_demo_tree(tmp_path / "tree", images=FEWEST_IMAGES, seed=18)
    files = _images(other)
    assert len(files) == other.images == FEWEST_IMAGES
    assert not set(files) & set(demo.files)
    assert {kind: len(paths) for kind, paths in other.planted.items()} == {
        kind: len(paths) for kind, paths in demo.made.planted.items()
    }


def test_a_whole_tree_is_left_as_it_is(demo: Demo) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo.made.root.rglob("*")}

    def never() -> None:
        raise AssertionError("an image was written")

    again = make_demo_tree(demo.made.root, images=demo.made.images, on_image=never)
    assert again == demo.made
    assert {path: path.stat().st_mtime_ns for path in demo.made.root.rglob("*")} == before


def test_an_interrupted_tree_is_written_again(demo: Demo, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    steps = iter(range(10))

    def stop() -> None:
        if next(steps) == 9:
            raise Stopped

    root = tmp_path / "tree"
    with pytest.raises(Stopped):
        make_demo_tree(root, images=demo.made.images, on_image=stop)
    assert not (root / "demo.json").exists()
    make_demo_tree(root, images=demo.made.images)
    (root / "TreeOfLife-10M" / "metadata" / "mapping.sqlite").unlink()
    make_demo_tree(root, images=demo.made.images)
    assert _on_disk(root) == _on_disk(demo.made.root)


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(NameTaken) as refused:
        make_demo_tree(tmp_path)
    assert refused.value.hint
    (tmp_path / "demo.json").write_text("[]")
    with pytest.raises(NameTaken):
        make_demo_tree(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.json", "notes.txt"]


def test_a_demo_tree_of_other_parameters_is_refused(demo: Demo) -> None:
    for seed, images in ((18, demo.made.images), (17, demo.made.images + 1)):
        with pytest.raises(NameTaken, match="seed and size"):
            make_demo_tree(demo.made.root, seed=seed, images=images)


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NameTaken):
        make_demo_tree(tmp_path / "file")
    with pytest.raises(CannotWrite):
        make_demo_tree(tmp_path / "file" / "tree")


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 50"):
        make_demo_tree(tmp_path / "tree", images=FEWEST_IMAGES - 1)
    assert not (tmp_path / "tree").exists()
