"""Pending requests: their states, which caller gets which answer, and their names."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables import each
from unerring.adapters.openai_batch.pending import MAX_KEPT_ANSWERS, PendingRequests
from unerring.adapters.openai_batch.request_id import (
    BatchMetadata,
    RequestKey,
    RequestLine,
    key_of,
    keys_in,
    parse_custom_id,
    steps_of,
)
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.errors import FailureKind, InputError, ProviderBusy

DIGEST = "0123456789abcdef01234567"
SETTINGS = Settings(0.7, 64, 11, 5, 2)


def line(step=0, slot=0, n=1):
    return RequestLine(RequestKey(step, slot, DIGEST), n, b"{}", frozenset(), 100, 64)


def samples(count, name="s"):
    return tuple(Sample(f"{name} {number}", Usage(0, 1)) for number in range(count))


def made(kept=None):
    return PendingRequests({} if kept is None else kept, lambda: None)


asks = st.tuples(st.just("ask"), st.integers(0, 2), st.integers(0, 3), st.integers(1, 3))
others = st.tuples(
    st.sampled_from(["cancel", "send", "settle", "fail", "twice", "found"]), st.integers(0, 30), st.just(0), st.just(0)
)


class Scenario:
    """Asks and settles requests as its test says, and keeps what was sent and what was handed out."""

    def __init__(self):
        self.requests = made()
        self.tasks = []
        self.open = {}
        self.bought = 0
        self.had = []

    def do(self, what, number, slot, n):
        if what == "ask":
            self.tasks.append(asyncio.ensure_future(self.requests.answer(line(number, slot, n))))
        elif what == "cancel" and self.tasks:
            self.tasks[number % len(self.tasks)].cancel()
        elif what == "send":
            self.open |= {request.key: request.line.n for request in self.requests.send()}
        elif what == "found":
            key = RequestKey(number % 3, number % 4, DIGEST)
            self.requests.recover([key])
            self.open.setdefault(key, 2)
        elif self.open:
            key = list(self.open)[number % len(self.open)]
            self.settle(key, what)

    def settle(self, key, what):
        n = self.open[key]
        if what == "fail":
            self.requests.settle(key, ProviderBusy("expired"))
        else:
            self.bought += 1
            self.requests.settle(key, samples(n, f"reply {self.bought}"))
        if what != "twice":  # a request that is settled twice: the second time no call waits for it
            del self.open[key]

    async def scenario(self, moves):
        for move in moves:
            self.do(*move)
            await asyncio.sleep(0)
        while self.requests.gathered or self.open:
            self.do("send", 0, 0, 0)
            for key in list(self.open):
                self.settle(key, "settle")
            await asyncio.sleep(0)
        return await asyncio.gather(*self.tasks, return_exceptions=True)


@given(st.lists(asks | others, max_size=60))
def test_each_sample_is_handed_out_once_and_every_call_ends(moves):
    """Whatever the order of asking, cancelling, sending, settling, failing and recovering, every call ends.

    Each has at most as many samples as it asked for, and no sample goes to two calls.
    """
    scenario = Scenario()
    outcomes = asyncio.run(scenario.scenario(moves))
    wanted = [move[3] for move in moves if move[0] == "ask"]
    had = Counter()
    for outcome, n in zip(outcomes, wanted, strict=True):
        if isinstance(outcome, tuple):
            assert 1 <= len(outcome) <= n
            had.update(sample.text for sample in outcome)
        else:
            assert isinstance(outcome, ProviderBusy | asyncio.CancelledError)
    assert all(count == 1 for count in had.values())


def run(work):
    return asyncio.run(work())


async def answered(requests, asked, outcome):
    task = asyncio.ensure_future(requests.answer(asked))
    await asyncio.sleep(0)
    for request in requests.send():
        requests.settle(request.key, outcome)
    return await task


def test_a_call_cancelled_before_it_is_sent_is_not_sent():
    """A request whose call was cancelled is removed from the batch being gathered."""

    async def work():
        requests = made()
        task = asyncio.ensure_future(requests.answer(line()))
        await asyncio.sleep(0)
        assert (requests.gathered, requests.size) == (1, line().size)
        task.cancel()
        await asyncio.wait([task])
        assert (requests.gathered, requests.size, requests.send()) == (0, 0, [])

    run(work)


@each("late", [False, True])
def test_the_answer_of_a_cancelled_call_is_kept_for_the_same_request(late):
    """After a batch was sent, the answer of a cancelled call goes to the next call that asks the same, at no cost."""

    async def work():
        requests = made()
        task = asyncio.ensure_future(requests.answer(line()))
        await asyncio.sleep(0)
        (request,) = requests.send()
        if late:  # the answer is there already, and the call is given up before it has looked
            requests.settle(request.key, samples(1))
        task.cancel()
        await asyncio.wait([task])
        if not late:
            requests.settle(request.key, samples(1))
        assert await requests.answer(line()) == samples(1)
        assert requests.arrivals == 1

    run(work)


def test_two_equal_calls_at_once_get_two_answers():
    """Equal calls in flight together are two requests with two names, in one batch."""

    async def work():
        requests = made()
        both = [asyncio.ensure_future(requests.answer(line())) for _ in range(2)]
        await asyncio.sleep(0)
        sent = requests.send()
        assert len({request.name for request in sent}) == 2
        for number, request in enumerate(sent):
            requests.settle(request.key, samples(1, str(number)))
        assert [one[0].text for one in await asyncio.gather(*both)] == ["0 0", "1 0"]

    run(work)


def test_samples_beyond_those_asked_for_answer_the_numbers_after_them():
    """If a call for one sample gets three, the other two answer the calls for the numbers that follow."""

    async def work():
        requests = made({line().key: samples(3)})
        first = await requests.answer(line(slot=0, n=1))
        assert first + await requests.answer(line(slot=1, n=5)) == samples(3)

    run(work)


def test_an_answer_for_fewer_is_taken_as_it_is():
    """A call for three is answered by a pending request for one; the others are asked for again."""

    async def work():
        requests = made()
        requests.recover([line().key])
        task = asyncio.ensure_future(requests.answer(line(n=3)))
        await asyncio.sleep(0)
        requests.settle(line().key, samples(1))
        assert (await task, requests.gathered) == (samples(1), 0)

    run(work)


def test_missing_usage_is_charged_at_the_worst_case():
    """A reply without usage is charged the longest prompt and the longest answer."""

    async def work():
        (sample,) = await answered(made(), line(), (Sample("x", Usage(-1, -1)),))
        assert sample.usage == Usage(100, 64)

    run(work)


def test_closing_says_whether_a_request_may_be_billed():
    """A call that waits when the sampler is closed fails with whether its request may have been billed."""

    async def work():
        requests = made()
        sent = asyncio.ensure_future(requests.answer(line(1)))
        await asyncio.sleep(0)
        requests.send()
        gathered = asyncio.ensure_future(requests.answer(line(2)))
        await asyncio.sleep(0)
        requests.close()
        failures = await asyncio.gather(sent, gathered, return_exceptions=True)
        assert [failure.kind for failure in failures] == [FailureKind.UNKNOWN, FailureKind.TRANSIENT]

    run(work)


def test_unclaimed_answers_are_limited():
    """Only so many answers without a caller are kept, and the oldest are dropped first."""
    kept = {}
    requests = made(kept)
    for step in range(MAX_KEPT_ANSWERS + 5):
        requests.keep(RequestKey(step, 0, DIGEST), samples(1))
    assert len(kept) == MAX_KEPT_ANSWERS
    assert RequestKey(4, 0, DIGEST) not in kept


def test_a_request_has_the_same_name_in_every_process():
    """The name is a function of the run, the step, the sample's number, the prompt and the settings."""
    key = key_of("run 1", "m", "prompt", SETTINGS)
    assert key.custom_id(3) == "5-2-4ad995b7bf9d23a2bf582d8a-3"
    assert key == key_of("run 1", "m", "prompt", SETTINGS)
    others = [
        key_of("run 2", "m", "prompt", SETTINGS),
        key_of("run 1", "m2", "prompt", SETTINGS),
        key_of("run 1", "m", "prompt ", SETTINGS),
        *(
            key_of("run 1", "m", "prompt", replace(SETTINGS, **{name: 1}))
            for name in ("temperature", "max_output_tokens", "seed", "step", "slot")
        ),
    ]
    assert len({key, *others}) == 9


