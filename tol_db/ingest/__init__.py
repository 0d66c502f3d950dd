"""Reads what lies on disk into the database: one transaction per file, and a second run changes nothing."""
