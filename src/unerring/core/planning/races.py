"""Choose the smallest k, or threshold, that reaches a target over a whole chain, and compute the votes it takes.

    success = (1 - e)^(s/m),   e = sum over kinds of steps of share * P(a wrong choice wins)

The paper's formulas (`unerring.core.voting.odds`) are the special case of one kind of step and one voter. Planned for
is the pessimistic end of what a calibration leaves plausible (`unerring.core.planning.assumptions`), so a plan for 95
% succeeds more often than that. It breaks where steps are hard in a way that the pilot did not meet; a plan shows how
many of these there could be.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, exp, expm1, floor, log, log1p, sqrt

from unerring.core.planning.assumptions import Assumptions
from unerring.core.planning.intervals import bisect
from unerring.core.planning.measured_weights import weights_of
from unerring.core.planning.spread import ErrorSpread, StepKind
from unerring.core.planning.walk import RaceOutcome, closed_form_race, walk_race
from unerring.core.planning.weighted_race import GRID_POINTS_PER_NAT, MAX_WEIGHTED_VOTES, equal_weights, weighted_race
from unerring.core.voting import odds
from unerring.core.voting.race import AheadBy, LogOdds, Rule
from unerring.errors import InputError, NoKCanHelp

MAX_K = 400
MAX_PLAN_STEPS = 10**18
MIN_VOTE_CAP = 60
MAX_RACE_VOTES = 5000  # of several voters in turn; a longer race counts as undecided
THRESHOLD_TRIES = 12  # thresholds of log-odds, each larger by a tenth
TRIAL_KINDS = 50  # kinds of steps with most errors, on which a threshold is tried first
RARE_ERROR_SHARE = 0.01  # of the errors that a step may have: kinds too rare to compute count as lost


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """The job that is planned.

    steps: the number of steps of the chain.
    target: the probability that all are decided correctly.
    m: the number of steps that one subtask decides.
    """

    steps: int
    target: float = 0.95
    m: int = 1

    def __post_init__(self) -> None:
        if type(self.steps) is not int or self.steps < 1:
            raise InputError(f"steps is a whole number, at least 1; it cannot be {self.steps!r}")
        if type(self.m) is not int or self.m < 1:
            raise InputError(f"m is the number of steps that one subtask decides, at least 1; it cannot be {self.m!r}")
        if self.steps > MAX_PLAN_STEPS:
            raise InputError(
                f"steps is a whole number, at most {MAX_PLAN_STEPS:.0e}: no longer chain can be planned for"
            )
        if self.m > self.steps:
            raise InputError(f"m cannot be more than the {self.steps:,} steps of the whole chain")
        if type(self.target) not in {int, float} or not 0.0 < self.target < 1.0:
            raise InputError(f"the target is a probability strictly between 0 and 1; it cannot be {self.target!r:.40}")

    @property
    def subtasks(self) -> float:
        return self.steps / self.m

    @property
    def error(self) -> float:
        """The error probability of a subtask that just reaches the target: 1 - t^(m/s), below 1."""
        return min(-expm1(log(self.target) / self.subtasks), 1.0 - 2.0**-53)


@dataclass(frozen=True, slots=True)
class ExpectedRaces:
    """The expected races of a chain under a rule, on average over kinds of steps.

    rule: the rule.
    error: the probability that a race is lost or undecided.
    votes: mean votes of a race.
    deviation: their standard deviation.
    dissent: the share of races with a vote against the winner.
    cap: a number of votes that practically no race exceeds.
    """

    rule: Rule
    error: float
    votes: float
    deviation: float
    dissent: float
    cap: int

    def success(self, job: PlannedJob) -> float:
        """The probability (1 - e)^(s/m) that no step is decided wrongly or left undecided, precise for tiny e."""
        return 0.0 if self.error >= 1.0 else exp(job.subtasks * log1p(-self.error))


def margin_plan(assumed: Assumptions, job: PlannedJob) -> ExpectedRaces:
    """The smallest k with which `AheadBy(k)` reaches the target; raises `NoKCanHelp` where none does.

    With several voters k is at least their number, so that each of them votes on every step: a pilot can say least
    about whether they are wrong on the same step in the same way.
    """
    if _wrong_majority_share(assumed.spread, job.m) / 2.0 > job.error:  # at least half of these are lost
        raise NoKCanHelp(_no_k_reason(assumed, job))
    k, least = _least_k(assumed, job), 1.0
    while k <= MAX_K:
        races = expected_races(assumed, AheadBy(k), job)
        if races.error <= job.error:
            return races
        if races.error > 1.5 * least:  # more and more races stay undecided
            break
        k, least = k + 1 + k // 8, min(least, races.error)
    raise NoKCanHelp(_no_k_reason(assumed, job))


def weighted_plan(assumed: Assumptions, job: PlannedJob) -> ExpectedRaces | None:
    """The smallest threshold with which `LogOdds` reaches the target; None where the votes' weights cannot.

    The search starts at the log-odds of the error that a step may have. It goes up where steps vary more than weights
    account for, first in large steps and then back in small ones, until too many races stay undecided, which become
    more as the threshold grows.
    """
    if not assumed.voter_bins or job.m > 1:
        return None
    weights = weights_of(assumed.voters, assumed.voter_bins)
    if not weights.heaviest:
        return None
    start, below = max(1.0, -odds.log_odds(min(job.error, 0.5)) * GRID_POINTS_PER_NAT), 0
    for number in range(THRESHOLD_TRIES):
        lead = ceil(start * 1.1**number)
        rule = LogOdds(lead / GRID_POINTS_PER_NAT, weights)
        lost, undecided = _trial_on_hardest(assumed, rule, job)
        if undecided > job.error:
            return None
        best = expected_races(assumed, rule, job) if lost <= job.error else None
        if best is None or best.error > job.error:
            below = lead
            continue
        while below and lead - below > max(1, lead // 50):
            middle = (below + lead) // 2
            races = expected_races(assumed, LogOdds(middle / GRID_POINTS_PER_NAT, weights), job)
            if races.error > job.error:
                below = middle
            else:
                lead, best = middle, races
        return best
    return None


def _trial_on_hardest(assumed: Assumptions, rule: LogOdds, job: PlannedJob) -> tuple[float, float]:
    """On the kinds of steps with most errors: the share of steps lost or undecided, and the share undecided."""
    race = _race(assumed, rule, job)
    hard = sorted(assumed.spread.kinds, key=lambda kind: -kind.share * max(kind.wrong))[:TRIAL_KINDS]
    slack = 0.01 * job.error / max(1, len(hard))
    outcomes = [(kind.share, race(kind, min(0.5, slack / kind.share))) for kind in hard]
    undecided = sum(share * outcome.undecided for share, outcome in outcomes)
    return undecided + sum(share * outcome.wrong for share, outcome in outcomes), undecided


def expected_races(assumed: Assumptions, rule: AheadBy | LogOdds, job: PlannedJob) -> ExpectedRaces:
    """The expected races of a chain under a rule, whether or not they reach the target."""
    return _averaged(rule, *_race_kinds(assumed.spread, _race(assumed, rule, job), job))


def _race(assumed: Assumptions, rule: AheadBy | LogOdds, job: PlannedJob) -> Callable[[StepKind, float], RaceOutcome]:
    """A function of a kind of step and a negligible share: the outcome of a race there."""
    if isinstance(rule, AheadBy):
        return partial(_margin_race, k=rule.k, m=job.m)
    if equal_weights(assumed.voter_bins):
        return partial(_margin_race, k=rule.lacking(0, 0), m=1)
    return partial(
        weighted_race, voter_bins=assumed.voter_bins, lead=floor(rule.threshold * GRID_POINTS_PER_NAT + 1e-6)
    )


def dissent_band(assumed: Assumptions, races: ExpectedRaces, job: PlannedJob) -> tuple[float, float]:
    """The lowest and highest share of steps with a dissenting vote in a run that goes as planned."""
    if not isinstance(races.rule, AheadBy):
        return 0.0, races.dissent
    calm = _averaged(races.rule, *_race_kinds(assumed.calm, _race(assumed, races.rule, job), job))
    return min(calm.dissent, races.dissent), races.dissent


def _least_k(assumed: Assumptions, job: PlannedJob) -> int:
    """The smallest sufficient k: exact for one voter, approximate for several in turn.

    A race with margin k is lost with a probability of about 1 / (1 + e^(k r)). For one voter r is its log-odds. For
    several it is the root of Lundberg's equation: the mean over voters of ln(q e^r + p e^-r) is 0.
    """
    kinds, rare = _split_rare(assumed.spread, job)
    rates = [(kind.share, _rate(_powers(kind, job.m))) for kind in kinds]
    for k in range(1 if assumed.spread.voters == 1 else assumed.spread.voters, MAX_K):
        if rare + sum(share * odds.loss_probability_of(k * rate) for share, rate in rates) <= job.error:
            return k
    raise NoKCanHelp(_no_k_reason(assumed, job))


def _powers(kind: StepKind, m: int) -> list[tuple[float, float]]:
    """Each voter's probability of a right and of a wrong vote at its turn, on m steps at once."""
    if m == 1:
        return kind.turns
    return [(p, 1.0 - p) for p in ((1.0 - q) ** m for q in kind.wrong)]


