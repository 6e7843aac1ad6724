"""Read, check and change the runs in journals, without a model."""
