"""Batch endpoints that speak OpenAI's protocol: half the price, for an answer within a day."""
