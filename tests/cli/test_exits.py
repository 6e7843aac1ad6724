"""How commands end for scripts: exit codes, the JSON object, --require, --traceback and shell completion."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from command_runs import LEDGER, NOISE, SCRIPT, process, ran

from unerring.cli.main import commands

UNDECIDED = ("--model", "noise/p=0.6", "--k", "25")
RUN = ("run", "ledger:Ledger", "--journal", "run.db")
HANOI = ("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "run.db")


def broken(method, error="raise ValueError('of the user')"):
    """The ledger with an error in the first line of one of its methods."""
    at = LEDGER.index(f"    def {method}(")
    head, _, body = LEDGER[at:].partition("\n")
    return f"{LEDGER[:at]}{head}\n        {error}\n{body}"


@pytest.fixture
def failing(tmp_path):
    """A function that writes the ledger with an error in one of its methods."""

    def write(method):
        (tmp_path / "ledger.py").write_text(broken(method))
        sys.modules.pop("ledger", None)  # the next import reads the file
        return str(tmp_path / "ledger.py")

    return write


def test_sys_exit_in_a_users_method_is_an_error_of_the_users_code(cli, tmp_path):
    """`sys.exit()` and the like in any method give exit code 4, one line with file and line, and one JSON object."""
    ends = {}
    for raised in ("SystemExit(5)", "GeneratorExit()", "StopIteration()"):
        for method in ("start", "subtask", "parse", "advance", "rehearse"):
            (tmp_path / "ledger.py").write_text(broken(method, f"raise {raised}"))
            sys.modules.pop("ledger", None)
            done = cli("run", "ledger:Ledger", *NOISE, "--json", "--journal", f"{method}-{raised}.db")
            data = json.loads(done.out)
            named = raised.removesuffix("()") in done.line and f"{tmp_path / 'ledger.py'}, line" in done.line
            ends[raised, method] = (done.code, data["kind"], data["exit_code"], named, "Traceback" in done.err)
    assert ends == dict.fromkeys(ends, (4, "user code", 4, True, False))
    assert cli("verify", "advance-SystemExit(5).db").code == 3  # the journal is whole


def test_an_error_in_the_users_code_has_exit_code_4(cli, failing):
    """An error in the user's code, in a run, a resumed run, a pilot or a verifier, gives exit code 4."""
    ends = {}
    for method in ("start", "subtask", "parse", "advance"):
        file = failing(method)
        done = cli("run", "ledger:Ledger", *NOISE, "--journal", f"{method}.db")
        ends[method] = (done.code, file in done.line)
    failing("parse")
    ends["calibrate"] = (cli("calibrate", "ledger:Ledger", "--model", "noise/p=1", "--samples", "9").code, True)
    failing("verify")
    cli(*RUN, *NOISE)
    ends["verify"] = (cli("verify", "run.db").code, True)
    assert ends == dict.fromkeys(ends, (4, True))


def test_a_run_that_fails_when_it_is_resumed_exits_with_4(cli, ledger, failing):
    """An error in the user's code during `resume` gives exit code 4, not the code of a stop that resuming cures."""
    assert cli(*RUN, *NOISE, "--max-steps", "2").code == 3
    failing("advance")
    assert cli("resume", "run.db").code == 4


def ended(done):
    """The one JSON object on stdout, reduced to the keys that every ending has."""
    data = json.loads(done.out)
    assert "unerring: " in done.err
    assert data["exit_code"] == done.code
    return {name: data[name] for name in ("status", "kind", "journal", "exit_code", "next")}


def expected_end(kind, code, following=None, journal="run.db"):
    """The expected JSON object of an ending."""
    status = "stopped" if code == 3 else "failed"
    return {"status": status, "kind": kind, "journal": journal, "exit_code": code, "next": following}


def test_every_end_is_one_json_object(cli, ledger, failing):
    """With --json every stop and error is one object on stdout, with the journal and the next command."""
    resume = "unerring resume run.db"
    ends = [
        (ended(cli(*RUN, *UNDECIDED, "--json")), expected_end("undecided", 3, "unerring review run.db")),
        (ended(cli(*RUN, *NOISE, "--json")), expected_end("input", 2)),
        (ended(cli("verify", "run.db", "--json")), expected_end("unfinished", 3, resume)),
        (ended(cli("review", "run.db", "--choose", "9", "--json")), expected_end("input", 2)),
        (ended(cli("resume", "none.db", "--json")), expected_end("input", 2, journal="none.db")),
        (ended(cli("report", "none.db", "--json")), expected_end("input", 2, journal="none.db")),
        (ended(cli("run", "hanoi", "--no-such", "--json")), expected_end("usage", 2, journal=None)),
        (ended(cli("plan", "--steps", "9", "--json")), expected_end("input", 2, journal=None)),
        (ended(cli("plan", "--steps", "9", "--p", "0.4", "--json")), expected_end("no k", 2, journal=None)),
        (ended(cli("calibrate", "hanoi", "--samples", "0", "--json")), expected_end("usage", 2, journal=None)),
        (ended(cli("solve", "what?", "--json")), expected_end("input", 2, journal=None)),
    ]
    limited = ("run", "ledger:Ledger", *NOISE, "--max-steps", "2", "--journal", "two.db", "--json")
    ends.append((ended(cli(*limited)), expected_end("step limit", 3, "unerring resume two.db", "two.db")))
    failing("advance")
    failed = ended(cli("resume", "two.db", "--json"))
    ends.append((failed, expected_end("user code", 4, "unerring resume two.db", "two.db")))
    assert [end for end, _ in ends] == [expected for _, expected in ends]


