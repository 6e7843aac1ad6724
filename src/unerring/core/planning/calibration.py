"""A calibration: the counts of a pilot, which samples steps drawn at random to measure voters.

Every step is asked for one vote of each voter. If one of them errs, the step is sampled again, `REPEAT_VOTES` times by
every voter: those few steps show whether errors scatter or repeat, and a pilot that spread its samples evenly would
hardly ever see it. No precision is lost. Shares are counted on first votes alone, one a step, which are independent,
so their intervals are exact. What follows from repeated samples is a likelihood, and it does not depend on why these
steps were chosen (`unerring.core.planning.spread`).

If a voter errs on many steps, sampling them all again would leave no samples for the others. Once `MIN_REPEATED_STEPS`
of its errors were sampled again, further ones are not (`RepeatSampling`).
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from unerring.core.journal.spend import Account, known_dollars
from unerring.core.voting.canonical import Json
from unerring.core.voting.redflag import FlagKind, FlagRules
from unerring.core.voting.sample import Usage

REPEAT_VOTES = 24  # further votes of each voter on a step where one erred
MIN_REPEATED_STEPS = 60  # sampled again after which a voter's errors are well known, if ...
FREQUENT_ERROR_SHARE = 0.25  # ... it errs on more than this share of all steps
# Mean log-probabilities of an answer's tokens, nats, that divide votes into bins with a weight each.
LOGPROB_EDGES = (-1.0, -0.3, -0.1, -0.03, -0.01, -0.003, -0.001, -0.0003, -0.0001)


@dataclass(frozen=True, slots=True)
class PilotSample:
    """One sample of a pilot.

    voter: the number of its voter.
    choice: its canonical choice; None where it was flagged.
    flag: its red flag; None for a vote.
    usage: its tokens.
    logprob: mean log-probability of its tokens, nats; None where the model gives none.
    seconds: how long its call took.
    """

    voter: int
    choice: str | None
    flag: FlagKind | None
    usage: Usage
    logprob: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PilotStep:
    """One step of a pilot.

    step: the number of the step.
    samples: its samples by number.
    right: the canonical choice that counts as right.
    """

    step: int
    samples: tuple[PilotSample, ...]
    right: str


@dataclass(frozen=True, slots=True)
class VoterOnErrorStep:
    """The votes of one voter on a step where some voter's first vote was wrong.

    right: its right votes.
    wrong: its wrong votes.
    first_wrong: whether its first vote was wrong.
    rival: its votes, after the first, for the most frequent wrong choice.
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
        """The share of the most frequent wrong choice among the votes for it and for the right one, smoothed."""
        return (self.rival + 0.5) / (self.later_right + self.rival + 1.0)

    @property
    def mute(self) -> float:
        """The share of its further samples that were for neither of these: flagged, or for another wrong choice."""
        return max(0.0, 1.0 - (self.later_right + self.rival) / REPEAT_VOTES)

    @property
    def chance(self) -> float:
        """The probability of a wrong vote here, from the votes after the first, smoothed by one more."""
        return (self.later_wrong + 0.5) / (self.later + 1.0)


@dataclass(frozen=True, slots=True)
class ErrorStep:
    """A step where some voter's first vote was wrong.

    step: the number of the step.
    voters: the votes of each voter there.
    right: right votes of all voters after the first.
    rival: their votes for the most frequent wrong choice.
    """

    step: int
    voters: tuple[VoterOnErrorStep, ...]
    right: int
    rival: int

    @property
    def repeated(self) -> bool:
        """Whether the step was sampled again."""
        return any(voter.later for voter in self.voters)


@dataclass(slots=True)
class VoterCount:
    """The counts of one voter, over first samples and first votes: one a step.

    name: the name of the voter.
    steps: steps that it was asked.
    flagged: steps whose first sample was flagged.
    votes: steps with a vote.
    wrong: steps whose first vote was wrong.
    collisions: steps whose first two votes were wrong.
    same_wrong: those of them whose first two votes agreed.
    usage: tokens of first samples.
    flags: flagged first samples by kind.
    bins: [right, wrong] first votes by bin of log-probability; the last bin is for votes without one.
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
        """Count the first vote of a step, and whether the first two were wrong."""
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
    """The bin of a log-probability, ascending; the last bin where there is none."""
    if logprob is None:
        return len(LOGPROB_EDGES) + 1
    return sum(logprob >= edge for edge in LOGPROB_EDGES)


class RepeatSampling:
    """Decides which steps are sampled again: those where a voter errs whose errors are not well known yet.

    Ask in the order of the steps, so that a resumed or concurrent pilot chooses the same ones.
    """

    def __init__(self, calibration: "Calibration") -> None:
        self._steps = calibration.steps
        self._erred = [voter.wrong for voter in calibration.voters]
        self._repeated = [
            sum(step.repeated and step.voters[number].first_wrong for step in calibration.error_steps)
            for number in range(len(calibration.voters))
        ]

    def wanted(self, erring: Collection[int]) -> bool:
        """Whether the next step, where these voters err, is sampled again."""
        wanted = any(
            self._repeated[one] < MIN_REPEATED_STEPS or self._erred[one] <= FREQUENT_ERROR_SHARE * self._steps
            for one in erring
        )
        self._steps += 1
        for one in erring:
            self._erred[one] += 1
            self._repeated[one] += wanted
        return wanted


@dataclass(frozen=True, slots=True)
class PilotSpend:
    """The cost of a pilot's paid calls so far, over all its sessions; dollars are None at unknown prices."""

    calls: int
    """Requests that were sent."""
    tokens: int
    """Tokens read and written, with those of unknown calls at their worst."""
    dollars: float | None
    """Their price."""
    unknown_calls: int
    """How many of the calls have an outcome that will never be known, such as those in flight at a kill."""
    unknown_dollars: float | None
    """The most that these can have cost; it is part of `dollars`."""


