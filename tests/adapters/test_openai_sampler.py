"""The OpenAI sampler over real HTTP, against the fault server and its ledger."""

import asyncio
import logging
import time
import traceback

import pytest
from openai_calls import CANARY, PROMPT, ask, failing, refusing, sampler_of, settings

from faults.caching import CACHES
from faults.faults import Fault, Rejection, redirected
from faults.script import always, listed
from faults.server import serving
from tables import each
from unerring.adapters.chat.request import TEMPLATE_TOKENS
from unerring.adapters.openai import OpenAISampler
from unerring.core.voting.sample import Finish, Usage
from unerring.errors import FailureKind, ProviderBusy, ProviderDown
from unerring.runtime.protocols import Endpoint, Sampler

DEADLINE = 1.0  # seconds, enough for an answer on a busy machine, in the tests of what never comes


# --- what goes well


def test_it_is_an_endpoint():
    """It has everything that the runtime asks of a sampler, without a network."""
    with serving() as server:
        sampler = sampler_of(server, ",compact")
        assert isinstance(sampler, Endpoint)
        assert isinstance(sampler, Sampler)
        assert (sampler.paid, sampler.compact) == (True, True)
        assert OpenAISampler(sampler.name, {}).name == sampler.name


def test_a_call_is_one_request():
    """Each call is one request with one seed, and its samples cost what the ledger has."""
    with serving() as server:
        sampler = sampler_of(server)
        for slot, n in ((0, 1), (1, 3), (4, 2)):
            samples = ask(sampler, n, slot)
            assert [sample.text.startswith("move = ") for sample in samples] == [True] * n
            entry = server.ledger.chats[-1]
            assert (entry.n, entry.seed) == (n, settings(slot).sample_seed() % 2**31)
            used = sum((sample.usage for sample in samples), Usage())
            assert (used.input_tokens, used.output_tokens) == (entry.billed.input, entry.billed.output)
            assert all(sample.served == "noise fp_faults" and sample.logprob is not None for sample in samples)
            assert all(sample.seconds is not None and 0 < sample.seconds < 60 for sample in samples)
        assert server.ledger.totals.requests == 3
        identities = [sample.reply_id for slot in range(5) for sample in ask(sampler, 2, slot)]
        assert len({*identities}) == 10


def test_what_a_call_can_cost_is_known_before():
    """No reply uses more than `worst` says, also for a server that returns one sample a call."""
    with serving() as server:
        sampler = sampler_of(server)
        worst = sampler.worst(PROMPT, settings(), 3)
        used = sum((sample.usage for sample in ask(sampler, 3)), Usage())
        assert used.input_tokens <= worst.input_tokens == len(PROMPT.encode()) + TEMPLATE_TOKENS
        assert used.output_tokens <= worst.output_tokens == 600
        assert sampler.worst("é😀", settings(), 1).input_tokens == 6 + TEMPLATE_TOKENS
        assert sampler_of(server, ",n=1").worst(PROMPT, settings(), 3).output_tokens == 200


def test_hundreds_of_calls_at_once():
    """512 calls in flight are 512 requests and 512 answers, and the next ones reuse the connections."""
    with serving() as server:
        sampler = sampler_of(server)

        async def together():
            try:
                for _ in range(2):
                    answers = await asyncio.gather(*(sampler.sample(PROMPT, settings(slot), 1) for slot in range(512)))
                    assert {len(samples) for samples in answers} == {1}
            finally:
                await sampler.aclose()

        asyncio.run(together())
        assert server.ledger.totals.requests == server.ledger.totals.completed == 1024


def test_it_serves_loop_after_loop():
    """A sampler works in one event loop after another, whether or not it was closed in between."""
    with serving() as server:
        sampler = sampler_of(server)

        async def used(close):
            first = await sampler.sample(PROMPT, settings(), 1)
            if close:
                await sampler.aclose()
                await sampler.aclose()
            return first[0].text, (await sampler.sample(PROMPT, settings(), 1))[0].text

        answers = {asyncio.run(used(close)) for close in (False, True, False, False)}
        assert len(answers) == 1
        asyncio.run(sampler.aclose())


