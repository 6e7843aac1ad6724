"""Calibration: what a pilot says of the voters, from samples of steps drawn at random.

Every step is asked for one vote of each voter. Where one errs, the step is looked at again, LOOKS times by every
voter: whether errors scatter or repeat is decided on those few steps, and a pilot that spent its samples evenly would
hardly ever see. Nothing is lost by it: shares are counted on first votes alone, one a step, which are independent, so
that their intervals are exact; and what is concluded from the second looks is a likelihood, which does not mind that
they were chosen by what was seen (`unerring.core.planning.spread`).

A voter that errs on many steps would have nearly all of them looked at again, and leave no samples to learn of the
others. Once its errors were looked at ENOUGH_LOOKS times, they no longer are (`RepeatSampling`).
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from unerring.core.journal.spend import Account, in_dollars
from unerring.core.voting.canonical import Json
from unerring.core.voting.redflag import FlagKind, FlagRules
from unerring.core.voting.sample import Usage

REPEAT_VOTES = 24  # further votes of each voter on a step where one erred
MIN_REPEATED_STEPS = (
    60  # steps on which a voter erred and that were looked at again, before its errors are well known ...
)
FREQUENT_ERROR_SHARE = 0.25  # ... where it errs on more than this share of all steps
# Mean log-probabilities of an answer's tokens (nats) that part votes into bins, for weighing them.
LOGPROB_EDGES = (-1.0, -0.3, -0.1, -0.03, -0.01, -0.003, -0.001, -0.0003, -0.0001)


@dataclass(frozen=True, slots=True)
class PilotSample:
    """One sample of a pilot: whose, what it chose (None: it was flagged), and what it took, `seconds` for its call."""

    voter: int
    choice: str | None
    flag: FlagKind | None
    usage: Usage
    logprob: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PilotStep:
    """All samples of one step in the order of their numbers, and the choice taken as right."""

    step: int
    samples: tuple[PilotSample, ...]
    right: str


@dataclass(frozen=True, slots=True)
class VoterOnErrorStep:
    """What one voter did on a step where some voter's first vote was wrong.

    `rival` counts the votes, after the first, for the most frequent wrong choice.
    """

    right: int
    wrong: int
    first_wrong: bool
    rival: int

    @property
    def later(self) -> int:
        """Votes after the first."""
        return max(0, self.right + self.wrong - 1)

    @property
    def later_wrong(self) -> int:
        """Wrong votes after the first."""
        return self.wrong - self.first_wrong

    @property
    def later_right(self) -> int:
        """Right votes after the first."""
        return self.later - self.later_wrong

    @property
    def against(self) -> float:
        """The chance that a vote is for the most frequent wrong choice, of those for it and for the right one."""
        return (self.rival + 0.5) / (self.later_right + self.rival + 1.0)

    @property
    def mute(self) -> float:
        """The share of its further samples that were neither: flagged, or for wrong choices of less weight."""
        return max(0.0, 1.0 - (self.later_right + self.rival) / REPEAT_VOTES)

    @property
    def chance(self) -> float:
        """The voter's chance of a wrong vote here, from the votes after the first and one more to smooth it."""
        return (self.later_wrong + 0.5) / (self.later + 1.0)


@dataclass(frozen=True, slots=True)
class ErrorStep:
    """A step where some voter's first vote was wrong: what each did there, and their pooled votes after the first.

    `right` of these were right, and `rival` went to the most frequent wrong choice.
    """

    step: int
    voters: tuple[VoterOnErrorStep, ...]
    right: int
    rival: int

    @property
    def looked(self) -> bool:
        """Whether the step was looked at again."""
        return any(voter.later for voter in self.voters)


