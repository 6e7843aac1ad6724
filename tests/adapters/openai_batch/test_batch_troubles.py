"""Failures of polls and of whole batches."""

import asyncio

from aiohttp import web
from batch_provider import (
    CREATE,
    DOWNLOAD,
    KEY,
    LIST,
    POLL,
    UPLOAD,
    Provider,
    answer,
    at,
    error,
    hang,
    kinds,
    outcomes,
    page,
    reset,
    settings,
    trying,
    undone_line,
)

from tables import each
from unerring.errors import FailureKind, ProviderBusy, ProviderDown
from unerring.testing import FakeClock


@each(
    "answers",
    [
        [error(500), error(502)],
        [error(429)],
        [page("<html>")],
        [reset, reset, reset],
        [hang],
    ],
    ids=["5xx", "429", "html", "reset", "hang"],
)
def test_polls_that_fail_are_waited_out(answers):
    """Errors, resets, hangs and web pages in place of a batch cost only a further poll."""
    provider = Provider(before=at(POLL, *answers))
    assert trying(provider, lambda sampler: outcomes(sampler, [0, 1]), ",timeout=2") == [["p0"], ["p1"]]
    assert len(provider.batches) == 1


def test_a_polls_retry_after_is_waited_for():
    """Retry-After on a poll is waited for in full."""
    clock = FakeClock()

    async def refused(request):
        return web.json_response({}, status=429, headers={"Retry-After": "700"})

    provider = Provider(before=at(POLL, refused))
    assert trying(provider, lambda sampler: outcomes(sampler, [0]), clock=clock) == [["p0"]]
    assert 700 in clock.slept


def test_polls_become_rarer():
    """The time between polls grows each time, from the first interval up to eight times that."""
    clock = FakeClock()
    provider = Provider(polls=12)
    trying(provider, lambda sampler: outcomes(sampler, [0]), ",poll=10", clock)
    waits = clock.slept[-11:]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (10.0, 80.0)


@each(("status", "kind"), [(401, FailureKind.DENIED), (402, FailureKind.QUOTA)])
def test_a_poll_that_is_denied_stops_the_run_and_buys_nothing_again(status, kind):
    """401 and 402 on a poll are lasting failures; once they are resolved, the same sampler recovers the batch."""
    provider = Provider(before=at(POLL, error(status)))

    async def work(sampler):
        return await outcomes(sampler, [0, 1]), await outcomes(sampler, [0, 1])

    failed, got = trying(provider, work)
    assert all(isinstance(one, ProviderDown) for one in failed)
    assert kinds(failed) == [kind, kind]
    assert got == [["p0"], ["p1"]]
    assert set(provider.computed.values()) == {1}


def test_a_batch_that_never_ends_is_given_up_in_the_end():
    """An hour after its window, the outcome of a batch's requests is unknown, and they may be billed."""
    clock = FakeClock()
    provider = Provider(polls=10**9)
    failed = trying(provider, lambda sampler: outcomes(sampler, [0, 1]), ",poll=900", clock)
    assert kinds(failed) == [FailureKind.UNKNOWN] * 2
    assert isinstance(failed[0], ProviderBusy)
    assert 24 * 3600 < clock.time() <= 25.1 * 3600


def test_a_cancelled_batch_is_asked_again_but_for_what_it_did():
    """If a person cancels a batch, its unfinished requests fail as transient, and its results are used."""
    provider = Provider(
        status="cancelled", results=lambda asked: ([answer(asked[0])], [undone_line(asked[1], "batch_cancelled")])
    )
    got = trying(provider, lambda sampler: outcomes(sampler, [0, 1, 2]))
    assert kinds(got) == [["p0"], FailureKind.TRANSIENT, FailureKind.TRANSIENT]


def test_a_rejected_batch_says_why():
    """If validation fails, all its calls fail permanently with the provider's message, line and code."""
    errors = [{"code": "invalid_json_line", "message": "Not JSON.", "line": 2}]
    failed = trying(Provider(errors=lambda batch: errors), lambda sampler: outcomes(sampler, [0, 1]))
    assert all(isinstance(one, ProviderDown) for one in failed)
    assert kinds(failed) == [FailureKind.INVALID] * 2
    assert "line 2: Not JSON. (invalid_json_line)" in str(failed[0])


FULL = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached.", "line": None}]


def test_a_batch_beyond_the_limit_of_waiting_tokens_waits_for_the_others():
    """A batch rejected for the limit of enqueued tokens is sent again after another one ends, and no call fails."""
    provider = Provider()

    def crowded(batch):
        others = [other for other in provider.batches.values() if other is not batch]
        return FULL if any(other["status"] == "validating" for other in others) else []

    provider.errors = crowded
    got = trying(provider, lambda sampler: outcomes(sampler, range(6)), ",batch=2")
    assert got == [[f"p{step}"] for step in range(6)]
    assert set(provider.computed.values()) == {1}


