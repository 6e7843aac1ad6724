"""Replies that are sent again in place of other answers, while many guesses are wrong: none of them votes."""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from random import Random

import pytest
from redelivery import CHILDREN, POLICY, decided_wrongly, options, run

import unerring
from faults.answers import noise
from faults.faults import Fault
from faults.script import shares, since, smooth
from faults.server import serving
from unerring import Hanoi
from unerring.adapters.sqlite.reader import JournalReader
from unerring.api.calibration.calibrating import PilotOptions, calibrate
from unerring.core.journal.entries import Replies
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.reply_ids import MIN_ID_CHARS, ReplyIds
from unerring.errors import StepLimit
from unerring.runtime import config as limits
from unerring.runtime.config import Guards


def replies(journal):
    """All replies in a journal."""
    return [
        reply for entry in JournalReader(journal).entries() if isinstance(entry, Replies) for reply in entry.replies
    ]


@pytest.mark.parametrize("n", [1, 3])
def test_no_reply_that_is_sent_again_decides_a_step(tmp_path, n):
    """With 40 % of replies sent again, received before or not, and 40 % of guesses wrong, all decisions are right."""
    wrong = {}
    for seed, fault in enumerate([Fault.DUPLICATE, Fault.STRAY]):
        journal = tmp_path / f"{seed}.db"
        wrong[seed] = run(journal, n, seed, fault)
        assert sum(reply.flag is FlagKind.COPY for reply in replies(journal)) > 50
    assert not any(wrong.values()), wrong


@pytest.mark.parametrize("n", [1, 3])
def test_no_reply_of_a_killed_session_decides_a_step_of_the_next(tmp_path, n):
    """After a kill with calls in flight, replies of the killed session come again, and none votes."""
    assert run(tmp_path / "run.db", n, seed=5, kills=(25, 60)) == []


@pytest.mark.parametrize("n", [1, 3])
def test_a_proxy_that_is_stuck_decides_nothing(tmp_path, n):
    """If a proxy answers with the last reply for ever, the run stops, and its decisions are right."""
    for first in (6, 31):
        journal = tmp_path / f"{first}.db"
        with serving(models={"m": noise(p=1.0)}, script=since(first, Fault.DUPLICATE)) as server:
            spec = f"openai/m@{server.url}" + (",n=1" if n == 1 else "")
            with pytest.raises(unerring.Stopped):
                unerring.run(Hanoi(6), spec, journal, seed=1, options=options(wrong=0.0, guards=Guards(probe=False)))
        assert decided_wrongly(journal) == []


def test_replies_of_the_session_before_never_vote_in_the_next(tmp_path):
    """After 30 steps every other reply is one of the session before: it is recognized by its id, and never votes."""
    journal = tmp_path / "run.db"
    with serving(models={"m": noise(p=1.0)}, script=smooth) as server:
        spec = f"openai/m@{server.url}"
        with pytest.raises(StepLimit):
            unerring.run(Hanoi(6), spec, journal, seed=1, options=options(max_steps=30))
        before = {reply.reply_id for reply in replies(journal)}
        server.setup.script = shares({Fault.STRAY: 0.5}, seed=1)
        unerring.resume(journal, options=options(policy=None))
    times = Counter(reply.reply_id for reply in replies(journal) if reply.choice is not None)
    again = [reply for reply in replies(journal) if reply.choice is None and reply.reply_id in before]
    assert len(again) > 10
    assert set(times.values()) == {1}
    assert min(map(len, times)) >= MIN_ID_CHARS
    assert unerring.verify(journal).problem is None


def test_no_reply_to_one_run_of_a_process_votes_in_another(tmp_path):
    """Every other reply to the second of two runs of a process is one of the first: none of them votes."""
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    with serving(models={"m": noise(p=1.0)}, script=smooth) as server:
        spec = f"openai/m@{server.url}"
        with pytest.raises(StepLimit):
            unerring.run(Hanoi(6), spec, first, seed=1, options=options(max_steps=30))
        server.setup.script = shares({Fault.STRAY: 0.5}, seed=1)
        unerring.run(Hanoi(5), spec, second, seed=2, options=options())
    before = {reply.reply_id for reply in replies(first)}
    again = [reply.flag for reply in replies(second) if reply.reply_id in before]
    assert len(again) > 10
    assert set(again) == {FlagKind.COPY}


def test_no_reply_to_an_earlier_session_of_a_calibration_votes(tmp_path, monkeypatch):
    """Continued in another process, a calibration knows the reply ids in its journal."""
    path, journal = tmp_path / "cal.json", tmp_path / "cal.json.spend"
    settings = PilotOptions(policy=POLICY, guards=Guards(copies=1.0, probe=False))
    with serving(models={"m": noise(p=1.0)}, script=smooth) as server:
        spec = f"openai/m@{server.url},n=1"
        calibrate(Hanoi(6), spec, 40, path, options=settings)
        before = {reply.reply_id for reply in replies(journal)}
        server.setup.script = shares({Fault.STRAY: 0.5}, seed=1)
        monkeypatch.setattr(limits, "_PROCESS_REPLIES", ReplyIds())
        calibrate(Hanoi(6), spec, 60, path, options=settings)
    again = [reply.flag for reply in replies(journal)[len(before) :] if reply.reply_id in before]
    assert len(again) > 5
    assert set(again) == {FlagKind.COPY}


def test_with_echoes_no_reply_of_another_call_votes_whatever_its_id(tmp_path):
    """Of replies without ids, nine in twenty are another call's, at n = 1: echoes recognize all of them."""
    journal, request = tmp_path / "run.db", unerring.Request(echo=True)
    wrong = run(journal, 1, 0, Fault.STRAY, share=0.45, nameless=True, kills=(30,), request=request)
    kept = replies(journal)
    assert all(reply.reply_id is None for reply in kept)
    flagged = [reply for reply in kept if reply.flag is FlagKind.COPY]
    assert len(flagged) > 50
    assert all("does not end with the word of its own request" in reply.reason for reply in flagged)
    assert wrong == []


def of_five_hundred(folder, n, seed):
    """The steps decided wrongly in one of the runs below."""
    kills = tuple(Random(seed).randint(5, 80) for _ in range(3)) if seed % 5 == 0 else ()
    journal = folder / f"{seed}.db"
    wrong = run(journal, n, seed, (Fault.DUPLICATE, Fault.STRAY)[seed % 2], kills=kills)
    journal.unlink()
    return wrong


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("n", [1, 3])
def test_five_hundred_runs(tmp_path, n):
    """Of 500 runs, a fifth of them killed and resumed three times, none decides a step wrongly.

    The replies that come again were received before in every other run, and may be of abandoned calls in the rest. The
    runs mostly wait, and are shared out to a process for each core.
    """
    with ProcessPoolExecutor(mp_context=CHILDREN) as pool:
        wrong = dict(enumerate(pool.map(of_five_hundred, repeat(tmp_path), repeat(n), range(500))))
    assert len(wrong) == 500
    assert not any(wrong.values()), {seed: steps for seed, steps in wrong.items() if steps}
