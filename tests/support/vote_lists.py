"""Races that are told whole lists of votes."""


def tell_all(race, choices):
    """Tell a race votes of weight 1 in order; returns its verdict."""
    for choice in choices:
        race.tell(choice)
    return race.verdict
