"""Questions to the database, one SQL file each."""
