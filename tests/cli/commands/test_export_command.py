"""`unerring export` writes any text of a model, and ends in one line or quietly if its output cannot be written."""

import json
import subprocess
from pathlib import Path

import pytest
from command_runs import SCRIPT, Done, process

import unerring
from unerring.processes.hanoi import Hanoi


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
