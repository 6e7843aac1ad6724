"""Function processes that are killed, also within their side effects, end as the one that is not."""

import json
import logging
import signal
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from bills import assert_settled, bill
from crash_agent import WHERE
from killing import HERE, Watch, acknowledged, assert_each_once, export, life
from stretch import Stretch, stretches

import unerring

IN_FLIGHT = 8
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Effect:
    """One time that a side effect was begun."""

    name: str
    arguments: str
    key: str


@dataclass(frozen=True, slots=True)
class Job:
    """A folder in which the agent works."""

    folder: Path

    @property
    def journal(self) -> Path:
        return self.folder / "run.db"

    def effects(self) -> list[Effect]:
        """All side effects that were begun, in order."""
        lines = map(json.loads, (self.folder / "effects").read_text().splitlines())
        return [Effect(line["name"], json.dumps(line["arguments"]), line["key"]) for line in lines]

    def stock(self) -> list[Any]:
        """What lies where, and how many moves were made."""
        with closing(sqlite3.connect(self.folder / "warehouse.db")) as store:
            lots = store.execute("SELECT item, shelf, count FROM lots ORDER BY item, shelf").fetchall()
            return [lots, *store.execute("SELECT count(*) FROM moves")]

    def published(self) -> list[str]:
        """The lines that the side effect at the end wrote."""
        file = self.folder / "published"
        return file.read_text().splitlines() if file.exists() else []

    def command(self, *more: object) -> list[str]:
        return [sys.executable, str(HERE / "crash_agent.py"), *map(str, (self.folder, *more))]

    def code(self, *more: object) -> int:
        """The exit code of one process that works here until it ends."""
        with life(self.command(*more), self.journal) as process:
            return process.ended().code


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The job that was never killed."""
    job = Job(tmp_path_factory.mktemp("whole"))
    assert job.code() == 0
    return job


def assert_same(job: Job, whole: Job) -> None:
    """Assert that a job ended as the one that was not killed, with each side effect made, under one key."""
    assert job.stock() == whole.stock()
    assert job.published() == whole.published()
    assert (job.folder / "answer.json").read_text() == (whole.folder / "answer.json").read_text()
    for what in ("steps", "votes"):
        assert export(job.journal, what) == export(whole.journal, what)
    made = list(dict.fromkeys(job.effects()))  # run again only under the same key, with the same arguments
    assert [(one.name, one.arguments) for one in made] == [(one.name, one.arguments) for one in whole.effects()]
    assert len({one.key for one in made}) == len(made)
    assert unerring.verify(job.journal).finished


@pytest.mark.parametrize("kills", [5, pytest.param(24, marks=pytest.mark.slow)])
def test_side_effects_that_are_killed_are_made_once(tmp_path: Path, whole: Job, kills: int):
    """Killed before, within and after the transactions of its side effects, a job moves nothing twice, and pays once.

    It is run again only where it was killed.
    """
    chance, job = Random(kills), Job(tmp_path)
    for number in range(kills):
        where = WHERE[number % len(WHERE)]
        # a process makes one side effect more than the last one at most: there are enough for all kills
        assert job.code("--die-in", 1 + chance.randint(0, 1), "--where", where) == -signal.SIGKILL
    assert job.code() == 0
    assert_same(job, whole)
    assert len(job.effects()) == len(whole.effects()) + kills
    assert assert_settled(job.journal, job.folder / "ledger") == 0
    assert bill(job.folder / "ledger").samples == bill(whole.folder / "ledger").samples


@pytest.mark.parametrize(("runs", "kills"), [(1, 3), pytest.param(5, 10, marks=pytest.mark.slow)])
def test_a_job_killed_at_any_moment_ends_as_the_whole_one(tmp_path: Path, whole: Job, runs: int, kills: int):
    """With SIGKILL at random moments the end is the same, and no more is paid again than was in flight."""
    chance, again = Random(kills), 0
    steps = unerring.report(whole.journal)["steps"]
    for number in range(runs):
        job = Job(tmp_path / str(number))
        job.folder.mkdir()
        watch, more = Watch(job.journal), ("--latency", 0.005, "--in-flight", IN_FLIGHT, "--speculate", "leader")
        for stretch in stretches(chance, kills, steps - 1):
            kill_once(job, watch, stretch, chance, *more)
        assert job.code(*more) == 0
        watch.look(acknowledged(job.journal))
        assert_same(job, whole)
        unknown = assert_settled(job.journal, job.folder / "ledger")
        billed, replies = bill(job.folder / "ledger").samples, len(assert_each_once(job.journal))
        assert billed <= replies + unknown <= replies + kills * IN_FLIGHT
        again += len(job.effects()) - len(whole.effects())
    assert again <= runs * kills
    log.info("%d kills, %d of them within a side effect", runs * kills, again)


def kill_once(job: Job, watch: Watch, stretch: Stretch, chance: Random, *more: object) -> None:
    """Work on a job until a random moment of its stretch."""
    with life(job.command(*more), job.journal, stretch) as process:
        process.some_moment(chance)
        promised = acknowledged(job.journal)
        process.kill()
    watch.look(promised)


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_side_effect_that_must_not_be_made_twice_waits_for_a_person(tmp_path: Path, whole: Job, where: str):
    """Killed within it, the job stops at each start until a person says whether it happened, and never repeats it."""
    job, happened = Job(tmp_path), where == "after"
    assert job.code("--die-in", len(whole.effects()), "--where", where) == -signal.SIGKILL
    for _ in range(2):
        assert job.code() == 3
    assert job.published() == whole.published() * happened
    unerring.open(job.journal).settle(happened, *(["published"] if happened else []))
    assert job.code() == 0
    assert job.published() == whole.published()
    assert (job.folder / "answer.json").read_text() == (whole.folder / "answer.json").read_text()
