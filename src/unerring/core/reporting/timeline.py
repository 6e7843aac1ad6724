"""The timeline of dissent along a run, in a bounded number of windows: the data of a figure."""

from typing import NamedTuple

MAX_WINDOWS = 200


class TimelineWindow(NamedTuple):
    """A window of the timeline.

    first: its first step.
    steps: its number of steps.
    dissents: those of them with a vote against their winner.
    """

    first: int
    steps: int
    dissents: int


class Timeline:
    """Counts the steps with dissent, window by window, for a run of any length.

    Windows have one width, in steps, apart from the last, which is still being filled. Once there are `most` of them
    they are merged in pairs, and are twice as wide from then on. So there are at most `most`, and at least half as
    many once there were that many; a step costs the same however long the run is.
    """

    def __init__(self, most: int = MAX_WINDOWS) -> None:
        """Keep at most `most` windows, an even number."""
        self.steps = 0
        self.dissents = 0
        self.width = 1
        self._most = most
        self._full: list[int] = []  # dissents in each full window
        self._open = 0  # dissents in the window that is being filled

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
        """The windows in order, merged so that each has at least `least` steps.

        Steps that are left over at the end are a window of their own if it is at least half as wide as the others,
        else part of the last one.
        """
        merged = -(-max(1, least) // self.width)
        counts = [*self._full, self._open] if self.steps % self.width else self._full
        windows = []
        for at in range(0, len(counts), merged):
            first = at * self.width
            steps = min(self.steps - first, merged * self.width)
            windows.append(TimelineWindow(first, steps, sum(counts[at : at + merged])))
        if len(windows) > 1 and 2 * windows[-1].steps < merged * self.width:
            last, before = windows.pop(), windows.pop()
            windows.append(TimelineWindow(before.first, before.steps + last.steps, before.dissents + last.dissents))
        return windows
