"""The batch sampler against the fault server and its ledger."""

import asyncio
from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from batch_provider import KEY, UPLOAD, HandClock, Provider, outcomes, reply, result_line, settings, trying, until

from faults.server import serving
from faults.trials import ERRORS_ONLY, REJECTED, Trials
from tables import each
from unerring.adapters.openai_batch.sampler import BatchSampler
from unerring.core.voting.sample import Finish, Message, Usage
from unerring.errors import FailureKind, ProviderBusy, ProviderDown
from unerring.runtime.protocols import Endpoint
from unerring.testing import FakeClock

THOUSAND = 1000


def sampler_at(server, options="", identity="run 1"):
    return BatchSampler(f"openai-batch/noise@{server.url}{options}", identity, {}, FakeClock())


class Caller:
    """Asks as the runtime does: again after each transient failure, counted by its kind."""

    def __init__(self, sampler):
        self.sampler = sampler
        self.failures = Counter()

    async def ask(self, step, n=1):
        while True:
            try:
                return await self.sampler.sample(f"{step}: 8 letters", settings(step), n)
            except ProviderBusy as failure:
                self.failures[failure.kind] += 1

    async def all(self, steps, n=1):
        try:
            return await asyncio.gather(*(self.ask(step, n) for step in range(steps)))
        finally:
            await self.sampler.aclose()


def bought(server):
    """How often each request was carried out, by the server's records."""
    return Counter(entry.custom_id for entry in server.ledger.entries if entry.custom_id)


def troubled(number):
    """The first batches have every fault, the later ones none, so that the test ends."""
    if number < 4:
        gaps = 0.002 if number < 2 else 0.0
        return Trials(3, expired=0.6, dropped=gaps, doubled=0.2, shuffled=True, failing_polls=(1, 2), seed=number)
    return Trials(shuffled=True, doubled=0.2)


@each("options", [",batch=50000", ",batch=250"], ids=["one batch", "four batches"])
def test_a_thousand_requests_settle_once_each_whatever_happens(options):
    """Each request is answered once, whatever is missing, duplicated, shuffled or expired, and if polls fail.

    60 % expire. None is sent again but those that were not carried out or whose answer the provider lost.
    """
    with serving(batch=troubled) as server:
        caller = Caller(sampler_at(server, options))
        got = asyncio.run(caller.all(THOUSAND, n=2))
        lines = bought(server)
        bills = [entry.billed for entry in server.ledger.entries if entry.custom_id and entry.fault is None]
        lost = [entry for entry in server.ledger.entries if entry.fault == "DROPPED"]
    assert [len(samples) for samples in got] == [2] * THOUSAND
    identities = [sample.reply_id for samples in got for sample in samples]
    assert len(set(identities)) == 2 * THOUSAND
    # what was carried out twice is what stood in no file, and those were settled as of unknown outcome
    assert len(lines) == THOUSAND
    assert Counter(lines.values())[1] == THOUSAND - len(lost)
    assert caller.failures[FailureKind.UNKNOWN] == len(lost) > 0
    assert caller.failures.total() == caller.failures[FailureKind.TRANSIENT] + len(lost)
    charged = sum((sample.usage for samples in got for sample in samples), Usage())
    assert charged.input_tokens == sum(billed.input for billed in bills)
    assert charged.output_tokens == sum(billed.output for billed in bills)


def shaken(number):
    """Each batch has faults of its own; from some number on all succeed, so that the test ends."""
    chance = Random(f"batch {number}")
    if number >= 1200:
        return Trials(polls=1)
    return Trials(
        polls=chance.randint(1, 4),
        expired=chance.choice((0.0, 0.0, 0.3, 0.6)),
        dropped=chance.choice((0.0, 0.0, 0.0, 0.1)),
        doubled=chance.choice((0.0, 0.5)),
        shuffled=chance.random() < 0.5,
        created_unsaid=chance.random() < 0.1,
        failing_polls=tuple(chance.sample(range(1, 5), chance.randint(0, 2))),
        seed=number,
    )


@pytest.mark.parametrize("batches", [300, pytest.param(1000, marks=pytest.mark.slow)])
def test_hundreds_of_batches_settle_every_request_once(batches):
    """Over hundreds of batches with faults every request is answered once, and only lost results are paid for again.

    The batches expire, lose and duplicate results, fail polls, and are created without a reply.
    """
    with serving(batch=shaken) as server:
        caller = Caller(sampler_at(server, ",batch=4"))
        got = asyncio.run(caller.all(3 * batches))
        lines, totals = bought(server), server.ledger.totals
        lost = Counter(entry.custom_id for entry in server.ledger.entries if entry.fault == "DROPPED")
    assert len(got) == len(lines) == 3 * batches
    assert totals.faults["CREATED_UNSAID"] > batches // 20
    assert len({entry.batch for entry in server.ledger.entries if entry.custom_id}) > batches
    assert all(count == 1 + lost[name] for name, count in lines.items())
    assert caller.failures[FailureKind.UNKNOWN] == lost.total() > batches // 20


