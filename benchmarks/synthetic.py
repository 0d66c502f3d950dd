"""Metadata of the published shape and any size, without a single image: what a database costs at 10 million rows.

The shape is that of TreeOfLife-10M: 62 % EOL in 63 archives, 27 % iNat21 in 10,000 classes, 11 % BIOSCAN in 113
parts; at full size 454,000 EOL pages with names, 15,983 blacklisted images. One page in twenty has no entry among
the names: of 10.4 million published rows 10.07 million are in the set, and what is missing are images of EOL.
Seeded: the same arguments make the same ids, keys and names (the split is drawn by SQLite's random()).
"""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ARCHIVES, CLASSES, PARTS = 63, 10_000, 113
EOL_SHARE, INAT_SHARE = 0.62, 0.27  # the rest is BIOSCAN
NAMES = 454_000
NAMELESS = 20
"""One EOL page in so many has no entry in the lookup: its images have no label."""
BLACKLISTED = 15_983
FULL_SIZE = 10_000_000

LICENCE_COLUMNS = (
    *("treeoflife_id", "eol_content_id", "eol_page_id", "md5", "medium_source_url", "eol_full_size_copy_url"),
    *("license_name", "copyright_owner", "license_link", "title"),
)
_SYLLABLES = [
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "la",
    "me",
    "ni",
    "po",
    "ru",
    "sa",
    "te",
    "vi",
    "xo",
    "zu",
    "ar",
    "el",
    "is",
]
_CHUNK = 100_000

SCHEMA = """
CREATE TABLE eol (content_id INT, page_id INT, evobio10m_id TEXT PRIMARY KEY);
CREATE TABLE inat21 (filename TEXT, cls_name TEXT, cls_num INT, evobio10m_id TEXT PRIMARY KEY);
CREATE TABLE bioscan (part INT, filename TEXT, evobio10m_id TEXT PRIMARY KEY);
CREATE TABLE split (evobio10m_id TEXT PRIMARY KEY, is_val INT, is_train_small INT);
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many images each source has."""

    eol: int
    inat21: int
    bioscan: int

    @property
    def images(self) -> int:
        return self.eol + self.inat21 + self.bioscan

    @classmethod
    def of(cls, images: int) -> Sizes:
        eol, inat21 = round(images * EOL_SHARE), round(images * INAT_SHARE)
        return cls(eol, inat21, images - eol - inat21)


@dataclass(frozen=True, slots=True)
class SyntheticTree:
    """Where the files lie.

    Attributes:
        root: a TreeOfLife-10M tree: metadata only.
        seen, unseen: the rare-species lists.
    """

    root: Path
    sizes: Sizes
    mapping: Path
    licences: Path
    seen: Path
    unseen: Path