@dataclass(slots=True)
class VoterCount:
    """What was counted of one voter. All but `trouble` is counted on first samples and first votes, one a step.

    `steps` were asked of it, `flagged` of their first samples raised a flag, `votes` of them got a vote, `wrong` of
    those were wrong. `bins` holds (right, wrong) first votes by log-probability; the last is for votes without one.
    """

    name: str
    steps: int = 0
    flagged: int = 0
    votes: int = 0
    wrong: int = 0
    collisions: int = 0
    same_wrong: int = 0
    usage: Usage = field(default_factory=Usage)
    flags: Counter[str] = field(default_factory=Counter)
    bins: list[list[int]] = field(default_factory=lambda: [[0, 0] for _ in range(len(LOGPROB_EDGES) + 2)])

    def count_first(self, sample: PilotSample) -> None:
        """Count the first sample of a step."""
        self.steps += 1
        self.usage += sample.usage
        if sample.flag is not None:
            self.flagged += 1
            self.flags[sample.flag.value] += 1

    def count_votes(self, votes: Sequence[PilotSample], right: str) -> None:
        """Count the votes of a step: the first, and with the second whether both were wrong."""
        if not votes:
            return
        self.votes += 1
        wrong = votes[0].choice != right
        self.wrong += wrong
        self.bins[bin_of(votes[0].logprob)][wrong] += 1
        if wrong and len(votes) > 1 and votes[1].choice != right:
            self.collisions += 1
            self.same_wrong += votes[1].choice == votes[0].choice


def bin_of(logprob: float | None) -> int:
    """The number of the bin of a vote: ascending with its log-probability, the last one where there is none."""
    if logprob is None:
        return len(LOGPROB_EDGES) + 1
    return sum(logprob >= edge for edge in LOGPROB_EDGES)


class RepeatSampling:
    """Which steps are looked at again: those where a voter errs whose errors are not well known yet.

    Ask in the order of the steps, so that a pilot that goes on, or has many steps under way, looks at the same ones.
    """

    def __init__(self, calibration: "Calibration") -> None:
        self._steps = calibration.steps
        self._erred = [voter.wrong for voter in calibration.voters]
        self._looked = [
            sum(step.looked and step.voters[number].first_wrong for step in calibration.troubles)
            for number in range(len(calibration.voters))
        ]

    def wanted(self, erring: Collection[int]) -> bool:
        """Whether the next step, where these voters err, is looked at again."""
        wanted = any(
            self._looked[one] < MIN_REPEATED_STEPS or self._erred[one] <= FREQUENT_ERROR_SHARE * self._steps
            for one in erring
        )
        self._steps += 1
        for one in erring:
            self._erred[one] += 1
            self._looked[one] += wanted
        return wanted


@dataclass(frozen=True, slots=True)
class PilotSpend:
    """What the paid calls of a pilot took so far, over all its sessions. Dollars are None at unknown prices."""

    calls: int
    """Requests that were sent."""
    tokens: int
    """Tokens read and written, with those of unknown calls at their worst."""
    dollars: float | None
    """Their price."""
    unknown_calls: int
    """How many of the calls have an outcome that will never be known, such as those under way at a kill."""
    unknown_dollars: float | None
    """The most that these can have cost; it is part of `dollars`."""


def pilot_spend(account: Account) -> PilotSpend | None:
    """What calls took by an account; None where there were none."""
    if not account.calls:
        return None
    spent, unknown = account.spent, account.unknown
    return PilotSpend(account.calls, spent.tokens, _dollars(spent.money), account.lost, _dollars(unknown.money))


def _dollars(money: int | None) -> float | None:
    return None if money is None else in_dollars(money)


