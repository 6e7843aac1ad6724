"""Run a process: draw samples, count votes, write the journal, advance the chain. Async; no code of a vendor."""
