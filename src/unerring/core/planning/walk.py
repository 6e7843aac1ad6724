"""A race between the right choice and one wrong one, computed exactly, vote by vote.

The lead of the right choice is a walk that starts at 0 and ends at plus or minus the lead that wins. Unlike the closed
forms in `unerring.core.voting.odds` it may take different steps at every vote: voters that take turns and err
differently, or votes of different weight. That all wrong votes agree is the worst case (docs/why/voting.md).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, cos, log, pi, sqrt
from typing import TypeAlias

from unerring.core.voting import odds

# what a vote may add to the lead of the right choice, and how probably; negative where it is wrong
Vote: TypeAlias = Sequence[tuple[int, float]]

DROPPED_SHARE = 1e-9  # of what is negligible: a path as improbable is left


@dataclass(frozen=True, slots=True)
class RaceOutcome:
    """What comes of a race: who wins, as probabilities, and after how many votes.

    `undecided` are the races that were still open after `longest` votes, when the walk was over. `votes` and
    `votes_squared` are means. `unanimous` is the chance that every vote of the race went to its winner.
    """

    wrong: float
    undecided: float
    votes: float
    votes_squared: float
    unanimous: float
    longest: int

    @property
    def failed(self) -> float:
        """The chance that the right choice does not win."""
        return self.wrong + self.undecided


def walk_race(
    vote: Callable[[int], Vote],
    lead: int,
    negligible: float = 1e-13,
    most: int = 20_000,
) -> RaceOutcome:
    """Walk a race to its end: `vote(i)` says what vote number i, counted from 0, may be; `lead` is what wins.

    The end is where no more than the share `negligible` of such races is open, or after `most` votes.
    """
    forgotten = DROPPED_SHARE * min(negligible, 1e-13)
    walkers = {0: 1.0}
    pure = {0: 1.0}  # those who have heard right votes only ...
    impure = {0: 1.0}  # ... and wrong ones only
    wrong = unanimous = votes = squared = 0.0
    number, still = 0, 1.0
    while still > negligible and number < most:
        votes, squared = votes + still, squared + (2 * number + 1) * still
        step = vote(number)
        walkers, _, lost = _step(walkers, step, lead, forgotten)
        wrong += lost
        if pure or impure:
            pure, agreed, _ = _step(pure, [one for one in step if one[0] > 0], lead, forgotten)
            impure, _, agreed_wrongly = _step(impure, [one for one in step if one[0] < 0], lead, forgotten)
            unanimous += agreed + agreed_wrongly
        number, still = number + 1, sum(walkers.values())
    return RaceOutcome(wrong, still, votes, squared, min(1.0, unanimous), number)


def closed_form_race(p: float, k: int, negligible: float = 1e-13) -> RaceOutcome:
    """The same for one voter that is right with probability p and races to a margin of k, in closed form.

    For the mean square Wald's second identity: (S - d n)^2 - n (1 - d^2) is a martingale for the lead S after n votes
    with drift d = 2p - 1; and who wins says nothing of how long it took, since both ends are equally far.
    """
    wrong, votes, drift = odds.loss_probability(p, k), odds.expected_votes(p, k), 2.0 * p - 1.0
    if abs(drift) < 1e-3:  # the identity divides by its square; exact at 0, and near it
        squared = votes * votes + 2.0 * k * k * (k * k - 1.0) / 3.0
    else:
        squared = 2.0 * votes * votes + max(((1.0 - drift * drift) * votes - k * k) / drift**2, -votes * votes)
    # open races become fewer by this factor a vote, in the long run
    decay = 2.0 * sqrt(p * (1.0 - p)) * cos(pi / (2.0 * k))
    beyond = log(negligible) / log(decay) if 0.0 < decay < 1.0 else 0.0
    return RaceOutcome(wrong, 0.0, votes, squared, p**k + (1.0 - p) ** k, ceil(votes + min(beyond, 1e9)))


def _step(walkers: dict[int, float], vote: Vote, lead: int, forgotten: float) -> tuple[dict[int, float], float, float]:
    """The walkers after one vote, and the shares that won and lost by it."""
    after: dict[int, float] = defaultdict(float)
    won = lost = 0.0
    for place, share in walkers.items():
        for gained, chance in vote:
            reached, part = place + gained, share * chance
            if reached >= lead:
                won += part
            elif reached <= -lead:
                lost += part
            elif part > forgotten:
                after[reached] += part
    return after, won, lost
