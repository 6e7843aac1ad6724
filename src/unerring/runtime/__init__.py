"""What does: draws samples, tells votes, journals, advances. Async, and knows no vendor."""
