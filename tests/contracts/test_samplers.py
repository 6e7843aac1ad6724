"""Every sampler that ships passes the contract of samplers."""

import asyncio

from unerring.adapters.embedded.sampler import EmbeddedSampler
from unerring.adapters.function import FunctionSampler
from unerring.core.voting.sample import Sample, Usage
from unerring.runtime.ensemble import Ensemble
from unerring.testing import NoisySampler, ScriptedSampler
from unerring.testing.contracts import CHAIN, PROMPTS, SamplerContract, settings


class TestNoisySampler(SamplerContract):
    @staticmethod
    def make():
        return NoisySampler(CHAIN.rehearse, 0.5, 0.8, 0.2)


class TestScriptedSampler(SamplerContract):
    @staticmethod
    def make():
        script = [f"answer {i}" if i % 3 else Sample(f"answer {i}", Usage(5, i), voter="other") for i in range(64)]
        return ScriptedSampler({0: script, 1: script[::-1]})


def answered(prompt, settings):
    """A user's model that is right half the time."""
    rehearsal = CHAIN.rehearse(prompt)
    return rehearsal.right if settings.sample_seed() % 2 else rehearsal.wrong[0]


async def answered_later(prompt, settings):
    # later samples answer sooner: their order must not follow
    for _ in range(64 - settings.slot):
        await asyncio.sleep(0)
    return Sample(answered(prompt, settings), Usage(7, 3), voter="my model")


class TestPlainFunction(SamplerContract):
    @staticmethod
    def make():
        return FunctionSampler(answered)


class TestAsyncFunction(SamplerContract):
    @staticmethod
    def make():
        return FunctionSampler(answered_later)


class TestPanel(SamplerContract):
    @staticmethod
    def make():
        return Ensemble([FunctionSampler(answered), FunctionSampler(answered_later)])

    def test_its_samplers_take_turns(self, sampler):
        """Sample i is drawn from sampler i modulo their number, wherever a call starts."""
        assert [sample.voter for sample in self.ask(sampler, 5, slot=3)] == ["my model", "function answered"] * 2 + [
            "my model"
        ]

    def test_it_is_paid_if_one_is_and_compact_if_all_are(self, sampler):
        """Intents are kept if any call costs something, and the full wording is used if any sampler needs it."""
        free = NoisySampler(CHAIN.rehearse)
        assert (sampler.paid, sampler.compact) == (True, False)
        assert (Ensemble([free, free]).paid, Ensemble([free, free]).compact) == (False, True)


class TestRotationOfOne(SamplerContract):
    @staticmethod
    def make():
        return Ensemble([NoisySampler(CHAIN.rehearse, 0.5)])


class TestEmbeddedSampler(SamplerContract):
    @staticmethod
    def make():
        return EmbeddedSampler("embedded")

    def test_its_members_take_turns(self, sampler):
        """The voters of consecutive samples are its three members in turn, wherever a call starts."""
        voters = [sample.voter for sample in self.ask(sampler, 6, slot=1)]
        assert voters == ["embedded/b", "embedded/c", "embedded/a"] * 2

    def test_it_knows_the_answer(self, sampler):
        """Greedily, every member answers the first question correctly."""
        right = CHAIN.rehearse(PROMPTS[0]).right
        samples = asyncio.run(sampler.sample(PROMPTS[0], settings(temperature=0.0), 3))
        assert [sample.text.split() for sample in samples] == [right.split()] * 3


class TestOneMember(SamplerContract):
    @staticmethod
    def make():
        return EmbeddedSampler("embedded/b")
