"""What every sampler promises, as tests: subclass `SamplerContract`, say how one is made, and they run.

The two prompts are the first two questions of a Towers of Hanoi with three disks, in the compact wording that the
embedded model knows; the first is always asked as step 0, the second as step 1.
"""

import asyncio
import math
from collections.abc import Callable
from typing import ClassVar

import pytest

from unerring.core.sample import Finish, Sample, Settings, Usage
from unerring.processes.hanoi import Hanoi
from unerring.runtime.ports import Sampler

CHAIN = Hanoi(disks=3)
PROMPTS = [CHAIN.subtask(CHAIN.state_at(step)).compact for step in range(2)]


def settings(step=0, slot=0, temperature=1.0, seed=3, limit=64):
    return Settings(temperature, limit, seed, step, slot)


class SamplerContract:
    """Subclasses give `make`, which makes a sampler that can answer both prompts at slots below 64."""

    # Makes a fresh sampler; two of them are to answer alike. Not an abstract method: pytest passes over abstract
    # classes in silence, and a subclass that forgot it is to fail.
    make: ClassVar[Callable[[], Sampler]]

    @pytest.fixture(scope="class")
    @classmethod
    def sampler(cls):
        """One sampler for all tests of a class: it must bear being used over and over, from loop after loop."""
        made = cls.make()
        yield made
        if hasattr(made, "close"):
            made.close()

    def ask(self, sampler, n, step=0, **named):
        """The samples of one call, in an event loop of its own."""
        return asyncio.run(sampler.sample(PROMPTS[step], settings(step, **named), n))

    def test_it_says_what_it_is(self, sampler):
        """It has a name that a journal can keep, and says whether calls are paid and which wording it wants."""
        assert isinstance(sampler.name, str)
        assert sampler.name.strip() == sampler.name != ""
        assert isinstance(sampler.paid, bool)
        assert isinstance(sampler.compact, bool)
        assert self.make_again(lambda again: again.name) == sampler.name

    @pytest.mark.parametrize("n", [1, 2, 7, 40])
    def test_it_gives_between_one_and_n_samples(self, sampler, n):
        """A call for n samples gives at least one, and never more than n."""
        samples = self.ask(sampler, n)
        assert 1 <= len(samples) <= n
        assert all(isinstance(sample, Sample) for sample in samples)

    def test_its_samples_are_whole(self, sampler):
        """Each sample has its text, counts of tokens, a finish, and a log-probability that is one, if any."""
        for sample in self.ask(sampler, 20):
            assert isinstance(sample.text, str)
            assert isinstance(sample.usage, Usage)
            assert sample.usage.input_tokens >= 0 <= sample.usage.output_tokens
            assert isinstance(sample.finish, Finish)
            assert sample.logprob is None or (math.isfinite(sample.logprob) and sample.logprob <= 0)

    def test_its_samples_name_who_answered(self, sampler):
        """The voter of every sample is named."""
        assert all(isinstance(sample.voter, str) and sample.voter for sample in self.ask(sampler, 6))

    def test_samples_come_in_the_order_of_their_numbers(self, sampler):
        """A call for several gives what calls for each alone give, in the same order."""
        together = self.ask(sampler, 9, slot=2)
        alone = [self.ask(sampler, 1, slot=2 + i)[0] for i in range(len(together))]
        assert list(together) == alone

    def test_a_sample_is_named_by_its_number(self, sampler):
        """Where a call starts makes no difference to the samples it shares with another."""
        first, later = self.ask(sampler, 12), self.ask(sampler, 6, slot=4)
        assert list(later)[: len(first) - 4] == list(first)[4 : 4 + len(later)]

    def test_another_sampler_of_the_same_make_answers_alike(self, sampler):
        """Seed, step and number name a sample for good: a run that is resumed draws the same ones."""
        assert list(self.make_again(lambda again: self.ask(again, 8))) == list(self.ask(sampler, 8))

    def test_calls_may_overlap(self, sampler):
        """Calls that are under way together, for two prompts and many numbers, do not disturb each other."""

        async def overlapping():
            calls = [(step, slot, n) for step in (0, 1) for slot, n in ((0, 1), (1, 3), (4, 6), (10, 2), (12, 1))]
            return await asyncio.gather(
                *(sampler.sample(PROMPTS[step], settings(step, slot), n) for step, slot, n in calls)
            )

        answered = asyncio.run(overlapping())
        for step in (0, 1):
            got = [sample for samples in answered[5 * step : 5 * step + 5] for sample in samples]
            assert got == list(self.ask(sampler, 13, step))

    @pytest.mark.parametrize("temperature", [0.0, 0.1, 1.0, 2.0])
    def test_it_takes_any_temperature(self, sampler, temperature):
        """Temperature 0 and beyond 1 are answered too."""
        assert self.ask(sampler, 3, temperature=temperature)

    def test_a_cancelled_call_leaves_it_usable(self, sampler):
        """After a call was given up while under way, further calls are answered as ever."""
        expected = list(self.ask(sampler, 5))

        async def given_up():
            task = asyncio.create_task(sampler.sample(PROMPTS[1], settings(1), 8))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            return await sampler.sample(PROMPTS[0], settings(0), 5)

        assert list(asyncio.run(given_up())) == expected

    def make_again(self, use):
        """Use a second sampler and close it."""
        again = self.make()
        try:
            return use(again)
        finally:
            if hasattr(again, "close"):
                again.close()
