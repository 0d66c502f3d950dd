"""Files for other tools: catalog, sizes."""
