"""What users have lying about when they enter the commands of the documents: taxonomies, lists, a mirror."""

from __future__ import annotations

import hashlib
import io
import shutil
import sqlite3
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from tests import taxonomy_files
from tests.fetch_server import serving, toml
from tests.taxonomies import HOMONYMS, rows_of
from tol_db.demo_tree import DemoTree
from tol_db.taxonomy.seven_ranks import Node

_BACKBONE = """
Animalia|kingdom
  Chordata|phylum
    Appendicularia|class
      Copelata|order
        Fritillariidae|family
          Fritillaria|genus
    Mammalia|class
      Carnivora|order
        Felidae|family
          Puma|genus
            Puma concolor|species|Felis concolor
          Lynx|genus
            Lynx pardinus|species
        Canidae|family
          Vulpes|genus
            Vulpes vulpes|species
Plantae|kingdom
  Tracheophyta|phylum
    Liliopsida|class
      Liliales|order
        Liliaceae|family
          Fritillaria|genus
    Magnoliopsida|class
      Ranunculales|order
        Papaveraceae|family
          Papaver|genus
            Papaver rhoeas|species
"""
_KEYS = {"Puma": "2435098"}
"""Name → the key that GBIF gives it, where a document names that."""


def write_taxonomies(folder: Path) -> None:
    """taxdump.tar.gz, backbone.zip and a later one, mine/, mend.tsv, names.csv."""
    nodes, synonyms = rows_of(HOMONYMS)
    dumped = [(str(n.id), str(n.parent or ""), n.name, n.rank) for n in nodes]
    names = [(str(id), name, "synonym") for id, name in synonyms]
    taxonomy_files.tarred(folder / "taxdump.tar.gz", taxonomy_files.ncbi_texts(dumped, names))
    shutil.rmtree(folder / "taxdump.tar.d")
    backbone, others = rows_of(_BACKBONE, first=5_000_001)
    taxonomy_files.zipped(folder / "backbone.zip", _darwin_core(backbone, others))
    taxonomy_files.zipped(folder / "backbone-2024.zip", _darwin_core(backbone[:-1], others))
    taxonomy_files.interim(
        folder / "mine", [(f"m{n.id}", f"m{n.parent}" * (n.parent is not None), n.name, n.rank) for n in backbone]
    )
    (folder / "mend.tsv").write_text(
        "action\ttaxon\targument\treason\n"
        "rename\tgbif:2435098\tPuma\tthe name stands as it is\n"
        "never-align\tgbif:5000008\tncbi:1\ta lynx is not life\n"
    )
    (folder / "names.csv").write_text("name,kingdom\nFicus variegata,Plantae\nParus maior,\n")


def _darwin_core(nodes: list[Node], synonyms: list[tuple[int, str]]) -> dict[str, str]:
    keys = {node.id: _KEYS.get(node.name, str(node.id)) for node in nodes}
    head = ("taxonID", "parentNameUsageID", "acceptedNameUsageID", "scientificName", "canonicalName", "taxonRank")
    rows = [
        (keys[n.id], keys[n.parent] if n.parent is not None else "", "", n.name, n.name, n.rank, "accepted")
        for n in nodes
    ]
    rows += [
        (f"9{id}", "", keys[id], name, name, "species", "homotypic synonym") for id, name in synonyms if id in keys
    ]
    german = [(keys[n.id], "Rotfuchs", "deu", "true") for n in nodes if n.name == "Vulpes vulpes"]
    return {
        "meta.xml": taxonomy_files.META,
        "Taxon.tsv": taxonomy_files.tabbed([(*head, "taxonomicStatus"), *rows]),
        "VernacularName.tsv": taxonomy_files.tabbed(
            [("taxonID", "vernacularName", "language", "isPreferredName"), *german]
        ),
    }


