"""Commands named for a run whose class or model only the user's code knows, not the journal, work as printed."""

import json
import shlex

import pytest
from command_runs import NOISE
from printed_commands import failing, printed_commands

import unerring
from unerring.cli.hints import command_on

ODD = "odd; name it's.db"  # a file's name that a shell would take apart
UNSURE = ("--model", "noise/p=0.6,v=1", "--k", "25")

NAMED = """
from ledger import Ledger


class Named(Ledger):
    name = "und"


class Failing(Named):
    def advance(self, state, choice):
        if len(state) == 3:
            raise ValueError("a bug")
        return super().advance(state, choice)


class Longer(Named):
    def length(self):
        return 2


made = Named(3)
"""


def test_commands_of_a_named_process_carry_its_class(cli, ledger, tmp_path):
    """A process's own name does not lead to its class, so commands named for its run have the class or --process."""
    (tmp_path / "named.py").write_text(NAMED)
    ends = {
        "step limit": ("named:Named", *NOISE, "--max-steps", "2"),
        "an object": ("named:made", *NOISE, "--max-steps", "2"),
        "undecided": ("named:Named", *UNSURE),
        "flagged": ("named:Named", "--model", "noise/p=1,v=0", "--k", "2", "--flagged", "1"),
        "the user's code": ("named:Failing", *NOISE),
        "beyond its length": ("named:Longer", *NOISE),
        "finished": ("named:Named", *NOISE),
    }
    for end, words in ends.items():
        path = f"{end}.db"
        done = cli("run", *words, "--journal", path)
        commands = [command for command in printed_commands(done) if "fork" not in command]
        assert commands, end
        assert [one for one in commands if "named:" not in shlex.join(one)] == [], end
        assert failing(cli, tmp_path, done) == {}, end
        shown = cli("review", path, "--process", words[0].replace("made", "Named")) if end == "undecided" else None
        assert shown is None or failing(cli, tmp_path, shown) == {}
        for look in ("report", "verify"):  # the journal does not name the class, so a word stands for it
            named = [one for one in printed_commands(cli(look, path)) if one[0] in {"resume", "review", "verify"}]
            assert all(one[2:4] == ["--process", "MODULE:NAME"] for one in named), (end, look, named)
            assert named or end == "finished", (end, look)
    assert "not judged" not in cli(*printed_commands(done)[-1]).err


def test_the_calibrate_command_of_a_named_process_has_its_class(cli, ledger, tmp_path):
    """Where a run needs a calibration, the command named for it has the process's class, not its name."""
    (tmp_path / "named.py").write_text(NAMED)
    done = cli("run", "named:Longer", "--model", "noise/p=0.9,v=0.9", "--journal", ODD)
    assert done.code == 2
    (command,) = [one for one in printed_commands(done) if one[0] == "calibrate"]
    assert command[1] == "named:Longer"


CODED = """
from ledger import Ledger

class Coded(Ledger):
    def __init__(self, code):
        super().__init__(3)
        self.code = code

    def parameters(self):
        return {"code": self.code}

    def length(self):
        return 3
"""


def test_the_calibrate_command_keeps_a_text_that_looks_like_a_number(cli, ledger, tmp_path):
    """It makes the same process: a parameter that is the text 7 does not become the number 7."""
    (tmp_path / "coded.py").write_text(CODED)
    done = cli("run", "coded:Coded", "--set", 'code="7"', "--model", "noise/p=0.9,v=0.9", "--journal", ODD)
    (command,) = [one for one in printed_commands(done) if one[0] == "calibrate"]
    assert command[1:4] == ["coded:Coded", "--set", 'code="7"']
    assert cli(*command, "--samples", "30").code == 0
    assert json.loads((tmp_path / "cal.json").read_text())["parameters"] == {"code": "7"}


BANK = """
import unerring
from ledger import Ledger

def model(prompt, settings):
    return f"it is {2 * int(prompt.split()[1])}."

def start(path, steps, model=model):
    chain = type("Bank", (Ledger,), {"__module__": "__main__"})(8)
    unerring.run(chain, model, path, k=2, options=unerring.Options(max_steps=steps, progress=False))

class Bank(Ledger):
    pass
"""


@pytest.fixture
def bank(cli, ledger, tmp_path, monkeypatch):
    """The module of a script whose run, in run.db, stopped; its class and its model are known to the script alone."""
    (tmp_path / "bank.py").write_text(BANK)
    monkeypatch.syspath_prepend(str(tmp_path))
    import bank

    with pytest.raises(unerring.Stopped):
        bank.start("run.db", 2)
    return bank