def test_a_cancelled_call_leaves_it_usable():
    """After a cancelled call the next one is answered."""
    with serving(script=listed(Fault.HANG)) as server:
        sampler = sampler_of(server)

        async def given_up():
            task = asyncio.create_task(sampler.sample(PROMPT, settings(), 1))
            while not server.ledger.totals.requests:
                await asyncio.sleep(0.001)  # looks whether the request has arrived
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await sampler.sample(PROMPT, settings(), 1)

        assert len(asyncio.run(given_up())) == 1


# --- what goes wrong

KINDS = {
    FailureKind.RATE_LIMITED: [fault for fault in Fault if fault.name.startswith("RATE_LIMITED")],
    FailureKind.QUOTA: [Fault.QUOTA, Fault.PAYMENT],
    FailureKind.DENIED: [Fault.UNAUTHORIZED, Fault.FORBIDDEN, Fault.ECHO_401],
    FailureKind.INVALID: [Fault.NO_SUCH_MODEL],
    FailureKind.REFUSED: [Fault.TOO_LONG, Fault.CONTENT_FILTER],
    FailureKind.TRANSIENT: [Fault.ERROR_500, Fault.BAD_GATEWAY, Fault.ECHO_500],
    FailureKind.OVERLOADED: [Fault.UNAVAILABLE, Fault.OVERLOADED],
    FailureKind.UNKNOWN: [
        *(Fault.RESET, Fault.HANG, Fault.SPACES, Fault.ORPHAN, Fault.ORPHAN_HANG, Fault.SILENCE, Fault.DRIP),
        *(Fault.RESET_MID_BODY, Fault.CUT_SHORT, Fault.CUT_OFF, Fault.GZIP_BOMB, Fault.HUGE),
        *(Fault.EMPTY_CHOICES, Fault.NO_CHOICES, Fault.GARBAGE, Fault.HTML_PAGE),
    ],
}
WAITS = {Fault.RATE_LIMITED_1: 1.0, Fault.RATE_LIMITED_61: 61.0}


AWAITED = (Fault.HANG, Fault.SPACES, Fault.SILENCE, Fault.DRIP, Fault.ORPHAN_HANG)  # these end at a deadline


def test_each_fault_has_its_kind():
    """Each fault of the server gives its kind of failure, and the next call is answered."""
    table = {fault: kind for kind, faults in KINDS.items() for fault in faults}

    async def all_of_them():
        at_deadlines = await asyncio.gather(
            *(fails_and_recovers(fault, table[fault]) for fault in AWAITED), return_exceptions=True
        )
        quick = [fault for fault in table if fault not in AWAITED]
        done = []
        for fault in quick:
            done += await asyncio.gather(fails_and_recovers(fault, table[fault]), return_exceptions=True)
        return dict(zip([*AWAITED, *quick], [*at_deadlines, *done], strict=True))

    wrong = {fault.name: came for fault, came in asyncio.run(all_of_them()).items() if came is not None}
    assert wrong == {}


async def fails_and_recovers(fault, kind):
    """One call that meets a fault, and another after it."""
    with serving(script=listed(fault)) as server:
        sampler = sampler_of(server, f",timeout={DEADLINE if kind is FailureKind.UNKNOWN else 30}")
        try:
            with pytest.raises((ProviderBusy, ProviderDown)) as raised:
                await sampler.sample(PROMPT, settings(), 1)
            failed = raised.value
            assert failed.kind is kind
            assert failed.__context__ is None
            assert failed.__cause__ is None
            if fault is Fault.RATE_LIMITED_DATE:
                assert 0 < failed.retry_after <= 3
            elif isinstance(failed, ProviderBusy):
                assert failed.retry_after == WAITS.get(fault)
            if fault in {Fault.EMPTY_CHOICES, Fault.NO_CHOICES}:
                billed = server.ledger.chats[0].billed
                assert failed.tokens == (billed.input, billed.output)
            assert len(await sampler.sample(PROMPT, settings(), 1)) == 1
            assert server.ledger.totals.requests == 2
        finally:
            await sampler.aclose()


