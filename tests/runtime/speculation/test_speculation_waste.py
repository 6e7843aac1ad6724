"""Wasted samples stay in the journal as paid, are used where possible, and are counted exactly."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest

from chain_runs import K1, K3, Words, arun, resume
from unerring.core.journal.codec import decode, encode
from unerring.core.journal.entries import Cancelled, Committed, Intent, Replies
from unerring.core.journal.state import RunState
from unerring.core.reporting.report import RunSeries, report_of
from unerring.core.voting.sample import Usage
from unerring.runtime.config import Guards, Speculation
from unerring.testing import MemoryJournal
from virtual_time import LoopClock, Says, Slow, ahead, always_a, virtually

RECKLESS = Speculation(lambda state: "a", waste=1.0)
TURN = 30  # the step whose first vote misleads


def misleading(prompt, step, slot):
    """Every vote is for `a` except the first two of one step."""
    return "b" if step == TURN and slot < 2 else "a"


def late(prompt, of):
    """The votes of that one step come one after the other, long after those of the following steps."""
    return 0.05 if of.step != TURN else 1.0 + of.slot


def wasted_by_hand(entries):
    """Samples in a journal that decided no committed step, from the entries alone."""
    state = RunState()
    samples, places = [], {}
    for entry in entries:
        if isinstance(entry, Replies):
            at = state.last_digest if entry.at is None else entry.at
            samples += [(reply.step, at) for reply in entry.replies]
        if isinstance(entry, Committed):
            places[entry.step] = state.last_digest
        state.apply(entry)
    return sum(places.get(step) != at for step, at in samples)


def report(outcome):
    series = RunSeries()
    for decided in outcome.decided:
        series.add(decided)
    return report_of(outcome.state, series)


# --- what comes back


def test_samples_of_a_dropped_step_are_used_when_its_state_is_reached_after_all():
    """If a guess is doubted after two lost votes and then confirmed, later steps keep the samples they have."""
    sampler = Slow(Says(misleading), late, paid=True)
    outcome, _ = ahead(Words(60), sampler, speculation=RECKLESS)
    assert (outcome.error, outcome.at) == (None, ["a"] * 60)
    assert any(" b" in prompt for prompt, _, _ in sampler.calls)  # it was abandoned for the other state
    asked = [(prompt, of.step, of.slot + i) for prompt, of, n in sampler.calls for i in range(n)]
    given_up = [(prompt, of.step, of.slot + i) for prompt, of, n in sampler.given_up for i in range(n)]
    for number in given_up:
        asked.remove(number)
    assert len(asked) == len(set(asked))
    seen = {(of.step, of.slot) for prompt, of, _ in sampler.calls if of.step > TURN and "b" not in prompt}
    assert seen


def test_samples_of_a_dropped_step_are_in_the_journal_as_paid():
    """Every sample is journaled with its cost, whether its state was reached or not."""
    sampler = Slow(Says(misleading), late, paid=True)
    outcome, _ = ahead(Words(60), sampler, speculation=RECKLESS)
    given = sum(n for _, _, n in sampler.calls) - sum(n for _, _, n in sampler.given_up)
    assert outcome.state.samples == sum(len(entry.replies) for entry in outcome.of(Replies)) == given
    assert outcome.state.calls.usage.output_tokens == given
    assert report(outcome)["tokens"] == {"input": 2 * given, "output": given}


def test_samples_of_dropped_steps_are_used_in_the_next_session():
    """Votes for a state that is doubted when a run is killed count when it is resumed."""
    sampler = Slow(Says(misleading), late, paid=True)
    whole, _ = ahead(Words(60), sampler, speculation=RECKLESS)
    turn = next(i for i, e in enumerate(whole.entries) if isinstance(e, Replies) and e.replies[0].step == TURN)
    kept = [decode(encode(entry)) for entry in whole.entries[: turn + 1]]
    given = {
        (entry.at, reply.step, reply.slot) for entry in kept if isinstance(entry, Replies) for reply in entry.replies
    }
    again = resume(Words(60), Slow(Says(misleading), 0.0), kept, speculation=RECKLESS)
    assert again.at == ["a"] * 60
    new = again.entries[len(kept) :]
    assert not given & {
        (entry.at, r.step, r.slot) for entry in new if isinstance(entry, Replies) for r in entry.replies
    }


# --- abandoned calls


def wrong_at_the_turn(state):
    return "b" if len(state) == TURN else "a"


def run_with_abandoned_calls(paid=True):
    """A run whose guess is wrong at one step, with slow samples of later steps in flight when that shows."""
    sampler = Slow(Says(always_a), lambda prompt, of: 5.0 if "b" in prompt else 0.05, paid=paid)
    outcome, _ = ahead(Words(60), sampler, speculation=Speculation(wrong_at_the_turn, waste=1.0))
    assert (outcome.error, outcome.at) == (None, ["a"] * 60)
    assert sampler.given_up
    return outcome, sampler


def test_calls_for_a_wrong_state_are_abandoned():
    """As soon as a guess is found wrong, calls in flight from it are cancelled, and not awaited."""
    _, sampler = run_with_abandoned_calls()
    assert {prompt for prompt, _, _ in sampler.given_up} == {prompt for prompt, _, _ in sampler.calls if "b" in prompt}


def test_abandoned_paid_calls_are_of_unknown_outcome():
    """Each is journaled as cancelled with the state it was asked from, and counts as sent and unknown."""
    outcome, sampler = run_with_abandoned_calls()
    calls = sum(n for _, _, n in sampler.given_up)
    cancelled = outcome.of(Cancelled)
    assert sum(entry.count for entry in cancelled) == calls == outcome.state.calls.unknown
    assert {Intent(entry.step, entry.slot, entry.count, entry.at) for entry in cancelled} <= set(outcome.of(Intent))
    assert outcome.state.calls.in_flight == set()
    samples = report(outcome)["samples"]
    assert samples["unknown"] == samples["given_up"] == calls  # after a wrong guess, not for an unknown reason
    assert all(entry.wrong_guess for entry in cancelled)
    assert samples["sent"] == samples["received"] + calls


def test_abandoned_free_calls_leave_no_entry():
    """Calls that cost nothing are abandoned without an entry."""
    outcome, _ = run_with_abandoned_calls(paid=False)
    assert outcome.of(Cancelled) == []
    assert (outcome.state.calls.unknown, outcome.state.wasted) == (0, 0)


@pytest.mark.parametrize("commit", [0.001, 0.02, 0.049, 0.06])
def test_calls_abandoned_before_they_are_sent_are_settled(commit):
    """However long the journal takes to make an intent durable, each intent is settled in the journal."""

    class Late(MemoryJournal):
        async def commit(self):
            await asyncio.sleep(commit)

    def chancy(state):
        return "b" if len(state) % 10 == 9 else "a"

    sampler = Slow(Says(always_a), lambda prompt, of: 0.05 + 0.01 * (of.step % 3), paid=True)
    outcome, _ = ahead(Words(120), sampler, speculation=Speculation(chancy, waste=1.0), journal=Late())
    assert (outcome.error, outcome.at) == (None, ["a"] * 120)
    assert outcome.of(Cancelled)
    assert outcome.state.calls.in_flight == set()
    assert outcome.state.calls.unknown == sum(entry.count for entry in outcome.of(Cancelled))


class SlowEndpoint(Slow):
    """The same model as an endpoint."""

    account = "host"

    def worst(self, prompt, settings, n):
        return Usage(10_000, 10_000)

    async def aclose(self):
        pass


def test_abandoned_calls_to_an_endpoint_are_received():
    """Their replies are journaled as wasted and not awaited; those in flight at the run's end are cancelled then."""

    def taking(latency, prompt, of):
        return latency if "b" in prompt else 0.05

    def astray(latency):
        sampler = SlowEndpoint(Says(always_a), partial(taking, latency), paid=True)
        outcome, took = ahead(
            Words(60), sampler, K1, Speculation(wrong_at_the_turn, waste=1.0), guards=Guards(probe=False)
        )
        assert (outcome.error, outcome.at) == (None, ["a"] * 60)
        assert took < 10.0
        assert outcome.state.calls.in_flight == set()
        return outcome.state.wasted, outcome.state.calls.unknown

    wasted, unknown = astray(0.1)
    assert wasted > 3
    assert unknown <= 3  # of the last window
    wasted, unknown = astray(500.0)
    assert wasted == 0
    assert unknown > 3


