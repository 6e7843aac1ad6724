"""Commands that end otherwise than well: stops, wrong results, errors of the user's code, signals."""

import json
import signal
import sys

import pytest
from command_runs import LEDGER, NOISE, process, ran

import unerring

# --- stops and wrong results


def test_an_undecided_step_stops_and_names_the_option_that_allows_it_more(cli, ledger):
    """A step at its cap ends the run with exit code 3; with a higher cap it goes on to the end."""
    model = ("--model", "noise/p=0.6", "--k", "25")
    done = cli("run", "ledger:Ledger", *model, "--journal", "run.db")
    assert done.code == 3
    assert "step 0 is undecided after 60 votes" in done.line
    assert "unerring resume run.db --vote-cap" in done.line
    assert cli("resume", "run.db").code == 3
    assert cli("resume", "run.db", "--vote-cap", "59").code == 2
    assert cli("resume", "run.db", "--vote-cap", "5000").code == 0


def test_a_step_with_nothing_but_flags_names_what_helps(cli, ledger):
    """Where the parser takes no sample, exit code 3, the reason, and `rejudge`: a higher cap on flags cannot help.

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
    """A run that is not at its end after length() steps stays stopped until a person asks for more, or mends length().

    What it says to do first is to verify it, not to resume it.
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
    told = json.loads(cli("report", "run.db", "--json").out)
    assert (told["steps"], told["stopped"]["kind"]) == (2, "beyond length")
    for command in ("report", "review"):
        assert "continue with: unerring verify run.db" in cli(command, "run.db").out
    asked = cli("resume", "run.db", "--max-steps", "1")
    assert (asked.code, "stopped after 1 step, as --max-steps asks" in asked.err) == (3, True)
    assert "3, beyond the 2 that its process says" in cli("report", "run.db").out
    assert "did 3 steps" in cli("resume", "run.db").err
    (tmp_path / "ledger.py").write_text(LEDGER)  # length() is mended
    sys.modules.pop("ledger", None)
    assert cli("resume", "run.db", "--accept-changes").code == 0


def test_a_dead_endpoint_is_named_at_once(cli, monkeypatch):
    """Where nobody listens the first failure is on stderr at once, and in the line that stops the run."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    done = cli(
        "run", "hanoi", "--set", "disks=2", "--k", "2", "--model", "openai/x@http://127.0.0.1:9/v1", "--patience", 2
    )
    shown = [line for line in done.err.splitlines() if "trying again, for 2 s at most (--patience)" in line]
    assert (done.code, len(shown)) == (3, 1)
    assert shown[0].startswith("openai/x@http://127.0.0.1:9/v1: ")
    assert "refused" in shown[0].lower()


def test_verify_of_an_unfinished_run_exits_with_3(cli):
    """A run that is right as far as it goes, and not over, is neither right (0) nor wrong (1)."""
    cli("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "run.db", "--max-steps", "3")
    done = cli("verify", "run.db")
    assert done.code == 3
    assert "unerring resume run.db" in done.line
    assert "zero errors" not in done.out


def test_verify_names_the_step_that_is_wrong(cli, ledger):
    """A finished run whose votes agreed on wrong answers exits with 1 and the first wrong step."""
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
    """A journal whose bytes were changed is one line and exit code 1."""
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
    """Let the next import of a user's module read its file again."""
    sys.modules.pop(module, None)


def test_a_failure_of_the_users_code_is_one_line_that_names_its_place(cli, tmp_path):
    """What a process's own code raises ends in one line with the user's file and line, and exit code 4."""
    (tmp_path / "ledger.py").write_text(FAILING)
    line = FAILING[: FAILING.index("# here")].count("\n") + 1
    done = cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    assert done.code == 4
    assert "JSONDecodeError" in done.line
    assert str(tmp_path / "ledger.py") in done.line
    assert f"line {line}" in done.line
    assert "unerring resume run.db" in done.line


def test_a_file_that_the_users_code_misses_is_told_with_its_place(cli, tmp_path):
    """An OSError of the process's own code is its failure like any other: place, and how to go on."""
    missing = "        if len(state) == 3:\n            open('no such file')\n        return [*state"
    (tmp_path / "ledger.py").write_text(LEDGER.replace("        return [*state", missing))
    done = cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    assert done.code == 4
    assert "FileNotFoundError" in done.line
    assert str(tmp_path / "ledger.py") in done.line
    assert "unerring resume run.db" in done.line


def test_a_run_goes_on_once_the_users_code_is_mended(cli, tmp_path):
    """The journal of a run that failed in the user's code is resumed with the mended module."""
    (tmp_path / "ledger.py").write_text(FAILING)
    assert cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db").code == 4
    (tmp_path / "ledger.py").write_text(LEDGER)
    forget("ledger")
    assert cli("resume", "run.db").code == 0
    assert cli("verify", "run.db").code == 0


def test_a_process_that_fails_before_its_run_is_open_has_nothing_to_resume(cli, tmp_path):
    """An error in start() is one line, and does not name a command that could not work."""
    (tmp_path / "early.py").write_text(LEDGER.replace("return [1]", "raise ValueError('too early')"))
    done = cli("run", "early:Ledger", *NOISE, "--journal", "run.db")
    assert done.code in (2, 4)
    assert "too early" in done.line
    assert "unerring resume" not in done.line


def test_a_failure_before_the_run_is_open_does_not_name_somebody_elses_journal(cli, tmp_path):
    """Where the journal named holds another run, an error in start() does not suggest to resume that one."""
    ran(cli)
    (tmp_path / "early.py").write_text(LEDGER.replace("return [1]", "raise ValueError('too early')"))
    done = cli("run", "early:Ledger", *NOISE, "--journal", "run.db")
    assert done.code in (2, 4)
    assert "fix it, then" not in done.line


def test_a_verifier_that_fails_is_one_line(cli, tmp_path):
    """An error in a process's own verify() is one line with its place, not a traceback."""
    broken = LEDGER.replace("        before = 1\n", "        before = 1 // 0\n")
    (tmp_path / "ledger.py").write_text(broken)
    cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    done = cli("verify", "run.db")
    assert done.code != 0
    assert "ZeroDivisionError" in done.line


# --- signals


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_a_run_in_good_order(tmp_path, name):
    """Ctrl-C and SIGTERM end in exit code 3 and one line that names the command which goes on."""
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
    told = unerring.report(tmp_path / "run.db")
    assert told["stopped"]["kind"] == "interrupted"
    assert 2 <= told["steps"] < 2000


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
    """Whichever of its modules is being imported at Ctrl-C, it ends with one line and code 3."""
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
    """KeyboardInterrupt from a coroutine, which is where a third Ctrl-C may arrive, ends with one line and code 3."""
    (tmp_path / "own.py").write_text("async def model(prompt):\n    raise KeyboardInterrupt\n")
    words = ("run", "hanoi", "--model", "own:model", "--k", 2, "--speculate", speculate, "--journal", "run.db")
    done = process(*words, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr == "unerring: stopped at once; continue with: unerring resume run.db\n"


def test_the_users_signal_handlers_are_left_as_they_were(cli):
    """After a run in this process, Ctrl-C does what it did before."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    ran(cli)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
