"""A person's choice for an undecided step is recorded, tried with the process, and carried forward on resuming."""

import pytest

import unerring
from doubling import Doubling, double, stopped
from parked_runs import CAPPED, entries, parked, refused, torn
from unerring import Options, Policy, RedFlag
from unerring.adapters.sqlite.head import HeadFile
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.api.journals.review import decide, review
from unerring.core.journal.entries import Opened, Replies, Reply, Voter
from unerring.core.journal.review_entries import Ruled
from unerring.core.voting.race import AheadBy
from unerring.errors import JournalBusy, StepUndecided


def test_the_run_continues_with_the_choice_that_was_made(tmp_path):
    """A choice is recorded, and `resume` commits it; chain, report and steps have it as a person's."""
    path = parked(tmp_path / "run.db")
    recorded = decide(path, choose=1)
    assert (recorded.step, recorded.choice, recorded.model, recorded.note) == (1, "4", None, None)
    assert [(entry.step, entry.choice) for entry in entries(path, Ruled)] == [(1, "4")]
    result = unerring.resume(path, model=torn)
    assert result.state["value"] == 16
    assert result.report["ruled"] == {"count": 1, "steps": [1]}
    assert [decided.ruled for decided in unerring.steps(path)] == [False, True, False, False]
    found = unerring.verify(path)
    assert (found.problem, found.ruled, found.notes) == (None, 1, ("people decided step 1",))


def test_a_wrong_choice_is_carried_forward_and_found_by_the_verifier(tmp_path):
    """A person's choice is not questioned on resuming; the process's verifier finds a wrong one."""
    path = parked(tmp_path / "run.db")
    decide(path, choose=2)
    unerring.resume(path, model=torn)
    assert "step 1: 5 is not twice 2" in unerring.verify(path).problem


def test_a_choice_can_be_changed_until_the_run_continues(tmp_path):
    """The last decision counts, and the review shows it."""
    path = parked(tmp_path / "run.db")
    decide(path, choose=2)
    assert review(path).parked.ruled == "5"
    decide(path, choose=1)
    assert review(path).parked.ruled == "4"
    assert unerring.resume(path, model=torn).state["value"] == 16
    with refused(path, "finished"):
        decide(path, choose=2)


def test_steps_that_were_asked_ahead_are_used_where_the_choice_is_what_was_guessed(tmp_path):
    """With a window of open steps, the run continues from the choice as from any other commit."""
    path = tmp_path / "run.db"
    with pytest.raises(StepUndecided):
        unerring.run(Doubling(), torn, path, options=Options(policy=CAPPED))
    decide(path, choose=1)
    assert unerring.resume(path, model=torn).state["value"] == 16


@pytest.mark.parametrize("number", [0, 3, -1, 99])
def test_a_number_that_no_candidate_has_is_refused(tmp_path, number):
    """The message has the valid numbers, and nothing is written."""
    path = parked(tmp_path / "run.db")
    with refused(path, f"has the candidates 1 to 2; {number} is none of them"):
        decide(path, choose=number)


def test_a_step_without_a_candidate_has_none_to_choose(tmp_path):
    """If every sample was flagged, no number is valid."""
    path = parked(tmp_path / "run.db", model=lambda prompt, settings: "eh")
    with refused(path, "has no candidate; 1 is none of them"):
        decide(path, choose=1)


def test_a_run_without_an_undecided_step_takes_no_decision(tmp_path):
    """A run that is finished or stopped for another reason refuses choices and redraws."""
    path = stopped(tmp_path / "run.db")
    for decision in ({"choose": 1}, {"resample": True}, {"model": "embedded"}):
        with refused(path, "no step of .* is undecided"):
            decide(path, **decision)
    unerring.resume(path, model=double)
    for decision in ({"choose": 1}, {"resample": True}):
        with refused(path, "the run is finished"):
            decide(path, **decision)


@pytest.mark.parametrize("decision", [{}, {"choose": 1, "resample": True}, {"choose": 1, "model": "embedded"}])
def test_one_thing_is_decided_at_a_time(tmp_path, decision):
    """Neither no decision nor two at once are accepted."""
    path = parked(tmp_path / "run.db")
    with refused(path, "give one of: a candidate"):
        decide(path, **decision)


