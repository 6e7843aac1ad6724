"""Fast runs of simulated votes: all steps of a chain race at once, one sample each at a time, until none is open.

A chain's steps depend on each other in their questions, not in their votes, so that a run is as good as its races.
That these come out as the package's own is for `tests/laws/test_coverage_laws.py` to show.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
from scipy import special

from unerring.core.voting.odds import loss_probability
from unerring.core.voting.race import AheadBy, LogOdds

# votes for the steps that are still open, at sample number i of each: 1 is right, -1 wrong, and 0 was flagged
Votes = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Ran:
    """The result of a run: the steps decided wrongly, and the samples and calls.

    A call asks for all that a step lacks.
    """

    wrong: frozenset[int]
    samples: int
    calls: int


@dataclass(frozen=True)
class Steps:
    """A voter's true errors: with probability `mean` on every step, or Beta of that mean; the share `bad` with 0.8.

    The share 1 - v of its samples is flagged. All its wrong votes on a step agree.
    """

    mean: float = 0.01
    concentration: float | None = None
    v: float = 1.0
    bad: float = 0.0

    @property
    def shape(self) -> tuple[float, float]:
        """The two parameters of the Beta distribution."""
        assert self.concentration is not None
        return self.mean * self.concentration, (1.0 - self.mean) * self.concentration

    def wrong(self, chance: Random) -> tuple[float]:
        """The error probability on one step, drawn for a pilot."""
        if self.bad and chance.random() < self.bad:
            return (0.8,)
        return (self.mean if self.concentration is None else chance.betavariate(*self.shape),)

    def chances(self, steps: int, draw: np.random.Generator) -> np.ndarray:
        """The error probabilities on every step of a chain."""
        usual = np.full(steps, self.mean) if self.concentration is None else draw.beta(*self.shape, steps)
        return np.where(draw.random(steps) < self.bad, 0.8, usual) if self.bad else usual

    def loss(self, k: int) -> float:
        """The exact probability that a step is decided wrongly with a margin of k, on average over steps."""
        if self.concentration is None:
            usual = loss_probability(1.0 - self.mean, k)
        else:
            a, b = self.shape
            z = np.linspace(-300.0, 300.0, 300_001)  # log-odds; the density is smooth, and this grid is fine
            density = -a * np.logaddexp(0.0, -z) - b * np.logaddexp(0.0, z) - special.betaln(a, b)
            usual = float(np.sum(np.exp(density - np.logaddexp(0.0, -k * z))) * (z[1] - z[0]))
        return (1.0 - self.bad) * usual + self.bad * loss_probability(0.2, k)


def simulated_run(steps: Steps, length: int, rule: AheadBy | LogOdds, draw: np.random.Generator) -> Ran:
    """A chain of such steps under a rule, every vote drawn with its own step's probabilities."""
    wrong = steps.chances(length, draw)

    def votes(still: np.ndarray, _: int) -> np.ndarray:
        chances = wrong if len(still) == length else wrong[still]
        cast = np.where(draw.random(len(still)) < chances, np.int8(-1), np.int8(1))
        if steps.v < 1.0:
            cast[draw.random(len(still)) >= steps.v] = 0
        return cast

    return raced(votes, length, *lead_and_weight(rule))


def raced(votes: Votes, steps: int, lead: int, weight: int) -> Ran:
    """Race all steps between two choices. Every vote counts `weight`, and a lead of `lead` wins."""
    leads, due = np.zeros(steps, dtype=np.int32), np.zeros(steps, dtype=np.int32)
    still, lost = np.arange(steps), [np.empty(0, dtype=int)]
    number = samples = calls = 0
    while len(still):
        calling = due == 0
        calls += int(calling.sum())
        due[calling] = -(-(lead - np.abs(leads[calling])) // weight)
        samples += len(still)
        leads += weight * votes(still, number).astype(np.int32)
        due -= 1
        left = np.abs(leads) < lead
        if not left.all():
            lost.append(still[leads <= -lead])
            leads, due, still = leads[left], due[left], still[left]
        number += 1
    return Ran(frozenset(np.concatenate(lost).tolist()), samples, calls)


def lead_and_weight(rule: AheadBy | LogOdds) -> tuple[int, int]:
    """The score by which a choice wins, and a vote's weight, for a single voter whose votes all weigh the same."""
    if isinstance(rule, AheadBy):
        return rule.k, 1
    ((name, voter),) = rule.weights.voters
    first, further = (rule.weights.of(name, None, repeated) for repeated in (False, True))
    assert (first, voter.again) == (further, 0), "votes that weigh differently are not simulated here"
    return round(1000 * rule.threshold), first
