"""HTTP clients of model endpoints: addresses, keys, connections, errors, and how long a provider asks to wait."""
