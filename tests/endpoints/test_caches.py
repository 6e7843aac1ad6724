"""Caches between a run and its model: a copy never votes, and an endpoint with copies alone is noticed at once."""

import pytest
from endpoint_runs import POLICY, options

import unerring
from faults import caching
from faults.answers import noise, scripted
from faults.chat import Latency
from faults.server import serving
from unerring import Hanoi
from unerring.adapters.sqlite.reader import JournalReader
from unerring.core.journal.entries import Replies
from unerring.errors import VotesCopied
from unerring.runtime.config import Guards, SystemClock

REPEATING = ["IGNORES_SEED", "MARKED", "FRESH", "FREE", "COALESCING"]


def run(journal, guards=None, disks=4, p=0.95, asked="", **setup):
    """A run, the error that ended it, and the server's totals."""
    with serving(models={"m": noise(p=p, v=0.97)}, latency=Latency(0.02), **setup) as server:
        spec = f"openai/m@{server.url}{asked}"
        given = {"guards": guards or Guards(), "clock": SystemClock(), "policy": POLICY, "speculate": "off"}
        try:
            unerring.run(Hanoi(disks), spec, journal, seed=4, options=options(spec, **given))
        except VotesCopied as error:
            return error, server.ledger.settled(), list(server.ledger.chats)
        return None, server.ledger.settled(), list(server.ledger.chats)


def votes(journal):
    """How many samples voted."""
    replies = [
        reply for entry in JournalReader(journal).entries() if isinstance(entry, Replies) for reply in entry.replies
    ]
    return sum(reply.choice is not None for reply in replies)


@pytest.mark.parametrize("name", REPEATING)
def test_an_endpoint_that_repeats_itself_is_found_within_five_calls(tmp_path, name):
    """For any key of the cache, marked or silent, there are at most five calls, no vote, and a stop."""
    error, totals, _ = run(tmp_path / "run.db", cache=getattr(caching, name))
    assert error is not None
    assert "openai/m@" in str(error)
    assert totals.requests <= 5
    assert votes(tmp_path / "run.db") == 0
    assert unerring.report(tmp_path / "run.db")["stopped"]["kind"] == "copies"


def test_a_cache_that_is_keyed_by_all_of_a_request_never_answers(tmp_path):
    """Each sample is asked for with a seed of its own, so no request is repeated."""
    error, totals, _ = run(tmp_path / "run.db", cache=caching.WHOLE_BODY)
    assert error is None
    assert totals.copies == 0
    assert unerring.report(tmp_path / "run.db")["flags"].get("copy") is None


@pytest.mark.parametrize("name", ["MARKED", "FREE", "IGNORES_SEED"])
def test_later_copies_do_not_vote(tmp_path, name):
    """If a cache that marks or shows its copies is not found at the start, none of them votes later."""
    cache, journal = getattr(caching, name).at(0.3, seed=1), tmp_path / "run.db"
    error, _, chats = run(journal, Guards(copies=1.0, probe=False), p=0.8, asked=",n=1", cache=cache)
    assert error is None
    copies = sum(chat.from_cache for chat in chats)
    assert copies > 0
    assert unerring.report(journal)["flags"]["copy"] == copies
    assert unerring.verify(journal).problem is None


def test_more_copies_than_are_allowed_stop_a_run(tmp_path):
    """A cache that answers half of its hits stops the run, resumable, with the number of copies."""
    cache = caching.MARKED.at(0.5, seed=1)
    error, totals, _ = run(tmp_path / "run.db", Guards(probe=False), disks=8, p=0.8, asked=",n=1", cache=cache)
    assert error is not None
    assert "were copies of earlier ones" in str(error)
    assert totals.requests < 200


def test_honest_short_answers_are_no_copies(tmp_path):
    """A fast model that gives every question the same short answer, sampled each time, has nothing flagged."""
    journal = tmp_path / "run.db"
    with serving(models={"m": scripted(["7"])}) as server:
        spec = f"openai/m@{server.url}"
        result = unerring.run(Sevens(300), spec, journal, options=options(spec, guards=Guards(), speculate="leader"))
    assert result.steps == 300
    assert result.report["flags"] == {}
    assert votes(journal) >= 900


def test_a_silent_cache_before_a_special_model_is_found_before_the_first_step(tmp_path):
    """Copies with new ids and usage, from a model that writes only its answer, are found by their latency.

    250 steps of three votes had 500 copies among them.
    """
    journal = tmp_path / "run.db"
    with serving(models={"m": scripted(["7"])}, cache=caching.FRESH, latency=Latency(0.05)) as server:
        spec = f"openai/m@{server.url},n=1"
        given = {"guards": Guards(), "clock": SystemClock(), "speculate": "off"}
        with pytest.raises(VotesCopied, match="The same answer to the run's first question came within"):
            unerring.run(Sevens(250), spec, journal, options=options(spec, **given))
        assert server.ledger.settled().requests <= 16
    assert votes(journal) == 0


class Sevens:
    """A chain that asks the same question repeatedly."""

    def __init__(self, steps):
        self._steps = steps

    def start(self):
        return 0

    def subtask(self, state):
        return None if state == self._steps else unerring.Subtask(f"Number {state % 10}: what is 3 + 4?", str.strip)

    def advance(self, state, choice):
        return state + 1
