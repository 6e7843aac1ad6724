"""What a paid model has billed, by its own ledger, compared with the journal of the run."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from killing import assert_each_once, entries_of

from unerring.api.journals import history as reading
from unerring.core.journal.entries import Failed, Intent


@dataclass(frozen=True, slots=True)
class Bill:
    """The model's ledger: each call's samples, and the ids of its replies, received or not."""

    calls: Counter[tuple[int, int, int]]
    ids: list[str]

    @property
    def samples(self) -> int:
        return len(self.ids)


def bill(ledger: Path) -> Bill:
    """Read the ledger; a kill may have left half a line at its end, of a call that was never answered."""
    calls, ids = Counter[tuple[int, int, int]](), []
    for line in ledger.read_text().splitlines():
        call = json.loads(line)
        calls[call["step"], call["slot"], call["count"]] += 1
        ids += call["ids"]
    return Bill(calls, ids)


def intents_of(journal: Path) -> Counter[tuple[int, int, int]]:
    """The calls that the journal has as about to be sent."""
    intents = [entry for entry in entries_of(journal) if isinstance(entry, Intent)]
    return Counter((intent.step, intent.slot, intent.count) for intent in intents)


def assert_settled(journal: Path, ledger: Path) -> int:
    """Assert that the journal accounts for every billed sample; returns how many have an unknown outcome."""
    billed, intents = bill(ledger), intents_of(journal)
    samples = reading.report(journal)["samples"]
    replies = assert_each_once(journal)
    announced = sum(count * times for (_, _, count), times in intents.items())
    assert billed.calls <= intents  # every call was recorded before it was sent
    assert not any(isinstance(entry, Failed) for entry in entries_of(journal))
    assert samples["unknown"] == announced - len(replies)  # what is not known is counted, not forgotten
    assert samples["sent"] == announced
    assert samples["unknown"] >= billed.samples - len(replies)
    names = [reply.reply_id for reply in replies]
    assert len(set(names)) == len(names)  # no reply counts twice
    assert set(names) <= set(billed.ids)  # and none that was not billed
    return samples["unknown"]
