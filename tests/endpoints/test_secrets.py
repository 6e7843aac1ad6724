"""A key is in the environment and nowhere else: neither on disk nor on the screen, whatever fails."""

import json
import os
import subprocess
import sys

import pytest

from faults.process import running

CANARY = "sk-canary-4f1e9b2c7d8a6053aa17"
PIECE = "4f1e9b2c7d8a6053"  # what is left of it where a person shortens it


COMMANDS = """
import json, logging, sys
logging.basicConfig(level=logging.DEBUG)
from unerring.cli.main import command_line
sys.exit([command_line(words) for words in json.loads(sys.argv[1])][0])
"""


def unerring(folder, *commands):
    """Commands in a process of its own: the exit code of the first one, and the most verbose output of all."""
    words = json.dumps([[str(word) for word in command] for command in commands])
    environment = {**os.environ, "UNERRING_API_KEY": CANARY, "PYTHONASYNCIODEBUG": "1", "PYTHONFAULTHANDLER": "1"}
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore", "-c", COMMANDS, words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def on_disk(folder):
    """The bytes of every file of a run."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--troubled", "0.2"], 0),
        (["--script", '"ECHO_401"'], 3),
        (["--script", '"ECHO_500"'], 3),
    ],
    ids=["answers and failures", "key echoed in a refusal", "key echoed in failures"],
)
def test_the_key_is_nowhere(tmp_path, arguments, code):
    """Neither journal nor report nor any line of the most verbose run has it, even if a server repeats it."""
    journal = tmp_path / "run.db"
    with running("--model", "m=noise:p=0.99,v=0.97", *arguments) as server:
        run = ("run", "hanoi", "--set", "disks=4", "--k", 2, "--model", f"openai/m@{server.url},timeout=1")
        run = (*run, "--journal", journal, "--patience", 3 if code else 60)
        shown = (("report", journal, "--json"), ("report", journal), ("export", journal, "--what", "votes"))
        ended, said = unerring(tmp_path, run, *shown)
        assert ended == code, said
        authorized = [entry for entry in server.ledger()["entries"] if entry["authorization"]]
        assert authorized  # the key did go out
    for text in (CANARY, PIECE):
        assert text not in said
        assert text.encode() not in on_disk(tmp_path)


@pytest.mark.parametrize(
    "model",
    [
        f"openai/m@http://{CANARY}@127.0.0.1:9/v1",
        f"openai/m@http://127.0.0.1:9/v1?key={CANARY}",
    ],
)
def test_a_key_in_an_address_is_refused(tmp_path, model):
    """An address with a key in it would get into the journal, so it is refused in one line that does not show it."""
    ended, said = unerring(tmp_path, ("run", "hanoi", "--set", "disks=3", "--k", 2, "--model", model))
    assert ended == 2
    assert "unerring: " in said
    assert "Traceback" not in said
    assert CANARY not in said
    assert list(tmp_path.iterdir()) == []
