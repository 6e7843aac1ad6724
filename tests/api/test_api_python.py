"""Runs from Python: steps, errors and limits; the Python process is left as it was."""

import asyncio
import gc
import io
import pickle
import sys
import threading
from itertools import islice
from types import SimpleNamespace

import pytest

import unerring
from doubling import Doubling
from unerring import Options, Policy, Sample, errors
from unerring.adapters import terminal
from unerring.core.voting.race import AheadBy
from unerring.runtime.signals import RAISED_THRESHOLD, fewer_collections
from unerring.testing import NoisySampler, ScriptedSampler


def copied(value):
    """The object after pickling, as another process gets it."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301  (our own)


def test_steps_have_values_and_texts_in_full(tmp_path):
    """A step's choice is a value, and each sample has its own text and choice, also repeated ones."""
    path = tmp_path / "run.db"
    script = {0: ["eh", "2", "3", "2", "2"], 1: [Sample("4", voter="two"), "4"]}
    unerring.run(Doubling(2), ScriptedSampler(script), path, k=2)
    first, second = unerring.steps(path)
    assert (first.step, first.choice, first.tally, first.flags) == (0, 2, (3, 1), 1)
    assert [(one.number, one.text, one.choice, one.flag) for one in first.samples] == [
        (0, "eh", None, "malformed"), (1, "2", 2, None), (2, "3", 3, None), (3, "2", 2, None), (4, "2", 2, None),
    ]  # fmt: skip
    assert second.samples[0].voter == "two"
    assert copied(first) == first


def test_steps_are_read_one_at_a_time(tmp_path, monkeypatch):
    """Taking the first steps of a journal reads no more of it than these need."""
    path = tmp_path / "run.db"
    chain = unerring.Hanoi(disks=8)
    unerring.run(chain, NoisySampler(chain.rehearse), path, k=2)
    applied, whole = [], unerring.core.journal.state.RunState.apply

    def counting(state, entry):
        applied.append(entry)
        return whole(state, entry)

    monkeypatch.setattr(unerring.core.journal.state.RunState, "apply", counting)
    assert [one.step for one in islice(unerring.steps(path), 3)] == [0, 1, 2]
    few = len(applied)
    assert sum(1 for _ in unerring.steps(path)) == 255
    assert few < (len(applied) - few) / 3


def test_an_undecided_step_is_named_by_its_error(tmp_path):
    """`StepUndecided` has the step's number and tally, `Stopped` the journal, or None without one."""
    policy = Policy(AheadBy(2), vote_cap=4)
    script = {0: ["2", "2"], 1: ["4", "5", "4", "5"]}
    found = []
    for path in (tmp_path / "run.db", None):
        with pytest.raises(unerring.StepUndecided) as raised:
            unerring.run(Doubling(4), ScriptedSampler(script), path, options=Options(policy=policy))
        found.append((raised.value.step, raised.value.tally, raised.value.journal))
    assert found == [(1, (2, 2), str(tmp_path / "run.db")), (1, (2, 2), None)]
    with pytest.raises(unerring.Stopped) as raised:
        unerring.resume(tmp_path / "run.db", Doubling(4), ScriptedSampler(script))
    assert raised.value.journal == str(tmp_path / "run.db")


def test_errors_go_through_pickle_with_all_they_say():
    """Each error of the tree keeps its type, message and attributes through pickle."""
    made = [kind("what happened") for kind in vars(errors).values() if _raisable(kind)]
    made += [errors.StepUndecided("step 3", 3, (2, 2)), errors.ProviderBusy("later", 5.0, tokens=(1, 2))]
    made += [errors.JournalDamaged("cut", 7, 9)]
    made[-3].journal = "run.db"
    again = [copied(error) for error in made]
    assert [(type(one), str(one), vars(one)) for one in again] == [(type(one), str(one), vars(one)) for one in made]


def _raisable(kind):
    return isinstance(kind, type) and issubclass(kind, Exception) and kind is not errors.JournalDamaged


class Counting:
    """A sampler that records the most samples in flight at once."""

    name, paid, compact = "counting", False, False

    def __init__(self):
        self.now = self.most = 0

    async def sample(self, prompt, settings, n):
        self.now += n
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.001)
        self.now -= n
        return [Sample(str(2 ** (settings.step + 1)))] * n


@pytest.mark.parametrize("speculate", ["off", "leader"])
def test_no_more_samples_are_in_flight_than_allowed(speculate):
    """`in_flight` holds without speculation too, if a step needs more samples than that."""
    sampler = Counting()
    result = unerring.run(Doubling(3), sampler, k=5, options=Options(speculate=speculate, in_flight=2))
    assert result.steps == 3
    assert sampler.most <= 2


def test_collector_thresholds_are_restored_after_overlapping_runs():
    """Of two runs in threads the first to begin ends first.

    Thresholds are raised meanwhile, and restored after both.
    """
    before = gc.get_threshold()
    inside, leave = threading.Barrier(3, timeout=30), [threading.Event(), threading.Event()]

    def run(number):
        with fewer_collections():
            inside.wait()
            leave[number].wait(30)

    threads = [threading.Thread(target=run, args=(number,)) for number in (0, 1)]
    gc.set_threshold(700, 11, 12)
    try:
        for thread in threads:
            thread.start()
        inside.wait()
        leave[0].set()
        threads[0].join(30)
        assert gc.get_threshold() == (RAISED_THRESHOLD, 11, 12)
        leave[1].set()
        threads[1].join(30)
        assert gc.get_threshold() == (700, 11, 12)
        with fewer_collections():
            gc.set_threshold(123, 4, 5)  # whoever sets it meanwhile keeps what was set
        assert gc.get_threshold() == (123, 4, 5)
    finally:
        gc.set_threshold(*before)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "given", "shown"),
    [
        (Terminal, {}, True),
        (Terminal, {"progress": False}, False),
        (Terminal, {"observer": Counting}, False),
        (Terminal, {"observer": Counting, "progress": True}, True),
        (io.StringIO, {}, False),
        (io.StringIO, {"progress": True}, True),
    ],
)
def test_a_run_in_a_terminal_shows_its_progress(monkeypatch, stream, given, shown):
    """A line shows the step and is gone at the end; `progress` switches it, and a given observer replaces it."""
    seen = []
    observer = SimpleNamespace(decided=lambda decided, state: seen.append(decided.step))
    options = Options(**given | ({"observer": observer} if "observer" in given else {}))
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr(terminal, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(terminal, "LOG_SECONDS", 0.0)
    unerring.run(Doubling(3), ScriptedSampler({0: ["2"], 1: ["4"], 2: ["8"]}), k=1, options=options)
    output = sys.stderr.getvalue()
    assert ("step 2" in output) is shown
    assert seen == ([0, 1, 2] if "observer" in given else [])
    if shown and stream is Terminal:
        assert "\x1b[?25h" in output
        assert output.endswith("\x1b[2K")


def test_a_run_on_the_users_loop_shows_no_progress_by_default(monkeypatch):
    """Several runs on one loop would overwrite each other's lines."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(terminal, "REFRESH_SECONDS", 0.0)
    asyncio.run(unerring.arun(Doubling(1), ScriptedSampler(["2"]), k=1))
    assert sys.stderr.getvalue() == ""
