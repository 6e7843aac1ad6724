"""The side effects of a run, computed from its entries: how many were run, and which one has not ended."""

from dataclasses import dataclass

from unerring.core.journal.function_entries import ActBegun, ActEnded, ActErred
from unerring.core.voting.canonical import parsed
from unerring.core.voting.step import MisplacedEntry


@dataclass(slots=True)
class ActTotals:
    """The side effects of a function process.

    pending: the one that was begun, and of which no end is known.
    ended: how many were run.
    failed: how many raised an error after which the function continued.
    again: how many times one was begun again.
    inherited: how many of `ended` and `failed` were taken over from the run that this one was forked from.
    """

    pending: ActBegun | None = None
    ended: int = 0
    failed: int = 0
    again: int = 0
    inherited: int = 0

    def apply(self, entry: ActBegun | ActEnded | ActErred, committed: int, inherited: bool = False) -> str | None:
        """Count an entry of a run with so many committed steps, its own or an `inherited` one.

        Returns the digest of the state that it leads to, where it leads to one.

        Raises `MisplacedEntry` for an entry that cannot follow.
        """
        if entry.step != committed:
            raise MisplacedEntry(
                f"a side effect before step {entry.step} is out of turn: the next step is {committed}"
            )
        if isinstance(entry, ActBegun):
            if self.pending is not None and self.pending.key != entry.key:
                raise MisplacedEntry(f"side effect {entry.key} is begun while {self.pending.key} has not ended")
            self.again += self.pending is not None
            self.pending = entry
            return None
        if self.pending is None:
            raise MisplacedEntry("a side effect ends that was not begun")
        if isinstance(entry, ActErred) and entry.state is None:
            if entry.by_person:
                self.pending = None
            return None
        if isinstance(entry, ActEnded):
            _require_json(entry)
        self.pending = None
        self.ended += isinstance(entry, ActEnded)
        self.failed += isinstance(entry, ActErred)
        self.inherited += inherited
        return entry.state

    def require_none_pending(self, what: str) -> None:
        """Raise `MisplacedEntry`, with what happens, while a side effect before it has not ended."""
        if self.pending is not None:
            raise MisplacedEntry(f"{what} while the side effect before it has not ended")


def _require_json(entry: ActEnded) -> None:
    """Raise `MisplacedEntry` where a forged journal holds another text than JSON as a result."""
    try:
        parsed(entry.result)
    except (ValueError, RecursionError):
        raise MisplacedEntry(f"the side effect before step {entry.step} has a result that is not JSON") from None