def test_every_fault_is_in_a_table():
    """The tables of this file cover all faults of the server."""
    known = {fault for faults in KINDS.values() for fault in faults} | {
        *SAMPLES,
        Fault.N_REFUSED,
    }
    assert known == set(Fault)


SAMPLES = {
    Fault.NULL_CONTENT: Finish.STOP,
    Fault.REFUSAL: Finish.REFUSED,
    Fault.FILTERED: Finish.REFUSED,
    Fault.LENGTH: Finish.LENGTH,
    Fault.CUT_AT_FIELD: Finish.LENGTH,
    Fault.HTML_TYPE: Finish.STOP,
    Fault.DUPLICATE: Finish.STOP,
    Fault.STRAY: Finish.STOP,
    Fault.N_IGNORED: Finish.STOP,
    Fault.N_EQUAL: Finish.STOP,
    Fault.N_EQUAL_INDEX: Finish.STOP,
    Fault.SWAPPED: Finish.STOP,
    Fault.NO_USAGE: Finish.STOP,
    Fault.ZERO_USAGE: Finish.STOP,
    Fault.TINY_USAGE: Finish.STOP,
    Fault.USAGE_WITHOUT_INPUT: Finish.STOP,
    Fault.USAGE_WITHOUT_OUTPUT: Finish.STOP,
    Fault.USAGE_OF_ONE: Finish.STOP,
}


@each(("fault", "finish"), SAMPLES.items())
def test_odd_replies_are_samples(fault, finish):
    """Unusual but complete replies give samples that say what is unusual."""
    with serving(script=listed(None, fault)) as server:
        sampler = sampler_of(server)

        async def two():
            return [(await sampler.sample(PROMPT, settings(slot), 1))[0] for slot in (0, 1)]

        before, sample = asyncio.run(two())
        assert sample.finish is finish
        assert (sample.text == "") == (fault in {Fault.NULL_CONTENT, Fault.FILTERED})
        assert sample.cached == (fault is Fault.ZERO_USAGE)
        assert (sample.reply_id == before.reply_id) == (fault in {Fault.DUPLICATE, Fault.STRAY})
        assert (sample.served == before.served) == (fault is not Fault.SWAPPED)
        if fault is Fault.NO_USAGE:
            assert sample.usage == sampler.worst(PROMPT, settings(), 1)


def test_no_call_outlives_its_deadline():
    """A silent, slow or endless reply ends at the deadline.

    On a busy machine some calls may not even have been sent by then, and say so.
    """

    async def timed(fault):
        with serving(script=always(fault)) as server:
            server.setup.measures = type(server.setup.measures)(pace=0.01, huge=1)
            sampler = sampler_of(server, f",timeout={DEADLINE}")
            began = time.monotonic()
            got = await asyncio.gather(
                *(sampler.sample(PROMPT, settings(), 1) for _ in range(20)), return_exceptions=True
            )
            seconds = time.monotonic() - began
            await sampler.aclose()
        assert {type(one) for one in got} == {ProviderBusy}
        assert FailureKind.UNKNOWN in {one.kind for one in got} <= {FailureKind.UNKNOWN, FailureKind.TRANSIENT}
        assert DEADLINE <= seconds < DEADLINE + 1

    async def all_of_them():
        return await asyncio.gather(*(timed(fault) for fault in AWAITED), return_exceptions=True)

    came = dict(zip(AWAITED, asyncio.run(all_of_them()), strict=True))
    assert {fault.name: wrong for fault, wrong in came.items() if wrong is not None} == {}


