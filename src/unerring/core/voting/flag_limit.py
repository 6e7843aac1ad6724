"""Flagged samples: whether a run's voters give anything else, and what to say of them. Pure.

A voter whose samples are nearly all flagged costs money and decides nothing: mostly a setting is wrong, such as a
reader that does not take the model's form or a limit that its thoughts use up. `FlagWatch` finds that early:

- **At the beginning**: a run without any vote, all of whose first 16 samples (`FIRST`) are flagged; of several voters
  each at least 8 of its own (`FEWEST_OF_EACH`). Where half of all samples are flagged at random, that happens to one
  run in 65,536; where moreover all voters but one give nothing at all, to one in 256.
- **Later**: of a voter's latest 40 samples (`WINDOW`) more than the limit is flagged, 95 % by default, so 39 or 40. Of
  each step only the first samples count, as many as there are voters and 3 at least (`FIRST_OF_STEP`): however often a
  hard step is asked again, it is one step of many. Where half of all samples are flagged at random, a window reaches
  that with probability 41 / 2^40: over a million steps of three samples, to one run in 8,900. Where nine in ten are
  flagged it does happen (8 % of windows); a limit of 1 turns all of this off.

A run stops only where that holds of every voter it has. Fewer of them are named, and the run goes on: others decide
its steps, and each sample of those costs one more.
"""

import re
from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple

from unerring.core.reporting.summary import inert
from unerring.core.short_text import shortened
from unerring.core.voting.parsing import json_answer, lenient_json
from unerring.core.voting.redflag import FlagKind, RedFlag
from unerring.core.voting.sample import NOTED_REASONING, NOTED_TOOLS

FIRST = 16  # flagged samples of a run without a vote
FEWEST_OF_EACH = 8  # of these, of each of several voters
WINDOW = 40  # latest samples of a voter
FIRST_OF_STEP = 3  # samples of one step that count there, where there are fewer voters than that
SHOWN_CHARS = 120  # of a reply in a message
READ_CHARS = 1 << 16  # of a reply, to tell what its form is
REASON_CHARS = 160  # of a flag's reason in a message

_NUMBER = re.compile(r"\d+")
_ALL_WINDOW = (1 << WINDOW) - 1


class FlaggedSample(NamedTuple):
    """A flagged sample: why, in the flag's own words, and its text."""

    kind: FlagKind
    reason: str
    text: str


class FlagWatch:
    """Counts the samples of a session by voter, in the order of arrival. Copies are not counted: they have a guard."""

    def __init__(self, limit: float, voted: Iterable[str] = ()) -> None:
        """`limit` is the largest share of flagged samples; `voted` are voters that had votes in earlier sessions."""
        self._limit = limit
        self._voted_before = frozenset(voted)
        self._voters: dict[str, _VoterFlags] = {}
        self._latest: deque[FlaggedSample] = deque(maxlen=WINDOW)
        self._named: set[str] = set()

    def add(self, voter: str, place: int, voters: int, flagged: FlaggedSample | None) -> None:
        """Count the sample number `place`, from 0, of a step that `voters` take turns at; None for a vote."""
        seen = self._voters.get(voter)
        if seen is None:
            seen = self._voters[voter] = _VoterFlags(voter in self._voted_before)
        if flagged is None:
            seen.voted = True
        else:
            seen.flags += 1
            seen.last = flagged
            self._latest.append(flagged)
        if place < max(FIRST_OF_STEP, voters):
            seen.counted += 1
            seen.window = (seen.window << 1 | (flagged is not None)) & _ALL_WINDOW

    def all_flagged(self, voters: int) -> bool:
        """Whether the session is to stop: nearly all samples of each of its voters are flagged."""
        if self._limit >= 1.0 or len(self._voters) < voters:
            return False
        full = [self._full_of_flags(seen) for seen in self._voters.values()]
        if self._has_voted and not any(full):
            return False
        fewest = FEWEST_OF_EACH if len(self._voters) > 1 else FIRST
        silent = [not seen.voted and seen.flags >= fewest for seen in self._voters.values()]
        return self.flags >= FIRST and all(map(max, full, silent))

    def silent_voter(self) -> str | None:
        """A voter nearly all of whose samples are flagged while others vote; each is named once."""
        if self._limit >= 1.0 or len(self._voters) < 2:
            return None
        for name, seen in self._voters.items():
            never = not seen.voted and seen.flags >= FIRST
            if name in self._named or not (never or self._full_of_flags(seen)):
                continue
            if any(other.voted and not self._full_of_flags(other) for other in self._voters.values()):
                self._named.add(name)
                return name
        return None

    @property
    def _has_voted(self) -> bool:
        """Whether the run has any vote, of this session or an earlier one."""
        return bool(self._voted_before) or any(seen.voted for seen in self._voters.values())

    @property
    def flags(self) -> int:
        """Flagged samples of this session."""
        return sum(seen.flags for seen in self._voters.values())

    def latest(self) -> tuple[FlaggedSample, ...]:
        """The latest flagged samples of all voters."""
        return tuple(self._latest)

    def sentence(self) -> str:
        """What was seen, as a stop says it."""
        names = ", ".join(self._voters)
        if self._has_voted:
            return f"of the latest {WINDOW} first samples of steps by {names} more than {self._limit:.0%} were flagged"
        return f"all {self.flags} samples of {names} so far were flagged, and none may vote"

    def sentence_about(self, voter: str) -> str:
        """What was seen of one voter that others outvote, and the last of its flags."""
        seen = self._voters[voter]
        last = "" if seen.last is None else f", the last one since {_short(seen.last.reason)}"
        share = f"all of its first {seen.flags} samples" if not seen.voted else f"nearly all of its latest {WINDOW}"
        return f"{voter} decides nothing: {share} were flagged{last}; the run goes on with the other voters"

    def _full_of_flags(self, seen: "_VoterFlags") -> bool:
        return seen.counted >= WINDOW and seen.window.bit_count() > self._limit * WINDOW


