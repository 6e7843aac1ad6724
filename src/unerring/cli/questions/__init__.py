"""Commands that answer questions: one by voting, and problems by splitting them."""
