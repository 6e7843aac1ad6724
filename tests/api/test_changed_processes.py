"""A changed question, parameter or code of a process is noticed on resuming, or accepted."""

import subprocess
import sys
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import unerring
from doubling import Doubling, stopped
from parked_runs import entries, parked
from unerring import InputError, Options, RedFlag, Request, Subtask
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.api.chains import make_chain
from unerring.api.journals.history import History
from unerring.api.journals.review import review
from unerring.core.journal.entries import Finished, Replies
from unerring.core.journal.review_entries import Accepted
from unerring.core.user_code import WrongReturn
from unerring.errors import ChainChanged, StepLimit, StepUndecided


class Rows:
    """Rows of numbers to be doubled, with questions and parsing set from outside."""

    def __init__(self, first=0, last=6):
        self.first = first
        self.last = last

    wording = "Double {}."
    words: tuple = ()
    schema = None
    messages = ()
    stop = ()
    strict = False

    def start(self):
        return {"row": 0}

    def subtask(self, state):
        if self.first + state["row"] == self.last:
            return None
        row = self.first + state["row"]
        others = tuple(words.format(row) for words in self.words)
        return Subtask(
            self.wording.format(row),
            self.parse,
            paraphrases=others,
            schema=self.schema,
            messages=self.messages,
            stop=self.stop,
        )

    def parse(self, text):
        if self.strict and int(text) > 3:
            raise RedFlag("too large")
        return int(text)

    def advance(self, state, choice):
        return {"row": state["row"] + 1}


def double(prompt, settings):
    return str(2 * int(prompt.rstrip(".").split()[-1]))


def halted(path, chain=None, steps=3):
    with pytest.raises(StepLimit):
        unerring.run(chain or Rows(), double, path, 2, options=Options(max_steps=steps, speculate="off"))
    return path


def changed(**attributes):
    chain = Rows()
    for name, value in attributes.items():
        setattr(chain, name, value)
    return chain


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


def test_rows_of_another_range_are_another_run(tmp_path):
    """A run over rows 0 to 9 is not continued over rows 100 to 109."""
    path = halted(tmp_path / "run.db", Rows(0, 10))
    with pytest.raises(ChainChanged, match="argument first was 0 and is 100"):
        unerring.resume(path, Rows(100, 110), double)
    with pytest.raises(InputError, match="argument first was 0 and is 100"):
        unerring.run(Rows(100, 110), double, path, 2)


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


@dataclass
class Table:
    """A chain with a name of its own, and an argument that is not JSON."""

    rows: object
    name: str = "my table"

    def start(self):
        return 0

    def subtask(self, state):
        return Subtask(f"Double {state}.", int) if state < len(self.rows) else None

    def advance(self, state, choice):
        return state + 1


def test_a_name_of_its_own_is_what_a_process_is_known_by(tmp_path):
    """The name identifies it wherever the class is defined; an argument that is not JSON is not compared."""
    path = halted(tmp_path / "run.db", Table(range(5)))
    report = unerring.report(path)
    assert report["process"] == "my table"
    moved = type("Moved", (Table,), {})
    assert unerring.resume(path, moved(range(5)), double).steps == 5


SCRIPT = """
import unerring
from unerring import Subtask

class Ledger:
    def start(self):
        return 0
    def subtask(self, state):
        return Subtask(f"Double {state}.", int) if state < 5 else None
    def advance(self, state, choice):
        return state + 1

def model(prompt):
    return str(2 * int(prompt.rstrip(".").split()[-1]))

if __name__ == "__main__":
    import sys
    options = unerring.Options(max_steps=int(sys.argv[1]) if sys.argv[1:] else None)
    print(unerring.run(Ledger(), model, "run.db", k=2, options=options).steps)
"""