class _VoterFlags:
    """The samples of one voter: `window` has a bit for each of the latest that count, set where it was flagged."""

    __slots__ = ("counted", "flags", "last", "voted", "window")

    def __init__(self, voted: bool) -> None:
        self.voted = voted
        self.flags = 0
        self.counted = 0
        self.window = 0
        self.last: FlaggedSample | None = None


def explained(samples: Iterable[FlaggedSample], limit: int) -> str:
    """The most common reason among flagged samples, one reply, and what to do; empty where there are none.

    `limit` is the most tokens that an answer may have.
    """
    each = tuple(samples)
    if not each:
        return ""
    counts = Counter(_alike(one) for one in each)
    most = max(counts, key=counts.__getitem__)
    shown = next(one for one in reversed(each) if _alike(one) == most)
    share = "" if counts[most] == len(each) else f" ({counts[most]} of {len(each)})"
    reply = "its text is empty" if not shown.text.strip() else f"one reply: {_quoted(shown.text)}"
    return f"{_short(shown.reason)}{share}; {reply}; {advice(shown, limit)}"


def advice(flagged: FlaggedSample, limit: int) -> str:
    """What to do where most samples are flagged like this one."""
    kind, reason, text = flagged
    if kind in {FlagKind.TRUNCATED, FlagKind.TOO_LONG}:
        more = 4 * limit if NOTED_REASONING in reason else 2 * limit
        return f"allow longer answers in a new run: `max_output_tokens` {more} (now {limit})"
    if kind is FlagKind.BROKEN_OFF and "context" in reason:
        return "ask a shorter question, or allow shorter answers only (`max_output_tokens`)"
    if NOTED_TOOLS in reason:
        return "have the model answer in words: offer it no tools (`extra`)"
    if NOTED_REASONING in reason:
        return (
            "have the server put the answer into the content, or ask for less reasoning "
            '(`extra` \'{"reasoning_effort": "low"}\')'
        )
    if kind is FlagKind.MALFORMED and _lenient(text):
        return "read JSON in a fence or after thoughts: parse=unerring.lenient_json (`parse` lenient-json)"
    return _GENERAL.get(kind, "look at the samples that the journal has")


_GENERAL = {
    FlagKind.MALFORMED: "have the question say in which form to answer, or the parser take this one",
    FlagKind.REJECTED: "see whether the process's check is right, and whether the question says what it wants",
    FlagKind.REFUSED: "ask otherwise, or another model",
    FlagKind.BROKEN_OFF: "see what the provider's reason means, or ask another model",
    FlagKind.IMPROBABLE: "allow less probable answers (FlagRules.min_logprob)",
}


def _lenient(text: str) -> bool:
    """Whether a reply is JSON for the lenient reader alone."""
    try:
        json_answer(text[:READ_CHARS])
    except RedFlag:
        pass
    else:
        return False
    try:
        lenient_json(text[:READ_CHARS])
    except RedFlag:
        return False
    return True


def _alike(one: FlaggedSample) -> tuple[FlagKind, str]:
    """What is the same of flags that differ only in numbers."""
    return one.kind, _NUMBER.sub("0", one.reason[:REASON_CHARS])


def _short(reason: str) -> str:
    return inert(shortened(" ".join(reason.split()), REASON_CHARS))


def _quoted(text: str) -> str:
    """A reply in one line, shortened, with nothing in it that a terminal would obey."""
    return f'"{inert(shortened(text.strip(), SHOWN_CHARS))}"'
