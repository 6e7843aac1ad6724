"""Commands that end early: stops, wrong results, errors in the user's code, and signals."""

import json
import signal
import sys

import pytest
from command_runs import LEDGER, NOISE, process, ran

import unerring

# --- stops and wrong results


def test_an_undecided_step_stops_and_names_the_option_that_allows_it_more(cli, ledger):
    """A step at its cap ends the run with exit code 3; with a higher cap it is decided and the run finishes."""
    model = ("--model", "noise/p=0.6", "--k", "25")
    done = cli("run", "ledger:Ledger", *model, "--journal", "run.db")
    assert done.code == 3
    assert "step 0 is undecided after 60 votes" in done.line
    assert "unerring resume run.db --vote-cap" in done.line
    assert cli("resume", "run.db").code == 3
    assert cli("resume", "run.db", "--vote-cap", "59").code == 2
    assert cli("resume", "run.db", "--vote-cap", "5000").code == 0


def test_a_step_with_only_flags_names_rejudge(cli, ledger):
    """If every sample is flagged, the run exits with 3, names the reason and `rejudge`: a higher cap cannot help.

    `review` shows equal samples once, with their numbers, and names `rejudge` too; --full shows each of them.
    """
    done = cli("run", "ledger:Ledger", "--model", "noise/v=0", "--k", "2", "--journal", "run.db", "--flagged", "1")
    assert done.code == 3
    assert ("--flag-cap" in done.line, "not an answer" in done.line) == (False, True)
    assert "unerring rejudge run.db" in done.line
    shown, full = cli("review", "run.db").out, cli("review", "run.db", "--full").out
    assert "unerring rejudge run.db" in shown
    assert " more like it: " in shown
    assert shown.count("reason: ") < full.count("reason: ") == full.count("flagged: ")
    assert json.loads(cli("report", "run.db", "--json").out)["samples"]["voted"] == 0


def test_verify_says_once_what_is_wrong(cli, ledger, tmp_path):
    """The last line names what is wrong; the first one only counts, whoever judged, and claims nothing about steps."""
    assert cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db").code == 0
    (tmp_path / "ledger.py").write_text(LEDGER.replace("        return None\n", "        return 'the sum is off'\n"))
    sys.modules.pop("ledger", None)
    done = cli("verify", "run.db")
    assert (done.code, done.out.endswith(" committed.\n")) == (1, True)
    assert done.line.endswith("run.db holds a wrong result: the sum is off")