def _rate(turns: Sequence[tuple[float, float]]) -> float:
    """Nats by which the odds of the right choice grow with each vote of its lead; 0 where they do not grow."""
    if len(turns) == 1:
        ((right, wrong),) = turns
        return odds.log_odds(right / (right + wrong)) if right + wrong else 0.0
    if sum(right for right, _ in turns) <= sum(wrong for _, wrong in turns):
        return 0.0

    def has_grown(rate: float) -> bool:
        return sum(log(max(1.0 - p - q + q * exp(rate) + p * exp(-rate), 1e-300)) for p, q in turns) >= 0.0

    return bisect(has_grown, 0.0, 700.0, 60)[0]


def _wrong_majority_share(spread: ErrorSpread, m: int) -> float:
    """The share of steps with at least as many wrong votes as right ones: no margin decides these correctly."""
    turns = ((kind.share, _powers(kind, m)) for kind in spread.kinds)
    return sum(share for share, each in turns if sum(p for p, _ in each) <= sum(q for _, q in each))


def _split_rare(spread: ErrorSpread, job: PlannedJob) -> tuple[list[StepKind], float]:
    """The kinds of steps to compute, and the share of those too rare to matter."""
    rare, kinds = 0.0, []
    for kind in sorted(spread.kinds, key=lambda kind: kind.share):
        if rare + kind.share <= RARE_ERROR_SHARE * job.error:
            rare += kind.share
        else:
            kinds.append(kind)
    return kinds, rare


