"""Runs migrations on the connection that tol-db hands over, or for developers on TOL_DB (``alembic check``)."""

import os
from pathlib import Path

from alembic import context

from tol_db.db.engine import Database
from tol_db.db.models import Base


def run(connection):
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite cannot alter most things in place
        compare_server_default=True,
        transactional_ddl=True,
    )
    context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    with Database(Path(os.environ.get("TOL_DB", "tol.sqlite"))).engine.connect() as conn, conn.begin():
        run(conn)
