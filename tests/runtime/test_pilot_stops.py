"""What ends a pilot early: providers that fail, errors in the user's code, and requests to stop."""

import asyncio
import os
import signal
import threading

import pytest

import unerring
from chain_runs import Words
from pilots import Places, counted, one_line, piloted
from unerring import Hanoi, ProviderBusy, ProviderDown, Sample, Usage
from unerring.adapters.memory import MemoryJournal
from unerring.api.calibration.calibrating import PilotOptions, acalibrate, calibrate
from unerring.api.calibration.calibration_files import read_calibration
from unerring.errors import InputError, Interrupted, JournalError, ProviderGone
from unerring.runtime.calls.patience import Patience
from unerring.testing import FakeClock, NoisySampler, ScriptedSampler
from virtual_time import Says


def busy_once(step_of_trouble, error, answer="a"):
    """A sampler that raises an error once, at the first sample of a step."""
    raised = []

    def say(prompt, step, slot):
        if step == step_of_trouble and not raised:
            raised.append(step)
            return error
        return answer

    return Says(say)


# --- providers


def test_a_busy_provider_is_waited_for_and_not_counted():
    """A 429 costs the time that the provider asks for; the step is drawn as if nothing had happened."""
    clock = FakeClock()
    script = [ProviderBusy("429", retry_after=40.0), ProviderBusy("429"), "w", "a"]
    sampler = ScriptedSampler({step: [*script[: 2 * (step == 3)], *["a"] * 40] for step in range(6)})
    found = piloted(Places(6), sampler, 100, clock=clock)
    assert (found.steps, found.samples, found.voters[0].votes) == (6, 6, 6)
    assert 42.0 <= sum(clock.slept) <= 51.0


def test_a_call_without_samples_is_tried_again():
    """An empty reply is a transient failure, and so is a reply with fewer samples than asked for."""
    lengths = iter([0, 1, 3, 0, 5, 20])

    asked = []

    class Reluctant:
        name, paid, compact = "reluctant", True, False

        async def sample(self, prompt, settings, n):
            asked.append((settings.slot, n))
            return [Sample("b" if settings.slot == 0 else "a", Usage(1, 1))] * min(n, next(lengths))

    found = piloted(Places(1), Reluctant(), 100, in_flight=50)
    assert asked == [(0, 1), (0, 1), (1, 24), (4, 21), (4, 21), (9, 16)]
    assert (found.samples, found.voters[0].wrong) == (25, 1)


def test_a_provider_that_is_down_ends_the_pilot_with_what_it_has(tmp_path):
    """A lasting failure is ProviderGone; the steps before are in the file, and the same call continues from there."""
    path = tmp_path / "cal.json"
    order = []
    whole = piloted(Places(40), Says(lambda prompt, step, slot: order.append(step) or "a"), 40)
    with pytest.raises(ProviderGone, match="no quota"):
        piloted(Places(40), busy_once(order[10], ProviderDown("no quota")), 40, path)
    assert read_calibration(path).steps == 10
    assert counted(piloted(Places(40), Says(lambda *_: "a"), 40, path)) == counted(whole)


def test_a_provider_that_stays_away_ends_the_pilot():
    """Failures without end stop the pilot after its patience."""
    always = Says(lambda prompt, step, slot: ProviderBusy("overloaded"))
    with pytest.raises(ProviderGone, match="overloaded"):
        piloted(Places(5), always, 5, patience=Patience(total=100.0))


# --- the user's own code


def test_a_bug_in_a_parser_is_passed_on_with_the_file_kept(tmp_path):
    """An exception of a user's parser is no red flag: it ends the pilot, and what was counted is kept."""
    order, path = [], tmp_path / "cal.json"
    piloted(Places(40), Says(lambda prompt, step, slot: order.append(step) or "a"), 40)
    broken = order[7]

    def parse(text):
        if text == "break":
            raise ZeroDivisionError("a bug of the user's")
        return text

    sampler = Says(lambda prompt, step, slot: "break" if step == broken else "a")
    with pytest.raises(ZeroDivisionError, match="a bug of the user's"):
        piloted(Places(40, parse), sampler, 40, path)
    assert read_calibration(path).steps == 7


def test_a_bug_while_other_steps_are_in_flight_is_passed_on():
    """With many steps in flight the error is the same, and no task is left."""

    def parse(text):
        raise KeyError("move")

    async def main():
        with pytest.raises(KeyError, match="move"):
            await acalibrate(Places(100, parse), Says(lambda *_: "a"), 50, options=PilotOptions(in_flight=20))
        return asyncio.all_tasks()

    assert len(asyncio.run(main())) == 1


def test_a_chain_that_is_shorter_than_its_length_is_an_error():
    """A chain whose length and steps disagree is an error of the user's, with the step."""

    class Short(Places):
        def length(self):
            return 2 * self.steps

    with pytest.raises(InputError) as raised:
        piloted(Short(20), Says(lambda *_: "a"), 40)
    assert "ends before step" in one_line(raised.value)


