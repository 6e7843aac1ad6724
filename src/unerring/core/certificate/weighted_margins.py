"""The certificate of a run whose votes have weights (`LogOdds`): what follows from the margins of its steps.

A step won by a margin of m nats is wrong with probability 1 / (1 + e^m): weights are made for that
(`unerring.core.voting.weights`), and it needs no second vote. The sum over a run's steps is mu, the expected number of
wrong ones.

How uncertain mu is depends on the pilot that the weights come from. Of errors that it saw n times, the true rate has a
gamma distribution of shape n + 1 and of the mean that went into the weights. A run does not know n; n = 0 is the most
uncertain case. Then the number of wrong steps is geometric of mean mu, so that

    P(none) = 1 / (1 + mu),    P(more than w) = (mu / (1 + mu))^(w + 1),

and with 97.5 % the true rate is below ln(40) mu. A step that is doubtful by itself, because votes of equal weight fell
on both sides, is so however frequent errors are: each of these is a separate factor of P(none).

Where it breaks. If a voter's errors scattered on all the steps that the pilot sampled again, all its votes count
(`unerring.core.planning.measured_weights`). If on some other steps it errs each time, it wins these by saying the same
often enough, with margins like any other's. Of as many steps as the pilot sampled again, one may well be such a step.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil, exp, log, log1p

from unerring.core.certificate.error_model import WrongStepOutlook
from unerring.core.certificate.vote_patterns import MAX_EXAMPLES, PatternExample, keep_largest, margin_of, pattern_of
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.voting.odds import loss_probability_of

TAIL_PROBABILITY = 0.025  # of more wrong steps than the interval says
DOUBTFUL_PROBABILITY = 0.1  # from which on a step is doubtful by itself


@dataclass(slots=True)
class WeightedMargins:
    """The margins of a run's decided steps, and the steps with the smallest.

    expected: the expected number of wrong steps.
    rest: that number among steps that are not doubtful by themselves.
    doubt: -ln of the probability that none of the doubtful steps is wrong, nats.
    first: by voter, first votes of a step against the winner, and all first votes.
    """

    expected: float = 0.0
    rest: float = 0.0
    doubt: float = 0.0
    first: dict[int, tuple[int, int]] = field(default_factory=dict)
    _least: list[tuple[float, int, PatternExample]] = field(default_factory=list)

    def add(self, decided: DecidedStep) -> None:
        """Count one decided step."""
        lead = decided.margin / 1000
        chance = loss_probability_of(lead)
        self.expected += chance
        if chance < DOUBTFUL_PROBABILITY:
            self.rest += chance
        else:
            self.doubt += log1p(exp(-lead))  # -ln(1 - chance)
        for vote in decided.cast[:1]:
            lost, count = self.first.get(vote.voter, (0, 0))
            self.first[vote.voter] = lost + (vote.candidate != decided.winner), count + 1
        if len(self._least) == MAX_EXAMPLES and chance <= self._least[0][0]:
            return
        margin = margin_of(pattern_of(decided))
        one = chance, -decided.step, PatternExample(decided.rounds, decided.flags, decided.step, margin, decided.tally)
        keep_largest(self._least, one, MAX_EXAMPLES)

    def nearest(self) -> Iterable[tuple[float, PatternExample]]:
        """The steps with the smallest margins, each with its probability to be wrong."""
        return [(chance, example) for chance, _, example in self._least]

    @property
    def outlook(self) -> WrongStepOutlook:
        """The expected number of wrong steps, and the probability that there is none."""
        return WrongStepOutlook(self.expected, exp(-self.doubt) / (1.0 + self.rest))

    @property
    def none_low(self) -> float:
        """The probability of no wrong step if errors are as frequent as the pilot leaves possible with 97.5 %."""
        return min(self.outlook.none, exp(-self.doubt - self.rest * -log(TAIL_PROBABILITY)))

    @property
    def most_wrong(self) -> int:
        """More steps than this are wrong with a probability of at most 2.5 %."""
        if self.expected <= 0.0:
            return 0
        return max(0, ceil(log(TAIL_PROBABILITY) / -log1p(1.0 / self.expected)) - 1)
