"""The metadata database of Tree-of-Life-scale image datasets: sources, taxa, splits, blacklists, shards."""

__version__ = "0.1.0"
