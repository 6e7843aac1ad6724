"""Totals of a run's paid calls: in flight, failed, of unknown outcome, and what they cost."""

from typing import TypeAlias

from unerring.core.journal.entries import DRAFT_SLOT, Cancelled, Drafted, Failed, Intent, Probed, Replies
from unerring.core.journal.spend import Account, Charge
from unerring.core.reporting.reasons import ReasonCounts
from unerring.core.short_text import shortened
from unerring.core.voting.sample import Usage
from unerring.core.voting.step import MisplacedEntry, VoterRecord
from unerring.errors import FailureKind

MAX_SAMPLES_PER_CALL = 1 << 20  # a forged count must not make a list that fills the memory
MAX_FAILURE_REASON_CHARS = 300  # of a failure's reason

# Step, number of the sample, and digest of the state that the step was asked from. A call goes by its first sample.
SampleKey: TypeAlias = tuple[int, int, str]


class CallTotals:
    """Totals over the calls of a run; `RunState.apply` passes it the entries that concern calls.

    account: what the calls cost, and may cost.
    in_flight: samples of calls that were sent and have not come back.
    unknown: samples whose outcome will never be known.
    given_up: those of them that were cancelled after a wrong guess.
    failures: calls that came back without samples.
    failure_reasons: why they did.
    drafts: guesses drafted by a paid model.
    findings: what probes of the endpoint showed.
    usage: tokens of all calls whose outcome is known.
    """

    def __init__(self) -> None:
        self.account = Account()
        self.in_flight: set[SampleKey] = set()
        self.unknown = 0
        self.given_up = 0
        self.failures = 0
        self.failure_reasons = ReasonCounts()
        self.drafts = 0
        self.findings: list[str] = []
        self.usage = Usage()

    def send(self, entry: Intent, state: str) -> None:
        """A call is about to be sent; `state` is the digest of the state its step is asked from, as in all methods."""
        keys = _keys(entry, state)
        self.in_flight.update(keys)
        self.account.begin(keys[0], entry.worst)

    def receive(self, entry: Replies, state: str, voters: dict[int, VoterRecord]) -> None:
        """A call came back with samples of these voters."""
        first = entry.replies[0]
        read = written = cached = 0
        for reply in entry.replies:
            self.in_flight.discard((first.step, reply.slot, state))
            read += reply.usage.input_tokens
            written += reply.usage.output_tokens
            cached += reply.usage.cached_tokens
        usage = Usage(read, written, cached)
        self.usage += usage
        charge = self._charge(entry, usage, voters)
        self.account.settle((first.step, first.slot, state), charge, voters[first.voter].name)

    def _charge(self, entry: Replies, usage: Usage, voters: dict[int, VoterRecord]) -> Charge:
        """What a call cost, from the prices of its voters: one model's, or those of members that share the call."""
        account = self.account
        if not account.tariffs:
            return Charge(usage.input_tokens, usage.output_tokens, None)
        names = {voters[reply.voter].name for reply in entry.replies}
        if len(names) == 1:
            return account.price(names.pop(), usage)
        return sum((account.price(voters[reply.voter].name, reply.usage) for reply in entry.replies), Charge())

    def fail(self, entry: Failed, state: str) -> None:
        """A call came back without samples."""
        keys = _keys(entry, state)
        self.in_flight.difference_update(keys)
        if entry.kind is FailureKind.UNSENT:
            self.account.unsend(keys[0])
            return
        self.failures += 1
        self.failure_reasons.add(entry.kind, shortened(entry.reason, MAX_FAILURE_REASON_CHARS))
        if entry.kind is FailureKind.UNKNOWN and entry.charge is None:
            self.unknown += entry.count
            self.account.lose(keys[0])
        else:
            self.account.settle(keys[0], entry.charge or Charge(), "")

    def cancel(self, entry: Cancelled, state: str) -> None:
        """A call in flight was abandoned, so its outcome stays unknown."""
        keys = _keys(entry, state)
        self.in_flight.difference_update(keys)
        self.unknown += entry.count
        self.given_up += entry.count if entry.wrong_guess else 0
        self.account.lose(keys[0], entry.wrong_guess)

    def draft(self, entry: Drafted, state: str) -> None:
        """A drafting model returned a guess."""
        key, usage = (entry.step, DRAFT_SLOT, state), entry.usage
        self.in_flight.discard(key)
        self.account.settle(key, entry.charge or Charge(usage.input_tokens, usage.output_tokens, None), "")
        self.drafts += 1
        self.usage += usage

    def probe(self, entry: Probed, state: str) -> None:
        """A probe of the endpoint came back."""
        key, charge = (entry.step, entry.slot, state), entry.charge
        self.in_flight.discard(key)
        self.account.settle(key, charge, "")
        self.usage += Usage(charge.input_tokens, charge.output_tokens)
        if entry.finding:
            self.findings.append(entry.finding)

    def lose_all(self) -> None:
        """The runner that made the calls in flight is gone, so their outcome stays unknown."""
        self.unknown += len(self.in_flight)
        self.in_flight.clear()
        self.account.lose_all()


def _keys(entry: Intent | Failed | Cancelled, state: str) -> list[SampleKey]:
    """The keys of a call's samples, the first one first."""
    if not 0 < entry.count <= MAX_SAMPLES_PER_CALL:
        raise MisplacedEntry(f"a call for {entry.count} samples is impossible")
    return [(entry.step, entry.slot + offset, state) for offset in range(entry.count)]
