"""Runs on the noise sampler, killed for real again and again, end exactly as a run that nobody touched."""

import logging
import signal
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from killing import (
    Watch,
    acknowledged,
    assert_each_once,
    assert_same_result,
    cli,
    entries_of,
    life,
    nap,
)

from unerring import Hanoi, reading, run
from unerring.core.entries import Paused

DISKS = 10
MODEL = "noise/p=0.97,v=0.95,c=0"


log = logging.getLogger(__name__)


@dataclass
class Count:
    """What a crash test did, logged at its end. `moments` are entries in the journal right after each end."""

    moments: list[int] = field(default_factory=list)
    runs: int = 0
    entries: int = 0
    steps: int = 0
    votes: int = 0

    def add(self, journal: Path) -> None:
        report = reading.report(journal)
        self.runs += 1
        self.entries += reading.verify(journal).entries
        self.steps += report["steps"]
        self.votes += report["samples"]["voted"]

    @property
    def quarters(self) -> list[int]:
        """How many ends fell into each quarter of a run's length."""
        length = self.entries / self.runs
        return [sum(at * 4 // length == quarter for at in self.moments) for quarter in range(4)]

    def tell(self, what: str) -> None:
        told = f"{self.runs} runs, {self.steps} steps, {self.votes} votes"
        log.info("%s: %d ends (%s in the quarters), %s", what, len(self.moments), self.quarters, told)


def command(journal: Path, seed: int) -> list[str]:
    """What a user types: run, and once there is anything to go on with, resume."""
    if entries_of(journal):
        return cli("resume", journal)
    return cli(
        "run", "hanoi", "--set", f"disks={DISKS}", "--model", MODEL, "--k", 3, "--seed", seed, "--journal", journal
    )


def uninterrupted(folder: Path, seed: int) -> Path:
    """The journal of the same run, untouched."""
    path = folder / f"truth-{seed}.db"
    run(Hanoi(DISKS), MODEL, path, k=3, seed=seed)
    return path


def decisive(journal: Path) -> int:
    """Samples received that were not for nothing: how many were, of steps asked ahead, is a matter of the moment."""
    report = reading.report(journal)
    return report["samples"]["received"] - report["speculation"]["wasted"]


@pytest.mark.parametrize("times", [20, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_change_nothing(tmp_path: Path, times: int):
    """SIGKILL at random moments, each life resumed: no vote lost, none twice, and the result byte for byte."""
    chance, count = Random(1), Count()
    while len(count.moments) < times:
        seed = count.runs
        journal = tmp_path / f"run-{seed}.db"
        watch, done = Watch(journal), False
        while not done:
            before = acknowledged(journal)
            with life(command(journal, seed), journal) as process:
                if chance.random() < 0.3:  # at any time from the start of the process on
                    done = process.over(chance.uniform(0.0, 0.4))
                else:  # after a random number of entries, and a little more
                    done = not process.reaches(before + chance.randint(1, 250)) or process.over(nap(chance))
                promised = acknowledged(journal)
                process.kill()
                if done:
                    assert process.ended().code == 0
            entries = watch.look(promised)
            if not done:
                count.moments.append(len(entries))
        truth = uninterrupted(tmp_path, seed)
        assert_same_result(journal, truth)
        assert_each_once(journal)
        assert decisive(journal) == decisive(truth)
        count.add(journal)
    count.tell("SIGKILL")
    if times == 50:
        assert min(count.quarters) > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_ten_requests_to_stop_change_nothing(tmp_path: Path, number: signal.Signals):
    """Ten stops at random moments: each exits with 3, names the command that goes on, and costs no vote."""
    chance, count = Random(2), Count()
    while len(count.moments) < 10:
        seed = 100 + count.runs
        journal = tmp_path / f"run-{seed}.db"
        watch, done = Watch(journal), False
        while not done:
            before = acknowledged(journal)
            with life(command(journal, seed), journal) as process:
                # its first entry says that the process listens
                done = not process.reaches(before + chance.randint(1, 400)) or process.over(nap(chance))
                process.send(number)
                ended = process.ended()
            entries = watch.look(acknowledged(journal))
            done = done or reading.verify(journal).finished  # it came just at the end
            if done:
                continue
            assert ended.code == 3
            line = ended.err.splitlines()[-1]
            assert line.startswith(f"unerring: stopped by {number.name};")
            assert line.endswith(f"unerring resume {journal}")
            assert isinstance(entries[-1], Paused)
            assert entries[-1].kind == "interrupted"
            count.moments.append(len(entries))
        assert_same_result(journal, uninterrupted(tmp_path, seed))
        assert_each_once(journal)
        count.add(journal)
    count.tell(number.name)


def test_a_run_killed_before_its_first_entry_can_be_started_again(tmp_path: Path):
    """A run killed at any time while it starts up leaves either nothing, or a journal that can be gone on with."""
    chance, journal, kills = Random(3), tmp_path / "run.db", 0
    while not entries_of(journal) and kills < 12:
        with life(command(journal, 7), journal) as process:
            while not journal.exists() and not process.over(chance.uniform(0.0, 0.002)):
                pass
            process.kill()
        kills += 1
    with life(command(journal, 7), journal) as process:
        assert process.ended().code == 0
    assert_same_result(journal, uninterrupted(tmp_path, 7))
    log.info("%d kills while the journal was being made", kills)
