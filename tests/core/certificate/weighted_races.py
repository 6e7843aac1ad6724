"""Simulated weighed runs: a pilot, the weights made from it, races, and how many steps really are wrong."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from unerring.core.certificate.weighted_margins import WeightedMargins
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import Reply
from unerring.core.planning.calibration import REPEAT_VOTES, Calibration, PilotSample, PilotStep, VoterCount
from unerring.core.planning.measured_weights import measured_bins, weights_of
from unerring.core.voting.race import LogOdds, Race, Won
from unerring.core.voting.sample import Finish, Usage
from unerring.core.voting.weights import StepWeights

MOST_ROUNDS = 30  # a longer race is left out: a run would stop there
USAGE = Usage(1, 1)
LOGPROBS = (-0.5, -0.02, -0.0005, -0.00001)
SURE = {False: (0.02, 0.03, 0.05, 0.9), True: (0.4, 0.3, 0.2, 0.1)}  # how right votes fall on these, and wrong ones
CHOICES = ('"right"', '"wrong"')


@dataclass(frozen=True)
class World:
    """The voters' errors: error probabilities on any step, and the shares of steps on which each voter always errs.

    With `spread` a voter's error probability differs between steps, by a beta distribution of this concentration.
    """

    errs: tuple[float, ...]
    stubborn: tuple[float, ...] = (0.0, 0.0, 0.0)
    spread: float | None = None
    logprobs: bool = True

    def chances(self, draw, steps):
        """Error probabilities, steps x voters."""
        each = []
        for mean, share in zip(self.errs, self.stubborn, strict=False):
            c = self.spread
            usual = np.full(steps, mean) if c is None else draw.beta(mean * c, (1 - mean) * c, steps)
            each.append(np.where(draw.random(steps) < share, 1.0, usual))
        return np.stack(each, 1)

    def votes(self, draw, chances):
        """A vote for each error probability: whether it is wrong, and the number of its log-probability."""
        wrong = draw.random(chances.shape) < chances
        place = draw.random(chances.shape)
        sure = [np.searchsorted(np.cumsum(SURE[side]), place).clip(0, len(LOGPROBS) - 1) for side in (False, True)]
        return wrong, np.where(wrong, sure[1], sure[0])

    def logprob(self, number):
        return LOGPROBS[number] if self.logprobs else None


def pilot(draw, world, samples):
    """A calibration of so many samples, by the design of `unerring.runtime.pilot`."""
    voters = len(world.errs)
    made = Calibration("s", {}, "m", "truth", 0.1, voters=[VoterCount(str(number)) for number in range(voters)])
    chances = world.chances(draw, samples // voters)
    for step, (wrong, sure) in enumerate(lists(world.votes(draw, chances))):
        rounds = [(wrong, sure)]
        if any(wrong):
            rounds += lists(world.votes(draw, np.tile(chances[step], (REPEAT_VOTES, 1))))
        drawn = [
            PilotSample(voter, CHOICES[errs], None, USAGE, world.logprob(number))
            for each in rounds
            for voter, (errs, number) in enumerate(zip(*each, strict=True))
        ]
        made.add(PilotStep(step, tuple(drawn), CHOICES[0]))
        if made.samples >= samples:
            break
    return made


def lists(votes):
    """Votes of each step, or of each round, as lists of every voter's votes."""
    return list(zip(*(each.tolist() for each in votes), strict=True))


def weights_from_a_pilot(draw, world, samples):
    calibration = pilot(draw, world, samples)
    return weights_of([voter.name for voter in calibration.voters], measured_bins(calibration))


def raced(draw, world, rule, steps) -> Iterator[tuple[DecidedStep, bool, int]]:
    """Decided steps, whether each was decided wrongly, and how many equal ones there were."""
    chances = world.chances(draw, steps)
    alike = defaultdict(list)
    for step, (wrong, sure) in enumerate(lists(world.votes(draw, chances))):
        alike[tuple(wrong), tuple(sure)].append(step)
    for first, places in alike.items():
        one = _one(world, rule, [first])
        if one is not None:
            yield *one, len(places)
            continue
        for step in places:
            rounds = np.tile(chances[step], (MOST_ROUNDS, 1))
            one = _one(world, rule, [first, *lists(world.votes(draw, rounds))])
            if one is not None:
                yield *one, 1


def _one(world, rule, rounds):
    """One race: its step and whether it was decided wrongly; None if these votes do not end it."""
    race, weighing, replies, spelled = Race(rule), StepWeights(rule.weights), [], {}
    for wrong, sure in rounds:
        for voter, (errs, number) in enumerate(zip(wrong, sure, strict=True)):
            slot, logprob = len(replies), world.logprob(number)
            candidate = spelled.setdefault(errs, slot)
            choice = CHOICES[errs] if candidate == slot else candidate
            replies.append(Reply(0, slot, "", choice, None, USAGE, Finish.STOP, logprob, voter))
            verdict = race.tell(candidate, weighing.weigh(str(voter), logprob, candidate))
            if isinstance(verdict, Won):
                lost = verdict.choice == spelled.get(True)
                tally = tuple(sorted(race.tally.values(), reverse=True))
                return DecidedStep(0, CHOICES[lost], tally, 0, 1, tuple(replies), margin=race.margin), lost
    return None


def missed(runs, world, samples, steps, threshold, seed=1):
    """Of so many pilots and runs, how many have more wrong steps than the interval allows, and all numbers of them."""
    draw, above, found = np.random.default_rng(seed), 0, []
    for _ in range(runs):
        weights = weights_from_a_pilot(draw, world, samples)
        if not weights.heaviest:  # a pilot that no such run can be had from
            continue
        leads, lost = WeightedMargins(), 0
        for decided, wrong, count in raced(draw, world, LogOdds(threshold, weights), steps):
            lost += wrong * count
            for _ in range(count):
                leads.add(decided)
        above += lost > leads.most_wrong
        found.append(lost)
    return above, found
