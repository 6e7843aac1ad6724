"""Races of weighed votes (`LogOdds`), walked vote by vote as runs weigh them (`unerring.core.voting.weights`).

Leads are kept on a grid; what falls between its points, and what the weight of a first vote would have to be known
for, is taken on the safe side. Where every voter is heard twice at most, a race soon ends or stays undecided.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TypeAlias

from unerring.core.planning.signals import LogprobBins
from unerring.core.planning.spread import StepKind
from unerring.core.planning.walk import RaceOutcome
from unerring.core.voting.weights import VoterWeights

MAX_WEIGHTED_VOTES = 100  # votes of a race: one that goes on longer stays undecided
GRID_POINTS_PER_NAT = 20  # parts of a nat
DROPPED_SHARE = 1e-5  # of what is negligible: a course as improbable counts as undecided

# What a voter has said on a step: nothing, something right, something wrong of a weight (parts of the grid), or all
# that makes a difference to its further votes.
Memory: TypeAlias = int
NOT_VOTED, VOTED_RIGHT, SETTLED = -1, -2, -3
RIGHT_SIDE, WRONG_SIDE = 1, 2  # who has been heard on a step

Course: TypeAlias = tuple[tuple[Memory, ...], int]  # what each voter said; for which sides votes were cast
Vote: TypeAlias = tuple[Memory, int, int, float]  # what the voter has said then, its side, the gain, the chance


def equal_weights(signals: Sequence[LogprobBins]) -> bool:
    """Whether every vote weighs the same, the first and any further one: a lead is then a margin of votes."""
    weights = [one.weights for one in signals]
    bins = {weight for one in weights for weight in one.bins}
    return len(bins) == 1 and all(not one.again and one.repeat >= max(bins) for one in weights)


def weighted_race(kind: StepKind, negligible: float, signals: Sequence[LogprobBins], lead: int) -> RaceOutcome:
    """A race for a lead in log-odds, in parts of the grid, on steps of one kind."""
    voters, ends = len(signals), all(one.weights.repeat == 0 for one in signals)
    open_: dict[Course, dict[int, float]] = {((NOT_VOTED,) * voters, 0): {0: 1.0}}
    turns, wrong = kind.turns, 0.0
    undecided = votes = squared = unanimous = 0.0

    @cache
    def votes_of(who: int, said: Memory) -> tuple[Vote, ...]:
        return tuple(_votes(signals[who], turns[who], said))

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
        open_, dropped = _alive(after, ends, DROPPED_SHARE * negligible)
        undecided += dropped
        votes += dropped * (MAX_WEIGHTED_VOTES - number - 1)
        squared += dropped * (MAX_WEIGHTED_VOTES**2 - (number + 1) ** 2)
    undecided += sum(sum(places.values()) for places in open_.values())
    return RaceOutcome(wrong, undecided, votes, squared, min(1.0, unanimous), MAX_WEIGHTED_VOTES)


def _alive(
    courses: dict[Course, dict[int, float]], ends: bool, forgotten: float
) -> tuple[dict[Course, dict[int, float]], float]:
    """The courses that can still be won, and the share of those that cannot, or are too improbable to be followed.

    `ends` says that no voter is heard without end.
    """
    alive: dict[Course, dict[int, float]] = {}
    dropped = 0.0
    for course, places in courses.items():
        if ends and all(said == SETTLED for said in course[0]):
            dropped += sum(places.values())
            continue
        kept = {place: share for place, share in places.items() if share > forgotten}
        dropped += sum(places.values()) - sum(kept.values())
        if kept:
            alive[course] = kept
    return alive, max(0.0, dropped)


def _votes(signals: LogprobBins, turn: tuple[float, float], said: Memory) -> Iterator[Vote]:
    """What a voter's next vote on a step may be; a mute one, too."""
    (right, wrong), weights = turn, signals.weights
    if said == SETTLED:
        yield from _cast(weights, signals.right, right, RIGHT_SIDE, weights.repeat)
        yield from _cast(weights, signals.wrong, wrong, WRONG_SIDE, weights.repeat)
    elif said == NOT_VOTED:
        yield from _cast(weights, signals.right, right, RIGHT_SIDE)
        yield from _cast(weights, signals.wrong, wrong, WRONG_SIDE)
    elif said == VOTED_RIGHT:  # how much its first vote weighed is not kept: it may have been the least, or the most
        yield SETTLED, RIGHT_SIDE, _down(min(weights.again, *filter(None, weights.bins))), right
        yield SETTLED, WRONG_SIDE, -_up(min(weights.turn, max(weights.bins))), wrong
    else:
        yield SETTLED, RIGHT_SIDE, min(_down(weights.turn), said), right
        yield SETTLED, WRONG_SIDE, -_up(weights.again), wrong
    if (mute := 1.0 - right - wrong) > 0.0:
        yield said, 0, 0, mute


def _cast(
    weights: VoterWeights, falls: Sequence[float], chance: float, side: int, most: int | None = None
) -> Iterator[Vote]:
    """A vote by its bin: a voter's first on a step, or a further one that weighs at most so much."""
    gains: dict[tuple[Memory, int], float] = defaultdict(float)
    for weight, part in zip(weights.bins, falls, strict=True):
        counts = weight if most is None else min(weight, most)
        gained = _down(counts) if side == RIGHT_SIDE else -_up(counts)
        told_apart = most is None and weights.again and weight
        gains[SETTLED if not told_apart else VOTED_RIGHT if side == RIGHT_SIDE else _down(weight), gained] += (
            chance * part
        )
    # a voter without any right vote has no chances for them: these weigh nothing
    gains[SETTLED, 0] += chance * max(0.0, 1.0 - sum(falls))
    for (said, gained), part in gains.items():
        if part > 0.0:
            yield said, side, gained, part


def _down(weight: int) -> int:
    return weight * GRID_POINTS_PER_NAT // 1000


def _up(weight: int) -> int:
    return -(-weight * GRID_POINTS_PER_NAT // 1000)
