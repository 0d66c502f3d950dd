"""Small assembled taxonomies, put straight into the tables: what resolving and labelling read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from tol_db.taxonomy.seven_ranks import Node

LATER = "2026-05-01T00:00:00Z"

HOMONYMS = """
life|no rank
  Metazoa|kingdom|Animalia
    Arthropoda|phylum
      Insecta|class|Hexapoda
        Lepidoptera|order
          Erebidae|family|Lymantriidae
            Laelia|genus
              Laelia rosea|species
            Lymantria|genus
              Lymantria dispar|species|Bombyx dispar|Ocneria dispar
                Lymantria dispar asiatica|subspecies|Porthetria umbrosa
    Mollusca|phylum
      Gastropoda|class
        Littorinimorpha|order
          Ficidae|family
            Ficus|genus|Pyrula
              Ficus variegata|species
    Echinodermata|phylum
      Asteroidea|class
        Valvatida|order
          Asterinidae|family
            Asterina|genus
              Asterina gibbosa|species
    Chordata|phylum
      Mammalia|class
        Perissodactyla|order
          Equidae|family
            Equus|genus
              Equus zebra|species|Hippotigris zebra|Asinus zebra
      Aves|class
        Passeriformes|order
          Paridae|family
            Parus|genus
              Parus major|species|Parus fringillago
            Cyanistes|genus
              Cyanistes caeruleus|species|Parus caeruleus
  Chloroplastida|no rank|Plantae|Viridiplantae
    Streptophyta|phylum
      Magnoliopsida|class
        Asparagales|order
          Orchidaceae|family
            Laelia|genus
              Laelia rosea|species
            Cattleya|genus
              Cattleya alba|species
        Rosales|order
          Moraceae|family
            Ficus|genus
              Ficus variegata|species|Ficus racemifera
        Fagales|order
          Fagaceae|family|Cupuliferae
            Quercus|genus
              Quercus robur|species|Quercus pedunculata
  Fungi|kingdom
    Ascomycota|phylum
      Dothideomycetes|class
        Asterinales|order
          Asterinaceae|family
            Asterina|genus
              Asterina gibbosa|species
  Stramenopiles|no rank
    Ochrophyta|phylum
      Phaeophyceae|class
        Fucales|order
          Fucaceae|family
            Fucus|genus
              Fucus vesiculosus|species
"""
"""Three hemihomonyms with some neighbours: ``name|rank|synonyms…``, children indented by two."""


def rows_of(text: str, first: int = 1) -> tuple[list[Node], list[tuple[int, str]]]:
    """Nodes and (taxon id, synonym) of an indented list."""
    nodes: list[Node] = []
    synonyms: list[tuple[int, str]] = []
    above: list[int] = []
    for line in filter(str.strip, text.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        name, rank, *others = line.strip().split("|")
        id = first + len(nodes)
        nodes.append(Node(id, above[depth - 1] if depth else None, name, rank))
        above[depth:] = [id]
        synonyms += [(id, other) for other in others]
    return nodes, synonyms


def add_taxonomy(
    path: Path,
    text: str = HOMONYMS,
    *,
    name: str = "tol",
    version: str = "1",
    kind: str = "assembled",
    created_at: str = LATER,
    vernaculars: Mapping[str, Iterable[tuple[str, str, int]]] | None = None,
) -> int:
    """Store a taxonomy; returns its id.

    Args:
        path: the database.
        text: as :data:`HOMONYMS`.
        name, version, kind, created_at: of the row in ``taxonomy``.
        vernaculars: scientific name → (common name, language, whether it is preferred).
    """
    with closing(sqlite3.connect(path)) as connection, connection:
        first = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM taxon").fetchone()[0]
        nodes, synonyms = rows_of(text, first)
        taxonomy = connection.execute(
            "INSERT INTO taxonomy (name, version, kind, created_at) VALUES (?, ?, ?, ?)",
            (name, version, kind, created_at),
        ).lastrowid
        assert taxonomy is not None
        connection.executemany(
            "INSERT INTO taxon (id, taxonomy_id, source_key, parent_id, scientific_name, rank)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [(n.id, taxonomy, f"t{n.id - first + 1}", n.parent, n.name, n.rank) for n in nodes],
        )
        connection.executemany(
            "INSERT INTO synonym (taxon_id, name, kind, source) VALUES (?, ?, 'synonym', 'test:1')", synonyms
        )
        for scientific, names in (vernaculars or {}).items():
            ids = [node.id for node in nodes if node.name == scientific]
            connection.executemany(
                "INSERT INTO vernacular_name (taxon_id, name, language, preferred) VALUES (?, ?, ?, ?)",
                [(id, *vernacular) for id in ids for vernacular in names],
            )
        return taxonomy
