"""The certificate of a run: how many of its steps are wrong, as far as its votes show, and under which assumptions.

It is computed from the journal alone, without a right answer, during a run or after it. The model is that of
`unerring.core.certificate.error_model`, fitted by `unerring.core.certificate.fit`. Where votes have weights, these say
more, and are used instead (`unerring.core.certificate.weighted_margins`).

Where every step was decided by a single vote there is no disagreement to learn from, and nothing is certified. The
plan's p, if there is one, then gives the expected number: of n_j votes by voter j, n_j (1 - p_j) are wrong.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import exp, sqrt
from typing import Any

from unerring.core.certificate.dissent_alarm import DissentAlarm
from unerring.core.certificate.error_model import PatternEvidence, WrongStepOutlook
from unerring.core.certificate.expectations import Expectations
from unerring.core.certificate.fit import (
    REGION_NATS,
    FittedErrorModel,
    fit_error_model,
    poisson_quantile,
    pooled_evidence,
)
from unerring.core.certificate.vote_patterns import Pattern, PatternExample, VotePatterns, cast_votes, pooled
from unerring.core.certificate.weighted_margins import WeightedMargins
from unerring.core.voting.canonical import Json

MAX_NEAREST = 10  # steps in a certificate
MAX_WRONG_SHARE = 0.4  # of votes; above it voting means little
MIN_VOTES_TO_JUDGE = 30  # with fewer, an estimate above that share says that votes are few, not that they are bad
MIN_FIRST_VOTES = 100  # fewer say too little about a voter's p

WARN_SINGLE_VOTES = (
    "every step was decided by a single vote, which no other vote could contradict: votes certify nothing"
)
WARN_NO_STEPS = "no step is decided yet"
WARN_NO_VOTES = "no step is decided by votes yet"
WARN_DEPENDENT_VOTERS = (
    "voters err on the same steps more often than if they were independent: they are counted as one voter"
)
WARN_HARDLY_RIGHT = "votes are hardly more often right than wrong: their winners mean little"
WARN_FEW_VOTES = "votes are too few to show that they are more often right than wrong"

ASSUME_INDEPENDENT = (
    "on steps that are equally hard for them, voters err independently of each other and of their earlier votes"
)
ASSUME_ONE_VOTER = "on no step is the one voter always wrong in the same way: its own votes cannot show such a step"
ASSUME_COUNTED_AS_ONE = "on no step are all voters always wrong in the same way: their votes cannot show such a step"
ASSUME_MOSTLY_RIGHT = (
    "votes are more often right than wrong; the upper bound of wrong steps holds even if wrong votes always agree"
)
ASSUME_BETA = "p varies over steps by a beta distribution, or not at all if dissent is too rare to show how much"
ASSUME_PLAN = "voters err as often as the plan says"
ASSUME_WEIGHTS = "votes are right as often as in the calibration that their weights come from"
ASSUME_SAME_REPEATS = (
    "errors repeat as in that calibration: a kind of step that it did not have, on which a voter always errs, "
    "is not seen"
)
ASSUME_INDEPENDENT_VOTERS = "voters err independently of each other"
ASSUME_WINNERS_RIGHT = "winners are right: a voter's p is the share of its first votes on steps that went to them"


@dataclass(frozen=True, slots=True)
class CertifiedRun:
    """What a certificate uses of a run besides its patterns of votes.

    voters: the names of voters, by number.
    expected: what the plan expects.
    leads: the margins of its steps, where votes have weights; else None.
    alarms: alarms about dissent.
    ruled: steps that people decided; their votes do not count.
    redrawn: how often samples were set aside and drawn again; those set aside do not count.
    inherited: steps that another run decided.
    undecided: steps that stayed undecided, and after which a function process continued; their votes do not count.
    """

    voters: Mapping[int, str]
    expected: Expectations
    leads: WeightedMargins | None = None
    alarms: Iterable[DissentAlarm] = ()
    ruled: int = 0
    redrawn: int = 0
    inherited: int = 0
    undecided: int = 0

    def planned(self, voter: int) -> tuple[float, float, float] | None:
        """The plan's p of a voter: low, estimate, high; None where it has none."""
        return self.expected.p.get(self.voters.get(voter, ""))


def certificate_of(patterns: VotePatterns, run: CertifiedRun) -> dict[str, Json]:
    """The certificate as JSON data. The keys are stable and numbers finite; None stands for what is not known."""
    certificate = _by_votes(patterns, run)
    certificate["assumptions"] = [*_assumptions_on_people(run), *certificate["assumptions"]]
    return certificate


