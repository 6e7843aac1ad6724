"""Voting on one step: samples, red flags, votes, races, and the state of a step that is open."""
