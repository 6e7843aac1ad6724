"""Patterns of votes: how the votes of a run's steps fell, by voter, counted in bounded memory."""

from collections import Counter
from dataclasses import dataclass
from heapq import heappush, heappushpop
from typing import Any, NamedTuple

from unerring.core.journal.decided_step import DecidedStep

MAX_SEQUENCES = 128  # of voters, on unanimous steps
MAX_PATTERNS = 256  # by voter
MAX_POOLED = 128  # with all voters as one
MAX_EXAMPLES = 10  # steps of one pattern
ALL_VOTERS = -1  # in place of a voter's number: all voters as one


class VoterTally(NamedTuple):
    """The votes of one voter on a step.

    voter: its number; `ALL_VOTERS` for all voters as one.
    won: votes for the winner.
    second: votes for the runner-up.
    other: votes for any other choice.
    """

    voter: int
    won: int
    second: int
    other: int


Pattern = tuple[VoterTally, ...]  # of a step, by voter


@dataclass(frozen=True, slots=True)
class PatternExample:
    """A step, with what makes it more doubtful than others of the same pattern: more rounds, then more flags."""

    rounds: int
    flags: int
    step: int
    margin: int
    tally: tuple[int, ...]

    def __lt__(self, other: "PatternExample") -> bool:
        return (self.rounds, self.flags, -self.step) < (other.rounds, other.flags, -other.step)


class VotePatterns:
    """Counts steps by pattern.

    Nearly all steps are unanimous; they are counted by the sequence of their voters, which is fast. Others are counted
    by their pattern, of which there can be many where votes are many. Once `MAX_PATTERNS` are known, steps of a new
    pattern are counted with all voters as one; once `MAX_POOLED` of these are known, as the most similar of them with
    no larger margin, so no step counts as surer than it was. There are never more than 512 in all.

    examples: the most doubtful steps of each pattern; unanimous ones only where a sample was flagged.
    """

    def __init__(self) -> None:
        self.examples: dict[Pattern, list[PatternExample]] = {}
        self._sequences: dict[tuple[int, ...], int] = {}
        self._patterns: dict[Pattern, int] = {}
        self._pooled: dict[Pattern, int] = {}
        self._votes: Counter[int] = Counter()  # by voter, on steps that are counted by pattern and had several votes
        self._against: Counter[int] = Counter()
        self._alone: Counter[int] = Counter()  # the same for steps of a single vote

    def add(self, decided: DecidedStep) -> None:
        """Count one decided step."""
        sequence = tuple([reply.voter for reply in decided.replies if reply.choice is not None])
        if decided.tally == (len(sequence),) and (sequence in self._sequences or len(self._sequences) < MAX_SEQUENCES):
            self._sequences[sequence] = self._sequences.get(sequence, 0) + 1
            if decided.flags:
                self._keep(_unanimous(sequence), decided)
        elif sequence:
            self._add_pattern(pattern_of(decided), decided)

    def _add_pattern(self, pattern: Pattern, decided: DecidedStep) -> None:
        if sum(cast_votes(pattern)) > 1:
            for voter, won, second, other in pattern:
                self._votes[voter] += won + second + other
                self._against[voter] += second + other
        else:
            self._alone[pattern[0].voter] += 1
        counts = self._patterns
        if pattern not in counts and len(counts) >= MAX_PATTERNS:
            pattern, counts = pooled(pattern), self._pooled
            if pattern not in counts and len(counts) >= MAX_POOLED:
                pattern = _most_similar(pattern, counts)
        counts[pattern] = counts.get(pattern, 0) + 1
        self._keep(pattern, decided)

    def _keep(self, pattern: Pattern, decided: DecidedStep) -> None:
        """Keep a step as an example, if it is more doubtful than the least doubtful one kept."""
        kept = self.examples.setdefault(pattern, [])
        if len(kept) == MAX_EXAMPLES and (decided.rounds, decided.flags) <= (kept[0].rounds, kept[0].flags):
            return
        margin = margin_of(pattern_of(decided))
        example = PatternExample(decided.rounds, decided.flags, decided.step, margin, decided.tally)
        keep_largest(kept, example, MAX_EXAMPLES)

    def counted(self) -> dict[Pattern, int]:
        """Every pattern and the number of its steps."""
        counts = Counter(self._patterns)
        counts.update(self._pooled)
        for sequence, steps in self._sequences.items():
            counts[_unanimous(sequence)] += steps
        return dict(counts)

    def shares(self) -> dict[int, tuple[int, int]]:
        """By voter: votes against the winner, and all votes, on steps with several votes."""
        votes, against = self._votes.copy(), self._against.copy()
        for sequence, steps in self._sequences.items():
            for voter in sequence if len(sequence) > 1 else ():
                votes[voter] += steps
        return {voter: (against[voter], votes[voter]) for voter in sorted(votes)}

    def dissents(self) -> dict[int, tuple[int, int]]:
        """By voter: votes against the winner, and all votes, on all steps."""
        votes = self._alone.copy()
        for sequence, steps in self._sequences.items():
            if len(sequence) == 1:
                votes[sequence[0]] += steps
        shares = self.shares()
        return {
            voter: (shares.get(voter, (0, 0))[0], shares.get(voter, (0, 0))[1] + votes[voter])
            for voter in sorted(shares.keys() | votes.keys())
        }

    @property
    def pooled_steps(self) -> int:
        """The number of steps that are counted with all voters as one."""
        return sum(self._pooled.values())


