"""Hints run as they are printed: every command that an end of a command names is given to a shell's words again."""

import json
import re
import shlex

import pytest
from command_runs import NOISE

from faults.answers import noise
from faults.server import serving

ODD = "odd; name it's.db"  # a file's name that a shell would take apart
NAMES = "run|resume|review|verify|report|export|calibrate|plan"
WORD = r"""(?!to |once |or |and )(?:'[^']*'(?:"'"'[^']*')*|[^\s;,()'"]+)"""
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
"""
UNSURE = ("--model", "noise/p=0.6,v=1", "--k", "25")
STOPS = {
    "step limit": (*SHORT, *NOISE, "--max-steps", "2"),
    "undecided by votes": (*SHORT, *UNSURE),
    "undecided by flags": (*SHORT, "--model", "noise/p=1,v=0", "--k", "2", "--flagged", "1"),
    "nothing but flags": (*SHORT, "--model", "noise/p=1,v=0", "--k", "2"),
    "the user's code": ("run", "failing:Failing", "--journal", ODD, *NOISE),
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
