"""The ranks that a label has."""

from __future__ import annotations

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")
"""The seven Linnaean ranks, from the root down: the order of a label's values everywhere."""
