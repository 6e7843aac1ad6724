"""A whole chain through an endpoint on which a fifth of all requests fail, in every way that endpoints fail."""

import gc
import logging
from collections import Counter
from pathlib import Path

import pytest
from endpoint_runs import AWAITED, QUICK, decisions, mixed, options

import unerring
from faults.answers import noise
from faults.faults import Fault
from faults.server import serving
from unerring import Hanoi
from unerring.adapters.chat.request import SEED_MASK
from unerring.adapters.sqlite.reader import JournalReader
from unerring.core.journal.entries import Cancelled, Failed, Intent, Probed, Replies
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Settings
from unerring.errors import FailureKind

SECONDS = 3.0  # deadline of a call


def solved(disks: int, journal: Path, script=None, keep=None, **given):
    """The run, and the requests in the server's ledger."""
    extra = {} if script is None else {"script": script}
    with serving(models={"m": noise(p=0.998, v=0.98)}, keep=keep, **extra) as server:
        spec = f"openai/m@{server.url},timeout={SECONDS:g}"
        result = unerring.run(Hanoi(disks), spec, journal, seed=4, options=options(spec, **given))
        return result, server.ledger.settled(), list(server.ledger.chats)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """9 disks, 511 steps, once without a fault and once with a fifth of the requests failing."""
    folder = tmp_path_factory.mktemp("faulty")
    clean = solved(9, folder / "clean.db")
    faulty = solved(9, folder / "faulty.db", mixed(0.2, seed=1, awaited=[600]), keep=10**6)
    return folder, clean, faulty


@pytest.mark.timeout(400)
def test_it_decides_as_without_faults(runs):
    """Decisions are identical to those without faults, and right."""
    folder, (clean, _, _), (faulty, totals, _) = runs
    assert clean.steps == faulty.steps == 511
    assert decisions(folder / "clean.db") == decisions(folder / "faulty.db")
    assert unerring.verify(folder / "faulty.db").problem is None
    assert set(totals.faults) == {fault.name for fault in (*AWAITED, *QUICK)}


def test_it_takes_few_requests_more(runs):
    """With a fifth of them failing there are at most 1.35 times the requests; 1.25 is the minimum."""
    _, (_, clean, _), (_, faulty, _) = runs
    assert 1.15 * clean.requests < faulty.requests <= 1.35 * clean.requests


def test_every_request_is_in_the_journal(runs):
    """Except for calls cancelled on their way, each request at the server has an intent, which is settled."""
    folder, _, (faulty, totals, _) = runs
    entries = list(JournalReader(folder / "faulty.db").entries())
    failed = [entry for entry in entries if isinstance(entry, Failed)]
    unsent = sum(entry.kind is FailureKind.UNSENT for entry in failed)
    intents = sum(isinstance(entry, Intent) for entry in entries)
    given_up = sum(isinstance(entry, Cancelled) for entry in entries)  # on its way to the server, or back from it
    assert intents - unsent == faulty.report["spend"]["calls"]
    assert totals.requests <= intents - unsent <= totals.requests + given_up
    settled = sum(isinstance(entry, Failed | Replies | Cancelled) for entry in entries)
    assert settled + sum(isinstance(entry, Probed) and not entry.finding for entry in entries) == intents
    assert faulty.report["spend"]["under_way"]["tokens"] == 0


def test_what_is_charged_is_what_was_billed(runs):
    """The sum charged for replies is that of their bills, to one part in 10,000; unknown outcomes are charged no less.

    A reply that is delivered twice has its usage twice: it was billed once, and is charged twice all the same. A reply
    to an abandoned call, whose step was dropped, is billed, and charged as unknown.
    """
    folder, _, (faulty, totals, chats) = runs
    spend = faulty.report["spend"]
    by_id = {chat.reply_id: chat.billed for chat in chats if chat.fault != Fault.DUPLICATE.name}
    delivered = [chat for chat in chats if chat.delivered and chat.billed.output]
    again = [by_id[chat.reply_id] for chat in chats if chat.fault == Fault.DUPLICATE.name and chat.reply_id in by_id]
    missed = _given_up(JournalReader(folder / "faulty.db").entries(), delivered)
    charged = _dollars([chat.billed for chat in delivered]) + _dollars(again) - _dollars(missed)
    assert spend["settled"]["dollars"] == pytest.approx(charged, rel=1e-4)
    assert spend["unknown"]["dollars"] >= _dollars([totals.billed_undelivered]) + _dollars(missed)
    assert spend["unknown"]["calls"] >= totals.unanswered - totals.in_flight


def _given_up(entries, delivered):
    """The bills for replies to abandoned calls. A call is known by its seed and its n."""
    taken = Counter()
    for entry in entries:
        if isinstance(entry, Replies):
            if any(reply.flag is FlagKind.COPY for reply in entry.replies):
                continue  # another call's reply
            taken[_seed(entry.replies[0].step, entry.replies[0].slot), len(entry.replies)] += 1
        elif isinstance(entry, Failed) and entry.charge is not None:
            taken[_seed(entry.step, entry.slot), entry.count] += 1
    trial, missed = delivered[0].messages, []  # trial calls have one prompt, and are settled in their own way
    for chat in delivered:
        if chat.messages != trial:
            taken[chat.seed, chat.n] -= 1
            missed += [chat.billed] if taken[chat.seed, chat.n] < 0 else []
    return missed


def _seed(step, slot):
    return Settings(1.0, 1, 4, step, slot).sample_seed() & SEED_MASK


def _dollars(tokens):
    return sum(0.4 * one.input + 1.6 * one.output for one in tokens) / 1e6


def test_no_call_outlasts_its_deadline(runs):
    """No request was in flight for longer than the deadline and a second."""
    _, _, (_, _, chats) = runs
    assert max(chat.ended - chat.arrived for chat in chats) <= SECONDS + 1.0


def test_nothing_is_left_unhandled(tmp_path, caplog):
    """No exception is left to the event loop or the garbage collector, where warnings are errors."""
    with caplog.at_level(logging.WARNING, "asyncio"):
        solved(6, tmp_path / "run.db", mixed(0.5, seed=2, awaited=[30]), speculate="noise/p=0.9")
        gc.collect()
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_thirty_thousand_steps(tmp_path):
    """15 disks, 32,767 steps, on an endpoint with a fifth of its requests failing, are right, in few requests."""
    result, totals, _ = solved(
        15, tmp_path / "run.db", mixed(0.2, seed=3, awaited=range(1000, 40_000, 2_500)), keep=10
    )
    assert result.steps == 32_767
    assert unerring.verify(tmp_path / "run.db").problem is None
    entries = list(JournalReader(tmp_path / "run.db").entries())
    given_up = sum(isinstance(entry, Cancelled) for entry in entries)
    assert totals.requests <= result.report["spend"]["calls"] <= totals.requests + given_up
    answered = sum(isinstance(entry, Replies) for entry in entries)
    assert totals.requests <= 1.35 * answered
