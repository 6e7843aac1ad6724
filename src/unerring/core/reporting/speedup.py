"""The speed-up of a run: how much faster it was than the same calls one after the other."""

from dataclasses import dataclass

from unerring.core.journal.entries import Finished, Paused


@dataclass(slots=True)
class Speedup:
    """How much faster a run's sessions were than the same calls one after the other.

    A chain without speculation waits for one call in each round of voting.

    alone: that time, seconds: rounds times mean latency, summed over the sessions that ended cleanly.
    taken: the time that these sessions took, seconds.
    rounds: rounds of voting in the present session.
    """

    alone: float = 0.0
    taken: float = 0.0
    rounds: int = 0
    _since: float = 0.0

    def began(self, time: float) -> None:
        """A session began."""
        self.rounds, self._since = 0, time

    def ended(self, entry: Paused | Finished) -> None:
        """The session ended cleanly."""
        if entry.latency is not None:
            self.alone += self.rounds * entry.latency
            self.taken += entry.time - self._since

    @property
    def gain(self) -> float | None:
        """The speed-up; None where nothing was measured."""
        return self.alone / self.taken if self.taken > 0 else None
