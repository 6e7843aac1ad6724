"""The ledger: after a failed entry the run records nothing more; impossible charges count as the worst case."""

import pytest

from chain_runs import K1, Words, opening
from replay import replay
from unerring.adapters.sqlite.reader import JournalReader
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.core.journal.entries import Paused, Replies, Reply, Voter
from unerring.core.journal.state import RunState
from unerring.core.voting.sample import Finish, Sample, Settings, Usage
from unerring.runtime.calls.ledger import Ledger
from unerring.runtime.calls.token_counts import with_possible_counts


class Text(str):
    """A text that cannot be encoded."""

    __slots__ = ()


def reply(slot, text):
    """A vote for `a`, in the step at the frontier."""
    return Replies((Reply(0, slot, text, "a" if slot == 0 else 0, None, Usage(), Finish.STOP, None, 0),))


def test_after_an_entry_that_cannot_be_encoded_nothing_is_recorded(tmp_path):
    """Each later entry is refused with the same error, so that none refers to a missing one."""
    path, state = tmp_path / "run.db", RunState()
    journal = SqliteJournal.create(path)
    ledger = Ledger(state, journal)
    for entry in (opening(Words(1), K1), Voter(0, "m")):
        ledger.record(entry)
    with pytest.raises(TypeError) as first:
        ledger.record(reply(0, Text("a")))
    for later in (reply(1, 0), Paused("error", "x", 1.0)):
        with pytest.raises(TypeError) as second:
            ledger.record(later)
        assert second.value is first.value
    journal.close()
    stored = list(JournalReader(path).entries())
    assert [type(entry).__name__ for entry in stored] == ["Opened", "Voter"]
    assert replay(stored).samples == 0


def test_more_cached_tokens_than_tokens_read_are_charged_at_the_worst_case():
    """A contradictory usage counts as missing, from any endpoint."""

    class Contradicting:
        name = "own"

        def worst(self, prompt, settings, n):
            return Usage(1000, 50 * n)

    asked, settings = "word", Settings(0.0, 50, 1, 0, 0)
    plain, contradictory = Sample("a", Usage(100, 3, 90)), Sample("a", Usage(100, 3, 10**9))
    counted = with_possible_counts(Contradicting(), asked, settings, [contradictory, plain])
    assert [sample.usage for sample in counted] == [Usage(1000, 50, 0), Usage(100, 3, 90)]
    assert with_possible_counts(Contradicting(), asked, settings, [plain]) == [plain]