@dataclass(slots=True)
class Calibration:
    """Counts of a pilot.

    `judged_by` is `truth`, or `votes` where the winner by a wide margin stands in for it. A chain that cannot be
    entered at any step was `walked` from its start, and stands at the state `at`. The pilot was `asked_for` so many
    samples, and had `at_once` of them under way. `request` is the request settings of its models
    (`unerring.core.request.Request.to_json`). `spent` is what its calls took so far, None where nothing was paid for.
    """

    process: str
    parameters: dict[str, Json]
    model: str
    judged_by: str
    temperature: float
    flag_rules: FlagRules = field(default_factory=FlagRules)
    seed: int = 0
    at_once: int = 1
    software: str = ""
    walked: bool = False
    at: Json = None
    asked_for: int = 0
    samples: int = 0
    steps: int = 0
    calls_seconds: float = 0.0
    pairs_wrong: int = 0
    pairs_same: int = 0
    voters: list[VoterCount] = field(default_factory=list)
    troubles: list[ErrorStep] = field(default_factory=list)
    request: dict[str, Json] = field(default_factory=dict)
    spent: PilotSpend | None = None

    def add(self, looked: PilotStep) -> None:
        """Count one step."""
        by_voter: list[list[PilotSample]] = [[] for _ in self.voters]
        for sample in looked.samples:
            by_voter[sample.voter].append(sample)
        firsts = []
        for voter, samples in zip(self.voters, by_voter, strict=True):
            voter.count_first(samples[0])
            votes = [sample for sample in samples if sample.choice is not None]
            voter.count_votes(votes, looked.right)
            firsts.append(votes[0].choice if votes else None)
        self.steps += 1
        self.samples += len(looked.samples)
        self.calls_seconds += sum(sample.seconds for sample in looked.samples)
        self._count_pair(firsts, looked.right)
        if any(first not in (None, looked.right) for first in firsts):
            self._count_trouble(looked, by_voter)

    def _count_pair(self, firsts: Sequence[str | None], right: str) -> None:
        """The step's first two votes, of two voters: whether both were wrong, and in the same way."""
        votes = [first for first in firsts if first is not None]
        if len(votes) > 1 and right not in votes[:2]:
            self.pairs_wrong += 1
            self.pairs_same += votes[0] == votes[1]

    def _count_trouble(self, looked: PilotStep, by_voter: Sequence[Sequence[PilotSample]]) -> None:
        each = []
        for samples in by_voter:
            choices = [sample.choice for sample in samples if sample.choice is not None]
            right = sum(choice == looked.right for choice in choices)
            later = Counter(choice for choice in choices[1:] if choice != looked.right)
            first_wrong = bool(choices) and choices[0] != looked.right
            each.append(VoterOnErrorStep(right, len(choices) - right, first_wrong, max(later.values(), default=0)))
        pooled = Counter(s.choice for samples in by_voter for s in _after_first_vote(samples))
        rival = max((count for choice, count in pooled.items() if choice != looked.right), default=0)
        self.troubles.append(ErrorStep(looked.step, tuple(each), pooled[looked.right], rival))

    def only(self, number: int) -> "Calibration":
        """The calibration of one voter alone. It was looked at again where others erred, too, which does no harm."""
        troubles = [
            ErrorStep(step.step, (one := step.voters[number],), one.later_right, one.rival) for step in self.troubles
        ]
        voter = self.voters[number]
        return replace(
            self, model=voter.name, voters=[voter], troubles=troubles, pairs_wrong=0, pairs_same=0, steps=voter.steps
        )

    def looked_share(self, voter: int, alone: bool = False) -> float:
        """On which share of the steps where a voter erred these were looked at again; 1 where it erred on none.

        `alone` takes only those where no other voter erred, so that nobody else's errors made them be looked at.
        """
        erred = looked = 0
        for step in self.troubles:
            if step.voters[voter].first_wrong and not (alone and sum(one.first_wrong for one in step.voters) > 1):
                erred += 1
                looked += step.looked
        return looked / erred if erred else 1.0

    @property
    def latency(self) -> float | None:
        """Seconds a sample's call took on average, with `at_once` samples under way."""
        return self.calls_seconds / self.samples if self.samples and self.calls_seconds else None


def _after_first_vote(samples: Sequence[PilotSample]) -> Sequence[PilotSample]:
    return [sample for sample in samples if sample.choice is not None][1:]
