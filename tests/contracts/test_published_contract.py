"""The published contract of samplers fails for samplers that break it."""

import asyncio
import subprocess
import sys

import pytest

from unerring.core.voting.sample import Sample, Usage
from unerring.errors import ProviderBusy
from unerring.testing.contracts import PROMPTS, EndpointContract, SamplerContract


class Good:
    """An endpoint that keeps every promise; the others below break one each."""

    paid = True
    compact = True
    name = "good"
    account = "here"
    key = "k-0123456789"

    async def sample(self, prompt, settings, n):
        await asyncio.sleep(0)
        return [self.drawn(settings.sample_seed(i)) for i in range(n)]

    def drawn(self, seed):
        return Sample(f"answer {seed}", Usage(3, 5), voter="good")

    def worst(self, prompt, settings, n):
        return Usage(100, n * settings.max_output_tokens)

    async def aclose(self):
        pass


class Talkative(Good):
    async def sample(self, prompt, settings, n):
        return await super().sample(prompt, settings, n + 1)


class Silent(Good):
    async def sample(self, prompt, settings, n):
        return []


class Texts(Good):
    async def sample(self, prompt, settings, n):
        return ["an answer"] * n


class Unnamed(Good):
    def drawn(self, seed):
        return Sample("answer", Usage(3, 5))


class Surer(Good):
    def drawn(self, seed):
        return Sample("answer", Usage(3, 5), logprob=0.5, voter="good")


class Forgetful(Good):
    """Numbers its samples itself."""

    def __init__(self):
        self.count = 0

    def drawn(self, seed):
        self.count += 1
        return Sample(f"answer {self.count}", Usage(3, 5), voter="good")


class Cold(Good):
    async def sample(self, prompt, settings, n):
        return await super().sample(prompt, settings, n) if settings.temperature <= 1 else []


class Spoilt(Good):
    """Fails after a call was cancelled."""

    spoilt = False

    async def sample(self, prompt, settings, n):
        try:
            return [] if self.spoilt else await super().sample(prompt, settings, n)
        except asyncio.CancelledError:
            self.spoilt = True
            raise


class Bound(Good):
    """Fails on a second event loop."""

    loop = None

    async def sample(self, prompt, settings, n):
        self.loop = self.loop or asyncio.get_running_loop()
        if self.loop is not asyncio.get_running_loop():
            raise RuntimeError("attached to a different loop")
        return await super().sample(prompt, settings, n)


class Nameless(Good):
    name = ""


class Doubtful(Good):
    paid = None


class Boundless(Good):
    worst = None


class Cheap(Good):
    def worst(self, prompt, settings, n):
        return Usage(100, 5)


class Telling(Good):
    account = f"here {Good.key}"


class Closing(Good):
    """Cannot be closed twice."""

    closed = False

    async def aclose(self):
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


class Raw(Good):
    """Raises an exception of its own."""

    async def sample(self, prompt, settings, n):
        raise OSError("connection refused")


class Loud(Good):
    """Fails with its key in the message."""

    async def sample(self, prompt, settings, n):
        raise ProviderBusy(f"refused {self.key}")


BROKEN = {
    Talkative: "test_it_gives_between_one_and_n_samples",
    Silent: "test_it_gives_between_one_and_n_samples",
    Texts: "test_it_gives_between_one_and_n_samples",
    Unnamed: "test_its_samples_name_who_answered",
    Surer: "test_its_samples_are_whole",
    Forgetful: "test_samples_come_in_the_order_of_their_numbers",
    Cold: "test_it_takes_any_temperature",
    Spoilt: "test_a_cancelled_call_leaves_it_usable",
    Bound: "test_it_bears_a_loop_that_ends_without_closing_it",
    Nameless: "test_it_says_what_it_is",
    Doubtful: "test_it_says_what_it_is",
    Boundless: "test_the_worst_bounds_what_a_call_uses",
    Cheap: "test_the_worst_bounds_what_a_call_uses",
    Telling: "test_it_is_an_endpoint",
    Closing: "test_it_may_be_closed_early_and_twice",
}


def contract_for(kind, **own):
    """A contract for samplers of a kind, as a user writes one, seeded so that all of its tests run."""
    own = {"make": staticmethod(kind), "secrets": (Good.key,), "seeded": True} | own
    return type("Contract", (EndpointContract,), own)()


def promises_of(contract):
    """The names of a contract's tests that take a sampler."""
    return [name for name in dir(contract) if name.startswith("test_") and name != FAILURE]


FAILURE = "test_a_failure_is_raised_as_the_providers"


@pytest.mark.parametrize("name", [name for name in promises_of(EndpointContract) if "one_request" not in name])
def test_a_sampler_that_keeps_its_promises_passes(name):
    """Each test of the contract passes for a correct sampler."""
    contract = contract_for(Good)
    getattr(contract, name)(contract.make())


@pytest.mark.parametrize(("kind", "name"), BROKEN.items(), ids=lambda given: getattr(given, "__name__", ""))
def test_a_promise_that_is_broken_is_found(kind, name):
    """The test for a promise fails for a sampler that breaks it."""
    contract = contract_for(kind)
    with pytest.raises((AssertionError, TypeError, RuntimeError, AttributeError)):
        getattr(contract, name)(contract.make())


def test_a_second_request_is_found():
    """A sampler that retries by itself is found if requests are counted."""
    sent = []

    class Stubborn(Good):
        async def sample(self, prompt, settings, n):
            sent.extend(["once", "twice"])
            return await super().sample(prompt, settings, n)

    contract = contract_for(Stubborn, requests=staticmethod(lambda: len(sent)))
    with pytest.raises(AssertionError, match="made 2 requests"):
        contract.test_a_call_is_one_request(contract.make())


@pytest.mark.parametrize("kind", [Raw, Loud, Good])
def test_a_failure_that_is_no_providers_is_found(kind):
    """A sampler's own exception, one with a key in it, or none at all is not accepted as a failure."""
    contract = contract_for(Good, make_failing=staticmethod(kind))
    with pytest.raises((AssertionError, OSError, pytest.fail.Exception)):
        getattr(contract, FAILURE)()


def test_a_contract_without_a_sampler_fails():
    """A contract that does not say how a sampler is made fails with that message."""
    with pytest.raises(NotImplementedError, match="make"):
        type("Contract", (SamplerContract,), {})().make()


def test_a_sampler_that_cannot_be_seeded_is_not_compared():
    """Tests that draw samples again are skipped for it."""
    contract = contract_for(Forgetful, seeded=False)
    with pytest.raises(pytest.skip.Exception):
        contract.test_samples_come_in_the_order_of_their_numbers(contract.make())
    contract.test_calls_may_overlap(contract.make())


def test_the_prompts_are_of_a_process_that_ships():
    """The questions are the first two of a game of three disks, in the wording that the embedded model knows."""
    assert all(prompt.startswith("counterclockwise last = ") for prompt in PROMPTS)


def test_stand_ins_need_no_pytest():
    """Only the contracts import pytest, not the stand-ins."""
    statement = "import sys, unerring.testing; sys.exit('pytest' in sys.modules)"
    subprocess.run([sys.executable, "-c", statement], check=True, timeout=60)
