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
    untold,
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
    """Errors, resets, hangs and pages in the place of a batch cost nothing but a further poll."""
    provider = Provider(before=at(POLL, *answers))
    assert trying(provider, lambda sampler: outcomes(sampler, [0, 1]), ",timeout=0.3") == [["p0"], ["p1"]]
    assert len(provider.batches) == 1


def test_a_poll_that_asks_for_peace_gets_it():
    """Retry-After on a poll is waited for, in full."""
    clock = FakeClock()

    async def refused(request):
        return web.json_response({}, status=429, headers={"Retry-After": "700"})

    provider = Provider(before=at(POLL, refused))
    assert trying(provider, lambda sampler: outcomes(sampler, [0]), clock=clock) == [["p0"]]
    assert 700 in clock.slept


def test_polls_become_rarer():
    """Between polls there is more time each time, up to eight times the first, and no less than that."""
    clock = FakeClock()
    provider = Provider(polls=12)
    trying(provider, lambda sampler: outcomes(sampler, [0]), ",poll=10", clock)
    waits = clock.slept[-11:]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (10.0, 80.0)


@each(("status", "kind"), [(401, FailureKind.DENIED), (402, FailureKind.QUOTA)])
def test_a_poll_that_is_denied_stops_the_run_and_buys_nothing_again(status, kind):
    """401 and 402 on a poll are lasting; once that is put right, the same sampler finds the batch again."""
    provider = Provider(before=at(POLL, error(status)))

    async def work(sampler):
        return await outcomes(sampler, [0, 1]), await outcomes(sampler, [0, 1])

    failed, got = trying(provider, work)
    assert all(isinstance(one, ProviderDown) for one in failed)
    assert kinds(failed) == [kind, kind]
    assert got == [["p0"], ["p1"]]
    assert set(provider.computed.values()) == {1}


def test_a_batch_that_never_ends_is_given_up_in_the_end():
    """Past its window and an hour, the outcome of what is in a batch is unknown: it may be billed."""
    clock = FakeClock()
    provider = Provider(polls=10**9)
    failed = trying(provider, lambda sampler: outcomes(sampler, [0, 1]), ",poll=900", clock)
    assert kinds(failed) == [FailureKind.UNKNOWN] * 2
    assert isinstance(failed[0], ProviderBusy)
    assert 24 * 3600 < clock.time() <= 25.1 * 3600


def test_a_cancelled_batch_is_asked_again_but_for_what_it_did():
    """A batch that a person cancels fails what it did not do in passing, and keeps the rest."""
    provider = Provider(
        status="cancelled", results=lambda asked: ([answer(asked[0])], [untold(asked[1], "batch_cancelled")])
    )
    got = trying(provider, lambda sampler: outcomes(sampler, [0, 1, 2]))
    assert kinds(got) == [["p0"], FailureKind.TRANSIENT, FailureKind.TRANSIENT]


def test_a_batch_turned_away_says_why():
    """A batch that fails validation is lasting for all in it, with the provider's words, line and code."""
    errors = [{"code": "invalid_json_line", "message": "Not JSON.", "line": 2}]
    failed = trying(Provider(errors=lambda batch: errors), lambda sampler: outcomes(sampler, [0, 1]))
    assert all(isinstance(one, ProviderDown) for one in failed)
    assert kinds(failed) == [FailureKind.INVALID] * 2
    assert "line 2: Not JSON. (invalid_json_line)" in str(failed[0])


FULL = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached.", "line": None}]


def test_a_batch_beyond_the_limit_of_waiting_tokens_waits_for_the_others():
    """What is turned away for want of room is sent again once another batch has ended, and no call fails."""
    provider = Provider()

    def crowded(batch):
        others = [other for other in provider.batches.values() if other is not batch]
        return FULL if any(other["status"] == "validating" for other in others) else []

    provider.errors = crowded
    got = trying(provider, lambda sampler: outcomes(sampler, range(6)), ",batch=2")
    assert got == [[f"p{step}"] for step in range(6)]
    assert set(provider.computed.values()) == {1}


def test_a_batch_beyond_the_limit_with_no_other_to_wait_for_is_passing():
    """Where nothing of ours takes the room, the refusal is a rate limit, which the runtime waits out."""
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
def test_what_cannot_be_sent_fails_by_its_status(place, status, kind):
    """A refused upload or batch fails all its calls by the status, and the next try is a new batch."""
    provider = Provider(before=at(place, error(status)))

    async def work(sampler):
        return await outcomes(sampler, [0, 1]), await outcomes(sampler, [0, 1])

    failed, got = trying(provider, work)
    assert kinds(failed) == [kind, kind]
    assert got == [["p0"], ["p1"]]
    assert len(provider.batches) == 1


@each("answer", [reset, hang, page("{}")])
def test_a_batch_made_without_a_word_is_found(answer):
    """If the reply to making a batch is lost, late or no batch, it is found by its file, and no other is made."""
    provider = Provider(after=at(CREATE, answer))
    assert trying(provider, lambda sampler: outcomes(sampler, [0, 1]), ",timeout=0.3") == [["p0"], ["p1"]]
    assert len(provider.batches) == 1


def test_a_batch_that_turns_up_later_is_taken_up():
    """A batch made without a word that the list does not show at first is of unknown outcome, and is found before the
    same is bought again.
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
    """A batch that is completed, counts answers and names no file yet is looked at again."""
    provider = Provider(polls=1)

    async def early(request, kind, turn):
        if kind != POLL or turn > 1:
            return None
        return web.json_response({"id": "batch-0", "status": "completed", "request_counts": {"completed": 1}})

    provider.before = early
    assert trying(provider, lambda sampler: outcomes(sampler, [0])) == [["p0"]]


def test_a_download_that_breaks_off_is_done_over():
    """Results that do not come through whole are downloaded again."""
    broken = at(DOWNLOAD, error(503), reset)
    provider = Provider(before=broken)
    assert trying(provider, lambda sampler: outcomes(sampler, [0])) == [["p0"]]
    assert provider.turns[DOWNLOAD] == 3


@each("place", [LIST, UPLOAD, CREATE, POLL, DOWNLOAD], ids="-".join)
def test_the_key_goes_into_no_message(place):
    """A provider that repeats the key in its errors finds it taken out of all that is raised, and its tracebacks."""

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
    """A server that cannot list batches answers all the same; nothing can be found again there."""
    provider = Provider(before=at(LIST, error(404)))
    assert trying(provider, lambda sampler: outcomes(sampler, [0])) == [["p0"]]


def test_a_list_that_fails_is_asked_again_by_the_runtime():
    """Before it is known what was bought already, nothing is bought."""
    provider = Provider(before=at(LIST, error(500)))

    async def work(sampler):
        failed = await outcomes(sampler, [0, 1])
        assert not provider.sent
        return failed, await outcomes(sampler, [0, 1])

    failed, got = trying(provider, work)
    assert kinds(failed) == [FailureKind.TRANSIENT] * 2
    assert got == [["p0"], ["p1"]]
