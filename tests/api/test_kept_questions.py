"""The journal keeps the questions of doubtful steps, and the reasons of red flags."""

from dataclasses import replace

import pytest

import unerring
from doubling import Doubling, double
from faults.answers import noise, written
from faults.faults import Fault
from faults.script import shares
from faults.server import serving
from faults.trials import Trials
from parked_runs import entries
from unerring import Hanoi, Options, RedFlag, Subtask
from unerring.api.journals.history import History
from unerring.core.journal.entries import QuestionText, Replies
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.core.voting.redflag import FlagRules
from unerring.errors import StepLimit
from unerring.processes.solve import Solve
from unerring.runtime.config import Guards

UNSURE = "noise/p=0.75,v=0.75"
K2 = Policy(AheadBy(2), vote_cap=200, flags=FlagRules(400))
CANARY = "sk-canary-4f1e9b2c7d8a6053aa17"


def kept(path, chain):
    """The number of doubtful steps; asserts that all have the chain's own question and all flags a reason."""
    state, doubtful = chain.start(), 0
    for decided in History(path).steps():
        subtask = chain.subtask(state)
        if len(decided.tally) > 1 or decided.flags:
            doubtful += 1
            assert decided.wordings in {subtask.wordings(True), subtask.wordings(False)}, decided.step
        state = chain.advance(state, decided.value)
    replies = [reply for entry in entries(path, Replies) for reply in entry.replies]
    assert [reply for reply in replies if (reply.flag is None) is not (reply.reason is None)] == []
    texts = [(entry.step, entry.at) for entry in entries(path, QuestionText)]
    assert len(texts) == len(set(texts))  # once for each question
    return doubtful


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (UNSURE, {"speculate": "off"}),
        (UNSURE, {"speculate": "noise/p=0.6", "in_flight": 24, "waste": 0.9}),
        ([UNSURE, "noise/p=0.9,v=0.5"], {}),
    ],
    ids=["step by step", "ahead, with wrong guesses", "two models"],
)
def test_a_chains_doubtful_steps_keep_their_questions(tmp_path, model, given):
    """Without speculation, from guessed states with late replies, and with several models."""
    chain, path = Hanoi(6), tmp_path / "run.db"
    unerring.run(chain, model, path, k=5, options=Options(**given))
    assert kept(path, chain) > 20


def test_a_run_in_two_sessions_keeps_them(tmp_path):
    """The step that was open in between keeps its question too."""
    chain, path = Hanoi(5), tmp_path / "run.db"
    ahead = Options(speculate="noise/p=0.7", waste=0.9)
    with pytest.raises(StepLimit):
        unerring.run(chain, UNSURE, path, k=5, options=replace(ahead, max_steps=7))
    unerring.resume(path, chain, UNSURE, ahead)
    assert kept(path, chain) > 8


def test_a_trees_questions_are_kept(tmp_path):
    """Questions to roles are kept like others."""
    chain, path = Solve("4604 * 4209", "multiply"), tmp_path / "run.db"
    unerring.run(chain, UNSURE, path, k=3)
    assert kept(path, chain) > 5


@pytest.mark.parametrize("spec", ["openai/m@{}", "openai-batch/m@{},gather=0.05,poll=0.01"], ids=["calls", "batches"])
def test_questions_asked_of_an_endpoint_are_kept(tmp_path, spec):
    """In calls for several samples, with replies sent again, and in batches."""
    chain, path = Hanoi(4), tmp_path / "run.db"
    script = shares({Fault.DUPLICATE: 0.2}, seed=3)
    with serving(models={"m": noise(p=0.8, v=0.8)}, script=script, batch=lambda _: Trials(polls=1)) as server:
        options = Options(policy=K2, guards=Guards(copies=1.0, probe=False))
        unerring.run(chain, spec.format(server.url), path, options=options)
    assert kept(path, chain) > 5


class Quoting(Doubling):
    """A doubling chain whose parser quotes texts that it cannot read."""

    def subtask(self, state):
        return None if state["done"] == self.steps else Subtask(f"Double {state['value']}.", self.quoted)

    def quoted(self, text):
        if not text.isdecimal():
            raise RedFlag(f"not a number: {text}")
        return int(text)


def test_a_key_in_a_reply_is_in_no_reason(tmp_path, monkeypatch):
    """Neither a parser's quote of the reply nor a finish reason brings the key into the journal."""
    monkeypatch.setenv("UNERRING_API_KEY", CANARY)
    path, asked = tmp_path / "run.db", []

    def model(prompt, temperature, seed, index, max_tokens):
        asked.append(prompt)
        said = [f"your key is {CANARY}", f"and {CANARY.upper()}"]
        text = said[len(asked) % 2] if len(asked) % 3 else double(prompt, None)
        answer = written(prompt, text, max_tokens)
        if len(asked) % 7 == 4:
            object.__setattr__(answer, "finish", f"error: {CANARY}")
        return answer

    with serving(models={"m": model}) as server:
        options = Options(policy=K2, guards=Guards(copies=1.0, probe=False), speculate="off")
        unerring.run(Quoting(), f"openai/m@{server.url}", path, options=options)
    assert kept(path, Quoting()) > 0
    reasons = {sample.reason for step in unerring.steps(path) for sample in step.samples if sample.flag}
    assert any(reason.startswith("not a number: your key is") for reason in reasons)
    written_down = b"".join(file.read_bytes() for file in tmp_path.iterdir()).lower()
    assert CANARY.lower().encode() not in written_down
    assert CANARY[10:26].encode() not in written_down


def test_steps_have_the_question_and_the_reasons(tmp_path):
    """`unerring.steps` gives the question of doubtful steps, and the reasons of flags."""
    path = tmp_path / "run.db"
    texts = {0: ["2"] * 2, 1: ["four", "4", "4"], 2: ["8"] * 2, 3: ["16"] * 2}
    unerring.run(
        Quoting(), lambda _, drawn: texts[drawn.step][drawn.slot], path, k=2, options=Options(speculate="off")
    )
    first, second, *_ = unerring.steps(path)
    assert (first.question, {sample.reason for sample in first.samples}) == ((), {None})
    assert second.question == ("Double 2.",)
    assert [sample.reason for sample in second.samples] == ["not a number: four", None, None]
