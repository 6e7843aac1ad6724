"""The journal as a SQLite file: written, read back, repaired."""
