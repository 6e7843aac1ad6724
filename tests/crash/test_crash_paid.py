"""Runs on a paid model that keeps its own ledger: no call goes unrecorded, and no reply counts twice."""

import json
import logging
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from killing import Watch, acknowledged, assert_each_once, assert_same_result, driver, entries_of, life
from stretch import stretches

from unerring.api.journals import history as reading
from unerring.core.journal.entries import Failed, Intent

DISKS = 5
STEPS = 2**DISKS - 1
PAID_NAP_SECONDS = 0.03  # a stretch of a run that waits for the disk at each call
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bill:
    """The model's ledger: each call's samples, and the ids of its replies, received or not."""

    calls: Counter[tuple[int, int, int]]
    ids: list[str]

    @property
    def samples(self) -> int:
        return len(self.ids)


def bill(ledger: Path) -> Bill:
    """Read the ledger; a kill may have left half a line at its end, of a call that was never answered."""
    calls, ids = Counter[tuple[int, int, int]](), []
    for line in ledger.read_text().splitlines():
        call = json.loads(line)
        calls[call["step"], call["slot"], call["count"]] += 1
        ids += call["ids"]
    return Bill(calls, ids)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of the run without kills, with its ledger."""
    folder = tmp_path_factory.mktemp("truth")
    journal = folder / "run.db"
    with life(driver(journal, folder / "ledger", "--disks", DISKS), journal) as process:
        assert process.ended().code == 0
    return journal


def command(watch: Watch, ledger: Path, *more: object) -> list[str]:
    """Start or resume the run."""
    resumed = ["--resume"] if watch.seen else []
    return driver(watch.journal, ledger, "--disks", DISKS, *resumed, *more)


def finish(watch: Watch, ledger: Path) -> None:
    """Resume the run to its end."""
    with life(command(watch, ledger), watch.journal) as process:
        assert process.ended().code == 0
    watch.look(acknowledged(watch.journal))


def intents_of(journal: Path) -> Counter[tuple[int, int, int]]:
    """The calls that the journal has as about to be sent."""
    intents = [entry for entry in entries_of(journal) if isinstance(entry, Intent)]
    return Counter((intent.step, intent.slot, intent.count) for intent in intents)


def assert_settled(journal: Path, ledger: Path) -> int:
    """Assert that the journal accounts for every billed sample; returns how many have an unknown outcome."""
    billed, intents = bill(ledger), intents_of(journal)
    samples = reading.report(journal)["samples"]
    replies = assert_each_once(journal)
    announced = sum(count * times for (_, _, count), times in intents.items())
    assert billed.calls <= intents  # every call was recorded before it was sent
    assert not any(isinstance(entry, Failed) for entry in entries_of(journal))
    assert samples["unknown"] == announced - len(replies)  # what is not known is counted, not forgotten
    assert samples["sent"] == announced
    assert samples["unknown"] >= billed.samples - len(replies)
    names = [reply.reply_id for reply in replies]
    assert len(set(names)) == len(names)  # no reply counts twice
    assert set(names) <= set(billed.ids)  # and none that was not billed
    return samples["unknown"]


@pytest.mark.parametrize("kills_wanted", [2, pytest.param(15, marks=pytest.mark.slow)])
def test_a_model_that_dies_with_its_call_leaves_an_exact_account(tmp_path: Path, truth: Path, kills_wanted: int):
    """If the model is killed at its calls, the journal has exactly the billed calls. The unanswered ones are unknown.

    So it is without speculation; with it, a kill also keeps calls from being sent that are announced.
    """
    chance, journal, ledger, kills = Random(1), tmp_path / "run.db", tmp_path / "ledger", 0
    watch, done = Watch(journal), False
    while not done:
        dies = ["--die-at", chance.randint(1, 5)] if kills < kills_wanted else []
        with life(command(watch, ledger, "--one-by-one", *dies), journal) as process:
            code = process.ended().code
        done = code == 0
        kills += code == -signal.SIGKILL
        watch.look(acknowledged(journal))
    billed = bill(ledger)
    assert 3 * kills >= 2 * kills_wanted
    assert billed.calls == intents_of(journal)
    unknown = assert_settled(journal, ledger)
    assert unknown == billed.samples - len(assert_each_once(journal))
    assert_same_result(journal, truth)
    log.info("paid: %d kills at a call, %d samples billed, %d unknown", kills, billed.samples, unknown)


@pytest.mark.parametrize(("runs", "kills"), [(1, 2), pytest.param(4, 5, marks=pytest.mark.slow)])
def test_a_paid_run_killed_at_any_moment_accounts_for_every_call(tmp_path: Path, truth: Path, runs: int, kills: int):
    """With SIGKILL at random moments, every billed call was recorded first, and every reply counts once."""
    chance, unknown, billed = Random(2), 0, 0
    for number in range(runs):
        journal, ledger = tmp_path / f"run-{number}.db", tmp_path / f"ledger-{number}"
        watch = Watch(journal)
        for stretch in stretches(chance, kills, STEPS - 1):
            with life(command(watch, ledger, "--latency", 0.002), journal, stretch) as process:
                process.some_moment(chance, PAID_NAP_SECONDS)
                promised = acknowledged(journal)
                process.kill()
            watch.look(promised)
        finish(watch, ledger)
        unknown += assert_settled(journal, ledger)
        billed += bill(ledger).samples
        assert_same_result(journal, truth)
    log.info("paid: %d kills in %d runs, %d samples billed, %d unknown", kills * runs, runs, billed, unknown)


@pytest.mark.parametrize(
    ("number", "stops"),
    [
        (signal.SIGINT, 1),
        *(pytest.param(number, 4, marks=pytest.mark.slow) for number in (signal.SIGINT, signal.SIGTERM)),
    ],
)
def test_a_request_to_stop_receives_what_is_paid_for(tmp_path: Path, truth: Path, number: signal.Signals, stops: int):
    """A run that is to stop while samples are in flight waits for them: every billed sample has its reply."""
    chance, journal, ledger = Random(3), tmp_path / "run.db", tmp_path / "ledger"
    watch = Watch(journal)
    for stretch in stretches(chance, stops, STEPS - 1):
        with life(command(watch, ledger, "--latency", 0.02), journal, stretch) as process:
            process.some_moment(chance)
            process.send(number)
            process.says("a second one stops at once")
            process.let_on()
            assert process.ended().code == 3
        watch.look(acknowledged(journal))
    finish(watch, ledger)
    assert assert_settled(journal, ledger) == 0
    assert bill(ledger).calls == intents_of(journal)
    assert_same_result(journal, truth)
    log.info("paid: %d stops by %s, %d samples billed", stops, number.name, bill(ledger).samples)
