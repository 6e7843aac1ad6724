"""The commands that go back over a run: rejudge and fork."""

import json
import sys
from pathlib import Path

import pytest

NOISY = ("--model", "noise/p=0.9,v=0.4", "--k", "3", "--flag-cap", "1")


def edit(old, new):
    """Change the code of the user's process, as between two commands."""
    path = Path("ledger.py")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    sys.modules.pop("ledger", None)


@pytest.fixture
def flagged(cli, ledger):
    """A command line in a folder with a run that stopped at a step, most of whose samples are flagged."""
    done = cli("run", "ledger:Ledger", *NOISY, "--journal", "run.db", "--speculate", "off")
    assert done.code == 3, done.err
    return cli


LENIENT = ('raise RedFlag("not an answer")', "return 0")


def test_a_run_goes_on_with_the_present_parser(flagged):
    """A run that stops since its parser changed goes on after rejudge, which says what reads otherwise."""
    edit(*LENIENT)
    stopped = flagged("resume", "run.db")
    assert (stopped.code, "reads its stored samples otherwise" in stopped.line) == (2, True)
    tried = flagged("rejudge", "run.db", "--dry-run")
    assert (tried.code, "nothing was written" in tried.out) == (0, True)
    done = flagged("rejudge", "run.db")
    assert done.code == 0
    assert "was flagged as malformed, is a vote for 0" in done.out
    assert "recorded; go on with: unerring resume run.db" in done.out
    again = flagged("resume", "run.db")
    assert "otherwise" not in again.err
    told = flagged("report", "run.db").out
    assert "judged otherwise by a later parser or check" in told


def test_committed_steps_that_would_be_decided_otherwise_exit_with_1(cli, ledger):
    """They are listed, and stay; the line says where a fork begins."""
    assert cli("run", "ledger:Ledger", "--model", "noise/p=1,v=1", "--k", "2", "--journal", "run.db").code == 0
    before = Path("run.db").read_bytes()
    assert cli("rejudge", "run.db").code == 0
    edit('return int(text.removeprefix("it is ").rstrip("."))', "return 1 + int(text[6:-1])")
    done = cli("rejudge", "run.db")
    assert done.code == 1
    assert "step 0 would be decided otherwise: was 2, now 3" in done.out
    assert "unerring fork run.db --at 0 --out NEW.db" in done.line
    told = json.loads(cli("rejudge", "run.db", "--json").out)
    assert (told["kind"], told["exit_code"], told["overturned"]) == ("decided otherwise", 1, 4)
    assert told["overturns"][0] == {"step": 0, "was": 2, "now": 3, "decided": True}
    assert Path("run.db").read_bytes() == before


def test_what_cannot_be_judged_again_is_one_line(cli, ledger):
    """No file, another process, code that fails: each with its exit code."""
    assert (done := cli("rejudge", "none.db")).code == 2, done.line
    assert cli("run", "ledger:Ledger", "--model", "noise/p=1,v=1", "--k", "2", "--journal", "run.db").code == 0
    assert (cli("rejudge", "run.db", "--process", "hanoi")).code == 2
    edit('return int(text.removeprefix("it is ").rstrip("."))', "return text.nothing")
    done = cli("rejudge", "run.db")
    assert done.code == 4
    assert "parse" in done.line
