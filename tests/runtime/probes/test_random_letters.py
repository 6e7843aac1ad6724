"""Probes with random letters: what they find about caches, seeds and n, and what the run learns from them."""

import asyncio
from dataclasses import replace
from random import Random

import pytest

from caching_gateway import Gateway, always, mostly, unseeded
from faults.caching import CACHES, COALESCING, FRESH, IGNORES_SEED, WHOLE_BODY
from unerring.core.voting.copies import CopyDetector, SentCall
from unerring.core.voting.sample import Finish, Sample, Settings, Usage
from unerring.errors import FailureKind, Interrupted, ProviderBusy, ProviderDown, ProviderGone
from unerring.runtime.probes.probe import EndpointNature
from unerring.runtime.probes.random_letters import MAX_CALLS, looks_random, nonce_of, probe
from virtual_time import virtually

BASE = Settings(temperature=0.0, max_output_tokens=24, seed=5, step=0, slot=0)
FATAL_CACHES = [name for name in CACHES if name != "WHOLE_BODY"]
FOUND = {
    "IGNORES_SEED": EndpointNature.CACHED,
    "MARKED": EndpointNature.CACHED,
    "FRESH": EndpointNature.CACHED,
    "FREE": EndpointNature.CACHED,
}


def found(gateway, nonce="123456789012"):
    """The finding about a gateway."""
    return virtually(probe(gateway.ask, nonce, BASE))


# caches


@pytest.mark.parametrize("several", ["own", "one", "equal", "refused", "adapted"])
@pytest.mark.parametrize("name", FATAL_CACHES)
def test_every_cache_that_ignores_seeds_is_found_within_five_calls(name, several):
    """They are found with marks or without, with new ids or old ones, kept or shared in flight, at any n."""
    gateway = Gateway(cache=CACHES[name], several=several)
    finding = found(gateway)
    assert finding.fatal
    assert finding.nature is FOUND.get(name, EndpointNature.SHARED)
    assert len(gateway.calls) <= MAX_CALLS
    assert finding.advice


@pytest.mark.parametrize("name", CACHES)
def test_no_copy_is_counted_as_a_vote(name):
    """With probe and copy detector, over 300 steps of three samples and a repeated one each, no copy votes."""
    gateway = Gateway(cache=CACHES[name])
    copies = CopyDetector()

    async def run():
        finding = await probe(gateway.ask, "123456789012", BASE)
        finding.teach(copies, "m")
        if finding.fatal:
            return None
        return [await step(number) for number in range(300)]

    async def step(number):
        """For each sample whether it is a copy, and whether it is taken for one."""
        seen, texts, slots = [], set(), [0, 1, 2, 1]  # a client that lost the reply to sample 1 sends it again
        for place, slot in enumerate(slots):
            gateway.copied.clear()
            prompt, settings = f"step {number}: what now?", Settings(0.1, 64, 1, number, slot)
            for sample in await gateway.ask(prompt, settings, 1):
                reason = copies.judge("m", SentCall(prompt, place > 0), sample, sample.text in texts)
                seen.append((gateway.copied[0], reason is not None))
                texts.add(sample.text)
        return seen

    steps = virtually(run())
    assert (steps is None) is (name != "WHOLE_BODY")
    for seen in steps or []:
        assert seen == [(False, False)] * 3 + [(True, True)]


@pytest.mark.parametrize("name", ["IGNORES_SEED", "MARKED", "FREE"])
def test_three_caches_are_found_without_a_probe(name):
    """Ids, marks and usage suffice: after its first reply a question gets no further vote."""
    gateway, copies = Gateway(cache=CACHES[name], model=always("7")), CopyDetector()

    async def votes(prompt):
        asked = [await gateway.ask(prompt, Settings(0.1, 64, 1, 0, slot), 1) for slot in range(4)]
        each = [sample for samples in asked for sample in samples]
        return [copies.judge("m", SentCall(prompt, i > 0), sample, i > 0) is None for i, sample in enumerate(each)]

    for number in range(20):
        assert virtually(votes(f"step {number}")) == [True, False, False, False]
    assert copies.too_many


def test_a_cache_before_a_special_model_is_found_by_its_ids():
    """Equal answers prove nothing there, but a repeated reply does."""
    finding = found(Gateway(mostly(0.99), IGNORES_SEED))
    assert finding.nature is EndpointNature.CACHED
    assert "by its id" in finding.sentence


