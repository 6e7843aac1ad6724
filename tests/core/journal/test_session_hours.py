"""The hours of a run over all of its sessions, which its budget in hours is compared with."""

from tables import each
from unerring.core.journal.entries import Allowed, Finished, Opened, Paused, Resumed
from unerring.core.journal.spend import SpendLimits
from unerring.core.journal.state import RunState
from unerring.core.voting.policy import Policy


def state_after(*entries, began=1000.0):
    """The state of a run that began at a time, in seconds since 1970."""
    state = RunState()
    for entry in (Opened("p", {}, "m", Policy().to_json(), 0, "[]", None, "tests", began), *entries):
        state.apply(entry)
    return state


def test_the_hours_of_every_session_add_up():
    """Earlier sessions count in full; the time between them does not."""
    paused = state_after(Paused("interrupted", "", 1060.0))
    assert paused.account.ran(9999.0) == 60.0
    resumed = state_after(Paused("interrupted", "", 1060.0), Resumed(2000.0))
    assert resumed.account.ran(2007.0) == 67.0
    again = state_after(
        *(Paused("interrupted", "", 1060.0), Resumed(2000.0), Paused("error", "", 2010.0), Resumed(5000.0)),
        Finished(0, 5005.0),
    )
    assert again.account.ran(9999.0) == 75.0


def test_a_session_that_was_killed_counts_nothing_and_takes_nothing_away():
    """A killed session's duration is not known and counts 0; earlier sessions still count."""
    killed = state_after(Paused("interrupted", "", 1060.0), Resumed(2000.0), Resumed(3000.0))
    assert killed.account.ran(3005.0) == 65.0


def test_a_clock_that_was_set_back_takes_no_hours_away():
    """A session that ends before it began took no time."""
    assert state_after(Paused("interrupted", "", 900.0)).account.ran(900.0) == 0.0


@each("sessions", [1, 3])
def test_what_is_left_of_a_budget_in_hours_is_what_earlier_sessions_left(sessions):
    """A limit in hours is for the whole run, over all sessions."""
    entries = [Allowed(SpendLimits(seconds=100.0))]
    for session in range(sessions):
        entries += [Paused("interrupted", "", 1030.0 + 1000.0 * session), Resumed(2000.0 + 1000.0 * session)]
    state = state_after(*entries)
    assert state.account.ran(2000.0 + 1000.0 * (sessions - 1)) == 30.0 * sessions
