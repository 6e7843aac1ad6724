"""Run: accepted and refused arguments, and where a run can be started."""

import asyncio
import itertools
import os
import threading

import pytest

import unerring
from doubling import HANOI, Doubling, double, double_later, exported, noise
from unerring import AheadBy, FirstTo, InputError, Majority, Options, Policy
from unerring.errors import StepUndecided
from unerring.testing import ScriptedSampler

# --- arguments


@pytest.mark.parametrize("k", [0, -1, True, 1.0, "3", float("nan")])
def test_a_k_that_is_no_number_of_votes_is_refused(k):
    """The margin is a whole number from 1; the message says so and has the given value."""
    with pytest.raises(InputError, match="k must be a whole number, at least 1; got"):
        unerring.run(Doubling(), double, k=k)


def test_a_model_without_a_calibration_needs_a_k():
    """Without k, and without a policy that has one, the message asks for it."""
    with pytest.raises(InputError, match="give `k`"):
        unerring.run(Doubling(), double)


def test_a_missing_k_says_whether_a_measurement_or_a_length_is_missing():
    """Each message names the one thing that is missing, and that a k may be given instead."""
    with pytest.raises(InputError, match=r"^give `k`, such as 4: nothing is measured of this model"):
        unerring.run(Doubling(), double)

    class Endless(Doubling):
        def length(self):
            return None

    with pytest.raises(InputError, match=r"^give `k`, such as 4: .*Endless does not say how long it is.*length\(\)"):
        unerring.run(Endless(), double)


@pytest.mark.parametrize("given", ["on", False])
def test_a_wrong_speculate_or_escalate_is_named_with_its_values(given):
    """The message names the option and what it takes, not a list of models."""
    with pytest.raises(InputError, match=r"^`speculate` is auto, off, leader, guess, or a model that drafts: .{,80}$"):
        unerring.run(Doubling(), double, k=2, options=Options(speculate=given))
    with pytest.raises(InputError, match=r"^`escalate` is a model: .{,80}$"):
        unerring.run(Doubling(), double, k=2, options=Options(escalate=given))


def test_the_name_of_a_wrong_model_is_shown_whole():
    """A name with the words that begin a list of models in it is not cut off there."""
    name = "mine. The models are: yours"
    with pytest.raises(InputError, match=f"^`escalate` is a model: no model is called '{name}'.$"):
        unerring.run(Doubling(), double, k=2, options=Options(escalate=name))
    with pytest.raises(InputError, match=f"^no model is called '{name}'. The models are: embedded, .* model=...\\)$"):
        unerring.run(Doubling(), name, k=2)


def test_a_policy_decides_in_the_place_of_k():
    """Options.policy replaces the model's own; a k given beside it replaces its margin only."""
    policy = Policy(rule=AheadBy(2), first_temperature=0.5, later_temperature=0.5)
    alone = unerring.run(Doubling(), double, options=Options(policy=policy)).report["policy"]
    assert (alone["rule"], alone["temperatures"]) == ("ahead-by 2", [0.5, 0.5])
    beside = unerring.run(Doubling(), double, k=4, options=Options(policy=policy)).report["policy"]
    assert (beside["rule"], beside["temperatures"]) == ("ahead-by 4", [0.5, 0.5])


@pytest.mark.parametrize("rule", [FirstTo(3), Majority(5)])
def test_k_beside_a_policy_with_another_rule_is_refused(rule):
    """A k is a margin of ahead-by; it does not silently replace the rule that a policy names."""
    with pytest.raises(InputError, match=f"k is the margin of the rule ahead-by, .* the rule {rule.name}: .{{,70}}$"):
        unerring.run(Doubling(), double, k=4, options=Options(policy=Policy(rule=rule)))


def test_a_margin_beyond_the_cap_is_refused():
    """A k that no race could reach before its vote cap is refused."""
    with pytest.raises(InputError, match="cap"):
        unerring.run(Doubling(), double, k=1000)


class Half:
    """Not a chain: two of its methods are missing."""

    def start(self):
        return 0