def pilot_spend(account: Account) -> PilotSpend | None:
    """What calls cost by an account; None where there were none."""
    if not account.calls:
        return None
    spent, unknown = account.spent, account.unknown
    dollars, unknown_dollars = known_dollars(spent.money), known_dollars(unknown.money)
    return PilotSpend(account.calls, spent.tokens, dollars, account.lost, unknown_dollars)


@dataclass(slots=True)
class Calibration:
    """The counts of a pilot.

    process, parameters: the process whose steps were drawn.
    model: the name of the model or ensemble.
    judged_by: `truth`, or `votes` where the winner by a wide margin stands in for it.
    temperature: the sampling temperature.
    flag_rules: which samples were flagged.
    seed: the seed of the pilot's samples.
    at_once: the number of samples that were in flight.
    software: the version of unerring that drew it.
    walked: whether the chain was entered at its start, because it cannot be entered at any step.
    at: the state that a walked chain has reached.
    asked_for: the number of samples that was requested.
    samples, steps: samples and steps that were counted.
    calls_seconds: the sum of the samples' call times.
    pairs_wrong: steps whose first two votes, of two voters, were both wrong.
    pairs_same: those of them where these two agreed.
    voters: the counts of each voter.
    error_steps: the steps where some voter's first vote was wrong.
    request: the request settings (`unerring.core.request.Request.to_json`).
    spent: what the calls cost; None where nothing was paid for.
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
    error_steps: list[ErrorStep] = field(default_factory=list)
    request: dict[str, Json] = field(default_factory=dict)
    spent: PilotSpend | None = None

    def add(self, step: PilotStep) -> None:
        """Count one step."""
        by_voter: list[list[PilotSample]] = [[] for _ in self.voters]
        for sample in step.samples:
            by_voter[sample.voter].append(sample)
        firsts = []
        for voter, samples in zip(self.voters, by_voter, strict=True):
            voter.count_first(samples[0])
            votes = [sample for sample in samples if sample.choice is not None]
            voter.count_votes(votes, step.right)
            firsts.append(votes[0].choice if votes else None)
        self.steps += 1
        self.samples += len(step.samples)
        self.calls_seconds += sum(sample.seconds for sample in step.samples)
        self._count_pair(firsts, step.right)
        if any(first not in (None, step.right) for first in firsts):
            self._count_errors(step, by_voter)

    def _count_pair(self, firsts: Sequence[str | None], right: str) -> None:
        """Count whether the step's first two votes, of two voters, were both wrong, and whether they agreed."""
        votes = [first for first in firsts if first is not None]
        if len(votes) > 1 and right not in votes[:2]:
            self.pairs_wrong += 1
            self.pairs_same += votes[0] == votes[1]

    def _count_errors(self, step: PilotStep, by_voter: Sequence[Sequence[PilotSample]]) -> None:
        each = []
        votes = [[one.choice for one in samples if one.choice is not None] for samples in by_voter]
        for choices in votes:
            right = sum(choice == step.right for choice in choices)
            later = Counter(choice for choice in choices[1:] if choice != step.right)
            first_wrong = bool(choices) and choices[0] != step.right
            each.append(VoterOnErrorStep(right, len(choices) - right, first_wrong, max(later.values(), default=0)))
        pooled = Counter(choice for choices in votes for choice in choices[1:])
        rival = max((count for choice, count in pooled.items() if choice != step.right), default=0)
        self.error_steps.append(ErrorStep(step.step, tuple(each), pooled[step.right], rival))

    def only(self, number: int) -> "Calibration":
        """The calibration of one voter alone. Steps that were sampled again for another voter's error do no harm."""
        error_steps = [
            ErrorStep(step.step, (one := step.voters[number],), one.later_right, one.rival)
            for step in self.error_steps
        ]
        voter = self.voters[number]
        return replace(
            self,
            model=voter.name,
            voters=[voter],
            error_steps=error_steps,
            pairs_wrong=0,
            pairs_same=0,
            steps=voter.steps,
        )

    def repeated_share(self, voter: int, alone: bool = False) -> float:
        """The share of the steps where a voter erred that were sampled again; 1 where it erred on none.

        `alone` takes only those where no other voter erred, so no other voter's error caused it.
        """
        erred = repeated = 0
        for step in self.error_steps:
            if step.voters[voter].first_wrong and not (alone and sum(one.first_wrong for one in step.voters) > 1):
                erred += 1
                repeated += step.repeated
        return repeated / erred if erred else 1.0

    @property
    def latency(self) -> float | None:
        """Mean seconds of a sample's call, with `at_once` samples in flight; None where it was not measured."""
        return self.calls_seconds / self.samples if self.samples and self.calls_seconds else None
