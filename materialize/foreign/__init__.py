"""Checks folders of WebDataset shards that this tool did not make; no database is needed."""
