"""What the command line writes: exports, JSON, and untrusted text, which is inert wherever it is shown."""

import json
import subprocess
from pathlib import Path

import pytest
from command_runs import LEDGER, NOISE, SCRIPT, Done, process, ran

import unerring
from unerring import Sample
from unerring.processes.hanoi import Hanoi

# --- exports


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize("what", ["steps", "votes"])
def test_any_text_of_a_model_can_be_exported(tmp_path, what, form):
    """Surrogates, NUL, quotes and line ends in a model's answer do not make an export fail."""

    def parse(text):
        if text.startswith("!"):
            raise unerring.RedFlag("odd")
        return text

    class Odd:
        def start(self):
            return 0

        def subtask(self, state):
            return None if state == 1 else unerring.Subtask("say", parse)

        def advance(self, state, choice):
            return 1

    texts = ["!\ud800", '!"a,b"\r\n', 'é,"x\ny"']
    unerring.run(Odd(), lambda _, settings: texts[settings.slot], tmp_path / "run.db", k=1)
    done = process("export", "run.db", "--what", what, "--format", form, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\ufffd" not in done.stdout


def test_a_closed_pipe_ends_the_export_quietly(tmp_path):
    """`export | head` ends without a traceback, with exit code 0."""
    unerring.run(Hanoi(disks=11), "noise/p=1", tmp_path / "run.db", k=1)
    with subprocess.Popen(
        [SCRIPT, "export", "run.db"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as export:
        first = export.stdout.readline()
        export.stdout.close()
        assert export.stderr.read() == ""
        assert export.wait(60) == 0
    assert json.loads(first)["index"] == 0


def test_a_full_disk_is_one_line(tmp_path):
    """If the output cannot be written, the export ends with one line and no traceback."""
    unerring.run(Hanoi(disks=8), "noise/p=1", tmp_path / "run.db", k=1)
    words = [SCRIPT, "export", "run.db"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            words, check=False, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode in (2, 3)
    assert "No space left" in Done(done.returncode, "", done.stderr).line


# --- JSON


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


# --- what comes from a model is inert


HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\r"


def test_a_models_text_cannot_reach_the_terminal_through_an_error(cli, tmp_path):
    """Control characters of a model's answer are escaped in errors that quote it, and in the report."""
    hostile = LEDGER.replace("return int(text", f"raise ValueError('cannot read ' + {HOSTILE!r}) #")
    (tmp_path / "ledger.py").write_text(hostile)
    done = cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    assert "\\x1b[2J" in done.line
    for shown in (done.err, cli("report", "run.db").out, cli("verify", "run.db").err):
        assert "cannot read" in shown or "finished" in shown
        assert all(char.isprintable() or char == "\n" for char in shown)


def test_a_models_text_cannot_reach_the_terminal_through_a_verdict(cli, tmp_path):
    """Control characters of a wrong choice are escaped in a verifier's message."""
    hostile = LEDGER.replace("return int(text", f"return {HOSTILE!r} #").replace(
        "int(prompt.split()[1])", "len(prompt)"
    )
    (tmp_path / "ledger.py").write_text(hostile)
    cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    done = cli("verify", "run.db")
    assert done.code == 1
    assert "\\x1b[2J" in done.line
    assert done.err.rstrip("\n").isprintable()


def test_a_voters_name_is_inert(cli, tmp_path):
    """The model's name that a provider sends is escaped like other untrusted text."""

    class One:
        def start(self):
            return 0

        def subtask(self, state):
            return None if state else unerring.Subtask("say", str)

        def advance(self, state, choice):
            return 1

    unerring.run(One(), lambda p, s: Sample("a", voter=HOSTILE), tmp_path / "run.db", k=1)
    shown = cli("report", "run.db").out
    assert "\\x1b[2J" in shown
    assert all(char.isprintable() or char == "\n" for char in shown)
