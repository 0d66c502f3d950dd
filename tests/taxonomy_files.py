"""Small taxonomies in every format, written as their sources write them."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

Node = tuple[str, str, str, str]
"""Key, key of the parent, name, rank."""

BEARS: list[Node] = [
    ("1", "", "Animalia", "kingdom"),
    ("2", "1", "Ursidae", "family"),
    ("10", "2", "Ursus", "genus"),
    ("11", "10", "Ursus arctos", "species"),
    ("12", "10", "Ursus maritimus", "species"),
    ("3", "1", "Laelia", "genus"),
]
"""The same taxa in each format, where it can say them."""

META = """<?xml version="1.0" encoding="UTF-8"?>
<archive xmlns="http://rs.tdwg.org/dwc/text/" metadata="eml.xml">
  <core encoding="UTF-8" fieldsTerminatedBy="\\t" linesTerminatedBy="\\n" fieldsEnclosedBy=""
        ignoreHeaderLines="1" rowType="http://rs.tdwg.org/dwc/terms/Taxon">
    <files><location>Taxon.tsv</location></files>
    <id index="0" />
    <field index="0" term="http://rs.tdwg.org/dwc/terms/taxonID"/>
    <field index="1" term="http://rs.tdwg.org/dwc/terms/parentNameUsageID"/>
    <field index="2" term="http://rs.tdwg.org/dwc/terms/acceptedNameUsageID"/>
    <field index="3" term="http://rs.tdwg.org/dwc/terms/scientificName"/>
    <field index="4" term="http://rs.gbif.org/terms/1.0/canonicalName"/>
    <field index="5" term="http://rs.tdwg.org/dwc/terms/taxonRank"/>
    <field index="6" term="http://rs.tdwg.org/dwc/terms/taxonomicStatus"/>
  </core>
  <extension encoding="UTF-8" fieldsTerminatedBy="\\t" linesTerminatedBy="\\n" fieldsEnclosedBy=""
             ignoreHeaderLines="1" rowType="http://rs.gbif.org/terms/1.0/VernacularName">
    <files><location>VernacularName.tsv</location></files>
    <coreid index="0" />
    <field index="1" term="http://rs.tdwg.org/dwc/terms/vernacularName"/>
    <field index="2" term="http://purl.org/dc/terms/language"/>
    <field index="3" term="http://rs.gbif.org/terms/1.0/isPreferredName"/>
  </extension>
</archive>
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    return folder


def piped(rows: Iterable[Sequence[str]]) -> str:
    return "".join("\t|\t".join(row) + "\t|\t\n" for row in rows)