def test_a_run_beyond_its_length_stays_stopped(cli, ledger, tmp_path):
    """A run not at its end after length() steps stays stopped until asked for more, or until length() is corrected.

    The message says to verify the run before resuming it.
    """
    short = LEDGER.replace("class Ledger:", "class Ledger:\n    def length(self):\n        return 2\n")
    (tmp_path / "ledger.py").write_text(short)
    sys.modules.pop("ledger", None)
    run = ("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    for words in (run, run, ("resume", "run.db"), (*run, "--accept-changes")):
        done = cli(*words)
        assert done.code == 3, words
        last = done.err.splitlines()[-1]
        assert "did 2 steps, and is not at its end after the 2 that its process says it has" in last
        assert "continue with: unerring verify run.db, which" in last
        assert "unerring resume run.db --max-steps 100" in last
    report = json.loads(cli("report", "run.db", "--json").out)
    assert (report["steps"], report["stopped"]["kind"]) == (2, "beyond length")
    for command in ("report", "review"):
        assert "continue with: unerring verify run.db" in cli(command, "run.db").out
    asked = cli("resume", "run.db", "--max-steps", "1")
    assert (asked.code, "stopped after 1 step, as --max-steps asks" in asked.err) == (3, True)
    assert "3, beyond the 2 that its process says" in cli("report", "run.db").out
    assert "did 3 steps" in cli("resume", "run.db").err
    (tmp_path / "ledger.py").write_text(LEDGER)  # length() is corrected
    sys.modules.pop("ledger", None)
    assert cli("resume", "run.db", "--accept-changes").code == 0


def test_a_dead_endpoint_is_named_at_once(cli, monkeypatch):
    """If the connection is refused, stderr says so at the first failure, and so does the line that stops the run."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    done = cli(
        "run", "hanoi", "--set", "disks=2", "--k", "2", "--model", "openai/x@http://127.0.0.1:9/v1", "--patience", 2
    )
    shown = [line for line in done.err.splitlines() if "trying again, for 2 s at most (--patience)" in line]
    assert (done.code, len(shown)) == (3, 1)
    assert shown[0].startswith("openai/x@http://127.0.0.1:9/v1: ")
    assert "refused" in shown[0].lower()


def test_verify_of_an_unfinished_run_exits_with_3(cli):
    """A run that is right so far but not finished gives neither 0 (right) nor 1 (wrong)."""
    cli("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "run.db", "--max-steps", "3")
    done = cli("verify", "run.db")
    assert done.code == 3
    assert "unerring resume run.db" in done.line
    assert "zero errors" not in done.out


def test_verify_names_the_step_that_is_wrong(cli, ledger):
    """A finished run with wrong choices exits with 1 and names the first wrong step."""
    model = ("--model", "noise/p=0,c=1", "--k", "3")
    assert cli("run", "ledger:Ledger", *model, "--journal", "run.db").code == 0
    done = cli("verify", "run.db")
    assert done.code == 1
    assert "wrong" in done.line
    assert "step 0: " in done.line
    assert "zero errors" not in done.out
    assert "each held" not in done.out
    found = cli("verify", "run.db", "--json")
    assert (found.code, json.loads(found.out)["ok"]) == (1, False)


def test_verify_of_a_wrong_game_of_hanoi_exits_with_1(cli):
    """A journal whose first step miscopied the pegs fails by the rules of the game, finished or not."""
    for seed in range(40):  # the noise sampler's wrong answers are of several kinds; one of them is no legal game
        model = ("--model", "noise/p=0,c=1", "--k", "2", "--seed", seed, "--max-steps", "1")
        cli("run", "hanoi", "--set", "disks=3", *model, "--journal", f"{seed}.db")
        step = json.loads(cli("export", f"{seed}.db").out)
        if step["next_state"] not in ([[3, 2], [1], []], [[3, 2], [], [1]]):
            break
    done = cli("verify", f"{seed}.db")
    assert done.code == 1
    assert "step 0: the move leads to" in done.line


def test_a_damaged_journal_exits_with_1(cli, tmp_path):
    """A journal with changed bytes gives one line and exit code 1."""
    ran(cli)
    path = tmp_path / "run.db"
    data = bytearray(path.read_bytes())
    at = data.index(b"noise/p=0.9") if b"noise/p=0.9" in data else len(data) - 40
    data[at] ^= 1
    path.write_bytes(data)
    done = cli("verify", "run.db")
    assert done.code == 1
    assert "damaged" in done.line


# --- the user's own code


FAILING = LEDGER.replace(
    "        return [*state, choice]",
    "        if len(state) == 3:\n            return json.loads('{')  # here\n        return [*state, choice]",
).replace("from unerring", "import json\n\nfrom unerring", 1)


def forget(module):
    """Make the next import of a user's module read its file again."""
    sys.modules.pop(module, None)


def test_a_failure_of_the_users_code_is_one_line_that_names_its_place(cli, tmp_path):
    """An exception of the process's code ends with one line with the user's file and line, and exit code 4."""
    (tmp_path / "ledger.py").write_text(FAILING)
    line = FAILING[: FAILING.index("# here")].count("\n") + 1
    done = cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    assert done.code == 4
    assert "JSONDecodeError" in done.line
    assert str(tmp_path / "ledger.py") in done.line
    assert f"line {line}" in done.line
    assert "unerring resume run.db" in done.line


def test_a_missing_file_in_the_users_code_is_reported_with_its_place(cli, tmp_path):
    """An OSError of the process's code is reported like other errors of it, with file and line."""
    missing = "        if len(state) == 3:\n            open('no such file')\n        return [*state"
    (tmp_path / "ledger.py").write_text(LEDGER.replace("        return [*state", missing))
    done = cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    assert done.code == 4
    assert "FileNotFoundError" in done.line
    assert str(tmp_path / "ledger.py") in done.line
    assert "unerring resume run.db" in done.line


def test_a_run_continues_once_the_users_code_is_fixed(cli, tmp_path):
    """The journal of a run that failed in the user's code is resumed with the corrected module."""
    (tmp_path / "ledger.py").write_text(FAILING)
    assert cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db").code == 4
    (tmp_path / "ledger.py").write_text(LEDGER)
    forget("ledger")
    assert cli("resume", "run.db").code == 0
    assert cli("verify", "run.db").code == 0


def test_a_process_that_fails_before_its_run_is_open_has_nothing_to_resume(cli, tmp_path):
    """An error in start() is one line that names no command to resume, since there is no journal."""
    (tmp_path / "early.py").write_text(LEDGER.replace("return [1]", "raise ValueError('too early')"))
    done = cli("run", "early:Ledger", *NOISE, "--journal", "run.db")
    assert done.code in (2, 4)
    assert "too early" in done.line
    assert "unerring resume" not in done.line


def test_a_failure_before_the_run_is_open_does_not_name_another_runs_journal(cli, tmp_path):
    """If the named journal holds another run, an error in start() does not suggest resuming that run."""
    ran(cli)
    (tmp_path / "early.py").write_text(LEDGER.replace("return [1]", "raise ValueError('too early')"))
    done = cli("run", "early:Ledger", *NOISE, "--journal", "run.db")
    assert done.code in (2, 4)
    assert "fix it, then" not in done.line


def test_a_verifier_that_fails_is_one_line(cli, tmp_path):
    """An error in a process's verify() is one line with file and line, without a traceback."""
    broken = LEDGER.replace("        before = 1\n", "        before = 1 // 0\n")
    (tmp_path / "ledger.py").write_text(broken)
    cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    done = cli("verify", "run.db")
    assert done.code != 0
    assert "ZeroDivisionError" in done.line


# --- signals


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_a_run_resumably(tmp_path, name):
    """Ctrl-C and SIGTERM end with exit code 3 and one line that names the command to continue."""
    kill = f"        if len(state) == 2:\n            os.kill(os.getpid(), signal.{name})\n"
    signalled = LEDGER.replace("        return [*state", kill + "        return [*state")
    signalled = signalled.replace("from unerring", "import os\nimport signal\n\nfrom unerring", 1)
    (tmp_path / "ledger.py").write_text(signalled)
    done = process("run", "ledger:Ledger", "--set", "steps=2000", *NOISE, "--journal", "run.db", cwd=tmp_path)
    assert done.returncode == 3
    last = done.stderr.splitlines()[-1]
    assert last == f"unerring: stopped by {name}; continue with: unerring resume run.db"
    assert "Traceback" not in done.stderr
    (tmp_path / "ledger.py").write_text(LEDGER)
    report = unerring.report(tmp_path / "run.db")
    assert report["stopped"]["kind"] == "interrupted"
    assert 2 <= report["steps"] < 2000


INTERRUPTED = """
import sys

class Interrupting:
    def find_spec(self, name, *more):
        if name == sys.argv[1]:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from unerring.__main__ import main

main()
"""


def test_an_interrupt_while_the_command_line_is_loaded_is_one_line(tmp_path):
    """Ctrl-C during the import of any of its modules ends with one line and exit code 3."""
    places = (
        "unerring.api.running",
        "unerring.errors",
        "unerring.api",
        "unerring.cli.main",
        "unerring.cli.options",
        "click",
    )
    program = (sys.executable, "-c", INTERRUPTED)
    ends = {place: process(place, cwd=tmp_path, program=program) for place in places}
    assert {place: (done.returncode, done.stderr) for place, done in ends.items()} == dict.fromkeys(
        places, (3, "unerring: stopped\n")
    )


@pytest.mark.parametrize("speculate", ["off", "leader"])
def test_an_interrupt_inside_a_model_is_one_line(tmp_path, speculate):
    """KeyboardInterrupt raised in a model's coroutine, as by a third Ctrl-C, ends with one line and exit code 3."""
    (tmp_path / "own.py").write_text("async def model(prompt):\n    raise KeyboardInterrupt\n")
    words = ("run", "hanoi", "--model", "own:model", "--k", 2, "--speculate", speculate, "--journal", "run.db")
    done = process(*words, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr == "unerring: stopped at once; continue with: unerring resume run.db\n"


def test_the_users_signal_handlers_are_restored(cli):
    """After a run in this process Ctrl-C has its former effect."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    ran(cli)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
