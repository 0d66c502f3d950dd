"""What `verify` found: its runs, and the last result of each shard.

The way down leaves both tables where they are: an older version does not look at them, their rows go with the
shards that they belong to, and no result is lost on the way up again. The wording of an outcome stays new, too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE outcome SET meaning = 'more pixels or memory than the recipe allows' WHERE name = 'too_large'"
    )
    if sa.inspect(op.get_bind()).has_table("verify_run"):
        return
    op.create_table(
        "verify_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("first_shard", sa.Integer(), nullable=True),
        sa.Column("last_shard", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.CheckConstraint("level IN ('default', 'deep')", name=op.f("ck_verify_run_level")),
        sa.CheckConstraint("(first_shard IS NULL) = (last_shard IS NULL)", name=op.f("ck_verify_run_range")),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_verify_run_dataset_id_dataset"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verify_run")),
    )
    op.create_index(op.f("ix_verify_run_dataset_id"), "verify_run", ["dataset_id"])
    op.create_table(
        "verification",
        sa.Column("shard_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.Column("findings", sa.Integer(), server_default="0", nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("checked_at", sa.Text(), nullable=False),
        sa.CheckConstraint("level IN ('default', 'deep')", name=op.f("ck_verification_level")),
        sa.CheckConstraint("outcome IN ('good', 'bad', 'missing')", name=op.f("ck_verification_outcome")),
        sa.CheckConstraint("(outcome = 'good') = (findings = 0)", name=op.f("ck_verification_findings")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["verify_run.id"], name=op.f("fk_verification_run_id_verify_run"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["shard_id"], ["shard.id"], name=op.f("fk_verification_shard_id_shard"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("shard_id", "level", name=op.f("pk_verification")),
    )
    op.create_index(op.f("ix_verification_run_id"), "verification", ["run_id"])


def downgrade() -> None:
    pass
