"""The order in which containers are read: the same when a dataset is planned and when it is written."""

from __future__ import annotations

import re


def reading_order(kind: str, source: str, path: str) -> tuple[bool, str, list[tuple[int, int, str]]]:
    """A sort key: archives first, then by source, then by path with numbers as numbers.

    Archives are the longest units, and a pool ends sooner when these start first.
    """
    return kind == "directory", source, natural_key(path)


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """A sort key that puts ``part2`` before ``part10``."""
    pieces = re.split(r"([0-9]+)", text)
    return [(0, int(p), p) if p.isdigit() and p.isascii() else (1, 0, p) for p in pieces]
