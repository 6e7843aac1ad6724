"""Batches of an earlier session are recovered by their metadata, and no sample is paid twice."""

import asyncio
import json

from batch_provider import DOWNLOAD, Provider, at, error, listening, outcomes, sampler_of, settings, until

from tables import each
from unerring.errors import FailureKind


def again(provider, first, second, **options):
    """What two samplers of one run do after each other, the second after the first was closed without a word."""

    async def main():
        async with listening(provider):
            results = []
            for work in (first, second):
                sampler = sampler_of(provider, **options)
                results.append(await work(sampler))
                await sampler.aclose()
            return results

    return asyncio.run(main())


def sent_only(provider, steps):
    """Ask, and give up once the batch is made."""

    async def work(sampler):
        made = len(provider.batches)
        calls = [asyncio.ensure_future(sampler.sample(f"p{step}", settings(step), 1)) for step in steps]
        await until(lambda: len(provider.batches) > made)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)

    return work


def asked(steps):
    return lambda sampler: outcomes(sampler, steps)


def test_what_was_handed_out_is_not_found_again():
    """A sampler that was closed and asks the same once more gets a new answer, not the one that it has had."""
    provider = Provider(polls=1)

    async def main():
        async with listening(provider):
            sampler = sampler_of(provider)
            for _ in range(2):
                await sampler.sample("p0", settings(), 1)
                await sampler.aclose()

    asyncio.run(main())
    assert len(provider.sent) == 2


def test_what_was_never_asked_before_is_bought_beside_what_is_found():
    """Of a batch of an earlier session and new requests, only the new ones are sent."""
    provider = Provider(polls=10**9)

    def go_on(sampler):
        provider.polls = 1
        return outcomes(sampler, range(5))

    _, got = again(provider, sent_only(provider, range(3)), go_on)
    assert got == [[f"p{step}"] for step in range(5)]
    assert [len(sent) for sent in provider.sent] == [3, 2]


def test_what_is_found_and_expired_is_bought_again():
    """The finished part of an expired batch of an earlier session is used; only the rest is sent again."""
    provider = Provider()
    provider.results = lambda lines: (
        provider.answered(lines[:2])[0] if len(lines) == 5 else provider.answered(lines)[0],
        [],
    )
    provider.polls, provider.status = 1, "expired"
    _, got = again(provider, lambda sampler: outcomes(sampler, range(5)), asked(range(5)))
    assert got == [[f"p{step}"] for step in range(5)]
    assert [len(sent) for sent in provider.sent] == [5, 3]
    assert set(provider.computed.values()) == {1}


@each("live", [False, True])
def test_a_batch_whose_input_file_is_gone_is_read_by_its_results(live):
    """Where nobody can say what a found batch asks, it is waited for, and used as far as it answers."""
    provider = Provider(polls=10**9 if live else 1)

    def go_on(sampler):
        provider.files.pop("file-1")
        for batch in provider.batches.values():
            batch.setdefault("input", provider.sent[0])
        provider.polls = 1
        provider.end = lambda batch: end_without_input(provider, batch)
        return outcomes(sampler, range(3))

    first = sent_only(provider, range(3)) if live else asked(range(3))
    _, got = again(provider, first, go_on)
    assert got == [[f"p{step}"] for step in range(3)]
    assert len(provider.sent) == 1


def end_without_input(provider, batch):
    provider.files["file-1"] = b"".join(json.dumps(line).encode() + b"\n" for line in provider.sent[0])
    Provider.end(provider, batch)
    del provider.files["file-1"]


def test_results_that_are_gone_are_bought_again():
    """Where a finished batch's results were deleted meanwhile, its requests are sent again."""
    provider = Provider(polls=1)

    async def go_on(sampler):
        provider.turns.clear()
        provider.before = at(DOWNLOAD, error(404))
        return await outcomes(sampler, range(2))

    _, got = again(provider, asked(range(2)), go_on)
    assert got == [["p0"], ["p1"]]
    assert [len(sent) for sent in provider.sent] == [2, 2]


def test_batches_of_steps_that_nobody_asks_for_are_left_alone():
    """Of many batches found, only those that may hold a step that is asked for are looked into."""
    provider = Provider(polls=1)

    async def first(sampler):
        for step in range(6):
            await outcomes(sampler, [step])

    async def second(sampler):
        before = provider.turns[DOWNLOAD]
        return await outcomes(sampler, [3, 9]), provider.turns[DOWNLOAD] - before

    _, (got, downloads) = again(provider, first, second)
    assert got == [["p3"], ["p9"]]
    assert downloads == 2  # one of step 3, and that of the new batch
    assert len(provider.sent) == 7


def test_a_list_of_several_pages_is_looked_through():
    """A batch of ours behind hundreds of others is found."""
    provider = Provider(polls=1)

    async def second(sampler):
        for number in range(250):
            batch = {"id": f"other-{number}", "status": "completed", "metadata": {"unerring": "run 2", "model": "m"}}
            provider.batches[batch["id"]] = batch
        return await outcomes(sampler, [0])

    assert again(provider, asked([0]), second)[1] == [["p0"]]
    assert len(provider.sent) == 1


def test_closing_cancels_no_batch_and_leaves_nobody_waiting():
    """After aclose, calls in flight end with an unknown outcome, and the batch goes on to be found again."""
    provider = Provider(polls=10**9)

    async def first(sampler):
        call = asyncio.ensure_future(sampler.sample("p0", settings(), 1))
        await until(lambda: provider.batches)
        await sampler.aclose()
        (failure,) = await asyncio.gather(call, return_exceptions=True)
        provider.polls = 1
        return failure.kind

    kind, got = again(provider, first, asked([0]))
    assert (kind, got) == (FailureKind.UNKNOWN, [["p0"]])
    assert len(provider.sent) == 1
