"""The assumptions of a plan about steps and voters: stated by hand, or derived from a calibration, pessimistically.

From a calibration, two sorts of steps are distinguished. On *hard* steps a voter's further votes were wrong far more
often than its errors elsewhere explain; these are planned for as they were observed. On all other steps a voter's
probability of an error varies as a Beta distribution does, with the largest mean and spread that the pilot leaves
plausible.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from unerring.core.planning.calibration import Calibration, VoterOnErrorStep
from unerring.core.planning.estimates import (
    IntervalEstimate,
    alone_shares,
    ensemble_estimate,
    is_hard,
    noticed_probability,
    voter_estimate,
)
from unerring.core.planning.intervals import upper_bound
from unerring.core.planning.measured_weights import LogprobBins, measured_bins
from unerring.core.planning.spread import (
    ErrorSpread,
    StepKind,
    VoterTurns,
    beta_spread,
    equal_spread,
    independent_kinds,
    least_concentration,
    scaled_kinds,
    voter_kinds,
)
from unerring.core.voting.weights import VoterWeights, millinats
from unerring.errors import InputError

MIN_NARROW_SHAPE = 3.0  # Beta(a, b) with a larger a is narrow: errors fall on most steps alike
MAX_AMOUNT = 1e12  # tokens, seconds or dollars; a larger number is a typing error
MIN_V = 1e-9  # a smaller share of samples without a red flag is one, too


@dataclass(frozen=True, slots=True)
class Assumptions:
    """The assumptions of a plan. Voters take turns.

    model: the name of the model or ensemble.
    voters: the names of its voters.
    p: by voter, the probability that an unflagged vote is right, estimated.
    spread: the error probabilities that are planned for, by kind of step.
    calm: those at the optimistic end of what the pilot leaves possible: the fewest errors.
    v: the probability that a sample raises no red flag.
    input_tokens, output_tokens: mean tokens of a sample; None where they are not known.
    latency: mean seconds of a call; None where it was not measured.
    at_once: the number of samples in flight when `latency` was measured; None if it holds for any number.
    pathological: the share of steps on which the most likely answer is wrong; None where it was not measured.
    voter_bins: by voter, how its votes fall into bins of log-probability.
    notes: what the plan relies on besides, a sentence each.
    """

    model: str
    voters: tuple[str, ...]
    p: tuple[IntervalEstimate, ...]
    spread: ErrorSpread
    calm: ErrorSpread
    v: float = 1.0
    input_tokens: float | None = None
    output_tokens: float | None = None
    latency: float | None = None
    at_once: int | None = None
    pathological: IntervalEstimate | None = None
    voter_bins: tuple[LogprobBins, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def mean_p(self) -> float:
        """The mean of `p` over all voters: the paper's formulas take it for p."""
        return sum(share.estimate for share in self.p) / len(self.p)


def stated_assumptions(
    p: float,
    v: float = 1.0,
    input_tokens: float | None = None,
    output_tokens: float | None = None,
    latency: float | None = None,
) -> Assumptions:
    """Assumptions from figures given by hand: the same p on every step, known exactly."""
    if not 0.0 <= p <= 1.0:
        raise InputError(f"p is a probability, between 0 and 1; it cannot be {p:g}")
    if not MIN_V <= v <= 1.0:
        raise InputError(f"v is the share of samples without a red flag, from {MIN_V:g} to 1; it cannot be {v:g}")
    for name, value in {"input_tokens": input_tokens, "output_tokens": output_tokens, "latency": latency}.items():
        if value is not None and not 0.0 <= value <= MAX_AMOUNT:
            raise InputError(f"{name} cannot be {value:g}; it is a number from 0 to {MAX_AMOUNT:g}")
    steps, vote = equal_spread([1.0 - p]), millinats(p)
    return Assumptions(
        model=f"p = {p:g}",
        voters=("given",),
        p=(IntervalEstimate(p, p, p),),
        spread=steps,
        calm=steps,
        v=v,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        latency=latency,
        voter_bins=(LogprobBins((1.0,), (1.0,), VoterWeights((vote,), vote)),),
    )


def measured_assumptions(calibration: Calibration, confidence: float = 0.95) -> Assumptions:
    """Assumptions from a calibration; each bound is one-sided with the given confidence.

    Raises `InputError` for a calibration without votes.
    """
    if not calibration.steps or any(voter.votes == 0 for voter in calibration.voters):
        raise InputError("the calibration holds no votes to plan with; calibrate with more samples")
    each = [voter_estimate(calibration, number) for number in range(len(calibration.voters))]
    together = ensemble_estimate(calibration) if len(each) > 1 else each[0]
    if together.v.low < MIN_V:
        raise InputError(
            "nearly all samples of the calibration were flagged; calibrate with more, or with other red flags"
        )
    spread = _planned_spread(calibration, confidence)
    return Assumptions(
        model=calibration.model,
        voters=tuple(voter.name for voter in calibration.voters),
        p=tuple(one.p for one in each),
        spread=spread,
        calm=beta_spread([1.0 - one.p.high for one in each], spread.concentration),
        v=together.v.low if confidence > 0.5 else together.v.estimate,
        input_tokens=together.input_tokens or None,  # 0 where the model reports no usage
        output_tokens=together.output_tokens or None,
        latency=calibration.latency,
        at_once=calibration.at_once,
        pathological=together.pathological,
        voter_bins=measured_bins(calibration),
        notes=_notes(calibration),
    )


