"""Calls of a model: retries, rate limit, budget ledger, token counts."""
