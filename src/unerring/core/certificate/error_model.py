"""The error model behind a certificate: how voters err, and how probably a step with given votes is wrong.

On each step voter j is wrong with a probability q_j that is drawn for the step alone,

    q_j ~ Beta(mu_j c, (1 - mu_j) c),

of mean mu_j, independently of other steps and other voters, and its votes on the step are independent given q_j. Then
w wrong votes of n by voter j have the likelihood (beta-binomial; Skellam, J. R. Stat. Soc. B 10, 1948)

    B(mu_j c + w, (1 - mu_j) c + n - w) / B(mu_j c, (1 - mu_j) c).

Wrong votes on a step agree or scatter. After n of them the next one goes to a wrong choice that has a of them with
probability a / (n + theta), and to a new one with theta / (n + theta) (Ewens, Theor. Popul. Biol. 3, 1972): at theta =
0 all agree. That s of them agree, and o others went to a choice of their own each, has the probability

    theta^(1 + o) Gamma(s) Gamma(theta) / Gamma(theta + s + o).

L, the likelihood that a candidate is right, is the product of this and of all voters' beta-binomials, with the votes
for other candidates as the wrong ones. When voting stops depends on the votes alone, so it does not enter. The right
choice is the winner or the runner-up:

    P(the step is wrong) = L(runner-up) / (L(winner) + L(runner-up)),

where a step without dissent has a runner-up without votes. For one voter, c -> infinity and wrong votes that all agree
this is 1 / (1 + (p/q)^margin), the gambler's ruin (paper, section 3).

Where it breaks. If wrong votes agree, swapping right and wrong leaves every likelihood the same: that voters are right
more often than not is assumed, never observed. A single voter that is always wrong on a step leaves no trace there;
such steps are only inferred from those on which it is wrong half of the time, by the form of the beta distribution.
Voters whose errors have a common cause are not independent. The spread c is the same for all voters.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, lgamma, log, log1p

from unerring.core.certificate.vote_patterns import ALL_VOTERS, Pattern, VoterTally, cast_votes
from unerring.core.voting.odds import loss_probability_of

PRIOR_STEPS, PRIOR_VOTES = (
    2,
    24,
)  # steps, and right votes on each after an error, that the prior on the spread stands for
MIN_MEAN = 1e-15  # probability of a wrong vote
MIN_LOG_THETA = -7.0  # ln theta of the search; its largest is 7


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """How voters err: the parameters of the model.

    means: mu of each voter, its mean chance of a wrong vote, by its number; `ALL_VOTERS` stands for all as one.
    repeat: 1 / (c + 1), above 0 and below 1: near 0 where a voter errs equally often on every step, near 1 where it
        errs always or never.
    scatter: theta; 0 where all wrong votes on a step agree.
    """

    means: Mapping[int, float]
    repeat: float
    scatter: float = 0.0

    @property
    def concentration(self) -> float:
        """c, in votes: a prior of so many votes on each step."""
        return 1.0 / self.repeat - 1.0

    def again(self, voter: int) -> float:
        """The probability that a voter is wrong on a step where it was wrong once: (mu c + 1) / (c + 1)."""
        return self.means[voter] + (1.0 - self.means[voter]) * self.repeat


def likelihoods_of(parts: Sequence[VoterTally], erring: ErrorModel) -> list[tuple[float, float]]:
    """For each part, the log-likelihoods (nats) of its votes if the winner is right and if the runner-up is."""
    c = erring.concentration
    most: dict[int, int] = {}
    for voter, won, second, other in parts:
        most[voter] = max(most.get(voter, 0), won + second + other)
    voted = _log_rising(c, max(most.values(), default=0))
    wrong, right = {}, {}
    for voter, votes in most.items():
        mean = min(max(erring.means[voter], MIN_MEAN), 1.0 - 1e-12)
        wrong[voter], right[voter] = _log_rising(mean * c, votes), _log_rising((1.0 - mean) * c, votes)
    return [
        (
            right[voter][won] + wrong[voter][second + other] - voted[won + second + other],
            right[voter][second] + wrong[voter][won + other] - voted[won + second + other],
        )
        for voter, won, second, other in parts
    ]


def _log_rising(a: float, votes: int) -> list[float]:
    """Logarithms of a (a+1) ... (a+n-1) for n from 0 to `votes`: what ratios of beta functions are made of."""
    logs, total = [0.0], 0.0
    for n in range(votes):
        total += log(a + n)
        logs.append(total)
    return logs


def scatter_likelihoods(won: int, second: int, other: int, theta: float) -> tuple[float, float]:
    """The log-likelihoods (nats) of how wrong votes fell, if the winner is right and if the runner-up is.

    At theta = 0 wrong votes agree, and votes for other choices say nothing.
    """
    if theta == 0.0:
        return 0.0, 0.0
    return _ewens(second, other, theta), _ewens(won, other, theta)


def _ewens(agreed: int, other: int, theta: float) -> float:
    if agreed == 0:
        return 0.0
    return (1 + other) * log(theta) + lgamma(agreed) + lgamma(theta) - lgamma(theta + agreed + other)


@dataclass(frozen=True, slots=True)
class WrongStepOutlook:
    """The expected number of wrong steps of a run, and the probability that there is none."""

    wrong: float
    none: float


class PatternEvidence:
    """The patterns of a run's steps, and how well an error model explains them.

    How often voters err compared with each other, and how far wrong votes scatter, is kept here and corrected as the
    rest becomes known; a search moves all voters together (`unerring.core.certificate.fit`).
    """

    def __init__(self, patterns: Mapping[Pattern, int], shares: Mapping[int, tuple[int, int]]) -> None:
        """`shares` has each voter's votes against the winner and its votes, on steps with several votes."""
        self.steps = patterns
        self._cast = [cast_votes(pattern) for pattern in patterns]
        places: dict[VoterTally, int] = {}  # each part is computed once, since patterns share parts
        self._places = [tuple([places.setdefault(part, len(places)) for part in pattern]) for pattern in patterns]
        self._parts = list(places)
        named = {part.voter for part in self._parts}
        self._pooled = ALL_VOTERS in named
        voters = sorted({*named, *shares} - {ALL_VOTERS})
        self.votes = {voter: shares.get(voter, (0, 0))[1] for voter in voters}
        self._odds = {voter: _smoothed(*shares.get(voter, (0, 0))) for voter in voters}
        self._scatter(0.0)
        self._scatter(self._likely_scatter([(0.0, -inf)] * len(patterns)))

    def erring(self, shift: float, repeat: float) -> ErrorModel:
        """The error model at a place of the search.

        `shift` moves the log-odds of mu (1 - repeat), which is about the share of votes with dissent. Votes show that
        share well whatever `repeat` is, so the best shift hardly depends on it.
        """
        factor = exp(min(shift, 100.0)) / (1.0 - repeat)
        means = {voter: factor * odds / (1.0 + factor * odds) for voter, odds in self._odds.items()}
        if self._pooled:
            means[ALL_VOTERS] = self.mean(means.__getitem__)
        return ErrorModel(means, repeat, self._theta)

    def log_likelihood(self, erring: ErrorModel) -> float:
        """The log-likelihood of all steps, with priors, nats; minus infinity if votes are mostly wrong.

        Weak priors apply where votes say nothing. On the mean: half an error in all (the square root of mu, Jeffreys'
        prior for the rate of a rare event). On the spread: errors scatter over steps, as if on two further steps a
        voter that had erred once had then been right 24 times, which has a probability of c / (c + 24) where errors
        are rare.
        """
        mean = self.mean(erring.means.__getitem__)
        if mean > 0.5:
            return -inf
        spread = (1.0 - erring.repeat) / (1.0 + (PRIOR_VOTES - 1) * erring.repeat)
        total = 0.5 * log(max(mean, MIN_MEAN)) + PRIOR_STEPS * log(spread)
        for steps, (winner, runner_up) in zip(
            self.steps.values(), self._likelihoods(erring, self._terms), strict=True
        ):
            apart = abs(winner - runner_up)
            total += steps * (max(winner, runner_up) + (log1p(exp(-apart)) if apart < 40.0 else 0.0))
        return total

    def chances(self, erring: ErrorModel, agreed: bool = False) -> list[float]:
        """For each pattern, in order, the probability that a step is wrong if voters err so.

        `agreed` takes all wrong votes of a step to agree, which is the worst case.
        """
        terms = None if agreed else self._terms
        return [loss_probability_of(winner - runner_up) for winner, runner_up in self._likelihoods(erring, terms)]

    def outlook(self, chances: Sequence[float]) -> WrongStepOutlook:
        """The expected number of wrong steps, given the probability for each pattern."""
        each = list(zip(self.steps.values(), chances, strict=True))
        log_none = sum(steps * log1p(-chance) if chance < 1.0 else -inf for steps, chance in each)
        return WrongStepOutlook(sum(steps * chance for steps, chance in each), exp(log_none))

    def mean(self, of: Callable[[int], float]) -> float:
        """The mean of a quantity of voters over all votes on steps with several votes."""
        return sum(of(voter) * count for voter, count in self.votes.items()) / sum(self.votes.values())

    def correct(self, erring: ErrorModel) -> bool:
        """Adapt the rest to an estimate; returns whether anything changed enough for a new estimate.

        A vote that lost was right if the step was decided wrongly: voters are compared by how often each was probably
        wrong, a step of expectation maximization (Dempster, Laird and Rubin, 1977).
        """
        theta = self._likely_scatter(list(self._likelihoods(erring, None)))
        chances = self.chances(erring)
        wrong, votes = dict.fromkeys(self._odds, 0.0), dict.fromkeys(self._odds, 0)
        for (pattern, steps), cast, chance in zip(self.steps.items(), self._cast, chances, strict=True):
            for voter, won, second, other in pattern if sum(cast) > 1 else ():
                if voter != ALL_VOTERS:
                    votes[voter] += steps * (won + second + other)
                    wrong[voter] += steps * (other + second + chance * (won - second))
        odds = {v: _smoothed(wrong[v], votes[v]) if votes[v] else before for v, before in self._odds.items()}
        moved = [log(odds[voter] / before) for voter, before in self._odds.items()]
        together = sum(moved) / len(moved)  # a search finds that by itself
        if max(abs(one - together) for one in moved) < 0.005 and abs(log(theta / self._theta)) < 0.02:
            return False
        self._odds = odds
        self._scatter(theta)
        return True

    def _likelihoods(
        self, erring: ErrorModel, terms: Sequence[tuple[float, float]] | None
    ) -> Iterator[tuple[float, float]]:
        """For each pattern, the log-likelihoods (nats) that the winner and that the runner-up is right."""
        each = likelihoods_of(self._parts, erring)
        for i, places in enumerate(self._places):
            winner, runner_up = (0.0, 0.0) if terms is None else terms[i]
            for place in places:
                if_winner, if_runner_up = each[place]
                winner += if_winner
                runner_up += if_runner_up
            yield winner, runner_up

    def _scatter(self, theta: float) -> None:
        self._theta = theta
        self._terms = [scatter_likelihoods(*cast, theta) for cast in self._cast]

    def _likely_scatter(self, known: Sequence[tuple[float, float]]) -> float:
        """The theta of greatest likelihood, given the other log-likelihoods of each pattern.

        The prior is as if one further pair of wrong votes had agreed: where nothing shows scatter, there is none.
        """

        def height(spot: float) -> float:
            total = -log1p(exp(spot))
            for steps, cast, (winner, runner_up) in zip(self.steps.values(), self._cast, known, strict=True):
                if_winner, if_runner_up = scatter_likelihoods(*cast, exp(spot))
                high, low = winner + if_winner, runner_up + if_runner_up
                if low > high:
                    high, low = low, high
                total += steps * (high + (log1p(exp(low - high)) if high - low < 40.0 else 0.0))
            return total

        spot, step = 0.0, 4.0
        while step > 0.01:
            others = [place for place in (spot - step, spot + step) if MIN_LOG_THETA <= place <= -MIN_LOG_THETA]
            spot = max((spot, *others), key=height)
            step /= 2.0
        return exp(spot)


def _smoothed(wrong: float, votes: float) -> float:
    """The odds of a share, with half a case added on each side."""
    return (wrong + 0.5) / (votes - wrong + 0.5)