def _planned_spread(calibration: Calibration, confidence: float) -> ErrorSpread:
    """Hard steps as they were observed; all others by Beta distributions as bad as the pilot leaves plausible."""
    usual = [(voter.wrong + 1.0) / (voter.votes + 2.0) for voter in calibration.voters]
    plain, seen = [], []
    for number, (voter, mean) in enumerate(zip(calibration.voters, usual, strict=True)):
        mine = [step.voters[number] for step in calibration.error_steps]
        hard = [one for one in mine if is_hard(one, mean)]
        votes = voter.votes - len(hard)
        plain.append(upper_bound(voter.wrong - sum(one.first_wrong for one in hard), votes, confidence))
        seen.append((plain[-1], _votes_by_step([one for one in mine if not is_hard(one, mean)], votes)))
    concentration = least_concentration(seen)
    alone, joint = _hard_steps(calibration, usual, plain)
    shared = _shared_difficulty(calibration, plain) if len(plain) > 1 else 1.0
    if (
        min(plain) * concentration > MIN_NARROW_SHAPE
    ):  # with so little spread it does not matter which voter finds a step hard
        shared = 1.0
    rest = 1.0 - sum(kind.share for kind in joint)
    together = [kind for each in alone for kind in each]
    common = beta_spread(plain, concentration)
    kinds = [*joint, *scaled_kinds(together, shared * rest)]
    kinds += scaled_kinds(common.kinds, shared * (rest - sum(kind.share for kind in together)))
    if shared < 1.0:
        each = [
            voter_kinds(
                mean, concentration, [VoterTurns(kind.share, kind.wrong[i], kind.mute[i]) for kind in alone[i]]
            )
            for i, mean in enumerate(plain)
        ]
        kinds += scaled_kinds(independent_kinds(each), (1.0 - shared) * rest)
    return ErrorSpread(tuple(kinds), concentration)


def _votes_by_step(error_steps: Sequence[VoterOnErrorStep], votes: int) -> Counter[tuple[int, int]]:
    """Right and wrong votes by step; every step but those with an error had a single vote, and a right one."""
    seen = Counter((one.right, one.wrong) for one in error_steps)
    seen[1, 0] += votes - len(error_steps)
    return seen


def _shared_difficulty(calibration: Calibration, plain: Sequence[float]) -> float:
    """How far the voters find the same steps hard, from 0 (each its own) to 1.

    Measured on steps where one of them erred: there its own further votes are wrong more often than usual, and so may
    be those of the others. The result is the ratio of the two excesses.
    """
    repeats: list[float] = []
    others: list[float] = []
    for step in calibration.error_steps:
        for one, mean in zip(step.voters, plain, strict=True):
            if one.later:
                (repeats if one.first_wrong else others).append(one.later_wrong / one.later - mean)
    excess = sum(repeats) / len(repeats) if repeats else 0.0
    if excess <= 0.0:
        return 1.0
    return min(1.0, max(0.0, sum(others) / len(others) / excess)) if others else 1.0


def _hard_steps(
    calibration: Calibration, usual: Sequence[float], plain: Sequence[float]
) -> tuple[list[list[StepKind]], list[StepKind]]:
    """Kinds for the hard steps observed: for each voter those that were hard for it alone, and those hard for several.

    Each kind also stands for similar steps that the pilot did not notice.
    """
    alone: list[list[StepKind]] = [[] for _ in plain]
    joint: list[StepKind] = []
    repeated = alone_shares(calibration)
    hard = [
        (step, whose)
        for step in calibration.error_steps
        if (whose := [i for i, one in enumerate(step.voters) if is_hard(one, usual[i])])
    ]
    for step, whose in hard:
        wrong = tuple(one.against if i in whose else plain[i] for i, one in enumerate(step.voters))
        mute = tuple(one.mute if i in whose else 0.0 for i, one in enumerate(step.voters))
        kind = StepKind(
            1.0 / max(1.0, calibration.steps * noticed_probability(step, calibration, repeated)), wrong, mute
        )
        (alone[whose[0]] if len(whose) == 1 else joint).append(kind)
    return alone, joint


def _notes(calibration: Calibration) -> tuple[str, ...]:
    notes = []
    if calibration.judged_by != "truth":
        notes.append(
            "the winner by a wide margin stood in for the right choice: an error that all votes share was not seen"
        )
    if calibration.walked:
        notes.append("the steps are those at the start of the chain, not ones drawn at random")
    if len(calibration.voters) > 1:
        notes.append("voters are taken to err independently of each other on hard steps, except where seen otherwise")
    return tuple(notes)
