"""Speculation from the command line changes how fast a run is, and no decision."""

import json

import pytest
from command_runs import NOISE

GUESSING = """
from ledger import Ledger


class Guessing(Ledger):
    def guess(self, state):
        return 2 * state[-1] + (len(state) % 7 == 0)
"""


@pytest.mark.parametrize("speculate", ["auto", "leader", "noise/p=0.99,v=1,c=0", "embedded/draft"])
def test_exports_are_the_same_with_and_without_speculation(cli, speculate):
    """With any source of guesses, the exports equal those of a run without speculation."""
    for name, given in (("off.db", "off"), ("ahead.db", speculate)):
        assert cli("run", "hanoi", "--set", "disks=7", *NOISE, "--journal", name, "--speculate", given).code == 0
    for what in ("steps", "votes"):
        assert cli("export", "ahead.db", "--what", what).out == cli("export", "off.db", "--what", what).out


def test_a_process_may_guess_for_itself(cli, ledger, tmp_path):
    """If a process has guess(state), steps are asked ahead by default, and the report has the figures."""
    (tmp_path / "guessing.py").write_text(GUESSING, encoding="utf-8")
    given = ("--set", "steps=60", "--model", "noise/p=0.99", "--k", "3", "--journal", "g.db")
    assert cli("run", "guessing:Guessing", *given).code == 0
    speculation = json.loads(cli("report", "g.db", "--json").out)["speculation"]
    assert speculation["steps_ahead"] > 10
    assert speculation["longest_run"] > 1
    assert "steps asked ahead of their turn, at most" in cli("report", "g.db").out


def test_speculation_may_change_between_sessions(cli):
    """A run started without speculation can be resumed with it, and the other way round."""
    assert cli("run", "hanoi", "--set", "disks=6", *NOISE, "--journal", "o.db", "--speculate", "off").code == 0
    begun = cli(
        "run", "hanoi", "--set", "disks=6", *NOISE, "--journal", "h.db", "--speculate", "off", "--max-steps", "20"
    )
    assert begun.code == 3
    assert cli("resume", "h.db", "--speculate", "embedded/draft", "--max-steps", "20").code == 3
    assert cli("resume", "h.db", "--speculate", "leader", "--in-flight", "2", "--waste", "0").code == 0
    assert cli("export", "h.db").out == cli("export", "o.db").out


def test_a_refused_drafting_model_leaves_the_journal_unchanged(cli):
    """Resuming with an unsuitable drafting model is refused, and writes nothing into the journal."""
    assert cli("run", "hanoi", "--set", "disks=5", *NOISE, "--journal", "h.db", "--max-steps", "5").code == 3
    before = cli("report", "h.db", "--json").out
    assert cli("resume", "h.db", "--speculate", "guess").code == 2
    assert cli("report", "h.db", "--json").out == before