def test_a_run_that_ends_well_names_its_journal_too(cli):
    """A finished run has the journal under the same key as a stopped one."""
    data = json.loads(ran(cli, "--json").out)
    assert (data["status"], data["journal"], data["exit_code"]) == ("finished", "run.db", 0)
    for command in ("verify", "report", "resume"):
        data = json.loads(cli(command, "run.db", "--json").out)
        assert (data["journal"], data["exit_code"]) == ("run.db", 0), command


def test_an_interrupted_run_is_an_object_as_well(tmp_path):
    """Ctrl-C with --json prints one object that says so."""
    stop = "        if len(state) == 2:\n            os.kill(os.getpid(), 2)\n        return [*state"
    text = LEDGER.replace("        return [*state", stop).replace("from unerring", "import os\n\nfrom unerring", 1)
    (tmp_path / "ledger.py").write_text(text)
    done = process(*RUN, "--set", "steps=2000", *NOISE, "--json", cwd=tmp_path)
    data = json.loads(done.stdout)
    assert (data["kind"], data["exit_code"], done.returncode) == ("interrupted", 3, 3)
    assert data["reason"] == "stopped by SIGINT"


ENDS = ("resume", "report", "verify")


def test_a_certificate_below_what_is_required_exits_with_1(cli):
    """run, resume, report and verify exit with 1 if the probability of zero errors is below --require."""
    high, low = ("--require", "0.9999999"), ("--require", "0.5")
    assert cli(*HANOI, *high).code == 1
    ends = {(command, wish): cli(command, "run.db", *wish).code for command in ENDS for wish in (high, low)}
    assert ends == {(command, wish): wish == high for command in ENDS for wish in (high, low)}
    done = cli("report", "run.db", "--json", *high)
    data = json.loads(done.out)
    assert (data["kind"], data["status"], data["steps"]) == ("certificate", "failed", 7)
    assert "below the 0.9999999 that --require asks for" in done.line


def test_without_a_certificate_require_is_not_met(cli):
    """Single votes certify nothing: --require then gives exit code 1 and the reason."""
    one_vote = ("run", "hanoi", "--set", "disks=3", "--model", "noise/p=1", "--k", "1", "--journal", "run.db")
    assert cli(*one_vote).code == 0
    done = cli("report", "run.db", "--json", "--require", "0.5")
    assert done.code == 1
    assert "the votes certify nothing" in done.line
    assert "single vote" in done.line


def test_an_unfinished_run_does_not_meet_require(cli):
    """The certificate of an unfinished run covers only a part, so `report --require` exits with 3."""
    cli(*HANOI, "--max-steps", "6")
    assert cli("report", "run.db", "--require", "0.3").code == 3
    assert cli("report", "run.db").code == 0


def test_require_takes_a_probability(cli):
    """Any other value of --require is a usage error that names the option and the value."""
    for value, named in (("nan", "nan"), ("95", "95.0"), ("-1", "-1.0"), ("x", "'x'")):
        done = cli(*HANOI, "--require", value)
        assert done.code == 2
        assert f"'--require': {named} is not " in done.line


def test_the_traceback_of_the_users_error_is_shown_on_request(cli, failing, monkeypatch):
    """--traceback before or after the command, or the environment variable, prints the traceback above the error."""
    file = failing("advance")
    plain = cli(*RUN, *NOISE)
    assert "Traceback" not in plain.err
    shown = [cli("resume", "run.db", "--traceback"), cli("--traceback", "resume", "run.db")]
    monkeypatch.setenv("UNERRING_TRACEBACK", "1")
    shown.append(cli("resume", "run.db"))
    for done in shown:
        assert "Traceback (most recent call last)" in done.err
        assert f'File "{file}"' in done.err
        assert done.err.splitlines()[-1].startswith("unerring: ")
        assert done.code == 4


COMPLETE = """
eval "$(_UNERRING_COMPLETE=bash_source unerring)"
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_unerring_completion unerring
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_completes_commands_and_models(tmp_path):
    """In a real bash, completion offers the commands, and the models that ship."""
    environment = {"PATH": f"{Path(SCRIPT).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}

    def completed(words):
        script = COMPLETE.format(words=words)
        bash = [shutil.which("bash"), "--norc", "-c", script]
        done = subprocess.run(bash, check=True, cwd=tmp_path, capture_output=True, text=True, env=environment)
        return done.stdout.split()

    assert completed("unerring re") == ["rejudge", "report", "resume", "review"]
    assert {"embedded", "embedded/a", "embedded/digits"} <= set(completed("unerring run hanoi --model emb"))


def test_processes_options_and_their_values_are_completed():
    """What a shell asks for, asked in this process: processes, options and the values of an option."""

    def completed(given, begun):
        asked = ShellComplete(commands, {}, "unerring", "_UNERRING_COMPLETE").get_completions(given, begun)
        return [one.value for one in asked]

    assert {"hanoi", "multiply", "sort"} <= set(completed(["run"], ""))
    assert "--budget-usd" in completed(["run", "hanoi"], "--bud")
    assert completed(["run", "hanoi", "--speculate"], "le") == ["leader"]