def test_a_silent_cache_before_a_special_model_cannot_be_found():
    """It is not found, but the signs of a cache are reported."""
    finding = found(Gateway(always("7"), FRESH))
    assert finding.nature is EndpointNature.UNSURE
    assert "times sooner" in finding.sentence


def test_a_cache_that_is_as_slow_as_the_model_is_found_by_its_texts():
    """Without a difference in latency the model itself may repeat its answers, which is as bad."""
    finding = found(Gateway(cache=FRESH, latency=0.0))
    assert finding.nature is EndpointNature.REPEATING
    assert "there is a cache, or" in finding.sentence


@pytest.mark.parametrize("cache", [FRESH, COALESCING], ids=lambda cache: cache.name)
def test_a_cache_that_answers_most_calls_is_mostly_found(cache):
    """If nine of ten hits are used, at least 140 of 200 are found: an answer has to come again, and once more.

    That has a chance of 0.99 * 0.9 where replies are kept and 0.81 where they are shared, so that fewer than 140 of
    200 are found for one seed of 10,000.
    """

    async def sessions():
        gateways = [Gateway(cache=cache.at(0.9, seed=number)) for number in range(200)]
        return [await probe(gateway.ask, nonce_of(1, 0.0), BASE) for gateway in gateways]

    assert sum(finding.fatal for finding in virtually(sessions())) >= 140


# endpoints that draw


@pytest.mark.parametrize("cache", [None, WHOLE_BODY], ids=["no cache", "WHOLE_BODY"])
@pytest.mark.parametrize(
    ("several", "honoured", "calls"),
    [("own", True, 3), ("one", False, 4), ("equal", False, 3), ("refused", False, 4), ("adapted", False, 4)],
)
def test_an_endpoint_that_samples_passes(several, honoured, calls, cache):
    """It takes three calls, one more if n returns one sample, and tells whether n is honoured."""
    gateway = Gateway(cache=cache, several=several)
    finding = found(gateway)
    assert (finding.nature, finding.fatal) == (EndpointNature.INDEPENDENT, False)
    assert finding.n_honoured is honoured
    assert len(gateway.calls) == calls
    assert finding.advice == ""


def test_the_request_of_a_probe():
    """It has temperature 1, room for the letters only, own seeds and one number, and two calls at once.

    A run's own limit is neither needed nor waited for: a slow server took 63 s for each call with room for 750 tokens.
    """
    gateway, long = Gateway(), Gateway()
    assert not found(gateway).fatal
    assert not virtually(probe(long.ask, "123456789012", replace(BASE, max_output_tokens=750))).fatal
    assert {settings.max_output_tokens for _, settings, _ in gateway.calls + long.calls} == {48}
    assert len({prompt for prompt, _, _ in gateway.calls}) == 1
    assert "123456789012" in gateway.calls[0][0]
    asked = [settings for _, settings, _ in gateway.calls]
    assert {settings.temperature for settings in asked} == {1.0}
    assert len({settings.sample_seed(i) for settings in asked for i in range(2)}) == 6
    assert [n for _, _, n in gateway.calls] == [2, 2, 2]
    assert gateway.most_in_flight == 2


@pytest.mark.parametrize("cache", [None, *CACHES.values()], ids=lambda cache: cache and cache.name)
def test_a_model_that_thinks_before_it_writes_passes(cache):
    """If all tokens of a probe go into thoughts nothing is found, unless marks or ids show copies."""
    thinking = Gateway(always(""), cache)
    finding = found(thinking)
    if not (
        (finding.nature is EndpointNature.CACHED and "says itself" in finding.sentence)
        or "by its id" in finding.sentence
    ):
        assert (finding.nature, finding.fatal) == (EndpointNature.UNSURE, False)
        assert "no text within 48 tokens" in finding.sentence


def test_a_session_has_a_number_of_its_own():
    """The number follows from the seed and the beginning, and differs between sessions and seeds."""
    assert nonce_of(1, 1e9) == nonce_of(1, 1e9)
    assert len({nonce_of(seed, 1e9 + session) for seed in range(50) for session in range(50)}) == 2500
    assert all(len(nonce_of(seed, 0.0)) == 12 for seed in range(50))


# endpoints that are not to be accused


