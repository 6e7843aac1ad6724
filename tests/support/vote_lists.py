"""Races that count whole lists of votes."""


def tell_all(race, choices):
    """Count votes of weight 1 in order; returns the race's verdict."""
    for choice in choices:
        race.tell(choice)
    return race.verdict
