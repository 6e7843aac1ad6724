"""Recognize replies that a server sends twice, by their ids and creation times.

A server or a proxy may send a reply again in place of the answer to another request. A redelivered reply keeps the id
of the original, and its creation time lies before the request. So the ids of all replies that reached this process are
remembered, of all its runs and also of calls that were given up, and a reply with a known id is not a new one.

Some ids mean nothing: a server may give every reply the same. This is concluded only from what redelivery cannot
cause: ids that come again with another text. However many replies come again with the text that they had, their ids
mean something, even where hardly any other reply comes: that is what a proxy does that is stuck.
"""

from bisect import insort
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from typing import Any

from unerring.core.journal.entries import Entry, Replies

MIN_ID_CHARS = 16  # characters: a digest of 64 bits in hex; "chatcmpl-999" and a number behind it have fewer
MIN_REMEMBERED_IDS = 1 << 17  # the latest identities: so many at least, twice as many at most; 140 bytes each
MIN_DISTINCT_IDS = (
    4  # replies with a name of their own, from which on names that come again are counted as a cache's copies
)
MAX_CONTRADICTIONS = 3  # repeated ids with another text, from which on ids mean nothing
# Replies, and the share of them with an id of their own, at most, where ids mean nothing: if at least so many of those
# that come again have another text.
FEW_NAMES, CHANGED_TEXTS = (20, 0.1), 0.02

CLOCK_WINDOW_REPLIES = 64  # replies by whose times the provider's clock is compared with this one's
MAX_CLOCKS_AHEAD_SHARE = 0.1  # share of replies, at most, whose back end may have a clock ahead of the others'
TIME_TOLERANCE_SECONDS = 3.0  # seconds: whole seconds take one, rounding up another, clocks that differ the third
MAX_SKEW_SECONDS = 86_400.0  # seconds: a time that is further off is none
# Replies that seem too old, and the share of all that they are, at least, where times mean nothing: one time for all
# replies; a back end whose clock is late.
UNRELIABLE_TIMES = (20, 0.7), (100, 0.15)


class RepeatKind(Enum):
    """What a name that has come before says of the reply that bears it."""

    COPY = "the provider served the same reply twice"
    STRAY = "the provider served an earlier reply to another question"
    OTHER_TEXT = "the provider gave the name of an earlier reply to another text"


class IdTrust:
    """What is known of the names that one voter's replies bear.

    `named` and `distinct` count replies, not samples: those with a name, and those with one of their own. Names that
    come again with the same prompt and text are left out: no matter how many, that is what a cache does.
    """

    __slots__ = ("contradictions", "distinct", "named", "repeats", "telling")

    def __init__(self) -> None:
        self.telling = True
        self.named = 0.0
        self.distinct = 0.0
        self.repeats = 0.0
        self.contradictions = 0.0

    @property
    def settled(self) -> bool:
        """Whether replies are known to have names of their own."""
        return self.telling and self.distinct > MIN_DISTINCT_IDS - 0.5

    def judge(self) -> None:
        """Give the names up where they mean nothing."""
        if self.contradictions < MAX_CONTRADICTIONS - 0.5:
            return
        calls, share = FEW_NAMES
        few = self.named > calls - 0.5 and self.distinct <= share * self.named
        if self.contradictions > 2 * self.repeats or (few and self.contradictions > CHANGED_TEXTS * self.repeats):
            self.telling = False


class ReplyIds:
    """The latest names of all replies that reached the process, of whichever voter, each with its prompt and text."""

    __slots__ = ("_before", "_latest", "_lock", "_most")

    def __init__(self, most: int = MIN_REMEMBERED_IDS, lock: AbstractContextManager[Any] = nullcontext()) -> None:  # noqa: B008
        """Remember so many of the latest at least; `lock` is for use by several threads."""
        self._most = most
        self._lock = lock
        self._latest: dict[int, int] = {}
        self._before: dict[int, int] = {}

    def note(self, entry: Entry) -> None:
        """Remember the names of replies that an earlier session journaled, without their prompts."""
        if isinstance(entry, Replies):
            for reply in entry.replies:
                if reply.reply_id is not None and len(reply.reply_id) >= MIN_ID_CHARS:
                    self._first(hash(reply.reply_id), 0)

    def repeats(self, name: str, prompt: str, text: str, trust: IdTrust, part: float) -> RepeatKind | None:
        """What it says that a name has come before; None where it is new or means nothing.

        The sample is the given part of its reply.
        """
        if not trust.telling or len(name) < MIN_ID_CHARS:
            return None
        key, now = hash(name), _packed(prompt, text)  # unlike in every process: kept in memory only
        earlier = self._first(key, now)
        if earlier is None:
            trust.named += part
            trust.distinct += part
            return None
        if earlier == now:
            trust.repeats += part
            return RepeatKind.COPY
        trust.named += part
        if earlier and earlier >> 32 != now >> 32:
            trust.contradictions += part
            found = RepeatKind.OTHER_TEXT
        else:
            trust.repeats += part
            found = RepeatKind.STRAY
        trust.judge()
        return found if trust.telling else None

    def _first(self, key: int, value: int) -> int | None:
        """What a name came with first; None where it has not come before, and is remembered with `value`."""
        with self._lock:
            earlier = self._latest.get(key)
            if earlier is None:
                earlier = self._before.get(key)
            if earlier is None:
                if len(self._latest) >= self._most:
                    self._before, self._latest = self._latest, {}
                self._latest[key] = value
            return earlier


def _packed(prompt: str, text: str) -> int:
    """32 bits of a text and of its prompt; never 0."""
    return ((hash(text) & 0xFFFFFFFF) << 32 | (hash(prompt) & 0xFFFFFFFF)) or 1


class CreationTimes:
    """When a voter's replies were made, as the provider says; and whether one was made before it was asked for.

    `offset` is the time at which the provider says that it made a reply, minus the time at which it was received by
    this machine's clock. An honest reply was made between the two moments at which it was asked for and received. So
    no offset is above the difference of the clocks, and that of a reply which took `seconds` is at least that minus
    `seconds`, but for rounding. The largest offset of the latest replies, but for a few whose back ends' clocks
    may be ahead, is thus a lower bound of the difference. A reply is too old where it was made more than
    `TIME_TOLERANCE_SECONDS` before what that bound allows. Strays only lower the bound.
    """

    __slots__ = ("_judged", "_latest", "_old", "_ordered", "telling")

    def __init__(self) -> None:
        self.telling = True
        self._latest: deque[float] = deque()
        self._ordered: list[float] = []
        self._judged = 0
        self._old = 0

    def too_old(self, offset: float, seconds: float) -> float | None:
        """How long before it was asked for a reply was made, in seconds; None where that may have been after it."""
        if not self.telling or not -MAX_SKEW_SECONDS < offset < MAX_SKEW_SECONDS:
            return None
        self._learn(offset)
        difference = self._ordered[int((1.0 - MAX_CLOCKS_AHEAD_SHARE) * (len(self._ordered) - 1) + 0.5)]
        before = difference - (offset + seconds)
        old = before > TIME_TOLERANCE_SECONDS
        self._judged += 1
        self._old += old
        if any(self._old >= many and self._old >= share * self._judged for many, share in UNRELIABLE_TIMES):
            self.telling = False
        return before if old and self.telling else None

    def _learn(self, offset: float) -> None:
        self._latest.append(offset)
        insort(self._ordered, offset)
        if len(self._latest) > CLOCK_WINDOW_REPLIES:
            self._ordered.remove(self._latest.popleft())
