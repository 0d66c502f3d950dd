"""The SQLite file: its tables, how it is opened, how its schema moves."""