def _assumptions_on_people(run: CertifiedRun) -> Iterator[str]:
    """Assumptions where people decided steps, no answer won, or the run was forked from another."""
    if run.inherited:
        steps = "1 step was" if run.inherited == 1 else f"{run.inherited:,} steps were"
        yield f"{steps} taken over from another run and assumed right; that run has the evidence"
    if run.ruled:
        steps = "1 step was" if run.ruled == 1 else f"{run.ruled:,} steps were"
        yield f"{steps} decided by people and assumed right; votes on them are no evidence"
    if run.undecided:
        steps = "1 step" if run.undecided == 1 else f"{run.undecided:,} steps"
        yield f"{steps} stayed undecided, and the function continued; votes on them are no evidence"
    if run.redrawn:
        times = "once" if run.redrawn == 1 else f"{run.redrawn:,} times"
        yield f"samples of an undecided step were set aside and drawn again {times}; those set aside are no evidence"


def _by_votes(patterns: VotePatterns, run: CertifiedRun) -> dict[str, Any]:
    steps = patterns.counted()
    alarms: list[Json] = [alarm.sentence for alarm in run.alarms]
    if steps and run.leads is not None:
        return _from_margins(run.leads, run, sum(steps.values()), alarms)
    if not any(sum(cast_votes(pattern)) > 1 for pattern in steps):
        return _from_plan(steps, run, alarms)
    shares = patterns.shares()
    estimate, together = _estimate(steps, shares)
    chances = {pattern: estimate.chances[pooled(pattern, 0) if together else pattern] for pattern in steps}
    low, high = estimate.interval()
    total = sum(steps.values())
    if together:
        wrong = {voter: (lost + 0.5) / (votes + 1.0) for voter, (lost, votes) in shares.items()}
    else:
        wrong = dict(estimate.wrong)
    return _outlook_json(estimate.outlook, estimate.high.none, (min(low, total), min(high, total))) | {
        "voters": [
            _voter(run, voter, 1.0 - wrong[voter] if votes else None, votes) for voter, (_, votes) in shares.items()
        ],
        "repeat": estimate.again,
        "nearest": _nearest(
            (chances[pattern], example) for pattern, kept in patterns.examples.items() for example in kept
        ),
        "assumptions": _assumptions(patterns, len(shares), together),
        "warnings": [
            *([WARN_DEPENDENT_VOTERS] if together else []),
            *_warnings(estimate, shares, steps, run),
            *alarms,
        ],
        "certifiable": True,
    }


def _estimate(steps: Mapping[Pattern, int], shares: Mapping[int, tuple[int, int]]) -> tuple[FittedErrorModel, bool]:
    """The fitted model, and whether it counts all voters as one, if that raises the likelihood by `REGION_NATS`.

    If they were independent, that would happen in at most one of twenty runs (e^-3: under the truth the mean of a
    likelihood ratio is 1), and the certificate would be too cautious. That several voters err alike on a step shows
    only where others outvote them.
    """
    estimate = fit_error_model(PatternEvidence(steps, shares))
    if len(shares) > 1 and any(lost for lost, _ in shares.values()):
        one = fit_error_model(pooled_evidence(steps, shares))
        if one.height > estimate.height + REGION_NATS:
            return one, True
    return estimate, False


def _outlook_json(outlook: WrongStepOutlook | None, none_low: float, interval: tuple[int, int]) -> dict[str, Json]:
    return {
        "expected_wrong": None if outlook is None else outlook.wrong,
        "zero_probability": None if outlook is None else outlook.none,
        "zero_probability_low": none_low,
        "wrong_interval": list(interval),
    }


def _from_margins(leads: WeightedMargins, run: CertifiedRun, steps: int, alarms: list[Json]) -> dict[str, Json]:
    """The certificate from margins. A voter's p follows from first votes: others are cast on hard steps."""
    voters = {voter: leads.first.get(voter, (0, 0)) for voter in run.voters}
    p = {
        voter: 1.0 - (lost + 0.5) / (votes + 1.0)
        for voter, (lost, votes) in voters.items()
        if votes >= MIN_FIRST_VOTES
    }
    apart, judged = [ASSUME_INDEPENDENT_VOTERS] if len(run.voters) > 1 else [], [ASSUME_WINNERS_RIGHT] if p else []
    return _outlook_json(leads.outlook, leads.none_low, (0, min(leads.most_wrong, steps))) | {
        "voters": [_voter(run, voter, p.get(voter), votes) for voter, (_, votes) in voters.items()],
        "repeat": None,
        "nearest": _nearest(leads.nearest()),
        "assumptions": [ASSUME_WEIGHTS, ASSUME_SAME_REPEATS, *apart, *judged],
        "warnings": [*_outvoted(voters, run), *alarms],
        "certifiable": True,
    }


