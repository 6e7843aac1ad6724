"""Calls of a model: rate limit, retries, budget ledger, probes of an endpoint."""
