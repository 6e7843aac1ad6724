"""Recognize replies that a server sends twice, by their ids and creation times.

A server or a proxy may send an earlier reply again as the answer to another request. It has the id of the original,
and its creation time lies before the request. So the ids of all replies that this process received are remembered, of
all its runs and also of abandoned calls; a reply with a known id is not new.

Some ids mean nothing: a server may give every reply the same. Only ids that come again with another text show that. If
ids come again with the same text, they do mean something, even where hardly any other reply comes: that is how a proxy
behaves that is stuck.
"""

from bisect import insort
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from unerring.core.journal.entries import Entry, Replies

MIN_ID_CHARS = 16  # a 64-bit digest in hex; shorter ids are counters, such as "chatcmpl-999"
MIN_REMEMBERED_IDS = 1 << 17  # the latest ones, at most twice as many; 140 bytes each
MIN_DISTINCT_IDS = 4  # replies with new ids, after which a repeated id counts as a copy
MAX_CONTRADICTIONS = 3  # replies with a repeated id and another text, from which on ids mean nothing
# Ids mean nothing if of so many replies at most this share has a new id, and of the repeated ids this share came with
# another text.
MIN_JUDGED_REPLIES, MAX_DISTINCT_SHARE, MIN_CHANGED_TEXT_SHARE = 20, 0.1, 0.02

CLOCK_WINDOW_REPLIES = 64  # latest replies, by which the provider's clock is compared with this machine's
MAX_CLOCKS_AHEAD_SHARE = 0.1  # of replies, whose servers' clocks may be ahead of the others'
TIME_TOLERANCE_SECONDS = 3.0  # one for whole seconds, one for rounding up, one for clocks that differ
MAX_SKEW_SECONDS = 86_400.0  # a creation time that is further off means nothing
# Times mean nothing if so many replies, and this share of all, seem too old: the server gives all replies one time,
# or its clock is behind.
UNRELIABLE_TIMES = (20, 0.7), (100, 0.15)


class RepeatKind(Enum):
    """What a repeated id says about the reply that has it."""

    COPY = "the provider served the same reply twice"
    STRAY = "the provider served an earlier reply to another question"
    OTHER_TEXT = "the provider gave the name of an earlier reply to another text"


@dataclass(slots=True)
class IdTrust:
    """Whether the ids of one voter's replies mean anything.

    Counts are of replies, not samples. Repeated ids with the same prompt and text count in `repeats` alone, because a
    cache explains any number of them.

    trusted: whether ids mean anything.
    with_id: replies with an id.
    distinct: those of them whose id was new.
    repeats: those whose id came before, with the same text.
    contradictions: those whose id came before, with another text.
    """

    trusted: bool = True
    with_id: float = 0.0
    distinct: float = 0.0
    repeats: float = 0.0
    contradictions: float = 0.0

    @property
    def known_distinct(self) -> bool:
        """Whether the voter's replies are known to have ids of their own."""
        return self.trusted and self.distinct > MIN_DISTINCT_IDS - 0.5

    def judge(self) -> None:
        """Stop trusting the ids if they mean nothing."""
        if self.contradictions < MAX_CONTRADICTIONS - 0.5:
            return
        few = self.with_id > MIN_JUDGED_REPLIES - 0.5 and self.distinct <= MAX_DISTINCT_SHARE * self.with_id
        changed_texts = MIN_CHANGED_TEXT_SHARE * self.repeats
        if self.contradictions > 2 * self.repeats or (few and self.contradictions > changed_texts):
            self.trusted = False


class ReplyIds:
    """The latest ids of all replies that the process received, of any voter, each with its prompt and text."""

    __slots__ = ("_before", "_latest", "_lock", "_most")

    def __init__(self, most: int = MIN_REMEMBERED_IDS, lock: AbstractContextManager[Any] = nullcontext()) -> None:  # noqa: B008
        """Remember at least the latest `most` ids; `lock` is for use by several threads."""
        self._most = most
        self._lock = lock
        self._latest: dict[int, int] = {}
        self._before: dict[int, int] = {}

    def note(self, entry: Entry) -> None:
        """Remember the ids of replies that an earlier session journaled, without their prompts."""
        if isinstance(entry, Replies):
            for reply in entry.replies:
                if reply.reply_id is not None and len(reply.reply_id) >= MIN_ID_CHARS:
                    self._first(hash(reply.reply_id), 0)

    def repeats(self, reply_id: str, prompt: str, text: str, trust: IdTrust, part: float) -> RepeatKind | None:
        """What a repeated id says about its reply; None where the id is new or means nothing.

        The sample is the share `part` of its reply.
        """
        if not trust.trusted or len(reply_id) < MIN_ID_CHARS:
            return None
        key, now = hash(reply_id), _packed(prompt, text)  # hashes differ between processes, so they are never stored
        earlier = self._first(key, now)
        if earlier is None:
            trust.with_id += part
            trust.distinct += part
            return None
        if earlier == now:
            trust.repeats += part
            return RepeatKind.COPY
        trust.with_id += part
        if earlier and earlier >> 32 != now >> 32:
            trust.contradictions += part
            found = RepeatKind.OTHER_TEXT
        else:
            trust.repeats += part
            found = RepeatKind.STRAY
        trust.judge()
        return found if trust.trusted else None

    def _first(self, key: int, value: int) -> int | None:
        """The value that an id first came with; None where it is new, which is remembered with `value`."""
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
    """Hashes of a text and of its prompt, 32 bits each, as one number that is never 0."""
    return ((hash(text) & 0xFFFFFFFF) << 32 | (hash(prompt) & 0xFFFFFFFF)) or 1


@dataclass(slots=True)
class CreationTimes:
    """Detects replies that were created before they were requested, by the times that a provider gives.

    `offset` is the creation time by the provider's clock, minus the time of receipt by this machine's clock. An honest
    reply was created between request and receipt. So its offset is at most the difference of the clocks, and at least
    that minus the `seconds` that it took, apart from rounding. The largest offset of the latest replies (without a few
    whose servers' clocks may be ahead) is a lower bound of the difference. A reply is too old if it was created more
    than `TIME_TOLERANCE_SECONDS` before what that bound allows. Replies to other requests only lower the bound.
    """

    trusted: bool = True
    _latest: deque[float] = field(default_factory=deque)
    _ordered: list[float] = field(default_factory=list)
    _judged: int = 0
    _old: int = 0

    def too_old(self, offset: float, seconds: float) -> float | None:
        """How many seconds before its request a reply was created; None where it may have been created after it."""
        if not self.trusted or not -MAX_SKEW_SECONDS < offset < MAX_SKEW_SECONDS:
            return None
        self._learn(offset)
        difference = self._ordered[int((1.0 - MAX_CLOCKS_AHEAD_SHARE) * (len(self._ordered) - 1) + 0.5)]
        before = difference - (offset + seconds)
        old = before > TIME_TOLERANCE_SECONDS
        self._judged += 1
        self._old += old
        if any(self._old >= many and self._old >= share * self._judged for many, share in UNRELIABLE_TIMES):
            self.trusted = False
        return before if old and self.trusted else None

    def _learn(self, offset: float) -> None:
        self._latest.append(offset)
        insort(self._ordered, offset)
        if len(self._latest) > CLOCK_WINDOW_REPLIES:
            self._ordered.remove(self._latest.popleft())