def tabbed(rows: Iterable[Sequence[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)


def dmp(rows: Iterable[Sequence[str]]) -> str:
    return "".join("\t|\t".join(row) + "\t|\n" for row in rows)


def interim(folder: Path, nodes: Iterable[Node] = BEARS) -> Path:
    return write(folder, {"taxonomy.tsv": piped([("uid", "parent_uid", "name", "rank"), *nodes])})


def ncbi_texts(nodes: Iterable[Node] = BEARS, names: Iterable[Sequence[str]] = ()) -> dict[str, str]:
    """nodes.dmp and names.dmp; ``names`` are more rows of the latter: id, name, class."""
    nodes = sorted(nodes, key=lambda node: int(node[0]))
    others = [(key, name, "", "scientific name") for key, _, name, _ in nodes]
    others += [(key, name, "", kind) for key, name, kind in names]
    return {
        "nodes.dmp": dmp([(key, up or key, rank, "", "0", "1") for key, up, _, rank in nodes]),
        "names.dmp": dmp(sorted(others, key=lambda name: int(name[0]))),
        "merged.dmp": dmp([("99", "11")]),
    }


def darwin_core_texts(nodes: Iterable[Node] = BEARS) -> dict[str, str]:
    """A backbone with authorship, a synonym (id 50 of Ursus arctos) and common names."""
    head = ("taxonID", "parentNameUsageID", "acceptedNameUsageID", "scientificName", "canonicalName", "taxonRank")
    rows = [(key, up, "", f"{name} Linnaeus, 1758", name, rank, "accepted") for key, up, name, rank in nodes]
    rows.append(
        ("50", "10", "11", "Ursus horribilis Ord, 1815", "Ursus horribilis", "SPECIES", "heterotypic synonym")
    )
    common = [("11", "Brown bear", "en", "true"), ("11", "Braunbär", "deu", ""), ("50", "Grizzly", "eng", "")]
    return {
        "meta.xml": META,
        "Taxon.tsv": tabbed([(*head, "taxonomicStatus"), *rows]),
        "VernacularName.tsv": tabbed([("taxonID", "vernacularName", "language", "isPreferredName"), *common]),
    }


def coldp_texts(nodes: Iterable[Node] = BEARS) -> dict[str, str]:
    head = (
        "col:ID",
        "col:parentID",
        "col:status",
        "col:scientificName",
        "col:authorship",
        "col:rank",
        "col:extinct",
    )
    rows = [(key, up, "accepted", name, "L., 1758", rank, "") for key, up, name, rank in nodes]
    rows.append(("50", "11", "synonym", "Ursus horribilis", "Ord, 1815", "species", ""))
    rows.append(("60", "10", "provisionally accepted", "Ursus spelaeus", "", "species", "true"))
    common = [("col:taxonID", "col:name", "col:language"), ("11", "Brown bear", "eng")]
    return {"NameUsage.tsv": tabbed([head, *rows]), "VernacularName.tsv": tabbed(common)}


def coldp_split_texts() -> dict[str, str]:
    """The same taxa as Name, Taxon and Synonym."""
    names = [(f"n{key}", name, "L., 1758", rank) for key, _, name, rank in BEARS]
    names.append(("n50", "Ursus horribilis", "Ord, 1815", "species"))
    return {
        "Name.csv": "".join(
            ",".join(f'"{v}"' for v in row) + "\r\n"
            for row in [("ID", "scientificName", "authorship", "rank"), *reversed(names)]
        ),
        "Taxon.csv": "".join(
            f"{key},{up},n{key}\r\n" for key, up, _, _ in [("ID", "parentID", "", ""), *BEARS]
        ).replace("ID,parentID,nID", "ID,parentID,nameID"),
        "Synonym.csv": "taxonID,nameID,status\r\n11,n50,synonym\r\n",
    }


EOL = (
    "taxonID\tsource\tfurtherInformationURL\tacceptedNameUsageID\tparentNameUsageID\tscientificName\ttaxonRank"
    "\ttaxonomicStatus\tdatasetID\tcanonicalName\tauthority\teolID\tLandmark\thigherClassification\n"
)


def eol_text(nodes: Iterable[Node] = BEARS) -> str:
    rows = [
        (key, "trunk:1", "", "", up, f'{name} Linn. "1758', rank, "accepted", "trunk", name, "Linn.", "7", "", "")
        for key, up, name, rank in nodes
    ]
    rows.append(
        (
            "50",
            "x:1",
            "",
            "11",
            "",
            "Ursus horribilis",
            "species",
            "not accepted",
            "x",
            "Ursus horribilis",
            "",
            "",
            "",
            "",
        )
    )
    return EOL + tabbed(rows)


ITIS_HEAD = (
    "hierarchy_string_tsn,hierarchy_string_names,terminal_tsn,terminal_scientific_name,terminal_vernacular,"
    "terminal_vernacular_lang,hierarchy_string_ranks,Kingdom,Phylum,Class,Order,Family,Genus,Species\n"
)
ITIS = ITIS_HEAD + (
    '1-2-10-11,Animalia->Ursidae->Ursus->Ursus arctos,11,Ursus arctos,"bear, brown",English,'
    "Kingdom->Family->Genus->Species,Animalia,,,,Ursidae,Ursus,Ursus arctos\n"
    "1-2-10-12,Animalia->Ursidae->Ursus->Ursus maritimus,12,Ursus maritimus,ours blanc,French,"
    "Kingdom->Family->Genus->Species,Animalia,,,,Ursidae,Ursus,Ursus maritimus\n"
)

NEWICK = "((('Ursus arctos':0.1,Ursus_maritimus:0.2)'Genus=Ursus')Ursidae[&!c=1],Laelia)'Kingdom=Animalia';\n"


def zipped(path: Path, texts: dict[str, str], folder: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(folder + name, text)
    return path


def tarred(path: Path, texts: dict[str, str]) -> Path:
    folder = write(path.with_suffix(".d"), texts)
    with tarfile.open(path, "w:gz") as archive:
        for name in texts:
            archive.add(folder / name, name)
    return path
