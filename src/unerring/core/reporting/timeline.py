"""Dissent along a run, in a bounded number of windows: what a picture of a run of any length is drawn from."""

from typing import NamedTuple

MAX_WINDOWS = 200


class TimelineWindow(NamedTuple):
    """So many steps from step `first` on, `dissents` of which had a vote against their winner."""

    first: int
    steps: int
    dissents: int


class Timeline:
    """Counts the steps with dissent, window by window, for a run that may be of any length.

    Windows are of one width, in steps, but for the last, which is still being filled. Once there are as many as may
    be, they are merged two by two, and are twice as wide from then on. So there are never more than `most`, and at
    least half as many once there were that many; a step costs the same however long the run is.
    """

    def __init__(self, most: int = MAX_WINDOWS) -> None:
        """Keep at most `most` windows, an even number."""
        self.steps = 0
        self.dissents = 0
        self.width = 1
        self._most = most
        self._full: list[int] = []  # dissents in each full window
        self._open = 0  # dissents in the one that is being filled

    def add(self, dissented: bool) -> None:
        """Count the next step."""
        self.steps += 1
        self.dissents += dissented
        self._open += dissented
        if self.steps % self.width:
            return
        self._full.append(self._open)
        self._open = 0
        if len(self._full) == self._most:
            self._full = [first + second for first, second in zip(self._full[::2], self._full[1::2], strict=True)]
            self.width *= 2

    def windows(self, least: int = 1) -> list[TimelineWindow]:
        """The windows in order, merged as far as each needs to have `least` steps.

        What is left over at the end is a window of its own if it is at least half as wide as the others, and is part
        of the last one otherwise.
        """
        together = -(-max(1, least) // self.width)
        counts = [*self._full, self._open] if self.steps % self.width else self._full
        found = []
        for at in range(0, len(counts), together):
            first = at * self.width
            steps = min(self.steps - first, together * self.width)
            found.append(TimelineWindow(first, steps, sum(counts[at : at + together])))
        if len(found) > 1 and 2 * found[-1].steps < together * self.width:
            last, before = found.pop(), found.pop()
            found.append(TimelineWindow(before.first, before.steps + last.steps, before.dissents + last.dissents))
        return found
