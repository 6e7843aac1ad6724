"""The model of a run: its accepted forms, how it is called, and the error for anything else."""

import threading

import pytest

import unerring
from doubling import HANOI, Doubling, double, double_later
from unerring import InputError, Options, ProviderBusy, Sample, Usage
from unerring.errors import ProviderDown, ProviderGone, Stopped
from unerring.testing import FakeClock, NoisySampler, ScriptedSampler

# --- functions and objects


@pytest.mark.parametrize("model", [double, double_later, lambda p, s: Sample(double(p, s), Usage(3, 1), voter="me")])
def test_any_function_can_be_the_model(model):
    """A plain function, an async one, and one that returns a whole Sample all run a chain to its end."""
    result = unerring.run(Doubling(), model, k=2)
    assert (result.state, result.steps) == ({"done": 4, "value": 16}, 4)


def test_an_object_that_can_be_called_can_be_the_model():
    """A model with state of its own is an object with an async __call__."""

    class Model:
        async def __call__(self, prompt, settings):
            return double(prompt, settings)

    assert unerring.run(Doubling(), Model(), k=2).state["value"] == 16


def test_a_whole_sample_keeps_its_usage_and_its_voter():
    """Tokens and voter of a function's Sample are in the report."""
    result = unerring.run(Doubling(), lambda p, s: Sample(double(p, s), Usage(3, 1), voter="me"), k=2)
    assert result.report["tokens"] == {"input": 24, "output": 8}
    assert result.report["voters"] == [{"name": "me", "votes": 8, "flags": 0, "dissents": 0, "dissent": 0.0}]


def test_the_calls_of_a_round_are_made_at_once():
    """The calls of a blocking function are made in parallel."""
    together = threading.Barrier(3, timeout=30)

    def model(prompt, settings):
        together.wait()
        return double(prompt, settings)

    assert unerring.run(Doubling(2), model, k=3).state["value"] == 4


def test_the_calls_of_a_large_round_are_made_at_once():
    """The same for a margin of twelve on a machine with few processors: calls wait for a model, not for a core."""
    together = threading.Barrier(12, timeout=5)

    def model(prompt, settings):
        together.wait()
        return double(prompt, settings)

    assert unerring.run(Doubling(1), model, k=12).state["value"] == 2


def test_each_call_of_a_function_names_one_sample():
    """Settings name the sample that a function makes, and give each a seed of its own."""
    seen = []

    async def model(prompt, settings):
        seen.append((settings.step, settings.slot, settings.temperature, settings.sample_seed()))
        return double(prompt, settings)

    unerring.run(Doubling(2), model, k=3, seed=9)
    assert [one[:3] for one in seen] == [(s, i, 0.0 if i == 0 else 0.1) for s in range(2) for i in range(3)]
    assert len({one[3] for one in seen}) == 6


def test_a_busy_model_is_waited_for():
    """A function that raises ProviderBusy is called again after the time it asks for, without other effects."""
    clock, calls = FakeClock(), []

    async def model(prompt, settings):
        calls.append(settings.slot)
        if len(calls) == 1:
            raise ProviderBusy("429", retry_after=40.0)
        return double(prompt, settings)

    result = unerring.run(Doubling(1), model, k=1, options=Options(clock=clock))
    assert calls == [0, 0]
    assert 40.0 <= sum(clock.slept) <= 48.0
    assert result.report["samples"]["failed_calls"] == 1
    assert result.report["samples"]["voted"] == 1


def test_a_reply_is_kept_though_a_later_one_of_its_round_failed():
    """A received sample is journaled, so the run does not pay for it again after a sibling's failure."""
    calls = []

    async def model(prompt, settings):
        calls.append(settings.slot)
        if settings.slot == 2 and calls.count(2) == 1:
            raise ProviderBusy("429")
        return double(prompt, settings)

    unerring.run(Doubling(1), model, k=3, options=Options(clock=FakeClock()))
    assert sorted(calls) == [0, 1, 2, 2]


def test_a_model_that_is_down_stops_the_run():
    """ProviderDown from a function ends in ProviderGone with the reason, and the run can be resumed."""

    def model(prompt, settings):
        raise ProviderDown("no such deployment")

    with pytest.raises(ProviderGone, match="no such deployment"):
        unerring.run(Doubling(), model, k=2)


