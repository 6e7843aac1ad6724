"""The front door, used as a stranger would: chains, models and journals of one's own."""

import asyncio
import threading

import pytest

import unerring
from unerring import AheadBy, InputError, Options, Policy, ProviderBusy, RedFlag, Sample, Stopped, Subtask, Usage
from unerring.errors import (
    ChainChanged,
    Interrupted,
    JournalError,
    NotAJournal,
    ProviderDown,
    ProviderGone,
    StepLimit,
    StepUndecided,
)
from unerring.reading import History
from unerring.testing import FakeClock, NoisySampler, ScriptedSampler


class Doubling:
    """A chain of one's own: from 1, each step doubles the number."""

    def __init__(self, steps=4):
        self.steps = steps

    def parameters(self):
        return {"steps": self.steps}

    def length(self):
        return self.steps

    def start(self):
        return {"done": 0, "value": 1}

    def subtask(self, state):
        if state["done"] == self.steps:
            return None
        return Subtask(f"Double {state['value']}.", self.parse)

    def parse(self, text):
        if not text.isdecimal():
            raise RedFlag("not a number")
        return int(text)

    def advance(self, state, choice):
        return {"done": state["done"] + 1, "value": choice}

    def verify(self, choices, finished):
        value = 1
        for step, choice in enumerate(choices):
            if choice != 2 * value:
                return f"step {step}: {choice} is not twice {value}"
            value = choice
        return None


def double(prompt, settings):
    """A model of one's own: right at once."""
    return str(2 * int(prompt.split()[1].rstrip(".")))


async def double_later(prompt, settings):
    await asyncio.sleep(0)
    return double(prompt, settings)


def noise(chain, p=0.8, v=0.9):
    return NoisySampler(chain.rehearse, p, v)


HANOI = unerring.Hanoi(disks=4)


def exported(path):
    history = History(path)
    return [(d.step, d.choice, d.tally, d.flags, d.rounds, d.replies) for d in history.steps()]


# --- models


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
    """What a function's Sample says of tokens and voter is in the report."""
    result = unerring.run(Doubling(), lambda p, s: Sample(double(p, s), Usage(3, 1), voter="me"), k=2)
    assert result.report["tokens"] == {"input": 24, "output": 8}
    assert result.report["voters"] == [{"name": "me", "votes": 8, "flags": 0}]


def test_the_calls_of_a_round_are_made_at_once():
    """A plain function that waits for its neighbours is not waited for one call at a time."""
    together = threading.Barrier(3, timeout=30)

    def model(prompt, settings):
        together.wait()
        return double(prompt, settings)

    assert unerring.run(Doubling(2), model, k=3).state["value"] == 4


def test_the_calls_of_a_large_round_are_made_at_once():
    """The same for a margin of twelve, on a machine with few processors: calls wait for a model, not for a core."""
    together = threading.Barrier(12, timeout=5)

    def model(prompt, settings):
        together.wait()
        return double(prompt, settings)

    assert unerring.run(Doubling(1), model, k=12).state["value"] == 2


def test_each_call_of_a_function_names_one_sample():
    """Settings tell a function which sample it makes, and give each a seed of its own."""
    seen = []

    async def model(prompt, settings):
        seen.append((settings.step, settings.slot, settings.temperature, settings.sample_seed()))
        return double(prompt, settings)

    unerring.run(Doubling(2), model, k=3, seed=9)
    assert [one[:3] for one in seen] == [(s, i, 0.0 if i == 0 else 0.1) for s in range(2) for i in range(3)]
    assert len({one[3] for one in seen}) == 6


def test_a_busy_model_is_waited_for():
    """A function that raises ProviderBusy is called again after the time it asks for; nothing else comes of it."""
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
    """What was received is journaled: a busy neighbour does not make the run pay for the same sample twice."""
    calls = []

    async def model(prompt, settings):
        calls.append(settings.slot)
        if settings.slot == 2 and calls.count(2) == 1:
            raise ProviderBusy("429")
        return double(prompt, settings)

    unerring.run(Doubling(1), model, k=3, options=Options(clock=FakeClock()))
    assert sorted(calls) == [0, 1, 2, 2]


