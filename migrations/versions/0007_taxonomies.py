"""Taxonomies: what they were made of, other ids, decisions, findings.

Names and ids are unique by indexes of their own, no longer by constraints: millions of rows are stored first, and the
indexes built of them sorted.
"""

import re
from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UNIQUE = {
    "taxon": ("taxonomy_id", "source_key"),
    "synonym": ("taxon_id", "name", "kind"),
}
"""Table → columns that are unique together."""


def upgrade() -> None:
    for table, columns in UNIQUE.items():
        name = f"{table}_{'_'.join(columns)}"
        clause = f"CONSTRAINT uq_{name} UNIQUE ({', '.join(columns)})"
        _rebuild(table, lambda sql, clause=clause: re.sub(rf",\s*{re.escape(clause)}", "", sql))
        if table != "taxon":  # the unique index begins with the same column
            op.drop_index(f"ix_{table}_taxon_id", table)
        op.create_index(f"ix_{name}", table, list(columns), unique=True)
    op.create_index("ix_label_taxon_id", "label", ["taxon_id"])
    if not sa.inspect(op.get_bind()).has_table("taxonomy_input"):
        _new_tables()


def _new_tables() -> None:
    op.create_table(
        "taxonomy_input",
        sa.Column("taxonomy_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("input_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("role IN ('separation', 'source', 'previous')", name=op.f("ck_taxonomy_input_role")),
        sa.ForeignKeyConstraint(
            ["taxonomy_id"],
            ["taxonomy.id"],
            name=op.f("fk_taxonomy_input_taxonomy_id_taxonomy"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["input_id"], ["taxonomy.id"], name=op.f("fk_taxonomy_input_input_id_taxonomy")),
        sa.PrimaryKeyConstraint("taxonomy_id", "ordinal", name=op.f("pk_taxonomy_input")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_taxonomy_input_input_id", "taxonomy_input", ["input_id"])
    op.create_table(
        "taxon_alias",
        sa.Column("taxonomy_id", sa.Integer(), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("source_key", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["taxonomy_id"], ["taxonomy.id"], name=op.f("fk_taxon_alias_taxonomy_id_taxonomy"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("taxonomy_id", "alias", name=op.f("pk_taxon_alias")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "taxon_decision",
        sa.Column("taxonomy_id", sa.Integer(), nullable=False),
        sa.Column("source_taxon_id", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("heuristic", sa.String(), nullable=True),
        sa.Column("candidates", sa.String(), server_default="", nullable=False),
        sa.Column("taxon_id", sa.Integer(), nullable=True),
        sa.Column("detail", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["taxonomy_id"],
            ["taxonomy.id"],
            name=op.f("fk_taxon_decision_taxonomy_id_taxonomy"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["source_taxon_id"], ["taxon.id"], name=op.f("fk_taxon_decision_source_taxon_id_taxon")
        ),
        sa.ForeignKeyConstraint(
            ["taxon_id"], ["taxon.id"], name=op.f("fk_taxon_decision_taxon_id_taxon"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("taxonomy_id", "source_taxon_id", name=op.f("pk_taxon_decision")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_taxon_decision_source_taxon_id", "taxon_decision", ["source_taxon_id"])
    op.create_index("ix_taxon_decision_taxon_id", "taxon_decision", ["taxon_id"])
    op.create_table(
        "taxonomy_finding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("taxonomy_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["taxonomy_id"],
            ["taxonomy.id"],
            name=op.f("fk_taxonomy_finding_taxonomy_id_taxonomy"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_taxonomy_finding")),
    )
    op.create_index("ix_taxonomy_finding_taxonomy_id", "taxonomy_finding", ["taxonomy_id"])


def downgrade() -> None:
    """The new tables stay where they are: an older version does not look at them, and no row is lost."""
    op.drop_index("ix_label_taxon_id", "label")
    for table, columns in UNIQUE.items():
        name = f"{table}_{'_'.join(columns)}"
        clause = f"CONSTRAINT uq_{name} UNIQUE ({', '.join(columns)})"
        last = f"CONSTRAINT pk_{table} PRIMARY KEY (id)"  # the clause followed it
        op.drop_index(f"ix_{name}", table)
        _rebuild(table, lambda sql, clause=clause, last=last: sql.replace(last, f"{last}, \n\t{clause}"))
        if table != "taxon":
            op.create_index(f"ix_{table}_taxon_id", table, ["taxon_id"])


def _rebuild(table: str, change: Callable[[str], str]) -> None:
    """Make a table anew from its own text, changed (as 0005 does): Alembic's way would put the clauses in any order."""
    execute = op.get_bind().exec_driver_sql
    of_table = "FROM sqlite_schema WHERE tbl_name = ? AND type = ? AND sql IS NOT NULL"
    indexes = list(execute(f"SELECT sql {of_table}", (table, "index")))
    (text,) = execute(f"SELECT sql {of_table}", (table, "table")).one()
    made = change(text)
    if made == text:
        raise ValueError(f"an unknown table {table}: {text}")
    views = list(execute("SELECT name, sql FROM sqlite_schema WHERE type = 'view' ORDER BY rowid"))
    for name, _ in views:
        execute(f"DROP VIEW {name}")
    execute(re.sub(rf'^CREATE TABLE "?{table}"?', f"CREATE TABLE {table}_anew", made))
    execute(f"INSERT INTO {table}_anew SELECT * FROM {table}")
    execute(f"DROP TABLE {table}")
    execute(f"ALTER TABLE {table}_anew RENAME TO {table}")
    for (sql,) in indexes:
        execute(sql)
    for _, sql in views:
        execute(sql)
