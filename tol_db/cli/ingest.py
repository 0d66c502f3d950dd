"""``tol-db ingest …``: the group; its commands stand in ``ingest_images`` and ``ingest_tables``."""

from __future__ import annotations

import click

from tol_db.cli import LazyGroup

_LAZY = {
    "tol10m": ("tol_db.cli.ingest_images:tol10m", "Everything in a TreeOfLife-10M tree."),
    "containers": ("tol_db.cli.ingest_images:containers", "Scan archives and folders; match them to images."),
    "eol": ("tol_db.cli.ingest_images:eol", "A raw folder of EOL archives, without a mapping."),
    "inat21": ("tol_db.cli.ingest_images:inat21", "A raw iNat21 folder, without a mapping."),
    "bioscan": ("tol_db.cli.ingest_images:bioscan", "A raw BIOSCAN-1M folder, without a mapping."),
    "labels": ("tol_db.cli.ingest_tables:labels", "Names of one source's images."),
    "licences": ("tol_db.cli.ingest_tables:licences", "Licences and owners of EOL images."),
    "taxonomy": ("tol_db.cli.ingest_taxonomy:taxonomy", "A taxonomy as it was published."),
    "split": ("tol_db.cli.ingest_tables:split", "A split from a list of ids."),
    "blacklist": ("tol_db.cli.ingest_tables:blacklist", "Images and species that stay out."),
}


@click.group(cls=LazyGroup, lazy=_LAZY)
def ingest() -> None:
    """Read sources, names, licences, splits and blacklists into the database.

    Each file is one transaction; reading it again changes nothing and says so.
    """