def write_lists(folder: Path, demo: DemoTree) -> None:
    """Lists of images that stay out or are drawn, and BIOSCAN's own metadata."""
    shutil.copy(demo.rare_seen, folder)
    shutil.copy(demo.rare_unseen, folder)
    shutil.copytree(demo.tree / "metadata", folder / "metadata")
    with closing(sqlite3.connect(demo.tree / "metadata" / "mapping.sqlite")) as mapping:
        ids = [id for (id,) in mapping.execute("SELECT evobio10m_id FROM split WHERE NOT is_val ORDER BY 1")]
        files = [name for (name,) in mapping.execute("SELECT filename FROM bioscan ORDER BY 1")]
    (folder / "ids.txt").write_text("# taken down\n" + "\n".join(ids[:2]) + "\n")
    (folder / "ids.csv").write_text("treeoflife_id\n" + "\n".join(ids[2:6]) + "\n")
    rows = [f"{name}\tDiptera\tSciaridae\tnot_classified\tnot_classified\n" for name in files]
    (folder / "BIOSCAN_Insect_Dataset_metadata.tsv").write_text(
        "image_file\torder\tfamily\tgenus\tspecies\n" + "".join(rows)
    )


def write_raw_folders(folder: Path, demo: DemoTree) -> None:
    """eol/, inat21/ and bioscan/ as they are before a mapping is made of them."""
    pictures = sorted((demo.tree / "dataset" / "bioscan" / "part1").glob("*.jpg"))
    members = {f"{100 + n}_{200 + n}_eol-full-size-copy.jpg": p.read_bytes() for n, p in enumerate(pictures)}
    (folder / "eol").mkdir()
    (folder / "eol" / "eol_1.tar.gz").write_bytes(_tar_gz(members))
    shutil.copytree(demo.tree / "dataset" / "inat21" / "train", folder / "inat21")
    shutil.copytree(demo.tree / "dataset" / "bioscan", folder / "bioscan")


def _tar_gz(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _zip(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def _below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.jpg"))}


@contextmanager
def mirror(demo: DemoTree, manifest: Path) -> Iterator[None]:
    """A server that has what `tol-db fetch` fetches, as a tree holds it; the manifest names its addresses."""
    data, metadata = demo.tree / "dataset", demo.tree / "metadata"
    inat21 = {f"train/{name}": body for name, body in _below(data / "inat21" / "train").items()}
    bioscan = {f"bioscan/images/cropped_256/{name}": body for name, body in _below(data / "bioscan").items()}
    archives = sorted((data / "eol").iterdir())
    with serving() as server:

        def entry(key: str, name: str, body: bytes) -> str:
            url, digest = server.put(f"{key}/{name}", body), hashlib.sha256(body).hexdigest()
            return f"[[{key}.files]]\npath = {toml(name)}\nurl = {toml(url)}\nsha256 = {toml(digest)}\n"

        lines = ['[metadata]\nfolder = "metadata"\n']
        lines += [
            entry("metadata", path.relative_to(metadata).as_posix(), path.read_bytes())
            for path in sorted(metadata.rglob("*.*"))
        ]
        for path in archives:
            server.put(f"eol/{path.name}", path.read_bytes())
        lines.append(
            f'[eol]\nfolder = "dataset/eol"\n[[eol.files]]\nnumbers = "01-{len(archives):02d}"\n'
            f'path = "image_set_{{}}.tar.gz"\nurl = {toml(server.url("eol/image_set_{}.tar.gz"))}\n'
        )
        lines += [
            '[inat21]\nfolder = "dataset/inat21"\n' + entry("inat21", "train.tar.gz", _tar_gz(inat21)),
            "[inat21.files.extract]\nfolder = 'train'\nparts = '[0-9]+_.+'\ninto = 'train'\n"
            f"members = {len(inat21)}\n",
            '[bioscan]\nfolder = "dataset/bioscan"\n' + entry("bioscan", "cropped_256.zip", _zip(bioscan)),
            "[bioscan.files.extract]\nfolder = 'bioscan/images/cropped_256'\nparts = 'part[0-9]+'\ninto = ''\n"
            f"members = {len(bioscan)}\n",
        ]
        manifest.write_text("".join(lines))
        yield
