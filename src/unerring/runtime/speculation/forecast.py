"""Looking ahead on a chain: how surely a guessed step will come out as guessed, and what that is worth risking.

Speculation asks steps from states that are only guessed. Nothing here decides a step: what is foreseen wrongly costs
samples, never an answer. All figures are learned from the run's own committed steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log

GRACE_SAMPLES = 300  # samples that a run is taken to have besides its own, so that the first few decide little
MAX_OBSERVATIONS = 16384  # observations after which older ones begin to fade


class HitRate:
    """An estimated probability: so many of so many, on top of a prior of either kind, which alone never fades."""

    __slots__ = ("_prior", "odds", "right", "wrong")

    def __init__(self, right: float, wrong: float) -> None:
        self._prior = right, wrong
        self.right = self.wrong = 0.0
        self.odds = log(right / wrong)  # natural log-odds

    def count(self, right: int, wrong: int) -> None:
        self.right += right
        self.wrong += wrong
        if self.right + self.wrong > MAX_OBSERVATIONS:
            self.right, self.wrong = self.right / 2, self.wrong / 2
        self.odds = log((self._prior[0] + self.right) / (self._prior[1] + self.wrong))


@dataclass(frozen=True, slots=True)
class ChoiceForecast:
    """The choice a step will probably come to, and how probably."""

    choice: str
    probability: float


class Forecaster:
    """What past steps say about guesses and votes.

    A guess is right with a chance q and a vote with a chance p; both are estimated, from uniform priors as far as
    guesses go and from nine votes right in ten. By Bayes' rule, a candidate's log-odds against another one are
    then log(p / (1 - p)) for each vote that it leads by, and log(q / (1 - q)) where it is the guess: taking errors as
    independent, as everywhere in voting, and any two wrong answers as different.
    """

    def __init__(self) -> None:
        self._guesses = HitRate(1.0, 1.0)
        self._votes = HitRate(9.0, 1.0)

    def learn(self, choice: str, guess: str | None, tally: Mapping[str, int]) -> None:
        """A step was committed: its choice, what had been guessed, and its votes."""
        if guess is not None:
            self._guesses.count(int(guess == choice), int(guess != choice))
        won = tally.get(choice, 0)
        self._votes.count(won, sum(tally.values()) - won)

    def forecast(self, tally: Mapping[str, int], guess: str | None) -> ChoiceForecast | None:
        """What a step with these votes so far will come to; None where nothing is more likely than not."""
        vote, scores = self._votes.odds, {}
        for choice, votes in tally.items():
            scores[choice] = votes * vote
        if guess is not None:
            scores[guess] = scores.get(guess, 0.0) + self._guesses.odds
        best = max(scores, key=scores.__getitem__, default=None)
        if best is None:
            return None
        rival = max((score for choice, score in scores.items() if choice != best), default=0.0)
        probability = 1.0 / (1.0 + exp(min(700.0, max(0.0, rival) - scores[best])))  # 0: some answer unseen so far
        return ChoiceForecast(best, probability) if probability > 0.5 else None


def worth_risking(limit: float, wasted: int, samples: int, votes: int) -> float:
    """How probably wasted a sample may be and be worth asking, for at most the share `limit` to be wasted in all.

    The most steps for a given waste come from one price for all: ask whatever is less at risk than some bound,
    nothing beyond. Of the `votes` that a step takes one is asked at risk, half as much at risk as the bound on
    average, so a bound of `2 * votes * limit` makes the waste that is to be expected just the limit. Hence 1.8 at
    most. As the waste so far comes near the limit the bound goes down to half of that: a run that had bad luck earns
    its share back by looking ahead less far, not by standing still.
    """
    spent = wasted / (limit * (samples + GRACE_SAMPLES)) if limit else 1.0
    return limit * votes * min(1.8, max(0.9, 5.0 * (1.0 - spent)))