@pytest.mark.parametrize("chain", [Half(), "hanoi", None, Doubling], ids=["half", "a name", "None", "a class"])
def test_what_is_no_chain_is_refused(chain, tmp_path):
    """An object without start, subtask and advance, and a class instead of its object, are InputErrors."""
    with pytest.raises(InputError, match=r"chain|is a class: pass an object"):
        unerring.run(chain, double, tmp_path / "run.db", k=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", ["1", 1.5, None, True])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    """The seed is a whole number."""
    with pytest.raises(InputError, match="seed"):
        unerring.run(Doubling(), double, k=2, seed=seed)


@pytest.mark.parametrize("steps", [0, -1])
def test_a_limit_of_no_steps_is_refused(steps):
    """A limit below one step is refused, not run."""
    with pytest.raises(InputError, match="max_steps"):
        unerring.run(Doubling(), double, k=2, options=Options(max_steps=steps))


def test_a_new_run_takes_the_caps_that_it_is_given(tmp_path):
    """vote_cap and flag_cap of the options are in the run's policy, and impossible caps are refused."""
    with pytest.raises(StepUndecided, match="after 2 votes"):
        unerring.run(Doubling(), lambda p, s: str(s.slot), k=2, options=Options(vote_cap=2))
    with pytest.raises(StepUndecided, match="3 flagged"):
        unerring.run(Doubling(), lambda p, s: "eh", k=1, options=Options(flag_cap=3))
    for cap in (0, 1.5, True):
        with pytest.raises(InputError, match="vote_cap"):
            unerring.run(Doubling(), double, k=2, options=Options(vote_cap=cap))
    with pytest.raises(InputError, match="less than the rule"):
        unerring.run(Doubling(), double, k=4, options=Options(vote_cap=2))


def test_parameters_that_are_not_json_are_refused(tmp_path):
    """A chain whose parameters() do not fit into a journal gets an error at the start."""

    class Odd(Doubling):
        def parameters(self):
            return {"when": {1, 2}}

    async def bounded():
        async with asyncio.timeout(5):
            await unerring.arun(Odd(), double, tmp_path / "run.db", k=2)

    with pytest.raises((InputError, TypeError), match="parameters"):
        asyncio.run(bounded())


def test_a_chain_that_fails_at_its_start_leaves_no_run_behind(tmp_path):
    """After an error in start() the journal's name is free for the corrected chain."""

    class Failing(Doubling):
        def start(self):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        unerring.run(Failing(), double, tmp_path / "run.db", k=2)
    assert unerring.run(Doubling(), double, tmp_path / "run.db", k=2).steps == 4


def test_a_state_that_is_not_json_stops_before_anything_is_asked(tmp_path):
    """A start state that is not JSON is the user's bug, found before the first call."""

    class Odd(Doubling):
        def start(self):
            return {1, 2}

    with pytest.raises(TypeError, match=r"start\(\) returned a set"):
        unerring.run(Odd(), ScriptedSampler([]), tmp_path / "run.db", k=2)
    assert unerring.run(Doubling(), double, tmp_path / "run.db", k=2).steps == 4


# --- running


def test_a_run_without_a_journal_lasts_in_memory():
    """A run without a journal leaves no file."""
    result = unerring.run(Doubling(), double, k=1)
    assert result.report["status"] == "finished"
    assert result.report["length"] == 4


def test_the_journal_may_be_given_as_text_or_as_path(tmp_path):
    """Both kinds of file name work everywhere."""
    path = tmp_path / "run.db"
    unerring.run(Doubling(), double, str(path), k=1)
    assert unerring.resume(str(path)).state == unerring.resume(path).state == {"done": 4, "value": 16}
    assert unerring.verify(str(path)).problem is None


def test_the_seed_decides_a_run(tmp_path):
    """Two runs with one seed agree sample for sample, and another seed gives other samples."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        unerring.run(HANOI, noise(HANOI), tmp_path / name, k=2, seed=seed)
    assert exported(tmp_path / "a") == exported(tmp_path / "b")
    assert exported(tmp_path / "a") != exported(tmp_path / "c")


def test_a_journal_and_memory_decide_alike(tmp_path):
    """A run has the same result in a file and in memory."""
    kept = unerring.run(HANOI, noise(HANOI), tmp_path / "run.db", k=2)
    unkept = unerring.run(HANOI, noise(HANOI), k=2)
    assert kept.state == unkept.state
    for name in ("samples", "tallies", "hardest", "tokens"):
        assert kept.report[name] == unkept.report[name]


def test_arun_runs_with_other_tasks():
    """Several chains can run on one event loop at once."""

    async def both():
        return await asyncio.gather(*(unerring.arun(Doubling(n), double_later, k=2) for n in (3, 5)))

    assert [result.state["value"] for result in asyncio.run(both())] == [8, 32]


def test_run_inside_an_event_loop_points_to_arun():
    """On a running loop, as in a notebook, run() names the function to await instead."""

    async def notebook():
        unerring.run(Doubling(), double, k=2)

    with pytest.raises((InputError, RuntimeError), match="arun"):
        asyncio.run(notebook())


def test_a_run_works_inside_a_thread():
    """A run works outside the main thread, which alone receives signals."""
    results = []
    thread = threading.Thread(target=lambda: results.append(unerring.run(Doubling(), double, k=2)))
    thread.start()
    thread.join(60)
    assert results[0].state["value"] == 16


def test_an_observer_sees_every_step():
    """Options.observer gets each committed step, in order."""
    seen = []

    class Watching:
        def decided(self, decided, state):
            seen.append((decided.step, decided.choice, decided.tally))

    unerring.run(Doubling(), double, k=2, options=Options(observer=Watching()))
    assert seen == [(0, "2", (2,)), (1, "4", (2,)), (2, "8", (2,)), (3, "16", (2,))]


def test_more_replies_than_votes_that_win_are_refused(tmp_path):
    """`min_replies` above what the rule needs changes nothing, so it is refused everywhere, with the largest value."""
    path = tmp_path / "run.db"
    refused = r"`min_replies` 9 is more than the 3 votes that can decide a step \(ahead-by 3\): give at most 3"
    for options in (Options(min_replies=9), Options(policy=Policy(AheadBy(3), min_replies=9))):
        with pytest.raises(InputError, match=refused):
            unerring.run(Doubling(), double, path, k=3, options=options)
        assert list(tmp_path.iterdir()) == []
    assert unerring.run(Doubling(), double, path, k=3, options=Options(min_replies=3, max_steps=4)).steps == 4
    with pytest.raises(InputError, match=refused):
        unerring.open(path).fork(2, tmp_path / "new.db", options=Options(min_replies=9))


def test_bad_input_before_the_first_call_leaves_no_journal(tmp_path):
    """The corrected command begins in the same file; once a model was called, the journal stays."""
    path = tmp_path / "run.db"
    with pytest.raises(InputError, match="has no word for"):
        unerring.run(Doubling(), "embedded", path, k=3)
    assert list(tmp_path.iterdir()) == []
    assert unerring.run(Doubling(), double, path, k=3).steps == 4


def test_no_journal_but_the_runs_own_is_removed(tmp_path, monkeypatch):
    """Where code changes the working directory or replaces the file, the journal of another run stays as it is."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "other" / "run.db"
    unerring.run(Doubling(), double, other, k=3)

    class Leaving(Doubling):
        asked = 0

        def subtask(self, state):
            self.asked += 1
            if self.asked > 1:
                os.chdir(other.parent)
                raise InputError("no data file")
            return super().subtask(state)

    with pytest.raises(InputError, match="no data file"):
        unerring.run(Leaving(), double, "run.db", k=3)
    assert unerring.verify(other).steps == 4
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_link_to_no_file_is_refused(tmp_path):
    """The head, and with it the writer's lock, would belong to another name than the journal."""
    (tmp_path / "link.db").symlink_to(tmp_path / "data.db")
    with pytest.raises(InputError, match="link to a file that does not exist: name that file itself"):
        unerring.run(Doubling(), double, tmp_path / "link.db", k=3)
    assert [path.name for path in tmp_path.iterdir()] == ["link.db"]


def test_bad_input_after_the_first_call_keeps_the_journal(tmp_path):
    """Samples that were paid for are not thrown away with the file."""
    path = tmp_path / "run.db"

    def refusing(prompt, settings):
        if "1" not in prompt:
            raise InputError("no such file")
        return double(prompt, settings)

    with pytest.raises(InputError, match="no such file"):
        unerring.run(Doubling(), refusing, path, k=3)
    assert unerring.report(path).steps == 1


def test_a_printed_stop_says_how_to_continue(tmp_path):
    """It names the journal where the same call is enough, and asks for a journal where votes are lost without one."""
    asks = ("Well?", ["yes", "no"])
    options = unerring.Options(vote_cap=2, progress=False)
    answers = itertools.cycle(["yes", "no"])
    with pytest.raises(unerring.StepUndecided, match=r"without a journal its votes are lost: with journal='run\.db'"):
        unerring.ask(*asks, model=lambda prompt: next(answers), k=2, options=options)
    journal = tmp_path / "run.db"
    with pytest.raises(unerring.Stopped, match=r"run the same call again to continue with .*run\.db$"):
        unerring.run(
            unerring.Hanoi(3), "noise/p=1", journal, k=2, options=unerring.Options(max_steps=1, progress=False)
        )