class Uncancellable(Slow):
    """A model whose calls cannot be cancelled: they take their time and answer all the same."""

    async def sample(self, prompt, settings, n):
        answered = asyncio.ensure_future(super().sample(prompt, settings, n))
        while not answered.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(answered)
        return answered.result()


def test_a_call_that_answers_although_it_was_cancelled_is_counted_as_wasted():
    """A model that ignores cancellation changes only the count of wasted samples."""
    sampler = Uncancellable(Says(always_a), lambda prompt, of: 5.0 if "b" in prompt else 0.05, paid=True)
    outcome, _ = ahead(Words(60), sampler, speculation=Speculation(wrong_at_the_turn, waste=1.0))
    assert (outcome.error, outcome.at) == (None, ["a"] * 60)
    assert outcome.of(Cancelled) == []
    astray = sum(n for prompt, _, n in sampler.calls if "b" in prompt)
    assert outcome.state.wasted == wasted_by_hand(outcome.entries) == astray > 0


@pytest.mark.parametrize("kind", [Slow, Uncancellable])
def test_a_sample_is_never_in_flight_twice(kind):
    """A state that is dropped and guessed again at once waits for its old calls to end before it asks again."""
    doubled, in_flight = [], set()

    class Watched(kind):
        async def sample(self, prompt, settings, n):
            numbers = {(prompt, settings.step, settings.slot + i) for i in range(n)}
            doubled.extend(numbers & in_flight)
            in_flight.update(numbers)
            try:
                return await super().sample(prompt, settings, n)
            finally:
                in_flight.difference_update(numbers)

    def latency(prompt, of):
        return 0.05 if of.step < TURN else 1.0 + of.slot if of.step == TURN else 20.0

    sampler = Watched(Says(misleading), latency, paid=True)
    outcome, _ = ahead(Words(60), sampler, speculation=RECKLESS)
    assert (outcome.error, outcome.at) == (None, ["a"] * 60)
    assert doubled == []
    assert outcome.state.calls.in_flight == set()


