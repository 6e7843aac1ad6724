"""A drafting model: its guesses are used, its failures stop nothing, and its costs are announced and counted."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

import unerring
from chain_runs import K3, Words, resume
from replay import replay
from unerring.core.journal.entries import DRAFT_SLOT, Cancelled, Drafted, Failed, Intent, Replies
from unerring.core.reporting.report import RunSeries, report_of
from unerring.core.voting.sample import Usage
from unerring.errors import ProviderBusy, ProviderDown
from unerring.runtime.calls.patience import Patience
from unerring.runtime.config import Speculation
from virtual_time import Says, Slow, ahead, always_a, virtually


class Mine(Exception):
    """A bug of the user's own."""


def drafted(drafts, steps=60, votes=always_a, latency=0.05, draft_latency=0.001, paid=True, **config):
    """A run with a drafting model that answers like this.

    Returns it, its duration, its model and the drafting model.
    """
    drafter, sampler = Slow(Says(drafts), draft_latency, paid=paid), Slow(Says(votes), latency)
    outcome, time = ahead(Words(steps), sampler, speculation=Speculation(drafter), **config)
    return outcome, time, sampler, drafter


# --- used


def test_right_drafts_make_a_run_faster():
    """A fast and right drafting model lets steps be asked ahead, and the votes decide the chain."""
    outcome, time, _, _ = drafted(always_a, 200)
    assert (outcome.error, outcome.at) == (None, ["a"] * 200)
    assert time < 200 * 0.05 / 5
    assert outcome.state.wasted == 0


@pytest.mark.parametrize("draft", ["b", "!", "<"])
def test_wrong_drafts_never_vote(draft):
    """With any drafts, wrong or malformed, the steps are decided by their own samples alone."""
    outcome, _, _, _ = drafted(lambda prompt, step, slot: draft)
    assert (outcome.error, outcome.at) == (None, ["a"] * 60)
    assert [decided.tally for decided in outcome.decided] == [(3,)] * 60
    assert all(
        reply.text == "a" or isinstance(reply.text, int) for entry in outcome.of(Replies) for reply in entry.replies
    )


def test_each_step_is_drafted_once_at_temperature_0():
    """A draft is one sample at temperature 0, asked once for each step and state."""
    _, _, _, drafter = drafted(always_a)
    assert {(of.temperature, n) for _, of, n in drafter.calls} == {(0.0, 1)}
    prompts = [prompt for prompt, _, _ in drafter.calls]
    assert len(prompts) == len(set(prompts))


def test_a_hanging_drafting_model_holds_nothing_up():
    """With a draft that never comes the run is as fast as without guesses, and the draft is abandoned at the end."""
    outcome, time, _, drafter = drafted(always_a, draft_latency=1e9)
    assert (outcome.error, outcome.at) == (None, ["a"] * 60)
    assert time <= 60 * 0.05 + 0.01
    assert drafter.in_flight == 0


# --- failures


@pytest.mark.parametrize("failure", [ProviderBusy("later"), ProviderBusy("later", 30.0), ProviderDown("no quota")])
@pytest.mark.parametrize("paid", [True, False])
def test_a_drafting_model_that_fails_stops_nothing(failure, paid):
    """If the drafting model is busy or down, guesses come from the votes, and the run is unchanged."""
    outcome, _, _, drafter = drafted(lambda prompt, step, slot: failure, paid=paid)
    assert (outcome.error, outcome.at) == (None, ["a"] * 60)
    assert drafter.calls
    assert outcome.state.calls.drafts == 0


def test_a_drafting_model_that_failed_is_left_alone_for_a_while():
    """After a failure it is not asked before the time it asked for, and then used again."""
    refused = []

    def drafts(prompt, step, slot):
        if not refused:
            refused.append(step)
            return ProviderBusy("later", retry_after=2.0)
        return "a"

    times = []

    class Timed(Says):
        async def sample(self, prompt, settings, n):
            times.append(asyncio.get_running_loop().time())
            return await super().sample(prompt, settings, n)

    patience = Patience(first=0.5, spread=0.0)
    outcome, _ = ahead(Words(200), Slow(Says(always_a)), speculation=Speculation(Timed(drafts)), patience=patience)
    assert outcome.error is None
    assert times[1] - times[0] >= 2.0
    assert len(times) > 50


def test_failures_in_a_row_are_waited_out_longer_and_longer():
    """Each further failure doubles the time until the drafting model is asked again."""
    times = []

    class Busy(Says):
        async def sample(self, prompt, settings, n):
            times.append(asyncio.get_running_loop().time())
            raise ProviderBusy("later")

    patience = Patience(first=0.1, spread=0.0)
    outcome, _ = ahead(Words(200), Slow(Says(always_a)), speculation=Speculation(Busy(None)), patience=patience)
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert outcome.error is None
    assert all(wait >= 0.1 * 2**number for number, wait in enumerate(waits))
    assert len(waits) >= 4


def test_a_bug_of_a_drafting_model_stops_the_run():
    """An error that is no provider's failure is raised unchanged at the step where it occurred."""
    outcome, _, _, _ = drafted(lambda prompt, step, slot: Mine("a bug") if step == 30 else "a")
    assert (type(outcome.error), outcome.state.committed) == (Mine, 30)
    assert resume(Words(60), Slow(Says(always_a), 0.0), outcome.entries).at == ["a"] * 60


def test_a_bug_of_a_drafting_model_at_a_state_that_is_never_reached_stops_nothing():
    """After a wrong draft its errors are ignored."""

    def drafts(prompt, step, slot):
        if "b" in prompt:
            return Mine("a bug")
        return "b" if step == 30 else "a"

    outcome, _, _, _ = drafted(drafts)
    assert (outcome.error, outcome.at) == (None, ["a"] * 60)