def test_where_every_request_fails_there_is_only_an_error_file():
    """If a batch has no output file, each of its calls fails with the server's error."""
    with serving(batch=ERRORS_ONLY) as server:
        got = trying_at(server, range(20))
        assert server.ledger.totals.batch_lines == 0
    assert all(isinstance(one, ProviderDown) for one in got)
    assert "This request failed" in str(got[0])


def trying_at(server, steps, **how):
    async def main():
        sampler = sampler_at(server, **how)
        try:
            return await outcomes(sampler, steps)
        finally:
            await sampler.aclose()

    return asyncio.run(main())


def test_a_rejected_batch_fails_its_calls():
    """If the server rejects a batch, all its calls fail permanently, and nothing is billed."""
    with serving(batch=REJECTED) as server:
        got = trying_at(server, range(20))
        assert server.ledger.totals.batch_lines == 0
    assert [type(one) for one in got] == [ProviderDown] * 20
    assert "Rejected" in str(got[0])


def test_a_file_of_many_megabytes_is_uploaded_whole():
    """Long prompts make a large file, and each of its requests is answered."""
    with serving() as server:

        async def main():
            sampler = sampler_at(server)
            calls = [sampler.sample(f"{step}: 8 letters " * 20_000, settings(step), 1) for step in range(50)]
            got = await asyncio.gather(*calls)
            await sampler.aclose()
            return got

        assert all(len(samples) == 1 for samples in asyncio.run(main()))
        assert len(bought(server)) == 50


def test_calls_in_flight_together_share_a_batch():
    """Hundreds of calls become one batch once no new one arrives; a full batch is sent at once."""
    with serving() as server:
        trying_at(server, range(300))
        trying_at(server, range(300), options=",batch=100", identity="run 2")
        made = Counter(entry.batch for entry in server.ledger.entries if entry.custom_id)
    assert sorted(made.values()) == [100, 100, 100, 300]


def test_a_batch_is_sent_when_its_gathering_time_is_over():
    """If calls keep arriving, a batch is sent when its gathering time is over."""
    provider, clock = Provider(), HandClock()

    async def work(sampler):
        calls = [asyncio.ensure_future(sampler.sample("p0", settings(), 1))]
        await until(lambda: clock.sleepers)
        while clock.now < 20.0:
            assert not provider.turns[UPLOAD]
            calls.append(asyncio.ensure_future(sampler.sample(f"p{len(calls)}", settings(len(calls)), 1)))
            await asyncio.sleep(0)
            await clock.advance(1.0)
        await finished(clock, calls)

    trying(provider, work, ",gather=20", clock)
    assert [len(sent) for sent in provider.sent] == [21]


def test_a_batch_is_sent_when_nothing_new_arrives():
    """After a twentieth of the gathering time without a new call, a batch is sent."""
    provider, clock = Provider(), HandClock()

    async def work(sampler):
        calls = [asyncio.ensure_future(sampler.sample(f"p{step}", settings(step), 1)) for step in range(3)]
        await until(lambda: clock.sleepers)
        await clock.advance(0.9)
        assert not provider.turns[UPLOAD]
        await clock.advance(0.1)
        await clock.advance(1.0)
        await until(lambda: provider.sent)
        await finished(clock, calls)

    trying(provider, work, ",gather=20", clock)
    assert [len(sent) for sent in provider.sent] == [3]


async def finished(clock, calls):
    """Move the clock until all calls have ended."""
    while not all(call.done() for call in calls):
        await clock.advance(60.0)
    await asyncio.gather(*calls)


def test_a_call_for_several_samples_is_one_request():
    """A call for n samples reads its prompt once; if n is refused, it is n requests in one batch."""
    for options, lines in (("", 1), (",n=1", 3)):
        with serving() as server:
            caller = Caller(sampler_at(server, options))
            (samples,) = asyncio.run(caller.all(1, n=3))
            assert len({sample.text for sample in samples}) == 3
            assert (len(bought(server)), server.ledger.totals.paths["/v1/files"]) == (lines, 1)


def test_a_request_sent_for_a_cancelled_call_answers_the_next_one():
    """A request whose call was cancelled after its batch was sent is not sent again when asked for."""
    with serving(batch=Trials(polls=10)) as server:

        async def main():
            sampler = sampler_at(server)
            task = asyncio.ensure_future(sampler.sample("p0", settings(), 1))
            # one to list them, one to make one
            await until(lambda: server.ledger.totals.paths["/v1/batches"] > 1)
            task.cancel()
            await asyncio.wait([task])
            (sample,) = await sampler.sample("p0", settings(), 1)
            await sampler.aclose()
            return sample

        assert asyncio.run(main()).text
        assert server.ledger.totals.batch_lines == 1


def test_a_call_cancelled_before_its_batch_is_sent_is_not_in_it():
    """A request whose call is cancelled while its batch is gathered is never sent."""
    provider, clock = Provider(), HandClock()

    async def work(sampler):
        both = [asyncio.ensure_future(sampler.sample(f"p{step}", settings(step), 1)) for step in range(2)]
        await until(lambda: clock.sleepers)
        both[0].cancel()
        await finished(clock, both[1:])
        return both

    given_up, other = trying(provider, work, clock=clock)
    assert given_up.cancelled()
    assert [sample.text for sample in other.result()] == ["p1"]
    assert [len(sent) for sent in provider.sent] == [1]


