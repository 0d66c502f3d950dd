"""Tables for people and programs about what the database holds."""
