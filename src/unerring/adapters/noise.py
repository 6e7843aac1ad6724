"""A sampler that errs at known rates: `--model noise/p=0.99`, for rehearsals, plans and tests."""

from collections.abc import Callable, Sequence
from random import Random

from unerring.core.chain import Rehearsal
from unerring.core.short_text import short
from unerring.core.user_code import OWN_ERRORS, raise_own, wrong_return
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.errors import InputError


class NoisySampler:
    """Answers rightly with probability p, and otherwise as a model does: wrongly, or in a form that is flagged.

    `p` is the chance that an unflagged sample is right, `v` the chance that a sample is not flagged. `correlated`
    is the share of the error that a step's samples have in common: with chance `correlated * (1 - p)` a step
    is answered wrongly, in the same way, by every sample. A sample depends on nothing but the prompt and its
    seed, step and number, so a run that was killed and resumed draws the very same samples.
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
        self._asked: tuple[str, Rehearsal] | None = None

    @property
    def name(self) -> str:
        return f"noise/p={self._p!r},v={self._v!r},c={self._correlated!r}"

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        return [self._draw(prompt, settings, offset) for offset in range(n)]

    def _draw(self, prompt: str, settings: Settings, offset: int) -> Sample:
        if self._asked is None or self._asked[0] != prompt:
            self._asked = (prompt, self._rehearsed(prompt, settings.step))
        rehearsal = self._asked[1]
        chance = Random(settings.sample_seed(offset))
        if chance.random() >= self._v:
            text = rehearsal.right[: len(rehearsal.right) // 2]
        else:
            text = self._voted(rehearsal, Random(f"{settings.seed}:{settings.step}"), chance)
        usage = Usage(len(prompt.split()), len(text.split()))
        return Sample(text, usage, voter=self.name)

    def _rehearsed(self, prompt: str, step: int) -> Rehearsal:
        try:
            found = self._rehearse(prompt)
        except OWN_ERRORS as error:
            raise_own(error, "rehearse", step, self._rehearse)
        if not isinstance(found, Rehearsal):
            raise wrong_return("rehearse", f"returned {short(found)}; it returns a Rehearsal", step, self._rehearse)
        return found

    def _voted(self, rehearsal: Rehearsal, shared: Random, own: Random) -> str:
        error = 1.0 - self._p
        stuck = self._correlated * error
        if shared.random() < stuck:
            return shared.choice(rehearsal.wrong)
        if own.random() < (error - stuck) / (1.0 - stuck):
            return own.choice(rehearsal.wrong)
        return rehearsal.right
