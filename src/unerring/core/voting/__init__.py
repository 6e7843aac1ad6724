"""Decide one step: samples, red flags, votes, races."""
