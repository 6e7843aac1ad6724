"""Stand-ins for models, time and journals: for this package's tests, and for tests of your own chains.

They obey the same contracts as the real ones. `NoisySampler` is also what `--model noise/...` runs.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random

from unerring.core.chain import Rehearsal
from unerring.core.journal.entries import Entry
from unerring.core.short_text import short
from unerring.core.user_code import OWN_ERRORS, raise_own, wrong_return
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.errors import InputError

__all__ = ["FakeClock", "MemoryJournal", "NoisySampler", "ScriptedSampler"]


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


class ScriptedSampler:
    """Answers from a script: for each step, what its samples are, in order; an exception there is raised.

    The script may be a mapping from step to answers, or one list for every step. A sample is looked up by its
    number, so an exception stands for the call and is raised once; asking past the end is an `AssertionError`.
    Every call is kept in `calls` as (step, slot, n, temperature).
    """

    def __init__(
        self,
        script: Mapping[int, Sequence[Sample | str | Exception]] | Sequence[Sample | str | Exception],
        paid: bool = True,
        compact: bool = False,
    ) -> None:
        self._script = script
        self._raised: dict[int, int] = {}
        self.paid = paid
        self.compact = compact
        self.calls: list[tuple[int, int, int, float]] = []

    @property
    def name(self) -> str:
        return "scripted"

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        self.calls.append((settings.step, settings.slot, n, settings.temperature))
        await asyncio.sleep(0)
        script = self._script[settings.step] if isinstance(self._script, Mapping) else self._script
        failures = [item for item in script if isinstance(item, Exception)]
        answers = [item for item in script if not isinstance(item, Exception)]
        raised = self._raised.get(settings.step, 0)
        if raised < len(failures):
            self._raised[settings.step] = raised + 1
            raise failures[raised]
        if len(answers) < settings.slot + n:
            raise AssertionError(
                f"step {settings.step} has {len(answers)} answers; sample {settings.slot + n} was asked"
            )
        return [
            item if isinstance(item, Sample) else Sample(item, voter="scripted")
            for item in answers[settings.slot : settings.slot + n]
        ]


class MemoryJournal:
    """A journal that lasts as long as the process. What is appended is committed at once."""

    pending = 0

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = list(entries)

    def append(self, entry: Entry) -> None:
        self._entries.append(entry)

    async def commit(self) -> None:
        pass

    def close(self) -> None:
        pass

    def entries(self) -> Iterator[Entry]:
        """The entries so far, in order."""
        return iter(tuple(self._entries))


class FakeClock:
    """A clock that moves only when a task sleeps on it; `slept` lists the seconds of each sleep."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
