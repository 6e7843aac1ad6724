"""Every command that a message names is run as printed, and works."""

import json
import os
import shlex
import signal
import sys

import pytest
from command_runs import NOISE
from printed_commands import COMMAND, failing, printed_commands

import unerring
from faults.answers import Answer, noise
from faults.server import serving
from unerring.cli import demo
from unerring.cli.exits import end_of
from unerring.cli.hints import in_commands
from unerring.errors import ChainChanged

ODD = "odd; name it's.db"  # a file's name that a shell would take apart
SHORT = ("run", "ledger:Ledger", "--journal", ODD)


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


def test_commands_named_by_a_stop_run_as_printed(cli, ledger, tmp_path):
    """Each command that a stop names runs as printed: its file exists, and no placeholder is left in it.

    The same holds for the commands that report, review, verify and a second run of the stopped run name.
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
    """An undecided step names the cap that it hit and twice its value.

    Resumed so, the step takes that many more votes.
    """
    for model, option in ((UNSURE[1], "--vote-cap"), ("noise/p=1,v=0.02", "--flag-cap")):
        path = f"{option}.db".strip("-")
        done = cli("run", "ledger:Ledger", "--journal", path, "--model", model, "--k", "50", "--flagged", "1")
        (words,) = [words for words in printed_commands(done) if words[0] == "resume"]
        assert words[1:3] == [path, option]
        again = cli(*words, "--flagged", "1")
        assert again.code == 3
        assert printed_commands(again)[-1] == ["resume", path, option, str(2 * int(words[3]))]


@pytest.mark.parametrize("limit", [("calls", 2), ("tokens", 900), ("usd", 0.001)], ids=lambda limit: limit[0])
def test_a_spent_budget_names_a_larger_one(cli, tmp_path, monkeypatch, limit):
    """The larger budget is a number; resuming with it, again and again, brings the run to its end."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    with serving(models={"m": noise(p=0.99)}) as server:
        model, (name, value) = f"openai/m@{server.url}", limit
        (tmp_path / "prices.toml").write_text(f'["{model}"]\ninput = 0.40\noutput = 1.60\n')
        words = ("run", "hanoi", "--set", "disks=3", "--k", "2", "--model", model, "--no-probe", "--journal", ODD)
        done = cli(*words, f"--budget-{name}", value, "--prices", "prices.toml")
        for _ in range(20):
            assert done.code == 3, done.err
            (command,) = printed_commands(done)
            assert command[:3] == ["resume", ODD, f"--budget-{name}"]
            done = cli(*command)
            if done.code == 0:
                return
        raise AssertionError(done.err)


def test_a_larger_budget_is_larger_than_what_is_spent(cli, tmp_path, monkeypatch):
    """A run resumed with less than it has spent names a budget that suffices, not twice the smaller one."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    with serving(models={"m": noise(p=0.99)}) as server:
        model = f"openai/m@{server.url}"
        (tmp_path / "prices.toml").write_text(f'["{model}"]\ninput = 0.40\noutput = 1.60\n')
        for name, first, less in (("calls", 12, 5), ("tokens", 4000, 300), ("usd", 0.01, 0.0001)):
            words = ("--k", "2", "--model", model, "--no-probe", "--journal", f"{name}.db", "--prices", "prices.toml")
            cli("run", "hanoi", "--set", "disks=6", *words, f"--budget-{name}", first)
            done = cli("resume", f"{name}.db", f"--budget-{name}", less)
            steps = json.loads(cli("report", f"{name}.db", "--json").out)["steps"]
            (command,) = printed_commands(done)
            cli(*command)
            assert json.loads(cli("report", f"{name}.db", "--json").out)["steps"] > steps, (name, done.err)


def test_commands_named_by_other_messages_run_as_printed(cli, ledger, tmp_path):
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


def test_a_file_of_problems_names_its_own_command(cli, tmp_path, monkeypatch):
    """A spent budget that all problems share is raised for `solve` itself, which then solves them all as printed.

    `resume` would continue one problem, outside of the others' budget.
    """
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    (tmp_path / "in it's.jsonl").write_text(
        "".join(f'{{"question": "What is 12 times {n}?"}}\n' for n in (13, 14, 15))
    )
    with serving(models={"m": product}) as server:
        words = ("solve", "--input", "in it's.jsonl", "--out", "out.jsonl", "--model", f"openai/m@{server.url}")
        done, stops = cli(*words, "--no-probe", "--budget-calls=9"), 0
        while done.code == 3:
            (command,) = printed_commands(done)
            assert command[:5] == list(words[:5])
            assert len([word for word in command if word.startswith("--budget-calls")]) == 1
            done, stops = cli(*command), stops + 1
    assert (done.code, stops > 0) == (0, True), done.err
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3


def product(prompt, *drawn):
    """A model that never splits a problem and gives every problem the same answer."""
    return Answer('{"parts": []}' if prompt.startswith("You plan") else '{"answer": 156}', 20, 4)


def test_problems_left_open_name_commands_that_run(cli, tmp_path):
    """The commands to see the first open problem and to continue run as printed, also the one in the answers' file."""
    (tmp_path / "in.jsonl").write_text('{"question": "12 * 13"}\n')
    words = ("solve", "--input", "in.jsonl", "--out", "out.jsonl", "--model", "noise/p=0.6,v=1", "--k", "25")
    done = cli(*words)
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    commands = printed_commands(done)
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
    """A calibration stopped by its budget names itself with a larger one; repeated as named, it finishes."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    with serving(models={"m": noise(p=0.99)}) as server:
        model = f"openai/m@{server.url}"
        words = ("calibrate", "hanoi", "--set", "disks=4", "--model", model, "--samples", "30", "--out", ODD)
        done, stops = cli(*words, "--no-probe", "--budget-calls", "8"), 0
        while done.code == 3:
            (command,) = [one for one in printed_commands(done) if one[0] == "calibrate"]
            done, stops = cli(*command), stops + 1
    assert (done.code, stops > 0) == (0, True), done.err


@pytest.fixture
def elsewhere(monkeypatch, tmp_path_factory):
    """A function that forgets all known runs, as if this were another user's machine."""
    return lambda: monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("elsewhere")))