def test_a_model_that_is_down_stops_the_run():
    """ProviderDown from a function ends in ProviderGone, with the reason, and the run can go on later."""

    def model(prompt, settings):
        raise ProviderDown("no such deployment")

    with pytest.raises(ProviderGone, match="no such deployment"):
        unerring.run(Doubling(), model, k=2)


@pytest.mark.parametrize("answer", [None, 2, b"2"])
def test_a_function_that_returns_no_text_is_told_so(answer):
    """The message for a model that returns something else names the function and what it may return."""

    def careless(prompt, settings):
        return answer

    with pytest.raises((TypeError, InputError), match=r"careless.*(text|str)"):
        unerring.run(Doubling(), careless, k=2)


def test_votes_rotate_over_several_models():
    """Sample i of a step is drawn from model i modulo their number; one that is stubbornly wrong is outvoted."""
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
    """One member's empty reply is a passing failure of the provider, as it is of a sampler alone."""

    class Reluctant(ScriptedSampler):
        async def sample(self, prompt, settings, n):
            samples = await super().sample(prompt, settings, n)
            return samples if len(self.calls) > 1 else []

    models = [Reluctant(["2", "2"]), double]
    result = unerring.run(Doubling(1), models, k=2, options=Options(clock=FakeClock()))
    assert result.state["value"] == 2


def test_a_sampler_made_for_a_run_is_closed_however_the_run_ends(monkeypatch):
    """What a run made from a specification lets go of what it holds at the end, and after an error."""
    closed = []
    monkeypatch.setattr(NoisySampler, "close", lambda self: closed.append(self.name), raising=False)
    unerring.run(HANOI, "noise/p=0.9", k=2)
    with pytest.raises(StepUndecided):
        unerring.run(HANOI, "noise/v=0.0", k=2)
    assert len(closed) == 2


def test_a_sampler_of_ones_own_can_be_used_for_another_run():
    """Who makes a sampler closes it: one that was passed in, alone or in a list, is still open after a run."""
    closed = []

    class Closing(ScriptedSampler):
        def close(self):
            closed.append(True)

    sampler = Closing(["2", "2", "2"])
    unerring.run(Doubling(1), sampler, k=2)
    unerring.run(Doubling(1), [sampler, double], k=2)
    assert closed == []


def test_models_of_different_wordings_take_turns_or_are_refused_at_once(tmp_path):
    """A model that wants compact prompts beside one that wants whole ones either works or is an InputError before
    anything is journaled."""
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
def test_a_model_that_is_none_is_refused(model, tmp_path):
    """An unknown model is an InputError, before a journal is made."""
    with pytest.raises(InputError):
        unerring.run(HANOI, model, tmp_path / "run.db", k=2)
    assert list(tmp_path.iterdir()) == []


def test_a_sampler_that_lacks_something_is_told_what():
    """An object with a method sample, and without the rest of a sampler, is an InputError that names what lacks."""

    class Bare:
        async def sample(self, prompt, settings, n):
            return [Sample(double(prompt, settings))] * n

    with pytest.raises(InputError, match="name"):
        unerring.run(Doubling(), Bare(), k=2)


def test_a_sampler_in_the_place_of_its_object_is_refused():
    """A sampler's class, not an object of it, is an InputError."""
    with pytest.raises(InputError, match="model"):
        unerring.run(Doubling(), ScriptedSampler, k=2)


# --- arguments


@pytest.mark.parametrize("k", [0, -1, True, 1.0, "3", float("nan")])
def test_a_k_that_is_no_number_of_votes_is_refused(k):
    """The margin is a whole number of at least 1; the message says so and names what was given."""
    with pytest.raises(InputError, match="k is a number of votes"):
        unerring.run(Doubling(), double, k=k)


def test_a_model_nothing_is_measured_of_needs_a_k():
    """Without k, and without a policy that says one, the message asks for it."""
    with pytest.raises(InputError, match="give k"):
        unerring.run(Doubling(), double)


