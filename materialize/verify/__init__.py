"""Checks the shards of a dataset against what the database says, and puts bad ones back to planned."""
