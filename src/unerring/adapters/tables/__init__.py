"""Reading and writing tables of records."""