def test_a_policy_decides_in_the_place_of_k():
    """Options.policy replaces the model's own; a k given beside it replaces its margin only."""
    policy = Policy(rule=AheadBy(2), first_temperature=0.5, later_temperature=0.5)
    alone = unerring.run(Doubling(), double, options=Options(policy=policy)).report["policy"]
    assert (alone["rule"], alone["temperatures"]) == ("ahead-by 2", [0.5, 0.5])
    beside = unerring.run(Doubling(), double, k=4, options=Options(policy=policy)).report["policy"]
    assert (beside["rule"], beside["temperatures"]) == ("ahead-by 4", [0.5, 0.5])


def test_a_margin_beyond_the_cap_is_refused():
    """A k that no race could reach before its cap on votes is refused beforehand."""
    with pytest.raises(InputError, match="cap"):
        unerring.run(Doubling(), double, k=1000)


class Half:
    """Not a chain: two of its methods are missing."""

    def start(self):
        return 0


@pytest.mark.parametrize("chain", [Half(), "hanoi", None, Doubling], ids=["half", "a name", "None", "a class"])
def test_what_is_no_chain_is_refused(chain, tmp_path):
    """An object without start, subtask and advance, and a class in the place of its object, is an InputError."""
    with pytest.raises(InputError, match="chain"):
        unerring.run(chain, double, tmp_path / "run.db", k=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", ["1", 1.5, None, True])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    """The seed names every sample of a run: it is a whole number and nothing else."""
    with pytest.raises(InputError, match="seed"):
        unerring.run(Doubling(), double, k=2, seed=seed)


@pytest.mark.parametrize("steps", [0, -1])
def test_a_limit_of_no_steps_is_refused(steps):
    """A limit below one step is a mistake, not a run that stops at once."""
    with pytest.raises(InputError, match="max_steps"):
        unerring.run(Doubling(), double, k=2, options=Options(max_steps=steps))


def test_parameters_that_are_not_json_are_refused(tmp_path):
    """A chain whose parameters() could not be kept in a journal is told so, instead of running into it."""

    class Odd(Doubling):
        def parameters(self):
            return {"when": {1, 2}}

    async def bounded():
        async with asyncio.timeout(5):
            await unerring.arun(Odd(), double, tmp_path / "run.db", k=2)

    with pytest.raises((InputError, TypeError), match="parameters"):
        asyncio.run(bounded())


def test_a_chain_that_fails_at_its_start_leaves_no_run_behind(tmp_path):
    """After an error in start() the journal's name is free for the mended chain."""

    class Failing(Doubling):
        def start(self):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        unerring.run(Failing(), double, tmp_path / "run.db", k=2)
    assert unerring.run(Doubling(), double, tmp_path / "run.db", k=2).steps == 4


def test_a_state_that_is_not_json_stops_before_anything_is_asked(tmp_path):
    """A start state that no journal can hold is the user's bug, found before the first call."""

    class Odd(Doubling):
        def start(self):
            return {1, 2}

    with pytest.raises(TypeError, match="set is not JSON data"):
        unerring.run(Odd(), ScriptedSampler([]), tmp_path / "run.db", k=2)
    assert unerring.run(Doubling(), double, tmp_path / "run.db", k=2).steps == 4


# --- running


def test_a_run_without_a_journal_lasts_in_memory():
    """Leaving out the journal runs all the same, and leaves nothing behind."""
    result = unerring.run(Doubling(), double, k=1)
    assert result.report["status"] == "finished"
    assert result.report["length"] == 4


def test_the_journal_may_be_given_as_text_or_as_path(tmp_path):
    """Both kinds of file name work wherever a journal is named."""
    path = tmp_path / "run.db"
    unerring.run(Doubling(), double, str(path), k=1)
    assert unerring.resume(str(path)).state == unerring.resume(path).state == {"done": 4, "value": 16}
    assert unerring.verify(str(path)).problem is None


def test_the_seed_decides_a_run(tmp_path):
    """Two runs of one seed agree sample for sample, and another seed gives other samples."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        unerring.run(HANOI, noise(HANOI), tmp_path / name, k=2, seed=seed)
    assert exported(tmp_path / "a") == exported(tmp_path / "b")
    assert exported(tmp_path / "a") != exported(tmp_path / "c")


def test_a_journal_and_memory_decide_alike(tmp_path):
    """Where a run is kept changes nothing of it."""
    kept = unerring.run(HANOI, noise(HANOI), tmp_path / "run.db", k=2)
    unkept = unerring.run(HANOI, noise(HANOI), k=2)
    assert kept.state == unkept.state
    for name in ("samples", "tallies", "hardest", "tokens"):
        assert kept.report[name] == unkept.report[name]


def test_arun_runs_beside_other_work():
    """Several chains can run on one event loop at once."""

    async def both():
        return await asyncio.gather(*(unerring.arun(Doubling(n), double_later, k=2) for n in (3, 5)))

    assert [result.state["value"] for result in asyncio.run(both())] == [8, 32]


def test_run_inside_an_event_loop_points_to_arun():
    """Called where a loop runs already, as in a notebook, run() names the function to await instead."""

    async def notebook():
        unerring.run(Doubling(), double, k=2)

    with pytest.raises((InputError, RuntimeError), match="arun"):
        asyncio.run(notebook())


def test_a_run_works_inside_a_thread():
    """Outside the main thread, where no signal can be heard, a run works as anywhere."""
    results = []
    thread = threading.Thread(target=lambda: results.append(unerring.run(Doubling(), double, k=2)))
    thread.start()
    thread.join(60)
    assert results[0].state["value"] == 16


def test_an_observer_sees_every_step():
    """Options.observer hears of each committed step, in order."""
    seen = []

    class Watching:
        def decided(self, decided, state):
            seen.append((decided.step, decided.choice, decided.tally))

    unerring.run(Doubling(), double, k=2, options=Options(observer=Watching()))
    assert seen == [(0, "2", (2,)), (1, "4", (2,)), (2, "8", (2,)), (3, "16", (2,))]


# --- resuming


def stopped(path, steps=2, chain=None, model=double, k=2):
    """A journal of a run that was stopped after so many steps."""
    with pytest.raises(StepLimit):
        unerring.run(chain or Doubling(), model, path, k, options=Options(max_steps=steps))
    return path


def test_a_stopped_run_goes_on_to_the_same_end(tmp_path):
    """Stopped and resumed, a run's steps and samples are those of a run that never stopped."""
    unerring.run(HANOI, noise(HANOI), tmp_path / "whole", k=2)
    path = stopped(tmp_path / "parts", 3, HANOI, noise(HANOI))
    with pytest.raises(StepLimit):
        unerring.resume(path, options=Options(max_steps=5))
    result = unerring.resume(path)
    assert result.steps == 15
    assert result.report["sessions"] == 3
    assert exported(path) == exported(tmp_path / "whole")


def test_resuming_makes_chain_and_model_from_the_journal(tmp_path):
    """A chain of one's own that tells its parameters, and a model with a specification, need not be passed again."""
    path = stopped(tmp_path / "run.db", 2, unerring.Hanoi(3), "noise/p=0.9,v=0.9")
    assert unerring.resume(path).state["pegs"] == [[], [], [3, 2, 1]]


def test_a_model_that_was_a_function_is_passed_again(tmp_path):
    """Without the function the message says how; with it the run goes on, and the chain is made from the journal."""
    path = stopped(tmp_path / "run.db", chain=Doubling(3))
    with pytest.raises(InputError, match=r"model="):
        unerring.resume(path)
    assert unerring.resume(path, model=double).state == {"done": 3, "value": 8}


def test_a_chain_that_cannot_be_imported_is_passed_again(tmp_path):
    """A class made inside a function cannot be found by its name: the message names the argument that supplies it."""

    class Local(Doubling):
        pass

    path = stopped(tmp_path / "run.db", chain=Local(3))
    with pytest.raises(InputError, match=r"chain="):
        unerring.resume(path, model=double)
    assert unerring.resume(path, Local(3), double).state["value"] == 8


def test_a_failed_attempt_to_resume_changes_nothing(tmp_path):
    """A resume refused for its arguments leaves the journal as it was."""
    path = stopped(tmp_path / "run.db")
    before = path.read_bytes()
    with pytest.raises(InputError):
        unerring.resume(path)
    assert path.read_bytes() == before


def test_a_sampler_of_ones_own_is_asked_for_by_name(tmp_path):
    """Where the journal's model is no specification, the message names the argument that supplies it."""
    path = stopped(tmp_path / "run.db", 1, Doubling(2), ScriptedSampler(["2", "2"]))
    with pytest.raises(InputError, match=r"scripted.*model="):
        unerring.resume(path)


def test_resuming_a_finished_run_returns_its_result(tmp_path):
    """A finished run is given back as it is: same state, same report, no model needed, no byte changed."""
    path = tmp_path / "run.db"
    result = unerring.run(Doubling(), double, path, k=2)
    before = path.read_bytes()
    again = unerring.resume(path)
    assert again == result
    assert path.read_bytes() == before


def test_aresume_goes_on_like_resume(tmp_path):
    """The awaitable form does the same on a running loop."""
    path = stopped(tmp_path / "run.db")
    assert asyncio.run(unerring.aresume(path, model=double_later)).state["value"] == 16


def test_somebody_who_is_reading_does_not_keep_a_run_from_its_end(tmp_path):
    """A run finishes though its journal is being read, and the journal holds while and after it is."""
    path = stopped(tmp_path / "run.db")
    reading = unerring.steps(path)
    next(reading)
    assert unerring.resume(path, model=double).state["value"] == 16
    assert unerring.verify(path).problem is None
    assert len(list(reading)) == 1
    assert unerring.verify(path).problem is None
    assert unerring.resume(path).state["value"] == 16


def test_a_refused_resume_leaves_nothing_locked(tmp_path):
    """After an error in the middle of reading a journal back, the next resume finishes all the same."""
    path = stopped(tmp_path / "run.db")
    with pytest.raises(InputError) as kept:
        unerring.resume(path, unerring.Hanoi(3))
    assert unerring.resume(path, model=double).state["value"] == 16
    assert kept.type is InputError


def test_a_chain_whose_code_changed_is_refused(tmp_path, monkeypatch):
    """A step that now leads elsewhere is noticed before anything is asked, and the message names it."""
    path = stopped(tmp_path / "run.db")

    def advance(self, state, choice):
        return {"done": state["done"] + 1, "value": choice + (state["done"] == 1)}

    monkeypatch.setattr(Doubling, "advance", advance)
    sampler = ScriptedSampler([])
    with pytest.raises(ChainChanged, match="step 1 now leads to another state"):
        unerring.resume(path, model=sampler)
    assert sampler.calls == []


def test_a_chain_that_starts_elsewhere_is_refused(tmp_path):
    """The same process with other parameters is not the run in the journal."""
    path = stopped(tmp_path / "run.db", 2, unerring.Hanoi(3), "noise/p=0.9")
    with pytest.raises(ChainChanged, match="starts from another state"):
        unerring.resume(path, unerring.Hanoi(4))


def test_the_journal_of_another_chain_is_refused(tmp_path):
    """Resuming with the wrong process names both."""
    path = stopped(tmp_path / "run.db")
    with pytest.raises(InputError, match=r"Doubling, not of hanoi"):
        unerring.resume(path, unerring.Hanoi(3), "noise/p=0.9")


def test_a_new_run_does_not_touch_a_journal_that_holds_one(tmp_path):
    """Running onto an existing journal is refused, and the journal stays as it is."""
    path = stopped(tmp_path / "run.db")
    before = path.read_bytes()
    with pytest.raises(InputError, match="resume"):
        unerring.run(unerring.Hanoi(3), "noise/p=0.9", path, k=2)
    assert path.read_bytes() == before


def test_a_file_of_ones_own_is_not_written_over(tmp_path):
    """A file that is no journal is refused by every function, and neither changed nor given company."""
    path = tmp_path / "thesis.txt"
    path.write_text("four years of work")
    for use in (
        lambda: unerring.run(Doubling(), double, path, k=2),
        lambda: unerring.resume(path),
        lambda: unerring.report(path),
        lambda: unerring.verify(path),
        lambda: list(unerring.steps(path)),
    ):
        with pytest.raises(NotAJournal, match=r"thesis.txt is not an unerring journal"):
            use()
    assert path.read_text() == "four years of work"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_journal_is_not_made_by_reading_it(tmp_path):
    """Reading or resuming a journal that is not there is an InputError and makes no file."""
    for use in (unerring.resume, unerring.report, unerring.verify, lambda path: list(unerring.steps(path))):
        with pytest.raises(InputError, match="No such file"):
            use(tmp_path / "missing.db")
    assert list(tmp_path.iterdir()) == []


def divided(prompt, settings):
    """A model that is of two minds about the second step."""
    value = int(prompt.split()[1].rstrip("."))
    return str(2 * value if value != 2 or settings.slot % 2 == 0 else 5)


def test_a_raised_vote_cap_lets_an_undecided_step_go_on(tmp_path):
    """A step that ended undecided goes on from the votes it has, once its cap is raised and the model mended."""
    path = tmp_path / "run.db"
    policy = Policy(rule=AheadBy(2), vote_cap=6)
    with pytest.raises(StepUndecided, match="step 1 is undecided after 6 votes"):
        unerring.run(Doubling(), divided, path, options=Options(policy=policy))
    with pytest.raises(StepUndecided):
        unerring.resume(path, model=double)
    result = unerring.resume(path, model=double, options=Options(vote_cap=20))
    assert result.state["value"] == 16
    assert [d.tally for d in unerring.steps(path)] == [(2,), (5, 3), (2,), (2,)]


def test_a_raised_flag_cap_lets_a_flagged_step_go_on(tmp_path):
    """The same for a step whose samples were all flagged."""
    path = tmp_path / "run.db"
    with pytest.raises(StepUndecided):
        unerring.run(Doubling(), lambda p, s: "eh", path, options=Options(policy=Policy(AheadBy(1), flag_cap=3)))
    assert unerring.resume(path, model=double, options=Options(flag_cap=4)).state["value"] == 16


@pytest.mark.parametrize("name", ["vote_cap", "flag_cap"])
def test_a_cap_cannot_be_lowered(tmp_path, name):
    """Caps are only ever raised: a lower one is refused, and names both."""
    path = stopped(tmp_path / "run.db")
    with pytest.raises(InputError, match=f"{name} can only be raised"):
        unerring.resume(path, model=double, options=Options(**{name: 2}))


def test_a_policy_cannot_be_changed_on_resuming(tmp_path):
    """A run keeps the policy it began with: another one given on resuming is refused, not ignored."""
    path = stopped(tmp_path / "run.db")
    with pytest.raises(InputError, match="policy"):
        unerring.resume(path, model=double, options=Options(policy=Policy(AheadBy(9))))


@pytest.mark.parametrize("name", ["vote_cap", "flag_cap"])
def test_caps_for_resuming_are_not_dropped_by_a_new_run(name):
    """A new run has its caps in its policy: given in the options for resuming, they are refused, not ignored."""
    with pytest.raises(InputError, match=name):
        unerring.run(Doubling(), double, k=2, options=Options(**{name: 90}))


def test_an_error_of_ones_own_code_leaves_a_journal_to_go_on_from(tmp_path, monkeypatch):
    """A bug in the chain's code is passed on as it is; with the bug mended the run goes on."""
    path = tmp_path / "run.db"

    def parse(self, text):
        return int(text) if text != "8" else 1 // 0

    with monkeypatch.context() as patched:
        patched.setattr(Doubling, "parse", parse)
        with pytest.raises(ZeroDivisionError):
            unerring.run(Doubling(), double, path, k=2)
    assert unerring.report(path)["stopped"] == {
        "kind": "error",
        "reason": "ZeroDivisionError: integer division or modulo by zero",
    }
    assert unerring.resume(path, model=double).state["value"] == 16


def test_a_cancelled_run_can_be_resumed(tmp_path):
    """Cancelling arun raises CancelledError and leaves a journal that goes on to the same end."""
    path = tmp_path / "run.db"

    async def cancelled():
        reached = asyncio.Event()

        async def model(prompt, settings):
            if settings.step == 2:
                reached.set()
                await asyncio.Event().wait()
            return double(prompt, settings)

        task = asyncio.create_task(unerring.arun(Doubling(), model, path, k=2))
        await reached.wait()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert unerring.report(path)["stopped"]["kind"] == "interrupted"
    result = unerring.resume(path, model=double)
    assert result.state["value"] == 16
    assert result.report["samples"]["unknown"] == 2


def test_one_stop_error_catches_every_way_of_stopping():
    """Stopped is what all resumable ends have in common, and no InputError is one."""
    for kind in (StepLimit, StepUndecided, ProviderGone, Interrupted):
        assert issubclass(kind, Stopped)
        assert not issubclass(kind, InputError)
    assert not issubclass(JournalError, Stopped)


# --- reading


def test_steps_lists_what_was_decided(tmp_path):
    """Each committed step has its canonical choice, its tally, and its votes and flags."""
    path = tmp_path / "run.db"
    unerring.run(Doubling(2), ScriptedSampler({0: ["eh", "2", "3", "2", "2"], 1: ["4", "4"]}), path, k=2)
    listed = [(d.step, d.choice, d.tally, d.votes, d.flags, d.rounds) for d in unerring.steps(path)]
    assert listed == [(0, "2", (3, 1), 4, 1, 3), (1, "4", (2,), 2, 0, 1)]


def test_a_report_adds_up(tmp_path):
    """Samples received are votes and flags; the histograms cover every step."""
    path = tmp_path / "run.db"
    unerring.run(HANOI, noise(HANOI, 0.7, 0.7), path, k=3)
    told = unerring.report(path)
    samples = told["samples"]
    assert samples["received"] == samples["voted"] + samples["flagged"] == samples["sent"]
    assert sum(told["votes_histogram"].values()) == sum(told["rounds_histogram"].values()) == told["steps"] == 15
    assert sum(int(votes) * steps for votes, steps in told["votes_histogram"].items()) == samples["voted"]
    assert sum(told["flags"].values()) == samples["flagged"]


def test_the_report_of_a_stopped_run_says_why(tmp_path):
    """An unfinished journal reports what there is so far and the reason it stopped."""
    told = unerring.report(stopped(tmp_path / "run.db"))
    assert (told["status"], told["steps"], told["length"]) == ("paused", 2, 4)
    assert told["stopped"]["kind"] == "step limit"


def test_verify_judges_by_the_chains_own_verifier(tmp_path):
    """A right run holds; one whose votes agreed on something wrong does not, and the step is named."""
    unerring.run(Doubling(), double, tmp_path / "right.db", k=2)
    found = unerring.verify(tmp_path / "right.db")
    assert (found.problem, found.judged, found.finished, found.steps) == (None, True, True, 4)
    unerring.run(Doubling(), lambda p, s: "7" if p == "Double 4." else double(p, s), tmp_path / "wrong.db", k=2)
    assert unerring.verify(tmp_path / "wrong.db").problem == "step 2: 7 is not twice 4"


def test_verify_says_when_nobody_judged(tmp_path):
    """A chain that cannot be made again, or has no verifier, is checked for its hashes only."""

    class Local(Doubling):
        pass

    unerring.run(Local(), double, tmp_path / "run.db", k=2)
    found = unerring.verify(tmp_path / "run.db")
    assert not found.judged
    assert found.problem is None
    assert "not judged" in found.notes[0]