@pytest.mark.parametrize(
    "text", ["7", "", "I can only tell moves of a Towers of Hanoi.", '{"move": [1, 2]}', "a" * 32]
)
@pytest.mark.parametrize("several", ["own", "one", "refused"])
def test_a_model_that_always_says_the_same_passes(text, several):
    """It passes with any answer that is not random letters, however short."""
    finding = found(Gateway(always(text), several=several))
    assert (finding.nature, finding.fatal) == (EndpointNature.UNSURE, False)


@pytest.mark.parametrize(
    "text", ["abcdefghijklmnopqrstuvwxyzabcdef", "zyxwvutsrqponmlkjihgfedcba", "qwertyuiopasdfghjkl"]
)
def test_a_model_that_types_the_alphabet_passes(text):
    """Small models write letters in order when they are asked for random ones."""
    assert found(Gateway(always(text))).nature is EndpointNature.UNSURE


@pytest.mark.parametrize("names", ["own", "999", "constant", "long constant", "none"])
@pytest.mark.parametrize("p", [0.5, 0.99, 1.0])
def test_honest_short_answers_pass_thousands_of_times(p, names):
    """None of 4,500 sessions of models that mostly say `7`, with small latencies and any ids, is taken for a cache.

    But for long ids that are the same for all replies: that they mean nothing shows after twenty replies.
    """
    draw = Random(3)
    makers = {
        "own": None,
        "999": lambda: f"chatcmpl-{draw.randrange(999)}",
        "constant": lambda: "chatcmpl-A1",
        "long constant": lambda: "chatcmpl-0123456789abcdef0123456789abcdef",
        "none": lambda: "",
    }

    async def session(number):
        gateway, copies = Gateway(mostly(p), latency=0.001, name=makers[names]), CopyDetector()
        finding = await probe(gateway.ask, nonce_of(number, 0.0), BASE)
        assert not finding.fatal
        finding.teach(copies, "m")
        texts = set()
        for slot in range(5):
            [sample] = await gateway.ask("what now?", Settings(0.1, 64, number, 0, slot), 1)
            copied = copies.judge("m", SentCall("what now?", slot > 0), sample, sample.text in texts)
            assert copied is None or names == "long constant"
            texts.add(sample.text)
        assert (copies.copies, copies.too_many) == (0, False)

    async def sessions():
        for number in range(300):
            await session(number)

    virtually(sessions())


def test_a_reply_delivered_twice_is_no_cache():
    """With 2 % of replies delivered twice, none of 1,000 endpoints is taken for a cache.

    It would take three of them in one probe, so that this has a false alarm for one seed of a hundred at most.
    """
    draw = Random(4)

    async def session(number):
        gateway, last = Gateway(), []

        async def ask(prompt, settings, n):
            if last and draw.random() < 0.02:
                return last
            last[:] = await gateway.ask(prompt, settings, n)
            return list(last)

        return await probe(ask, nonce_of(number, 0.0), BASE)

    async def sessions():
        return [await session(number) for number in range(1000)]

    findings = virtually(sessions())
    assert not any(finding.fatal for finding in findings)
    assert sum(finding.nature is EndpointNature.UNSURE for finding in findings) >= 20


def test_marks_on_every_reply_mean_nothing():
    """A server that counts no tokens marks new answers too: that is found, reported, and used by the detector."""
    gateway, copies = Gateway(), CopyDetector()

    async def ask(prompt, settings, n):
        return [Sample(sample.text, Usage(), cached=True) for sample in await gateway.ask(prompt, settings, n)]

    finding = virtually(probe(ask, "123456789012", BASE))
    assert (finding.nature, finding.marks_tell) == (EndpointNature.INDEPENDENT, False)
    assert "means nothing" in finding.sentence
    finding.teach(copies, "m")
    assert copies.judge("m", SentCall("q"), Sample("7", cached=True), False) is None


# endpoints that do not draw


def test_a_model_that_repeats_itself_for_other_seeds_is_found():
    """The same letters for each seed mean that votes would be copies, with a cache or without."""
    finding = found(Gateway(unseeded))
    assert finding.nature is EndpointNature.REPEATING


def test_a_model_that_has_one_answer_of_random_letters_is_found():
    """Its letters are the same even for another request."""
    finding = found(Gateway(always("qjzkxwvmpfhgbtncrlydaoseuiqpmzkt")))
    assert finding.nature is EndpointNature.REPEATING
    assert "another request" in finding.sentence


