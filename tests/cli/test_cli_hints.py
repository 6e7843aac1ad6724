"""Hints run as they are printed: every command that an end of a command names is given to a shell's words again."""

import json
import os
import re
import shlex
import signal
import sys

import pytest
from command_runs import NOISE

from faults.answers import Answer, noise
from faults.server import serving
from unerring.cli import demo

ODD = "odd; name it's.db"  # a file's name that a shell would take apart
NAMES = "run|resume|review|verify|report|export|calibrate|plan|solve|rejudge|fork"
WORD = r"""(?!to |once |or |and |reads |what |takes )(?:'[^']*'(?:"'"'[^']*')*|(?:[^\s;,()|'"]|,(?=\S))+)"""
COMMAND = re.compile(rf"unerring (?:{NAMES})(?: {WORD})+")
SHORT = ("run", "ledger:Ledger", "--journal", ODD)


def hinted(done):
    """The commands that a command's output names, each in a shell's words."""
    return [shlex.split(found[0])[1:] for found in COMMAND.finditer(done.out + done.err)]


class Kept:
    """A folder's files as they are now, to be put back."""

    def __init__(self, folder):
        self.folder = folder
        self.files = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def put_back(self):
        for path in self.folder.iterdir():
            if path.is_file() and path not in self.files:
                path.unlink()
        for path, content in self.files.items():
            path.write_bytes(content)


def failing(cli, folder, done):
    """The commands that an output names and that cannot be run as printed, each tried on the files as they were."""
    kept, failed = Kept(folder), {}
    commands = hinted(done)
    if not commands:
        return {"no command": done.out + done.err}
    for words in commands:
        kept.put_back()
        again = cli(*words)
        if again.code not in {0, 3, 4} or re.search(r" [A-Z]$| [A-Z] ", shlex.join(words)):
            failed[shlex.join(words)] = again.err
    kept.put_back()
    return failed


FAILING = """
from ledger import Ledger


class Failing(Ledger):
    def advance(self, state, choice):
        if len(state) == 3:
            raise ValueError("a bug")
        return super().advance(state, choice)


class Longer(Ledger):
    def length(self):
        return 2
"""
UNSURE = ("--model", "noise/p=0.6,v=1", "--k", "25")
STOPS = {
    "step limit": (*SHORT, *NOISE, "--max-steps", "2"),
    "undecided by votes": (*SHORT, *UNSURE),
    "undecided by flags": (*SHORT, "--model", "noise/p=1,v=0", "--k", "2", "--flagged", "1"),
    "nothing but flags": (*SHORT, "--model", "noise/p=1,v=0", "--k", "2"),
    "the user's code": ("run", "failing:Failing", "--journal", ODD, *NOISE),
    "beyond its length": ("run", "failing:Longer", "--journal", ODD, *NOISE),
    "a problem undecided": ("solve", "12 * 13", "--model", "noise/p=0.6,v=1", "--k", "25", "--journal", ODD),
}


def test_what_a_stop_says_to_do_can_be_done_as_printed(cli, ledger, tmp_path):
    """Each command that a stop names is good usage: its file is found, and no placeholder is left in it.

    So are those that report, review, verify and a second run of the stopped one name.
    """
    (tmp_path / "failing.py").write_text(FAILING)
    failed = {}
    for stop, words in STOPS.items():
        for path in tmp_path.glob("*.db*"):
            path.unlink()
        done = cli(*words)
        assert done.code in {3, 4}, done.err
        failed |= {(stop, "run", *one): why for one, why in failing(cli, tmp_path, done).items()}
        looks = {name: (name, ODD) for name in ("report", "verify") if "undecided" in stop or name == "verify"}
        if "undecided" in stop:
            looks["review"] = ("review", ODD)
        for look, words_of_look in looks.items():
            again = failing(cli, tmp_path, cli(*words_of_look))
            failed |= {(stop, look, one): why for one, why in again.items()}
    assert failed == {}


def test_a_larger_limit_is_named_as_a_number_that_helps(cli, ledger):
    """An undecided step names a cap twice as large, and which one; resumed so it takes that many votes more."""
    for model, option in ((UNSURE[1], "--vote-cap"), ("noise/p=1,v=0.02", "--flag-cap")):
        path = f"{option}.db".strip("-")
        done = cli("run", "ledger:Ledger", "--journal", path, "--model", model, "--k", "50", "--flagged", "1")
        (words,) = [words for words in hinted(done) if words[0] == "resume"]
        assert words[1:3] == [path, option]
        again = cli(*words, "--flagged", "1")
        assert again.code == 3
        assert hinted(again)[-1] == ["resume", path, option, str(2 * int(words[3]))]


