"""What talks to one outside thing each: an inference engine, a database file."""
