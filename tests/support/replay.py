"""The state of a run after a list of entries, as resuming folds it."""

from unerring.core.journal.state import RunState


def replay(entries):
    """The state of a run after these entries."""
    state = RunState()
    for entry in entries:
        state.apply(entry)
    return state
