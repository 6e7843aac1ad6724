"""What decides: samples, red flags, votes, races, odds, chains, journal entries and their fold.

Pure standard library. Nothing here waits, reads a clock, draws a random number, or touches the outside.
"""
