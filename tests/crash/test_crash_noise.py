"""Runs on the noise sampler, killed many times, end exactly like a run without kills."""

import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

import pytest
from killing import (
    Watch,
    acknowledged,
    assert_each_once,
    assert_same_result,
    cli,
    life,
)
from stretch import Stretch, stretches

from unerring import Hanoi, run
from unerring.api.journals import history as reading
from unerring.core.journal.entries import Finished, Paused

DISKS = 10
STEPS = 2**DISKS - 1
MODEL = "noise/p=0.97,v=0.95,c=0"
IN_FLIGHT = 64
MANY = 5  # ends that fall into every quarter of a run


log = logging.getLogger(__name__)


@dataclass
class Count:
    """Statistics of a crash test, logged at its end. `moments` are entries in the journal right after each end."""

    moments: list[int] = field(default_factory=list)
    runs: int = 0
    entries: int = 0
    steps: int = 0
    votes: int = 0

    def add(self, journal: Path, entries: int) -> None:
        report = reading.report(journal)
        self.runs += 1
        self.entries += entries
        self.steps += report["steps"]
        self.votes += report["samples"]["voted"]

    @property
    def quarters(self) -> list[int]:
        """How many ends fell into each quarter of a run's length."""
        length = self.entries / self.runs
        return [sum(at * 4 // length == quarter for at in self.moments) for quarter in range(4)]

    def log_counts(self, what: str) -> None:
        totals = f"{self.runs} runs, {self.steps} steps, {self.votes} votes"
        log.info("%s: %d ends (%s in the quarters), %s", what, len(self.moments), self.quarters, totals)


def command(watch: Watch, seed: int) -> list[str]:
    """The commands of a user: run, and once there is a journal, resume."""
    ahead = ["--in-flight", IN_FLIGHT]
    if watch.seen:
        return cli("resume", watch.journal, *ahead)
    puzzle = ["stretch:KeptHanoi", "--set", f"disks={DISKS}"]
    return cli("run", *puzzle, "--model", MODEL, "--k", 3, "--seed", seed, "--journal", watch.journal, *ahead)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """The journal of the uninterrupted run with a seed."""
    folder = tmp_path_factory.mktemp("truth")

    @cache
    def uninterrupted(seed: int) -> Path:
        path = folder / f"{seed}.db"
        run(Hanoi(DISKS), MODEL, path, k=3, seed=seed)
        return path

    return uninterrupted


def decisive(journal: Path) -> int:
    """Received samples that were not wasted; how many were wasted, of steps asked ahead, depends on timing."""
    report = reading.report(journal)
    return report["samples"]["received"] - report["speculation"]["wasted"]


@pytest.mark.parametrize(
    ("seeds", "kills"), [([0], 2), pytest.param([1, 2, 3, 4, 5, 6], 10, marks=pytest.mark.slow)], ids=str
)
def test_kills_change_nothing(tmp_path: Path, truth: Callable[[int], Path], seeds: list[int], kills: int):
    """With SIGKILL at random moments no vote is lost or doubled, and the result is the same to the byte."""
    chance, count = Random(seeds[0]), Count()
    for seed in seeds:
        watch = Watch(tmp_path / f"run-{seed}.db")
        for stretch in stretches(chance, kills, STEPS - 1):
            with life(command(watch, seed), watch.journal, stretch) as process:
                if chance.random() < 0.2:  # at any time from the start of the process on
                    assert not process.over(chance.uniform(0.0, 0.4))
                else:
                    process.some_moment(chance)
                promised = acknowledged(watch.journal)
                process.kill()
            count.moments.append(len(watch.look(promised)))
        with life(command(watch, seed), watch.journal) as process:
            assert process.ended().code == 0
        entries = watch.look(acknowledged(watch.journal))
        assert_same_result(watch.journal, truth(seed))
        assert_each_once(watch.journal)
        assert decisive(watch.journal) == decisive(truth(seed))
        count.add(watch.journal, len(entries))
    count.log_counts("SIGKILL")
    assert len(count.moments) < MANY or min(count.quarters) > 0


@pytest.mark.parametrize(
    ("number", "stops"),
    [
        (signal.SIGTERM, 2),
        pytest.param(signal.SIGTERM, 10, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 10, marks=pytest.mark.slow),
    ],
)
def test_requests_to_stop_change_nothing(
    tmp_path: Path, truth: Callable[[int], Path], number: signal.Signals, stops: int
):
    """Each stop at a random moment exits with 3, names the command that continues, and costs no vote.

    One more, at about the end of the run, does the same, or is too late and changes nothing.
    """
    chance, count, seed = Random(2), Count(), 0
    watch = Watch(tmp_path / "run.db")
    # never so late that the samples in flight, which are taken in, could take the run to its end
    for stretch in [*stretches(chance, stops, STEPS - IN_FLIGHT), Stretch(STEPS - 60, STEPS)]:
        with life(command(watch, seed), watch.journal, stretch) as process:
            process.some_moment(chance)
            process.send(number)
            if stretch.end < STEPS:
                process.says("a second one stops at once")
            process.let_on()
            ended = process.ended()
        entries = watch.look(acknowledged(watch.journal))
        if stretch.end == STEPS and isinstance(entries[-1], Finished):
            break
        assert ended.code == 3
        line = ended.err.splitlines()[-1]
        assert line.startswith(f"unerring: stopped by {number.name};")
        assert line.endswith(f"unerring resume {watch.journal}")
        assert isinstance(entries[-1], Paused)
        assert entries[-1].kind == "interrupted"
        count.moments.append(len(entries))
    with life(command(watch, seed), watch.journal) as process:
        assert process.ended().code == 0
    count.add(watch.journal, len(watch.look(acknowledged(watch.journal))))
    assert_same_result(watch.journal, truth(seed))
    assert_each_once(watch.journal)
    count.log_counts(number.name)
    assert len(count.moments) < MANY or min(count.quarters) > 0


def test_a_run_killed_before_its_first_entry_can_be_started_again(tmp_path: Path, truth: Callable[[int], Path]):
    """A run killed at any time while it starts leaves no journal, or one that can be resumed."""
    chance, watch, kills = Random(3), Watch(tmp_path / "run.db"), 0
    while not watch.seen and kills < 12:
        with life(command(watch, 0), watch.journal, Stretch(0, 0)) as process:
            while not watch.journal.exists() and not process.over(chance.uniform(0.0, 0.002)):
                pass
            process.kill()
        watch.look(0)
        kills += 1
    with life(command(watch, 0), watch.journal) as process:
        assert process.ended().code == 0
    assert_same_result(watch.journal, truth(0))
    log.info("%d kills while the journal was being made", kills)
