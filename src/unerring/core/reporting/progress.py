"""Progress of a run as lines of text: steps done, rate, votes, cost. Times come in as values."""

from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.spend import dollars_text, in_dollars
from unerring.core.journal.state import RunState
from unerring.core.reporting.report import spend_of
from unerring.core.reporting.summary import counted, duration
from unerring.core.reporting.time_left import RateWindows


class RunProgress:
    """The steps of one session that were decided so far."""

    def __init__(self, most_steps: int | None = None) -> None:
        """`most_steps` is the number of steps after which the session stops; None for no such number."""
        self.steps = 0
        self._most_steps = most_steps
        self._votes = 0
        self._dissents = 0
        self._since = 0.0  # when the first step was decided; the time before is startup
        self._rates = RateWindows()

    def add(self, decided: DecidedStep, now: float) -> None:
        """Count a step that was decided at the time `now`, in seconds."""
        if self.steps == 0:
            self._since = now
        else:
            self._rates.add(now - self._since)
        self.steps += 1
        self._votes += decided.votes
        self._dissents += len(decided.tally) > 1

    def end(self, state: RunState) -> int | None:
        """The number of steps at which this session will end; None where that is not known."""
        length = self._length(state)
        if self._most_steps is None:
            return length
        session_end = state.committed - self.steps + self._most_steps
        return session_end if length is None else min(length, session_end)

    @staticmethod
    def _length(state: RunState) -> int | None:
        return state.opened.length if state.opened else None

    def lines(self, state: RunState, now: float) -> list[str]:
        """Lines of at most 80 columns: steps and rate, votes, and the cost of paid calls."""
        end = self.end(state)
        stops = "; stops there" if self._most_steps is not None and end != self._length(state) else ""
        done = f" of {end:,} ({state.committed / end:.0%}{stops})" if end else ""
        left = self._seconds_left(state, now)
        to_go = "" if left is None else f", {duration(round(left))} to go"
        votes = f"{self._votes / self.steps:.2f} votes a step, {state.flags.total():,} flagged"
        return [
            f"step {state.committed:,}{done}{self._pace(now)}{to_go}",
            f"{votes}, {counted(self._dissents, 'step')} with dissent",
            *_spent(state, forecast=left is not None),
        ]

    def _pace(self, now: float) -> str:
        rate = self._rate(now)
        if rate is None:
            return ""
        if rate < 1.0:
            return f": {1.0 / rate:.2g} s a step" if rate > 0.01 else f": {duration(1.0 / rate)} a step"
        return f": {rate:,.0f} steps/s" if rate >= 10.0 else f": {rate:.2g} steps/s"

    def _rate(self, now: float) -> float | None:
        """Steps a second; None where there are too few."""
        taken = now - self._since
        return (self.steps - 1) / taken if self.steps > 1 and taken > 0.0 else None

    def _seconds_left(self, state: RunState, now: float) -> float | None:
        """Seconds to the end; None while they are not known to a factor of two."""
        end, rate = self.end(state), self._rate(now)
        if end is None or end < state.committed or rate is None or not self._rates.steady:
            return None
        return (end - state.committed) / rate


def _spent(state: RunState, forecast: bool) -> list[str]:
    account = state.account
    if not account.calls:
        return []
    spend = spend_of(state)
    text = counted(account.calls, "call")
    if isinstance(spend["dollars"], float):
        text += f", {dollars_text(spend['dollars'])} spent"
        if account.limits.money is not None:
            text += f" of {dollars_text(in_dollars(account.limits.money))}"
        if forecast and isinstance(spend["forecast"], float):
            text += f", {dollars_text(spend['forecast'])} expected in all"
    if account.lost > account.given_up:
        text += f"; {account.lost - account.given_up:,} of unknown outcome"
    return [text]
