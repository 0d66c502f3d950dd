"""A job that was handed to SLURM belongs to a cluster, has a name of its own, and is known before it has a number.

The way down leaves the columns where they are: an older version does not look at them, and nothing is lost on the way
up again. A job without a number has 0, which squeue never lists.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("submission")}
    for column in ("cluster", "job_name", "ended_at"):
        if column not in there:
            op.add_column("submission", sa.Column(column, sa.Text() if column == "ended_at" else sa.String()))


def downgrade() -> None:
    pass