def test_a_script_can_be_run_twice(tmp_path):
    """It continues its own journal, and returns the finished result; its class can be resumed elsewhere."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def ran(*words):
        return subprocess.run(
            [sys.executable, str(script), *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert "StepLimit" in ran("2").stderr
    module = {"__name__": "script"}
    exec(script.read_text(), module)  # noqa: S102  (the script as a module of another name)
    with pytest.raises(StepLimit):
        unerring.resume(tmp_path / "run.db", module["Ledger"](), module["model"], Options(max_steps=1))
    assert ran().stdout == "5\n"
    assert ran().stdout == "5\n"
    with pytest.raises(InputError, match="run the script again"):
        unerring.resume(tmp_path / "run.db", options=Options(trust=True))


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


class Tagged(Rows):
    """Rows with a parameter that no question shows."""

    def __init__(self, tag="a", last=6):
        super().__init__(0, last)
        self.tag = tag

    def parameters(self):
        return {"tag": self.tag}


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


def test_an_accepted_process_is_made_again_by_its_name(tmp_path):
    """Verify, review, resume and run use the accepted parameters, in whichever way the chain is made."""
    path = tmp_path / "run.db"
    with pytest.raises(StepLimit):
        unerring.run(Tagged("a"), double, path, 2, options=Options(max_steps=2))
    again = Options(accept_changes=True, max_steps=1)
    with pytest.raises(ChainChanged, match="its parameter tag was a and is b"):
        unerring.run(Tagged("b"), double, path, 2, options=Options(max_steps=1))
    with pytest.raises(StepLimit):
        unerring.run(Tagged("b"), double, path, 2, options=again)
    with pytest.raises(StepLimit):
        unerring.resume(path, model=double, options=Options(max_steps=1))
    assert review(path).note.startswith("no step")
    assert unerring.verify(path).parameters == unerring.report(path)["parameters"] == {"tag": "b"}
    assert unerring.run(Tagged("b"), double, path, 2).steps == 6
    assert unerring.run(Tagged("b"), double, path, 2, options=Options(accept_changes=True)).steps == 6


def test_a_version_that_is_added_is_noticed(tmp_path):
    """A version where there was none is a change."""
    path = halted(tmp_path / "run.db", Tagged())
    new = Tagged()
    new.version = "2"
    with pytest.raises(ChainChanged, match="its version was null and is 2"):
        unerring.resume(path, new, double)


def test_no_argument_of_a_constructor_is_kept_in_clear(tmp_path):
    """A key given to a constructor is in neither the journal nor a message; that it changed is noticed."""

    class Keyed(Rows):
        def __init__(self, api_key):
            super().__init__()
            self.api_key = api_key

    path = halted(tmp_path / "run.db", Keyed("sk-secret-of-mine"))
    with pytest.raises(ChainChanged, match="argument api_key changed") as stopped:
        unerring.resume(path, Keyed("sk-another-secret"), double)
    assert "secret" not in str(stopped.value)
    assert b"secret-of-mine" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


class Elsewhere:
    """A chain that keeps its argument under another name."""

    def __init__(self, rows):
        self.count = rows

    def start(self):
        return 0

    def subtask(self, state):
        return Subtask(f"Double {state}.", int) if state < self.count else None

    def advance(self, state, choice):
        return state + 1


class Slotted(Elsewhere):
    __slots__ = ("count",)


class Hidden(Elsewhere):
    def __init__(self, rows):
        self.__rows = rows

    @property
    def count(self):
        return self.__rows


class Words(Elsewhere):
    def __init__(self, **words):
        self.words = words

    @property
    def count(self):
        return self.words["rows"]


class Ranged(Elsewhere):
    def __init__(self, rows):
        self.rows = range(rows)

    @property
    def count(self):
        return len(self.rows)


def test_other_arguments_are_noticed_wherever_a_class_keeps_them(tmp_path):
    """Under another name, in slots, privately, as keywords, and if they are not JSON."""
    accepted = []
    for made in (Elsewhere, Slotted, Hidden, Words, Ranged):
        path = tmp_path / f"{made.__name__}.db"
        halted(path, made(rows=4), 2)
        try:
            unerring.resume(path, made(rows=6), double)
        except ChainChanged:
            continue
        accepted.append(made.__name__)
    assert accepted == []


def test_a_finished_run_is_no_result_of_a_process_with_more_steps(tmp_path):
    """Neither if the process has further steps now, nor if its length() is larger."""
    path = tmp_path / "run.db"
    assert unerring.run(Elsewhere(3), double, path, 2).steps == 3
    longer = Elsewhere(3)
    longer.subtask = lambda state: Subtask(f"Double {state}.", int) if state < 5 else None
    with pytest.raises(ChainChanged, match="no longer ends after 3 steps"):
        unerring.run(longer, double, path, 2)


def test_a_version_of_any_kind_is_compared(tmp_path):
    """A tuple is compared, too."""
    old, new = Rows(), Rows()
    old.version, new.version = (1, 2), (1, 3)
    with pytest.raises(ChainChanged, match="its version"):
        unerring.resume(halted(tmp_path / "run.db", old), new, double)


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


def test_a_process_with_unknown_arguments_is_not_made_with_its_defaults(tmp_path):
    """By its name it would be made with its defaults, so the line says what to do, and offers no acceptance."""
    path = halted(tmp_path / "run.db", Rows(0, 5))
    with pytest.raises(InputError, match="run again what began it") as stopped:
        unerring.resume(path, model=double)
    assert "accept" not in str(stopped.value)


def test_a_process_that_was_made_by_its_name_continues_by_it(tmp_path):
    """Its arguments are those of the command that began it."""
    chain = make_chain("test_changed_processes:Rows", {"last": 5})
    path = halted(tmp_path / "run.db", chain)
    assert unerring.report(path)["parameters"] == {"last": 5}
    assert unerring.resume(path, model=double).steps == 5


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
    for changed, how in ((failing, r"cannot be read now: KeyError: .*parse\(\)"), (new, "is parsed differently now")):
        with pytest.raises(ChainChanged, match=f"step {step}: its winning answer {how}"):
            unerring.resume(path, changed, double)
    assert unerring.resume(path, failing, double, Options(accept_changes=True)).steps == 7


def test_verify_and_the_end_of_a_run_say_that_changes_were_accepted(tmp_path):
    """A note of `verify` has the changes, and the line of steps says that there are some."""
    path = halted(tmp_path / "run.db")
    new = changed(wording="Please double {}.")
    result = unerring.resume(path, new, double, Options(accept_changes=True))
    (note,) = (note for note in unerring.verify(path, new).notes if "accepted" in note)
    assert note.startswith("a person accepted that the process changed: step 0 is asked differently than before")
    assert "; changes of the process were accepted\n" in str(result)
