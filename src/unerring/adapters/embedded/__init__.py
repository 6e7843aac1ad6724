"""The embedded model: its engine, its worker threads, and the sampler in front of them."""
