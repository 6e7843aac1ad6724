"""An undecided step is shown to a person with its question, candidates and flagged samples."""

from dataclasses import replace

import pytest

import unerring
from doubling import HANOI, Doubling, double, stopped
from parked_runs import WEIGHED, Reworded, entries, parked
from unerring import Guards, InputError, Options, RedFlag, Request, Subtask
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.api.journals.review import decide, review
from unerring.core.journal.entries import QuestionText
from unerring.errors import StepUndecided
from unerring.testing import FakeClock


def test_a_review_shows_the_step_that_the_run_stopped_at(tmp_path):
    """It has the step's number, the rule, the votes, and the question."""
    found = review(parked(tmp_path / "run.db"))
    assert (found.process, found.status, found.steps, found.note) == ("doubling:Doubling", "paused", 1, None)
    step = found.parked
    assert (step.step, step.rule, step.votes, step.flags, step.rounds) == (1, "ahead-by 2", 6, 2, 5)
    assert step.prompts == {1: "Double 2."}
    assert (step.set_aside, step.ruled) == (0, None)


def test_candidates_are_numbered_by_votes(tmp_path):
    """Candidates are sorted by votes, then by their first vote; each has its voters."""
    step = review(parked(tmp_path / "run.db")).parked
    assert [(one.number, one.choice, one.votes, one.voters, one.score) for one in step.candidates] == [
        (1, "4", 3, {"one": 3}, None),
        (2, "5", 3, {"two": 3}, None),
    ]


def test_samples_are_shown_as_they_came_in(tmp_path):
    """Every sample has its text and voter, and its candidate or the reason of its flag."""
    samples = review(parked(tmp_path / "run.db")).parked.samples
    assert [one.number for one in samples] == list(range(8))
    assert [(one.voter, one.text, one.candidate, one.flag, one.finish) for one in samples[:3]] == [
        ("one", "4", 1, None, "stop"),
        ("two", "5", 2, None, "stop"),
        ("two", "well...", None, "malformed", "stop"),
    ]
    assert {one.text for one in samples[3:]} == {"4", "5", "well..."}


def test_votes_that_are_weighed_are_shown_with_their_weight(tmp_path):
    """Under log-odds a candidate has its score, in nats, with the number of its votes."""
    step = review(parked(tmp_path / "run.db", policy=WEIGHED)).parked
    assert [(one.votes, one.score) for one in step.candidates] == [(3, 3.0), (3, 3.0)]


def test_each_wording_that_was_asked_is_shown(tmp_path):
    """The wordings of the samples are shown with their numbers."""
    path = parked(tmp_path / "run.db", Reworded())
    assert review(path).parked.prompts == {1: "Double 2.", 2: "Twice this, please: 2."}


def test_a_compact_prompt_is_shown_if_it_was_sent(tmp_path):
    """The compact prompt is shown if the model was asked in it."""
    path = tmp_path / "run.db"
    with pytest.raises(StepUndecided):
        unerring.run(HANOI, "noise/v=0", path, k=2, options=Options(guards=Guards(flagged=1.0)))
    (prompt,) = review(path).parked.prompts.values()
    assert prompt == HANOI.subtask(HANOI.start()).compact


@pytest.mark.parametrize(("steps", "reason"), [(2, "stopped for another reason"), (4, "finished")])
def test_without_an_undecided_step_there_is_nothing_parked(tmp_path, steps, reason):
    """A run that is finished, or stopped for another reason, has no such step, and the review says why."""
    path = tmp_path / "run.db"
    if steps == 4:
        unerring.run(Doubling(), double, path, k=2)
    else:
        stopped(path)
    found = review(path)
    assert found.parked is None
    assert reason in found.note


def test_a_running_run_can_be_reviewed(tmp_path):
    """A review during the run reads its journal, and has nothing parked."""
    path, seen = tmp_path / "run.db", []

    def model(prompt, settings):
        if settings.step == 2:
            seen.append(review(path))
        return double(prompt, settings)

    unerring.run(Doubling(), model, path, k=1, options=Options(speculate="off"))
    assert {(found.parked, found.status) for found in seen} == {(None, "unfinished")}
    assert "running, or was killed" in seen[0].note


def test_a_process_that_cannot_be_made_again_is_shown_with_the_question_of_the_journal(tmp_path):
    """A class made in a function cannot be imported: the question comes from the journal, and the note says why."""

    class Local(Doubling):
        pass

    path = parked(tmp_path / "run.db", Local())
    found = review(path)
    assert found.parked.prompts == {1: "Double 2."}
    assert found.parked.prompts_now == {}
    assert len(found.parked.candidates) == 2
    assert "was defined within a function" in found.note
    assert review(path, Local()).parked.prompts == {1: "Double 2."}


@pytest.mark.parametrize("name", ["start", "subtask", "advance"])
def test_a_process_whose_code_fails_is_shown_with_the_question_of_the_journal(tmp_path, monkeypatch, name):
    """After an error in the user's own code, what the journal has is shown."""
    path = parked(tmp_path / "run.db")

    def broken(*arguments):
        raise ZeroDivisionError("oh dear")

    monkeypatch.setattr(Doubling, name, broken)
    found = review(path)
    assert found.parked.prompts == {1: "Double 2."}
    assert found.parked.prompts_now == {}
    assert len(found.parked.samples) == 8
    assert "ZeroDivisionError: oh dear" in found.note


