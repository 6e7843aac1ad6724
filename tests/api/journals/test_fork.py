"""Forks: a new run from a step of another one, with other settings."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

import unerring
from doubling import Doubling, double, exported, stopped
from parked_runs import entries, refused
from unerring import InputError, Options, Policy, Request, Target
from unerring.adapters.sqlite.new_file import write_journal
from unerring.api.budget import Budget
from unerring.api.journals.export import step_records, vote_records
from unerring.core.journal.entries import Allowed, Committed, Inherited, Opened
from unerring.core.voting.race import FirstTo
from unerring.errors import ChainChanged, JournalDamaged

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture
def source(tmp_path):
    """A finished run of four steps."""
    path = tmp_path / "source.db"
    unerring.run(Doubling(), double, path, 2)
    return path


def test_a_fork_takes_over_the_steps_before_and_decides_the_others(source, tmp_path):
    """Steps, export, verify and report include the steps before.

    No model is asked about them, and the source is unchanged.
    """
    before, asked, out = source.read_bytes(), [], tmp_path / "fork.db"

    def model(prompt):
        asked.append(prompt)
        return double(prompt, None)

    made = unerring.fork(source, 2, out, Doubling(), model, k=3, seed=7)
    assert (made.step, made.trusted, made.process) == (2, True, "doubling:Doubling")
    result = unerring.resume(out, Doubling(), model)
    assert (result.steps, result.state["value"]) == (4, 16)
    assert set(asked) == {"Double 4.", "Double 8."}
    steps = list(unerring.steps(out))
    assert [(one.choice, one.inherited, one.votes) for one in steps] == [
        (2, True, 0),
        (4, True, 0),
        (8, False, 3),
        (16, False, 3),
    ]
    history = unerring.api.journals.history.History(out)
    assert [one["inherited"] for one in step_records(history)] == [True, True, False, False]
    assert {one["index"] for one in vote_records(unerring.api.journals.history.History(out))} == {2, 3}
    found = unerring.verify(out)
    assert (found.judged, found.problem, found.inherited) == (True, None, 2)
    assert "this run was forked at step 2 of" in found.notes[0]
    assert source.read_bytes() == before


def test_the_report_says_where_a_fork_comes_from(source, tmp_path):
    """The origin is recorded; inherited steps count in no figure of votes, and not in the certificate."""
    out = tmp_path / "fork.db"
    made = unerring.fork(source, 3, out, Doubling())
    waiting = unerring.report(out)
    assert (waiting["status"], waiting["stopped"]["kind"]) == ("paused", "forked")
    nothing = waiting["certificate"]  # no vote says anything yet
    assert (nothing["zero_probability"], nothing["wrong_interval"], nothing["certifiable"]) == (None, [0, 3], False)
    for report in (waiting, unerring.resume(out, Doubling(), double).report):
        assert report["inherited"] == 3
        assert report["origin"] == made.origin
        assert made.origin["journal"] == str(source)
        assert made.origin["step"] == 3
        [first, *_] = report["certificate"]["assumptions"]
        assert first == "3 steps were taken over from another run and assumed right; that run has the evidence"
    assert (report["steps"], report["votes_per_step"], report["votes_histogram"]) == (4, 2.0, {"2": 1})
    assert report["certificate"]["voters"][0]["votes"] == 2


def test_settings_not_given_are_those_of_the_source(source, tmp_path):
    """Given settings are recorded: the opening entry differs only in these, its time and its origin."""
    [old] = entries(source, Opened)
    unerring.fork(source, 1, tmp_path / "same.db", Doubling())
    [same] = entries(tmp_path / "same.db", Opened)
    for name in ("process", "parameters", "model", "policy", "seed", "start", "length", "plan", "request"):
        assert getattr(same, name) == getattr(old, name), name
    options = Options(vote_cap=90, flag_cap=3, min_replies=2, request=Request(temperature=0.5, system="Be brief."))
    unerring.fork(source, 1, tmp_path / "other.db", Doubling(), k=4, seed=9, options=options)
    [other] = entries(tmp_path / "other.db", Opened)
    assert other.policy["rule"] == "ahead-by 4"
    assert (other.policy["vote_cap"], other.policy["flag_cap"], other.policy["min_replies"]) == (90, 3, 2)
    assert other.policy["temperatures"] == [0.5, 0.5]
    assert (other.seed, other.request) == (9, {"system": "Be brief."})
    policy = Policy(FirstTo(5))
    unerring.fork(source, 1, tmp_path / "policy.db", Doubling(), options=Options(policy=policy))
    assert entries(tmp_path / "policy.db", Opened)[0].policy == policy.to_json()
    unerring.fork(tmp_path / "policy.db", 1, tmp_path / "margin.db", Doubling(), k=2)
    assert entries(tmp_path / "margin.db", Opened)[0].policy == policy.to_json() | {"rule": "ahead-by 2"}


def test_a_fork_planned_for_another_target_keeps_what_its_plan_does_not_set(tmp_path):
    """The margin is planned; caps, least replies and the rounds before escalation are those of the source."""
    kept = Options(vote_cap=900, flag_cap=3, min_replies=2, escalate="noise/p=1", escalate_after=5, max_steps=1)
    with pytest.raises(unerring.Stopped):
        unerring.run(unerring.Hanoi(3), "embedded", tmp_path / "run.db", 9, options=kept)
    unerring.fork(tmp_path / "run.db", 1, tmp_path / "fork.db", options=Options(target=Target(0.9)))
    [old], [new] = entries(tmp_path / "run.db", Opened), entries(tmp_path / "fork.db", Opened)
    assert new.policy["rule"] != old.policy["rule"]
    assert {**new.policy, "rule": None} == {**old.policy, "rule": None}


def test_a_fork_keeps_a_budget_or_has_one_of_its_own(tmp_path):
    """Limits of the source hold in the fork, unless others are given."""
    source = stopped(tmp_path / "run.db")
    with pytest.raises(unerring.Stopped):
        unerring.resume(source, Doubling(), double, Options(max_steps=1, budget=Budget(hours=5)))
    unerring.fork(source, 3, tmp_path / "kept.db", Doubling())
    assert [one.limits.seconds for one in entries(tmp_path / "kept.db", Allowed)] == [5 * 3600]
    own = Options(budget=Budget(hours=1))
    unerring.fork(source, 3, tmp_path / "own.db", Doubling(), double, options=own)
    assert [one.limits.seconds for one in entries(tmp_path / "own.db", Allowed)] == [3600]


def test_a_fork_of_a_fork_inherits_from_it(source, tmp_path):
    """Each names the run that it comes from, and has all steps before it."""
    unerring.fork(source, 2, tmp_path / "one.db", Doubling())
    unerring.resume(tmp_path / "one.db", Doubling(), double)
    made = unerring.fork(tmp_path / "one.db", 3, tmp_path / "two.db", Doubling(), k=1)
    assert made.origin["journal"] == str(tmp_path / "one.db")
    assert len(entries(tmp_path / "two.db", Inherited)) == 3
    assert unerring.resume(tmp_path / "two.db", Doubling(), double).state["value"] == 16
    assert unerring.verify(tmp_path / "two.db").problem is None


@pytest.mark.parametrize("at", [0, 4])
def test_the_first_and_the_last_step_can_be_forked_at(source, tmp_path, at):
    """At 0 nothing is taken over; at the end everything is, and the fork is finished once resumed."""
    out = tmp_path / "fork.db"
    unerring.fork(source, at, out, Doubling())
    assert len(entries(out, Inherited)) == at
    assert unerring.resume(out, Doubling(), double).state["value"] == 16
    assert unerring.report(out)["status"] == "finished"


def test_a_fork_resumes_like_any_run(source, tmp_path):
    """It stops and is resumed; the same `run` again continues it as well."""
    out = tmp_path / "fork.db"
    unerring.fork(source, 1, out, Doubling())
    with pytest.raises(unerring.Stopped):
        unerring.resume(out, Doubling(), double, Options(max_steps=1))
    assert unerring.report(out)["steps"] == 2
    assert unerring.run(Doubling(), double, out, 2).state["value"] == 16


def test_a_running_run_can_be_forked(tmp_path):
    """The source is only read, also while it is being written."""
    path, out = tmp_path / "run.db", tmp_path / "fork.db"

    async def forked():
        async def model(prompt, settings):
            while settings.step == 2 and not out.exists():
                await asyncio.sleep(0.01)
            return double(prompt, settings)

        running = asyncio.ensure_future(unerring.arun(Doubling(), model, path, 2, options=Options(speculate="off")))
        while not path.exists() or len(entries(path, Committed)) < 2:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(unerring.fork, path, 2, out, Doubling())
        return await running

    assert asyncio.run(asyncio.wait_for(forked(), 30)).state["value"] == 16
    assert unerring.resume(out, Doubling(), double).state["value"] == 16


def test_an_impossible_fork_leaves_no_file(source, tmp_path):
    """A step out of range, a file that exists and another process each give one line, and nothing is written."""
    out, there = tmp_path / "fork.db", sorted(tmp_path.iterdir())
    for at, error, says in ((5, InputError, "has 4 committed steps"), (-1, InputError, "`?at`?")):
        with refused(source, says, error):
            unerring.fork(source, at, out, Doubling())
    with refused(source, "exists already"):
        unerring.fork(source, 2, source, Doubling())
    with refused(source, "holds a run of"):
        unerring.fork(source, 2, out, unerring.Hanoi(3))

    class Elsewhere(Doubling):
        def advance(self, state, choice):
            return super().advance(state, choice + 1)

    Elsewhere.__qualname__, Elsewhere.__module__ = Doubling.__qualname__, Doubling.__module__
    with refused(source, "step 0 now leads to another state", ChainChanged):
        unerring.fork(source, 2, out, Elsewhere())
    with pytest.raises(InputError):
        unerring.fork(tmp_path / "none.db", 0, out)
    assert sorted(tmp_path.iterdir()) == there


def test_a_fork_is_there_whole_or_not_at_all(source, tmp_path):
    """If writing its entries fails, there is no journal, and the file name is free."""
    out = tmp_path / "fork.db"

    def failing():
        yield from entries(source)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_journal(out, failing())
    with pytest.raises(InputError, match=r"has no entries|cannot read"):
        unerring.report(out)
    assert {one.name for one in tmp_path.iterdir()} <= {"source.db", "source.db.head", "fork.db.head"}
    unerring.fork(source, 2, out, Doubling())
    assert unerring.resume(out, Doubling(), double).state["value"] == 16


def test_a_source_is_checked_as_far_as_it_is_read(tmp_path):
    """A changed choice is noticed, and leaves no fork."""
    source, out = stopped(tmp_path / "run.db", 3), tmp_path / "fork.db"
    data = source.read_bytes()
    unerring.fork(source, 1, tmp_path / "good.db", Doubling())
    assert b'"4"' in data
    source.write_bytes(data.replace(b'"4"', b'"5"'))
    with pytest.raises(JournalDamaged):
        unerring.fork(source, 3, out, Doubling())
    assert not out.exists()


def test_a_process_that_has_changed_can_fork_where_its_states_are_the_same(source, tmp_path):
    """With new wording and parameters the fork is a run of the present process, and resumes as one."""

    class Reworded(Doubling):
        def subtask(self, state):
            before = super().subtask(state)
            return before and unerring.Subtask(before.prompt + " Please.", self.parse)

    Reworded.__qualname__, Reworded.__module__ = Doubling.__qualname__, Doubling.__module__
    out = tmp_path / "fork.db"
    unerring.fork(source, 2, out, Reworded(steps=5))
    assert unerring.resume(out, Reworded(steps=5), double).state["value"] == 32


def test_a_foreign_run_stays_foreign(source, tmp_path, monkeypatch):
    """Its process must be given or trusted; its fork does not count as the user's own, unless it is trusted."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    with refused(source, "give --process module:Class, or --trust|give `chain`|`chain`"):
        unerring.fork(source, 2, tmp_path / "fork.db")
    assert not unerring.fork(source, 2, tmp_path / "fork.db", Doubling()).trusted
    with pytest.raises(InputError):
        unerring.resume(tmp_path / "fork.db", model=double)
    assert unerring.fork(source, 2, tmp_path / "trusted.db", options=Options(trust=True)).trusted
    assert unerring.resume(tmp_path / "trusted.db", model=double).state["value"] == 16


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.json")))
def test_journals_of_earlier_releases_can_be_forked(tmp_path, name):
    """Forked at their last committed step, they have the same choices, and verify."""
    for file in GOLDEN.glob(f"{name}.db*"):
        shutil.copy(file, tmp_path)
    path, out = tmp_path / f"{name}.db", tmp_path / "fork.db"
    steps = json.loads((GOLDEN / f"{name}.json").read_text())["report"]["steps"]
    unerring.fork(path, steps, out, options=Options(trust=True))
    assert [one[1] for one in exported(out)] == [one[1] for one in exported(path)]
    assert unerring.verify(out, trust=True).problem is None
    assert entries(out, Opened)[0].policy["rule"] == entries(path, Opened)[0].policy["rule"]
