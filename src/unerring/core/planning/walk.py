"""Compute how a race between the right choice and one wrong one ends, exactly, as a random walk of its lead.

The walk goes from 0 to plus or minus the lead that wins, a step for each vote. Unlike the closed forms in
`unerring.core.voting.odds` it allows different steps at every vote: voters in turn that err differently, or votes of
different weight. All wrong votes agree: that is the worst case (docs/why/voting.md).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, cos, log, pi, sqrt
from typing import TypeAlias

from unerring.core.voting import odds

# What a vote adds to the lead of the right choice (negative where it is wrong), and with which probability.
Changes: TypeAlias = Sequence[tuple[int, float]]

DROPPED_LEADS_SHARE = 1e-9  # of the negligible share: less probable leads are dropped


@dataclass(frozen=True, slots=True)
class RaceOutcome:
    """The outcome of a race, as probabilities and means.

    wrong: the probability that the wrong choice wins.
    undecided: the probability that the race is still open after `longest` votes.
    votes: mean votes.
    votes_squared: the mean of their square.
    unanimous: the probability that every vote went to the winner.
    longest: the number of votes after which the computation ended.
    """

    wrong: float
    undecided: float
    votes: float
    votes_squared: float
    unanimous: float
    longest: int

    @property
    def failed(self) -> float:
        """The probability that the right choice does not win."""
        return self.wrong + self.undecided


def walk_race(
    vote: Callable[[int], Changes],
    lead: int,
    negligible: float = 1e-13,
    most: int = 20_000,
) -> RaceOutcome:
    """Compute a race vote by vote.

    vote: a function of a vote's number, from 0: what the vote adds to the lead, and with which probability.
    lead: the lead that wins.
    negligible: the share of open races at which the computation ends.
    most: the number of votes at which it ends in any case.
    """
    dropped = DROPPED_LEADS_SHARE * min(negligible, 1e-13)
    leads = {0: 1.0}
    all_right = {0: 1.0}  # leads of races with right votes only ...
    all_wrong = {0: 1.0}  # ... and with wrong ones only
    wrong = unanimous = votes = squared = 0.0
    number, still = 0, 1.0
    while still > negligible and number < most:
        votes, squared = votes + still, squared + (2 * number + 1) * still
        step = vote(number)
        leads, _, lost = _step(leads, step, lead, dropped)
        wrong += lost
        if all_right or all_wrong:
            all_right, agreed, _ = _step(all_right, [one for one in step if one[0] > 0], lead, dropped)
            all_wrong, _, agreed_wrongly = _step(all_wrong, [one for one in step if one[0] < 0], lead, dropped)
            unanimous += agreed + agreed_wrongly
        number, still = number + 1, sum(leads.values())
    return RaceOutcome(wrong, still, votes, squared, min(1.0, unanimous), number)


def closed_form_race(p: float, k: int, negligible: float = 1e-13) -> RaceOutcome:
    """The outcome for one voter that is right with probability p and a margin of k, in closed form.

    The mean square follows from Wald's second identity: (S - d n)^2 - n (1 - d^2) is a martingale for the lead S after
    n votes with drift d = 2p - 1; and the winner is independent of the duration, because both ends are equally far.
    """
    wrong, votes, drift = odds.loss_probability(p, k), odds.expected_votes(p, k), 2.0 * p - 1.0
    if abs(drift) < 1e-3:  # the identity divides by the square of the drift; this is exact at 0, and close near it
        squared = votes * votes + 2.0 * k * k * (k * k - 1.0) / 3.0
    else:
        squared = 2.0 * votes * votes + max(((1.0 - drift * drift) * votes - k * k) / drift**2, -votes * votes)
    # in the long run, each vote multiplies the share of open races by this factor
    decay = 2.0 * sqrt(p * (1.0 - p)) * cos(pi / (2.0 * k))
    beyond = log(negligible) / log(decay) if 0.0 < decay < 1.0 else 0.0
    return RaceOutcome(wrong, 0.0, votes, squared, p**k + (1.0 - p) ** k, ceil(votes + min(beyond, 1e9)))


def _step(leads: dict[int, float], vote: Changes, lead: int, dropped: float) -> tuple[dict[int, float], float, float]:
    """The leads after one more vote, and the shares that won and lost by it."""
    after: dict[int, float] = defaultdict(float)
    won = lost = 0.0
    for place, share in leads.items():
        for gained, chance in vote:
            reached, part = place + gained, share * chance
            if reached >= lead:
                won += part
            elif reached <= -lead:
                lost += part
            elif part > dropped:
                after[reached] += part
    return after, won, lost
