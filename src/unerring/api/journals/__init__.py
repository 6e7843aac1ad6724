"""Read, check and change the runs that journals hold. No model is needed for any of it."""