def keep_largest(kept: list[Any], one: Any, most: int) -> None:
    """Keep an item in a heap of at most `most` items, in place of the smallest one where the heap is full."""
    (heappush if len(kept) < most else heappushpop)(kept, one)


def pattern_of(decided: DecidedStep) -> Pattern:
    """How the votes of a step fell, by voter. Of equal runners-up, the one that had a vote first counts."""
    votes, winner = decided.cast, decided.winner
    totals = Counter(vote.candidate for vote in votes)
    totals.pop(winner, None)
    second = max(totals, key=totals.__getitem__, default=None)
    parts: dict[int, list[int]] = {}
    for vote in votes:
        part = parts.setdefault(vote.voter, [0, 0, 0])
        part[0 if vote.candidate == winner else 1 if vote.candidate == second else 2] += 1
    return tuple([VoterTally(voter, *parts[voter]) for voter in sorted(parts)])


def cast_votes(pattern: Pattern) -> tuple[int, int, int]:
    """Votes on a step by all voters: for the winner, for the runner-up, and for any other choice."""
    if len(pattern) == 1:
        _, won, second, other = pattern[0]
        return won, second, other
    return sum(part.won for part in pattern), sum(part.second for part in pattern), sum(part.other for part in pattern)


def pooled(pattern: Pattern, voter: int = ALL_VOTERS) -> Pattern:
    """The same votes as if one voter had cast them all."""
    return (VoterTally(voter, *cast_votes(pattern)),)


def margin_of(pattern: Pattern) -> int:
    """Votes of the winner minus those of the runner-up; negative where fewer votes weighed more."""
    won, second, _ = cast_votes(pattern)
    return won - second


def _unanimous(sequence: tuple[int, ...]) -> Pattern:
    return tuple([VoterTally(voter, votes, 0, 0) for voter, votes in sorted(Counter(sequence).items())])


def _most_similar(pattern: Pattern, known: dict[Pattern, int]) -> Pattern:
    """The pooled pattern nearest to another one, among those with no larger margin where there are any."""
    margin, (votes,) = margin_of(pattern), pattern

    def distance(other: Pattern) -> tuple[bool, int]:
        return margin_of(other) > margin, sum(abs(a - b) for a, b in zip(votes[1:], other[0][1:], strict=True))

    return min(known, key=distance)
