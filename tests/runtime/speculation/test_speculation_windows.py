"""The window of steps asked ahead: its width, its end, and what happens to it when a run stops."""

import asyncio
from dataclasses import replace

import pytest

from chain_runs import K3, Words, arun, resume, run
from replay import replay
from unerring.core.journal.entries import Replies
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.core.voting.sample import Usage
from unerring.errors import (
    Interrupted,
    JournalError,
    ProviderBusy,
    ProviderDown,
    ProviderGone,
    StepLimit,
    StepUndecided,
)
from unerring.runtime.calls.patience import Patience
from unerring.runtime.config import Guards, Speculation, StopRequest
from unerring.testing import MemoryJournal
from virtual_time import RIGHT, LoopClock, Says, Slow, ahead, always_a, until, virtually

RECKLESS = replace(RIGHT, waste=1.0)


def texts(outcome):
    """(step, slot) -> text of all samples in the journal, if each step was asked from one state only."""
    found = {}
    for entry in outcome.of(Replies):
        for reply in entry.replies:
            text = reply.text
            assert (reply.step, reply.slot) not in found
            found[reply.step, reply.slot] = found[reply.step, text] if isinstance(text, int) else text
    return found


# --- how wide


@pytest.mark.parametrize("in_flight", [1, 2, 3, 7, 64])
def test_no_more_samples_are_in_flight_than_allowed(in_flight):
    """However probable its guesses, a run never has more than `in_flight` samples in flight."""
    sampler = Slow(Says(always_a))
    outcome, _ = ahead(Words(120), sampler, speculation=replace(RIGHT, in_flight=in_flight))
    assert outcome.error is None
    assert sampler.most <= in_flight


@pytest.mark.parametrize("in_flight", [3, 7, 32])
def test_as_many_samples_are_in_flight_as_allowed_if_guesses_hold(in_flight):
    """A run whose guesses were right so far uses all of `in_flight`."""
    sampler = Slow(Says(always_a))
    ahead(Words(200), sampler, speculation=replace(RIGHT, in_flight=in_flight))
    assert sampler.most == in_flight


def test_the_first_steps_are_not_asked_ahead_on_trust():
    """A guess must be right once before anything is asked from it: the second step waits for the first one's vote."""
    sampler = Slow(Says(always_a), latency=1.0)
    ahead(Words(2), sampler, beside=lambda task: at_half_a_second(sampler))


async def at_half_a_second(sampler):
    await until(0.5)
    assert sampler.steps == {0}


def test_votes_alone_let_the_next_step_be_asked():
    """Without guesses the next step is asked from the state of the first vote, while others are in flight."""
    sampler = Slow(Says(always_a), latency=lambda prompt, of: 1.0 if of.slot == 0 else 5.0)
    outcome, time = ahead(Words(20), sampler, speculation=Speculation())
    assert outcome.error is None
    assert time < 60.0  # one after the other they take 100 s


# --- where it ends


def test_no_step_beyond_the_limit_of_steps_is_asked():
    """A session of at most 20 steps asks no other step, and stops after exactly 20."""
    sampler = Slow(Says(always_a))
    outcome, _ = ahead(Words(100), sampler, speculation=RECKLESS, max_steps=20)
    assert isinstance(outcome.error, StepLimit)
    assert outcome.state.committed == 20
    assert sampler.steps == set(range(20))


def test_a_limit_of_steps_that_is_the_chains_length_is_no_limit():
    """A run limited to the chain's own number of steps finishes."""
    outcome, _ = ahead(Words(20), Slow(Says(always_a)), max_steps=20)
    assert outcome.error is None
    assert outcome.state.finished is not None


def test_nothing_is_asked_beyond_the_chains_end():
    """Every call is for a step of the chain, and none is in flight when it ends."""
    sampler = Slow(Says(always_a))
    ahead(Words(40), sampler, speculation=RECKLESS)
    assert sampler.steps == set(range(40))
    assert (sampler.in_flight, sampler.given_up) == (0, [])


# --- stops


def stopping(stop, seconds):
    async def beside(task):
        await until(seconds)
        stop.ask("enough")

    return beside