def test_a_second_event_loop_recovers_batches_in_flight():
    """A sampler used on a second event loop takes over the batches of the first, and pays for nothing twice."""
    with serving(batch=Trials(polls=60)) as server:
        sampler = sampler_at(server)

        async def interrupted():
            calls = [asyncio.ensure_future(sampler.sample(f"p{step}", settings(step), 1)) for step in range(5)]
            await until(lambda: server.ledger.totals.paths["/v1/batches"] > 1)
            for call in calls:
                call.cancel()

        asyncio.run(interrupted())
        got = asyncio.run(outcomes(sampler, range(5)))
        assert all(isinstance(texts, list) for texts in got)
        assert asyncio.run(closed(sampler)) is None
        assert server.ledger.totals.batch_lines == 5


async def closed(sampler):
    return await sampler.aclose()


def test_metadata_name_the_run():
    """Each batch has the run's identity, model and steps in its metadata, and no key."""
    provider = Provider()
    trying(provider, lambda sampler: outcomes(sampler, [4, 7]))
    (batch,) = provider.batches.values()
    assert batch["metadata"] == {"unerring": "run 1", "model": "m", "steps": "4..7"}
    assert batch["completion_window"] == "24h"
    assert KEY not in str(provider.sent) + str(provider.batches)


def test_it_is_an_endpoint():
    """It has an account and a worst case, and shows its key nowhere."""
    sampler = BatchSampler("openai-batch/m@http://127.0.0.1:1/v1,compact", "run 1", {"UNERRING_API_KEY": KEY})
    assert isinstance(sampler, Endpoint)
    assert (sampler.paid, sampler.compact) == (True, True)
    assert sampler.account.startswith("127.0.0.1:1 ")
    assert sampler.worst("x" * 100, settings(), 3) == Usage(100 + 256, 3 * 64)
    one_by_one = BatchSampler("openai-batch/m@http://127.0.0.1:1/v1,n=1", "run 1", {})
    assert one_by_one.worst("x" * 100, settings(), 3) == Usage(3 * 356, 3 * 64)
    assert KEY not in f"{sampler!r} {sampler.account} {sampler.name} {vars(sampler)}"


def test_samples_name_their_voter_and_no_latency():
    """A sample's voter is the sampler's name, and it has no latency: a batch's duration says nothing about caches."""
    with serving() as server:
        sampler = sampler_at(server)
        (samples,) = asyncio.run(Caller(sampler).all(1))
    assert (samples[0].voter, samples[0].seconds) == (sampler.name, None)


def test_a_prompt_that_cannot_be_sent_is_refused_alone():
    """A surrogate, or a prompt larger than a file of requests may be, fails permanently without a batch."""
    provider = Provider()

    async def work(sampler):
        calls = [sampler.sample(prompt, settings(), 1) for prompt in ("\ud800", "x" * 41_000_000)]
        return await asyncio.gather(*calls, return_exceptions=True)

    assert [type(one) for one in trying(provider, work)] == [ProviderDown] * 2
    assert not provider.sent


def test_a_seed_is_sent_with_every_request():
    """Requests of a step have different seeds, so that a server that uses them draws different samples."""
    provider = Provider()

    async def work(sampler):
        calls = [sampler.sample("p", replace(settings(), slot=slot), 1) for slot in range(20)]
        await asyncio.gather(*calls)

    trying(provider, work)
    assert len({line["body"]["seed"] for line in provider.sent[0]}) == 20


def test_all_request_settings_are_in_the_batch():
    """Messages, stop strings and extra fields are in each line, and change the request's name."""
    full = replace(settings(1), messages=(Message("system", "Be brief."),), stop=("\n",), extra='{"top_k":5}')
    provider = Provider()

    async def work(sampler):
        other = replace(full, extra='{"top_k":6}')
        return await asyncio.gather(*(sampler.sample("p1", one, 1) for one in (settings(1), full, other)))

    trying(provider, work)
    plain, first, second = (line["body"] for batch in provider.sent for line in batch)
    assert not {"stop", "top_k"} & plain.keys()
    assert first["messages"] == full.conversation("p1")
    assert (first["stop"], first["top_k"], second["top_k"]) == (["\n"], 5, 6)
    assert len({line["custom_id"] for batch in provider.sent for line in batch}) == 3


def test_an_answer_that_was_broken_off_is_flagged_in_a_batch_too():
    """Finish reasons are read in results as in chat replies, so a cut answer is flagged."""

    def results(asked):
        body = reply("a")
        body["choices"][0]["finish_reason"] = "repetition"
        return [result_line(line, body) for line in asked], []

    [[sample]] = trying(Provider(results=results), lambda sampler: asyncio.gather(sampler.sample("p", settings(), 1)))
    assert (sample.finish, sample.reason) == (Finish.OTHER, "repetition")
