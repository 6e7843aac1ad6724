"""Sampler with known error rates: `--model noise/p=0.99`, for rehearsals, plans and tests."""

from collections.abc import Callable, Sequence
from random import Random

from unerring.core.chain import Rehearsal
from unerring.core.numbers import is_plain
from unerring.core.short_text import short
from unerring.core.user_code import call_own, wrong_return
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.errors import InputError


class NoisySampler:
    """Gives right answers, wrong answers and flagged answers with given probabilities.

    `p` is the probability that an unflagged sample is right, `v` the probability that a sample is not flagged.
    `correlated` is the share of errors that all samples of a step have in common: with probability
    `correlated * (1 - p)` every sample of a step gives the same wrong answer. A sample depends only on the prompt and
    its seed, step and slot, so that a run that was killed and resumed draws the same samples.
    """

    paid = False
    compact = True
    takes_request = False

    def __init__(
        self, rehearse: Callable[[str], Rehearsal], p: float = 0.99, v: float = 1.0, correlated: float = 0.0
    ) -> None:
        for name, value in {"p": p, "v": v, "correlated": correlated}.items():
            if not 0.0 <= value <= 1.0:
                raise InputError(f"{name} is a probability, between 0 and 1; it cannot be {value:g}")
        self._rehearse = rehearse
        self._p, self._v, self._correlated = p, v, correlated
        self._last: tuple[str, Rehearsal] | None = None

    @property
    def name(self) -> str:
        return f"noise/p={self._p!r},v={self._v!r},c={self._correlated!r}"

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        return [self._draw(prompt, settings, offset) for offset in range(n)]

    def _draw(self, prompt: str, settings: Settings, offset: int) -> Sample:
        if self._last is None or self._last[0] != prompt:
            self._last = (prompt, self._rehearsed(prompt, settings.step))
        rehearsal = self._last[1]
        chance = Random(settings.sample_seed(offset))
        if chance.random() >= self._v:
            text = rehearsal.right[: len(rehearsal.right) // 2]
        else:
            text = self._voted(rehearsal, Random(f"{settings.seed}:{settings.step}"), chance)
        usage = Usage(len(prompt.split()), len(text.split()))
        return Sample(text, usage, voter=self.name)

    def _rehearsed(self, prompt: str, step: int) -> Rehearsal:
        rehearsal = call_own(self._rehearse, "rehearse", prompt, step=step)
        if not isinstance(rehearsal, Rehearsal):
            said = f"returned {short(rehearsal)}; it returns a Rehearsal"
            raise wrong_return("rehearse", said, step, self._rehearse)
        return rehearsal

    def _voted(self, rehearsal: Rehearsal, shared: Random, own: Random) -> str:
        error = 1.0 - self._p
        common = self._correlated * error
        if shared.random() < common:
            return shared.choice(rehearsal.wrong)
        if own.random() < (error - common) / (1.0 - common):
            return own.choice(rehearsal.wrong)
        return rehearsal.right


def parse_noise_spec(spec: str) -> dict[str, float]:
    """The error rates that `noise/p=0.99,v=0.95,c=0` gives, as arguments of `NoisySampler`."""
    text = spec.partition("/")[2]
    names = {"p": "p", "v": "v", "c": "correlated"}
    figures = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        try:
            if not is_plain(value):
                raise ValueError(value)
            figures[names[name]] = float(value)
        except (KeyError, ValueError):
            raise InputError(f"noise is written noise/p=0.99,v=0.95,c=0, not noise/{text}") from None
    return figures