def _from_plan(steps: Mapping[Pattern, int], run: CertifiedRun, alarms: list[Json]) -> dict[str, Json]:
    """The certificate where no step had two votes."""
    votes: Counter[int] = Counter()
    for pattern, count in steps.items():
        votes[pattern[0].voter] += count
    known = [(count, p) for voter, count in votes.items() if (p := run.planned(voter)) is not None]
    outlook, none_low, interval = None, float(not votes), (0, votes.total())
    if run.inherited and not votes:  # this journal shows nothing about the steps that another run decided
        none_low, interval = 0.0, (0, run.inherited)
    elif len(known) == len(votes):
        most, wrong, least = (sum(count * (1.0 - p[end]) for count, p in known) for end in range(3))
        outlook, none_low = WrongStepOutlook(wrong, exp(-wrong)), exp(-most)
        quantiles = poisson_quantile(least, 0.025), poisson_quantile(most, 0.975)
        interval = min(quantiles[0], votes.total()), min(quantiles[1], votes.total())
    unvoted = run.ruled or run.inherited or run.undecided
    return _outlook_json(outlook, none_low, interval) | {
        "voters": [_voter(run, voter, None, count) for voter, count in sorted(votes.items())],
        "repeat": None,
        "nearest": [],
        "assumptions": [ASSUME_PLAN] if votes and outlook is not None else [],
        "warnings": [
            WARN_SINGLE_VOTES if votes else WARN_NO_VOTES if unvoted else WARN_NO_STEPS,
            *alarms,
        ],
        "certifiable": False,
    }


def _voter(run: CertifiedRun, voter: int, p: float | None, votes: int) -> dict[str, Json]:
    """A voter's probability of a right vote, the number of votes that show it, and the plan's interval."""
    planned = run.planned(voter)
    return {
        "name": run.voters.get(voter, ""),
        "p": p,
        "votes": votes,
        "planned": None if planned is None else list(planned),
    }


def _nearest(examples: Iterable[tuple[float, PatternExample]]) -> list[Json]:
    """The steps nearest to being wrong: first by probability, then by margin, rounds and flags."""
    ranked = sorted(
        examples,
        key=lambda one: (-one[0], one[1].margin, -one[1].rounds, -one[1].flags, one[1].step),
    )
    return [
        {
            "step": example.step,
            "tally": list(example.tally),
            "margin": example.margin,
            "rounds": example.rounds,
            "flags": example.flags,
            "wrong_probability": chance,
        }
        for chance, example in ranked[:MAX_NEAREST]
    ]


def _assumptions(patterns: VotePatterns, voters: int, together: bool) -> list[Json]:
    first = ASSUME_COUNTED_AS_ONE if together else ASSUME_ONE_VOTER if voters == 1 else ASSUME_INDEPENDENT
    assumptions: list[Json] = [first, ASSUME_MOSTLY_RIGHT, ASSUME_BETA]
    if patterns.pooled_steps:
        assumptions.append(
            f"on {patterns.pooled_steps:,} steps voters are not distinguished: votes fell in too many ways"
        )
    return assumptions


def _warnings(
    estimate: FittedErrorModel, shares: Mapping[int, tuple[int, int]], steps: Mapping[Pattern, int], run: CertifiedRun
) -> list[Json]:
    votes = sum(count for _, count in shares.values())
    a_step = votes / sum(count for pattern, count in steps.items() if sum(cast_votes(pattern)) > 1)
    hardly: list[Json] = []
    if estimate.mean_wrong > MAX_WRONG_SHARE:
        hardly = [WARN_FEW_VOTES if votes < MIN_VOTES_TO_JUDGE else WARN_HARDLY_RIGHT]
    # a voter's votes on one step are not independent of each other
    return [*hardly, *_outvoted(shares, run, 1.0 + estimate.again * a_step)]


def _outvoted(shares: Mapping[int, tuple[int, int]], run: CertifiedRun, variance: float = 1.0) -> Iterator[Json]:
    """Voters that lost three standard deviations more often than the plan allows."""
    for voter, (lost, count) in shares.items():
        planned = run.planned(voter)
        if planned is None:
            continue
        most = count * (1.0 - planned[0])
        if lost > most + 3.0 * sqrt(max(1.0, most) * variance):
            name = run.voters.get(voter, "")
            yield f"{name} was outvoted {lost:,} times in {count:,} votes, planned were {most:,.0f} at most"