def test_hints_for_a_script_whose_model_is_a_function_name_what_works(cli, bank):
    """Reports say to run the script again, or a command that works once class and function are filled in."""
    again = "run its script again, or continue with: unerring resume run.db"
    for words in (("report",), ("verify",), ("review",)):
        done = cli(*words, "run.db")
        said = done.out + done.err
        assert f"{again} --process MODULE:NAME --model MODULE:FUNCTION" in said, words
        assert "unerring verify run.db --model" not in said
    named = ("--process", "bank:Bank")
    assert f"{again} --process bank:Bank --model MODULE:FUNCTION" in cli("verify", "run.db", *named).err
    refused = cli("resume", "run.db", *named)
    assert refused.code == 2
    assert "the Python function model" in refused.line
    assert "run its script again, or give the function as --model" in refused.line
    stopped = cli("resume", "run.db", *named, "--model", "bank:model", "--max-steps", "1")
    (command,) = printed_commands(stopped)
    assert command == ["resume", "run.db", *named, "--model", "bank:model"]
    assert cli(*command).code == 0
    assert [voter["name"] for voter in unerring.report("run.db")["voters"]] == ["function model"]


def test_a_fork_of_such_a_run_names_the_command_that_continues_it(cli, bank):
    """Without --model a fork keeps the function, which its resume needs; a fork cannot continue by the script."""
    done = cli("fork", "run.db", "--at", "1", "--out", "other.db", "--process", "bank:Bank")
    (command,) = printed_commands(done)
    assert command == ["resume", "other.db", "--process", "bank:Bank", "--model", "MODULE:FUNCTION"]
    assert "script" not in done.out
    assert cli(*command[:-1], "bank:model").code == 0


def test_only_a_run_of_a_function_takes_a_model_on_resuming(cli, bank):
    """A run whose model has a name keeps it; a name of something else than a function is refused."""
    assert cli("run", "ledger:Ledger", "--journal", ODD, *NOISE, "--max-steps", "2").code == 3
    assert "the run keeps its model, noise/p=0.9" in cli("resume", ODD, "--model", "bank:model").line
    for other in ("noise/p=1", "bank:Ledger"):
        assert "--model is written module:function here" in cli("resume", "run.db", "--model", other).line


def test_a_run_of_several_models_with_a_function_is_continued_by_its_script(cli, bank):
    """No option gives such models again: hints and refusals name the script, and the call in Python that works."""
    models = [bank.model, "noise/p=1"]
    with pytest.raises(unerring.Stopped):
        bank.start("two.db", 1, models)
    call = "unerring.resume('two.db', chain, model=[...])"
    for words in (("report",), ("verify",), ("review",)):
        done = cli(*words, "two.db")
        assert f"run its script again, or continue with: {call}" in done.out + done.err, words
    assert json.loads(cli("verify", "two.db", "--json").out)["next"] == call
    named = ("--process", "bank:Bank")
    for given in ((), ("--model", "bank:model")):
        refused = cli("resume", "two.db", *named, *given)
        said = "one of the run's models was the Python function model, which no journal can make again: "
        said += "run its script again, or call unerring.resume(journal, model=[...])"
        assert (refused.code, refused.line) == (2, f"unerring: {said}"), given
    forked = cli("fork", "two.db", "--at", "1", "--out", "other.db", *named)
    assert forked.out.endswith("continue with: unerring.resume('other.db', chain, model=[...])\n")
    assert unerring.resume("two.db", bank.Bank(8), model=models).steps == 8


def test_a_run_that_escalates_from_a_function_is_continued_by_its_script_alone(cli, bank):
    """A model in reserve is an option of new runs only, so that no call of `resume` is named."""
    options = unerring.Options(max_steps=1, escalate="noise/p=1", progress=False)
    with pytest.raises(unerring.Stopped):
        unerring.run(bank.Bank(8), bank.model, "two.db", k=2, options=options)
    done = cli("verify", "two.db")
    assert "its run is not finished; run its script again\n" in done.err
    refused = cli("resume", "two.db", "--process", "bank:Bank")
    assert refused.line.endswith("the Python function model, which no journal can make again: run its script again")


def test_a_call_in_python_has_the_options_of_its_command(bank):
    """A cap that a report suggests raising is named in the call as it is in Python."""
    with pytest.raises(unerring.Stopped):
        bank.start("two.db", 1, [bank.model, "noise/p=1"])
    call = command_on("resume", "two.db", "--vote-cap", "120", "--accept-changes")
    options = "options=unerring.Options(vote_cap=120, accept_changes=True)"
    assert call == f"unerring.resume('two.db', chain, model=[...], {options})"


def test_a_second_run_of_a_function_in_its_journal_names_how_to_continue_in_python(bank):
    """A journal of another run says how to continue that one: with its function, which a command does not have."""
    with pytest.raises(
        unerring.InputError, match=r"continue that one \(unerring.resume\('run.db', chain=\.\.\., model=\.\.\.\)\)"
    ):
        bank.start("run.db", 2, "noise/p=1")
