"""The ids of images are unique by an index of its own, no longer by a constraint of the table.

An index can be left off while the table is filled and be built afterwards, sorted: for ten million ids in random
order that takes 27 s in place of 40. A constraint cannot.

The way up also mends the table `verification` of databases that were made by an early build of 0003, which kept one
result of a shard instead of one of each level.
"""

import re
from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

CLAUSE = "CONSTRAINT uq_image_treeoflife_id UNIQUE (treeoflife_id)"
LAST = "CONSTRAINT pk_image PRIMARY KEY (id)"  # the clause follows it


def upgrade() -> None:
    _rebuild_image(lambda sql: re.sub(rf",\s*{re.escape(CLAUSE)}", "", sql))
    op.create_index("ix_image_treeoflife_id", "image", ["treeoflife_id"], unique=True)
    if sa.inspect(op.get_bind()).get_pk_constraint("verification")["constrained_columns"] == ["shard_id"]:
        with op.batch_alter_table("verification") as verification:
            verification.drop_constraint("pk_verification", type_="primary")
            verification.create_primary_key("pk_verification", ["shard_id", "level"])


def downgrade() -> None:
    op.drop_index("ix_image_treeoflife_id", "image")
    _rebuild_image(lambda sql: sql.replace(LAST, f"{LAST}, \n\t{CLAUSE}"))


def _rebuild_image(change: Callable[[str], str]) -> None:
    """SQLite drops no constraint, so the table is made anew from its own text (sqlite.org/lang_altertable.html,
    "Making Other Kinds Of Table Schema Changes"). Views that read it go meanwhile: they stand in the way of the
    name."""
    execute = op.get_bind().exec_driver_sql
    views = list(execute("SELECT name, sql FROM sqlite_schema WHERE type = 'view' ORDER BY rowid"))
    indexes = list(
        execute("SELECT sql FROM sqlite_schema WHERE tbl_name = 'image' AND type = 'index' AND sql IS NOT NULL")
    )
    (table,) = execute("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'image'").one()
    made = change(table)
    if made == table:
        raise ValueError(f"an unknown table image: {table}")
    for name, _ in views:
        execute(f"DROP VIEW {name}")
    execute(re.sub(r'^CREATE TABLE "?image"?', "CREATE TABLE image_anew", made))
    execute("INSERT INTO image_anew SELECT * FROM image")
    execute("DROP TABLE image")
    execute("ALTER TABLE image_anew RENAME TO image")
    for (sql,) in indexes:
        execute(sql)
    for _, sql in views:
        execute(sql)
