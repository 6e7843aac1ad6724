"""Ask steps of a dependent chain ahead of their turn, from guessed answers."""
