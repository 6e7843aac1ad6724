"""Whose code and hosts are trusted: the journals that this user began here, and what a user allows."""
