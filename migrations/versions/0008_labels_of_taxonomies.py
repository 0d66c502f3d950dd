"""Labels by a taxonomy: what each published label resolves to; blacklists that know synonyms."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

AS_WRITTEN = """
        SELECT e.blacklist_id, e.id AS entry_id, l.id AS label_id
        FROM blacklist_entry e JOIN label l ON l.genus = e.genus AND l.species = e.species
        WHERE e.kind = 'taxon' AND e.genus <> '' AND e.species <> ''
          AND (e.kingdom = '' OR l.kingdom = '' OR e.kingdom = l.kingdom)"""
"""Labels of the species that an entry names; kingdoms that are both given must agree."""

BY_ANOTHER_NAME = """
        SELECT e.blacklist_id, n.entry_id, l.id
        FROM blacklist_entry e JOIN blacklist_name n ON n.entry_id = e.id
        JOIN label l ON l.genus = n.genus AND l.species = n.species
        WHERE n.kingdom = '' OR l.kingdom = '' OR n.kingdom = l.kingdom"""
"""Labels of the same species under another name; an entry's own name is none of them."""

BY_TAXON = """
        SELECT e.blacklist_id, t.entry_id, l.id
        FROM blacklist_entry e JOIN blacklist_taxon t ON t.entry_id = e.id
        JOIN label l ON l.taxon_id = t.taxon_id
        WHERE NOT (l.genus = e.genus AND l.species = e.species
                   AND (e.kingdom = '' OR l.kingdom = '' OR e.kingdom = l.kingdom))
          AND NOT EXISTS (SELECT 1 FROM blacklist_name n
                          WHERE n.entry_id = t.entry_id AND n.genus = l.genus AND n.species = l.species
                            AND (n.kingdom = '' OR l.kingdom = '' OR n.kingdom = l.kingdom))"""
"""Labels that were resolved to the species under a name that is neither."""


def upgrade() -> None:
    if not sa.inspect(op.get_bind()).has_table("label_resolution"):
        _new_tables()
    op.execute("DROP VIEW v_blacklisted_label")
    # each label once for an entry, and by UNION ALL, through which a condition reaches the indexes
    union = "\n        UNION ALL".join((AS_WRITTEN, BY_ANOTHER_NAME, BY_TAXON)).strip()
    op.execute(f"CREATE VIEW v_blacklisted_label AS {union}")


def _new_tables() -> None:
    op.create_table(
        "label_resolution",
        sa.Column("taxonomy_id", sa.Integer(), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("how", sa.String(), nullable=True),
        sa.Column("taxon_id", sa.Integer(), nullable=True),
        sa.Column("change", sa.String(), nullable=False),
        sa.Column("new_label_id", sa.Integer(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.CheckConstraint(
            "state IN ('matched', 'synonym', 'homonym-resolved', 'ambiguous', 'unmatched')",
            name=op.f("ck_label_resolution_state"),
        ),
        sa.CheckConstraint(
            "change IN ('same', 'filled', 'moved', 'renamed', 'conflicting', 'unresolved', 'ambiguous')",
            name=op.f("ck_label_resolution_change"),
        ),
        sa.ForeignKeyConstraint(
            ["taxonomy_id"],
            ["taxonomy.id"],
            name=op.f("fk_label_resolution_taxonomy_id_taxonomy"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["label_id"], ["label.id"], name=op.f("fk_label_resolution_label_id_label")),
        sa.ForeignKeyConstraint(
            ["taxon_id"], ["taxon.id"], name=op.f("fk_label_resolution_taxon_id_taxon"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["new_label_id"], ["label.id"], name=op.f("fk_label_resolution_new_label_id_label")
        ),
        sa.PrimaryKeyConstraint("taxonomy_id", "label_id", name=op.f("pk_label_resolution")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_label_resolution_taxon_id", "label_resolution", ["taxon_id"])
    op.create_table(
        "blacklist_name",
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("genus", sa.String(), nullable=False),
        sa.Column("species", sa.String(), nullable=False),
        sa.Column("kingdom", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"],
            ["blacklist_entry.id"],
            name=op.f("fk_blacklist_name_entry_id_blacklist_entry"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("entry_id", "genus", "species", name=op.f("pk_blacklist_name")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_blacklist_name_genus_species", "blacklist_name", ["genus", "species"])
    op.create_table(
        "blacklist_taxon",
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("taxon_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"],
            ["blacklist_entry.id"],
            name=op.f("fk_blacklist_taxon_entry_id_blacklist_entry"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["taxon_id"], ["taxon.id"], name=op.f("fk_blacklist_taxon_taxon_id_taxon"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("entry_id", "taxon_id", name=op.f("pk_blacklist_taxon")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_blacklist_taxon_taxon_id", "blacklist_taxon", ["taxon_id"])


def downgrade() -> None:
    """The tables stay where they are: an older version does not look at them, and no row is lost."""
    op.execute("DROP VIEW v_blacklisted_label")
    op.execute(f"CREATE VIEW v_blacklisted_label AS {AS_WRITTEN.strip()}")