def make(folder: Path, images: int, seed: int = 17) -> SyntheticTree:
    """Write the metadata of a tree with ``images`` image rows."""
    sizes = Sizes.of(images)
    root = folder / "TreeOfLife-10M"
    naming = root / "metadata" / "naming"
    naming.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    pages = max(2, round(NAMES * NAMELESS / (NAMELESS - 1) * min(1.0, images / FULL_SIZE)))
    # a few pages have thousands of images, most have one or two
    page_of = np.minimum(draw.pareto(0.8, sizes.eol) * 0.05, 1.0)
    page_at = draw.permutation(pages) + 1
    page_ids = page_at[(page_of * (pages - 1)).astype(np.int64)].astype(np.int64)
    page_ids[: min(pages, sizes.eol)] = np.arange(1, min(pages, sizes.eol) + 1)
    # by their place in the order of sizes, but for the largest: then a share of the pages is that of the images
    nameless = frozenset(page_at[NAMELESS // 2 : pages - 1 : NAMELESS].tolist())
    tree = SyntheticTree(
        root,
        sizes,
        root / "metadata" / "mapping.sqlite",
        root / "metadata" / "licenses.csv",
        folder / "seen_in_training.json",
        folder / "unseen_in_training.json",
    )
    _write_mapping(tree, draw, page_ids)
    _write_names(naming, tree, [n for n in range(1, pages + 1) if n not in nameless])
    _write_licences(tree)
    _write_blacklists(tree, page_ids, min(BLACKLISTED, sizes.eol // 4))
    return tree


def _uuids(draw: np.random.Generator, count: int) -> Iterator[str]:
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        text = draw.bytes(16 * size).hex()
        for at in range(0, 32 * size, 32):
            h = text[at : at + 32]
            yield f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:]}"


def _write_mapping(tree: SyntheticTree, draw: np.random.Generator, page_ids: np.ndarray) -> None:
    with closing(sqlite3.connect(tree.mapping)) as db:
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA)
        sizes = tree.sizes
        pages = page_ids.tolist()
        db.executemany(
            "INSERT INTO eol VALUES (?, ?, ?)",
            zip(range(1, sizes.eol + 1), pages, _uuids(draw, sizes.eol), strict=True),
        )
        classes = [class_name(number) for number in range(CLASSES)]
        db.executemany(
            "INSERT INTO inat21 VALUES (?, ?, ?, ?)",
            (
                (f"{n:08x}-{n % 977:04x}.jpg", classes[n % CLASSES], n % CLASSES, id)
                for n, id in enumerate(_uuids(draw, sizes.inat21))
            ),
        )
        db.executemany(
            "INSERT INTO bioscan VALUES (?, ?, ?)",
            (
                (n * PARTS // sizes.bioscan + 1, f"BIOUG{n:08d}.jpg", id)
                for n, id in enumerate(_uuids(draw, sizes.bioscan))
            ),
        )
        # the published policy: 5 % val, then a tenth of the rest is train_small
        db.execute(
            """INSERT INTO split SELECT id, abs(h) % 20 = 0, abs(h) % 20 <> 0 AND abs(h / 20) % 10 = 0
               FROM (SELECT evobio10m_id AS id, random() AS h FROM eol UNION ALL
                     SELECT evobio10m_id, random() FROM inat21 UNION ALL
                     SELECT evobio10m_id, random() FROM bioscan)"""
        )
        db.commit()


def _word(number: int) -> str:
    """A word that no other number has."""
    word = ""
    number += len(_SYLLABLES)
    while number:
        number, syllable = divmod(number, len(_SYLLABLES))
        word += _SYLLABLES[syllable]
    return word


def lineage(number: int) -> list[str]:
    """The seven ranks of name ``number``; one in six lacks some, as in the published set."""
    ranks = [
        ("Animalia", "Plantae", "Fungi")[number % 3],
        _word(number % 60).capitalize(),
        _word(number % 290).capitalize(),
        _word(number % 1_500).capitalize(),
        _word(number % 11_000).capitalize(),
        _word(number % 110_000).capitalize(),
        _word(number),
    ]
    if number % 6 == 0:
        ranks[2:5] = ["", "", ""]
    return ranks


def class_name(number: int) -> str:
    return "_".join(lineage(6 * number + 1))


def _write_names(naming: Path, tree: SyntheticTree, pages: Sequence[int]) -> None:
    def entry(number: int) -> str:
        common = f"common {_word(number)}" if number % 3 else ""
        return json.dumps([lineage(number), common, number])

    _write_json(naming / "eol_name_lookup.json", ((str(n), entry(n)) for n in pages))
    _write_json(naming / "inat21_name_lookup.json", ((str(n), entry(6 * n + 1)) for n in range(CLASSES)))
    with closing(sqlite3.connect(tree.mapping)) as db:
        ids = db.execute("SELECT rowid, evobio10m_id FROM bioscan NOT INDEXED")
        _write_json(naming / "bioscan_name_lookup.json", ((id, entry(6 * (n % 8_355) + 2)) for n, id in ids))


def _write_json(path: Path, entries: Iterator[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("{")
        for number, (key, value) in enumerate(entries):
            file.write(f'{"," if number else ""}\n"{key}": {value}')
        file.write("}\n")


def _write_licences(tree: SyntheticTree) -> None:
    licences = [("cc-by-nc-4.0", "https://creativecommons.org/licenses/by-nc/4.0/"), ("cc-by-4.0", "https://x.org/by"),
                ("No known copyright restrictions", ""), ("cc-by-sa-3.0", "https://x.org/by-sa")]  # fmt: skip
    with (
        closing(sqlite3.connect(tree.mapping)) as db,
        tree.licences.open("w", encoding="utf-8", newline="") as file,
    ):
        out = csv.writer(file)
        out.writerow(LICENCE_COLUMNS)
        rows = db.execute("SELECT evobio10m_id, content_id, page_id FROM eol NOT INDEXED")
        for id, content, page in rows:
            name, link = licences[content % 4]
            out.writerow(
                (
                    *(
                        id,
                        content,
                        page,
                        f"{content:032x}",
                        f"https://live.example.org/photos/{content}/medium.jpg",
                    ),
                    f"https://content.example.org/data/media/{content:x}/{page}.jpg",
                    *(name, f"Owner {content % 60_000}", link, f"Photo {content % 9973}"),
                )
            )


def _write_blacklists(tree: SyntheticTree, page_ids: np.ndarray, images: int) -> None:
    """400 species that stay out as a whole, with the rest of the images; and a quarter of them of others."""
    step = max(1, tree.sizes.eol // images)
    names = [
        f"{content}_{page_ids[content - 1]}_eol-full-size-copy.jpg" for content in range(1, images * step + 1, step)
    ]
    seen, unseen = names[: images // 4], names[images // 4 : images]
    tree.seen.write_text(json.dumps({"Genus species": [f"x/{name}" for name in seen]}))
    groups = {"-".join(lineage(6 * n + 5)): unseen[n::400] for n in range(min(400, len(unseen)))}
    tree.unseen.write_text(json.dumps(groups))


def pretend_scanned(database: Path) -> None:
    """Give every image a place in a container, as a scan of the images (which do not exist) would have."""
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.executescript(
            f"""
            BEGIN;
            UPDATE source SET root = '/nowhere' WHERE key IN ('eol', 'inat21', 'bioscan');
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ARCHIVES})
            INSERT INTO container (source_id, kind, path, state, members, bytes, mtime_ns, scanned_at)
            SELECT s.id, 'tar_gz', printf('image_set_%02d.tar.gz', i), 'scanned', 0, 0, 0, '2026-01-01T00:00:00Z'
            FROM n, source s WHERE s.key = 'eol';
            CREATE TEMP TABLE place AS
            SELECT i.id, row_number() OVER (ORDER BY i.id) - 1 AS r, count(*) OVER () AS whole
            FROM image i JOIN source s ON s.id = i.source_id WHERE s.key = 'eol';
            UPDATE image SET container_id = (SELECT min(id) FROM container WHERE path LIKE 'image_set%')
                                            + p.r * {ARCHIVES} / p.whole,
                             member_index = p.r, data_offset = p.r * 300000, bytes = 290000
            FROM temp.place p WHERE p.id = image.id;
            UPDATE image SET member_index = id % 10000, bytes = 60000
            WHERE member_index IS NULL AND container_id IS NOT NULL;
            CREATE TEMP TABLE held AS SELECT container_id AS id, count(*) AS members FROM image GROUP BY 1;
            UPDATE container SET state = 'scanned', scanned_at = '2026-01-01T00:00:00Z',
                   members = coalesce((SELECT members FROM temp.held h WHERE h.id = container.id), 0);
            COMMIT;
            """
        )
