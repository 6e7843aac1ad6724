"""`--min-replies`, how many replies a winner's votes must come from, on the command line and in the journal."""

import pytest

import unerring
from faults.answers import noise
from faults.server import serving
from unerring.adapters.sqlite.reader import JournalReader
from unerring.core.journal.entries import Replies


@pytest.mark.parametrize(("given", "calls"), [((), 2), (("--min-replies", "1"), 1)])
def test_a_first_round_is_two_requests_unless_one_reply_may_decide(cli, tmp_path, given, calls):
    """On an endpoint a step with k = 3 takes two calls by default and one with --min-replies 1.

    The journal keeps the setting.
    """
    journal = tmp_path / "run.db"
    with serving(models={"m": noise(p=1.0)}) as server:
        spec = f"openai/m@{server.url}"
        run = ("run", "hanoi", "--set", "disks=3", "--k", 3, "--model", spec, "--journal", journal)
        ended = cli(*run, "--no-probe", "--speculate", "off", "--temperature", 1.0, *given)
        assert ended.code == 0, ended.err
        assert server.ledger.settled().requests == 7 * calls
    opened, *entries = JournalReader(journal).entries()
    assert opened.policy.get("min_replies", 1) == calls
    assert sum(isinstance(entry, Replies) for entry in entries) == 7 * calls
    assert unerring.verify(journal).problem is None
