"""Measurements and trials that are no tests: they take long, and what they print goes into the docs."""
