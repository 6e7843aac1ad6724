"""OpenAI's chat protocol: bodies of requests, and replies read into samples. Opens no connection."""
