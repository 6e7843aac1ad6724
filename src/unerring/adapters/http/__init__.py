"""Exchanges over HTTP with endpoints that speak OpenAI's protocol: addresses, keys, connections, errors."""