@pytest.mark.parametrize("answer", ["a", [7], None], ids=["text", "numbers", "none"])
def test_a_sampler_that_breaks_its_contract_is_an_error(answer):
    """A result that is no list of samples is a TypeError of the sampler, as in a run."""

    class Careless:
        name, paid, compact = "careless", False, False

        async def sample(self, prompt, settings, n):
            return answer

    with pytest.raises(TypeError, match="a sampler returns"):
        piloted(Places(3), Careless(), 3)


# --- stopped and gone on with


class Yielding(NoisySampler):
    """Noise that lets other tasks run before it answers, like a model over a network."""

    async def sample(self, prompt, settings, n):
        for _ in range(3):
            await asyncio.sleep(0)
        return await super().sample(prompt, settings, n)


def cut_off(steps, chain, path, in_flight, how):
    """A pilot that is stopped by a signal, or cancelled, once it has counted so many steps."""

    def seen(calibration):
        if calibration.steps == steps:
            how()

    options = PilotOptions(in_flight=in_flight, seen=seen)
    with pytest.raises(Interrupted):
        calibrate(chain, Yielding(chain.rehearse, 0.8, 0.8), 10**6, path, options=options)


def stop():
    signal.raise_signal(signal.SIGINT)


def cancel():
    asyncio.current_task().cancel()


@pytest.mark.parametrize("in_flight", [1, 30])
@pytest.mark.parametrize("how", [stop, cancel])
@pytest.mark.parametrize("chain", [Hanoi(disks=8), Words(60)], ids=["entered", "walked"])
def test_a_resumed_pilot_counts_what_an_uninterrupted_one_does(tmp_path, in_flight, how, chain):
    """Stopped repeatedly and continued from its file, a pilot ends with the same bytes as without stops.

    A signal lets the samples in flight come in; a cancellation abandons them, and they are drawn again.
    """
    path, options = tmp_path / "cal.json", PilotOptions(in_flight=in_flight)
    whole = calibrate(chain, Yielding(chain.rehearse, 0.8, 0.8), 10**6, options=options)
    held = 0
    for steps in (5, 20, 50):
        if steps > held:
            cut_off(steps, chain, path, in_flight, how)
            held = read_calibration(path).steps
            assert steps <= held < whole.steps
    again = calibrate(chain, Yielding(chain.rehearse, 0.8, 0.8), 10**6, path, options=options)
    assert counted(again) == counted(whole)
    assert read_calibration(path) == again


def test_a_stop_that_comes_with_the_last_step_loses_nothing(tmp_path):
    """If nothing is missing, a request to stop does not interrupt: the pilot is complete."""

    def seen(calibration):
        if calibration.samples >= 20:
            stop()

    found = calibrate(Places(), Says(lambda *_: "a"), 20, options=PilotOptions(in_flight=1, seen=seen))
    assert found.samples == 20


def test_a_pilot_that_has_enough_draws_nothing(tmp_path):
    """Asked for no more samples than the file has, a pilot returns it."""
    path, sampler = tmp_path / "cal.json", Says(lambda *_: "a")
    first = piloted(Places(), sampler, 100, path)
    assert counted(piloted(Places(), Says(lambda *_: ProviderDown("not asked")), 50, path)) == counted(first)


def test_a_pilot_asked_for_more_continues(tmp_path):
    """Asked for more, it draws the missing samples, of new steps."""
    path, chain = tmp_path / "cal.json", Hanoi(disks=8)
    options = PilotOptions(in_flight=1)
    calibrate(chain, "noise/p=0.9", 100, path, options=options)
    more = calibrate(chain, "noise/p=0.9", 300, path, options=options)
    assert counted(more) == counted(calibrate(chain, "noise/p=0.9", 300, options=options))


def test_a_sampler_passed_as_an_object_is_named(tmp_path):
    """The file has the model's name, also if the model was passed as an object."""
    chain = Hanoi(disks=5)
    sampler = NoisySampler(chain.rehearse, 0.9)
    calibrate(chain, sampler, 10, tmp_path / "cal.json")
    assert read_calibration(tmp_path / "cal.json").model == sampler.name


def test_a_calibration_that_is_stopped_says_how_many_calls_it_waits_for():
    """After Ctrl-C the number of calls in flight is updated each second, as in a run."""
    notices, started = [], threading.Event()

    async def slow(prompt, settings):
        if not started.is_set():
            started.set()
            os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
        return "a"

    options = PilotOptions(grace=0.2, stopping=lambda calls, seconds: notices.append((calls > 0, seconds)))
    with pytest.raises(Interrupted):
        calibrate(Places(6), slow, 6, options=options)
    assert notices[0] == (True, 0.2)
    assert notices[-1][1] == 0.0


def test_a_calibration_whose_journal_fails_at_once_leaves_its_shared_budget(monkeypatch):
    """If its first entry cannot be kept, its hours stop counting in a budget that other runs share."""

    def full(self, entry):
        raise JournalError("disk full")

    monkeypatch.setattr(MemoryJournal, "append", full)
    budget, clock = unerring.Budget(hours=10), FakeClock()
    with pytest.raises(JournalError, match="disk full"):
        piloted(Places(6), Says(lambda *_: "a"), 6, clock=clock, budget=budget)
    before = budget.share(None).whole.seconds
    asyncio.run(clock.sleep(3600.0))
    assert budget.share(None).whole.seconds == before