# --- what is counted


@pytest.mark.parametrize("source", [None, wrong_at_the_turn, lambda state: "ab"[len(state) % 7 == 3]])
@pytest.mark.parametrize("waste", [0.0, 0.05, 1.0])
def test_the_report_counts_exactly_the_wasted_samples(source, waste):
    """The wasted samples are those in the journal of states from which no committed step was asked."""

    def answer(prompt, step, slot):
        return "b" if (step * 7 + slot * 3) % 11 == 0 else "a"

    def latency(prompt, of):
        return 0.01 * (1 + (of.step * 5 + of.slot * 3) % 7)

    outcome, _ = ahead(Words(80), Slow(Says(answer), latency), speculation=Speculation(source, waste))
    assert outcome.error is None
    figures = report(outcome)["speculation"]
    assert figures["wasted"] == outcome.state.wasted == wasted_by_hand(outcome.entries)
    assert figures["waste"] == figures["wasted"] / outcome.state.samples
    assert sum(decided.wasted for decided in outcome.decided) <= figures["wasted"]


def test_where_nothing_may_be_wasted_nothing_is():
    """At a limit of 0 a step is asked ahead only from a decided state, and no sample is wasted."""
    outcome, _ = ahead(Words(60), Slow(Says(misleading), late), speculation=replace(RECKLESS, waste=0.0))
    assert (outcome.error, outcome.state.wasted) == (None, 0)


def test_steps_asked_ahead_are_counted():
    """The report has the number of steps asked ahead, and the lengths of their accepted runs."""
    outcome, _ = run_with_abandoned_calls()
    figures = report(outcome)["speculation"]
    ahead_of_turn = [decided.step for decided in outcome.decided if decided.ahead]
    assert figures["steps_ahead"] == len(ahead_of_turn) > 20
    assert 0 not in ahead_of_turn
    assert TURN + 1 not in ahead_of_turn  # it was asked from the wrong state, and again when its turn had come
    assert figures["longest_run"] <= TURN
    assert figures["speed_up"] > 1.5


def test_a_plain_run_has_asked_nothing_ahead():
    """Without speculation these figures are 0."""
    outcome = virtually(arun(Words(20), Slow(Says(misleading)), K3, clock=LoopClock()))
    figures = report(outcome)["speculation"]
    names = ("steps_ahead", "accepted_runs", "wasted", "waste", "drafts")
    assert [figures[name] for name in names] == [0, 0, 0, 0.0, 0]
