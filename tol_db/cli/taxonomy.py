"""``tol-db taxonomy``."""

from __future__ import annotations

import click

from tol_db.cli import LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={"resolve": ("tol_db.cli.taxonomy_resolve:resolve", "Find the taxa that names mean.")},
)
def taxonomy() -> None:
    """Look names up in taxonomies."""
