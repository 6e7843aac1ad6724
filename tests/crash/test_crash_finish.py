"""Runs killed while they finish: after the last entry, while the file gets its final form."""

import logging
import shutil
from pathlib import Path
from random import Random

import pytest
from killing import Watch, acknowledged, assert_each_once, assert_same_result, cli, life

from unerring import Hanoi, Options, Stopped, resume, run
from unerring.adapters.sqlite.head import read_mark, seal_of
from unerring.adapters.sqlite.schema import log_path
from unerring.api.journals.verify import verify
from unerring.core.journal.entries import Finished

DISKS = 6
MODEL = "noise/p=0.97,v=0.95,c=0"
log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of the uninterrupted run."""
    path = tmp_path_factory.mktemp("truth") / "truth.db"
    run(Hanoi(DISKS), MODEL, path, k=3)
    return path


@pytest.fixture(scope="module")
def almost(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of the same run, stopped shortly before its end."""
    path = tmp_path_factory.mktemp("almost") / "almost.db"
    with pytest.raises(Stopped):
        run(Hanoi(DISKS), MODEL, path, k=3, options=Options(max_steps=2**DISKS - 4))
    return path


@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_a_kill_while_a_run_finishes_loses_nothing(tmp_path: Path, truth: Path, almost: Path, kills: int):
    """Killed at some moments around its last entry, a run is read, resumed, verified and sealed like any other."""
    chance, last, finished, unsealed = Random(1), verify(almost).entries + 1, 0, 0
    leftovers: set[str] = set()
    for number in range(kills):
        journal = tmp_path / f"{number}.db"
        shutil.copy(almost, journal)
        shutil.copy(f"{almost}.head", f"{journal}.head")
        watch = Watch(journal)
        with life(cli("resume", journal), journal) as process:
            process.reaches(last + 1)
            if number % 2:
                process.over(chance.uniform(0.0, 0.008))
            else:  # when its log has just been put away
                while log_path(journal).exists() and not process.over(0.0):
                    pass
                process.over(chance.uniform(0.0, 0.002))
            promised = acknowledged(journal)
            process.kill()
        unsealed += not read_mark(journal).seal
        leftovers |= {file.name.removeprefix(journal.name) for file in tmp_path.glob(f"{journal.name}?*")}
        finished += isinstance(watch.look(promised)[-1], Finished)
        assert verify(journal).problem is None
        resume(journal)
        assert not list(tmp_path.glob(f"{journal.name}-*"))
        assert read_mark(journal).seal == seal_of(journal)
        watch.look(promised)
        assert_same_result(journal, truth)
        assert_each_once(journal)
    log.info(
        "%d kills while finishing, %d of them after the last entry, %d before the seal; left over: %s",
        kills,
        finished,
        unsealed,
        sorted(leftovers),
    )
