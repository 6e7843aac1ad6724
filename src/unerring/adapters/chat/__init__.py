"""OpenAI's chat protocol: build requests, send them, and convert replies into samples."""
