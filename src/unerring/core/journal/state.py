"""Compute the state of a run from the entries of its journal, and from nothing else.

A live run and a journal that is read back both go through `RunState.apply`, so they cannot differ. A race counts votes
in the order of their sample numbers, not in the order of arrival: fast answers must not vote first, and a replay must
decide as the run did.
"""

from collections import Counter
from dataclasses import replace

from unerring.core.journal.act_totals import ActTotals
from unerring.core.journal.call_totals import CallTotals
from unerring.core.journal.decided_step import DecidedStep, decided_step
from unerring.core.journal.entries import (
    Allowed,
    Cancelled,
    Committed,
    Drafted,
    Entry,
    Failed,
    Finished,
    Inherited,
    Intent,
    Opened,
    Paused,
    Probed,
    QuestionText,
    Refused,
    Replies,
    Reply,
    Resumed,
    Served,
    Shortlisted,
    Voter,
    digest_of,
)
from unerring.core.journal.function_entries import ActBegun, ActEnded, ActErred, Conceded
from unerring.core.journal.review_entries import Accepted, Redrawn, Rejudged, Ruled
from unerring.core.reporting.reasons import ReasonCounts
from unerring.core.reporting.speedup import Speedup
from unerring.core.request import Request, request_from
from unerring.core.voting.canonical import Json
from unerring.core.voting.policy import Policy, policy_from
from unerring.core.voting.race import Undecided, Won
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.step import MisplacedEntry, OpenStep, VoterRecord


