"""Probes with the run's own question: silent caches before special models, and which endpoints always pass."""

import asyncio
from random import Random

import pytest

from caching_gateway import Gateway, always, mostly
from faults.caching import CACHES, COALESCING, FRESH, WHOLE_BODY
from unerring.core.request import nonce_line
from unerring.core.voting.copies import CopyDetector, SentCall
from unerring.core.voting.sample import Settings
from unerring.runtime.probes.probe import EndpointNature, ProbeFinding
from unerring.runtime.probes.random_letters import probe
from unerring.runtime.probes.repeated_question import LONG_LINES, ROUNDS, probe_repeats
from virtual_time import virtually

BASE = Settings(temperature=0.0, max_output_tokens=750, seed=5, step=0, slot=0)
QUESTION = "What comes next? " * 40
UNSURE = ProbeFinding(EndpointNature.UNSURE, "cannot be found")
MOST_CALLS = 1 + 2 * ROUNDS


def found(gateway, nonce="123456789012"):
    """What the question alone shows of a gateway."""
    return virtually(probe_repeats(gateway.ask, QUESTION, nonce, BASE, UNSURE))


class Engine(Gateway):
    """An engine that keeps prompts it has read: it reads only what follows their common beginning.

    `read` and `write` are seconds a character of a prompt and an answer; calls vary by `spread`, log-normal.
    """

    def __init__(self, model, cache=None, read=0.01, write=0.04, spread=0.0, seed=0):
        super().__init__(model, cache)
        self.read, self.write, self.spread, self.chance, self.kept = read, write, spread, Random(seed), []

    async def ask(self, prompt, settings, n):
        common = max((self.common(prompt, earlier) for earlier in self.kept), default=0)
        self.kept.append(prompt)
        text = self.model(prompt, 1.0, 0, 0, 64).text
        self.latency = 0.02 + (len(prompt) - common) * self.read + len(text) * self.write
        self.latency *= self.chance.lognormvariate(0.0, self.spread)
        return await super().ask(prompt, settings, n)

    @staticmethod
    def common(one, other):
        """How many characters two prompts have in common at the start."""
        return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


@pytest.mark.parametrize("text", ["7", "", '{"move": [1, 2]}', "a" * 200])
def test_a_silent_cache_before_a_special_model_is_found(text):
    """With new ids, copied usage and equal answers it is found by its latency, for any length of the answer."""
    gateway = Gateway(always(text), FRESH)
    finding = found(gateway)
    assert (finding.nature, finding.fatal) == (EndpointNature.CACHED, True)
    assert "came within 0.004 s each time, and answers to new ones took 0.504 s" in finding.sentence
    assert len(gateway.calls) == MOST_CALLS
    assert max(settings.max_output_tokens for _, settings, _ in gateway.calls) == 48


@pytest.mark.parametrize("name", ["IGNORES_SEED", "MARKED", "FREE"])
def test_marks_and_ids_show_a_slow_cache(name):
    """Marks and ids need no difference in latency."""
    finding = found(Gateway(always("7"), CACHES[name], latency=0.0))
    assert finding.nature is EndpointNature.CACHED
    assert "by marks or id" in finding.sentence


@pytest.mark.parametrize("cache", [None, WHOLE_BODY, COALESCING], ids=["none", "whole body", "coalescing"])
@pytest.mark.parametrize("text", ["7", '{"move": [1, 2]}'])
def test_an_endpoint_that_samples_takes_three_calls(cache, text):
    """A model that always says the same passes, since sequential calls share nothing."""
    gateway = Gateway(always(text), cache)
    assert (found(gateway).nature, len(gateway.calls)) == (EndpointNature.UNSURE, 3)


def test_an_answer_that_differs_ends_the_probe():
    """A different answer to the same question shows that the endpoint samples: two calls suffice."""
    gateway = Gateway(lambda prompt, temperature, seed, index, limit: always(str(seed))(prompt, 1.0, seed, 0, limit))
    assert (found(gateway).nature, len(gateway.calls)) == (EndpointNature.INDEPENDENT, 2)


def test_engines_that_keep_prompts_pass():
    """They answer again without reading, and are not taken for a cache, for any reading speed and answer."""
    accused = []
    for text in ("7", '{"move": [1, 2]}', "a" * 100):
        for read in (0.0001, 0.001, 0.01, 0.1):
            for spread in (0.0, 0.1, 0.5):
                for seed in range(20):
                    if found(Engine(always(text), None, read, 0.04, spread, seed)).fatal:
                        accused.append((text, read, spread, seed))
    assert accused == []


def test_a_cache_before_an_engine_that_keeps_prompts_is_found():
    """It is found if writing the answer takes longer than a round trip."""
    missed = []
    for text in ("7", '{"move": [1, 2]}', "a" * 100):
        for read in (0.0001, 0.001, *([0.01] if len(text) > 10 else [])):
            for seed in range(5):
                if not found(Engine(always(text), FRESH, read, 0.04, 0.1, seed)).fatal:
                    missed.append((text, read, seed))
    assert missed == []


@pytest.mark.parametrize("latency", ["log-normal", "exponential", "one in ten waits"])
def test_no_honest_endpoint_is_taken_for_a_cache(latency):
    """In a thousand sessions with wildly varying latencies none is.

    Each is accused with a chance of 2e-5 at most, so that this fails for one seed of fifty.
    """
    draw = Random(7)
    took = {
        "log-normal": lambda: draw.lognormvariate(0.0, 1.0),
        "exponential": lambda: draw.expovariate(1.0),
        "one in ten waits": lambda: draw.lognormvariate(0.0, 0.2) * (8.0 if draw.random() < 0.1 else 1.0),
    }[latency]

    async def session(number):
        gateway = Gateway(always("7"))

        async def ask(prompt, settings, n):
            gateway.latency = took()
            return await gateway.ask(prompt, settings, n)

        return await probe_repeats(ask, QUESTION, str(number), BASE, UNSURE)

    async def sessions():
        return await asyncio.gather(*(session(number) for number in range(1000)))

    assert not any(finding.fatal for finding in virtually(sessions()))


def test_the_copy_detector_gets_the_samples_of_both_probes():
    """Answers to new questions are new texts, asked later."""
    gateway = Gateway(mostly(1.0), None)

    async def both():
        first = await probe(gateway.ask, "123456789012", BASE)
        return first, await probe_repeats(gateway.ask, QUESTION, "123456789012", BASE, first)

    first, finding = virtually(both())
    assert finding.received[: len(first.received)] == first.received
    (once, _, new), (again, _, known), (other, _, fresh) = finding.received[len(first.received) :]
    assert (once.later, again.later, other.later) == (False, True, True)
    assert (new, known, fresh) == (False, True, False)
    assert once.prompt == again.prompt == QUESTION + nonce_line("123456789012:again:0")
    assert other.prompt.count("(request ") == LONG_LINES
    finding.teach(copies := CopyDetector(), "m")
    assert copies.judge("m", SentCall(once.prompt, True), finding.received[-1][1], False) is not None