def _margin_race(kind: StepKind, negligible: float, k: int, m: int) -> RaceOutcome:
    """A race for a margin of k on steps of one kind, with voters in turn."""
    if len(kind.wrong) == 1:
        return closed_form_race((1.0 - kind.wrong[0]) ** m, k, negligible)
    votes = [((1, p), (-1, q), (0, 1.0 - p - q)) for p, q in _powers(kind, m)]
    return walk_race(lambda number: votes[number % len(votes)], k, negligible, MAX_RACE_VOTES)


def _race_kinds(
    spread: ErrorSpread, race: Callable[[StepKind, float], RaceOutcome], job: PlannedJob
) -> tuple[list[tuple[StepKind, RaceOutcome]], float]:
    """Race every kind of step; also the share of those too rare to matter.

    What is left out is far less than the error that a step may have.
    """
    kinds, rare = _split_rare(spread, job)
    left = 1.0 - rare - sum(kind.share for kind in kinds)
    if left > 0.0:
        kinds.append(StepKind(left, (0.0,) * spread.voters))
    slack = 0.01 * job.error / len(kinds)
    return [(kind, race(kind, min(0.5, slack / kind.share))) for kind in kinds], rare


def _averaged(rule: Rule, outcomes: Sequence[tuple[StepKind, RaceOutcome]], rare: float) -> ExpectedRaces:
    """The average over kinds of steps; those too rare to matter count as lost."""
    votes = sum(kind.share * outcome.votes for kind, outcome in outcomes)
    squared = sum(kind.share * outcome.votes_squared for kind, outcome in outcomes)
    return ExpectedRaces(
        rule=rule,
        error=rare + sum(kind.share * outcome.failed for kind, outcome in outcomes),
        votes=votes,
        deviation=sqrt(max(0.0, squared - votes * votes)),
        dissent=max(0.0, 1.0 - sum(kind.share * outcome.unanimous for kind, outcome in outcomes)),
        cap=max(
            MIN_VOTE_CAP,
            MAX_WEIGHTED_VOTES if isinstance(rule, LogOdds) else 0,
            *(one.longest for _, one in outcomes),
        ),
    )


def _no_k_reason(assumed: Assumptions, job: PlannedJob) -> str:
    """Why no margin reaches the target, and what to do."""
    spread, what = assumed.spread, f"no k can reach {job.target:g} over {job.steps:,} steps with {assumed.model}"
    mean = sum(spread.mean_wrong(voter) for voter in range(spread.voters)) / spread.voters
    if (1.0 - mean) ** job.m <= 0.5:
        bound = "" if mean == 1.0 - assumed.mean_p else f" (at least {1.0 - mean:.4g} is all that the pilot assures)"
        return (
            f"{what}: a vote is right with probability {assumed.mean_p**job.m:.4g}{bound}, and voting needs more than "
            "1/2. Use a better model, stricter red flags, or smaller steps"
        )
    more = "Calibrate with more samples; if it stays so, let other models vote as well, flag more, or add a check"
    wrong = _wrong_majority_share(spread, job.m)
    if assumed.pathological is not None and assumed.pathological.estimate > 0.0:
        many = assumed.pathological.estimate * job.steps
        steps = f"{many:,.0f}" if many >= 10.0 else f"{many:.2g}"
        return (
            f"{what}: on a share of {assumed.pathological.estimate:.2g} of the steps (some {steps} of this chain) the "
            "most likely answer is wrong, and more votes only make these surely wrong. Let other models vote as "
            "well, flag more, or add a check"
        )
    if wrong / 2.0 <= job.error and assumed.pathological is not None:
        return (
            f"{what}: the pilot leaves it possible that on some steps wrong votes are nearly as many as right ones, "
            f"and no k up to {MAX_K} is enough for these. {more}"
        )
    if wrong / 2.0 <= job.error:
        return (
            f"{what}: right votes outnumber wrong ones by so little that no k up to {MAX_K} is enough. Use a better "
            "model, stricter red flags, or smaller steps"
        )
    return (
        f"{what}: the pilot leaves it possible that wrong votes outnumber right ones on a share of {wrong:.2g} of the "
        f"steps, and the target allows {job.error:.2g}. {more}"
    )
