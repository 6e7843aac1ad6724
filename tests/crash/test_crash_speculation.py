"""Runs that ask far ahead, on guesses wrong now and then, end as untouched ones whenever they are ended."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from killing import Watch, acknowledged, assert_each_once, assert_same_result, entries_of, life, nap

import unerring
from unerring import reading
from unerring.testing import NoisySampler

DISKS = 7
log = logging.getLogger(__name__)


class Guessed(unerring.Hanoi):
    """Hanoi, with a guess that is wrong at one state in twenty."""

    def guess(self, state):
        right = self.truth(state)
        if Random(str(state)).random() >= 0.05:
            return right
        return right | {"move": [1, 2, 2]}


class Slow:
    """A noisy model whose calls take a moment, each its own."""

    compact = True
    name = "slow"

    def __init__(self, chain: Guessed, paid: bool) -> None:
        self._noise = NoisySampler(chain.rehearse, p=0.95, v=0.95)
        self.paid = paid

    async def sample(self, prompt: str, settings: unerring.Settings, n: int) -> Sequence[unerring.Sample]:
        await asyncio.sleep(Random(f"{prompt} {settings}").choice((0.0005, 0.002, 0.008)))
        return await self._noise.sample(prompt, settings, n)


def main() -> int:
    """One run in a process of its own: python test_crash_speculation.py JOURNAL [--paid] [--speculate HOW]."""
    parser = argparse.ArgumentParser()
    parser.add_argument("journal", type=Path)
    parser.add_argument("--paid", action="store_true")
    parser.add_argument("--speculate", default="guess")
    options = parser.parse_args()
    chain = Guessed(DISKS)
    model = Slow(chain, options.paid)
    how = unerring.Options(speculate=options.speculate, waste=0.3, in_flight=64)
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
    """The journal of the run that nobody touched and nothing was guessed in."""
    journal = tmp_path_factory.mktemp("truth") / "run.db"
    with life(command(journal, "--speculate", "off"), journal) as process:
        assert process.ended().code == 0
    return journal


def command(journal: Path, *more: str) -> list[str]:
    return [sys.executable, __file__, str(journal), *more]


def end_again_and_again(folder: Path, number: signal.Signals, times: int, *more: str) -> list[Path]:
    """Runs ended by a signal at so many random moments in all, each life resumed; their journals, finished."""
    chance, journals, ends = Random(int(number)), [], 0
    while ends < times:
        journal, done = folder / f"run-{len(journals)}.db", False
        watch = Watch(journal)
        while not done:
            before = acknowledged(journal)
            with life(command(journal, *more), journal) as process:
                done = not process.reaches(before + chance.randint(1, 150)) or process.over(nap(chance))
                promised = acknowledged(journal)
                process.send(number)
                code = process.ended().code
            watch.look(promised)
            done = done or reading.verify(journal).finished  # it came just at the end
            ends += not done
            assert done or code == (-number if number == signal.SIGKILL else 3)
        journals.append(journal)
    return journals


@pytest.mark.parametrize(
    ("number", "times"),
    [
        (signal.SIGKILL, 12),
        (signal.SIGINT, 6),
        (signal.SIGTERM, 6),
        pytest.param(signal.SIGKILL, 60, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 40, marks=pytest.mark.slow),
    ],
)
def test_a_speculated_run_ended_at_random_moments_ends_as_the_plain_one(tmp_path, truth, number, times):
    """Ended again and again by a signal, a run that guesses exports just what the untouched plain run does."""
    journals = end_again_and_again(tmp_path, number, times)
    for journal in journals:
        assert_same_result(journal, truth)
        assert_each_once(journal)
    told = [reading.report(journal)["speculation"] for journal in journals]
    assert sum(one["steps_ahead"] for one in told) > 20 * len(told)
    log.info("%s: %d runs, wasted %s", number.name, len(journals), [one["wasted"] for one in told])


def test_a_paid_speculated_run_that_was_killed_accounts_for_every_call(tmp_path, truth):
    """Killed a few times, a paid run has each sample's end in its journal, or counts it as of unknown outcome."""
    for journal in end_again_and_again(tmp_path, signal.SIGKILL, 6, "--paid"):
        assert_same_result(journal, truth)
        assert_each_once(journal)
        samples = reading.report(journal)["samples"]
        assert samples["sent"] == samples["received"] + samples["unknown"]


if __name__ == "__main__":
    from test_crash_speculation import main as run  # so that the chain goes by a name that can be imported

    sys.exit(run())