def test_a_process_that_leads_elsewhere_now_is_shown_with_the_question_of_the_journal(tmp_path, monkeypatch):
    """The question of the changed code is not shown, since it was not asked."""
    path = parked(tmp_path / "run.db")
    monkeypatch.setattr(Doubling, "advance", lambda self, state, choice: {"done": 7, "value": 9})
    found = review(path)
    assert found.parked.prompts == {1: "Double 2."}
    assert found.parked.prompts_now == {}
    assert "step 0 now leads to another state" in found.note


def test_a_changed_question_is_shown_next_to_the_one_asked(tmp_path, monkeypatch):
    """The samples answer the journal's question; the changed process's is shown separately."""
    path = parked(tmp_path / "run.db")
    verbs = {0: "Double", 1: "Triple"}
    changed = lambda self, state: Subtask(f"{verbs[state['done']]} {state['value']}.", self.parse)  # noqa: E731
    monkeypatch.setattr(Doubling, "subtask", changed)
    found = review(path)
    assert found.parked.prompts == {1: "Double 2."}
    assert found.parked.prompts_now == {1: "Triple 2."}
    assert (found.note, len(found.parked.samples)) == (None, 8)
    monkeypatch.setitem(verbs, 0, "Triple")  # a step that is decided already: the chain leads nowhere then
    found = review(path)
    assert (found.parked.prompts, found.parked.prompts_now) == ({1: "Double 2."}, {})
    assert "has changed: step 0 " in found.note


def test_flagged_samples_have_the_reason_of_the_flag(tmp_path):
    """Flagged samples have the parser's or check's reason; votes have none."""
    samples = review(parked(tmp_path / "run.db", Judged())).parked.samples
    assert {(one.text, one.reason) for one in samples if one.flag} == {("well...", "not a number: 'well...'")}
    assert all(one.reason is None for one in samples if one.flag is None)


class Judged(Doubling):
    """The same chain, with flags that have reasons, and messages before its question."""

    turns = ({"role": "user", "content": "Double 3."}, {"role": "assistant", "content": "6"})

    def subtask(self, state):
        if state["done"] == self.steps:
            return None
        return Subtask(f"Double {state['value']}.", self.judged, messages=self.turns)

    def judged(self, text):
        try:
            return int(text)
        except ValueError:
            raise RedFlag(f"not a number: {text!r}") from None


def test_messages_before_the_question_are_shown(tmp_path):
    """The run's system message and the question's own are shown as journaled, also for a missing process.

    Where an earlier version kept the wordings alone, the latter are asked of the process, if it is there.
    """

    class Gone(Judged):
        pass

    path = parked(tmp_path / "run.db", Judged(), request=Request(system="Be brief."))
    system = {"role": "system", "content": "Be brief."}
    turns = ({"role": "user", "content": "Double 3."}, {"role": "assistant", "content": "6"})
    assert review(path, Judged()).parked.messages == (system, *turns)
    gone = review(parked(tmp_path / "gone.db", Gone(), request=Request(system="Be brief."))).parked
    assert (gone.messages, gone.prompts) == ((system, *turns), {1: "Double 2."})
    before = as_before(path, tmp_path / "before.db")
    assert review(before, Judged()).parked.messages == (system, *turns)
    assert review(as_before(tmp_path / "gone.db", tmp_path / "gone before.db")).parked.messages == (system,)


def as_before(path, copy):
    """The journal as written by a version that kept no messages."""
    journal = SqliteJournal.create(copy)
    for entry in entries(path):
        journal.append(replace(entry, messages=None) if isinstance(entry, QuestionText) else entry)
    journal.close()
    return copy


def test_changed_messages_are_shown_next_to_those_asked(tmp_path, monkeypatch):
    """The samples answer the journal's messages; those of the present process are shown as well."""
    path = parked(tmp_path / "run.db", Judged())
    turns = ({"role": "user", "content": "Double 4."}, {"role": "assistant", "content": "8"})

    same = review(path, Judged()).parked
    assert (same.messages_now, same.prompts_now) == (None, {})
    asked = Judged.subtask  # of step 1 alone: with another question of a step that is decided the chain leads nowhere
    changed = lambda self, state: replace(asked(self, state), messages=turns) if state["done"] else asked(self, state)  # noqa: E731
    monkeypatch.setattr(Judged, "subtask", changed)
    found = review(path).parked
    assert (found.messages[0]["content"], found.prompts_now) == ("Double 3.", {})
    assert found.messages_now == turns


def test_a_step_that_was_redrawn_keeps_its_question(tmp_path):
    """Also if the redrawn samples agree, the question's text is in the journal."""
    path = parked(tmp_path / "run.db")
    decide(path, resample=True)
    unerring.resume(path, Doubling(), double)
    (step,) = [step for step in unerring.steps(path) if step.step == 1]
    assert (step.question, step.tally, step.flags) == (("Double 2.",), (2,), 0)


def test_a_decision_has_the_time_of_its_clock(tmp_path):
    """The journal keeps when a person decided."""
    path = parked(tmp_path / "run.db")
    decide(path, resample=True, clock=FakeClock(1234.5))
    assert entries(path)[-1].time == 1234.5


def test_another_process_than_the_journals_is_refused(tmp_path):
    """A process that is passed in must be the run's."""
    with pytest.raises(InputError, match=r"Doubling, not of hanoi"):
        review(parked(tmp_path / "run.db"), HANOI)


def test_a_journal_without_a_run_cannot_be_reviewed(tmp_path):
    """Other files, and journals without a run, are InputErrors as for a report."""
    (tmp_path / "text").write_text("no journal")
    for path in (tmp_path / "text", tmp_path / "missing"):
        with pytest.raises(InputError):
            review(path)
        with pytest.raises(InputError):
            decide(path, choose=1)
