"""Reports, plans and doubtful steps as plain text."""
