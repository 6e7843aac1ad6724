"""Probes for shared replies: gateways that coalesce requests before special models, and which endpoints always pass.

Also whole runs, whose first question is asked in sequence, and overlapping, before a sample may vote.
"""

import asyncio
import math
from dataclasses import replace
from random import Random

import pytest

from caching_gateway import Gateway, always
from chain_runs import K3, Words
from faults.caching import COALESCING, FRESH, WHOLE_BODY
from unerring.core.voting.copies import SentCall
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.errors import VotesCopied
from unerring.runtime.probes.probe import EndpointNature, ProbeFinding
from unerring.runtime.probes.shared_reply import (
    MAX_REPEATED_ROUNDS,
    MAX_SHARE_CALLS,
    MIN_ANSWER_SECONDS,
    WAIT_SHARES,
    probe_shared,
)
from virtual_time import LoopClock, ahead, virtually

BASE = Settings(temperature=0.0, max_output_tokens=750, seed=5, step=0, slot=0)
QUESTION = "What comes next? " * 40
USUAL = 0.5


async def probed(ask, usual=USUAL, nonce="123456789012"):
    """The probe's finding if an answer to the question took so many seconds before."""
    received = ((SentCall(QUESTION), Sample("7", seconds=usual), False),)
    return await probe_shared(
        ask, QUESTION, nonce, BASE, ProbeFinding(EndpointNature.UNSURE, "unsure", received=received), LoopClock()
    )


class Drawn:
    """An endpoint that samples each answer, within `took()` seconds; replies are sent at multiples of `tick`."""

    def __init__(self, took, tick=0.0):
        self.took, self.tick, self.calls = took, tick, 0

    async def ask(self, prompt, settings, n):
        self.calls += 1
        now = asyncio.get_running_loop().time()
        takes = self.took()
        if self.tick:
            takes = math.ceil((now + takes) / self.tick) * self.tick - now
        await asyncio.sleep(takes)
        return [Sample("7", Usage(9, 1), seconds=takes)]


@pytest.mark.parametrize("text", ["7", '{"move": [1, 2]}'])
def test_a_gateway_that_shares_replies_in_flight_is_found(text):
    """Equal answers with own ids and the latency of an answer come at the same moment."""
    gateway = Gateway(always(text), COALESCING, latency=USUAL)
    finding = virtually(probed(gateway.ask))
    assert (finding.nature, finding.fatal) == (EndpointNature.SHARED, True)
    assert "both replies come at the same moment" in finding.sentence
    assert len(gateway.calls) == 3 * len(WAIT_SHARES)
    assert {(settings.max_output_tokens, n) for _, settings, n in gateway.calls} == {(48, 1)}
    assert [known for _, _, known in finding.received[1:]] == [False, True, False] * len(WAIT_SHARES)


@pytest.mark.parametrize("cache", [None, WHOLE_BODY], ids=["none", "whole body"])
def test_an_endpoint_that_answers_each_request_takes_three_calls(cache):
    """The repeated question gets an answer of its own: one round shows it, and the finding stays."""
    gateway = Gateway(always("7"), cache, latency=USUAL)
    finding = virtually(probed(gateway.ask))
    assert (finding.nature, len(gateway.calls)) == (EndpointNature.UNSURE, 3)
    assert "answered by itself" in finding.sentence


def test_replies_that_come_at_once_and_differ_are_not_one():
    """The texts must be equal too: a gateway that sends replies together does not share them."""
    gateway = Gateway(always("7"), COALESCING, latency=USUAL)

    async def ask(prompt, settings, n):
        return [replace(sample, text=str(settings.slot)) for sample in await gateway.ask(prompt, settings, n)]

    assert not virtually(probed(ask)).fatal
    assert len(gateway.calls) == 3


def test_answers_that_come_too_fast_are_not_compared():
    """No call is made if this machine's jitter could decide."""
    gateway = Gateway(always("7"), COALESCING)
    assert not virtually(probed(gateway.ask, 0.9 * MIN_ANSWER_SECONDS)).fatal
    assert gateway.calls == []