def test_a_journal_that_a_runner_has_takes_no_decision(tmp_path):
    """A journal has one writer."""
    path = parked(tmp_path / "run.db")
    head = HeadFile(path)
    try:
        with pytest.raises(JournalBusy):
            decide(path, choose=1)
    finally:
        head.close()
    assert entries(path, Ruled) == []


def rejecting(self, state, choice):
    if choice == 5:
        raise RedFlag("odd")


def failing(self, state, choice):
    raise KeyError("no such thing")


def lost(self, state, choice):
    return {"value": float("nan")}


@pytest.mark.parametrize(
    ("name", "method", "reason"),
    [
        ("check", rejecting, "the process's check rejects it: odd"),
        ("check", lambda self, state, choice: RedFlag("odd") if choice == 5 else None, "check rejects it: odd"),
        ("check", failing, "the process's check failed: KeyError: 'no such thing'"),
        (
            "check",
            lambda self, state, choice: True,
            r"the process's check failed: check\(\) of step 1 returned True; it returns a R",
        ),
        ("advance", failing, "the process cannot advance with it: KeyError"),
        ("advance", lost, "the process cannot advance with it: .*not JSON"),
    ],
)
def test_a_choice_that_the_process_cannot_take_is_refused(tmp_path, monkeypatch, name, method, reason):
    """A choice that the process's check rejects, or that it cannot advance with, is not recorded."""
    path = parked(tmp_path / "run.db")
    right = {"advance": Doubling.advance, "check": lambda self, state, choice: None}[name]

    def only_there(self, state, choice):
        return method(self, state, choice) if choice == 5 else right(self, state, choice)

    monkeypatch.setattr(Doubling, name, only_there, raising=False)
    with refused(path, f"candidate 2 of step 1 cannot be taken: .*{reason}"):
        decide(path, choose=2)


def test_null_is_taken_only_where_it_is_an_answer(tmp_path):
    """An answer of null is refused unless the subtask is nullable."""
    path = parked(tmp_path / "run.db")
    with refused(path, r"null is no answer to this step; where it is one, say Subtask\(nullable=True\)"):
        decide(path, answer=None)


def test_a_choice_is_not_tried_where_the_process_cannot_be_made(tmp_path):
    """It is recorded with a note; a process that is passed in tries it."""

    class Local(Doubling):
        def check(self, state, choice):
            return RedFlag("odd") if choice % 2 else None

    class Unchecked(Doubling):
        pass

    Unchecked.__qualname__ = Local.__qualname__
    path = parked(tmp_path / "run.db", Unchecked())
    with refused(path, "check rejects it: odd"):
        decide(path, choose=2, chain=Local())
    assert decide(path, choose=1).note.startswith("the choice was not tried, and is tried on resuming: ")


def test_a_choice_that_was_not_tried_is_tried_on_resuming(tmp_path):
    """If the process rejects it, the run stops at the step again, and `review` takes another choice."""

    class Local(Doubling):
        def check(self, state, choice):
            return RedFlag("too large") if choice > 100 else None

    path = parked(tmp_path / "run.db", Local())
    for answer, problem in ((1000, "check rejects it: too large"), ("four", "check failed: TypeError")):
        decide(path, answer=answer)
        with refused(path, f"the answer recorded for step 1 cannot be taken: the process's {problem}", StepUndecided):
            unerring.resume(path, Local(), torn)
    decide(path, answer=4)
    assert unerring.resume(path, Local(), torn).steps == 4


def test_a_forged_choice_is_shown_and_cannot_be_taken(tmp_path):
    """A choice that is not JSON in a forged journal is no crash, and no run continues with it."""
    path = tmp_path / "run.db"
    policy = Policy(AheadBy(2), vote_cap=2)
    journal = SqliteJournal.create(path)
    for entry in (
        Opened("gone:Gone", {}, "none", policy.to_json(), 0, "0", None, "test", 0.0),
        Voter(0, "one"),
        Replies(tuple(forged(slot, choice) for slot, choice in enumerate(["{", "4"]))),
    ):
        journal.append(entry)
    journal.close()
    assert [one.choice for one in review(path).parked.candidates] == ["{", "4"]
    with refused(path, "is not JSON"):
        decide(path, choose=1)
    assert decide(path, choose=2).choice == "4"


def forged(slot, choice):
    return Reply(0, slot, f"text {slot}", choice, None, unerring.Usage(), unerring.Finish.STOP, None, 0)
