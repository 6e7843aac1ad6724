"""What shows: the command line and its progress display."""
