"""Contracts of samplers and journals, as tests that you run on your own; needs pytest.

In a test file, subclass the contract that fits and say how a sampler is made:

    from unerring.testing.contracts import EndpointContract

    class TestMyEndpoint(EndpointContract):
        @staticmethod
        def make():
            return MySampler("http://127.0.0.1:8000/v1")

`SamplerContract` is for any sampler, `EndpointContract` for one that sends requests over a network, `JournalContract`
for a journal. Class attributes and other static methods adapt them. To see the values of a failed comparison, put
`pytest.register_assert_rewrite("unerring.testing.contracts")` into `conftest.py`.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

import pytest

from unerring.core.voting.sample import Finish, Sample, Settings, Usage
from unerring.errors import FailureKind, ProviderBusy, ProviderDown, ProviderError
from unerring.processes.hanoi import Hanoi
from unerring.runtime.protocols import Endpoint, Sampler
from unerring.testing.journals import JournalContract, JournalStore

__all__ = [
    "CHAIN",
    "PROMPTS",
    "EndpointContract",
    "JournalContract",
    "JournalStore",
    "SamplerContract",
    "settings",
]

T = TypeVar("T")

CHAIN = Hanoi(disks=3)
PROMPTS = tuple(str(CHAIN.subtask(CHAIN.state_at(step)).compact) for step in range(2))  # type: ignore[union-attr]
"""The first two questions of a Towers of Hanoi with three disks, in the compact wording."""


def settings(step: int = 0, slot: int = 0, temperature: float = 1.0, seed: int = 3, limit: int = 64) -> Settings:
    """Settings for one call of a contract."""
    return Settings(temperature, limit, seed, step, slot)


class SamplerContract:
    """The contract of every sampler.

    seeded: whether seed, step and number determine a sample; set it to False for a model that cannot be seeded.
    prompts: the prompts of step 0 and of step 1.
    counts: the numbers of samples that calls ask for; lower them for a model that costs money.
    temperatures: the temperatures that calls ask for.
    limit: the output tokens that calls ask for, at most.
    """

    seeded: ClassVar[bool] = True
    prompts: ClassVar[Sequence[str]] = PROMPTS
    counts: ClassVar[Sequence[int]] = (1, 2, 7, 40)
    temperatures: ClassVar[Sequence[float]] = (0.0, 0.1, 1.0, 2.0)
    limit: ClassVar[int] = 64

    # Not abstract: pytest skips abstract classes silently, and a subclass without make() has to fail.
    @staticmethod
    def make() -> Sampler:
        """Make a fresh sampler that can answer both prompts at slots below 64."""
        raise NotImplementedError("say how a sampler is made: a static or class method make()")

    @pytest.fixture(scope="class")
    @classmethod
    def sampler(cls) -> Iterator[Sampler]:
        """One sampler for all tests of a class, used again and again on new event loops."""
        made = cls.make()
        yield made
        _close(made)

    async def draw(
        self, sampler: Sampler, n: int, step: int = 0, slot: int = 0, temperature: float = 1.0
    ) -> Sequence[Sample]:
        """The samples of one call."""
        asked = settings(step, slot, temperature, limit=self.limit)
        return await sampler.sample(self.prompts[step], asked, n)

    def ask(
        self, sampler: Sampler, n: int, step: int = 0, slot: int = 0, temperature: float = 1.0
    ) -> Sequence[Sample]:
        """The samples of one call, in an event loop of its own."""
        samples: Sequence[Sample] = in_a_loop(sampler, self.draw(sampler, n, step, slot, temperature))
        return samples

    def make_again(self, use: Callable[[Sampler], T]) -> T:
        """Use a second sampler and close it."""
        again = self.make()
        try:
            return use(again)
        finally:
            _close(again)

    def require_seeds(self) -> None:
        """Skip a test that compares samples, where they cannot be drawn again."""
        if not self.seeded:
            pytest.skip("this sampler cannot be seeded")

    def test_it_says_what_it_is(self, sampler: Sampler) -> None:
        """It has a name that a journal can keep, and says whether calls are paid and which wording it wants."""
        assert isinstance(sampler, Sampler), "it lacks name, paid, compact or sample"
        assert isinstance(sampler.name, str), f"its name is text, not {sampler.name!r}"
        assert sampler.name.strip() == sampler.name != "", "its name is not empty, without spaces around it"
        assert sampler.name.isprintable(), "its name is one line"
        assert isinstance(sampler.paid, bool), f"paid is True or False, not {sampler.paid!r}"
        assert isinstance(sampler.compact, bool), f"compact is True or False, not {sampler.compact!r}"
        assert self.make_again(lambda again: again.name) == sampler.name, "another of its make has another name"

    def test_it_gives_between_one_and_n_samples(self, sampler: Sampler) -> None:
        """A call for n samples gives at least one, and never more than n."""
        for n in self.counts:
            samples = self.ask(sampler, n)
            assert 1 <= len(samples) <= n, f"{len(samples)} samples where {n} were asked for"
            assert all(isinstance(sample, Sample) for sample in samples), f"each is a Sample, not {samples!r}"

    def test_its_samples_are_whole(self, sampler: Sampler) -> None:
        """Each sample has its text, counts of tokens, a finish, and a log-probability that is one, if any."""
        for sample in self.ask(sampler, max(self.counts)):
            assert isinstance(sample.text, str), f"its text is a str, not {sample.text!r}"
            assert isinstance(sample.usage, Usage), f"its usage is a Usage, not {sample.usage!r}"
            assert sample.usage.input_tokens >= 0 <= sample.usage.output_tokens, "tokens are counts"
            assert 0 <= sample.usage.cached_tokens <= sample.usage.input_tokens, "cached tokens are some of those read"
            assert isinstance(sample.finish, Finish), f"its finish is a Finish, not {sample.finish!r}"
            assert sample.logprob is None or (math.isfinite(sample.logprob) and sample.logprob <= 0), (
                f"its log-probability is None or 0 at most, not {sample.logprob!r}"
            )

    def test_its_samples_name_who_answered(self, sampler: Sampler) -> None:
        """The voter of every sample is named."""
        named = [sample.voter for sample in self.ask(sampler, 6)]
        assert all(isinstance(voter, str) and voter for voter in named), f"voters are named, not {named!r}"

    def test_samples_come_in_the_order_of_their_numbers(self, sampler: Sampler) -> None:
        """A call for several gives what calls for each alone give, in the same order."""
        self.require_seeds()
        together = self.ask(sampler, 9, slot=2)
        alone = [self.ask(sampler, 1, slot=2 + i)[0] for i in range(len(together))]
        assert list(together) == alone, "calls for each alone give other samples"

    def test_a_sample_is_named_by_its_number(self, sampler: Sampler) -> None:
        """Where a call starts makes no difference to the samples it shares with another."""
        self.require_seeds()
        first, later = self.ask(sampler, 12), self.ask(sampler, 6, slot=4)
        assert list(later)[: len(first) - 4] == list(first)[4 : 4 + len(later)], "a call from 4 on gives others"

    def test_another_sampler_of_the_same_make_answers_alike(self, sampler: Sampler) -> None:
        """Seed, step and number name a sample permanently: a run that is resumed draws the same ones."""
        self.require_seeds()
        again = self.make_again(lambda again: self.ask(again, 8))
        assert list(again) == list(self.ask(sampler, 8)), "another of its make answers otherwise"

    def test_calls_may_overlap(self, sampler: Sampler) -> None:
        """Calls that are in flight together, for two prompts and many numbers, do not disturb each other."""
        calls = [(step, slot, n) for step in (0, 1) for slot, n in ((0, 1), (1, 3), (4, 6), (10, 2), (12, 1))]

        async def overlapping() -> list[Sequence[Sample]]:
            return await asyncio.gather(*(self.draw(sampler, n, step, slot) for step, slot, n in calls))

        answered = in_a_loop(sampler, overlapping())
        assert all(1 <= len(samples) <= n for samples, (_, _, n) in zip(answered, calls, strict=True))
        for step in (0, 1) if self.seeded else ():
            got = [sample for samples in answered[5 * step : 5 * step + 5] for sample in samples]
            assert got == list(self.ask(sampler, 13, step)), "calls that overlap give other samples"

    def test_it_takes_any_temperature(self, sampler: Sampler) -> None:
        """Temperature 0 and beyond 1 are answered too."""
        for temperature in self.temperatures:
            assert self.ask(sampler, 3, temperature=temperature), f"no sample at temperature {temperature}"

    def test_a_cancelled_call_leaves_it_usable(self, sampler: Sampler) -> None:
        """After a call was abandoned while in flight, further calls are answered as ever."""

        async def given_up() -> list[Sample]:
            task = asyncio.create_task(self.draw(sampler, 8, step=1))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            return list(await self.draw(sampler, 5))

        after = in_a_loop(sampler, given_up())
        assert after, "no sample after a call was abandoned"
        if self.seeded:
            assert after == list(self.ask(sampler, 5)), "other samples after a call was abandoned"

    def test_it_bears_a_loop_that_ends_without_closing_it(self, sampler: Sampler) -> None:
        """Used on one event loop and, once that has ended, on another, it answers on both."""
        for _ in range(2):
            assert asyncio.run(self.draw(sampler, 1)), "no sample on a further event loop"


class EndpointContract(SamplerContract):
    """The contract of samplers that send requests over a network, in addition to that of every sampler.

    secrets: the keys that `make` gives it.
    """

    seeded = False
    counts = (1, 2, 7)
    secrets: ClassVar[Sequence[str]] = ()

    @staticmethod
    def make_failing() -> Sampler | None:
        """Make a sampler whose calls fail, such as at a closed port; None skips the test of failures."""
        return None

    @staticmethod
    def requests() -> int | None:
        """The number of requests that the server has received; None skips the test that counts them."""
        return None

    def test_it_is_an_endpoint(self, sampler: Sampler) -> None:
        """It has an account to pace calls by, the same for all of its make, and without a key in it."""
        assert isinstance(sampler, Endpoint), "it lacks account, worst or aclose"
        account = sampler.account
        assert isinstance(account, str), f"its account is text, not {account!r}"
        assert account.strip(), "its account is not empty"
        assert account.isprintable(), "its account is one line"
        assert self.make_again(lambda again: getattr(again, "account", None)) == account, "another has another account"
        for secret in self.secrets:
            assert secret not in f"{account} {sampler.name} {sampler!r}", "a key shows in account, name or repr"

    def test_the_worst_bounds_what_a_call_uses(self, sampler: Sampler) -> None:
        """No call reads or writes more tokens than were reserved for it."""
        assert isinstance(sampler, Endpoint), "it lacks account, worst or aclose"
        for step in (0, 1):
            for n in self.counts:
                worst = sampler.worst(self.prompts[step], settings(step, limit=self.limit), n)
                used = sum((sample.usage for sample in self.ask(sampler, n, step)), Usage())
                assert used.input_tokens <= worst.input_tokens, f"{used} is more than {worst}"
                assert used.output_tokens <= worst.output_tokens, f"{used} is more than {worst}"

    def test_a_call_is_one_request(self, sampler: Sampler) -> None:
        """Each call makes exactly one request: the runtime owns every further try."""
        if self.requests() is None:
            pytest.skip("no count of requests: define requests()")
        for n in self.counts:
            before = self.requests() or 0
            self.ask(sampler, n)
            made = (self.requests() or 0) - before
            assert made == 1, f"a call for {n} made {made} requests"

    def test_a_failure_is_raised_as_the_providers(self) -> None:
        """A call that fails raises `ProviderBusy` or `ProviderDown`, of some kind, in one line without a key."""
        failing = self.make_failing()
        if failing is None:
            pytest.skip("nothing here fails: give make_failing()")
        with pytest.raises(ProviderError) as raised:
            self.ask(failing, 1)
        error = raised.value
        assert isinstance(error, ProviderBusy | ProviderDown), "it is one of the two"
        assert isinstance(error.kind, FailureKind), f"its kind is a FailureKind, not {error.kind!r}"
        assert str(error), "it says what happened"
        assert str(error).isprintable(), "its message is one line"
        for secret in self.secrets:
            assert secret not in str(error), "a key shows in the message"
        _close(failing)

    def test_it_may_be_closed_early_and_twice(self, sampler: Sampler) -> None:
        """Closing is harmless before any call and after closing, and calls are answered after it."""

        async def closing() -> Sequence[Sample]:
            assert isinstance(sampler, Endpoint), "it lacks account, worst or aclose"
            await sampler.aclose()
            await self.draw(sampler, 1)
            await sampler.aclose()
            await sampler.aclose()
            return await self.draw(sampler, 1)

        assert in_a_loop(sampler, closing()), "no sample after it was closed"


def in_a_loop(sampler: Sampler, work: Coroutine[Any, Any, T]) -> T:
    """Do work in an event loop of its own, and close a sampler's connections at the end of it."""

    async def whole() -> T:
        try:
            return await work
        finally:
            if isinstance(sampler, Endpoint):
                await sampler.aclose()

    return asyncio.run(whole())


def _close(sampler: Sampler) -> None:
    close: Callable[[], None] | None = getattr(sampler, "close", None)
    if close is not None:
        close()
