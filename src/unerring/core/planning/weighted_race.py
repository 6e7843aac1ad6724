"""Compute how a race under `LogOdds` ends, vote by vote: as in `walk`, with the weights of votes that a run uses.

Weights: `unerring.core.voting.weights`. Leads are rounded to a grid. Rounding, and the weight of a first vote where
the computation does not keep it, are taken pessimistically. Where at most two votes of each voter count, a race soon
ends or stays undecided.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TypeAlias

from unerring.core.planning.measured_weights import LogprobBins
from unerring.core.planning.spread import StepKind
from unerring.core.planning.walk import RaceOutcome
from unerring.core.voting.weights import VoterWeights

MAX_WEIGHTED_VOTES = 100  # of a race; a longer one counts as undecided
GRID_POINTS_PER_NAT = 20  # parts of a nat
DROPPED_COURSES_SHARE = 1e-5  # of the negligible share: less probable courses count as undecided

# What a voter's next vote depends on: it has not voted on the step, it voted right, it voted wrong with a weight (0 or
# more grid points), or what it said before matters no more.
Memory: TypeAlias = int
NOT_VOTED, VOTED_RIGHT, REPEATING = -1, -2, -3
RIGHT_SIDE, WRONG_SIDE = 1, 2  # the sides that had votes on a step

Course: TypeAlias = tuple[tuple[Memory, ...], int]  # memory of each voter; sides that had votes
Vote: TypeAlias = tuple[
    Memory, int, int, float
]  # memory after it, its side, what it adds to the lead, its probability


def equal_weights(voter_bins: Sequence[LogprobBins]) -> bool:
    """Whether every vote has the same weight, first or further: a lead is then a margin of votes."""
    weights = [one.weights for one in voter_bins]
    bins = {weight for one in weights for weight in one.bins}
    return len(bins) == 1 and all(not one.again and one.repeat >= max(bins) for one in weights)


def weighted_race(kind: StepKind, negligible: float, voter_bins: Sequence[LogprobBins], lead: int) -> RaceOutcome:
    """The outcome of a race for a lead in log-odds (grid points) on steps of one kind."""
    voters, ends = len(voter_bins), all(one.weights.repeat == 0 for one in voter_bins)
    open_: dict[Course, dict[int, float]] = {((NOT_VOTED,) * voters, 0): {0: 1.0}}
    turns, wrong = kind.turns, 0.0
    undecided = votes = squared = unanimous = 0.0

    @cache
    def votes_of(who: int, said: Memory) -> tuple[Vote, ...]:
        return tuple(_votes(voter_bins[who], turns[who], said))

    for number in range(MAX_WEIGHTED_VOTES):
        still = sum(sum(places.values()) for places in open_.values())
        if still <= negligible:
            break
        votes, squared = votes + still, squared + (2 * number + 1) * still
        who = number % voters
        after: dict[Course, dict[int, float]] = {}
        for (said, sides), places in open_.items():
            for now, side, gained, chance in votes_of(who, said[who]):
                course = (*said[:who], now, *said[who + 1 :]), sides | side
                there = after.setdefault(course, defaultdict(float))
                for place, share in places.items():
                    reached, part = place + gained, share * chance
                    if -lead < reached < lead:
                        there[reached] += part
                        continue
                    wrong += part if reached < 0 else 0.0
                    unanimous += part if course[1] != RIGHT_SIDE | WRONG_SIDE else 0.0
        open_, dropped = _alive(after, ends, DROPPED_COURSES_SHARE * negligible)
        undecided += dropped
        votes += dropped * (MAX_WEIGHTED_VOTES - number - 1)
        squared += dropped * (MAX_WEIGHTED_VOTES**2 - (number + 1) ** 2)
    undecided += sum(sum(places.values()) for places in open_.values())
    return RaceOutcome(wrong, undecided, votes, squared, min(1.0, unanimous), MAX_WEIGHTED_VOTES)


def _alive(
    courses: dict[Course, dict[int, float]], ends: bool, dropped_share: float
) -> tuple[dict[Course, dict[int, float]], float]:
    """The courses that can still be won, and the share of those that cannot or are too improbable to follow.

    `ends` says that no voter's votes count without limit.
    """
    alive: dict[Course, dict[int, float]] = {}
    dropped = 0.0
    for course, places in courses.items():
        if ends and all(said == REPEATING for said in course[0]):
            dropped += sum(places.values())
            continue
        kept = {place: share for place, share in places.items() if share > dropped_share}
        dropped += sum(places.values()) - sum(kept.values())
        if kept:
            alive[course] = kept
    return alive, max(0.0, dropped)


def _votes(bins: LogprobBins, turn: tuple[float, float], said: Memory) -> Iterator[Vote]:
    """The possible next votes of a voter, or none: a flagged sample, or a wrong choice that no other vote has."""
    (right, wrong), weights = turn, bins.weights
    if said == REPEATING:
        yield from _cast(weights, bins.right, right, RIGHT_SIDE, weights.repeat)
        yield from _cast(weights, bins.wrong, wrong, WRONG_SIDE, weights.repeat)
    elif said == NOT_VOTED:
        yield from _cast(weights, bins.right, right, RIGHT_SIDE)
        yield from _cast(weights, bins.wrong, wrong, WRONG_SIDE)
    # it voted right before in this race; `Memory` keeps no weight for that vote, so the least favourable is assumed
    elif said == VOTED_RIGHT:
        yield REPEATING, RIGHT_SIDE, _down(min(weights.again, *filter(None, weights.bins))), right
        yield REPEATING, WRONG_SIDE, -_up(min(weights.turn, max(weights.bins))), wrong
    else:
        yield REPEATING, RIGHT_SIDE, min(_down(weights.turn), said), right
        yield REPEATING, WRONG_SIDE, -_up(weights.again), wrong
    if (mute := 1.0 - right - wrong) > 0.0:
        yield said, 0, 0, mute


def _cast(
    weights: VoterWeights, bin_shares: Sequence[float], chance: float, side: int, most: int | None = None
) -> Iterator[Vote]:
    """The possible votes by bin: a voter's first on a step, or a further one that weighs at most `most`."""
    gains: dict[tuple[Memory, int], float] = defaultdict(float)
    for weight, part in zip(weights.bins, bin_shares, strict=True):
        counts = weight if most is None else min(weight, most)
        gained = _down(counts) if side == RIGHT_SIDE else -_up(counts)
        remembered = most is None and weights.again and weight
        gains[REPEATING if not remembered else VOTED_RIGHT if side == RIGHT_SIDE else _down(weight), gained] += (
            chance * part
        )
    # shares sum to 0 for a voter without a right vote in the pilot; its right votes then weigh nothing
    gains[REPEATING, 0] += chance * max(0.0, 1.0 - sum(bin_shares))
    for (said, gained), part in gains.items():
        if part > 0.0:
            yield said, side, gained, part


def _down(weight: int) -> int:
    return weight * GRID_POINTS_PER_NAT // 1000


def _up(weight: int) -> int:
    return -(-weight * GRID_POINTS_PER_NAT // 1000)
