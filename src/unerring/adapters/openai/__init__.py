"""Chat endpoints that speak OpenAI's protocol."""
