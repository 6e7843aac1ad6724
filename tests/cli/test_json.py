"""With --json stdout of every command is one document, and all prose is on stderr."""

import json

import pytest
from command_runs import NOISE, ran


@pytest.mark.parametrize("command", ["run", "resume", "verify", "report"])
def test_with_json_stdout_is_one_document_and_nothing_else(cli, command):
    """With --json every command's stdout parses as one document, and all prose is on stderr."""
    if command == "run":
        done = ran(cli, "--json")
    else:
        cli("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "run.db", "--max-steps", "3")
        done = cli(command, "run.db", "--json")
    figures = json.loads(done.out)
    assert figures["process"] == "hanoi"
    assert figures["parameters"] == {"disks": 3, "parser": "strict"}
    assert figures["steps"] == (7 if command in ("run", "resume") else 3)


def test_with_json_too_a_run_says_where_it_is_kept(cli, tmp_path):
    """Without --journal the new file is named on stderr or in the JSON, also after a stop."""
    done = cli("run", "hanoi", "--set", "disks=2", *NOISE, "--json")
    (journal,) = tmp_path.glob("*.db")
    assert journal.name in done.err + done.out
    json.loads(done.out)


def test_a_stopped_run_is_reported_in_json(cli):
    """A stopped run with --json prints the reason as an object on stdout, and a line on stderr."""
    done = cli("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "run.db", "--max-steps", "3", "--json")
    assert (done.code, json.loads(done.out)["reason"]) == (3, "stopped after 3 steps, as --max-steps asks")
    assert "unerring resume run.db" in done.line


def test_verify_says_in_json_whether_all_is_well(cli):
    """`ok` is true if nothing is wrong, and `finished` says whether the run is over."""
    ran(cli)
    found = json.loads(cli("verify", "run.db", "--json").out)
    assert (found["ok"], found["finished"], found["judged"], found["steps"]) == (True, True, True, 7)
