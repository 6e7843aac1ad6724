"""A changed question, parser or end of a process is noticed on resuming, or accepted."""

from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest
from changing_rows import Elsewhere, Rows, Tagged, changed, double, halted

import unerring
from doubling import Doubling, stopped
from parked_runs import entries, parked
from unerring import Options, Request, Subtask
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.api.journals.history import History
from unerring.core.journal.entries import Finished, Replies
from unerring.core.journal.review_entries import Accepted
from unerring.core.user_code import WrongReturn
from unerring.errors import ChainChanged, StepLimit, StepUndecided

CHANGES = {
    "its wording changed (edited, or has it chance, a clock or a file in it?)": {"wording": "Please double {}."},
    "step 0 is asked differently than before: its schema changed": {"schema": {"type": "integer"}},
    "step 0 is asked differently than before: its settings changed": {"stop": ("\n",)},
    "step 0 is asked differently than before: its wording changed ": {"words": ("Twice {}.",)},
    "step 0: its winning answer is parsed differently now; its parser changed": {"parse": lambda text: int(text) + 1},
    "its constructor's argument last was 6 and is 7": {"last": 7},
    "its version was null and is 2": {"version": 2},
}


def test_whatever_changed_stops_a_resumed_run_in_one_line(tmp_path):
    """Wordings, paraphrases, schema, settings, parser, constructor's arguments and version are each named."""
    path, wrong = halted(tmp_path / "run.db"), {}
    for change, attributes in CHANGES.items():
        with pytest.raises(ChainChanged) as stopped:
            unerring.resume(path, changed(**attributes), double)
        if change.strip() not in str(stopped.value) or "`Options(accept_changes=True)`" not in str(stopped.value):
            wrong[change] = str(stopped.value)
    assert wrong == {}
    assert entries(path, Accepted) == []


def test_votes_on_two_wordings_never_meet(tmp_path):
    """Votes on an open step's old wording are set aside once the change is accepted; the report counts them."""

    def torn(prompt, settings):
        return str(settings.slot % 2) if prompt.startswith("Double") else "7"

    class One(Rows):
        def __init__(self):
            super().__init__(0, 1)

    policy = unerring.Policy(vote_cap=6)
    with pytest.raises(StepUndecided):
        unerring.run(One(), torn, tmp_path / "run.db", options=Options(policy=policy, speculate="off"))
    new = One()
    new.wording = "Please double {}."
    with pytest.raises(ChainChanged, match=r'its wording changed: "Double 0\." is now "Please double 0\."; '):
        unerring.resume(tmp_path / "run.db", new, torn)
    result = unerring.resume(tmp_path / "run.db", new, torn, Options(accept_changes=True, speculate="off"))
    (decided,) = History(tmp_path / "run.db").steps()
    assert (decided.tally, decided.choice) == ((3,), "7")
    (change,) = result.report["changes"]
    assert "its wording changed" in change["changes"][0]
    assert result.report["set_aside"] == 6


def test_a_changed_parser_is_noticed_by_what_it_makes_of_stored_samples(tmp_path):
    """Stored samples of the open step that read differently are named, with the old and the new reading."""

    def torn(prompt, settings):
        return str(2 + 2 * (settings.slot % 2))

    with pytest.raises(StepUndecided):
        unerring.run(Rows(0, 1), torn, tmp_path / "run.db", options=Options(policy=unerring.Policy(vote_cap=4)))
    new = Rows(0, 1)
    new.strict = True
    with pytest.raises(ChainChanged, match="sample 1 was a vote for 4, and is now flagged as malformed"):
        unerring.resume(tmp_path / "run.db", new, torn)


def test_accepted_changes_stay_accepted(tmp_path):
    """Resuming the changed process again needs no acceptance, and a further change is noticed."""
    path = halted(tmp_path / "run.db")
    new = changed(wording="Please double {}.", last=7)
    with pytest.raises(StepLimit):
        unerring.resume(path, new, double, Options(accept_changes=True, max_steps=1))
    with pytest.raises(ChainChanged, match="step 3 is asked differently"):
        unerring.resume(path, changed(wording="Double twice {}.", last=7), double)
    assert unerring.resume(path, new, double).steps == 7
    assert len(entries(path, Accepted)) == 1
    assert unerring.verify(path, new).problem is None


def test_request_settings_are_part_of_the_question(tmp_path):
    """Digests differ between system messages, so that samples under two of them never meet."""
    digests = set()
    for name, request in (("a", Request(system="Be brief.")), ("b", Request(system="Be exact.")), ("c", Request())):
        path = tmp_path / f"{name}.db"
        unerring.run(Rows(), double, path, 2, options=Options(request=request))
        digests.add(entries(path, Replies)[0].question)
    assert len(digests) == 3


def test_the_same_process_again_changes_nothing(tmp_path):
    """Without a change nothing is asked twice or recorded as accepted."""
    path = halted(tmp_path / "run.db")
    assert unerring.resume(path, Rows(), double, Options(accept_changes=True)).steps == 6
    assert entries(path, Accepted) == []


