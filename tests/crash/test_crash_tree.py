"""A tree of problems, killed many times, ends exactly like one without kills."""

from pathlib import Path
from random import Random

import pytest
from killing import Watch, acknowledged, assert_each_once, assert_same_result, cli, life
from stretch import KeptSolve, stretches

from unerring import run

PROBLEM = "4604812 * 420981"
MODEL = "noise/p=0.97,v=0.95,c=0"


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_change_nothing_in_a_tree(tmp_path: Path, kills: int):
    """With SIGKILL at random moments, tree and votes are the same, and no sample is asked for twice."""
    chain, chance = KeptSolve(PROBLEM), Random(kills)
    run(chain, MODEL, tmp_path / "truth.db", k=5, seed=3)
    watch = Watch(tmp_path / "run.db")
    for stretch in stretches(chance, kills, len([*chain.states()]) - 1):
        start = ["run", "stretch:KeptSolve", "--set", f"problem={PROBLEM}", "--model", MODEL, "--k", 5, "--seed", 3]
        command = cli("resume", watch.journal) if watch.seen else cli(*start, "--journal", watch.journal)
        with life(command, watch.journal, stretch) as process:
            process.some_moment(chance)
            promised = acknowledged(watch.journal)
            process.kill()
        watch.look(promised)
    with life(cli("resume", watch.journal), watch.journal) as process:
        assert process.ended().code == 0
    watch.look(acknowledged(watch.journal))
    assert_same_result(watch.journal, tmp_path / "truth.db")
    assert_each_once(watch.journal)
