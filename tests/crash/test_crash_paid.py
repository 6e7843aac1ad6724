"""Runs on a paid model that keeps its own ledger: no call goes unrecorded, and no reply counts twice."""

import logging
import signal
from pathlib import Path
from random import Random

import pytest
from bills import assert_settled, bill, intents_of
from killing import Watch, acknowledged, assert_each_once, assert_same_result, driver, life
from stretch import stretches

DISKS = 5
STEPS = 2**DISKS - 1
PAID_NAP_SECONDS = 0.03  # a stretch of a run that waits for the disk at each call
log = logging.getLogger(__name__)


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
