"""Function processes: ordinary async functions whose questions are decided by voting, made into chains."""
