"""Reports about a run as data, and the lines of text that sum them up."""
