"""The embedded models: inference, worker threads and samplers."""
