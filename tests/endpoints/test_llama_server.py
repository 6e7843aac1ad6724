"""A real llama.cpp server, if there is one: charges equal its counter, and a question too long is parked.

UNERRING_LLAMA_SERVER is the path of a `llama-server`, UNERRING_LLAMA_MODEL that of a chat model in GGUF.
"""

import os
import re
import socket
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.request import urlopen

import pytest

import unerring
from unerring import Guards, Options, RedFlag, Subtask
from unerring.adapters.sqlite.reader import JournalReader
from unerring.core.journal.entries import Replies
from unerring.errors import StepRefused

SERVER, MODEL = (os.environ.get(f"UNERRING_LLAMA_{name}") for name in ("SERVER", "MODEL"))
CONTEXT = 1024  # tokens of a slot

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (SERVER and MODEL), reason="UNERRING_LLAMA_SERVER and UNERRING_LLAMA_MODEL name no server and model"
    ),
]


@contextmanager
def llama_server(slots=4):
    """A server on loopback; its base URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [SERVER, "-m", MODEL, "--host", "127.0.0.1", "--port", str(port), "--parallel", str(slots), "--metrics"]
    command += ["-c", str(slots * CONTEXT), "--threads", "1", "--threads-batch", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            if not any("listening on" in line for line in server.stdout):
                raise RuntimeError(f"{SERVER} ended with {server.wait()} before it listened")
            threading.Thread(target=server.stdout.read, daemon=True).start()  # lest its log fills the pipe
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def number(text):
    found = re.findall(r"\d+", text)
    if not found:
        raise RedFlag("no number")
    return int(found[0])


@dataclass
class Counting:
    """Each number follows from the one before; a step may have a question longer than a slot."""

    steps: int = 4
    long_at: int = -1

    def start(self):
        return {"step": 0, "number": 7}

    def subtask(self, state):
        if state["step"] == self.steps:
            return None
        padding = "word " * 2 * CONTEXT if state["step"] == self.long_at else ""
        shots = [{"role": "system", "content": "You answer with one number."}]
        shots += [
            {"role": role, "content": content}
            for asked, answer in ((3, 4), (11, 12))
            for role, content in (("user", f"What number comes after {asked}?"), ("assistant", f"{answer}\n"))
        ]
        question = f"{padding}What number comes after {state['number']}?"
        return Subtask(question, number, messages=shots, stop=("\n",))

    def advance(self, state, choice):
        return {"step": state["step"] + 1, "number": choice}


def run(chain, url, journal, **given):
    options = Options(guards=Guards(**given), request=unerring.Request(temperature=0.6, max_output_tokens=24))
    return unerring.run(chain, f"openai/local@{url}/v1", journal, k=3, options=options)


def test_a_run_is_charged_for_every_token_that_the_server_wrote(tmp_path):
    """The reply's usage covers one of several samples of a call; the server's own counter has all of them."""
    with llama_server() as url:
        run(Counting(), url, tmp_path / "run.db", probe=False)
        counters = urlopen(f"{url}/metrics").read().decode()  # noqa: S310
    written = int(float(re.search(r"^llamacpp:tokens_predicted_total (\S+)", counters, re.MULTILINE)[1]))
    entries = JournalReader(tmp_path / "run.db").entries()
    several = [entry for entry in entries if isinstance(entry, Replies) and len(entry.replies) > 1]
    report = unerring.report(tmp_path / "run.db")
    assert several
    assert report["samples"]["given_up"] == 0 == report["samples"]["unknown"]
    assert report["tokens"]["output"] == written


def test_a_question_longer_than_a_slot_is_parked_with_what_the_server_said(tmp_path):
    """The server answers 400 to one question; earlier steps are committed, and the probe calls are accepted."""
    with llama_server() as url, pytest.raises(StepRefused, match="exceeds the available context size"):
        run(Counting(long_at=1), url, tmp_path / "run.db")
    assert len(list(unerring.steps(tmp_path / "run.db"))) >= 1
