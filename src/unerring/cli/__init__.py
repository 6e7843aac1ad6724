"""The command line: commands, their options, progress, reports as text and as a page with figures."""
