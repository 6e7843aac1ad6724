"""The limit of flagged samples: notice voters almost all of whose samples are flagged, and explain why.

Such a voter costs money and decides nothing. Mostly a setting is wrong: the parser does not take the model's form, or
reasoning uses up the length limit. `FlagWatch` notices that

- **at the beginning**: a run has no vote, and its first `MIN_FLAGS_WITHOUT_VOTE` = 16 samples are all flagged; of
  several voters, at least `MIN_FLAGS_PER_VOTER` = 8 of each. If each sample is flagged with probability 1/2, that
  happens to one run in 65,536; if moreover all voters but one give no vote at all, to one in 256.
- **later**: of a voter's latest `WINDOW_SAMPLES` = 40 samples more than the limit is flagged (by default 95 %: 39 or
  40). Only the first samples of each step count, as many as there are voters and at least `MIN_SAMPLES_PER_STEP` = 3:
  a hard step that is asked again and again is still one step. If each sample is flagged with probability 1/2, a window
  reaches that with probability 41 / 2^40: over a million steps of three samples, in one run of 8,900. If nine in ten
  are flagged, 8 % of windows reach it.

A run stops only if that holds for every voter. Otherwise it names the voter and continues: others
decide its steps, each of which takes more samples. A limit of 1 turns all of this off.
"""

import re
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from unerring.core.reporting.summary import printable
from unerring.core.short_text import shortened
from unerring.core.voting.parsing import json_answer, lenient_json
from unerring.core.voting.redflag import FlagKind, RedFlag
from unerring.core.voting.sample import NOTE_REASONING, NOTE_TOOL_CALLS

MIN_FLAGS_WITHOUT_VOTE = 16  # a run without any vote stops after so many flagged samples ...
MIN_FLAGS_PER_VOTER = 8  # ... if there are several voters, only after so many of each of them
WINDOW_SAMPLES = 40  # a run stops if nearly all of so many latest samples of each voter are flagged
MIN_SAMPLES_PER_STEP = 3  # first samples of a step that count; more if there are more voters
MAX_REPLY_CHARS = 120  # of a reply in a message
MAX_PARSED_CHARS = 1 << 16  # of a reply, to see in which form it is
MAX_SHOWN_REASON_CHARS = 160  # of a flag's reason in a message

_ALLOW_LONGER = "allow longer answers in a new run: `max_output_tokens` {more} (now {limit})"
FLAG_ADVICE = {
    FlagKind.TOO_LONG: _ALLOW_LONGER,
    FlagKind.TRUNCATED: _ALLOW_LONGER,
    FlagKind.MALFORMED: "have the question say in which form to answer, or take answers of this form, too",
    FlagKind.IMPROBABLE: "allow less probable answers (FlagRules.min_logprob)",
    FlagKind.REJECTED: "see whether the process's check is right, and whether the question says what it wants",
    FlagKind.COPY: "look at the samples that the journal has",
    FlagKind.REFUSED: "ask otherwise, or another model",
    FlagKind.BROKEN_OFF: "see what the provider's reason means, or ask another model",
}
"""What to do where most samples are flagged so; `limit` is the most tokens of an answer, `more` a larger one."""

_NUMBER = re.compile(r"\d+")
_WINDOW_MASK = (1 << WINDOW_SAMPLES) - 1


class FlaggedSample(NamedTuple):
    """A flagged sample.

    kind: the kind of flag.
    reason: the sentence of the flag.
    text: the text of the sample.
    """

    kind: FlagKind
    reason: str
    text: str