# failures


@pytest.mark.parametrize(
    "error",
    [
        ProviderBusy("503"),
        ProviderDown("no key", FailureKind.DENIED),
        ProviderGone("gone"),
        Interrupted("Ctrl-C"),
        RuntimeError("a bug"),
    ],
)
@pytest.mark.parametrize("turn", [0, 1, 2])
def test_failures_go_through(error, turn):
    """A failure of any call is raised to the caller, and the other call does not stay in flight."""
    gateway, done = Gateway(), []

    async def ask(prompt, settings, n):
        number = len(gateway.calls)
        samples = await gateway.ask(prompt, settings, n)
        if number == turn:
            raise error
        await asyncio.sleep(1.0)
        done.append(number)
        return samples

    with pytest.raises(type(error)):
        virtually(probe(ask, "123456789012", BASE))
    assert sorted(done) == [number for number in range(max(1, turn * 3)) if number != turn][: 2 if turn else 0]


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_request_that_is_called_invalid_is_a_finding(wrapped):
    """An endpoint that refuses the request is unknown, and nothing is held against it."""
    calls = []

    async def ask(prompt, settings, n):
        calls.append(n)
        error = ProviderDown("400: not here", FailureKind.INVALID)
        if wrapped:
            raise ProviderGone("400: not here") from error
        raise error

    finding = virtually(probe(ask, "123456789012", BASE))
    assert (finding.nature, finding.n_honoured, finding.received) == (EndpointNature.UNSURE, None, ())
    assert "400: not here" in finding.sentence
    assert len(calls) <= MAX_CALLS


def test_a_cancelled_probe_cancels_its_calls():
    """No call stays in flight."""
    cancelled = []

    async def ask(prompt, settings, n):
        try:
            await asyncio.sleep(3600.0)
        except asyncio.CancelledError:
            cancelled.append(n)
            raise

    async def main():
        task = asyncio.create_task(probe(ask, "123456789012", BASE))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert virtually(main())
    assert cancelled == [2]


# samples of a probe


def test_the_copy_detector_gets_the_samples_of_a_probe():
    """It gets all samples with their calls: later ones are those whose call was sent after an answer."""
    finding = found(Gateway())
    assert [(sent.later, sent.together, known) for sent, _, known in finding.received] == [
        *[(False, 2, False)] * 2,
        *[(True, 2, False)] * 4,
    ]
    copies = CopyDetector()
    finding.teach(copies, "m")
    sent, sample, _ = finding.received[0]
    assert copies.samples == 0
    assert copies.judge("m", sent, sample, True) is not None


@pytest.mark.parametrize(
    ("text", "random"),
    [
        ("qjzkxwvmpfhgbtncrlydaoseuiqpmzkt", True),
        ("QJZKXWVMPFHGBTNCRLYDAOSEUIQPMZKT", True),
        ("Sure! Here you go: `qjzkxwvmpfhgbtncrlyd`", True),
        ("q j z k x w v m p f h g b t n c r l y d", True),
        ("q, j, z, k, x, w, v, m, p, f, h, g, b, t, n, c, r, l, y, d", True),
        ("I am sorry, but I cannot help with that request at all, nor with others", False),
        ("qjzkxwvmpfhgbtn", False),
        ("abababababababababababababababab", False),
        ("abcdefghijklmnopqrstuvwxyzabcdef", False),
        ("a b c d e f g h i j k l m n o p q r s t", False),
        ("qwertyuiopasdfghjklzxcvbnmqwerty", False),
        ("12345678901234567890123456789012", False),
        ("", False),
    ],
)
def test_what_looks_random(text, random):
    """Random letters are a run of at least 16, of at least 8 kinds, mostly not in alphabetic or keyboard order."""
    assert looks_random(text) is random


def test_random_letters_look_random():
    """All of 20,000 seeded ones do: fewer than 1 in 500,000 of 32 letters are in such an order by chance."""
    draw = Random(6)
    for _ in range(20_000):
        text = "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=32))
        assert looks_random(text)


def test_a_refusal_counts_as_no_answer():
    """Filtered answers are empty and equal, and are not taken for copies."""

    async def ask(prompt, settings, n):
        return [Sample("", finish=Finish.REFUSED)] * n

    assert virtually(probe(ask, "123456789012", BASE)).nature is EndpointNature.UNSURE
