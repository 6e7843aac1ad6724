"""Batches of an earlier session are recovered by their metadata, and no sample is paid for twice."""

import asyncio
import json

from batch_provider import DOWNLOAD, Provider, at, error, listening, outcomes, sampler_of, settings, until

from tables import each
from unerring.errors import FailureKind


def again(provider, first, second, **options):
    """The results of two samplers of one run, the second made after the first was closed without waiting."""

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
    """Ask, and cancel once the batch is created."""

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


def test_a_sample_handed_out_is_not_recovered():
    """A sampler that was closed and asks for the same again gets a new answer."""
    provider = Provider(polls=1)

    async def main():
        async with listening(provider):
            sampler = sampler_of(provider)
            for _ in range(2):
                await sampler.sample("p0", settings(), 1)
                await sampler.aclose()

    asyncio.run(main())
    assert len(provider.sent) == 2


def test_only_new_requests_are_sent_next_to_a_recovered_batch():
    """If some requests are in a recovered batch, only the others are sent."""
    provider = Provider(polls=10**9)

    def resumed(sampler):
        provider.polls = 1
        return outcomes(sampler, range(5))

    _, got = again(provider, sent_only(provider, range(3)), resumed)
    assert got == [[f"p{step}"] for step in range(5)]
    assert [len(sent) for sent in provider.sent] == [3, 2]


def test_the_expired_part_of_a_recovered_batch_is_sent_again():
    """The finished part of an expired batch is used, and only the rest is sent again."""
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
    """If a recovered batch's input file was deleted, the batch is awaited, and used as far as its results go."""
    provider = Provider(polls=10**9 if live else 1)

    def resumed(sampler):
        provider.files.pop("file-1")
        for batch in provider.batches.values():
            batch.setdefault("input", provider.sent[0])
        provider.polls = 1
        provider.end = lambda batch: end_without_input(provider, batch)
        return outcomes(sampler, range(3))

    first = sent_only(provider, range(3)) if live else asked(range(3))
    _, got = again(provider, first, resumed)
    assert got == [[f"p{step}"] for step in range(3)]
    assert len(provider.sent) == 1


def end_without_input(provider, batch):
    provider.files["file-1"] = b"".join(json.dumps(line).encode() + b"\n" for line in provider.sent[0])
    Provider.end(provider, batch)
    del provider.files["file-1"]


def test_deleted_results_are_asked_for_again():
    """If the results of a finished batch were deleted, its requests are sent again."""
    provider = Provider(polls=1)

    async def resumed(sampler):
        provider.turns.clear()
        provider.before = at(DOWNLOAD, error(404))
        return await outcomes(sampler, range(2))

    _, got = again(provider, asked(range(2)), resumed)
    assert got == [["p0"], ["p1"]]
    assert [len(sent) for sent in provider.sent] == [2, 2]


def test_batches_of_other_steps_are_not_read():
    """Of many recovered batches only those that may hold a requested step are read."""
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


def test_all_pages_of_the_list_are_read():
    """A batch of ours is recovered from behind hundreds of others."""
    provider = Provider(polls=1)

    async def second(sampler):
        for number in range(250):
            batch = {"id": f"other-{number}", "status": "completed", "metadata": {"unerring": "run 2", "model": "m"}}
            provider.batches[batch["id"]] = batch
        return await outcomes(sampler, [0])

    assert again(provider, asked([0]), second)[1] == [["p0"]]
    assert len(provider.sent) == 1


def test_closing_cancels_no_batch_and_ends_every_call():
    """After aclose, calls in flight end with an unknown outcome, and the batch continues and can be recovered."""
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
