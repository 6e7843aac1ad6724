"""The journal in a SQLite file: writing, reading and repair."""