@pytest.mark.parametrize("seconds", [0.01, 0.26, 0.51, 0.76])
def test_a_stop_receives_all_samples_in_flight(seconds):
    """After a request to stop a run asks nothing more, abandons nothing, and journals every sample in flight."""
    stop, sampler = StopRequest(), Slow(Says(always_a), paid=True)
    outcome, time = ahead(Words(500), sampler, stop=stop, beside=stopping(stop, seconds))
    assert isinstance(outcome.error, Interrupted)
    assert outcome.paused.reason == "enough"
    assert seconds < time <= seconds + 0.05
    assert sampler.given_up == []
    assert outcome.state.samples == sum(n for _, _, n in sampler.calls)
    assert outcome.state.calls.in_flight == set()
    assert outcome.state.committed < 500


class Remote(Slow):
    """An endpoint whose calls are awaited if their step is dropped; `prompts` are those in flight."""

    account = "remote"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.prompts = []

    async def sample(self, prompt, settings, n):
        self.prompts.append(prompt)
        try:
            return await super().sample(prompt, settings, n)
        finally:
            self.prompts.remove(prompt)

    def worst(self, prompt, settings, n):
        return Usage(0, n)

    async def aclose(self):
        pass


def test_abandoned_calls_are_not_waited_for_at_a_stop():
    """After a wrong guess with slow calls, a stop counts only the calls that the window still has."""
    sampler = Remote(Says(always_a), lambda prompt, of: 100.0 if " b" in prompt else 0.05)
    stop, counted = StopRequest(), []

    async def beside(task):
        await until(0.27)
        given_up = [prompt for prompt in sampler.prompts if " b" in prompt]
        counted.extend((stop.in_flight, len(sampler.prompts) - len(given_up), len(given_up)))
        stop.ask("enough")

    guesses = replace(RECKLESS, source=lambda state: "b" if len(state) == 3 else "a")
    guards = Guards(probe=False)
    outcome, time = ahead(Words(5000), sampler, speculation=guesses, stop=stop, beside=beside, guards=guards)
    assert (type(outcome.error), time < 1.0) == (Interrupted, True)
    assert counted[0] == counted[1] > 0
    assert counted[2] > 0


def test_samples_received_at_a_stop_are_not_asked_for_again():
    """The resumed run uses the samples of steps not reached yet: each is asked for once in all."""
    stop, sampler = StopRequest(), Slow(Says(always_a))
    stopped, _ = ahead(Words(60), sampler, stop=stop, beside=stopping(stop, 0.26))
    assert max(texts(stopped))[0] > stopped.state.committed
    again = Slow(Says(always_a), latency=0.0)
    finished = resume(Words(60), again, stopped.entries, speculation=RIGHT)
    assert finished.at == ["a"] * 60
    asked = [(of.step, of.slot + i) for _, of, n in sampler.calls + again.calls for i in range(n)]
    assert sorted(asked) == [(step, slot) for step in range(60) for slot in range(3)]


@pytest.mark.parametrize("paid", [True, False])
@pytest.mark.parametrize("seconds", [0.01, 0.26, 0.51])
def test_a_cancelled_run_can_be_resumed(paid, seconds):
    """A cancelled run ends at once, its journal folds to its state, and resuming ends as an uninterrupted run."""

    async def cancel(task):
        await until(seconds)
        task.cancel()

    async def cancelled():
        task = asyncio.ensure_future(
            arun(Words(60), Slow(Says(always_a), paid=paid), K3, clock=LoopClock(), speculation=RIGHT)
        )
        other = asyncio.ensure_future(cancel(task))
        outcome = await task  # the helper keeps the cancellation as the run's error
        await other
        return outcome, asyncio.get_running_loop().time()

    outcome, time = virtually(cancelled())
    assert isinstance(outcome.error, asyncio.CancelledError)
    assert time == pytest.approx(seconds)
    assert outcome.paused.reason == "cancelled"
    replayed = replay(outcome.entries)
    assert (replayed.committed, replayed.samples, replayed.calls.unknown) == (
        outcome.state.committed,
        outcome.state.samples,
        outcome.state.calls.unknown,
    )
    assert replayed.calls.in_flight == set()
    assert (replayed.calls.unknown > 0) is paid
    finished = resume(Words(60), Slow(Says(always_a), latency=0.0), outcome.entries, speculation=RIGHT)
    assert finished.at == ["a"] * 60


