"""Taxonomies: the ids that a source itself gives as the origin of its taxa."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if sa.inspect(op.get_bind()).has_table("taxon_source_id"):
        return
    op.create_table(
        "taxon_source_id",
        sa.Column("taxon_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["taxon_id"], ["taxon.id"], name=op.f("fk_taxon_source_id_taxon_id_taxon"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("taxon_id", "ordinal", name=op.f("pk_taxon_source_id")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """The table stays where it is: an older version does not look at it, and no row is lost."""
