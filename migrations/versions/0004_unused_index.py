"""Without the index of EOL's page ids: 74 MB at ten million images, and no statement asked it.

Labels go from the image to its page, blacklists and reports by content id.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_eol_image_page_id", "eol_image")


def downgrade() -> None:
    op.create_index("ix_eol_image_page_id", "eol_image", ["page_id"])