def test_redirects_are_not_followed():
    """A redirect is an error, and neither the request nor the key reaches the new address."""
    with serving() as other:
        for status in (301, 302, 303, 307, 308):
            with serving(script=always(redirected(f"{other.url}/chat/completions", status))) as server:
                failed = failing(sampler_of(server))
                assert (type(failed), failed.kind) == (ProviderDown, FailureKind.INVALID)
        assert other.ledger.totals.requests == 0


def test_an_address_without_v1_is_named():
    """If the path of an address lacks /v1, the error says so."""
    with serving() as server:
        failed = failing(OpenAISampler(f"openai/noise@{server.root}", {}))
        assert failed.kind is FailureKind.INVALID
        assert "/v1" in str(failed)


@each("cache", CACHES.values(), ids=CACHES)
def test_copies_that_a_reply_reveals_are_marked(cache):
    """Copies with a cache header or zero usage are marked; copies with an old id have the old sample ids."""
    with serving(cache=cache) as server:
        sampler = sampler_of(server, ",seed=off")
        first, second = ask(sampler)[0], ask(sampler)[0]
        copied = server.ledger.chats[-1].from_cache
        assert copied == (not cache.coalesces)
        assert not first.cached
        assert second.cached == (copied and bool(cache.headers or cache.free))
        assert (second.reply_id == first.reply_id) == (copied and not cache.fresh)


def test_surrogates_are_not_sent():
    """A prompt with a surrogate is refused before anything is sent."""
    with serving() as server:
        with pytest.raises(ProviderDown, match="surrogates"):
            asyncio.run(sampler_of(server).sample("\ud800", settings(), 1))
        assert server.ledger.totals.requests == 0


# --- the key


def test_the_key_appears_nowhere(caplog, capfd):
    """No failure, sample, log, output or traceback with local names has the key, though the server repeats it."""
    texts = []
    echoes = (redirected(f"http://127.0.0.1:1/{CANARY}"), refusing("temperature", CANARY))
    echoes += tuple(Rejection(status, "some_code", f"Not with {CANARY}.") for status in (400, 401, 403, 429, 500, 503))

    async def all_of_them():
        asyncio.get_running_loop().set_debug(True)  # the loop logs slow callbacks and what was left unfinished
        await asyncio.gather(*(failure_texts(fault, texts) for fault in AWAITED))
        for fault in (*(fault for fault in Fault if fault not in AWAITED), *echoes):
            await failure_texts(fault, texts)

    with caplog.at_level(logging.DEBUG):
        asyncio.run(all_of_them())
    assert len(texts) >= 3 * len(Fault)
    texts += [f"{record.getMessage()} {record.args}" for record in caplog.records]
    texts += capfd.readouterr()
    assert not [text for text in texts if CANARY in text]


async def failure_texts(fault, texts):
    with serving(script=always(fault)) as server:
        sampler = sampler_of(server, f",timeout={DEADLINE}")
        texts.append(f"{sampler!r} {sampler.name} {sampler.account}")
        for came in await asyncio.gather(
            *(sampler.sample(PROMPT, settings(), n) for n in (1, 3)), return_exceptions=True
        ):
            if isinstance(came, BaseException):
                assert isinstance(came, (ProviderBusy, ProviderDown))
                whole = traceback.TracebackException.from_exception(came, capture_locals=True)
                texts += [repr(came), str(came.__dict__), "".join(whole.format())]
            else:
                texts.append(repr(came))
        await sampler.aclose()
        assert any(chat.authorization for chat in server.ledger.chats)


def test_latency_is_the_time_that_the_caller_waited():
    """The latency of a sample is the time that its caller waited."""
    with serving() as server:
        sampler = sampler_of(server)
        began = time.perf_counter()
        (sample,) = ask(sampler)
        assert 0 < sample.seconds <= time.perf_counter() - began
