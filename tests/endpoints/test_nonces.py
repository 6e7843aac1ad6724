"""Unique requests: with --nonce no cache has an answer to any, and the setting is in the journal."""

import pytest
from endpoint_runs import POLICY, options

import unerring
from faults import caching
from faults.answers import noise
from faults.server import serving
from unerring import Hanoi, InputError, Request
from unerring.adapters.sqlite.reader import JournalReader
from unerring.core.journal.entries import Resumed
from unerring.errors import VotesCopied
from unerring.runtime.config import Guards

NONCE = Request(nonce=True)


def asked_with(server, journal, request=NONCE, disks=4, **more):
    """A run on a server, one sample a call, without a probe, so that only the nonce defeats a cache."""
    spec = f"openai/m@{server.url},n=1"
    given = {"guards": Guards(probe=False), "policy": POLICY, "speculate": "off", "request": request, **more}
    return unerring.run(Hanoi(disks), spec, journal, seed=4, options=options(spec, **given))


def plain(model, prompts=None):
    """A model that ignores the last line of a prompt."""

    def answer(prompt, *drawn):
        if prompts is not None:
            prompts.append(prompt)
        return model(prompt.rpartition("\n\n(request ")[0] or prompt, *drawn)

    return answer


@pytest.mark.parametrize("probe", [False, True])
@pytest.mark.parametrize("name", caching.CACHES)
def test_no_cache_answers_a_request_with_a_nonce(tmp_path, name, probe):
    """For any key of the cache, and with shared replies, there is no copy, neither of a vote nor of a probe."""
    with serving(models={"m": plain(noise(p=0.95, v=0.97))}, cache=getattr(caching, name)) as server:
        result = asked_with(server, tmp_path / "run.db", guards=Guards(probe=probe))
        assert server.ledger.settled().copies == 0
    assert result.steps == 15
    assert result.report["flags"].get("copy") is None
    assert unerring.verify(tmp_path / "run.db").problem is None


def test_each_request_ends_with_its_own_nonce(tmp_path):
    """The question before it is unchanged; no two samples have the same nonce, and another run has others."""
    lines, questions = [], set()
    for seed in range(2):
        prompts = []
        with serving(models={"m": plain(noise(p=0.9), prompts)}) as server:
            asked_with(server, tmp_path / f"{seed}.db")
        lines += [prompt.rpartition("\n\n(request ")[2] for prompt in prompts]
        questions |= {prompt.rpartition("\n\n(request ")[0] for prompt in prompts}
    assert len(lines) >= 90
    assert len(set(lines)) == len(lines)
    assert all(line[10:] == ")" for line in lines)
    chain = Hanoi(4)
    state, expected = chain.start(), set()
    while (subtask := chain.subtask(state)) is not None:
        expected.add(subtask.prompt)
        state = chain.advance(state, chain.truth(state))
    assert expected <= questions


def test_questions_from_guessed_states_have_their_own_nonces(tmp_path):
    """With half of the guesses wrong, steps are asked from several states, and each nonce belongs to one question."""
    prompts = []
    with serving(models={"m": plain(noise(p=0.9), prompts)}) as server:
        asked_with(server, tmp_path / "run.db", speculate="noise/p=0.5", waste=0.9, in_flight=24)
    questions = {}
    for prompt in prompts:
        question, _, line = prompt.rpartition("\n\n(request ")
        questions.setdefault(line, set()).add(question)
    assert len(prompts) > 60
    assert all("\n\n(request " in prompt for prompt in prompts)
    assert [line for line, several in questions.items() if len(several) > 1] == []


def test_a_run_keeps_its_nonces(tmp_path):
    """A run resumed without the option still sends nonces."""
    prompts = []
    with serving(models={"m": plain(noise(p=0.9), prompts)}) as server:
        spec = f"openai/m@{server.url},n=1"
        with pytest.raises(unerring.Stopped):
            asked_with(server, tmp_path / "run.db", max_steps=5)
        unerring.resume(tmp_path / "run.db", options=unerring.Options(guards=Guards(probe=False)))
    assert len({prompt.rpartition("\n\n(request ")[2] for prompt in prompts}) == len(prompts)
    first = next(JournalReader(tmp_path / "run.db").entries())
    assert (first.model, first.request) == (spec, {"nonce": True})


def test_a_run_that_a_cache_stopped_continues_with_nonces(tmp_path):
    """With --nonce on resuming, the journal has the change, and no further reply is a copy."""
    with serving(models={"m": plain(noise(p=0.9))}, cache=caching.MARKED) as server:
        with pytest.raises(VotesCopied, match="`nonce`"):
            asked_with(server, tmp_path / "run.db", Request())
        copies = server.ledger.settled().copies
        resumed = unerring.Options(guards=Guards(probe=False), request=NONCE)
        result = unerring.resume(tmp_path / "run.db", options=resumed)
        assert server.ledger.settled().copies == copies > 0
    assert result.steps == 15
    assert [entry.nonce for entry in JournalReader(tmp_path / "run.db").entries() if isinstance(entry, Resumed)] == [
        True
    ]
    assert unerring.verify(tmp_path / "run.db").problem is None


def test_models_with_fixed_questions_refuse_nonces(tmp_path):
    """The embedded models and the noise sampler do not know such a line: one sentence, and no journal."""
    with pytest.raises(InputError, match="`nonce`"):
        unerring.run(Hanoi(3), "noise/p=1", tmp_path / "run.db", k=2, options=unerring.Options(request=NONCE))
    assert not (tmp_path / "run.db").exists()
