"""Names and ranks of taxa."""
