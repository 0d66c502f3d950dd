"""``python -m tol_db``: the command line."""

from tol_db.cli import main

main()
