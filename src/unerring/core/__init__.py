"""The pure part: samples, red flags, votes, races, odds, chains, journal entries, and the state computed from them.

It uses the standard library alone. Nothing here waits, reads a clock, draws a random number, or does I/O.
"""
