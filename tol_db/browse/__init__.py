"""The database in a browser: datasette, read-only, on this machine alone, with our audits, labels and pictures."""