class RunState:
    """The state of a run after the entries so far. `apply` is the only way to change it.

    A pilot, which decides nothing, does two things more: it drops steps that it has counted (`forget`), and marks
    where the rounds of its samples begin (`OpenStep.begin_round`). Both follow from the entries that it has.

    opened, paused, finished: the entries that began the run, ended its latest session, and ended the run; None before.
    policy, request: how votes are counted and questions are asked; a resume may change them.
    entries, sessions: how many there were.
    committed: the number of committed steps, which is the number of the next step.
    last_digest: the digest of the state that the chain has reached.
    open: the steps that have samples but no committed choice, by number, then by the digest of the state asked from.
    calls, account: totals of paid calls, and what they cost.
    voters: each voter's name and counts, by its number.
    served: by voter, the models that the provider named as answering.
    samples: samples received.
    flags, reasons: red-flagged samples by kind of flag, and by reason.
    wasted: samples that were requested from wrongly guessed states.
    redrawn: how many times a person had the samples of a step set aside and drawn again.
    set_aside: samples that no longer count, because a person had them drawn again, their question changed, or their
        step, judged again, was decided without them.
    rejudged: samples that the present parser reads in another way than before.
    inherited: steps that were taken over from another run.
    acts: the side effects of a function process.
    changes: changes of the process that a person accepted.
    parameters, identity: those of the process, as in `Opened`, after these changes.
    speedup: how much faster than one call after the other the sessions were.
    """

    def __init__(self) -> None:
        self.opened: Opened | None = None
        self.paused: Paused | None = None
        self.finished: Finished | None = None
        self.policy = Policy()
        self.request = Request()
        self.entries = 0
        self.sessions = 0
        self.committed = 0
        self.last_digest = ""
        self.open: dict[int, dict[str, OpenStep]] = {}
        self.calls = CallTotals()
        self.account = self.calls.account
        self.voters: dict[int, VoterRecord] = {}
        self.served: dict[int, list[str]] = {}
        self.samples = 0
        self.flags: Counter[FlagKind] = Counter()
        self.reasons = ReasonCounts()
        self.wasted = 0
        self.redrawn = 0
        self.set_aside = 0
        self.rejudged = 0
        self.inherited = 0
        self.acts = ActTotals()
        self.changes: list[Accepted] = []
        self.parameters: dict[str, Json] = {}
        self.identity: dict[str, Json] | None = None
        self.speedup = Speedup()

    def step(self, step: int, at: str | None = None) -> OpenStep:
        """The voting on a step that is not committed yet, opened if need be.

        `at` is the digest of the state that the step is asked from. None stands for the state that the chain has
        reached; the step is the next one to commit then. A step can be open from several guessed states at once, of
        which at most one is right.
        """
        if step < self.committed:
            raise MisplacedEntry(f"step {step} is committed already")
        at = self._digest_at(step, at)
        opened = self.open.setdefault(step, {})
        if at not in opened:
            opened[at] = OpenStep(step, self.policy, self.voters)
        return opened[at]

    @property
    def frontier(self) -> OpenStep | None:
        """The voting on the next step to commit, where it has begun."""
        return self.open.get(self.committed, {}).get(self.last_digest)

    @property
    def substitutes(self) -> tuple[str, ...]:
        """The models that a person named to draw the next step's samples from again."""
        at_frontier = self.open.get(self.committed, {}).values()
        return tuple(sorted({step.model for step in at_frontier if step.model is not None}))

    def forget(self, step: int) -> None:
        """Drop the voting on a step: a pilot's, once it is counted."""
        self.open.pop(step, None)

    def _digest_at(self, step: int, at: str | None) -> str:
        """The digest of the state that a step is asked from."""
        if at is not None:
            return at
        if step < self.committed:
            raise MisplacedEntry(f"step {step} is committed already")
        if step > self.committed:
            raise MisplacedEntry(f"step {step} is not reached yet, and its entry does not name a state")
        return self.last_digest

    def apply(self, entry: Entry) -> DecidedStep | None:
        """Fold in the next entry; returns the committed step where the entry commits one.

        Raises `MisplacedEntry` for an entry that cannot follow, and leaves the state unusable then.
        """
        if (self.opened is None) is not isinstance(entry, Opened):
            raise MisplacedEntry("a journal has one opening entry, its first")
        if self.finished is not None:
            raise MisplacedEntry("an entry stands after the end of the run")
        self.entries += 1
        match entry:
            case Replies():
                self._receive(entry)
            case Committed():
                return self._commit(entry)
            case Inherited() | Conceded():
                return self._inherit(entry) if isinstance(entry, Inherited) else self._concede(entry)
            case ActBegun() | ActEnded() | ActErred():
                taken_over = self.sessions == 1 and self.opened is not None and self.opened.origin is not None
                self.last_digest = self.acts.apply(entry, self.committed, taken_over) or self.last_digest
            case Intent() | Failed() | Cancelled() | Drafted() | Probed():
                self._count_call(entry)
            case Voter() | Served():
                self._name(entry)
            case QuestionText() | Refused():
                self._annotate(entry)
            case Ruled() | Redrawn() | Shortlisted():
                self._settle(entry)
            case Rejudged() | Accepted():
                self._rejudge(entry) if isinstance(entry, Rejudged) else self._accept(entry)
            case Allowed(limits, tariffs):
                self.account.limits, self.account.tariffs = limits, tariffs
            case Opened() | Resumed() | Paused() | Finished():
                self._begin_or_end(entry)
        return None

    def _begin_or_end(self, entry: Opened | Resumed | Paused | Finished) -> None:
        """A session began, or ended cleanly; a killed one has no entry for its end."""
        match entry:
            case Opened():
                self._open(entry)
            case Resumed():
                self._resume(entry)
            case Paused():
                self.paused = entry
            case Finished():
                if entry.steps != self.committed:
                    raise MisplacedEntry(f"the run is said to end after {entry.steps} steps, not {self.committed}")
                self.acts.require_none_pending("the run ends")
                self._discard(list(self.open))
                self.finished = entry
        if isinstance(entry, Opened | Resumed):
            self.sessions += 1
            self.speedup.began(entry.time)
            self.account.session_began(entry.time)
        else:
            self.speedup.ended(entry)
            self.account.session_ended(entry.time)

    def _count_call(self, entry: Intent | Failed | Cancelled | Drafted | Probed) -> None:
        """A paid call was sent, or came to an end without samples."""
        calls = self.calls
        match entry:
            case Intent():
                calls.send(entry, self._digest_at(entry.step, entry.at))
            case Failed():
                calls.fail(entry, self._digest_at(entry.step, entry.at))
            case Cancelled():
                calls.cancel(entry, self._digest_at(entry.step, entry.at))
            case Drafted():
                calls.draft(entry, self._digest_at(entry.step, entry.at))
            case Probed():
                calls.probe(entry, self._digest_at(entry.step, None))

    def _name(self, entry: Voter | Served) -> None:
        """A voter got its name, or its provider named the model that answers as it."""
        if isinstance(entry, Voter):
            if entry.number != len(self.voters):
                raise MisplacedEntry(f"voter {entry.number} is named out of turn")
            self.voters[entry.number] = VoterRecord(entry.name)
        elif entry.voter not in self.voters:
            raise MisplacedEntry("a provider is said to have answered as a voter that is not named")
        else:
            self.served.setdefault(entry.voter, []).append(entry.model)

    def _annotate(self, entry: QuestionText | Refused) -> None:
        """Keep the text of a step's question, or why the provider refused it.

        An entry of a step that is committed, or that was asked from a wrongly guessed state, changes nothing.
        """
        if isinstance(entry, Refused):
            if entry.step >= self.committed:
                self.step(entry.step, entry.at).refused = entry.reason
            return
        digest = self._digest_at(entry.step, entry.at) if entry.at is not None or entry.step >= self.committed else ""
        opened = self.open.get(entry.step, {}).get(digest)
        if opened is not None:
            opened.wordings, opened.messages = entry.wordings, entry.messages

    def _settle(self, entry: Ruled | Redrawn | Shortlisted) -> None:
        """Votes did not decide the next step: a person decides it, has it drawn again, or candidates are listed."""
        step = self.frontier
        if entry.step != self.committed or step is None:
            raise MisplacedEntry(f"step {entry.step} has no samples at the frontier that a person could look at")
        match entry:
            case Shortlisted():
                step.shortlist()
            case Ruled(choice=choice):
                step.rule(choice)
            case Redrawn(model=model):
                self.set_aside += step.samples
                self.redrawn += 1
                step.redraw(model)

    def _open(self, entry: Opened) -> None:
        try:
            self.policy = policy_from(entry.policy)
            self.request = request_from(entry.request)
        except ValueError as error:
            raise MisplacedEntry(f"the opening entry cannot be used: {error}") from None
        self.opened = entry
        self.parameters, self.identity = entry.parameters, entry.identity
        self.last_digest = digest_of(entry.start)

    def _resume(self, entry: Resumed) -> None:
        self.paused = None
        self.calls.lose_all()
        self.request = self.request.with_switches(entry.nonce, entry.echo)
        for at_step in self.open.values():
            for step in at_step.values():
                step.left_open = bool(step.replies)
        named = {name: getattr(entry, name) for name in ("vote_cap", "flag_cap", "min_replies")}
        raised = {name: value for name, value in named.items() if value is not None}
        if not raised:
            return
        if any(value < getattr(self.policy, name) for name, value in raised.items()):
            raise MisplacedEntry("the entry of a resume lowers a cap or min_replies, which can only be raised")
        self.policy = replace(self.policy, **raised)
        for at_step in self.open.values():
            for step in at_step.values():
                step.recap(self.policy)

    def _receive(self, entry: Replies) -> None:
        first = entry.replies[0]
        number = first.step
        at = self._digest_at(number, entry.at)
        step = None
        if number < self.committed:  # asked from a wrongly guessed state, and answered too late
            self.wasted += len(entry.replies)
        else:
            step = self.step(number, at)
            step.ahead = step.ahead or entry.at is not None
            if entry.question is not None:
                if step.question not in {None, entry.question}:
                    raise MisplacedEntry(f"step {number} has samples of two different questions in one race")
                step.question = entry.question
        for reply in entry.replies:
            if reply.voter not in self.voters:
                raise MisplacedEntry(f"step {number} has a sample of an unnamed voter")
            if step is not None:
                step.receive(reply, first.slot)
            self._count(reply, +1)
        self.samples += len(entry.replies)
        self.calls.receive(entry, at, self.voters)

    def _commit(self, entry: Committed) -> DecidedStep:
        step = self.open.get(entry.step, {}).pop(self.last_digest, None)
        if entry.step != self.committed or step is None or not isinstance(step.verdict, Won):
            raise MisplacedEntry(f"step {entry.step} is committed without having been won")
        return self._decided(step, entry.state, step.choice(step.verdict.choice))

    def _concede(self, entry: Conceded) -> DecidedStep:
        """A step stayed undecided, and the function process continued."""
        step = self.open.get(entry.step, {}).pop(self.last_digest, None)
        if entry.step != self.committed or step is None or not isinstance(step.verdict, Undecided):
            raise MisplacedEntry(f"step {entry.step} is given up without being undecided")
        return self._decided(step, entry.state, "null")._replace(margin=0, undecided=entry.reason)

    def _decided(self, step: OpenStep, state: str, choice: str) -> DecidedStep:
        """The step at the frontier, which is decided now and leads to a state with this digest."""
        self.acts.require_none_pending(f"step {step.step} is decided")
        wasted = self._discard([step.step])
        self.committed += 1
        self.last_digest = state
        self.speedup.rounds += step.rounds
        decided = decided_step(step, choice, wasted)
        self.set_aside += step.samples - len(decided.replies)
        return decided

    def _inherit(self, entry: Inherited) -> DecidedStep:
        """A step is taken over from the run that this one was forked from."""
        if self.opened is None or self.opened.origin is None:
            raise MisplacedEntry(f"step {entry.step} is taken over from another run, and none is named")
        if entry.step != self.committed or self.samples:
            raise MisplacedEntry(f"step {entry.step} is taken over out of turn")
        self.committed += 1
        self.inherited += 1
        self.last_digest = entry.state
        return DecidedStep(entry.step, entry.choice, (), 0, 0, (), inherited=True)

    def _rejudge(self, entry: Rejudged) -> None:
        """Samples of an open step were read again: count them as they read now."""
        step = self.open.get(entry.step, {}).get(self._digest_at(entry.step, entry.at))
        if step is None:
            raise MisplacedEntry(f"step {entry.step} has no samples that could be judged again")
        before = dict(step.replies)
        step.rejudge(entry.judgements)
        self.rejudged += len(entry.judgements)
        for slot, old in before.items():
            self._count(old, -1)
            self._count(step.replies[slot], +1)
        step.left_open = False

    def _count(self, reply: Reply, sign: int) -> None:
        """Count a sample as a vote or a flag, or no longer."""
        voter = self.voters[reply.voter]
        if reply.flag is None:
            voter.votes += sign
        else:
            voter.flags += sign
            self.flags[reply.flag] += sign
            self.reasons.add(reply.flag, reply.reason, sign)

    def _accept(self, entry: Accepted) -> None:
        """A person accepted that the process changed: set open samples aside unless their question stayed the same."""
        frontier = self.frontier
        for at_step in self.open.values():
            for step in at_step.values():
                if entry.keep and step is frontier:
                    step.left_open = False
                elif (
                    step.replies
                ):  # a step without samples leaves no trace in the journal, so a replay does not have it
                    self.set_aside += step.samples
                    step.set_aside()
        self.changes.append(entry)
        self.last_digest = entry.state
        self.parameters, self.identity = entry.parameters, entry.identity

    def _discard(self, steps: list[int]) -> int:
        """Drop the voting on these steps, which were asked from wrong states; returns how many samples that wastes."""
        wasted = sum(step.samples for number in steps for step in self.open.pop(number, {}).values())
        self.wasted += wasted
        return wasted