def test_a_journal_without_digests_says_so_once(tmp_path, caplog):
    """A run from before questions were kept continues, with one line that a changed prompt is not noticed."""
    golden = Path(__file__).parents[1] / "golden"
    for file in golden.glob("paused.db*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert unerring.resume(tmp_path / "paused.db").steps == 63
    (said,) = [record.message for record in caplog.records if "what was asked" in record.message]
    assert said.endswith("a changed prompt is not noticed")


def test_an_undecided_run_stops_again_by_the_same_command(tmp_path):
    """Run again, a run that stopped undecided stops there again, with its votes kept."""
    path = parked(tmp_path / "run.db")
    before = len(entries(path, Replies))
    parked(path)
    assert len(entries(path, Replies)) == before


def test_samples_of_an_unchanged_question_are_kept(tmp_path):
    """A parameter that changes no question costs no sample of the open step."""

    def torn(prompt, settings):
        return str(settings.slot % 2)

    options = Options(policy=unerring.Policy(vote_cap=4), speculate="off")
    with pytest.raises(StepUndecided):
        unerring.run(Tagged("a"), torn, tmp_path / "run.db", options=options)
    before = len(entries(tmp_path / "run.db", Replies))
    options = Options(accept_changes=True, vote_cap=6, speculate="off")
    with pytest.raises(StepUndecided, match="after 6 votes"):
        unerring.resume(tmp_path / "run.db", Tagged("b"), torn, options)
    assert [one.keep for one in entries(tmp_path / "run.db", Accepted)] == [True]
    assert len(entries(tmp_path / "run.db", Replies)) > before
    assert unerring.report(tmp_path / "run.db")["set_aside"] == 0


def test_a_finished_run_is_no_result_of_a_process_with_more_steps(tmp_path):
    """Neither if the process has further steps now, nor if its length() is larger."""
    path = tmp_path / "run.db"
    assert unerring.run(Elsewhere(3), double, path, 2).steps == 3
    longer = Elsewhere(3)
    longer.subtask = lambda state: Subtask(f"Double {state}.", int) if state < 5 else None
    with pytest.raises(ChainChanged, match="no longer ends after 3 steps"):
        unerring.run(longer, double, path, 2)


def test_shortlist_and_nullable_are_part_of_the_question(tmp_path):
    """Another shortlist, or an answer that may be null, is another question."""
    path = halted(tmp_path / "run.db")
    wrong = []
    for name, value in (("shortlist", 3), ("nullable", True), ("example", "7 apples")):
        new = Rows()
        new.subtask = lambda state, field={name: value}: replace(Rows().subtask(state), **field)
        try:
            unerring.resume(path, new, double)
        except ChainChanged:
            continue
        wrong.append(name)
    assert wrong == []


def test_a_process_that_ends_before_its_length_is_not_finished(tmp_path):
    """Its run stops with an error of its code, and resumes once the code is right."""
    path = stopped(tmp_path / "run.db", 2)
    short = Doubling()
    short.subtask = lambda state: None if state["done"] == 2 else Doubling().subtask(state)
    for _ in range(2):
        with pytest.raises(WrongReturn, match=r"subtask\(\) of step 2 returned None, but length\(\) is 4"):
            unerring.resume(path, short, double)
        assert unerring.report(path).status == "paused"
    assert unerring.resume(path, Doubling(), double).steps == 4


def test_verify_reports_a_run_that_ended_before_its_length(tmp_path):
    """A journal in which such a run counts as finished is read, and its end reported."""
    path = stopped(tmp_path / "run.db", 2)
    journal, read = SqliteJournal.reopen(path)
    deque(read, 0)
    journal.append(Finished(2, 0.0, None))
    journal.close()
    assert unerring.verify(path).problem == "it ended after 2 of the 4 steps that its process says it has"


@pytest.mark.parametrize("step", range(1, 6))
def test_a_changed_parser_is_noticed_at_any_committed_step(tmp_path, step):
    """One unanimous step whose answer is read differently, or makes the parser fail, is enough; it can be accepted."""
    path = halted(tmp_path / "run.db", Rows(0, 7), 6)
    new, failing = Rows(0, 7), Rows(0, 7)
    new.parse = lambda text: -1 if int(text) == 2 * step else int(text)
    failing.parse = lambda text: {}["no such key"] if int(text) == 2 * step else int(text)
    for one, how in ((failing, r"cannot be read now: KeyError: .*parse\(\)"), (new, "is parsed differently now")):
        with pytest.raises(ChainChanged, match=f"step {step}: its winning answer {how}"):
            unerring.resume(path, one, double)
    assert unerring.resume(path, failing, double, Options(accept_changes=True)).steps == 7


def test_verify_and_the_end_of_a_run_say_that_changes_were_accepted(tmp_path):
    """A note of `verify` has the changes, and the line of steps says that there are some."""
    path = halted(tmp_path / "run.db")
    new = changed(wording="Please double {}.")
    result = unerring.resume(path, new, double, Options(accept_changes=True))
    (note,) = (note for note in unerring.verify(path, new).notes if "accepted" in note)
    assert note.startswith("a person accepted that the process changed: step 0 is asked differently than before")
    assert "; changes of the process were accepted\n" in str(result)