def test_a_provider_that_is_down_stops_the_run_wherever_it_shows():
    """A lasting failure of a step far ahead stops the run at once, and samples then in flight are recorded."""

    def answer(prompt, step, slot):
        return ProviderDown("no quota") if step == 30 else "a"

    sampler = Slow(Says(answer), lambda prompt, of: 0.05 if of.step == 30 else 0.06)
    outcome, _ = ahead(Words(60), sampler)
    assert isinstance(outcome.error, ProviderGone)
    assert outcome.paused.kind == "provider"
    assert outcome.state.committed < 30
    failed = sum(n for _, of, n in sampler.calls if of.step == 30)
    assert outcome.state.samples == sum(n for _, _, n in sampler.calls) - failed
    finished = resume(Words(60), Slow(Says(always_a), latency=0.0), outcome.entries)
    assert finished.at == ["a"] * 60


def test_a_stop_does_not_wait_for_a_busy_provider():
    """A call that waits for its retry is not retried after a stop, and delays nothing."""
    stop = StopRequest()

    def answer(prompt, step, slot):
        return ProviderBusy("later", retry_after=1000.0) if step == 20 else "a"

    sampler = Slow(Says(answer))
    patience = Patience(total=10_000.0)
    outcome, time = ahead(Words(60), sampler, stop=stop, patience=patience, beside=stopping(stop, 30.0))
    assert isinstance(outcome.error, Interrupted)
    assert time < 31.0
    assert [of.step for _, of, _ in sampler.calls].count(20) <= 2  # at most one call for each temperature


def test_steps_after_a_busy_one_are_received_and_wait():
    """A provider that is busy at one step delays commits, and not later steps."""
    busy = iter([ProviderBusy("later", retry_after=100.0)])

    def answer(prompt, step, slot):
        return next(busy, "a") if (step, slot) == (20, 0) else "a"

    sampler = Slow(Says(answer))
    outcome, time = ahead(Words(60), sampler, patience=Patience(total=10_000.0, spread=0.0), speculation=RECKLESS)
    assert outcome.error is None
    assert time < 102.0  # all the others came while it waited


def test_an_undecided_step_stops_the_run_with_later_samples_kept():
    """At its cap a step stops the run; samples of later steps are in the journal, and are not paid for again."""

    def answer(prompt, step, slot):
        return "ab"[slot % 2] if step == 30 and slot else "a"

    policy = Policy(AheadBy(3), vote_cap=6)
    sampler = Slow(Says(answer), paid=True)
    outcome, _ = ahead(Words(60), sampler, policy)
    plain = run(Words(60), Slow(Says(answer), 0.0), policy)
    assert isinstance(plain.error, StepUndecided)
    assert (type(outcome.error), str(outcome.error)) == (StepUndecided, str(plain.error))
    assert outcome.state.committed == 30
    assert outcome.state.calls.in_flight == set()
    assert max(texts(outcome))[0] > 30


def test_nothing_more_is_asked_beyond_a_step_that_is_undecided():
    """A step ahead that reached its cap stops the run at its turn, so the window does not grow beyond it."""

    def answer(prompt, step, slot):
        return "ab"[slot % 2] if step == 30 and slot else "a"

    sampler = Slow(Says(answer), lambda prompt, of: 10.0 if of.step == 25 else 0.05)
    outcome, _ = ahead(Words(4000), sampler, Policy(AheadBy(3), vote_cap=6), replace(RIGHT, in_flight=256))
    assert isinstance(outcome.error, StepUndecided)
    assert max(sampler.steps) < 600  # some are asked before that step is undecided; the window could reach to 1,049


def test_raised_caps_hold_for_the_steps_that_were_asked_ahead_too():
    """A run that stopped undecided continues under a higher cap, with all its samples."""

    def answer(prompt, step, slot):
        return "ab"[slot % 2] if step == 30 and 0 < slot < 8 else "a"

    policy = Policy(AheadBy(3), vote_cap=6)
    stopped, _ = ahead(Words(60), Slow(Says(answer)), policy)
    assert isinstance(stopped.error, StepUndecided)
    again = Slow(Says(answer), 0.0)
    finished = resume(Words(60), again, stopped.entries, caps=(40, None), speculation=RIGHT)
    assert finished.at == ["a"] * 60
    assert not {(of.step, of.slot) for _, of, _ in again.calls} & set(texts(stopped))


def test_a_broken_journal_stops_the_run_wherever_it_shows():
    """A sample that cannot be journaled, also one of a guessed state, ends the run with the journal's error."""

    class Full(MemoryJournal):
        def append(self, entry):
            if isinstance(entry, Replies) and entry.replies[0].step == 30:
                raise JournalError("the disk is full")
            super().append(entry)

    outcome, _ = ahead(Words(60), Slow(Says(always_a)), journal=Full())
    assert isinstance(outcome.error, JournalError)
    assert outcome.state.committed < 30
