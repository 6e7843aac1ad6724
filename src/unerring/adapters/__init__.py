"""Adapters: each connects unerring to one thing outside, such as an endpoint, a model or a file."""