# --- what it costs


def report(outcome):
    series = RunSeries()
    for decided in outcome.decided:
        series.add(decided)
    return report_of(outcome.state, series)


def settled(outcome, paid):
    """Each intended draft was received, failed or abandoned; none was journaled if drafts are free."""
    intents = [(e.step, e.at) for e in outcome.of(Intent) if e.slot == DRAFT_SLOT]
    ends = [
        (e.step, e.at) for e in outcome.of(Drafted, Failed, Cancelled) if getattr(e, "slot", DRAFT_SLOT) == DRAFT_SLOT
    ]
    assert sorted(intents) == sorted(ends)
    assert bool(intents) is paid
    assert not any(slot == DRAFT_SLOT for _, slot, _ in outcome.state.calls.in_flight)


def test_paid_drafts_are_announced_and_counted():
    """Each has its intent before it is sent, its cost in the journal, and is counted in tokens and drafts."""
    outcome, _, sampler, drafter = drafted(always_a)
    settled(outcome, True)
    received = len(outcome.of(Drafted))
    assert {entry.usage for entry in outcome.of(Drafted)} == {Usage(2, 1)}
    figures = report(outcome)
    assert figures["speculation"]["drafts"] == outcome.state.calls.drafts == received > 50
    samples = sum(n for _, _, n in sampler.calls)
    assert figures["tokens"] == {"input": 2 * (samples + received), "output": samples + received}
    assert figures["samples"]["received"] == samples  # a draft is no sample
    announced = [entry for entry in outcome.entries if isinstance(entry, Intent | Drafted)]
    assert len(drafter.calls) == sum(isinstance(entry, Intent) for entry in announced)


def test_free_drafts_are_not_journaled():
    """A free drafting model leaves nothing in the journal but the steps asked ahead."""
    outcome, _, _, _ = drafted(always_a, paid=False)
    settled(outcome, False)
    assert (outcome.state.calls.drafts, outcome.of(Drafted)) == (0, [])


def test_paid_drafts_that_fail_are_settled():
    """A failed draft is journaled as failed."""
    outcome, _, _, _ = drafted(lambda prompt, step, slot: ProviderDown("no quota"))
    settled(outcome, True)
    assert all(isinstance(entry, Failed) and entry.reason == "no quota" for entry in outcome.of(Failed))


def test_a_drafting_model_that_gives_nothing_has_failed():
    """A paid call without a draft is journaled as a failure, and is no guess."""

    class Mute(Says):
        paid = True

        async def sample(self, prompt, settings, n):
            return []

    outcome, _ = ahead(Words(60), Slow(Says(always_a)), speculation=Speculation(Mute(None)))
    assert (outcome.error, outcome.at) == (None, ["a"] * 60)
    settled(outcome, True)


def test_a_paid_draft_in_flight_at_the_end_is_of_unknown_outcome():
    """A draft in flight at the end of the run is abandoned, and counted."""
    outcome, _, _, _ = drafted(always_a, 5, draft_latency=1e9)
    assert outcome.state.finished is not None
    settled(outcome, True)
    assert outcome.of(Cancelled) == [Cancelled(0, DRAFT_SLOT, 1, outcome.of(Intent)[0].at)]
    assert outcome.state.calls.unknown == 1


def test_a_paid_draft_in_flight_at_a_stop_is_of_unknown_outcome():
    """The same holds at an early stop: the journal folds, and the run is resumed without the draft."""
    outcome, _, _, _ = drafted(always_a, 40, draft_latency=1e9, max_steps=5)
    settled(outcome, True)
    assert outcome.entries[-1] == outcome.paused
    assert replay(outcome.entries).calls.unknown == 1


# --- through the public functions


def options(speculate):
    return unerring.Options(policy=replace(K3, first_temperature=0.1), speculate=speculate)


def test_a_function_drafts():
    """A drafting model may be a plain function, like any model."""
    asked = []

    async def model(prompt, settings):
        await asyncio.sleep(0.05)
        return "a"

    async def draft(prompt, settings):
        asked.append(settings.step)
        return "a"

    result = virtually(unerring.arun(Words(60), model, options=options(draft)))
    assert result.state == ["a"] * 60
    assert result.report["speculation"]["drafts"] == len(asked) > 0
    assert result.report["speculation"]["steps_ahead"] > 50


def test_a_specification_drafts():
    """A drafting model may be given by its specification."""

    class Rehearsed(Words):
        def rehearse(self, prompt):
            return unerring.Rehearsal("a", ("b",))

    async def model(prompt, settings):
        await asyncio.sleep(0.05)
        return "a"

    result = virtually(unerring.arun(Rehearsed(60), model, options=options("noise/p=1")))
    assert result.state == ["a"] * 60
    assert result.report["speculation"]["drafts"] == 0  # noise is free
    assert result.report["speculation"]["steps_ahead"] > 50


def test_the_models_own_drafting_model_is_taken_by_itself():
    """The drafting model that a model names is used by default."""

    class Paired(Slow):
        drafter = "noise/p=1"

    class Rehearsed(Words):
        asked = 0

        def rehearse(self, prompt):
            self.asked += 1
            return unerring.Rehearsal("a", ("b",))

    for speculate, used in (("auto", True), ("leader", False), ("off", False)):
        chain = Rehearsed(20)
        result = virtually(unerring.arun(chain, Paired(Says(always_a)), options=options(speculate)))
        assert result.state == ["a"] * 20
        assert bool(chain.asked) is used
