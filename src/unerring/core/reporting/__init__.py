"""What a run has come to: report, progress, steps, summary."""
