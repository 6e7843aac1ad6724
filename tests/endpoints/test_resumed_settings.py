"""Settings that may change on resuming: echoes, nonces, and the number of replies that a winner needs."""

import re

import pytest

import unerring
from faults.answers import echoing, noise
from faults.server import serving
from unerring import Guards, Hanoi, InputError, Options, Request
from unerring.adapters.sqlite.reader import JournalReader
from unerring.api import _policy
from unerring.core.journal.entries import Replies, Resumed
from unerring.errors import StepLimit

CHAIN = Hanoi(4)
LINES = re.compile(r"(.*?)(\n\n\(request \w+\))?(\n\nAfter your whole .*)?", re.DOTALL)
UNPROBED = {"guards": Guards(probe=False), "speculate": "off"}


def asked(prompts, model):
    """A model that notes whether it is asked for an echo, and for a unique request."""

    def answered(prompt, *drawn):
        question, nonce, word = LINES.fullmatch(prompt).groups()
        prompts.append((word is not None, nonce is not None))
        return model(question + (word or ""), *drawn)

    return answered


def begun(server, path, steps, **given):
    """A run with so many decided steps."""
    options = Options(max_steps=steps, request=Request(temperature=1.0), **UNPROBED, **given)
    with pytest.raises(StepLimit):
        unerring.run(CHAIN, f"openai/m@{server.url}", path, k=2, options=options)


def resumed(path, steps=None, **given):
    """The same run, continued to its end or by so many steps."""
    options = Options(max_steps=steps, **UNPROBED, **given)
    if steps is None:
        return unerring.resume(path, options=options)
    with pytest.raises(StepLimit):
        unerring.resume(path, options=options)
    return None


def test_echoes_and_nonces_are_turned_on_and_off_on_resuming(tmp_path):
    """They hold from there on, also in later sessions; each change is in the journal once."""
    path, prompts = tmp_path / "run.db", []
    with serving(models={"m": asked(prompts, echoing(noise(p=1.0)))}) as server:
        begun(server, path, 2)
        assert set(prompts) == {(False, False)}
        for given, expected in (
            (Request(echo=True, nonce=True), (True, True)),
            (Request(), (True, True)),
            (Request(echo=False), (False, True)),
            (Request(nonce=False), (False, False)),
        ):
            prompts.clear()
            resumed(path, 2, request=given)
            assert set(prompts) == {expected}, given
        assert unerring.report(path)["request"] == {}
        resumed(path)
    entries = [entry for entry in JournalReader(path).entries() if isinstance(entry, Resumed)]
    assert [(one.echo, one.nonce) for one in entries] == [
        *[(True, True), (None, None), (False, None), (None, False), (None, None)]
    ]
    assert unerring.verify(path).problem is None


def test_an_open_step_continues_when_echoes_are_turned_on(tmp_path):
    """Its earlier samples still vote, since an echo is no part of the question."""
    path = tmp_path / "run.db"
    with serving(models={"m": echoing(noise(p=0.8))}) as server:
        options = Options(vote_cap=5, **UNPROBED)
        with pytest.raises(unerring.StepUndecided):
            unerring.run(CHAIN, f"openai/m@{server.url}", path, k=5, options=options)
        before = unerring.report(path)["samples"]["voted"]
        resumed(path, request=Request(echo=True), vote_cap=5000)
    assert unerring.report(path)["samples"]["voted"] > before
    assert unerring.report(path)["set_aside"] == 0


def test_a_model_with_fixed_questions_refuses_nonces_on_resuming_too(tmp_path):
    """The noise sampler gets one sentence, and the journal is unchanged."""
    path = tmp_path / "run.db"
    with pytest.raises(StepLimit):
        unerring.run(CHAIN, "noise/p=1", path, k=2, options=Options(max_steps=2))
    before = path.read_bytes()
    for request, name in ((Request(echo=True), "`echo`"), (Request(nonce=True), "`nonce`")):
        with pytest.raises(InputError, match=name):
            unerring.resume(path, options=Options(request=request))
    assert path.read_bytes() == before


@pytest.fixture
def earlier(tmp_path, monkeypatch):
    """A function that begins a run like versions without a least number of replies."""

    def began(server):
        with monkeypatch.context() as patch:
            patch.setattr(_policy, "ENDPOINT_MIN_REPLIES", 1)
            begun(server, tmp_path / "run.db", 2)
        assert "min_replies" not in next(JournalReader(tmp_path / "run.db").entries()).policy
        return tmp_path / "run.db"

    return began


class Noticing:
    """An observer that keeps a run's notices."""

    def __init__(self):
        self.lines = []

    def decided(self, decided, state):
        pass

    def notice(self, line):
        self.lines.append(line)


def replies_of(path):
    """The number of replies that each step's votes came from."""
    counts = {}
    for entry in JournalReader(path).entries():
        if isinstance(entry, Replies):
            counts[entry.replies[0].step] = counts.get(entry.replies[0].step, 0) + 1
    return counts


def test_an_old_journal_keeps_one_reply_until_two_are_asked_for(tmp_path, earlier):
    """Resumed, or run again by the same call, it keeps one reply, with a notice, until min_replies is raised."""
    with serving(models={"m": noise(p=1.0)}) as server:
        path, seen = earlier(server), Noticing()
        resumed(path, 2, observer=seen)
        again = Options(max_steps=2, observer=seen, request=Request(temperature=1.0), **UNPROBED)
        with pytest.raises(StepLimit):
            unerring.run(CHAIN, f"openai/m@{server.url}", path, k=2, options=again)
        assert [("one reply" in line, "`min_replies` 2" in line) for line in seen.lines] == [(True, True)] * 2
        resumed(path, 2, observer=seen, min_replies=2)
        resumed(path, observer=seen)
    assert len(seen.lines) == 2
    counts = replies_of(path)
    assert [counts[step] for step in range(6)] == [1] * 6
    assert min(counts[step] for step in range(6, 15)) == 2
    assert unerring.verify(path).problem is None


def test_the_least_number_of_replies_is_never_lowered(tmp_path):
    """A run that asks for two continues with two; less is refused in one line."""
    with serving(models={"m": noise(p=1.0)}) as server:
        begun(server, tmp_path / "run.db", 2)
        with pytest.raises(InputError, match="min_replies can only be raised on resuming: it is 2"):
            resumed(tmp_path / "run.db", min_replies=1)


def test_a_chosen_min_replies_of_1_has_no_notice(tmp_path):
    """A run begun with min_replies 1 by its user continues without a notice."""
    seen = Noticing()
    with serving(models={"m": noise(p=1.0)}) as server:
        begun(server, tmp_path / "run.db", 2, min_replies=1)
        resumed(tmp_path / "run.db", observer=seen)
    assert seen.lines == []
