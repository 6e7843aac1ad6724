"""Resume: how a stopped run continues from its journal, and when it is refused."""

import asyncio

import pytest

import unerring
from doubling import HANOI, Doubling, double, double_later, exported, noise, stopped
from unerring import AheadBy, InputError, Options, Policy, Stopped
from unerring.errors import ChainChanged, Interrupted, JournalError, ProviderGone, StepLimit, StepUndecided
from unerring.testing import ScriptedSampler

# --- going on


def test_a_stopped_run_continues_to_the_same_end(tmp_path):
    """Stopped and resumed, a run has the steps and samples of an uninterrupted one."""
    unerring.run(HANOI, noise(HANOI), tmp_path / "whole", k=2)
    path = stopped(tmp_path / "parts", 3, HANOI, noise(HANOI))
    with pytest.raises(StepLimit):
        unerring.resume(path, options=Options(max_steps=5))
    result = unerring.resume(path)
    assert result.steps == 15
    assert result.report["sessions"] == 3
    assert exported(path) == exported(tmp_path / "whole")


def test_resuming_makes_chain_and_model_from_the_journal(tmp_path):
    """A user's chain with parameters() and a model with a specification need not be passed again."""
    path = stopped(tmp_path / "run.db", 2, unerring.Hanoi(3), "noise/p=0.9,v=0.9")
    assert unerring.resume(path).state["pegs"] == [[], [], [3, 2, 1]]


def test_a_model_that_was_a_function_is_passed_again(tmp_path):
    """Without the function the message says how; with it the run continues, and the chain is made from the journal."""
    path = stopped(tmp_path / "run.db", chain=Doubling(3))
    with pytest.raises(InputError, match=r"give the function as `model`"):
        unerring.resume(path)
    assert unerring.resume(path, model=double).state == {"done": 3, "value": 8}


def test_a_chain_that_cannot_be_imported_is_passed_again(tmp_path):
    """For a class made inside a function the message names the argument that takes it."""

    class Local(Doubling):
        pass

    path = stopped(tmp_path / "run.db", chain=Local(3))
    with pytest.raises(InputError, match="pass the process itself: `chain`"):
        unerring.resume(path, model=double)
    assert unerring.resume(path, Local(3), double).state["value"] == 8


def test_a_chain_that_refuses_its_parameters_is_passed_again(tmp_path, monkeypatch):
    """A message of the chain's own class does not replace the advice, whatever words it has."""
    path = stopped(tmp_path / "run.db", chain=Doubling(3))

    def refuse(self, steps):
        raise InputError("no `chain` of this length")

    monkeypatch.setattr(Doubling, "__init__", refuse)
    with pytest.raises(InputError, match="no `chain` of this length; or pass the process itself: `chain`"):
        unerring.resume(path, model=double)


def test_a_failed_attempt_to_resume_changes_nothing(tmp_path):
    """A resume refused for its arguments leaves the journal unchanged."""
    path = stopped(tmp_path / "run.db")
    before = path.read_bytes()
    with pytest.raises(InputError):
        unerring.resume(path)
    assert path.read_bytes() == before


def test_a_users_sampler_is_asked_for_by_the_argument(tmp_path):
    """If the journal's model is no specification, the message names the argument that takes it."""
    path = stopped(tmp_path / "run.db", 1, Doubling(2), ScriptedSampler(["2", "2"]))
    with pytest.raises(InputError, match=r"scripted.*model="):
        unerring.resume(path)


def test_resuming_a_finished_run_returns_its_result(tmp_path):
    """It has the same state and report, needs no model, and no byte changes."""
    path = tmp_path / "run.db"
    result = unerring.run(Doubling(), double, path, k=2)
    before = path.read_bytes()
    again = unerring.resume(path)
    assert again == result
    assert path.read_bytes() == before


def test_aresume_continues_like_resume(tmp_path):
    """The awaitable form does the same on a running loop."""
    path = stopped(tmp_path / "run.db")
    assert asyncio.run(unerring.aresume(path, model=double_later)).state["value"] == 16


# --- another chain, another run


def test_a_refused_resume_leaves_nothing_locked(tmp_path):
    """After an error while reading a journal, the next resume finishes."""
    path = stopped(tmp_path / "run.db")
    with pytest.raises(InputError) as kept:
        unerring.resume(path, unerring.Hanoi(3))
    assert unerring.resume(path, model=double).state["value"] == 16
    assert kept.type is InputError


