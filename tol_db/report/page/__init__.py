"""One self-contained HTML page about a database, and the treemap of its names as a figure for papers."""
