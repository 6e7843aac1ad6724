"""`unerring rejudge` reads the samples of a run with a changed parser, and lists what it reads differently."""

import json
import sys
from pathlib import Path

import pytest

NOISY = ("--model", "noise/p=0.9,v=0.4", "--k", "3", "--flag-cap", "1")


def edit(old, new):
    """Change the code of the user's process, as a user does between two commands."""
    path = Path("ledger.py")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    sys.modules.pop("ledger", None)


@pytest.fixture
def flagged(cli, ledger):
    """A command line in a folder with a run that stopped at a step with mostly flagged samples."""
    done = cli("run", "ledger:Ledger", *NOISY, "--journal", "run.db", "--speculate", "off")
    assert done.code == 3, done.err
    return cli


LENIENT = ('raise RedFlag("not an answer")', "return 0")


def test_a_run_continues_with_the_changed_parser(flagged):
    """A run stopped by a parser's fault continues after rejudge, which lists what the new parser reads differently."""
    edit(*LENIENT)
    stopped = flagged("resume", "run.db")
    assert (stopped.code, "parses its stored samples differently now" in stopped.line) == (2, True)
    tried = flagged("rejudge", "run.db", "--dry-run")
    assert (tried.code, "nothing was written" in tried.out) == (0, True)
    done = flagged("rejudge", "run.db")
    assert done.code == 0
    assert "was flagged as malformed, is a vote for 0" in done.out
    assert "recorded in the journal; continue with: unerring resume run.db" in done.out
    again = flagged("resume", "run.db")
    assert "otherwise" not in again.err
    shown = flagged("report", "run.db").out
    assert "read differently by a later parser or check" in shown


def test_the_command_that_rejudge_prints_is_not_refused(cli, ledger):
    """It carries --accept-changes where `resume` requires that, as after a committed step that reads differently."""
    Path("half.py").write_text(
        "def model(prompt, settings):\n    return 'it is 2.' if prompt == 'double 1' else 'eh'\n"
    )
    run = cli("run", "ledger:Ledger", "--model", "half:model", "--k", "2", "--journal", "run.db", "--flagged", "1")
    assert run.code == 3
    edit('return int(text.removeprefix("it is ").rstrip("."))', "return 1 + int(text[6:-1])")
    edit(
        'if not text.startswith("it is ")',
        'if text == "eh":\n            return 7\n        if not text.startswith("it is ")',
    )
    done = cli("rejudge", "run.db")
    (line,) = (line for line in done.out.splitlines() if line.startswith("recorded in the journal"))
    command = line.partition("continue with: unerring ")[2]
    assert command == "resume run.db --accept-changes"
    assert "accept-changes" in cli("resume", "run.db").line
    again = cli(*command.split())
    assert (again.code, "changes of the process were accepted" in again.out) == (0, True), again.err


def test_committed_steps_that_would_be_decided_otherwise_exit_with_1(cli, ledger):
    """They are listed and stay as they are, with exit code 1; the line names the step to fork from."""
    assert cli("run", "ledger:Ledger", "--model", "noise/p=1,v=1", "--k", "2", "--journal", "run.db").code == 0
    before = Path("run.db").read_bytes()
    assert cli("rejudge", "run.db").code == 0
    edit('return int(text.removeprefix("it is ").rstrip("."))', "return 1 + int(text[6:-1])")
    done = cli("rejudge", "run.db")
    assert done.code == 1
    assert "step 0 would be decided differently: was 2, now 3" in done.out
    assert "unerring fork run.db --at 0 --out run-from-0.db" in done.line
    shown = json.loads(cli("rejudge", "run.db", "--json").out)
    assert (shown["kind"], shown["exit_code"], shown["overturned"]) == ("decided otherwise", 1, 4)
    assert shown["overturns"][0] == {"step": 0, "was": 2, "now": 3, "decided": True, "was_decided": True}
    assert Path("run.db").read_bytes() == before


def test_what_cannot_be_rejudged_is_one_line(cli, ledger):
    """A missing file, another process and failing code each give one line and their exit code."""
    assert (done := cli("rejudge", "none.db")).code == 2, done.line
    assert cli("run", "ledger:Ledger", "--model", "noise/p=1,v=1", "--k", "2", "--journal", "run.db").code == 0
    assert (cli("rejudge", "run.db", "--process", "hanoi")).code == 2
    edit('return int(text.removeprefix("it is ").rstrip("."))', "return text.nothing")
    done = cli("rejudge", "run.db")
    assert done.code == 4
    assert "parse" in done.line
