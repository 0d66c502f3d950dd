"""From pending rows to WebDataset shards."""
