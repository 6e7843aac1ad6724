"""Each paid call has an intent on disk before it is sent; a journal cut by a kill is resumed to the same end."""

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from journal_files import copied, entries_of, exported, killed, sql, start

import unerring
from unerring.core.journal.codec import decode
from unerring.core.journal.entries import Cancelled, Intent, Opened, Replies
from unerring.core.voting.sample import Sample, Settings
from unerring.errors import ProviderBusy
from unerring.testing import FakeClock, NoisySampler


class Witness:
    """A paid model that checks at each call that its intent is in the file already; every fifth call fails."""

    paid = True
    compact = True
    name = "witness"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._noise = NoisySampler(unerring.Hanoi(4).rehearse, p=0.9, v=0.9)
        self.calls: list[Intent] = []

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        call = Intent(settings.step, settings.slot, n)
        self.calls.append(call)
        with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as database:
            bodies = database.execute("SELECT body FROM entries").fetchall()
        durable = [decode(body) for (body,) in bodies]
        # calls for one step may be asked from several states, which only the journal tells apart
        announced = [Intent(one.step, one.slot, one.count) for one in durable if isinstance(one, Intent)]
        assert announced.count(call) >= self.calls.count(call), f"no intent is durable for {call}"
        if len(self.calls) % 5 == 0:
            raise ProviderBusy("busy")
        return await self._noise.sample(prompt, settings, n)


def test_no_paid_call_is_sent_before_its_intent_is_durable(path: Path):
    """At each call to a paid model, retries included, another connection reads an intent for exactly that call."""
    witness = Witness(path)
    unerring.run(unerring.Hanoi(4), witness, path, k=3, options=unerring.Options(clock=FakeClock()))
    intents = [Intent(one.step, one.slot, one.count) for one in entries_of(path) if isinstance(one, Intent)]
    given_up = [Intent(one.step, one.slot, one.count) for one in entries_of(path) if isinstance(one, Cancelled)]
    assert not Counter(witness.calls) - Counter(intents)
    assert not Counter(intents) - Counter(witness.calls) - Counter(given_up)  # some were given up before being sent
    assert len(intents) > 30


def test_every_reply_of_a_paid_run_has_an_earlier_intent(path: Path):
    """Each reply in a paid run's journal comes after an intent with its step and number."""
    unerring.run(unerring.Hanoi(4), Witness(path), path, k=3, options=unerring.Options(clock=FakeClock()))
    announced: set[tuple[int, int]] = set()
    for entry in entries_of(path):
        if isinstance(entry, Intent):
            announced |= {(entry.step, entry.slot + i) for i in range(entry.count)}
        elif isinstance(entry, Replies):
            assert announced >= {(reply.step, reply.slot) for reply in entry.replies}


def test_a_run_continues_from_an_opening_entry_alone(tmp_path: Path, path: Path):
    """A journal cut by a kill right after its first entry is resumed to the same end as an uninterrupted run."""
    start(tmp_path / "whole.db")
    (first, *_) = entries_of(tmp_path / "whole.db")
    assert isinstance(first, Opened)
    killed(path, [first])
    unerring.resume(path)
    assert exported(path) == exported(tmp_path / "whole.db")


def test_a_copy_taken_while_the_run_was_alive_is_resumed(tmp_path: Path, path: Path):
    """Database, log and head copied during a run after a commit are complete, and resume to the same end."""
    start(tmp_path / "whole.db")
    entries = entries_of(tmp_path / "whole.db")
    killed(path, entries[:60])
    assert entries_of(copied(path, tmp_path / "copy.db")) == entries[:60]
    unerring.resume(path)
    assert exported(path) == exported(tmp_path / "whole.db")
    sql(path, "PRAGMA integrity_check")


RUNS_DRY = """
import sys, unerring
answers = iter(["move = [1, 0, 2]\\nnext_state = [[], [], [1]]"])
unerring.run(unerring.Hanoi(1), lambda prompt, settings: next(answers), sys.argv[1], k=3)
"""


def test_a_function_that_runs_out_of_answers_does_not_hang_the_run(path: Path):
    """A function that raises StopIteration, as an exhausted iterator does, ends the run with its call recorded."""
    ran = subprocess.run([sys.executable, "-c", RUNS_DRY, path], capture_output=True, timeout=30, check=False)
    assert b"StopIteration" in ran.stderr
    assert any(isinstance(entry, Intent) for entry in entries_of(path))
