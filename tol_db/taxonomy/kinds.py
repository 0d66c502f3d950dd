"""Kinds of synonyms."""

from __future__ import annotations

from typing import Final

NOT_FOR_MATCHING: Final = (
    *("authority", "blast name", "common name", "genbank common name", "in-part", "type material", "valid"),
)
"""Kinds, in lower case, that are no names of their taxon, or not of it alone (Rees & Cranston 2017; NCBI's name
classes)."""