class FlagWatch:
    """Counts the samples of a session by voter, in the order of arrival, without copies."""

    def __init__(self, limit: float, voted: Iterable[str] = ()) -> None:
        """`limit` is the largest share of flagged samples; `voted` are voters that had votes in earlier sessions."""
        self._limit = limit
        self._voted_before = frozenset(voted)
        self._voters: dict[str, _VoterFlags] = {}
        self._latest: deque[FlaggedSample] = deque(maxlen=WINDOW_SAMPLES)
        self._named: set[str] = set()

    def add(self, voter: str, number: int, voters: int, flagged: FlaggedSample | None) -> None:
        """Count sample number `number` (from 0) of a step with `voters` in turn; `flagged` is None for a vote."""
        seen = self._voters.get(voter)
        if seen is None:
            seen = self._voters[voter] = _VoterFlags(voter in self._voted_before)
        if flagged is None:
            seen.voted = True
        else:
            seen.flags += 1
            seen.last = flagged
            self._latest.append(flagged)
        if number < max(MIN_SAMPLES_PER_STEP, voters):
            seen.counted += 1
            seen.window = (seen.window << 1 | (flagged is not None)) & _WINDOW_MASK

    def all_flagged(self, voters: int) -> bool:
        """Whether the session must stop: nearly all samples of each of its voters are flagged."""
        if self._limit >= 1.0 or len(self._voters) < voters:
            return False
        full = [self._full_of_flags(seen) for seen in self._voters.values()]
        if self._has_voted and not any(full):
            return False
        fewest = MIN_FLAGS_PER_VOTER if len(self._voters) > 1 else MIN_FLAGS_WITHOUT_VOTE
        silent = [not seen.voted and seen.flags >= fewest for seen in self._voters.values()]
        return self.flags >= MIN_FLAGS_WITHOUT_VOTE and all(map(max, full, silent))

    def silent_voter(self) -> str | None:
        """A voter nearly all of whose samples are flagged while others vote; each is returned once."""
        if self._limit >= 1.0 or len(self._voters) < 2:
            return None
        for name, seen in self._voters.items():
            never = not seen.voted and seen.flags >= MIN_FLAGS_WITHOUT_VOTE
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
        """Why the session stops, as a sentence."""
        names = ", ".join(self._voters)
        if self._has_voted:
            latest = f"the latest {WINDOW_SAMPLES} first samples of steps by {names}"
            return f"of {latest} more than {self._limit:.0%} were flagged"
        return f"all {self.flags} samples of {names} so far were flagged, and none may vote"

    def sentence_about(self, voter: str) -> str:
        """A notice about one voter that gives no votes, with the last of its flags."""
        seen = self._voters[voter]
        last = "" if seen.last is None else f", the last one because: {_short_reason(seen.last.reason)}"
        share = (
            f"all of its first {seen.flags} samples"
            if not seen.voted
            else f"nearly all of its latest {WINDOW_SAMPLES}"
        )
        return f"{voter} decides nothing: {share} were flagged{last}; the run continues with the other voters"

    def _full_of_flags(self, seen: "_VoterFlags") -> bool:
        return seen.counted >= WINDOW_SAMPLES and seen.window.bit_count() > self._limit * WINDOW_SAMPLES


@dataclass(slots=True)
class _VoterFlags:
    """The samples of one voter. `window` has a bit for each of the latest that count, set where it was flagged."""

    voted: bool
    flags: int = 0
    counted: int = 0
    window: int = 0
    last: FlaggedSample | None = None


def explanation_of(samples: Iterable[FlaggedSample], limit: int) -> str:
    """The most common reason among flagged samples, one reply, and what to do; empty where there are none.

    `limit` is the number of tokens that an answer may have.
    """
    each = tuple(samples)
    if not each:
        return ""
    counts = Counter(_normalized(one) for one in each)
    most = max(counts, key=counts.__getitem__)
    shown = next(one for one in reversed(each) if _normalized(one) == most)
    share = "" if counts[most] == len(each) else f" ({counts[most]} of {len(each)})"
    reply = "its text is empty" if not shown.text.strip() else f"one reply: {_quoted(shown.text)}"
    return f"{_short_reason(shown.reason)}{share}; {reply}; {advice(shown, limit)}"


def advice(flagged: FlaggedSample, limit: int) -> str:
    """What to do where most samples are flagged like this one."""
    kind, reason, text = flagged
    if kind in {FlagKind.TOO_LONG, FlagKind.TRUNCATED}:
        return FLAG_ADVICE[kind].format(more=4 * limit if NOTE_REASONING in reason else 2 * limit, limit=limit)
    if kind is FlagKind.BROKEN_OFF and "context" in reason:
        return "ask a shorter question, or allow shorter answers only (`max_output_tokens`)"
    if NOTE_TOOL_CALLS in reason:
        return "have the model answer in words: offer it no tools (`extra`)"
    if NOTE_REASONING in reason:
        return (
            "have the server put the answer into the content, or ask for less reasoning "
            '(`extra` \'{"reasoning_effort": "low"}\')'
        )
    if kind is FlagKind.MALFORMED and _needs_lenient_json(text):
        return "read JSON in a fence or after thoughts: parse=unerring.lenient_json (`parse` lenient-json)"
    return FLAG_ADVICE[kind]


def _needs_lenient_json(text: str) -> bool:
    """Whether a reply is JSON for the lenient parser only."""
    try:
        json_answer(text[:MAX_PARSED_CHARS])
    except RedFlag:
        pass
    else:
        return False
    try:
        lenient_json(text[:MAX_PARSED_CHARS])
    except RedFlag:
        return False
    return True


def _normalized(one: FlaggedSample) -> tuple[FlagKind, str]:
    """The same key for flags that differ only in numbers."""
    return one.kind, _NUMBER.sub("0", one.reason[:MAX_SHOWN_REASON_CHARS])


def _short_reason(reason: str) -> str:
    return printable(shortened(" ".join(reason.split()), MAX_SHOWN_REASON_CHARS))


def _quoted(text: str) -> str:
    """A reply in quotes on one line, shortened, without control characters."""
    return f'"{printable(shortened(text.strip(), MAX_REPLY_CHARS))}"'
