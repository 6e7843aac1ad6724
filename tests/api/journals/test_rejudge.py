"""Rejudge: stored samples are read again by the present parser and check."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

import unerring
from doubling import Doubling, double, exported, stopped
from parked_runs import CAPPED, entries, refused
from unerring import Options, Policy, RedFlag
from unerring.api.journals.rejudge import Overturned, SampleReading
from unerring.core.functions.awaitables import Ask
from unerring.core.journal.review_entries import Rejudged
from unerring.core.voting.race import AheadBy
from unerring.errors import ChainChanged, StepUndecided
from unerring.testing import FakeClock

GOLDEN = Path(__file__).parents[2] / "golden"


class Reading(Doubling):
    """A doubling chain whose parser can be changed, as by an edit of its code."""

    strict = True
    off_by = 0
    checked = True

    def parse(self, text):
        if self.strict:
            return super().parse(text) + self.off_by
        return super().parse(text.removeprefix("It is ").rstrip(".")) + self.off_by

    def check(self, state, choice):
        return RedFlag("odd") if self.checked and choice % 2 else None


def read_otherwise(**how):
    chain = Reading()
    vars(chain).update(how)
    return chain


def wordy(prompt, settings):
    """A model that answers with words on the second step, in all samples but the first."""
    answer = double(prompt, settings)
    return f"It is {answer}." if answer == "4" and settings.slot else answer


def undecided(path, model=wordy, **options):
    """A run that stops at its second step, whose samples are flagged for their form."""
    with pytest.raises(StepUndecided):
        unerring.run(Reading(), model, path, options=Options(policy=CAPPED, speculate="off", **options))
    return path


def test_an_open_step_continues_with_the_new_verdicts(tmp_path):
    """Without a model, flagged samples vote once the parser reads them, and the run continues from there."""
    path, asked = undecided(tmp_path / "run.db"), []
    chain = read_otherwise(strict=False)
    with pytest.raises(ChainChanged, match="step 1 parses its stored samples differently now"):
        unerring.resume(path, chain, wordy)
    before = unerring.report(path)["samples"]
    found = unerring.rejudge(path, chain)
    assert found.recorded
    assert found.changed == before["flagged"] > 0
    assert [(one.step, one.verdict) for one in found.open] == [(1, "won")]
    assert found.differences[0].was == SampleReading(None, "malformed")
    assert found.differences[0].now == SampleReading(4, None)
    assert unerring.report(path)["samples"]["voted"] == before["received"]

    def model(prompt, settings):
        asked.append(prompt)
        return wordy(prompt, settings)

    result = unerring.resume(path, chain, model)
    assert result.state["value"] == 16
    assert result.report["rejudged"] == found.changed
    assert "Double 2." not in asked
    decided = list(unerring.steps(path))[1]  # two votes decide it; those behind them count for nothing
    assert (decided.votes, [one.text for one in decided.samples]) == (2, ["4", "It is 4."])
    assert unerring.verify(path, chain).problem is None


def test_samples_that_a_stricter_check_rejects_vote_no_more(tmp_path):
    """The step lacks votes again, and further samples are drawn."""
    path = tmp_path / "run.db"

    def slip(prompt, settings):
        return "5" if prompt == "Double 2." and settings.slot < 3 else double(prompt, settings)

    chain = read_otherwise(checked=False)
    with pytest.raises(StepUndecided):
        unerring.run(chain, slip, path, options=Options(policy=Policy(AheadBy(4), vote_cap=6), speculate="off"))
    found = unerring.rejudge(path, Reading())
    assert {(one.was.choice, one.now.flag) for one in found.differences} == {(5, "rejected")}
    assert found.open[0].verdict == "open"
    assert unerring.resume(path, Reading(), slip).state["value"] == 16


def test_a_dry_run_writes_nothing(tmp_path):
    """Its result is that of the rejudging that follows."""
    path, chain = undecided(tmp_path / "run.db"), read_otherwise(strict=False)
    before = entries(path)
    tried = unerring.rejudge(path, chain, dry_run=True)
    assert entries(path) == before
    assert not tried.recorded
    found = unerring.rejudge(path, chain, clock=FakeClock(1234.5))
    assert (found.open, found.differences) == (tried.open, tried.differences)
    assert [(type(one), one.time) for one in entries(path)[len(before) :]] == [(Rejudged, 1234.5)]


def test_a_second_time_changes_nothing(tmp_path):
    """Samples are compared with their last reading."""
    path, chain = undecided(tmp_path / "run.db"), read_otherwise(strict=False)
    unerring.rejudge(path, chain)
    before = entries(path)
    found = unerring.rejudge(path, chain)
    assert (found.changed, found.open, found.recorded) == (0, (), False)
    assert entries(path) == before


def test_committed_steps_are_compared_and_never_changed(tmp_path):
    """Each sample that reads differently is listed, and each step that would be decided otherwise."""
    path = stopped(tmp_path / "run.db", chain=Reading())
    before, steps = entries(path), exported(path)
    found = unerring.rejudge(path, read_otherwise(off_by=2))
    assert found.overturns == (Overturned(0, 2, 4, True), Overturned(1, 4, 6, True))
    assert (found.steps, found.changed, found.overturned) == (2, 4, 2)
    assert all(one.committed for one in found.differences)
    assert not found.recorded
    assert entries(path) == before
    assert exported(path) == steps


def test_a_committed_step_that_votes_would_not_decide_is_listed(tmp_path):
    """If all its samples are flagged now, they decide nothing."""
    path = stopped(tmp_path / "run.db", chain=read_otherwise(checked=False))
    found = unerring.rejudge(path, read_otherwise(off_by=1))
    assert found.overturns == (Overturned(0, 2, None, False), Overturned(1, 4, None, False))


def test_a_finished_run_is_only_compared(tmp_path):
    """Its file is unchanged to the byte."""
    path = tmp_path / "run.db"
    unerring.run(Reading(), double, path, 2)
    before = path.read_bytes()
    found = unerring.rejudge(path, read_otherwise(off_by=2))
    assert found.finished
    assert found.overturned == 4
    assert path.read_bytes() == before


def test_flags_that_the_text_does_not_explain_stay(tmp_path):
    """An answer that was too long or cut off stays flagged, however its text reads."""
    path = tmp_path / "run.db"

    def cut_off(prompt, settings):
        answer = double(prompt, settings)
        if answer != "4":
            return answer
        return unerring.Sample(answer, finish=unerring.Finish.LENGTH)

    undecided(path, cut_off)
    found = unerring.rejudge(path, read_otherwise(strict=False))
    assert (found.changed, found.recorded) == (0, False)
    assert found.samples > 2


def test_steps_that_were_asked_ahead_are_judged_as_far_as_samples_lead_to_them(tmp_path):
    """In a killed run with several open steps, all of them get the new verdicts."""
    path = tmp_path / "run.db"

    async def model(prompt, settings):
        answer = double(prompt, settings)
        if answer == "2" and settings.slot:
            await asyncio.sleep(30)
        return f"It is {answer}." if settings.slot else answer

    async def cancelled():
        running = asyncio.ensure_future(
            unerring.arun(Reading(), model, path, options=Options(policy=Policy(AheadBy(2)), grace=0))
        )
        while not path.exists() or len([e for e in entries(path) if type(e).__name__ == "Replies"]) < 4:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(asyncio.wait_for(cancelled(), 20))
    chain = read_otherwise(strict=False)
    found = unerring.rejudge(path, chain)
    assert {one.step for one in found.open if one.ahead} >= {1}
    assert found.notes == ()
    assert unerring.resume(path, chain, lambda prompt: f"It is {double(prompt, None)}.").state["value"] == 16


def test_a_changed_process_is_refused(tmp_path):
    """Other parameters, or other states after a step, are more than another reading of answers."""

    class Elsewhere(Reading):
        def advance(self, state, choice):
            return super().advance(state, choice + 1)

    Elsewhere.__qualname__, Elsewhere.__module__ = Reading.__qualname__, Reading.__module__
    path = stopped(tmp_path / "run.db", chain=Reading())
    with refused(path, "step 0 now leads to another state", ChainChanged):
        unerring.rejudge(path, Elsewhere())
    with refused(path, "its parameter", ChainChanged):
        unerring.rejudge(path, Reading(steps=3))
    with refused(path, "holds a run of"):
        unerring.rejudge(path, unerring.Hanoi(3))


def test_a_question_that_changed_is_not_judged_again(tmp_path):
    """The samples of an open step answer the old question; a note says so."""

    class Reworded(Reading):
        def subtask(self, state):
            before = super().subtask(state)
            return before and unerring.Subtask("Please: " + before.prompt, self.parse)

    Reworded.__qualname__, Reworded.__module__ = Reading.__qualname__, Reading.__module__
    path, chain = undecided(tmp_path / "run.db"), Reworded()
    chain.strict = False
    found = unerring.rejudge(path, chain)
    assert not found.recorded
    assert "step 1 is now asked another question" in found.notes[0]
    with pytest.raises(ChainChanged, match="asked differently"):
        unerring.resume(path, chain, wordy)


def test_a_foreign_journal_imports_nothing(tmp_path, monkeypatch):
    """The process of a run that was not begun here must be given or trusted first."""
    path = undecided(tmp_path / "run.db")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    with refused(path, "give --process module:Class, or --trust|give `chain`"):
        unerring.rejudge(path)
    assert unerring.rejudge(path, read_otherwise(strict=False)).recorded


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.json")))
def test_journals_of_earlier_releases_read_as_they_did(tmp_path, name):
    """They read the same, and nothing is written."""
    for file in GOLDEN.glob(f"{name}.db*"):
        shutil.copy(file, tmp_path)
    path = tmp_path / f"{name}.db"
    report = json.loads((GOLDEN / f"{name}.json").read_text())["report"]
    found = unerring.rejudge(path, dry_run=True, trust=True)
    assert (found.changed, found.overturned, found.recorded) == (0, 0, False)
    assert found.steps == report["steps"]


def test_a_changed_reading_of_committed_steps_is_to_be_accepted(tmp_path):
    """The outcome says whether `resume` needs `accept_changes`: here for the winning answer of a committed step."""
    path = undecided(tmp_path / "run.db")
    chain = read_otherwise(strict=False)
    assert not unerring.rejudge(path, chain).accept_changes
    again = read_otherwise(strict=False, off_by=2)
    for dry_run, recorded in ((True, False), (False, True), (False, False)):  # the last one finds nothing new
        found = unerring.rejudge(path, again, dry_run=dry_run)
        assert (found.recorded, found.accept_changes) == (recorded, True)
    with pytest.raises(ChainChanged, match="step 0: its winning answer is parsed differently now"):
        unerring.resume(path, again, wordy)
    assert unerring.resume(path, again, wordy, Options(accept_changes=True)).report.status == "finished"
    assert not unerring.rejudge(path, again).accept_changes
    assert unerring.rejudge(path, chain).accept_changes


def test_a_step_that_stayed_undecided_is_read_again(tmp_path):
    """A function continued after it: it would be decided now where the parser refuses the rival answer."""
    path, refused_now, answers = tmp_path / "run.db", set(), iter("1212")

    def parse(text):
        if text in refused_now:
            raise RedFlag("not this one")
        return int(text)

    async def process():
        try:
            return await Ask(unerring.Subtask("one or two", parse), int)
        except StepUndecided:
            return "a person has to look"

    run = unerring.run(process, lambda prompt: next(answers), path, k=2, options=Options(vote_cap=4, progress=False))
    assert run.answer == "a person has to look"
    assert unerring.rejudge(path, process).overturned == 0
    refused_now.add("2")
    found = unerring.rejudge(path, process)
    assert found.overturns == (Overturned(0, None, 1, decided=True, was_decided=False),)
