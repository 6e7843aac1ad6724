"""The embedded model on 12 disks, killed and stopped 70 times, decides every step correctly and loses no vote."""

import json
import logging
import signal
from pathlib import Path
from random import Random

import pytest
from killing import Watch, acknowledged, assert_each_once, assert_same_result, cli, entries_of, export, life

from unerring import Hanoi, run
from unerring.api.journals.verify import verify
from unerring.core.journal.entries import Paused
from unerring.core.voting.canonical import canonical

DISKS = 12
log = logging.getLogger(__name__)


def moments(chance: Random, total: int) -> list[tuple[int, signal.Signals]]:
    """50 kills and 20 requests to stop, shuffled, each with the number of entries at which it is sent."""
    signals = [signal.SIGKILL] * 50 + [signal.SIGINT] * 10 + [signal.SIGTERM] * 10
    chance.shuffle(signals)
    return list(zip(sorted(chance.sample(range(1, total), len(signals))), signals, strict=True))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_embedded_model_killed_seventy_times_makes_no_error(tmp_path: Path):
    """After 50 SIGKILL, 10 SIGINT and 10 SIGTERM every step is right, and every vote is there once, in its place."""
    journal, chain = tmp_path / "run.db", Hanoi(DISKS)
    watch, sent = Watch(journal), dict.fromkeys([signal.SIGKILL, signal.SIGINT, signal.SIGTERM], 0)
    untouched = tmp_path / "untouched.db"
    run(chain, "embedded", untouched)
    # how replies come together differs from run to run, and with it how many entries there are
    most = len(entries_of(untouched)) * 9 // 10
    for entries, number in moments(Random(1), most):
        command = ["run", "hanoi", "--set", f"disks={DISKS}", "--journal", journal]
        words = ["resume", journal] if entries_of(journal) else command
        with life(cli(*words), journal) as process:
            # at least one entry of this life: it listens to signals by then
            assert process.reaches(max(entries, acknowledged(journal) + 1))
            process.send(number)
            ended, promised = process.ended(), acknowledged(journal)
        last = watch.look(promised)[-1]
        sent[number] += 1
        if number is signal.SIGKILL:
            assert ended.code == -signal.SIGKILL
        else:
            assert ended.code == 3
            assert ended.err.splitlines()[-1].endswith(f"unerring resume {journal}")
            assert isinstance(last, Paused)
    with life(cli("resume", journal), journal) as process:
        assert process.ended().code == 0
    watch.look(acknowledged(journal))
    replies = assert_each_once(journal)
    found = verify(journal)
    assert (found.finished, found.problem, found.steps) == (True, None, chain.length())
    decided = [json.loads(line) for line in export(journal, "steps").splitlines()]
    state = chain.start()
    for step in decided:
        right = chain.truth(state)
        assert canonical({"move": step["move"], "next_state": step["next_state"]}) == canonical(right)
        state = chain.advance(state, right)
    assert chain.subtask(state) is None
    assert_same_result(journal, untouched)
    names = {number.name: times for number, times in sent.items()}
    log.info("embedded: %s; %d steps, %d samples", names, len(decided), len(replies))