@pytest.mark.parametrize(("held_up", "found"), [(MAX_REPEATED_ROUNDS, True), (MAX_REPEATED_ROUNDS + 1, False)])
def test_a_round_whose_calls_are_held_up_is_made_again(held_up, found):
    """A round whose second call is sent only after the first reply shows nothing, and is repeated."""
    gateway = Gateway(always("7"), COALESCING, latency=USUAL)
    calls = 0

    async def ask(prompt, settings, n):
        nonlocal calls
        calls += 1
        if calls <= 3 * held_up and calls % 3 != 1:
            await asyncio.sleep(2 * USUAL)
        return await gateway.ask(prompt, settings, n)

    assert virtually(probed(ask)).fatal is found
    assert len(gateway.calls) == (MAX_SHARE_CALLS if found else 3 * (MAX_REPEATED_ROUNDS + 1))


CHANCE = Random(7)
LATENCIES = {
    "log-normal, narrow": lambda: CHANCE.lognormvariate(0.0, 0.2),
    "log-normal, wide": lambda: CHANCE.lognormvariate(0.0, 1.0),
    "exponential": lambda: CHANCE.expovariate(1.0),
    "of two sorts": lambda: CHANCE.lognormvariate(0.0, 0.05) * CHANCE.choice((1.0, 1.5)),
    "one in ten waits": lambda: CHANCE.lognormvariate(0.0, 0.2) * (8.0 if CHANCE.random() < 0.1 else 1.0),
}


@pytest.mark.parametrize("tick", [0.0, 2.0])
def test_no_honest_endpoint_is_taken_for_a_cache(tick):
    """In 1,000 sessions with any latencies, also with replies sent at ticks only, none is.

    At ticks a quarter of the sessions would be accused without the third call of each round. Each session is accused
    with a chance of 1e-5 at most, and at ticks of 2.5e-4 at most in the worst case tried, mostly of a tenth of that.
    """

    async def session(name, number):
        drawn = Drawn(LATENCIES[name], tick)
        usual = min(drawn.took() for _ in range(3))
        return name, (await probed(drawn.ask, usual, str(number))).fatal

    async def sessions():
        return await asyncio.gather(*(session(name, number) for name in LATENCIES for number in range(200)))

    assert [name for name, fatal in virtually(sessions()) if fatal] == []


class Gated:
    """A gateway as a run's endpoint; `asked` has prompt, start and end of each answered call."""

    name, account, paid, compact = "gated/m", "gated", True, False

    def __init__(self, cache):
        self.gateway, self.asked = Gateway(always("a"), cache, latency=USUAL), []

    async def sample(self, prompt, settings, n):
        began = asyncio.get_running_loop().time()
        samples = await self.gateway.ask(prompt, settings, 1)
        self.asked.append((prompt, began, asyncio.get_running_loop().time()))
        return samples

    def worst(self, prompt, settings, n):
        return Usage(1000, 1000)

    async def aclose(self):
        pass


@pytest.mark.parametrize("cache", [FRESH, COALESCING], ids=lambda cache: cache.name)
def test_a_run_asks_its_first_question_spaced_and_overlapping_before_anything_votes(cache):
    """A silent cache stops the run by a repeated request, sent after the first reply or while it is due."""
    gated = Gated(cache)
    outcome, _ = ahead(Words(5), gated, K3)
    assert isinstance(outcome.error, VotesCopied)
    assert outcome.votes == []
    first = [(began, ended) for prompt, began, ended in gated.asked if prompt.startswith("word 0 of 5, so far: ")]
    (_, came), (sent_again, _) = first[:2]
    assert came <= sent_again


def test_a_run_on_an_endpoint_that_answers_each_request_continues():
    """The probe usually takes six calls of the first question; the samples of the first step are sent at once."""
    gated = Gated(None)
    outcome, _ = ahead(Words(5), gated, K3)
    assert outcome.at == ["a"] * 5
    trial = [prompt for prompt, _, _ in gated.asked if "(request " in prompt]
    assert len(trial) == 6
    voting = [(began, ended) for prompt, began, ended in gated.asked if prompt == "word 0 of 5, so far: "]
    assert len(voting) == 3
    assert len({began for began, _ in voting}) == 1
