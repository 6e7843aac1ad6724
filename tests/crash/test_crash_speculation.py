"""Runs that speculate far ahead with some wrong guesses end like runs without kills, whenever they are killed."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from killing import Watch, acknowledged, assert_each_once, assert_same_result, entries_of, life
from stretch import Kept, stretches

import unerring
from unerring.api.journals import history as reading
from unerring.core.journal.entries import Paused
from unerring.testing import NoisySampler

DISKS = 8
STEPS = 2**DISKS - 1
IN_FLIGHT = 64
ENDS = 12  # of each run at most
log = logging.getLogger(__name__)


class Guessed(unerring.Hanoi):
    """Hanoi with a guess that is wrong at one state in twenty."""

    def guess(self, state):
        right = self.truth(state)
        if Random(str(state)).random() >= 0.05:
            return right
        return right | {"move": [1, 2, 2]}


class Slow:
    """A noisy model whose calls take a short time, each its own, set by `pace`."""

    compact = True
    name = "slow"

    def __init__(self, chain: Guessed, paid: bool, pace: float) -> None:
        self._noise = NoisySampler(chain.rehearse, p=0.95, v=0.95)
        self._kept = Kept()
        self.paid = paid
        self._pace = pace

    async def sample(self, prompt: str, settings: unerring.Settings, n: int) -> Sequence[unerring.Sample]:
        await asyncio.sleep(self._pace * Random(f"{prompt} {settings}").choice((0.25, 1, 4)))
        await self._kept.held(settings.step)
        return await self._noise.sample(prompt, settings, n)


def main() -> int:
    """One run in a process of its own: python test_crash_speculation.py JOURNAL, and its options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("journal", type=Path)
    parser.add_argument("--paid", action="store_true")
    parser.add_argument("--speculate", default="guess")
    parser.add_argument("--pace", type=float, default=0.01)
    options = parser.parse_args()
    chain = Guessed(DISKS)
    model = Slow(chain, options.paid, options.pace)
    how = unerring.Options(speculate=options.speculate, waste=0.3, in_flight=IN_FLIGHT)
    try:
        if entries_of(options.journal):
            unerring.resume(options.journal, chain, model, how)
        else:
            unerring.run(chain, model, options.journal, k=3, options=how)
    except unerring.Stopped as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of the run without kills and without guesses."""
    journal = tmp_path_factory.mktemp("truth") / "run.db"
    with life(command(journal, "--speculate", "off", "--pace", "0"), journal) as process:
        assert process.ended().code == 0
    return journal


def command(journal: Path, *more: str) -> list[str]:
    return [sys.executable, __file__, str(journal), *more]


def end_again_and_again(folder: Path, number: signal.Signals, times: int, *more: str) -> list[Path]:
    """Runs ended by a signal at so many random moments in all, each resumed; returns their finished journals."""
    chance, journals = Random(int(number)), []
    while times:
        ends = min(times, ENDS)
        journal = folder / f"run-{len(journals)}.db"
        watch = Watch(journal)
        # never so late that the samples in flight could take the run to its last step
        for stretch in stretches(chance, ends, STEPS - IN_FLIGHT):
            with life(command(journal, *more), journal, stretch) as process:
                process.some_moment(chance)
                promised = acknowledged(journal)
                process.send(number)
                if number != signal.SIGKILL:
                    process.says("a second one stops at once")
                process.let_on()
                code = process.ended().code
            entries = watch.look(promised)
            assert code == (-number if number == signal.SIGKILL else 3)
            assert number == signal.SIGKILL or isinstance(entries[-1], Paused)
        with life(command(journal, *more), journal) as process:
            assert process.ended().code == 0
        watch.look(acknowledged(journal))
        journals.append(journal)
        times -= ends
    return journals


@pytest.mark.parametrize(
    ("number", "times"),
    [
        (signal.SIGKILL, 2),
        (signal.SIGINT, 1),
        pytest.param(signal.SIGTERM, 12, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, 60, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 40, marks=pytest.mark.slow),
    ],
)
def test_a_speculated_run_ended_at_random_moments_ends_as_the_plain_one(tmp_path, truth, number, times):
    """Ended repeatedly by a signal, a run with guesses has the same export as the uninterrupted plain run."""
    journals = end_again_and_again(tmp_path, number, times)
    for journal in journals:
        assert_same_result(journal, truth)
        assert_each_once(journal)
    speculation = [reading.report(journal)["speculation"] for journal in journals]
    assert sum(one["steps_ahead"] for one in speculation) > 20 * len(speculation)
    log.info("%s: %d runs, wasted %s", number.name, len(journals), [one["wasted"] for one in speculation])


@pytest.mark.parametrize("times", [1, pytest.param(12, marks=pytest.mark.slow)])
def test_a_paid_speculated_run_that_was_killed_accounts_for_every_call(tmp_path, truth, times):
    """Killed a few times, a paid run has each sample settled in its journal, or counts it as of unknown outcome."""
    for journal in end_again_and_again(tmp_path, signal.SIGKILL, times, "--paid"):
        assert_same_result(journal, truth)
        assert_each_once(journal)
        samples = reading.report(journal)["samples"]
        assert samples["sent"] == samples["received"] + samples["unknown"]


if __name__ == "__main__":
    from test_crash_speculation import main as run  # so that the chain goes by a name that can be imported

    sys.exit(run())