def test_named_commands_keep_the_permissions_given(cli, ledger, tmp_path, elsewhere):
    """Commands named for a foreign journal have the process and permissions that were given, and run as printed."""
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
        assert [command for command in printed_commands(done) if "--process" not in command] == [], words
        assert failing(cli, tmp_path, done) == {}, words


def test_the_fork_that_rejudge_names_runs_as_printed(cli, ledger, tmp_path):
    """The fork gets a file name that is free, and its run continues to the end."""
    assert cli("run", "ledger:Ledger", "--model", "noise/p=1,v=1", "--k", "2", "--journal", "run.db").code == 0
    (tmp_path / "run-from-0.db").write_text("another file")
    code = (tmp_path / "ledger.py").read_text()
    (tmp_path / "ledger.py").write_text(code.replace("return int(", "return 1 + int("))
    sys.modules.pop("ledger")
    done = cli("rejudge", "run.db")
    (command,) = printed_commands(done)
    assert command == ["fork", "run.db", "--at", "0", "--out", "run-from-0-2.db"]
    made = cli(*command)
    assert (made.code, printed_commands(made)) == (0, [["resume", "run-from-0-2.db"]])


def test_commands_named_by_the_demonstration_run_as_printed(cli, tmp_path, monkeypatch):
    """All commands that it suggests, also after Ctrl-C, run as printed. Long runs are stopped after a few steps."""
    monkeypatch.setattr(demo, "LARGE_PUZZLE_STEPS", 3)
    done = cli("demo", "--disks", "2")
    commands = printed_commands(done)
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
    (command,) = printed_commands(done)
    assert command == ["resume", ODD]
    assert cli(*command).code == 0


def test_after_a_parser_is_fixed_rejudge_is_named_and_keeps_the_samples(cli, ledger, tmp_path):
    """A run whose parser refused all samples names `rejudge` when it stops, and when it is resumed with a fixed one.

    As printed it counts the stored samples, and the run continues to its end without a change to accept.
    """
    code = (tmp_path / "ledger.py").read_text()
    (tmp_path / "ledger.py").write_text(code.replace('"it is "', '"It is "'))
    stopped = cli(*SHORT, "--model", "noise/p=1,v=1", "--k", "2", "--speculate", "off")
    assert stopped.code == 3
    assert ["rejudge", ODD] in printed_commands(stopped)
    samples = unerring.report(ODD)["samples"]["received"]
    (tmp_path / "ledger.py").write_text(code)
    sys.modules.pop("ledger")
    refused = cli("resume", ODD)
    assert refused.code == 2
    (rejudge,) = printed_commands(refused)
    assert rejudge == ["rejudge", ODD]
    assert refused.line.index("unerring rejudge") < refused.line.index("--accept-changes")
    assert cli(*rejudge).code == 0
    assert cli("resume", ODD).code == 0
    report = unerring.report(ODD)
    assert (report["changes"], report["samples"]["flagged"]) == ([], 0)
    assert report["samples"]["received"] == samples + 2 * 3  # two votes for each of the other steps


def test_a_parser_that_reads_a_committed_winner_differently_names_rejudge(cli, ledger, tmp_path):
    """There `rejudge` shows what differs; the change is still to be accepted."""
    assert cli(*SHORT, "--model", "noise/p=1,v=1", "--k", "2", "--max-steps", "2").code == 3
    code = (tmp_path / "ledger.py").read_text()
    (tmp_path / "ledger.py").write_text(code.replace("return int(", "return 1 + int("))
    sys.modules.pop("ledger")
    refused = cli("resume", ODD)
    assert printed_commands(refused) == [["rejudge", ODD]]
    assert "to see all that differs: unerring rejudge" in refused.line
    assert refused.line.endswith("or accept the change: --accept-changes")


def test_the_end_of_a_command_is_made_without_reading_a_journal(monkeypatch):
    """Only where advice is shown does a call of `unerring.rejudge` become the command, which looks at the journal."""
    reads = []
    monkeypatch.setattr("unerring.cli.hints.opening_entry", reads.append)
    advice = "the parser changed; to count them: `unerring.rejudge('run.db')`, or give `k`"
    assert end_of(ChainChanged(advice)).reason == advice.replace("`k`", "--k")
    assert reads == []
    assert in_commands(advice) == "the parser changed; to count them: unerring rejudge FILE, or give --k"
