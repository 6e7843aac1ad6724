"""The entries of a journal, their bytes, and the state of a run that is computed from them."""
