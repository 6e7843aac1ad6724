"""Batch endpoints that speak OpenAI's protocol: half the price, an answer within a day."""