@pytest.mark.parametrize("limit", [("calls", 2), ("tokens", 900), ("usd", 0.001)], ids=lambda limit: limit[0])
def test_a_budget_that_is_spent_names_one_that_goes_on(cli, tmp_path, monkeypatch, limit):
    """The larger budget is a number; given again and again as it is named, it brings the run to its end."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    with serving(models={"m": noise(p=0.99)}) as server:
        model, (name, value) = f"openai/m@{server.url}", limit
        (tmp_path / "prices.toml").write_text(f'["{model}"]\ninput = 0.40\noutput = 1.60\n')
        words = ("run", "hanoi", "--set", "disks=3", "--k", "2", "--model", model, "--no-probe", "--journal", ODD)
        done = cli(*words, f"--budget-{name}", value, "--prices", "prices.toml")
        for _ in range(20):
            assert done.code == 3, done.err
            (command,) = hinted(done)
            assert command[:3] == ["resume", ODD, f"--budget-{name}"]
            done = cli(*command)
            if done.code == 0:
                return
        raise AssertionError(done.err)


def test_a_larger_budget_is_larger_than_what_is_spent(cli, tmp_path, monkeypatch):
    """Resumed with less than is spent already, a run names a budget that goes on, not twice the smaller one."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    with serving(models={"m": noise(p=0.99)}) as server:
        model = f"openai/m@{server.url}"
        (tmp_path / "prices.toml").write_text(f'["{model}"]\ninput = 0.40\noutput = 1.60\n')
        for name, first, less in (("calls", 12, 5), ("tokens", 4000, 300), ("usd", 0.01, 0.0001)):
            words = ("--k", "2", "--model", model, "--no-probe", "--journal", f"{name}.db", "--prices", "prices.toml")
            cli("run", "hanoi", "--set", "disks=6", *words, f"--budget-{name}", first)
            done = cli("resume", f"{name}.db", f"--budget-{name}", less)
            steps = json.loads(cli("report", f"{name}.db", "--json").out)["steps"]
            (command,) = hinted(done)
            cli(*command)
            assert json.loads(cli("report", f"{name}.db", "--json").out)["steps"] > steps, (name, done.err)


def test_what_other_commands_name_can_be_done_as_printed(cli, ledger, tmp_path):
    """Refusals, calibrations and unfinished runs name commands that run, with real numbers and quoted names."""
    cli(*SHORT, *NOISE, "--max-steps", "2")
    words = ("--set", "disks=10", "--model", "noise/p=0.999,v=1")
    outputs = {
        "taken": cli(*SHORT, *NOISE, "--seed", "9"),
        "verify": cli("verify", ODD),
        "calibrate": cli("calibrate", "hanoi", *words, "--samples", "900", "--out", ODD + ".json"),
        "no k": cli("run", "hanoi", *words, "--journal", "new.db"),
        "no calibration": cli("plan", "--model", "openai/m", "--steps", "7"),
    }
    assert {name: wrong for name, done in outputs.items() if (wrong := failing(cli, tmp_path, done))} == {}


def test_a_file_of_problems_goes_on_with_its_own_command(cli, tmp_path, monkeypatch):
    """Of a budget that all problems share the larger one is given to `solve` itself; as printed it solves them all.

    `resume` would go on with one problem, outside of the budget of the others.
    """
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    (tmp_path / "in it's.jsonl").write_text(
        "".join(f'{{"question": "What is 12 times {n}?"}}\n' for n in (13, 14, 15))
    )
    with serving(models={"m": product}) as server:
        words = ("solve", "--input", "in it's.jsonl", "--out", "out.jsonl", "--model", f"openai/m@{server.url}")
        done, stops = cli(*words, "--no-probe", "--budget-calls=9"), 0
        while done.code == 3:
            (command,) = hinted(done)
            assert command[:5] == list(words[:5])
            assert len([word for word in command if word.startswith("--budget-calls")]) == 1
            done, stops = cli(*command), stops + 1
    assert (done.code, stops > 0) == (0, True), done.err
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3


def product(prompt, *drawn):
    """A model that splits nothing, and gives every problem the same answer."""
    return Answer('{"parts": []}' if prompt.startswith("You plan") else '{"answer": 156}', 20, 4)


def test_problems_left_open_name_what_shows_the_first_and_the_command_that_goes_on(cli, tmp_path):
    """Both run as printed; so does what the answers' file says of the problem itself."""
    (tmp_path / "in.jsonl").write_text('{"question": "12 * 13"}\n')
    words = ("solve", "--input", "in.jsonl", "--out", "out.jsonl", "--model", "noise/p=0.6,v=1", "--k", "25")
    done = cli(*words)
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    commands = hinted(done)
    assert [words[0] for words in commands] == ["review", "solve"]
    assert commands[1] == list(words)
    assert cli(*commands[0]).code == 0
    assert cli(*commands[1]).code == 3
    of_one = [shlex.split(found[0])[1:] for found in COMMAND.finditer(json.loads(line)["undecided"])]
    assert [words[0] for words in of_one] == ["review", "resume"]
    stopped = json.loads(cli(*words, "--json").out)
    assert shlex.split(stopped["next"])[1:] == commands[0]
    assert all(cli(*command).code in {0, 3} for command in of_one)


