"""How much faster asking ahead made a run than its calls one after the other."""

from dataclasses import dataclass

from unerring.core.journal.entries import Finished, Paused


@dataclass(slots=True)
class Speedup:
    """How much faster a run's sessions were than the same calls one after the other.

    A chain that takes its steps one by one waits for one call in each round of voting; `alone` sums that up from the
    mean latency of the sessions that ended in good order, and `taken` is how long these took, both in seconds.
    """

    alone: float = 0.0
    taken: float = 0.0
    rounds: int = 0
    _since: float = 0.0

    def began(self, time: float) -> None:
        self.rounds, self._since = 0, time

    def ended(self, entry: Paused | Finished) -> None:
        if entry.latency is not None:
            self.alone += self.rounds * entry.latency
            self.taken += entry.time - self._since

    @property
    def gain(self) -> float | None:
        """Speed-up, or None where nothing was measured."""
        return self.alone / self.taken if self.taken > 0 else None
