"""Which licences a dataset admits, and what they are today.

The way down leaves the table where it is: an older version does not look at it, its rows go with their dataset, and
no choice is lost on the way up again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SPELLED = "replace(replace(lower(trim({0})), ' ', '-'), '_', '-')"

# the family: the name without its version. 'cc-0' and 'cc0-1.0' lose their nought with it
FAMILY = """CASE rtrim(spelled, '0123456789.-')
                WHEN '' THEN 'unknown' WHEN 'not-provided' THEN 'unknown' WHEN 'none' THEN 'unknown'
                WHEN 'cc' THEN 'cc0' WHEN 'cc-zero' THEN 'cc0' WHEN 'pd' THEN 'public-domain'
                ELSE rtrim(spelled, '0123456789.-') END"""

VIEWS = {
    # a licence of single images, and its family
    "v_licence": f"""
        SELECT licence_id, name, link, spelled, {FAMILY} AS key
        FROM (SELECT id AS licence_id, name, link, {SPELLED.format("name")} AS spelled FROM licence)""",
    # the licence of images that have none of their own
    "v_source_licence": f"""
        SELECT source_id, name, spelled, {FAMILY} AS key
        FROM (SELECT id AS source_id, coalesce(nullif(licence, ''), 'unknown') AS name,
                     {SPELLED.format("coalesce(nullif(licence, ''), 'unknown')")} AS spelled
              FROM source)""",
    # what a dataset that was planned with --license admits today: licences, and sources with theirs
    "v_dataset_licence": """
        SELECT w.dataset_id, l.licence_id, NULL AS source_id
        FROM dataset_licence w JOIN v_licence l ON w.word IN (l.key, l.spelled)
        UNION
        SELECT w.dataset_id, NULL, s.source_id
        FROM dataset_licence w JOIN v_source_licence s ON w.word IN (s.key, s.spelled)""",
}


def upgrade() -> None:
    if not sa.inspect(op.get_bind()).has_table("dataset_licence"):
        op.create_table(
            "dataset_licence",
            sa.Column("dataset_id", sa.Integer(), nullable=False),
            sa.Column("word", sa.String(), nullable=False),
            sa.ForeignKeyConstraint(
                ["dataset_id"],
                ["dataset.id"],
                name=op.f("fk_dataset_licence_dataset_id_dataset"),
                ondelete="CASCADE",
            ),
            sa.PrimaryKeyConstraint("dataset_id", "word", name=op.f("pk_dataset_licence")),
            sqlite_with_rowid=False,
        )
    for name, sql in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {sql.strip()}")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