@given(st.integers(-(10**9), 10**9), st.integers(-2, 10**6), st.integers(0, 99), st.integers(1, 128))
def test_a_name_is_read_back(step, slot, twin, n):
    """A name has at most 64 letters, digits, - and _, and holds the step, the sample's number and the count."""
    key = RequestKey(step, slot, DIGEST, twin)
    name = key.custom_id(n)
    assert parse_custom_id(name) == (key, n)
    assert len(name) <= 64
    assert set(name) <= set("0123456789abcdef_-")


@given(st.text(max_size=60) | st.from_regex(r"\A-?[0-9]{1,3}-[0-9]{1,3}-[0-9a-f]{24}(_[0-9])?-[0-9]{1,3}\Z"))
def test_a_foreign_name_is_not_taken_for_ours(name):
    """A name that others gave to a request is recognized only if it has exactly our form."""
    found = parse_custom_id(name)
    assert found is None or found[0].custom_id(found[1]) == name


def test_an_input_file_is_read_back():
    """The names in an uploaded file are read back; a file of another form raises ValueError."""
    asked = [line(step, n=2) for step in range(3)]
    assert keys_in([one.text() for one in asked]) == {one.custom_id: one.key for one in asked}
    with pytest.raises(ValueError, match="not a line"):
        keys_in([b"<html>"])


def test_metadata_name_run_model_and_steps():
    """Metadata hold the run, the model, and the first and last step, so that batches of others are skipped."""
    metadata = BatchMetadata("run 1", "m").metadata([7, 3, 12])
    assert BatchMetadata("run 1", "m").matches(metadata)
    assert not BatchMetadata("run 2", "m").matches(metadata)
    assert not BatchMetadata("run 1", "n").matches(metadata)
    assert steps_of(metadata) == range(3, 13)
    assert steps_of({}) is None
    assert steps_of({"steps": "a..b"}) is None


@each("identity", ["", "x" * 513, "two\nlines"])
def test_a_run_that_cannot_be_named_is_refused(identity):
    """A run's identity that does not fit into metadata is an error before anything is sent."""
    from unerring.adapters.openai_batch.sampler import BatchSampler

    with pytest.raises(InputError, match="identity"):
        BatchSampler("openai-batch/m@http://127.0.0.1:1/v1", identity, {})