def test_a_chain_whose_code_changed_is_refused(tmp_path, monkeypatch):
    """A step that leads to another state is noticed before anything is asked, and named."""
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
    with pytest.raises(ChainChanged, match="its parameter disks was 3 and is 4"):
        unerring.resume(path, unerring.Hanoi(4))


def test_the_journal_of_another_chain_is_refused(tmp_path):
    """Resuming with the wrong process names both."""
    path = stopped(tmp_path / "run.db")
    with pytest.raises(InputError, match=r"Doubling, not of hanoi"):
        unerring.resume(path, unerring.Hanoi(3), "noise/p=0.9")


def test_a_new_run_does_not_touch_a_journal_that_holds_one(tmp_path):
    """A run onto another run's journal is refused, and the journal is unchanged."""
    path = stopped(tmp_path / "run.db")
    before = path.read_bytes()
    with pytest.raises(InputError, match="resume"):
        unerring.run(unerring.Hanoi(3), "noise/p=0.9", path, k=2)
    assert path.read_bytes() == before


# --- caps and policy


def divided(prompt, settings):
    """A model whose samples of the second step are split evenly."""
    value = int(prompt.split()[1].rstrip("."))
    return str(2 * value if value != 2 or settings.slot % 2 == 0 else 5)


def test_a_raised_vote_cap_lets_an_undecided_step_continue(tmp_path):
    """An undecided step continues from its votes, once its cap is raised and the model corrected."""
    path = tmp_path / "run.db"
    policy = Policy(rule=AheadBy(2), vote_cap=6)
    with pytest.raises(StepUndecided, match="step 1 is undecided after 6 votes"):
        unerring.run(Doubling(), divided, path, options=Options(policy=policy))
    with pytest.raises(StepUndecided):
        unerring.resume(path, model=double)
    result = unerring.resume(path, model=double, options=Options(vote_cap=20))
    assert result.state["value"] == 16
    assert [d.tally for d in unerring.steps(path)] == [(2,), (5, 3), (2,), (2,)]


def test_a_raised_flag_cap_lets_a_flagged_step_continue(tmp_path):
    """The same for a step whose samples were all flagged."""
    path = tmp_path / "run.db"
    with pytest.raises(StepUndecided):
        unerring.run(Doubling(), lambda p, s: "eh", path, options=Options(policy=Policy(AheadBy(1), flag_cap=3)))
    assert unerring.resume(path, model=double, options=Options(flag_cap=4)).state["value"] == 16


@pytest.mark.parametrize("name", ["vote_cap", "flag_cap"])
def test_a_cap_cannot_be_lowered(tmp_path, name):
    """A lower cap is refused, and both are named."""
    path = stopped(tmp_path / "run.db")
    with pytest.raises(InputError, match=f"{name} can only be raised"):
        unerring.resume(path, model=double, options=Options(**{name: 2}))


def test_a_policy_cannot_be_changed_on_resuming(tmp_path):
    """Another policy given on resuming is refused, not ignored."""
    path = stopped(tmp_path / "run.db")
    with pytest.raises(InputError, match="policy"):
        unerring.resume(path, model=double, options=Options(policy=Policy(AheadBy(9))))


# --- ways to have stopped


def test_an_error_in_the_users_code_leaves_a_resumable_journal(tmp_path, monkeypatch):
    """A bug in the chain's code is passed on unchanged; once it is corrected the run continues."""
    path = tmp_path / "run.db"

    def parse(self, text):
        return int(text) if text != "8" else 1 // 0

    with monkeypatch.context() as patched:
        patched.setattr(Doubling, "parse", parse)
        with pytest.raises(ZeroDivisionError):
            unerring.run(Doubling(), double, path, k=2)
    assert unerring.report(path)["stopped"] == {
        "kind": "error",
        "reason": "ZeroDivisionError: integer division or modulo by zero, in parse() of step 2",
    }
    assert unerring.resume(path, model=double).state["value"] == 16


def test_a_cancelled_run_can_be_resumed(tmp_path):
    """Cancelling arun raises CancelledError and leaves a journal that continues to the same end."""
    path = tmp_path / "run.db"

    async def cancelled():
        reached, calls = asyncio.Event(), []

        async def model(prompt, settings):
            if settings.step == 2:
                calls.append(settings)
                if len(calls) == 2:
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
    """All resumable ends are `Stopped`, and no InputError is."""
    for kind in (StepLimit, StepUndecided, ProviderGone, Interrupted):
        assert issubclass(kind, Stopped)
        assert not issubclass(kind, InputError)
    assert not issubclass(JournalError, Stopped)