def test_a_calibration_that_stops_names_its_own_command(cli, tmp_path, monkeypatch):
    """With a larger budget where that stopped it; given as it is named, again and again, it comes to its end."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    with serving(models={"m": noise(p=0.99)}) as server:
        model = f"openai/m@{server.url}"
        words = ("calibrate", "hanoi", "--set", "disks=4", "--model", model, "--samples", "30", "--out", ODD)
        done, stops = cli(*words, "--no-probe", "--budget-calls", "8"), 0
        while done.code == 3:
            (command,) = [one for one in hinted(done) if one[0] == "calibrate"]
            done, stops = cli(*command), stops + 1
    assert (done.code, stops > 0) == (0, True), done.err


@pytest.fixture
def elsewhere(monkeypatch, tmp_path_factory):
    """A function after which no run is known: this is another user's machine."""
    return lambda: monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("elsewhere")))


def test_what_a_command_was_allowed_is_in_the_commands_that_it_names(cli, ledger, tmp_path, elsewhere):
    """A journal from elsewhere goes on with the process that was given: each command runs as printed."""
    cli(*SHORT, *UNSURE, "--max-steps", "1")
    elsewhere()
    allowed = ("--process", "ledger:Ledger")
    assert cli("resume", ODD).code == 2
    ends = (
        *(("verify", ODD), ("resume", ODD), ("review", ODD), ("review", ODD, "--resample")),
        ("fork", ODD, "--at", "0", "--out", "new.db"),
    )
    for words in ends:
        done = cli(*words, *allowed)
        assert [command for command in hinted(done) if "--process" not in command] == [], words
        assert failing(cli, tmp_path, done) == {}, words


def test_a_fork_that_rejudging_names_is_made_as_printed(cli, ledger, tmp_path):
    """Its journal has a name that no file has, and the run in it goes on to its end."""
    assert cli("run", "ledger:Ledger", "--model", "noise/p=1,v=1", "--k", "2", "--journal", "run.db").code == 0
    (tmp_path / "run-from-0.db").write_text("another file")
    code = (tmp_path / "ledger.py").read_text()
    (tmp_path / "ledger.py").write_text(code.replace("return int(", "return 1 + int("))
    sys.modules.pop("ledger")
    done = cli("rejudge", "run.db")
    (command,) = hinted(done)
    assert command == ["fork", "run.db", "--at", "0", "--out", "run-from-0-2.db"]
    made = cli(*command)
    assert (made.code, hinted(made)) == (0, [["resume", "run-from-0-2.db"]])


def test_what_the_demonstration_names_can_be_done_as_printed(cli, tmp_path, monkeypatch):
    """All that it says to try next, and how to go on where Ctrl-C ends it. Long runs are stopped after a few steps."""
    monkeypatch.setattr(demo, "MAX_STEPS", 3)
    done = cli("demo", "--disks", "2")
    commands = hinted(done)
    assert [words[0] for words in commands] == ["report", "export", "run", "resume", "run"]
    for words in commands:
        least = ("--max-steps", "5") if "h12.db" in words else ()
        assert cli(*words, *least).code == (3 if least else 0), words

    class Pressed(demo.Progress):
        def decided(self, decided, state):
            super().decided(decided, state)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(demo, "Progress", Pressed)
    done = cli("demo", "--disks", "3", "--journal", ODD)
    assert done.code == 3
    (command,) = hinted(done)
    assert command == ["resume", ODD]
    assert cli(*command).code == 0


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


def test_the_run_of_a_process_with_a_name_of_its_own_is_gone_on_with_as_printed(cli, ledger, tmp_path):
    """Its name makes no class, so every command that the run names has the class, and so have those that they name."""
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
        commands = [command for command in hinted(done) if "fork" not in command]
        assert commands, end
        assert [one for one in commands if "named:" not in shlex.join(one)] == [], end
        assert failing(cli, tmp_path, done) == {}, end
        shown = cli("review", path, "--process", words[0].replace("made", "Named")) if end == "undecided" else None
        assert shown is None or failing(cli, tmp_path, shown) == {}
        for look in ("report", "verify"):  # the journal does not name the class, so a word stands for it
            named = [one for one in hinted(cli(look, path)) if one[0] in {"resume", "verify"}]
            assert all(one[2:4] == ["--process", "MODULE:CLASS"] for one in named), (end, look, named)
            assert named or end == "finished", (end, look)
    assert "not judged" not in cli(*hinted(done)[-1]).err


def test_how_to_calibrate_a_process_with_a_name_of_its_own_names_its_class(cli, ledger, tmp_path):
    (tmp_path / "named.py").write_text(NAMED)
    done = cli("run", "named:Named", "--model", "noise/p=0.9,v=0.9", "--journal", ODD)
    assert done.code == 2
    (command,) = [one for one in hinted(done) if one[0] == "calibrate"]
    assert command[1] == "named:Named"