@pytest.mark.parametrize("answer", [None, 2, b"2"])
def test_a_function_that_returns_no_text_is_an_error(answer):
    """The message names the function and what it may return."""

    def careless(prompt, settings):
        return answer

    with pytest.raises((TypeError, InputError), match=r"careless.*(text|str)"):
        unerring.run(Doubling(), careless, k=2)


# --- several models, and samplers


def test_votes_rotate_over_several_models():
    """Sample i of a step is drawn from model i modulo their number; one that is always wrong is outvoted."""
    asked = {"one": [], "two": [], "stubborn": []}

    def model(name, answer):
        async def function(prompt, settings):
            asked[name].append(settings.slot)
            return Sample(answer or double(prompt, settings), voter=name)

        return function

    models = [model("one", None), model("stubborn", "13"), model("two", None)]
    result = unerring.run(Doubling(1), models, k=2)
    assert result.state["value"] == 2
    assert asked == {"one": [0, 3], "stubborn": [1], "two": [2]}
    assert [voter["name"] for voter in result.report["voters"]] == ["one", "stubborn", "two"]


def test_a_rotation_with_a_member_that_returns_nothing_waits_for_it():
    """One member's empty reply is a transient failure, like that of a single sampler."""

    class Reluctant(ScriptedSampler):
        async def sample(self, prompt, settings, n):
            samples = await super().sample(prompt, settings, n)
            return samples if len(self.calls) > 1 else []

    models = [Reluctant(["2", "2"]), double]
    result = unerring.run(Doubling(1), models, k=2, options=Options(clock=FakeClock()))
    assert result.state["value"] == 2


def test_a_sampler_made_for_a_run_is_closed_however_the_run_ends(monkeypatch):
    """A sampler made from a specification is closed at the end of the run, and after an error."""
    closed = []
    monkeypatch.setattr(NoisySampler, "close", lambda self: closed.append(self.name), raising=False)
    unerring.run(HANOI, "noise/p=0.9", k=2)
    with pytest.raises(Stopped):
        unerring.run(HANOI, "noise/v=0.0", k=2)
    assert len(closed) == 2


def test_a_users_sampler_can_be_used_for_another_run():
    """A sampler that was passed in, alone or in a list, is still open after a run."""
    closed = []

    class Closing(ScriptedSampler):
        def close(self):
            closed.append(True)

    sampler = Closing(["2", "2", "2"])
    unerring.run(Doubling(1), sampler, k=2)
    unerring.run(Doubling(1), [sampler, double], k=2)
    assert closed == []


def test_models_of_different_wordings_take_turns_or_are_refused_at_once(tmp_path):
    """A model with compact prompts next to one with whole ones works, or is refused before anything is journaled."""
    path, chain = tmp_path / "run.db", unerring.Hanoi(disks=2)

    def whole(prompt, settings):
        assert "Towers of Hanoi" in prompt
        choice = chain.truth(chain.state_at(settings.step))
        return f"move = {choice['move']}\nnext_state = {choice['next_state']}"

    try:
        assert unerring.run(chain, ["noise/p=1", whole], path, k=3).steps == 3
    except InputError:
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", ["gpt-5", "embedded/z", "noise/p=x", "noise/q=1", "noise/p=2", "", [], 7, None])
def test_an_unknown_model_is_refused(model, tmp_path):
    """An unknown model is an InputError, before a journal is made."""
    with pytest.raises(InputError):
        unerring.run(HANOI, model, tmp_path / "run.db", k=2)
    assert list(tmp_path.iterdir()) == []


def test_an_incomplete_sampler_is_refused_with_what_it_lacks():
    """An object with only a method `sample` is an InputError that names the missing parts."""

    class Bare:
        async def sample(self, prompt, settings, n):
            return [Sample(double(prompt, settings))] * n

    with pytest.raises(InputError, match="name"):
        unerring.run(Doubling(), Bare(), k=2)


def test_a_samplers_class_is_refused():
    """A sampler's class in place of its object is an InputError."""
    with pytest.raises(InputError, match="model"):
        unerring.run(Doubling(), ScriptedSampler, k=2)