def test_a_batch_beyond_the_limit_with_no_other_to_wait_for_is_a_rate_limit():
    """If no batch of ours is enqueued, that rejection is a rate limit, which the runtime waits for."""
    failed = trying(Provider(errors=lambda batch: FULL), lambda sampler: outcomes(sampler, [0]))
    assert kinds(failed) == [FailureKind.RATE_LIMITED]


@each(
    ("status", "kind"),
    [
        (429, FailureKind.RATE_LIMITED),
        (500, FailureKind.TRANSIENT),
        (402, FailureKind.QUOTA),
        (403, FailureKind.DENIED),
    ],
)
@each("place", [UPLOAD, CREATE], ids=["upload", "create"])
def test_a_refused_upload_fails_by_its_status(place, status, kind):
    """A refused upload or creation fails all its calls by the status, and the next try is a new batch."""
    provider = Provider(before=at(place, error(status)))

    async def work(sampler):
        return await outcomes(sampler, [0, 1]), await outcomes(sampler, [0, 1])

    failed, got = trying(provider, work)
    assert kinds(failed) == [kind, kind]
    assert got == [["p0"], ["p1"]]
    assert len(provider.batches) == 1


@each("answer", [reset, hang, page("{}")])
def test_a_batch_created_without_a_reply_is_recovered(answer):
    """If the reply to creating a batch is lost, late or invalid, it is recovered by its file; no other is made."""
    provider = Provider(after=at(CREATE, answer))
    assert trying(provider, lambda sampler: outcomes(sampler, [0, 1]), ",timeout=2") == [["p0"], ["p1"]]
    assert len(provider.batches) == 1


def test_a_batch_that_is_listed_later_is_recovered():
    """A batch created without a reply that is not listed at first is of unknown outcome.

    It is recovered before the same requests are sent again.
    """
    provider = Provider(after=at(CREATE, reset), listed=False)

    async def work(sampler):
        failed = await outcomes(sampler, [0, 1])
        provider.listed = True
        return failed, await outcomes(sampler, [0, 1])

    failed, got = trying(provider, work)
    assert kinds(failed) == [FailureKind.UNKNOWN] * 2
    assert got == [["p0"], ["p1"]]
    assert len(provider.batches) == 1


def test_files_that_come_later_than_the_end_are_waited_for():
    """A completed batch that counts answers but names no file yet is polled again."""
    provider = Provider(polls=1)

    async def early(request, kind, turn):
        if kind != POLL or turn > 1:
            return None
        return web.json_response({"id": "batch-0", "status": "completed", "request_counts": {"completed": 1}})

    provider.before = early
    assert trying(provider, lambda sampler: outcomes(sampler, [0])) == [["p0"]]


def test_an_incomplete_download_is_repeated():
    """Results that are not received completely are downloaded again."""
    broken = at(DOWNLOAD, error(503), reset)
    provider = Provider(before=broken)
    assert trying(provider, lambda sampler: outcomes(sampler, [0])) == [["p0"]]
    assert provider.turns[DOWNLOAD] == 3


@each("place", [LIST, UPLOAD, CREATE, POLL, DOWNLOAD], ids="-".join)
def test_the_key_goes_into_no_message(place):
    """If a provider repeats the key in its errors, it is removed from all exceptions and tracebacks."""

    async def work(sampler):
        return await asyncio.gather(sampler.sample("p", settings(), 1), return_exceptions=True)

    (failed,) = trying(Provider(before=at(place, error(401, f"Incorrect API key: {KEY}"))), work)
    assert KEY not in str(failed)
    assert KEY not in repr(failed.__cause__) + repr(failed.__context__)
    place = failed.__traceback__
    while place is not None:
        assert KEY not in repr(place.tb_frame.f_locals)
        place = place.tb_next


def test_an_account_without_a_list_can_be_used():
    """A server that cannot list batches still answers; nothing can be recovered there."""
    provider = Provider(before=at(LIST, error(404)))
    assert trying(provider, lambda sampler: outcomes(sampler, [0])) == [["p0"]]


def test_a_list_that_fails_is_asked_again_by_the_runtime():
    """While the list of earlier batches cannot be read, nothing is sent."""
    provider = Provider(before=at(LIST, error(500)))

    async def work(sampler):
        failed = await outcomes(sampler, [0, 1])
        assert not provider.sent
        return failed, await outcomes(sampler, [0, 1])

    failed, got = trying(provider, work)
    assert kinds(failed) == [FailureKind.TRANSIENT] * 2
    assert got == [["p0"], ["p1"]]
