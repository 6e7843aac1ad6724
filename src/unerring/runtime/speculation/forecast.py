"""Forecast the choices of open steps, and compute how much risk of waste a sample asked ahead may have.

Speculation asks steps from guessed states. A wrong forecast wastes samples; it never changes a result. All
probabilities are learned from the run's own committed steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log

GRACE_SAMPLES = 300  # added to a run's own, so that the first few count little
MAX_OBSERVATIONS = 16384  # after which older ones lose weight


class HitRate:
    """An estimated probability: observed counts on top of a prior, which alone never loses weight."""

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
    """The probable choice of a step, and its probability."""

    choice: str
    probability: float


class Forecaster:
    """Estimates from committed steps how often guesses and votes are right, and forecasts open steps.

    A guess is right with a probability q and a vote with a probability p; both are estimated, q from a uniform prior
    and p from a prior of nine right votes in ten. By Bayes' rule a candidate's log-odds against another one are
    log(p / (1 - p)) for each vote that it leads by, and log(q / (1 - q)) where it is the guess. This takes errors as
    independent, as everywhere in voting, and any two wrong answers as different.
    """

    def __init__(self) -> None:
        self._guesses = HitRate(1.0, 1.0)
        self._votes = HitRate(9.0, 1.0)

    def learn(self, choice: str, guess: str | None, tally: Mapping[str, int]) -> None:
        """Learn from a committed step: its choice, its guess, and its votes."""
        if guess is not None:
            self._guesses.count(int(guess == choice), int(guess != choice))
        won = tally.get(choice, 0)
        self._votes.count(won, sum(tally.values()) - won)

    def forecast(self, tally: Mapping[str, int], guess: str | None) -> ChoiceForecast | None:
        """The probable choice of a step with these votes so far; None where none is more probable than not."""
        vote, scores = self._votes.odds, {}
        for choice, votes in tally.items():
            scores[choice] = votes * vote
        if guess is not None:
            scores[guess] = scores.get(guess, 0.0) + self._guesses.odds
        best = max(scores, key=scores.__getitem__, default=None)
        if best is None:
            return None
        rival = max((score for choice, score in scores.items() if choice != best), default=0.0)
        probability = 1.0 / (1.0 + exp(min(700.0, max(0.0, rival) - scores[best])))  # 0: an unseen answer
        return ChoiceForecast(best, probability) if probability > 0.5 else None


def worth_risking(limit: float, wasted: int, samples: int, votes: int) -> float:
    """The largest probability of being wasted at which to ask a sample, so that at most the share `limit` is wasted.

    One bound for all samples gives the most steps for a given waste. Of the `votes` that a step takes one is asked at
    risk, on average at half the bound, so that a bound of `2 * votes * limit` makes the expected waste equal to the
    limit; the factor here is 1.8 at most. As the waste so far comes near the limit the factor falls to 0.9: after bad
    luck a run asks ahead less far, but never stops doing so.
    """
    spent = wasted / (limit * (samples + GRACE_SAMPLES)) if limit else 1.0
    return limit * votes * min(1.8, max(0.9, 5.0 * (1.0 - spent)))
